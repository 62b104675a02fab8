//! The loads of the benches: the same records in every run, whatever is measured with them.
//!
//! L1: flat JSON of 12 fields, 343 to 347 bytes on average (the longer the load, the longer its numbers). L4: the same, one
//! record of a hundred cannot be decoded. Narrow: 8 bytes a record, one of 50 cannot be decoded. Sized and wide: records of
//! a chosen length, or with a chosen number of fields.

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

/// What a record looks like.
#[derive(Debug, Clone, Copy)]
enum Shape {
    L1,
    Narrow,
    Sized { bytes: usize },
    Wide { fields: usize },
}

impl Load {
    pub(crate) fn l1() -> Self {
        let columns = COLUMNS.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Self { name: "L1".to_owned(), columns, order_by: "(site, device, ts)", dead_every: 0, shape: Shape::L1 }
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
            "L4" => Some(Self::l4()),
            "narrow" => Some(Self::narrow()),
            _ => number("sized_").map(Self::sized).or_else(|| number("wide_").map(Self::wide)),
        }
    }

    /// As many records as are taken.
    pub(crate) fn records(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let dead_every = self.dead_every;
        let records: Box<dyn Iterator<Item = Vec<u8>>> = match self.shape {
            Shape::L1 => Box::new(records()),
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

/// As many records of L1 as are taken.
pub(crate) fn records() -> impl Iterator<Item = Vec<u8>> {
    let mut next = random();
    let kinds = ["status", "reading", "alarm"];
    (0_u64..).map(move |row| {
        let millis = 1_700_000_000_000 + row * 3;
        format!(
            "{{\"event_id\":{},\"ts\":\"2024-03-{:02}T{:02}:{:02}:{:02}.{:03}Z\",\
             \"device\":\"dev-{:06}\",\"site\":\"plant-{:02}\",\"kind\":\"{}\",\
             \"user_id\":{},\"temperature\":{}.{:02},\"humidity\":{}.{:04},\
             \"battery\":{},\"sequence\":{},\
             \"url\":\"/api/v1/devices/{}/metrics?window={}&format=json\",\
             \"message\":\"sensor {} reported value {} within the expected range of line {}\"}}",
            next(1 << 53),
            1 + millis / 86_400_000 % 28,
            millis / 3_600_000 % 24,
            millis / 60_000 % 60,
            millis / 1_000 % 60,
            millis % 1_000,
            next(20_000),
            next(40),
            kinds[usize::from(next(4) > 0) + usize::from(next(3) == 0)],
            next(1_000_000),
            next(90),
            next(100),
            next(100),
            next(10_000),
            next(101),
            row,
            next(20_000),
            next(3_600),
            next(20_000),
            next(100_000),
            next(50),
        )
        .into_bytes()
    })
}
