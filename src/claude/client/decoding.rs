//! Decompresses answers. We request no compression, because it delays events, but some gateways compress anyway.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::claude::stream::wide::narrowed;

/// Compressed bytes decoded at a time; they may expand a thousandfold.
const PIECE_BYTES: usize = 1 << 10;
/// The first byte of gzip data; no answer begins with it.
const GZIP: u8 = 0x1f;
/// What gateways name as an encoding that is none.
const NONE: [&str; 6] = ["", "identity", "none", "utf-8", "utf8", "binary"];
/// Characters kept of an unsupported encoding's name.
const NAME_CHARS: usize = 20;

/// How an answer's bytes are compressed: its encodings from the outermost to the innermost.
pub(super) struct Decoding(Vec<Layer>);

/// One encoding.
enum Layer {
    /// Not stated, or stated again: gzip if the first byte says so.
    Untold,
    /// `deflate`: the first byte tells whether it has the header of zlib, which some senders omit.
    Deflate,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    Raw(Box<DeflateDecoder<Vec<u8>>>),
}

impl Decoding {
    /// Returns how an answer is compressed.
    ///
    /// # Errors
    /// The name of an encoding that is not supported.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, String> {
        let values = headers.get_all(CONTENT_ENCODING).iter();
        let told: Vec<_> = values.map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase()).collect();
        let told = told.join(", ");
        let unsupported = || told.chars().filter(|char| !char.is_control()).take(NAME_CHARS).collect::<String>();
        let names: Vec<&str> = told.split(',').map(str::trim).filter(|name| !NONE.contains(name)).collect();
        // The encoding that was applied last is stated last.
        Ok(Self(match names.as_slice() {
            [] => vec![Layer::Untold],
            [one] => vec![Layer::of(one).ok_or_else(unsupported)?],
            // Two proxies may state the same one.
            [first, second] if is_gzip(first) => vec![Layer::of(second).ok_or_else(unsupported)?, Layer::Untold],
            _ => return Err(unsupported()),
        }))
    }

    /// Decodes the next bytes, up to `bytes_max`.
    ///
    /// # Errors
    /// When they are not in the stated encoding, or expand beyond the limit.
    pub(super) fn take(&mut self, bytes: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut decoded = bytes.to_vec();
        for layer in &mut self.0 {
            decoded = layer.take(decoded, bytes_max)?;
        }
        Ok(decoded)
    }
}

fn is_gzip(name: &str) -> bool {
    matches!(name, "gzip" | "x-gzip")
}

impl Layer {
    fn of(name: &str) -> Option<Self> {
        match name {
            "deflate" => Some(Self::Deflate),
            name if is_gzip(name) => Some(Self::gzip()),
            _ => None,
        }
    }

    fn gzip() -> Self {
        Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
    }

    /// Returns what this is by the first byte, where only that tells.
    fn told_by(&self, first: u8) -> Option<Self> {
        match self {
            Self::Untold if first == GZIP => Some(Self::gzip()),
            Self::Untold => Some(Self::Plain),
            Self::Deflate if first & 0x0f == 8 => Some(Self::Zlib(Box::new(ZlibDecoder::new(Vec::new())))),
            Self::Deflate => Some(Self::Raw(Box::new(DeflateDecoder::new(Vec::new())))),
            _ => None,
        }
    }

    fn take(&mut self, bytes: Vec<u8>, bytes_max: usize) -> io::Result<Vec<u8>> {
        let Some(first) = bytes.first() else { return Ok(bytes) };
        if let Some(told) = self.told_by(*first) {
            *self = told;
        }
        if matches!(self, Self::Plain) {
            return Ok(bytes);
        }
        let mut decoded = Vec::new();
        for piece in bytes.chunks(PIECE_BYTES) {
            match self {
                Self::Untold | Self::Deflate | Self::Plain => {}
                Self::Gzip(decoder) => {
                    decoder.write_all(piece)?;
                    decoder.flush()?;
                    decoded.append(decoder.get_mut());
                }
                Self::Zlib(decoder) => {
                    decoder.write_all(piece)?;
                    decoder.flush()?;
                    decoded.append(decoder.get_mut());
                }
                Self::Raw(decoder) => {
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

/// Decodes a whole body, up to `bytes_max`, and reads UTF-16 as UTF-8; returns it unchanged if it cannot be decoded.
pub(super) fn whole(headers: &HeaderMap, body: Vec<u8>, bytes_max: usize) -> Vec<u8> {
    let decoded = Decoding::of(headers).ok().and_then(|mut decoding| decoding.take(&body, bytes_max).ok());
    narrowed(&decoded.filter(|decoded| !decoded.is_empty()).unwrap_or(body))
}

#[cfg(test)]
mod tests {
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn zipped(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("written");
        encoder.finish().expect("finished")
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("written");
        encoder.finish().expect("finished")
    }

    fn raw(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("written");
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
        let plain = "data: 1\n\n".repeat(500).into_bytes();
        for (encoding, bytes) in [
            ("gzip", zipped(&plain)),
            ("", zipped(&plain)),
            ("gzip, identity", zipped(&plain)),
            ("identity", plain.clone()),
            (" ", plain.clone()),
            ("none", plain.clone()),
            ("UTF-8", plain.clone()),
            ("deflate", zlib(&plain)),
            ("deflate", raw(&plain)),
            ("gzip, gzip", zipped(&zipped(&plain))),
            ("gzip, gzip", zipped(&plain)),
            ("gzip, deflate", zlib(&zipped(&plain))),
        ] {
            for cut in [1, 2, 7, 100_000] {
                let mut decoding = Decoding::of(&headers(encoding)).expect("is known");
                let pieces = bytes.chunks(cut).map(|piece| decoding.take(piece, 1 << 20).expect("decodes"));
                assert!(pieces.collect::<Vec<_>>().concat() == plain, "{encoding} by {cut}");
            }
        }
        for other in ["br", "zstd", "gzip, br", "gzip, gzip, gzip"] {
            assert_eq!(Decoding::of(&headers(other)).err().as_deref(), Some(other));
        }
        let mut bomb = Decoding::of(&headers("gzip")).expect("is known");
        let large = vec![b'x'; 1 << 20];
        assert!(bomb.take(&zipped(&large), 1 << 16).is_err());
        let mut bomb = Decoding::of(&headers("gzip, gzip")).expect("is known");
        assert!(bomb.take(&zipped(&zipped(&large)), 1 << 16).is_err());
        assert!(Decoding::of(&headers("gzip")).expect("is known").take(b"not gzip at all", 100).is_err());
        assert_eq!(whole(&headers("gzip"), b"plain".to_vec(), 100), b"plain");
    }
}
