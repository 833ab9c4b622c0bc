//! Polls (MSC3381), locations (MSC3488), room names and topics, parsed by our own types: ruma parses them strictly, and
//! only behind features for unstable events.

use ruma::{
    OwnedEventId,
    events::AnySyncTimelineEvent,
    serde::{JsonObject, Raw},
};
use serde_json::Value;

use super::fields::{content, mentions, number};
use crate::core::{
    event::{EventKind, History, LiveLocation, Location, Message, MessageKind, POLL_ANSWERS_MAX, Poll, PollAnswer},
    id,
};

/// Most selections read from a vote; a poll has no more answers.
const SELECTIONS_MAX: usize = POLL_ANSWERS_MAX;

/// Parses an event if it is one of these facts.
pub(super) fn of(raw: &Raw<AnySyncTimelineEvent>) -> Option<EventKind> {
    let event_type = raw.get_field::<String>("type").ok().flatten()?;
    let state_key = raw.get_field::<Value>("state_key").ok().flatten();
    let is_state = state_key.is_some();
    if event_type == "m.room.history_visibility" && state_key == Some(Value::String(String::new())) {
        // A missing or unknown value counts as the tightest.
        let content = content(raw);
        let value = text_of(&content, "history_visibility").unwrap_or_default();
        return Some(EventKind::HistoryVisibility(History::parse(&value)));
    }
    let read: fn(&JsonObject) -> Option<EventKind> = match (event_type.as_str(), is_state) {
        ("m.poll.start" | "org.matrix.msc3381.poll.start", false) => poll_start,
        ("m.poll.response" | "org.matrix.msc3381.poll.response", false) => poll_vote,
        ("m.poll.end" | "org.matrix.msc3381.poll.end", false) => poll_end,
        ("m.location" | "org.matrix.msc3488.location", false) => location_event,
        ("m.beacon_info" | "org.matrix.msc3489.beacon_info" | "org.matrix.msc3672.beacon_info", true) => beacon_info,
        ("m.beacon" | "org.matrix.msc3489.beacon" | "org.matrix.msc3672.beacon", false) => beacon,
        ("m.room.name", true) => |content| text_of(content, "name").map(EventKind::RoomName),
        ("m.room.topic", true) => |content| text_of(content, "topic").map(EventKind::RoomTopic),
        _ => return None,
    };
    let content = content(raw);
    // A redaction empties a message's content, and a state event's too.
    if content.is_empty() && !is_state {
        return Some(EventKind::Redacted);
    }
    Some(read(&content).unwrap_or(EventKind::Other(event_type)))
}

/// Returns what an undecryptable event says in the clear.
pub(super) fn sealed(raw: &Raw<AnySyncTimelineEvent>) -> EventKind {
    let content = content(raw);
    if related(&content, "m.replace").is_some() {
        return EventKind::Undecryptable(None);
    }
    let (thread_root, reply_to) = (related(&content, "m.thread"), genuine_reply(&content));
    EventKind::Undecryptable(Some(Message { thread_root, reply_to, ..Message::text("") }))
}

#[expect(clippy::unnecessary_wraps, reason = "one of the readers, of which others find nothing")]
fn poll_start(content: &JsonObject) -> Option<EventKind> {
    if let Some(target) = related(content, "m.replace") {
        let new = content.get("m.new_content").and_then(Value::as_object).unwrap_or(content);
        let newly_mentioned = mentions(content).map(|all| all.users).unwrap_or_default();
        return Some(EventKind::Edit { target, new: poll_message(new), newly_mentioned });
    }
    Some(EventKind::Message(Message {
        thread_root: related(content, "m.thread"),
        reply_to: genuine_reply(content),
        ..poll_message(content)
    }))
}

/// Parses a poll, dropping only its odd parts. A poll without a question or answers becomes its fallback text.
fn poll_message(content: &JsonObject) -> Message {
    let names = ["m.poll", "m.poll.start", "org.matrix.msc3381.poll.start"];
    let start = names.iter().find_map(|name| content.get(*name)?.as_object());
    let poll = start.and_then(poll);
    let mentions = mentions(content);
    let message = |kind: MessageKind, body: String| Message { kind, mentions: mentions.clone(), ..Message::text(body) };
    match (poll, extensible(content)) {
        (Some((question, poll)), _) => message(MessageKind::Poll(poll), question),
        (None, Some(text)) => message(MessageKind::Other("m.poll".to_owned()), text),
        (None, None) => message(MessageKind::Unreadable, String::new()),
    }
}

fn poll(start: &JsonObject) -> Option<(String, Poll)> {
    let question = match start.get("question")? {
        Value::Object(question) => extensible(question),
        question => question.as_str().map(str::to_owned),
    };
    let answers = start.get("answers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let answers = answers.take(POLL_ANSWERS_MAX).filter_map(|answer| {
        let id = text_of(answer, "m.id").or_else(|| text_of(answer, "id"))?;
        Some(PollAnswer { id, text: extensible(answer)? })
    });
    let answers: Vec<PollAnswer> = answers.collect();
    let selections_max = start.get("max_selections").and_then(number).unwrap_or(1).max(1);
    let poll = Poll {
        selections_max: usize::try_from(selections_max).unwrap_or(POLL_ANSWERS_MAX),
        disclosed: text_of(start, "kind").is_some_and(|kind| kind.ends_with(".disclosed")),
        answers,
    };
    (!poll.answers.is_empty()).then_some((question?, poll))
}

fn poll_vote(content: &JsonObject) -> Option<EventKind> {
    let target = related(content, "m.reference")?;
    let unstable = || content.get("org.matrix.msc3381.poll.response")?.get("answers");
    // A missing list spoils the vote like an empty one.
    let selections = content.get("m.selections").or_else(unstable).and_then(Value::as_array);
    let answers = selections.into_iter().flatten().take(SELECTIONS_MAX);
    let answers = answers.map(|answer| answer.as_str().unwrap_or_default().to_owned()).collect();
    Some(EventKind::PollVote { target, answers })
}

fn poll_end(content: &JsonObject) -> Option<EventKind> {
    Some(EventKind::PollEnd { target: related(content, "m.reference")? })
}

#[expect(clippy::unnecessary_wraps, reason = "one of the readers, of which others find nothing")]
fn location_event(content: &JsonObject) -> Option<EventKind> {
    let text = extensible(content);
    let (kind, body) = match (location_of(content), text) {
        (Some(location), text) => {
            let body = text.or_else(|| location.description.clone()).unwrap_or_default();
            (MessageKind::Location(location), body)
        }
        (None, Some(text)) => (MessageKind::Other("m.location".to_owned()), text),
        (None, None) => (MessageKind::Unreadable, String::new()),
    };
    Some(EventKind::Message(Message {
        kind,
        mentions: mentions(content),
        thread_root: related(content, "m.thread"),
        reply_to: genuine_reply(content),
        ..Message::text(body)
    }))
}

/// Reads that a live location begins or ends; one that was redacted ends.
#[expect(clippy::unnecessary_wraps, reason = "one of the readers, of which others find nothing")]
fn beacon_info(content: &JsonObject) -> Option<EventKind> {
    let description = text_of(content, "description").filter(|text| !text.trim().is_empty());
    let is_shared = content.get("live") == Some(&Value::Bool(true));
    Some(EventKind::LiveLocation(if is_shared { LiveLocation::Begins(description) } else { LiveLocation::Ends }))
}

fn beacon(content: &JsonObject) -> Option<EventKind> {
    location_of(content).map(|place| EventKind::LiveLocation(LiveLocation::At(place)))
}

pub(super) fn location_of(content: &JsonObject) -> Option<Location> {
    let named = |names: [&str; 2]| names.into_iter().find_map(|name| content.get(name)?.as_object());
    let place = named(["m.location", "org.matrix.msc3488.location"]);
    let geo_uri = place.and_then(|place| text_of(place, "uri")).or_else(|| text_of(content, "geo_uri"))?;
    let asset = named(["m.asset", "org.matrix.msc3488.asset"]).and_then(|asset| text_of(asset, "type"));
    Some(Location {
        geo_uri,
        description: place.and_then(|place| text_of(place, "description")).filter(|text| !text.trim().is_empty()),
        // Without an asset it is the sender's location (MSC3488).
        of_sender: place.is_some() && asset.is_none_or(|kind| kind == "m.self"),
    })
}

/// Returns extensible content's plain text (MSC1767): a string, or the plain one of several representations.
pub(super) fn extensible(content: &JsonObject) -> Option<String> {
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

/// Returns the HTML of extensible content.
pub(super) fn extensible_html(content: &JsonObject) -> Option<&str> {
    let names = ["m.text", "org.matrix.msc1767.text", "org.matrix.msc1767.message"];
    let forms = names.into_iter().find_map(|name| content.get(name)?.as_array());
    let form = forms.into_iter().flatten().find(|form| form["mimetype"] == "text/html");
    let html = form.map(|form| &form["body"]).or_else(|| content.get("org.matrix.msc1767.html"));
    html?.as_str()
}

fn text_of(content: &JsonObject, field: &str) -> Option<String> {
    content.get(field)?.as_str().map(str::to_owned)
}

pub(super) fn related(content: &JsonObject, rel_type: &str) -> Option<OwnedEventId> {
    let relation = content.get("m.relates_to")?;
    let named = relation["rel_type"].as_str()?;
    // The relation's name before threads were specified (MSC3440).
    let is_it = named == rel_type || (rel_type == "m.thread" && named == "io.element.thread");
    let target = relation["event_id"].as_str().filter(|_| is_it)?;
    id::event(target)
}

pub(super) fn genuine_reply(content: &JsonObject) -> Option<OwnedEventId> {
    let relation = content.get("m.relates_to")?;
    if relation["rel_type"] == "m.thread" && relation["is_falling_back"] == true {
        return None;
    }
    id::event(relation["m.in_reply_to"]["event_id"].as_str()?)
}

#[cfg(test)]
mod tests;
