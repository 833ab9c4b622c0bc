//! Owners' keys: once a key is destroyed, nobody can read what was sealed under it (A3).
//!
//! Each key is a file beside the database and not a record in it: sled keeps replaced pages, from which the master
//! secret could recover a key.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{OwnedUserId, UserId};
use sha2::{Digest as _, Sha256};

use super::{error::StoreError, seal::Seal};
use crate::core::hex::hex;

/// The keys' folder inside the store's.
const FOLDER: &str = "owner-keys";
/// The name that a key's own seal is bound to.
const TABLE: &str = "owner_keys";
/// First byte of a value sealed under an owner's key; no JSON begins with it.
const OWNED: u8 = 1;
/// Ends the owner's id at the front of such a value; no id contains it.
const OWNER_END: u8 = 0;
/// Keys held in memory; beyond this all are dropped and read from their files again.
const KEYS_HELD_MAX: usize = 4_096;

/// The owners' keys; each is made when something is first sealed under it.
#[derive(Clone)]
pub(super) struct Vault(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    seal: Seal,
    /// Held while a key is made, used or destroyed, so that nothing is sealed under a key being destroyed.
    held: Mutex<HashMap<OwnedUserId, Seal>>,
}

impl Vault {
    /// Opens the keys of the store in `store_dir`; they are sealed under the store's key.
    pub(super) fn open(store_dir: &Path, seal: &Seal) -> Result<Self, StoreError> {
        let dir = store_dir.join(FOLDER);
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&dir).map_err(|source| StoreError::Unreadable { dir: dir.clone(), source })?;
        Ok(Self(Arc::new(Inner { dir, seal: seal.clone(), held: Mutex::default() })))
    }

    /// Seals `plain` under the owner's key and puts the owner's id before it.
    pub(super) fn seal(&self, owner: &UserId, table: &str, key: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let seal = match self.0.key_of(owner, &mut held)? {
            Some(seal) => seal,
            None => self.0.make(owner, &mut held)?,
        };
        let sealed = seal.seal(table, key, plain);
        drop(held);
        Ok([&[OWNED], owner.as_bytes(), &[OWNER_END], &sealed].concat())
    }

    /// Returns what [`Self::seal`] was given, or `plain` itself if it has no owner; `None` if the key is destroyed.
    pub(super) fn unseal(&self, table: &str, key: &[u8], plain: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((owner, sealed)) = owned(&plain) else { return Ok(Some(plain)) };
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let seal = self.0.key_of(owner, &mut held)?;
        drop(held);
        // A new key does not open it: it was sealed under one that was destroyed.
        Ok(seal.and_then(|seal| seal.open(table, key, sealed)))
    }

    /// Destroys an owner's key, if there is one, overwriting its bytes before the file is removed.
    pub(super) fn destroy(&self, owner: &UserId) -> Result<(), StoreError> {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(owner);
        let path = self.0.path_of(owner);
        match overwrite(&path).and_then(|()| fs::remove_file(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            gone => gone.and_then(|()| self.0.sync()).map_err(|source| self.0.failed(source)),
        }
    }
}

/// Splits a value into its owner and the sealed part; `None` if it has no owner.
pub(super) fn owned(plain: &[u8]) -> Option<(&UserId, &[u8])> {
    let rest = plain.strip_prefix(&[OWNED])?;
    let end = rest.iter().position(|byte| *byte == OWNER_END)?;
    let owner = std::str::from_utf8(&rest[..end]).ok()?;
    Some((owner.try_into().ok()?, &rest[end + 1..]))
}

impl Inner {
    fn path_of(&self, owner: &UserId) -> PathBuf {
        self.dir.join(hex(&Sha256::digest(owner.as_bytes())[..16]))
    }

    fn key_of(&self, owner: &UserId, held: &mut HashMap<OwnedUserId, Seal>) -> Result<Option<Seal>, StoreError> {
        if let Some(seal) = held.get(owner) {
            return Ok(Some(seal.clone()));
        }
        let sealed = match fs::read(self.path_of(owner)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| self.failed(source))?,
        };
        let key: Option<[u8; 32]> =
            self.seal.open(TABLE, owner.as_bytes(), &sealed).and_then(|key| key.try_into().ok());
        let reason = "an owner's key does not open under the store's key";
        let corrupt = || StoreError::CorruptRecord { dir: self.dir.clone(), table: TABLE, reason };
        Ok(Some(hold(owner, &key.ok_or_else(corrupt)?, held)))
    }

    /// Makes an owner's key and flushes it before anything is sealed under it.
    fn make(&self, owner: &UserId, held: &mut HashMap<OwnedUserId, Seal>) -> Result<Seal, StoreError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the operating system gives randomness");
        let path = self.path_of(owner);
        let fresh = path.with_extension("new");
        let write = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&fresh)?;
            file.write_all(&self.seal.seal(TABLE, owner.as_bytes(), &key))?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            self.sync()
        };
        write().map_err(|source| self.failed(source))?;
        Ok(hold(owner, &key, held))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::from_sled(&self.dir, source.into())
    }
}

fn hold(owner: &UserId, key: &[u8; 32], held: &mut HashMap<OwnedUserId, Seal>) -> Seal {
    if held.len() >= KEYS_HELD_MAX {
        held.clear();
    }
    let seal = Seal::new(key);
    held.insert(owner.to_owned(), seal.clone());
    seal
}

fn overwrite(path: &Path) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&vec![0; usize::try_from(length).unwrap_or_default()])?;
    file.sync_all()
}
