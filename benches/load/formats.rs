//! The readings of L1 in other formats: L2 is Avro, L3 is Protobuf, both as a registry's serializers frame them; CSV.

use super::Reading;

/// The schema of L2.
pub(crate) const AVRO: &str = include_str!("../../schemas/reading.avsc");
/// The schema of L3.
pub(crate) const PROTOBUF: &str = include_str!("../../schemas/reading.proto");
/// The fields of a line of CSV.
pub(crate) const CSV: &str =
    "event_id, ts, device, site, kind, user_id, temperature, humidity, battery, sequence, url, message";

/// 2024-03-01 in milliseconds since 1970.
const MARCH_MS: u64 = 1_709_251_200_000;

impl Reading {
    fn ts_ms(&self) -> u64 {
        MARCH_MS + self.millis
    }

    fn temperature(&self) -> f64 {
        self.temperature.0 as f64 + self.temperature.1 as f64 / 100.0
    }

    fn humidity(&self) -> f64 {
        self.humidity.0 as f64 + self.humidity.1 as f64 / 10_000.0
    }

    fn texts(&self) -> [String; 3] {
        [format!("dev-{:06}", self.device), format!("plant-{:02}", self.site), self.kind.to_owned()]
    }

    /// A zero byte, the schema's id, and the fields in the order of the schema.
    pub(super) fn avro(&self, schema_id: u32) -> Vec<u8> {
        let mut bytes = framed(schema_id);
        push_zigzag(&mut bytes, self.event_id);
        push_zigzag(&mut bytes, self.ts_ms());
        for text in self.texts() {
            push_zigzag(&mut bytes, length(&text));
            bytes.extend_from_slice(text.as_bytes());
        }
        push_zigzag(&mut bytes, self.user_id);
        bytes.extend_from_slice(&self.temperature().to_le_bytes());
        bytes.extend_from_slice(&self.humidity().to_le_bytes());
        push_zigzag(&mut bytes, self.battery);
        push_zigzag(&mut bytes, self.sequence);
        for text in [self.url(), self.message()] {
            push_zigzag(&mut bytes, length(&text));
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    /// A zero byte, the schema's id, the message's place in it, and the fields in the order of their numbers.
    pub(super) fn protobuf(&self, schema_id: u32) -> Vec<u8> {
        let mut bytes = framed(schema_id);
        bytes.push(0);
        push_number(&mut bytes, 1, self.event_id);
        let mut time = Vec::new();
        push_number(&mut time, 1, self.ts_ms() / 1_000);
        push_number(&mut time, 2, self.ts_ms() % 1_000 * 1_000_000);
        push_bytes(&mut bytes, 2, &time);
        for (field, text) in (3..).zip(self.texts()) {
            push_bytes(&mut bytes, field, text.as_bytes());
        }
        push_number(&mut bytes, 6, self.user_id);
        for (field, float) in [(7, self.temperature()), (8, self.humidity())] {
            push_varint(&mut bytes, field << 3 | 1);
            bytes.extend_from_slice(&float.to_le_bytes());
        }
        push_number(&mut bytes, 9, self.battery);
        push_number(&mut bytes, 10, self.sequence);
        push_bytes(&mut bytes, 11, self.url().as_bytes());
        push_bytes(&mut bytes, 12, self.message().as_bytes());
        bytes
    }

    pub(super) fn csv(&self) -> Vec<u8> {
        let [device, site, kind] = self.texts();
        format!(
            "{},{},{device},{site},{kind},{},{}.{:02},{}.{:04},{},{},{},{}",
            self.event_id,
            self.ts(),
            self.user_id,
            self.temperature.0,
            self.temperature.1,
            self.humidity.0,
            self.humidity.1,
            self.battery,
            self.sequence,
            self.url(),
            self.message(),
        )
        .into_bytes()
    }
}

fn framed(schema_id: u32) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&schema_id.to_be_bytes());
    bytes
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).expect("texts are short")
}

/// Of a number that is not negative.
fn push_zigzag(bytes: &mut Vec<u8>, number: u64) {
    push_varint(bytes, number << 1);
}

fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7F).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
}

/// A field, which a serializer leaves out where it is zero.
fn push_number(bytes: &mut Vec<u8>, field: u64, number: u64) {
    if number > 0 {
        push_varint(bytes, field << 3);
        push_varint(bytes, number);
    }
}

fn push_bytes(bytes: &mut Vec<u8>, field: u64, content: &[u8]) {
    push_varint(bytes, field << 3 | 2);
    push_varint(bytes, u64::try_from(content.len()).expect("texts are short"));
    bytes.extend_from_slice(content);
}
