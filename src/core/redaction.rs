//! Whether a redaction takes effect (room versions 3 and later, "Handling redactions").
//!
//! A homeserver refuses its own users' redactions that they have no power for. Those of other servers' users it may have
//! to accept, and judges their effect when it knows the event that they are about; so does this.

use ruma::UserId;

/// What speaks for a redaction beside its sender's own server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// Its sender's power level, as far as it is known, lets them redact anybody's events.
    Power,
    /// Nothing: it can only be about events of users of its sender's server.
    OwnServer,
}

/// Returns whether a redaction by `sender` of an event by `author` takes effect.
#[must_use]
pub fn takes_effect(sender: &UserId, authority: Authority, author: &UserId) -> bool {
    authority == Authority::Power || sender.server_name() == author.server_name()
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn c10_without_power_a_redaction_takes_back_what_its_own_server_sent_and_nothing_else() {
        let alice = user_id!("@alice:hs");
        let table = [
            (alice, Authority::OwnServer, true),
            (user_id!("@bob:hs"), Authority::OwnServer, true),
            (user_id!("@bob:other"), Authority::OwnServer, false),
            (user_id!("@alice:other"), Authority::OwnServer, false),
            (user_id!("@bob:other"), Authority::Power, true),
        ];
        for (sender, authority, expected) in table {
            assert_eq!(takes_effect(sender, authority, alice), expected, "{sender} {authority:?}");
        }
    }
}
