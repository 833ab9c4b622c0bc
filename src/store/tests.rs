//! The store as its callers see it, on real files.

use std::{fs, path::Path};

use proptest::prelude::*;
use ruma::{owned_event_id, owned_room_id, owned_user_id};
use serde_json::{Value, json};

use super::*;
use crate::core::time::Timestamp;

mod crash;
mod faults;
mod owners;
mod snapshot;

const KEY: [u8; 32] = [7; 32];

fn open(dir: &Path) -> Store {
    Store::open(dir, &KEY).expect("the store opens")
}

fn all<K: Key, V: Serialize + DeserializeOwned>(table: &Table<K, V>) -> Vec<(K, V)> {
    table.iter().collect::<Result<_, _>>().expect("every record opens")
}

#[tokio::test]
async fn records_survive_reopening_under_their_typed_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let room = owned_room_id!("!room:example.org");
    let thread = (room.clone(), owned_event_id!("$root"));
    let owner = owned_user_id!("@alice:example.org");
    {
        let store = open(dir.path());
        store.threads().put(&thread, &json!({"asked": 1})).expect("stored");
        store.assistants().put(&owner, &room).expect("stored");
        store.run_index().put(&(Timestamp::from_ms(5), "run".to_owned()), &"done".to_owned()).expect("stored");
        store.flush().await.expect("flushed");
    }

    let store = open(dir.path());

    assert_eq!(all(&store.threads::<Value>()), [(thread, json!({"asked": 1}))]);
    assert_eq!(store.assistants().get(&owner).expect("readable"), Some(room));
    assert_eq!(all(&store.run_index()), [((Timestamp::from_ms(5), "run".to_owned()), "done".to_owned())]);
    assert_eq!(store.settings::<Value>().len(), 0);
}

#[test]
fn insert_new_and_update_see_what_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = open(dir.path()).settings::<u64>();
    let key = "count".to_owned();

    assert!(settings.insert_new(&key, &1).expect("stored"));
    assert!(!settings.insert_new(&key, &9).expect("refused"));
    assert_eq!(settings.update(&key, |old| old.map(|old| old + 1)).expect("changed"), Some(2));
    assert_eq!(settings.get(&key).expect("readable"), Some(2));
    assert_eq!(settings.update(&key, |_| None).expect("removed"), None);
    assert!(settings.is_empty());
}

#[test]
fn an_update_that_changes_nothing_writes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let (settings, key) = (store.settings::<u64>(), "count".to_owned());
    // Each write is sealed anew, so that it shows.
    let stored = || store.0.tables[Name::Settings as usize].0.get(&key).expect("readable").expect("stored");

    settings.update(&key, |_| Some(1)).expect("changed");
    let first = stored();
    settings.update(&key, |kept| kept).expect("unchanged");
    assert_eq!(stored(), first);
    settings.update(&key, |kept| kept.map(|kept| kept + 1)).expect("changed");
    assert_ne!(stored(), first);
    assert_eq!(settings.get(&key).expect("readable"), Some(2));
}

#[test]
fn updates_from_many_threads_lose_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let key = "count".to_owned();

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    store.settings::<u64>().update(&key, |old| Some(old.unwrap_or(0) + 1)).expect("changed");
                }
            });
        }
    });

    assert_eq!(store.settings::<u64>().get(&key).expect("readable"), Some(200));
}

#[test]
fn a_prefix_scan_gives_one_rooms_threads_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let threads = open(dir.path()).threads::<u64>();
    let (short, long) = (owned_room_id!("!a:example.org"), owned_room_id!("!a:example.org.uk"));
    let keys = [(&short, "$1"), (&short, "$2"), (&long, "$1")]
        .map(|(room, event)| (room.clone(), event.try_into().expect("an event id")));
    for (value, key) in (0..).zip(&keys) {
        threads.put(key, &value).expect("stored");
    }

    let found: Vec<_> = threads.scan_prefix(&short).collect::<Result<_, _>>().expect("every record opens");

    assert_eq!(found, [(keys[0].clone(), 0), (keys[1].clone(), 1)]);
}

#[test]
fn nothing_of_a_value_is_on_disk_in_plain() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    store.settings().put(&"key-in-plain".to_owned(), &json!("canary-7c1f")).expect("stored");
    drop(store);

    let mut on_disk = Vec::new();
    for file in fs::read_dir(dir.path()).expect("readable").map(|file| file.expect("readable").path()) {
        if file.is_file() {
            on_disk.extend(fs::read(file).expect("readable"));
        }
    }

    let holds = |needle: &[u8]| on_disk.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"key-in-plain"));
    assert!(!holds(b"canary-7c1f"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_table_behaves_as_a_map(changes in prop::collection::vec((0_u8..4, "[a-c]", any::<u64>()), 0..40)) {
        let dir = tempfile::tempdir().expect("a directory");
        let table = open(dir.path()).settings::<u64>();
        let mut map = std::collections::BTreeMap::new();
        for (kind, key, value) in changes {
            match kind {
                0 => { table.put(&key, &value)?; map.insert(key, value); }
                1 => { table.remove(&key)?; map.remove(&key); }
                2 => { table.insert_new(&key, &value)?; map.entry(key).or_insert(value); }
                _ => {
                    table.update(&key, |old| old.map(|old| old ^ value))?;
                    map.entry(key).and_modify(|old| *old ^= value);
                }
            }
        }
        prop_assert_eq!(all(&table), map.into_iter().collect::<Vec<_>>());
    }
}

/// sled keeps large values in separate files.
#[tokio::test]
async fn a_large_record_survives_flushing_and_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let (key, large) = ("large".to_owned(), "x".repeat(3 << 20));
    {
        let store = open(dir.path());
        store.settings().put(&key, &large).expect("stored");
        store.flush().await.expect("flushed");
        assert!(store.size_on_disk().expect("readable") >= 3 << 20);
    }
    assert!(fs::read_dir(dir.path().join("blobs")).expect("readable").next().is_some());

    assert_eq!(open(dir.path()).settings().get(&key).expect("readable"), Some(large));
}
