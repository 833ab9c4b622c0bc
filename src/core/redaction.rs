//! Whether a redaction takes effect (room versions 3 and later, "Handling redactions").
//!
//! A homeserver rejects redactions for which its own users lack power. Those from other servers it may have to accept,
//! and it judges their effect once it knows the redacted event. This code does the same.

use ruma::UserId;

/// What entitles a redaction, beyond the sender's own server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// The sender's power level, as far as known, lets them redact anybody's events.
    Power,
    /// Nothing: it can only affect events of users on the sender's server.
    OwnServer,
}

/// Returns whether a redaction by `sender` affects an event by `author`.
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
