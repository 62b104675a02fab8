//! What holds for all records: what is taken means what it means to the `csv` crate, and nothing else is refused than what
//! that one mends or skips; a bad row leaves no trace.

use proptest::prelude::*;

use crate::block::native::NativeEncoder;
use crate::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan};
use crate::decode::csv::split::Splitter;
use crate::decode::csv::{CsvOptions, content_of};
use crate::decode::{ErrorCode, Format, RecordDecoder};

const CASES: u32 = 500;

/// Texts of the bytes that mean something, and of some that do not.
fn record() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-c]{1,9}",
        4 => Just(",".to_owned()),
        3 => Just("\"".to_owned()),
        1 => Just("\"\"".to_owned()),
        1 => prop::sample::select(&["\n", "\r", "\r\n", "\\", " ", "\t", "\u{e9}", "\\N", "'"][..]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Texts as the `csv` crate writes them, which all have to be taken.
fn fields() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-c,\"\r\n\\\\ \t\u{e9}]{0,9}", 1..8)
}

/// Our fields of a record.
fn ours(splitter: &Splitter, record: &[u8]) -> Result<Vec<String>, ErrorCode> {
    let (mut fields, mut found) = (splitter.fields(record), Vec::new());
    let mut text = Vec::new();
    while let Some(field) = fields.next().map_err(|fault| fault.code)? {
        if field.escaped {
            splitter.unescape(record, field, &mut text).map_err(|fault| fault.code)?;
        } else {
            text = record[field.start..field.end].to_vec();
        }
        found.push(String::from_utf8(text.clone()).unwrap());
    }
    Ok(found)
}

/// The first record as the `csv` crate reads it, and whether there are more.
fn theirs(splitter: &Splitter, record: &[u8]) -> (Vec<String>, bool) {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(splitter.delimiter).escape(splitter.escape);
    match splitter.quote {
        Some(quote) => builder.quote(quote),
        None => builder.quoting(false),
    };
    let mut reader = builder.from_reader(record);
    let mut records = reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect());
    (records.next().unwrap_or_default(), records.next().is_some())
}

/// Whether the quotes of a record are as RFC 4180 wants them, found byte by byte.
fn is_well_quoted(splitter: &Splitter, record: &[u8]) -> bool {
    #[derive(PartialEq)]
    enum At {
        Start,
        Bare,
        Quoted,
        Escaped,
        Closed,
    }
    let mut at = At::Start;
    for &byte in record {
        let ends = byte == splitter.delimiter || matches!(byte, b'\r' | b'\n');
        let is_quote = splitter.quote == Some(byte);
        at = match at {
            At::Start if is_quote => At::Quoted,
            At::Closed if is_quote => At::Quoted,
            At::Closed if !ends => return false,
            At::Start | At::Bare | At::Closed if ends => At::Start,
            At::Start | At::Bare | At::Closed => At::Bare,
            At::Quoted if is_quote => At::Closed,
            At::Quoted if splitter.escape == Some(byte) => At::Escaped,
            At::Quoted | At::Escaped => At::Quoted,
        };
    }
    !matches!(at, At::Quoted | At::Escaped)
}

fn compare(splitter: &Splitter, record: &str) -> Result<(), TestCaseError> {
    let (expected, more) = theirs(splitter, record.as_bytes());
    match ours(splitter, record.as_bytes()) {
        // A line with nothing in it is a field of nothing to us, and no record to the crate.
        Ok(found) if expected.is_empty() => prop_assert_eq!(found, vec![String::new()]),
        Ok(found) => {
            prop_assert_eq!(found, expected);
            prop_assert!(!more);
        }
        Err(ErrorCode::TrailingData) => {
            let lines = record.trim_end_matches(['\r', '\n']);
            prop_assert!(more || record.len() > lines.len() + 1 || record.starts_with(['\r', '\n']));
        }
        Err(code) => {
            prop_assert_eq!(code, ErrorCode::InvalidCsv);
            prop_assert!(!is_well_quoted(splitter, record.as_bytes()));
        }
    }
    Ok(())
}

fn splitter(delimiter: u8, quote: Option<u8>, escape: Option<u8>) -> Splitter {
    Splitter { delimiter, quote, escape, trim: false }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn what_is_taken_means_what_it_means_to_the_csv_crate(record in record()) {
        for splitter in [
            splitter(b',', Some(b'"'), None),
            splitter(b',', Some(b'"'), Some(b'\\')),
            splitter(b',', None, None),
            splitter(b'a', Some(b'\''), None),
        ] {
            compare(&splitter, &record)?;
        }
    }

    #[test]
    fn what_the_csv_crate_writes_is_read(fields in fields(), always in any::<bool>()) {
        let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        writer.write_record(&fields).unwrap();
        let record = writer.into_inner().unwrap();
        prop_assert_eq!(ours(&splitter(b',', Some(b'"'), None), &record), Ok(fields));
    }

    #[test]
    fn tab_separated_text_is_read_back(fields in fields()) {
        let escape = |field: &String| {
            let field = field.replace('\\', "\\\\").replace('\t', "\\t");
            field.replace('\n', "\\n").replace('\r', "\\r")
        };
        let record = fields.iter().map(escape).collect::<Vec<_>>().join("\t");
        prop_assert_eq!(ours(&splitter(b'\t', None, Some(b'\\')), record.as_bytes()), Ok(fields));
    }

    #[test]
    fn blanks_around_fields_are_taken_away(fields in fields(), blanks in "[ \t]{0,3}") {
        let trimmed = Splitter { trim: true, ..splitter(b',', Some(b'"'), None) };
        let quoted = |field: &String| format!("{blanks}\"{}\"{blanks}", field.replace('"', "\"\""));
        let record = fields.iter().map(quoted).collect::<Vec<_>>().join(",");
        prop_assert_eq!(ours(&trimmed, record.as_bytes()), Ok(fields.clone()));
        let bare = |field: &String| field.replace([',', '"', '\r', '\n'], "");
        let bare: Vec<_> = fields.iter().map(bare).collect();
        let record = bare.iter().map(|field| format!("{blanks}{field}{blanks}")).collect::<Vec<_>>().join(",");
        let expected: Vec<_> = bare.iter().map(|field| field.trim_matches([' ', '\t']).to_owned()).collect();
        prop_assert_eq!(ours(&trimmed, record.as_bytes()), Ok(expected));
    }

    #[test]
    fn a_bad_record_leaves_nothing_behind(records in prop::collection::vec(record(), 1..12)) {
        let kinds = [("s", "String"), ("l", "LowCardinality(Nullable(String))"), ("a", "Array(String)"), ("n", "Nullable(Int8)")];
        let spec = |(name, kind): &(&str, &str)| ColumnSpec::new(*name, *kind, DefaultValue::TypeZero).unwrap();
        let plan = std::sync::Arc::new(RowPlan::new(kinds.iter().map(spec).collect(), Vec::new(), "UTC").unwrap());
        let names = kinds.iter().map(|(name, _)| (*name).to_owned()).collect();
        let options = CsvOptions { columns: names, missing_fields: true, extra_fields: true, ..CsvOptions::default() };
        let format = Format::Csv(options);
        let new = || (RecordDecoder::new(&plan, &format, None).unwrap(), Columns::new(&plan).unwrap());
        let (mut all, mut good) = (new(), new());
        for record in &records {
            if all.0.decode_value(record.as_bytes(), &mut all.1).is_ok() {
                let place = RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 };
                all.1.commit_row(&place);
                good.0.decode_value(record.as_bytes(), &mut good.1).unwrap();
                good.1.commit_row(&place);
            }
        }
        let block = |columns: &Columns| NativeEncoder::new().encode(columns).frames;
        prop_assert_eq!(block(&all.1), block(&good.1));
    }
}

#[test]
fn null_and_empty_are_seen_without_quotes_only() {
    let null = Some(b"nil".to_vec());
    let splitter = splitter(b',', Some(b'"'), None);
    let record = br#"nil,"nil",,"",x"#;
    let (mut fields, mut found) = (splitter.fields(record), String::new());
    while let Some(field) = fields.next().unwrap() {
        found.push(match content_of(&null, record, field) {
            crate::decode::csv::Content::Null => 'n',
            crate::decode::csv::Content::Empty => 'e',
            crate::decode::csv::Content::Text => 't',
        });
    }
    assert_eq!(found, "ntett");
}
