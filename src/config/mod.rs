//! The configuration file: YAML text in, checked [`Settings`] out.
//!
//! Text becomes a tree in which every node knows its line (`tree`), `${VAR}` is resolved in its values
//! (`interpolate`), the tree is read section by section against the list of keys (`keys`, `section`, one module per
//! section of the file), and what must hold between sections is checked last (`cross_checks`).
//!
//! Promises: everything wrong is reported at once, each with line, column, reason and fix; a secret is never shown,
//! neither in an error nor in `Debug`; no input makes it panic. Reads the file, the files that it names and the host
//! name; never connects to a broker or server.

mod audit;
mod clickhouse;
mod cross_checks;
mod detector;
mod drift;
mod error;
mod format;
mod interpolate;
mod kafka;
mod keys;
mod mapping;
mod names;
mod pattern;
mod property_checks;
mod property_rules;
mod registry;
mod routes;
mod secret_file;
mod section;
mod settings;
mod topic;
mod tree;
mod units;

use std::path::Path;
use std::sync::Arc;

pub use clickhouse::ClickHouseSettings;
pub use detector::{DetectorSettings, Severity, SeverityRule};
pub use drift::SchemaDrift;
pub use error::{ConfigError, ConfigErrors, Located, Location};
pub use format::{AvroSettings, CsvSettings, Format, Framing, JsonSettings, ProtobufSettings, Records, SchemaFile};
pub use kafka::{KafkaProperty, KafkaSettings};
pub use mapping::{ColumnMapping, ColumnSource, Envelope, Mapping, NameStyle, Tombstones, Unknown};
pub use names::TableName;
pub use pattern::{Expansion, LeftOut, Pattern};
pub(crate) use property_rules::{FETCH_LIMITS, RESPONSE_BYTES_MAX_DEFAULT, consumer_takes, producer_takes};
pub use registry::{ClientIdentity, RegistryCredentials, RegistrySettings};
pub use routes::{Route, Routing, Unrouted};
pub use settings::Settings;
pub use topic::{BatchSettings, CoordinateColumns, OnGap, Start, TopicSettings};
pub use units::{ByteSize, Share};

use interpolate::{Environment, interpolate};
use section::Report;

/// A configuration of a thousand topics is far below this; a wrong path may name a file of any size.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the file at `path`; `env` answers `${VAR}`.
pub fn load(path: &Path, env: Environment<'_>) -> Result<Settings, ConfigErrors> {
    let name = path.display().to_string();
    let start = || Location::new(Arc::from(name.as_str()), 1, 1);
    let unreadable = |error: std::io::Error| {
        let reason = format!("the file cannot be read: {error}");
        ConfigError::at(start(), reason, "check the path and that this user may read it")
    };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        let reason = format!("the file has {length} bytes, the most is {FILE_BYTES_MAX}");
        return Err(ConfigError::at(start(), reason, "check the path").into());
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().map_or(1, |last| last.chars().count() + 1);
        let location = Location::new(Arc::from(name.as_str()), line, column);
        ConfigError::at(location, "this is not UTF-8 text", "save the file as UTF-8")
    })?;
    parse(&name, text, env)
}

/// Reads `text`; `file_name` is what errors call it, `env` answers `${VAR}`.
pub fn parse(file_name: &str, text: &str, env: Environment<'_>) -> Result<Settings, ConfigErrors> {
    let file: Arc<str> = Arc::from(file_name);
    let mut errors = Vec::new();
    let root = tree::parse_tree(&file, text, &mut errors);
    let mut settings = None;
    if let Some(mut root) = root {
        interpolate(&mut root, env, &mut errors);
        let report = Report::new(errors);
        settings = settings::read_settings(&report, &root, env);
        errors = report.into_errors();
    }
    if let Some(errors) = ConfigErrors::from_list(errors) {
        return Err(errors);
    }
    settings.ok_or_else(|| {
        let location = Location::new(file, 1, 1);
        let reason = "the file could not be read, and no reason was found";
        ConfigError::at(location, reason, "please report this file as a bug").into()
    })
}
