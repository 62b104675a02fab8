//! Where schemas come from, and what is said of bad ones.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{column, l, plan, store, v};
use crate::decode::ProtobufSchema;
use crate::decode::protobuf::MessageIndexes;

const POINT: &str =
    "syntax = \"proto3\";\npackage geo;\nmessage Point { int32 x = 1; message Inner { int32 y = 1; } }\n";
const MESSAGE: &str = "syntax = \"proto3\";\nimport \"geo/point.proto\";\nimport \"google/protobuf/timestamp.proto\";\n\
    message M { geo.Point p = 1; google.protobuf.Timestamp at = 2; }\n";

fn check(schema: &ProtobufSchema) {
    let columns = plan(vec![column("$.p.x", "Int8"), column("at", "DateTime")]);
    let record = [l(1, v(1, 5)), l(2, v(1, 7))].concat();
    assert_eq!(store(schema, columns, &record), "5 | 7");
}

/// The descriptor of a file, as a registry may give it.
fn base64(schema: &ProtobufSchema, file: &str) -> String {
    let pool = schema.message("M").unwrap().parent_pool().clone();
    BASE64_STANDARD.encode(pool.get_file_by_name(file).unwrap().encode_to_vec())
}

#[test]
fn schemas_from_the_registry() {
    let references = [("geo/point.proto", POINT)];
    let schema = ProtobufSchema::from_registry(MESSAGE, &references).unwrap();
    check(&schema);
    let (point, message) = (base64(&schema, "geo/point.proto"), base64(&schema, "schema.proto"));
    check(&ProtobufSchema::from_registry(&message, &references).unwrap());
    check(&ProtobufSchema::from_registry(&message, &[("geo/point.proto", &point)]).unwrap());
    check(&ProtobufSchema::from_registry(MESSAGE, &[("geo/point.proto", &format!("{point}\n"))]).unwrap());
    // A reference may have the name that the file itself would get.
    let own = MESSAGE.replace("geo/point.proto", "schema.proto");
    check(&ProtobufSchema::from_registry(&own, &[("schema.proto", POINT)]).unwrap());
}

#[test]
fn schemas_from_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("geo")).unwrap();
    std::fs::write(folder.path().join("geo/point.proto"), POINT).unwrap();
    std::fs::write(folder.path().join("m.proto"), MESSAGE).unwrap();
    let schema = ProtobufSchema::from_files(&["m.proto"], &[folder.path()]).unwrap();
    check(&schema);
    check(&ProtobufSchema::from_files(&[folder.path().join("m.proto")], &[folder.path()]).unwrap());
    let set = schema.message("M").unwrap().parent_pool().encode_to_vec();
    check(&ProtobufSchema::from_descriptor_set(&set).unwrap());

    let error = ProtobufSchema::from_files(&["n.proto"], &[folder.path()]).unwrap_err();
    assert_eq!(error, "file 'n.proto' is not in any include path");
    let error = ProtobufSchema::from_files(&["m.proto"], &[folder.path().join("geo")]).unwrap_err();
    assert_eq!(error, "file 'm.proto' is not in any include path");
    std::fs::write(folder.path().join("bad.proto"), "syntax = \"proto3\";\nmessage M {\n  strin s = 1;\n}\n").unwrap();
    let error = ProtobufSchema::from_files(&["bad.proto"], &[folder.path()]).unwrap_err();
    assert_eq!(error, "bad.proto:3:3: name 'strin' is not defined");
    assert!(ProtobufSchema::from_descriptor_set(&set[..set.len() - 1]).is_err());
}

#[test]
fn errors_name_file_and_line() {
    let check = |text: &str, references: &[(&str, &str)], expected: &str| {
        assert_eq!(ProtobufSchema::from_registry(text, references).unwrap_err(), expected);
    };
    check(
        "syntax = \"proto3\";\nmessage M {\n  int32 = 1;\n}",
        &[],
        "schema.proto:3:9: expected an identifier, but found '='",
    );
    check(MESSAGE, &[], "schema.proto:2:1: import 'geo/point.proto' not found");
    let bad = POINT.replace("int32 x", "strin x");
    check(MESSAGE, &[("geo/point.proto", &bad)], "geo/point.proto:3:17: name 'strin' is not defined");
    let cycle = format!("{POINT}import \"schema.proto\";");
    check(
        MESSAGE,
        &[("geo/point.proto", &cycle)],
        "import cycle detected: schema.proto -> geo/point.proto -> schema.proto",
    );
    let statements = "'enum', 'extend', 'import', 'message', 'option', 'service', 'package' or ';'";
    let unknown = format!("schema.proto:1:1: expected {statements}, but found 'edition'");
    check("edition = \"2023\";\nmessage M {}", &[], &unknown);
}

#[test]
fn messages_by_name() {
    let schema = ProtobufSchema::from_registry(MESSAGE, &[("geo/point.proto", POINT)]).unwrap();
    assert_eq!(schema.message("geo.Point.Inner").unwrap().full_name(), "geo.Point.Inner");
    assert_eq!(super::schema("").message("M").unwrap_err(), "there is no message M; there are none");
    let error = schema.message("geo.point").unwrap_err();
    assert_eq!(error, "there is no message geo.point; there are geo.Point, geo.Point.Inner, M");
}

#[test]
fn message_indexes() {
    let text = "syntax = \"proto3\";\nmessage A { message B { message C {} } map<string, int32> m = 1; message D {} }\nmessage E {}\n";
    let schema = ProtobufSchema::from_registry(text, &[]).unwrap();
    let check = |bytes: &[u8], expected: &str| {
        let record = [&[0, 0, 0, 0, 1], bytes].concat();
        let found = match MessageIndexes::read(&record, 5) {
            Err(at) => format!("bad at {at}"),
            Ok((indexes, at)) => match schema.message_at(&indexes) {
                Ok(message) => format!("{} {at}", message.full_name()),
                Err(error) => error,
            },
        };
        assert_eq!(found, expected, "{bytes:?}");
    };
    check(&[0], "A 6");
    check(&[0, 8, 5], "A 6");
    check(&[2, 0, 8], "A 7");
    check(&[2, 2], "E 7");
    check(&[4, 0, 0], "A.B 8");
    check(&[6, 0, 0, 0], "A.B.C 9");
    // The map's entries are a message too, which nobody counts.
    check(&[4, 0, 2], "A.D 8");
    check(&[4, 0, 4], "the schema has no message [0, 2]");
    check(&[2, 4], "the schema has no message [2]");
    check(&[4, 2, 0], "the schema has no message [1, 0]");
    check(&[], "bad at 5");
    check(&[1], "bad at 5");
    check(&[2], "bad at 6");
    check(&[2, 1], "bad at 6");
    check(&[2, 0x80], "bad at 6");
    check(&[34], "bad at 5");
    check(&[0xFE, 0xFF, 0xFF, 0xFF, 0x0F], "bad at 5");
    check(&[2, 0x80, 0x80, 0x10], "bad at 6");
    let from_set =
        ProtobufSchema::from_descriptor_set(&schema.message("A").unwrap().parent_pool().encode_to_vec()).unwrap();
    let (first, _) = MessageIndexes::read(&[0], 0).unwrap();
    assert_eq!(from_set.message_at(&first).unwrap_err(), "the schema has no message [0]");
}
