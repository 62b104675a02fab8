//! One Apache Kafka broker, controller included (KRaft), on loopback.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache;
use crate::folder::{Folder, loopback};
use crate::process::ServiceCommand;
use crate::slot::{Slot, controls};
use crate::tls::{CA_FILE, KEYSTORE_FILE, PrivateCa};

const POM: &str = include_str!("../kafka/pom.xml");
const CLASS_ARCHIVE: &str = "kafka.jsa";
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The broker's settings that do not depend on ports and folders.
///
/// Short sessions and small internal topics keep tests quick; 32 MiB messages let 16 MB records through. A broker that
/// was killed is let back in only when its last registration has timed out, so that this time bounds a restart.
const FIXED_PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
delete.topic.enable=true
message.max.bytes=33554432
replica.fetch.max.bytes=33554432
socket.request.max.bytes=104857600
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.partitions=1
log.cleaner.dedupe.buffer.size=16777216
";

/// The SASL_SSL listener of a broker, and the one user that it knows.
#[derive(Debug, Clone)]
pub struct SaslSsl {
    /// Signs the listener's certificate.
    pub ca: PrivateCa,
    /// User name, for SCRAM-SHA-512.
    pub user: String,
    /// Password; made of letters, digits and other characters that are plain in a Java properties file.
    pub password: String,
}

/// How to start a [`Broker`].
#[derive(Debug, Clone, Default)]
pub struct BrokerOptions {
    /// Where data and logs are kept; a throw-away folder when absent. A folder used before keeps its topics and ports.
    pub folder: Option<PathBuf>,
    /// Adds a SASL_SSL listener beside the plain one. Its user may do what no access rule is about; who comes over the plain
    /// one may do everything.
    pub sasl_ssl: Option<SaslSsl>,
    /// More lines of `server.properties`, which win over those of this crate. A broker that is restarted reads the file anew.
    pub properties: String,
}

/// A running broker; killed when dropped.
#[derive(Debug)]
pub struct Broker {
    bootstrap: String,
    sasl_bootstrap: Option<String>,
    // Declared, and so dropped, before the folder: the process must be gone by then.
    slot: Slot,
    folder: Folder,
}

controls!(Broker);

impl Broker {
    /// Installs Kafka where needed, formats a new folder, starts the broker and waits until it is part of its cluster.
    ///
    /// # Errors
    /// When a system package is missing, a download fails, or the broker does not start; the log's tail is included.
    pub fn start(options: &BrokerOptions) -> Result<Self> {
        let installed = install()?;
        Self::launch(&installed, "-XX:SharedArchiveFile", options)
    }

    /// Starts the broker that is in `installed`; `archive` is the Java option that takes the file of the class archive.
    fn launch(installed: &Path, archive: &str, options: &BrokerOptions) -> Result<Self> {
        let class_path = installed.join("jars/*");
        let folder = Folder::new(options.folder.as_deref(), "kafka")?;
        let bootstrap = loopback(folder.port("plaintext")?);
        let sasl = match &options.sasl_ssl {
            Some(sasl) => Some((sasl, loopback(folder.port("sasl_ssl")?))),
            None => None,
        };
        let properties_path = folder.path().join("server.properties");
        if let Some((sasl, _)) = &sasl {
            sasl.ca.issue_into(folder.path())?;
        }
        let sasl_address = sasl.map(|(_, address)| address);
        let mut properties = properties(folder.path(), bootstrap, sasl_address, loopback(folder.port("controller")?));
        properties.push_str(&options.properties);
        std::fs::write(&properties_path, properties).with_context(|| format!("write {}", properties_path.display()))?;
        if !folder.path().join("data/meta.properties").exists() {
            format_folder(folder.path(), &class_path, &properties_path, options.sasl_ssl.as_ref())?;
        }
        let mut argv: Vec<OsString> = [
            "java",
            "-Xms256m",
            "-Xmx1g",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-cp",
        ]
        .map(OsString::from)
        .to_vec();
        argv.extend([class_path.into(), "kafka.Kafka".into(), properties_path.into()]);
        let archive = format!("{archive}={}", installed.join(CLASS_ARCHIVE).display());
        argv.insert(1, archive.into());
        let command = ServiceCommand {
            name: "kafka".to_owned(),
            argv,
            log: folder.path().join("kafka.log"),
            throw_away: folder.throw_away(),
        };
        let slot = Slot::start(command, START_LIMIT, STOP_LIMIT, move || {
            brokers_in_metadata(bootstrap).is_ok_and(|brokers| brokers > 0)
        })?;
        let sasl_bootstrap = sasl_address.map(|address| address.to_string());
        Ok(Self { bootstrap: bootstrap.to_string(), sasl_bootstrap, slot, folder })
    }

    /// `host:port` of the plain listener.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `host:port` of the SASL_SSL listener, where there is one.
    #[must_use]
    pub fn sasl_bootstrap(&self) -> Option<&str> {
        self.sasl_bootstrap.as_deref()
    }

    /// The file with the CA's certificate, for `ssl.ca.location`; written when there is a SASL_SSL listener.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join(CA_FILE)
    }
}

fn install() -> Result<PathBuf> {
    cache::require("java", "openjdk-17-jre-headless")?;
    cache::require("mvn", "maven")?;
    cache::installed("kafka", POM, |dir| {
        std::fs::write(dir.join("pom.xml"), POM).context("write pom.xml")?;
        let args = ["-q", "-B", "--strict-checksums", "dependency:copy-dependencies", "-DoutputDirectory=jars"];
        cache::run(dir, "mvn", &args)?;
        // The classes that a broker loads, written when this one ends: starting with them takes half the CPU time.
        Broker::launch(dir, "-XX:ArchiveClassesAtExit", &BrokerOptions::default())?.stop()
    })
}

fn properties(folder: &Path, plain: SocketAddr, sasl: Option<SocketAddr>, controller: SocketAddr) -> String {
    let mut text = FIXED_PROPERTIES.to_owned();
    let mut listeners = format!("PLAINTEXT://{plain},CONTROLLER://{controller}");
    let mut advertised = format!("PLAINTEXT://{plain}");
    if let Some(sasl) = sasl {
        for list in [&mut listeners, &mut advertised] {
            write!(list, ",SASL_SSL://{sasl}").expect("writing to a string does not fail");
        }
        let keystore = folder.join(KEYSTORE_FILE);
        write!(
            text,
            "sasl.enabled.mechanisms=SCRAM-SHA-512\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS\nallow.everyone.if.no.acl.found=true\n",
            keystore.display()
        )
        .expect("writing to a string does not fail");
    }
    write!(
        text,
        "listeners={listeners}\nadvertised.listeners={advertised}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n\
         controller.quorum.voters=1@{controller}\nlog.dirs={}\n",
        folder.join("data").display()
    )
    .expect("writing to a string does not fail");
    text
}

fn format_folder(folder: &Path, class_path: &Path, properties: &Path, sasl: Option<&SaslSsl>) -> Result<()> {
    let mut args: Vec<OsString> = vec!["-XX:TieredStopAtLevel=1".into(), "-cp".into(), class_path.into()];
    args.extend(["kafka.tools.StorageTool", "format", "-t", &cluster_id()?, "-c"].map(OsString::from));
    args.push(properties.into());
    if let Some(sasl) = sasl {
        args.push("--add-scram".into());
        args.push(format!("SCRAM-SHA-512=[name={},password={}]", sasl.user, sasl.password).into());
    }
    cache::run(folder, "java", &args).context("format the broker's folder")
}

/// A random UUID, as Kafka writes one: 16 bytes in URL-safe base64, 22 characters.
fn cluster_id() -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0_u8; 22];
    let mut source = std::fs::File::open("/dev/urandom").context("open /dev/urandom")?;
    source.read_exact(&mut random).context("read /dev/urandom")?;
    // The last character carries the 4 leftover bits only; a leading dash would look like an option.
    random[0] &= 0b01_1111;
    random[21] &= 0b11_0000;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 0b11_1111)])).collect())
}

/// Asks for the cluster's metadata (Metadata request, version 1, no topics) and gives the number of brokers in it.
fn brokers_in_metadata(address: SocketAddr) -> Result<i32> {
    const REQUEST: &[u8] = b"\x00\x00\x00\x16\
        \x00\x03\x00\x01\x00\x00\x00\x01\
        \x00\x08devstack\
        \x00\x00\x00\x00";
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("connect")?;
    stream.set_read_timeout(Some(PATIENCE)).context("set a read timeout")?;
    stream.write_all(REQUEST).context("send")?;
    // Size and correlation id, then the array of brokers, of which only the count is of interest.
    let mut reply = [0_u8; 12];
    stream.read_exact(&mut reply).context("receive")?;
    let [.., a, b, c, d] = reply;
    Ok(i32::from_be_bytes([a, b, c, d]))
}
