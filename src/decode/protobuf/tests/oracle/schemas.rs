//! Message types: written by hand for what is easily missed, else generated.

use std::fmt::Write as _;

use super::values::Generator;

const ALL3: &str = r#"syntax = "proto3";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum E { ZERO = 0; ONE = 1; TWO = 2; BELOW = -7; FAR = 100000; }
message P { int32 x = 1; string y = 2; optional E e = 3; repeated P more = 4; map<string, P> by_name = 5; oneof k { int32 a = 6; P b = 7; string c = 8; } }
message M {
  int32 i4 = 1; int64 i8 = 2; uint32 u4 = 3; uint64 u8 = 4; sint32 z4 = 5; sint64 z8 = 6; fixed32 f4 = 7; fixed64 f8 = 8;
  sfixed32 s4 = 9; sfixed64 s8 = 10; float fl = 11; double db = 12; bool b = 13; string s = 14; bytes by = 15; E e = 16;
  P p = 17; repeated P ps = 18; repeated int64 packed = 19; repeated sint32 loose = 20 [packed = false]; repeated E es = 21;
  repeated string texts = 22; repeated double dbs = 23; repeated bool bs = 24; repeated fixed32 f4s = 25;
  map<string, int32> counts = 30; map<int64, P> points = 31; map<bool, string> truths = 32; map<fixed32, E> enums = 33;
  oneof kind { string name = 40; P point = 41; int64 number = 42; google.protobuf.Timestamp when = 43; E which = 44; }
  optional int32 maybe = 50; optional string maybe_text = 51;
  google.protobuf.Timestamp at = 60; google.protobuf.Duration took = 61; google.protobuf.Struct free = 62;
  google.protobuf.Value any_value = 63; google.protobuf.ListValue any_list = 64; google.protobuf.Any any = 65;
  google.protobuf.FieldMask mask = 66; google.protobuf.Int32Value wi = 67; google.protobuf.StringValue ws = 68;
  google.protobuf.BoolValue wb = 69; google.protobuf.DoubleValue wd = 70; google.protobuf.BytesValue wy = 71;
  repeated google.protobuf.Timestamp times = 72; map<string, google.protobuf.UInt64Value> wrapped = 73;
  repeated google.protobuf.Any anys = 74; repeated google.protobuf.Value values = 75; int32 far = 5000; int32 farthest = 536870911;
}
"#;

const ALL2: &str = r#"syntax = "proto2";
enum E { FIRST = 3; SECOND = 1; NEGATIVE = -2; }
message P {
  optional int32 x = 1 [default = -5]; required string y = 2; optional group Inner = 3 { optional E e = 1; repeated int32 list = 2; }
  optional P p = 4; extensions 100 to 200;
}
message M {
  optional int32 a = 1; required int64 b = 2; optional string c = 3 [default = "it's \"d\""]; optional bytes d = 4 [default = "\x01\xff"];
  optional E e = 5; optional E f = 6 [default = SECOND]; optional double g = 7 [default = -inf]; optional bool h = 8 [default = true];
  repeated int32 loose = 9; repeated int32 tight = 10 [packed = true]; repeated E es = 11 [packed = true]; optional P p = 12;
  repeated group Many = 13 { optional int32 n = 1; optional P p = 2; repeated group Deep = 3 { optional float f = 1; } }
  oneof k { int32 one = 14; P two = 15; group Three = 16 { optional string t = 1; } E four = 17; }
  map<string, E> map = 18; map<int32, P> points = 19; optional uint64 far = 70000; repeated P ps = 20; optional float inf = 21 [default = 1e10];
}
"#;

const SCALARS: [&str; 15] = [
    "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64", "float",
    "double", "bool", "string", "bytes",
];
const KEYS: [&str; 8] = ["string", "int32", "uint64", "sint64", "fixed32", "sfixed64", "bool", "string"];
const WELL_KNOWN: [&str; 11] = [
    "Timestamp",
    "Duration",
    "Struct",
    "Value",
    "ListValue",
    "Any",
    "FieldMask",
    "Int32Value",
    "StringValue",
    "BoolValue",
    "UInt64Value",
];
/// Generated messages beside the record's own.
const MESSAGES: u32 = 3;

impl Generator {
    /// A file with the message `M`.
    pub(super) fn schema(&mut self) -> String {
        match self.below(14) {
            0 => return ALL3.to_owned(),
            1 => return ALL2.to_owned(),
            _ => {}
        }
        let proto3 = !self.one_in(3);
        let mut text = format!("syntax = \"{}\";\n", if proto3 { "proto3" } else { "proto2" });
        for file in ["any", "duration", "field_mask", "struct", "timestamp", "wrappers"] {
            writeln!(text, "import \"google/protobuf/{file}.proto\";").unwrap();
        }
        let first = if proto3 { 0 } else { 5 };
        writeln!(text, "enum E {{ A = {first}; B = 1; C = 2; D = -1; F = 400; }}").unwrap();
        for number in 0..=MESSAGES {
            let name = if number == 0 { "M".to_owned() } else { format!("N{number}") };
            writeln!(text, "message {name} {{").unwrap();
            let fields = self.below(if number == 0 { 12 } else { 5 }) + 1;
            let mut field = Names::default();
            for _ in 0..fields {
                let line = self.field(&mut field, proto3);
                writeln!(text, "  {line}").unwrap();
            }
            text.push_str("}\n");
        }
        text
    }

    fn field(&mut self, names: &mut Names, proto3: bool) -> String {
        let (name, number) = names.next(self);
        let kind = self.kind();
        let scalar = SCALARS.contains(&kind.as_str()) || kind == "E";
        let packable = scalar && kind != "string" && kind != "bytes";
        match self.below(10) {
            0 | 1 => {
                let packed = match self.below(3) {
                    _ if !packable => "",
                    0 => " [packed = true]",
                    1 => " [packed = false]",
                    _ => "",
                };
                format!("repeated {kind} {name} = {number}{packed};")
            }
            2 => format!("map<{}, {kind}> {name} = {number};", KEYS[self.place(KEYS.len())]),
            3 => {
                let members: Vec<_> = (0..=self.below(3) + 1)
                    .map(|_| {
                        let (name, number) = names.next(self);
                        format!("{} {name} = {number};", self.kind())
                    })
                    .collect();
                format!("oneof {name} {{ {} }}", members.join(" "))
            }
            4 if !proto3 => {
                let label = if self.one_in(2) { "optional" } else { "repeated" };
                let group = format!("G{name}");
                format!("{label} group {group} = {number} {{ optional {kind} inner = 1; repeated int32 list = 7; }}")
            }
            _ if proto3 && self.one_in(3) => format!("optional {kind} {name} = {number};"),
            _ if proto3 => format!("{kind} {name} = {number};"),
            5 => format!("required {kind} {name} = {number};"),
            6 => {
                let default = match kind.as_str() {
                    "string" | "bytes" => "\"x\\ty\"",
                    "bool" => "true",
                    "E" => "C",
                    "float" | "double" => "-0.5",
                    _ if scalar => "12",
                    _ => return format!("optional {kind} {name} = {number};"),
                };
                format!("optional {kind} {name} = {number} [default = {default}];")
            }
            _ => format!("optional {kind} {name} = {number};"),
        }
    }

    fn kind(&mut self) -> String {
        match self.below(10) {
            0 | 1 => format!("N{}", self.below(MESSAGES) + 1),
            2 => "E".to_owned(),
            3 => format!("google.protobuf.{}", WELL_KNOWN[self.place(WELL_KNOWN.len())]),
            _ => SCALARS[self.place(SCALARS.len())].to_owned(),
        }
    }
}

/// Names and numbers of the fields of one message.
#[derive(Default)]
struct Names {
    given: u32,
    numbers: Vec<u32>,
}

impl Names {
    fn next(&mut self, generator: &mut Generator) -> (String, u32) {
        self.given += 1;
        loop {
            let number = match generator.below(6) {
                0 => generator.below(500_000) + 20_000,
                1 => generator.below(1_000) + 1,
                _ => generator.below(30) + 1,
            };
            // Some numbers in between are for unknown fields.
            if number % 7 != 6 && !self.numbers.contains(&number) {
                self.numbers.push(number);
                return (format!("f_{}", self.given), number);
            }
        }
    }
}
