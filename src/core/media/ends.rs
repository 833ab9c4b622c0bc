//! Very long text files, of which only the beginning and the end are kept while they are fetched.

/// Bytes that are kept of each end; more than the model is given in any encoding.
pub const ENDS_BYTES: usize = 512 << 10;
/// How far from the cut a line's end is looked for, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes that tell whether characters take two or four bytes each.
const SAMPLE_BYTES: usize = 4 << 10;

/// Joins a text's beginning with its end, which begins at the file's byte `tail_at`. Both are cut between characters,
/// and between lines if one ends near. Returns the bytes, and how many of the file's are absent between them.
#[must_use]
pub fn joined(mut head: Vec<u8>, tail: &[u8], tail_at: u64) -> (Vec<u8>, u64) {
    let skipped = if is_wide(&head) {
        head.truncate(head.len() / 4 * 4);
        usize::try_from((4 - tail_at % 4) % 4).unwrap_or_default()
    } else {
        let near = head.len().saturating_sub(LINE_BYTES_MAX);
        if let Some(at) = memchr::memrchr(b'\n', &head[near..]) {
            head.truncate(near + at + 1);
        }
        let near = &tail[..tail.len().min(LINE_BYTES_MAX)];
        let is_inside = |byte: &&u8| **byte & 0xc0 == 0x80;
        memchr::memchr(b'\n', near).map_or_else(|| near.iter().take(3).take_while(is_inside).count(), |at| at + 1)
    };
    let tail = tail.get(skipped..).unwrap_or_default();
    let absent = tail_at.saturating_add(skipped as u64).saturating_sub(head.len() as u64);
    head.extend_from_slice(tail);
    (head, absent)
}

/// Returns whether a text is in UTF-16 or UTF-32: marked so, or with many zero bytes.
fn is_wide(head: &[u8]) -> bool {
    let sample = &head[..head.len().min(SAMPLE_BYTES)];
    let zeros = memchr::memchr_iter(0, sample).count();
    matches!(sample, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) || zeros * 5 >= sample.len().max(1)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Extent, Kind, TEXT_TOKENS_MAX, decode, is_text},
        *,
    };
    use crate::core::tokens::estimate;

    /// Takes a file's ends as they are fetched, and returns what the model is given of them.
    fn given(bytes: &[u8]) -> String {
        let (head, tail) = (&bytes[..ENDS_BYTES], &bytes[bytes.len() - ENDS_BYTES..]);
        assert!(is_text(head));
        let (joined, absent) = joined(head.to_vec(), tail, (bytes.len() - ENDS_BYTES) as u64);
        assert!((joined.len() as u64 + absent) == bytes.len() as u64);
        let decoded = decode(Kind::Ends { absent }, &joined).expect("a text");
        assert!(matches!(decoded.shown, Extent::Text { ends: true, odd: 0, .. }), "{:?}", decoded.shown);
        let text = String::from_utf8(decoded.bytes).expect("a text");
        assert!(estimate(&text) <= TEXT_TOKENS_MAX);
        let mark = text.lines().find(|line| line.starts_with("[… ")).expect("a mark");
        assert!(mark.ends_with(" bytes left out here …]") && mark.len() > 30, "{mark}");
        text
    }

    #[test]
    fn d_of_a_very_long_log_beginning_and_end_are_given_in_any_encoding() {
        let lines = "größer, 服务器 all is well\n".repeat(160_000);
        let log = format!("first line\n{lines}fatal: the disk is full\n");
        let utf16: Vec<u8> = log.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf32: Vec<u8> = log.chars().map(u32::from).flat_map(u32::to_be_bytes).collect();
        for bytes in [log.clone().into_bytes(), utf16, utf32] {
            let text = given(&bytes);
            assert!(
                text.starts_with("first line\ngrößer, 服务器 all") && text.ends_with("well\nfatal: the disk is full\n")
            );
        }
        let one_line = "größer ".repeat(300_000);
        assert!(!given(one_line.as_bytes()).contains('\u{fffd}'));
        let one_line = "x größer".repeat(300_000);
        assert!(!given(one_line.as_bytes()).contains('\u{fffd}'));
    }
}
