//! Documents of MongoDB: its Extended JSON, canonical or relaxed, as plain JSON.
//!
//! Takes the text that Debezium's connector for MongoDB sends for a document. Gives the same document where each typed
//! value, an object of one `$` name, is the value itself. Source: the specification "MongoDB Extended JSON (v2)", and its
//! version 1 for `$date` with a number. Other `$` names stay the objects that they are.
//!
//! | typed value | as |
//! |---|---|
//! | `$oid`, `$symbol`, `$uuid` | its text |
//! | `$numberInt`, `$numberLong`, `$numberDouble` | the number; `NaN` and infinities as texts |
//! | `$numberDecimal` | its text, which columns of numbers take, and which loses nothing |
//! | `$date` | a text in UTC with milliseconds, or the text that it is |
//! | `$binary` | its base64; of subtype 04 the text of the UUID |

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::cursor::Cursor;
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::typed::{Typed, text_of, write_json_text};

/// Writes the document in `text` as plain JSON, and nothing else.
pub(super) fn to_plain(text: &[u8], plain: &mut Vec<u8>) -> Result<(), Fault> {
    plain.clear();
    let mut json = Cursor::new(text);
    json.next_token();
    value(&mut json, plain)?;
    match json.next_token() {
        0 if json.at_end() => Ok(()),
        _ => Err(json.fault(ErrorCode::InvalidJson)),
    }
}

/// One value. As deep as brackets may nest.
fn value(json: &mut Cursor<'_>, plain: &mut Vec<u8>) -> Result<(), Fault> {
    match json.peek() {
        b'{' => object(json, plain),
        b'[' => list(json, plain),
        _ => as_it_is(json, plain),
    }
}

fn as_it_is(json: &mut Cursor<'_>, plain: &mut Vec<u8>) -> Result<(), Fault> {
    let start = json.at;
    json.skip_value()?;
    plain.extend_from_slice(json.since(start));
    Ok(())
}

fn list(json: &mut Cursor<'_>, plain: &mut Vec<u8>) -> Result<(), Fault> {
    json.enter()?;
    plain.push(b'[');
    if json.next_token() == b']' {
        json.leave();
    } else {
        loop {
            json.next_token();
            value(json, plain)?;
            if !json.another(b']')? {
                break;
            }
            plain.push(b',');
        }
    }
    plain.push(b']');
    Ok(())
}

fn object(json: &mut Cursor<'_>, plain: &mut Vec<u8>) -> Result<(), Fault> {
    let start = json.mark();
    json.enter()?;
    json.next_token();
    if json.rest().starts_with(b"\"$") {
        json.back_to(start);
        let length = plain.len();
        if typed(json, plain)? {
            return Ok(());
        }
        plain.truncate(length);
        json.back_to(start);
        json.enter()?;
        json.next_token();
    }
    plain.push(b'{');
    if json.peek() == b'}' {
        json.leave();
    } else {
        loop {
            json.next_token();
            as_it_is(json, plain)?;
            json.expect(b':')?;
            plain.push(b':');
            json.next_token();
            value(json, plain)?;
            if !json.another(b'}')? {
                break;
            }
            plain.push(b',');
        }
    }
    plain.push(b'}');
    Ok(())
}

/// The object at the cursor, where it is a typed value.
fn typed(json: &mut Cursor<'_>, plain: &mut Vec<u8>) -> Result<bool, Fault> {
    let (mut name, mut text) = (Vec::new(), Vec::new());
    json.enter()?;
    json.next_token();
    let name = json.string(&mut name)?.to_vec();
    json.expect(b':')?;
    let first = json.next_token();
    let written = match (name.as_slice(), first) {
        (b"$oid" | b"$symbol" | b"$uuid" | b"$numberDecimal", b'"') => {
            as_it_is(json, plain)?;
            true
        }
        (b"$numberInt" | b"$numberLong" | b"$numberDouble", b'"') => {
            let number = json.string(&mut text)?;
            if is_number(number) {
                plain.extend_from_slice(number);
            } else {
                write_json_text(std::str::from_utf8(number).unwrap_or_default(), plain);
            }
            true
        }
        (b"$numberInt" | b"$numberLong" | b"$numberDouble", b'-' | b'0'..=b'9') => {
            as_it_is(json, plain)?;
            true
        }
        (b"$date", b'"') => {
            as_it_is(json, plain)?;
            true
        }
        (b"$date", _) => date(json, plain)?,
        (b"$binary", b'{') => binary(json, plain)?,
        _ => false,
    };
    // With anything beside it it is an object like others.
    Ok(written && !json.another(b'}')?)
}

fn is_number(text: &[u8]) -> bool {
    let mut json = Cursor::new(text);
    json.number().is_ok() && json.at_end()
}

/// Milliseconds since 1970, as a number or as `{"$numberLong": ".."}`. Anything else is not looked into: a value that may
/// hold itself would be read twice at each level.
fn date(json: &mut Cursor<'_>, plain: &mut Vec<u8>) -> Result<bool, Fault> {
    let mut scratch = Vec::new();
    let start = json.at;
    let is_wrapped = json.peek() == b'{';
    let digits = if is_wrapped {
        json.enter()?;
        json.next_token();
        if !json.rest().starts_with(b"\"$numberLong\"") {
            return Ok(false);
        }
        json.string(&mut scratch)?;
        json.expect(b':')?;
        if json.next_token() != b'"' {
            return Ok(false);
        }
        json.string(&mut scratch)?
    } else if matches!(json.peek(), b'-' | b'0'..=b'9') {
        json.number()?;
        json.since(start)
    } else {
        return Ok(false);
    };
    let Some(ticks) = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()) else { return Ok(false) };
    if is_wrapped && json.another(b'}')? {
        return Ok(false);
    }
    write_json_text(text_of(Typed::Timestamp { ticks, precision: 3 }).as_str(), plain);
    Ok(true)
}

/// `{"base64": .., "subType": ..}`
fn binary(json: &mut Cursor<'_>, plain: &mut Vec<u8>) -> Result<bool, Fault> {
    let (mut bytes, mut is_uuid) = (None, false);
    let mut scratch = Vec::new();
    json.enter()?;
    if json.next_token() == b'}' {
        return Ok(false);
    }
    loop {
        json.next_token();
        let name = json.string(&mut scratch)?.to_vec();
        json.expect(b':')?;
        if json.next_token() != b'"' {
            return Ok(false);
        }
        match name.as_slice() {
            b"base64" => bytes = Some(json.string(&mut scratch)?.to_vec()),
            b"subType" => is_uuid = matches!(json.string(&mut scratch)?, b"04" | b"4"),
            _ => json.skip_value()?,
        }
        if !json.another(b'}')? {
            break;
        }
    }
    let Some(base64) = bytes else { return Ok(false) };
    let uuid = if is_uuid { uuid_of(&base64) } else { None };
    let text = uuid.or_else(|| String::from_utf8(base64).ok()).unwrap_or_default();
    write_json_text(&text, plain);
    Ok(true)
}

fn uuid_of(base64: &[u8]) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(base64).ok()?;
    Some(uuid::Uuid::from_slice(&bytes).ok()?.hyphenated().to_string())
}
