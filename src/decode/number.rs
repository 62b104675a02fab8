//! Number texts to exact values.
//!
//! Takes the parts of a number as the JSON grammar splits them. Integers and decimals are computed
//! from the digits, never through a float; floats are rounded correctly. A number with a point or an exponent is an integer
//! where its value is one: `5.0`, `12e1`.

use ethnum::U256;

use super::error::ErrorCode;

/// Most digits whose value always fits 64 bits.
pub(crate) const DIGITS_U64: usize = 19;

/// Where a written exponent is cut off: far outside every type, and safe to compute with.
pub(crate) const EXPONENT_MAX: i32 = 100_000;

const POWERS_F64: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// A number that follows the JSON grammar; in quotes there may be no digit before the point, or none after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    pub(crate) negative: bool,
    /// The text without its sign.
    pub(crate) magnitude: &'a [u8],
    /// Value of all digits, point ignored; meaningless where there are more than [`DIGITS_U64`].
    pub(crate) mantissa: u64,
    /// Digits before the exponent, leading zeros included.
    pub(crate) digits: usize,
    /// Digits after the point.
    pub(crate) fraction_digits: usize,
    /// The written exponent, cut off at [`EXPONENT_MAX`] in both directions.
    pub(crate) exponent: i32,
    /// Whether there is neither a point nor an exponent.
    pub(crate) integral: bool,
}

impl<'a> Number<'a> {
    /// The digits before the point, and those after it.
    fn digit_runs(&self) -> (&'a [u8], &'a [u8]) {
        let whole = self.digits - self.fraction_digits;
        let fraction = match self.fraction_digits {
            0 => &[][..],
            count => &self.magnitude[whole + 1..whole + 1 + count],
        };
        (&self.magnitude[..whole], fraction)
    }

    /// The number as an integer of at most 64 bits and its sign.
    #[inline]
    pub(crate) fn small_integer(&self) -> Result<u64, ErrorCode> {
        if self.integral && self.digits <= DIGITS_U64 {
            return Ok(self.mantissa);
        }
        u64::try_from(self.whole_magnitude()?).map_err(|_| ErrorCode::OutOfRange)
    }

    /// The number without its sign, where it is an integer.
    #[cold]
    fn whole_magnitude(&self) -> Result<U256, ErrorCode> {
        let (mut whole, mut fraction) = self.digit_runs();
        let mut power = self.power_of_ten();
        // Zeros at the end say nothing but the power.
        while let [rest @ .., b'0'] = fraction {
            (fraction, power) = (rest, power + 1);
        }
        if fraction.is_empty() {
            while let [rest @ .., b'0'] = whole {
                (whole, power) = (rest, power + 1);
            }
        }
        if whole.iter().chain(fraction).all(|digit| *digit == b'0') {
            return Ok(U256::ZERO);
        }
        // One that was cut off says too little.
        if self.exponent.unsigned_abs() >= EXPONENT_MAX.unsigned_abs() {
            return Err(if self.exponent < 0 { ErrorCode::NotAnInteger } else { ErrorCode::OutOfRange });
        }
        let power = u32::try_from(power).map_err(|_| ErrorCode::NotAnInteger)?;
        let factor = U256::new(10).checked_pow(power).ok_or(ErrorCode::OutOfRange)?;
        wide_value(whole, fraction).and_then(|value| value.checked_mul(factor)).ok_or(ErrorCode::OutOfRange)
    }

    #[inline]
    pub(crate) fn signed(&self) -> Result<i64, ErrorCode> {
        let magnitude = self.small_integer()?;
        let signed = if self.negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
        signed.ok_or(ErrorCode::OutOfRange)
    }

    #[inline]
    pub(crate) fn unsigned(&self) -> Result<u64, ErrorCode> {
        let magnitude = self.small_integer()?;
        if self.negative && magnitude != 0 {
            return Err(ErrorCode::OutOfRange);
        }
        Ok(magnitude)
    }

    /// Little-endian bytes of an integer of `width` bytes, in two's complement.
    pub(crate) fn wide_integer(&self, width: usize, signed: bool) -> Result<[u8; 32], ErrorCode> {
        let magnitude = match self.integral {
            true => wide_value(self.magnitude, &[]).ok_or(ErrorCode::OutOfRange)?,
            false => self.whole_magnitude()?,
        };
        two_complement(magnitude, self.negative, width, signed)
    }

    /// Little-endian bytes of the number times 10^scale. Digits beyond the scale are cut off, as
    /// ClickHouse does.
    pub(crate) fn decimal(&self, precision: u8, scale: u8, width: usize) -> Result<[u8; 32], ErrorCode> {
        let fraction = i64::try_from(self.fraction_digits).map_err(|_| ErrorCode::OutOfRange)?;
        let shift = i64::from(self.exponent) + i64::from(scale) - fraction;
        if self.digits <= DIGITS_U64 && (-19..=18).contains(&shift) {
            // 10^19 * 10^18 fits 128 bits, so nothing here can overflow.
            let power = 10_u128.pow(u32::try_from(shift.unsigned_abs()).unwrap_or(0));
            let mantissa = u128::from(self.mantissa);
            let unscaled = if shift >= 0 { mantissa * power } else { mantissa / power };
            if precision < 39 && unscaled >= 10_u128.pow(precision.into()) {
                return Err(ErrorCode::OutOfRange);
            }
            return two_complement(U256::from(unscaled), self.negative, width, true);
        }
        self.wide_decimal(precision, shift, width)
    }

    #[cold]
    fn wide_decimal(&self, precision: u8, shift: i64, width: usize) -> Result<[u8; 32], ErrorCode> {
        let (mut whole, mut fraction) = self.digit_runs();
        let mut zeros = usize::try_from(shift).unwrap_or(0);
        let mut cut = usize::try_from(-shift).unwrap_or(0);
        let from_fraction = cut.min(fraction.len());
        fraction = &fraction[..fraction.len() - from_fraction];
        cut -= from_fraction;
        whole = &whole[..whole.len() - cut.min(whole.len())];
        while let [b'0', rest @ ..] = whole {
            whole = rest;
        }
        if whole.is_empty() {
            while let [b'0', rest @ ..] = fraction {
                fraction = rest;
            }
        }
        let digits = whole.len() + fraction.len();
        if digits == 0 {
            zeros = 0;
        }
        if digits + zeros > usize::from(precision) {
            return Err(ErrorCode::OutOfRange);
        }
        let mut unscaled = wide_value(whole, fraction).ok_or(ErrorCode::OutOfRange)?;
        for _ in 0..zeros {
            unscaled *= U256::new(10);
        }
        two_complement(unscaled, self.negative, width, true)
    }

    /// The float nearest to the number.
    #[inline]
    pub(crate) fn float64(&self) -> Result<f64, ErrorCode> {
        let power = self.power_of_ten();
        // Both operands are exact, so the one operation rounds correctly.
        if self.digits <= DIGITS_U64 && self.mantissa < 1 << 53 && power.unsigned_abs() <= 22 {
            let mantissa = self.mantissa as f64;
            let scale = POWERS_F64[power.unsigned_abs() as usize];
            let value = if power < 0 { mantissa / scale } else { mantissa * scale };
            return Ok(if self.negative { -value } else { value });
        }
        let value: f64 = fast_float2::parse(self.magnitude).map_err(|_| ErrorCode::InvalidNumber)?;
        if value.is_infinite() {
            return Err(ErrorCode::OutOfRange);
        }
        Ok(if self.negative { -value } else { value })
    }

    /// The 32-bit float nearest to the number, rounded once.
    #[inline]
    pub(crate) fn float32(&self) -> Result<f32, ErrorCode> {
        let value: f32 = fast_float2::parse(self.magnitude).map_err(|_| ErrorCode::InvalidNumber)?;
        if value.is_infinite() {
            return Err(ErrorCode::OutOfRange);
        }
        Ok(if self.negative { -value } else { value })
    }

    #[inline]
    fn power_of_ten(&self) -> i32 {
        let fraction = i32::try_from(self.fraction_digits).unwrap_or(i32::MAX);
        self.exponent.saturating_sub(fraction)
    }
}

/// Value of two runs of digits, one after the other; `None` above 256 bits.
fn wide_value(first: &[u8], second: &[u8]) -> Option<U256> {
    let mut value = U256::ZERO;
    for &digit in first.iter().chain(second) {
        value = value.checked_mul(U256::new(10))?.checked_add(U256::from(digit - b'0'))?;
    }
    Some(value)
}

fn two_complement(magnitude: U256, negative: bool, width: usize, signed: bool) -> Result<[u8; 32], ErrorCode> {
    let bits = u32::try_from(width * 8).map_err(|_| ErrorCode::OutOfRange)?;
    let value_bits = if signed { bits - 1 } else { bits };
    let limit_passed = |value: U256| value_bits < 256 && value >> value_bits != U256::ZERO;
    if !negative {
        return match limit_passed(magnitude) {
            true => Err(ErrorCode::OutOfRange),
            false => Ok(magnitude.to_le_bytes()),
        };
    }
    if magnitude == U256::ZERO {
        return Ok([0; 32]);
    }
    // The most negative value has a magnitude one above the greatest positive one.
    if !signed || limit_passed(magnitude - U256::ONE) {
        return Err(ErrorCode::OutOfRange);
    }
    Ok(U256::ZERO.wrapping_sub(magnitude).to_le_bytes())
}
