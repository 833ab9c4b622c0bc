//! Judges modes and owners: who else could read secrets and data, or change what coworkers are told. The files of secrets
//! themselves are judged as the configuration is read.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Check, Found, Tried, files};
use crate::{
    cli::check::{registration_file, unit::Unit},
    config::{Config, user_name},
};

/// Most files of coworkers that are looked at.
const COWORKERS_MAX: usize = 1_000;
/// Variables of a unit that hold a secret.
const SECRET: [&str; 2] = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"];

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_ENTER: u32 = 0o001;
const STICKY: u32 = 0o1000;

/// What is looked at: each path with its owner and mode, as far as it is there.
#[derive(Default)]
struct Seen {
    /// What tells coworkers what to do, and says who may command them.
    settings: Vec<Item>,
    /// Files with secrets that only root and the service need.
    environment: Vec<Item>,
    /// The data folder, and what is in it.
    data: Option<(Item, Vec<Item>)>,
    /// A variable in a unit that holds a secret.
    shown: Option<&'static str>,
}

#[derive(Clone)]
struct Item {
    path: PathBuf,
    uid: u32,
    mode: u32,
    is_dir: bool,
}

impl Item {
    fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::new(path, &metadata))
    }

    fn new(path: &Path, metadata: &Metadata) -> Self {
        Self { path: path.to_owned(), uid: metadata.uid(), mode: metadata.mode() & 0o7777, is_dir: metadata.is_dir() }
    }

    fn may_be_changed(&self) -> bool {
        self.mode & OTHERS_WRITE != 0 && !(self.is_dir && self.mode & STICKY != 0)
    }
}

pub(super) fn look(path: &Path, config: &Config, unit: &Unit) -> Tried {
    let service = files::service(path, config, unit.user.as_deref()).uid;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let coworkers = fs::read_dir(&config.coworkers_dir).into_iter().flatten().filter_map(Result::ok);
    let settings = [Some(folder.to_owned()), Some(path.to_owned()), Some(config.coworkers_dir.clone())]
        .into_iter()
        .chain([registration_file(path, config)])
        .flatten()
        .chain(coworkers.take(COWORKERS_MAX).map(|entry| entry.path()));
    let data = Item::of(&config.data_dir).map(|dir| {
        let inner = ["state", "users", "run"].iter().filter_map(|name| Item::of(&config.data_dir.join(name)));
        (dir, inner.collect())
    });
    let seen = Seen {
        settings: settings.filter_map(|path| Item::of(&path)).collect(),
        environment: unit.files.iter().filter_map(|path| Item::of(path)).collect(),
        data,
        shown: SECRET.into_iter().find(|name| unit.shown.iter().any(|shown| shown == name)),
    };
    Tried::new(Check::Secrets, judged(&seen, service))
}

fn judged(seen: &Seen, service: u32) -> Found {
    let all_data = seen.data.iter().flat_map(|(dir, inner)| std::iter::once(dir).chain(inner));
    let changed = seen.settings.iter().chain(all_data).find(|item| item.may_be_changed());
    if let Some(item) = changed {
        return Found::Fault(format!(
            "{} can be changed by everyone with an account here (mode {:04o})\n  Whoever does commands the coworkers.\n  Mend: run \
             `chmod o-w {}`.",
            item.path.display(),
            item.mode,
            item.path.display()
        ));
    }
    if let Some(item) = seen.environment.iter().find(|item| item.mode & OTHERS_READ != 0) {
        return Found::Fault(format!(
            "{} can be read by everyone with an account here (mode {:04o})\n  The unit takes its secrets from there.\n  Mend: run \
             `chmod 600 {}`; systemd reads it as root.",
            item.path.display(),
            item.mode,
            item.path.display()
        ));
    }
    if let Some(name) = seen.shown {
        return Found::Open(format!(
            "{name} stands in the unit itself, and `systemctl show` tells it everybody\n  Mend: write it to a file with mode 0600, \
             name that in EnvironmentFile=, and run `systemctl daemon-reload`."
        ));
    }
    if let Some((dir, inner)) = &seen.data
        && dir.mode & OTHERS_ENTER != 0
        && let Some(item) = inner.iter().find(|item| item.mode & (OTHERS_READ | OTHERS_ENTER) != 0)
    {
        return Found::Open(format!(
            "{} can be entered by everyone with an account here (mode {:04o})\n  Ids of people and rooms stand there unsealed.\n  \
             Mend: run `chmod 700 {}`.",
            item.path.display(),
            item.mode,
            dir.path.display()
        ));
    }
    let foreign = seen.settings.iter().find(|item| item.uid != 0 && item.uid != service);
    if let Some(item) = foreign {
        return Found::Open(format!(
            "{} belongs to {}, who is neither root nor the service's user\n  Whoever that is commands the coworkers.\n  Mend: run \
             `chown` for it, or leave it if that is meant.",
            item.path.display(),
            user_name(item.uid)
        ));
    }
    Found::Fine("nobody else may read secrets and data, or change the configuration".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str, uid: u32, mode: u32) -> Item {
        Item { path: path.into(), uid, mode, is_dir: !path.contains('.') }
    }

    #[test]
    fn op3_who_else_may_read_or_change_what_is_judged_by_modes_and_owners() {
        let sound = || Seen {
            settings: vec![item("/c", 0, 0o755), item("/c/workmate.yaml", 7, 0o644)],
            environment: vec![item("/etc/workmate.env", 0, 0o640)],
            data: Some((item("/d", 7, 0o755), vec![item("/d/state", 7, 0o700), item("/d/users", 7, 0o700)])),
            shown: None,
        };
        let setting = |one: Item| Seen { settings: vec![one], ..sound() };
        for (seen, expected) in [
            (sound(), "Fine"),
            (setting(item("/tmp", 0, 0o1777)), "Fine"),
            (
                setting(item("/c/coworkers/ci.yaml", 7, 0o666)),
                "Fault(\"/c/coworkers/ci.yaml can be changed by everyone",
            ),
            (setting(item("/c", 7, 0o777)), "Fault(\"/c can be changed by everyone"),
            (setting(item("/c/workmate.yaml", 1001, 0o600)), "Open(\"/c/workmate.yaml belongs to"),
            (
                Seen { environment: vec![item("/etc/workmate.env", 0, 0o644)], ..sound() },
                "Fault(\"/etc/workmate.env can be read by everyone",
            ),
            (Seen { shown: Some("ANTHROPIC_API_KEY"), ..sound() }, "Open(\"ANTHROPIC_API_KEY stands in the unit"),
            (
                Seen { data: Some((item("/d", 7, 0o755), vec![item("/d/users", 7, 0o755)])), ..sound() },
                "Open(\"/d/users can be entered by everyone",
            ),
            (Seen { data: Some((item("/d", 7, 0o700), vec![item("/d/users", 7, 0o755)])), ..sound() }, "Fine"),
            (Seen { data: Some((item("/d", 7, 0o777), vec![])), ..sound() }, "Fault(\"/d can be changed by everyone"),
        ] {
            let found = format!("{:?}", judged(&seen, 7));
            assert!(found.starts_with(expected), "{expected}: {found}");
            assert!(found.starts_with("Fine") || found.contains("Mend: "), "{found}");
        }
    }
}
