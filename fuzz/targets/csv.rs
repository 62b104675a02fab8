//! Any bytes as delimited text into columns of many kinds: no panic, texts as the `csv` crate reads them, and a record that
//! fails leaves nothing behind.

use std::sync::Arc;

use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan, Source, UnknownFields, Value};
use oncesink::decode::{CsvOptions, Format, RecordDecoder};

/// The fields of a record that have a column, each with a good value of its own; one more has none.
const COLUMNS: [(&str, &str, &str); 18] = [
    ("s", "String", "good"),
    ("u", "UInt64", "1"),
    ("i", "Int8", "-1"),
    ("f", "Float64", "1.5"),
    ("b", "Bool", "yes"),
    ("i256", "Int256", "5"),
    ("f32", "Float32", "0.1"),
    ("dec", "Decimal(38, 10)", "1.25"),
    ("fs", "FixedString(5)", "abc"),
    ("day", "Date", "2024-02-29"),
    ("at", "DateTime('Europe/Berlin')", "2024-02-29 10:00:00"),
    ("at9", "DateTime64(9)", "1700000000"),
    ("uid", "UUID", "61f0c4045cb311e7907ba6006ad3dba0"),
    ("e", "Enum8('a' = 1, 'b' = -2)", "b"),
    ("ip6", "IPv6", "::1"),
    ("lc", "LowCardinality(Nullable(String))", "word"),
    ("n", "Nullable(Int32)", "5"),
    ("a", "Array(Nullable(String))", "[]"),
];

/// Memory beside a multiple of the record: empty columns and buffers that are kept.
const HEAP_BYTES: usize = 1 << 20;

const PLACE: RowCoordinates<'_> = RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 };

fn options(mode: u8) -> CsvOptions {
    let usual = match mode & 3 {
        0 => CsvOptions::default(),
        1 => CsvOptions { escape: Some(b'\\'), ..CsvOptions::default() },
        2 => CsvOptions::tab_separated(),
        _ => CsvOptions { delimiter: b';', quote: None, null: None, ..CsvOptions::default() },
    };
    let names = COLUMNS.iter().map(|(name, ..)| *name).chain(["spare"]);
    let lenient = mode & 8 == 0;
    CsvOptions {
        columns: names.map(str::to_owned).collect(),
        trim: mode & 4 != 0,
        extra_fields: lenient,
        missing_fields: lenient,
        ..usual
    }
}

fn plan() -> RowPlan {
    let spec = |name: &str, kind: &str| ColumnSpec::new(name, kind, DefaultValue::TypeZero).expect("a supported type");
    let mut columns: Vec<_> = COLUMNS.iter().map(|(name, kind, _)| spec(name, kind)).collect();
    columns.push(spec("record", "String").from_source(Source::parse("$").expect("a source")));
    columns.push(spec("rest", "String").from_source(Source::UnknownFields));
    let rest = columns.len() - 1;
    let plan = RowPlan::new(columns, Vec::new(), "UTC").expect("the columns fit together");
    plan.with_unknown_fields(UnknownFields::Collect(rest))
}

/// What the first field is to the `csv` crate; `None` where ours is another on purpose.
fn first_text(options: &CsvOptions, record: &[u8]) -> Option<String> {
    let quote = options.quote.filter(|_| !options.trim)?;
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(options.delimiter).quote(quote).escape(options.escape);
    let record = reader.from_reader(record).records().next()?.ok()?;
    let text = record.get(0).filter(|text| !text.is_empty() && *text != "\\N");
    text.map(str::to_owned)
}

fn block(columns: &Columns) -> Vec<u8> {
    NativeEncoder::new().encode(columns).frames.concat()
}

pub(crate) fn run(data: &[u8]) {
    let Some((mode, record)) = data.split_first() else {
        return;
    };
    let options = options(*mode);
    let plan = Arc::new(plan());
    let new = || Columns::new(&plan).expect("the zones are known");
    let (mut columns, mut alone) = (new(), new());
    let mut decoder = RecordDecoder::new(&plan, &Format::Csv(options.clone()), None).expect("the options are good");
    if decoder.decode_value(record, &mut columns).is_ok() {
        if let Some(text) = first_text(&options, record) {
            assert_eq!(columns.last_value(0), Value::Str(&text));
        }
        let (whole, rest) = (columns.last_value(COLUMNS.len()), columns.last_value(COLUMNS.len() + 1));
        for json in [whole, rest] {
            let Value::Str(json) = json else {
                panic!("{json:?} is no text");
            };
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok_and(|json| json.is_object()), "{json}");
        }
        columns.rollback_row();
    }
    assert_eq!(columns.rows(), 0);
    // A row has all columns, whatever the record has: that is no growth with the record.
    assert!(columns.heap_bytes() <= HEAP_BYTES + 64 * data.len(), "{} bytes of heap", columns.heap_bytes());
    let values: Vec<_> = COLUMNS.iter().map(|(.., value)| *value).chain(["spare"]).collect();
    let good = values.join(&char::from(options.delimiter).to_string());
    for columns in [&mut columns, &mut alone] {
        decoder.decode_value(good.as_bytes(), columns).expect("the good record is good");
        columns.commit_row(&PLACE);
    }
    assert_eq!(block(&columns), block(&alone), "something was left behind");
}
