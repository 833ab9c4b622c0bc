//! Files: whether the user of the service can use them, and whether the master secret opens what is stored.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Found, Tried};
use crate::{
    config::{Config, own_uid, user_name},
    store::{Store, StoreError},
};

/// Files in folders that are looked at for their owner; a store may have many.
const LOOKED_AT_MAX: usize = 20_000;
/// Folders in folders.
const DEPTH_MAX: usize = 6;

pub(super) fn all(path: &Path, config: &Config, service_user: Option<&str>) -> Vec<Tried> {
    let mut tried = vec![Tried::new("data", store(config))];
    tried.push(Tried::new("files", owners(path, config, service_user)));
    tried
}

/// Opens a copy of what is stored, so that nothing is changed.
fn store(config: &Config) -> Found {
    let dir = config.data_dir.join("state");
    if !dir.is_dir() {
        return if config.data_dir.is_dir() {
            Found::Fine(format!("{} is empty so far", config.data_dir.display()))
        } else {
            Found::Fine(format!("{} is made by the first start", config.data_dir.display()))
        };
    }
    match Store::open_copy(&dir, &config.master.derive("state")) {
        Ok(_) => Found::Fine(format!("{} opens with the master secret", dir.display())),
        Err(StoreError::Locked { .. }) => Found::Fine(format!("{} is in use by the workmate that runs", dir.display())),
        Err(error) => Found::Fault(error.to_string()),
    }
}

/// Whose everything has to be: the unit's user, or else whoever the data or the configuration belongs to.
fn owners(path: &Path, config: &Config, service_user: Option<&str>) -> Found {
    let owner_of = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.uid());
    let Some(own) = own_uid() else { return Found::Open("not tried: there is no /proc here".to_owned()) };
    let by_data = owner_of(&config.data_dir).or_else(|| owner_of(path)).unwrap_or(own);
    let user = service_user.map_or_else(|| user_name(by_data), ToOwned::to_owned);
    let (mut foreign, mut left, mut names) = (Vec::new(), LOOKED_AT_MAX, Names::new());
    for folder in [path.parent().unwrap_or(Path::new(".")), &config.data_dir] {
        strangers(folder, &user, DEPTH_MAX, (&mut left, &mut names), &mut foreign);
    }
    if let Some(first) = foreign.first() {
        let more = if foreign.len() > 1 { format!(" and {} more", foreign.len() - 1) } else { String::new() };
        return Found::Fault(format!(
            "{}{more} cannot be used by {user}, who runs the service\n  It does not start, or fails later.\n  Mend: run `chown -R \
             {user}: {} {}`.",
            first.display(),
            path.parent().unwrap_or(Path::new(".")).display(),
            config.data_dir.display()
        ));
    }
    if own == 0 && user != "root" {
        return Found::Fine(format!("everything belongs to {user} or can be read by all; checked as root"));
    }
    Found::Fine(format!("everything belongs to {user} or can be read by all"))
}

/// The names of users that were looked up; they are in a file.
type Names = BTreeMap<u32, String>;

/// Collects what belongs to another user and is closed to others: what is theirs must be ours to be read or written.
fn strangers(
    folder: &Path,
    user: &str,
    depth: usize,
    (left, names): (&mut usize, &mut Names),
    found: &mut Vec<PathBuf>,
) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let Ok(metadata) = entry.metadata() else { continue };
        if *left == 0 || metadata.is_symlink() {
            continue;
        }
        *left -= 1;
        let is_closed = metadata.mode() & 0o004 == 0;
        if is_closed && names.entry(metadata.uid()).or_insert_with_key(|uid| user_name(*uid)) != user {
            found.push(entry.path());
        } else if metadata.is_dir() && depth > 0 {
            strangers(&entry.path(), user, depth - 1, (left, names), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn op3_what_another_user_has_for_itself_is_found_and_what_all_may_read_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("a")).expect("made");
        for (name, mode) in [("open", 0o644), ("a/closed", 0o600)] {
            fs::write(dir.path().join(name), "x").expect("written");
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).expect("set");
        }
        let found_of = |user: &str| {
            let mut found = Vec::new();
            strangers(dir.path(), user, 3, (&mut 100, &mut Names::new()), &mut found);
            found
        };
        let own = user_name(own_uid().expect("there is /proc"));
        assert_eq!(found_of(&own), Vec::<PathBuf>::new());
        assert_eq!(found_of("somebody-else"), [dir.path().join("a/closed")]);
    }
}
