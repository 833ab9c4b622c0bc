//! Transactions, good and bad.

use ruma::{owned_event_id, owned_room_id, owned_user_id};

use super::*;
use crate::{
    appservice::health::{Condition, State},
    core::time::Timestamp,
};

#[tokio::test]
async fn events_arrive_whole_by_the_present_and_the_legacy_path() {
    let endpoint = Endpoint::start().await;
    let mut state = message("$2");
    state["state_key"] = json!("");

    assert_eq!(endpoint.put_events("1", &[message("$1")]).await, ok());
    let legacy = endpoint.call(Method::PUT, "/transactions/2").json(&json!({"events": [state], "ephemeral": 5}));
    assert_eq!(answer(legacy).await, ok());

    let expected = |id, state_key: Option<&str>, event: &Value| InboxEvent {
        event_id: id,
        room_id: owned_room_id!("!room:example.org"),
        sender: owned_user_id!("@alice:example.org"),
        event_type: "m.room.message".to_owned(),
        state_key: state_key.map(str::to_owned),
        sent_at: Timestamp::from_ms(1_800_000_000_000),
        json: event.to_string(),
    };
    let entries = endpoint.inbox.pending(0, 10).expect("readable");
    assert_eq!(
        entries.into_iter().map(|entry| entry.event).collect::<Vec<_>>(),
        [expected(owned_event_id!("$1"), None, &message("$1")), expected(owned_event_id!("$2"), Some(""), &state)]
    );
}

#[tokio::test]
async fn malformed_events_cost_no_good_one() {
    let endpoint = Endpoint::start().await;
    let without = |key: &str| {
        let mut event = message("$bad");
        event.as_object_mut().expect("an object").remove(key);
        event
    };
    let with = |key: &str, value: Value| {
        let mut event = message("$bad");
        event[key] = value;
        event
    };
    let bad = [
        json!(null),
        json!("text"),
        json!(["$bad", "!room:example.org", "@alice:example.org", "m.room.message", "", 1]),
        without("event_id"),
        without("room_id"),
        without("sender"),
        without("type"),
        without("origin_server_ts"),
        with("event_id", json!("no id")),
        with("event_id", json!(format!("${}", "x".repeat(255)))),
        with("room_id", json!(7)),
        with("sender", json!("alice")),
        with("type", json!("")),
        with("state_key", json!({})),
        with("origin_server_ts", json!("now")),
        with("content", json!({"body": "x".repeat(64 << 10)})),
    ];
    let events: Vec<_> = [message("$first")].into_iter().chain(bad).chain([message("$last")]).collect();

    assert_eq!(endpoint.put_events("1", &events).await, ok());

    assert_eq!(endpoint.waiting(), ["$first", "$last"]);
}

#[tokio::test]
async fn an_event_that_is_large_only_by_escapes_and_unsigned_is_kept() {
    let endpoint = Endpoint::start().await;
    let mut event = message("$1");
    event["content"]["body"] = json!("BODY");
    event["unsigned"] = json!({"invite_room_state": ["x".repeat(70 << 10)]});
    let body = json!({"events": [event]}).to_string().replace("BODY", &"\\u4e2d".repeat(20 << 10));

    assert_eq!(endpoint.put("1", body).await, ok());

    assert_eq!(endpoint.waiting(), ["$1"]);
}

#[tokio::test]
async fn a_body_that_is_no_transaction_is_refused_by_its_fault() {
    let endpoint = Endpoint::start().await;
    for (body, errcode) in [
        ("", "M_NOT_JSON"),
        ("<html><body>502 Bad Gateway</body></html>", "M_NOT_JSON"),
        ("{\"events\": [", "M_NOT_JSON"),
        ("{\"events\": []} trailing", "M_NOT_JSON"),
        ("[[]]", "M_BAD_JSON"),
        ("5", "M_BAD_JSON"),
        ("{}", "M_BAD_JSON"),
        ("{\"events\": {}}", "M_BAD_JSON"),
        ("{\"events\": null}", "M_BAD_JSON"),
    ] {
        assert_eq!(refused(endpoint.put("1", body).await), refusal(400, errcode), "{body}");
    }
    let long_id = "x".repeat(256);
    assert_eq!(refused(endpoint.put_events(&long_id, &[]).await), refusal(400, "M_INVALID_PARAM"));
    assert_eq!(refused(endpoint.put_events("%ff", &[]).await), refusal(400, "M_INVALID_PARAM"));
    assert!(endpoint.inbox.is_empty());
}

#[tokio::test]
async fn bodies_and_numbers_of_events_beyond_the_limits_are_refused_with_the_limit() {
    let endpoint = Endpoint::start().await;
    let padded = |bytes: usize| {
        let body = json!({"events": [message("$1")], "padding": ""}).to_string();
        body.replace("\"padding\":\"\"", &format!("\"padding\":\"{}\"", "x".repeat(bytes - body.len())))
    };

    let (status, body) = endpoint.put("1", padded(BODY_BYTES_MAX + 1)).await;
    assert_eq!((status, body["errcode"].as_str()), (413, Some("M_TOO_LARGE")));
    assert!(body["error"].as_str().is_some_and(|error| error.contains("1048576")), "{body}");
    let numbers = |count| json!({"events": vec![0; count]}).to_string();
    assert_eq!(refused(endpoint.put("1", numbers(10_001)).await), refusal(413, "M_TOO_LARGE"));
    assert!(endpoint.inbox.is_empty());

    assert_eq!(endpoint.put("1", padded(BODY_BYTES_MAX)).await, ok());
    assert_eq!(endpoint.put("2", numbers(10_000)).await, ok());
    assert_eq!(endpoint.waiting(), ["$1"]);
}

#[tokio::test]
async fn repeated_transactions_and_events_are_acknowledged_and_kept_once() {
    let endpoint = Endpoint::start().await;

    assert_eq!(endpoint.put_events("1", &[message("$1")]).await, ok());
    assert_eq!(endpoint.put_events("1", &[message("$1")]).await, ok());
    assert_eq!(endpoint.put_events("2", &[message("$1"), message("$2")]).await, ok());
    assert_eq!(endpoint.put_events("2", &[message("$3")]).await, ok());

    assert_eq!(endpoint.waiting(), ["$1", "$2", "$3"]);
}

/// A copy of the files shows what a power cut leaves, without what closing the store would write.
#[tokio::test]
async fn what_was_answered_200_is_in_the_files_at_that_moment() {
    let endpoint = Endpoint::start().await;
    assert_eq!(endpoint.put_events("1", &[message("$1"), message("$2")]).await, ok());
    assert_eq!(endpoint.health.get(Condition::Store), State::Ready);

    let copy = tempfile::tempdir().expect("a directory");
    copy_dir(endpoint.dir.path(), copy.path());

    let inbox = open_inbox(copy.path());
    assert_eq!(event_ids(&inbox), ["$1", "$2"]);
}

#[tokio::test]
async fn a_store_that_fails_is_answered_so_that_the_homeserver_sends_again() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open_inbox(dir.path()));
    {
        // A remembered id without its time breaks every transaction, because each looks at the oldest ids.
        let db = sled::open(dir.path().join("state")).expect("a database");
        db.open_tree("inbox_seen_by_time").expect("a tree").insert([0], &[]).expect("stored");
    }
    let endpoint = Endpoint::start_in(dir).await;

    let answer = endpoint.put_events("1", &[message("$1")]).await;

    assert_eq!(refused(answer), refusal(500, "M_UNKNOWN"));
    assert_ne!(endpoint.health.get(Condition::Store), State::Ready);
    assert!(endpoint.inbox.is_empty());
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable").map(|entry| entry.expect("readable")) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}
