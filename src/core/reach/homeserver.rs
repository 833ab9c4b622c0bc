//! Explains an answer of the homeserver, or of something in its place, to an operator: what is wrong, why it matters,
//! and how to mend it.

use std::time::Duration;

use super::registered;

/// Most characters quoted of the homeserver's own text.
const QUOTED_CHARS_MAX: usize = 200;

/// Explains an answer that is not a homeserver's: a page, other JSON, an empty or truncated body.
#[must_use]
pub(crate) fn foreign(status: u16, call: &str) -> String {
    let plainly = || format!("answered HTTP {status} to {call}, without a Matrix error");
    let (what, why, mend) = match status {
        300..=399 => (
            format!("answered {call} with a redirect (HTTP {status})"),
            "Redirects are not followed: our token would go along.",
            "set homeserver.url to where it leads; https:// instead of http:// may be all",
        ),
        401 | 403 | 407 => (
            plainly(),
            "A proxy or firewall in front of it asks for a login, or keeps this machine out.",
            "let this machine's calls to /_matrix/client pass there, or set homeserver.url to the homeserver itself",
        ),
        404 | 405 | 410 => (
            plainly(),
            "Nothing serves the client-server API there.",
            "set homeserver.url to the base that does, or have the proxy in front of it pass /_matrix/client on",
        ),
        429 => (
            plainly(),
            "A proxy in front of it lets too few calls through.",
            "lift that proxy's limit for this machine",
        ),
        502..=504 | 520..=529 => (
            plainly(),
            "A proxy answers in the place of the homeserver, which does not.",
            "start the homeserver, and look into its log and that of the proxy",
        ),
        500..=599 => (
            plainly(),
            "It, or a proxy in front of it, is in trouble.",
            "look into the homeserver's log and that of the proxy",
        ),
        _ => (
            format!("answered HTTP {status} to {call}, but not as a homeserver does"),
            "A proxy, a web page or another service stands there, or the answer was cut short.",
            "set homeserver.url to the base that serves /_matrix/client; `curl URL/_matrix/client/versions` shows it",
        ),
    };
    format!("{what}\n  {why}\n  Mend: {mend}.")
}

/// Explains a refusal by the homeserver, quoting its text.
#[must_use]
pub(crate) fn refused(call: &str, status: u16, errcode: &str, message: &str, pause: Option<Duration>) -> String {
    let quoted: String =
        message.chars().map(|char| if char.is_control() { ' ' } else { char }).take(QUOTED_CHARS_MAX).collect();
    let quoted = quoted.trim();
    let said = if quoted.is_empty() { String::new() } else { format!(": {quoted}") };
    let (why, mend) = match (errcode, status) {
        ("M_USER_DEACTIVATED", _) => (
            "The user that we act as is deactivated there, and nobody can act through it.".to_owned(),
            "reactivate that user in the homeserver's administration, and restart workmate",
        ),
        ("M_USER_LOCKED" | "M_USER_SUSPENDED" | "ORG.MATRIX.MSC3823.USER_ACCOUNT_SUSPENDED", _) => (
            "The user that we act as is locked there.".to_owned(),
            "unlock that user in the homeserver's administration",
        ),
        ("M_RESOURCE_LIMIT_EXCEEDED", _) => (
            "It has reached a limit of its own, and serves nobody.".to_owned(),
            "raise that limit in the homeserver's configuration",
        ),
        ("M_CONSENT_NOT_GIVEN", _) => (
            "It asks for consent to its terms, which our users cannot give.".to_owned(),
            "exempt application services from user_consent in the homeserver's configuration",
        ),
        (_, _) if registered::is_not_covered(errcode, message) => (
            "The registration that it has loaded does not cover this user: it is an older one than this configuration."
                .to_owned(),
            "give it the present registration.yaml (`workmate check` compares that with the configuration) and restart it",
        ),
        ("M_EXCLUSIVE", _) => (
            "Another registration has these users for itself.".to_owned(),
            "take their pattern out of the other registration, or set other names (appservice.assistant_prefix, coworker_prefix, service_localpart)",
        ),
        ("M_LIMIT_EXCEEDED", _) | (_, 429) => {
            let asks = pause.map(|pause| format!(", and asks us to wait for {} s", pause.as_secs_f64().ceil()));
            (
                format!("It lets too few of our calls through{}.", asks.unwrap_or_default()),
                "the registration that it has loaded needs `rate_limited: false`, as `workmate init` writes it; a proxy in \
                 front may have a limit of its own",
            )
        }
        ("M_UNRECOGNIZED", _) | (_, 404 | 405) => (
            "It does not know this call: it is too old, or no homeserver.".to_owned(),
            "use Synapse 1.141, Continuwuity 26.7.0, Tuwunel 1.8.3 or later, or correct homeserver.url",
        ),
        (_, 401 | 403) => (
            "It does not let us act.".to_owned(),
            "give it the present registration.yaml and restart it, and look into its log; a proxy or a module of it may keep \
             us out, too",
        ),
        (_, 500..) => ("It is in trouble.".to_owned(), "look into the homeserver's log; it is asked again by itself"),
        _ => ("It does not take our call.".to_owned(), "look into the homeserver's log for that call"),
    };
    format!("refused {call} (HTTP {status} {errcode}{said})\n  {why}\n  Mend: {mend}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op2_each_answer_says_what_where_and_how_to_mend_it() {
        let call = "GET /_matrix/client/v3/account/whoami";
        let mut told = Vec::new();
        for status in
            [200, 204, 301, 308, 400, 401, 403, 404, 405, 407, 413, 418, 429, 500, 502, 503, 504, 524, 599, 999]
        {
            told.push(foreign(status, call));
        }
        let wait = Some(Duration::from_millis(2_500));
        for (status, errcode, message, pause) in [
            (403, "M_FORBIDDEN", "Application service cannot masquerade as this user", None),
            (403, "M_USER_DEACTIVATED", "This account has been deactivated", None),
            (401, "M_USER_LOCKED", "locked", None),
            (403, "M_RESOURCE_LIMIT_EXCEEDED", "MAU", None),
            (403, "M_CONSENT_NOT_GIVEN", "terms", None),
            (400, "M_EXCLUSIVE", "reserved", None),
            (401, "M_UNAUTHORIZED", "", None),
            (404, "M_UNRECOGNIZED", "Unrecognized request", None),
            (404, "M_NOT_FOUND", "no", None),
            (400, "M_UNKNOWN", "a\nb", None),
            (429, "M_LIMIT_EXCEEDED", "Too Many Requests", None),
            (429, "M_LIMIT_EXCEEDED", "Too Many Requests", wait),
            (500, "M_UNKNOWN", "Internal server error", None),
            (503, "M_UNKNOWN", &"x".repeat(1_000), None),
        ] {
            told.push(refused(call, status, errcode, message, pause));
        }
        for text in &told {
            let lines: Vec<&str> = text.lines().collect();
            assert!(
                lines.len() == 3
                    && lines[2].starts_with("  Mend: ")
                    && lines[1..].iter().all(|line| line.ends_with('.')),
                "{text}"
            );
        }
        insta::assert_snapshot!("answers_of_a_homeserver", told.join("\n\n"));
    }
}
