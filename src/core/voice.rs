//! Whether one of our users can speak in a room, known before anything costs; and requests that wait for that (C8,
//! C19).

use ruma::{OwnedEventId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    power::Levels,
    sealed::{ENCRYPTED, Speech},
    time::Timestamp,
};

/// Most requests of a room that wait until they can be answered; the oldest are dropped.
pub(crate) const WAITING_MAX: usize = 8;

/// Whether one of our users can speak in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// It can.
    Heard,
    /// No: the room demands an encryption that we do not know.
    OtherEncryption,
    /// No: it lacks the power to send messages.
    NoPower,
    /// No: it lacks the power because another room replaced this one.
    Replaced,
}

/// A request that one of our users cannot answer yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// The message or edit that asks.
    pub request: OwnedEventId,
    /// The user that is asked.
    pub user: OwnedUserId,
    /// When it was asked.
    pub since: Timestamp,
}

/// Returns whether `user` can speak in a room, by the required form of speech and the power levels.
#[must_use]
pub(crate) fn voice(speech: Speech, levels: &Levels, user: &UserId) -> Voice {
    let event_type = match speech {
        Speech::Refused => return Voice::OtherEncryption,
        Speech::Plain => "m.room.message",
        Speech::Encrypted => ENCRYPTED,
    };
    if levels.may_send(user, event_type) { Voice::Heard } else { Voice::NoPower }
}

/// Adds a waiting request, unless it is there already.
pub(crate) fn wait(waiting: &mut Vec<Waiting>, request: Waiting) {
    if waiting.iter().any(|known| known.request == request.request && known.user == request.user) {
        return;
    }
    waiting.push(request);
    let surplus = waiting.len().saturating_sub(WAITING_MAX);
    waiting.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::power::{State, Version};

    #[test]
    fn c19_whether_it_is_heard_depends_on_the_power_for_what_it_would_send() {
        let user = user_id!("@coworker-oncall:hs");
        let heard = |id: &str, speech: Speech, content: Option<&Value>| {
            let version = Version::of(id);
            let creation = json!({});
            let creation = Some((user_id!("@alice:hs"), &creation));
            voice(speech, &Levels::of(&State { version, creation, levels: content }), user)
        };
        let table = [
            (json!({}), [Voice::Heard, Voice::Heard]),
            (json!({ "events_default": 0, "users_default": 0 }), [Voice::Heard, Voice::Heard]),
            (json!({ "events_default": 50 }), [Voice::NoPower, Voice::NoPower]),
            (json!({ "events_default": 50, "users": { user.as_str(): 50 } }), [Voice::Heard, Voice::Heard]),
            (json!({ "events_default": 50, "users_default": 50 }), [Voice::Heard, Voice::Heard]),
            (json!({ "users_default": -1 }), [Voice::NoPower, Voice::NoPower]),
            (json!({ "users": { user.as_str(): -1 } }), [Voice::NoPower, Voice::NoPower]),
            (json!({ "events": { "m.room.message": 50 } }), [Voice::NoPower, Voice::Heard]),
            (json!({ "events": { "m.room.encrypted": 50 } }), [Voice::Heard, Voice::NoPower]),
            (json!({ "events_default": 50, "events": { "m.room.message": 0 } }), [Voice::Heard, Voice::NoPower]),
            (json!({ "events": { "m.room.message": null }, "events_default": 50 }), [Voice::NoPower, Voice::NoPower]),
            (json!({ "events_default": null, "events": null }), [Voice::Heard, Voice::Heard]),
            (json!({ "events_default": "fifty" }), [Voice::NoPower, Voice::NoPower]),
            (json!({ "events": 7 }), [Voice::NoPower, Voice::NoPower]),
            (json!("no object"), [Voice::NoPower, Voice::NoPower]),
        ];
        for (content, expected) in table {
            let found = [Speech::Plain, Speech::Encrypted].map(|speech| heard("10", speech, Some(&content)));
            assert_eq!(found, expected, "{content}");
            assert_eq!(heard("10", Speech::Refused, Some(&content)), Voice::OtherEncryption);
        }
        assert_eq!(heard("10", Speech::Plain, None), Voice::Heard, "without power levels everybody may speak");
        let lenient = json!({ "events_default": "50" });
        assert_eq!(heard("9", Speech::Plain, Some(&lenient)), Voice::NoPower);
    }

    #[test]
    fn c19_a_few_requests_wait_each_once() {
        let request = |number: usize| Waiting {
            request: OwnedEventId::try_from(format!("${number}")).expect("an id"),
            user: user_id!("@coworker-oncall:hs").to_owned(),
            since: Timestamp::from_ms(0),
        };
        let mut waiting = Vec::new();
        for number in [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10] {
            wait(&mut waiting, request(number));
        }
        assert_eq!(waiting, (3..=10).map(request).collect::<Vec<_>>());
    }
}
