//! Columns whose values all have the same number of bytes.

use std::sync::Arc;

use super::types::EnumNames;
use super::zone::Zone;

/// What the bytes of a fixed-width value mean.
#[derive(Debug, Clone)]
pub(crate) enum FixedKind {
    Int8,
    Int16,
    Int32,
    Int64,
    Int128,
    Int256,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    UInt128,
    UInt256,
    BFloat16,
    Float32,
    Float64,
    Bool,
    FixedString,
    Date,
    Date32,
    DateTime(Zone),
    DateTime64 { precision: u8, zone: Zone },
    Time,
    Time64 { precision: u8 },
    Uuid,
    Decimal { precision: u8, scale: u8 },
    Enum8(Arc<EnumNames>),
    Enum16(Arc<EnumNames>),
    Ipv4,
    Ipv6,
}

/// Values of one fixed width, one after the other.
#[derive(Debug)]
pub(crate) struct FixedColumn {
    pub(crate) kind: FixedKind,
    pub(crate) width: usize,
    pub(crate) data: Vec<u8>,
    /// Length of `data` before the open row.
    pub(crate) mark: usize,
}

impl FixedColumn {
    pub(crate) fn new(kind: FixedKind, width: usize) -> Self {
        Self { kind, width, data: Vec::new(), mark: 0 }
    }

    #[inline]
    pub(crate) fn push<const N: usize>(&mut self, value: [u8; N]) {
        debug_assert_eq!(N, self.width);
        self.data.extend_from_slice(&value);
    }

    /// What ClickHouse calls the type's default: zero, or the smallest value of an enum.
    pub(crate) fn push_zero(&mut self) {
        match &self.kind {
            FixedKind::Enum8(names) => {
                let value = i8::try_from(names.default_value()).unwrap_or(0);
                self.push(value.to_le_bytes());
            }
            FixedKind::Enum16(names) => self.push(names.default_value().to_le_bytes()),
            _ => self.data.resize(self.data.len() + self.width, 0),
        }
    }

    /// Bytes of the last value.
    pub(crate) fn last(&self) -> &[u8] {
        let start = self.data.len().saturating_sub(self.width);
        &self.data[start..]
    }
}
