//! Compressed frames as ClickHouse reads them with `decompress=1`.
//!
//! A frame is a CityHash128 of all that follows it, a method byte, two lengths and the data. Takes
//! bytes in pieces of any size, gives frames; the raw bytes never exist twice, because large pieces
//! are compressed where they lie and only small ones are gathered first.

use bytes::Bytes;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

/// Raw bytes of a full frame: the block size that ClickHouse's own clients use.
pub(crate) const FRAME_RAW_BYTES: usize = 1 << 20;
/// Pieces below this are gathered, because every frame has a cost of its own.
const GATHER_BYTES: usize = 64 << 10;

const CHECKSUM_BYTES: usize = 16;
/// Method, compressed length, raw length.
const HEADER_BYTES: usize = 9;
const METHOD_LZ4: u8 = 0x82;

/// Makes frames. Its buffers live on between blocks.
pub(crate) struct FrameWriter {
    gathered: Vec<u8>,
    /// As large as the largest frame; initialised once.
    frame: Vec<u8>,
    table: CompressTable,
    frames: Vec<Bytes>,
    raw_bytes: usize,
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter")
            .field("gathered", &self.gathered.len())
            .field("frames", &self.frames.len())
            .finish_non_exhaustive()
    }
}

impl FrameWriter {
    pub(crate) fn new() -> Self {
        Self::with_capacity(FRAME_RAW_BYTES)
    }

    /// For frames of up to so many raw bytes.
    fn with_capacity(raw_bytes: usize) -> Self {
        let frame_bytes = CHECKSUM_BYTES + HEADER_BYTES + get_maximum_output_size(raw_bytes);
        Self {
            gathered: Vec::with_capacity(raw_bytes),
            frame: vec![0; frame_bytes],
            table: CompressTable::large(),
            frames: Vec::new(),
            raw_bytes: 0,
        }
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.raw_bytes += bytes.len();
        if bytes.len() < GATHER_BYTES {
            if self.gathered.len() + bytes.len() > FRAME_RAW_BYTES {
                self.flush();
            }
            self.gathered.extend_from_slice(bytes);
            return;
        }
        self.flush();
        for piece in bytes.chunks(FRAME_RAW_BYTES) {
            self.compress(piece);
        }
    }

    /// The frames, and how many raw bytes they hold. The writer begins anew.
    pub(crate) fn finish(&mut self) -> (Vec<Bytes>, usize) {
        self.flush();
        let raw_bytes = std::mem::take(&mut self.raw_bytes);
        (std::mem::take(&mut self.frames), raw_bytes)
    }

    fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.compress(&gathered);
        self.gathered = gathered;
        self.gathered.clear();
    }

    fn compress(&mut self, raw: &[u8]) {
        let (checksum, checked) = self.frame.split_at_mut(CHECKSUM_BYTES);
        let (header, data) = checked.split_at_mut(HEADER_BYTES);
        let data_bytes = compress_into_with_table(raw, data, &mut self.table)
            .expect("the buffer holds the largest output of a full frame");
        let checked_bytes = HEADER_BYTES + data_bytes;
        header[0] = METHOD_LZ4;
        header[1..5].copy_from_slice(&length(checked_bytes));
        header[5..9].copy_from_slice(&length(raw.len()));
        let hash = cityhash_rs::cityhash_102_128(&checked[..checked_bytes]);
        // ClickHouse writes the lower 64 bits first.
        checksum.copy_from_slice(&hash.rotate_right(64).to_le_bytes());
        let frame = &self.frame[..CHECKSUM_BYTES + checked_bytes];
        self.frames.push(Bytes::copy_from_slice(frame));
    }
}

/// A text in frames of its own, which any others may follow.
pub(crate) fn frames(text: &[u8]) -> Vec<Bytes> {
    let mut writer = FrameWriter::with_capacity(text.len().min(FRAME_RAW_BYTES));
    writer.write(text);
    writer.finish().0
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("a frame is far below 4 GiB").to_le_bytes()
}
