//! Profiles of single messages (MSC4144, prefix `com.beeper`), with which bridges and some apps let one account speak under
//! several names. Their fallback puts the name before the text, where it would hide whom a message calls, and commands.

use ruma::serde::JsonObject;

use crate::core::event::Message;

/// The mark of the name in HTML.
const MARK: &str = "data-mx-profile-fallback";

/// The profile of a message.
pub(super) struct Profile<'a> {
    name: &'a str,
    has_fallback: bool,
}

impl<'a> Profile<'a> {
    /// Parses a message's own profile; `None` if it has none, or one without a name.
    pub(super) fn of(content: &'a JsonObject) -> Option<Self> {
        let profile = ["m.per_message_profile", "com.beeper.per_message_profile"]
            .iter()
            .find_map(|field| content.get(*field)?.as_object())?;
        let name = profile.get("displayname")?.as_str().filter(|name| !name.trim().is_empty())?;
        Some(Self { name, has_fallback: profile.get("has_fallback").is_some_and(|it| *it == true) })
    }

    /// Returns the message under this name, without the fallback.
    pub(super) fn of_its_own(&self, mut message: Message) -> Message {
        if self.has_fallback {
            let said = message.body.strip_prefix(self.name).and_then(|rest| rest.strip_prefix(": "));
            if let Some(said) = said {
                message.body = said.to_owned();
            }
            message.html = message.html.map(|html| without_mark(&html).unwrap_or(html));
        }
        message.speaks_as = Some(self.name.to_owned());
        message
    }
}

/// Returns HTML without the element that holds the name; `None` if there is none.
fn without_mark(html: &str) -> Option<String> {
    let mark = html.find(MARK)?;
    let begin = html[..mark].rfind('<')?;
    let tag: String = html[begin + 1..].chars().take_while(char::is_ascii_alphanumeric).collect();
    let closing = format!("</{tag}>");
    let end = mark + html[mark..].find(&closing)? + closing.len();
    Some(format!("{}{}", &html[..begin], &html[end..]))
}
