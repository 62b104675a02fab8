//! What each column takes of a scalar, a list, a map, and of messages that mean more than their fields.

use super::{column, f4, f8, g, l, plan, schema, store, v};

const SCALARS: &str = r#"syntax = "proto3";
    enum E { ZERO = 0; ONE = 1; ALSO_ONE = 1; FAR = 1000; BELOW = -3; option allow_alias = true; }
    message M {
      int32 i4 = 1; int64 i8 = 2; uint32 u4 = 3; uint64 u8 = 4; sint32 z4 = 5; sint64 z8 = 6;
      fixed32 f4 = 7; fixed64 f8 = 8; sfixed32 s4 = 9; sfixed64 s8 = 10;
      float fl = 11; double db = 12; bool b = 13; string s = 14; bytes by = 15; E e = 16;
      int32 far = 500; int32 farthest = 536870911;
    }"#;

/// Stores one field in a column of each type.
fn check(field: &str, record: impl AsRef<[u8]>, cases: &[(&str, &str)]) {
    let schema = schema(SCALARS);
    for (type_text, expected) in cases {
        let stored = store(&schema, plan(vec![column(field, type_text)]), record.as_ref());
        let stored = stored.strip_prefix(&format!("field {field} ({type_text}): ")).unwrap_or(&stored);
        assert_eq!(stored, *expected, "{field} {type_text}");
    }
}

#[test]
fn integers() {
    let out_of_range = |bytes: &str| format!("outside the range of the column at byte 1: {bytes}");
    let big = out_of_range("0xac02");
    let as_ever = [
        ("Int32", "300"),
        ("Int16", "300"),
        ("UInt64", "300"),
        ("Int128", "300"),
        ("Float64", "300.0"),
        ("Decimal(9, 2)", "30000"),
        ("String", "\"300\""),
        ("Nullable(UInt16)", "300"),
        ("LowCardinality(String)", "\"300\""),
        ("UInt8", big.as_str()),
        ("DateTime", "300"),
        ("UUID", "not a kind of value that the column takes at byte 1: 0xac02"),
        ("Array(Int32)", "not a kind of value that the column takes at byte 1: 0xac02"),
        ("Tuple(a Int32)", "not a kind of value that the column takes at byte 1: 0xac02"),
    ];
    check("i4", v(1, 300), &as_ever);
    check("i4", v(1, -1), &[("Int32", "-1"), ("UInt64", &out_of_range("0xffffffffffffffffff01"))]);
    // A number of 32 bits has the lower half of what is written.
    check("i4", v(1, 0x1_0000_0005), &[("Int64", "5")]);
    check("i8", v(2, i64::MIN), &[("Int64", "-9223372036854775808")]);
    check("u4", v(3, 0xFFFF_FFFF), &[("Int64", "4294967295")]);
    check("u4", v(3, -1), &[("Int64", "4294967295")]);
    check("u8", v(4, -1), &[("UInt64", "18446744073709551615"), ("String", "\"18446744073709551615\"")]);
    check("u8", v(4, -1), &[("Int64", &out_of_range("0xffffffffffffffffff01")), ("Int128", "18446744073709551615")]);
    check("z4", v(5, 0xFFFF_FFFF), &[("Int32", "-2147483648")]);
    check("z4", v(5, 1), &[("Int32", "-1")]);
    check("z8", v(6, -2), &[("Int64", "9223372036854775807")]);
    check("f4", f4(7, [0xFF; 4]), &[("UInt32", "4294967295")]);
    check("f8", f8(8, [0xFF; 8]), &[("UInt64", "18446744073709551615")]);
    check("s4", f4(9, [0xFE, 0xFF, 0xFF, 0xFF]), &[("Int32", "-2")]);
    check("s8", f8(10, (-5_i64).to_le_bytes()), &[("Int64", "-5")]);
    check("far", v(500, 7), &[("Int32", "7")]);
    check("farthest", v(536_870_911, 7), &[("Int32", "7")]);
}

#[test]
fn other_scalars() {
    let float = f4(11, 0.1_f32.to_le_bytes());
    check("fl", float, &[("Float32", "0.1"), ("Float64", "0.10000000149011612"), ("String", "\"0.1\"")]);
    let double = f8(12, 2.5_f64.to_le_bytes());
    check("db", &double, &[("Float64", "2.5"), ("Float32", "2.5"), ("Decimal(9, 1)", "25")]);
    check("db", &double, &[("Int32", "not an integer at byte 1: 0x0000000000000440")]);
    check("b", v(13, 1), &[("Bool", "true"), ("UInt8", "1"), ("String", "\"true\"")]);
    check("b", v(13, 256), &[("Bool", "true")]);
    check("s", l(14, "x\u{e9}"), &[("String", "\"xé\""), ("FixedString(4)", "\"xé\\0\"")]);
    check("s", l(14, "x\u{e9}"), &[("LowCardinality(Nullable(String))", "\"xé\"")]);
    check("s", l(14, "12"), &[("UInt8", "12"), ("DateTime", "12")]);
    check("s", l(14, "x\u{e9}"), &[("FixedString(2)", "longer than the column at byte 1: 0x0378c3a9")]);
    check("s", l(14, ""), &[("Nullable(String)", "\"\"")]);
    check("by", l(15, "ab"), &[("String", "\"ab\""), ("FixedString(3)", "\"ab\\0\"")]);
    check("by", l(15, [1; 16]), &[("UUID", "01010101010101010101010101010101")]);
    check("by", l(15, [1, 2, 3, 4]), &[("IPv4", "1.2.3.4")]);
}

#[test]
fn enums() {
    let one = v(16, 1);
    check("e", &one, &[("String", "\"ONE\""), ("Int32", "1"), ("LowCardinality(String)", "\"ONE\"")]);
    check("e", &one, &[("Enum8('ONE' = 5, 'ZERO' = 7)", "5")]);
    check("e", &one, &[("Nullable(Enum16('ONE' = 500, 'ZERO' = 7))", "500")]);
    check("e", v(16, -3), &[("String", "\"BELOW\""), ("Int8", "-3")]);
    check("e", v(16, 1000), &[("String", "\"FAR\"")]);
    let unknown = "not a value of the enum at byte 2: 0x09";
    check("e", v(16, 9), &[("String", "\"9\""), ("Int8", "9"), ("Enum8('ZERO' = 0, 'x' = 9)", "9")]);
    check("e", v(16, 9), &[("Enum8('ZERO' = 0, 'x' = 8)", unknown)]);
    // The first value, which is also what absence means.
    check("e", [], &[("String", "\"ZERO\""), ("Enum8('first' = -5, 'ZERO' = 3)", "3")]);
}

#[test]
fn zero_is_what_absence_means_without_presence() {
    check("i4", [], &[("Nullable(Int32)", "0"), ("String", "\"0\"")]);
    check("s", [], &[("Nullable(String)", "\"\"")]);
    check("b", [], &[("Nullable(Bool)", "false")]);
    check("db", [], &[("Nullable(Float64)", "0.0")]);
}

/// Messages of all other kinds of fields.
const FIELDS: &str = r#"syntax = "proto3";
    import "google/protobuf/any.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/empty.proto";
    import "google/protobuf/field_mask.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/wrappers.proto";
    import "confluent/meta.proto";
    import "confluent/type/decimal.proto";
    enum E { ZERO = 0; ONE = 1; }
    message P { int32 x = 1; string name_of_y = 2; optional int32 o = 3; repeated P more = 4; E e = 5; }
    message M {
      repeated int32 list = 1; repeated string texts = 2; repeated P points = 3; repeated E es = 4;
      map<string, int32> map = 5; map<int64, P> by_id = 6; map<bool, string> by_truth = 7; P p = 8;
      google.protobuf.Timestamp at = 10; google.protobuf.Duration took = 11; google.protobuf.Int32Value w = 12;
      google.protobuf.StringValue ws = 13; google.protobuf.Struct st = 14; google.protobuf.Value va = 15;
      google.protobuf.ListValue li = 16; google.protobuf.Any any = 17; google.protobuf.FieldMask mask = 18;
      google.protobuf.Empty empty = 19; confluent.type.Decimal dec = 20 [(confluent.field_meta) = { doc: "money" }];
      repeated google.protobuf.Timestamp times = 21; repeated google.protobuf.Value values = 22;
      map<string, google.protobuf.Int64Value> wraps = 23; google.protobuf.BytesValue wb = 24;
    }"#;

fn fields(field: &str, record: impl AsRef<[u8]>, cases: &[(&str, &str)]) {
    let schema = schema(FIELDS);
    for (type_text, expected) in cases {
        let stored = store(&schema, plan(vec![column(field, type_text)]), record.as_ref());
        let stored = stored.strip_prefix(&format!("field {field} ({type_text}): ")).unwrap_or(&stored);
        assert_eq!(stored, *expected, "{field} {type_text}");
    }
}

#[test]
fn lists() {
    let lists =
        [("Array(Int32)", "[1, -2, 3]"), ("String", r#""[1,-2,3]""#), ("Tuple(Int8, Int8, Int8)", "(1, -2, 3)")];
    let packed = [&[1][..], &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], &[3]].concat();
    fields("list", l(1, packed), &lists);
    fields("list", [v(1, 1), v(1, -2), v(1, 3)].concat(), &lists);
    fields("list", [v(1, 1), v(5, 1), l(1, [0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 3])].concat(), &lists);
    fields("list", l(1, []), &[("Array(Int32)", "[]"), ("String", "\"[]\"")]);
    fields("list", [], &[("Array(Int32)", "[]"), ("String", "\"[]\"")]);
    fields("list", [v(1, 1), v(1, 300)].concat(), &[("Array(Nullable(String))", r#"["1", "300"]"#)]);
    let range = "outside the range of the column at byte 3: 0xac02";
    fields("list", [v(1, 1), v(1, 300)].concat(), &[("Array(UInt8)", range)]);
    let kind = "not a kind of value that the column takes at byte 1: 0x010801";
    fields("list", [v(1, 1), v(1, 1)].concat(), &[("Int32", kind), ("Map(String, Int8)", kind)]);
    fields("list", [v(1, 1), v(1, 1)].concat(), &[("Tuple(Int8, Int8, Int8)", kind), ("Tuple(a Int8, b Int8)", kind)]);
    fields(
        "texts",
        [l(2, "a"), l(2, "")].concat(),
        &[("Array(String)", r#"["a", ""]"#), ("String", r#""[\"a\",\"\"]""#)],
    );
    let longer = "not a kind of value that the column takes at byte 3: 0x01";
    fields("list", [v(1, 1), v(1, 1)].concat(), &[("Tuple(Int8)", longer)]);
    fields("texts", [l(2, "a"), l(2, "b")].concat(), &[("Array(LowCardinality(String))", r#"["a", "b"]"#)]);
    fields(
        "es",
        l(4, [1, 0, 7]),
        &[("Array(String)", r#"["ONE", "ZERO", "7"]"#), ("String", r#""[\"ONE\",\"ZERO\",7]""#)],
    );
    let points = [l(3, [v(1, 5), l(2, "n")].concat()), l(3, []), l(3, v(3, 0))].concat();
    fields(
        "points",
        points,
        &[
            (
                "Array(Tuple(x Int8, nameOfY String, o Nullable(Int8)))",
                r#"[(5, "n", NULL), (0, "", NULL), (0, "", 0)]"#,
            ),
            ("Array(String)", r#"["{\"x\":5,\"name_of_y\":\"n\"}", "{}", "{\"o\":0}"]"#),
            ("String", r#""[{\"x\":5,\"name_of_y\":\"n\"},{},{\"o\":0}]""#),
            ("Array(Map(String, String))", r#"[{"x": "5", "name_of_y": "n"}, {}, {"o": "0"}]"#),
        ],
    );
}

#[test]
fn maps() {
    let entry = |key: &str, value: i64| l(5, [l(1, key), v(2, value)].concat());
    let record = [entry("a", 1), entry("b", 2), entry("a", 3)].concat();
    fields("map", record, &[("Map(String, Int32)", r#"{"b": 2, "a": 3}"#), ("String", r#""{\"b\":2,\"a\":3}""#)]);
    // A key or a value that is left out is zero; the order inside an entry is free, and the last of each counts.
    let record =
        [l(5, v(2, 7)), l(5, l(1, "k")), l(5, [v(2, 1), l(1, "x"), v(2, 2), l(1, "y"), v(9, 9)].concat())].concat();
    fields("map", record, &[("Map(LowCardinality(String), Int8)", r#"{"": 7, "k": 0, "y": 2}"#)]);
    fields("map", [], &[("Map(String, Int32)", "{}"), ("String", "\"{}\"")]);
    fields("map", entry("x", 300), &[("Map(String, UInt8)", "outside the range of the column at byte 6: 0xac02")]);
    let kind = "not a kind of value that the column takes at byte 2: 0x0a01781001";
    fields("map", entry("x", 1), &[("Array(Int8)", kind), ("Int8", kind)]);
    let point = |id: i64, x: i64| l(6, [v(1, id), l(2, v(1, x))].concat());
    fields(
        "by_id",
        [point(-1, 1), point(2, 2), l(6, v(1, 5))].concat(),
        &[
            ("Map(Int64, Tuple(x Int8))", "{-1: (1), 2: (2), 5: (0)}"),
            ("String", r#""{\"-1\":{\"x\":1},\"2\":{\"x\":2},\"5\":{}}""#),
        ],
    );
    fields("by_truth", l(7, [v(1, 1), l(2, "t")].concat()), &[("Map(Bool, String)", r#"{true: "t"}"#)]);
    fields("by_truth", l(7, l(2, "f")), &[("String", r#""{\"false\":\"f\"}""#)]);
}

#[test]
fn times_and_wrappers() {
    let moment = |seconds: i64, nanos: i64| [v(1, seconds), v(2, nanos)].concat();
    fields(
        "at",
        l(10, moment(86_400, 500_000_000)),
        &[
            ("DateTime64(3)", "86400500"),
            ("DateTime", "86400"),
            ("Date", "1"),
            ("Nullable(DateTime64(9))", "86400500000000"),
            ("String", "\"1970-01-02T00:00:00.5Z\""),
            ("Tuple(nanos Int32, seconds Int64)", "(500000000, 86400)"),
            ("Array(Int8)", "not a kind of value that the column takes at byte 2: 0x0880a3051080cab5ee01"),
        ],
    );
    fields("at", l(10, []), &[("Nullable(DateTime)", "0")]);
    fields("at", [], &[("Nullable(DateTime)", "NULL")]);
    fields("at", [l(10, v(1, 5)), l(10, v(2, 9))].concat(), &[("DateTime64(9)", "5000000009")]);
    let bad = |bytes: &str| format!("not a date or time that the column takes at byte 2: {bytes}");
    let times = "; it takes ISO 8601, as 2026-01-31T10:00:00.5+02:00 or 20260131T100000Z, and numbers since 1970";
    let unlike = bad("0x080010ffffffffffffffffff01") + times;
    fields("at", l(10, moment(0, -1)), &[("DateTime", &unlike)]);
    fields("at", l(10, moment(0, 1_000_000_000)), &[("String", &bad("0x0800108094ebdc03"))]);
    fields("times", [l(21, moment(1, 0)), l(21, moment(2, 0))].concat(), &[("Array(DateTime)", "[1, 2]")]);
    fields(
        "took",
        l(11, moment(-3, -500_000_000)),
        &[("Decimal(18, 3)", "-3500"), ("Float64", "-3.5"), ("String", "\"-3.5s\"")],
    );
    fields("took", l(11, moment(0, -1)), &[("Decimal(18, 9)", "-1")]);
    let one_sign = "not a date or time that the column takes at byte 2: 0x080110ffffffffffffffffff01";
    fields("took", l(11, moment(1, -1)), &[("Int64", one_sign)]);
    fields(
        "w",
        l(12, v(1, 7)),
        &[("Int32", "7"), ("Nullable(Int8)", "7"), ("String", "\"7\""), ("Tuple(value Int8)", "(7)")],
    );
    fields("w", l(12, []), &[("Nullable(Int8)", "0")]);
    fields("w", [], &[("Nullable(Int8)", "NULL"), ("Int8", "0")]);
    fields("w", [l(12, v(1, 7)), l(12, v(1, 8))].concat(), &[("Int8", "8")]);
    fields("ws", l(13, l(1, "x")), &[("String", "\"x\""), ("LowCardinality(Nullable(String))", "\"x\"")]);
    fields("wb", l(24, l(1, "x")), &[("String", "\"x\"")]);
    fields("wraps", l(23, [l(1, "k"), l(2, v(1, 5))].concat()), &[("Map(String, Nullable(Int8))", r#"{"k": 5}"#)]);
    fields("wraps", l(23, [l(1, "k"), l(2, v(1, 5))].concat()), &[("String", r#""{\"k\":5}""#)]);
}

#[test]
fn other_well_known_messages() {
    let number = |value: f64| f8(2, value.to_le_bytes());
    let entry = |key: &str, value: &[u8]| l(1, [l(1, key), l(2, value)].concat());
    let list = l(6, [l(1, number(1.0)), l(1, v(1, 0)), l(1, l(3, "x"))].concat());
    let object = [entry("a", &number(-2.5)), entry("b", &list), entry("c", &v(4, 1)), entry("d", &[])].concat();
    let text = r#""{\"a\":-2.5,\"b\":[1,null,\"x\"],\"c\":true,\"d\":null}""#;
    fields("st", l(14, &object), &[("String", text), ("Tuple(a Float64, c Bool)", "(-2.5, true)")]);
    fields("st", l(14, l(1, [l(1, "k"), l(2, number(5.0))].concat())), &[("Map(String, UInt8)", r#"{"k": 5}"#)]);
    fields("st", l(14, []), &[("String", "\"{}\"")]);
    fields("st", [], &[("Nullable(String)", "NULL")]);
    fields("va", l(15, number(5.0)), &[("UInt8", "5"), ("String", "\"5\""), ("Float64", "5.0")]);
    fields("va", l(15, number(1e300)), &[("Float64", "1e300")]);
    fields("va", l(15, l(3, "x")), &[("String", "\"x\"")]);
    fields("va", l(15, v(1, 0)), &[("Nullable(String)", "NULL"), ("String", "\"\"")]);
    // Of a oneof the last one counts, and an object that comes again after another value begins anew.
    let again = [l(5, entry("a", &number(1.0))), v(4, 1), l(5, entry("b", &number(2.0)))].concat();
    fields("va", l(15, again), &[("String", r#""{\"b\":2}""#)]);
    fields("va", l(15, l(5, &object)), &[("String", text)]);
    fields("va", l(15, l(3, "x")), &[("Int8", "not a number at byte 2: 0x1a0178")]);
    fields(
        "li",
        l(16, [l(1, number(1.0)), l(1, number(2.0))].concat()),
        &[("Array(Int8)", "[1, 2]"), ("String", "\"[1,2]\"")],
    );
    fields("values", [l(22, l(3, "x")), l(22, number(2.0))].concat(), &[("Array(String)", r#"["x", "2"]"#)]);
    fields("values", [l(22, l(3, "x")), l(22, number(2.0))].concat(), &[("String", r#""[\"x\",2]""#)]);
    let any = |url: &str, value: Vec<u8>| l(17, [l(1, url), l(2, value)].concat());
    fields(
        "any",
        any("type.googleapis.com/P", [v(1, 5), l(4, l(2, "y"))].concat()),
        &[
            ("String", r#""{\"@type\":\"type.googleapis.com/P\",\"x\":5,\"more\":[{\"name_of_y\":\"y\"}]}""#),
            ("Tuple(type_url String)", r#"("type.googleapis.com/P")"#),
        ],
    );
    fields("any", any("x/P", Vec::new()), &[("String", r#""{\"@type\":\"x/P\"}""#)]);
    fields("any", any("x/Q", b"abc".to_vec()), &[("String", r#""{\"@type\":\"x/Q\",\"value\":\"YWJj\"}""#)]);
    fields("any", l(17, l(2, "abc")), &[("String", r#""{\"value\":\"YWJj\"}""#)]);
    fields("any", l(17, []), &[("String", "\"{}\"")]);
    let wrapped = any("t/google.protobuf.Int32Value", v(1, 5));
    fields("any", wrapped, &[("String", r#""{\"@type\":\"t/google.protobuf.Int32Value\",\"value\":5}""#)]);
    fields(
        "any",
        any("x/P", v(1, 5)),
        &[("Int8", "not a kind of value that the column takes at byte 3: 0x0a03782f5012020805")],
    );
    let mask = l(18, [l(1, "a.b"), l(1, "c")].concat());
    fields("mask", &mask, &[("String", "\"a.b,c\""), ("Nullable(String)", "\"a.b,c\"")]);
    fields("mask", &mask, &[("Tuple(paths Array(String))", r#"(["a.b", "c"])"#)]);
    fields("$.mask.paths", &mask, &[("Array(String)", r#"["a.b", "c"]"#)]);
    fields("empty", l(19, []), &[("String", "\"{}\"")]);
    let decimal = |digits: &[u8], scale: i64| l(20, [l(1, digits), v(3, scale)].concat());
    fields(
        "dec",
        decimal(&[0x30, 0x39], 2),
        &[("Decimal(9, 2)", "12345"), ("Decimal(9, 3)", "123450"), ("String", "\"123.45\"")],
    );
    fields("dec", decimal(&[0xFF], 1), &[("Decimal(9, 2)", "-10"), ("Float64", "-0.1")]);
    fields("dec", decimal(&[], 0), &[("Int8", "0")]);
    let range = "outside the range of the column at byte 3: 0x0a011818ffffffffffffffffff01";
    fields("dec", decimal(&[24], -1), &[("Decimal(9, 2)", range)]);
    let stored = store(&schema(FIELDS), plan(vec![column("dec", "Decimal(76, 0)")]), &decimal(&[1; 33], 0));
    assert!(stored.contains("outside the range"), "{stored}");
}

#[test]
fn groups_are_messages() {
    let schema = schema(
        r#"syntax = "proto2";
        message M { optional group One = 1 { optional int32 x = 1; } repeated group Many = 2 { optional int32 y = 1; } }"#,
    );
    let columns = || {
        plan(vec![column("one", "Tuple(x Int8)"), column("many", "Array(Tuple(y Int8))"), column("$.one.x", "Int8")])
    };
    let record = [g(1, v(1, 5)), g(2, v(1, 1)), g(1, g(9, v(1, 7))), g(2, [])].concat();
    assert_eq!(store(&schema, columns(), &record), "(5) | [(1), (0)] | 5");
    // The same as messages with a length: another wire type, so unknown, and none is left.
    let stored = store(&schema, columns(), &[l(1, v(1, 5)), l(2, v(1, 1))].concat());
    assert!(stored.starts_with("the schema has none of its fields"), "{stored}");
    assert_eq!(store(&schema, columns(), &[g(1, v(1, 5)), l(2, v(1, 1))].concat()), "(5) | [] | 5");
}
