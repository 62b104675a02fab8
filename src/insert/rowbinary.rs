//! Rows of our own tables as `RowBinary`: exact bytes, also where a string is no UTF-8.

use uuid::Uuid;

/// Appends values in the order of the insert's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowBinary {
    bytes: Vec<u8>,
}

impl RowBinary {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A `UInt8`, `Bool` or `Enum8` (by its number).
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// A `Bool`.
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// A `UInt32`.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A `UInt64`.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A `UInt128`.
    pub fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// An `Int32`.
    pub fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// An `Int64`, or a `DateTime64` in its units since 1970.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A `Float64`.
    pub fn f64(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A `UUID`: its halves, each with the lowest byte first.
    pub fn uuid(&mut self, value: Uuid) {
        let (high, low) = value.as_u64_pair();
        self.u64(high);
        self.u64(low);
    }

    /// A `String`, of any bytes.
    pub fn string(&mut self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.length(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// The number of elements of an `Array`, in front of them.
    pub fn length(&mut self, elements: usize) {
        let mut rest = elements;
        while rest >= 0x80 {
            self.bytes.push(low_bits(rest) | 0x80);
            rest >>= 7;
        }
        self.bytes.push(low_bits(rest));
    }

    /// A `Nullable`: `write` is called with the value, if there is one.
    pub fn nullable<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.u8(1),
            Some(value) => {
                self.u8(0);
                write(self, value);
            }
        }
    }
}

fn low_bits(value: usize) -> u8 {
    u8::try_from(value & 0x7f).expect("seven bits fit into eight")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_as_the_format_says() {
        let check = |write: &dyn Fn(&mut RowBinary), expected: &[u8]| {
            let mut row = RowBinary::new();
            write(&mut row);
            assert_eq!(row.into_bytes(), expected);
        };
        check(&|row| row.u8(7), &[7]);
        check(&|row| row.bool(true), &[1]);
        check(&|row| row.u32(0x0102), &[2, 1, 0, 0]);
        check(&|row| row.i32(-1), &[255; 4]);
        check(&|row| row.u64(258), &[2, 1, 0, 0, 0, 0, 0, 0]);
        check(&|row| row.i64(-2), &[254, 255, 255, 255, 255, 255, 255, 255]);
        check(&|row| row.u128(1), &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        check(&|row| row.f64(1.0), &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        check(&|row| row.string(""), &[0]);
        check(&|row| row.string([0xff, 0x00]), &[2, 0xff, 0]);
        check(&|row| row.length(0x7f), &[0x7f]);
        check(&|row| row.length(0x80), &[0x80, 1]);
        check(&|row| row.length(300), &[0xac, 2]);
        check(&|row| row.nullable(None::<u8>, RowBinary::u8), &[1]);
        check(&|row| row.nullable(Some(9), RowBinary::u8), &[0, 9]);
        check(
            &|row| row.uuid(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)),
            &[0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88],
        );
    }
}
