//! Plain messages in a card's thread or chat that do not reply to a card: which card, if any, they are about.
//!
//! Clients add a fallback reply to the newest event to anything typed in a thread, so most people answer a card with
//! such messages.

use ruma::{EventId, UserId};

use super::{
    NotAllowed, Said, Standing,
    clear::{may_be_about_a_card, said_in_passing, shown},
    may_decide,
};
use crate::core::{
    address::{CoworkerHere, after_quote, strip_address, strip_address_behind},
    event::{EventKind, Message, RoomEvent},
    people::Who,
    time::Timestamp,
};

/// What a plain message means among several cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// It is about the card at this index of those given.
    About(usize),
    /// It may be about several cards; the sender must say which.
    Unclear,
    /// It is about no card, but an ordinary message.
    Nothing,
}

/// What is known about a message near a card.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside<'a> {
    /// The coworker whose card it is; `None` for an assistant's.
    pub coworker: Option<&'a CoworkerHere<'a>>,
    /// Whether it replies to something that the card's run has posted: its status, a file.
    pub replies_to_run: bool,
}

/// Returns whether an event may be about a card that it does not point to.
#[must_use]
pub(crate) fn may_be_plain(event: &RoomEvent) -> bool {
    matches!(&event.kind, EventKind::Message(message) if may_be_about_a_card(message))
}

/// Returns what a message says about a card that it does not reply to. It must be in the card's thread, in a thread
/// opened on the card, or in the assistant's chat, and address nobody else. In a room's timeline it must name the
/// card's coworker.
#[must_use]
pub(crate) fn said_beside(message: &Message, card: &EventId, standing: &Standing, beside: &Beside<'_>) -> Option<Said> {
    let mentions = message.mentions.as_ref();
    let to_others =
        mentions.is_some_and(|mentions| mentions.room || mentions.users.iter().any(|user| *user != standing.user));
    if to_others || (message.reply_to.is_some() && !beside.replies_to_run) {
        return None;
    }
    let text = after_quote(&message.body).trim_end();
    let html = message.html.as_deref();
    let is_named = || {
        let mentioned = mentions.is_some_and(|mentions| mentions.users.contains(&standing.user));
        mentioned || beside.coworker.is_some_and(|coworker| coworker.name_at_start(text).is_some())
    };
    let is_there = match (message.thread_root.as_deref(), standing.thread.as_deref()) {
        (Some(root), thread) => root == card || Some(root) == thread,
        (None, None) => standing.owner().is_some() || beside.replies_to_run || is_named(),
        (None, Some(_)) => beside.replies_to_run,
    };
    if !is_there {
        return None;
    }
    said_in_passing(message, without_address(text, html, beside.coworker), || {
        shown(message).map(|shown| without_address(shown.trim_end(), html, beside.coworker).to_owned())
    })
}

/// Returns a text without the coworker's address before and behind it.
fn without_address<'t>(text: &'t str, html: Option<&str>, coworker: Option<&CoworkerHere<'_>>) -> &'t str {
    let Some(coworker) = coworker else { return text };
    let words = strip_address(text, html, coworker);
    strip_address_behind(words, html, coworker).unwrap_or(words)
}

/// Returns which of `cards` a plain message near them is about. `who` and `level` are as in [`may_decide`].
#[must_use]
pub(crate) fn plain(cards: &[&Standing], by: &UserId, who: &Who, level: Option<i64>, now: Timestamp) -> Plain {
    let may = |card: &Standing| may_decide(&card.rule, by, who, &card.asker, level).is_ok();
    let open: Vec<usize> = (0..cards.len()).filter(|at| cards[*at].is_open(now)).collect();
    match open.as_slice() {
        open if !open.iter().any(|at| may(cards[*at])) => Plain::Nothing,
        [only] => Plain::About(*only),
        _ => Plain::Unclear,
    }
}

/// A decision by a person who has no say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The index of the card that it is about, among those given.
    pub card: usize,
    /// Why it does not count.
    pub why: NotAllowed,
    /// Whether the message also says something else, which is an ordinary message.
    pub more: bool,
}

/// Handles a plain message near `cards` whose sender may decide about none of them. A clear yes or no counts as one
/// about the first open card about which others decide; anything less clear is an ordinary message.
#[must_use]
pub(crate) fn refused(
    cards: &[(&Standing, Said)],
    by: &UserId,
    who: &Who,
    level: Option<i64>,
    now: Timestamp,
) -> Option<Refused> {
    cards.iter().enumerate().find_map(|(card, (standing, said))| {
        let Said::Decides { more, .. } = *said else { return None };
        let open = standing.is_open(now);
        // For people without a say at any power level, the rule alone decides.
        let why =
            standing.refuses(by, who).or_else(|| may_decide(&standing.rule, by, who, &standing.asker, level).err());
        why.filter(|why| open && why.names_others()).map(|why| Refused { card, why, more })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ruma::{event_id, user_id};

    use super::{super::Choice, *};
    use crate::core::{
        approval::tests::{event, namespace, people, standing},
        event::{Mentions, Message, MessageKind},
        tool::ApprovalRule,
    };

    const NOW: Timestamp = Timestamp::from_ms(1_795_346_406_000);

    const YES: Option<Said> = Some(Said::Decides { choice: Choice::Approve, more: false });
    const NO: Option<Said> = Some(Said::Decides { choice: Choice::Decline, more: false });
    const UNCLEAR: Option<Said> = Some(Said::Unclear);

    fn in_thread(body: &str) -> Message {
        Message { thread_root: Some(event_id!("$root").to_owned()), ..Message::text(body) }
    }

    fn to(users: &[&UserId], message: Message) -> Message {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        Message { mentions: Some(Mentions { users, room: false }), ..message }
    }

    #[test]
    fn c12_words_in_a_cards_thread_are_about_the_card_if_they_are_to_nobody_else() {
        let (ci, bob) = (user_id!("@coworker-ci:hs"), user_id!("@bob:hs"));
        let to_all = Mentions { users: BTreeSet::new(), room: true };
        let on_card = |body: &str| Message { thread_root: Some(event_id!("$card").to_owned()), ..Message::text(body) };
        let elsewhere =
            |body: &str| Message { thread_root: Some(event_id!("$other").to_owned()), ..Message::text(body) };
        let table = [
            (in_thread(" Yes "), YES),
            (in_thread("approve"), YES),
            (in_thread("NO"), NO),
            (in_thread("No, don't!"), NO),
            (Message { mentions: None, ..in_thread("yes") }, YES),
            (in_thread("yes please"), YES),
            (in_thread("ok"), UNCLEAR),
            (in_thread("可以"), UNCLEAR),
            (in_thread("👍"), UNCLEAR),
            (in_thread("@ci yes"), YES),
            (in_thread("ci: stop"), NO),
            (in_thread("no @ci"), NO),
            (to(&[ci], in_thread("@ci ok")), UNCLEAR),
            (to(&[ci], Message { html: None, ..in_thread("Build Help · coworker: yes") }), YES),
            (in_thread("and how long will it take?"), None),
            (in_thread("ci: how long?"), None),
            (in_thread("bob: ok"), None),
            (to(&[bob], in_thread("yes")), None),
            (to(&[ci, bob], in_thread("yes")), None),
            (Message { mentions: Some(to_all), ..in_thread("yes") }, None),
            (Message { kind: MessageKind::Notice, ..in_thread("yes") }, None),
            (Message { kind: MessageKind::Emote, ..in_thread("yes") }, UNCLEAR),
            (Message { reply_to: Some(event_id!("$other").to_owned()), ..in_thread("yes") }, None),
            (on_card("yes"), YES),
            (elsewhere("yes"), None),
            (Message::text("yes"), None),
            (Message::text("@ci yes"), None),
        ];
        let card = Standing { thread: Some(event_id!("$root").to_owned()), ..standing(ApprovalRule::Asker) };
        let ci = CoworkerHere { user: ci, id: "ci", name: "Build Help", display_name: Some("Build Help · coworker") };
        let beside = Beside { coworker: Some(&ci), replies_to_run: false };
        for (message, expected) in table {
            assert_eq!(said_beside(&message, event_id!("$card"), &card, &beside), expected, "{message:?}");
        }
        let to_status = Message { reply_to: Some(event_id!("$status").to_owned()), ..Message::text("no") };
        let beside = Beside { replies_to_run: true, ..beside };
        assert_eq!(said_beside(&to_status, event_id!("$card"), &card, &beside), NO, "in reply to its status");
    }

    #[test]
    fn c12_where_there_is_no_thread_words_in_an_assistants_chat_are_about_its_card_and_in_a_room_those_that_name_whose()
    {
        let in_room = standing(ApprovalRule::Asker);
        let in_chat = Standing { private: true, ..in_room.clone() };
        let on_card = Message { thread_root: Some(event_id!("$card").to_owned()), ..Message::text("no") };
        let ci = user_id!("@coworker-ci:hs");
        let here = CoworkerHere { user: ci, id: "ci", name: "ci", display_name: None };
        let table = [
            (Message::text("ok"), UNCLEAR, None),
            (Message::text("yes"), YES, None),
            (Message::text("what else is new"), None, None),
            (on_card, NO, NO),
            (Message::text("@ci yes"), None, YES),
            (to(&[ci], Message::text("ok")), UNCLEAR, UNCLEAR),
            (in_thread("yes"), None, None),
        ];
        for (message, private, room) in table {
            let said = |card: &Standing, coworker| {
                said_beside(&message, event_id!("$card"), card, &Beside { coworker, replies_to_run: false })
            };
            assert_eq!((said(&in_chat, None), said(&in_room, Some(&here))), (private, room), "{message:?}");
        }
    }

    #[test]
    fn c12_only_a_new_message_may_be_about_a_card_it_does_not_point_at() {
        let new = in_thread("yes");
        assert!(may_be_plain(&event("@alice:hs", EventKind::Message(new.clone()))));
        let edit = EventKind::Edit { target: event_id!("$old").to_owned(), new, newly_mentioned: BTreeSet::new() };
        assert!(!may_be_plain(&event("@alice:hs", edit)));
        assert!(!may_be_plain(&event("@alice:hs", EventKind::Message(in_thread(&"yes ".repeat(200))))));
    }

    #[test]
    fn c12_a_plain_word_decides_about_the_one_open_card_if_its_sender_may_and_never_about_one_of_several() {
        let open = || standing(ApprovalRule::Asker);
        let bobs = || standing(people(&["@bob:hs"]));
        let decided = || {
            let mut decided = open();
            let alice = user_id!("@alice:hs");
            let heard = decided.hear(Choice::Decline, alice, &Who::Person, Some(0), event_id!("$tap"), NOW);
            assert_eq!(heard, Ok(true));
            decided
        };
        let moderator = || standing(ApprovalRule::Moderator { level: 50 });
        let late = Timestamp::from_ms(NOW.as_ms() + 100 * 60 * 60 * 1000);
        let table = [
            (vec![open()], "@alice:hs", Some(0), NOW, Plain::About(0)),
            (vec![decided(), open(), decided()], "@alice:hs", Some(0), NOW, Plain::About(1)),
            (vec![open(), open()], "@alice:hs", Some(0), NOW, Plain::Unclear),
            (vec![bobs(), open()], "@alice:hs", Some(0), NOW, Plain::Unclear),
            (vec![bobs(), bobs()], "@alice:hs", Some(100), NOW, Plain::Nothing),
            (vec![open()], "@bob:hs", Some(100), NOW, Plain::Nothing),
            (vec![open()], "@alice:hs", None, NOW, Plain::Nothing),
            (vec![moderator()], "@bob:hs", Some(49), NOW, Plain::Nothing),
            (vec![moderator()], "@bob:hs", Some(50), NOW, Plain::About(0)),
            (vec![moderator()], "@coworker-ci:hs", Some(100), NOW, Plain::Nothing),
            (vec![moderator()], "@github:hs", Some(100), NOW, Plain::Nothing),
            (vec![decided()], "@alice:hs", Some(0), NOW, Plain::Nothing),
            (vec![open()], "@alice:hs", Some(0), late, Plain::Nothing),
            (vec![], "@alice:hs", Some(0), NOW, Plain::Nothing),
        ];
        for (cards, by, level, now, expected) in table {
            let by = UserId::parse(by).expect("an id");
            let cards: Vec<&Standing> = cards.iter().collect();
            assert_eq!(plain(&cards, &by, &namespace().who(&by), level, now), expected, "{by} {cards:?}");
        }
    }

    #[test]
    fn c12_a_clear_word_of_somebody_who_may_not_decide_is_told_who_can_and_starts_no_run() {
        let asker = || standing(ApprovalRule::Asker);
        let moderator = || standing(ApprovalRule::Moderator { level: 50 });
        let late = Timestamp::from_ms(NOW.as_ms() + 100 * 60 * 60 * 1000);
        let (yes, no, no_and_more, unclear) = (
            Said::Decides { choice: Choice::Approve, more: false },
            Said::Decides { choice: Choice::Decline, more: false },
            Said::Decides { choice: Choice::Decline, more: true },
            Said::Unclear,
        );
        let told = |card, why, more| Some(Refused { card, why, more });
        let not_named = NotAllowed::NotNamed;
        let table = [
            (vec![(asker(), yes)], "@bob:hs", None, NOW, told(0, not_named, false)),
            (vec![(asker(), no)], "@bob:hs", Some(100), NOW, told(0, not_named, false)),
            (vec![(asker(), no_and_more)], "@bob:hs", None, NOW, told(0, not_named, true)),
            (vec![(asker(), unclear)], "@bob:hs", None, NOW, None),
            (vec![(asker(), unclear), (asker(), yes)], "@bob:hs", None, NOW, told(1, not_named, false)),
            (vec![(moderator(), yes)], "@bob:hs", Some(49), NOW, told(0, NotAllowed::TooLowLevel, false)),
            (vec![(moderator(), yes)], "@bob:hs", None, NOW, None),
            (vec![(moderator(), yes)], "@coworker-ci:hs", Some(100), NOW, None),
            (vec![(asker(), yes)], "@github:hs", Some(100), NOW, None),
            (vec![(asker(), yes)], "@bob:hs", None, late, None),
            (vec![(asker(), yes)], "@alice:hs", Some(0), NOW, None),
            (vec![], "@bob:hs", None, NOW, None),
        ];
        for (cards, by, level, now, expected) in table {
            let by = UserId::parse(by).expect("an id");
            let cards: Vec<(&Standing, Said)> = cards.iter().map(|(standing, said)| (standing, *said)).collect();
            assert_eq!(refused(&cards, &by, &namespace().who(&by), level, now), expected, "{by} {cards:?}");
        }
    }
}
