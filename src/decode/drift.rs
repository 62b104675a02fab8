//! Fields of a record that the table has no column for, as columns that would take them.
//!
//! Takes what the decoder kept of such fields: members of a JSON object. A type follows from the value where the format
//! has no types of its own. Columns are Nullable, so that rows without the field say so.

use super::json::Cursor;

/// A column that a record's field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewColumn {
    /// The field's name.
    pub name: String,
    /// The type that takes its value.
    pub type_text: String,
}

/// The members that say something: null has no type, and what it would store is there without a column.
pub(super) fn columns_of(members: &[u8]) -> Vec<NewColumn> {
    let mut columns: Vec<NewColumn> = Vec::new();
    let mut scratch = Vec::new();
    let mut json = Cursor::new(members);
    let checked = "the decoder wrote it, or copied what it had checked";
    while !json.at_end() {
        let named = json.at;
        json.string(&mut scratch).expect(checked);
        json.expect(b':').expect(checked);
        json.next_token();
        let start = json.at;
        json.skip_value().expect(checked);
        if let Some(kind) = type_of(json.since(start)) {
            let name = Cursor::starting_at(members, named).string(&mut scratch).expect(checked).to_vec();
            let name = String::from_utf8(name).expect("json is utf-8");
            // A field that occurs twice is asked for once.
            if columns.iter().all(|column| column.name != name) {
                columns.push(NewColumn { name, type_text: format!("Nullable({kind})") });
            }
        }
        if json.next_token() == b',' {
            json.expect(b',').expect(checked);
        }
    }
    columns
}

/// The type that takes a JSON value as it is; lists and objects are texts.
fn type_of(value: &[u8]) -> Option<&'static str> {
    Some(match value.first() {
        None | Some(b'n') => return None,
        Some(b't' | b'f') => "Bool",
        Some(b'-' | b'0'..=b'9') => {
            let text = std::str::from_utf8(value).unwrap_or_default();
            if text.contains(['.', 'e', 'E']) {
                "Float64"
            } else if text.parse::<i64>().is_ok() {
                "Int64"
            } else if text.parse::<u64>().is_ok() {
                "UInt64"
            } else {
                "String"
            }
        }
        Some(_) => "String",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_from_values() {
        let check = |members: &str, expected: &str| {
            let columns = columns_of(members.as_bytes());
            let shown: Vec<String> =
                columns.iter().map(|column| format!("{} {}", column.name, column.type_text)).collect();
            assert_eq!(shown.join(", "), expected, "{members}");
        };
        check("", "");
        check(r#""a":true,"b":false"#, "a Nullable(Bool), b Nullable(Bool)");
        check(r#""a":-1,"b":0,"c":9223372036854775807"#, "a Nullable(Int64), b Nullable(Int64), c Nullable(Int64)");
        check(r#""a":9223372036854775808,"b":-9223372036854775809"#, "a Nullable(UInt64), b Nullable(String)");
        check(r#""a":18446744073709551616"#, "a Nullable(String)");
        check(r#""a":1.0,"b":1e3,"c":-0.5E-7"#, "a Nullable(Float64), b Nullable(Float64), c Nullable(Float64)");
        check(r#""a":"","b":"2020-01-01","c":"5""#, "a Nullable(String), b Nullable(String), c Nullable(String)");
        check(r#""a":[1, {"b": 2}],"c":{"d": "}"}"#, "a Nullable(String), c Nullable(String)");
        check(r#""a":null"#, "");
        check(r#""a":null,"b": 1 ,"c":null,"a":"x","b":"y""#, "b Nullable(Int64), a Nullable(String)");
        check(r#""a\u0062\"":1,"\ud83d\ude00":2"#, "ab\" Nullable(Int64), 😀 Nullable(Int64)");
    }
}
