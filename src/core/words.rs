//! Every fixed text that people see, in one place, so that it can be reviewed and translated.
//!
//! Functions return Markdown for `render`, unless they say otherwise. Names and reasons in a text come from the config
//! or from checked ids, never from messages.

mod assistant;
mod failures;
mod service;
pub(crate) mod spending;
mod tools;
pub(crate) mod trail;

pub use self::assistant::{
    assistant_first, assistant_help, assistant_name, fresh, fresh_after_pause, not_your_assistant, room_loosened,
    third_member,
};
pub use self::failures::{
    Again, account_exhausted, answer_not_posted, answered_alone, answered_without, answered_without_results,
    broken_off, call_cut, cut_at_limit, cut_off, given_up, internal, key_missing, key_refused, limit_before_words,
    limited_for, model_missing, model_unreachable, no_power, nothing_to_say, overloaded_gave_up, overloaded_trying,
    refused, request_refused, room_replaced, too_long, tools_failed, unfinished, work_too_long,
};
pub use self::service::{ServiceStatus, id_does_not_fit, not_a_member, service_status};
pub(crate) use self::tools::whose_approval;
pub use self::tools::{ChangedTool, accepted, changed_tools, not_accepted, tool_changed, tools, tools_in_short};
use ruma::UserId;

use super::{
    asker::Reads,
    command::list::{COWORKER, SERVICE, SERVICE_FOR_ADMINS, help_lines},
    names::pill,
    time::Timestamp,
    tool::Toolset,
    zone::Zone,
};

pub mod approval;
pub(crate) mod connections;
pub(crate) mod console;
pub mod deciding;
pub(crate) mod declining;
pub(crate) mod errands;
pub mod files;
pub(crate) mod moving;
pub(crate) mod opened;
pub(crate) mod refusals;
pub mod sessions;
pub(crate) mod timetable;
pub mod trust;

/// Precedes the sources of an answer.
pub(crate) const SOURCES: &str = "Sources:";

// ---- Coworkers ----

/// What a coworker's first words mention (C17).
#[derive(Clone, Copy, Debug)]
pub struct FirstWords<'a> {
    /// The coworker's name.
    pub name: &'a str,
    /// What it is for, on one line.
    pub purpose: &'a str,
    /// Whether the room is encrypted.
    pub encrypted: bool,
    /// The start of what it can read; `None` if it can read from the beginning.
    pub readable_from: Option<Timestamp>,
    /// The tools it has in this room.
    pub tools: &'a Toolset,
    /// On whose behalf it reads.
    pub reads: Reads,
    /// The inviter's time zone.
    pub zone: &'a Zone,
    /// Who writes down voice messages, if anybody does (C25).
    pub recogniser: Option<&'a str>,
    /// What makes it work in this room without being asked.
    pub unasked: Unasked,
}

/// What makes a coworker work in a room without being asked (C20 to C22).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unasked {
    /// A schedule of its file.
    pub schedules: bool,
    /// A webhook.
    pub hooks: bool,
    /// A watch.
    pub watches: bool,
}

impl Unasked {
    /// Returns when it reads the room, for its first words.
    fn when(self) -> String {
        let mut when = vec!["when I'm asked".to_owned()];
        when.extend(self.schedules.then(|| "at set times".to_owned()));
        when.extend(self.hooks.then(|| "when another service reports to me".to_owned()));
        when.extend(self.watches.then(|| "when a bot or bridge writes what I watch for".to_owned()));
        match when.as_slice() {
            [only] => format!(", and only {only}"),
            _ => format!(": {}", listed(&when, "and")),
        }
    }
}

/// Returns a coworker's first words in a room (C17).
#[must_use]
pub fn first_words(words: &FirstWords<'_>) -> String {
    let FirstWords { name, purpose, encrypted, readable_from, tools, reads: for_whom, zone, recogniser, unasked } =
        *words;
    let since = match (readable_from, encrypted) {
        (None, _) => String::new(),
        (Some(from), true) => format!(" I have no keys to anything from before {}.", zone.date(from)),
        (Some(from), false) => format!(" I can't read anything from before {}.", zone.date(from)),
    };
    let newcomers = match for_whom {
        Reads::AsAsker => "",
        Reads::Room => " I may tell newcomers about messages from before they came.",
    };
    let voice = recogniser.map(|host| format!(" {}", assistant::voice(host))).unwrap_or_default();
    format!(
        "Hello, I'm {name}, an automated coworker. {} Mention me whenever you need something. I read this room and no \
         other{}.{since}{newcomers}{voice} {} If you don't want me here, remove me like any member.",
        sentence(purpose),
        unasked.when(),
        tools_in_short(tools)
    )
}

/// Tells the inviter that an invite to a direct chat or too small a room was declined (C4).
#[must_use]
pub fn declined_private(coworker: &str) -> String {
    format!(
        "{coworker} works in rooms with at least two people, so it can't join that chat. Invite it to a team room and \
         mention it there. For something private, ask your own assistant."
    )
}

/// Tells the inviter that a coworker does not accept their invites (C3).
#[must_use]
pub fn declined_inviter(coworker: &str) -> String {
    format!(
        "{coworker} doesn't accept invites from you. Ask someone who works with it, or the person who runs Workmate."
    )
}

/// Says that a coworker leaves a room for good.
#[must_use]
pub fn farewell() -> String {
    "I'm being retired, so I'm leaving this room. What I wrote here stays; I won't answer any more.".to_owned()
}

/// The reason with which our users leave every room when Workmate is taken out of its homeserver.
#[must_use]
pub fn gone_for_good() -> String {
    "Workmate was removed from this homeserver. What was written here stays.".to_owned()
}

/// Says that a coworker answers no more, and is still there.
#[must_use]
pub fn out_of_service() -> String {
    "I've been taken out of service, so I won't answer here any more. What I wrote stays. Remove me from this room \
     whenever you like."
        .to_owned()
}

/// Says that a room has become too small (C4).
#[must_use]
pub fn lonely() -> String {
    "There's only one person left here, so I'll pause: I work where a team can see it. I'll be back when someone joins."
        .to_owned()
}

/// Prefixes a late answer (C5).
#[must_use]
pub fn late_prefix(minutes: u64) -> String {
    format!("(Sorry, I was away: you asked {} ago.)", duration_minutes(minutes))
}

/// Tells a queued request its place in line (C11); 1 is next.
#[must_use]
pub fn queued(place: usize) -> String {
    match place {
        0 | 1 => "Yours is next: I'm still working on something else here.".to_owned(),
        _ => format!("Others come first here; you're number {place} in line."),
    }
}

/// Declines a request because too many are waiting in its room (C11).
#[must_use]
pub fn too_many_waiting() -> String {
    "Too many requests are waiting already, for their turn or for somebody's OK, so I didn't take this one. Please ask \
     again in a few minutes."
        .to_owned()
}

/// Tells a stranger once a day why there is no answer (C15).
#[must_use]
pub fn stranger() -> String {
    "I only answer people from this workspace, and your account is on another server. The person who runs Workmate can \
     allow it."
        .to_owned()
}

/// A coworker's `!help`, short enough for a phone screen (C16).
#[must_use]
pub fn coworker_help(name: &str) -> String {
    let commands = help_lines(&COWORKER, &format!("@{name} "));
    format!(
        "Mention me and ask. I answer in a thread; go on there without mentioning me.\n\n{commands}\n\n\
         React 🔁 to an answer to get another."
    )
}

/// `!purpose`.
#[must_use]
pub fn purpose(purpose: &str) -> String {
    sentence(purpose)
}

/// `!tools` if there are none.
#[must_use]
pub fn no_tools() -> String {
    "I have no tools: I only read and write here.".to_owned()
}

/// `!status`.
#[must_use]
pub fn status(running: usize) -> String {
    match running {
        0 => "I'm here, and not working on anything.".to_owned(),
        1 => "I'm here, working on one request.".to_owned(),
        _ => format!("I'm here, working on {running} requests."),
    }
}

/// A status mentions the duration from this many seconds on; nobody minds a shorter wait.
const TOLD_AFTER_SECONDS: u64 = 5;

/// The status of a long run (C9).
#[must_use]
pub fn working(seconds: u64) -> String {
    working_with_tools(seconds, 0, &[])
}

/// The status of a run with tools: how many steps are done, and which tools are running (C9).
#[must_use]
pub fn working_with_tools(seconds: u64, done: usize, running: &[String]) -> String {
    let mut parts = so_far(seconds, done);
    if !running.is_empty() {
        parts.push(format!("now {}", codes(running).join(", ")));
    }
    format!("*Working on it{} …*", in_brackets(&parts))
}

/// The status of a run, and what the model is doing in its own words, which stand as code: nothing in them has an effect.
#[must_use]
pub fn with_thought(status: &str, line: &str) -> String {
    let line: String = line.chars().filter(|letter| !matches!(letter, '`' | '\n' | '\r')).collect();
    format!("{status}\n\n`{line}`")
}

/// The status of a run that continues once somebody has approved calls of these tools (C12).
#[must_use]
pub fn waiting_for_approval(tools: &[String], seconds: u64, done: usize) -> String {
    format!("*Waiting for approval of {}{} …*", listed(&codes(tools), "and"), in_brackets(&so_far(seconds, done)))
}

/// Returns a run's progress, as far as there is something to mention.
fn so_far(seconds: u64, done: usize) -> Vec<String> {
    let mut parts = Vec::new();
    if seconds >= TOLD_AFTER_SECONDS {
        parts.push(duration_seconds(seconds));
    }
    match done {
        0 => {}
        1 => parts.push("1 step done".to_owned()),
        _ => parts.push(format!("{done} steps done")),
    }
    parts
}

fn in_brackets(parts: &[String]) -> String {
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn codes(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("`{name}`")).collect()
}

/// Joins a list as in a sentence: "a, b and c".
fn listed(items: &[String], joint: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {joint} {last}", first.join(", ")),
    }
}

/// Confirms `!stop` and 🛑.
#[must_use]
pub fn stopped() -> String {
    "Stopped.".to_owned()
}

/// Says that `!stop` found nothing to stop.
#[must_use]
pub fn nothing_to_stop() -> String {
    "I'm not working on anything.".to_owned()
}

/// Says that `!stop` found nothing to stop in its thread, but something elsewhere in the room.
#[must_use]
pub fn nothing_to_stop_here(elsewhere: usize) -> String {
    let what = if elsewhere == 1 { "one request" } else { "some requests" };
    format!(
        "I'm not working on anything in this thread, but I am on {what} elsewhere in this room. `!stop` outside the \
         thread stops everything here."
    )
}

/// Confirms `!mute`.
#[must_use]
pub fn muted(name: &str) -> String {
    format!("I'll be quiet in this room until someone says `@{name} !unmute`.")
}

/// Confirms `!unmute`.
#[must_use]
pub fn unmuted() -> String {
    "I'm back: mention me to ask something.".to_owned()
}

// ---- Notes ----

mod notes;

pub use notes::{forgot, forgot_all, no_notes, no_such_note, not_noted, noted, notes};

/// Answers a command that this version cannot carry out.
#[must_use]
pub fn unknown_command() -> String {
    "I can't do that yet. `!help` lists what I can.".to_owned()
}

// ---- Failures (C19) ----

/// Why a message could not be decrypted, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMissing {
    /// The sender's client has not sent the key.
    NotSent,
    /// The sender's client does not send keys to devices like ours.
    Withheld,
    /// The message was sent before we joined.
    BeforeJoining,
    /// The key was sent to a device that we lost.
    DeviceLost,
}

/// Says that a message could not be decrypted, and why (C8).
#[must_use]
pub fn undecryptable(cause: KeyMissing) -> String {
    let why = match cause {
        KeyMissing::NotSent => {
            "Your app hasn't sent me its key, perhaps because it was offline. Sending the message again \
                                usually helps."
        }
        KeyMissing::Withheld => {
            "Your app doesn't share its keys with me. It helps to verify me, or to allow \
                                 unverified devices in this room."
        }
        KeyMissing::DeviceLost => {
            "Its key went to a device of mine that is lost; I have a new one. Please send the message again."
        }
        KeyMissing::BeforeJoining => "It was sent before I was here. Please send again what I should know.",
    };
    format!("I can't decrypt a message here. {why}")
}

// ---- Long answers ----

/// Follows the beginning of an answer that is complete only in a file.
#[must_use]
pub fn rest_in_file() -> String {
    "*This is only the beginning: the whole answer is in the attached file.*".to_owned()
}

/// Follows an answer that is still growing and is too long to show.
#[must_use]
pub fn still_writing() -> String {
    "*… still writing; the whole answer comes as a file.*".to_owned()
}

/// The name of a long answer's file.
#[must_use]
pub fn answer_file_name() -> &'static str {
    "answer.md"
}

// ---- The service bot ----

/// An item in the list of coworkers.
#[derive(Clone, Copy, Debug)]
pub struct ListedCoworker<'a> {
    /// The full user id, by which people invite it.
    pub user_id: &'a UserId,
    /// The coworker's name.
    pub name: &'a str,
    /// What it is for.
    pub purpose: &'a str,
}

/// The service bot's welcome: when to use a coworker and when an assistant, and the list of coworkers; `lobby` links to
/// the room that lists them.
#[must_use]
pub fn welcome(coworkers: &[ListedCoworker<'_>], lobby: Option<&str>) -> String {
    let which = "Hello! Claude is here in two ways:\n\n\
                 - **Coworkers** work in rooms, where everyone sees them: for what a team does again and again. Invite \
                 one to a room and mention it.\n\
                 - **Your assistant** is for you alone, in an encrypted chat: for anything else.";
    format!("{which}\n\n{}", coworker_list(coworkers, lobby))
}

/// The list of coworkers, each a link that apps show as a pill; `lobby` links to the room that lists them.
#[must_use]
pub fn coworker_list(coworkers: &[ListedCoworker<'_>], lobby: Option<&str>) -> String {
    if coworkers.is_empty() {
        return "There are no coworkers yet.".to_owned();
    }
    let line = |one: &ListedCoworker<'_>| {
        format!("- {} (`{}`): {}", pill(one.user_id, one.name), one.user_id, sentence(one.purpose))
    };
    let lines: Vec<String> = coworkers.iter().map(line).collect();
    let found = match lobby {
        Some(lobby) => format!("\n\nThey are all in {lobby}: join it, and your app finds them by name."),
        None => String::new(),
    };
    format!("The coworkers here:\n\n{}{found}", lines.join("\n"))
}

/// The name of the lobby, which lists the coworkers.
#[must_use]
pub fn lobby_name() -> &'static str {
    "Coworkers"
}

/// The topic of the lobby.
#[must_use]
pub fn lobby_topic() -> &'static str {
    "Who works here. Invite one to your team's room and mention it there; nothing is asked in this one."
}

/// Tells a person where their assistant is; `assistant` and `chat` are links.
#[must_use]
pub fn assistant_is_here(assistant: &str, chat: Option<&str>) -> String {
    let chat = chat.unwrap_or("Its chat");
    format!("Your assistant is {assistant}. {chat} is waiting among your invites: accept it and write there.")
}

/// Tells a person that this is their assistant's chat; `assistant` and `chat` are links.
#[must_use]
pub fn assistant_is_known(assistant: &str, chat: Option<&str>) -> String {
    let chat = chat.unwrap_or("its chat");
    format!("Your assistant is {assistant}. You are in {chat} already; write to it there.")
}

/// Tells a person that assistants are turned off.
#[must_use]
pub fn assistants_off() -> String {
    "There are no personal assistants here: the person who runs Workmate has switched them off.".to_owned()
}

/// The service bot's `!help`; admins see more.
#[must_use]
pub fn service_help(is_admin: bool) -> String {
    let (all, admins) = SERVICE.split_at(SERVICE_FOR_ADMINS);
    let all = help_lines(all, "");
    if is_admin { format!("{all}\n\nFor admins:\n\n{}", help_lines(admins, "")) } else { all }
}

// ---- Parts of sentences ----

/// Ends a line of the config with a full stop unless it ends with a mark already.
fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', '!', '?', '…', '。', '؟']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

fn duration_seconds(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (120.., _) => duration_minutes(seconds.div_ceil(60)),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// Returns a duration in words: "an hour", "two days".
fn span(ms: u64) -> String {
    let minutes = ms.div_ceil(60_000);
    let (count, one, many) = match minutes {
        0..120 if minutes != 60 => (minutes, "a minute", "minutes"),
        2_880.. if minutes.is_multiple_of(1_440) => (minutes / 1_440, "a day", "days"),
        1_440 => (1, "a day", "days"),
        _ => ((minutes + 30) / 60, "an hour", "hours"),
    };
    if count <= 1 { one.to_owned() } else { format!("{count} {many}") }
}

/// Returns a number of minutes in words.
pub(crate) fn duration_minutes(minutes: u64) -> String {
    match minutes {
        0 | 1 => "a minute".to_owned(),
        2..=90 if minutes != 60 => format!("{minutes} minutes"),
        60 => "an hour".to_owned(),
        91..2_880 => format!("{} hours", (minutes + 30) / 60),
        _ => format!("{} days", minutes / 1_440 + u64::from(minutes % 1_440 >= 720)),
    }
}

#[cfg(test)]
mod all;
#[cfg(test)]
mod tests;
