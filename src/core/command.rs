//! Commands: a single word after an exclamation mark; everything else is a prompt (rules C16, A6, A7).
//!
//! Commands are recognised as people type them: in any case and width, in bold or code, with punctuation after them,
//! and with the address before or after.

use ruma::UserId;

use super::{
    address::{CoworkerHere, after_quote, is_of_machines, is_struck, strip_address, strip_address_behind},
    event::{EventKind, Message, MessageKind, RoomEvent},
    legible::is_hidden,
    people::Who,
};

pub(crate) mod list;
mod typed;

pub(crate) use self::typed::typed;

/// Most bytes of an argument of `!open`; links to events are far shorter.
pub(crate) const OPEN_ARGUMENT_BYTES_MAX: usize = 1024;

/// What a message asks of a coworker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CoworkerRequest<'a> {
    /// A command.
    Command(CoworkerCommand),
    /// `!note <text>`: keep this text; empty if it is missing.
    AddNote(&'a str),
    /// `!forget <number>`: remove that note.
    ForgetNote(u32),
    /// `!unschedule <number>`: end that schedule.
    Unschedule(u32),
    /// `!reread <number>`: read that part again.
    Reread(u32),
    /// Anything else: a prompt, without the leading mention.
    Prompt(&'a str),
}

/// A command to a coworker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CoworkerCommand {
    /// `!help`
    Help,
    /// `!tools`
    Tools,
    /// `!purpose`
    Purpose,
    /// `!notes`
    Notes,
    /// `!forget`
    Forget,
    /// `!mute`
    Mute,
    /// `!unmute`
    Unmute,
    /// `!status`
    Status,
    /// `!stop`
    Stop,
    /// `!why`, in reply to an answer or in its thread
    Why,
    /// `!verify`: verify itself by emoji.
    Verify,
    /// `!schedules`
    Schedules,
    /// `!leftout`
    LeftOut,
    /// `!reread`: read everything again that was left out, as far as the sender may.
    Reread,
}

/// The word with which an owner has their assistant verify itself; for coworkers see [`CoworkerCommand::Verify`].
pub(crate) const VERIFY: &str = "!verify";

impl CoworkerCommand {
    /// Parses a command, as [`typed()`] normalises it.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        list::find(&list::COWORKER, &typed(text), typed::is_question(text), Self::Help)
    }
}

/// Returns what a message asks of the coworker it addresses.
#[must_use]
pub(crate) fn coworker_request<'m>(message: &'m Message, coworker: &CoworkerHere<'_>) -> CoworkerRequest<'m> {
    let html = message.html.as_deref();
    let text = strip_address(&message.body, html, coworker);
    // Of a message that is still being written, a word may be the beginning of another.
    if message.live || !typed::may_be_command(text) || html.is_some_and(is_struck) {
        return CoworkerRequest::Prompt(text);
    }
    // `!note … @oncall`: a trailing address is not part of the note, unless one came before.
    let unaddressed = text == after_quote(&message.body).trim_end();
    let behind = strip_address_behind(text, html, coworker);
    let asked = behind.filter(|_| unaddressed).and_then(command_in).or_else(|| command_in(text));
    // `<pill>: !help <pill>`; a note is taken as it is.
    let asked = asked.or_else(|| behind.and_then(CoworkerCommand::parse).map(CoworkerRequest::Command));
    asked.unwrap_or(CoworkerRequest::Prompt(text))
}

fn command_in(text: &str) -> Option<CoworkerRequest<'_>> {
    CoworkerCommand::parse(text).map(CoworkerRequest::Command).or_else(|| with_argument(text))
}

/// Parses the commands with an argument.
fn with_argument(text: &str) -> Option<CoworkerRequest<'_>> {
    let (word, argument) = typed::split(text);
    match word.as_str() {
        "!note" => Some(CoworkerRequest::AddNote(argument)),
        // Without a number the list is shown: the model could not end anything, but might say that it did.
        "!forget" | "!unschedule" | "!reread" => Some(match (word.as_str(), typed::number(argument)) {
            _ if typed::is_question(argument) => CoworkerRequest::Command(CoworkerCommand::Help),
            ("!forget", Some(number)) => CoworkerRequest::ForgetNote(number),
            // `!forget it` may be meant for the model: of notes only numbers can be forgotten.
            ("!forget", None) => return None,
            ("!reread", Some(number)) => CoworkerRequest::Reread(number),
            ("!reread", None) => CoworkerRequest::Command(CoworkerCommand::LeftOut),
            (_, Some(number)) => CoworkerRequest::Unschedule(number),
            (_, None) => CoworkerRequest::Command(CoworkerCommand::Schedules),
        }),
        _ => None,
    }
}

/// A command to an assistant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AssistantCommand {
    /// `!new`
    New,
    /// `!forget`
    Forget,
    /// `!tools`
    Tools,
    /// `!help`
    Help,
    /// `!open <room, thread or message>`; without an argument the assistant asks for one.
    Open(Option<String>),
    /// `!export`
    Export,
    /// `!share`, in reply to an answer or for the newest one.
    Share,
    /// `!stop`
    Stop,
    /// A command about reminders.
    Reminding(Reminding),
    /// A command about connections of the owner's own programs.
    Connecting(Connecting),
    /// A command about what the provider refused.
    Refusing(Refusing),
}

/// What an owner wants of what is left out, because the model's provider refused it (C26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusing {
    /// `!leftout`
    List,
    /// `!reread`, or `!reread <number>`
    Reread(Option<u32>),
}

/// What an owner wants of their connections (A13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connecting {
    /// `!connect <name>`; the name may be missing.
    Add(String),
    /// `!connections`
    List,
    /// `!disconnect <number>`
    Remove(u32),
    /// `!disconnect all`
    RemoveAll,
    /// `!trail`
    Trail,
}

impl Connecting {
    /// Parses a command with an argument. A name is short; anything longer is a prompt.
    fn parse(word: &str, argument: &str) -> Option<Self> {
        match word {
            "!connect" => {
                let name = argument.trim_matches(|letter: char| letter.is_whitespace() || is_hidden(letter));
                let is_name = !name.is_empty()
                    && name.chars().count() <= super::connection::NAME_CHARS_MAX
                    && !name.contains(char::is_control);
                is_name.then(|| Self::Add(name.to_owned()))
            }
            // Without a number the list is shown: the model could not end any, but might say that it did.
            "!disconnect" => Some(match typed::number(argument) {
                Some(number) => Self::Remove(number),
                None if typed(argument) == "all" => Self::RemoveAll,
                None => Self::List,
            }),
            _ => None,
        }
    }
}

/// What an owner wants of their reminders (A12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reminding {
    /// `!remind <when> <what>`; empty if both are missing.
    Add(String),
    /// `!schedule <when> <what>`: as [`Self::Add`], and the assistant does it.
    AddTask(String),
    /// `!reminders`, or `!schedules`.
    List,
    /// `!unremind <number>`, or `!unschedule <number>`.
    Remove(u32),
    /// `!zone <IANA name>`; empty if it is missing.
    Zone(String),
}

impl Reminding {
    /// Parses a command with an argument, which stays as it was written.
    fn parse(word: &str, argument: &str) -> Option<Self> {
        match word {
            "!remind" => Some(Self::Add(argument.to_owned())),
            "!schedule" => Some(Self::AddTask(argument.to_owned())),
            "!zone" => Some(Self::Zone(argument.to_owned())),
            "!unremind" | "!unschedule" => Some(typed::number(argument).map_or(Self::List, Self::Remove)),
            _ => None,
        }
    }
}

impl AssistantCommand {
    /// Returns the command in a message, without an older client's reply quote and without a pill or id before or after
    /// it: in the chat only the assistant can be meant.
    #[must_use]
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let html = message.html.as_deref();
        let text = if message.reply_to.is_some() { after_quote(&message.body) } else { &message.body };
        let link = typed::link_behind(text, html, "!open").filter(|link| link.len() <= OPEN_ARGUMENT_BYTES_MAX);
        let command = match link {
            Some(link) => Some(Self::Open(Some(link))),
            None => Self::parse(text).or_else(|| Self::parse(typed::without_address(text, html)?)),
        };
        command.filter(|_| !message.live && !html.is_some_and(is_struck))
    }

    /// Parses a command, with the argument of those that take one.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !typed::may_be_command(text) {
            return None;
        }
        let said = typed(text);
        if let Some(command) = list::find(&list::ASSISTANT, &said, typed::is_question(text), Self::Help) {
            return Some(command);
        }
        let (word, argument) = typed::split(text);
        match Reminding::parse(&word, argument) {
            Some(Reminding::Remove(_) | Reminding::List) if typed::is_question(text) => return Some(Self::Help),
            Some(reminding) => return Some(Self::Reminding(reminding)),
            None => {}
        }
        if let Some(connecting) = Connecting::parse(&word, argument) {
            let asks = typed::is_question(text);
            return Some(if asks { Self::Help } else { Self::Connecting(connecting) });
        }
        if let Some(number) = typed::number(argument).filter(|_| word == "!reread") {
            let asks = typed::is_question(text);
            return Some(if asks { Self::Help } else { Self::Refusing(Refusing::Reread(Some(number))) });
        }
        let target = argument.trim_matches(|letter: char| matches!(letter, '<' | '>' | '`' | '*') || is_hidden(letter));
        let is_target = word == "!open"
            && !target.is_empty()
            && target.len() <= OPEN_ARGUMENT_BYTES_MAX
            && !target.contains(char::is_whitespace);
        is_target.then(|| Self::Open(Some(target.to_owned())))
    }
}

/// A command to the service bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceCommand {
    /// `!assistant`.
    Assistant,
    /// `!coworkers`.
    Coworkers,
    /// `!verify`.
    Verify,
    /// `!help`, and everything that is not a command.
    Help,
    /// `!status`; admins are told more.
    Status,
    /// `!changes`; for admins only.
    Changes,
    /// `!console`; for admins only.
    Console,
    /// `!console end`; for admins only.
    ConsoleEnd,
    /// `!accept <what>`; for admins only. The argument is exactly as `!changes` shows it.
    Accept(String),
}

impl ServiceCommand {
    /// Returns what an event in a person's chat with the bot asks for; `None` if it asks for nothing, or is not the
    /// person's.
    #[must_use]
    pub(crate) fn of(event: &RoomEvent, person: &UserId, who: &Who, is_admin: bool) -> Option<Self> {
        let EventKind::Message(message) = &event.kind else { return None };
        let is_theirs = event.sender == person && who.is_person();
        let is_said = message.kind != MessageKind::Notice && !is_of_machines(message);
        (is_theirs && is_said).then(|| Self::parse(&message.body, is_admin))
    }

    /// Parses a text to the service bot; admins' commands are unknown to others.
    #[must_use]
    pub(crate) fn parse(text: &str, is_admin: bool) -> Self {
        let said = typed(text);
        let known = if is_admin { &list::SERVICE[..] } else { &list::SERVICE[..list::SERVICE_FOR_ADMINS] };
        if is_admin && said.starts_with("!accept ") {
            let named = text.trim().split_once(char::is_whitespace).map_or("", |(_, named)| named.trim());
            return Self::Accept(named.to_owned());
        }
        list::find(known, &said, false, Self::Help).unwrap_or(Self::Help)
    }
}

#[cfg(test)]
mod tests;
