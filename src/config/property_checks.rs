//! What this connector asks of the values of Kafka properties, beyond librdkafka's own ranges.
//!
//! Pure checks of one value and of several together. They find combinations that would be ignored in silence
//! (credentials without SASL), would fail only when the client starts, or would reach a shell.

use super::error::Problem;
use super::kafka::ReadProperty;
use super::property_rules::{ALIASES, RESPONSE_BYTES_MAX_DEFAULT};
use super::section::Section;
use super::tree::Entry;

/// What a response has beside the records of a fetch, as librdkafka reckons.
const RESPONSE_OVERHEAD_BYTES: u64 = 512;

/// librdkafka's defaults for what is compared here.
const SESSION_TIMEOUT_MS_DEFAULT: u64 = 45_000;
const HEARTBEAT_INTERVAL_MS_DEFAULT: u64 = 3_000;
const MAX_POLL_INTERVAL_MS_DEFAULT: u64 = 300_000;

/// One value that librdkafka has accepted.
pub(super) fn check_value(name: &str, value: &str) -> Result<(), Problem> {
    match name {
        "partition.assignment.strategy" => check_strategy(value),
        "group.protocol" if !value.eq_ignore_ascii_case("classic") => Err(Problem::new(
            "is not in this version: the group protocol of KIP-848 was not tested with takeovers",
            "remove it, or write `classic`",
        )),
        "sasl.mechanism" | "sasl.mechanisms" => {
            let known = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI"];
            if known.contains(&value) {
                return Ok(());
            }
            Err(Problem::new(
                "is not a mechanism of this build",
                "write `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `GSSAPI`",
            ))
        }
        // librdkafka puts these into the command line of kinit and gives that to a shell.
        "sasl.kerberos.principal" | "sasl.kerberos.keytab" | "sasl.kerberos.service.name" => {
            let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '@' | ':');
            if !value.starts_with('-') && value.chars().all(harmless) {
                return Ok(());
            }
            Err(Problem::new(
                "holds a character that a shell would interpret",
                "use letters, digits and `. _ - / @ :` only, not starting with `-`",
            ))
        }
        _ => Ok(()),
    }
}

fn check_strategy(value: &str) -> Result<(), Problem> {
    let strategies: Vec<_> = value.split(',').map(str::trim).collect();
    for strategy in &strategies {
        if !matches!(*strategy, "cooperative-sticky" | "range" | "roundrobin") {
            return Err(Problem::new(
                "names a strategy that is not supported",
                "write `cooperative-sticky`, `range` or `roundrobin`",
            ));
        }
    }
    if strategies.contains(&"cooperative-sticky") && strategies.len() > 1 {
        return Err(Problem::new(
            "mixes cooperative and eager strategies, which cannot share a group",
            "write `cooperative-sticky` alone, or only `range` and `roundrobin`",
        ));
    }
    Ok(())
}

/// Properties that depend on each other. Gives whether all is well.
pub(super) fn check_together(section: &Section<'_>, properties: &[ReadProperty<'_>]) -> bool {
    let checks = Together { section, properties };
    let mut good = true;
    good &= checks.aliases();
    good &= checks.security();
    good &= checks.timeouts();
    good &= checks.sizes();
    good
}

struct Together<'a> {
    section: &'a Section<'a>,
    /// Those that are good by themselves.
    properties: &'a [ReadProperty<'a>],
}

impl Together<'_> {
    fn find(&self, name: &str) -> Option<&ReadProperty<'_>> {
        self.properties.iter().find(|property| property.name == name)
    }

    fn refuse(&self, property: &ReadProperty<'_>, reason: String, fix: &str) -> bool {
        self.section.report.add(&property.entry.key_location, reason, fix);
        false
    }

    fn aliases(&self) -> bool {
        let mut good = true;
        for (one, other) in ALIASES {
            if let (Some(_), Some(second)) = (self.find(one), self.find(other)) {
                let reason = format!("`{one}` and `{other}` are two names of one property");
                good = self.refuse(second, reason, "keep one of them");
            }
        }
        for (index, property) in self.properties.iter().enumerate() {
            let before = self.properties.iter().take(index);
            if before.into_iter().any(|other| other.name == property.name) {
                let name = property.name;
                let reason = format!("`{name}` and `{name}_file` are both given");
                good = self.refuse(property, reason, "keep one of them");
            }
        }
        good
    }

    fn security(&self) -> bool {
        let protocol = self
            .find("security.protocol")
            .map_or_else(|| "plaintext".to_owned(), |property| property.value.expose().to_lowercase());
        let mut good = true;
        for property in self.properties {
            let (encrypted, name) = (protocol.ends_with("ssl"), property.name);
            if name.starts_with("sasl.") && !protocol.starts_with("sasl") {
                let reason =
                    format!("`{name}` is set, but `security.protocol` is `{protocol}`, so it would not be used");
                good = self.refuse(property, reason, "set `security.protocol: SASL_SSL` (or SASL_PLAINTEXT)");
            } else if (name.starts_with("ssl.") || name == "enable.ssl.certificate.verification") && !encrypted {
                let reason =
                    format!("`{name}` is set, but `security.protocol` is `{protocol}`, so nothing would be encrypted");
                good = self.refuse(property, reason, "set `security.protocol: SSL` or `SASL_SSL`");
            }
        }
        let mechanism = self.find("sasl.mechanism").or_else(|| self.find("sasl.mechanisms"));
        if let Some(mechanism) = mechanism
            && mechanism.value.expose() != "GSSAPI"
        {
            for needed in ["sasl.username", "sasl.password"] {
                let given = |entry: &Entry| entry.key.strip_suffix("_file").unwrap_or(&entry.key) == needed;
                if !self.section.entries().iter().any(given) {
                    let reason = format!(
                        "`{}: {}` needs `{needed}`, which is missing",
                        mechanism.name,
                        mechanism.value.expose()
                    );
                    let fix = format!("add `{needed}`");
                    good = self.refuse(mechanism, reason, &fix);
                }
            }
        }
        good
    }

    /// The property's number, or librdkafka's default.
    fn number(&self, name: &str, default: u64) -> u64 {
        self.find(name).and_then(|property| property.value.expose().parse().ok()).unwrap_or(default)
    }

    /// The library makes no client whose responses have no room for a fetch.
    fn sizes(&self) -> bool {
        let Some(response) = self.find("receive.message.max.bytes") else { return true };
        let response_bytes = self.number(response.name, RESPONSE_BYTES_MAX_DEFAULT);
        let mut good = true;
        for name in ["fetch.max.bytes", "message.max.bytes"] {
            let bytes = self.number(name, 0);
            if let Some(fetch) = self.find(name)
                && bytes.saturating_add(RESPONSE_OVERHEAD_BYTES) > response_bytes
            {
                let reason = format!(
                    "`{name}` ({bytes}) leaves no room for {RESPONSE_OVERHEAD_BYTES} bytes more within \
                     `receive.message.max.bytes` ({response_bytes})"
                );
                good = self.refuse(fetch, reason, "lower the first or raise the second");
            }
        }
        good
    }

    fn timeouts(&self) -> bool {
        let session = self.number("session.timeout.ms", SESSION_TIMEOUT_MS_DEFAULT);
        let heartbeat = self.number("heartbeat.interval.ms", HEARTBEAT_INTERVAL_MS_DEFAULT);
        let max_poll = self.number("max.poll.interval.ms", MAX_POLL_INTERVAL_MS_DEFAULT);
        let mut good = true;
        let one_of = |a, b| self.find(a).or_else(|| self.find(b));
        if let Some(property) = one_of("heartbeat.interval.ms", "session.timeout.ms")
            && heartbeat.saturating_mul(3) > session
        {
            let reason = format!(
                "`heartbeat.interval.ms` ({heartbeat}) is more than a third of `session.timeout.ms` ({session}): one lost heartbeat would end the session"
            );
            good = self.refuse(property, reason, "lower the first or raise the second");
        }
        if let Some(property) = one_of("max.poll.interval.ms", "session.timeout.ms")
            && max_poll < session
        {
            let reason = format!("`max.poll.interval.ms` ({max_poll}) is below `session.timeout.ms` ({session})");
            good = self.refuse(property, reason, "raise the first or lower the second");
        }
        if let (Some(property), transaction) =
            (self.find("socket.timeout.ms"), self.number("transaction.timeout.ms", 10_000))
        {
            let socket = self.number("socket.timeout.ms", 0);
            if socket.saturating_add(100) > transaction {
                let reason = format!(
                    "`socket.timeout.ms` ({socket}) must be at least 100 below `transaction.timeout.ms` ({transaction})"
                );
                good = self.refuse(property, reason, "lower the first or raise the second");
            }
        }
        good
    }
}
