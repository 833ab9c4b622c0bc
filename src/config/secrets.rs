//! Secrets, each given as a value, a file or an environment variable.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{
    Env,
    fault::{Faults, Trouble},
    owner::whose_if_denied,
    section::Section,
    value,
};
use crate::{
    core::reach::without_number,
    secret::{MasterSecret, Secret},
};

/// Most bytes of a secret's file.
const SECRET_BYTES_MAX: u64 = 4 << 10;
/// Fewest characters of a token; `init` writes 43.
const TOKEN_CHARS_MIN: usize = 16;

/// The result of looking for a secret.
pub(super) enum Found {
    /// No form of it is configured.
    Absent,
    /// It has a fault, which was reported.
    Faulty,
    /// It was found.
    Given(Secret),
}

/// Where secrets may come from.
pub(super) struct Sources<'a> {
    pub(super) base: &'a Path,
    pub(super) env: Env<'a>,
}

impl Sources<'_> {
    /// Finds the secret `name` in `section`, given as `name`, `name_file` or `name_env`, which is sent in a header.
    pub(super) fn secret(&self, section: &Section<'_>, name: &str, faults: &mut Faults) -> Found {
        self.secret_as(section, name, checked, faults)
    }

    /// Like [`Self::secret`], for one of which `check` says what it may hold.
    pub(super) fn secret_as(
        &self,
        section: &Section<'_>,
        name: &str,
        check: impl Fn(&str) -> Result<Secret, Trouble>,
        faults: &mut Faults,
    ) -> Found {
        let (file, variable) = (format!("{name}_file"), format!("{name}_env"));
        let given: Vec<&str> = [name, &file, &variable].into_iter().filter(|key| section.has(key)).collect();
        let read = match given.as_slice() {
            [] => return Found::Absent,
            [key] if *key == file => section.get(key, faults, |node| read_file(&value::path(node, self.base)?)),
            [key] if *key == variable => section.get(key, faults, |node| self.read_env(&value::text(node)?)),
            [key] => section.get(key, faults, value::text),
            [first, second, ..] => {
                let trouble = Trouble::new(
                    "given in more than one form",
                    format!("`{first}` is set as well, and only one of them can count."),
                    format!("keep one of {name}, {name}_file and {name}_env."),
                );
                section.report(second, trouble, faults);
                None
            }
        };
        let Some(text) = read else { return Found::Faulty };
        match check(text.trim()) {
            Ok(secret) => Found::Given(secret),
            Err(trouble) => {
                section.report(given[0], trouble, faults);
                Found::Faulty
            }
        }
    }

    /// Like [`Self::secret`], for a required token that must be hard to guess.
    pub(super) fn token(&self, section: &Section<'_>, name: &str, why: &str, faults: &mut Faults) -> Option<Secret> {
        let secret = match self.secret(section, name, faults) {
            Found::Given(secret) => secret,
            Found::Faulty => return None,
            Found::Absent => {
                let mend = format!("run `workmate init`, or set appservice.{name}_file.");
                section.report(name, Trouble::new("missing", why, mend), faults);
                return None;
            }
        };
        if secret.expose().chars().count() < TOKEN_CHARS_MIN {
            let key = [name.to_owned(), format!("{name}_file"), format!("{name}_env")];
            let key = key.iter().find(|key| section.has(key)).map_or(name, String::as_str);
            let trouble = Trouble::new(
                format!("shorter than {TOKEN_CHARS_MIN} characters"),
                "Whoever guesses it speaks for every virtual user.",
                "use a fresh random token; `workmate init` writes one.",
            );
            section.report(key, trouble, faults);
            return None;
        }
        Some(secret)
    }

    /// Returns the file that holds the secret `name`, if one does.
    pub(super) fn file_of(&self, section: &Section<'_>, name: &str) -> Option<PathBuf> {
        section.get(&format!("{name}_file"), &mut Faults::default(), |node| value::path(node, self.base))
    }

    /// Finds the token before the present one of this name: in a file beside the present one's, which `workmate
    /// rotate-tokens` leaves there.
    pub(super) fn before(&self, section: &Section<'_>, name: &str, faults: &mut Faults) -> Option<Secret> {
        let path = previous(&self.file_of(section, name)?);
        if !path.exists() {
            return None;
        }
        match read_file(&path).and_then(|text| checked(text.trim())) {
            Ok(secret) => Some(secret),
            Err(trouble) => {
                section.report(&format!("{name}_file"), trouble, faults);
                None
            }
        }
    }

    /// Finds the master secret; refused as a value, because config files get copied and this secret must not be.
    pub(super) fn master(&self, root: &Section<'_>, faults: &mut Faults) -> Option<MasterSecret> {
        const NAME: &str = "master_secret";
        if root.has(NAME) {
            let trouble = Trouble::new(
                "given as a value",
                "It opens every stored key, and a config file is copied, shown and put under version control.",
                "put it into a file of its own with mode 0600 and set master_secret_file.",
            );
            root.report(NAME, trouble, faults);
            return None;
        }
        let secret = match self.secret(root, NAME, faults) {
            Found::Given(secret) => secret,
            Found::Faulty => return None,
            Found::Absent => {
                let trouble = Trouble::new(
                    "missing",
                    "Stores are encrypted and lost devices recovered with keys derived from it.",
                    "run `workmate init`, or set master_secret_file.",
                );
                root.report("master_secret_file", trouble, faults);
                return None;
            }
        };
        let master = MasterSecret::decode(secret.expose());
        if master.is_none() {
            let key = if root.has("master_secret_env") { "master_secret_env" } else { "master_secret_file" };
            let trouble = Trouble::new(
                "not 32 bytes of base64url",
                "Every key is derived from exactly these bytes, so a damaged copy opens nothing.",
                "restore it from your backup; for a new installation `workmate init` writes one.",
            );
            root.report(key, trouble, faults);
        }
        master
    }

    fn read_env(&self, name: &str) -> Result<String, Trouble> {
        (self.env)(name).filter(|value| !value.trim().is_empty()).ok_or_else(|| {
            let is_reference = name.contains(['$', '{', '}', '%']);
            let mend = if is_reference {
                "write the variable's name alone: its letters, without `$` and braces."
            } else {
                "set it for the process, or use the `_file` form."
            };
            Trouble::new(
                format!("the environment variable {} is not set", super::fault::shown(name)),
                "The config names it as the place of this secret.",
                mend,
            )
        })
    }
}

/// Returns where the token before the one in `file` is.
#[must_use]
pub fn previous(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".previous");
    name.into()
}

/// Reads a token's file.
pub(super) fn read_token(path: &Path) -> Result<Secret, String> {
    let faulty = |trouble: Trouble| format!("{}\n  {}\n  Mend: {}", trouble.what, trouble.why, trouble.mend);
    let secret = read_file(path).and_then(|text| checked(text.trim())).map_err(faulty)?;
    if secret.expose().chars().count() < TOKEN_CHARS_MIN {
        return Err(format!("{}: shorter than {TOKEN_CHARS_MIN} characters", path.display()));
    }
    Ok(secret)
}

/// Checks a secret that may have to sign a call or to be a password: any text on one line.
pub(super) fn on_one_line(text: &str) -> Result<Secret, Trouble> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err(Trouble::new(
            "empty, or more than one line",
            "It would not be the text that the other side knows.",
            "copy it again, as one line.",
        ));
    }
    Ok(Secret::new(text))
}

/// Checks that a secret can be sent in a header.
pub(super) fn checked(text: &str) -> Result<Secret, Trouble> {
    if let Some(trouble) = wrapped(text) {
        return Err(trouble);
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Trouble::new(
            "empty, or holds blanks or characters outside ASCII",
            "It is sent in an HTTP header, which cannot carry that.",
            "copy it again, as one word.",
        ));
    }
    Ok(Secret::new(text))
}

/// Returns the trouble with a secret that was copied with what stood around it: quotes, or a shell's assignment.
fn wrapped(text: &str) -> Option<Trouble> {
    let is_quoted =
        ['"', '\'', '`'].iter().any(|quote| text.len() > 1 && text.starts_with(*quote) && text.ends_with(*quote));
    if is_quoted {
        return Some(Trouble::new(
            "stands in quotes",
            "They would be sent as a part of it.",
            "write it without the quotes.",
        ));
    }
    let (name, value) = text.trim_start_matches("export ").split_once('=')?;
    let is_name = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    let is_assignment = name.contains('_') && name.chars().all(is_name) && !value.trim_matches('=').is_empty();
    is_assignment.then(|| {
        Trouble::new(
            "begins with a variable's name and `=`",
            "The whole line would be sent.",
            "write only what stands behind the `=`.",
        )
    })
}

/// Reads a secret's file, which only its owner may be able to read.
fn read_file(path: &Path) -> Result<String, Trouble> {
    let unreadable = |error: std::io::Error| {
        let whose = whose_if_denied(path, &error);
        let mend = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "run this as the user that the file belongs to (e.g. with `sudo -u workmate`), or give the file to the one \
                 that runs workmate with `chown`."
            }
            std::io::ErrorKind::NotFound => {
                "correct the path, or put the secret there, readable by its owner alone (mode 0600). Workmate's own are \
                 written by `workmate init`."
            }
            _ => "look at the file, or correct the path.",
        };
        let what = format!("{} cannot be read: {}{whose}", path.display(), reason(&error));
        Trouble::new(what, "The config names it as the place of this secret.", mend)
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > SECRET_BYTES_MAX {
        let what = if metadata.is_file() {
            format!("{} is longer than {SECRET_BYTES_MAX} bytes", path.display())
        } else {
            format!("{} is {}, not a file", path.display(), kind_of(&metadata))
        };
        return Err(Trouble::new(what, "A secret's file holds the secret and nothing else.", "correct the path."));
    }
    if let Some(mode) = mode_for_others(&metadata) {
        return Err(Trouble::new(
            format!("{} can be read by others (mode {mode:04o})", path.display()),
            "Everyone with an account on this machine could take it.",
            format!("run `chmod 600 {}`.", path.display()),
        ));
    }
    let mut text = String::new();
    fs::File::open(path).and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text)).map_err(unreadable)?;
    Ok(text)
}

/// Returns the file's mode if it grants group or others anything.
#[cfg(unix)]
pub(super) fn mode_for_others(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Returns `None`: this system has no such modes.
#[cfg(not(unix))]
pub(super) fn mode_for_others(_: &fs::Metadata) -> Option<u32> {
    None
}

/// The text about a circular link.
pub(super) const LOOP: &str = "it is a link that leads back to itself";

/// Describes what is at a path in place of a file.
pub(super) fn kind_of(metadata: &fs::Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Describes an IO error in plain words, without its number.
#[must_use]
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "the address is in use".to_owned(),
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        std::io::ErrorKind::NotADirectory => "it, or a part of its path, is no folder".to_owned(),
        std::io::ErrorKind::InvalidFilename => "its name is too long".to_owned(),
        std::io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        std::io::ErrorKind::ReadOnlyFilesystem => "the disk can only be read".to_owned(),
        _ if error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32) => LOOP.to_owned(),
        _ => without_number(&error.to_string()).to_owned(),
    }
}
