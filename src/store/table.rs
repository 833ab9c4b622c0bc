//! A typed table: plain keys, sealed JSON values, atomic changes.

use std::{
    fmt,
    marker::PhantomData,
    ops::Bound,
    path::Path,
    sync::{Arc, Mutex},
};

use ruma::UserId;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::StoreError,
    key::{Key, Prefixed},
    lock,
    seal::Seal,
    vault::{self, Vault},
};

/// Returns whose a record is; `None` if it is nobody's in particular.
pub type OwnerOf<K, V> = for<'a> fn(&'a K, &'a V) -> Option<&'a UserId>;

/// A table of the store. Cheap to clone. Changes are atomic for each key, and durable after `Store::flush`.
///
/// Calls do short, mostly cached disk work, so async code may make them.
pub struct Table<K, V> {
    sealed: SealedTree,
    /// Held by every change, so that `update` reads, decides and writes atomically.
    writing: Arc<Mutex<()>>,
    vault: Vault,
    owner_of: Option<OwnerOf<K, V>>,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Key, V: Serialize + DeserializeOwned> Table<K, V> {
    pub(super) fn new(sealed: SealedTree, writing: Arc<Mutex<()>>, vault: Vault) -> Self {
        Self { sealed, writing, vault, owner_of: None, types: PhantomData }
    }

    /// From now on also seals each owned record under its owner's key. Records written before stay readable; a record
    /// whose owner's key was destroyed reads as absent.
    #[must_use]
    pub fn owned_by(self, owner_of: OwnerOf<K, V>) -> Self {
        Self { owner_of: Some(owner_of), ..self }
    }

    /// Returns the value under `key`.
    ///
    /// # Errors
    /// If the store cannot be read, or the record is damaged or of another type.
    pub fn get(&self, key: &K) -> Result<Option<V>, StoreError> {
        self.read_at(&key.to_bytes())
    }

    /// Stores `value` under `key`, replacing any other.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn put(&self, key: &K, value: &V) -> Result<(), StoreError> {
        let _writing = lock(&self.writing);
        self.write(key, value)
    }

    /// Stores `value` only if `key` is free; returns whether it did.
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub fn insert_new(&self, key: &K, value: &V) -> Result<bool, StoreError> {
        let _writing = lock(&self.writing);
        if self.sealed.contains(&key.to_bytes())? {
            return Ok(false);
        }
        self.write(key, value)?;
        Ok(true)
    }

    /// Replaces the value under `key` by what `change` makes of it (`None` removes it), and returns the new value.
    ///
    /// No other change to this table happens in between; `change` must not change the same table itself. What stays as it
    /// is is not written.
    ///
    /// # Errors
    /// As for [`Self::get`] and [`Self::put`]; nothing is changed then.
    pub fn update(&self, key: &K, change: impl FnOnce(Option<V>) -> Option<V>) -> Result<Option<V>, StoreError> {
        let _writing = lock(&self.writing);
        let bytes = key.to_bytes();
        let before = self.plain_at(&bytes)?;
        let new = change(before.as_deref().map(|plain| self.sealed.parse(plain)).transpose()?);
        match &new {
            // An owned record may still have to be sealed for its owner.
            Some(value) if self.owner_of.is_some() => self.write(key, value)?,
            Some(value) => {
                let plain = self.sealed.encode(value)?;
                if before.as_ref() != Some(&plain) {
                    self.sealed.put_plain(&bytes, &plain)?;
                }
            }
            None => self.sealed.remove(&bytes)?,
        }
        Ok(new)
    }

    /// Removes the record under `key`, if there is one.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn remove(&self, key: &K) -> Result<(), StoreError> {
        let _writing = lock(&self.writing);
        self.sealed.remove(&key.to_bytes())
    }

    /// Removes every record of `owner`, and returns how many; walks over all records. Unreadable records stay, for the
    /// operator who repairs the store.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn remove_of(&self, owner: &UserId) -> Result<usize, StoreError> {
        let mut theirs = Vec::new();
        for record in &self.sealed.tree {
            let (key, value) = record.map_err(|source| self.sealed.failed(source))?;
            if self.is_of(owner, &key, &value) {
                theirs.push(key);
            }
        }
        let _writing = lock(&self.writing);
        for key in &theirs {
            self.sealed.remove(key)?;
        }
        Ok(theirs.len())
    }

    /// Removes the first records in key order whose keys are `old`, at most so many, and returns how many. Stops at an
    /// unreadable one, which stays for the operator who repairs the store.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn remove_first(&self, records_max: usize, old: impl Fn(&K) -> bool) -> Result<usize, StoreError> {
        let first = self.iter().map_while(Result::ok).map(|(key, _)| key).take_while(old);
        let first: Vec<K> = first.take(records_max).collect();
        for key in &first {
            self.remove(key)?;
        }
        Ok(first.len())
    }

    fn is_of(&self, owner: &UserId, key: &[u8], value: &[u8]) -> bool {
        let Ok(plain) = self.sealed.open_plain(key, value) else { return false };
        if let Some((theirs, _)) = vault::owned(&plain) {
            return theirs == owner;
        }
        let (Some(owner_of), Some(key), Ok(value)) = (self.owner_of, K::from_bytes(key), self.sealed.parse(&plain))
        else {
            return false;
        };
        owner_of(&key, &value) == Some(owner)
    }

    /// Iterates over all records in key order (`rev` reverses it); each is read when the iterator reaches it.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Result<(K, V), StoreError>> + use<K, V> {
        self.read_all(self.sealed.tree.iter())
    }

    /// Iterates over the records behind `key` in key order.
    pub fn after(&self, key: &K) -> impl DoubleEndedIterator<Item = Result<(K, V), StoreError>> + use<K, V> {
        let behind = (Bound::Excluded(key.to_bytes()), Bound::<Vec<u8>>::Unbounded);
        self.read_all(self.sealed.tree.range(behind))
    }

    /// Iterates over the records before `key` in key order.
    pub fn before(&self, key: &K) -> impl DoubleEndedIterator<Item = Result<(K, V), StoreError>> + use<K, V> {
        self.read_all(self.sealed.tree.range(..key.to_bytes()))
    }

    /// Iterates over all records as [`Self::iter`] does. An unreadable value comes with its key, so that whoever can do
    /// without it may name it and go on.
    pub fn each(&self) -> impl Iterator<Item = Result<(K, Result<V, StoreError>), StoreError>> + use<K, V> {
        self.read_each(self.sealed.tree.iter())
    }

    /// Iterates over the records whose keys begin with `prefix`, in key order; each is read when the iterator reaches
    /// it.
    pub fn scan_prefix<P: ?Sized>(
        &self,
        prefix: &P,
    ) -> impl DoubleEndedIterator<Item = Result<(K, V), StoreError>> + use<K, V, P>
    where
        K: Prefixed<P>,
    {
        self.read_all(self.sealed.tree.scan_prefix(K::prefix_bytes(prefix)))
    }

    /// Counts the records by walking over all of them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sealed.tree.len()
    }

    /// Returns whether the table has no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sealed.tree.is_empty()
    }

    fn read_all(&self, records: sled::Iter) -> impl DoubleEndedIterator<Item = Result<(K, V), StoreError>> + use<K, V> {
        self.read_each(records).map(|record| record.and_then(|(key, value)| Ok((key, value?))))
    }

    fn read_each(
        &self,
        records: sled::Iter,
    ) -> impl DoubleEndedIterator<Item = Result<(K, Result<V, StoreError>), StoreError>> + use<K, V> {
        let table = self.clone();
        let read = move |record: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = record.map_err(|source| table.sealed.failed(source))?;
            let Some(value) = table.open(&key, &value).transpose() else { return Ok(None) };
            match (K::from_bytes(&key), value) {
                (Some(key), value) => Ok(Some((key, value))),
                (None, Err(error)) => Err(error),
                (None, Ok(_)) => Err(table.sealed.corrupt("its key is not of the table's type")),
            }
        };
        records.filter_map(move |record| read(record).transpose())
    }

    fn read_at(&self, key: &[u8]) -> Result<Option<V>, StoreError> {
        self.plain_at(key)?.map(|plain| self.sealed.parse(&plain)).transpose()
    }

    fn plain_at(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let stored = self.sealed.tree.get(key).map_err(|source| self.sealed.failed(source))?;
        stored.map_or(Ok(None), |sealed| self.unseal(key, &sealed))
    }

    /// Unseals a record; `None` if its owner's key is destroyed.
    fn unseal(&self, key: &[u8], sealed: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.vault.unseal(self.sealed.name, key, self.sealed.open_plain(key, sealed)?)
    }

    /// Unseals and parses a record; `None` if its owner's key is destroyed.
    fn open(&self, key: &[u8], sealed: &[u8]) -> Result<Option<V>, StoreError> {
        self.unseal(key, sealed)?.map(|plain| self.sealed.parse(&plain)).transpose()
    }

    fn write(&self, key: &K, value: &V) -> Result<(), StoreError> {
        let bytes = key.to_bytes();
        let Some(owner) = self.owner_of.and_then(|owner_of| owner_of(key, value)) else {
            return self.sealed.put(&bytes, value);
        };
        let plain = self.sealed.encode(value)?;
        let owned = self.vault.seal(owner, self.sealed.name, &bytes, &plain)?;
        self.sealed.put_plain(&bytes, &owned)
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        let (writing, vault) = (Arc::clone(&self.writing), self.vault.clone());
        Self { sealed: self.sealed.clone(), writing, vault, owner_of: self.owner_of, types: PhantomData }
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.sealed.name).finish()
    }
}

/// A sled tree with sealed values; tables and inbox are built on it.
#[derive(Clone)]
pub(super) struct SealedTree {
    pub(super) tree: sled::Tree,
    pub(super) name: &'static str,
    pub(super) seal: Seal,
    pub(super) dir: Arc<Path>,
}

impl SealedTree {
    pub(super) fn contains(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.tree.contains_key(key).map_err(|source| self.failed(source))
    }

    pub(super) fn put(&self, key: &[u8], value: &impl Serialize) -> Result<(), StoreError> {
        self.put_plain(key, &self.encode(value)?)
    }

    fn put_plain(&self, key: &[u8], plain: &[u8]) -> Result<(), StoreError> {
        let sealed = self.seal.seal(self.name, key, plain);
        self.tree.insert(key, sealed).map_err(|source| self.failed(source))?;
        Ok(())
    }

    pub(super) fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.tree.remove(key).map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Seals `value` for storing under `key` in this tree.
    pub(super) fn seal(&self, key: &[u8], value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        Ok(self.seal.seal(self.name, key, &self.encode(value)?))
    }

    /// Unseals and parses what [`Self::seal`] returned for the same key.
    pub(super) fn open<V: DeserializeOwned>(&self, key: &[u8], sealed: &[u8]) -> Result<V, StoreError> {
        self.parse(&self.open_plain(key, sealed)?)
    }

    fn encode(&self, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(value).map_err(|source| StoreError::Encode { table: self.name, source })
    }

    pub(super) fn open_plain(&self, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let plain = self.seal.open(self.name, key, sealed);
        plain.ok_or_else(|| self.corrupt("it does not open under the store's key"))
    }

    fn parse<V: DeserializeOwned>(&self, plain: &[u8]) -> Result<V, StoreError> {
        serde_json::from_slice(plain).map_err(|_| self.corrupt("its value is not of the table's type"))
    }

    pub(super) fn failed(&self, source: sled::Error) -> StoreError {
        StoreError::from_sled(&self.dir, source)
    }

    pub(super) fn corrupt(&self, reason: &'static str) -> StoreError {
        StoreError::CorruptRecord { dir: self.dir.to_path_buf(), table: self.name, reason }
    }
}
