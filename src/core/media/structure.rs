//! Measures what a PDF's own structure unpacks to, before a library reads it.
//!
//! A PDF keeps its object table and small objects in packed streams, which every reader unpacks completely. Here they
//! are unpacked and only counted. What escapes this search still meets the child's limits.

use flate2::{Decompress, FlushDecompress, Status};
use memchr::memmem;

use super::Unread;

/// Most objects in the file itself.
pub(super) const OBJECTS_MAX: usize = 250_000;
/// Most nested packings of a stream, whatever it holds: each may unpack to a thousand times as much.
pub(super) const FILTERS_MAX: usize = 2;
/// Most bytes that one structural stream unpacks to.
pub(super) const STREAM_BYTES_MAX: u64 = 32 << 20;
/// Most bytes that all of them unpack to.
pub(super) const STREAMS_BYTES_MAX: u64 = 64 << 20;
/// Filters that unpack to more than they read, with their short names.
const PACKINGS: [&[u8]; 6] = [b"FlateDecode", b"Fl", b"LZWDecode", b"LZW", b"RunLengthDecode", b"RL"];
/// How far before a stream its dictionary may begin, in bytes.
const DICTIONARY_BYTES_MAX: usize = 4096;
/// Bytes unpacked at a time.
const SCRATCH_BYTES: usize = 32 << 10;

/// Refuses a PDF whose structure is disproportionate.
pub(super) fn check(bytes: &[u8]) -> Result<(), Unread> {
    if memmem::find_iter(bytes, b" obj").take(OBJECTS_MAX + 1).count() > OBJECTS_MAX {
        return Err(Unread::TooLargeUnpacked);
    }
    let (mut unpacked, mut packed) = (0, 0);
    for at in memmem::find_iter(bytes, b"stream") {
        let Some(dictionary) = dictionary(&bytes[..at]) else { continue };
        let (filters, packings) = filters(dictionary);
        let is_structural = is_structural(dictionary);
        if packings > FILTERS_MAX || is_structural && filters > FILTERS_MAX {
            return Err(Unread::TooLargeUnpacked);
        }
        if !is_structural || memmem::find(dictionary, b"/Fl").is_none() {
            continue;
        }
        let (took, gave) = measure(data_behind(&bytes[at..]));
        (packed, unpacked) = (packed + took, unpacked + gave);
        // Overlapping streams are read again and again, so packed bytes count as well.
        if gave > STREAM_BYTES_MAX || unpacked > STREAMS_BYTES_MAX || packed > STREAMS_BYTES_MAX {
            return Err(Unread::TooLargeUnpacked);
        }
    }
    Ok(())
}

/// Returns the dictionary that ends where a stream begins.
fn dictionary(before: &[u8]) -> Option<&[u8]> {
    if before.ends_with(b"end") {
        return None;
    }
    let near = &before[before.len().saturating_sub(DICTIONARY_BYTES_MAX)..];
    Some(&near[memmem::rfind(near, b" obj").unwrap_or(0)..])
}

/// Returns whether a stream is an object table or object stream.
fn is_structural(dictionary: &[u8]) -> bool {
    [&b"/XRef"[..], b"/ObjStm"].iter().any(|kind| memmem::find(dictionary, kind).is_some())
}

/// Returns the number of filters that a dictionary names, and of the packings among them.
fn filters(dictionary: &[u8]) -> (usize, usize) {
    let Some(at) = memmem::find(dictionary, b"/Filter") else { return (0, 0) };
    let behind = dictionary[at + b"/Filter".len()..].trim_ascii_start();
    let Some(list) = behind.strip_prefix(b"[") else { return (1, 1) };
    let end = memchr::memchr(b']', list).unwrap_or(list.len());
    let names = || list[..end].split(|byte| *byte == b'/').skip(1).map(<[u8]>::trim_ascii);
    (names().count(), names().filter(|name| PACKINGS.contains(name)).count())
}

fn data_behind(stream: &[u8]) -> &[u8] {
    let data = &stream[b"stream".len()..];
    data.strip_prefix(b"\r\n").or_else(|| data.strip_prefix(b"\n")).unwrap_or(data)
}

/// Returns the bytes read and the bytes unpacked, up to the end, a fault or the limit.
fn measure(packed: &[u8]) -> (u64, u64) {
    let (mut inflating, mut scratch) = (Decompress::new(true), vec![0; SCRATCH_BYTES]);
    loop {
        let read = usize::try_from(inflating.total_in()).unwrap_or(usize::MAX).min(packed.len());
        let before = (inflating.total_in(), inflating.total_out());
        let status = inflating.decompress(&packed[read..], &mut scratch, FlushDecompress::None);
        let after = (inflating.total_in(), inflating.total_out());
        let goes_on = matches!(status, Ok(Status::Ok | Status::BufError)) && after != before;
        if !goes_on || after.1 > STREAM_BYTES_MAX {
            return after;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    fn packed(length: usize) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; length]).expect("memory");
        encoder.finish().expect("memory")
    }

    fn stream(dictionary: &str, data: &[u8]) -> Vec<u8> {
        [b"1 0 obj\n<< ", dictionary.as_bytes(), b" >>\nstream\r\n", data, b"\nendstream\nendobj\n"].concat()
    }

    #[test]
    fn s3_the_structure_of_a_pdf_is_measured_before_it_is_unpacked() {
        let small = packed(100_000);
        let half = packed(usize::try_from(STREAM_BYTES_MAX).expect("small") - 1);
        let bomb = packed(usize::try_from(STREAM_BYTES_MAX).expect("small") + 1);
        let boxed = "/Type /ObjStm /Filter /FlateDecode";
        let rows = [
            ("none", b"%PDF-1.7".to_vec(), Ok(())),
            ("a small one", stream(boxed, &small), Ok(())),
            ("a damaged one", stream(boxed, &small[..50]), Ok(())),
            ("a bomb", stream(boxed, &bomb), Err(Unread::TooLargeUnpacked)),
            ("a table", stream("/Filter/Fl/Type/XRef", &bomb), Err(Unread::TooLargeUnpacked)),
            ("a picture is not unpacked", stream("/Subtype /Image /Filter /FlateDecode", &bomb), Ok(())),
            ("many that are together too large", stream(boxed, &half).repeat(3), Err(Unread::TooLargeUnpacked)),
            (
                "many layers",
                stream("/Type/ObjStm/Filter [ /FlateDecode /FlateDecode /FlateDecode]", &small),
                Err(Unread::TooLargeUnpacked),
            ),
            (
                "many layers of what is drawn",
                stream("/Length 9 /Filter[/FlateDecode/Fl /RL ]", &small),
                Err(Unread::TooLargeUnpacked),
            ),
            ("a packed photo in text", stream("/Filter [/ASCII85Decode /FlateDecode /DCTDecode]", &small), Ok(())),
            ("many objects", b"1 0 obj\n".repeat(OBJECTS_MAX + 1), Err(Unread::TooLargeUnpacked)),
        ];
        for (name, bytes, expected) in rows {
            assert_eq!(check(&bytes), expected, "{name}");
        }
    }

    #[test]
    fn s3_streams_that_overlap_cost_no_more_than_the_limit() {
        // A thousand nested beginnings, each of which would read the megabytes of zeros at the end.
        let beginning = b"1 0 obj<</Type/ObjStm/Filter/Fl>>stream\n\x78\x9c";
        let length = u16::try_from(beginning.len()).expect("short");
        let stored = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), beginning].concat();
        let nothing = b"\x00\x00\x00\xff\xff".repeat(200_000);
        let file = [&beginning[..], &stored.repeat(1_000), &nothing].concat();
        assert_eq!(check(&file), Err(Unread::TooLargeUnpacked));
    }
}
