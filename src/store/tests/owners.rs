//! Records under an owner's key die with it, wherever a copy lies (A3).

use ruma::{UserId, user_id};
use serde::Deserialize;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    owner: Option<ruma::OwnedUserId>,
    text: String,
}

fn run(owner: Option<&UserId>, text: &str) -> Run {
    Run { owner: owner.map(ToOwned::to_owned), text: text.to_owned() }
}

fn runs(store: &Store) -> Table<String, Run> {
    store.runs().owned_by(|_, run: &Run| run.owner.as_deref())
}

fn ids(table: &Table<String, Run>) -> Vec<String> {
    all(table).into_iter().map(|(id, _)| id).collect()
}

#[tokio::test]
async fn a3_with_the_owners_key_their_records_are_gone_and_nobody_elses() {
    let dir = tempfile::tempdir().expect("a directory");
    let (alice, bob) = (user_id!("@alice:hs"), user_id!("@bob:hs"));
    let records = [("a1", Some(alice)), ("a2", Some(alice)), ("b", Some(bob)), ("c", None)];
    {
        let store = open(dir.path());
        for (id, owner) in records {
            runs(&store).put(&id.to_owned(), &run(owner, id)).expect("stored");
        }
        store.flush().await.expect("flushed");
    }
    let store = open(dir.path());
    let before = ids(&runs(&store));
    store.destroy_owner_key(alice).expect("destroyed");
    let shredded = ids(&runs(&store));
    let found = runs(&store).get(&"a1".to_owned()).expect("readable");
    runs(&store).put(&"a3".to_owned(), &run(Some(alice), "new")).expect("stored");
    let removed = runs(&store).remove_of(alice).expect("removed");

    assert_eq!(before, ["a1", "a2", "b", "c"]);
    assert_eq!((shredded, found), (vec!["b".to_owned(), "c".to_owned()], None));
    assert_eq!((removed, ids(&runs(&store))), (3, vec!["b".to_owned(), "c".to_owned()]));
    store.destroy_owner_key(user_id!("@nobody:hs")).expect("there is nothing to destroy");
}

/// sled keeps replaced values in its files. So try each stretch of the files as a value under the store's key; whatever
/// opens must not open any further.
#[tokio::test]
async fn a3_no_copy_in_the_files_can_be_opened_once_the_key_is_destroyed() {
    const ID: &str = "run-7c1f";
    let dir = tempfile::tempdir().expect("a directory");
    let alice = user_id!("@alice:hs");
    let seal = Seal::new(&KEY);
    {
        let store = open(dir.path());
        runs(&store).put(&ID.to_owned(), &run(Some(alice), "canary")).expect("stored");
        store.flush().await.expect("flushed");
    }
    let stored = open(dir.path()).0.tables[Name::Runs as usize].0.get(ID).expect("readable").expect("there");
    let old_copy = stored.to_vec();
    let key_file = || fs::read_dir(dir.path().join("owner-keys")).expect("readable").map(|f| f.expect("a file").path());
    let key_path = key_file().next().expect("alice has a key");
    let old_key = fs::read(&key_path).expect("readable");

    let store = open(dir.path());
    store.destroy_owner_key(alice).expect("destroyed");
    runs(&store).remove_of(alice).expect("removed");
    runs(&store).put(&ID.to_owned(), &run(Some(alice), "the next session")).expect("stored");
    store.flush().await.expect("flushed");
    drop(store);

    let mut on_disk = Vec::new();
    for file in fs::read_dir(dir.path())
        .expect("readable")
        .chain(fs::read_dir(dir.path().join("owner-keys")).expect("readable"))
    {
        let path = file.expect("readable").path();
        if path.is_file() {
            on_disk.push(fs::read(path).expect("readable"));
        }
    }
    let holds = |needle: &[u8]| on_disk.iter().any(|file| file.windows(needle.len()).any(|window| window == needle));
    assert!(holds(&old_copy), "the database still has the old page, or this test shows nothing");
    assert!(!holds(&old_key), "the destroyed key is still there");
    let opened = seal.open("runs", ID.as_bytes(), &old_copy).expect("the outer seal is the store's");
    assert!(!opened.windows(6).any(|window| window == b"canary"));
    let vault = open(dir.path()).0.vault.clone();
    assert_eq!(vault.unseal("runs", ID.as_bytes(), opened).expect("readable"), None);
}

#[tokio::test]
async fn a3_what_was_stored_before_there_were_owners_keys_is_read_and_sealed_anew_when_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let (alice, id) = (user_id!("@alice:hs"), "old".to_owned());
    store.runs().put(&id, &run(Some(alice), "before")).expect("stored");

    let read = runs(&store).get(&id).expect("readable");
    runs(&store).update(&id, |old| old).expect("written");
    store.destroy_owner_key(alice).expect("destroyed");
    let after = runs(&store).get(&id).expect("readable");
    store.runs().put(&id, &run(Some(alice), "again without")).expect("stored");
    let removed = runs(&store).remove_of(alice).expect("removed");

    assert_eq!((read, after, removed), (Some(run(Some(alice), "before")), None, 1));
}
