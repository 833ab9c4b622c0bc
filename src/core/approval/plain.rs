//! A plain "yes" in a thread, in reply to nothing: which card it is about, if it is about one.

use ruma::{EventId, UserId};

use super::{Choice, Standing, clear::choice_of_word, may_decide};
use crate::core::{
    event::{EventKind, RoomEvent},
    people::Who,
    time::Timestamp,
};

/// What a plain word means in a thread with cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// It decides about the card at this place of those that were given.
    Decides(usize),
    /// It could be about several; its sender is to say which.
    Unclear,
    /// It is about no card: a message like any other.
    Nothing,
}

/// Returns the thread in which an event says nothing but a word that decides, and that word's meaning. A reply is about
/// what it replies to: see [`choice_of`](super::choice_of).
#[must_use]
pub fn plain_choice_of(event: &RoomEvent) -> Option<(&EventId, Choice)> {
    let EventKind::Message(message) = &event.kind else { return None };
    let to_others = message.mentions.as_ref().is_some_and(|mentions| mentions.room || !mentions.users.is_empty());
    if message.reply_to.is_some() || to_others {
        return None;
    }
    Some((message.thread_root.as_deref()?, choice_of_word(message)?))
}

/// Returns what a plain word in the thread of `cards` means. `who` and `level` are as for [`may_decide`].
#[must_use]
pub fn plain(cards: &[&Standing], by: &UserId, who: &Who, level: Option<i64>, now: Timestamp) -> Plain {
    let may = |card: &Standing| may_decide(&card.rule, by, who, &card.asker, level).is_ok();
    let open: Vec<usize> = (0..cards.len()).filter(|at| cards[*at].is_open(now)).collect();
    match open.as_slice() {
        open if !open.iter().any(|at| may(cards[*at])) => Plain::Nothing,
        [only] => Plain::Decides(*only),
        _ => Plain::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ruma::{event_id, user_id};

    use super::*;
    use crate::core::{
        approval::tests::{event, namespace, people, standing},
        event::{Mentions, Message, MessageKind},
        tool::ApprovalRule,
    };

    const NOW: Timestamp = Timestamp::from_ms(1_795_346_406_000);

    fn in_thread(body: &str) -> Message {
        Message { thread_root: Some(event_id!("$root").to_owned()), ..Message::text(body) }
    }

    #[test]
    fn c12_a_plain_word_is_the_whole_of_a_text_in_a_thread_that_is_to_nobody() {
        let to_bob = Mentions { users: BTreeSet::from([user_id!("@bob:hs").to_owned()]), room: false };
        let to_all = Mentions { users: BTreeSet::new(), room: true };
        let table = [
            (in_thread(" Yes "), Some(Choice::Approve)),
            (in_thread("approve"), Some(Choice::Approve)),
            (in_thread("NO"), Some(Choice::Decline)),
            (in_thread("decline"), Some(Choice::Decline)),
            (Message { mentions: None, ..in_thread("yes") }, Some(Choice::Approve)),
            (in_thread("Yes."), Some(Choice::Approve)),
            (in_thread("yes please"), None),
            (in_thread("ja"), None),
            (in_thread("👍"), None),
            (in_thread("@oncall yes"), None),
            (Message::text("yes"), None),
            (Message { kind: MessageKind::Notice, ..in_thread("yes") }, None),
            (Message { kind: MessageKind::Emote, ..in_thread("yes") }, None),
            (Message { kind: MessageKind::Card, ..in_thread("yes") }, None),
            (Message { reply_to: Some(event_id!("$other").to_owned()), ..in_thread("yes") }, None),
            (Message { mentions: Some(to_bob), ..in_thread("yes") }, None),
            (Message { mentions: Some(to_all), ..in_thread("yes") }, None),
        ];
        for (message, expected) in table {
            let said = event("@alice:hs", EventKind::Message(message));
            let found = plain_choice_of(&said);
            assert_eq!(found, expected.map(|choice| (event_id!("$root"), choice)), "{said:?}");
        }
        let new = in_thread("yes");
        let edit = EventKind::Edit { target: event_id!("$old").to_owned(), new, newly_mentioned: BTreeSet::new() };
        assert_eq!(plain_choice_of(&event("@alice:hs", edit)), None);
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
            (vec![open()], "@alice:hs", Some(0), NOW, Plain::Decides(0)),
            (vec![decided(), open(), decided()], "@alice:hs", Some(0), NOW, Plain::Decides(1)),
            (vec![open(), open()], "@alice:hs", Some(0), NOW, Plain::Unclear),
            (vec![bobs(), open()], "@alice:hs", Some(0), NOW, Plain::Unclear),
            (vec![bobs(), bobs()], "@alice:hs", Some(100), NOW, Plain::Nothing),
            (vec![open()], "@bob:hs", Some(100), NOW, Plain::Nothing),
            (vec![open()], "@alice:hs", None, NOW, Plain::Nothing),
            (vec![moderator()], "@bob:hs", Some(49), NOW, Plain::Nothing),
            (vec![moderator()], "@bob:hs", Some(50), NOW, Plain::Decides(0)),
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
}
