//! What the client library says of a broker that it cannot use, as one sentence with its cause.
//!
//! Takes the library's words, which name a broker by its address and number, tell its own states and repeat themselves
//! (`rd_kafka_broker_set_error`, `rd_kafka_mk_brokername` and `rd_kafka_transport_connect_done` of librdkafka). Gives words
//! for a person: who, what is wrong, and the setting that is likely to be. What it does not know it leaves as it is.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::group::log_line;
use super::native::KafkaFault;
use crate::clock;

/// For how long what was heard explains a silence. The library repeats itself every 30 seconds.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The context of a client that only asks: it remembers why the cluster cannot be reached, because the failed call itself
/// only says that it timed out.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    brokers: String,
    reason: Mutex<Option<(Instant, String)>>,
}

impl Heard {
    /// For a client of this configuration.
    pub(crate) fn new(config: &ClientConfig) -> Self {
        Self { brokers: config.get("bootstrap.servers").unwrap_or_default().to_owned(), reason: Mutex::new(None) }
    }

    /// Takes an error of the client in, and gives it as a sentence.
    pub(crate) fn heard(&self, code: RDKafkaErrorCode, reason: &str) -> String {
        let mut known = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers down" comes after the reason and says less.
        match &*known {
            Some((_, known)) if code == RDKafkaErrorCode::AllBrokersDown => known.clone(),
            _ => known.insert((clock::now(), sentence(&self.brokers, code, reason))).1.clone(),
        }
    }

    /// What was heard last, unless it is long ago.
    pub(crate) fn reason(&self) -> Option<String> {
        let known = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(at, _)| at.elapsed() < REMEMBERED).map(|(_, reason)| reason.clone())
    }

    /// The fault, with what was heard in the place of words that say only that nobody answered.
    pub(crate) fn explained(&self, fault: KafkaFault) -> KafkaFault {
        match self.reason() {
            Some(reason) if is_silence(fault.code) => KafkaFault { text: reason, ..fault },
            Some(reason) if !fault.text.contains(&reason) => {
                KafkaFault { text: format!("{}: {reason}", fault.text), ..fault }
            }
            _ => fault,
        }
    }
}

impl ClientContext for Heard {
    fn error(&self, error: KafkaError, reason: &str) {
        self.heard(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown), reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }
}

impl ConsumerContext for Heard {}

/// Codes of calls that nobody answered.
pub(crate) fn is_silence(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
    )
}

/// An error of the client as a sentence. `brokers` are the configured ones.
pub(crate) fn sentence(brokers: &str, code: RDKafkaErrorCode, reason: &str) -> String {
    let (reason, _) = split_state(reason);
    match Named::of(reason) {
        Some((named, what)) => named.sentence(brokers, what),
        None => format!("{code}: {reason}"),
    }
}

/// A log line without the name of the library's thread.
pub(crate) fn without_thread(message: &str) -> &str {
    match message.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        Some((_, message)) => message,
        None => message,
    }
}

/// What happened, and in which of the library's states, after how long.
fn split_state(reason: &str) -> (&str, &str) {
    match reason.rsplit_once(" (after ") {
        Some((what, state)) if state.ends_with(')') => (what, state),
        _ => (reason, ""),
    }
}

/// The broker that an error is about.
#[derive(Debug, PartialEq, Eq)]
enum Named<'a> {
    /// One of the configuration.
    Configured { address: &'a str },
    /// One that others have named.
    Numbered { address: &'a str, number: &'a str },
    /// The coordinator of our group or of our transactions.
    Coordinator { of: &'static str, address: &'a str },
}

impl<'a> Named<'a> {
    fn of(reason: &'a str) -> Option<(Self, &'a str)> {
        let reason = without_thread(reason);
        for (name, of) in [("GroupCoordinator", "group"), ("TxnCoordinator", "transaction")] {
            if let Some(rest) = reason.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")) {
                let (address, what) = rest.split_once(": ")?;
                return Some((Self::Coordinator { of, address }, what));
            }
        }
        let (name, what) = reason.split_once(": ")?;
        let (address, number) = name.rsplit_once('/')?;
        let address = address.rsplit_once("://").map_or(address, |(_, address)| address);
        let is_address = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match number {
            _ if !is_address => None,
            "bootstrap" | "-1" => Some((Self::Configured { address }, what)),
            _ if number.parse::<u32>().is_ok() => Some((Self::Numbered { address, number }, what)),
            _ => None,
        }
    }

    fn sentence(&self, brokers: &str, what: &str) -> String {
        let does = does(what);
        match self {
            Self::Configured { address } => format!("broker {address} {does}"),
            Self::Coordinator { of, address } if is_told(brokers, address, what) => {
                told(brokers, &format!("the {of} coordinator"), address, &does)
            }
            Self::Numbered { address, number } if is_told(brokers, address, what) => {
                told(brokers, &format!("broker {number}"), address, &does)
            }
            Self::Coordinator { of, address } => format!("the {of} coordinator, broker {address}, {does}"),
            Self::Numbered { address, number } => format!("broker {number} at {address} {does}"),
        }
    }
}

/// Whether the address is one that only the brokers have named, and that cannot be reached.
fn is_told(brokers: &str, address: &str, what: &str) -> bool {
    let mut configured =
        brokers.split(',').map(str::trim).map(|one| one.rsplit_once("://").map_or(one, |(_, one)| one));
    is_unreachable(what) && !configured.any(|one| one == address)
}

fn told(brokers: &str, who: &str, address: &str, does: &str) -> String {
    format!(
        "{brokers} answers and says that {who} is at {address}, which {does}; correct the broker's advertised.listeners, or \
         make that address reachable from here"
    )
}

/// Whether there is no connection at all.
fn is_unreachable(what: &str) -> bool {
    ["Connect to ", "Failed to resolve ", "Connection setup timed out"].iter().any(|start| what.starts_with(start))
}

/// What the broker does, in the words that follow its name.
fn does(what: &str) -> String {
    if let Some((_, why)) = what.strip_prefix("Connect to ").and_then(|rest| rest.split_once(" failed: ")) {
        return match why {
            "Connection refused" => "refuses the connection".to_owned(),
            _ => format!("cannot be reached: {}", lowercase(why)),
        };
    }
    if let Some(why) = what.strip_prefix("Failed to resolve ") {
        let why = why.split_once("': ").map_or(why, |(_, why)| why);
        return format!("has a name that cannot be resolved: {}", lowercase(why));
    }
    if what.starts_with("Connection setup timed out") {
        return "does not answer: the connection is not there in time (a firewall, or a listener for TLS or SASL that \
                waits for something else; see security.protocol)"
            .to_owned();
    }
    if let Some(why) = what.strip_prefix("SASL authentication error: ") {
        let why = why.strip_prefix("Authentication failed: ").unwrap_or(why);
        return format!("refuses the credentials: {} (sasl.username, sasl.password, sasl.mechanism)", lowercase(why));
    }
    if what.starts_with("Disconnected: verify that security.protocol") {
        return "closes the connection: it may want SASL, see security.protocol".to_owned();
    }
    if what.starts_with("Disconnected: requesting ApiVersion") || what.contains("connecting to a SSL listener") {
        return "closes the connection: it may want TLS or SASL, see security.protocol".to_owned();
    }
    if what.starts_with("Disconnected") {
        return "has closed the connection".to_owned();
    }
    format!("has a problem: {}", lowercase(what))
}

/// Words that begin a sentence, in its middle; names of things stay.
fn lowercase(words: &str) -> String {
    let mut letters = words.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if first.is_ascii_uppercase() && second.is_ascii_lowercase() => {
            format!("{}{}", first.to_ascii_lowercase(), letters.as_str())
        }
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_brokers_are_sentences_with_their_cause() {
        let check = |reason: &str, expected: &str| {
            let found = sentence("127.0.0.1:19092", RDKafkaErrorCode::BrokerTransportFailure, reason);
            assert_eq!(found, expected, "{reason}");
        };
        let state = "(after 0ms in state CONNECT, 1 identical error(s) suppressed)";
        check(
            &format!("127.0.0.1:19092/bootstrap: Connect to ipv4#127.0.0.1:19092 failed: Connection refused {state}"),
            "broker 127.0.0.1:19092 refuses the connection",
        );
        check(
            &format!(
                "[thrd:127.0.0.1:1/1]: 127.0.0.1:1/1: Connect to ipv4#127.0.0.1:1 failed: Connection refused {state}"
            ),
            "127.0.0.1:19092 answers and says that broker 1 is at 127.0.0.1:1, which refuses the connection; correct the \
             broker's advertised.listeners, or make that address reachable from here",
        );
        check(
            "kafka-7:9092/7: Failed to resolve 'kafka-7:9092': Name or service not known (after 3ms in state CONNECT)",
            "127.0.0.1:19092 answers and says that broker 7 is at kafka-7:9092, which has a name that cannot be resolved: \
             name or service not known; correct the broker's advertised.listeners, or make that address reachable from here",
        );
        check(
            &format!("127.0.0.1:19092/1: Connect to ipv4#127.0.0.1:19092 failed: Connection refused {state}"),
            "broker 1 at 127.0.0.1:19092 refuses the connection",
        );
        check(
            "sasl_plaintext://127.0.0.1:19092/bootstrap: SASL authentication error: Authentication failed: Invalid username \
             or password (after 5ms in state AUTH_REQ)",
            "broker 127.0.0.1:19092 refuses the credentials: invalid username or password (sasl.username, sasl.password, \
             sasl.mechanism)",
        );
        check(
            "GroupCoordinator: 127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
            "127.0.0.1:19092 answers and says that the group coordinator is at 127.0.0.1:1, which refuses the connection; \
             correct the broker's advertised.listeners, or make that address reachable from here",
        );
        check(
            "TxnCoordinator: 127.0.0.1:19092: Disconnected (after 9ms in state UP)",
            "the transaction coordinator, broker 127.0.0.1:19092, has closed the connection",
        );
        check("[::1]:9092/3: Disconnected (after 9ms in state UP)", "broker 3 at [::1]:9092 has closed the connection");
        check(
            "127.0.0.1:19092/bootstrap: Connection setup timed out in state CONNECT (after 30000ms in state CONNECT)",
            "broker 127.0.0.1:19092 does not answer: the connection is not there in time (a firewall, or a listener for TLS \
             or SASL that waits for something else; see security.protocol)",
        );
        check(
            "ssl://127.0.0.1:19092/bootstrap: SSL handshake failed: certificate verify failed (after 2ms in state SSL_HANDSHAKE)",
            "broker 127.0.0.1:19092 has a problem: SSL handshake failed: certificate verify failed",
        );
        check("what it means", "BrokerTransportFailure (Local: Broker transport failure): what it means");
    }

    #[test]
    fn a_fault_without_words_gets_the_ones_that_were_heard() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "a:1");
        let heard = Heard::new(&config);
        let check = |code: RDKafkaErrorCode, expected: &str| {
            assert_eq!(heard.explained(KafkaFault::new("asking", code)).text, expected, "{code:?}");
        };
        check(RDKafkaErrorCode::OperationTimedOut, "OperationTimedOut (Local: Timed out)");
        let transport = RDKafkaErrorCode::BrokerTransportFailure;
        heard.heard(
            transport,
            "a:1/bootstrap: Connect to ipv4#10.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
        );
        heard.heard(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        check(RDKafkaErrorCode::OperationTimedOut, "broker a:1 refuses the connection");
        check(
            RDKafkaErrorCode::GroupAuthorizationFailed,
            "GroupAuthorizationFailed (Broker: Group authorization failed): broker a:1 refuses the connection",
        );
    }
}
