//! `credentials:` and `mcp_servers:`, which tools are built from.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::{
    fault::{Faults, Trouble, shown},
    secrets::{self, Found, Sources},
    section::Section,
    slips::unexpanded,
    value,
    yaml::Node,
};
use crate::{
    core::tool::{SERVER_SEPARATOR, Server, Setting, Transport, built_in},
    secret::Secret,
};

/// Most MCP servers in a workspace; each is a process or a connection.
const SERVERS_MAX: usize = 32;
/// Most credentials in a workspace; all output is searched for them.
const CREDENTIALS_MAX: usize = 100;
/// Most characters of a server's or credential's name; a server's name begins its tools' names, which have at most 64.
const NAME_CHARS_MAX: usize = 24;
/// Most words of a command, and most settings of a server.
pub(super) const WORDS_MAX: usize = 64;
/// Most characters of each.
const WORD_CHARS_MAX: usize = 4_096;

/// The credentials that tools and webhooks may name.
#[derive(Default)]
pub(super) struct Credentials {
    given: BTreeMap<String, Secret>,
    /// Those whose fault was reported where they stand, so that it is not reported again where they are named.
    faulty: BTreeSet<String>,
}

impl Credentials {
    /// Parses `credentials:`: each a name with the secret as `value_file`, `value_env` or `value`.
    pub(super) fn read(root: &Section<'_>, sources: &Sources<'_>, faults: &mut Faults) -> Self {
        let section = root.section("credentials", faults);
        let mut read = Self::default();
        for name in names_of(root, &section, ("credentials", CREDENTIALS_MAX), faults) {
            let one = section.section(name, faults);
            match sources.secret_as(&one, "value", secrets::on_one_line, faults) {
                Found::Given(secret) => {
                    read.given.insert(name.to_owned(), secret);
                    continue;
                }
                Found::Faulty => {}
                Found::Absent => one.report(
                    "value_file",
                    Trouble::new("missing", "The credential is empty without it.", "set value_file or value_env."),
                    faults,
                ),
            }
            read.faulty.insert(name.to_owned());
        }
        read
    }

    /// Returns a credential; `None` if there is none of that name, or it has a fault.
    pub(super) fn get(&self, label: &str) -> Option<&Secret> {
        self.given.get(label)
    }

    /// Parses the name of a credential.
    pub(super) fn label(&self, node: &Node) -> Result<String, Trouble> {
        let label = value::text(node)?;
        if self.given.contains_key(&label) || self.faulty.contains(&label) {
            return Ok(label);
        }
        let known: Vec<&str> = self.given.keys().chain(&self.faulty).map(String::as_str).collect();
        let known =
            if known.is_empty() { "there are none yet".to_owned() } else { format!("known: {}", known.join(", ")) };
        Err(Trouble::new(
            format!("{} is no credential", shown(&label)),
            "Tools and webhooks get secrets by the names under `credentials` in workmate.yaml.",
            format!("add it there, or correct the name; {known}."),
        ))
    }

    /// Like [`Self::label`], for one that is sent in a header.
    pub(super) fn label_for_header(&self, node: &Node) -> Result<String, Trouble> {
        let label = self.label(node)?;
        match self.get(&label).map(|secret| secrets::checked(secret.expose())) {
            Some(Err(trouble)) => Err(trouble),
            _ => Ok(label),
        }
    }

    /// Returns all of them by name.
    pub(super) fn into_given(self) -> BTreeMap<String, Secret> {
        self.given
    }
}

/// Parses `mcp_servers:`.
pub(super) fn servers(root: &Section<'_>, credentials: &Credentials, faults: &mut Faults) -> Vec<Server> {
    let section = root.section("mcp_servers", faults);
    let names = names_of(root, &section, ("mcp_servers", SERVERS_MAX), faults);
    let read = names.into_iter().filter_map(|name| {
        let one = section.section(name, faults);
        let transport = transport(&one, credentials, faults)?;
        Some(Server { name: name.to_owned(), transport })
    });
    read.collect()
}

fn transport(one: &Section<'_>, credentials: &Credentials, faults: &mut Faults) -> Option<Transport> {
    match (one.has("command"), one.has("url")) {
        (true, false) => {
            let command = one.list("command", faults, word);
            let env = settings(one, "env", credentials, faults);
            if one.has("headers") {
                one.report("headers", only_for("url"), faults);
            }
            if let Some(trouble) = command.first().and_then(|program| unexpanded(program)) {
                one.report("command", trouble, faults);
                return None;
            }
            if command.is_empty() || command.len() > WORDS_MAX {
                let trouble = Trouble::new(
                    format!("a command of {} words", command.len()),
                    "The server could not be started.",
                    format!("write the program and its arguments as a list of 1 to {WORDS_MAX} words."),
                );
                one.report("command", trouble, faults);
                return None;
            }
            Some(Transport::Stdio { command, env })
        }
        (false, true) => {
            let url: Option<Url> = one.get("url", faults, |node| value::base_url(node, ""));
            let headers = settings(one, "headers", credentials, faults);
            if one.has("env") {
                one.report("env", only_for("command"), faults);
            }
            Some(Transport::Http { url: url?, headers })
        }
        (both, _) => {
            let what = if both { "`command` and `url` at once" } else { "neither `command` nor `url`" };
            let trouble = Trouble::new(
                what,
                "A server is either a program that Workmate starts, or an address that it calls.",
                "keep one: `command: [program, argument]` or `url: https://…`.",
            );
            one.report("", trouble, faults);
            None
        }
    }
}

fn only_for(key: &str) -> Trouble {
    Trouble::new(
        format!("set without `{key}`"),
        "It has no meaning for this kind of server.",
        format!("remove it, or use `{key}`."),
    )
}

/// Parses environment variables or headers: text, or `{credential: name}`.
fn settings(one: &Section<'_>, key: &str, credentials: &Credentials, faults: &mut Faults) -> BTreeMap<String, Setting> {
    let section = one.section(key, faults);
    let mut settings = BTreeMap::new();
    for name in section.keys() {
        let letters = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
        if name.is_empty() || name.len() > WORDS_MAX || !name.chars().all(letters) {
            let trouble = Trouble::new(
                format!("{} cannot be the name of a variable or header", shown(name)),
                "It is handed on as it stands.",
                "use letters, digits, _ and -.",
            );
            section.report(name, trouble, faults);
        } else if section.has_section(name) {
            let inner = section.section(name, faults);
            let credential = inner.need(
                "credential",
                ("The value is taken from `credentials`.", "name one of them."),
                faults,
                |node| if key == "headers" { credentials.label_for_header(node) } else { credentials.label(node) },
            );
            settings.extend(credential.map(|label| (name.to_owned(), Setting::Credential(label))));
        } else {
            let text = section.get(name, faults, word);
            settings.extend(text.map(|text| (name.to_owned(), Setting::Plain(text))));
        }
    }
    settings
}

fn word(node: &Node) -> Result<String, Trouble> {
    let text = value::text(node)?;
    if text.len() > WORD_CHARS_MAX || text.contains('\0') {
        return Err(Trouble::new(
            "too long, or with a zero byte",
            "It is handed to a program or a server.",
            format!("use at most {WORD_CHARS_MAX} characters of text."),
        ));
    }
    Ok(text)
}

/// Returns the valid names under a section, up to a number.
fn names_of<'a>(
    root: &Section<'_>,
    section: &Section<'a>,
    (key, count_max): (&str, usize),
    faults: &mut Faults,
) -> Vec<&'a str> {
    let mut names = section.keys();
    if names.len() > count_max {
        let trouble = Trouble::new(
            format!("{} entries", names.len()),
            "Each costs memory and time.",
            format!("keep at most {count_max}."),
        );
        root.report(key, trouble, faults);
        names.truncate(count_max);
    }
    names.retain(|name| {
        let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_' || char == '-';
        let clear = !name.contains(SERVER_SEPARATOR) && built_in(name).is_none();
        let good = !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(fits) && clear;
        if !good {
            let trouble = Trouble::new(
                format!("{} is not a name for it", shown(name)),
                format!("Tools' names are made of it: <name>{SERVER_SEPARATOR}<tool>."),
                format!("use 1 to {NAME_CHARS_MAX} of a-z 0-9 _ - without `{SERVER_SEPARATOR}`."),
            );
            section.report(name, trouble, faults);
        }
        good
    });
    names
}
