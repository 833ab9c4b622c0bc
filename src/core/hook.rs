//! Webhooks (C21): whether a call proves itself, whether it is a new delivery, what the filter lets through, and what
//! the coworker is told of it.
//!
//! Everything in a call is hostile until it is proven, and data afterwards. The order is: what the headers alone decide,
//! before the body is read; the proof over the bytes as they came; the body's shape; the filter; the delivery's name.
//! Nothing is parsed before the proof.
//!
//! # One delivery
//! A delivery is named by what its proof covers: the signed id, or the body itself. An id in an unsigned header would
//! let anybody who has seen a call send it again under another id. The reports of known senders have ids and times in
//! them. Those of others may be equal and yet mean something new each time ("the backup failed"): there an equal body
//! counts as the same delivery for an hour.

mod body;
mod filter;
mod headers;
mod proof;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use ruma::{OwnedRoomOrAliasId, OwnedUserId, RoomId, UserId};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub use self::{
    filter::{Condition, is_pointer},
    headers::Headers,
    proof::{Proof, key_of},
};
use super::{
    errand::{Errand, ErrandId, Matter, Origin, OriginKind},
    hex::hex,
    time::Timestamp,
    words,
};

/// Most bytes of a call's body.
pub const BODY_BYTES_MAX: usize = 2 << 20;
/// How long an equal body counts as the same delivery, where nothing names deliveries, in milliseconds.
const SAME_BODY_MS: i64 = 60 * 60 * 1000;
/// Most bytes of a delivery's name or of a matter's key; longer ones count by their digest.
const NAME_BYTES_MAX: usize = 256;

/// Who sends to a hook: what its reports look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// GitHub.
    Github,
    /// GitLab.
    Gitlab,
    /// Forgejo and Gitea.
    Forgejo,
    /// Prometheus' Alertmanager.
    Alertmanager,
    /// Grafana's alerting.
    Grafana,
    /// Any other.
    Other,
}

/// What names a delivery or a matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// A value of the body, by its JSON pointer.
    Pointer(String),
    /// A header, in lower case.
    Header(String),
}

/// Which thread a report belongs into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Threading {
    /// Reports of one matter share a thread, by the sender's own key.
    BySender,
    /// Reports with the same value share a thread.
    By(Naming),
    /// Each report has its own.
    Apart,
}

/// A configured hook; its secret is kept elsewhere.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Its name, which is the end of its address; unique in the workspace.
    pub name: String,
    /// The room.
    pub room: OwnedRoomOrAliasId,
    /// What the coworker is to do with a report.
    pub task: String,
    /// How calls prove themselves.
    pub proof: Proof,
    /// The header that carries the proof, in lower case, if it is not the usual one.
    pub header: Option<String>,
    /// Who sends.
    pub sender: Sender,
    /// What names a delivery; `None` for what the proof covers.
    pub delivery: Option<Naming>,
    /// Which reports share a thread.
    pub thread: Threading,
    /// The kinds of event that count; empty for all.
    pub events: BTreeSet<String>,
    /// What a report must be like; all of these hold.
    pub filter: Vec<Condition>,
    /// Whom the answer mentions.
    pub mention: BTreeSet<OwnedUserId>,
}

/// A call's parts, as they came.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Its headers.
    pub headers: &'a Headers,
    /// Its body.
    pub body: &'a [u8],
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It does not prove that it comes from the sender.
    NotProven,
    /// It is proven, but its time is outside of the window.
    OutOfTime,
    /// Its body is of a kind that is not read.
    MediaType,
    /// Its body is compressed.
    Packed,
    /// Its body is not the JSON that it should be.
    NotJson,
    /// Its body is nested too deeply.
    TooDeep,
    /// Its body has too many values.
    TooMany,
    /// It lacks what names the delivery.
    Nameless,
}

impl Denied {
    /// Returns the HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::NotProven | Self::OutOfTime => 401,
            Self::MediaType | Self::Packed => 415,
            Self::TooMany => 413,
            Self::NotJson | Self::TooDeep | Self::Nameless => 400,
        }
    }

    /// Returns what the sender is told; it holds nothing of the call and no secret.
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::NotProven => "the call does not prove itself: its signature or token is missing or wrong",
            Self::OutOfTime => "the call's time is more than five minutes off; compare the clocks",
            Self::MediaType => "the body's content type is not read here; send application/json",
            Self::Packed => "the body is compressed (Content-Encoding); send it as it is",
            Self::NotJson => "the body is not valid JSON",
            Self::TooDeep => "the body is nested too deeply",
            Self::TooMany => "the body has too many values",
            Self::Nameless => "the call lacks what names the delivery",
        }
    }
}

/// A proven call that passed the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its name.
    pub name: String,
    /// The name that it had if it came a little earlier, where names hold for an hour.
    pub earlier: Option<String>,
    /// What it is about, in the sender's words.
    pub title: Option<String>,
    /// What it is about, if others may be about the same, and how that stands.
    pub matter: Option<Matter>,
    /// How it stands, in the sender's words.
    pub state: Option<String>,
    /// The digest of the body, where nothing better names it.
    pub body: Option<String>,
    /// What the coworker is told.
    pub payload: String,
    /// Whether something of the report was left out.
    pub cut: bool,
}

/// What becomes of a proven call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Nothing: it is not meant, or the filter drops it. What the filter drops may still say how a matter stands.
    Dropped(Option<Box<Delivery>>),
    /// It becomes an errand.
    Accepted(Box<Delivery>),
}

/// Decides whether a call may send its body, by its headers alone. `key` is as for [`judge`].
///
/// # Errors
/// Why the call is refused.
pub fn admit(hook: &Hook, key: &[u8], headers: &Headers, now: Timestamp) -> Result<(), Denied> {
    proof::claim(hook, key, headers, now)?;
    body::kind(hook.sender, headers).map(drop)
}

/// Decides about a call. `key` is the hook's secret as [`key_of`] returned it.
///
/// # Errors
/// Why the call is refused.
pub fn judge(hook: &Hook, key: &[u8], call: &Call<'_>, now: Timestamp) -> Result<Judged, Denied> {
    let signed_id = proof::prove(hook, key, call, now)?;
    let value = body::read(hook.sender, call)?;
    let report = report::of(hook.sender, call.headers, &value);
    let is_meant =
        |event: Option<&str>| hook.events.is_empty() || event.is_some_and(|event| hook.events.contains(event));
    if report.is_ping || !is_meant(report.event.as_deref()) {
        return Ok(Judged::Dropped(None));
    }
    let is_dropped = !filter::passes(&hook.filter, &value);
    let (name, earlier) = match names(hook, signed_id, call, &value, now) {
        Err(_) if is_dropped => return Ok(Judged::Dropped(None)),
        named => named?,
    };
    let key = match &hook.thread {
        Threading::BySender => report.matter.clone(),
        Threading::By(naming) => named_by(naming, call.headers, &value),
        Threading::Apart => None,
    };
    let state = report.state.clone().filter(|_| !report.is_part);
    let matter = key.map(|key| Matter { key: short(key), state, at: report.at });
    let body = earlier.is_some().then(|| digest(call.body));
    let (payload, cut) = report.payload(&value);
    let (title, state) = (report.title, report.state);
    let delivery = Box::new(Delivery { name, earlier, title, matter, state, body, payload, cut });
    Ok(if is_dropped { Judged::Dropped(Some(delivery)) } else { Judged::Accepted(delivery) })
}

/// Returns a delivery's name, and the name of an equal one shortly before.
fn names(
    hook: &Hook,
    signed_id: Option<String>,
    call: &Call<'_>,
    value: &Value,
    now: Timestamp,
) -> Result<(String, Option<String>), Denied> {
    if let Some(naming) = &hook.delivery {
        let name = named_by(naming, call.headers, value).ok_or(Denied::Nameless)?;
        return Ok((short(name), None));
    }
    if let Some(id) = signed_id {
        return Ok((short(id), None));
    }
    let body = digest(call.body);
    if hook.sender != Sender::Other {
        return Ok((body, None));
    }
    let hour = now.as_ms().div_euclid(SAME_BODY_MS);
    Ok((format!("{body}/{hour}"), Some(format!("{body}/{}", hour - 1))))
}

fn named_by(naming: &Naming, headers: &Headers, value: &Value) -> Option<String> {
    let name = match naming {
        Naming::Pointer(pointer) => filter::text(value.pointer(pointer)?)?.into_owned(),
        Naming::Header(name) => headers.get(name)?.to_owned(),
    };
    (!name.trim().is_empty()).then_some(name)
}

/// Returns a name of bounded length that is different for different names.
fn short(name: String) -> String {
    if name.len() <= NAME_BYTES_MAX { name } else { digest(name.as_bytes()) }
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl Hook {
    fn id(&self, user: &UserId, name: &str) -> ErrandId {
        ErrandId::of(OriginKind::Hook, &[user.as_str(), &self.name, name])
    }

    /// Returns the errand that a delivery becomes for the hook's coworker, and the id that it would have had if it came
    /// a little earlier.
    #[must_use]
    pub fn errand(
        &self,
        delivery: Delivery,
        user: &UserId,
        room: &RoomId,
        now: Timestamp,
    ) -> (Errand, Option<ErrandId>) {
        let earlier = delivery.earlier.as_deref().map(|name| self.id(user, name));
        let headline = words::errands::reported(&self.name, delivery.title.as_deref(), delivery.state.as_deref());
        let origin = Origin { kind: OriginKind::Hook, name: self.name.clone(), set_by: None };
        let errand = Errand {
            payload: Some(delivery.payload),
            payload_cut: delivery.cut,
            headline,
            mention: self.mention.clone(),
            matter: delivery.matter,
            body: delivery.body,
            ..Errand::new(self.id(user, &delivery.name), user, room, origin, &self.task, now)
        };
        (errand, earlier)
    }
}

/// Returns whether an errand that is known under the earlier name is the same delivery: it came less than an hour ago.
#[must_use]
pub fn is_same_delivery(known: &Errand, now: Timestamp) -> bool {
    now.ms_since(known.accepted_at) < SAME_BODY_MS.unsigned_abs()
}
