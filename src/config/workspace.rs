//! The sections of `workmate.yaml`, each read into its checked type.

use std::{collections::BTreeSet, path::Path};

use ruma::OwnedUserId;
use url::Url;

use super::{
    Appservice, Assistants, Audit, Homeserver, Limits, Log, LogFormat, Provision, Workspace,
    claude::EFFORTS,
    fault::{Faults, Trouble, shown},
    grants::{self, Known},
    secrets::Sources,
    section::{Item, Section},
    slips::check_plain,
    value,
    yaml::Node,
};
use crate::core::people::{Bridge, Bridged, Guests, IdPattern};

/// The default of `appservice.id`.
pub(super) const APPSERVICE_ID: &str = "workmate";
/// The default of `appservice.service_localpart`.
pub(super) const SERVICE_LOCALPART: &str = "workmate";
/// The default of `appservice.coworker_prefix`.
pub(super) const COWORKER_PREFIX: &str = "coworker-";
/// The default of `appservice.assistant_prefix`.
pub(super) const ASSISTANT_PREFIX: &str = "assistant-";
/// Most entries of one of the workspace's lists.
pub(super) const ENTRIES_MAX: usize = 1_000;
/// Most bridges.
pub(super) const BRIDGES_MAX: usize = 50;
/// Most bytes of the instructions of one coworker or of all assistants.
pub(super) const INSTRUCTIONS_BYTES_MAX: usize = 16 << 10;

/// What other programs call their levels.
const NO_LEVELS: [&str; 10] =
    ["verbose", "all", "everything", "warning", "warnings", "err", "fatal", "critical", "notice", "silent"];

pub(super) fn homeserver(root: &Section<'_>, faults: &mut Faults) -> Option<Homeserver> {
    let section = root.section("homeserver", faults);
    let url = section.need(
        "url",
        (
            "Workmate could not reach the homeserver.",
            "set it to where the homeserver answers, e.g. http://127.0.0.1:8008.",
        ),
        faults,
        |node| value::base_url(node, "/_matrix"),
    );
    let server_name = section.need(
        "server_name",
        ("Local people could not be told from others.", "set it to the part after the colon in your users' ids."),
        faults,
        value::server_name,
    );
    let proxy = section.get("proxy", faults, |node| value::base_url(node, ""));
    Some(Homeserver { url: url?, server_name: server_name?, proxy })
}

pub(super) fn appservice(root: &Section<'_>, sources: &Sources<'_>, faults: &mut Faults) -> Option<Appservice> {
    let section = root.section("appservice", faults);
    let id = section.get("id", faults, value::appservice_id);
    let listen = section.need(
        "listen",
        ("The homeserver's calls would arrive nowhere.", "set it to an address and port, e.g. 127.0.0.1:29330."),
        faults,
        value::socket,
    );
    let url = section.get("url", faults, |node| value::base_url(node, "/_matrix"));
    let as_token = sources.token(
        &section,
        "as_token",
        "Workmate's calls to the homeserver cannot be authenticated without it.",
        faults,
    );
    let hs_token =
        sources.token(&section, "hs_token", "The homeserver's calls cannot be authenticated without it.", faults);
    if let (Some(ours), Some(theirs)) = (&as_token, &hs_token)
        && ours.matches(theirs.expose())
    {
        let trouble = Trouble::new(
            "as_token and hs_token are the same",
            "Each side must be able to prove who it is without knowing the other's secret.",
            "write a new one where one of them stands (`openssl rand -hex 32`) and into the registration, and restart the \
             homeserver.",
        );
        section.report("hs_token", trouble, faults);
    }
    let before = ["as_token", "hs_token"].map(|name| sources.before(&section, name, faults));
    let sender = section.get("service_localpart", faults, value::localpart);
    let coworker = section.get("coworker_prefix", faults, value::localpart);
    let assistant = section.get("assistant_prefix", faults, value::localpart);
    let names = [
        ("service_localpart", sender.unwrap_or_else(|| SERVICE_LOCALPART.to_owned())),
        ("coworker_prefix", coworker.unwrap_or_else(|| COWORKER_PREFIX.to_owned())),
        ("assistant_prefix", assistant.unwrap_or_else(|| ASSISTANT_PREFIX.to_owned())),
    ];
    check_names_apart(&section, &names, faults);
    let [(_, service_localpart), (_, coworker_prefix), (_, assistant_prefix)] = names;
    let listen = listen?;
    let url = match url {
        Some(url) => url,
        None => Url::parse(&format!("http://{listen}")).ok()?,
    };
    Some(Appservice {
        id: id.unwrap_or_else(|| APPSERVICE_ID.to_owned()),
        listen,
        url,
        as_token: as_token?,
        hs_token: hs_token?,
        before,
        token_files: sources
            .file_of(&section, "as_token")
            .zip(sources.file_of(&section, "hs_token"))
            .map(<[_; 2]>::from),
        service_localpart,
        coworker_prefix,
        assistant_prefix,
    })
}

/// Reports if a localpart could match two of the service bot's name and the two prefixes.
fn check_names_apart(section: &Section<'_>, names: &[(&str, String); 3], faults: &mut Faults) {
    for (prefix_key, prefix) in &names[1..] {
        for (key, name) in names {
            if key != prefix_key && name.starts_with(prefix.as_str()) {
                let trouble = Trouble::new(
                    format!("`{prefix}` is also the beginning of {key} `{name}`"),
                    "A user id would belong to two kinds of virtual user at once.",
                    "choose names of which none begins with the other.",
                );
                section.report(prefix_key, trouble, faults);
            }
        }
    }
}

pub(super) fn workspace(root: &Section<'_>, faults: &mut Faults) -> Workspace {
    let section = root.section("workspace", faults);
    let space = section.get("space", faults, value::room_or_alias);
    let obey_unencrypted = section.truth("obey_unencrypted", faults);
    let lobby = section.truth("lobby", faults);
    // Named, the default is the same as unnamed.
    let zone = section.get("zone", faults, value::zone).filter(|zone| zone.name() != Some("UTC")).unwrap_or_default();
    let servers = section.list("allowed_servers", faults, value::server_name);
    let bots = section.list("bots", faults, value::user_id);
    let admins = section.list("admins", faults, value::user_id);
    for (key, count) in [("allowed_servers", servers.len()), ("bots", bots.len()), ("admins", admins.len())] {
        if count > ENTRIES_MAX {
            let trouble = Trouble::new(
                format!("{count} entries"),
                "Each message is compared with them.",
                format!("list at most {ENTRIES_MAX}."),
            );
            section.report(key, trouble, faults);
        }
    }
    let bots: BTreeSet<OwnedUserId> = bots.into_iter().collect();
    if let Some(both) = admins.iter().find(|admin| bots.contains(*admin)) {
        let trouble = Trouble::new(
            format!("{both} is listed as a bot too"),
            "A bot's messages are never answered, an admin's commands are.",
            "remove it from one of the two lists.",
        );
        section.report("admins", trouble, faults);
    }
    let kinds = [("digits", Guests::Digits), ("none", Guests::Nobody)];
    Workspace {
        allowed_servers: servers.into_iter().collect(),
        bots,
        bridges: bridges(&section, faults),
        guests: section.choice("guests", faults, &kinds).unwrap_or_default(),
        admins: admins.into_iter().collect(),
        space,
        obey_unencrypted,
        lobby,
        zone,
    }
}

/// Parses `bridges:`: each a pattern of ids, or `{ids: …, may: ask}`.
fn bridges(workspace: &Section<'_>, faults: &mut Faults) -> Vec<Bridge> {
    let items = workspace.items("bridges", faults);
    if items.len() > BRIDGES_MAX {
        let trouble = Trouble::new(
            format!("{} entries", items.len()),
            "Each event's sender is compared with them.",
            format!("list at most {BRIDGES_MAX}; one pattern can hold several with `|`."),
        );
        workspace.report("bridges", trouble, faults);
    }
    let mays = [("nothing", Bridged::Nothing), ("ask", Bridged::Ask)];
    let read = items.into_iter().take(BRIDGES_MAX).filter_map(|item| match item {
        Item::Word(node, at) => match id_pattern(node) {
            Ok(ids) => Some(Bridge { ids, may: Bridged::Nothing }),
            Err(trouble) => {
                at.report("", trouble, faults);
                None
            }
        },
        Item::Keys(one) => {
            let why =
                ("It says whose puppets are meant.", "copy the pattern of `namespaces.users` in its registration.");
            let ids = one.need("ids", why, faults, id_pattern);
            let may = one.choice("may", faults, &mays).unwrap_or_default();
            Some(Bridge { ids: ids?, may })
        }
    });
    read.collect()
}

fn id_pattern(node: &Node) -> Result<IdPattern, Trouble> {
    let text = value::text(node)?;
    IdPattern::parse(&text).map_err(|why| {
        Trouble::new(
            format!("not a pattern of user ids: {why}"),
            "A bridge's puppets are known by their ids.",
            "write a regular expression like \"@telegram_.*:example\\\\.org\", as in the bridge's registration.",
        )
    })
}

pub(super) fn assistants(root: &Section<'_>, tools: &Known<'_>, faults: &mut Faults) -> Assistants {
    let section = root.section("assistants", faults);
    let choices = [("request", Provision::Request), ("members", Provision::Members)];
    let provision = section.choice("provision", faults, &choices).unwrap_or_default();
    if provision == Provision::Members && !root.again("workspace").has("space") {
        let trouble = Trouble::new(
            "`members` needs workspace.space",
            "A homeserver tells an application service nobody's name: the members are those of a space.",
            "set workspace.space to a room id or alias and invite the service bot there, or use `request`.",
        );
        section.report("provision", trouble, faults);
    }
    Assistants {
        provision,
        provision_per_minute: section.number("provision_per_minute", faults),
        gone_grace_days: section.number("gone_grace_days", faults),
        enabled: section.truth("enabled", faults),
        instructions: section
            .get("instructions", faults, |node| value::prose(node, INSTRUCTIONS_BYTES_MAX))
            .unwrap_or_default(),
        model: section.get("model", faults, value::model),
        effort: section.choice("effort", faults, &EFFORTS),
        session_idle_hours: section.number("session_idle_hours", faults),
        tools: grants::read_private(&section, tools, faults),
        require_verified_devices: section.truth("require_verified_devices", faults),
    }
}

pub(super) fn limits(root: &Section<'_>, faults: &mut Faults) -> Limits {
    let section = root.section("limits", faults);
    let limits = Limits {
        context_tokens_max: section.number("context_tokens_max", faults),
        files_max: section.number("files_max", faults),
        file_bytes_max: section.number("file_bytes_max", faults),
        runs_max: section.number("runs_max", faults),
        room_runs_max: section.number("room_runs_max", faults),
        waiting_runs_max: section.number("waiting_runs_max", faults),
        provisioning_max: section.number("provisioning_max", faults),
        assistants_live_max: section.number("assistants_live_max", faults),
        deadline_minutes: section.number("deadline_minutes", faults),
        transaction_bytes_max: section.number("transaction_bytes_max", faults),
        tool_rounds_max: section.number("tool_rounds_max", faults),
        tools_at_once_max: section.number("tools_at_once_max", faults),
        run_tokens_max: section.number("run_tokens_max", faults),
        approval_minutes: section.number("approval_minutes", faults),
        person_requests_max: section.number("person_requests_max", faults),
        room_requests_max: section.number("room_requests_max", faults),
    };
    if limits.room_runs_max > limits.runs_max {
        let trouble = Trouble::new(
            format!("{} is more than runs_max, {}", limits.room_runs_max, limits.runs_max),
            "One room could hold up all others.",
            "lower it, or raise limits.runs_max.",
        );
        section.report("room_runs_max", trouble, faults);
    }
    limits
}

pub(super) fn audit(root: &Section<'_>, faults: &mut Faults) -> Audit {
    let section = root.section("audit", faults);
    Audit { room: section.truth("room", faults), retention_days: section.number("retention_days", faults) }
}

pub(super) fn log(root: &Section<'_>, faults: &mut Faults) -> Log {
    let section = root.section("log", faults);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.choice("format", faults, &formats);
    let filter = section.get("filter", faults, |node| {
        let filter = value::line(node, 1_000)?;
        check_plain(&filter)?;
        // A single word is taken for a target, of which there is none of this name.
        if let Some(word) = filter.split(',').map(str::trim).find(|word| NO_LEVELS.contains(&&*word.to_lowercase())) {
            return Err(Trouble::new(
                format!("{} is no level", shown(word)),
                "Nothing would be logged for it.",
                "use error, warn, info, debug or trace, alone or behind a target: `workmate=debug`.",
            ));
        }
        tracing_subscriber::EnvFilter::try_new(&filter).map_err(|_| {
            Trouble::new(
                "not a list of log directives",
                "Nothing could be told about what is to be logged.",
                "write `target=level` with commas between, such as `workmate=debug,warn`.",
            )
        })?;
        Ok(filter)
    });
    Log { format: format.unwrap_or_default(), filter }
}

/// Returns the folder that relative paths in `file` start from.
pub(super) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new(""),
    }
}
