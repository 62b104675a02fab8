//! One ClickHouse engine behind its HTTP front, on loopback.
//!
//! The engine is ClickHouse's own, embedded in a Python process (chdb), behind our HTTP front; it is not
//! clickhouse-server. README.md lists the differences.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cache;
use crate::folder::{Folder, loopback};
use crate::http::Client;
use crate::process::{ServiceCommand, wait_until};
use crate::slot::{Slot, controls};
use crate::tls::{CA_FILE, CERTIFICATE_FILE, KEY_FILE, PrivateCa};

const FRONT: &str = include_str!("../front/front.py");
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long a test may wait for a fault switch to be met.
const FAULT_LIMIT: Duration = Duration::from_secs(60);

/// Which release of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineVersion {
    /// 25.8: executes one statement at a time.
    V25_8,
    /// 26.9.
    #[default]
    V26_9,
}

impl EngineVersion {
    fn name(self) -> &'static str {
        match self {
            Self::V25_8 => "25.8",
            Self::V26_9 => "26.9",
        }
    }

    fn requirements(self) -> &'static str {
        match self {
            Self::V25_8 => include_str!("../front/requirements-25.8.txt"),
            Self::V26_9 => include_str!("../front/requirements-26.9.txt"),
        }
    }
}

impl fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineVersion {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "25.8" => Ok(Self::V25_8),
            "26.9" => Ok(Self::V26_9),
            other => bail!("no engine {other}: use 25.8 or 26.9"),
        }
    }
}

/// How to start an [`Engine`].
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Where data and logs are kept; a throw-away folder when absent. A folder used before keeps its data and port.
    pub folder: Option<PathBuf>,
    /// Release.
    pub version: EngineVersion,
    /// Serves HTTPS, with a certificate that this CA signs.
    pub tls: Option<PrivateCa>,
    /// Names and passwords that the front accepts; `default` without a password when empty.
    pub users: Vec<(String, String)>,
    /// Put inside `<clickhouse>` of the engine's configuration file.
    pub config_xml: Option<String>,
}

/// A running engine; killed when dropped.
#[derive(Debug)]
pub struct Engine {
    url: String,
    client: Client,
    // Declared, and so dropped, before the folder: the process must be gone by then.
    slot: Slot,
    folder: Folder,
}

controls!(Engine);

impl Engine {
    /// Installs the engine where needed, starts it and waits until it answers.
    ///
    /// # Errors
    /// When a system package is missing, a download fails, or it does not start; the log's tail is included.
    pub fn start(options: &EngineOptions) -> Result<Self> {
        let python = install(options.version)?;
        let folder = Folder::new(options.folder.as_deref(), "clickhouse")?;
        let port = folder.port("http")?;
        let address = loopback(port);
        let (url, mut client) = match &options.tls {
            None => (format!("http://{address}"), Client::new(&format!("http://{address}"))),
            Some(ca) => {
                ca.issue_into(folder.path())?;
                let url = format!("https://localhost:{port}");
                (url.clone(), Client::new(&url).trusting(&ca.certificate_pem())?)
            }
        };
        if let Some((name, password)) = options.users.first() {
            client = client.user(name, password);
        }
        let command = ServiceCommand {
            name: format!("clickhouse engine {}", options.version.name()),
            argv: arguments(options, &python, folder.path(), port)?,
            log: folder.path().join("clickhouse.log"),
            throw_away: folder.throw_away(),
        };
        let probe = client.clone();
        let slot = Slot::start(command, START_LIMIT, STOP_LIMIT, move || {
            probe.query("SELECT 1").is_ok_and(|reply| reply == "1\n")
        })?;
        Ok(Self { url, client, slot, folder })
    }

    /// The base URL, for example `http://127.0.0.1:15123`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of this engine that trusts its CA and uses its first user.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Executes a statement and gives its result as text.
    ///
    /// # Errors
    /// When there is no reply or when it is an error.
    pub fn query(&self, sql: &str) -> Result<String> {
        self.client.query(sql)
    }

    /// The file with the CA's certificate; written when the engine serves HTTPS.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join(CA_FILE)
    }

    /// Arms a fault switch for the next statement that matches the regular expression `pattern` (Python's syntax).
    ///
    /// # Errors
    /// When the engine does not answer or refuses the pattern.
    pub fn fault(&self, pattern: &str, when: FaultWhen, action: &FaultAction) -> Result<Fault> {
        self.fault_times(pattern, when, action, 1)
    }

    /// The same for the next `times` statements that match.
    ///
    /// # Errors
    /// When the engine does not answer or refuses the pattern.
    pub fn fault_times(&self, pattern: &str, when: FaultWhen, action: &FaultAction, times: u64) -> Result<Fault> {
        let mut order = json!({ "match": pattern, "when": when.name(), "do": action.name(), "times": times });
        if let FaultAction::Error { code, text } = action {
            order["code"] = json!(code);
            order["text"] = json!(text);
        }
        let reply = control(&self.client, "fault", &order)?;
        Ok(Fault { client: self.client.clone(), id: reply["id"].clone(), released: false })
    }
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultWhen {
    /// The request has arrived whole and nothing was executed.
    Before,
    /// The statement has ended without an error and nothing was answered.
    After,
}

impl FaultWhen {
    fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultAction {
    /// Closes the connection without an answer.
    Drop,
    /// Answers with this error.
    Error {
        /// ClickHouse's exception code.
        code: u32,
        /// What follows `DB::Exception: `.
        text: String,
    },
    /// Waits until the fault is released.
    Hold,
}

impl FaultAction {
    fn name(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Error { .. } => "error",
            Self::Hold => "hold",
        }
    }
}

/// An armed fault switch; disarmed, and what it holds released, when dropped.
#[derive(Debug)]
pub struct Fault {
    client: Client,
    id: Value,
    released: bool,
}

impl Fault {
    /// Waits until a statement has met the switch.
    ///
    /// # Errors
    /// When none does within a minute.
    pub fn wait_hit(&self) -> Result<()> {
        wait_until("statement at the fault switch", FAULT_LIMIT, || Ok((self.hits()? > 0).then_some(())))
    }

    /// How many statements have met the switch.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn hits(&self) -> Result<u64> {
        let armed = control(&self.client, "faults", &json!({}))?;
        let mine = armed.as_array().into_iter().flatten().find(|fault| fault["id"] == self.id);
        Ok(mine.and_then(|fault| fault["hits"].as_u64()).unwrap_or(0))
    }

    /// Disarms the switch, lets go on what it holds, and gives the number of statements that met it.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn release(mut self) -> Result<u64> {
        self.released = true;
        let reply = control(&self.client, "release", &json!({ "id": self.id }))?;
        reply["hits"].as_u64().context("the front did not say how often the fault was met")
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        if !self.released {
            // Fails only when the engine is gone, and the switch with it.
            control(&self.client, "release", &json!({ "id": self.id })).ok();
        }
    }
}

fn control(client: &Client, action: &str, order: &Value) -> Result<Value> {
    let reply = client.post_to(&format!("/devstack/{action}"), &[], order.to_string().as_bytes())?;
    if reply.status != 200 {
        bail!("control {action} of the front: {reply}");
    }
    serde_json::from_slice(&reply.body).with_context(|| format!("read the front's answer to {action}"))
}

/// Gives the interpreter of the virtual environment that the engine is installed in.
fn install(version: EngineVersion) -> Result<PathBuf> {
    cache::require("python3", "python3")?;
    let requirements = version.requirements();
    let dir = cache::installed(&format!("clickhouse-{}", version.name()), requirements, |dir| {
        std::fs::write(dir.join("requirements.txt"), requirements).context("write requirements.txt")?;
        cache::run(dir, "python3", &["-m", "venv", "venv"])
            .context("make a virtual environment (Debian: it needs the system package python3-venv)")?;
        let args = "-m pip install -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r";
        let args: Vec<&str> = args.split(' ').chain(["requirements.txt"]).collect();
        let python = dir.join("venv/bin/python");
        cache::run(dir, &python.to_string_lossy(), &args)
    })?;
    Ok(dir.join("venv/bin/python"))
}

fn arguments(options: &EngineOptions, python: &Path, folder: &Path, port: u16) -> Result<Vec<OsString>> {
    let front = folder.join("front.py");
    std::fs::write(&front, FRONT).with_context(|| format!("write {}", front.display()))?;
    let data = folder.join("data");
    std::fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
    let mut argv: Vec<OsString> = vec![python.into(), front.into(), "--path".into(), data.into()];
    argv.extend(["--port".into(), port.to_string().into()]);
    for (name, password) in &options.users {
        argv.extend(["--user".into(), format!("{name}:{password}").into()]);
    }
    if options.tls.is_some() {
        argv.extend(["--certificate".into(), folder.join(CERTIFICATE_FILE).into()]);
        argv.extend(["--key".into(), folder.join(KEY_FILE).into()]);
    }
    if let Some(xml) = &options.config_xml {
        let path = folder.join("config.xml");
        std::fs::write(&path, format!("<clickhouse>{xml}</clickhouse>\n"))
            .with_context(|| format!("write {}", path.display()))?;
        argv.extend(["--config".into(), path.into()]);
    }
    Ok(argv)
}
