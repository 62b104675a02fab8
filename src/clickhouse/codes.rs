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
    /// Unknown to us, or raised by records and by the server alike: waited for like [`Disposition::Backoff`], until trying
    /// tells which it is.
    Other,
}

/// The code of `throwIf`, which our fence, proof and presence tests raise, and other people's views too.
pub const THROW_IF: u32 = 395;
/// A setting that the server does not know.
pub const UNKNOWN_SETTING: u32 = 115;
/// The code of a setting that a constraint of the profile forbids.
pub const SETTING_CONSTRAINT: u32 = 452;
/// The code of a setting that a readonly profile forbids, and of a table that is in readonly mode.
pub const READONLY: u32 = 164;

const TOO_MANY_PARTS: u32 = 252;
const NOT_IMPLEMENTED: u32 = 48;
const INCORRECT_DATA: u32 = 117;
const LOGICAL_ERROR: u32 = 49;

/// The disposition of an error, by its number and, for the one number that means two things, its text.
pub fn disposition(code: u32, text: &str) -> Disposition {
    // The same number says "merges are behind" (wait) and "this block touches too many partitions" (split it).
    if code == TOO_MANY_PARTS && text.contains("Too many partitions") {
        return Disposition::PermanentForBytes;
    }
    TABLE.iter().find(|(known, _, _)| *known == code).map_or(Disposition::Other, |(_, _, disposition)| *disposition)
}

/// Whether a JSON object was refused for a key that it has twice. The number alone says no more than that data is bad.
pub fn is_key_twice(code: u32, text: &str) -> bool {
    code == INCORRECT_DATA && text.contains("Duplicate path found")
}

/// Whether a code that an insert may owe to its records speaks of the statement where there are none.
pub const fn speaks_of_statement(code: u32) -> bool {
    matches!(code, NOT_IMPLEMENTED | LOGICAL_ERROR)
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

use Disposition::{Backoff, Configuration, Other, PermanentForBytes};

/// Every code that we have an opinion on, with the name that the server gives it.
const TABLE: &[(u32, &str, Disposition)] = &[
    (3, "UNEXPECTED_END_OF_FILE", Backoff),
    (6, "CANNOT_PARSE_TEXT", PermanentForBytes),
    (8, "THERE_IS_NO_COLUMN", Configuration),
    (10, "NOT_FOUND_COLUMN_IN_BLOCK", Configuration),
    (11, "POSITION_OUT_OF_BOUND", PermanentForBytes),
    (13, "SIZES_OF_COLUMNS_IN_TUPLE_DOESNT_MATCH", PermanentForBytes),
    (16, "NO_SUCH_COLUMN_IN_TABLE", Configuration),
    (19, "SIZE_OF_FIXED_STRING_DOESNT_MATCH", PermanentForBytes),
    (20, "NUMBER_OF_COLUMNS_DOESNT_MATCH", Configuration),
    (23, "CANNOT_READ_FROM_ISTREAM", Backoff),
    (24, "CANNOT_WRITE_TO_OSTREAM", Backoff),
    (25, "CANNOT_PARSE_ESCAPE_SEQUENCE", PermanentForBytes),
    (26, "CANNOT_PARSE_QUOTED_STRING", PermanentForBytes),
    (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", PermanentForBytes),
    (33, "CANNOT_READ_ALL_DATA", PermanentForBytes),
    (34, "TOO_MANY_ARGUMENTS_FOR_FUNCTION", Configuration),
    (35, "TOO_FEW_ARGUMENTS_FOR_FUNCTION", Configuration),
    (38, "CANNOT_PARSE_DATE", PermanentForBytes),
    (40, "CHECKSUM_DOESNT_MATCH", Backoff),
    (41, "CANNOT_PARSE_DATETIME", PermanentForBytes),
    (42, "NUMBER_OF_ARGUMENTS_DOESNT_MATCH", Configuration),
    (43, "ILLEGAL_TYPE_OF_ARGUMENT", PermanentForBytes),
    (44, "ILLEGAL_COLUMN", PermanentForBytes),
    (46, "UNKNOWN_FUNCTION", Configuration),
    (47, "UNKNOWN_IDENTIFIER", Configuration),
    (NOT_IMPLEMENTED, "NOT_IMPLEMENTED", Other),
    (LOGICAL_ERROR, "LOGICAL_ERROR", Other),
    (50, "UNKNOWN_TYPE", Configuration),
    (53, "TYPE_MISMATCH", PermanentForBytes),
    (60, "UNKNOWN_TABLE", Configuration),
    (62, "SYNTAX_ERROR", Configuration),
    (63, "UNKNOWN_AGGREGATE_FUNCTION", Configuration),
    (69, "ARGUMENT_OUT_OF_BOUND", PermanentForBytes),
    (70, "CANNOT_CONVERT_TYPE", PermanentForBytes),
    (72, "CANNOT_PARSE_NUMBER", PermanentForBytes),
    (74, "CANNOT_READ_FROM_FILE_DESCRIPTOR", Backoff),
    (75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR", Backoff),
    (76, "CANNOT_OPEN_FILE", Backoff),
    (77, "CANNOT_CLOSE_FILE", Backoff),
    (81, "UNKNOWN_DATABASE", Configuration),
    (83, "DIRECTORY_DOESNT_EXIST", Backoff),
    (86, "RECEIVED_ERROR_FROM_REMOTE_IO_SERVER", Backoff),
    (87, "CANNOT_SEEK_THROUGH_FILE", Backoff),
    (88, "CANNOT_TRUNCATE_FILE", Backoff),
    (95, "CANNOT_READ_FROM_SOCKET", Backoff),
    (96, "CANNOT_WRITE_TO_SOCKET", Backoff),
    (107, "FILE_DOESNT_EXIST", Backoff),
    (UNKNOWN_SETTING, "UNKNOWN_SETTING", Configuration),
    (INCORRECT_DATA, "INCORRECT_DATA", PermanentForBytes),
    (124, "INCORRECT_ELEMENT_OF_SET", PermanentForBytes),
    (128, "TOO_LARGE_ARRAY_SIZE", PermanentForBytes),
    (130, "CANNOT_READ_ARRAY_FROM_TEXT", PermanentForBytes),
    (131, "TOO_LARGE_STRING_SIZE", PermanentForBytes),
    (135, "ZERO_ARRAY_OR_TUPLE_INDEX", PermanentForBytes),
    (153, "ILLEGAL_DIVISION", PermanentForBytes),
    (156, "DICTIONARIES_WAS_NOT_LOADED", Backoff),
    (158, "TOO_MANY_ROWS", PermanentForBytes),
    (159, "TIMEOUT_EXCEEDED", Backoff),
    (160, "TOO_SLOW", Backoff),
    (READONLY, "READONLY", Backoff),
    (172, "CANNOT_CREATE_DIRECTORY", Backoff),
    (173, "CANNOT_ALLOCATE_MEMORY", Backoff),
    (190, "SIZES_OF_ARRAYS_DONT_MATCH", PermanentForBytes),
    (192, "UNKNOWN_USER", Configuration),
    (193, "WRONG_PASSWORD", Configuration),
    (194, "REQUIRED_PASSWORD", Configuration),
    (195, "IP_ADDRESS_NOT_ALLOWED", Configuration),
    (198, "DNS_ERROR", Backoff),
    (201, "QUOTA_EXCEEDED", Backoff),
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES", Backoff),
    (203, "NO_FREE_CONNECTION", Backoff),
    (204, "CANNOT_FSYNC", Backoff),
    (209, "SOCKET_TIMEOUT", Backoff),
    (210, "NETWORK_ERROR", Backoff),
    (214, "CANNOT_STATVFS", Backoff),
    (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", Backoff),
    (218, "TABLE_IS_DROPPED", Configuration),
    (225, "NO_ZOOKEEPER", Backoff),
    (234, "NO_REPLICA_HAS_PART", Backoff),
    (236, "ABORTED", Backoff),
    (241, "MEMORY_LIMIT_EXCEEDED", Backoff),
    (242, "TABLE_IS_READ_ONLY", Backoff),
    (243, "NOT_ENOUGH_SPACE", Backoff),
    (244, "UNEXPECTED_ZOOKEEPER_ERROR", Backoff),
    (248, "INVALID_PARTITION_VALUE", PermanentForBytes),
    (TOO_MANY_PARTS, "TOO_MANY_PARTS", Backoff),
    (254, "NO_ACTIVE_REPLICAS", Backoff),
    (255, "TOO_MANY_RETRIES_TO_FETCH_PARTS", Backoff),
    (265, "NO_AVAILABLE_REPLICA", Backoff),
    (271, "CANNOT_DECOMPRESS", Backoff),
    (272, "CANNOT_IO_SUBMIT", Backoff),
    (273, "CANNOT_IO_GETEVENTS", Backoff),
    (274, "AIO_READ_ERROR", Backoff),
    (275, "AIO_WRITE_ERROR", Backoff),
    (277, "INDEX_NOT_USED", Configuration),
    (279, "ALL_CONNECTION_TRIES_FAILED", Backoff),
    (285, "TOO_FEW_LIVE_REPLICAS", Backoff),
    (286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", Backoff),
    (289, "REPLICA_IS_NOT_IN_QUORUM", Backoff),
    (291, "DATABASE_ACCESS_DENIED", Configuration),
    (294, "CANNOT_WRITE_TO_FILE", Backoff),
    (297, "SHARD_HAS_NO_CONNECTIONS", Backoff),
    (307, "TOO_MANY_BYTES", PermanentForBytes),
    (308, "UNEXPECTED_NODE_IN_ZOOKEEPER", Backoff),
    (319, "UNKNOWN_STATUS_OF_INSERT", Backoff),
    (321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", PermanentForBytes),
    (341, "UNFINISHED", Backoff),
    (344, "SUPPORT_IS_DISABLED", Configuration),
    (346, "CANNOT_CONVERT_CHARSET", PermanentForBytes),
    (349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", PermanentForBytes),
    (364, "RECEIVED_ERROR_TOO_MANY_REQUESTS", Backoff),
    (366, "SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT", PermanentForBytes),
    (369, "ALL_REPLICAS_ARE_STALE", Backoff),
    (373, "SESSION_IS_LOCKED", Backoff),
    (376, "CANNOT_PARSE_UUID", PermanentForBytes),
    (384, "PART_IS_TEMPORARILY_LOCKED", Backoff),
    (389, "INSERT_WAS_DEDUPLICATED", Backoff),
    (394, "QUERY_WAS_CANCELLED", Backoff),
    (THROW_IF, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", PermanentForBytes),
    (396, "TOO_MANY_ROWS_OR_BYTES", Configuration),
    (400, "CANNOT_STAT", Backoff),
    (407, "DECIMAL_OVERFLOW", PermanentForBytes),
    (410, "EXTERNAL_SERVER_IS_NOT_RESPONDING", Backoff),
    (411, "PTHREAD_ERROR", Backoff),
    (416, "REPLICA_STATUS_CHANGED", Backoff),
    (425, "SYSTEM_ERROR", Backoff),
    (427, "CANNOT_COMPILE_REGEXP", PermanentForBytes),
    (439, "CANNOT_SCHEDULE_TASK", Backoff),
    (441, "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING", PermanentForBytes),
    (446, "FUNCTION_NOT_ALLOWED", Configuration),
    (447, "HYPERSCAN_CANNOT_SCAN_TEXT", PermanentForBytes),
    (SETTING_CONSTRAINT, "SETTING_CONSTRAINT_VIOLATION", Configuration),
    (455, "SUSPICIOUS_TYPE_FOR_LOW_CARDINALITY", Configuration),
    (467, "CANNOT_PARSE_BOOL", PermanentForBytes),
    (469, "VIOLATED_CONSTRAINT", PermanentForBytes),
    (471, "INVALID_SETTING_VALUE", Configuration),
    (472, "READONLY_SETTING", Configuration),
    (473, "DEADLOCK_AVOIDED", Backoff),
    (481, "PATH_ACCESS_DENIED", Configuration),
    (490, "CANNOT_FORMAT_DATETIME", PermanentForBytes),
    (497, "ACCESS_DENIED", Configuration),
    (499, "S3_ERROR", Backoff),
    (500, "AZURE_BLOB_STORAGE_ERROR", Backoff),
    (510, "CACHE_DICTIONARY_UPDATE_FAIL", Backoff),
    (516, "AUTHENTICATION_FAILED", Configuration),
    (519, "NO_REMOTE_SHARD_AVAILABLE", Backoff),
    (529, "NOT_A_LEADER", Backoff),
    (563, "CANNOT_READ_MAP_FROM_TEXT", PermanentForBytes),
    (565, "TOO_MANY_PARTITIONS", PermanentForBytes),
    (568, "RAFT_ERROR", Backoff),
    (571, "DATABASE_REPLICATION_FAILED", Backoff),
    (574, "DISTRIBUTED_TOO_MANY_PENDING_BYTES", Backoff),
    (586, "CANNOT_CREATE_FILE", Backoff),
    (587, "CONCURRENT_ACCESS_NOT_SUPPORTED", Backoff),
    (593, "ZERO_COPY_REPLICATION_ERROR", Backoff),
    (620, "QUERY_NOT_ALLOWED", Configuration),
    (621, "CANNOT_NORMALIZE_STRING", PermanentForBytes),
    (632, "UNEXPECTED_DATA_AFTER_PARSED_VALUE", PermanentForBytes),
    (645, "NUMBER_OF_DIMENSIONS_MISMATCHED", PermanentForBytes),
    (650, "SERIALIZATION_ERROR", Backoff),
    (659, "UNKNOWN_STATUS_OF_TRANSACTION", Backoff),
    (660, "HDFS_ERROR", Backoff),
    (662, "FS_METADATA_ERROR", Backoff),
    (667, "NOT_INITIALIZED", Backoff),
    (675, "CANNOT_PARSE_IPV4", PermanentForBytes),
    (676, "CANNOT_PARSE_IPV6", PermanentForBytes),
    (677, "THREAD_WAS_CANCELED", Backoff),
    (691, "UNKNOWN_ELEMENT_OF_ENUM", PermanentForBytes),
    (692, "TOO_MANY_MUTATIONS", Backoff),
    (693, "AWS_ERROR", Backoff),
    (695, "ASYNC_LOAD_FAILED", Backoff),
    (696, "ASYNC_LOAD_CANCELED", Backoff),
    (700, "USER_SESSION_LIMIT_EXCEEDED", Backoff),
    (707, "GCP_ERROR", Backoff),
    (710, "FAULT_INJECTED", Backoff),
    (720, "USER_EXPIRED", Configuration),
    (722, "ASYNC_LOAD_WAIT_FAILED", Backoff),
    (733, "TABLE_IS_BEING_RESTARTED", Backoff),
    (734, "CANNOT_WRITE_AFTER_BUFFER_CANCELED", Backoff),
    (735, "QUERY_WAS_CANCELLED_BY_CLIENT", Backoff),
    (737, "GOOGLE_CLOUD_ERROR", Backoff),
    (738, "PART_IS_LOCKED", Backoff),
    (745, "SERVER_OVERLOADED", Backoff),
    (749, "TCP_CONNECTION_LIMIT_REACHED", Backoff),
    (760, "UNICODE_ERROR", PermanentForBytes),
    (762, "HTTP_CONNECTION_LIMIT_REACHED", Backoff),
    (763, "SESSION_REFUSED", Backoff),
    (767, "REQUIRED_SECOND_FACTOR", Configuration),
    (771, "CACHE_CANNOT_WRITE_TO_CACHE_DISK", Backoff),
    (774, "TABLE_IS_PERMANENTLY_READ_ONLY", Configuration),
    (776, "RESOURCE_LIMIT_EXCEEDED", Backoff),
    (777, "MEMORY_RESERVATION_KILLED", Backoff),
    (778, "MEMORY_RESERVATION_FAILED", Backoff),
    (900, "DISTRIBUTED_CACHE_ERROR", Backoff),
    (901, "CANNOT_USE_DISTRIBUTED_CACHE", Backoff),
    (903, "DISTRIBUTED_CACHE_REGISTRY_SHUTDOWN", Backoff),
    (904, "TOO_MANY_UNAVAILABLE_SHARDS", Backoff),
    (905, "DISTRIBUTED_CACHE_SERVER_IN_BACKOFF", Backoff),
    (999, "KEEPER_EXCEPTION", Backoff),
    (1000, "POCO_EXCEPTION", Other),
    (1001, "STD_EXCEPTION", Other),
    (1016, "TABLE_SIZE_LIMIT_EXCEEDED", Configuration),
    (1017, "ASYNC_INSERT_FLUSH_TIMEOUT", Backoff),
    (1018, "EXCHANGE_PEER_DISCONNECTED", Backoff),
    (1019, "QUERY_SLOT_ACQUISITION_TIMEOUT", Backoff),
    (1020, "MEMORY_RESERVATION_ACQUISITION_TIMEOUT", Backoff),
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
                3, 23, 24, 40, 74, 75, 76, 77, 83, 86, 87, 88, 95, 96, 107, 156, 159, 160, 164, 172, 173, 198, 201,
                202, 203, 204, 209, 210, 214, 216, 225, 234, 236, 241, 242, 243, 244, 252, 254, 255, 265, 271, 272,
                273, 274, 275, 279, 285, 286, 289, 294, 297, 308, 319, 341, 364, 369, 373, 384, 389, 394, 400, 410,
                411, 416, 425, 439, 473, 499, 500, 510, 519, 529, 568, 571, 574, 586, 587, 593, 650, 659, 660, 662,
                667, 677, 692, 693, 695, 696, 700, 707, 710, 722, 733, 734, 735, 737, 738, 745, 749, 762, 763, 771,
                776, 777, 778, 900, 901, 903, 904, 905, 999, 1017, 1018, 1019, 1020,
            ],
            Backoff,
        );
        check(
            &[
                6, 11, 13, 19, 25, 26, 27, 33, 38, 41, 43, 44, 53, 69, 70, 72, 117, 124, 128, 130, 131, 135, 153, 158,
                190, 248, 307, 321, 346, 349, 366, 376, 395, 407, 427, 441, 447, 467, 469, 490, 563, 565, 621, 632,
                645, 675, 676, 691, 760,
            ],
            PermanentForBytes,
        );
        check(
            &[
                8, 10, 16, 20, 34, 35, 42, 46, 47, 50, 60, 62, 63, 81, 115, 192, 193, 194, 195, 218, 277, 291, 344,
                396, 446, 452, 455, 471, 472, 481, 497, 516, 620, 720, 767, 774, 1016,
            ],
            Configuration,
        );
        check(&[48, 49, 1000, 1001], Other);
        assert_eq!(TABLE.len(), 116 + 49 + 37 + 4, "a code without a test");
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
