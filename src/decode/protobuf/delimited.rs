//! Records of messages with their lengths in front: one message, or a row for each.
//!
//! As ClickHouse's `Protobuf` format and the `writeDelimitedTo` of Protobuf's libraries have it: a varint, and as many bytes.

use super::ProtobufDecoder;
use super::suspect::InFront;
use super::wire::Cursor;
use crate::columns::Columns;
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::json::RowCursor;
use crate::decode::record::Rest;

/// Decodes messages behind their lengths.
#[derive(Debug)]
pub(in crate::decode) struct DelimitedDecoder(ProtobufDecoder);

impl DelimitedDecoder {
    /// For such messages as the decoder reads alone.
    pub(in crate::decode) fn new(messages: ProtobufDecoder) -> Self {
        Self(messages)
    }

    /// Fills the open row from a record that holds one message.
    pub(in crate::decode) fn decode(
        &mut self,
        record: &[u8],
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Fault> {
        let (start, end) = message_at(record, 0)?;
        if end < record.len() {
            return Err(Fault { code: ErrorCode::SeveralMessages, at: end });
        }
        self.0.decode_from(record, start, InFront::Known, rest, columns)
    }

    /// Goes to the next message; false where there is none left.
    #[expect(clippy::unused_self, reason = "as the decoders of other formats")]
    pub(in crate::decode) fn seek_row(&mut self, record: &[u8], cursor: &mut RowCursor) -> Result<bool, Fault> {
        if cursor.rows == 0 {
            cursor.at = 0;
            message_at(record, 0)?;
        }
        Ok(cursor.at < record.len())
    }

    /// Fills the open row from the message at the cursor.
    pub(in crate::decode) fn decode_row(
        &mut self,
        record: &[u8],
        cursor: &mut RowCursor,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Fault> {
        let (start, end) = message_at(record, cursor.at)?;
        cursor.at = end;
        self.0.decode_from(&record[..end], start, InFront::Known, rest, columns)
    }
}

/// Where the message begins and ends whose length stands at this byte.
fn message_at(record: &[u8], at: usize) -> Result<(usize, usize), Fault> {
    if record.is_empty() {
        return Err(Fault { code: ErrorCode::Empty, at });
    }
    let run = Cursor::new(record, at, record.len()).run();
    run.map_err(|_| Fault { code: ErrorCode::InvalidFraming, at })
}
