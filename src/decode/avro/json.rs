//! One Avro value as JSON text.
//!
//! Records and maps become objects, fields in the order in which they were written; a union is the value that it has;
//! everything else as [`crate::decode::typed::write_json`] writes it.

use super::cursor::Cursor;
use super::shape::{Blob, Id, Record, Scalar, Shape};
use super::value::{read, symbol, variable_decimal};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::typed::{write_json, write_json_text};

/// Takes one value and appends its text. As deep as the value, which [`Cursor::enter`] bounds.
pub(super) fn write(avro: &mut Cursor<'_>, shapes: &[Shape], id: Id, json: &mut Vec<u8>) -> Result<(), Fault> {
    match &shapes[id] {
        Shape::Null => json.extend_from_slice(b"null"),
        Shape::Scalar(Scalar::Sized(Blob::UuidText)) => write_json(read(avro, Scalar::Sized(Blob::Text))?, json),
        Shape::Scalar(scalar) => write_json(read(avro, *scalar)?, json),
        Shape::Enum(_) => write_json(symbol(avro, shapes, id)?, json),
        Shape::Record(Record { decimal: Some(order), .. }) => write_json(variable_decimal(avro, *order)?, json),
        Shape::Record(record) => {
            avro.enter()?;
            json.push(b'{');
            let mut first = true;
            for field in &record.fields {
                match &field.name {
                    Some(name) => {
                        write_name(name, &mut first, json);
                        write(avro, shapes, field.shape, json)?;
                    }
                    None => super::value::skip(avro, shapes, field.shape)?,
                }
            }
            for default in &record.defaults {
                write_name(&default.name, &mut first, json);
                let written = write(&mut avro.aside(&default.bytes), shapes, default.shape, json);
                written.map_err(|fault| Fault { at: avro.at, ..fault })?;
            }
            json.push(b'}');
            avro.leave();
        }
        Shape::Array(items) => {
            avro.enter()?;
            json.push(b'[');
            let mut first = true;
            while let Some(block) = avro.block(items.weight)? {
                for _ in 0..block.items {
                    separate(&mut first, json);
                    write(avro, shapes, items.shape, json)?;
                }
                avro.end_block(block)?;
            }
            json.push(b']');
            avro.leave();
        }
        Shape::Map(items) => {
            avro.enter()?;
            json.push(b'{');
            let mut first = true;
            while let Some(block) = avro.block(items.weight)? {
                for _ in 0..block.items {
                    separate(&mut first, json);
                    write_json(read(avro, Scalar::Sized(Blob::Text))?, json);
                    json.push(b':');
                    write(avro, shapes, items.shape, json)?;
                }
                avro.end_block(block)?;
            }
            json.push(b'}');
            avro.leave();
        }
        Shape::Union(branches) => {
            let branch = avro.choice(branches.len())?;
            write(avro, shapes, branches[branch], json)?;
        }
        Shape::Refused(_) => return Err(Fault { code: ErrorCode::TypeMismatch, at: avro.at }),
    }
    Ok(())
}

fn separate(first: &mut bool, json: &mut Vec<u8>) {
    if !std::mem::replace(first, false) {
        json.push(b',');
    }
}

fn write_name(name: &str, first: &mut bool, json: &mut Vec<u8>) {
    separate(first, json);
    write_json_text(name, json);
    json.push(b':');
}
