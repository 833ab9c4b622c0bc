//! Whose a file is, and who we are: a file that cannot be read is told with both.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

/// Where names of users stand on every machine; those of a directory service are shown by their numbers.
const PASSWD: &str = "/etc/passwd";

/// Returns the name of the user with this number, or the number.
#[must_use]
pub fn user_name(uid: u32) -> String {
    let text = fs::read_to_string(PASSWD).unwrap_or_default();
    name_in(&text, uid).unwrap_or_else(|| format!("user {uid}"))
}

/// Returns the user that this process runs as.
#[must_use]
pub fn own_uid() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|metadata| metadata.uid())
}

/// Returns [`whose`] a file is that may not be read or written; nothing where an error says something else.
#[must_use]
pub fn whose_if_denied(path: &Path, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied { whose(path) } else { String::new() }
}

/// Returns whose a file is and who we are, as words in brackets; nothing where that cannot be told.
#[must_use]
pub fn whose(path: &Path) -> String {
    // A folder that cannot be entered hides what is in it: the first one that can be looked at is told.
    let looked_at = path.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)));
    let (Some((found, metadata)), Some(own)) = (looked_at, own_uid()) else { return String::new() };
    let what = if found == path { "it".to_owned() } else { found.display().to_string() };
    let mode = metadata.mode() & 0o7777;
    format!(" ({what} belongs to {}, mode {mode:04o}; this runs as {})", user_name(metadata.uid()), user_name(own))
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_and_a_file_says_whose_it_is() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nworkmate:x:998:998::/var/lib/workmate:/bin/false\n";
        assert_eq!([0, 998, 7].map(|uid| name_in(passwd, uid)), [Some("root".into()), Some("workmate".into()), None]);
        let dir = tempfile::tempdir().expect("a folder");
        let told = whose(dir.path());
        assert!(
            told.starts_with(" (it belongs to ") && told.contains("mode 0") && told.contains("; this runs as "),
            "{told}"
        );
        assert!(whose(&dir.path().join("missing")).contains(&dir.path().display().to_string()));
    }
}
