//! Decompresses answers. We request no compression, because it delays events, but some gateways compress anyway.

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

/// Compressed bytes decoded at a time; they may expand a thousandfold.
const PIECE_BYTES: usize = 1 << 10;
/// The first bytes of gzip data.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How an answer's bytes are compressed.
pub(super) enum Decoding {
    /// Not stated; the first bytes decide.
    Untold,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<ZlibDecoder<Vec<u8>>>),
}

impl Decoding {
    /// Returns how an answer is compressed.
    ///
    /// # Errors
    /// The name of an encoding that is not supported.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, String> {
        let told = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase());
        Ok(match told.as_deref() {
            None | Some("") => Self::Untold,
            Some("identity") => Self::Plain,
            Some("gzip" | "x-gzip") => Self::gzip(),
            Some("deflate") => Self::Deflate(Box::new(ZlibDecoder::new(Vec::new()))),
            Some(other) => return Err(other.chars().filter(|char| !char.is_control()).take(20).collect()),
        })
    }

    fn gzip() -> Self {
        Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
    }

    /// Decodes the next bytes, up to `bytes_max`.
    ///
    /// # Errors
    /// When they are not in the stated encoding, or expand beyond the limit.
    pub(super) fn take(&mut self, bytes: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
        if matches!(self, Self::Untold) && !bytes.is_empty() {
            *self = if bytes.starts_with(&GZIP) { Self::gzip() } else { Self::Plain };
        }
        let mut decoded = Vec::new();
        if matches!(self, Self::Untold | Self::Plain) {
            return Ok(bytes.to_vec());
        }
        for piece in bytes.chunks(PIECE_BYTES) {
            match self {
                Self::Untold | Self::Plain => {}
                Self::Gzip(decoder) => {
                    decoder.write_all(piece)?;
                    decoder.flush()?;
                    decoded.append(decoder.get_mut());
                }
                Self::Deflate(decoder) => {
                    decoder.write_all(piece)?;
                    decoder.flush()?;
                    decoded.append(decoder.get_mut());
                }
            }
            if decoded.len() > bytes_max {
                return Err(io::Error::other("more than an answer may have"));
            }
        }
        Ok(decoded)
    }
}

/// Decodes a whole body, up to `bytes_max`; returns it unchanged if it cannot be decoded.
pub(super) fn whole(headers: &HeaderMap, body: Vec<u8>, bytes_max: usize) -> Vec<u8> {
    let decoded = Decoding::of(headers).ok().and_then(|mut decoding| decoding.take(&body, bytes_max).ok());
    decoded.filter(|decoded| !decoded.is_empty()).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn zipped(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).expect("written");
        encoder.finish().expect("finished")
    }

    fn headers(encoding: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !encoding.is_empty() {
            headers.insert(CONTENT_ENCODING, encoding.parse().expect("is one"));
        }
        headers
    }

    #[test]
    fn gzip_is_decoded_however_it_is_cut_and_what_is_not_known_is_named() {
        let text = "data: 1\n\n".repeat(500);
        for (encoding, bytes) in [("gzip", zipped(&text)), ("", zipped(&text)), ("identity", text.clone().into_bytes())]
        {
            for cut in [2, 7, 100_000] {
                let mut decoding = Decoding::of(&headers(encoding)).expect("is known");
                let pieces = bytes.chunks(cut).map(|piece| decoding.take(piece, 1 << 20).expect("decodes"));
                assert_eq!(pieces.collect::<Vec<_>>().concat(), text.as_bytes(), "{encoding} by {cut}");
            }
        }
        for other in ["br", "zstd", "gzip, br"] {
            assert_eq!(Decoding::of(&headers(other)).err().as_deref(), Some(other));
        }
        let mut bomb = Decoding::of(&headers("gzip")).expect("is known");
        assert!(bomb.take(&zipped(&"x".repeat(1 << 20)), 1 << 16).is_err());
        assert!(Decoding::of(&headers("gzip")).expect("is known").take(b"not gzip at all", 100).is_err());
        assert_eq!(whole(&headers("gzip"), b"plain".to_vec(), 100), b"plain");
    }
}
