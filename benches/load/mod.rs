//! The loads of the benches: the same records in every run, whatever is measured with them.
//!
//! L1: flat JSON of 12 fields, 343 to 347 bytes on average (the longer the load, the longer its numbers). L4: the same, one
//! record of a hundred cannot be decoded. Narrow: 8 bytes a record, one of 50 cannot be decoded. Sized and wide: records of
//! a chosen length, or with a chosen number of fields. L2, L3 and csv: the readings of L1 as Avro, Protobuf and CSV.

pub(crate) mod formats;

/// What is consumed, and into which table.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) name: String,
    /// The columns of the table: name and type.
    pub(crate) columns: Vec<(String, &'static str)>,
    pub(crate) order_by: &'static str,
    /// One record of so many is a dead letter; 0: none.
    dead_every: usize,
    shape: Shape,
}

/// A schema that the records of a load are written with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    /// As registries call it.
    pub(crate) kind: &'static str,
    pub(crate) text: &'static str,
}

/// What a record looks like.
#[derive(Debug, Clone, Copy)]
enum Shape {
    L1,
    Avro,
    Protobuf,
    Csv,
    Narrow,
    Sized { bytes: usize },
    Wide { fields: usize },
}

impl Load {
    pub(crate) fn l1() -> Self {
        let columns = COLUMNS.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Self { name: "L1".to_owned(), columns, order_by: "(site, device, ts)", dead_every: 0, shape: Shape::L1 }
    }

    fn of_readings(name: &str, shape: Shape) -> Self {
        Self { name: name.to_owned(), shape, ..Self::l1() }
    }

    /// The schema that its records name, where they name one.
    pub(crate) fn schema(&self) -> Option<Schema> {
        match self.shape {
            Shape::Avro => Some(Schema { kind: "AVRO", text: formats::AVRO }),
            Shape::Protobuf => Some(Schema { kind: "PROTOBUF", text: formats::PROTOBUF }),
            _ => None,
        }
    }

    /// The lines of a topic's configuration that say what its records are.
    pub(crate) fn format(&self) -> String {
        match self.shape {
            Shape::Avro => "format: avro".to_owned(),
            Shape::Protobuf => "format: protobuf".to_owned(),
            Shape::Csv => format!("format: csv\n    csv: {{ columns: [{}] }}", formats::CSV),
            _ => "format: json".to_owned(),
        }
    }

    /// L1 under another name, so that it has a topic of its own.
    pub(crate) fn warm_up() -> Self {
        Self { name: "warm_up".to_owned(), ..Self::l1() }
    }

    pub(crate) fn l4() -> Self {
        Self { name: "L4".to_owned(), dead_every: 100, ..Self::l1() }
    }

    pub(crate) fn narrow() -> Self {
        let columns = vec![("v".to_owned(), "UInt8")];
        Self { name: "narrow".to_owned(), columns, order_by: "v", dead_every: 50, shape: Shape::Narrow }
    }

    /// Records of so many bytes: a number and a text.
    pub(crate) fn sized(bytes: usize) -> Self {
        let columns = vec![("id".to_owned(), "UInt64"), ("text".to_owned(), "String")];
        Self { name: format!("sized_{bytes}"), columns, order_by: "id", dead_every: 0, shape: Shape::Sized { bytes } }
    }

    /// Records of so many fields, half of them integers, the others decimal fractions.
    pub(crate) fn wide(fields: usize) -> Self {
        let columns =
            (0..fields).map(|n| (format!("f{n:03}"), if n % 2 == 0 { "UInt32" } else { "Float64" })).collect();
        Self { name: format!("wide_{fields}"), columns, order_by: "f000", dead_every: 0, shape: Shape::Wide { fields } }
    }

    /// The load of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let number = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.parse().ok());
        match name {
            "L1" => Some(Self::l1()),
            "L2" => Some(Self::of_readings("L2", Shape::Avro)),
            "L3" => Some(Self::of_readings("L3", Shape::Protobuf)),
            "L4" => Some(Self::l4()),
            "csv" => Some(Self::of_readings("csv", Shape::Csv)),
            "narrow" => Some(Self::narrow()),
            _ => number("sized_").map(Self::sized).or_else(|| number("wide_").map(Self::wide)),
        }
    }

    /// As many records as are taken. Those of a load with a schema name it by this id.
    pub(crate) fn records(&self, schema_id: u32) -> impl Iterator<Item = Vec<u8>> + use<> {
        let dead_every = self.dead_every;
        let records: Box<dyn Iterator<Item = Vec<u8>>> = match self.shape {
            Shape::L1 => Box::new(records()),
            Shape::Avro => Box::new(readings().map(move |reading| reading.avro(schema_id))),
            Shape::Protobuf => Box::new(readings().map(move |reading| reading.protobuf(schema_id))),
            Shape::Csv => Box::new(readings().map(|reading| reading.csv())),
            Shape::Narrow => Box::new((0_u64..).map(|row| format!("{{\"v\":{:02}}}", 10 + row % 90).into_bytes())),
            Shape::Sized { bytes } => Box::new(sized(bytes)),
            Shape::Wide { fields } => Box::new(wide(fields)),
        };
        records.enumerate().map(move |(number, mut record)| {
            if dead_every > 0 && number % dead_every == dead_every - 1 {
                record.pop();
            }
            record
        })
    }

    /// How many of so many records are dead letters.
    pub(crate) fn dead(&self, records: usize) -> usize {
        records.checked_div(self.dead_every).unwrap_or(0)
    }
}

/// The columns of a table for L1.
pub(crate) const COLUMNS: [(&str, &str); 12] = [
    ("event_id", "UInt64"),
    ("ts", "DateTime64(3)"),
    ("device", "String"),
    ("site", "LowCardinality(String)"),
    ("kind", "LowCardinality(String)"),
    ("user_id", "UInt32"),
    ("temperature", "Float64"),
    ("humidity", "Float64"),
    ("battery", "UInt8"),
    ("sequence", "Int64"),
    ("url", "String"),
    ("message", "String"),
];

/// A generator of numbers below a bound, the same in every run.
fn random() -> impl FnMut(u64) -> u64 {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    move |bound| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    }
}

fn sized(bytes: usize) -> impl Iterator<Item = Vec<u8>> {
    const WORDS: [&str; 8] = ["pump ", "valve ", "line ", "stopped ", "started ", "within ", "range ", "of "];
    let mut next = random();
    (0_u64..).map(move |row| {
        let mut record = format!("{{\"id\":{row},\"text\":\"").into_bytes();
        while record.len() + 2 < bytes {
            let word = WORDS[usize::try_from(next(8)).expect("small")];
            record.extend_from_slice(&word.as_bytes()[..word.len().min(bytes - 2 - record.len())]);
        }
        record.extend_from_slice(b"\"}");
        record
    })
}

fn wide(fields: usize) -> impl Iterator<Item = Vec<u8>> {
    use std::fmt::Write as _;

    let mut next = random();
    (0_u64..).map(move |_| {
        let mut record = String::from("{");
        for n in 0..fields {
            let comma = if n == 0 { "" } else { "," };
            let written = if n % 2 == 0 {
                write!(record, "{comma}\"f{n:03}\":{}", next(1_000_000))
            } else {
                write!(record, "{comma}\"f{n:03}\":{}.{:03}", next(1_000), next(1_000))
            };
            written.expect("writing to a string does not fail");
        }
        record.push('}');
        record.into_bytes()
    })
}

/// One record of L1, whatever it is written in.
#[derive(Debug)]
pub(crate) struct Reading {
    event_id: u64,
    /// Milliseconds since the first of March 2024, within 28 days.
    millis: u64,
    device: u64,
    site: u64,
    kind: &'static str,
    user_id: u64,
    /// Whole degrees and hundredths.
    temperature: (u64, u64),
    /// Whole percents and ten thousandths.
    humidity: (u64, u64),
    battery: u64,
    sequence: u64,
    /// Device and window.
    url: (u64, u64),
    /// Sensor, value and line.
    message: (u64, u64, u64),
}

/// As many as are taken.
fn readings() -> impl Iterator<Item = Reading> {
    let mut next = random();
    let kinds = ["status", "reading", "alarm"];
    (0_u64..).map(move |row| {
        let millis = 1_700_000_000_000 + row * 3;
        Reading {
            event_id: next(1 << 53),
            millis: millis % (28 * 86_400_000),
            device: next(20_000),
            site: next(40),
            kind: kinds[usize::from(next(4) > 0) + usize::from(next(3) == 0)],
            user_id: next(1_000_000),
            temperature: (next(90), next(100)),
            humidity: (next(100), next(10_000)),
            battery: next(101),
            sequence: row,
            url: (next(20_000), next(3_600)),
            message: (next(20_000), next(100_000), next(50)),
        }
    })
}

impl Reading {
    fn ts(&self) -> String {
        format!(
            "2024-03-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            1 + self.millis / 86_400_000,
            self.millis / 3_600_000 % 24,
            self.millis / 60_000 % 60,
            self.millis / 1_000 % 60,
            self.millis % 1_000,
        )
    }

    fn url(&self) -> String {
        format!("/api/v1/devices/{}/metrics?window={}&format=json", self.url.0, self.url.1)
    }

    fn message(&self) -> String {
        let (sensor, value, line) = self.message;
        format!("sensor {sensor} reported value {value} within the expected range of line {line}")
    }

    fn json(&self) -> Vec<u8> {
        format!(
            "{{\"event_id\":{},\"ts\":\"{}\",\"device\":\"dev-{:06}\",\"site\":\"plant-{:02}\",\"kind\":\"{}\",\
             \"user_id\":{},\"temperature\":{}.{:02},\"humidity\":{}.{:04},\"battery\":{},\"sequence\":{},\
             \"url\":\"{}\",\"message\":\"{}\"}}",
            self.event_id,
            self.ts(),
            self.device,
            self.site,
            self.kind,
            self.user_id,
            self.temperature.0,
            self.temperature.1,
            self.humidity.0,
            self.humidity.1,
            self.battery,
            self.sequence,
            self.url(),
            self.message(),
        )
        .into_bytes()
    }
}

/// As many records of L1 as are taken.
pub(crate) fn records() -> impl Iterator<Item = Vec<u8>> {
    readings().map(|reading| reading.json())
}
