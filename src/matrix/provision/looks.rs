//! Looks at a user's to-device messages without its client.

use reqwest::Method;
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};

use super::{Provisioner, read_card};
use crate::{
    core::time::Timestamp,
    matrix::{account::asks_to_verify, api::encode, error::MatrixError, proxy::Identity},
};

/// To-device messages of one sync (Synapse 1.163); as many may hide further ones.
const PAGE: usize = 100;

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Who asks for a verification, with the request's id; also if the user's client has read that already.
    pub(crate) asked: Vec<(OwnedUserId, String)>,
    /// Whether so many messages wait that more may be behind them.
    pub(crate) is_full: bool,
}

impl Looked {
    fn of(answer: &Value, now: Timestamp) -> Self {
        let events = answer["to_device"]["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        let asked = events.iter().filter_map(|event| asks_to_verify(event, now)).collect();
        Self { asked, is_full: events.len() >= PAGE }
    }
}

impl Provisioner {
    /// Returns who asks a user for a verification by to-device message.
    ///
    /// The sync for it begins nowhere, so the homeserver forgets no message for it, and leaves out all else.
    ///
    /// # Errors
    /// When the homeserver refuses or does not answer.
    pub(crate) async fn asked_to_verify(&self, user: &UserId, now: Timestamp) -> Result<Looked, MatrixError> {
        let Some(card) = read_card(&self.dir_of(user))?.filter(|card| card.opened) else {
            return Ok(Looked::default());
        };
        // Synapse answers the same first sync from a cache for two minutes (`sync_response_cache_duration`), so each look
        // has a filter of its own, which leaves out the same.
        let nothing = json!({ "types": [], "not_types": [now.as_ms().to_string()] });
        let filter = json!({ "account_data": nothing, "presence": nothing, "room": { "rooms": [] } });
        let path =
            format!("/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter={}", encode(&filter.to_string()));
        let identity = Identity::Device(user.to_owned(), card.device);
        Ok(Looked::of(&self.api.call(identity, Method::GET, &path, None).await?, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a11_a_look_finds_requests_that_are_not_old_and_says_if_more_may_wait() {
        let now = Timestamp::from_ms(1_000_000_000);
        let request = |minutes: i64| {
            json!({
                "type": "m.key.verification.request", "sender": "@alice:hs",
                "content": {
                    "transaction_id": "t1", "from_device": "PHONE", "methods": [],
                    "timestamp": now.as_ms() - minutes * 60_000,
                },
            })
        };
        let key = json!({ "type": "m.room.encrypted", "sender": "@alice:hs", "content": {} });
        let looked = |events: Vec<Value>| Looked::of(&json!({ "to_device": { "events": events } }), now);
        let alices = vec![("@alice:hs".parse().expect("an id"), "t1".to_owned())];
        assert_eq!(looked(vec![key.clone(), request(1)]), Looked { asked: alices, is_full: false });
        assert_eq!(looked(vec![request(11)]), Looked::default());
        assert!(looked(vec![key; PAGE]).is_full);
        for odd in [json!({}), json!([]), json!({ "to_device": [] }), json!({ "to_device": { "events": [null, 1] } })] {
            assert_eq!(Looked::of(&odd, now), Looked::default(), "{odd}");
        }
    }
}
