//! Reads Native blocks back, for tests: written from the format's description, sharing nothing
//! with the encoder but the type parser.

use bytes::Bytes;
use ethnum::{I256, U256};

use crate::columns::ColumnType;

/// A column as it was read: name, type text, and its values as texts.
pub(crate) type ReadColumn = (String, String, Vec<String>);

/// The raw bytes of compressed frames, whose checksums are checked.
pub(crate) fn decompress(frames: &[Bytes]) -> Vec<u8> {
    let mut raw = Vec::new();
    let body = frames.concat();
    let mut rest = body.as_slice();
    while !rest.is_empty() {
        let compressed_bytes = u32::from_le_bytes(rest[17..21].try_into().unwrap()) as usize;
        let raw_bytes = u32::from_le_bytes(rest[21..25].try_into().unwrap()) as usize;
        let (frame, following) = rest.split_at(16 + compressed_bytes);
        let hash = cityhash_rs::cityhash_102_128(&frame[16..]);
        assert_eq!(frame[..16], hash.rotate_right(64).to_le_bytes());
        assert_eq!(frame[16], 0x82);
        let piece = lz4_flex::block::decompress(&frame[25..], raw_bytes).unwrap();
        assert_eq!(piece.len(), raw_bytes);
        raw.extend(piece);
        rest = following;
    }
    raw
}

/// All columns of a raw block.
pub(crate) fn read_block(raw: &[u8]) -> Vec<ReadColumn> {
    let mut reader = Reader(raw);
    let columns = reader.varint();
    let rows = reader.varint();
    let mut read = Vec::new();
    for _ in 0..columns {
        let (name, type_text) = (reader.text(), reader.text());
        let column_type = ColumnType::parse(&type_text).unwrap();
        let mut values = Vec::new();
        if rows > 0 {
            reader.prefix(&column_type);
            values = reader.values(&column_type, rows);
        }
        read.push((name, type_text, values));
    }
    assert!(reader.0.is_empty(), "bytes follow the last column");
    read
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("the block ends too early");
        self.0 = rest;
        *taken
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.to_vec()
    }

    fn varint(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let [byte] = self.take();
            value |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn size(&mut self) -> usize {
        usize::try_from(u64::from_le_bytes(self.take())).unwrap()
    }

    fn text(&mut self) -> String {
        let bytes = self.varint();
        String::from_utf8(self.bytes(bytes)).unwrap()
    }

    fn prefix(&mut self, column_type: &ColumnType) {
        match column_type {
            ColumnType::LowCardinality(_) => assert_eq!(self.size(), 1),
            ColumnType::Array(inner) => self.prefix(inner),
            ColumnType::Map(key, value) => {
                self.prefix(key);
                self.prefix(value);
            }
            ColumnType::Tuple(fields) => fields.iter().for_each(|f| self.prefix(&f.field_type)),
            ColumnType::Variant(types) => {
                assert_eq!(self.size(), 0, "a byte per row");
                types.iter().for_each(|one| self.prefix(one));
            }
            _ => {}
        }
    }

    fn values(&mut self, column_type: &ColumnType, rows: usize) -> Vec<String> {
        match column_type {
            ColumnType::Nullable(inner) => {
                let nulls = self.bytes(rows);
                let values = self.values(inner, rows);
                let pairs = nulls.into_iter().zip(values);
                pairs.map(|(null, value)| if null == 1 { "NULL".into() } else { value }).collect()
            }
            ColumnType::LowCardinality(inner) => self.dictionary(inner, rows),
            ColumnType::Array(inner) => {
                let ends = self.offsets(rows);
                let values = self.values(inner, ends.last().copied().unwrap_or(0));
                lists(&ends).map(|list| format!("[{}]", values[list].join(", "))).collect()
            }
            ColumnType::Map(key, value) => {
                let ends = self.offsets(rows);
                let count = ends.last().copied().unwrap_or(0);
                let keys = self.values(key, count);
                let values = self.values(value, count);
                let pairs: Vec<_> = keys.iter().zip(values).map(|(k, v)| format!("{k}: {v}")).collect();
                lists(&ends).map(|list| format!("{{{}}}", pairs[list].join(", "))).collect()
            }
            ColumnType::Tuple(fields) => {
                let columns: Vec<_> = fields.iter().map(|field| self.values(&field.field_type, rows)).collect();
                (0..rows)
                    .map(|row| {
                        let row: Vec<_> = columns.iter().map(|c| c[row].clone()).collect();
                        format!("({})", row.join(", "))
                    })
                    .collect()
            }
            ColumnType::Variant(types) => {
                let places = self.bytes(rows);
                let count = |place: usize| places.iter().filter(|found| usize::from(**found) == place).count();
                let mut values: Vec<_> =
                    types.iter().enumerate().map(|(place, one)| self.values(one, count(place)).into_iter()).collect();
                let mut value = |place: &u8| match place {
                    255 => "NULL".into(),
                    place => format!("{place}:{}", values[usize::from(*place)].next().unwrap()),
                };
                places.iter().map(&mut value).collect()
            }
            leaf => (0..rows).map(|_| self.leaf(leaf)).collect(),
        }
    }

    fn offsets(&mut self, rows: usize) -> Vec<usize> {
        let ends: Vec<_> = (0..rows).map(|_| self.size()).collect();
        assert!(ends.is_sorted());
        ends
    }

    fn dictionary(&mut self, inner: &ColumnType, rows: usize) -> Vec<String> {
        if rows == 0 {
            return Vec::new();
        }
        let flags = self.size();
        assert_eq!(flags >> 8, 6, "own values, new dictionary");
        let count = self.size();
        let (inner, nullable) = match inner {
            ColumnType::Nullable(inner) => (inner.as_ref(), true),
            inner => (inner, false),
        };
        let mut values = self.values(inner, count);
        if nullable {
            values[0] = "NULL".into();
        }
        assert_eq!(self.size(), rows);
        (0..rows)
            .map(|_| {
                let index = match flags & 0xFF {
                    0 => usize::from(u8::from_le_bytes(self.take())),
                    1 => usize::from(u16::from_le_bytes(self.take())),
                    2 => u32::from_le_bytes(self.take()) as usize,
                    other => panic!("index type {other}"),
                };
                values[index].clone()
            })
            .collect()
    }

    fn leaf(&mut self, column_type: &ColumnType) -> String {
        match column_type {
            ColumnType::Int8 | ColumnType::Enum8(_) => i8::from_le_bytes(self.take()).to_string(),
            ColumnType::Int16 | ColumnType::Enum16(_) => i16::from_le_bytes(self.take()).to_string(),
            ColumnType::Int32 | ColumnType::Date32 | ColumnType::Time => i32::from_le_bytes(self.take()).to_string(),
            ColumnType::Int64 | ColumnType::DateTime64 { .. } | ColumnType::Time64 { .. } => {
                i64::from_le_bytes(self.take()).to_string()
            }
            ColumnType::Int128 => i128::from_le_bytes(self.take()).to_string(),
            ColumnType::Int256 => I256::from_le_bytes(self.take()).to_string(),
            ColumnType::UInt8 => u8::from_le_bytes(self.take()).to_string(),
            ColumnType::UInt16 | ColumnType::Date => u16::from_le_bytes(self.take()).to_string(),
            ColumnType::UInt32 | ColumnType::DateTime { .. } => u32::from_le_bytes(self.take()).to_string(),
            ColumnType::UInt64 => u64::from_le_bytes(self.take()).to_string(),
            ColumnType::UInt128 => u128::from_le_bytes(self.take()).to_string(),
            ColumnType::UInt256 => U256::from_le_bytes(self.take()).to_string(),
            ColumnType::BFloat16 => {
                let [low, high] = self.take();
                f32::from_le_bytes([0, 0, low, high]).to_string()
            }
            ColumnType::Float32 => format!("{:?}", f32::from_le_bytes(self.take())),
            ColumnType::Float64 => format!("{:?}", f64::from_le_bytes(self.take())),
            ColumnType::Bool => match self.take() {
                [0] => "false".into(),
                [1] => "true".into(),
                other => panic!("Bool {other:?}"),
            },
            ColumnType::String => {
                let bytes = self.varint();
                shown(self.bytes(bytes))
            }
            ColumnType::FixedString(bytes) => shown(self.bytes(*bytes)),
            ColumnType::Uuid => {
                let (high, low) = (u64::from_le_bytes(self.take()), u64::from_le_bytes(self.take()));
                format!("{high:016x}{low:016x}")
            }
            ColumnType::Decimal { precision, .. } => match precision {
                ..=9 => i32::from_le_bytes(self.take()).to_string(),
                ..=18 => i64::from_le_bytes(self.take()).to_string(),
                ..=38 => i128::from_le_bytes(self.take()).to_string(),
                _ => I256::from_le_bytes(self.take()).to_string(),
            },
            ColumnType::Ipv4 => std::net::Ipv4Addr::from(u32::from_le_bytes(self.take())).to_string(),
            ColumnType::Ipv6 => std::net::Ipv6Addr::from(self.take::<16>()).to_string(),
            composite => panic!("{composite:?} is no leaf"),
        }
    }
}

/// A text in quotes; what is none, as a literal of bytes.
fn shown(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(error) => format!("b\"{}\"", error.as_bytes().escape_ascii()),
    }
}

/// The range of each row in the values of all rows.
fn lists(ends: &[usize]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends.iter().copied()).map(|(start, end)| start..end)
}
