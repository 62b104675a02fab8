//! What Kafka Connect and Debezium say of a value beyond its type, by the name of its schema.
//!
//! Takes a name and the parameters beside it, gives what the value means; formats read it then. Names:
//! `org.apache.kafka.connect.data` (package of the same name in Kafka), `io.debezium.time` and `io.debezium.data`
//! (Debezium's documentation of its connectors, "Data type mappings").
//!
//! Not listed because the plain type says it already: `ZonedTimestamp`, `IsoTimestamp`, `Interval`, `Enum`, `Xml`, `Ltree`
//! and their like are texts.

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Bytes of an integer, without the digits behind the point.
    Decimal {
        scale: u32,
    },
    /// A record of `scale` and the bytes `value`.
    VariableDecimal,
    /// Days since 1970-01-01.
    Date,
    /// Ticks since midnight, or of any span; a second has `10^precision`. So is the next.
    TimeOfDay(u8),
    /// Since 1970-01-01 UTC.
    Timestamp(u8),
    Year,
    /// A date or a time of day with its zone, as text.
    Zoned,
    Uuid,
    /// A document as text.
    Json,
    /// Texts with commas between them.
    Set,
    /// Bits, the first byte the least.
    Bits,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Int32,
    Int64,
    Text,
    Bytes,
    Record,
}

impl Meaning {
    /// What a value of this type means by the name of its schema; `None` where nothing is known, or where it is not the type
    /// that the name stands for. `scale` is the parameter of that name, for decimals.
    pub(crate) fn of(name: &str, carrier: Carrier, scale: Option<u32>) -> Option<Self> {
        use Carrier::{Bytes, Int32, Int64, Record, Text};
        let meaning = match (name, carrier) {
            ("org.apache.kafka.connect.data.Decimal", Bytes) => Self::Decimal { scale: scale? },
            ("org.apache.kafka.connect.data.Date" | "io.debezium.time.Date", Int32) => Self::Date,
            ("org.apache.kafka.connect.data.Time" | "io.debezium.time.Time", Int32) => Self::TimeOfDay(3),
            ("org.apache.kafka.connect.data.Timestamp" | "io.debezium.time.Timestamp", Int64) => Self::Timestamp(3),
            ("io.debezium.time.MicroTime" | "io.debezium.time.MicroDuration", Int64) => Self::TimeOfDay(6),
            ("io.debezium.time.NanoTime" | "io.debezium.time.NanoDuration", Int64) => Self::TimeOfDay(9),
            ("io.debezium.time.MicroTimestamp", Int64) => Self::Timestamp(6),
            ("io.debezium.time.NanoTimestamp", Int64) => Self::Timestamp(9),
            ("io.debezium.time.Year", Int32) => Self::Year,
            ("io.debezium.time.ZonedTime" | "io.debezium.time.IsoDate" | "io.debezium.time.IsoTime", Text) => {
                Self::Zoned
            }
            ("io.debezium.data.Uuid", Text) => Self::Uuid,
            ("io.debezium.data.Json", Text) => Self::Json,
            ("io.debezium.data.EnumSet", Text) => Self::Set,
            ("io.debezium.data.Bits", Bytes) => Self::Bits,
            ("io.debezium.data.VariableScaleDecimal", Record) => Self::VariableDecimal,
            _ => return None,
        };
        Some(meaning)
    }
}

/// The parameter `scale`, which stands as a text.
pub(crate) fn scale_parameter(parameters: Option<&serde_json::Value>) -> Option<u32> {
    match parameters?.get("scale")? {
        serde_json::Value::String(digits) => digits.parse().ok(),
        serde_json::Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        _ => None,
    }
}
