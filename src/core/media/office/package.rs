//! Zip packages: what kind of office file they are, their parts, and what these unpack to.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read as _},
};

use encoding_rs::Encoding;
use memchr::memmem;
use zip::{ZipArchive, result::ZipError};

use super::{
    Unread,
    xml::{Node, Nodes},
};

/// Most entries of a package.
pub(super) const ENTRIES_MAX: usize = 20_000;
/// Most bytes that one part unpacks to.
pub(super) const PART_BYTES_MAX: u64 = 64 << 20;
/// Most bytes that all parts that are read unpack to, each as often as it is read.
pub(super) const PARTS_BYTES_MAX: u64 = 256 << 20;
/// Most relations of a part that are looked at.
const RELATIONS_MAX: usize = 50_000;
/// Names that only office files have among their entries.
const MARKS: [&[u8]; 5] = [b"[Content_Types].xml", b"word/", b"xl/", b"ppt/", b"application/vnd.oasis.opendocument"];
/// Bytes unpacked at a time.
const SCRATCH_BYTES: usize = 64 << 10;

/// What is in a package.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// A text document whose main part is this.
    Word { main: String },
    /// A presentation whose main part is this.
    Slides { main: String },
    /// A workbook, in XML or in the binary form.
    Workbook { is_binary: bool },
    /// A text, spreadsheet, presentation or drawing of OpenDocument.
    OpenDocument,
}

/// What a part of a package points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    /// The last word of its type, such as `slide`.
    pub(super) kind: String,
    /// A part's name, or an address outside.
    pub(super) target: String,
    /// Whether it is outside.
    pub(super) is_outside: bool,
}

/// A package, and how much of it was unpacked.
pub(super) struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    unpacked: u64,
}

impl<'a> Package<'a> {
    /// Opens a package.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Unread> {
        let Ok(archive) = ZipArchive::new(Cursor::new(bytes)) else {
            // The list of its entries is at its end, and so the first to go.
            let was_office = MARKS.iter().any(|mark| memmem::find(bytes, mark).is_some());
            return Err(if was_office { Unread::Broken } else { Unread::Unsupported });
        };
        if archive.len() > ENTRIES_MAX {
            return Err(Unread::TooLargeUnpacked);
        }
        Ok(Self { archive, unpacked: 0 })
    }

    /// Returns what kind of office file it is.
    pub(super) fn parts(&mut self) -> Result<Parts, Unread> {
        if self.has("META-INF/manifest.xml") && self.has("mimetype") {
            return self.open_document();
        }
        if !self.has("[Content_Types].xml") {
            return Err(Unread::Unsupported);
        }
        let relations = self.relations("")?;
        let main = relations.into_values().find(|relation| relation.kind == "officeDocument" && !relation.is_outside);
        let main = main.ok_or(Unread::Unsupported)?.target;
        let folder = main.split('/').next().unwrap_or_default();
        match (folder, main.rsplit('.').next()) {
            ("word", _) => Ok(Parts::Word { main }),
            ("ppt", _) => Ok(Parts::Slides { main }),
            ("xl", extension) => Ok(Parts::Workbook { is_binary: extension == Some("bin") }),
            _ => Err(Unread::Unsupported),
        }
    }

    fn open_document(&mut self) -> Result<Parts, Unread> {
        let kind = self.part("mimetype")?;
        if !kind.trim().starts_with("application/vnd.oasis.opendocument.") {
            return Err(Unread::Unsupported);
        }
        if self.has("encrypted-package") || self.part("META-INF/manifest.xml")?.contains("encryption-data") {
            return Err(Unread::Encrypted);
        }
        Ok(Parts::OpenDocument)
    }

    /// Returns whether it has a part.
    pub(super) fn has(&self, name: &str) -> bool {
        self.archive.index_for_name(name).is_some()
    }

    /// Returns the text of a part.
    pub(super) fn part(&mut self, name: &str) -> Result<String, Unread> {
        let entry = self.archive.by_name(name).map_err(|error| unreadable(&error))?;
        let mut bytes = Vec::new();
        let most = PART_BYTES_MAX.min(PARTS_BYTES_MAX - self.unpacked);
        let read = entry.take(most + 1).read_to_end(&mut bytes);
        self.unpacked = PARTS_BYTES_MAX.min(self.unpacked + bytes.len() as u64);
        if bytes.len() as u64 > most {
            return Err(Unread::TooLargeUnpacked);
        }
        read.map_err(|_| Unread::Broken)?;
        Ok(match Encoding::for_bom(&bytes) {
            Some((encoding, _)) => encoding.decode_with_bom_removal(&bytes).0.into_owned(),
            None => String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()),
        })
    }

    /// Returns the text of a part that may be missing.
    pub(super) fn part_if_any(&mut self, name: &str) -> Result<Option<String>, Unread> {
        if self.has(name) { self.part(name).map(Some) } else { Ok(None) }
    }

    /// Returns what a part points to, by their ids; of the package itself if the name is empty.
    pub(super) fn relations(&mut self, of: &str) -> Result<BTreeMap<String, Relation>, Unread> {
        let (folder, name) = of.rsplit_once('/').unwrap_or(("", of));
        let list = if folder.is_empty() { format!("_rels/{name}.rels") } else { format!("{folder}/_rels/{name}.rels") };
        let mut relations = BTreeMap::new();
        let Some(list) = self.part_if_any(&list)? else { return Ok(relations) };
        let mut nodes = Nodes::of(&list);
        while let Some(node) = nodes.next()? {
            let Node::Open(element) = node else { continue };
            if element.name() != "Relationship" || relations.len() == RELATIONS_MAX {
                continue;
            }
            let (Some(id), Some(target)) = (element.attribute("Id"), element.attribute("Target")) else { continue };
            let kind = element.attribute("Type").unwrap_or_default();
            let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
            let is_outside = element.attribute("TargetMode").is_some_and(|mode| mode.eq_ignore_ascii_case("external"));
            let target = if is_outside { target } else { resolved(folder, &target) };
            relations.insert(id, Relation { kind, target, is_outside });
        }
        Ok(relations)
    }

    /// Unpacks and counts what a library is about to unpack by itself.
    ///
    /// # Errors
    /// If it is too much, or cannot be unpacked.
    pub(super) fn measure(&mut self) -> Result<(), Unread> {
        let mut scratch = vec![0; SCRATCH_BYTES];
        for at in 0..self.archive.len() {
            let mut entry = self.archive.by_index(at).map_err(|error| unreadable(&error))?;
            let name = entry.name_raw();
            if !name.ends_with(b".xml") && !name.ends_with(b".bin") && !name.ends_with(b".rels") {
                continue;
            }
            loop {
                match entry.read(&mut scratch).map_err(|_| Unread::Broken)? {
                    0 => break,
                    length => self.unpacked += length as u64,
                }
                if self.unpacked > PARTS_BYTES_MAX {
                    return Err(Unread::TooLargeUnpacked);
                }
            }
        }
        Ok(())
    }
}

fn unreadable(error: &ZipError) -> Unread {
    match error {
        ZipError::UnsupportedArchive(why) if *why == ZipError::PASSWORD_REQUIRED => Unread::Encrypted,
        _ => Unread::Broken,
    }
}

/// Returns the name of the part that a target means, seen from a folder.
fn resolved(folder: &str, target: &str) -> String {
    let (from, target) = match target.strip_prefix('/') {
        Some(absolute) => ("", absolute),
        None => (folder, target),
    };
    let mut steps: Vec<&str> = from.split('/').filter(|step| !step.is_empty()).collect();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    steps.join("/")
}
