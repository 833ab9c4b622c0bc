//! The schema version and the key check, both in the tree `meta`, and the migrations in order.
//!
//! sled reads a damaged log as a shorter one, even as an empty one. A marker file beside it tells a store that lost its
//! records from a fresh one.

use std::{fs::File, path::Path};

use super::{error::StoreError, seal::Seal};

const META: &str = "meta";
const VERSION_KEY: &str = "schema";
const KEY_CHECK_KEY: &str = "key_check";
/// The empty file that marks a store as set up.
const MARKER: &str = "set-up";
const KEY_CHECK: &[u8] = b"workmate";

/// Migrates the store by one version. It may run again after a crash halfway.
type Migration = fn(&sled::Db, &Seal) -> Result<(), StoreError>;

/// The first migrates version 1 to 2. Each new one comes with a stored snapshot of the version before it.
const MIGRATIONS: &[Migration] = &[];

/// Refuses a store with another key or a newer version, marks a fresh one, migrates an older one.
pub(super) fn check(db: &sled::Db, seal: &Seal, dir: &Path) -> Result<(), StoreError> {
    check_against(MIGRATIONS, db, seal, dir)
}

fn check_against(migrations: &[Migration], db: &sled::Db, seal: &Seal, dir: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::from_sled(dir, source);
    let known = 1 + u32::try_from(migrations.len()).expect("migrations are few");
    let meta = db.open_tree(META).map_err(failed)?;

    let Some(version) = meta.get(VERSION_KEY).map_err(failed)? else {
        if dir.join(MARKER).exists() {
            let reason = "its records are gone, though it had been set up".to_owned();
            return Err(StoreError::CorruptFiles { dir: dir.to_owned(), reason });
        }
        let mut fresh = sled::Batch::default();
        fresh.insert(VERSION_KEY, known.to_be_bytes().as_slice());
        fresh.insert(KEY_CHECK_KEY, seal.seal(META, KEY_CHECK_KEY.as_bytes(), KEY_CHECK));
        meta.apply_batch(fresh).map_err(failed)?;
        meta.flush().map_err(failed)?;
        return mark(dir);
    };

    let corrupt = |reason| StoreError::CorruptRecord { dir: dir.to_owned(), table: META, reason };
    let version = version.as_ref().try_into().map(u32::from_be_bytes);
    let found = version.ok().filter(|found| *found > 0).ok_or_else(|| corrupt("its schema version is no version"))?;
    if found > known {
        return Err(StoreError::NewerSchema { dir: dir.to_owned(), found, known });
    }

    let sealed = meta.get(KEY_CHECK_KEY).map_err(failed)?.ok_or_else(|| corrupt("its key check is missing"))?;
    if seal.open(META, KEY_CHECK_KEY.as_bytes(), &sealed).as_deref() != Some(KEY_CHECK) {
        return Err(StoreError::WrongKey { dir: dir.to_owned() });
    }

    mark(dir)?;
    for (version, migration) in (1_u32..).zip(migrations).skip_while(|(version, _)| *version < found) {
        migration(db, seal)?;
        db.flush().map_err(failed)?;
        meta.insert(VERSION_KEY, (version + 1).to_be_bytes().as_slice()).map_err(failed)?;
        meta.flush().map_err(failed)?;
        tracing::info!("the store was brought from schema version {version} to {}", version + 1);
    }
    Ok(())
}

fn mark(dir: &Path) -> Result<(), StoreError> {
    let made = File::create(dir.join(MARKER)).and_then(|marker| marker.sync_all());
    made.map_err(|source| StoreError::from_sled(dir, source.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(db: &sled::Db, seal: &Seal) -> Result<(), StoreError> {
        let add = |old: Option<&[u8]>| Some(vec![old.map_or(1, |old| old[0] + 1)]);
        let count = db.update_and_fetch("migrations run", add).expect("the test's store can be written");
        // Writes sealed values, as a real migration does.
        let sealed = seal.seal("test", b"count", &count.expect("it was just written"));
        db.insert("sealed count", sealed).map_err(|source| StoreError::from_sled(Path::new("test"), source))?;
        Ok(())
    }

    #[test]
    fn each_migration_runs_once_and_an_older_program_refuses_the_result() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = sled::Config::new().path(dir.path()).open().expect("a database");
        let seal = Seal::new(&[7; 32]);
        let runs = || db.get("migrations run").expect("readable").map(|count| count[0]);
        check_against(&[], &db, &seal, dir.path()).expect("a fresh store of version 1");

        check_against(&[count as Migration], &db, &seal, dir.path()).expect("1 to 2");
        check_against(&[count as Migration], &db, &seal, dir.path()).expect("nothing to do");
        assert_eq!(runs(), Some(1));
        check_against(&[|_, _| panic!("has run"), count], &db, &seal, dir.path()).expect("2 to 3");
        assert_eq!(runs(), Some(2));

        let refused = check_against(&[], &db, &seal, dir.path());
        assert!(matches!(refused, Err(StoreError::NewerSchema { found: 3, known: 1, .. })), "{refused:?}");
    }
}
