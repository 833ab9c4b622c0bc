//! Stored snapshots of each schema version; their content must stay readable for good.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

/// Tree name → base64 of key → base64 of value.
type Trees = BTreeMap<String, BTreeMap<String, String>>;

const V1: &str = include_str!("../fixtures/v1.json");

fn event() -> InboxEvent {
    InboxEvent {
        event_id: owned_event_id!("$event"),
        room_id: owned_room_id!("!room:example.org"),
        sender: owned_user_id!("@alice:example.org"),
        event_type: "m.room.message".to_owned(),
        state_key: None,
        sent_at: Timestamp::from_ms(1_000),
        json: r#"{"type":"m.room.message"}"#.to_owned(),
    }
}

#[tokio::test]
async fn a_store_of_version_1_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let trees: Trees = serde_json::from_str(V1).expect("the fixture is JSON");
    {
        let db = open_database(dir.path()).expect("the database opens");
        let decode = |text: &String| STANDARD.decode(text).expect("the fixture is base64");
        for (name, records) in &trees {
            let tree = db.open_tree(name).expect("a tree");
            for (key, value) in records {
                tree.insert(decode(key), decode(value)).expect("stored");
            }
        }
        db.flush().expect("flushed");
    }

    let store = open(dir.path());
    let inbox = store.inbox([1; 16]);

    assert_eq!(all(&store.settings()), [("name".to_owned(), json!({"value": 1}))]);
    assert_eq!(
        all(&store.threads()),
        [((owned_room_id!("!room:example.org"), owned_event_id!("$root")), json!("asked"))]
    );
    let waiting = InboxEntry { seq: 1, accepted_at: Timestamp::from_ms(2_000), event: event() };
    assert_eq!(inbox.pending(0, 10).expect("readable"), [waiting]);
    let again = inbox.accept("txn", vec![event()], Timestamp::from_ms(3_000)).await.expect("accepted");
    assert_eq!(again, Accepted { new: 0, duplicate_transaction: true });
}

/// Writes the snapshot of the present schema; run by hand when the version is raised:
/// `cargo test --lib store::tests::snapshot::writes -- --ignored --nocapture > src/store/fixtures/vN.json`
#[tokio::test]
#[ignore = "writes a fixture, run by hand"]
async fn writes() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let store = open(dir.path());
        store.settings().put(&"name".to_owned(), &json!({"value": 1})).expect("stored");
        let thread = (owned_room_id!("!room:example.org"), owned_event_id!("$root"));
        store.threads().put(&thread, &json!("asked")).expect("stored");
        store.inbox([1; 16]).accept("txn", vec![event()], Timestamp::from_ms(2_000)).await.expect("accepted");
    }
    let db = open_database(dir.path()).expect("the database opens");
    let mut trees = Trees::new();
    for name in db.tree_names() {
        let tree = db.open_tree(&name).expect("a tree");
        let records = tree.iter().map(|record| record.expect("readable"));
        let records = records.map(|(key, value)| (STANDARD.encode(key), STANDARD.encode(value))).collect();
        trees.insert(String::from_utf8(name.to_vec()).expect("names are text"), records);
    }
    trees.retain(|_, records: &mut BTreeMap<_, _>| !records.is_empty());
    println!("\n{}", serde_json::to_string_pretty(&trees).expect("text"));
}
