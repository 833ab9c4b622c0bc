//! Whose a file is and who we are, for messages about unreadable files.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

/// The local users' names; users of a directory service are shown by number.
const PASSWD: &str = "/etc/passwd";

/// The file with the groups and their members.
const GROUP: &str = "/etc/group";

/// A user of this machine, with what decides about access to files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The numbers of all of the user's groups.
    pub gids: Vec<u32>,
}

impl Account {
    /// Looks a user up by name in this machine's files.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let passwd = fs::read_to_string(PASSWD).unwrap_or_default();
        Self::of(name, &passwd, &fs::read_to_string(GROUP).unwrap_or_default())
    }

    /// Looks a user up by number; one that this machine's files lack is in no group.
    #[must_use]
    pub fn numbered(uid: u32) -> Self {
        let name = user_name(uid);
        Self::named(&name).unwrap_or(Self { name, uid, gids: Vec::new() })
    }

    fn of(name: &str, passwd: &str, group: &str) -> Option<Self> {
        let mut fields = passwd
            .lines()
            .map(|line| line.split(':'))
            .find_map(|mut fields| (fields.next()? == name).then_some(fields))?;
        let (_, uid, gid) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let mut gids = vec![gid];
        gids.extend(group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, gid, members] = fields.as_slice() else { return None };
            members.split(',').any(|member| member == name).then(|| gid.parse::<u32>().ok())?
        }));
        Some(Self { name: name.to_owned(), uid, gids })
    }

    /// Returns whether a file's mode allows this user all of `wanted` (4 read, 2 write, 1 enter or run).
    #[must_use]
    pub fn may(&self, owner: u32, group: u32, mode: u32, wanted: u32) -> bool {
        let bits = if self.uid == owner {
            mode >> 6
        } else if self.gids.contains(&group) {
            mode >> 3
        } else {
            mode
        };
        self.uid == 0 || bits & wanted == wanted
    }
}

/// Returns a user's name by number, or the number.
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

/// Returns [`whose`] the file is if access was denied; empty for other errors.
#[must_use]
pub fn whose_if_denied(path: &Path, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied { whose(path) } else { String::new() }
}

/// Returns in brackets whose a file is and who we are; empty if unknown.
#[must_use]
pub fn whose(path: &Path) -> String {
    // A folder that cannot be entered hides its content, so report the first one that can be examined.
    let looked_at = path.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)));
    let (Some((found, metadata)), Some(own)) = (looked_at, own_uid()) else { return String::new() };
    let what = if found == path { "it".to_owned() } else { found.display().to_string() };
    format!(" ({}; this runs as {})", belongs(&what, &metadata), user_name(own))
}

/// Returns whose a file is, and its mode.
#[must_use]
pub fn belongs(what: &str, metadata: &fs::Metadata) -> String {
    format!("{what} belongs to {}, mode {:04o}", user_name(metadata.uid()), metadata.mode() & 0o7777)
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
    fn a_user_may_what_owner_group_or_others_may_and_root_everything() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nworkmate:x:998:997::/var/lib/workmate:/bin/false\n";
        let group = "adm:x:4:syslog,workmate\nbroken\nworkmate:x:997:\nmail:x:8:postfix\n";
        let workmate = Account::of("workmate", passwd, group).expect("it is there");
        assert_eq!((workmate.uid, workmate.gids.as_slice()), (998, [997, 4].as_slice()));
        assert_eq!(Account::of("nobody", passwd, group), None);
        for (owner, group, mode, may) in [
            (998, 0, 0o700, true),
            (998, 0, 0o077, false),
            (0, 4, 0o070, true),
            (0, 4, 0o707, false),
            (0, 0, 0o007, true),
        ] {
            assert_eq!(workmate.may(owner, group, mode, 7), may, "{owner} {group} {mode:o}");
        }
        assert!(Account::of("root", passwd, group).expect("it is there").may(998, 998, 0, 7));
    }

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
