//! What parent and child say to each other: a header in JSON behind its length, and bytes behind the header.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::core::media::{DECODED_BYTES_MAX, Decoded, Extent, Kind, Made, Unread};

/// Raised where the two sides would not understand each other; they are the same build, but for a wrong program.
pub(super) const PROTOCOL: u32 = 2;
/// A header's most bytes.
pub(super) const HEADER_BYTES_MAX: u32 = 1024;
/// A file's most bytes: more than `limits.file_bytes_max` can be set to.
pub(super) const FILE_BYTES_MAX: u32 = 32 << 20;

/// The child's first word: it is confined and waits.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`PROTOCOL`].
    pub(super) protocol: u32,
    /// Why system calls are not refused, where the system cannot do that.
    pub(super) unfiltered: Option<String>,
}

/// The parent's: a file of this kind and length follows.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) bytes: u32,
}

/// The child's answer; bytes of this number follow what was made.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// It can be read.
    Made { made: Made, tokens: u32, shown: Extent, bytes: u32 },
    /// It cannot.
    Refused(Unread),
    /// The decoder panicked; the child ends.
    Panicked,
}

/// Returns a header as it is sent.
pub(super) fn header(of: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(of)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= HEADER_BYTES_MAX);
    let length = length.ok_or_else(|| malformed("a header is too long"))?;
    Ok([&length.to_le_bytes()[..], &json].concat())
}

/// Reads the next header; `None` where the other side has closed.
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

/// Reads the bytes behind a header.
pub(super) fn read_bytes(from: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; bounded(length, FILE_BYTES_MAX)?];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes an answer and what was made.
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

/// Reads the next header on the parent's side.
pub(super) async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = from.read_u32_le().await?;
    let mut json = vec![0; bounded(length, HEADER_BYTES_MAX)?];
    from.read_exact(&mut json).await?;
    Ok(serde_json::from_slice(&json)?)
}

/// Reads what was made on the parent's side.
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
