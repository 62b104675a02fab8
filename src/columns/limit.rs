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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::block::native::NativeEncoder;
    use crate::block::test_reader;
    use crate::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan};

    /// What is stored for a value that was refused with this code; `none` where there is no nearest one.
    fn limit(kind: &str, code: ErrorCode) -> String {
        let spec = ColumnSpec::new("x", kind, DefaultValue::TypeZero).unwrap();
        let plan = Arc::new(RowPlan::new(vec![spec], Vec::new(), "UTC").unwrap());
        let mut columns = Columns::new(&plan).unwrap();
        columns.begin_row();
        let before = columns.wire_bytes();
        if !columns.open(0).unwrap().push_limit(code) {
            assert_eq!(columns.wire_bytes(), before, "{kind} {code}");
            return "none".to_owned();
        }
        columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
        let raw = test_reader::decompress(&NativeEncoder::new().encode(&columns).frames);
        test_reader::read_block(&raw).remove(0).2.join(" ")
    }

    fn check(kind: &str, least: impl ToString, greatest: impl ToString) {
        let found = [limit(kind, ErrorCode::BelowRange), limit(kind, ErrorCode::OutOfRange)];
        assert_eq!(found, [least.to_string(), greatest.to_string()], "{kind}");
        for code in [ErrorCode::TypeMismatch, ErrorCode::InvalidNumber, ErrorCode::TooLong, ErrorCode::InvalidJson] {
            assert_eq!(limit(kind, code), "none", "{kind} {code}");
        }
    }

    #[test]
    fn every_kind_has_its_limits() {
        check("Int8", i8::MIN, i8::MAX);
        check("Int16", i16::MIN, i16::MAX);
        check("Int32", i32::MIN, i32::MAX);
        check("Int64", i64::MIN, i64::MAX);
        check("Int128", i128::MIN, i128::MAX);
        check("Int256", I256::MIN, I256::MAX);
        check("UInt8", 0, u8::MAX);
        check("UInt16", 0, u16::MAX);
        check("UInt32", 0, u32::MAX);
        check("UInt64", 0, u64::MAX);
        check("UInt128", 0, u128::MAX);
        check("UInt256", 0, ethnum::U256::MAX);
        check("Float32", format!("{:?}", f32::MIN), format!("{:?}", f32::MAX));
        check("Float64", format!("{:?}", f64::MIN), format!("{:?}", f64::MAX));
        let bfloat = f32::from_bits(0x7F7F_0000);
        check("BFloat16", -bfloat, bfloat);
        check("Decimal(4, 2)", -9_999, 9_999);
        check("Decimal(9, 0)", -999_999_999, 999_999_999);
        check("Decimal(18, 3)", -999_999_999_999_999_999_i64, 999_999_999_999_999_999_i64);
        check("Decimal(38, 10)", format!("-{}", "9".repeat(38)), "9".repeat(38));
        check("Decimal(76, 76)", format!("-{}", "9".repeat(76)), "9".repeat(76));
        check("Date", 0, 65_535);
        check("Date32", -25_567, 120_529);
        check("DateTime", 0, u32::MAX);
        check("DateTime('Asia/Tokyo')", 0, u32::MAX);
        check("DateTime64(0)", -2_208_988_800_i64, 10_413_791_999_i64);
        check("DateTime64(3)", -2_208_988_800_000_i64, 10_413_791_999_999_i64);
        check("DateTime64(9)", -2_208_988_800_000_000_000_i64, i64::MAX);
        check("Nullable(UInt8)", 0, 255);
        check("LowCardinality(Int16)", i16::MIN, i16::MAX);
        check("LowCardinality(Nullable(UInt8))", 0, 255);
        check("Nullable(Decimal(4, 2))", -9_999, 9_999);
    }

    #[test]
    fn what_has_no_order_has_no_limits() {
        for kind in [
            "Bool",
            "String",
            "FixedString(3)",
            "UUID",
            "IPv4",
            "IPv6",
            "Enum8('a' = 1)",
            "Enum16('a' = 1)",
            "Nullable(String)",
            "LowCardinality(String)",
            "LowCardinality(Nullable(String))",
            "Array(UInt8)",
            "Map(String, UInt8)",
            "Tuple(UInt8)",
        ] {
            check(kind, "none", "none");
        }
    }
}
