//! Checks files: whether the service's user can use them, whether the master secret opens the store, and whether that is
//! whole.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

use super::{Check, Found, Tried};
use crate::{
    config::{Account, Config, own_uid},
    engine::{at_socket, door_of, too_full_to_start, try_data_dir},
    store::{Store, StoreError},
};

/// Most files whose owner is checked; a store may have many.
const LOOKED_AT_MAX: usize = 20_000;
/// Depth of nested folders that are checked.
const DEPTH_MAX: usize = 6;

/// Whose everything has to be: the unit's user, or else whoever the data or the configuration belongs to.
pub(super) fn service(path: &Path, config: &Config, named: Option<&str>) -> Account {
    let owner_of = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.uid());
    let own = own_uid().filter(|uid| *uid != 0);
    let by_data = || owner_of(&config.data_dir).or_else(|| owner_of(path)).or_else(own_uid).unwrap_or_default();
    named.and_then(user).unwrap_or_else(|| Account::numbered(own.unwrap_or_else(by_data)))
}

/// Looks up a unit's `User=`, a name or a number.
fn user(named: &str) -> Option<Account> {
    Account::named(named).or_else(|| named.parse().ok().map(Account::numbered))
}

/// Tests the data folder as a start does.
pub(super) fn data(path: &Path, config: &Config, service_user: Option<&str>) -> Tried {
    let (dir, service) = (&config.data_dir, service(path, config, service_user));
    let is_another = own_uid() == Some(0) && service.uid != 0;
    let found = if let Some(reason) = too_full_to_start(dir) {
        Found::Fault(reason)
    } else if let Err(error) = try_data_dir(dir, Some(&service).filter(|_| is_another)) {
        Found::Fault(error.to_string())
    } else if is_begun(dir) {
        Found::Fine(format!("{} can be written", dir.display()))
    } else {
        let is = if dir.is_dir() { "can be written, and is empty so far" } else { "can be made by the first start" };
        Found::Fine(format!("{} {is}", dir.display()))
    };
    Tried::new(Check::Data, found)
}

/// Returns whether there is a store; a folder that was created beforehand contains none yet.
fn is_begun(dir: &Path) -> bool {
    dir.join("state/db").exists()
}

/// Opens a copy of the store and reads all of it, so that nothing is changed; `None` before the first start.
pub(super) fn store(config: &Config) -> Option<Tried> {
    let dir = &config.data_dir;
    if !is_begun(dir) {
        return None;
    }
    let state = dir.join("state");
    let shown = state.display().to_string();
    let found = match Store::open_copy(&state, &config.master.derive("state")) {
        Ok((store, copy)) => match store.verify() {
            Ok(records) => {
                Found::Fine(format!("{shown} opens with the master secret; all {records} records are whole"))
            }
            // Name the store's path; the copy's means nothing to the reader.
            Err(error) => Found::Fault(error.to_string().replace(&copy.path().display().to_string(), &shown)),
        },
        Err(StoreError::Locked { .. }) if is_served(dir) => {
            Found::Fine(format!("{shown} is in use by the workmate that runs, whose condition `store` tells how it is"))
        }
        // The process that holds it serves nobody here, so a start would fail in the same way.
        Err(error) => Found::Fault(error.to_string()),
    };
    Some(Tried::new(Check::Store, found))
}

/// Returns whether a Workmate serves from this folder, by its control socket.
fn is_served(dir: &Path) -> bool {
    match at_socket(&door_of(dir), |path| UnixStream::connect(path)) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

pub(super) fn owners(path: &Path, config: &Config, service_user: Option<&str>) -> Tried {
    Tried::new(Check::Files, owned(path, config, &service(path, config, service_user)))
}

fn owned(path: &Path, config: &Config, service: &Account) -> Found {
    let Some(own) = own_uid() else { return Found::Open("not tried: there is no /proc here".to_owned()) };
    let (user, folder) = (&service.name, path.parent().unwrap_or(Path::new(".")));
    let (mut foreign, mut left) = (Vec::new(), LOOKED_AT_MAX);
    strangers(folder, service, READ, DEPTH_MAX, &mut left, &mut foreign);
    strangers(&config.data_dir, service, WRITE, DEPTH_MAX, &mut left, &mut foreign);
    if let Some(first) = foreign.first() {
        let more = if foreign.len() > 1 { format!(" and {} more", foreign.len() - 1) } else { String::new() };
        return Found::Fault(format!(
            "{}{more} cannot be used by {user}, who runs the service\n  It does not start, or fails later.\n  Mend: run `chown -R \
             {user}: {} {}`.",
            first.display(),
            folder.display(),
            config.data_dir.display()
        ));
    }
    let as_root = if own == 0 && service.uid != 0 { "; checked as root" } else { "" };
    Found::Fine(format!("by owners and modes, {user} may read the configuration and write the data{as_root}"))
}

/// The access that a file needs: reading only, or writing too.
const READ: u32 = 0o4;
const WRITE: u32 = 0o6;

/// Collects the files to which a user lacks the needed access.
fn strangers(folder: &Path, user: &Account, wanted: u32, depth: usize, left: &mut usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let Ok(metadata) = entry.metadata() else { continue };
        if *left == 0 || metadata.is_symlink() {
            continue;
        }
        *left -= 1;
        let wanted_here = if metadata.is_dir() { wanted | 0o1 } else { wanted };
        if !user.may(metadata.uid(), metadata.gid(), metadata.mode(), wanted_here) {
            found.push(entry.path());
        } else if metadata.is_dir() && depth > 0 {
            strangers(&entry.path(), user, wanted, depth - 1, left, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn op3_what_the_service_s_user_cannot_read_or_write_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("a")).expect("made");
        fs::set_permissions(dir.path().join("a"), fs::Permissions::from_mode(0o755)).expect("set");
        for (name, mode) in [("open", 0o644), ("a/closed", 0o600)] {
            fs::write(dir.path().join(name), "x").expect("written");
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).expect("set");
        }
        let own = fs::metadata(dir.path()).expect("there").uid();
        let found_of = |uid: u32, wanted: u32| {
            let user = Account { name: "someone".to_owned(), uid, gids: Vec::new() };
            let mut found = Vec::new();
            strangers(dir.path(), &user, wanted, 3, &mut 100, &mut found);
            found.sort();
            found
        };
        assert_eq!([found_of(own, READ), found_of(own, WRITE)], [Vec::<PathBuf>::new(), Vec::new()]);
        assert_eq!(found_of(own + 1, READ), [dir.path().join("a/closed")]);
        // A store needs write access, even if it can be read.
        assert_eq!(found_of(own + 1, WRITE), ["a", "open"].map(|name| dir.path().join(name)));
    }
}
