//! Where log lines go: to stderr, for people on a terminal, as one JSON object a line otherwise.
//!
//! Takes the options of the command line, installs the subscriber of the process. librdkafka and libraries that use
//! the `log` crate come out here too. What librdkafka repeats in an outage is written once a minute. Record contents,
//! passwords and keys are never given to a log line in the first place; nothing here could filter them out.

use std::fmt;
use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock;
use crate::metrics::Throttled;

/// The environment variable that stands in for `--log-level`.
pub const LEVEL_VARIABLE: &str = "ONCESINK_LOG";

/// The target of librdkafka's own lines.
const LIBRDKAFKA: &str = "librdkafka";

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level cannot be read.
    #[error(
        "log level {given:?} cannot be read ({reason}): give off, error, warn, info, debug or trace, or directives \
         such as `info,oncesink::insert=debug`"
    )]
    Level {
        /// What was given.
        given: String,
        /// Why not.
        reason: String,
    },
    /// There is a subscriber already.
    #[error("the log was set up before")]
    Twice,
}

/// Sets the log of this process up. `level` is `--log-level` or [`LEVEL_VARIABLE`]; without it: `info`.
///
/// # Errors
/// Where the level cannot be read, or there is a log already.
pub fn install(format: LogFormat, level: Option<&str>) -> Result<(), LogError> {
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscriber(human, colours, level, std::io::stderr)?.try_init().map_err(|_| LogError::Twice)
}

fn subscriber<W>(
    human: bool,
    colours: bool,
    level: Option<&str>,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = if human { lines.with_ansi(colours).boxed() } else { lines.event_format(JsonLines).boxed() };
    Ok(tracing_subscriber::registry()
        .with(filter(level.unwrap_or("info"))?)
        .with(LibrdkafkaThrottle::default())
        .with(lines))
}

/// One JSON object a line: time, level, the event's own fields, and who says it. Of a line that comes over the `log` crate
/// the place in the source is left out: it is a path on the machine that built the library.
#[derive(Debug)]
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        let mut line = serde_json::Map::new();
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        event.record(&mut JsonFields(&mut line));
        writeln!(writer, "{}", serde_json::Value::Object(line))
    }
}

/// The fields of an event, into its line.
struct JsonFields<'a>(&'a mut serde_json::Map<String, serde_json::Value>);

impl JsonFields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<serde_json::Value>) {
        let name = match field.name() {
            "log.target" => "target",
            name if name.starts_with("log.") => return,
            name => name,
        };
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for JsonFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

/// A plain level is ours and librdkafka's; the libraries below say at `debug` what nobody asks for.
fn filter(level: &str) -> Result<Targets, LogError> {
    let plain = !level.contains(['=', ',']);
    let directives = if plain { format!("warn,oncesink={level},{LIBRDKAFKA}={level}") } else { level.to_owned() };
    let directives = if level == "off" { "off".to_owned() } else { directives };
    directives
        .parse::<Targets>()
        .map_err(|error| LogError::Level { given: level.to_owned(), reason: error.to_string() })
}

/// Lets one line of librdkafka through for each text and minute: without a broker it repeats itself for ever.
#[derive(Debug, Default)]
struct LibrdkafkaThrottle {
    throttled: Throttled,
}

impl<S: Subscriber> Layer<S> for LibrdkafkaThrottle {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.metadata().target() != LIBRDKAFKA {
            return true;
        }
        let mut cause = Cause::default();
        event.record(&mut cause);
        self.throttled.permit(&cause.0, clock::now()).is_some()
    }
}

/// A line without its digits: times, ports and counters differ in lines that say the same.
#[derive(Default)]
struct Cause(String);

impl Visit for Cause {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        const CHARACTERS_MAX: usize = 300;
        let text = format!("{value:?}");
        let room = CHARACTERS_MAX.saturating_sub(self.0.len());
        self.0.extend(text.chars().filter(|character| !character.is_ascii_digit()).take(room));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(human: bool, level: Option<&str>, log: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(human, false, level, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn json_lines_carry_fields_not_formatting() {
        let lines = logged(false, None, || tracing::warn!(topic = "readings", partition = 3, "partition halted"));
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "partition halted");
        assert_eq!(line["topic"], "readings");
        assert_eq!(line["partition"], 3);
        assert_eq!(line["target"], "oncesink::logging::tests");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    /// As the `log` crate's lines arrive, which name the file they were built from.
    #[test]
    fn json_lines_name_no_source_file() {
        let lines = logged(false, None, || {
            tracing::warn!(
                log.target = "rdkafka::client",
                log.module_path = "rdkafka",
                log.file = "/home/builder/client.rs",
                log.line = 7,
                share = 0.5,
                ok = true,
                "unknown"
            );
        });
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["level", "message", "ok", "share", "target", "timestamp"], "{line}");
        assert_eq!(line["target"], "rdkafka::client");
    }

    #[test]
    fn human_lines_are_one_line() {
        let lines = logged(true, None, || tracing::info!(topic = "readings", "partition resumed"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("INFO oncesink::logging::tests: partition resumed topic=\"readings\""), "{lines:?}");
    }

    #[test]
    fn levels_are_ours_and_librdkafkas() {
        let check = |level: Option<&str>, expected: &[&str]| {
            let lines = logged(true, level, || {
                tracing::debug!("ours debug");
                tracing::info!("ours info");
                tracing::info!(target: "librdkafka", facility = "FAIL", "theirs info");
                tracing::info!(target: "hyper", "hyper info");
                tracing::warn!(target: "hyper", "hyper warn");
            });
            let found: Vec<_> =
                lines.iter().map(|line| line.split(": ").nth(1).unwrap().split(" facility").next().unwrap()).collect();
            assert_eq!(found, expected, "{level:?}");
        };
        check(None, &["ours info", "theirs info", "hyper warn"]);
        check(Some("debug"), &["ours debug", "ours info", "theirs info", "hyper warn"]);
        check(Some("warn"), &["hyper warn"]);
        check(Some("off"), &[]);
        check(Some("off,hyper=info"), &["hyper info", "hyper warn"]);
    }

    #[test]
    fn a_level_that_cannot_be_read_says_what_can() {
        let error = filter("loud").unwrap_err().to_string();
        assert!(error.starts_with("log level \"loud\" cannot be read"), "{error}");
        assert!(error.contains("info, debug or trace"), "{error}");
    }

    #[test]
    fn librdkafka_repeats_itself_once_a_minute() {
        let lines = logged(true, None, || {
            for attempt in 0..5 {
                tracing::warn!(target: "librdkafka", facility = "FAIL", "connection refused (after {attempt}ms)");
                tracing::warn!("ours {attempt}");
            }
            tracing::warn!(target: "librdkafka", facility = "FAIL", "authentication failed");
        });
        let theirs = lines.iter().filter(|line| line.contains("librdkafka")).count();
        assert_eq!(theirs, 2, "{lines:#?}");
        assert_eq!(lines.len(), 7, "{lines:#?}");
    }
}
