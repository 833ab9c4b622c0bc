//! Files that are small when sent and enormous when unpacked, generated when needed.

use std::io::Write as _;

use flate2::{Compression, Crc, write::ZlibEncoder};
use workmate::core::media::{Kind, Unread};

/// A file, and how decoding it may end.
pub(crate) struct Bomb {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    /// Why it cannot be read; `None` if its beginning can be.
    pub(crate) why: Option<Unread>,
}

/// Returns this many MiB of zeros, compressed to a thousandth.
pub(crate) fn packed(mebibytes: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let nothing = vec![0; 1 << 20];
    (0..mebibytes).for_each(|_| encoder.write_all(&nothing).expect("memory"));
    encoder.finish().expect("memory")
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn chunk(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(&name);
    crc.update(data);
    let length = u32::try_from(data.len()).expect("short");
    [&length.to_be_bytes()[..], &name, data, &crc.sum().to_be_bytes()].concat()
}

/// Returns a PNG with these dimensions, depth and colour type, and with chunks before its data.
fn png(width: u32, height: u32, depth_and_colour: [u8; 2], chunks: &[u8], data: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &depth_and_colour, &[0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(*b"IHDR", &header)[..], chunks, &chunk(*b"IDAT", data), &chunk(*b"IEND", b"")]
        .concat()
}

const GREY: [u8; 2] = [8, 0];

fn gif(width: u16, height: u16, frames: &[u8]) -> Vec<u8> {
    let screen = [&width.to_le_bytes()[..], &height.to_le_bytes(), &[0x80, 0, 0], &[0, 0, 0, 255, 255, 255]].concat();
    [b"GIF89a", &screen[..], frames, b";"].concat()
}

/// Returns a frame whose data is a single pixel.
fn frame(width: u16, height: u16) -> Vec<u8> {
    [b",\0\0\0\0", &width.to_le_bytes()[..], &height.to_le_bytes(), &[0], &[2, 2, 0x44, 0x01, 0]].concat()
}

fn riff(chunks: &[u8]) -> Vec<u8> {
    let length = u32::try_from(chunks.len() + 4).expect("short");
    [b"RIFF", &length.to_le_bytes()[..], b"WEBP", chunks].concat()
}

fn riff_chunk(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("short");
    [&name[..], &length.to_le_bytes(), data, &vec![0; data.len() % 2]].concat()
}

/// Returns the start of a lossless WebP: its mark, and 14 bits each for the edges less one.
fn lossless(edge: u32) -> Vec<u8> {
    let bits = (edge - 1) | (edge - 1) << 14;
    riff_chunk(*b"VP8L", &[&[0x2f][..], &bits.to_le_bytes(), &[0; 64]].concat())
}

fn animated_webp() -> Vec<u8> {
    let canvas = [0x02, 0, 0, 0, 0xff, 0x3f, 0, 0xff, 0x3f, 0];
    let frame = [&[0; 16][..], &lossless(1)].concat();
    let frames = riff_chunk(*b"ANMF", &frame).repeat(5_000);
    riff(&[riff_chunk(*b"VP8X", &canvas), riff_chunk(*b"ANIM", &[0; 6]), frames].concat())
}

/// Returns the start of a JPEG with these dimensions and three components, followed by `rest`.
fn jpeg(start_of_frame: u8, edge: u16, rest: &[u8]) -> Vec<u8> {
    let table = [&[0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat();
    let edge = edge.to_be_bytes();
    let frame =
        [&[0xff, start_of_frame, 0, 17, 8][..], &edge, &edge, &[3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]].concat();
    // A single one-bit code, which means "nothing more in this block".
    let codes = |class: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 15], &[0]].concat();
    [&[0xff, 0xd8][..], &table, &frame, &codes(0), &codes(0x10), rest, &[0xff, 0xd9]].concat()
}

/// Returns scans of a progressive picture, each of which covers all of its blocks.
fn scans(count: usize) -> Vec<u8> {
    let scan = [&[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0][..], &[0; 16]].concat();
    scan.repeat(count)
}

/// Returns a PDF with this object table, as a stream.
fn pdf_with_table(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let table = format!("1 0 obj\n<< /Type /XRef {dictionary} /Length {} >>\nstream\r\n", data.len());
    [b"%PDF-1.5\n", table.as_bytes(), data, b"\nendstream\nendobj\nstartxref\n9\n%%EOF\n"].concat()
}

/// Returns a PDF whose catalogue is in an object stream that unpacks to these bytes.
fn pdf_with_box(filters: &str, data: &[u8]) -> Vec<u8> {
    let boxed =
        format!("1 0 obj\n<< /Type /ObjStm /N 1 /First 4 /Filter {filters} /Length {} >>\nstream\r\n", data.len());
    let beginning = [b"%PDF-1.5\n", boxed.as_bytes(), data, b"\nendstream\nendobj\n"].concat();
    // Three entries: none; object 1, after the first line; object 2, inside it.
    let entries = [[0, 0, 0, 0, 0], [1, 0, 0, 9, 0], [2, 0, 0, 1, 0], [1, 0, 0, 9, 0]].concat();
    let at = beginning.len();
    let table =
        format!("3 0 obj\n<< /Type /XRef /Size 4 /W [1 3 1] /Root 2 0 R /Length {} >>\nstream\r\n", entries.len());
    [&beginning[..], table.as_bytes(), &entries, format!("\nendstream\nendobj\nstartxref\n{at}\n%%EOF\n").as_bytes()]
        .concat()
}

/// Returns bombs of every format.
pub(crate) fn all() -> Vec<Bomb> {
    use Kind::{Gif, Jpeg, Mail, Office, Pdf, Png, Text, WebP};
    use Unread::{Broken, TooLarge, TooLargeUnpacked};
    let nothing = packed(255);
    let more = packed(400);
    let table = "/Size 80000000 /W [1 1 1] /Root 2 0 R /Filter /FlateDecode";
    let named = |keyword: &[u8]| [keyword, b"\0\0", &more[..]].concat();
    let bomb = |name, kind, bytes, why| Bomb { name, kind, bytes, why };
    vec![
        bomb("long.png", Png, png(50_000_000, 1, GREY, b"", &packed(48)), Some(TooLarge)),
        bomb("tall.png", Png, png(1, 50_000_000, GREY, b"", &packed(96)), Some(TooLarge)),
        bomb("square.png", Png, png(30_000, 30_000, [1, 0], b"", &packed(108)), Some(TooLarge)),
        bomb("deep.png", Png, png(7_000, 7_000, [16, 6], b"", &more), Some(TooLarge)),
        bomb("profile.png", Png, png(1, 1, GREY, &chunk(*b"iCCP", &named(b"p")), &deflated(b"\0\0")), None),
        bomb("comment.png", Png, png(1, 1, GREY, &chunk(*b"zTXt", &named(b"c")), &deflated(b"\0\0")), None),
        bomb("longer.png", Png, png(1, 1, GREY, b"", &more), None),
        bomb("canvas.gif", Gif, gif(u16::MAX, u16::MAX, &frame(1, 1)), Some(TooLarge)),
        bomb("frame.gif", Gif, gif(8, 8, &frame(u16::MAX, u16::MAX)), Some(TooLargeUnpacked)),
        bomb("frames.gif", Gif, gif(1, 1, &frame(1, 1).repeat(20_000)), None),
        bomb("lossless.webp", WebP, riff(&lossless(16_383)), Some(TooLarge)),
        bomb("frames.webp", WebP, animated_webp(), Some(TooLarge)),
        bomb("square.jpg", Jpeg, jpeg(0xc0, u16::MAX, &scans(1)), Some(TooLarge)),
        bomb("table.pdf", Pdf, pdf_with_table(table, &nothing), Some(TooLargeUnpacked)),
        bomb(
            "layers.pdf",
            Pdf,
            pdf_with_table(&table.replace("/FlateDecode", "[/FlateDecode /FlateDecode]"), &deflated(&nothing)),
            Some(TooLargeUnpacked),
        ),
        bomb(
            "lines.pdf",
            Pdf,
            pdf_with_table(&table.replace("/FlateDecode", "/RunLengthDecode"), &b"\x81\0".repeat(4 << 20)),
            Some(TooLargeUnpacked),
        ),
        bomb("box.pdf", Pdf, pdf_with_box("/FlateDecode", &more), Some(TooLargeUnpacked)),
        bomb("nested.pdf", Pdf, [&b"%PDF-1.5\n1 0 obj\n"[..], &b"[".repeat(4 << 20)].concat(), Some(Broken)),
        bomb("line.txt", Text, vec![b'a'; 10 << 20], None),
        bomb("part.xlsx", Office, package("xl/workbook.xml", b"<a/>", &[400]), Some(TooLargeUnpacked)),
        bomb("parts.xlsx", Office, package("xl/workbook.xml", b"<a/>", &[90; 3]), Some(TooLargeUnpacked)),
        bomb("entities.docx", Office, package("word/document.xml", entities().as_bytes(), &[]), None),
        bomb("nested.odt", Office, package("word/document.xml", &b"<w>".repeat(4 << 20), &[]), Some(Broken)),
        bomb("nested.eml", Mail, nested_mail(), None),
    ]
}

/// Packs an office file of this main part, with further parts of so many MiB of nothing.
fn package(main: &str, text: &[u8], more: &[usize]) -> Vec<u8> {
    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};
    let folder = main.split('/').next().expect("a folder");
    let relations = format!(
        "<Relationships><Relationship Id='r' Type='x/relationships/officeDocument' Target='{main}'/></Relationships>"
    );
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in
        [("[Content_Types].xml", &b"<Types/>"[..]), ("_rels/.rels", relations.as_bytes()), (main, text)]
    {
        writer.start_file(name, options).expect("memory");
        writer.write_all(bytes).expect("memory");
    }
    let nothing = vec![b' '; 1 << 20];
    for (at, mebibytes) in more.iter().enumerate() {
        writer.start_file(format!("{folder}/{at}.xml"), options).expect("memory");
        (0..*mebibytes).for_each(|_| writer.write_all(&nothing).expect("memory"));
    }
    writer.finish().expect("memory").into_inner()
}

/// Returns a text whose entities would unfold to gigabytes.
fn entities() -> String {
    let declared = (1..10).map(|at| format!("<!ENTITY e{at} '{}'>", format!("&e{};", at - 1).repeat(10)));
    let declared = declared.collect::<Vec<_>>().concat();
    format!("<!DOCTYPE w [<!ENTITY e0 'lol'>{declared}]><w:p><w:r><w:t>before &e9; after</w:t></w:r></w:p>")
}

/// Returns messages within messages.
fn nested_mail() -> Vec<u8> {
    let mut message = "From: a@hs\nTo: b@hs\nSubject: end\n\nend\n".to_owned();
    for depth in 0..50 {
        message = format!(
            "From: a@hs\nTo: b@hs\nSubject: {depth}\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b{depth}\n\n\
             --b{depth}\nContent-Type: message/rfc822\n\n{message}\n--b{depth}--\n"
        );
    }
    message.into_bytes()
}

/// Returns a picture that takes its decoder very long: thousands of scans over the whole of it.
pub(crate) fn endless() -> Vec<u8> {
    jpeg(0xc2, 7_000, &scans(20_000))
}
