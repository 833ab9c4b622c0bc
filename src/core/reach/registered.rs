//! Explains how the registration that the homeserver has loaded differs from the configuration's, and the remedy.

/// A difference between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Differs<'a> {
    /// None of its namespaces covers one of our users.
    Users {
        /// The config key that determines the user's name.
        key: &'a str,
        /// The user's id.
        user: &'a str,
        /// The required entry under `namespaces.users`.
        regex: &'a str,
    },
    /// It has another sender.
    Sender {
        /// The user for whom the homeserver takes our token.
        theirs: &'a str,
        /// The sender by the configuration.
        ours: &'a str,
    },
    /// It has another id.
    Id {
        /// The id in the configuration.
        ours: &'a str,
    },
}

impl Differs<'_> {
    /// Returns the difference, why it matters and the remedy; without a final full stop.
    #[must_use]
    pub(crate) fn told(self) -> String {
        let present = "give it the registration.yaml that belongs to this configuration (`workmate check` compares the two), \
                       and restart it";
        match self {
            Self::Users { key, user, regex } => format!(
                "{key}: the registration that the homeserver has loaded does not cover {user}\n  It lets us act as nobody \
                 outside of that registration's namespaces.users: it is an older one than this configuration.\n  Mend: \
                 {present}; its entry has to be `- {{exclusive: true, regex: '{regex}'}}`. Or set {key} back to what it was"
            ),
            Self::Sender { theirs, ours } => format!(
                "appservice.service_localpart: the registration that the homeserver has loaded has the sender {theirs}, and \
                 this configuration makes it {ours}\n  It is an older registration than this configuration, or another \
                 appservice's.\n  Mend: {present}; or set appservice.service_localpart back to what it was"
            ),
            Self::Id { ours } => format!(
                "appservice.id: the homeserver knows our as_token under another id than {ours}\n  It does not let us ask \
                 whether it reaches us.\n  Mend: {present}; or set appservice.id back to the `id` of the registration that it \
                 has loaded"
            ),
        }
    }
}

/// Returns whether an error about one of our users means that our registration does not cover it, and not that another
/// one does.
#[must_use]
pub(crate) fn is_not_covered(errcode: &str, message: &str) -> bool {
    let message = message.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match errcode {
        // Synapse's error about a user that is ours and does not exist yet.
        "M_FORBIDDEN" => !message.contains("not registered") && any(&["masquerade", "namespace", "cannot act as"]),
        "M_EXCLUSIVE" => any(&["for this application service", "not in", "outside", "does not match"]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op5_what_differs_is_named_with_its_key_and_both_ways_to_mend_it() {
        let users = Differs::Users { key: "appservice.coworker_prefix", user: "@bot-oncall:x.org", regex: "^@bot-.+$" };
        let sender = Differs::Sender { theirs: "@workmate-sender:x.org", ours: "@claude-sender:x.org" };
        for (differs, key, parts) in [
            (users, "appservice.coworker_prefix: ", ["@bot-oncall:x.org", "regex: '^@bot-.+$'"]),
            (sender, "appservice.service_localpart: ", ["@workmate-sender:x.org", "@claude-sender:x.org"]),
            (Differs::Id { ours: "wm2" }, "appservice.id: ", ["wm2", "`id` of the registration"]),
        ] {
            let told = differs.told();
            assert!(told.starts_with(key) && parts.iter().all(|part| told.contains(part)), "{told}");
            assert!(told.contains("\n  Mend: give it the registration.yaml") && told.contains("back to "), "{told}");
            assert!(!told.contains("nother registration has"), "{told}");
        }
    }

    #[test]
    fn op5_a_user_outside_of_our_registration_is_told_from_one_that_another_registration_has() {
        for (errcode, message, is_ours) in [
            ("M_FORBIDDEN", "Application service cannot masquerade as this user (@x:y).", true),
            ("M_FORBIDDEN", "Application service has not registered this user (@x:y)", false),
            ("M_EXCLUSIVE", "Invalid user localpart for this application service.", true),
            ("M_EXCLUSIVE", "User is not in namespace.", true),
            ("M_EXCLUSIVE", "Username is not in an appservice namespace.", true),
            ("M_EXCLUSIVE", "This user ID is reserved by an application service.", false),
            ("M_EXCLUSIVE", "", false),
            ("M_FORBIDDEN", "You are not allowed to do that", false),
            ("M_UNKNOWN", "not in namespace", false),
        ] {
            assert_eq!(is_not_covered(errcode, message), is_ours, "{errcode} {message}");
        }
    }
}
