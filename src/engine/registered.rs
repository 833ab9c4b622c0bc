//! Whether the registration that the homeserver has loaded covers our users; tested by looking, one user of each kind.
//! A start, `/readyz` and `check --live` report it in the same words.

use std::time::Duration;

use ruma::{OwnedUserId, UserId};

use super::Shared;
use crate::{
    config::{Config, Registration},
    core::{
        people::Who,
        reach::registered::{Differs, is_not_covered},
    },
    matrix::{MatrixError, api::Api},
};

/// How often it is tested again whether assistants are covered, while they are not.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// The last part of a sample user's localpart.
const ANYBODY: &str = "nobody";

/// Returns one user of each kind by the configuration.
fn samples(config: &Config) -> Vec<OwnedUserId> {
    let namespace = config.namespace();
    let coworker = config.coworkers.first().map_or(ANYBODY, |coworker| coworker.id.0.as_str());
    let mut users = vec![namespace.user_id(&namespace.service), namespace.coworker(coworker)];
    if config.assistants.enabled {
        users.push(namespace.assistant(ANYBODY));
    }
    users
}

/// Explains an error about one of our users, if the loaded registration does not cover that user.
pub(super) fn not_covered(config: &Config, user: &UserId, error: &MatrixError) -> Option<String> {
    let MatrixError::Refused { errcode, message, .. } = error else { return None };
    if !is_not_covered(errcode, message) {
        return None;
    }
    let key = match config.namespace().who(user) {
        Who::Coworker(_) => "appservice.coworker_prefix",
        Who::Assistant(_) => "appservice.assistant_prefix",
        _ => "appservice.service_localpart",
    };
    let regex = Registration::of(config).users_regex;
    Some(Differs::Users { key, user: user.as_str(), regex: &regex }.told())
}

/// Returns the differences of the loaded registration that these users reveal.
///
/// # Errors
/// The first error that says nothing about the registration.
pub async fn differences(config: &Config, api: &Api) -> Result<Vec<String>, MatrixError> {
    let mut found = Vec::new();
    for user in samples(config) {
        let Err(error) = api.whoami_as(&user).await else { continue };
        match not_covered(config, &user, &error) {
            Some(told) => found.push(told),
            // The user does not exist yet; the first start creates it.
            None if is_unmade(&error) => {}
            None => return Err(error),
        }
    }
    Ok(found)
}

fn is_unmade(error: &MatrixError) -> bool {
    let MatrixError::Refused { errcode, message, .. } = error else { return false };
    let message = message.to_lowercase();
    let says_so = ["not registered", "does not exist", "unknown user", "not found"];
    matches!(errcode.as_str(), "M_FORBIDDEN" | "M_NOT_FOUND" | "M_UNKNOWN")
        && says_so.iter().any(|words| message.contains(words))
}

/// Tests until assistants are covered; the other users are created at the start, which shows it anyway.
pub(super) async fn see_to_assistants(engine: Shared) {
    let sample = engine.namespace.assistant(ANYBODY);
    loop {
        match engine.api().whoami_as(&sample).await {
            Err(error) if error.is_passing() => {}
            answer => match answer.err().and_then(|error| not_covered(&engine.config, &sample, &error)) {
                Some(told) => engine.put_out_of_order(&sample, &told),
                None => return engine.put_in_order(&sample),
            },
        }
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op5_a_user_that_nobody_made_yet_is_no_fault() {
        let refused = |errcode: &str, message: &str| MatrixError::Refused {
            call: String::new(),
            status: 403,
            errcode: errcode.to_owned(),
            message: message.to_owned(),
            retry_after: None,
        };
        for (errcode, message, unmade) in [
            ("M_FORBIDDEN", "Application service has not registered this user (@x:y)", true),
            ("M_NOT_FOUND", "User does not exist", true),
            ("M_FORBIDDEN", "Application service cannot masquerade as this user", false),
            ("M_FORBIDDEN", "no", false),
        ] {
            assert_eq!(is_unmade(&refused(errcode, message)), unmade, "{message}");
        }
    }
}
