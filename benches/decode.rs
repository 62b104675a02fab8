//! CPU nanoseconds per row of the hot path: JSON to columns, columns to Native frames.
//!
//! `cargo bench --bench decode`; an argument is the number of rounds. Prints the median of the
//! rounds and the fastest one. A bench is not a test: it fails for wrong results only.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Arc;

use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, CoordinateKind, CoordinateSpec, DefaultValue, RowCoordinates, RowPlan};
use oncesink::decode::JsonDecoder;

const ROWS: usize = 200_000;
const ROUNDS: usize = 15;

const COLUMNS: [(&str, &str); 12] = [
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

fn main() {
    let rounds = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let rounds: usize = rounds.unwrap_or(ROUNDS);
    let records = records();
    let bytes: usize = records.iter().map(Vec::len).sum();
    let plan = Arc::new(plan());
    let mut columns = Columns::new(&plan).expect("the plan was checked");
    let mut decoder = JsonDecoder::new(&plan);
    let mut encoder = NativeEncoder::new();

    let (mut decode, mut encode) = (Vec::new(), Vec::new());
    let mut block = None;
    for _ in 0..rounds {
        columns.clear();
        decode.push(nanos_per_row(|| {
            for (offset, record) in (0_i64..).zip(&records) {
                decoder.decode(record, &mut columns).expect("the record is good");
                columns.commit_row(&RowCoordinates { topic: "readings", partition: 3, offset, replay: 0 });
            }
        }));
        encode.push(nanos_per_row(|| block = Some(encoder.encode(&columns))));
    }
    let block = block.expect("at least one round was run");
    assert_eq!(block.rows, ROWS);
    println!("{ROWS} rows, {} bytes of JSON a row", bytes / ROWS);
    println!("native {} bytes a row, compressed {}", block.raw_bytes / ROWS, block.compressed_bytes / ROWS);
    report("decode + commit", &mut decode);
    report("native + lz4 + hash", &mut encode);
}

fn report(what: &str, rounds: &mut [f64]) {
    rounds.sort_by(f64::total_cmp);
    println!("{what:20} median {:6.1} ns/row, best {:6.1}", rounds[rounds.len() / 2], rounds[0]);
}

fn nanos_per_row(work: impl FnOnce()) -> f64 {
    let start = cpu_nanos();
    work();
    (cpu_nanos() - start) as f64 / ROWS as f64
}

/// CPU time of this thread: steadier than wall time on a machine that does other things too.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat");
    let text = text.expect("the bench needs Linux, which keeps CPU time in schedstat");
    let first = text.split_ascii_whitespace().next();
    first.and_then(|nanos| nanos.parse().ok()).expect("schedstat begins with a number")
}

fn plan() -> RowPlan {
    let columns = COLUMNS
        .map(|(name, text)| ColumnSpec::new(name, text, DefaultValue::TypeZero))
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("the types are known");
    let coordinates = [
        (CoordinateKind::Topic, "_topic", "LowCardinality(String)"),
        (CoordinateKind::Partition, "_partition", "Int32"),
        (CoordinateKind::Offset, "_offset", "Int64"),
    ]
    .map(|(kind, name, text)| CoordinateSpec::new(kind, name, text))
    .into_iter()
    .collect::<Result<_, _>>()
    .expect("the types are known");
    RowPlan::new(columns, coordinates, "UTC").expect("the columns fit")
}

/// Records as load L1 has them: 12 fields, 343 bytes on average.
fn records() -> Vec<Vec<u8>> {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let kinds = ["status", "reading", "alarm"];
    (0..ROWS as u64)
        .map(|row| {
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
        .collect()
}
