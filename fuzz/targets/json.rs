//! Which bytes are a JSON object: our decoder, with no column to fill, against serde_json.

use std::sync::Arc;

use oncesink::columns::{Columns, RowPlan};
use oncesink::decode::{ErrorCode, RecordDecoder};
use serde_json::Value;

/// Where the two may differ on purpose: serde_json refuses numbers beyond a float's range and nests by its own bound.
fn is_a_limit_of_serde(error: &serde_json::Error) -> bool {
    let text = error.to_string();
    text.contains("number out of range") || text.contains("recursion limit exceeded")
}

pub(crate) fn run(data: &[u8]) {
    let plan = Arc::new(RowPlan::new(Vec::new(), Vec::new(), "UTC").expect("no columns are a plan"));
    let mut columns = Columns::new(&plan).expect("no column names a zone");
    let ours = RecordDecoder::json(&plan).decode_value(data, &mut columns);
    match (&ours, serde_json::from_slice::<Value>(data)) {
        (Ok(()), Ok(Value::Object(_))) => {}
        (Ok(()), Err(error)) => assert!(is_a_limit_of_serde(&error), "only we accept it: {error}"),
        (Ok(()), Ok(_)) => panic!("accepted, and no object"),
        (Err(error), Ok(Value::Object(_))) => assert_eq!(error.code, ErrorCode::TooDeep, "only we refuse it: {error}"),
        (Err(_), _) => {}
    }
}
