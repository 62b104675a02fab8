//! CPU nanoseconds per row of the hot path: JSON, Avro, Protobuf and CSV to columns, columns to Native frames; of the
//! frames, LZ4 and hash alone.
//!
//! `cargo bench --bench decode`; an argument is the number of rounds. Prints the median of the
//! rounds and the fastest one. A bench is not a test: it fails for wrong results only.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[expect(dead_code, reason = "the other benches use more of it")]
mod load;
#[path = "load/plan.rs"]
mod plan;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use oncesink::block::native::NativeEncoder;
use oncesink::columns::{Columns, RowCoordinates};
use oncesink::decode::{AvroFraming, AvroOptions, AvroSchema, CsvOptions, Format, ProtobufSchema, RecordDecoder};
use plan::plan;

/// As in the program: what frames cost to allocate belongs to the figure.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 200_000;
const ROUNDS: usize = 15;
/// How often a round hashes everything: once takes less than the kernel's grain of CPU time, some milliseconds.
const HASHES: u32 = 100;

fn main() {
    let rounds = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let rounds: usize = rounds.unwrap_or(ROUNDS);
    let records: Vec<Vec<u8>> = load::records().take(ROWS).collect();
    let bytes: usize = records.iter().map(Vec::len).sum();
    let plan = plan(&load::COLUMNS);
    let mut columns = Columns::new(&plan).expect("the plan was checked");
    let mut decoder = RecordDecoder::json(&plan);
    let mut encoder = NativeEncoder::new();

    let l2 = load::Load::named("L2").expect("there is such a load");
    let avro: Vec<Vec<u8>> = l2.records(0).take(ROWS).map(|record| record[REGISTRY_FRAME_BYTES..].to_vec()).collect();
    let schema = AvroFraming::Bare(AvroSchema::alone(load::formats::AVRO));
    let format = Format::Avro(AvroOptions { framing: schema, reader: None });
    let mut avro_decoder = RecordDecoder::new(&plan, &format, None).expect("the schema is good");

    let (mut decode, mut decode_avro, mut encode) = (Vec::new(), Vec::new(), Vec::new());
    let mut block = None;
    for _ in 0..rounds {
        columns.clear();
        decode_avro.push(nanos_per_row(|| decode_all(&avro, &mut avro_decoder, &mut columns)));
        columns.clear();
        decode.push(nanos_per_row(|| decode_all(&records, &mut decoder, &mut columns)));
        encode.push(nanos_per_row(|| block = Some(encoder.encode(&columns))));
    }
    let block = block.expect("at least one round was run");
    assert_eq!(block.rows, ROWS);
    println!("{ROWS} rows, {} bytes of JSON a row", bytes / ROWS);
    println!("native {} bytes a row, compressed {}", block.raw_bytes / ROWS, block.compressed_bytes / ROWS);
    report("decode + commit", &mut decode);
    println!("{} bytes of Avro a row", avro.iter().map(Vec::len).sum::<usize>() / ROWS);
    report("the same of Avro", &mut decode_avro);
    report("native + lz4 + hash", &mut encode);

    let schema = ProtobufSchema::from_registry(load::formats::PROTOBUF, &[]).expect("the schema is good");
    let format = Format::Protobuf(schema, "iot.v1.Reading".to_owned());
    let mut protobuf_decoder = RecordDecoder::new(&plan, &format, None).expect("the schema has the message");
    let l3 = load::Load::named("L3").expect("there is such a load");
    // The number of the first message takes one byte more.
    let framed = l3.records(0).take(ROWS);
    let protobuf: Vec<Vec<u8>> = framed.map(|record| record[REGISTRY_FRAME_BYTES + 1..].to_vec()).collect();
    let mut decode_protobuf = Vec::new();
    for _ in 0..rounds {
        columns.clear();
        decode_protobuf.push(nanos_per_row(|| decode_all(&protobuf, &mut protobuf_decoder, &mut columns)));
    }
    assert_eq!(encoder.encode(&columns).raw_bytes, block.raw_bytes, "the same values are in all formats");
    println!("{} bytes of Protobuf a row", protobuf.iter().map(Vec::len).sum::<usize>() / ROWS);
    report("the same of Protobuf", &mut decode_protobuf);

    let names = load::COLUMNS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let format = Format::Csv(CsvOptions { columns: names, ..CsvOptions::default() });
    let mut csv_decoder = RecordDecoder::new(&plan, &format, None).expect("the columns are named");
    let bare: Vec<Vec<u8>> = load::Load::named("csv").expect("it is a load").records(0).take(ROWS).collect();
    let quoted: Vec<Vec<u8>> = bare.iter().map(|record| in_quotes(record)).collect();
    println!("{} bytes of CSV a row", bare.iter().map(Vec::len).sum::<usize>() / ROWS);
    for (what, records) in [("the same of CSV", &bare), ("of CSV in quotes", &quoted)] {
        let mut decode = Vec::new();
        for _ in 0..rounds {
            columns.clear();
            decode.push(nanos_per_row(|| decode_all(records, &mut csv_decoder, &mut columns)));
        }
        report(what, &mut decode);
    }
    assert_eq!(encoder.encode(&columns).raw_bytes, block.raw_bytes, "the same values are in all formats");

    // The same bytes in the same pieces, without the columns around them.
    let packed: Vec<&[u8]> = block.frames.iter().map(|frame| &frame[FRAME_HEAD_BYTES..]).collect();
    let raw: Vec<Vec<u8>> = block.frames.iter().zip(&packed).map(|(frame, data)| unpacked(frame, data)).collect();
    let mut table = CompressTable::large();
    let mut output = vec![0; get_maximum_output_size(raw.iter().map(Vec::len).max().unwrap_or(0))];
    let (mut lz4, mut hash) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        lz4.push(nanos_per_row(|| {
            for piece in &raw {
                compress_into_with_table(piece, &mut output, &mut table).expect("the output is large enough");
            }
        }));
        let nanos = nanos_per_row(|| {
            for _ in 0..HASHES {
                for data in &packed {
                    std::hint::black_box(cityhash_rs::cityhash_102_128(std::hint::black_box(data)));
                }
            }
        });
        hash.push(nanos / f64::from(HASHES));
    }
    report("of it lz4", &mut lz4);
    report("of it hash", &mut hash);
}

/// A zero byte and the schema's id.
const REGISTRY_FRAME_BYTES: usize = 5;

fn decode_all(records: &[Vec<u8>], decoder: &mut RecordDecoder, columns: &mut Columns) {
    for (offset, record) in (0_i64..).zip(records) {
        decoder.decode_value(record, columns).expect("the record is good");
        columns.commit_row(&RowCoordinates { topic: "readings", partition: 3, offset, row: 0, replay: 0 });
    }
}

/// The same line of CSV with quotes around every field, of which none has a comma.
fn in_quotes(record: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(record).expect("the load is text");
    format!("\"{}\"", text.replace(',', "\",\"")).into_bytes()
}

/// Checksum, method, compressed and raw length.
const FRAME_HEAD_BYTES: usize = 25;

fn unpacked(frame: &[u8], data: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(frame[21..25].try_into().expect("four bytes"));
    lz4_flex::block::decompress(data, usize::try_from(length).expect("small")).expect("we have just packed it")
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
