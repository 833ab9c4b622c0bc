//! Texts about connections of an owner's own programs (A13).

use ruma::ServerName;

use crate::core::{
    connection::{Became, CALLS_KEPT_MAX, CONNECTIONS_MAX, Called, Connection, Connections},
    links::room_link,
    names::literal_name,
    zone::Zone,
};

/// What the server is called in the owner's programs.
const SERVER: &str = "workmate";

/// Shows a new connection's token once, as a line to paste and as JSON.
///
/// The line is the same in bash, zsh, PowerShell and cmd: nothing in it but letters, digits and `- _ . : /` stands
/// outside its one pair of double quotes, and nothing inside that a shell would read.
#[must_use]
pub(crate) fn connected(connection: &Connection, endpoint: &str, token: &str, unused_days: u32) -> String {
    let json = serde_json::json!({ "mcpServers": { SERVER: {
        "type": "http", "url": endpoint, "headers": { "Authorization": format!("Bearer {token}") },
    } } });
    let json = serde_json::to_string_pretty(&json).unwrap_or_default();
    let number = connection.number;
    format!(
        "**Connection {number}{}.** Paste this into your terminal, and your own Claude Code can read the rooms that you and \
         a coworker share:\n\n\
         ```\n{}\n```\n\n\
         For other programs that speak MCP:\n\n\
         ```json\n{json}\n```\n\n\
         It reads what you may read, at that moment, and nobody in a room sees it. It can't write. I show this token only \
         here, and delete this message once it's used: whoever has the token reads as you. `!disconnect {number}` ends it; \
         {} without use does too. `!connections` lists all of yours, and `!trail` what they read.",
        of_name(&connection.name),
        command(endpoint, token),
        days(unused_days),
    )
}

/// Returns the line that connects Claude Code, in every project of its user.
#[must_use]
pub(crate) fn command(endpoint: &str, token: &str) -> String {
    format!(
        "claude mcp add --transport http --scope user {SERVER} {endpoint} --header \"Authorization: Bearer {token}\""
    )
}

fn of_name(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" ({})", literal_name(name)) }
}

fn days(days: u32) -> String {
    if days == 1 { "a day".to_owned() } else { format!("{days} days") }
}

/// Says that the operator has not opened the listener.
#[must_use]
pub(crate) fn not_offered() -> String {
    "This workspace doesn't offer connections. The person who runs Workmate can turn them on, with `mcp_listen` in its configuration."
        .to_owned()
}

/// Says that there are as many connections as there may be.
#[must_use]
pub(crate) fn too_many_connections() -> String {
    format!(
        "You have {CONNECTIONS_MAX} connections, which is the most. `!disconnect 1` ends one; `!connections` lists them."
    )
}

/// Lists an owner's connections.
#[must_use]
pub(crate) fn connections(list: &[Connection], unused_days: u32, zone: &Zone) -> String {
    if list.is_empty() {
        return "None of your own programs is connected. `!connect` gives you a line to paste.".to_owned();
    }
    let line = |one: &Connection| {
        let used = one.used_at.map_or_else(
            || format!("made on {}, not used yet", zone.day(one.made_at)),
            |at| format!("last used on {}", zone.day(at)),
        );
        format!("- **{}**{} · {used}", one.number, of_name(&one.name))
    };
    let lines: Vec<String> = list.iter().map(line).collect();
    format!(
        "Your own programs that may read what you may read:\n\n{}\n\n`!disconnect {}` ends that one, `!disconnect all` all \
         of them. What is not used for {} ends by itself.",
        lines.join("\n"),
        list[0].number,
        days(unused_days),
    )
}

/// Says that a connection has ended.
#[must_use]
pub(crate) fn disconnected(number: u32, was_there: bool) -> String {
    if was_there {
        format!("Connection {number} has ended: its token no longer reads anything.")
    } else {
        format!("There is no connection {number}. `!connections` lists yours.")
    }
}

/// Says that all connections have ended.
#[must_use]
pub(crate) fn all_disconnected(count: usize) -> String {
    match count {
        0 => "None of your own programs was connected.".to_owned(),
        1 => "Your connection has ended: its token no longer reads anything.".to_owned(),
        count => format!("All {count} connections have ended: their tokens no longer read anything."),
    }
}

/// Lists what an owner's connections read lately.
#[must_use]
pub(crate) fn trail(kept: &Connections, via: &ServerName, zone: &Zone) -> String {
    let calls = kept.trail().shown();
    if calls.is_empty() {
        return "Your own programs have read nothing. `!connect` connects one.".to_owned();
    }
    let line = |call: &&Called| {
        let name = kept.named(call.by).map(|one| of_name(&one.name)).unwrap_or_default();
        let room = call.room.as_ref().map(|room| format!(" in {}", room_link(room.as_str(), room, via)));
        let became = match (call.became, call.messages) {
            (Became::Answered, 0) => String::new(),
            (Became::Answered, 1) => ", one message".to_owned(),
            (Became::Answered, messages) => format!(", {messages} messages"),
            (Became::NotThere, _) => ", not allowed or not there".to_owned(),
            (Became::Wrong, _) => ", not understood".to_owned(),
            (Became::TooFast, _) => ", too fast".to_owned(),
            (Became::Failed, _) => ", failed".to_owned(),
        };
        let when = zone.day(call.at);
        let often = match call.calls() {
            1 => String::new(),
            calls => format!(", {calls} times since {}", zone.day(call.since())),
        };
        format!("- {when} · connection {}{name}: `{}`{}{became}{often}", call.by, call.what, room.unwrap_or_default())
    };
    let lines: Vec<String> = calls.iter().map(line).collect();
    format!(
        "What your own programs read, newest first. Only you see this; I keep {CALLS_KEPT_MAX} lines, without anybody's words; \
         calls of one kind share a line for an hour.\n\n{}",
        lines.join("\n")
    )
}
