//! Texts of the operators' console, and of the command that opens it.

use crate::core::console::door::{IDLE_MS, LINK_MS, SESSION_MS};

/// Whoever is not signed in.
pub(crate) const SIGNED_OUT: (&str, &str) = (
    "Signed out",
    "This is Workmate's console, for its admins. To sign in, write !console to Workmate's service bot in your encrypted chat \
     with it, and open the link that it answers with.",
);
/// Whoever has signed out.
pub(crate) const LEFT: (&str, &str) =
    ("Signed out", "This session has ended. To sign in again, write !console to Workmate's service bot.");
/// A link that opens nothing.
pub(crate) const LINK_OVER: (&str, &str) = (
    "This link opens nothing any more",
    "A link works once, in one browser, and for a minute. Write !console to Workmate's service bot for a new one.",
);
/// An address that is none.
pub(crate) const NOWHERE: (&str, &str) = ("There is nothing here", "The console has no such address.");
/// A form from elsewhere.
pub(crate) const FOREIGN: (&str, &str) =
    ("Refused", "This did not come from a page of the console. Open the console, and use its own buttons.");
/// A host that is not ours.
pub(crate) const OTHER_HOST: (&str, &str) =
    ("Not served here", "The console is reached by its own address alone: set console_url to the one in use.");
/// Too many calls.
pub(crate) const TOO_FAST: (&str, &str) = ("Too many calls", "Wait a minute, and try again.");
/// Something that is not there, for an admin.
pub(crate) const NOT_HERE: (&str, &str) =
    ("Nothing here", "There is no such page, or no such run any more: runs go after audit.retention_days.");
/// The heading of the page behind a link.
pub(crate) const DOOR: &str = "Workmate's console";
/// What that page says.
pub(crate) const DOOR_TEXT: &str = "Sign in with this browser. The link works once: nobody else can use it after you. You stay signed in for 12 hours at most.";
/// Its button.
pub(crate) const DOOR_BUTTON: &str = "Sign in";
/// The heading of a page that cannot be shown.
pub(crate) const FAILED: &str = "This cannot be shown now";
/// At the foot of each page.
pub(crate) const NO_CONTENT: &str = "No message, prompt or tool argument is ever shown here.";
/// While runs are counted.
pub(crate) const COUNTING: &str = "Past runs are still being counted: these sums grow for a moment.";
/// What the button for an examination does.
pub(crate) const EXAMINE: &str = "Tries everything for real, as workmate doctor --free does: the homeserver in both directions, an \
                                  encrypted round trip, disk, clock, key and model, tools. It takes up to two minutes.";
/// Matches lie far apart.
pub(crate) const LOOKED_TO: &str = "These runs lie far apart. It was looked back to";
/// An assistant's run.
pub(crate) const PRIVATE_RUN: &str = "An assistant's: rooms, messages and tools' names are its owner's business.";
/// The page about assistants.
pub(crate) const PRIVATE: &str =
    "What is said to an assistant is between it and its owner. Here are only whose they are, and sums.";
/// The mark behind an amount.
pub(crate) const UNPRICED: &str = "An amount with * holds models without a known price, which count as the dearest.";
/// Above the cards.
pub(crate) const DECIDED_IN_THE_ROOM: &str = "They are decided in their rooms, by those who may, and not here.";
/// Where nothing was changed.
pub(crate) const NO_CHANGES: &str = "Nothing has changed since it is noted.";
/// Above changed tools.
pub(crate) const CHANGED_TOOLS: &str =
    "These are withheld until an admin accepts them: !changes in a chat with the service bot shows what is new.";

fn hours(ms: u64) -> u64 {
    ms / 3_600_000
}

/// Gives an admin the link that opens the console.
#[must_use]
pub(crate) fn link(address: &str) -> String {
    format!(
        "**[Open the console]({address})**\n\nThe link works once, in one browser, for {} seconds. You stay signed in there for \
         {} hours at most, {} without use. `!console end` ends all your sessions.",
        LINK_MS / 1_000,
        hours(SESSION_MS),
        hours(IDLE_MS)
    )
}

/// Says that all of an admin's sessions have ended.
#[must_use]
pub(crate) fn ended(sessions: usize) -> String {
    match sessions {
        0 => "You had no session in the console; a link that was still open works no more.".to_owned(),
        1 => "Your session in the console has ended.".to_owned(),
        many => format!("Your {many} sessions in the console have ended."),
    }
}

/// Says that there is no console.
#[must_use]
pub(crate) fn off() -> String {
    "The console isn't turned on. Set `console_listen` in Workmate's configuration, and restart it.".to_owned()
}

/// Says that a link is given in an encrypted chat alone.
#[must_use]
pub(crate) fn plain_chat() -> String {
    "I give the link only in an encrypted chat with you alone: whoever reads it can sign in as you. Turn on encryption here, \
     or write to me in an encrypted chat."
        .to_owned()
}
