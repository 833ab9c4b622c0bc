//! Message batches as the API tells of them (docs/claude-api.md, section 12): one request of ours makes a batch.

use serde::Deserialize;
use serde_json::Value;

use super::{
    error::{Error, Quoted},
    wire::{Json, Message},
};
use crate::core::time::Timestamp;

/// Most characters of a batch's id.
const ID_CHARS_MAX: usize = 100;

/// A batch that the API knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id, fit for a path: `msgbatch_…`.
    pub id: String,
    /// How far it is.
    pub status: BatchStatus,
    /// When it was made, by the API's clock.
    pub created_at: Option<Timestamp>,
    /// How many requests it holds.
    pub requests: u64,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchStatus {
    /// It is worked on, or waits for that.
    InProgress,
    /// It is being cancelled; requests that are worked on may still succeed.
    Canceling,
    /// Every request has its result.
    Ended,
}

/// What became of a batch's request. Only the first kind is billed.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchOutcome {
    /// The answer.
    Succeeded(Box<Message>),
    /// The request failed, for a reason of its own or the API's.
    Errored(Quoted),
    /// It was cancelled before it was worked on.
    Canceled,
    /// A day was over before it was worked on.
    Expired,
}

/// Why no batch was made, as far as is known.
#[derive(Debug)]
pub struct NotMade {
    /// What happened.
    pub error: Error,
    /// Whether it may exist nevertheless: the connection broke after the request was sent, or a gateway gave up.
    pub may_exist: bool,
    /// Whether the same may succeed a little later.
    pub may_pass: bool,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    processing_status: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    request_counts: Option<Value>,
}

impl Batch {
    /// Reads a batch; `None` if it is none, or has an id that fits into no path.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let told = Told::deserialize(value).ok()?;
        let id = told.id.filter(|id| is_id(id))?;
        let status = match told.processing_status.as_deref()? {
            "ended" => BatchStatus::Ended,
            "canceling" => BatchStatus::Canceling,
            // A state that is newer than this client is not the end.
            _ => BatchStatus::InProgress,
        };
        let counts = told.request_counts.as_ref().and_then(Value::as_object);
        let requests =
            counts.map_or(0, |counts| counts.values().filter_map(Value::as_u64).fold(0, u64::saturating_add));
        let created_at = told.created_at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let created_at = created_at.map(|at| Timestamp::from_ms(at.as_millisecond()));
        Some(Self { id, status, created_at, requests })
    }

    /// Reads the batches of a list, newest first.
    #[must_use]
    pub fn read_list(value: &Value) -> Vec<Self> {
        value["data"].as_array().map(|listed| listed.iter().filter_map(Self::read).collect()).unwrap_or_default()
    }
}

/// Returns whether this may be a part of a path.
fn is_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(is_allowed)
}

#[derive(Deserialize)]
struct Line {
    custom_id: String,
    result: LineResult,
}

#[derive(Deserialize)]
struct LineResult {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: Option<Json>,
    #[serde(default)]
    error: Option<Value>,
}

impl BatchOutcome {
    /// Reads a line of the results; `None` if it is not this request's, or is no result. An unknown kind of result, and a
    /// success without a message, is a failure.
    #[must_use]
    pub fn read(line: &[u8], custom_id: &str, secrets: &[&str]) -> Option<Self> {
        let Line { custom_id: told, result } = serde_json::from_str(&String::from_utf8_lossy(line)).ok()?;
        if told != custom_id {
            return None;
        }
        Some(match (result.kind.as_str(), result.message.and_then(|message| message.read::<Message>().ok())) {
            ("succeeded", Some(message)) => Self::Succeeded(Box::new(message)),
            ("canceled", _) => Self::Canceled,
            ("expired", _) => Self::Expired,
            _ => {
                let error = result.error.unwrap_or_default();
                let said = [&error["error"]["message"], &error["message"]].into_iter().find_map(Value::as_str);
                Self::Errored(Quoted::hiding(said.unwrap_or("no reason is told"), secrets))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c20_a_batch_is_read_from_what_the_api_tells_and_its_id_fits_into_a_path() {
        let told = |id: &str, status: &str| {
            json!({
                "id": id, "type": "message_batch", "processing_status": status,
                "created_at": "2026-11-29T17:05:09.123Z",
                "request_counts": { "processing": 1, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0 },
            })
        };
        let batch = Batch::read(&told("msgbatch_01", "in_progress")).expect("it is one");
        assert_eq!((batch.requests, batch.status), (1, BatchStatus::InProgress));
        assert_eq!(batch.created_at, Some(Timestamp::from_ms(1_795_971_909_123)));
        for (status, expected) in [
            ("ended", BatchStatus::Ended),
            ("canceling", BatchStatus::Canceling),
            ("a newer state", BatchStatus::InProgress),
        ] {
            assert_eq!(Batch::read(&told("msgbatch_01", status)).map(|batch| batch.status), Some(expected), "{status}");
        }
        for hostile in ["", "../messages", "a/b", "a?b", "a%2fb", "ä", &"x".repeat(101)] {
            assert_eq!(Batch::read(&told(hostile, "ended")), None, "{hostile}");
        }
        assert_eq!(Batch::read(&json!({ "id": "msg_1", "type": "message" })), None);
        assert_eq!(Batch::read_list(&json!({ "data": [told("a", "ended"), 7, told("/", "ended")] })).len(), 1);
        assert_eq!(Batch::read_list(&json!([])), []);
    }

    #[test]
    fn c20_each_outcome_of_a_batch_s_request_is_told_apart() {
        let read = |result: Value| {
            let line = json!({ "custom_id": "wm-1", "result": result }).to_string();
            BatchOutcome::read(line.as_bytes(), "wm-1", &["sk-ant-hunter2"])
        };
        let message =
            json!({ "id": "msg_1", "content": [{ "type": "text", "text": "Hé" }], "stop_reason": "end_turn" });
        let Some(BatchOutcome::Succeeded(answer)) = read(json!({ "type": "succeeded", "message": message })) else {
            panic!("it succeeded");
        };
        assert_eq!(answer.text(), "Hé");
        let line = json!({ "custom_id": "wm-1", "result": { "type": "succeeded", "message": message } }).to_string();
        let spoilt =
            line.replace('é', "~").bytes().map(|byte| if byte == b'~' { 0xe9 } else { byte }).collect::<Vec<_>>();
        let Some(BatchOutcome::Succeeded(answer)) = BatchOutcome::read(&spoilt, "wm-1", &[]) else {
            panic!("a spoilt letter costs that letter");
        };
        assert_eq!(answer.text(), "H\u{fffd}");
        assert_eq!(read(json!({ "type": "canceled" })), Some(BatchOutcome::Canceled));
        assert_eq!(read(json!({ "type": "expired" })), Some(BatchOutcome::Expired));
        let error =
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "no sk-ant-hunter2" } });
        let errored = |said: &str| Some(BatchOutcome::Errored(Quoted::new(said, None)));
        assert_eq!(read(json!({ "type": "errored", "error": error })), errored("no …"));
        for strange in [json!({ "type": "succeeded" }), json!({ "type": "newer", "message": message })] {
            assert_eq!(read(strange), errored("no reason is told"));
        }
        for line in [&b"{"[..], b"", br#"{"custom_id":"wm-2","result":{"type":"canceled"}}"#, b"[]"] {
            assert_eq!(BatchOutcome::read(line, "wm-1", &[]), None);
        }
    }
}
