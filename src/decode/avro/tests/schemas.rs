//! Schemas that are refused, that refer to others, and their fingerprints.

use super::{Table, bare, long, outcome, plan, record, spec};
use crate::decode::avro::compile::AvroPlan;
use crate::decode::avro::schema::{Defaults, Parsed};
use crate::decode::avro::shape::BYTELESS_MAX;
use crate::decode::target::Target;
use crate::decode::{AvroFraming, AvroSchema};

/// What is said of a schema that cannot be used; the whole of a record is wanted as a text.
fn refused(schema: &AvroSchema) -> String {
    let plan = plan(vec![spec("v", "String")]);
    match AvroPlan::compile(schema, None, &plan, &Target::of_values(&plan)) {
        Ok(_) => "it can be used".to_owned(),
        Err(error) => error,
    }
}

#[test]
fn schemas_that_cannot_be_used() {
    let check = |text: &str, expected: &str| {
        let error = refused(&AvroSchema::alone(text));
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("", "the schema cannot be used: it is not JSON");
    check("record", "the schema cannot be used: it is not JSON");
    check("7", "the schema cannot be used: ");
    check("\"Missing\"", "the schema cannot be used: ");
    check("{\"type\": \"record\", \"name\": \"R\"}", "the schema cannot be used: ");
    check("{\"type\": \"record\", \"name\": \"R\", \"fields\": {}}", "the fields of a record are no list");
    check("{\"type\": \"record\", \"name\": \"R\", \"fields\": [7]}", "a field of a record is no object");
    check("{\"type\": \"record\", \"name\": \"no name\", \"fields\": []}", "the schema cannot be used: ");
    check("{\"type\": \"fixed\", \"name\": \"F\", \"size\": -1}", "a fixed has -1 bytes");
    check(
        "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 9223372036854775808}",
        "a fixed has 9223372036854775808 bytes",
    );
    check("{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"A\", \"A\"]}", "the schema cannot be used: ");
    check("[\"int\", \"int\"]", "the schema cannot be used: ");
    let same = record("S", &[("x", "\"int\"")]);
    check(&record("R", &[("a", &same), ("b", &same)]), "S is defined twice");
    let deep = |depth: usize| format!("{}\"int\"{}", "{\"type\":\"array\",\"items\":".repeat(depth), "}".repeat(depth));
    check(&record("R", &[("v", &deep(60))]), "it can be used");
    check(&record("R", &[("v", &deep(200))]), "the schema cannot be used: it is not JSON: recursion limit");
}

#[test]
fn a_schema_is_not_refused_for_what_nobody_reads() {
    let check = |text: &str| assert_eq!(refused(&AvroSchema::alone(text)), "it can be used", "{text}");
    check(
        "{\"type\": \"record\", \"name\": \"R\", \"doc\": 7, \"size\": 1, \"precision\": 1.5, \"x\": {\"type\": 9}, \"fields\": [\
         {\"name\": \"v\", \"type\": \"int\", \"default\": \"no int\", \"order\": 5, \"aliases\": [\"a b\"], \"size\": \"x\"},\
         {\"name\": \"u\", \"type\": {\"type\": \"string\", \"logicalType\": \"uuid\"}, \"default\": \"\"},\
         {\"name\": \"e\", \"type\": {\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"A\"], \"default\": \"B\"}}]}",
    );
}

#[test]
fn values_without_bytes_that_are_too_many_are_refused() {
    // Each holds the one before it twice.
    let mut references = vec![record("N0", &[("x", "\"null\"")])];
    for level in 1..40 {
        let below = format!("\"N{}\"", level - 1);
        references.push(record(&format!("N{level}"), &[("a", &below), ("b", &below)]));
    }
    let schema = AvroSchema { text: record("R", &[("v", "\"N39\"")]), references };
    let error = refused(&schema);
    assert!(error.starts_with("the schema cannot be used: field v of R: field a of N39: "), "{error}");
    assert!(error.ends_with(&format!(": a value without bytes has more than {BYTELESS_MAX} parts")), "{error}");
    // Types inside each other, as deep as there are references.
    let mut references = vec![record("N0", &[("x", "\"int\"")])];
    for level in 1..900 {
        references.push(record(&format!("N{level}"), &[("a", &format!("\"N{}\"", level - 1))]));
    }
    let schema = AvroSchema { text: record("R", &[("v", "\"N899\"")]), references };
    assert_eq!(refused(&schema), "the schema cannot be used: it nests more than 256 types inside each other");
    let schema = AvroSchema { text: "\"int\"".to_owned(), references: vec!["\"int\"".to_owned(); 1_001] };
    assert_eq!(refused(&schema), "the schema cannot be used: it refers to more than 1000 schemas");
}

#[test]
fn references_are_found_by_name() {
    let point = "{\"type\": \"record\", \"name\": \"Point\", \"namespace\": \"geo\", \"fields\": [\
        {\"name\": \"x\", \"type\": \"int\"}, {\"name\": \"kind\", \"type\": {\"type\": \"enum\", \"name\": \"Kind\", \"symbols\": [\"A\", \"B\"]}}]}";
    let line = "{\"type\": \"array\", \"items\": \"geo.Point\"}";
    let schema =
        |text: String| AvroFraming::Bare(AvroSchema { text, references: vec![point.to_owned(), line.to_owned()] });
    let fields = record("R", &[("v", "\"geo.Point\""), ("k", "\"geo.Kind\"")]);
    let columns = || plan(vec![spec("v", "Tuple(x Int8, kind String)"), spec("k", "String")]);
    let mut table = Table::try_new(columns(), &schema(fields), None).unwrap();
    assert_eq!(outcome(&mut table, &[2, 2, 0]), "(1, \"B\") / \"A\"");
    // The schema may be nothing but the name of another.
    let field = plan(vec![spec("x", "Int8"), spec("kind", "String")]);
    let mut table = Table::try_new(field, &schema("\"geo.Point\"".to_owned()), None).unwrap();
    assert_eq!(outcome(&mut table, &[2, 2]), "1 / \"B\"");
    let error = Table::try_new(columns(), &bare(record("R", &[("v", "\"geo.Point\"")])), None).err().unwrap();
    assert!(error.contains("geo.Point"), "{error}");
}

#[test]
fn a_logical_type_of_a_named_fixed_holds_where_it_is_named() {
    let amount = "{\"type\": \"fixed\", \"name\": \"Amount\", \"size\": 2, \"logicalType\": \"decimal\", \"precision\": 4, \"scale\": 2}";
    let schema =
        record("R", &[("a", amount), ("b", "\"Amount\""), ("c", "{\"type\": \"array\", \"items\": \"Amount\"}")]);
    let columns = vec![spec("a", "String"), spec("b", "Decimal(4, 2)"), spec("c", "String")];
    let mut table = Table::new(plan(columns), &schema);
    let record = [vec![0, 1, 0, 2], long(1), vec![0, 3], long(0)].concat();
    assert_eq!(outcome(&mut table, &record), "\"0.01\" / 2 / \"[0.03]\"");
}

#[test]
fn fingerprints() {
    let check = |schema: AvroSchema, expected: i64| {
        let parsed = Parsed::new(&schema, Defaults::Dropped).unwrap();
        let got = parsed.named().unwrap().fingerprint().unwrap();
        assert_eq!(got.cast_signed(), expected, "{}", schema.text);
    };
    // From the specification's own test data, share/test/data/schema-tests.txt.
    for (text, expected) in [
        ("\"null\"", 7195948357588979594),
        ("{\"type\": \"null\"}", 7195948357588979594),
        ("\"boolean\"", -6970731678124411036),
        ("\"int\"", 8247732601305521295),
        ("\"long\"", -3434872931120570953),
        ("\"float\"", 5583340709985441680),
        ("\"double\"", -8181574048448539266),
        ("\"bytes\"", 5746618253357095269),
        ("\"string\"", -8142146995180207161),
        ("[\"int\"]", -5232228896498058493),
        ("{\"fields\": [], \"type\": \"record\", \"name\": \"foo\"}", -4824392279771201922),
        ("{\"type\": \"fixed\", \"name\": \"foo\", \"size\": 15}", 1756455273707447556),
        (
            "{\"type\": \"record\", \"name\": \"PigValue\", \"fields\": [{\"name\": \"value\", \"type\": [\"null\", \"int\", \"long\", \"PigValue\"]}]}",
            -1759257747318642341,
        ),
        // What a value means does not change how it is read.
        ("{\"type\": \"long\", \"logicalType\": \"timestamp-millis\", \"doc\": \"x\"}", -3434872931120570953),
        ("{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 4, \"scale\": 2}", 5746618253357095269),
    ] {
        check(AvroSchema::alone(text), expected);
    }
    // References are written out.
    let foo = "{\"type\": \"fixed\", \"name\": \"foo\", \"size\": 15}".to_owned();
    check(AvroSchema { text: "\"foo\"".to_owned(), references: vec![foo] }, 1756455273707447556);
}

#[test]
fn fingerprints_are_the_oracle_s_where_no_logical_type_is() {
    let schema = "{\"type\": \"record\", \"name\": \"R\", \"namespace\": \"a.b\", \"doc\": \"d\", \"fields\": [\
        {\"name\": \"e\", \"type\": {\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"X\", \"Y\"]}, \"default\": \"X\"},\
        {\"name\": \"m\", \"type\": {\"type\": \"map\", \"values\": [\"null\", \"E\", \"R\"]}},\
        {\"name\": \"l\", \"type\": {\"type\": \"array\", \"items\": {\"type\": \"fixed\", \"name\": \"other.F\", \"size\": 3}}},\
        {\"name\": \"f\", \"type\": {\"type\": \"string\"}}]}";
    let theirs = apache_avro::Schema::parse_str(schema).unwrap().fingerprint::<apache_avro::rabin::Rabin>().bytes;
    let parsed = Parsed::new(&AvroSchema::alone(schema), Defaults::Dropped).unwrap();
    assert_eq!(parsed.named().unwrap().fingerprint().unwrap().to_le_bytes().to_vec(), theirs);
}

#[test]
fn columns_and_branches_that_multiply_are_bounded() {
    // Unions of many records inside each other, and a tuple as deep as a type may be.
    let names: Vec<String> = (0..60).map(|number| format!("\"U{number}\"")).collect();
    let union = format!("[\"null\", {}]", names.join(", "));
    let first = record(
        "U0",
        &[(
            "n",
            &format!(
                "[\"null\", {}]",
                (1..60).map(|number| record(&format!("U{number}"), &[("n", "\"U0\"")])).collect::<Vec<_>>().join(", ")
            ),
        )],
    );
    let column = format!("{}Int8{}", "Tuple(n ".repeat(20), ")".repeat(20));
    let plan = plan(vec![spec("v", &column)]);
    let schema = AvroSchema { text: record("R", &[("v", &union)]), references: vec![first] };
    let error = AvroPlan::compile(&schema, None, &plan, &Target::of_values(&plan)).err().unwrap();
    assert_eq!(error, "schema and columns together have more than 100000 pieces");
}
