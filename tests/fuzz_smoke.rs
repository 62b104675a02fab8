//! The fuzz targets without libFuzzer: the corpus, and a fixed number of seeded changes of it.
//!
//! `FUZZ_ROUNDS` multiplies the number (default 1), `FUZZ_SEED` takes another stream (default 1). What fails is written to
//! a file whose name is shown; put it into the corpus once it is mended. `fuzz/README.md` says how to fuzz in earnest.

#![expect(clippy::unwrap_used, reason = "the lint is lifted in test functions, but not in what they share")]

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Longer than any input may take, on a machine that is busy with other things: what takes longer hangs.
const INPUT_TIME_MAX: Duration = Duration::from_secs(120);
/// Inputs grow by changes; what is larger is cut.
const INPUT_BYTES_MAX: usize = 4096;
const CHANGES_MAX: u32 = 6;

/// Pieces that matter to one target or another.
const WORDS: &[&str] = &[
    "\"",
    "\\",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "-0",
    "1e999",
    "0.1",
    "NaN",
    "18446744073709551616",
    "9223372036854775808",
    "-1",
    "\u{0}",
    "\u{feff}",
    "\u{e9}",
    "\n",
    "  ",
    "- ",
    "${",
    "}",
    "*a",
    "&a",
    "!!",
    "|",
    ">",
    "oncesink1;",
    ";x=",
    "t=-;",
    "Code: ",
    "DB::Exception: ",
    "oncesink:fenced",
    "395",
    "&&",
    "||",
    "?",
    "(",
    ")",
    "in",
    "temp",
    "size(",
    "string(",
    "==",
    "'",
    "%",
    "/ 0",
    "\"\"",
    "\\N",
    "\t",
    "\r\n",
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn changed(random: &mut SmallRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[random.random_range(0..corpus.len())].clone();
    for _ in 0..random.random_range(1..=CHANGES_MAX) {
        let at = random.random_range(0..=input.len());
        let end = (at + random.random_range(0..16_usize)).min(input.len());
        match random.random_range(0..8_u32) {
            0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8_u32),
            1 if at < input.len() => input[at] = random.random(),
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..at, WORDS[random.random_range(0..WORDS.len())].bytes())),
            4 => {
                let piece = input[at..end].to_vec();
                drop(input.splice(at..at, piece.repeat(random.random_range(1..40_usize))));
            }
            5 => {
                let other = &corpus[random.random_range(0..corpus.len())];
                let from = random.random_range(0..=other.len());
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            6 => input.truncate(at),
            _ => drop(input.splice(at..end, (0..4_u32).map(|_| random.random::<u8>()))),
        }
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}

/// Runs a target over its corpus and `count` changes of it.
fn smoke(name: &'static str, target: fn(&[u8]), count: u64) {
    let corpus = corpus(name);
    let count = count * number("FUZZ_ROUNDS", 1);
    let mut random = SmallRng::seed_from_u64(number("FUZZ_SEED", 1));
    let current = Arc::new(Mutex::new(Vec::new()));
    let shown = Arc::clone(&current);
    let (progress, heard) = sync_channel(1);
    let worker = std::thread::spawn(move || {
        let changes: Vec<Vec<u8>> = corpus.clone();
        let inputs = changes.into_iter().chain((0..count).map(|_| changed(&mut random, &corpus)));
        for input in inputs {
            shown.lock().unwrap().clone_from(&input);
            target(&input);
            progress.send(()).unwrap();
        }
    });
    let keep = |what: &str| -> ! {
        let input = current.lock().unwrap().clone();
        let path = std::env::temp_dir().join(format!("fuzz-{name}-{}", std::process::id()));
        fs::write(&path, &input).unwrap();
        panic!("{name} {what}; the input is in {}: {:?}", path.display(), String::from_utf8_lossy(&input));
    };
    loop {
        match heard.recv_timeout(INPUT_TIME_MAX) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => keep("hangs"),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if worker.join().is_err() {
        keep("panicked");
    }
}

#[test]
fn json() {
    smoke("json", targets::json::run, 60_000);
}

#[test]
fn row() {
    smoke("row", targets::row::run, 4_000);
}

#[test]
fn csv() {
    smoke("csv", targets::csv::run, 4_000);
}

#[test]
fn rows() {
    smoke("rows", targets::rows::run, 4_000);
}

#[test]
fn avro() {
    smoke("avro", targets::avro::run, 2_000);
}

#[test]
fn protobuf() {
    smoke("protobuf", targets::protobuf::run, 1_500);
}

#[test]
fn config() {
    smoke("config", targets::config::run, 1_500);
}

#[test]
fn metadata() {
    smoke("metadata", targets::metadata::run, 60_000);
}

#[test]
fn reply() {
    smoke("reply", targets::reply::run, 60_000);
}

#[test]
fn detector() {
    smoke("detector", targets::detector::run, 400);
}
