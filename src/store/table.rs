//! A typed table: plain keys, sealed JSON values, atomic changes.

use std::{
    fmt,
    marker::PhantomData,
    path::Path,
    sync::{Arc, Mutex},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::StoreError,
    key::{Key, Prefixed},
    lock,
    seal::Seal,
};

/// A table of the store. Cheap to clone; changes are atomic for each key, and durable after `Store::flush`.
///
/// Its calls do short, mostly cached disk work and may be made from async code.
pub struct Table<K, V> {
    sealed: SealedTree,
    /// Held by every change, so that `update` can read, decide and write as one.
    writing: Arc<Mutex<()>>,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Key, V: Serialize + DeserializeOwned> Table<K, V> {
    pub(super) fn new(sealed: SealedTree, writing: Arc<Mutex<()>>) -> Self {
        Self { sealed, writing, types: PhantomData }
    }

    /// Returns the value under `key`.
    ///
    /// # Errors
    /// When the store cannot be read, or the record is damaged or of another type.
    pub fn get(&self, key: &K) -> Result<Option<V>, StoreError> {
        self.sealed.get(&key.to_bytes())
    }

    /// Stores `value` under `key`, in place of what is there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put(&self, key: &K, value: &V) -> Result<(), StoreError> {
        let _writing = lock(&self.writing);
        self.sealed.put(&key.to_bytes(), value)
    }

    /// Stores `value` only if there is none under `key` yet; returns whether it did.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn insert_new(&self, key: &K, value: &V) -> Result<bool, StoreError> {
        let _writing = lock(&self.writing);
        let key = key.to_bytes();
        if self.sealed.contains(&key)? {
            return Ok(false);
        }
        self.sealed.put(&key, value)?;
        Ok(true)
    }

    /// Replaces the value under `key` by what `change` makes of it (`None` removes it), and returns the new one.
    ///
    /// No other change of this table happens in between; `change` must not change the same table itself.
    ///
    /// # Errors
    /// As [`Self::get`] and [`Self::put`]; nothing is changed then.
    pub fn update(&self, key: &K, change: impl FnOnce(Option<V>) -> Option<V>) -> Result<Option<V>, StoreError> {
        let _writing = lock(&self.writing);
        let key = key.to_bytes();
        let new = change(self.sealed.get(&key)?);
        match &new {
            Some(value) => self.sealed.put(&key, value)?,
            None => self.sealed.remove(&key)?,
        }
        Ok(new)
    }

    /// Removes what is under `key`, if anything.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove(&self, key: &K) -> Result<(), StoreError> {
        let _writing = lock(&self.writing);
        self.sealed.remove(&key.to_bytes())
    }

    /// Returns all records in the keys' order (or, with `rev`, against it), read as they are asked for.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Result<(K, V), StoreError>> + use<K, V> {
        self.read_all(self.sealed.tree.iter())
    }

    /// Returns the records whose keys begin with `prefix`, in the keys' order, read as they are asked for.
    pub fn scan_prefix<P: ?Sized>(
        &self,
        prefix: &P,
    ) -> impl DoubleEndedIterator<Item = Result<(K, V), StoreError>> + use<K, V, P>
    where
        K: Prefixed<P>,
    {
        self.read_all(self.sealed.tree.scan_prefix(K::prefix_bytes(prefix)))
    }

    /// Returns the number of records; walks over all of them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sealed.tree.len()
    }

    /// Returns whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sealed.tree.is_empty()
    }

    fn read_all(&self, records: sled::Iter) -> impl DoubleEndedIterator<Item = Result<(K, V), StoreError>> + use<K, V> {
        let sealed = self.sealed.clone();
        records.map(move |record| {
            let (key, value) = record.map_err(|source| sealed.failed(source))?;
            let value = sealed.open(&key, &value)?;
            let key = K::from_bytes(&key).ok_or_else(|| sealed.corrupt("its key is not of the table's type"))?;
            Ok((key, value))
        })
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self { sealed: self.sealed.clone(), writing: Arc::clone(&self.writing), types: PhantomData }
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.sealed.name).finish()
    }
}

/// A tree of the database with sealed values; what the tables and the inbox stand on.
#[derive(Clone)]
pub(super) struct SealedTree {
    pub(super) tree: sled::Tree,
    pub(super) name: &'static str,
    pub(super) seal: Seal,
    pub(super) dir: Arc<Path>,
}

impl SealedTree {
    pub(super) fn get<V: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<V>, StoreError> {
        let sealed = self.tree.get(key).map_err(|source| self.failed(source))?;
        sealed.map(|sealed| self.open(key, &sealed)).transpose()
    }

    pub(super) fn contains(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.tree.contains_key(key).map_err(|source| self.failed(source))
    }

    pub(super) fn put(&self, key: &[u8], value: &impl Serialize) -> Result<(), StoreError> {
        let sealed = self.seal(key, value)?;
        self.tree.insert(key, sealed).map_err(|source| self.failed(source))?;
        Ok(())
    }

    pub(super) fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.tree.remove(key).map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Returns the sealed bytes of `value`, to be stored under `key` in this tree.
    pub(super) fn seal(&self, key: &[u8], value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(value).map_err(|source| StoreError::Encode { table: self.name, source })?;
        Ok(self.seal.seal(self.name, key, &plain))
    }

    /// Reads what [`Self::seal`] made for the same key.
    pub(super) fn open<V: DeserializeOwned>(&self, key: &[u8], sealed: &[u8]) -> Result<V, StoreError> {
        let plain = self
            .seal
            .open(self.name, key, sealed)
            .ok_or_else(|| self.corrupt("it does not open under the store's key"))?;
        serde_json::from_slice(&plain).map_err(|_| self.corrupt("its value is not of the table's type"))
    }

    pub(super) fn failed(&self, source: sled::Error) -> StoreError {
        StoreError::from_sled(&self.dir, source)
    }

    pub(super) fn corrupt(&self, reason: &'static str) -> StoreError {
        StoreError::CorruptRecord { dir: self.dir.to_path_buf(), table: self.name, reason }
    }
}
