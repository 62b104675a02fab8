//! The same fields, written in other ways that readers must take.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::super::{f4, f8, g, l, tag, v, varint};
use super::values::Generator;

/// A field as it stands in a message.
struct Chunk {
    number: u32,
    wire: u64,
    /// Of what has a length or an end, without these.
    content: Vec<u8>,
}

impl Chunk {
    fn bytes(&self, generator: &mut Generator) -> Vec<u8> {
        let number = u64::from(self.number);
        if self.wire == 3 {
            return g(number, &self.content);
        }
        let mut head = tag(number, self.wire);
        if self.wire == 2 {
            head.extend(varint(self.content.len() as u64));
        }
        if generator.one_in(20) {
            // The last number of the head, longer than it need be.
            if let Some(last) = head.last_mut() {
                *last |= 0x80;
            }
            head.push(0);
        }
        [head, self.content.clone()].concat()
    }
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut place) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << place;
        place += 7;
        if *byte < 0x80 {
            return value;
        }
    }
}

fn take(bytes: &mut &[u8], count: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken.to_vec()
}

/// A number as it stands, of a wire type that has no length.
fn take_number(bytes: &mut &[u8], wire: u64) -> Vec<u8> {
    match wire {
        0 => varint(take_varint(bytes)),
        1 => take(bytes, 8),
        _ => take(bytes, 4),
    }
}

/// Reads what the oracle wrote, up to the end of the group it is in.
fn chunks(bytes: &mut &[u8]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let tag = take_varint(bytes);
        let (number, wire) = (u32::try_from(tag >> 3).unwrap(), tag & 7);
        let content = match wire {
            2 => {
                let length = usize::try_from(take_varint(bytes)).unwrap();
                take(bytes, length)
            }
            3 => {
                let before = *bytes;
                chunks_of_group(bytes);
                let end = varint(u64::from(number) << 3 | 4).len();
                before[..before.len() - bytes.len() - end].to_vec()
            }
            4 => break,
            wire => take_number(bytes, wire),
        };
        chunks.push(Chunk { number, wire, content });
    }
    chunks
}

fn chunks_of_group(bytes: &mut &[u8]) {
    drop(chunks(bytes));
}

/// Writes a message anew.
pub(super) fn anew(generator: &mut Generator, message: &[u8], descriptor: &MessageDescriptor) -> Vec<u8> {
    let mut changed = Vec::new();
    for chunk in chunks(&mut &*message) {
        match descriptor.get_field(chunk.number) {
            Some(field) => change(generator, chunk, &field, &mut changed),
            None => changed.push(chunk),
        }
    }
    while generator.one_in(4) {
        changed.push(unknown(generator, descriptor));
    }
    let mut pieces: Vec<Vec<u8>> = changed.iter().map(|chunk| chunk.bytes(generator)).collect();
    let swaps = if generator.one_in(2) { 0 } else { pieces.len() };
    for _ in 0..swaps {
        let (a, b) = (generator.place(pieces.len()), generator.place(pieces.len()));
        pieces.swap(a, b);
    }
    pieces.concat()
}

fn change(generator: &mut Generator, chunk: Chunk, field: &FieldDescriptor, changed: &mut Vec<Chunk>) {
    let Chunk { number, wire, content } = chunk;
    let scalar_wire = match field.kind() {
        // What is in it belongs together.
        Kind::Message(message) if message.full_name() == "google.protobuf.Any" => 2,
        Kind::Message(message) => {
            let content = anew(generator, &content, &message);
            let mut parts = vec![content];
            // A list would have one element more.
            if !field.is_list() && !field.is_map() && generator.one_in(4) {
                let mut whole = chunks(&mut parts[0].as_slice());
                let split = generator.place(whole.len() + 1);
                let second: Vec<_> = whole.split_off(split).iter().map(|chunk| chunk.bytes(generator)).collect();
                let first: Vec<_> = whole.iter().map(|chunk| chunk.bytes(generator)).collect();
                parts = vec![first.concat(), second.concat()];
            }
            changed.extend(parts.into_iter().map(|content| Chunk { number, wire, content }));
            return;
        }
        Kind::String | Kind::Bytes => 2,
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => 1,
        Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => 5,
        _ => 0,
    };
    if !field.is_list() || scalar_wire == 2 {
        changed.push(Chunk { number, wire, content });
        return;
    }
    // A list of numbers: each packed with those before, with those behind, or alone.
    let mut rest = content.as_slice();
    while !rest.is_empty() {
        let element = take_number(&mut rest, scalar_wire);
        match changed.last_mut() {
            Some(last) if last.number == number && last.wire == 2 && !generator.one_in(3) => {
                last.content.extend(element)
            }
            _ if generator.one_in(2) => changed.push(Chunk { number, wire: 2, content: element }),
            _ => changed.push(Chunk { number, wire: scalar_wire, content: element }),
        }
    }
    if generator.one_in(5) {
        changed.push(Chunk { number, wire: 2, content: Vec::new() });
    }
}

/// A field that the message does not have.
fn unknown(generator: &mut Generator, descriptor: &MessageDescriptor) -> Chunk {
    let mut number = generator.below(100) * 7 + 6;
    while descriptor.get_field(number).is_some() {
        number += 7;
    }
    let wire = [0, 1, 2, 3, 5][generator.place(5)];
    let content = match wire {
        0 => varint(generator.long().cast_unsigned()),
        1 => vec![7; 8],
        2 => generator.bytes(),
        3 => [v(1, 5), f4(2, [1; 4]), f8(9, [1; 8]), g(3, l(1, "inside"))].concat(),
        _ => vec![7; 4],
    };
    Chunk { number, wire, content }
}
