//! `config/coworkers/*.yaml`: one coworker for each file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    AcceptInvites, Appservice, Coworker, Homeserver, ReplyIn, budgets,
    claude::EFFORTS,
    fault::{Fault, Faults, Trouble, shown},
    file::{mend_of, read_yaml},
    grants::{self, Known},
    keys::{COWORKER, NAME_CHARS_MAX, PURPOSE_CHARS_MAX, home_of},
    owner::whose_if_denied,
    schedules,
    secrets::reason,
    section::Section,
    unasked, value,
    workspace::{INSTRUCTIONS_BYTES_MAX, folder_of},
    yaml::Node,
};
use crate::core::{asker::Reads, people::CoworkerId};

/// Most coworkers in a workspace.
const COWORKERS_MAX: usize = 100;
/// Most characters of an id; the user id also contains the prefix and the server's name.
const ID_CHARS_MAX: usize = 32;
/// Most bytes of an avatar file; homeservers accept more, but clients load it for every message.
const AVATAR_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a user id (specification v1.17, appendices 4.2.1).
const USER_ID_BYTES_MAX: usize = 255;

/// Consequence and remedy of an unreadable file.
const MISSING: (&str, &str) =
    ("Its coworker would be missing.", "let the user that runs Workmate read it, or move it out of the folder.");

/// Loads every coworker's file in `dir`, sorted by id. A coworker whose file has faults is left out, and the faults go
/// to `of_files`; faults of the folder itself go to `faults`, and what is perhaps meant to be a file to `warnings`.
pub(super) fn load(
    dir: &Path,
    reachable: &Known<'_>,
    faults: &mut Faults,
    (of_files, warnings): (&mut Faults, &mut Faults),
) -> Vec<Arc<Coworker>> {
    let mut coworkers: Vec<(PathBuf, Coworker)> = Vec::new();
    for file in files_of(dir, faults, warnings) {
        let Some(root) = read_yaml(&file, MISSING, of_files) else { continue };
        if let Some(coworker) = coworker(&file, &root, reachable, of_files) {
            coworkers.push((file, coworker));
        }
    }
    check_names_differ(&coworkers, of_files);
    unasked::check_hook_names(&coworkers, of_files);
    coworkers.retain(|(file, _)| !of_files.as_slice().iter().any(|fault| fault.file == *file));
    coworkers.into_iter().map(|(_, coworker)| Arc::new(coworker)).collect()
}

/// Reports coworkers whose full user id would be too long for Matrix.
pub(super) fn check_user_ids(
    coworkers: &[Arc<Coworker>],
    dir: &Path,
    homeserver: &Homeserver,
    appservice: &Appservice,
    faults: &mut Faults,
) {
    for coworker in coworkers {
        let bytes = 2 + appservice.coworker_prefix.len() + coworker.id.0.len() + homeserver.server_name.as_str().len();
        if bytes > USER_ID_BYTES_MAX {
            faults.push(Fault {
                file: dir.join(format!("{}.yaml", coworker.id.0)),
                line: None,
                key: "id".to_owned(),
                what: format!("makes a user id of {bytes} bytes"),
                why: format!("Matrix allows {USER_ID_BYTES_MAX}."),
                mend: "shorten the id or appservice.coworker_prefix.".to_owned(),
            });
        }
    }
}

fn files_of(dir: &Path, faults: &mut Faults, warnings: &mut Faults) -> Vec<PathBuf> {
    let mut whole = |what: String, why: &str, mend: &str| {
        let (why, mend) = (why.to_owned(), mend.to_owned());
        faults.push(Fault { file: dir.to_owned(), line: None, key: String::new(), what, why, mend });
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            whole(
                format!("cannot be read: {}{}", reason(&error), whose_if_denied(dir, &error)),
                "The coworkers are described there, one in each file.",
                mend_of(dir, &error).unwrap_or("create the folder, or correct coworkers_dir."),
            );
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().unwrap_or_default();
        let is_one = !name.starts_with('.') && (extension == "yaml" || extension == "yml");
        if !is_one && is_misnamed(&name) {
            warnings.push(Fault {
                file: path.clone(),
                line: None,
                key: String::new(),
                what: "not read, because of its name".to_owned(),
                why: "Only files called <id>.yaml are coworkers.".to_owned(),
                mend: "rename it, or move it out of the folder.".to_owned(),
            });
        }
        is_one
    });
    if files.len() > COWORKERS_MAX {
        whole(
            format!("holds {} coworkers", files.len()),
            "Each keeps a client open and is synced.",
            &format!("keep at most {COWORKERS_MAX} files there."),
        );
        files.truncate(COWORKERS_MAX);
    }
    files
}

/// Returns whether a file's name is that of a coworker's file but for its ending.
fn is_misnamed(name: &str) -> bool {
    let name = name.to_lowercase();
    let name = name.strip_suffix(".txt").unwrap_or(&name);
    let is_other = name.starts_with('.') || name.ends_with(".schema.json");
    !is_other && [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
}

pub(super) fn coworker(file: &Path, root: &Node, reachable: &Known<'_>, faults: &mut Faults) -> Option<Coworker> {
    let section = Section::root(file, root, (&COWORKER, home_of), faults);
    let id = section.need("id", ("Its user id is made of it.", "set it to the file's name without .yaml."), faults, id);
    check_file_name(&section, id.as_ref(), faults);
    let name = section.need("name", ("People see it in the member list.", "set it to a short name."), faults, |node| {
        value::line(node, NAME_CHARS_MAX)
    });
    let purpose = section.need(
        "purpose",
        ("It tells people what to ask it for.", "say in one line what it is for."),
        faults,
        |node| value::line(node, PURPOSE_CHARS_MAX),
    );
    let instructions = section.need(
        "instructions",
        ("Without them it does not know its work.", "say what it does, in what form, and what it leaves alone."),
        faults,
        |node| value::prose(node, INSTRUCTIONS_BYTES_MAX),
    );
    let model = section.get("model", faults, value::model);
    let effort = section.choice("effort", faults, &EFFORTS);
    let places = [("thread", ReplyIn::Thread), ("timeline", ReplyIn::Timeline)];
    let reply_in = section.choice("reply_in", faults, &places);
    let accept_invites_from = accept_invites(&section, faults);
    let avatar = section.get("avatar", faults, |node| avatar(node, folder_of(file)));
    let budget_usd_month = section.get("budget_usd_month", faults, budgets::dollars);
    let silent_join = section.truth("silent_join", faults);
    let history = [("asker", Reads::AsAsker), ("room", Reads::Room)];
    let reads = section.choice("history", faults, &history);
    let tools = grants::read(&section, reachable, faults);
    let hooks = unasked::hooks(&section, reachable, faults);
    let watches = unasked::watches(&section, faults);
    let schedules = schedules::read(&section, faults);
    Some(Coworker {
        id: id?,
        name: name?,
        purpose: purpose?,
        instructions: instructions?,
        model,
        effort,
        reply_in: reply_in.unwrap_or(ReplyIn::Thread),
        accept_invites_from,
        avatar,
        silent_join,
        budget_usd_month,
        reads: reads.unwrap_or_default(),
        tools,
        hooks,
        watches,
        schedules,
    })
}

fn id(node: &Node) -> Result<CoworkerId, Trouble> {
    let id = value::text(node)?;
    if id.len() > ID_CHARS_MAX || !CoworkerId::is_one(&id) {
        return Err(Trouble::new(
            format!("{} is not a coworker's id", shown(&id)),
            "It becomes part of a Matrix user id.",
            format!("use 1 to {ID_CHARS_MAX} of a-z 0-9 _ -"),
        ));
    }
    Ok(CoworkerId(id))
}

/// The file's name must be the id, which also prevents duplicate ids.
fn check_file_name(section: &Section<'_>, id: Option<&CoworkerId>, faults: &mut Faults) {
    let name = section.file().file_name().unwrap_or_default().to_string_lossy();
    let Some(id) = id else { return };
    let right = format!("{}.yaml", id.0);
    if name != right {
        let mend = if section.file().with_file_name(&right).exists() {
            format!("there is a {right} already: give this one an id of its own, that of its name, or remove it.")
        } else {
            format!("rename the file to {right}, or correct the id.")
        };
        let trouble = Trouble::new(
            format!("\"{}\" does not match the file's name", id.0),
            "Each id has one file of that name, so that no id can be given twice.",
            mend,
        );
        section.report("id", trouble, faults);
    }
}

fn accept_invites(section: &Section<'_>, faults: &mut Faults) -> AcceptInvites {
    const KEY: &str = "accept_invites_from";
    if section.has_list(KEY) {
        let people: BTreeSet<_> = section.list(KEY, faults, value::user_id).into_iter().collect();
        return AcceptInvites::Only(people);
    }
    section
        .get(KEY, faults, |node| {
            value::choice(node, &[("members", AcceptInvites::Members)]).map_err(|trouble| Trouble {
                mend: "write `members`, or a list of full user ids: [\"@alice:example.org\"].".to_owned(),
                ..trouble
            })
        })
        .unwrap_or(AcceptInvites::Members)
}

fn avatar(node: &Node, base: &Path) -> Result<PathBuf, Trouble> {
    let path = value::path(node, base)?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    if !["png", "jpg", "jpeg", "webp", "gif"].contains(&extension.as_str()) {
        return Err(Trouble::new(
            format!("{} is no image by its name", path.display()),
            "Clients show only images.",
            "use a .png, .jpg, .jpeg, .webp or .gif file.",
        ));
    }
    let fits = fs::metadata(&path).map(|metadata| metadata.is_file() && metadata.len() <= AVATAR_BYTES_MAX);
    match fits {
        Ok(true) => Ok(path),
        Ok(false) => Err(Trouble::new(
            format!("{} is not a file of at most {AVATAR_BYTES_MAX} bytes", path.display()),
            "Clients load it beside every message.",
            "use a smaller image.",
        )),
        Err(error) => Err(Trouble::new(
            format!("{} cannot be read: {}", path.display(), reason(&error)),
            "The coworker would have no avatar.",
            "correct the path, or remove the line to have one drawn.",
        )),
    }
}

/// Two coworkers must not share a name, because people mention them by name too.
fn check_names_differ(coworkers: &[(PathBuf, Coworker)], faults: &mut Faults) {
    let mut seen: BTreeMap<String, &Path> = BTreeMap::new();
    let has_fault = |file: &Path| faults.as_slice().iter().any(|fault| fault.file == file);
    let mut all: Vec<_> = coworkers.iter().collect();
    // A copied file must not claim the name of its original.
    all.sort_by_key(|(file, coworker)| (has_fault(file), coworker.name.to_lowercase() != coworker.id.0));
    for (file, coworker) in all {
        if let Some(first) = seen.insert(coworker.name.to_lowercase(), file) {
            faults.push(Fault {
                file: file.clone(),
                line: None,
                key: "name".to_owned(),
                what: format!("{} is also the name in {}", shown(&coworker.name), first.display()),
                why: "People could not tell the two apart.".to_owned(),
                mend: "give each a name of its own.".to_owned(),
            });
        }
    }
}
