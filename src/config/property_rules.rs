//! Which of librdkafka's properties may stand under `kafka.properties`, and why the others may not.
//!
//! Pure data. It is a list of what is allowed, so that a property this list has never heard of (hidden, new, or read
//! by a plugin) is refused instead of passed on. Three reasons to refuse: exactly-once depends on the value, the
//! property can run code or read files unasked (as in advisory GHSA-g85h-2988-4cv8 of another project), or it does
//! nothing in this program.

/// Which client a property is for; librdkafka warns about the others at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Both,
    Consumer,
    Producer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Pass(Scope),
    /// Passed on, never shown; also accepted with the suffix `_file`.
    Secret,
    Refuse {
        reason: &'static str,
        fix: &'static str,
    },
}

const REMOVE: &str = "remove it";
const OFFSETS: &str = "offsets are committed in a transaction, once the rows are acknowledged";
const IDEMPOTENT: &str = "the alert producer is transactional and sets it itself";
const LOADS_CODE: &str = "it can load code into this process";
const UNUSED: &str = "it does nothing in this program";
const OAUTH: &str = "this build has no OAUTHBEARER, whose settings can read files and call URLs";
const OAUTH_FIX: &str = "use `sasl.mechanism` PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or GSSAPI, or client certificates";
const OLD_BROKERS: &str = "transactions need the version negotiation of current brokers";
const KIP_848: &str = "the group protocol of KIP-848 is not in this version";
const NAMES: &str = "it is made from `name` and `instance`";
const NAMES_FIX: &str = "set `name` and `instance` at the top level of the file";
const QUEUES: &str = "what is fetched has its share of `memory_max`";
const QUEUES_FIX: &str = "set `memory_max` at the top level of the file";
const TOGETHER: &str = "the alerts of a transaction are sent together, as soon as it is made";
const BROKERS_FIX: &str = "set `kafka.brokers`";

const fn both(name: &'static str) -> (&'static str, Rule) {
    (name, Rule::Pass(Scope::Both))
}

const fn consumer(name: &'static str) -> (&'static str, Rule) {
    (name, Rule::Pass(Scope::Consumer))
}

const fn producer(name: &'static str) -> (&'static str, Rule) {
    (name, Rule::Pass(Scope::Producer))
}

const fn refuse(name: &'static str, reason: &'static str, fix: &'static str) -> (&'static str, Rule) {
    (name, Rule::Refuse { reason, fix })
}

pub(super) const RULES: &[(&str, Rule)] = &[
    // Connections.
    both("client.id"),
    both("client.rack"),
    both("client.dns.lookup"),
    both("broker.address.family"),
    both("broker.address.ttl"),
    both("connections.max.idle.ms"),
    both("metadata.max.age.ms"),
    both("metadata.recovery.strategy"),
    both("metadata.recovery.rebootstrap.trigger.ms"),
    both("topic.metadata.refresh.interval.ms"),
    both("topic.metadata.refresh.fast.interval.ms"),
    both("topic.metadata.refresh.sparse"),
    both("topic.metadata.propagation.max.ms"),
    both("reconnect.backoff.ms"),
    both("reconnect.backoff.max.ms"),
    both("retry.backoff.max.ms"),
    both("socket.timeout.ms"),
    both("socket.connection.setup.timeout.ms"),
    both("socket.keepalive.enable"),
    both("socket.nagle.disable"),
    both("socket.max.fails"),
    both("socket.send.buffer.bytes"),
    both("socket.receive.buffer.bytes"),
    both("receive.message.max.bytes"),
    both("message.max.bytes"),
    both("message.copy.max.bytes"),
    both("enable.metrics.push"),
    both("enable.random.seed"),
    both("debug"),
    both("log_level"),
    both("log.connection.close"),
    both("log.thread.name"),
    // Encryption and authentication.
    both("security.protocol"),
    both("ssl.ca.location"),
    both("ssl.ca.pem"),
    both("ssl.certificate.location"),
    both("ssl.certificate.pem"),
    both("ssl.key.location"),
    both("ssl.keystore.location"),
    both("ssl.crl.location"),
    both("ssl.cipher.suites"),
    both("ssl.curves.list"),
    both("ssl.sigalgs.list"),
    both("ssl.endpoint.identification.algorithm"),
    both("enable.ssl.certificate.verification"),
    ("ssl.key.pem", Rule::Secret),
    ("ssl.key.password", Rule::Secret),
    ("ssl.keystore.password", Rule::Secret),
    both("sasl.mechanism"),
    both("sasl.mechanisms"),
    both("sasl.username"),
    ("sasl.password", Rule::Secret),
    both("sasl.kerberos.service.name"),
    both("sasl.kerberos.principal"),
    both("sasl.kerberos.keytab"),
    both("sasl.kerberos.min.time.before.relogin"),
    // The consumer.
    consumer("partition.assignment.strategy"),
    consumer("retry.backoff.ms"),
    consumer("group.protocol"),
    consumer("session.timeout.ms"),
    consumer("heartbeat.interval.ms"),
    consumer("max.poll.interval.ms"),
    consumer("coordinator.query.interval.ms"),
    consumer("fetch.wait.max.ms"),
    consumer("fetch.queue.backoff.ms"),
    consumer("fetch.message.max.bytes"),
    consumer("max.partition.fetch.bytes"),
    consumer("fetch.max.bytes"),
    consumer("fetch.min.bytes"),
    consumer("fetch.error.backoff.ms"),
    // The producer of alerts.
    producer("transaction.timeout.ms"),
    producer("queue.buffering.max.messages"),
    producer("queue.buffering.max.kbytes"),
    producer("queue.buffering.backpressure.threshold"),
    producer("batch.size"),
    producer("batch.num.messages"),
    producer("compression.codec"),
    producer("compression.type"),
    producer("compression.level"),
    producer("request.timeout.ms"),
    producer("partitioner"),
    producer("sticky.partitioning.linger.ms"),
    // What exactly-once owns.
    refuse("bootstrap.servers", "it has a key of its own", BROKERS_FIX),
    refuse("metadata.broker.list", "it has a key of its own", BROKERS_FIX),
    refuse("group.id", NAMES, NAMES_FIX),
    refuse("group.instance.id", NAMES, NAMES_FIX),
    refuse("transactional.id", NAMES, NAMES_FIX),
    refuse("enable.auto.commit", OFFSETS, REMOVE),
    refuse("auto.commit.enable", OFFSETS, REMOVE),
    refuse("auto.commit.interval.ms", OFFSETS, REMOVE),
    refuse("enable.auto.offset.store", OFFSETS, REMOVE),
    refuse("offset.store.method", OFFSETS, REMOVE),
    refuse("offset.store.path", OFFSETS, REMOVE),
    refuse("offset.store.sync.interval.ms", OFFSETS, REMOVE),
    refuse(
        "auto.offset.reset",
        "where to start is decided per topic, and never again by an error",
        "set `start` under the topic",
    ),
    refuse(
        "isolation.level",
        "only committed records are read: rows of aborted transactions must not reach the table",
        REMOVE,
    ),
    refuse("queued.min.messages", QUEUES, QUEUES_FIX),
    refuse("queued.max.messages.kbytes", QUEUES, QUEUES_FIX),
    refuse("check.crcs", "records that were damaged on their way must not reach the table", REMOVE),
    refuse("linger.ms", TOGETHER, REMOVE),
    refuse("queue.buffering.max.ms", TOGETHER, REMOVE),
    refuse("enable.partition.eof", "it puts markers between records, which batches do not expect", REMOVE),
    refuse("enable.idempotence", IDEMPOTENT, REMOVE),
    refuse("enable.gapless.guarantee", IDEMPOTENT, REMOVE),
    refuse("acks", IDEMPOTENT, REMOVE),
    refuse("request.required.acks", IDEMPOTENT, REMOVE),
    refuse("max.in.flight", IDEMPOTENT, REMOVE),
    refuse("max.in.flight.requests.per.connection", IDEMPOTENT, REMOVE),
    refuse("retries", IDEMPOTENT, REMOVE),
    refuse("message.send.max.retries", IDEMPOTENT, REMOVE),
    refuse("queuing.strategy", IDEMPOTENT, REMOVE),
    refuse("delivery.report.only.error", IDEMPOTENT, REMOVE),
    refuse("message.timeout.ms", IDEMPOTENT, "set `transaction.timeout.ms`, which bounds it"),
    refuse("delivery.timeout.ms", IDEMPOTENT, "set `transaction.timeout.ms`, which bounds it"),
    refuse("group.remote.assignor", KIP_848, REMOVE),
    refuse("group.protocol.type", "it is part of the group protocol", REMOVE),
    refuse("topic.blacklist", "it would hide topics of this file", REMOVE),
    refuse(
        "allow.auto.create.topics",
        "a topic that was deleted must not come back by being read: that looks like lost records",
        "create the topic yourself",
    ),
    refuse("api.version.request", OLD_BROKERS, REMOVE),
    refuse("api.version.request.timeout.ms", OLD_BROKERS, REMOVE),
    refuse("api.version.fallback.ms", OLD_BROKERS, REMOVE),
    refuse("broker.version.fallback", OLD_BROKERS, REMOVE),
    refuse("test.mock.num.brokers", "it replaces the brokers by a simulation", REMOVE),
    refuse("test.mock.broker.rtt", "it belongs to simulated brokers", REMOVE),
    // What can run code or read files unasked.
    refuse("plugin.library.paths", LOADS_CODE, REMOVE),
    refuse("ssl.engine.location", LOADS_CODE, REMOVE),
    refuse("ssl.engine.id", LOADS_CODE, REMOVE),
    refuse("ssl.providers", LOADS_CODE, REMOVE),
    refuse(
        "sasl.kerberos.kinit.cmd",
        "it is run as a shell command",
        "remove it: the command built in uses `sasl.kerberos.keytab` and `sasl.kerberos.principal`",
    ),
    refuse("enable.sasl.oauthbearer.unsecure.jwt", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.method", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.config", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.client.id", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.client.secret", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.client.credentials.client.id", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.client.credentials.client.secret", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.scope", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.extensions", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.token.endpoint.url", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.grant.type", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.algorithm", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.private.key.file", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.private.key.passphrase", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.private.key.pem", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.file", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.claim.aud", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.claim.exp.seconds", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.claim.iss", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.claim.jti.include", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.claim.nbf.seconds", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.claim.sub", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.assertion.jwt.template.file", OAUTH, OAUTH_FIX),
    refuse("sasl.oauthbearer.metadata.authentication.type", OAUTH, OAUTH_FIX),
    refuse("https.ca.location", OAUTH, "set `ssl.ca.location` for the brokers' certificate authority"),
    refuse("https.ca.pem", OAUTH, "set `ssl.ca.pem` for the brokers' certificate authority"),
    refuse(
        "sasl.jaas.config",
        "it is a setting of the Java client",
        "set `sasl.mechanism`, `sasl.username` and `sasl.password`",
    ),
    refuse(
        "ssl.truststore.location",
        "it is a setting of the Java client",
        "set `ssl.ca.location` to the certificate authority in PEM form",
    ),
    // What does nothing here.
    refuse("builtin.features", UNUSED, REMOVE),
    refuse("statistics.interval.ms", UNUSED, REMOVE),
    refuse("enabled_events", UNUSED, REMOVE),
    refuse("log.queue", UNUSED, REMOVE),
    refuse("internal.termination.signal", UNUSED, REMOVE),
    refuse("consume.callback.max.messages", UNUSED, REMOVE),
    refuse("ssl.ca.certificate.stores", "it is for Windows", "set `ssl.ca.location`"),
    refuse("socket.blocking.max.ms", UNUSED, REMOVE),
    refuse("topic.metadata.refresh.fast.cnt", UNUSED, REMOVE),
    refuse("reconnect.backoff.jitter.ms", UNUSED, REMOVE),
    refuse("produce.offset.report", UNUSED, REMOVE),
];

/// Two names for the same property, of which the file may use one.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("sasl.mechanism", "sasl.mechanisms"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("compression.type", "compression.codec"),
];

/// The largest response where the file says nothing, and what a batch may unfold to: a record of 16 MB comes whole even
/// where fetches are smaller, beside what others are in it.
pub(crate) const RESPONSE_BYTES_MAX_DEFAULT: u64 = 64 * 1024 * 1024;

/// Properties that bound a fetch, which a response must have room for.
pub(crate) const FETCH_LIMITS: [&str; 4] =
    ["fetch.max.bytes", "fetch.message.max.bytes", "max.partition.fetch.bytes", "message.max.bytes"];

/// Whether the consumer takes the property from the file. The one list for `check` and `run`.
pub(crate) fn consumer_takes(name: &str) -> bool {
    takes(name, Scope::Producer)
}

/// Whether the producer takes the property from the file.
pub(crate) fn producer_takes(name: &str) -> bool {
    takes(name, Scope::Consumer)
}

fn takes(name: &str, other: Scope) -> bool {
    find(name).is_some_and(|(_, rule)| match rule {
        Rule::Pass(scope) => scope != other,
        Rule::Secret => true,
        Rule::Refuse { .. } => false,
    })
}

/// The rule for `name`, and the name as the list spells it.
pub(super) fn find(name: &str) -> Option<(&'static str, Rule)> {
    RULES.iter().find(|(listed, _)| *listed == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::config::ClientConfig;
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaConfRes;

    #[test]
    fn every_property_passed_on_is_known_to_librdkafka() {
        for (name, rule) in RULES {
            // Refused properties are not tried: setting some of them loads code.
            if matches!(rule, Rule::Refuse { .. }) {
                continue;
            }
            let refused = ClientConfig::new().set(*name, "x").create_native_config();
            let unknown = matches!(refused, Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)));
            assert!(!unknown, "{name}");
        }
    }

    /// What the file says of one property; the line of the property is 6.
    fn said(name: &str, value: &str) -> Option<String> {
        let file = format!(
            "name: n\ninstance: i\nkafka:\n  brokers: k:9092\n  properties:\n    {}: {value}\n\
             clickhouse: {{ url: \"http://c:8123\" }}\ntopics: [{{ topic: t, table: d.t }}]\n",
            serde_json::to_string(name).unwrap()
        );
        crate::config::parse("x.yaml", &file, &|_| None).err().map(|errors| errors.to_string())
    }

    #[test]
    fn every_denied_property_is_an_error_with_place_reason_and_fix() {
        let mut denied = 0;
        for (name, rule) in RULES {
            let Rule::Refuse { reason, fix } = rule else { continue };
            denied += 1;
            // Whatever the value is, also one that librdkafka would act upon when it is set.
            for value in ["x", "1", "\"\"", "[a]", "${HOME:-x}", "/tmp/plugin.so"] {
                let said = said(name, value).unwrap_or_else(|| panic!("{name} is taken"));
                assert!(said.contains("x.yaml:6:5: ") && said.contains(name), "{said}");
                assert!(said.contains(&format!("may not be set: {reason}")) && said.contains(fix), "{said}");
            }
        }
        assert!(denied > 70, "{denied}");
    }

    /// Names that librdkafka knows and its documentation does not list as settings, and other spellings of bad ones.
    #[test]
    fn a_property_that_no_rule_knows_is_not_passed_on() {
        for name in [
            "client.software.name",
            "client.software.version",
            "enable.sparse.connections",
            "metadata.request.timeout.ms",
            "internal.termination.signal.x",
            "interceptors",
            "default_topic_conf",
            "opaque",
            "open_cb",
            "socket_cb",
            "connect_cb",
            "oauthbearer_token_refresh_cb",
            "ssl.certificate.verify_cb",
            "ssl_engine_callback_data",
            "ssl_key",
            "ssl_ca",
            "ut_handle_ApiVersionResponse",
            "PLUGIN.LIBRARY.PATHS",
            "Plugin.Library.Paths",
            " plugin.library.paths",
            "plugin.library.paths ",
            "plugin_library_paths",
            "plugin.library.paths\u{0}",
            "plugin.library.paths_file",
            "ssl.engine.location_file",
            "sasl.kerberos.kinit.cmd_file",
            "topic.acks",
            "",
        ] {
            let said = said(name, "x").unwrap_or_else(|| panic!("{name:?} is taken"));
            assert!(said.contains("x.yaml:6:5: "), "{said}");
        }
    }

    #[test]
    fn no_property_stands_twice() {
        for (index, (name, _)) in RULES.iter().enumerate() {
            assert!(RULES[index + 1..].iter().all(|(other, _)| other != name), "{name}");
        }
    }
}
