//! CPU nanoseconds per row of the hot path: JSON to columns, columns to Native frames.
//!
//! `cargo bench --bench decode`; an argument is the number of rounds. Prints the median of the
//! rounds and the fastest one. A bench is not a test: it fails for wrong results only.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[expect(dead_code, reason = "the other benches use more of it")]
mod load;
#[path = "load/plan.rs"]
mod plan;

use oncesink::block::native::NativeEncoder;
use oncesink::columns::{Columns, RowCoordinates};
use oncesink::decode::JsonDecoder;
use plan::plan;

/// As in the program: what frames cost to allocate belongs to the figure.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 200_000;
const ROUNDS: usize = 15;

fn main() {
    let rounds = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let rounds: usize = rounds.unwrap_or(ROUNDS);
    let records: Vec<Vec<u8>> = load::records().take(ROWS).collect();
    let bytes: usize = records.iter().map(Vec::len).sum();
    let plan = plan(&load::COLUMNS);
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
