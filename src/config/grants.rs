//! `tools:` of a coworker or of the assistants: which tools are granted, and on what conditions (C12).

use std::collections::BTreeSet;

use super::{
    fault::{Faults, Trouble, shown},
    section::{Item, Section},
    slips::{Unit, check_plain, nearest},
    tooling::Credentials,
    value,
    yaml::Node,
};
use crate::core::{
    computing,
    tool::{
        ApprovalRule, BUILT_IN, By, Class, Grant, MODERATOR_LEVEL, NAME_CHARS_MAX, SERVER_SEPARATOR, Server, built_in,
    },
};

/// Most entries of `tools:` in one file.
pub(super) const GRANTS_MAX: usize = 100;
/// Most hosts of a grant.
pub(super) const HOSTS_MAX: usize = 100;
/// Most rooms of a grant, and most spaces.
pub(super) const PLACES_MAX: usize = 50;
/// Characters of a tool's digest.
const DIGEST_CHARS: usize = 32;

/// The names that grants can refer to.
pub(super) struct Known<'a> {
    pub(super) servers: &'a [Server],
    pub(super) credentials: &'a Credentials,
}

/// Parses a coworker's `tools:`.
pub(super) fn read(coworker: &Section<'_>, known: &Known<'_>, faults: &mut Faults) -> Vec<Grant> {
    let grants = grants(coworker, known, faults);
    for (grant, at) in &grants {
        if built_in(&grant.pattern).is_some_and(|tool| !tool.is_for_coworkers()) {
            let trouble = Trouble::new(
                format!("`{}` is a tool of assistants", grant.pattern),
                "It acts in an owner's own chat, and a coworker has none.",
                "remove it here; `assistants.tools` in workmate.yaml may have it.",
            );
            at.report("", trouble, faults);
        }
    }
    grants.into_iter().map(|(grant, _)| grant).collect()
}

/// Parses the assistants' `tools:`; in their chats only the owner can be asked.
pub(super) fn read_private(assistants: &Section<'_>, known: &Known<'_>, faults: &mut Faults) -> Vec<Grant> {
    let grants = grants(assistants, known, faults);
    for (grant, at) in &grants {
        check_private(grant, at, faults);
    }
    grants.into_iter().map(|(grant, _)| grant).collect()
}

fn grants<'a>(coworker: &Section<'a>, known: &Known<'_>, faults: &mut Faults) -> Vec<(Grant, Section<'a>)> {
    let mut items = coworker.items("tools", faults);
    if items.len() > GRANTS_MAX {
        let trouble = Trouble::new(
            format!("{} entries", items.len()),
            "The model is told of every tool with every request.",
            format!("keep at most {GRANTS_MAX}, or use a pattern."),
        );
        coworker.report("tools", trouble, faults);
        items.truncate(GRANTS_MAX);
    }
    let grants: Vec<(Grant, Section<'_>)> = items.into_iter().filter_map(|item| grant(item, known, faults)).collect();
    check_repeated(&grants, faults);
    check_computing(&grants, faults);
    grants
}

/// Reports what cannot hold of code execution: nobody can be asked before a call, and a skill needs it.
fn check_computing(grants: &[(Grant, Section<'_>)], faults: &mut Faults) {
    let is_granted = grants.iter().any(|(grant, _)| grant.pattern == computing::TOOL);
    for (grant, at) in grants.iter().filter(|(grant, _)| computing::is_of_container(&grant.pattern)) {
        if !is_granted {
            let trouble = Trouble::new(
                format!("`{}` without `{}`", grant.pattern, computing::TOOL),
                "The provider makes such documents by running code.",
                format!("grant {} too, or remove it.", computing::TOOL),
            );
            at.report("", trouble, faults);
        }
        if !matches!(grant.approval, None | Some(ApprovalRule::Never)) {
            let trouble = Trouble::new(
                "an approval",
                "Code runs at the model's provider, before anybody here could be asked, so it would never be offered.",
                "remove approval; `rooms` and `spaces` say where it holds.",
            );
            at.report("approval", trouble, faults);
        }
    }
}

/// Returns the patterns of grants of MCP tools that may write and that anybody who asks or makes a room can approve
/// anywhere.
pub(super) fn open_writes(grants: &[Grant]) -> Vec<&str> {
    let is_open = |grant: &&Grant| {
        let of_server = grant.pattern.contains(SERVER_SEPARATOR);
        let rule = grant.approval.as_ref().unwrap_or(&ApprovalRule::Asker);
        let by_anybody = matches!(rule, ApprovalRule::Asker | ApprovalRule::Moderator { .. });
        of_server && grant.class != Some(Class::Read) && by_anybody && !grant.is_bound()
    };
    grants.iter().filter(is_open).map(|grant| grant.pattern.as_str()).collect()
}

/// Reports grants that assistants may not have, or not in this form.
fn check_private(grant: &Grant, at: &Section<'_>, faults: &mut Faults) {
    let name = grant.pattern.as_str();
    if grant.is_bound() {
        let trouble = Trouble::new(
            "bound to rooms",
            "An assistant's chat is none of them, so it could never use the tool.",
            "remove rooms and spaces.",
        );
        at.report("", trouble, faults);
    }
    if built_in(name).is_some_and(|tool| !tool.is_for_assistants()) {
        let theirs: Vec<&str> = BUILT_IN.iter().filter(|tool| tool.is_for_assistants()).map(|tool| tool.name).collect();
        let trouble = Trouble::new(
            format!("`{name}` is no tool of assistants"),
            "It is about a room with others; an assistant's chat is read as it is, and has no files or notes for others.",
            format!("remove it; there are {} and those of mcp_servers.", theirs.join(", ")),
        );
        at.report("", trouble, faults);
    }
    let is_at_provider = built_in(name).is_some_and(|tool| tool.by == By::Provider);
    match &grant.approval {
        Some(ApprovalRule::Asker) if is_at_provider => {
            let trouble = Trouble::new(
                "`asker` for a tool of the model's provider",
                "It is carried out there, before anybody here could be asked.",
                "remove approval; the hosts say where it may look.",
            );
            at.report("approval", trouble, faults);
        }
        None | Some(ApprovalRule::Never | ApprovalRule::Asker) => {}
        Some(ApprovalRule::Moderator { .. } | ApprovalRule::People(_)) => {
            let trouble = Trouble::new(
                "somebody else's approval",
                "Nobody but its owner is in an assistant's chat.",
                "write asker, which is the owner, or never.",
            );
            at.report("approval", trouble, faults);
        }
    }
    if name == "web_search" && grant.hosts.is_empty() {
        let trouble = Trouble::new(
            "`web_search` without hosts",
            "A search can carry what the owner wrote in private, and nobody can be asked before it is made.",
            "write it as {name: web_search, hosts: [docs.example.org]}.",
        );
        at.report("hosts", trouble, faults);
    }
}

fn grant<'a>(item: Item<'a>, known: &Known<'_>, faults: &mut Faults) -> Option<(Grant, Section<'a>)> {
    let (grant, at) = match item {
        Item::Word(node, at) => match pattern(node, known) {
            Ok(pattern) => (Grant::plain(&pattern), at),
            Err(trouble) => {
                at.report("", trouble, faults);
                return None;
            }
        },
        Item::Keys(section) => {
            let why = ("It says which tool is meant.", "set it to a tool's name, such as room_search.");
            let pattern = section.need("name", why, faults, |node| pattern(node, known));
            let rest = conditions(&section, known, faults);
            (Grant { pattern: pattern?, ..rest }, section)
        }
    };
    if built_in(&grant.pattern).is_some_and(|tool| tool.reaches) && grant.hosts.is_empty() {
        let trouble = Trouble::new(
            format!("`{}` without hosts", grant.pattern),
            "What a request asks for can carry what the room says; it may go to hosts that you name, and to no others.",
            "write it as {name: …, hosts: [docs.example.org, \"*.example.net\"]}.",
        );
        at.report("hosts", trouble, faults);
    }
    Some((grant, at))
}

fn conditions(section: &Section<'_>, known: &Known<'_>, faults: &mut Faults) -> Grant {
    let classes = [("read", Class::Read), ("write", Class::Write)];
    let seconds: Option<u64> = section.number_if_given("timeout_seconds", faults);
    let hosts = section.list("hosts", faults, host);
    if hosts.len() > HOSTS_MAX {
        let trouble = Trouble::new(
            format!("{} hosts", hosts.len()),
            "Each call is compared with them.",
            format!("list at most {HOSTS_MAX}, or a `*.domain`."),
        );
        section.report("hosts", trouble, faults);
    }
    let [rooms, spaces] = ["rooms", "spaces"].map(|key| {
        let places = section.list(key, faults, value::room_or_alias);
        if places.len() > PLACES_MAX || (places.is_empty() && section.has(key)) {
            let trouble = Trouble::new(
                format!("{} entries", places.len()),
                "The tool is offered in these places only, and each is looked up.",
                format!(
                    "list 1 to {PLACES_MAX} room ids or aliases, or remove the key: then it is offered everywhere."
                ),
            );
            section.report(key, trouble, faults);
        }
        places
    });
    Grant {
        class: section.choice("class", faults, &classes),
        approval: approval(section, faults),
        timeout_ms: seconds.map(|seconds| seconds * 1000),
        output_bytes_max: section.number_if_given("output_bytes_max", faults),
        idempotent: section.get("idempotent", faults, value::truth),
        hosts,
        credential: section.get("credential", faults, |node| known.credentials.label_for_header(node)),
        rooms,
        spaces,
        digest: section.get("digest", faults, digest),
        ..Grant::plain("")
    }
}

/// Parses `never`, `asker`, `moderator`, a power level, or a list of people.
fn approval(section: &Section<'_>, faults: &mut Faults) -> Option<ApprovalRule> {
    const KEY: &str = "approval";
    if section.has_list(KEY) {
        let people: BTreeSet<_> = section.list(KEY, faults, value::user_id).into_iter().collect();
        if people.is_empty() {
            let trouble = Trouble::new(
                "an empty list",
                "Nobody could ever approve a call.",
                "name people by their full user ids, or remove the tool.",
            );
            section.report(KEY, trouble, faults);
        }
        return Some(ApprovalRule::People(people));
    }
    section.get(KEY, faults, |node| {
        if let Ok(level) = value::number::<u32>(node, section.bounds(KEY), Unit::Things) {
            return Ok(ApprovalRule::Moderator { level: i64::from(level) });
        }
        let words = [
            ("never", ApprovalRule::Never),
            ("asker", ApprovalRule::Asker),
            ("moderator", ApprovalRule::Moderator { level: MODERATOR_LEVEL }),
        ];
        value::choice(node, &words).map_err(|trouble| Trouble {
            mend: "write never, asker, moderator, a power level such as 75, or a list of full user ids.".to_owned(),
            ..trouble
        })
    })
}

/// Parses a tool's digest, as `!changes` and the log show it.
fn digest(node: &Node) -> Result<String, Trouble> {
    let text = value::text(node)?;
    if text.len() == DIGEST_CHARS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(text);
    }
    Err(Trouble::new(
        format!("{} is no digest of a tool", shown(&text)),
        "Only the definition of the tool with this digest is offered.",
        format!("copy the {DIGEST_CHARS} letters that the log shows for the tool, in quotes."),
    ))
}

/// Parses a built-in tool's name, or the name or pattern of MCP tools.
fn pattern(node: &Node, known: &Known<'_>) -> Result<String, Trouble> {
    let text = value::text(node)?;
    check_plain(&text)?;
    let name = text.strip_suffix('*').unwrap_or(&text);
    let letters = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    let servers: Vec<String> =
        known.servers.iter().map(|server| format!("{}{SERVER_SEPARATOR}", server.name)).collect();
    let of_server = servers.iter().any(|beginning| name.starts_with(beginning));
    let plausible = name.len() <= NAME_CHARS_MAX && name.chars().all(letters);
    if plausible && (of_server || built_in(&text).is_some()) {
        return Ok(text);
    }
    let choices: Vec<String> = BUILT_IN
        .iter()
        .map(|tool| tool.name.to_owned())
        .chain(servers.iter().map(|beginning| format!("{beginning}*")))
        .collect();
    Err(Trouble::new(
        format!("{} is no tool", shown(&text)),
        "It names neither a tool that Workmate brings nor one of a server under `mcp_servers`.",
        match nearest(&text, choices.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`? Use one of {}.", choices.join(", ")),
            None => format!("use one of {}.", choices.join(", ")),
        },
    ))
}

/// Parses a host: a name or `*.` and a domain, with `:port` unless it is 80 or 443.
fn host(node: &Node) -> Result<String, Trouble> {
    let text = value::text(node)?.to_lowercase();
    let trouble = || {
        Trouble::new(
            format!("{} is not a host", shown(&text)),
            "Calls are compared with it before they are made.",
            "write a name like docs.example.org, \"*.example.org\" or builds.example.org:8443.",
        )
    };
    let (name, port) = text.split_once(':').map_or((text.as_str(), None), |(name, port)| (name, Some(port)));
    let domain = name.strip_prefix("*.").unwrap_or(name);
    let letters = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '.';
    let is_domain = domain.contains('.') && domain.len() <= 253 && domain.chars().all(letters);
    let clean = is_domain && !domain.starts_with('.') && !domain.ends_with('.') && !domain.contains("..");
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if clean && is_port { Ok(text.clone()) } else { Err(trouble()) }
}

fn check_repeated(grants: &[(Grant, Section<'_>)], faults: &mut Faults) {
    for (index, (grant, at)) in grants.iter().enumerate() {
        if grants[..index].iter().any(|(earlier, _)| earlier.pattern == grant.pattern) {
            let trouble = Trouble::new(
                format!("{} is granted twice", shown(&grant.pattern)),
                "The first one would count and this one would not.",
                "remove one of the two.",
            );
            at.report("", trouble, faults);
        }
    }
}
