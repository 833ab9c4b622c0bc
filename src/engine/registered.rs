//! Whether the registration that the homeserver has loaded covers our users; tested by looking, one user of each kind.
//! A start, `/readyz` and `check --live` report it in the same words.

use ruma::{OwnedUserId, UserId};

use crate::{
    config::{Config, Registration},
    core::{
        people::Who,
        reach::registered::{Differs, is_not_covered},
    },
    matrix::{MatrixError, api::Api},
};

/// The last part of a sample user's localpart.
pub(super) const ANYBODY: &str = "nobody";

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
