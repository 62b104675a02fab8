//! HTTP/1.1 messages taken apart as far as the proxy must: where the head ends, and where the message does.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;

/// Heads and chunk lines longer than this are an error.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// How much of a body is handed on at once.
const PIECE_BYTES: usize = 64 << 10;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Bytes(u64),
    Chunks,
    /// The bytes of one chunk and its line end, then more chunks.
    Chunk(u64),
    UntilClosed,
    Nothing,
}

/// One direction of a connection, read message by message.
#[derive(Debug)]
pub(super) struct Messages {
    stream: BufReader<TcpStream>,
    rest: Rest,
}

impl Messages {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::with_capacity(PIECE_BYTES, stream), rest: Rest::Nothing }
    }

    /// The head of the next message with the empty line after it; None when the peer has closed.
    ///
    /// `bodiless` says whether a message without a stated length has no body (a request) or lasts until the peer
    /// closes (a reply).
    pub(super) fn head(&mut self, bodiless: bool) -> io::Result<Option<Vec<u8>>> {
        let mut head = Vec::new();
        loop {
            let line_start = head.len();
            self.line(&mut head)?;
            if head.is_empty() {
                return Ok(None);
            }
            if head.len() == line_start {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if matches!(&head[line_start..], b"\r\n" | b"\n") {
                break;
            }
        }
        self.rest = rest_after(&head, bodiless);
        Ok(Some(head))
    }

    /// The bytes of the body, where the head says how many.
    pub(super) fn stated_bytes(&self) -> u64 {
        match self.rest {
            Rest::Bytes(bytes) => bytes,
            Rest::Chunks | Rest::Chunk(_) | Rest::UntilClosed | Rest::Nothing => 0,
        }
    }

    /// The next piece of the body with its framing; None at the end of the message.
    pub(super) fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = Vec::new();
        match self.rest {
            Rest::Nothing | Rest::Bytes(0) => return Ok(None),
            Rest::UntilClosed => {
                self.read_some(&mut piece, u64::MAX)?;
                return Ok((!piece.is_empty()).then_some(piece));
            }
            Rest::Bytes(left) => {
                let read = self.read_some(&mut piece, left)?;
                self.rest = Rest::Bytes(left - read);
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Rest::Chunk(left) => {
                let read = self.read_some(&mut piece, left)?;
                self.rest = if left == read { Rest::Chunks } else { Rest::Chunk(left - read) };
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Rest::Chunks => {
                self.line(&mut piece)?;
                let digits = piece.split(|byte| matches!(byte, b';' | b'\r' | b'\n')).next().unwrap_or_default();
                let digits = std::str::from_utf8(digits).map_err(io::Error::other)?.trim();
                let size = u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::UnexpectedEof)?;
                if size == 0 {
                    self.line(&mut piece)?;
                    self.rest = Rest::Nothing;
                } else {
                    self.rest = Rest::Chunk(size + 2);
                }
            }
        }
        Ok(Some(piece))
    }

    fn line(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', into)?;
        Ok(())
    }

    fn read_some(&mut self, into: &mut Vec<u8>, max: u64) -> io::Result<u64> {
        let got = self.stream.fill_buf()?;
        let count = usize::try_from(max).unwrap_or(usize::MAX).min(got.len());
        into.extend_from_slice(&got[..count]);
        self.stream.consume(count);
        Ok(u64::try_from(count).expect("a buffer's length fits into 64 bits"))
    }
}

fn rest_after(head: &[u8], bodiless: bool) -> Rest {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    };
    if value("transfer-encoding").is_some_and(|encoding| encoding.contains("chunked")) {
        Rest::Chunks
    } else if let Some(length) = value("content-length").and_then(|length| length.parse().ok()) {
        Rest::Bytes(length)
    } else if bodiless {
        Rest::Nothing
    } else {
        Rest::UntilClosed
    }
}

/// Undoes the encoding of a URL as far as texts of SQL go.
pub(super) fn url_decoded(bytes: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        out.push(match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            (other, _) => *other,
        });
    }
    out
}
