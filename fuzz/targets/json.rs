//! Which bytes are a JSON object: our decoder, with a column that keeps all of it as JSON, against serde_json. What nobody takes
//! need not be JSON, but whatever is has to be passed over.

use std::sync::Arc;

use oncesink::columns::{ColumnSpec, Columns, DefaultValue, Path, RowPlan, Source};
use oncesink::decode::{DecodeError, ErrorCode, RecordDecoder};
use serde_json::Value;

/// Where the two may differ on purpose: serde_json refuses numbers beyond a float's range and nests by its own bound.
fn is_a_limit_of_serde(error: &serde_json::Error) -> bool {
    let text = error.to_string();
    text.contains("number out of range") || text.contains("recursion limit exceeded")
}

fn decoded(columns: Vec<ColumnSpec>, data: &[u8]) -> Result<(), DecodeError> {
    let plan = Arc::new(RowPlan::new(columns, Vec::new(), "UTC").expect("the columns are a plan"));
    let mut columns = Columns::new(&plan).expect("no column names a zone");
    RecordDecoder::json(&plan).decode_value(data, &mut columns)
}

pub(crate) fn run(data: &[u8]) {
    let all = ColumnSpec::new("all", "JSON", DefaultValue::TypeZero).expect("the type is known");
    let ours = decoded(vec![all.from_source(Source::Value(Path::default()))], data);
    let passed_over = decoded(Vec::new(), data);
    let data = data.strip_prefix("\u{feff}".as_bytes()).unwrap_or(data);
    match (&ours, serde_json::from_slice::<Value>(data)) {
        (Ok(()), Ok(Value::Object(_))) => assert_eq!(passed_over, Ok(()), "refused where nobody takes it"),
        // A column may take the record whole, and null is its default.
        (Ok(()), Ok(Value::Null)) => {}
        (Ok(()), Err(error)) => assert!(is_a_limit_of_serde(&error), "only we accept it: {error}"),
        (Ok(()), Ok(_)) => panic!("accepted, and no object"),
        (Err(error), Ok(Value::Object(_))) => assert_eq!(error.code, ErrorCode::TooDeep, "only we refuse it: {error}"),
        (Err(_), _) => {}
    }
}
