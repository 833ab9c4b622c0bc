//! Parsers of single values; each error says what was found, why it is wrong, and how to mend it.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Component, Path, PathBuf},
};

use ruma::{OwnedRoomOrAliasId, OwnedServerName, OwnedUserId, RoomOrAliasId, ServerName, UserId};
use url::Url;

use super::{
    fault::{Trouble, shown},
    slips::{self, Unit},
    yaml::{Node, Value},
};
use crate::core::zone::Zone;

/// Returns what a node is, in the words of a message.
pub(super) fn kind(node: &Node) -> &'static str {
    match node.value {
        Value::Null => "nothing",
        Value::Scalar { .. } => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a section",
    }
}

/// Parses any scalar as text.
pub(super) fn text(node: &Node) -> Result<String, Trouble> {
    match &node.value {
        Value::Scalar { text, .. } => Ok(text.clone()),
        _ => Err(Trouble::new(
            format!("{} where text belongs", kind(node)),
            "One value is expected here.",
            "write it on one line, in quotes where it holds `: ` or ` #`.",
        )),
    }
}

/// Like [`text`], for a value that a program reads: a word, a number, an id, an address.
pub(super) fn plain(node: &Node) -> Result<String, Trouble> {
    let text = text(node)?;
    slips::check_plain(&text)?;
    Ok(text)
}

/// Parses a time zone's IANA name.
pub(super) fn zone(node: &Node) -> Result<Zone, Trouble> {
    let name = plain(node)?;
    Zone::named(&name).ok_or_else(|| {
        Trouble::new(
            format!("{} is no time zone", shown(&name)),
            "Times of day are those of this zone, across summer time.",
            "use an IANA name such as Europe/Berlin, America/New_York or UTC.",
        )
    })
}

/// Parses text of 1 to `chars_max` characters without line breaks or other control characters.
pub(super) fn line(node: &Node, chars_max: usize) -> Result<String, Trouble> {
    let text = text(node)?.trim().to_owned();
    let chars = text.chars().count();
    if chars == 0 || chars > chars_max {
        return Err(Trouble::new(
            format!("{chars} characters long"),
            "It is shown to people where there is little room.",
            format!("use 1 to {chars_max} characters."),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Trouble::new(
            "holds a line break or control character",
            "It is shown to people on one line.",
            "write it as one line.",
        ));
    }
    Ok(text)
}

/// Parses text of at most `bytes_max` bytes on any number of lines.
pub(super) fn prose(node: &Node, bytes_max: usize) -> Result<String, Trouble> {
    let text = text(node)?.trim().to_owned();
    if text.len() > bytes_max {
        return Err(Trouble::new(
            format!("{} bytes long", text.len()),
            "It is sent with every request and paid for each time.",
            format!("shorten it to at most {bytes_max} bytes."),
        ));
    }
    Ok(text)
}

/// Parses what a coworker is to do: like [`prose`], and not blank.
pub(super) fn task(node: &Node, bytes_max: usize) -> Result<String, Trouble> {
    let text = prose(node, bytes_max)?;
    if text.is_empty() {
        return Err(Trouble::new("empty", "It would not know what to do.", "say what it should do each time."));
    }
    Ok(text)
}

/// Parses `true` or `false`.
pub(super) fn truth(node: &Node) -> Result<bool, Trouble> {
    choice(node, &[("true", true), ("false", false)]).map_err(|trouble| match text(node) {
        Ok(text) => match slips::truth_meant(&text) {
            Some(meant) => Trouble { mend: format!("write {meant}; the other choice is {}.", !meant), ..trouble },
            None => trouble,
        },
        Err(_) => trouble,
    })
}

/// Returns the value that a word stands for.
pub(super) fn choice<T: Clone>(node: &Node, choices: &[(&str, T)]) -> Result<T, Trouble> {
    let text = plain(node)?;
    choices.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone()).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let all = words.join(", ");
        let mend = match slips::nearest(&text, words) {
            Some(near) => format!("did you mean `{near}`? Use one of: {all}."),
            None => format!("use one of: {all}."),
        };
        Trouble::new(format!("{} is not a choice", shown(&text)), "Only a few words have a meaning here.", mend)
    })
}

/// Parses an integer within `bounds`; `unit` is what it counts.
pub(super) fn number<N: TryFrom<u64>>(node: &Node, bounds: RangeInclusive<u64>, unit: Unit) -> Result<N, Trouble> {
    let mend = || format!("use a whole number from {} to {}.", bounds.start(), bounds.end());
    let text = plain(node)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_negative = text.strip_prefix('-').is_some_and(is_number);
    if !is_number(&text) && !is_negative {
        let meant = slips::number_meant(&text, unit).filter(|meant| bounds.contains(meant));
        let (why, mend) = match meant {
            Some(meant) if unit == Unit::Things => ("It counts something.", format!("write {meant}, digits alone.")),
            Some(meant) => ("Its key names the unit.", format!("write {meant}, digits alone.")),
            None => ("It counts something.", mend()),
        };
        return Err(Trouble::new(format!("{} is not a whole number", shown(&text)), why, mend));
    }
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    number.and_then(|number| N::try_from(number).ok()).ok_or_else(|| {
        Trouble::new(
            format!("{} is out of bounds", shown(&text)),
            "Beyond its bounds it would harm more than it helps.",
            mend(),
        )
    })
}

/// Parses a listen address.
pub(super) fn socket(node: &Node) -> Result<SocketAddr, Trouble> {
    parse_socket(&plain(node)?)
}

/// Like [`socket`], from text.
pub(super) fn parse_socket(text: &str) -> Result<SocketAddr, Trouble> {
    text.parse().map_err(|_| {
        Trouble::new(
            format!("{} is not an address with a port", shown(text)),
            "A listener needs both, and names are not looked up here.",
            "write an IP address and a port, such as 127.0.0.1:29330 or [::1]:29330.",
        )
    })
}

/// Parses the base URL of an HTTP API; `foreign_path` is the part of the path that we append ourselves.
pub(super) fn base_url(node: &Node, foreign_path: &str) -> Result<Url, Trouble> {
    parse_base_url(&plain(node)?, foreign_path)
}

/// Like [`base_url`], from text.
pub(super) fn parse_base_url(text: &str, foreign_path: &str) -> Result<Url, Trouble> {
    let mend = "write it like https://matrix.example.org or http://127.0.0.1:8008.";
    let Ok(url) = Url::parse(text) else {
        return Err(Trouble::new("not a URL", "Calls could not be sent anywhere.", mend));
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Trouble::new("neither an http nor an https URL", "Calls go over HTTP.", mend));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Trouble::new(
            "holds a user name or password",
            "URLs are logged; a secret in one would be too.",
            "remove what stands before the `@`.",
        ));
    }
    if url.port() == Some(0) {
        return Err(Trouble::new("has port 0", "Nothing listens on port 0.", "write the port on which it answers."));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Trouble::new("holds a `?` or `#` part", "Paths are appended to it.", "end it before that part."));
    }
    let path = url.path().trim_end_matches('/');
    if !foreign_path.is_empty() && (path.ends_with(foreign_path) || path.contains(&format!("{foreign_path}/"))) {
        return Err(Trouble::new(
            format!("already holds `{foreign_path}`"),
            "Workmate appends that part itself.",
            format!("end the URL before `{foreign_path}`."),
        ));
    }
    Ok(url)
}

/// Parses a Matrix server name.
pub(super) fn server_name(node: &Node) -> Result<OwnedServerName, Trouble> {
    parse_server_name(&plain(node)?)
}

/// Like [`server_name`], from text. Rejects labels that are empty or begin or end with a hyphen.
pub(super) fn parse_server_name(text: &str) -> Result<OwnedServerName, Trouble> {
    let is_label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    let name = ServerName::parse(text).ok().filter(|name| name.is_ip_literal() || name.host().split('.').all(is_label));
    name.ok_or_else(|| {
        Trouble::new(
            format!("{} is not a server name", shown(text)),
            "It is the part after the colon in user ids, not a URL.",
            "write it like example.org.",
        )
    })
}

/// Parses a full Matrix user id.
pub(super) fn user_id(node: &Node) -> Result<OwnedUserId, Trouble> {
    let text = plain(node)?;
    UserId::parse(&text).map_err(|_| {
        Trouble::new(
            format!("{} is not a full user id", shown(&text)),
            "People are known by their full id; names and localparts can be imitated.",
            "write it with quotes, like \"@alice:example.org\".",
        )
    })
}

/// Parses a room id or alias.
pub(super) fn room_or_alias(node: &Node) -> Result<OwnedRoomOrAliasId, Trouble> {
    let text = plain(node)?;
    RoomOrAliasId::parse(&text).map_err(|_| {
        Trouble::new(
            format!("{} is neither a room id nor an alias", shown(&text)),
            "The room could not be found by it.",
            "write it with quotes, like \"#everyone:example.org\" or \"!abc:example.org\".",
        )
    })
}

/// Parses a localpart or prefix that the specification allows for new users (v1.17, appendices 4.2.1).
pub(super) fn localpart(node: &Node) -> Result<String, Trouble> {
    const LOCALPART_CHARS_MAX: usize = 64;
    let text = plain(node)?;
    let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "._=/+-".contains(char);
    if text.is_empty() || text.len() > LOCALPART_CHARS_MAX || !text.chars().all(fits) {
        return Err(Trouble::new(
            format!("{} cannot begin a user id", shown(&text)),
            "Homeservers accept only a few characters in user ids.",
            format!("use 1 to {LOCALPART_CHARS_MAX} of a-z 0-9 . _ = / + -"),
        ));
    }
    Ok(text)
}

/// Parses the appservice's id, which becomes part of a URL path.
pub(super) fn appservice_id(node: &Node) -> Result<String, Trouble> {
    const ID_CHARS_MAX: usize = 64;
    let text = plain(node)?;
    let fits = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    if text.is_empty() || text.len() > ID_CHARS_MAX || !text.chars().all(fits) {
        return Err(Trouble::new(
            format!("{} is not an appservice id", shown(&text)),
            "The homeserver knows the appservice by it, and it is part of a URL.",
            format!("use 1 to {ID_CHARS_MAX} of A-Z a-z 0-9 . _ -"),
        ));
    }
    Ok(text)
}

/// Parses a model id; only the API knows which exist.
pub(super) fn model(node: &Node) -> Result<String, Trouble> {
    const MODEL_CHARS_MAX: usize = 128;
    let text = plain(node)?;
    if text.is_empty() || text.len() > MODEL_CHARS_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Trouble::new(
            format!("{} is not a model's name", shown(&text)),
            "The Messages API would refuse every call.",
            "use a model id such as claude-opus-5-5.",
        ));
    }
    Ok(text)
}

/// Parses a path; a relative one starts in `base`, the folder of the file that contains it.
pub(super) fn path(node: &Node, base: &Path) -> Result<PathBuf, Trouble> {
    let text = plain(node)?;
    if text.is_empty() {
        return Err(Trouble::new("not a path", "A file or folder is expected.", "write its path."));
    }
    match slips::unexpanded(&text) {
        Some(trouble) => Err(trouble),
        None => Ok(below(base, &text)),
    }
}

/// Returns a path that starts in `base`, without the steps down and up again that people would stumble over. Through a
/// link, a step up leads elsewhere, so it stays.
pub(super) fn below(base: &Path, path: &str) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in base.join(path).components() {
        let is_step = matches!(tidy.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::ParentDir if is_step && !tidy.is_symlink() => {
                tidy.pop();
            }
            part => tidy.push(part),
        }
    }
    tidy
}
