//! Look-ups and the task behind them: single flight, outages, what people see.

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::JoinSet;

use super::fake::{Fake, Reply, refusal, schema};
use super::settings;
use crate::metrics::Metrics;
use crate::registry::book::Rules;
use crate::registry::connection::RESPONSE_TIMEOUT;
use crate::registry::{Lookup, RegisteredSchema, SchemaKey, SchemaKind, Schemas};

const ID_7: SchemaKey = SchemaKey::Id(7);
const PAGE_7: &str = "/schemas/ids/7";

/// A bound on every wait: reached only when something is broken.
const LOOKS_MAX: usize = 60_000;

/// A client that tries again at once; dropped with its task.
struct Client {
    schemas: Schemas,
    metrics: Metrics,
    task: JoinSet<Infallible>,
}

impl Client {
    fn of(fake: &Fake, unknown_after: Duration) -> Self {
        let metrics = Metrics::new("readings");
        let pause = Duration::from_millis(1);
        let rules = Rules { retry_least: pause, retry_most: pause, ..Rules::new(unknown_after) };
        let (schemas, asking) =
            Schemas::connect_with(&settings(&[&fake.url]), &metrics, rules, RESPONSE_TIMEOUT).unwrap();
        let mut task = JoinSet::new();
        task.spawn(asking);
        Self { schemas, metrics, task }
    }

    /// Looks until `condition` gives something.
    async fn until<T>(&mut self, mut condition: impl FnMut(&Schemas) -> Option<T>) -> T {
        for _ in 0..LOOKS_MAX {
            if let Some(found) = condition(&self.schemas) {
                return found;
            }
            assert!(self.task.try_join_next().is_none(), "the task runs for ever");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("never seen: {:?}", self.schemas.status());
    }

    async fn settled(&mut self, key: SchemaKey) -> Lookup {
        self.until(|schemas| Some(schemas.get(key)).filter(|found| !matches!(found, Lookup::Pending))).await
    }

    fn metric(&self, name: &str) -> String {
        let text = self.metrics.render();
        let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#')).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }
}

fn text(lookup: &Lookup) -> &str {
    match lookup {
        Lookup::Ready(schema) => &schema.text,
        Lookup::Unknown => "unknown",
        Lookup::Pending => "pending",
        Lookup::Unusable(reason) => reason,
    }
}

#[tokio::test]
async fn a_schema_is_asked_for_once_whoever_looks_it_up() {
    let fake = Fake::start();
    fake.tell(PAGE_7, [schema("AVRO", "x", &[])]);
    let mut client = Client::of(&fake, Duration::from_secs(60));
    let lookers: Vec<_> = (0..8)
        .map(|_| {
            let schemas = client.schemas.clone();
            std::thread::spawn(move || {
                for _ in 0..100 {
                    assert!(matches!(schemas.get(ID_7), Lookup::Pending | Lookup::Ready(_)));
                }
            })
        })
        .collect();
    assert_eq!(text(&client.settled(ID_7).await), "x");
    lookers.into_iter().for_each(|looker| looker.join().unwrap());
    assert_eq!(text(&client.schemas.get(ID_7)), "x");
    assert_eq!(fake.requests().len(), 1);
    assert_eq!(client.metric("oncesink_schema_registry_requests_total{connector=\"readings\",outcome=\"found\"}"), "1");
    // The task had nothing to do meanwhile, so the look-up has to wake it.
    fake.tell("/schemas/ids/8", [schema("AVRO", "y", &[])]);
    assert_eq!(text(&client.settled(SchemaKey::Id(8)).await), "y");
}

#[tokio::test]
async fn a_schema_that_comes_late_is_waited_for() {
    let fake = Fake::start();
    let none = || refusal(404, 40403);
    fake.tell(PAGE_7, [none(), none(), none(), schema("AVRO", "x", &[])]);
    let mut client = Client::of(&fake, Duration::from_secs(3_600));
    assert_eq!(text(&client.settled(ID_7).await), "x");
    assert_eq!(fake.asked(PAGE_7), 4);
    assert_eq!(
        client.metric("oncesink_schema_registry_requests_total{connector=\"readings\",outcome=\"absent\"}"),
        "3"
    );
}

#[tokio::test]
async fn a_schema_that_never_comes_is_unknown() {
    let fake = Fake::start();
    fake.tell(PAGE_7, [refusal(404, 40403)]);
    let mut client = Client::of(&fake, Duration::from_millis(5));
    assert_eq!(text(&client.settled(ID_7).await), "unknown");
    assert!(fake.asked(PAGE_7) > 1);
}

#[tokio::test]
async fn an_outage_is_waited_out_and_seen() {
    let fake = Fake::start();
    fake.tell(PAGE_7, [Reply::Say(500, String::new())]);
    let mut client = Client::of(&fake, Duration::ZERO);
    assert!(matches!(client.schemas.get(ID_7), Lookup::Pending));
    let status =
        client.until(|schemas| Some(schemas.status()).filter(|status| status.contact.last_error.is_some())).await;
    assert!(!status.contact.ok);
    let error = status.contact.last_error.unwrap();
    assert!(error.text.contains("status 500"), "{}", error.text);
    let [awaited] = status.awaited.as_slice() else { panic!("one schema") };
    assert_eq!(awaited.schema, "id 7");
    assert!(awaited.reason.as_ref().is_some_and(|reason| reason.contains("status 500")), "{awaited:?}");
    assert_eq!(client.metric("oncesink_schemas_awaited"), "1");
    // Each of these is waited out, however short the time is that "there is none" is doubted for.
    for reply in [refusal(401, 401), Reply::Say(200, "<html>".to_owned()), Reply::Cut("{".to_owned())] {
        fake.tell(PAGE_7, [reply]);
        let asked = fake.asked(PAGE_7);
        client.until(|_| (fake.asked(PAGE_7) > asked + 2).then_some(())).await;
        assert!(matches!(client.schemas.get(ID_7), Lookup::Pending));
    }
    fake.tell(PAGE_7, [schema("AVRO", "x", &[])]);
    assert_eq!(text(&client.settled(ID_7).await), "x");
    let status = client.schemas.status();
    assert!(status.contact.ok && status.awaited.is_empty() && status.contact.last_error.is_some());
    let metrics = client.metrics.clone();
    let gone = "oncesink_schemas_awaited{connector=\"readings\"} 0";
    client.until(|_| metrics.render().lines().any(|line| line == gone).then_some(())).await;
}

#[tokio::test]
async fn one_schema_that_fails_holds_no_other_back() {
    let fake = Fake::start();
    fake.tell(PAGE_7, [Reply::Say(500, String::new())]);
    fake.tell("/schemas/ids/8", [schema("THRIFT", "x", &[])]);
    fake.tell("/schemas/ids/9", [schema("AVRO", "y", &[])]);
    fake.tell("/subjects/readings-value/versions/latest", [schema("JSON", "z", &[])]);
    let mut client = Client::of(&fake, Duration::ZERO);
    assert!(matches!(client.schemas.get(ID_7), Lookup::Pending));
    assert_eq!(text(&client.settled(SchemaKey::Id(9)).await), "y");
    assert!(text(&client.settled(SchemaKey::Id(8)).await).contains("THRIFT"));
    let latest = client.until(|schemas| Some(schemas.latest("readings-value")).filter(|found| text(found) == "z"));
    assert!(matches!(latest.await, Lookup::Ready(_)));
    assert!(matches!(client.schemas.get(ID_7), Lookup::Pending));
}

#[tokio::test]
async fn more_schemas_than_requests_at_a_time() {
    let fake = Fake::start();
    let mut client = Client::of(&fake, Duration::ZERO);
    for id in 0..50 {
        fake.tell(&format!("/schemas/ids/{id}"), [schema("AVRO", &id.to_string(), &[])]);
        client.schemas.get(SchemaKey::Id(id));
    }
    for id in 0..50 {
        assert_eq!(text(&client.settled(SchemaKey::Id(id)).await), id.to_string());
    }
    assert_eq!(fake.requests().len(), 50);
}

#[test]
fn fixed_schemas_need_no_server() {
    let schema = RegisteredSchema { kind: SchemaKind::Avro, text: "x".to_owned(), references: Vec::new() };
    let schemas = Schemas::fixed([(ID_7, schema)]);
    assert_eq!(text(&schemas.get(ID_7)), "x");
    assert_eq!(text(&schemas.get(SchemaKey::Id(8))), "unknown");
    assert_eq!(text(&schemas.latest("x")), "unknown");
}
