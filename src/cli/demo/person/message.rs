//! Builds the content of an `m.room.message` that a person writes.

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};
use serde_json::{Value, json};

/// A message as a client's composer builds it.
#[derive(Clone, Debug)]
pub struct Message {
    text: String,
    msgtype: &'static str,
    mentions: Vec<OwnedUserId>,
    pills: Vec<(String, OwnedUserId)>,
    relation: Option<Value>,
    replaces: Option<OwnedEventId>,
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl Message {
    /// Returns a text message.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let (mentions, pills) = (Vec::new(), Vec::new());
        Self { text: text.into(), msgtype: "m.text", mentions, pills, relation: None, replaces: None }
    }

    /// Turns it into a notice, which bots send.
    #[must_use]
    pub fn as_notice(self) -> Self {
        Self { msgtype: "m.notice", ..self }
    }

    /// Mentions a user in `m.mentions`.
    #[must_use]
    pub fn mentioning(mut self, user: &UserId) -> Self {
        self.mentions.push(user.to_owned());
        self
    }

    /// Mentions a user and turns `label` in the text into a link to them, as mention completion does.
    #[must_use]
    pub fn pill(mut self, label: &str, user: &UserId) -> Self {
        self.pills.push((label.to_owned(), user.to_owned()));
        self.mentioning(user)
    }

    /// Puts it into the thread below `root`.
    #[must_use]
    pub fn in_thread(mut self, root: &EventId) -> Self {
        self.relation = Some(json!({
            "rel_type": "m.thread", "event_id": root, "is_falling_back": true, "m.in_reply_to": {"event_id": root},
        }));
        self
    }

    /// Makes it a reply to `event`.
    #[must_use]
    pub fn replying_to(mut self, event: &EventId) -> Self {
        self.relation = Some(json!({"m.in_reply_to": {"event_id": event}}));
        self
    }

    /// Makes it an edit of `event`.
    #[must_use]
    pub fn replacing(mut self, event: &EventId) -> Self {
        self.replaces = Some(event.to_owned());
        self
    }

    /// Returns the event's content.
    pub(super) fn content(&self) -> Value {
        let mut content = json!({
            "msgtype": self.msgtype, "body": self.text, "m.mentions": {"user_ids": self.mentions},
        });
        if !self.pills.is_empty() {
            content["format"] = json!("org.matrix.custom.html");
            content["formatted_body"] = json!(self.html());
        }
        if let Some(event) = &self.replaces {
            let new = content.clone();
            content["body"] = json!(format!("* {}", self.text));
            content["m.new_content"] = new;
            content["m.relates_to"] = json!({"rel_type": "m.replace", "event_id": event});
        } else if let Some(relation) = &self.relation {
            content["m.relates_to"] = relation.clone();
        }
        content
    }

    fn html(&self) -> String {
        let escaped = self.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.pills.iter().fold(escaped, |html, (label, user)| {
            html.replacen(label, &format!("<a href=\"https://matrix.to/#/{user}\">{label}</a>"), 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, user_id};

    use super::*;

    #[test]
    fn an_edit_carries_the_text_twice_and_its_mentions_on_top() {
        let message = Message::text("hi <all> @ci").pill("@ci", user_id!("@ci:x")).replacing(event_id!("$a"));
        let html = "hi &lt;all&gt; <a href=\"https://matrix.to/#/@ci:x\">@ci</a>";
        let mentions = json!({"user_ids": ["@ci:x"]});
        let new = json!({
            "msgtype": "m.text", "body": "hi <all> @ci", "m.mentions": mentions,
            "format": "org.matrix.custom.html", "formatted_body": html,
        });
        let mut expected = new.clone();
        expected["body"] = json!("* hi <all> @ci");
        expected["m.new_content"] = new;
        expected["m.relates_to"] = json!({"rel_type": "m.replace", "event_id": "$a"});
        assert_eq!(message.content(), expected);
    }
}
