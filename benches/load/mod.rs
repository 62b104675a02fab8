//! Load L1: flat JSON records of 12 fields, 343 to 347 bytes on average (the longer the load, the longer its numbers), the same in every run.

/// The columns of a table for them.
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

/// As many records as are taken.
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
