//! One look at the registry: each kind of reply, references, addresses, credentials.

use std::time::Duration;

use super::fake::{Fake, Reply, refusal, schema};
use super::{nobody, secret, settings};
use crate::config::{ClientIdentity, RegistryCredentials, RegistrySettings};
use crate::metrics::Metrics;
use crate::registry::book::{Answer, Key};
use crate::registry::connection::{Connection, REPLY_BYTES_MAX, RESPONSE_TIMEOUT};
use crate::registry::resolve::{REFERENCES_MAX, resolve};
use crate::registry::{SchemaKey, SchemaKind};

const ID_7: Key = Key::Schema(SchemaKey::Id(7));
const PAGE_7: &str = "/schemas/ids/7";
const TYPES: &str = "/schemas/types";

fn connection(settings: &RegistrySettings) -> Connection {
    Connection::new(settings, RESPONSE_TIMEOUT, Metrics::new("readings").schemas()).unwrap()
}

async fn ask(fake: &Fake, key: &Key) -> Answer {
    resolve(&connection(&settings(&[&fake.url])), key).await
}

/// The answer as kind and what it says.
fn words(answer: Answer) -> String {
    match answer {
        Answer::Schema(schema) => {
            let references = schema.references.iter().map(|one| format!(" {}={}", one.name, one.text));
            format!("{:?} {}{}", schema.kind, schema.text, references.collect::<String>())
        }
        Answer::Absent(why) => format!("absent: {why}"),
        Answer::Incomplete(why) => format!("incomplete: {why}"),
        Answer::Unusable(why) => format!("unusable: {why}"),
        Answer::Failed(why) => format!("failed: {why}"),
    }
}

#[tokio::test]
async fn each_reply_has_its_meaning() {
    let fake = Fake::start();
    let say = |status, body: &str| Reply::Say(status, body.to_owned());
    let types = || say(200, r#"["JSON","PROTOBUF","AVRO"]"#);
    let check = async |reply: Reply, types: Reply, expected: &str| {
        fake.tell(PAGE_7, [reply]);
        fake.tell(TYPES, [types]);
        let found = words(ask(&fake, &ID_7).await).replace(&fake.url, "it");
        assert!(found.starts_with(expected), "{expected}: {found}");
    };
    let no_types = || say(404, "");
    check(schema("AVRO", "\"int\"", &[]), no_types(), "Avro \"int\"").await;
    check(schema("PROTOBUF", "message A {}", &[]), no_types(), "Protobuf message A {}").await;
    check(schema("JSON", "{}", &[]), no_types(), "Json {}").await;
    check(say(200, r#"{"schema":"x","schemaType":null,"references":null}"#), no_types(), "Avro x").await;
    check(schema("THRIFT", "x", &[]), no_types(), "unusable: its schema type is `THRIFT`").await;
    check(refusal(404, 40403), no_types(), "absent: status 404, code 40403: said the fake").await;
    check(refusal(422, 42202), no_types(), "absent: status 422, code 42202").await;
    // Without a code of its own a missing page is a missing schema only where there is a registry.
    check(say(404, ""), types(), "absent: status 404").await;
    check(refusal(404, 0), types(), "absent: status 404: said the fake").await;
    check(refusal(404, 404), types(), "absent: status 404, code 404").await;
    check(say(400, "<html>"), types(), "absent: status 400").await;
    check(refusal(404, 404), no_types(), "failed: there is no schema registry at it: status 404").await;
    check(refusal(404, 50002), no_types(), "failed: there is no schema registry at it").await;
    check(say(404, ""), say(200, "<html>hello</html>"), "failed: there is no schema registry at it").await;
    check(say(400, "<html>"), say(400, "<html>"), "failed: there is no schema registry at it: status 400").await;
    check(say(404, ""), Reply::Cut("[".to_owned()), "failed: it does not answer: the reply broke off").await;
    check(refusal(401, 401), types(), "failed: it refuses us: status 401, code 401: said the fake; check user").await;
    check(refusal(403, 40301), types(), "failed: it refuses us: status 403").await;
    check(refusal(500, 50001), types(), "failed: it answers with status 500, code 50001: said the fake").await;
    check(say(503, "<html>"), types(), "failed: it answers with status 503").await;
    check(say(429, ""), types(), "failed: it answers with status 429").await;
    check(say(302, ""), types(), "failed: it redirects elsewhere (status 302)").await;
    check(say(204, ""), types(), "failed: it answers with status 204").await;
    check(say(200, "<html>"), types(), "failed: it answers what is no page of a schema registry").await;
    check(say(200, ""), types(), "failed: it answers what is no page of a schema registry").await;
    check(say(200, r#"{"schema":7}"#), types(), "failed: it answers what is no page of a schema registry").await;
    check(say(200, r#"{"id":7}"#), types(), "failed: it answers what is no page of a schema registry").await;
    let half = r#"{"schema":"x"}"#.to_owned();
    check(Reply::Cut(half), types(), "failed: it does not answer: the reply broke off").await;
    check(say(200, &" ".repeat(REPLY_BYTES_MAX + 1)), types(), "unusable: with all it refers to it is longer").await;
    assert_eq!(fake.asked("/elsewhere"), 0, "redirects are not followed");
}

#[tokio::test]
async fn what_a_registry_says_is_repeated_on_one_line_and_not_at_length() {
    let fake = Fake::start();
    let message = format!("a\nb{}", "c".repeat(10_000));
    fake.tell(PAGE_7, [Reply::Say(500, serde_json::json!({ "message": message }).to_string())]);
    let found = words(ask(&fake, &ID_7).await);
    assert!(found.contains(": a bccc") && found.len() < 400, "{found}");
}

#[tokio::test]
async fn a_registry_that_never_answers_is_given_up_in_time() {
    let fake = Fake::start();
    fake.tell(PAGE_7, [Reply::Keep]);
    let metrics = Metrics::new("readings").schemas();
    let soon = Duration::from_millis(20);
    let connection = Connection::new(&settings(&[&fake.url]), soon, metrics).unwrap();
    let found = tokio::time::timeout(Duration::from_secs(30), resolve(&connection, &ID_7)).await;
    let found = words(found.expect("it is given up"));
    assert!(found.starts_with("failed: ") && found.ends_with("no reply within 0.02 s"), "{found}");
}

#[tokio::test]
async fn keys_have_their_pages() {
    let fake = Fake::start();
    let check = async |key: Key, path: &str| {
        fake.tell(path, [schema("AVRO", path, &[])]);
        assert_eq!(words(ask(&fake, &key).await), format!("Avro {path}"));
    };
    check(ID_7, "/schemas/ids/7").await;
    check(Key::Schema(SchemaKey::Id(u32::MAX)), "/schemas/ids/4294967295").await;
    let guid = uuid::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    check(Key::Schema(SchemaKey::Guid(guid)), "/schemas/guids/01234567-89ab-cdef-0123-456789abcdef").await;
    check(Key::Latest("readings-value".into()), "/subjects/readings-value/versions/latest").await;
    check(Key::Latest(":.ctx:a/b ü".into()), "/subjects/%3A.ctx%3Aa%2Fb%20%C3%BC/versions/latest").await;
    let accepts = "accept: application/vnd.schemaregistry.v1+json\r\n";
    assert!(fake.requests().iter().all(|request| request.to_lowercase().contains(accepts)));
}

#[tokio::test]
async fn a_path_before_the_pages_is_kept() {
    let fake = Fake::start();
    for slash in ["", "/"] {
        fake.tell("/apis/ccompat/v7/schemas/ids/7", [schema("AVRO", "x", &[])]);
        let url = format!("{}/apis/ccompat/v7{slash}", fake.url);
        assert_eq!(words(resolve(&connection(&settings(&[&url])), &ID_7).await), "Avro x");
    }
}

fn version(subject: &str, version: i64) -> String {
    format!("/subjects/{subject}/versions/{version}?deleted=true")
}

#[tokio::test]
async fn references_come_each_after_what_it_needs_itself() {
    let fake = Fake::start();
    fake.tell(PAGE_7, [schema("PROTOBUF", "top", &[("b.proto", "b", 2), ("c.proto", "c", 1), ("a.proto", "a", 1)])]);
    fake.tell(&version("b", 2), [schema("PROTOBUF", "B", &[("a.proto", "a", 1), ("d/d.proto", "d/d", 1)])]);
    fake.tell(&version("c", 1), [schema("PROTOBUF", "C", &[("a.proto", "a", 9)])]);
    fake.tell(&version("a", 1), [schema("PROTOBUF", "A", &[])]);
    fake.tell(&version("d%2Fd", 1), [schema("PROTOBUF", "D", &[("a.proto", "a", 1)])]);
    let found = words(ask(&fake, &ID_7).await);
    assert_eq!(found, "Protobuf top a.proto=A d/d.proto=D b.proto=B c.proto=C");
    assert_eq!(fake.asked(&version("a", 1)), 1);
    assert_eq!(fake.asked(&version("a", 9)), 0, "the first of a name stands for all");
}

#[tokio::test]
async fn references_that_cannot_be_followed() {
    let fake = Fake::start();
    let check = async |expected: &str| {
        let found = words(ask(&fake, &ID_7).await).replace(&fake.url, "it");
        assert!(found.starts_with(expected), "{expected}: {found}");
    };
    fake.tell(PAGE_7, [schema("AVRO", "top", &[("a", "a", 1)])]);
    fake.tell(&version("a", 1), [refusal(404, 40401)]);
    check("incomplete: it refers to `a` (subject a, version 1), which is not there: status 404, code 40401").await;
    fake.tell(&version("a", 1), [refusal(500, 50001)]);
    check("failed: it answers with status 500").await;
    // By name, and by what the name stands for.
    let cycle = "unusable: it refers to `a` (subject a, version 1), which refers to itself";
    fake.tell(&version("a", 1), [schema("AVRO", "A", &[("a", "a", 1)])]);
    check(cycle).await;
    fake.tell(&version("a", 1), [schema("AVRO", "A", &[("b", "b", 1)])]);
    fake.tell(&version("b", 1), [schema("AVRO", "B", &[("a", "a", 1)])]);
    check(cycle).await;
    fake.tell(&version("b", 1), [schema("AVRO", "B", &[("other", "a", 1)])]);
    check("unusable: it refers to `other` (subject a, version 1), which refers to itself").await;
    let half = "x".repeat(REPLY_BYTES_MAX / 2);
    fake.tell(PAGE_7, [schema("AVRO", &half, &[("a", "a", 1)])]);
    fake.tell(&version("a", 1), [schema("AVRO", &format!("{half}y"), &[])]);
    check("unusable: with all it refers to it is longer than 16 MiB").await;
}

#[tokio::test]
async fn the_number_of_references_is_bounded() {
    let fake = Fake::start();
    let names: Vec<String> = (0..=REFERENCES_MAX).map(|number| format!("s{number}")).collect();
    for name in &names {
        fake.tell(&version(name, 1), [schema("AVRO", name, &[])]);
    }
    let references: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str(), 1)).collect();
    fake.tell(PAGE_7, [schema("AVRO", "top", &references[1..])]);
    let Answer::Schema(found) = ask(&fake, &ID_7).await else { panic!("as many as allowed") };
    assert_eq!((found.kind, found.references.len()), (SchemaKind::Avro, REFERENCES_MAX));
    fake.tell(PAGE_7, [schema("AVRO", "top", &references)]);
    let found = words(ask(&fake, &ID_7).await);
    assert!(found.starts_with("unusable: it refers to more than 1000 other schemas"), "{found}");
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_does_not_answer() {
    let (broken, good) = (Fake::start(), Fake::start());
    let dead = nobody();
    good.tell(PAGE_7, [schema("AVRO", "x", &[])]);
    broken.tell(PAGE_7, [refusal(500, 50001)]);
    let connection = connection(&settings(&[&dead, &broken.url, &good.url]));
    assert_eq!(words(resolve(&connection, &ID_7).await), "Avro x");
    assert_eq!((broken.asked(PAGE_7), good.asked(PAGE_7)), (1, 1));
    assert_eq!(words(resolve(&connection, &ID_7).await), "Avro x");
    assert_eq!((broken.asked(PAGE_7), good.asked(PAGE_7)), (1, 2), "the one that answered comes first");
    good.tell(PAGE_7, [Reply::Say(503, String::new())]);
    let found = words(resolve(&connection, &ID_7).await);
    for part in [&format!("{dead} does not answer"), "status 500", "status 503"] {
        assert!(found.starts_with("failed: ") && found.contains(part), "{part}: {found}");
    }
    // "There is none" is an answer: the others are not asked.
    good.tell(PAGE_7, [refusal(404, 40403)]);
    let asked = broken.asked(PAGE_7);
    assert!(words(resolve(&connection, &ID_7).await).starts_with("absent: "));
    assert_eq!(broken.asked(PAGE_7), asked);
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let fake = Fake::start();
    fake.tell(PAGE_7, [schema("AVRO", "x", &[("a", "a", 1)])]);
    fake.tell(&version("a", 1), [refusal(401, 401)]);
    let check = async |credentials: RegistryCredentials, expected: Option<&str>| {
        let settings = RegistrySettings { credentials, ..settings(&[&fake.url]) };
        let before = fake.requests().len();
        let found = words(resolve(&connection(&settings), &ID_7).await);
        assert!(found.contains("401") && !found.contains("hunter2") && !found.contains("aHVudGVy"), "{found}");
        assert!(!format!("{settings:?}").contains("hunter2"));
        let requests = fake.requests().split_off(before);
        assert_eq!(requests.len(), 2);
        for request in requests {
            let sent = request.lines().find_map(|line| line.strip_prefix("authorization: "));
            assert_eq!(sent, expected, "{request}");
        }
    };
    check(RegistryCredentials::None, None).await;
    let basic = RegistryCredentials::Basic { username: "me".to_owned(), password: secret("hunter2:ü") };
    check(basic, Some("Basic bWU6aHVudGVyMjrDvA==")).await;
    check(RegistryCredentials::Bearer(secret("hunter2.token")), Some("Bearer hunter2.token")).await;
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_refused_at_the_start() {
    let credentials = RegistryCredentials::Bearer(secret("hunter2\n"));
    let settings = RegistrySettings { credentials, ..settings(&["http://r:8081"]) };
    let refused = Connection::new(&settings, RESPONSE_TIMEOUT, Metrics::new("readings").schemas()).err().unwrap();
    assert!(refused.to_string().contains("token") && !refused.to_string().contains("hunter2"), "{refused}");
}

#[tokio::test]
async fn a_registry_that_asks_for_a_certificate_gets_it() {
    let ca = devstack::PrivateCa::new().unwrap();
    let fake = Fake::start_tls(&ca);
    fake.tell(PAGE_7, [schema("AVRO", "x", &[])]);
    let identity = |ca: &devstack::PrivateCa| {
        let issued = ca.issue("connector").unwrap();
        Some(ClientIdentity { certificates: issued.certificate_pem, key: secret(&issued.key_pem) })
    };
    let check = async |authorities: Option<String>, identity: Option<ClientIdentity>, expected: &str| {
        let settings = RegistrySettings { certificate_authorities: authorities, identity, ..settings(&[&fake.url]) };
        let found = words(resolve(&connection(&settings), &ID_7).await);
        assert!(found.starts_with(expected), "{expected}: {found}");
    };
    let failed = format!("failed: {} does not answer: ", fake.url);
    check(Some(ca.certificate_pem()), identity(&ca), "Avro x").await;
    check(Some(ca.certificate_pem()), None, &failed).await;
    check(Some(ca.certificate_pem()), identity(&devstack::PrivateCa::new().unwrap()), &failed).await;
    check(None, identity(&ca), &failed).await;
    assert_eq!(fake.asked(PAGE_7), 1);
}
