//! The protocol between parent and child: a length, a JSON header, then raw bytes.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::core::media::{DECODED_BYTES_MAX, Decoded, Extent, Kind, Made, Unread};

/// Raised when the protocol changes. Both sides are the same build, unless the wrong program was configured.
pub(super) const PROTOCOL: u32 = 2;
/// Most bytes of a header.
pub(super) const HEADER_BYTES_MAX: u32 = 1024;
/// Most bytes of a file; more than `limits.file_bytes_max` allows.
pub(super) const FILE_BYTES_MAX: u32 = 32 << 20;

/// The child's first message: it is confined and ready.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The child's [`PROTOCOL`].
    pub(super) protocol: u32,
    /// Why the child cannot refuse system calls, if its system has no filter.
    pub(super) unfiltered: Option<String>,
}

/// The parent's request; a file of this kind and length follows.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) bytes: u32,
}

/// The child's answer; `bytes` bytes of decoded content follow `Made`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The file was decoded.
    Made { made: Made, tokens: u32, shown: Extent, bytes: u32 },
    /// The file cannot be read.
    Refused(Unread),
    /// The decoder panicked, and the child ends.
    Panicked,
}

/// Encodes a header behind its length.
pub(super) fn header(of: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(of)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= HEADER_BYTES_MAX);
    let length = length.ok_or_else(|| malformed("a header is too long"))?;
    Ok([&length.to_le_bytes()[..], &json].concat())
}

/// Reads the next header; `None` if the other side has closed.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut json = vec![0; bounded(u32::from_le_bytes(length), HEADER_BYTES_MAX)?];
    from.read_exact(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

/// Reads the bytes that follow a header.
pub(super) fn read_bytes(from: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; bounded(length, FILE_BYTES_MAX)?];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes an answer and the decoded bytes.
pub(super) fn write(to: &mut impl Write, outcome: &Result<Decoded, Unread>) -> io::Result<()> {
    let (answer, bytes) = match outcome {
        Ok(decoded) => {
            let bytes = u32::try_from(decoded.bytes.len()).map_err(|_| malformed("an answer is too long"))?;
            let answer = Answer::Made { made: decoded.made, tokens: decoded.tokens, shown: decoded.shown, bytes };
            (answer, decoded.bytes.as_slice())
        }
        Err(why) => (Answer::Refused(*why), &[][..]),
    };
    to.write_all(&header(&answer)?)?;
    to.write_all(bytes)?;
    to.flush()
}

/// [`read`] on the parent's async side.
pub(super) async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = from.read_u32_le().await?;
    let mut json = vec![0; bounded(length, HEADER_BYTES_MAX)?];
    from.read_exact(&mut json).await?;
    Ok(serde_json::from_slice(&json)?)
}

/// [`read_bytes`] on the parent's async side.
pub(super) async fn receive_bytes(from: &mut (impl AsyncRead + Unpin), length: u32) -> io::Result<Vec<u8>> {
    let max = u32::try_from(DECODED_BYTES_MAX).unwrap_or(u32::MAX);
    let mut bytes = vec![0; bounded(length, max)?];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn bounded(length: u32, max: u32) -> io::Result<usize> {
    if length > max {
        return Err(malformed("more bytes are announced than allowed"));
    }
    usize::try_from(length).map_err(|_| malformed("more bytes are announced than there can be"))
}

pub(super) fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
