//! A schema registry (Apicurio) on loopback, with its Confluent-compatible API.

use std::ffi::OsString;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cache;
use crate::folder::{Folder, loopback};
use crate::http::Client;
use crate::process::ServiceCommand;
use crate::slot::{Slot, controls};

const ARTIFACT: &str = "io.apicurio:apicurio-registry-app:2.5.11.Final:tar.gz:all";
const JAR: &str = "apicurio-registry-app-2.5.11.Final-runner.jar";
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running registry that keeps its schemas in memory; killed when dropped.
#[derive(Debug)]
pub struct Registry {
    url: String,
    // Declared, and so dropped, before the folder: the process must be gone by then.
    slot: Slot,
    folder: Folder,
}

controls!(Registry);

impl Registry {
    /// Installs the registry where needed, starts it and waits until it answers. Its log goes to `folder`, or to a
    /// throw-away one.
    ///
    /// # Errors
    /// When a system package is missing, a download fails, or it does not start; the log's tail is included.
    pub fn start(folder: Option<&Path>) -> Result<Self> {
        let installed = install()?;
        let folder = Folder::new(folder, "registry")?;
        let port = folder.port("http")?;
        let address = loopback(port);
        let mut argv: Vec<OsString> =
            ["java", "-Xmx512m", "-Dquarkus.http.host=127.0.0.1"].map(OsString::from).to_vec();
        argv.push(format!("-Dquarkus.http.port={port}").into());
        argv.extend(["-Dquarkus.datasource.jdbc.url=jdbc:h2:mem:registry", "-jar"].map(OsString::from));
        argv.push(installed.join("app").join(JAR).into());
        let command = ServiceCommand {
            name: "schema registry".to_owned(),
            argv,
            log: folder.path().join("registry.log"),
            throw_away: folder.throw_away(),
        };
        let url = format!("http://{address}/apis/ccompat/v7");
        let probe = Client::new(&url);
        let slot = Slot::start(command, START_LIMIT, STOP_LIMIT, move || {
            TcpStream::connect(address).is_ok() && probe.get("/subjects").is_ok_and(|reply| reply.status == 200)
        })?;
        Ok(Self { url, slot, folder })
    }

    /// The base URL of the Confluent-compatible API.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Registers a schema of this type (`AVRO`, `PROTOBUF`, `JSON`) under a subject of plain letters, and gives its id.
    /// References are import name, subject and version.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses the schema.
    pub fn register(&self, subject: &str, kind: &str, schema: &str, references: &[(&str, &str, u32)]) -> Result<u32> {
        let references: Vec<_> = references
            .iter()
            .map(|(name, subject, version)| json!({ "name": name, "subject": subject, "version": version }))
            .collect();
        let body = json!({ "schemaType": kind, "schema": schema, "references": references });
        let path = format!("/subjects/{subject}/versions");
        let reply = Client::new(&self.url).post_json(&path, &body.to_string())?;
        let page: serde_json::Value = serde_json::from_slice(&reply.body).with_context(|| reply.to_string())?;
        let id = page["id"].as_u64().with_context(|| format!("register {subject}: {reply}"))?;
        u32::try_from(id).with_context(|| format!("register {subject}: id {id}"))
    }
}

fn install() -> Result<PathBuf> {
    cache::require("java", "openjdk-17-jre-headless")?;
    cache::require("mvn", "maven")?;
    cache::require("tar", "tar")?;
    cache::installed("registry", ARTIFACT, |dir| {
        let artifact = format!("-Dartifact={ARTIFACT}");
        let args = ["-q", "-B", "--strict-checksums", "dependency:copy", &artifact, "-DoutputDirectory=."];
        cache::run(dir, "mvn", &args)?;
        let app = dir.join("app");
        std::fs::create_dir(&app).with_context(|| format!("make {}", app.display()))?;
        let archive = dir.join("apicurio-registry-app-2.5.11.Final-all.tar.gz");
        cache::run(&app, "tar", &["-xzf", &archive.to_string_lossy()])?;
        std::fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))
    })
}
