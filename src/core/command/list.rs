//! Every command: its word, what it does, and its line of the help. The parser, `!help` and `docs/commands.md` use
//! these lists.

use super::{
    AssistantCommand as Assistant, Connecting, CoworkerCommand as Coworker, Refusing, Reminding,
    ServiceCommand as Service,
};

/// A command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<C> {
    /// The command's word, such as `!help`.
    pub word: &'static str,
    /// The argument as shown after the word, with a leading space; mostly empty.
    pub argument: &'static str,
    /// The command that the word alone means; `None` if it is parsed elsewhere with its argument.
    pub is: Option<C>,
    /// Whether it loses or ends something, so that a question mark after it only asks what it does.
    pub changes: bool,
    /// Its text in the help, after the word; empty if another command's line covers it, or the help omits it.
    pub help: &'static str,
    /// A sentence about what it does.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test makes docs/commands.md of it"))]
    pub about: &'static str,
}

/// The commands of coworkers, in the order of the help.
pub(crate) static COWORKER: [Described<Coworker>; 16] = [
    plain("!purpose", Coworker::Purpose, "what I'm for", "Says what the coworker is for."),
    plain("!tools", Coworker::Tools, "what I can use", "Lists its tools here, and who approves them."),
    plain("!why", Coworker::Why, "what I drew on", "In reply to an answer or in its thread: what the answer drew on."),
    plain(
        "!leftout",
        Coworker::LeftOut,
        "",
        "Lists what it leaves out in this room, because the model's provider refused it.",
    ),
    Described {
        argument: " 2",
        ..changing(
            "!reread",
            Coworker::Reread,
            "",
            "Reads again what is left out, or one of it: for who sent it, and moderators.",
        )
    },
    plain(
        "!status",
        Coworker::Status,
        "what I'm doing",
        "Says what it is working on in this room, what waits, and what was spent.",
    ),
    changing("!stop", Coworker::Stop, "stop me; or react 🛑", "Ends what it is working on."),
    plain("!schedules", Coworker::Schedules, "my set times", "Lists what it does in the room at set times."),
    read_elsewhere("!unschedule", " 2", "", "Ends the schedule with this number: for who set it up, and moderators."),
    read_elsewhere("!note", " …", "keep a note", "Keeps a note for this room."),
    plain("!notes", Coworker::Notes, "show the notes", "Lists the room's notes."),
    Described {
        argument: " 2",
        ..changing(
            "!forget",
            Coworker::Forget,
            "all; `!forget 2` one",
            "Removes all of the room's notes, or one of them.",
        )
    },
    changing("!mute", Coworker::Mute, "be quiet; `!unmute`", "Keeps it from answering in this room."),
    plain("!unmute", Coworker::Unmute, "", "Has it answer again."),
    plain("!verify", Coworker::Verify, "prove it's me", "Shows by emoji that it is who it seems."),
    plain("!help", Coworker::Help, "", "Lists these commands."),
];

/// The commands of assistants, in the order of the help.
pub(crate) static ASSISTANT: [Described<Assistant>; 21] = [
    changing(
        "!new",
        Assistant::New,
        "start a new session",
        "Begins a fresh session: what stands above is no longer read.",
    ),
    Described {
        word: "!open",
        argument: " #room",
        is: Some(Assistant::Open(None)),
        changes: false,
        help: "read a room unseen",
        about: "Reads a room, thread or message that the owner can read, until the session ends.",
    },
    changing(
        "!forget",
        Assistant::Forget,
        "delete all that I keep",
        "Redacts its own messages, and deletes what is kept: sessions, reminders, schedules, connections.",
    ),
    plain("!export", Assistant::Export, "this session as a file", "Gives the session as a file in the same chat."),
    plain(
        "!share",
        Assistant::Share,
        "an answer to forward",
        "Prepares an answer as a message of its own, for forwarding.",
    ),
    read_elsewhere(
        "!remind",
        " 10m tea",
        "me; `!reminders`",
        "Reminds the owner: `10m tea`, `tomorrow at 10 call Anna`.",
    ),
    read_elsewhere(
        "!schedule",
        " every friday at 16:00 plan my week",
        "",
        "Does something for the owner at set times, in the same chat.",
    ),
    plain(
        "!reminders",
        Assistant::Reminding(Reminding::List),
        "",
        "Lists the reminders, and what is done at set times.",
    ),
    plain("!schedules", Assistant::Reminding(Reminding::List), "", "The same."),
    read_elsewhere("!unremind", " 2", "", "Ends the reminder with this number."),
    read_elsewhere("!zone", " Europe/Berlin", "", "Notes the owner's time zone, where their profile names none."),
    Described {
        word: "!connect",
        argument: "",
        is: Some(Assistant::Connecting(Connecting::Add(String::new()))),
        changes: true,
        help: "read rooms in your Claude",
        about: "Gives a line to paste, with which the owner's own Claude Code, or another program, reads the rooms that \
                the owner and a coworker share. A word after it names the connection.",
    },
    plain(
        "!connections",
        Assistant::Connecting(Connecting::List),
        "",
        "Lists the owner's connections, and when each was last used.",
    ),
    read_elsewhere("!disconnect", " 2", "", "Ends the connection with this number, or `all`."),
    plain(
        "!trail",
        Assistant::Connecting(Connecting::Trail),
        "",
        "Lists what the owner's connections read lately, for the owner alone.",
    ),
    plain(
        "!leftout",
        Assistant::Refusing(Refusing::List),
        "",
        "Lists what it leaves out, because the model's provider refused it.",
    ),
    Described {
        word: "!reread",
        argument: " 2",
        is: Some(Assistant::Refusing(Refusing::Reread(None))),
        changes: true,
        help: "",
        about: "Reads again what is left out, or one of it.",
    },
    plain("!tools", Assistant::Tools, "what I can use", "Lists its tools."),
    changing("!stop", Assistant::Stop, "stop working", "Ends what it is working on."),
    read_elsewhere("!verify", "", "prove it's me", "Shows by emoji that it is who it seems."),
    plain("!help", Assistant::Help, "", "Lists these commands."),
];

/// The commands of the service bot, in the order of the help; those from [`SERVICE_FOR_ADMINS`] on are only for admins.
pub(crate) static SERVICE: [Described<Service>; 9] = [
    plain(
        "!assistant",
        Service::Assistant,
        "get your assistant",
        "Makes the asker's assistant, or says where its chat is.",
    ),
    plain("!coworkers", Service::Coworkers, "who works here", "Lists the coworkers."),
    plain("!verify", Service::Verify, "", "Shows by emoji that the bot is who it seems."),
    plain(
        "!status",
        Service::Status,
        "what you've used",
        "Says what the asker has used of their budgets. To admins: how Workmate is doing, and what was spent.",
    ),
    plain("!help", Service::Help, "this list", "Lists these commands."),
    plain(
        "!changes",
        Service::Changes,
        "tools that have changed",
        "For admins: shows servers' tools whose definition changed.",
    ),
    read_elsewhere(
        "!accept",
        " oncall tool",
        "",
        "For admins: lets a coworker have a changed tool, as `!changes` names it.",
    ),
    plain(
        "!console",
        Service::Console,
        "sign in to the console",
        "For admins, in an encrypted chat: answers with a link to the console that works once, for a minute.",
    ),
    plain(
        "!console end",
        Service::ConsoleEnd,
        "sign out of it everywhere",
        "For admins: ends all of the asker's sessions in the console.",
    ),
];
/// The index in [`SERVICE`] at which the admins' commands begin.
pub(crate) const SERVICE_FOR_ADMINS: usize = 5;

const fn plain<C>(word: &'static str, is: C, help: &'static str, about: &'static str) -> Described<C> {
    Described { word, argument: "", is: Some(is), changes: false, help, about }
}

const fn changing<C>(word: &'static str, is: C, help: &'static str, about: &'static str) -> Described<C> {
    Described { word, argument: "", is: Some(is), changes: true, help, about }
}

const fn read_elsewhere<C>(
    word: &'static str,
    argument: &'static str,
    help: &'static str,
    about: &'static str,
) -> Described<C> {
    Described { word, argument, is: None, changes: false, help, about }
}

/// Returns the command of the word `said`, or `help` if the text is a question about a command that changes something.
pub(super) fn find<C: Clone>(list: &[Described<C>], said: &str, is_question: bool, help: C) -> Option<C> {
    let found = list.iter().find(|one| one.word == said)?;
    let command = found.is.clone()?;
    Some(if found.changes && is_question { help } else { command })
}

/// Returns the lines of the help, with `before` before each word.
#[must_use]
pub(crate) fn help_lines<C>(list: &[Described<C>], before: &str) -> String {
    let told = list.iter().filter(|one| !one.help.is_empty());
    let lines = told.map(|one| {
        // The help of !forget names its argument by an example.
        let argument = if one.help.contains(one.word) { "" } else { one.argument };
        format!("- `{before}{}{argument}` {}", one.word, one.help)
    });
    lines.collect::<Vec<_>>().join("\n")
}
