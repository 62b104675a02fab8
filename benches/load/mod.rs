//! The loads of the benches, the same in every run.
//!
//! L1: flat JSON records of 12 fields, 343 to 347 bytes on average (the longer the load, the longer its numbers). L4: the
//! same, one of a hundred cannot be decoded. Narrow: 8 bytes a record, one of 50 cannot be
//! decoded.

/// What is consumed, and into which table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    /// The columns of the table.
    pub(crate) columns: &'static [(&'static str, &'static str)],
    pub(crate) order_by: &'static str,
    /// One record of so many is a dead letter; 0: none.
    pub(crate) dead_every: usize,
    record: fn() -> Box<dyn Iterator<Item = Vec<u8>>>,
}

/// Every load.
pub(crate) const LOADS: [Load; 3] = [
    Load {
        name: "L1",
        columns: &COLUMNS,
        order_by: "(site, device, ts)",
        dead_every: 0,
        record: || Box::new(records()),
    },
    Load {
        name: "L4",
        columns: &COLUMNS,
        order_by: "(site, device, ts)",
        dead_every: 100,
        record: || Box::new(records()),
    },
    Load { name: "narrow", columns: &[("v", "UInt8")], order_by: "v", dead_every: 50, record: || Box::new(narrow()) },
];

impl Load {
    /// As many records as are taken.
    pub(crate) fn records(self) -> impl Iterator<Item = Vec<u8>> {
        (self.record)().enumerate().map(move |(number, mut record)| {
            if self.dead_every > 0 && number % self.dead_every == self.dead_every - 1 {
                record.pop();
            }
            record
        })
    }

    /// How many of so many records are dead letters.
    pub(crate) fn dead(self, records: usize) -> usize {
        records.checked_div(self.dead_every).unwrap_or(0)
    }
}

fn narrow() -> impl Iterator<Item = Vec<u8>> {
    (0_u64..).map(|row| format!("{{\"v\":{:02}}}", 10 + row % 90).into_bytes())
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

/// As many records of L1 as are taken.
pub(crate) fn records() -> impl Iterator<Item = Vec<u8>> {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
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
