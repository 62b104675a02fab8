//! Why a partition stands still until something outside the connector changes.

use std::fmt;

use crate::types::{Offset, OffsetRange, RecordCount};

/// The reason a partition is halted. Its `Display` says what happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HaltReason {
    /// The topic was deleted and created again.
    TopicRecreated,
    /// The committed offset lies behind the end of the partition.
    LogTruncated {
        /// The committed offset.
        committed: Offset,
        /// The partition's end.
        end: Offset,
    },
    /// The record below the committed offset is another one than was committed.
    AnchorDiffers {
        /// The record's offset.
        offset: Offset,
    },
    /// Kafka no longer has records that were not consumed.
    Gap {
        /// What is gone.
        range: OffsetRange,
    },
    /// Rows vanished, were inserted again, and vanished again.
    DamagedTwice {
        /// The range that was to be repaired.
        range: OffsetRange,
    },
    /// The ledger's proof came short twice: rows go missing between insert and proof.
    RowsVanish {
        /// The block's range.
        range: OffsetRange,
    },
    /// Another connector writes this topic into this table.
    OtherConnector {
        /// Its name.
        names: String,
    },
    /// Too many records cannot be stored: drift, not poison.
    BadShare {
        /// Dead letters of the block.
        dead: RecordCount,
        /// Records of the block.
        records: RecordCount,
        /// Where the block starts.
        from: Offset,
    },
    /// The registry knows none of several schemas that records name one after the other.
    UnknownSchemas {
        /// Their ids.
        ids: String,
        /// The first of the records.
        from: Offset,
    },
    /// No column is filled from any record: the records are not what the mapping expects.
    NoKnownField {
        /// Records with fields.
        records: RecordCount,
        /// Where the block starts.
        from: Offset,
        /// The names of the fields of the first.
        fields: String,
    },
    /// The committed metadata was written by a newer version.
    NewerMetadata,
    /// Some rows of a record are stored, and the others cannot be.
    PartlyStored {
        /// The record's offset.
        offset: Offset,
        /// How many of its rows are there.
        there: RecordCount,
        /// Why the others are not.
        why: String,
    },
    /// A record does not get through to the server, because something in front of it bounds requests.
    RecordTooLarge {
        /// The record's offset.
        offset: Offset,
        /// What that said.
        why: String,
    },
    /// A record has fields that the table has no column for.
    NewFields {
        /// The record's offset.
        offset: Offset,
        /// The first of them.
        field: String,
        /// The statement that adds columns for all.
        fix: String,
    },
}

impl HaltReason {
    /// Whether looking again can find it gone: the others last until the partition is assigned anew.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::TopicRecreated
            | Self::LogTruncated { .. }
            | Self::Gap { .. }
            | Self::OtherConnector { .. }
            | Self::RecordTooLarge { .. }
            | Self::NewerMetadata => true,
            Self::AnchorDiffers { .. }
            | Self::DamagedTwice { .. }
            | Self::RowsVanish { .. }
            | Self::BadShare { .. }
            | Self::NoKnownField { .. }
            | Self::UnknownSchemas { .. }
            | Self::PartlyStored { .. }
            | Self::NewFields { .. } => false,
        }
    }

    /// A stable word for metrics and status.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TopicRecreated => "topic_recreated",
            Self::LogTruncated { .. } => "log_truncated",
            Self::AnchorDiffers { .. } => "anchor_differs",
            Self::Gap { .. } => "gap",
            Self::DamagedTwice { .. } => "damaged_twice",
            Self::RowsVanish { .. } => "rows_vanish",
            Self::OtherConnector { .. } => "other_connector",
            Self::BadShare { .. } => "bad_share",
            Self::UnknownSchemas { .. } => "unknown_schemas",
            Self::NoKnownField { .. } => "no_known_field",
            Self::NewerMetadata => "newer_metadata",
            Self::PartlyStored { .. } => "partly_stored",
            Self::RecordTooLarge { .. } => "record_too_large",
            Self::NewFields { .. } => "new_fields",
        }
    }
}

impl fmt::Display for HaltReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TopicRecreated => f.write_str(
                "the topic was deleted and created again: its offsets mean other records now; \
                 run `oncesink reset --new-replay` to consume the new topic from its beginning",
            ),
            Self::LogTruncated { committed, end } => write!(
                f,
                "the committed offset {committed} lies behind the end of the partition {end}: the broker lost \
                 records or the topic was replaced; run `oncesink reset --new-replay`, or restore the topic",
            ),
            Self::AnchorDiffers { offset } => write!(
                f,
                "the record at offset {offset} is not the one that was committed: the topic was replaced or \
                 truncated; run `oncesink reset --new-replay`",
            ),
            Self::Gap { range } => write!(
                f,
                "Kafka no longer has the offsets {range} that were not consumed yet (retention); \
                 set `on_gap: skip` to record the gap and go on",
            ),
            Self::DamagedTwice { range } => write!(
                f,
                "rows of {range} were lost by ClickHouse, inserted again, and are gone again: find out what \
                 removes them (TTL, DELETE, a restore) before the connector is started again",
            ),
            Self::RowsVanish { range } => write!(
                f,
                "ClickHouse acknowledged rows of {range} and does not show them, twice: look for a TTL, a row \
                 policy or a DELETE on the table",
            ),
            Self::OtherConnector { names } => write!(
                f,
                "another connector writes this topic into this table: {names}; stop it and start this one with \
                 `run --adopt`, or choose another table",
            ),
            Self::BadShare { dead, records, from } => write!(
                f,
                "{dead} of {records} records from offset {from} cannot be stored, more than `bad_share_max` \
                 allows: the producer's format has probably changed. None of them is stored or skipped yet. Mend the \
                 producer or the mapping; or let values that fit no column be replaced (`on_error`); or let more records \
                 become dead letters (`bad_share_max`); then start the connector anew",
            ),
            Self::UnknownSchemas { ids, from } => write!(
                f,
                "records from offset {from} on name the schema ids {ids}, and the registry knows none of them: what stands \
                 in front of the values is probably not the registry's zero byte and 4-byte id. Values without ids need \
                 `framing: none` (Avro also `single_object`), ids in headers `framing: registry_headers`; Apicurio's \
                 serializers write 8-byte ids unless they are told to write Confluent's. Or `schema_registry.url` is another \
                 registry. Mend it and start the connector anew; with `bad_share_max: 100%` such records become dead letters",
            ),
            Self::NoKnownField { records, from, fields } => write!(
                f,
                "none of {records} records from offset {from} has a field that a column is filled from; they have {fields}: {}; \
                 with `unknown_fields: dead_letter` records with such fields are dead letters",
                how_to_read(fields),
            ),
            Self::NewerMetadata => {
                f.write_str("the committed offset was written by a newer version of oncesink: run that version")
            }
            Self::RecordTooLarge { offset, why } => write!(
                f,
                "the record at offset {offset} is alone in its insert and still too large for something in front of \
                 ClickHouse: {why}; raise the limit there (of nginx `client_max_body_size`), and it goes on by itself",
            ),
            Self::NewFields { offset, field, fix } => write!(
                f,
                "the record at offset {offset} has a field `{field}` that no column takes (`schema_drift: halt`): run \
                 {fix}, and it goes on by itself",
            ),
            Self::PartlyStored { offset, there, why } => write!(
                f,
                "the record at offset {offset} has {there} of its rows in the table and the others cannot be stored: \
                 {why}; delete its rows, then it becomes a dead letter, or mend the table; then start the connector anew",
            ),
        }
    }
}

/// What reads records with these fields.
fn how_to_read(fields: &str) -> &'static str {
    let has = |name: &str| fields.split(", ").any(|field| field == name);
    if has("payload") {
        "`envelope: connect` reads the row below `payload`, and `envelope: debezium` the change there"
    } else if has("op") && (has("before") || has("after")) {
        "`envelope: debezium` reads the row of a change"
    } else {
        "say where the values are with `columns: { name: $.a.b }`, or how names are written with `field_names`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_read_records_is_told_by_their_fields() {
        let check = |fields: &str, expected: &str| {
            let (records, from) = (RecordCount(7), Offset::from_kafka(3).expect("it is no sentinel"));
            let reason = HaltReason::NoKnownField { records, from, fields: fields.to_owned() }.to_string();
            assert!(reason.contains(expected) && reason.contains(fields), "{reason}");
        };
        check("schema, payload", "`envelope: connect`");
        check("before, after, op", "`envelope: debezium` reads the row of a change");
        check("after, x", "`columns: { name: $.a.b }`");
    }
}
