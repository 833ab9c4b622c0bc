//! Polls (MSC3381), locations (MSC3488), a room's name and topic: read with shapes of our own, because ruma reads them
//! only with features for unstable events, and strictly.

use ruma::{
    OwnedEventId,
    events::AnySyncTimelineEvent,
    serde::{JsonObject, Raw},
};
use serde::Deserialize;
use serde_json::Value;

use crate::core::{
    event::{EventKind, Location, Message, MessageKind, POLL_ANSWERS_MAX, Poll, PollAnswer},
    id,
    visibility::History,
};

/// Selections of a vote that are read; a poll has no more answers.
const SELECTIONS_MAX: usize = POLL_ANSWERS_MAX;

/// Returns what an event says, where it is one of these facts.
pub(super) fn of(raw: &Raw<AnySyncTimelineEvent>) -> Option<EventKind> {
    let event_type = raw.get_field::<String>("type").ok().flatten()?;
    let state_key = raw.get_field::<Value>("state_key").ok().flatten();
    let is_state = state_key.is_some();
    if event_type == "m.room.history_visibility" && state_key == Some(Value::String(String::new())) {
        // What is missing or unknown counts as the tightest.
        let content = raw.get_field::<JsonObject>("content").ok().flatten().unwrap_or_default();
        let value = text_of(&content, "history_visibility").unwrap_or_default();
        return Some(EventKind::HistoryVisibility(History::parse(&value)));
    }
    let read: fn(&JsonObject) -> Option<EventKind> = match (event_type.as_str(), is_state) {
        ("m.poll.start" | "org.matrix.msc3381.poll.start", false) => poll_start,
        ("m.poll.response" | "org.matrix.msc3381.poll.response", false) => poll_vote,
        ("m.poll.end" | "org.matrix.msc3381.poll.end", false) => poll_end,
        ("m.location" | "org.matrix.msc3488.location", false) => location_event,
        ("m.room.name", true) => |content| text_of(content, "name").map(EventKind::RoomName),
        ("m.room.topic", true) => |content| text_of(content, "topic").map(EventKind::RoomTopic),
        _ => return None,
    };
    let content = raw.get_field::<JsonObject>("content").ok().flatten().unwrap_or_default();
    // Redaction takes all of a message's content away, and a state event's as well.
    if content.is_empty() && !is_state {
        return Some(EventKind::Redacted);
    }
    Some(read(&content).unwrap_or(EventKind::Other(event_type)))
}

/// Returns what an event that cannot be decrypted says in the clear.
pub(super) fn sealed(raw: &Raw<AnySyncTimelineEvent>) -> EventKind {
    let content = raw.get_field::<JsonObject>("content").ok().flatten().unwrap_or_default();
    if related(&content, "m.replace").is_some() {
        return EventKind::Undecryptable(None);
    }
    let (thread_root, reply_to) = (related(&content, "m.thread"), genuine_reply(&content));
    EventKind::Undecryptable(Some(Message { thread_root, reply_to, ..Message::text("") }))
}

/// Adds to a location message what ruma does not read of it (MSC3488).
pub(super) fn described(mut kind: EventKind, raw: &Raw<AnySyncTimelineEvent>) -> EventKind {
    let content = || raw.get_field::<JsonObject>("content").ok().flatten();
    let (message, new) = match &mut kind {
        EventKind::Message(message) => (message, false),
        EventKind::Edit { new, .. } => (new, true),
        _ => return kind,
    };
    let MessageKind::Location(location) = &mut message.kind else { return kind };
    let Some(mut content) = content() else { return kind };
    if new && let Some(Value::Object(replacing)) = content.remove("m.new_content") {
        content = replacing;
    }
    if let Some(whole) = location_of(&content) {
        *location = Location { geo_uri: std::mem::take(&mut location.geo_uri), ..whole };
    }
    kind
}

fn poll_start(content: &JsonObject) -> Option<EventKind> {
    if let (Some(target), Some(Value::Object(new))) = (related(content, "m.replace"), content.get("m.new_content")) {
        return Some(EventKind::Edit { target, new: poll_message(new)?, newly_mentioned: [].into() });
    }
    Some(EventKind::Message(Message {
        thread_root: related(content, "m.thread"),
        reply_to: genuine_reply(content),
        ..poll_message(content)?
    }))
}

fn poll_message(content: &JsonObject) -> Option<Message> {
    #[derive(Deserialize)]
    struct Start {
        question: JsonObject,
        kind: Option<String>,
        max_selections: Option<usize>,
        answers: Vec<JsonObject>,
    }
    let start =
        ["m.poll", "m.poll.start", "org.matrix.msc3381.poll.start"].iter().find_map(|name| content.get(*name))?;
    let start = Start::deserialize(start).ok()?;
    let answers = start.answers.iter().take(POLL_ANSWERS_MAX).filter_map(|answer| {
        let id = text_of(answer, "m.id").or_else(|| text_of(answer, "id"))?;
        Some(PollAnswer { id, text: extensible(answer)? })
    });
    let poll = Poll {
        answers: answers.collect(),
        selections_max: start.max_selections.unwrap_or(1).max(1),
        disclosed: start.kind.is_some_and(|kind| kind.ends_with(".disclosed")),
    };
    if poll.answers.is_empty() {
        return None;
    }
    Some(Message { kind: MessageKind::Poll(poll), mentions: None, ..Message::text(extensible(&start.question)?) })
}

fn poll_vote(content: &JsonObject) -> Option<EventKind> {
    let target = related(content, "m.reference")?;
    let unstable = || content.get("org.matrix.msc3381.poll.response")?.get("answers");
    // No list at all is a spoiled vote, as an empty one is.
    let selections = content.get("m.selections").or_else(unstable).and_then(Value::as_array);
    let answers = selections.into_iter().flatten().take(SELECTIONS_MAX);
    let answers = answers.map(|answer| answer.as_str().unwrap_or_default().to_owned()).collect();
    Some(EventKind::PollVote { target, answers })
}

fn poll_end(content: &JsonObject) -> Option<EventKind> {
    Some(EventKind::PollEnd { target: related(content, "m.reference")? })
}

fn location_event(content: &JsonObject) -> Option<EventKind> {
    let location = location_of(content)?;
    let body = extensible(content).or_else(|| location.description.clone()).unwrap_or_default();
    Some(EventKind::Message(Message {
        kind: MessageKind::Location(location),
        mentions: None,
        thread_root: related(content, "m.thread"),
        reply_to: genuine_reply(content),
        ..Message::text(body)
    }))
}

fn location_of(content: &JsonObject) -> Option<Location> {
    let named = |names: [&str; 2]| names.into_iter().find_map(|name| content.get(name)?.as_object());
    let place = named(["m.location", "org.matrix.msc3488.location"]);
    let geo_uri = place.and_then(|place| text_of(place, "uri")).or_else(|| text_of(content, "geo_uri"))?;
    let asset = named(["m.asset", "org.matrix.msc3488.asset"]).and_then(|asset| text_of(asset, "type"));
    Some(Location {
        geo_uri,
        description: place.and_then(|place| text_of(place, "description")).filter(|text| !text.trim().is_empty()),
        // Without an asset it is the sender's (MSC3488).
        of_sender: place.is_some() && asset.is_none_or(|kind| kind == "m.self"),
    })
}

/// Returns the plain text of extensible content (MSC1767): a string, or representations of which one is plain.
fn extensible(content: &JsonObject) -> Option<String> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(forms) => {
            let is_plain = |form: &&Value| form["mimetype"].as_str().is_none_or(|kind| kind.starts_with("text/plain"));
            forms.iter().find(is_plain).or(forms.first())?["body"].as_str().map(str::to_owned)
        }
        _ => None,
    };
    let names = ["m.text", "org.matrix.msc1767.text", "org.matrix.msc1767.message", "body"];
    names.into_iter().find_map(|name| plain(content.get(name)?)).filter(|text| !text.trim().is_empty())
}

fn text_of(content: &JsonObject, field: &str) -> Option<String> {
    content.get(field)?.as_str().map(str::to_owned)
}

fn related(content: &JsonObject, rel_type: &str) -> Option<OwnedEventId> {
    let relation = content.get("m.relates_to")?;
    let target = relation["event_id"].as_str().filter(|_| relation["rel_type"] == rel_type)?;
    id::event(target)
}

fn genuine_reply(content: &JsonObject) -> Option<OwnedEventId> {
    let relation = content.get("m.relates_to")?;
    if relation["rel_type"] == "m.thread" && relation["is_falling_back"] == true {
        return None;
    }
    id::event(relation["m.in_reply_to"]["event_id"].as_str()?)
}

#[cfg(test)]
mod tests;
