//! The nearest value of a column's range.

use ethnum::I256;

use super::builder::ColumnBuilder;
use super::fixed::{FixedColumn, FixedKind};
use crate::decode::ErrorCode;

/// 2299-12-31 and 1900-01-01 in days since 1970: what `Date32` and `DateTime64` hold.
const LAST_DAY: i64 = 120_529;
const FIRST_DAY: i64 = -25_567;
const SECONDS_PER_DAY: i64 = 86_400;
/// The first second, in either direction, that a `Time` cannot hold.
const TIME_SECONDS_END: i64 = 3_600_000;

impl ColumnBuilder {
    /// Appends the least or the greatest value of the column, whichever is nearer to the value that was refused with
    /// `code`; `false`, and nothing appended, where there is none.
    pub(crate) fn push_limit(&mut self, code: ErrorCode) -> bool {
        let below = match code {
            ErrorCode::OutOfRange => false,
            ErrorCode::BelowRange => true,
            _ => return false,
        };
        match self {
            Self::Fixed(column) => push_fixed_limit(column, below),
            Self::Dictionary(column) => {
                let pushed = column.values.push_limit(code);
                if pushed {
                    column.push_appended();
                }
                pushed
            }
            Self::Nullable(column) => {
                let pushed = column.values.push_limit(code);
                if pushed {
                    column.nulls.push(0);
                }
                pushed
            }
            Self::String(_) | Self::Array(_) | Self::Map(_) | Self::Tuple(_) | Self::Variant(_) | Self::Json(_) => {
                false
            }
        }
    }
}

fn push_fixed_limit(column: &mut FixedColumn, below: bool) -> bool {
    let width = column.width;
    let limit = match &column.kind {
        FixedKind::Int8
        | FixedKind::Int16
        | FixedKind::Int32
        | FixedKind::Int64
        | FixedKind::Int128
        | FixedKind::Int256 => {
            let unused = 256 - 8 * u32::try_from(width).unwrap_or(32);
            if below { I256::MIN >> unused } else { I256::MAX >> unused }
        }
        FixedKind::UInt8
        | FixedKind::UInt16
        | FixedKind::UInt32
        | FixedKind::UInt64
        | FixedKind::UInt128
        | FixedKind::UInt256
        | FixedKind::DateTime(_)
        | FixedKind::Date => {
            if below {
                I256::ZERO
            } else {
                -I256::ONE
            }
        }
        FixedKind::Decimal { precision, .. } => {
            let greatest = I256::new(10).pow((*precision).into()) - I256::ONE;
            if below { -greatest } else { greatest }
        }
        FixedKind::Date32 => I256::from(if below { FIRST_DAY } else { LAST_DAY }),
        FixedKind::DateTime64 { precision, .. } => {
            let per_second = I256::new(10).pow((*precision).into());
            let first = I256::from(FIRST_DAY * SECONDS_PER_DAY) * per_second;
            let last = I256::from((LAST_DAY + 1) * SECONDS_PER_DAY) * per_second - I256::ONE;
            // At nine digits the years from 2262 on do not fit 64 bits.
            if below { first.max(I256::from(i64::MIN)) } else { last.min(I256::from(i64::MAX)) }
        }
        FixedKind::Time | FixedKind::Time64 { .. } => {
            let precision = if let FixedKind::Time64 { precision } = column.kind { precision } else { 0 };
            let greatest = I256::from(TIME_SECONDS_END) * I256::new(10).pow(precision.into()) - I256::ONE;
            if below { -greatest } else { greatest }
        }
        FixedKind::Float32 | FixedKind::Float64 | FixedKind::BFloat16 => return push_float_limit(column, below),
        FixedKind::Bool
        | FixedKind::FixedString
        | FixedKind::Uuid
        | FixedKind::Enum8(_)
        | FixedKind::Enum16(_)
        | FixedKind::Ipv4
        | FixedKind::Ipv6 => return false,
    };
    column.data.extend_from_slice(&limit.to_le_bytes()[..width]);
    true
}

/// What is outside of every float's range is nearest to infinity, but a column of measures is better off with a number.
fn push_float_limit(column: &mut FixedColumn, below: bool) -> bool {
    let sign = if below { -1.0 } else { 1.0 };
    match column.kind {
        FixedKind::Float64 => column.push((f64::MAX * sign).to_le_bytes()),
        FixedKind::Float32 => column.push((f32::MAX * if below { -1.0 } else { 1.0 }).to_le_bytes()),
        _ => column.push([0x7F, if below { 0xFF } else { 0x7F }]),
    }
    true
}
