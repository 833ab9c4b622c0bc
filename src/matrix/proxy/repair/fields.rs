//! A JSON object whose fields can be kept or dropped without parsing them fully.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use super::Losses;

/// An object's fields, unparsed; of duplicates the last one counts.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// Reads an object.
    pub(super) fn of(raw: &RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// Returns a field unparsed.
    pub(super) fn raw(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(|raw| &**raw)
    }

    /// Returns a field as a `T`.
    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        parsed(self.raw(name)?)
    }

    /// Sets a field.
    pub(super) fn put(&mut self, name: &str, value: &impl Serialize) {
        if let Ok(raw) = to_raw_value(value) {
            self.0.insert(name.to_owned(), raw);
        }
    }

    /// Removes a field; returns whether it existed.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Keeps the fields for which `keeps` returns true.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&str, &RawValue) -> bool) {
        self.0.retain(|name, raw| keeps(name, raw));
    }

    /// Visits all fields; each is replaced by what `mend` returns, or removed on `None`.
    pub(super) fn each(&mut self, mut mend: impl FnMut(&str, &RawValue) -> Option<Box<RawValue>>) {
        let all = std::mem::take(&mut self.0);
        self.0 = all.into_iter().filter_map(|(name, raw)| mend(&name, &raw).map(|raw| (name, raw))).collect();
    }

    /// Adds a required field if it is missing.
    pub(super) fn or_default(&mut self, name: &str, json: &str) {
        if !self.0.contains_key(name)
            && let Ok(raw) = RawValue::from_string(json.to_owned())
        {
            self.0.insert(name.to_owned(), raw);
        }
    }

    /// Drops a field that does not parse as `T`.
    pub(super) fn keep<T: DeserializeOwned>(&mut self, name: &str, losses: &mut Losses) {
        if self.raw(name).is_some_and(|raw| parsed::<T>(raw).is_none()) {
            self.remove(name);
            losses.parts += 1;
        }
    }

    /// Drops a field that is not a list, and elements that do not parse as `T`.
    pub(super) fn list<T: DeserializeOwned>(&mut self, name: &str, losses: &mut Losses) {
        let Some(raw) = self.raw(name) else { return };
        let Some(mut list) = parsed::<Vec<Box<RawValue>>>(raw) else {
            self.remove(name);
            losses.parts += 1;
            return;
        };
        let before = list.len();
        list.retain(|element| parsed::<T>(element).is_some());
        if list.len() < before {
            losses.parts += before - list.len();
            self.put(name, &list);
        }
    }

    /// Drops a field that is not an object, and entries whose key is not a `K` or whose value is not a `V`.
    pub(super) fn map<K: DeserializeOwned, V: DeserializeOwned>(&mut self, name: &str, losses: &mut Losses) {
        self.entries(name, losses, |key, raw, losses| {
            let fits = is_key::<K>(key) && parsed::<V>(raw).is_some();
            losses.parts += usize::from(!fits);
            fits.then(|| raw.to_owned())
        });
    }

    /// Like [`Self::map`], with a map from `K2` to `V` for each `K1`.
    pub(super) fn maps<K1, K2, V>(&mut self, name: &str, losses: &mut Losses)
    where
        K1: DeserializeOwned,
        K2: DeserializeOwned,
        V: DeserializeOwned,
    {
        self.entries(name, losses, |key, raw, losses| {
            let inner = is_key::<K1>(key).then(|| Self::of(raw)).flatten();
            losses.parts += usize::from(inner.is_none());
            let mut wrapped = Self(BTreeMap::from([(String::new(), to_raw_value(&inner?).ok()?)]));
            wrapped.map::<K2, V>("", losses);
            wrapped.0.remove("")
        });
    }

    /// Like [`Self::maps`], three levels deep and with any value.
    pub(super) fn deep_maps<K1, K2, K3>(&mut self, name: &str, losses: &mut Losses)
    where
        K1: DeserializeOwned,
        K2: DeserializeOwned,
        K3: DeserializeOwned,
    {
        self.entries(name, losses, |key, raw, losses| {
            let inner = is_key::<K1>(key).then(|| Self::of(raw)).flatten();
            losses.parts += usize::from(inner.is_none());
            let mut wrapped = Self(BTreeMap::from([(String::new(), to_raw_value(&inner?).ok()?)]));
            wrapped.maps::<K2, K3, serde::de::IgnoredAny>("", losses);
            wrapped.0.remove("")
        });
    }

    fn entries(
        &mut self,
        name: &str,
        losses: &mut Losses,
        mut mend: impl FnMut(&str, &RawValue, &mut Losses) -> Option<Box<RawValue>>,
    ) {
        let Some(raw) = self.raw(name) else { return };
        let Some(mut fields) = Self::of(raw) else {
            self.remove(name);
            losses.parts += 1;
            return;
        };
        fields.each(|key, raw| mend(key, raw, losses));
        self.put(name, &fields);
    }
}

/// Reads a value as a `T`.
pub(super) fn parsed<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

fn is_key<K: DeserializeOwned>(key: &str) -> bool {
    K::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(key)).is_ok()
}
