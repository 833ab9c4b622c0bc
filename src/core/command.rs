//! Commands: exact words behind an exclamation mark; everything else is a prompt (rules C16, A6, A7).

use super::address::{CoworkerHere, after_quote, strip_address};
use super::event::Message;

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
    /// Every command with its word.
    pub const ALL: [(&'static str, Self); 11] = [
        ("!help", Self::Help),
        ("!tools", Self::Tools),
        ("!purpose", Self::Purpose),
        ("!notes", Self::Notes),
        ("!forget", Self::Forget),
        ("!mute", Self::Mute),
        ("!unmute", Self::Unmute),
        ("!status", Self::Status),
        ("!stop", Self::Stop),
        ("!why", Self::Why),
        (VERIFY, Self::Verify),
    ];

    /// Returns the command that `text` is, letter by letter, white space around it aside.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(word, _)| *word == text.trim()).map(|(_, command)| command)
    }
}

/// Returns what a message asks of the coworker that it addresses.
#[must_use]
pub fn coworker_request<'m>(message: &'m Message, coworker: &CoworkerHere<'_>) -> CoworkerRequest<'m> {
    let text = strip_address(&message.body, message.html.as_deref(), coworker);
    match CoworkerCommand::parse(text) {
        Some(command) => CoworkerRequest::Command(command),
        None => about_notes(text).unwrap_or(CoworkerRequest::Prompt(text)),
    }
}

/// The two commands that take an argument.
fn about_notes(text: &str) -> Option<CoworkerRequest<'_>> {
    let text = text.trim();
    let (word, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let argument = argument.trim();
    match word {
        "!note" => Some(CoworkerRequest::AddNote(argument)),
        "!forget" => argument.parse().ok().map(CoworkerRequest::ForgetNote),
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
}

impl AssistantCommand {
    /// Returns the command that a message is, without the quote that older clients put in front of a reply.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        Self::parse(if message.reply_to.is_some() { after_quote(&message.body) } else { &message.body })
    }

    /// Returns the command that `text` is. `!open` alone takes an argument: one word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "!new" => Some(Self::New),
            "!forget" => Some(Self::Forget),
            "!tools" => Some(Self::Tools),
            "!help" => Some(Self::Help),
            "!open" => Some(Self::Open(None)),
            "!export" => Some(Self::Export),
            "!share" => Some(Self::Share),
            other => {
                let argument = other.strip_prefix("!open")?;
                let target = argument.trim_start();
                let is_target = target.len() < argument.len()
                    && target.len() <= OPEN_ARGUMENT_BYTES_MAX
                    && !target.contains(char::is_whitespace);
                is_target.then(|| Self::Open(Some(target.to_owned())))
            }
        }
    }
}

#[cfg(test)]
mod tests;
