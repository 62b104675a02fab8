//! A schema with all it refers to, put together from the registry's pages.
//!
//! Follows references to their end, depth first, each after what it needs itself. A name that was found once stands for
//! the same text everywhere, whatever version another schema asks for: so do Confluent's own clients, and records were
//! written by them. Cycles, and more references or bytes than any real schema has, make a schema unusable.

use std::collections::HashSet;
use std::vec;

use serde::Deserialize;

use super::book::{Answer, Key};
use super::connection::{Connection, REPLY_BYTES_MAX, Reply};
use super::{RegisteredSchema, SchemaKey, SchemaKind, SchemaReference};
use crate::http::push_encoded;

/// The most schemas that one may refer to, directly and through others.
pub(super) const REFERENCES_MAX: usize = 1_000;
/// All texts of one schema together.
const TEXT_BYTES_MAX: usize = REPLY_BYTES_MAX;

#[derive(Debug, Deserialize)]
struct SchemaPage {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    references: Option<Vec<ReferencePage>>,
}

#[derive(Debug, Deserialize)]
struct ReferencePage {
    name: String,
    subject: String,
    version: i64,
}

/// A schema whose references are being followed.
struct Open {
    reference: ReferencePage,
    text: String,
    rest: vec::IntoIter<ReferencePage>,
}

/// Asks for `key` and for all that it refers to.
pub(super) async fn resolve(connection: &Connection, key: &Key) -> Answer {
    let page: SchemaPage = match connection.get(&path(key)).await {
        Reply::Page(page) => page,
        Reply::Absent(why) => return Answer::Absent(why),
        Reply::TooLong => return too_long(),
        Reply::Failed(why) => return Answer::Failed(why),
    };
    let kind = match page.kind.as_deref() {
        None | Some("AVRO") => SchemaKind::Avro,
        Some("PROTOBUF") => SchemaKind::Protobuf,
        Some("JSON") => SchemaKind::Json,
        Some(other) => {
            return Answer::Unusable(format!(
                "its schema type is `{other}`, and this version reads AVRO, PROTOBUF and JSON"
            ));
        }
    };
    match follow(connection, page.references.unwrap_or_default(), page.schema.len()).await {
        Ok(references) => Answer::Schema(RegisteredSchema { kind, text: page.schema, references }),
        Err(answer) => answer,
    }
}

async fn follow(
    connection: &Connection,
    references: Vec<ReferencePage>,
    mut bytes: usize,
) -> Result<Vec<SchemaReference>, Answer> {
    let mut found = Vec::new();
    // Of all that are found or open.
    let mut names: HashSet<String> = HashSet::new();
    let mut open: Vec<Open> = Vec::new();
    let mut top = references.into_iter();
    loop {
        let rest = open.last_mut().map_or(&mut top, |last| &mut last.rest);
        let Some(next) = rest.next() else {
            let Some(Open { reference, text, .. }) = open.pop() else { return Ok(found) };
            found.push(SchemaReference { name: reference.name, text });
            continue;
        };
        let is_next = |open: &Open| {
            let known = &open.reference;
            known.name == next.name || (known.subject == next.subject && known.version == next.version)
        };
        if open.iter().any(is_next) {
            let ReferencePage { name, subject, version } = next;
            let why = format!("it refers to `{name}` (subject {subject}, version {version}), which refers to itself");
            return Err(Answer::Unusable(why));
        }
        if !names.insert(next.name.clone()) {
            continue;
        }
        if names.len() > REFERENCES_MAX {
            return Err(Answer::Unusable(format!("it refers to more than {REFERENCES_MAX} other schemas")));
        }
        let page: SchemaPage = match connection.get(&reference_path(&next)).await {
            Reply::Page(page) => page,
            Reply::Absent(why) => {
                let ReferencePage { name, subject, version } = next;
                let what = format!("`{name}` (subject {subject}, version {version})");
                return Err(Answer::Incomplete(format!("it refers to {what}, which is not there: {why}")));
            }
            Reply::TooLong => return Err(too_long()),
            Reply::Failed(why) => return Err(Answer::Failed(why)),
        };
        bytes += page.schema.len();
        if bytes > TEXT_BYTES_MAX {
            return Err(too_long());
        }
        open.push(Open { reference: next, text: page.schema, rest: page.references.unwrap_or_default().into_iter() });
    }
}

fn too_long() -> Answer {
    Answer::Unusable(format!("with all it refers to it is longer than {} MiB", TEXT_BYTES_MAX >> 20))
}

fn path(key: &Key) -> String {
    match key {
        Key::Schema(SchemaKey::Id(id)) => format!("/schemas/ids/{id}"),
        Key::Schema(SchemaKey::Guid(guid)) => format!("/schemas/guids/{guid}"),
        Key::Latest(subject) => {
            let mut path = "/subjects/".to_owned();
            push_encoded(&mut path, subject);
            path.push_str("/versions/latest");
            path
        }
    }
}

/// Deleted versions too: records that were written with them are still there.
fn reference_path(reference: &ReferencePage) -> String {
    let mut path = "/subjects/".to_owned();
    push_encoded(&mut path, &reference.subject);
    path.push_str(&format!("/versions/{}?deleted=true", reference.version));
    path
}
