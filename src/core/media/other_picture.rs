//! Pictures of kinds that are not decoded here, told by their bytes: phones call HEIC photos `.jpg`, too.

/// Brands of pictures in the container of MP4 (ISO/IEC 14496-12): HEIC, HEIF and AVIF.
const BRANDS: [&[u8]; 10] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"];
/// Signatures: TIFF with short and long offsets, JPEG XL in its container, JPEG 2000, Photoshop.
const MARKS: [&[u8]; 7] =
    [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cjP  \r\n\x87\n", b"8BPS\0\x01"];
/// Sizes of the header that follows the first one of a BMP.
const BMP_HEADERS: [u8; 7] = [12, 40, 52, 56, 64, 108, 124];

/// Returns whether bytes are a picture of such a kind.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let is_branded = bytes.get(4..8) == Some(b"ftyp") && bytes.get(8..12).is_some_and(|brand| BRANDS.contains(&brand));
    is_branded || MARKS.iter().any(|mark| bytes.starts_with(mark)) || is_bmp(bytes) || is_icon(bytes)
}

/// `BM` alone may begin a text.
fn is_bmp(bytes: &[u8]) -> bool {
    let is_header = |header: &[u8]| BMP_HEADERS.contains(&header[0]) && header[1..] == [0, 0, 0];
    bytes.starts_with(b"BM") && bytes.get(6..10) == Some(&[0; 4]) && bytes.get(14..18).is_some_and(is_header)
}

fn is_icon(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, 1 | 2, 0, count, 0, ..] if *count > 0) && bytes.get(9) == Some(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e_pictures_of_other_kinds_are_told_from_texts_and_videos() {
        let bmp = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0";
        let icon = b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0";
        for (bytes, expected) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], true),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", true),
            (b"II*\0\x08\0\0\0", true),
            (b"MM\0*\0\0\0\x08", true),
            (b"8BPS\0\x01\0\0", true),
            (bmp, true),
            (icon, true),
            (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", false),
            (b"BM is short for Bob Miller, who wrote this", false),
            (b"II. Chapter", false),
            (b"", false),
            (b"BM", false),
            (b"\0\0\x01\0", false),
        ] {
            assert_eq!(is_one(bytes), expected, "{bytes:?}");
        }
    }
}
