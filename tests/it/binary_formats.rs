//! What our Native block stores of Avro and Protobuf is what the engine's own formats store: for every pair of types that
//! both read in the same way, on generated values.
//!
//! The whole range of both formats is compared with their reference libraries beside the decoders; here it is the way into
//! the column that counts. Where the two differ on purpose: numbers out of range are refused by us and wrapped by the engine;
//! a number in a column of times is a time to us by its size; a field of proto3 that is zero is so in a `Nullable` column too,
//! where the engine stores NULL. The engine's Avro does not reach integers of more than 64 bits, and nothing of it is like
//! durations, `Struct`, `Any` and wrappers; these are in the tables beside the decoders.

use std::sync::Arc;

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema};
use devstack::http::Client;
use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, DefaultValue, Path, RowCoordinates, RowPlan, Source};
use oncesink::decode::{AvroFraming, AvroOptions, AvroSchema, Format, ProtobufSchema, RecordDecoder};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value as Field};

use super::columns::{Scratch, VALUES_PER_TYPE, client, post};

/// The bytes of each record, into our columns and into the table; `None` where our decoder refuses one.
fn insert_ours(client: &Client, table: &Scratch<'_>, column_type: &str, format: &Format, records: &[Vec<u8>]) {
    let zone = client.query("SELECT timezone()").expect("the engine answers");
    let sql = format!(
        "SELECT name, type FROM system.columns WHERE concat(database, '.', table) = '{}' ORDER BY position FORMAT TSVRaw",
        table.name
    );
    let described = client.query(&sql).expect("the engine answers");
    let spec = |line: &str| {
        let mut words = line.split('\t');
        let (name, kind) = (words.next().expect("a column has a name"), words.next().expect("and a type"));
        let spec = ColumnSpec::new(name, kind, DefaultValue::TypeZero);
        let spec = spec.unwrap_or_else(|error| panic!("{kind}: {error}"));
        // As a target has the columns of a Nested.
        let below = name.split_once('.').map(|(outer, inner)| Source::Value(Path::of_fields([outer, inner])));
        ColumnSpec { aliases: below.into_iter().collect(), ..spec }
    };
    let plan = RowPlan::new(described.lines().map(spec).collect(), Vec::new(), zone.trim()).expect("they fit");
    let plan = Arc::new(plan);
    let decoder = RecordDecoder::new(&plan, format, None);
    let mut decoder = decoder.unwrap_or_else(|error| panic!("{column_type}: {error}"));
    let mut columns = Columns::new(&plan).expect("the plan was checked");
    for record in records {
        if let Err(error) = decoder.decode_value(record, &mut columns) {
            panic!("{column_type} of {record:?}: {error}");
        }
        columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
    }
    let block = NativeEncoder::new().encode(&columns);
    let names: Vec<_> = block.body_columns.iter().map(|column| format!("`{}`", column.name)).collect();
    let values: Vec<_> = block
        .body_columns
        .iter()
        .map(|column| column.conversion.clone().unwrap_or_else(|| format!("`{}`", column.name)))
        .collect();
    table.insert(&block, &names.join(", "), &values.join(", "));
}

/// What the engine shows of both tables is the same, row by row; otherwise the first difference.
fn compare(client: &Client, what: &str, ours: &Scratch<'_>, theirs: &Scratch<'_>, rows: usize) -> Option<String> {
    let sql = format!(
        "SELECT arrayStringConcat(groupArray(concat('isNull(`', name, '`), toString(`', name, '`), `', name, '`')), ', ') \
         FROM system.columns WHERE concat(database, '.', table) = '{}' AND name != '_offset'",
        ours.name
    );
    let columns = client.query(&sql).expect("the engine answers");
    let shown = |table: &Scratch<'_>| {
        let sql = format!("SELECT _offset, {} FROM {} ORDER BY _offset", columns.trim(), table.name);
        client.query(&sql).expect("the engine answers")
    };
    let (ours, theirs) = (shown(ours), shown(theirs));
    assert_eq!(theirs.lines().count(), rows, "{what}");
    assert_eq!(ours.lines().count(), rows, "{what}");
    let mut pairs = ours.lines().zip(theirs.lines());
    pairs.find(|(ours, theirs)| ours != theirs).map(|(ours, theirs)| format!("{what}: {ours} and not {theirs}"))
}

fn drawn<T: std::fmt::Debug>(values: &BoxedStrategy<T>, random: &mut TestRunner) -> Vec<T> {
    (0..VALUES_PER_TYPE).map(|_| values.new_tree(random).expect("values can be made").current()).collect()
}

/// An Avro type, the columns that take it, and its values.
type AvroCase = (&'static str, &'static [&'static str], BoxedStrategy<Value>);

fn avro_cases() -> Vec<AvroCase> {
    let text = || proptest::string::string_regex("[a-zA-Z \"\\\\\u{e9}\u{4e2d}\u{1f600}]{0,24}").expect("it is valid");
    let short = || proptest::string::string_regex("[a-z\u{e9}]{0,4}").expect("it is valid");
    let int = |range: std::ops::Range<i32>| range.prop_map(Value::Int).boxed();
    let long = |range: std::ops::RangeInclusive<i64>| range.prop_map(Value::Long).boxed();
    let branch = |value: BoxedStrategy<Value>| {
        prop_oneof![
            1 => Just(Value::Union(0, Box::new(Value::Null))),
            4 => value.prop_map(|value| Value::Union(1, Box::new(value))),
        ]
        .boxed()
    };
    let symbol = || prop::sample::select(&[(0, "a"), (1, "bee"), (2, "c_3")][..]);
    let symbols = || symbol().prop_map(|(index, name)| Value::Enum(index, name.to_owned())).boxed();
    const SYMBOLS: &str = r#"{"type":"enum","name":"E","symbols":["a","bee","c_3"]}"#;
    const ENUM: &str = "Enum8('a' = 1, 'bee' = 2, 'c_3' = -3)";
    let point = || {
        (any::<i32>(), text()).prop_map(|(x, label)| {
            Value::Record(vec![("x".to_owned(), Value::Int(x)), ("label".to_owned(), Value::String(label))])
        })
    };
    const POINT: &str =
        r#"{"type":"record","name":"P","fields":[{"name":"x","type":"int"},{"name":"label","type":"string"}]}"#;
    let decimal = |digits: i64| {
        (-digits..digits).prop_map(|unscaled| Value::Decimal(Decimal::from(unscaled.to_be_bytes().to_vec()))).boxed()
    };
    vec![
        (r#""boolean""#, &["Bool", "UInt8", "Nullable(Bool)"], any::<bool>().prop_map(Value::Boolean).boxed()),
        (r#""int""#, &["Int32", "Int64", "Float64", "Nullable(Int32)", "LowCardinality(Int32)"], int(-9..9)),
        (r#""int""#, &["UInt8", "UInt32", "UInt64", "Int16"], int(0..100)),
        (r#""int""#, &["Int32", "Int64"], int(i32::MIN..i32::MAX)),
        (r#""long""#, &["Int64", "Nullable(Int64)"], long(i64::MIN..=i64::MAX)),
        (r#""long""#, &["UInt64", "Float64"], long(0..=1 << 50)),
        (
            r#""float""#,
            &["Float32", "Float64"],
            any::<f32>().prop_filter("equal", |f| !f.is_nan()).prop_map(Value::Float).boxed(),
        ),
        (
            r#""double""#,
            &["Float64", "Nullable(Float64)"],
            any::<f64>().prop_filter("equal", |f| !f.is_nan()).prop_map(Value::Double).boxed(),
        ),
        (
            r#""string""#,
            &["String", "Nullable(String)", "LowCardinality(String)", "LowCardinality(Nullable(String))"],
            text().prop_map(Value::String).boxed(),
        ),
        (r#""string""#, &["FixedString(8)"], short().prop_map(Value::String).boxed()),
        (
            r#""bytes""#,
            &["String", "LowCardinality(String)"],
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes).boxed(),
        ),
        (
            r#"{"type":"fixed","name":"F","size":5}"#,
            &["FixedString(5)", "String"],
            any::<[u8; 5]>().prop_map(|bytes| Value::Fixed(5, bytes.to_vec())).boxed(),
        ),
        (SYMBOLS, &[ENUM, "String", "LowCardinality(String)"], symbols()),
        (r#"["null","long"]"#, &["Nullable(Int64)"], branch(long(i64::MIN..=i64::MAX))),
        (
            r#"["null","string"]"#,
            &["Nullable(String)", "LowCardinality(Nullable(String))"],
            branch(text().prop_map(Value::String).boxed()),
        ),
        (r#"{"type":"int","logicalType":"date"}"#, &["Date32"], (-10_000..40_000).prop_map(Value::Date).boxed()),
        (r#"{"type":"int","logicalType":"date"}"#, &["Date"], (0..40_000).prop_map(Value::Date).boxed()),
        (
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            &["DateTime64(3)", "DateTime64(3, 'Asia/Kolkata')", "Nullable(DateTime64(3))"],
            (0..4_000_000_000_000_i64).prop_map(Value::TimestampMillis).boxed(),
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-micros"}"#,
            &["DateTime64(6)"],
            (0..4_000_000_000_000_000_i64).prop_map(Value::TimestampMicros).boxed(),
        ),
        (
            r#"{"type":"string","logicalType":"uuid"}"#,
            &["UUID"],
            any::<u128>().prop_map(|id| Value::Uuid(uuid::Uuid::from_u128(id))).boxed(),
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":12,"scale":4}"#,
            &["Decimal(12, 4)"],
            decimal(1_000_000_000_000),
        ),
        (
            r#"{"type":"array","items":"int"}"#,
            &["Array(Int32)", "Array(Int64)"],
            prop::collection::vec(int(-9..9), 0..5).prop_map(Value::Array).boxed(),
        ),
        (
            r#"{"type":"array","items":{"type":"array","items":["null","string"]}}"#,
            &["Array(Array(Nullable(String)))"],
            prop::collection::vec(
                prop::collection::vec(branch(text().prop_map(Value::String).boxed()), 0..3).prop_map(Value::Array),
                0..3,
            )
            .prop_map(Value::Array)
            .boxed(),
        ),
        (
            r#"{"type":"map","values":"long"}"#,
            &["Map(String, Int64)", "Map(LowCardinality(String), Int64)"],
            // With one entry: the engine's own order of entries is that of the bytes, the library's is any.
            (short(), any::<i64>()).prop_map(|(key, value)| Value::Map([(key, Value::Long(value))].into())).boxed(),
        ),
        (POINT, &["Tuple(x Int32, label String)", "Tuple(label String, x Int64)"], point().boxed()),
        (
            r#"{"type":"array","items":{"type":"record","name":"P","fields":[{"name":"x","type":"int"},{"name":"label","type":"string"}]}}"#,
            &["Array(Tuple(x Int32, label String))", "Nested(x Int32, label String)", "Nested(label String, x Int64)"],
            prop::collection::vec(point(), 0..4).prop_map(Value::Array).boxed(),
        ),
        (
            // The engine takes all fields of the records or none, and does not look into a union for them.
            r#"{"type":"array","items":{"type":"record","name":"Q","fields":[
                {"name":"tags","type":{"type":"array","items":"string"}},{"name":"x","type":["null","int"]}]}}"#,
            &["Nested(x Nullable(Int32), tags Array(String))", "Nested(tags Array(String), x Int32)"],
            prop::collection::vec(
                (branch(any::<i32>().prop_map(Value::Int).boxed()), prop::collection::vec(short(), 0..3)).prop_map(
                    |(x, tags)| {
                        let tags = Value::Array(tags.into_iter().map(Value::String).collect());
                        Value::Record(vec![("tags".to_owned(), tags), ("x".to_owned(), x)])
                    },
                ),
                0..4,
            )
            .prop_map(Value::Array)
            .boxed(),
        ),
        (
            r#"{"type":"fixed","name":"D","size":12,"logicalType":"duration"}"#,
            &["FixedString(12)", "Nullable(FixedString(12))"],
            any::<[u8; 12]>().prop_map(|bytes| Value::Duration(bytes.into())).boxed(),
        ),
    ]
}

#[test]
fn our_block_stores_what_the_engine_s_avro_stores() {
    let client = client();
    let (mut random, mut different) = (TestRunner::deterministic(), Vec::new());
    for (kind, columns, values) in avro_cases() {
        let text = format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"_offset","type":"long"}},{{"name":"x","type":{kind}}}]}}"#
        );
        let schema = Schema::parse_str(&text).unwrap_or_else(|error| panic!("{kind}: {error}"));
        for column in columns {
            let records: Vec<Value> = (0..)
                .zip(drawn(&values, &mut random))
                .map(|(n, x)| Value::Record(vec![("_offset".to_owned(), Value::Long(n)), ("x".to_owned(), x)]))
                .collect();
            let table = || Scratch::new(&client, &format!("_offset UInt64, x {column}"));
            let (ours, theirs) = (table(), table());
            let datum_writer = GenericDatumWriter::builder(&schema).build().expect("the schema is complete");
            let datum = |record: &Value| {
                datum_writer.write_value_to_vec(record.clone()).unwrap_or_else(|error| panic!("{kind}: {error}"))
            };
            let framing = AvroFraming::Bare(AvroSchema { text: text.as_str().into(), references: Vec::new() });
            let format = Format::Avro(AvroOptions { framing, reader: None });
            insert_ours(&client, &ours, column, &format, &records.iter().map(datum).collect::<Vec<_>>());
            let mut writer = apache_avro::Writer::new(&schema, Vec::new()).expect("the schema is one of a record");
            for record in records {
                writer.append_value(record).unwrap_or_else(|error| panic!("{kind}: {error}"));
            }
            let file = writer.into_inner().expect("a vector takes all");
            post(&client, &[("query", &format!("INSERT INTO {} FORMAT Avro", theirs.name))], &file);
            different.extend(compare(&client, &format!("{kind} in {column}"), &ours, &theirs, VALUES_PER_TYPE));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// A field of a message, with its type and what else the file declares; the columns that take it, and its values.
type ProtobufCase = (&'static str, &'static [&'static str], BoxedStrategy<Field>);

const DECLARED: &str =
    "enum E { a = 0; bee = 2; c_3 = -3; } message P { int32 x = 1; string label = 2; repeated uint32 many = 3; }";

/// The same value, its messages as this schema has them.
fn adopted(field: &FieldDescriptor, value: Field) -> Field {
    let (Field::List(values), Kind::Message(kind)) = (&value, field.kind()) else {
        return value;
    };
    let adopt = |value: &Field| match value {
        Field::Message(message) => {
            let bytes = message.encode_to_vec();
            Field::Message(DynamicMessage::decode(kind.clone(), bytes.as_slice()).expect("it is the same message"))
        }
        other => other.clone(),
    };
    Field::List(values.iter().map(adopt).collect())
}

/// A message `P`.
fn point((x, label, many): (i32, String, Vec<u32>)) -> Field {
    let text = format!("syntax = \"proto3\"; {DECLARED}");
    let schema = ProtobufSchema::from_registry(&text, &[]).expect("it is valid");
    let mut message = DynamicMessage::new(schema.message("P").expect("it is declared"));
    message.set_field_by_name("x", Field::I32(x));
    message.set_field_by_name("label", Field::String(label));
    message.set_field_by_name("many", Field::List(many.into_iter().map(Field::U32).collect()));
    Field::Message(message)
}

fn protobuf_cases() -> Vec<ProtobufCase> {
    let text = || proptest::string::string_regex("[a-zA-Z \"\\\\\u{e9}\u{4e2d}\u{1f600}]{0,24}").expect("it is valid");
    let i32s = || any::<i32>().prop_map(Field::I32).boxed();
    let small = || (0..100_i32).prop_map(Field::I32).boxed();
    let texts = || text().prop_map(Field::String).boxed();
    let i64s = || any::<i64>().prop_map(Field::I64).boxed();
    let finite = |float: &f64| !float.is_nan();
    vec![
        ("bool x", &["Bool", "UInt8"], any::<bool>().prop_map(Field::Bool).boxed()),
        ("int32 x", &["Int32", "Int64", "Float64"], i32s()),
        ("int32 x", &["UInt8", "UInt16", "Int8", "UInt64"], small()),
        ("sint32 x", &["Int32"], i32s()),
        ("sfixed32 x", &["Int32"], i32s()),
        ("uint32 x", &["UInt32", "UInt64", "Int64"], any::<u32>().prop_map(Field::U32).boxed()),
        ("fixed32 x", &["UInt32"], any::<u32>().prop_map(Field::U32).boxed()),
        ("int64 x", &["Int64", "Nullable(Int64)"], i64s()),
        ("sint64 x", &["Int64"], i64s()),
        ("sfixed64 x", &["Int64"], i64s()),
        ("uint64 x", &["UInt64"], any::<u64>().prop_map(Field::U64).boxed()),
        ("fixed64 x", &["UInt64"], any::<u64>().prop_map(Field::U64).boxed()),
        (
            "float x",
            &["Float32", "Float64"],
            any::<f32>().prop_filter("equal", |f| !f.is_nan()).prop_map(Field::F32).boxed(),
        ),
        ("double x", &["Float64"], any::<f64>().prop_filter("equal", finite).prop_map(Field::F64).boxed()),
        ("string x", &["String", "LowCardinality(String)"], texts()),
        (
            "bytes x",
            &["String"],
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|b| Field::Bytes(b.into())).boxed(),
        ),
        (
            "E x",
            &["Enum8('a' = 0, 'bee' = 2, 'c_3' = -3)", "String"],
            prop::sample::select(&[0, 2, -3][..]).prop_map(Field::EnumNumber).boxed(),
        ),
        (
            "repeated int32 x",
            &["Array(Int32)", "Array(Int64)"],
            prop::collection::vec(i32s(), 0..5).prop_map(Field::List).boxed(),
        ),
        (
            "repeated P x",
            &[
                "Nested(x Int32, label String, many Array(UInt32))",
                "Nested(label String)",
                "Array(Tuple(x Int32, label String))",
            ],
            prop::collection::vec((any::<i32>(), text(), prop::collection::vec(any::<u32>(), 0..3)), 0..4)
                .prop_map(|all| Field::List(all.into_iter().map(point).collect()))
                .boxed(),
        ),
        ("repeated string x", &["Array(String)"], prop::collection::vec(texts(), 0..4).prop_map(Field::List).boxed()),
        (
            "map<string, int64> x",
            &["Map(String, Int64)"],
            (text(), any::<i64>())
                .prop_map(|(key, value)| Field::Map([(prost_reflect::MapKey::String(key), Field::I64(value))].into()))
                .boxed(),
        ),
        (
            "string x",
            &["UUID"],
            any::<u128>().prop_map(|id| Field::String(uuid::Uuid::from_u128(id).to_string())).boxed(),
        ),
        (
            "string x",
            &["DateTime64(3)"],
            (0..4_000_000_000_i64, 0..1000_i64)
                .prop_map(|(seconds, millis)| Field::String(format!("{seconds}.{millis:03}")))
                .boxed(),
        ),
        ("string x", &["Decimal(18, 4)"], (-99_999..99_999_i64).prop_map(|n| Field::String(format!("{n}.25"))).boxed()),
        ("uint32 x", &["DateTime"], (1_000_000_000..2_000_000_000_u32).prop_map(Field::U32).boxed()),
    ]
}

#[test]
fn our_block_stores_what_the_engine_s_protobuf_stores() {
    let client = client();
    let (mut random, mut different) = (TestRunner::deterministic(), Vec::new());
    for (field, columns, values) in protobuf_cases() {
        let text = format!("syntax = \"proto3\"; {DECLARED} message M {{ uint64 _offset = 1; {field} = 2; }}");
        let schema = ProtobufSchema::from_registry(&text, &[]).unwrap_or_else(|error| panic!("{field}: {error}"));
        let descriptor = schema.message("M").expect("it is declared");
        for column in columns {
            let message = |(n, x): (u64, Field)| {
                let mut message = DynamicMessage::new(descriptor.clone());
                message.set_field_by_name("_offset", Field::U64(n));
                let field = message.descriptor().get_field_by_name("x").expect("it is declared");
                message.set_field(&field, adopted(&field, x));
                message.encode_to_vec()
            };
            let records: Vec<Vec<u8>> = (0..).zip(drawn(&values, &mut random)).map(message).collect();
            let table = || Scratch::new(&client, &format!("_offset UInt64, x {column}"));
            let (ours, theirs) = (table(), table());
            insert_ours(&client, &ours, column, &Format::Protobuf(schema.clone(), "M".to_owned()), &records);
            let mut body = Vec::new();
            for record in &records {
                prost_reflect::prost::encoding::encode_varint(record.len() as u64, &mut body);
                body.extend_from_slice(record);
            }
            let sql = format!("INSERT INTO {} FORMAT Protobuf", theirs.name);
            let settings = [
                ("query", sql.as_str()),
                ("format_schema_source", "string"),
                ("format_schema", &text),
                ("format_schema_message_name", "M"),
            ];
            post(&client, &settings, &body);
            different.extend(compare(&client, &format!("{field} in {column}"), &ours, &theirs, VALUES_PER_TYPE));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
