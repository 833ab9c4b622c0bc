//! Why one of ours declines an invite or leaves: reasons, which apps show as plain text beside "left the room", and
//! messages with links.

/// Why a coworker declines or leaves a chat with a single person (C4).
#[must_use]
pub(crate) fn only_in_rooms(service: &str) -> String {
    format!(
        "I work in rooms with at least two people: invite me to one and mention me there. For something private, write to \
         {service}."
    )
}

/// The same as a message in the chat; `service` and the shared `rooms` are links.
#[must_use]
pub(crate) fn works_in_rooms(service: &str, rooms: &[String]) -> String {
    let there = match rooms {
        [] => "Invite me to a team room and mention me there.".to_owned(),
        rooms => format!("Mention me in a room that we share ({}), or invite me to another.", rooms.join(", ")),
    };
    format!(
        "I work in rooms with at least two people, where everyone sees what I do, so I don't stay in this chat. {there} For \
         something private, write to {service}: it brings you an assistant of your own."
    )
}

/// Why a coworker declines this person's invites (C3).
#[must_use]
pub(crate) fn not_from_you() -> String {
    "I don't accept invites from you. Ask someone who works with me, or the person who runs Workmate.".to_owned()
}

/// Why a coworker that the config no longer names declines.
#[must_use]
pub(crate) fn retired(service: &str) -> String {
    format!("I don't work here any more. Write !coworkers to {service} to see who does.")
}

/// Why another person's assistant declines (A3).
#[must_use]
pub(crate) fn others_assistant(service: &str) -> String {
    format!("I'm someone else's assistant. Write to {service} to get your own.")
}

/// Why an assistant declines a room of several people (A2).
#[must_use]
pub(crate) fn assistant_of_one() -> String {
    "I answer one person, in one private chat, and join no other room.".to_owned()
}

/// Why an assistant declines another chat with its owner: they have one already, at `link` (A2).
#[must_use]
pub(crate) fn own_chat(link: &str, invited: bool) -> String {
    let there = if invited { "accept my invite to it" } else { "go on there" };
    format!(
        "We have a private, encrypted chat: {there} ({link}). I can't read what is written here; please send it again there."
    )
}

/// Why an assistant declines if assistants are turned off.
#[must_use]
pub(crate) fn no_assistants() -> String {
    "There are no personal assistants here.".to_owned()
}

/// Why an assistant declines somebody who is not a member of the workspace.
#[must_use]
pub(crate) fn members_only() -> String {
    "Assistants are for the members of this workspace's space; once you have joined it, yours comes by itself."
        .to_owned()
}

/// Why the service bot leaves a room of several people.
#[must_use]
pub(crate) fn service_alone() -> String {
    "I work in chats with one person only. Start a chat with me alone, and I'll show you around.".to_owned()
}

/// Follows an assistant's first words if its owner had begun another chat with it.
#[must_use]
pub(crate) fn written_elsewhere() -> String {
    "You began another chat with me. I work in this one only, so I left that one without reading it: if you wrote \
     something there, please send it again here."
        .to_owned()
}

/// Why one of ours leaves a room that is too large to read.
#[must_use]
pub(crate) fn room_too_large() -> String {
    "This room holds more data than I can read. Please ask me in another room.".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest reason that apps show in full, in characters.
    const REASON_CHARS_MAX: usize = 240;

    #[test]
    fn reasons_are_plain_short_and_say_what_to_do() {
        let service = "@workmate:example.org";
        let link = "https://matrix.to/#/!AbCdEfGhIjKlMnOpQr:example.org?via=example.org";
        let reasons = [
            (only_in_rooms(service), "invite me"),
            (not_from_you(), "Ask"),
            (retired(service), "!coworkers"),
            (others_assistant(service), service),
            (own_chat(link, true), "accept my invite"),
            (own_chat(link, false), "go on there"),
            (service_alone(), "Start a chat"),
            (room_too_large(), "another room"),
        ];
        for (reason, what) in reasons {
            assert!(reason.contains(what), "{what} is not in {reason}");
            assert!(!reason.contains(['`', '*', '[', '\n']) && reason.chars().count() <= REASON_CHARS_MAX, "{reason}");
        }
    }
}
