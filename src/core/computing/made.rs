//! The files that a run made: which are looked at and posted, and under which names.

use crate::core::file_name;

use super::{LOOKED_AT_MAX, MADE_MAX, POSTED_BYTES_MAX, POSTED_EACH_MAX, POSTED_MAX};

/// The media types of the pictures that clients show, by how their bytes begin.
const PICTURE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Media types by the ends of names. What a browser would execute is sent as bytes.
const TYPES: [(&str, &str); 19] = [
    ("csv", "text/csv"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("gif", "image/gif"),
    ("ics", "text/calendar"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("md", "text/markdown"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("py", "text/x-python"),
    ("tsv", "text/tab-separated-values"),
    ("txt", "text/plain"),
    ("webp", "image/webp"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("zip", "application/zip"),
];
/// The name of a file that has none.
const UNNAMED: &str = "file";

/// What the provider says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// `file_…`
    pub(crate) id: String,
    /// Its name as the provider tells it.
    pub(crate) name: String,
    /// Its length; 0 where it is not told.
    pub(crate) bytes: u64,
}

/// A file that is to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// `file_…`
    pub(crate) id: String,
    /// Its name, cleaned.
    pub(crate) name: String,
}

/// How many files are not posted, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unposted {
    /// There were too many.
    pub(crate) too_many: usize,
    /// Whether there were so many that the oldest are not even counted.
    pub(crate) uncounted: bool,
    /// They were too large, by themselves or together.
    pub(crate) too_large: usize,
    /// They could not be fetched.
    pub(crate) missing: usize,
    /// They held a credential.
    pub(crate) secret: usize,
    /// They were pictures that cannot be decoded.
    pub(crate) broken: usize,
    /// The homeserver did not take them.
    pub(crate) refused: usize,
}

impl Unposted {
    /// Returns whether all were posted.
    #[must_use]
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Adds ids of made files, each once; at the limit the oldest give way. Returns how many did.
pub(crate) fn add_made<'a>(made: &mut Vec<String>, new: impl Iterator<Item = &'a String>) -> usize {
    let mut dropped = 0;
    for file in new {
        if made.contains(file) {
            continue;
        }
        if made.len() >= MADE_MAX {
            made.remove(0);
            dropped += 1;
        }
        made.push(file.clone());
    }
    dropped
}

/// Returns the files to ask about, oldest first, and which are left out.
#[must_use]
pub(crate) fn looked_at(made: &[String]) -> (&[String], Unposted) {
    let too_many = made.len().saturating_sub(LOOKED_AT_MAX);
    let uncounted = made.len() >= MADE_MAX;
    (made.get(too_many..).unwrap_or_default(), Unposted { too_many, uncounted, ..Unposted::default() })
}

/// Chooses what is posted: of files of one name the last, the newest within the limits, in the order in which they were
/// made.
#[must_use]
pub(crate) fn chosen(looks: Vec<Look>) -> (Vec<Made>, Unposted) {
    let (mut kept, mut unposted, mut bytes) = (Vec::<Made>::new(), Unposted::default(), 0_u64);
    let mut names = std::collections::BTreeSet::new();
    for look in looks.into_iter().rev() {
        let name = posted_name(&look.name);
        if !names.insert(name.clone()) {
            // An earlier state of the same file.
            continue;
        }
        let whole = bytes.saturating_add(look.bytes);
        if look.bytes > POSTED_EACH_MAX || whole > POSTED_BYTES_MAX {
            unposted.too_large += 1;
        } else if kept.len() >= POSTED_MAX {
            unposted.too_many += 1;
        } else {
            bytes = whole;
            kept.push(Made { id: look.id, name });
        }
    }
    kept.reverse();
    (kept, unposted)
}

/// Returns the name under which a file is posted: its last part, without what hides, turns or breaks.
#[must_use]
pub(crate) fn posted_name(told: &str) -> String {
    let name = file_name::cleaned(told);
    if name.is_empty() { UNNAMED.to_owned() } else { name }
}

/// Returns the names of uploads in their container: cleaned, and each there once.
#[must_use]
pub(crate) fn name_of(told: &str, taken: &[String]) -> String {
    let name = posted_name(told);
    if !taken.contains(&name) {
        return name;
    }
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => (stem.to_owned(), format!(".{ending}")),
        _ => (name, String::new()),
    };
    let free =
        (2..=taken.len() + 2).map(|number| format!("{stem}-{number}{ending}")).find(|name| !taken.contains(name));
    free.unwrap_or_default()
}

/// Returns a picture's media type by how its bytes begin.
#[must_use]
pub(crate) fn picture_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(PICTURE_TYPES[0]),
        [0xff, 0xd8, 0xff, ..] => Some(PICTURE_TYPES[1]),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(PICTURE_TYPES[2]),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(PICTURE_TYPES[3]),
        _ => None,
    }
}

/// Returns the media type of a file that is no picture, by its name.
#[must_use]
pub(crate) fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    let known = TYPES.iter().find(|(known, _)| *known == ending).map(|(_, media_type)| *media_type);
    // A picture by its name alone is none.
    known.filter(|known| !known.starts_with("image/")).unwrap_or("application/octet-stream")
}
