//! Decimals as Avro, Kafka Connect and Java have them: the bytes of an integer, and a scale.

use ethnum::I256;

use super::Typed;
use super::text::DECIMAL_SCALE_MAX;
use crate::decode::error::ErrorCode;

/// An integer, its greatest byte first, without the digits behind the point.
pub(crate) fn decimal_of_bytes(bytes: &[u8], scale: i64) -> Result<Typed<'static>, ErrorCode> {
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let sign = if negative { 0xFF } else { 0 };
    let kept = bytes.len().min(32);
    let (above, digits) = bytes.split_at(bytes.len() - kept);
    let out_of_range = ErrorCode::OutOfRange.of_sign(negative);
    let mut wide = [sign; 32];
    wide[32 - kept..].copy_from_slice(digits);
    let unscaled = I256::from_be_bytes(wide);
    if above.iter().any(|byte| *byte != sign) || (unscaled < I256::ZERO) != negative {
        return Err(out_of_range);
    }
    if scale < 0 {
        let places = u32::try_from(scale.unsigned_abs()).ok().filter(|places| *places <= 76);
        let factor = places.and_then(|places| I256::new(10).checked_pow(places));
        let unscaled = factor.and_then(|factor| unscaled.checked_mul(factor)).ok_or(out_of_range)?;
        return Ok(Typed::Decimal { unscaled, scale: 0 });
    }
    let scale = u32::try_from(scale).ok().filter(|scale| *scale as usize <= DECIMAL_SCALE_MAX);
    Ok(Typed::Decimal { unscaled, scale: scale.ok_or(ErrorCode::OutOfRange)? })
}
