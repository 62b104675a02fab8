//! Any bytes beside a committed offset: what is taken for ours is just what we would write.

use oncesink::commit::metadata::{decode, encode};

pub(crate) fn run(data: &[u8]) {
    if let Ok(Some(metadata)) = decode(data) {
        let again = encode(&metadata);
        assert_eq!(again.as_bytes(), data);
        assert_eq!(decode(again.as_bytes()), Ok(Some(metadata)));
    }
}
