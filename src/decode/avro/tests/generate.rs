//! Schemas, values and columns at random, from one stream of numbers.

use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, ResolvedSchema, Schema, UuidSchema};
use apache_avro::types::Value;
use apache_avro::{Days, Decimal, Duration, Millis, Months};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};
use serde_json::{Value as Json, json};

/// Types inside each other.
const DEPTH_MAX: u32 = 4;
/// Values inside each other, where a type has no end of its own.
const VALUE_DEPTH_MAX: u32 = 12;

pub(super) struct Generator {
    pub(super) random: SmallRng,
    names: u32,
    /// Named types that are defined.
    defined: Vec<String>,
    /// Records around the present place.
    open: Vec<String>,
    /// Whether schemas stay within what the oracle resolves as the specification says.
    pub(super) tame: bool,
}

impl Generator {
    pub(super) fn new(random: SmallRng) -> Self {
        Self { random, names: 0, defined: Vec::new(), open: Vec::new(), tame: false }
    }

    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.random.random_range(0..bound)
    }

    pub(super) fn one_in(&mut self, bound: u32) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())].clone()
    }

    pub(super) fn name(&mut self) -> String {
        self.names += 1;
        // Always in full: what stands inside another takes its namespace else.
        let space = if self.one_in(3) { "n.s" } else { "n" };
        format!("{space}.T{}", self.names)
    }

    /// A record schema that is no part of another.
    pub(super) fn schema(&mut self) -> Json {
        (self.names, self.defined, self.open) = (0, Vec::new(), Vec::new());
        self.record(0)
    }

    fn record(&mut self, depth: u32) -> Json {
        let name = self.name();
        self.open.push(name.clone());
        let count = if depth == 0 { 1 + self.below(6) } else { self.below(4) };
        let fields: Vec<Json> =
            (0..count).map(|place| json!({ "name": format!("f{place}"), "type": self.kind(depth + 1) })).collect();
        self.open.pop();
        self.defined.push(name.clone());
        json!({ "type": "record", "name": name, "fields": fields })
    }

    fn kind(&mut self, depth: u32) -> Json {
        let composite = depth < DEPTH_MAX && self.one_in(3);
        if !composite {
            return self.leaf();
        }
        match self.below(8) {
            0 | 1 => self.record(depth),
            2 | 3 => json!({ "type": "array", "items": self.kind(depth + 1) }),
            4 => json!({ "type": "map", "values": self.kind(depth + 1) }),
            5 if !self.open.is_empty() && !self.tame => {
                let open = self.open.clone();
                let outer = self.pick(&open);
                match self.below(3) {
                    0 => json!(["null", outer]),
                    1 => json!({ "type": "array", "items": outer }),
                    _ => json!({ "type": "map", "values": outer }),
                }
            }
            6 => self.union(depth),
            _ => self.optional(depth),
        }
    }

    fn optional(&mut self, depth: u32) -> Json {
        loop {
            let known = self.defined.len();
            let kind = self.kind(depth + 1);
            if !kind.is_array() && kind != "null" {
                return if self.one_in(4) { json!([kind, "null"]) } else { json!(["null", kind]) };
            }
            self.defined.truncate(known);
        }
    }

    fn union(&mut self, depth: u32) -> Json {
        // One of each kind: that is all a union may have, and logical types count as what they are made of.
        let mut kinds: Vec<u32> = (0..11).collect();
        for place in (1..kinds.len()).rev() {
            let other = self.random.random_range(0..=place);
            kinds.swap(place, other);
        }
        kinds.truncate(1 + self.random.random_range(0..8_usize));
        let branches = kinds.into_iter().filter_map(|kind| {
            Some(match kind {
                0 => json!("null"),
                1 => json!("boolean"),
                2 => self.pick(&[json!("int"), json!({ "type": "int", "logicalType": "date" })]),
                3 => self.pick(&[json!("long"), json!({ "type": "long", "logicalType": "timestamp-micros" })]),
                4 => json!("double"),
                5 => json!("float"),
                6 => self.pick(&[json!("string"), json!({ "type": "string", "logicalType": "uuid" })]),
                7 => json!({ "type": "array", "items": self.kind(depth + 1) }),
                8 => self.record(depth + 1),
                // Of these the oracle may take the wrong one.
                _ if self.tame => return None,
                9 => json!({ "type": "map", "values": self.kind(depth + 1) }),
                _ => self.enumeration(),
            })
        });
        let mut branches: Vec<Json> = branches.collect();
        if branches.is_empty() {
            branches.push(json!("bytes"));
        }
        json!(branches)
    }

    fn enumeration(&mut self) -> Json {
        let name = self.name();
        self.defined.push(name.clone());
        let symbols: Vec<String> = (0..1 + self.below(5)).map(|place| format!("S{place}")).collect();
        json!({ "type": "enum", "name": name, "symbols": symbols })
    }

    fn fixed(&mut self, size: u32, logical: Option<(&str, Json)>) -> Json {
        let name = self.name();
        self.defined.push(name.clone());
        let mut fixed = json!({ "type": "fixed", "name": name, "size": size });
        if let Some((logical, more)) = logical {
            fixed["logicalType"] = json!(logical);
            for (key, value) in more.as_object().unwrap() {
                fixed[key] = value.clone();
            }
        }
        fixed
    }

    fn leaf(&mut self) -> Json {
        let logical = |primitive: &str, logical: &str| json!({ "type": primitive, "logicalType": logical });
        match self.below(32) {
            0 => json!("null"),
            1 => json!("boolean"),
            2..=4 => json!("int"),
            5..=7 => json!("long"),
            8 => json!("float"),
            9 | 10 => json!("double"),
            11 | 12 => json!("bytes"),
            13..=16 => json!("string"),
            17 => {
                let size = self.below(20);
                self.fixed(size, None)
            }
            18 => self.enumeration(),
            19 if !self.defined.is_empty() && !self.tame => {
                let defined = self.defined.clone();
                json!(self.pick(&defined))
            }
            20 => logical("int", "date"),
            21 => logical("int", "time-millis"),
            22 => logical("long", "time-micros"),
            23 => logical("long", "timestamp-millis"),
            24 => logical("long", "timestamp-micros"),
            25 => logical("long", "timestamp-nanos"),
            26 => {
                let unit = self.pick(&["millis", "micros", "nanos"]);
                logical("long", &format!("local-timestamp-{unit}"))
            }
            27 => {
                let (precision, scale) = self.decimal();
                json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale })
            }
            28 => {
                let (precision, scale) = self.decimal();
                let more = json!({ "precision": precision, "scale": scale });
                self.fixed(16, Some(("decimal", more)))
            }
            29 if self.tame => json!("string"),
            29 => json!({ "type": "bytes", "logicalType": "big-decimal" }),
            30 => match self.below(2) {
                0 => logical("string", "uuid"),
                _ => self.fixed(16, Some(("uuid", json!({})))),
            },
            _ => self.fixed(12, Some(("duration", json!({})))),
        }
    }

    fn decimal(&mut self) -> (u32, u32) {
        let precision = 1 + self.below(30);
        (precision, self.below(precision + 1))
    }

    pub(super) fn value(&mut self, schema: &Schema, names: &ResolvedSchema<'_>, depth: u32) -> Value {
        match schema {
            Schema::Ref { name } => {
                let schema = names.get_names()[name];
                self.value(schema, names, depth)
            }
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.random.random()),
            Schema::Int => Value::Int(self.int()),
            Schema::Long => Value::Long(self.long()),
            Schema::Float => {
                Value::Float(self.pick(&[0.0, -0.0, 1.5, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, 0.1]))
            }
            Schema::Double => {
                let random = f64::from(self.int()) / 1_000.0;
                Value::Double(self.pick(&[0.0, -1e300, 5e-324, f64::NEG_INFINITY, 0.1, random, random]))
            }
            Schema::Bytes => Value::Bytes(self.bytes()),
            Schema::String => Value::String(self.text()),
            Schema::Fixed(fixed) => Value::Fixed(fixed.size, (0..fixed.size).map(|_| self.random.random()).collect()),
            Schema::Enum(symbols) => {
                let place = self.random.random_range(0..symbols.symbols.len());
                Value::Enum(u32::try_from(place).unwrap(), symbols.symbols[place].clone())
            }
            Schema::Array(array) => {
                let count = if depth > VALUE_DEPTH_MAX { 0 } else { self.below(4) };
                Value::Array((0..count).map(|_| self.value(&array.items, names, depth + 1)).collect())
            }
            Schema::Map(map) => {
                // The oracle's maps have no order: where it makes new ones, one entry has to do.
                let most = if self.tame { 2 } else { 4 };
                let count = if depth > VALUE_DEPTH_MAX { 0 } else { self.below(most) };
                Value::Map(
                    (0..count).map(|place| (format!("k{place}"), self.value(&map.types, names, depth + 1))).collect(),
                )
            }
            Schema::Union(union) => {
                let ends = |branch: &&Schema| matches!(branch, Schema::Null);
                let null = union.variants().iter().position(|branch| ends(&branch));
                let place = match null {
                    Some(null) if depth > VALUE_DEPTH_MAX => null,
                    _ => self.random.random_range(0..union.variants().len()),
                };
                let value = self.value(&union.variants()[place], names, depth + 1);
                Value::Union(u32::try_from(place).unwrap(), Box::new(value))
            }
            Schema::Record(record) => {
                let field = |field: &apache_avro::schema::RecordField| {
                    (field.name.clone(), self.value(&field.schema, names, depth + 1))
                };
                Value::Record(record.fields.iter().map(field).collect())
            }
            Schema::Decimal(DecimalSchema { precision, inner, .. }) => {
                let digits = u32::try_from(*precision).unwrap();
                let digits = self.random.random_range(0..=digits);
                let unscaled = self.random.random_range(0..10_i128.pow(digits));
                let unscaled = if self.random.random() { -unscaled } else { unscaled };
                let wide = unscaled.to_be_bytes();
                // The oracle wants as many bytes as the precision could need.
                let bytes = match inner {
                    InnerDecimalSchema::Fixed(_) => wide.to_vec(),
                    InnerDecimalSchema::Bytes => wide[self.random.random_range(0..3_usize)..].to_vec(),
                };
                Value::Decimal(Decimal::from(bytes))
            }
            Schema::BigDecimal => {
                let scale = self.below(20);
                let scale = usize::try_from(scale).unwrap();
                Value::BigDecimal(format!("{}.{:0scale$}", self.int(), 7).parse().unwrap())
            }
            Schema::Uuid(UuidSchema::Bytes) => unreachable!("none is generated"),
            Schema::Uuid(_) => Value::Uuid(uuid::Uuid::from_u128(self.random.random())),
            // Within what `Date32` and `DateTime64` hold.
            Schema::Date => Value::Date(self.random.random_range(-25_000..120_000)),
            Schema::TimeMillis => Value::TimeMillis(self.random.random_range(0..86_400_000)),
            Schema::TimeMicros => Value::TimeMicros(self.random.random_range(0..86_400_000_000)),
            Schema::TimestampMillis => Value::TimestampMillis(self.ticks(1_000)),
            Schema::TimestampMicros => Value::TimestampMicros(self.ticks(1_000_000)),
            Schema::TimestampNanos => Value::TimestampNanos(self.ticks(1_000_000_000)),
            Schema::LocalTimestampMillis => Value::LocalTimestampMillis(self.ticks(1_000)),
            Schema::LocalTimestampMicros => Value::LocalTimestampMicros(self.ticks(1_000_000)),
            Schema::LocalTimestampNanos => Value::LocalTimestampNanos(self.ticks(1_000_000_000)),
            Schema::Duration(_) => {
                let mut number = || self.random.next_u32() >> (self.random.next_u32() % 32);
                Value::Duration(Duration::new(Months::new(number()), Days::new(number()), Millis::new(number())))
            }
        }
    }

    fn ticks(&mut self, per_second: i64) -> i64 {
        self.random.random_range(-2_000_000_000..9_000_000_000) * per_second + self.random.random_range(0..per_second)
    }

    fn int(&mut self) -> i32 {
        let number: i32 = self.random.random();
        number >> self.random.random_range(0..32_u32)
    }

    fn long(&mut self) -> i64 {
        let number: i64 = self.random.random();
        number >> self.random.random_range(0..64_u32)
    }

    fn bytes(&mut self) -> Vec<u8> {
        if self.tame {
            return self.text().into_bytes();
        }
        (0..self.below(40)).map(|_| self.random.random()).collect()
    }

    pub(super) fn text(&mut self) -> String {
        let words =
            ["", "a", "plain text", "\u{e9}\u{1F600}", "\"quoted\"\n", "\u{0}", "a text of more than thirty-two bytes"];
        let count = self.below(3);
        (0..count).map(|_| self.pick(&words)).collect()
    }

    /// A type of columns that takes every value of this schema.
    pub(super) fn column(&mut self, schema: &Schema, names: &ResolvedSchema<'_>, depth: u32) -> String {
        let of = |generator: &mut Self, types: &[&str]| {
            let types: Vec<String> = types.iter().map(|kind| (*kind).to_owned()).collect();
            generator.pick(&types)
        };
        match schema {
            Schema::Ref { name } => {
                let schema = names.get_names()[name];
                self.column(schema, names, depth)
            }
            Schema::Null => of(self, &["Nullable(String)", "Int8", "LowCardinality(Nullable(String))"]),
            Schema::Boolean => of(self, &["Bool", "UInt8", "String", "Nullable(Bool)"]),
            Schema::Int => of(self, &["Int32", "Int64", "String", "Float64", "Nullable(Int32)", "Int256"]),
            Schema::Long => of(self, &["Int64", "Int128", "String", "LowCardinality(Int64)"]),
            Schema::Float => of(self, &["Float32", "Float64", "String"]),
            Schema::Double => of(self, &["Float64", "Nullable(Float64)", "String"]),
            Schema::Bytes => of(self, &["String", "Nullable(String)", "LowCardinality(String)"]),
            Schema::String => of(self, &["String", "Nullable(String)", "LowCardinality(String)"]),
            Schema::Fixed(_) => of(self, &["String", "FixedString(20)"]),
            Schema::Enum(symbols) => {
                let mut value = 100;
                let names = symbols.symbols.iter().map(|symbol| {
                    value -= 7;
                    format!("'{symbol}' = {value}")
                });
                let names = names.collect::<Vec<_>>().join(", ");
                of(self, &["String", "Int32", "LowCardinality(String)", &format!("Enum8({names})")])
            }
            Schema::Date => of(self, &["Date32", "Int32", "String"]),
            Schema::TimeMillis | Schema::TimeMicros => of(self, &["Int64", "String"]),
            Schema::TimestampMillis | Schema::LocalTimestampMillis => of(self, &["DateTime64(3)", "Int64", "String"]),
            Schema::TimestampMicros | Schema::LocalTimestampMicros => {
                of(self, &["DateTime64(6)", "DateTime64(3)", "Int64", "String"])
            }
            Schema::TimestampNanos | Schema::LocalTimestampNanos => of(self, &["DateTime64(9)", "Int64", "String"]),
            Schema::Duration(_) => "String".to_owned(),
            Schema::Decimal(DecimalSchema { scale, .. }) => {
                of(self, &["String", &format!("Decimal(38, {scale})"), &format!("Decimal(76, {})", scale + 3)])
            }
            Schema::BigDecimal => of(self, &["String", "Decimal(76, 20)"]),
            Schema::Uuid(_) => of(self, &["UUID", "String"]),
            Schema::Array(array) if depth < 6 && !self.one_in(4) => {
                format!("Array({})", self.column(&array.items, names, depth + 1))
            }
            Schema::Map(map) if depth < 6 && !self.one_in(4) => {
                format!("Map(String, {})", self.column(&map.types, names, depth + 1))
            }
            Schema::Record(record) if depth < 6 && !record.fields.is_empty() && !self.one_in(4) => {
                if self.one_in(6) {
                    return "Map(String, Nullable(String))".to_owned();
                }
                let mut fields: Vec<String> = Vec::new();
                for field in &record.fields {
                    let column = format!("`{}` {}", field.name, self.column(&field.schema, names, depth + 1));
                    let place = self.random.random_range(0..=fields.len());
                    fields.insert(place, column);
                }
                if self.one_in(3) {
                    fields.push("`lacking` Array(Int8)".to_owned());
                }
                format!("Tuple({})", fields.join(", "))
            }
            Schema::Union(union) => match union.variants() {
                [Schema::Null, other] | [other, Schema::Null] => {
                    let column = self.column(other, names, depth);
                    let plain = !["Nullable", "LowCardinality", "Array", "Map", "Tuple"]
                        .iter()
                        .any(|kind| column.starts_with(kind));
                    if plain && !self.one_in(4) { format!("Nullable({column})") } else { column }
                }
                _ => of(self, &["String", "Nullable(String)", "LowCardinality(String)"]),
            },
            Schema::Array(_) | Schema::Map(_) | Schema::Record(_) => "String".to_owned(),
        }
    }
}
