//! The text that stands beside every committed offset.
//!
//! Takes and gives [`Metadata`]. Promises: what `encode` wrote, `decode` reads back; nothing that was cut or altered is
//! taken for ours. Never panics on what others wrote there.

use xxhash_rust::xxh3::xxh3_64;

use crate::protocol::facts::{Anchor, Metadata};
use crate::types::{Offset, Replay, TopicId};

const NAME: &str = "oncesink";
const VERSION: u32 = 1;

/// Metadata that is ours and yet cannot be used. Going on as if there were none would forget the alert floor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Written by a newer program.
    #[error(
        "committed metadata is of version {version}, this program reads up to {VERSION}: run the newer one again, or reset the offset"
    )]
    Newer {
        /// The version found.
        version: u32,
    },
    /// Ours by its name, but cut or altered.
    #[error("committed metadata is damaged: {text:?}; reset the offset")]
    Damaged {
        /// What was found.
        text: String,
    },
}

/// ASCII, below 300 bytes: `oncesink1;topic;replay;floor;origin;anchor;checksum`.
pub fn encode(metadata: &Metadata) -> String {
    let topic_id = metadata.topic_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let anchor =
        metadata.anchor.map_or_else(|| "-".to_owned(), |anchor| format!("{}:{:016x}", anchor.offset, anchor.hash));
    let body = format!(
        "{NAME}{VERSION};t={topic_id};r={};f={};o={};a={anchor}",
        metadata.replay, metadata.floor, metadata.origin
    );
    let checksum = xxh3_64(body.as_bytes());
    format!("{body};x={checksum:016x}")
}

/// `None` if there is nothing, or something that another program wrote: then a foreign tool has moved the offset.
pub fn decode(bytes: &[u8]) -> Result<Option<Metadata>, MetadataError> {
    let Some(rest) = bytes.strip_prefix(NAME.as_bytes()) else {
        return Ok(None);
    };
    let damaged = || MetadataError::Damaged { text: String::from_utf8_lossy(bytes).into_owned() };
    let text = std::str::from_utf8(rest).map_err(|_| damaged())?;
    let (version, fields) = text.split_once(';').ok_or_else(damaged)?;
    match version.parse::<u32>() {
        Ok(VERSION) => {}
        Ok(version) if version > VERSION => return Err(MetadataError::Newer { version }),
        _ => return Err(damaged()),
    }
    let metadata = parse(fields).ok_or_else(damaged)?;
    // One text per value: the checksum is compared by writing it again.
    if encode(&metadata).as_bytes() == bytes { Ok(Some(metadata)) } else { Err(damaged()) }
}

fn parse(fields: &str) -> Option<Metadata> {
    let mut fields = fields.split(';');
    let mut field = |name: &str| fields.next()?.strip_prefix(name);
    Some(Metadata {
        topic_id: optional(field("t=")?, |id| Some(TopicId(u128::from_str_radix(id, 16).ok()?)))?,
        replay: Replay(field("r=")?.parse().ok()?),
        floor: offset(field("f=")?)?,
        origin: offset(field("o=")?)?,
        anchor: optional(field("a=")?, |anchor| {
            let (at, hash) = anchor.split_once(':')?;
            Some(Anchor { offset: offset(at)?, hash: u64::from_str_radix(hash, 16).ok()? })
        })?,
    })
}

fn offset(text: &str) -> Option<Offset> {
    text.parse().ok().map(Offset::new)
}

/// `Some(None)` for a dash; `None` if the text does not parse.
#[expect(clippy::option_option, reason = "absent and unreadable are different answers")]
fn optional<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text == "-" { Some(None) } else { parse(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOLDEN: &str =
        "oncesink1;t=0123456789abcdef0123456789abcdef;r=3;f=120;o=7;a=119:00000000000000ff;x=76b4cff5d30b1bf5";

    fn golden() -> Metadata {
        Metadata {
            topic_id: Some(TopicId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)),
            replay: Replay(3),
            floor: Offset::new(120),
            origin: Offset::new(7),
            anchor: Some(Anchor { offset: Offset::new(119), hash: 255 }),
        }
    }

    fn any_metadata() -> impl Strategy<Value = Metadata> {
        (any::<Option<u128>>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<Option<(u64, u64)>>()).prop_map(
            |(topic_id, replay, floor, origin, anchor)| Metadata {
                topic_id: topic_id.map(TopicId),
                replay: Replay(replay),
                floor: Offset::new(floor),
                origin: Offset::new(origin),
                anchor: anchor.map(|(offset, hash)| Anchor { offset: Offset::new(offset), hash }),
            },
        )
    }

    /// This text is in offsets of running connectors: it may be read for ever, and changes only with the version.
    #[test]
    fn the_text_of_version_1_does_not_change() {
        assert_eq!(encode(&golden()), GOLDEN);
        let bare =
            Metadata { topic_id: None, replay: Replay(0), floor: Offset::ZERO, origin: Offset::ZERO, anchor: None };
        assert_eq!(encode(&bare), "oncesink1;t=-;r=0;f=0;o=0;a=-;x=67eb01e357c7908f");
    }

    #[test]
    fn the_longest_text_is_short() {
        let longest = Metadata {
            topic_id: Some(TopicId(u128::MAX)),
            replay: Replay(u32::MAX),
            floor: Offset::new(u64::MAX),
            origin: Offset::new(u64::MAX),
            anchor: Some(Anchor { offset: Offset::new(u64::MAX), hash: u64::MAX }),
        };
        let text = encode(&longest);
        assert!(text.is_ascii() && text.len() < 300, "{text}");
    }

    #[test]
    fn foreign_damaged_and_newer_text_is_told_apart() {
        let check = |text: &[u8], expected: Result<Option<Metadata>, MetadataError>| {
            assert_eq!(decode(text), expected, "{}", String::from_utf8_lossy(text));
        };
        let damaged = |text: &str| Err(MetadataError::Damaged { text: text.to_owned() });
        check(b"", Ok(None));
        check(b"consumer-7", Ok(None));
        check(b"\xff\xfe", Ok(None));
        check(b"Oncesink1;", Ok(None));
        check(GOLDEN.as_bytes(), Ok(Some(golden())));
        check(b"oncesink2;anything at all", Err(MetadataError::Newer { version: 2 }));
        check(b"oncesink", damaged("oncesink"));
        check(b"oncesink1", damaged("oncesink1"));
        check(b"oncesink0;t=-", damaged("oncesink0;t=-"));
        check(b"oncesink1;\xff", damaged("oncesink1;\u{fffd}"));
        for altered in [
            GOLDEN.replace("f=120", "f=121"),
            GOLDEN.replace("r=3", "r=03"),
            GOLDEN.replace(";x=", ";y="),
            format!("{GOLDEN};"),
            GOLDEN[..GOLDEN.len() - 1].to_owned(),
        ] {
            check(altered.as_bytes(), damaged(&altered));
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(metadata in any_metadata()) {
            prop_assert_eq!(decode(encode(&metadata).as_bytes()), Ok(Some(metadata)));
        }

        #[test]
        fn an_altered_byte_is_noticed(metadata in any_metadata(), at in any::<prop::sample::Index>(), to: u8) {
            let mut bytes = encode(&metadata).into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert_ne!(decode(&bytes), Ok(Some(metadata)));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&bytes), Ok(None));
        }
    }
}
