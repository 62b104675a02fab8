//! The section `kafka`: where the brokers are and how to talk to them.
//!
//! Takes the section, gives [`KafkaSettings`]. Each property is tried on librdkafka's own configuration object, so a
//! value out of range is found here. Promises that no property is passed on that [`property_rules`] does not allow.

use std::fmt;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use secrecy::{ExposeSecret, SecretString};

use super::error::{Located, Problem};
use super::keys;
use super::names::check_broker;
use super::property_checks;
use super::property_rules::{self, Rule, Scope};
use super::registry::{RegistrySettings, read_registry};
use super::secret_file::{Lines, parse_secret, read_secret};
use super::section::{Found, Section, shorten};
use super::tree::Entry;
use super::units::Limits;

/// Short, because a takeover waits for a pending transaction of a dead process.
const TRANSACTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

const TRANSACTION_TIMEOUT_MS: Limits<u64> = Limits {
    least: 1_000,
    greatest: 900_000,
    below: "a busy broker needs longer to commit",
    above: "brokers allow no more by default, and a takeover waits for it",
};

/// Where the brokers are and how to talk to them.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// `host:port` of some brokers, separated by commas, as `bootstrap.servers` wants it. Required.
    /// One that answers is enough; if none does, the connector waits and says so.
    pub brokers: String,
    /// Properties passed on to librdkafka, checked; none of them is one that exactly-once owns. Default none.
    pub properties: Vec<KafkaProperty>,
    /// `transaction.timeout.ms` of the properties: how long a broker waits for a transaction of a process that has
    /// gone. Default 10 s: a takeover waits for it, and Kafka's 60 s would make that a minute. Not in `properties`.
    pub transaction_timeout: Duration,
    /// Where the schemas of Avro, Protobuf and JSON records with a schema id come from. Default none.
    pub schema_registry: Option<RegistrySettings>,
}

impl KafkaSettings {
    /// The properties that the consumer takes, as name and value; secrets are laid open.
    pub fn consumer_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties_without(Scope::Producer)
    }

    /// The properties that the producer takes, as name and value; secrets are laid open.
    pub fn producer_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties_without(Scope::Consumer)
    }

    /// How much more a batch may unfold to than where the file says nothing.
    pub(crate) fn response_bytes_above_default(&self) -> u64 {
        let given = self.properties.iter().find(|property| property.name == "receive.message.max.bytes");
        let bytes: Option<u64> = given.and_then(|property| property.value.expose().parse().ok());
        bytes.unwrap_or(0).saturating_sub(property_rules::RESPONSE_BYTES_MAX_DEFAULT)
    }

    fn properties_without(&self, other: Scope) -> impl Iterator<Item = (&str, &str)> {
        self.properties
            .iter()
            .filter(move |property| property.scope != other)
            .map(|property| (property.name, property.value.expose()))
    }
}

/// One property for librdkafka.
#[derive(Debug, Clone)]
pub struct KafkaProperty {
    /// librdkafka's name for it.
    pub name: &'static str,
    value: PropertyValue,
    scope: Scope,
}

#[derive(Clone)]
pub(super) enum PropertyValue {
    Shown(String),
    Secret(SecretString),
}

impl PropertyValue {
    pub(super) fn expose(&self) -> &str {
        match self {
            PropertyValue::Shown(text) => text,
            PropertyValue::Secret(secret) => secret.expose_secret(),
        }
    }
}

impl fmt::Debug for PropertyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PropertyValue::Shown(text) => write!(f, "{text:?}"),
            PropertyValue::Secret(_) => f.write_str("[secret]"),
        }
    }
}

/// A property as read, with the entry it was read from.
pub(super) struct ReadProperty<'a> {
    pub(super) name: &'static str,
    pub(super) value: PropertyValue,
    pub(super) scope: Scope,
    pub(super) entry: &'a Entry,
}

/// The settings and the places that checks across sections point at.
pub(super) struct KafkaRead {
    pub(super) settings: KafkaSettings,
    pub(super) transaction_timeout: Located<Duration>,
    pub(super) response_bytes_max: Option<Located<u64>>,
}

pub(super) fn read_kafka(section: &Section<'_>) -> Option<KafkaRead> {
    let brokers = read_brokers(section);
    let schema_registry = read_schema_registry(section);
    let properties = read_properties(section)?;
    let number = |name: &str| {
        let property = properties.iter().find(|property| property.name == name)?;
        Some(Located {
            value: property.value.expose().parse::<u64>().ok()?,
            location: property.entry.value.location.clone(),
        })
    };
    let transaction_timeout = number("transaction.timeout.ms").map_or_else(
        || Located { value: TRANSACTION_TIMEOUT_DEFAULT, location: section.location.clone() },
        |millis| Located { value: Duration::from_millis(millis.value), location: millis.location },
    );
    let response_bytes_max = number("receive.message.max.bytes");
    let passed_on = properties
        .into_iter()
        .filter(|property| property.name != "transaction.timeout.ms")
        .map(|property| KafkaProperty { name: property.name, value: property.value, scope: property.scope })
        .collect();
    Some(KafkaRead {
        settings: KafkaSettings {
            brokers: brokers?,
            properties: passed_on,
            transaction_timeout: transaction_timeout.value,
            schema_registry: schema_registry?,
        },
        transaction_timeout,
        response_bytes_max,
    })
}

/// `brokers` as one text with commas or as a list.
fn read_brokers(section: &Section<'_>) -> Option<String> {
    let parse = |text: &str| {
        let brokers: Vec<_> = text.split(',').map(str::trim).collect();
        for broker in &brokers {
            check_broker(broker)?;
        }
        Ok(brokers.join(","))
    };
    let what = "brokers such as `kafka-1:9092,kafka-2:9092`";
    let found = section.values("brokers", what, "write `- host:port` lines", parse);
    let brokers = section.require("brokers", found, "add `brokers: host:9092`")?;
    let brokers: Vec<String> = brokers.value.into_iter().map(|some| some.value).collect();
    Some(brokers.join(","))
}

/// `schema_registry`; the outer `None` where it was bad.
fn read_schema_registry(section: &Section<'_>) -> Option<Option<RegistrySettings>> {
    match section.section("schema_registry", keys::SCHEMA_REGISTRY) {
        Found::Absent => Some(None),
        Found::Bad => None,
        Found::Value(section) => read_registry(&section.value).map(Some),
    }
}

fn read_properties<'a>(section: &Section<'a>) -> Option<Vec<ReadProperty<'a>>> {
    let Some(entry) = section.entry("properties") else {
        return Some(Vec::new());
    };
    let path = section.path_of("properties");
    let properties = Section::open_free(section.report, &entry.value, &entry.key_location, path)?;
    let mut read: Vec<ReadProperty<'a>> = Vec::new();
    let mut all_good = true;
    for entry in properties.entries() {
        match read_property(&properties, entry) {
            Some(property) => read.push(property),
            None => all_good = false,
        }
    }
    all_good &= property_checks::check_together(&properties, &read);
    all_good.then_some(read)
}

fn read_property<'a>(section: &Section<'a>, entry: &'a Entry) -> Option<ReadProperty<'a>> {
    let key = entry.key.as_str();
    let file_of = key
        .strip_suffix("_file")
        .and_then(|name| property_rules::find(name).filter(|(_, rule)| matches!(rule, Rule::Secret)));
    let Some((name, rule)) = file_of.or_else(|| property_rules::find(key)) else {
        report_unknown(section, entry);
        return None;
    };
    let scope = match rule {
        Rule::Refuse { reason, fix } => {
            let reason = format!("`{}` may not be set: {reason}", section.path_of(key));
            section.report.add(&entry.key_location, reason, fix);
            return None;
        }
        Rule::Pass(scope) => scope,
        Rule::Secret => Scope::Both,
    };
    let Found::Value(scalar) = section.scalar_of(entry, "a value") else {
        return None;
    };
    let lines = if name.ends_with(".pem") { Lines::Many } else { Lines::One };
    let value = if file_of.is_some() {
        let read = section.parsed(key, scalar, |path| read_secret(path, lines));
        PropertyValue::Secret(read.optional()??.value)
    } else if rule == Rule::Secret {
        let read = section.parsed(key, scalar, |text| parse_secret(text, lines));
        PropertyValue::Secret(read.optional()??.value)
    } else {
        let read = section.parsed(key, scalar, |text| check_value(name, text));
        PropertyValue::Shown(read.optional()??.value)
    };
    Some(ReadProperty { name, value, scope, entry })
}

fn report_unknown(section: &Section<'_>, entry: &Entry) {
    let passed =
        property_rules::RULES.iter().filter(|(_, rule)| !matches!(rule, Rule::Refuse { .. })).map(|(name, _)| *name);
    let fix = match keys::nearest(&entry.key, passed) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "use a property of librdkafka's CONFIGURATION.md; each has its name there".to_owned(),
    };
    let path = section.path_of(&shorten(&entry.key));
    let reason = format!("`{path}` is not a property that is passed on to librdkafka");
    section.report.add(&entry.key_location, reason, fix);
}

/// Tries `value` on librdkafka's own configuration object, then against what this connector supports.
fn check_value(name: &str, value: &str) -> Result<String, Problem> {
    let native = ClientConfig::new().set(name, value).create_native_config();
    match native {
        Ok(_) => {}
        Err(KafkaError::ClientConfig(_, description, ..)) => {
            return Err(Problem::new(
                format!("is refused by librdkafka: {}", plain_words(&description, value)),
                format!("see `{name}` in librdkafka's CONFIGURATION.md for its type and range"),
            ));
        }
        Err(_) => {
            return Err(Problem::new("cannot be given to librdkafka", "remove control characters"));
        }
    }
    property_checks::check_value(name, value)?;
    if name == "transaction.timeout.ms" {
        let millis =
            value.parse().map_err(|_| Problem::new("is not a number", "write milliseconds, such as `10000`"))?;
        TRANSACTION_TIMEOUT_MS.check(millis, u64::to_string)?;
    }
    Ok(value.to_owned())
}

/// librdkafka's description on one line, without words of the value, which may have come from the environment.
fn plain_words(description: &str, value: &str) -> String {
    let words: Vec<_> = description
        .split_whitespace()
        .map(|word| {
            let hidden = value.contains(word.trim_matches('"'));
            if hidden { ".." } else { word }
        })
        .collect();
    words.join(" ").trim_end_matches('.').to_owned()
}
