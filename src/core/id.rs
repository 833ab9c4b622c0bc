//! The one place that parses ids from outside. Overlong ids, and ids with characters that no id contains, are rejected.
//!
//! ruma accepts ids of any length, as early homeservers made them, and checks no more of an event id than its sigil.
//! Such an id would end up in our URLs, queries and keys. So ids in events, links, a model's arguments and files are
//! all parsed here; `tests/it/architecture.rs` finds code that does not.

use std::borrow::Cow;

use ruma::{
    EventId, MatrixToUri, MatrixUri, OwnedEventId, OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId,
    RoomId, RoomOrAliasId, ServerName, UserId, matrix_uri::MatrixId,
};

/// The longest id (spec, "Common identifier format").
pub(crate) const ID_BYTES_MAX: usize = 255;

/// Parses an event id.
#[must_use]
pub(crate) fn event(text: &str) -> Option<OwnedEventId> {
    EventId::parse(text).ok().filter(|id| is_event(id))
}

/// Parses a room id.
#[must_use]
pub(crate) fn room(text: &str) -> Option<OwnedRoomId> {
    RoomId::parse(text).ok().filter(|id| is_room(id))
}

/// Parses a room id or alias.
#[must_use]
pub(crate) fn room_or_alias(text: &str) -> Option<OwnedRoomOrAliasId> {
    RoomOrAliasId::parse(text).ok().filter(|id| is_room_or_alias(id))
}

/// Parses a user id.
#[must_use]
pub(crate) fn user(text: &str) -> Option<OwnedUserId> {
    UserId::parse(text).ok().filter(|id| is_user(id))
}

/// Parses a server name.
#[must_use]
pub(crate) fn server(text: &str) -> Option<OwnedServerName> {
    ServerName::parse(text).ok().filter(|name| is_server(name))
}

/// Parses a matrix.to link or a `matrix:` URI. Returns its target, whose ids are still to be checked, and the servers
/// of its `via`.
///
/// Rejects two slashes in a row: they enclose an empty id, which ruma indexes unchecked (ruma-common 0.16,
/// `MatrixId::parse_with_sigil`).
#[must_use]
pub(crate) fn uri(text: &str) -> Option<(MatrixId, Vec<OwnedServerName>)> {
    let text = &*canonical(text);
    if text.strip_prefix("https://").unwrap_or(text).contains("//") {
        return None;
    }
    match MatrixToUri::parse(text) {
        Ok(uri) => Some((uri.id().clone(), uri.via().to_vec())),
        Err(_) => MatrixUri::parse(text).ok().map(|uri| (uri.id().clone(), uri.via().to_vec())),
    }
}

/// Returns a link with its scheme and host in the one form that the parser knows: their letters' case means nothing, and
/// clients also follow `http` and `www`.
fn canonical(text: &str) -> Cow<'_, str> {
    const FORMS: [(&str, &str); 5] = [
        ("https://matrix.to/", "https://matrix.to/"),
        ("http://matrix.to/", "https://matrix.to/"),
        ("https://www.matrix.to/", "https://matrix.to/"),
        ("http://www.matrix.to/", "https://matrix.to/"),
        ("matrix:", "matrix:"),
    ];
    let written = |form: &str| text.get(..form.len()).filter(|beginning| beginning.eq_ignore_ascii_case(form));
    let found = FORMS.iter().find_map(|(form, known)| Some((written(form)?, *known)));
    match found {
        Some((beginning, known)) if beginning != known => Cow::Owned(format!("{known}{}", &text[beginning.len()..])),
        _ => Cow::Borrowed(text),
    }
}

/// Returns whether a parsed id is a valid event id.
#[must_use]
pub(crate) fn is_event(id: &EventId) -> bool {
    id.as_str().len() > 1 && is_opaque(id.as_str())
}

/// Returns whether a parsed id is a valid room id.
#[must_use]
pub(crate) fn is_room(id: &RoomId) -> bool {
    id.as_str().len() > 1 && is_opaque(id.as_str())
}

/// Returns whether a parsed id or alias is a valid one; an alias may contain letters of any script.
#[must_use]
pub(crate) fn is_room_or_alias(id: &RoomOrAliasId) -> bool {
    if id.as_str().starts_with('!') {
        return id.as_str().len() > 1 && is_opaque(id.as_str());
    }
    // ruma does not escape `%` in paths, so it would be decoded into something else.
    id.as_str().len() <= ID_BYTES_MAX && !id.as_str().chars().any(|letter| is_unseen(letter) || letter == '%')
}

/// Returns whether a parsed id is a valid user id. Historical localparts contain letters of any script (spec,
/// "Historical User IDs").
#[must_use]
pub(crate) fn is_user(id: &UserId) -> bool {
    id.as_str().len() <= ID_BYTES_MAX && !id.as_str().chars().any(is_unseen)
}

/// Returns whether a parsed user id may be given to a new user (spec, "User Identifiers").
#[must_use]
pub(crate) fn may_be_registered(id: &UserId) -> bool {
    is_user(id)
        && id
            .localpart()
            .chars()
            .all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '.' | '_' | '=' | '-' | '/' | '+'))
}

/// Returns whether a parsed server name is a valid one.
#[must_use]
pub(crate) fn is_server(name: &ServerName) -> bool {
    name.as_str().len() <= ID_BYTES_MAX
}

/// Returns whether an opaque identifier of another kind is usable: of a device, a transaction, a session.
#[must_use]
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && !matches!(text, "." | "..") && is_opaque(text)
}

/// Homeservers make these ids from visible ASCII. Rejects characters that would end a path segment; only `/` is
/// allowed, which ruma escapes.
fn is_opaque(text: &str) -> bool {
    text.len() <= ID_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"%?#\\".contains(&byte))
}

/// Returns whether a character is a control, a space, a direction mark or an invisible joiner.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || letter.is_whitespace()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The middle of an otherwise valid id, and whether it is allowed in an opaque id and in a user id.
    const MIDDLES: [(&str, bool, bool); 15] = [
        ("abc", true, true),
        ("a-b_c", true, true),
        ("a/b+c", true, true),
        ("a..b", true, true),
        ("a b", false, false),
        ("a\0b", false, false),
        ("a\nb", false, false),
        ("a\u{7f}b", false, false),
        ("a\u{202e}b", false, false),
        ("a\u{200b}b", false, false),
        ("a%2Fb", false, true),
        ("a?b", false, true),
        ("a#b", false, true),
        ("a\\b", false, true),
        ("ä", false, true),
    ];

    #[test]
    fn an_id_holds_nothing_that_no_id_holds() {
        for (middle, opaque, of_a_user) in MIDDLES {
            assert_eq!(event(&format!("${middle}")).is_some(), opaque, "event {middle:?}");
            assert_eq!(event(&format!("${middle}:hs")).is_some(), opaque, "event {middle:?}");
            assert_eq!(room(&format!("!{middle}:hs")).is_some(), opaque, "room {middle:?}");
            assert_eq!(room(&format!("!{middle}")).is_some(), opaque, "room {middle:?}");
            assert_eq!(user(&format!("@{middle}:hs")).is_some(), of_a_user, "user {middle:?}");
            let of_an_alias = of_a_user && !middle.contains('%');
            assert_eq!(room_or_alias(&format!("#{middle}:hs")).is_some(), of_an_alias, "alias {middle:?}");
            assert_eq!(is_token(middle), opaque, "token {middle:?}");
        }
        for none in ["", "$", "!", "@", "#", "abc", "@a", "@a:bad server name!", "@:", "#a", "$a:", "$a:b c"] {
            let parsed =
                [event(none).is_some(), room(none).is_some(), user(none).is_some(), room_or_alias(none).is_some()];
            assert_eq!(parsed, [false; 4], "{none:?}");
        }
        assert!(!is_token("..") && !is_token(".") && !is_token(""));
    }

    #[test]
    fn a_link_with_an_empty_id_names_nothing() {
        for text in ["#//", "%23//?", "//", "///", "/x//", "!x//$y", "u//", "%40bob:hs//", "a//b"] {
            for base in ["https://matrix.to/#/", "matrix:", "https://matrix.to/#", ""] {
                assert_eq!(uri(&format!("{base}{text}")), None, "{base}{text}");
            }
        }
        let (id, via) = uri("https://matrix.to/#/%40bob%3Ahs.org?via=a.org").expect("is a link");
        assert_eq!((id, via.len()), (MatrixId::User(ruma::owned_user_id!("@bob:hs.org")), 1));
        assert!(uri("matrix:u/bob:hs.org").is_some());
        for alike in [
            "HTTPS://MATRIX.TO/#/@bob:hs.org",
            "https://Matrix.to/#/%40bob:hs.org",
            "http://matrix.to/#/@bob:hs.org",
            "HTTP://WWW.matrix.to/#/@bob:hs.org",
            "MATRIX:u/bob:hs.org",
        ] {
            let found = uri(alike).map(|(id, _)| id);
            assert_eq!(found, Some(MatrixId::User(ruma::owned_user_id!("@bob:hs.org"))), "{alike}");
        }
        for other in
            ["https://matrix.to.evil.org/#/@bob:hs.org", "ftp://matrix.to/#/@bob:hs.org", "xmatrix:u/bob:hs.org"]
        {
            assert_eq!(uri(other), None, "{other}");
        }
    }

    #[test]
    fn an_id_is_as_long_as_the_spec_says_and_not_longer() {
        for (length, fits) in [(ID_BYTES_MAX, true), (ID_BYTES_MAX + 1, false), (20_000, false)] {
            let filled =
                |begin: &str, end: &str| format!("{begin}{}{end}", "a".repeat(length - begin.len() - end.len()));
            assert_eq!(event(&filled("$", "")).is_some(), fits, "{length}");
            assert_eq!(room(&filled("!", "")).is_some(), fits, "{length}");
            assert_eq!(user(&filled("@", ":hs")).is_some(), fits, "{length}");
            assert_eq!(room_or_alias(&filled("#", ":hs")).is_some(), fits, "{length}");
            assert_eq!(server(&filled("a", "")).is_some(), fits, "{length}");
            assert_eq!(is_token(&filled("", "")), fits, "{length}");
        }
        // The limit is in bytes, not letters.
        assert!(user(&format!("@{}:hs", "ä".repeat(130))).is_none());
    }

    #[test]
    fn a1_an_id_that_a_new_user_may_have_is_short_and_of_small_letters() {
        for (id, may) in [
            ("@assistant-alice:hs", true),
            ("@assistant-dot.ted:hs", true),
            ("@assistant-eq=2fsign:hs", true),
            ("@assistant-_under/7+x:hs", true),
            ("@assistant-Alice:hs", false),
            ("@assistant-a!b:hs", false),
        ] {
            let id = UserId::parse(id).expect("an id");
            assert_eq!(may_be_registered(&id), may, "{id}");
        }
    }
}
