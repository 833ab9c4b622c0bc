//! Removes references that point nowhere: only the bad field is dropped, and the message stays.

use super::{EventKind, Message};
use crate::core::id;

impl EventKind {
    /// Returns the event without impossible ids (see [`id`]).
    ///
    /// A reply to such an id, a thread or a mention with one is removed from the message. An event that consists only
    /// of such a reference (an edit, a reaction, a redaction, a vote) becomes [`Self::Other`].
    #[must_use]
    pub fn fit(self) -> Self {
        match self {
            Self::Message(message) => Self::Message(message.fit()),
            Self::Undecryptable(message) => Self::Undecryptable(message.map(Message::fit)),
            Self::Edit { target, new, mut newly_mentioned } if id::is_event(&target) => {
                newly_mentioned.retain(|user| id::is_user(user));
                Self::Edit { target, new: new.fit(), newly_mentioned }
            }
            Self::Edit { .. } => Self::Other("m.room.message".to_owned()),
            Self::Reaction { target, .. } if !id::is_event(&target) => Self::Other("m.reaction".to_owned()),
            Self::Redaction { target, .. } if !id::is_event(&target) => Self::Other("m.room.redaction".to_owned()),
            Self::PollVote { target, .. } if !id::is_event(&target) => Self::Other("m.poll.response".to_owned()),
            Self::PollEnd { target } if !id::is_event(&target) => Self::Other("m.poll.end".to_owned()),
            Self::Member(change) if !id::is_user(&change.user) => Self::Other("m.room.member".to_owned()),
            fit => fit,
        }
    }
}

impl Message {
    fn fit(mut self) -> Self {
        self.thread_root = self.thread_root.filter(|root| id::is_event(root));
        self.reply_to = self.reply_to.filter(|target| id::is_event(target));
        if let Some(mentions) = &mut self.mentions {
            mentions.users.retain(|user| id::is_user(user));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use ruma::{EventId, OwnedEventId, OwnedUserId, UserId, owned_event_id, owned_user_id};

    use super::*;
    use crate::core::{
        event::{MemberChange, Membership, Mentions},
        redaction::Authority,
    };

    fn bad_event() -> OwnedEventId {
        EventId::parse(format!("${}", "a".repeat(20_000))).expect("ruma takes it")
    }

    fn bad_user() -> OwnedUserId {
        UserId::parse(format!("@{}:hs", "a".repeat(20_000))).expect("ruma takes it")
    }

    fn message(thread_root: Option<OwnedEventId>, reply_to: Option<OwnedEventId>, users: Vec<OwnedUserId>) -> Message {
        let mentions = Some(Mentions { users: users.into_iter().collect(), room: true });
        Message { mentions, thread_root, reply_to, ..Message::text("help") }
    }

    #[test]
    fn of_a_message_only_the_bad_field_goes() {
        let (good, bob) = (owned_event_id!("$good"), owned_user_id!("@bob:hs"));
        let poisoned = message(Some(bad_event()), Some(good.clone()), vec![bad_user(), bob.clone()]);
        let fit = message(None, Some(good.clone()), vec![bob.clone()]);
        assert_eq!(EventKind::Message(poisoned.clone()).fit(), EventKind::Message(fit.clone()));
        assert_eq!(EventKind::Undecryptable(Some(poisoned.clone())).fit(), EventKind::Undecryptable(Some(fit.clone())));
        let edit = |new: Message, users: Vec<OwnedUserId>| EventKind::Edit {
            target: good.clone(),
            new,
            newly_mentioned: users.into_iter().collect(),
        };
        assert_eq!(edit(poisoned, vec![bob.clone(), bad_user()]).fit(), edit(fit, vec![bob.clone()]));
        let whole = EventKind::Message(message(Some(good.clone()), Some(good), vec![bob]));
        assert_eq!(whole.clone().fit(), whole);
    }

    #[test]
    fn what_is_nothing_but_a_reference_to_nowhere_says_nothing() {
        let new = Message::text("new");
        let user = bad_user();
        let gone = MemberChange { user, membership: Membership::Ban, display_name: None };
        for (kind, name) in [
            (EventKind::Edit { target: bad_event(), new, newly_mentioned: [].into() }, "m.room.message"),
            (EventKind::Reaction { target: bad_event(), key: "🛑".to_owned() }, "m.reaction"),
            (EventKind::Redaction { target: bad_event(), authority: Authority::Power }, "m.room.redaction"),
            (EventKind::PollVote { target: bad_event(), answers: Vec::new() }, "m.poll.response"),
            (EventKind::PollEnd { target: bad_event() }, "m.poll.end"),
            (EventKind::Member(gone), "m.room.member"),
        ] {
            assert_eq!(kind.fit(), EventKind::Other(name.to_owned()));
        }
    }
}
