//! What a ClickHouse error means for us, by its number.
//!
//! Takes a server's reply as text or header, gives the number and its [`Disposition`]. Numbers are parsed here and
//! nowhere else; no other module compares the text of an error, except for our own fence texts.
//! A disposition never says that nothing was written: an error can come after rows were committed.

/// What to do after an error of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// The server is busy, short of something or restarting: wait, then take over and go on.
    Backoff,
    /// These bytes will fail again: split the block until the bad rows are alone.
    PermanentForBytes,
    /// A table, grant, setting or statement is wrong: nothing but an operator helps.
    Configuration,
    /// Unknown to us: treated like [`Disposition::Backoff`], but worth a line in the log.
    Other,
}

/// The code of `throwIf`, which our fence, proof and presence tests raise, and other people's views too.
pub const THROW_IF: u32 = 395;
/// The code of a setting that a constraint of the profile forbids.
pub const SETTING_CONSTRAINT: u32 = 452;
/// The code of a setting that a readonly profile forbids, and of a table that is in readonly mode.
pub const READONLY: u32 = 164;

const TOO_MANY_PARTS: u32 = 252;

/// The disposition of an error, by its number and, for the one number that means two things, its text.
pub fn disposition(code: u32, text: &str) -> Disposition {
    // The same number says "merges are behind" (wait) and "this block touches too many partitions" (split it).
    if code == TOO_MANY_PARTS && text.contains("Too many partitions") {
        return Disposition::PermanentForBytes;
    }
    TABLE.iter().find(|(known, _, _)| *known == code).map_or(Disposition::Other, |(_, _, disposition)| *disposition)
}

/// ClickHouse's name of a code that we know.
pub fn name(code: u32) -> Option<&'static str> {
    TABLE.iter().find(|(known, _, _)| *known == code).map(|(_, name, _)| *name)
}

/// The number in an exception text: `Code: 241. DB::Exception: ..`, wherever in the body it stands.
pub fn parse(text: &str) -> Option<u32> {
    text.match_indices("Code: ").find_map(|(at, label)| {
        let digits = text.get(at + label.len()..)?;
        let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end)?.parse().ok()
    })
}

/// The message behind `DB::Exception: ` of an exception text.
pub fn message(text: &str) -> &str {
    text.split_once("DB::Exception: ").map_or(text, |(_, message)| message).trim()
}

use Disposition::{Backoff, Configuration, PermanentForBytes};

/// Every code that we have an opinion on, with the name that the server gives it.
const TABLE: &[(u32, &str, Disposition)] = &[
    (3, "UNEXPECTED_END_OF_FILE", Backoff),
    (6, "CANNOT_PARSE_TEXT", PermanentForBytes),
    (8, "THERE_IS_NO_COLUMN", Configuration),
    (10, "NOT_FOUND_COLUMN_IN_BLOCK", Configuration),
    (16, "NO_SUCH_COLUMN_IN_TABLE", Configuration),
    (20, "NUMBER_OF_COLUMNS_DOESNT_MATCH", Configuration),
    (26, "CANNOT_PARSE_QUOTED_STRING", PermanentForBytes),
    (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", PermanentForBytes),
    (33, "CANNOT_READ_ALL_DATA", PermanentForBytes),
    (38, "CANNOT_PARSE_DATE", PermanentForBytes),
    (40, "CHECKSUM_DOESNT_MATCH", Backoff),
    (41, "CANNOT_PARSE_DATETIME", PermanentForBytes),
    (43, "ILLEGAL_TYPE_OF_ARGUMENT", PermanentForBytes),
    (44, "ILLEGAL_COLUMN", PermanentForBytes),
    (46, "UNKNOWN_FUNCTION", Configuration),
    (47, "UNKNOWN_IDENTIFIER", Configuration),
    (48, "NOT_IMPLEMENTED", Configuration),
    (49, "LOGICAL_ERROR", Configuration),
    (50, "UNKNOWN_TYPE", Configuration),
    (53, "TYPE_MISMATCH", PermanentForBytes),
    (60, "UNKNOWN_TABLE", Configuration),
    (62, "SYNTAX_ERROR", Configuration),
    (69, "ARGUMENT_OUT_OF_BOUND", PermanentForBytes),
    (70, "CANNOT_CONVERT_TYPE", PermanentForBytes),
    (72, "CANNOT_PARSE_NUMBER", PermanentForBytes),
    (75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR", Backoff),
    (81, "UNKNOWN_DATABASE", Configuration),
    (115, "UNKNOWN_SETTING", Configuration),
    (117, "INCORRECT_DATA", PermanentForBytes),
    (131, "TOO_LARGE_STRING_SIZE", PermanentForBytes),
    (158, "TOO_MANY_ROWS", PermanentForBytes),
    (159, "TIMEOUT_EXCEEDED", Backoff),
    (READONLY, "READONLY", Backoff),
    (173, "CANNOT_ALLOCATE_MEMORY", Backoff),
    (190, "SIZES_OF_ARRAYS_DONT_MATCH", PermanentForBytes),
    (192, "UNKNOWN_USER", Configuration),
    (193, "WRONG_PASSWORD", Configuration),
    (194, "REQUIRED_PASSWORD", Configuration),
    (195, "IP_ADDRESS_NOT_ALLOWED", Configuration),
    (201, "QUOTA_EXCEEDED", Backoff),
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES", Backoff),
    (203, "NO_FREE_CONNECTION", Backoff),
    (209, "SOCKET_TIMEOUT", Backoff),
    (210, "NETWORK_ERROR", Backoff),
    (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", Backoff),
    (218, "TABLE_IS_DROPPED", Configuration),
    (236, "ABORTED", Backoff),
    (241, "MEMORY_LIMIT_EXCEEDED", Backoff),
    (242, "TABLE_IS_READ_ONLY", Backoff),
    (243, "NOT_ENOUGH_SPACE", Backoff),
    (248, "INVALID_PARTITION_VALUE", PermanentForBytes),
    (TOO_MANY_PARTS, "TOO_MANY_PARTS", Backoff),
    (271, "CANNOT_DECOMPRESS", Backoff),
    (279, "ALL_CONNECTION_TRIES_FAILED", Backoff),
    (285, "TOO_FEW_LIVE_REPLICAS", Backoff),
    (286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", Backoff),
    (289, "REPLICA_IS_NOT_IN_QUORUM", Backoff),
    (307, "TOO_MANY_BYTES", PermanentForBytes),
    (319, "UNKNOWN_STATUS_OF_INSERT", Backoff),
    (321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", PermanentForBytes),
    (344, "SUPPORT_IS_DISABLED", Configuration),
    (349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", PermanentForBytes),
    (384, "PART_IS_TEMPORARILY_LOCKED", Backoff),
    (389, "INSERT_WAS_DEDUPLICATED", Backoff),
    (394, "QUERY_WAS_CANCELLED", Backoff),
    (THROW_IF, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", PermanentForBytes),
    (396, "TOO_MANY_ROWS_OR_BYTES", Configuration),
    (407, "DECIMAL_OVERFLOW", PermanentForBytes),
    (416, "REPLICA_STATUS_CHANGED", Backoff),
    (425, "SYSTEM_ERROR", Backoff),
    (439, "CANNOT_SCHEDULE_TASK", Backoff),
    (SETTING_CONSTRAINT, "SETTING_CONSTRAINT_VIOLATION", Configuration),
    (455, "SUSPICIOUS_TYPE_FOR_LOW_CARDINALITY", Configuration),
    (469, "VIOLATED_CONSTRAINT", PermanentForBytes),
    (497, "ACCESS_DENIED", Configuration),
    (499, "S3_ERROR", Backoff),
    (516, "AUTHENTICATION_FAILED", Configuration),
    (565, "TOO_MANY_PARTITIONS", PermanentForBytes),
    (568, "RAFT_ERROR", Backoff),
    (593, "ZERO_COPY_REPLICATION_ERROR", Backoff),
    (620, "QUERY_NOT_ALLOWED", Configuration),
    (691, "UNKNOWN_ELEMENT_OF_ENUM", PermanentForBytes),
    (692, "TOO_MANY_MUTATIONS", Backoff),
    (700, "USER_SESSION_LIMIT_EXCEEDED", Backoff),
    (745, "SERVER_OVERLOADED", Backoff),
    (999, "KEEPER_EXCEPTION", Backoff),
    (1000, "POCO_EXCEPTION", Backoff),
    (1001, "STD_EXCEPTION", Backoff),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_code_has_its_disposition() {
        let check = |codes: &[u32], expected: Disposition| {
            for code in codes {
                assert_eq!(disposition(*code, ""), expected, "code {code}");
                assert!(name(*code).is_some(), "code {code} has no name");
            }
        };
        check(
            &[
                3, 40, 75, 159, 164, 173, 201, 202, 203, 209, 210, 216, 236, 241, 242, 243, 252, 271, 279, 285, 286,
                289, 319, 384, 389, 394, 416, 425, 439, 499, 568, 593, 692, 700, 745, 999, 1000, 1001,
            ],
            Backoff,
        );
        check(
            &[
                6, 26, 27, 33, 38, 41, 43, 44, 53, 69, 70, 72, 117, 131, 158, 190, 248, 307, 321, 349, 395, 407, 469,
                565, 691,
            ],
            PermanentForBytes,
        );
        check(
            &[
                8, 10, 16, 20, 46, 47, 48, 49, 50, 60, 62, 81, 115, 192, 193, 194, 195, 218, 344, 396, 452, 455, 497,
                516, 620,
            ],
            Configuration,
        );
        assert_eq!(TABLE.len(), 38 + 25 + 25, "a code without a test");
        assert_eq!(disposition(1_234_567, ""), Disposition::Other);
    }

    #[test]
    fn too_many_parts_means_two_things() {
        let check = |text: &str, expected| assert_eq!(disposition(252, text), expected, "{text}");
        check("Too many parts (3000). Merges are processing significantly slower than inserts", Backoff);
        check("Too many partitions for single INSERT block (more than 100)", PermanentForBytes);
    }

    #[test]
    fn codes_are_ordered_and_single() {
        assert!(TABLE.is_sorted_by(|left, right| left.0 < right.0));
    }

    #[test]
    fn numbers_are_parsed_whole() {
        let check = |text: &str, expected: Option<u32>| assert_eq!(parse(text), expected, "{text}");
        check("Code: 53. DB::Exception: x", Some(53));
        check("Code: 530. DB::Exception: x", Some(530));
        check("some rows\nCode: 241. DB::Exception: x", Some(241));
        check("Code: 395", Some(395));
        check("Status Code: none, Code: 60. x", Some(60));
        check("Code: ", None);
        check("", None);
        check("502 Bad Gateway", None);
        check("Code: 99999999999999. x", None);
    }

    #[test]
    fn messages_start_behind_the_exception_mark() {
        let check = |text: &str, expected: &str| assert_eq!(message(text), expected);
        check("Code: 395. DB::Exception: oncesink:fenced: while executing", "oncesink:fenced: while executing");
        check("bad gateway\n", "bad gateway");
    }
}
