//! Texts and types, one against the other: what we make of each, and what the engine's own JSONEachRow and CSV make of it at
//! their defaults. Where the two differ this file says so, and why; `docs/values.md` tells users.

use std::fmt::Write as _;
use std::sync::Arc;

use devstack::http::Client;
use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, CoordinateKind, CoordinateSpec, DefaultValue, RowCoordinates, RowPlan};
use oncesink::decode::{CsvOptions, Format, RecordDecoder};

use super::columns::{Scratch, client, value_of};

const NUMBERS: [&str; 7] =
    ["Bool", "UInt8", "Nullable(Int64)", "Float64", "Decimal(9, 2)", "String", "Enum8('a' = 1, 'b' = 2, '5' = 3)"];
const NUMBER_TEXTS: [&str; 44] = [
    "true", "false", "True", "TRUE", "t", "yes", "on", "0", "1", "2", "5", "300", "-1", "-0", "+5", "005", "5.0",
    "5.00", "5e0", "5e1", "1e400", "5.5", "-5.0", "5.", ".5", "1.239", "", " ", " 5", "5 ", " 5 ", "5 5", "0x10",
    "1_000", "1,5", "NaN", "nan", "Infinity", "-inf", "null", "NULL", "a", "A", "5x",
];
const TIMES: [&str; 3] = ["DateTime", "DateTime64(3)", "Date"];
const TIME_TEXTS: [&str; 63] = [
    "2024-05-01T10:00",
    "2024-05-01 10:00",
    "2024-05-01T10:00Z",
    "2024-05-01T10",
    "2024-05-01T10:00:00",
    "2024-05-01T10:00:00Z",
    "2024-05-01 10:00:00+00",
    "2024-05-01 10:00:00-05",
    "2024-05-01 10:00:00+05:30",
    "2024-05-01 10:00:00+0530",
    "2024-05-01 10:00:00 +0530",
    "2024-05-01 10:00:00 UTC",
    "2024-05-01 10:00:00 +0000 UTC",
    "2024-05-01 10:00:00.123456789 +0200 CEST",
    "2024-05-01 10:00:00 +0000 UTC m=+0.000012",
    "2024-05-01 10:00:00.123456+00",
    "2024-05-01 10:00:00,123",
    "2024-05-01T10:00:00.1234567+02:00",
    "2024-05-01T10:00:00+02:00[Europe/Berlin]",
    "2024-05-01T10:00:00+01:00:30",
    "20240501T100000Z",
    "20240501T100000",
    "20240501T1000Z",
    "20240501 10:00:00",
    "20240501100000",
    "20240501",
    "2024-05-01",
    "2024-5-1",
    "2024/05/01",
    "2024/05/01 10:00:00",
    "2024-05",
    "2024-05-01T24:00:00",
    "2024-05-01T23:59:60Z",
    "2024-05-01T00:00:00Z",
    "2024-05-01T00:00:00+02:00",
    "2024-05-01 00:00:00",
    " 2024-05-01 10:00:00",
    "2024-05-01 10:00:00 ",
    "2024-02-30",
    "2024-05-01T25:00:00",
    "2024-05-01T10:00:00+24:00",
    "2024-121",
    "05/01/2024",
    "01.05.2024",
    "1 May 2024 10:00:00",
    "Wed, 01 May 2024 10:00:00 GMT",
    "Wed May  1 10:00:00 2024",
    "5/1/2024 10:00:00 AM",
    "2024-05-01 10:00:00 PM",
    "2024-05-01 10:00:00 PST",
    "infinity",
    "0000-00-00 00:00:00",
    "0001-01-01T00:00:00Z",
    "1969-12-31 23:59:59",
    "2150-01-01",
    "9999-12-31T23:59:59Z",
    "1714557600",
    "1714557600.5",
    "1714557600123",
    "-1",
    "1e9",
    "5",
    "",
];
const SPANS: [&str; 2] = ["Time", "Time64(3)"];
const SPAN_TEXTS: [&str; 15] = [
    "10:00:00",
    "1:02:03",
    "24:00:00",
    "-10:00:00",
    "10:00",
    "10",
    "5.5",
    "90000",
    "10:00:00.5",
    "10:00:00,5",
    "5:7:9",
    "T10:00:00",
    "10:00:00Z",
    "PT1H",
    "",
];
const UUID: &str = "61f0c404-5cb3-11e7-907b-a6006ad3dba0";
const OTHERS: [(&str, &[&str]); 5] = [
    (
        "UUID",
        &[
            UUID,
            "61F0C404-5CB3-11E7-907B-A6006AD3DBA0",
            "61f0c4045cb311e7907ba6006ad3dba0",
            "{61f0c404-5cb3-11e7-907b-a6006ad3dba0}",
            "urn:uuid:61f0c404-5cb3-11e7-907b-a6006ad3dba0",
            "61f0c404-5cb3-11e7-907b-a6006ad3dba",
            "",
        ],
    ),
    ("IPv4", &["1.2.3.4", "001.02.3.4", "1.2.3", "1.2.3.256", "16909060", "1.2.3.4:80", "1.2.3.4/32", ""]),
    ("IPv6", &["::1", "1.2.3.4", "FE80::1", "::FFFF:1.2.3.4", "fe80::1%eth0", "[::1]", ""]),
    ("Array(UInt8)", &["[1,2]", "[]", "1", "{1,2}", "[1", ""]),
    ("Map(String, UInt8)", &["{\"a\":1}", "{}", "[]", ""]),
];

fn cases() -> Vec<(&'static str, &'static [&'static str])> {
    let numbers = NUMBERS.iter().map(|kind| (*kind, NUMBER_TEXTS.as_slice()));
    let times = TIMES.iter().map(|kind| (*kind, TIME_TEXTS.as_slice()));
    let spans = SPANS.iter().map(|kind| (*kind, SPAN_TEXTS.as_slice()));
    numbers.chain(times).chain(spans).chain(OTHERS).collect()
}

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Quoted in JSON.
    Quoted,
    /// As it is in JSON, of numbers and words.
    Bare,
    Csv,
}

impl Form {
    fn record(self, text: &str) -> String {
        match self {
            Self::Quoted => format!("{{\"x\":{}}}", serde_json::to_string(text).expect("a text can be quoted")),
            Self::Bare => format!("{{\"x\":{text}}}"),
            Self::Csv => text.to_owned(),
        }
    }

    fn takes(self, text: &str) -> bool {
        match self {
            Self::Quoted => true,
            Self::Bare => !text.is_empty() && !text.contains([' ', ':', '/', '{', '[']) && !text[1..].contains('-'),
            // A second field, or an end of the record before its first one.
            Self::Csv => !text.is_empty() && (!text.contains([',', '"']) || text.starts_with('[')),
        }
    }
}

/// What the engine stores of one record; nothing where it refuses it.
fn theirs(client: &Client, form: Form, kind: &str, record: &str) -> Option<String> {
    let quote = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let format = if form == Form::Csv { "CSV" } else { "JSONEachRow" };
    let sql =
        format!("SELECT toString(x) FROM format({format}, 'x {}', '{}\n') FORMAT TSVRaw", quote(kind), quote(record));
    let settings =
        [("query", sql.as_str()), ("enable_time_time64_type", "1"), ("allow_suspicious_low_cardinality_types", "1")];
    let reply = client.post(&settings, b"").expect("the engine answers");
    (reply.status == 200 && reply.code.is_none()).then(|| reply.text().trim_end_matches('\n').to_owned())
}

/// What we store of each record; nothing where we refuse it.
fn ours(client: &Client, zone: &str, form: Form, kind: &str, records: &[String]) -> Vec<Option<String>> {
    let spec = |name: &str, kind: &str| ColumnSpec::new(name, kind, DefaultValue::TypeZero).expect("the type is known");
    let offset = CoordinateSpec::new(CoordinateKind::Offset, "_offset", "UInt64").expect("the type is known");
    let plan = Arc::new(RowPlan::new(vec![spec("x", kind)], vec![offset], zone).expect("the columns fit"));
    let format = match form {
        Form::Csv => Format::Csv(CsvOptions { columns: vec!["x".to_owned()], ..CsvOptions::default() }),
        Form::Quoted | Form::Bare => Format::Json,
    };
    let mut decoder = RecordDecoder::new(&plan, &format, None).expect("the column is named");
    let mut columns = Columns::new(&plan).expect("the plan was checked");
    let mut taken = Vec::new();
    for (offset, record) in (0..).zip(records) {
        let fits = decoder.decode_value(record.as_bytes(), &mut columns).is_ok();
        if fits {
            columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset, row: 0, replay: 0 });
        }
        taken.push(fits);
    }
    let table = Scratch::new(client, &format!("x {kind}, _offset UInt64"));
    let block = NativeEncoder::new().encode(&columns);
    table.insert(&block, "x, _offset", &format!("{}, _offset", value_of("x", &block)));
    let sql = format!("SELECT toString(x) FROM {} ORDER BY _offset FORMAT TSVRaw", table.name);
    let stored = client.query(&sql).expect("the engine answers");
    let mut stored = stored.split('\n').map(str::to_owned);
    taken.into_iter().map(|fits| fits.then(|| stored.next().expect("each record that was taken is a row"))).collect()
}

/// What differs, and why.
struct Known {
    why: &'static str,
    differs: Differs,
    forms: &'static [Form],
    kinds: &'static [&'static str],
    texts: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    /// We take what the engine refuses.
    WeTake,
    /// We refuse what the engine takes.
    WeRefuse,
    /// Both take it, as something else.
    Otherwise,
}

use Differs::{Otherwise, WeRefuse, WeTake};
use Form::{Bare, Csv, Quoted};

const INTEGERS: &[&str] = &["UInt8", "Nullable(Int64)"];
const MOMENTS: &[&str] = &["DateTime", "DateTime64(3)"];

const KNOWN: &[Known] = &[
    Known {
        why: "words for truths, which the engine reads in a Bool of CSV only",
        differs: WeTake,
        forms: &[Quoted],
        kinds: &["Bool"],
        texts: &["true", "false", "True", "TRUE", "t", "yes", "on", "0", "1"],
    },
    Known {
        why: "true and false in any case, as other languages write them",
        differs: WeTake,
        forms: &[Quoted, Csv],
        kinds: &["UInt8", "Nullable(Int64)", "Float64"],
        texts: &["True", "TRUE"],
    },
    Known {
        why: "the same in CSV as in JSON",
        differs: WeTake,
        forms: &[Csv],
        kinds: &["UInt8", "Nullable(Int64)", "Float64"],
        texts: &["true", "false"],
    },
    Known {
        why: "numbers with a point or an exponent that are integers: nothing is lost",
        differs: WeTake,
        forms: &[Quoted, Bare, Csv],
        kinds: INTEGERS,
        texts: &["5.0", "5.00", "5e0", "5e1", "-5.0", "5."],
    },
    Known {
        why: "minus zero is zero",
        differs: WeTake,
        forms: &[Quoted, Bare, Csv],
        kinds: &["UInt8", "Bool"],
        texts: &["-0"],
    },
    Known {
        why: "words that are no JSON, kept as they stand",
        differs: WeTake,
        forms: &[Bare],
        kinds: &["String"],
        texts: &["NaN", "Infinity"],
    },
    Known {
        why: "null is the default where there is no NULL",
        differs: WeTake,
        forms: &[Bare],
        kinds: &["Enum8('a' = 1, 'b' = 2, '5' = 3)"],
        texts: &["null"],
    },
    Known {
        why: "a blank field is an empty one, and that the default, in an enum too",
        differs: WeTake,
        forms: &[Csv],
        kinds: &["Enum8('a' = 1, 'b' = 2, '5' = 3)"],
        texts: &[" "],
    },
    Known {
        why: "forms of times that the engine's parser lacks",
        differs: WeTake,
        forms: &[Quoted, Csv],
        kinds: MOMENTS,
        texts: &[
            "2024-05-01 10:00:00.123456789 +0200 CEST",
            "2024-05-01 10:00:00 +0000 UTC m=+0.000012",
            "2024-05-01 10:00:00,123",
            "2024-05-01T10:00:00+02:00[Europe/Berlin]",
            "2024-05-01T10:00:00+01:00:30",
            "20240501T1000Z",
            "1e9",
            "-1",
            "1714557600.5",
        ],
    },
    Known {
        why: "a date with midnight as its time of day: nothing is lost",
        differs: WeTake,
        forms: &[Quoted, Csv],
        kinds: &["Date"],
        texts: &[
            "2024-05-01T24:00:00",
            "2024-05-01T23:59:60Z",
            "2024-05-01T00:00:00Z",
            "2024-05-01T00:00:00+02:00",
            "2024-05-01 00:00:00",
        ],
    },
    Known {
        why: "a fraction is cut off in a Time as in a DateTime, and a number of seconds may be one of any length",
        differs: WeTake,
        forms: &[Quoted, Bare, Csv],
        kinds: &["Time", "Time64(3)"],
        texts: &["5.5", "90000", "10:00:00.5", "10:00:00,5"],
    },
    Known {
        why: "a UUID in braces or as a URN is the same UUID",
        differs: WeTake,
        forms: &[Quoted, Csv],
        kinds: &["UUID"],
        texts: &["{61f0c404-5cb3-11e7-907b-a6006ad3dba0}", "urn:uuid:61f0c404-5cb3-11e7-907b-a6006ad3dba0"],
    },
    Known {
        why: "out of the column's range: the engine stores another value",
        differs: WeRefuse,
        forms: &[Quoted, Bare, Csv],
        kinds: &["UInt8", "Float64", "DateTime", "DateTime64(3)", "Date"],
        texts: &[
            "300",
            "1e400",
            "0001-01-01T00:00:00Z",
            "1969-12-31 23:59:59",
            "2150-01-01",
            "9999-12-31T23:59:59Z",
            "-1",
            "20240501100000",
            "20240501",
            "1714557600",
            "1714557600123",
        ],
    },
    Known {
        why: "an empty text is no number",
        differs: WeRefuse,
        forms: &[Quoted],
        kinds: &["UInt8", "Nullable(Int64)", "Decimal(9, 2)"],
        texts: &[""],
    },
    Known {
        why: "days and times that do not exist: the engine makes others of them",
        differs: WeRefuse,
        forms: &[Quoted, Csv],
        kinds: &["DateTime", "DateTime64(3)", "Date"],
        texts: &["2024-02-30", "2024-05-01T25:00:00", "2024-05-01T10:00:00+24:00", "0000-00-00 00:00:00"],
    },
    Known {
        why: "two readers read it differently, or guess at a part",
        differs: WeRefuse,
        forms: &[Quoted, Csv],
        kinds: MOMENTS,
        texts: &[
            "2024-05",
            "05/01/2024",
            "01.05.2024",
            "1 May 2024 10:00:00",
            "5/1/2024 10:00:00 AM",
            "2024-05-01 10:00:00 PM",
            "Wed May  1 10:00:00 2024",
        ],
    },
    Known {
        why: "minutes and seconds to the engine, hours and minutes to Java",
        differs: WeRefuse,
        forms: &[Quoted, Csv],
        kinds: &["Time", "Time64(3)"],
        texts: &["10:00"],
    },
    Known {
        why: "not JSON",
        differs: WeRefuse,
        forms: &[Bare],
        kinds: &["UInt8", "Nullable(Int64)", "Float64", "Decimal(9, 2)", "String", "DateTime", "DateTime64(3)"],
        texts: &["+5", "005", "5.", ".5", "-inf", "01.05.2024"],
    },
    Known { why: "lists are JSON", differs: WeRefuse, forms: &[Csv], kinds: &["Array(UInt8)"], texts: &["1"] },
    Known {
        why: "seconds since 1970, and no day of the month in which it is read",
        differs: Otherwise,
        forms: &[Quoted, Csv],
        kinds: MOMENTS,
        texts: &["5"],
    },
    Known {
        why: "milliseconds: as seconds out of every range",
        differs: Otherwise,
        forms: &[Bare],
        kinds: MOMENTS,
        texts: &["1714557600123"],
    },
    Known {
        why: "seconds, as in quotes and in every other column of times",
        differs: Otherwise,
        forms: &[Bare],
        kinds: &["Time64(3)"],
        texts: &["10", "90000"],
    },
    Known {
        why: "blanks are part of a text unless `trim` says otherwise",
        differs: Otherwise,
        forms: &[Csv],
        kinds: &["String"],
        texts: &[" ", " 5", "5 ", " 5 "],
    },
];

#[test]
fn texts_are_taken_as_the_engine_takes_them_or_the_difference_is_known() {
    let zone = client().query("SELECT timezone()").expect("the engine answers");
    let compare = |form: Form| {
        let (client, mut found) = (client(), Vec::new());
        for (kind, texts) in cases() {
            let texts: Vec<_> = texts.iter().copied().filter(|text| form.takes(text)).collect();
            let records: Vec<_> = texts.iter().map(|text| form.record(text)).collect();
            let ours = ours(&client, zone.trim(), form, kind, &records);
            for ((text, record), ours) in texts.iter().zip(&records).zip(ours) {
                let theirs = theirs(&client, form, kind, record);
                let differs = match (&ours, &theirs) {
                    (Some(ours), Some(theirs)) if ours == theirs => continue,
                    (None, None) => continue,
                    (Some(_), Some(_)) => Otherwise,
                    (Some(_), None) => WeTake,
                    (None, Some(_)) => WeRefuse,
                };
                found.push((form, kind, *text, differs, format!("{ours:?} and not {theirs:?}")));
            }
        }
        found
    };
    let found = std::thread::scope(|scope| {
        let forms = [Quoted, Bare, Csv].map(|form| scope.spawn(move || compare(form)));
        forms.map(|form| form.join().expect("no comparison panics")).concat()
    });
    let mut met = vec![Vec::new(); KNOWN.len()];
    let mut unknown = String::new();
    for (form, kind, text, differs, values) in &found {
        let place = KNOWN.iter().position(|known| {
            known.differs == *differs
                && known.forms.contains(form)
                && known.kinds.contains(kind)
                && known.texts.contains(text)
        });
        match place {
            Some(place) => met[place].push(*text),
            None => writeln!(unknown, "{form:?} {kind}: {text:?} is {values}").expect("a String takes all"),
        }
    }
    for (known, met) in KNOWN.iter().zip(met) {
        for text in known.texts.iter().filter(|text| !met.contains(text)) {
            writeln!(unknown, "{text:?} does not differ: {}", known.why).expect("a String takes all");
        }
    }
    assert_eq!(unknown, "");
}
