//! Whether an object has a key twice, which the server refuses in a `JSON` column.
//!
//! Asked only once the server has refused an object for it: the server tells that of a whole block, not of a record, and a
//! profile may have it accept them (`type_json_skip_duplicated_paths`). A key of a plain value and of an object is left to
//! the server, which takes both by default.

use super::cursor::Cursor;
use crate::columns::KeyBuffers;
use crate::decode::error::{ErrorCode, Fault};

/// Looks at the keys of the object whose text this is, which is known to be good.
pub(super) fn check_single_keys(object: &[u8], buffers: &mut KeyBuffers, scratch: &mut Vec<u8>) -> Result<(), Fault> {
    let KeyBuffers { text, keys } = buffers;
    text.clear();
    keys.clear();
    let mut json = Cursor::new(object);
    json.enter()?;
    if json.next_token() == b'}' {
        return Ok(());
    }
    loop {
        json.next_token();
        let start = text.len();
        text.extend_from_slice(json.string(scratch)?);
        json.next_token();
        json.expect(b':')?;
        let is_object = json.next_token() == b'{';
        keys.push((start..text.len(), is_object));
        json.skip_value()?;
        if !json.another(b'}')? {
            break;
        }
    }
    keys.sort_unstable_by(|(one, is_object), (other, other_is_object)| {
        (&text[one.clone()], is_object).cmp(&(&text[other.clone()], other_is_object))
    });
    let twice = |pair: &[(std::ops::Range<usize>, bool)]| {
        pair[0].1 == pair[1].1 && text[pair[0].0.clone()] == text[pair[1].0.clone()]
    };
    if keys.windows(2).any(twice) { Err(Fault { code: ErrorCode::DuplicateKey, at: 0 }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_two_values_of_one_kind_is_found() {
        let mut keys = KeyBuffers::default();
        let mut check = |object: &str, expected: bool| {
            let found = check_single_keys(object.as_bytes(), &mut keys, &mut Vec::new());
            assert_eq!(found.is_err(), expected, "{object}: {found:?}");
        };
        check("{}", false);
        check(r#"{"a":1}"#, false);
        check(r#"{"b":1,"a":2,"c":{"a":1}}"#, false);
        check(r#"{"a":1,"a":2}"#, true);
        check(r#"{ "a" : 1 , "b" : [1,{}], "\u0061" : null }"#, true);
        check(r#"{"a":{"b":1},"a":{"c":1}}"#, true);
        // Of a value and an object the server takes both.
        check(r#"{"a":1,"a":{"c":2}}"#, false);
        check(r#"{"a":1,"a":{"c":2},"a":3}"#, true);
        check(r#"{"ab":1,"a":1,"b":1}"#, false);
    }
}
