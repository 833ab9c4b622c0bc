//! Commands: one word behind an exclamation mark; everything else is a prompt (rules C16, A6, A7).
//!
//! A command is read as people type it: in any case and width, as bold or code, with a mark behind it, with whom it is for
//! before or behind it.

use super::address::{CoworkerHere, after_quote, strip_address, strip_address_behind};
use super::event::Message;
use super::legible::is_hidden;

pub mod list;
mod typed;

pub(in crate::core) use self::typed::is_struck;
pub use self::typed::typed;

/// The longest argument of `!open` that is taken as one, in bytes; a link to an event is far shorter.
pub const OPEN_ARGUMENT_BYTES_MAX: usize = 1024;

/// What is asked of a coworker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoworkerRequest<'a> {
    /// A command.
    Command(CoworkerCommand),
    /// `!note <text>`: keep this; empty where the text is missing.
    AddNote(&'a str),
    /// `!forget <number>`: remove one note.
    ForgetNote(u32),
    /// Anything else: what to answer, without the leading mention.
    Prompt(&'a str),
}

/// A command to a coworker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoworkerCommand {
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
    /// `!verify`: show that it is who it seems, by emoji
    Verify,
}

/// The word by which an owner has their assistant verified; a coworker's is [`CoworkerCommand::Verify`].
pub const VERIFY: &str = "!verify";

impl CoworkerCommand {
    /// Returns the command that `text` is, as [`typed()`] reads it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        list::find(&list::COWORKER, &typed(text), typed::is_question(text), Self::Help)
    }
}

/// Returns what a message asks of the coworker that it addresses.
#[must_use]
pub fn coworker_request<'m>(message: &'m Message, coworker: &CoworkerHere<'_>) -> CoworkerRequest<'m> {
    let html = message.html.as_deref();
    let text = strip_address(&message.body, html, coworker);
    if !typed::may_be_command(text) || html.is_some_and(is_struck) {
        return CoworkerRequest::Prompt(text);
    }
    // `!note … @oncall`: whom it is for is no part of the note, unless it was named before.
    let unaddressed = text == after_quote(&message.body).trim_end();
    let behind = if unaddressed { strip_address_behind(text, html, coworker) } else { None };
    let asked = behind.and_then(command_in).or_else(|| command_in(text));
    asked.unwrap_or(CoworkerRequest::Prompt(text))
}

fn command_in(text: &str) -> Option<CoworkerRequest<'_>> {
    CoworkerCommand::parse(text).map(CoworkerRequest::Command).or_else(|| about_notes(text))
}

/// The two commands that take an argument.
fn about_notes(text: &str) -> Option<CoworkerRequest<'_>> {
    let (word, argument) = typed::split(text);
    match word.as_str() {
        "!note" => Some(CoworkerRequest::AddNote(argument)),
        "!forget" => {
            let number = typed(argument).trim_start_matches('#').parse().ok()?;
            let asks = typed::is_question(argument);
            Some(if asks {
                CoworkerRequest::Command(CoworkerCommand::Help)
            } else {
                CoworkerRequest::ForgetNote(number)
            })
        }
        _ => None,
    }
}

/// A command to an assistant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssistantCommand {
    /// `!new`
    New,
    /// `!forget`
    Forget,
    /// `!tools`
    Tools,
    /// `!help`
    Help,
    /// `!open <room, thread or message>`; without an argument it is asked for.
    Open(Option<String>),
    /// `!export`
    Export,
    /// `!share`, in reply to an answer or for the newest one.
    Share,
    /// `!stop`
    Stop,
}

impl AssistantCommand {
    /// Returns the command that a message is, without the quote that older clients put in front of a reply, and without a
    /// pill or an id before or behind it: nobody but the assistant is there to be meant.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        let html = message.html.as_deref();
        let text = if message.reply_to.is_some() { after_quote(&message.body) } else { &message.body };
        let link = typed::link_behind(text, html, "!open").filter(|link| link.len() <= OPEN_ARGUMENT_BYTES_MAX);
        let command = match link {
            Some(link) => Some(Self::Open(Some(link))),
            None => Self::parse(text).or_else(|| Self::parse(typed::without_address(text, html)?)),
        };
        command.filter(|_| !html.is_some_and(is_struck))
    }

    /// Returns the command that `text` is. `!open` alone takes an argument: one word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !typed::may_be_command(text) {
            return None;
        }
        let said = typed(text);
        if let Some(command) = list::find(&list::ASSISTANT, &said, typed::is_question(text), Self::Help) {
            return Some(command);
        }
        let (word, target) = typed::split(text);
        let target = target.trim_matches(|letter: char| matches!(letter, '<' | '>' | '`' | '*') || is_hidden(letter));
        let is_target = word == "!open"
            && !target.is_empty()
            && target.len() <= OPEN_ARGUMENT_BYTES_MAX
            && !target.contains(char::is_whitespace);
        is_target.then(|| Self::Open(Some(target.to_owned())))
    }
}

/// A command to the service bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceCommand {
    /// `!assistant`
    Assistant,
    /// `!coworkers`
    Coworkers,
    /// `!verify`
    Verify,
    /// `!help`, and whatever is no command
    Help,
    /// `!status`, for admins
    Status,
    /// `!changes`, for admins
    Changes,
    /// `!accept <what>`, for admins: what is accepted is named as it was shown, letter by letter
    Accept(String),
}

impl ServiceCommand {
    /// Returns what `text` asks of the service bot; what an admin may ask is no command of others.
    #[must_use]
    pub fn parse(text: &str, is_admin: bool) -> Self {
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
