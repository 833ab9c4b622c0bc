//! Opens the files of the config, and says what is wrong with those that cannot be read.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use super::{
    fault::{Fault, Faults, Trouble},
    owner::whose_if_denied,
    secrets::{LOOP, kind_of, reason},
    slips::unexpanded,
    yaml::{self, Node, YAML_BYTES_MAX},
};

/// Opens a regular file; opening a pipe would wait for its other end for ever.
fn open_file(file: &Path) -> io::Result<fs::File> {
    let metadata = fs::metadata(file)?;
    let kind = metadata.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::other(NoFile(kind_of(&metadata))));
    }
    fs::File::open(file)
}

/// Parses a YAML file into a tree; `why` is the consequence of a missing file, `mend` the remedy.
pub(super) fn read_yaml(file: &Path, (why, mend): (&str, &str), faults: &mut Faults) -> Option<Node> {
    let mut text = String::new();
    let read = open_file(file).and_then(|file| file.take(YAML_BYTES_MAX as u64 + 1).read_to_string(&mut text));
    let fault = match read.map(|_| yaml::parse(&text)) {
        Ok(Ok(node)) => return Some(node),
        Ok(Err((line, Trouble { what, why, mend }))) => {
            Fault { file: file.to_owned(), line: Some(line), key: String::new(), what, why, mend }
        }
        Err(error) => Fault {
            file: file.to_owned(),
            line: None,
            key: String::new(),
            what: format!("cannot be read: {}{}", reason(&error), whose_if_denied(file, &error)),
            why: why.to_owned(),
            mend: mend_of(file, &error).unwrap_or(mend).to_owned(),
        },
    };
    faults.push(fault);
    None
}

/// Something other than a file, which could block when opened.
#[derive(Debug, thiserror::Error)]
#[error("it is {0}, not a file")]
struct NoFile(&'static str);

/// Returns the remedy for an unreadable file; `None` if that depends on the file's purpose.
pub(super) fn mend_of(file: &Path, error: &io::Error) -> Option<&'static str> {
    let is_link = || fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_symlink());
    let is_unexpanded = || file.to_str().is_some_and(|path| unexpanded(path).is_some());
    let is_no_file = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<NoFile>);
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some(
            "run this as the user that runs workmate (e.g. with `sudo -u workmate`), or let that user read the file.",
        ),
        io::ErrorKind::InvalidData => {
            Some("save it as text in UTF-8, without a byte order mark of UTF-16; or move it away.")
        }
        io::ErrorKind::IsADirectory => Some("move the folder away, or name a file."),
        io::ErrorKind::NotFound if is_unexpanded() => {
            Some("write the path out: only a shell replaces `~` and `$HOME`, and none has seen this one.")
        }
        io::ErrorKind::NotFound if is_link() => Some("correct the link, which leads nowhere, or remove it."),
        _ if is_no_file => Some("move it away, or put a file in its place."),
        _ if reason(error) == LOOP => Some("correct the link, or remove it."),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => None,
        _ => Some("look at the file and at the disk that it is on."),
    }
}
