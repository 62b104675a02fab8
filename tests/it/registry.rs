//! The registry client against a real registry: keys, references, subjects, and an outage.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use devstack::Registry;
use oncesink::config::{RegistryCredentials, RegistrySettings};
use oncesink::metrics::Metrics;
use oncesink::registry::{Lookup, RegisteredSchema, SchemaKey, SchemaKind, SchemaReference, Schemas};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::support::wait_for;

const CURRENCY: &str = r#"{"type":"enum","name":"Currency","namespace":"shop","symbols":["EUR","XAU"]}"#;
const MONEY: &str = r#"{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"amount","type":"long"},{"name":"currency","type":"shop.Currency"}]}"#;
const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"total","type":"shop.Money"},{"name":"paid","type":"shop.Currency"}]}"#;
const POINT_PROTO: &str =
    "syntax = \"proto3\";\npackage geo;\n\nmessage Point {\n  double x = 1;\n  double y = 2;\n}\n";
const TRACK_PROTO: &str = "syntax = \"proto3\";\npackage geo;\n\nimport \"geo/point.proto\";\n\nmessage Track {\n  repeated geo.Point points = 1;\n}\n";
const OBJECT: &str = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}"#;

/// A client with its task.
struct Client {
    schemas: Schemas,
    // The task ends before its runtime.
    _task: JoinSet<Infallible>,
    _runtime: Runtime,
}

impl Client {
    fn of(url: &str, unknown_schema_after: Duration) -> Self {
        let settings = RegistrySettings {
            urls: vec![url.parse().unwrap()],
            credentials: RegistryCredentials::None,
            certificate_authorities: None,
            identity: None,
            unknown_schema_after,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (schemas, asking) = Schemas::connect(&settings, &Metrics::new("registry")).unwrap();
        let mut task = JoinSet::new();
        task.spawn_on(asking, runtime.handle());
        Self { schemas, _task: task, _runtime: runtime }
    }

    fn settled(&self, key: SchemaKey) -> Lookup {
        self.until(&key.to_string(), |schemas| schemas.get(key))
    }

    fn until(&self, what: &str, look: impl Fn(&Schemas) -> Lookup) -> Lookup {
        wait_for(what, || match look(&self.schemas) {
            Lookup::Pending => Err(format!("{:?}", self.schemas.status())),
            found => Ok(found),
        })
    }

    #[track_caller]
    fn check(&self, id: u32, kind: SchemaKind, text: &str, references: &[(&str, &str)]) {
        let found = ready(self.settled(SchemaKey::Id(id)));
        assert_eq!((found.kind, found.text.as_str()), (kind, text));
        let reference = |(name, text): &(&str, &str)| SchemaReference { name: (*name).into(), text: (*text).into() };
        assert_eq!(found.references, references.iter().map(reference).collect::<Vec<_>>());
    }
}

#[track_caller]
fn ready(lookup: Lookup) -> Arc<RegisteredSchema> {
    match lookup {
        Lookup::Ready(schema) => schema,
        other => panic!("{other:?}"),
    }
}

#[test]
fn schemas_of_each_kind_come_with_what_they_refer_to() {
    let registry = Registry::start(None).unwrap();
    let register = |subject: &str, kind: &str, schema: &str, references: &[(&str, &str, u32)]| {
        registry.register(subject, kind, schema, references).unwrap()
    };
    let currency = register("currency", "AVRO", CURRENCY, &[]);
    let money = register("money", "AVRO", MONEY, &[("shop.Currency", "currency", 1)]);
    let order =
        register("orders-value", "AVRO", ORDER, &[("shop.Money", "money", 1), ("shop.Currency", "currency", 1)]);
    register("point", "PROTOBUF", POINT_PROTO, &[]);
    let track = register("tracks-value", "PROTOBUF", TRACK_PROTO, &[("geo/point.proto", "point", 1)]);
    let json = register("json-value", "JSON", OBJECT, &[]);

    let client = Client::of(registry.url(), Duration::ZERO);
    client.check(currency, SchemaKind::Avro, CURRENCY, &[]);
    client.check(money, SchemaKind::Avro, MONEY, &[("shop.Currency", CURRENCY)]);
    client.check(order, SchemaKind::Avro, ORDER, &[("shop.Currency", CURRENCY), ("shop.Money", MONEY)]);
    client.check(track, SchemaKind::Protobuf, TRACK_PROTO, &[("geo/point.proto", POINT_PROTO)]);
    client.check(json, SchemaKind::Json, OBJECT, &[]);

    let latest = |subject: &str| client.until(subject, |schemas| schemas.latest(subject));
    assert_eq!(ready(latest("orders-value")).text, ORDER);
    let newer = r#"{"type":"enum","name":"Currency","namespace":"shop","symbols":["EUR","XAU","USD"]}"#;
    register("currency", "AVRO", newer, &[]);
    assert_eq!(ready(latest("currency")).text, newer, "not asked for before");
    assert!(matches!(latest("nothing-value"), Lookup::Unknown));

    // The last two are no ids that this registry could give, and it has no page for guids: it says so without a code.
    assert!(matches!(client.settled(SchemaKey::Id(99_999)), Lookup::Unknown));
    assert!(matches!(client.settled(SchemaKey::Id(u32::MAX)), Lookup::Unknown));
    assert!(matches!(client.settled(SchemaKey::Guid(uuid::Uuid::from_u128(7))), Lookup::Unknown));
    let status = client.schemas.status();
    assert!(status.contact.ok && status.contact.last_error.is_none() && status.awaited.is_empty(), "{status:?}");

    // A path that was left out makes no schema unknown.
    let astray = Client::of(registry.url().strip_suffix("/apis/ccompat/v7").unwrap(), Duration::ZERO);
    assert!(matches!(astray.schemas.get(SchemaKey::Id(order)), Lookup::Pending));
    wait_for("the reason", || {
        let status = astray.schemas.status();
        let error = status.contact.last_error.as_ref().map_or("", |error| &error.text);
        if error.contains("there is no schema registry at") { Ok(()) } else { Err(format!("{status:?}")) }
    });
    assert!(matches!(astray.schemas.get(SchemaKey::Id(order)), Lookup::Pending));
}

#[test]
fn an_outage_is_waited_out() {
    let registry = Registry::start(None).unwrap();
    let currency = registry.register("currency", "AVRO", CURRENCY, &[]).unwrap();
    let client = Client::of(registry.url(), Duration::from_secs(3_600));
    client.check(currency, SchemaKind::Avro, CURRENCY, &[]);

    registry.kill9();
    assert!(matches!(client.schemas.get(SchemaKey::Id(currency + 1)), Lookup::Pending));
    wait_for("the outage", || {
        let status = client.schemas.status();
        if status.contact.ok { Err(format!("{status:?}")) } else { Ok(()) }
    });
    assert_eq!(client.schemas.status().awaited.len(), 1);
    client.check(currency, SchemaKind::Avro, CURRENCY, &[]);

    // It forgot everything; what it is given again has the same ids as before.
    registry.restart().unwrap();
    assert_eq!(registry.register("currency", "AVRO", CURRENCY, &[]).unwrap(), currency);
    let money = registry.register("money", "AVRO", MONEY, &[("shop.Currency", "currency", 1)]).unwrap();
    assert_eq!(money, currency + 1);
    client.check(money, SchemaKind::Avro, MONEY, &[("shop.Currency", CURRENCY)]);
    let status = client.schemas.status();
    assert!(status.contact.ok && status.awaited.is_empty(), "{status:?}");
}
