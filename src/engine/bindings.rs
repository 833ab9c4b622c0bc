//! Where a grant bound to rooms or spaces holds (C12): names are resolved here, and `core/tool.rs` decides.
//!
//! A room id always means the same room, so a grant bound to one does not follow an upgrade; an alias follows the
//! homeserver's directory. A room is in a space if the space says so (`m.space.child` with a server). The room's own
//! claim does not count, because anybody can make a room that claims it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedRoomOrAliasId, RoomId, RoomOrAliasId};
use tokio::time::Instant;

use super::{EngineError, runtime::Runtime};
use crate::{
    core::{
        id,
        run::RunRecord,
        tool::{Grant, Here, Tool},
    },
    matrix::MatrixError,
};

/// How long a resolved alias or a space's child is cached. Negative answers are not cached.
const KNOWN_FOR: Duration = Duration::from_mins(1);
/// Most cached answers of each kind.
const KNOWN_MAX: usize = 4_096;
/// Users of ours tried until one can read a space.
const READERS_MAX: usize = 3;

/// Most upgrades of one room that are followed.
const UPGRADES_MAX: usize = 50;

/// Looks up where grants hold, and keeps recent answers.
pub(super) struct Bindings {
    runtime: Arc<Runtime>,
    aliases: Kept<OwnedRoomOrAliasId, OwnedRoomId>,
    /// Pairs of a space and a room that it contains.
    children: Kept<(OwnedRoomId, OwnedRoomId), ()>,
}

struct Kept<K, V>(Mutex<BTreeMap<K, (Instant, V)>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, V: Clone> Kept<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(at, _)| at.elapsed() < KNOWN_FOR).map(|(_, value)| value.clone())
    }

    fn put(&self, key: K, value: V) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KNOWN_MAX {
            kept.clear();
        }
        kept.insert(key, (Instant::now(), value));
    }
}

impl Bindings {
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone(), aliases: Kept::default(), children: Kept::default() }
    }

    /// Returns the names in these grants that stand for the room or for a space that contains it. An alias that leads
    /// nowhere and a space that none of ours can read count as not matching.
    pub(super) async fn here(&self, grants: &[Grant], room: &RoomId) -> Result<Here, EngineError> {
        let mut here = Here::default();
        for name in grants.iter().flat_map(|grant| &grant.rooms) {
            if !here.rooms.contains(name) && self.named(name).await?.as_deref() == Some(room) {
                here.rooms.insert(name.clone());
            }
        }
        for name in grants.iter().flat_map(|grant| &grant.spaces) {
            if here.spaces.contains(name) {
                continue;
            }
            let Some(space) = self.named(name).await? else { continue };
            if self.holds(&space, room).await? {
                here.spaces.insert(name.clone());
            }
        }
        Ok(here)
    }

    /// Returns whether a bound tool's grant still holds in the run's room.
    pub(super) async fn still_holds(&self, record: &RunRecord, tool: &Tool) -> bool {
        let Some(coworker) = self.runtime.coworker(&record.user) else { return false };
        let Some(grant) = coworker.tools.iter().find(|grant| grant.matches(&tool.offer.name)) else { return false };
        match self.here(std::slice::from_ref(grant), &record.room).await {
            Ok(here) => grant.holds_in(&here),
            Err(error) => {
                tracing::warn!(%error, "where a tool may be used cannot be looked up; it isn't");
                false
            }
        }
    }

    /// Returns whether a grant is bound to this space.
    pub(super) async fn is_a_grants_space(&self, room: &RoomId) -> bool {
        for name in
            self.runtime.config().coworkers.iter().flat_map(|coworker| &coworker.tools).flat_map(|grant| &grant.spaces)
        {
            if matches!(self.named(name).await, Ok(Some(space)) if space == room) {
                return true;
            }
        }
        false
    }

    /// Has the service bot accept an invite to a space that grants are bound to, so that its rooms can be read.
    pub(super) async fn join_grants_space(&self, room: &RoomId) -> Result<(), EngineError> {
        let Some(account) = self.runtime.pool.kept(&self.runtime.service_user()) else { return Ok(()) };
        account.join(room).await?;
        self.runtime.roster.enter(room, account.user());
        tracing::info!(room.id = %room, "the service bot is in a space that tools are bound to");
        Ok(())
    }

    /// Returns the room in which a file's schedule, hook or watch works: the one that its name names, or that which has
    /// replaced it since, if coworkers took everything along there (C18). `None` if an alias leads nowhere.
    pub(super) async fn workplace(&self, name: &RoomOrAliasId) -> Result<Option<OwnedRoomId>, EngineError> {
        let Some(mut room) = self.named(name).await? else { return Ok(None) };
        for _ in 0..UPGRADES_MAX {
            let record = self.runtime.tables.rooms.get(&room)?;
            let Some(next) = record.and_then(|record| record.moved_to) else { break };
            room = next;
        }
        Ok(Some(room))
    }

    /// Returns the room that an id or an alias names; `None` if the alias leads nowhere.
    pub(super) async fn named(&self, name: &RoomOrAliasId) -> Result<Option<OwnedRoomId>, EngineError> {
        if let Some(id) = id::room(name.as_str()) {
            return Ok(Some(id));
        }
        if let Some(known) = self.aliases.get(&name.to_owned()) {
            return Ok(Some(known));
        }
        let found = unless_refused(self.runtime.api().resolve(name).await)?;
        if let Some(room) = &found {
            self.aliases.put(name.to_owned(), room.clone());
        } else {
            tracing::warn!(alias = %name, "an alias of the config leads nowhere");
        }
        Ok(found)
    }

    async fn holds(&self, space: &RoomId, room: &RoomId) -> Result<bool, EngineError> {
        let key = (space.to_owned(), room.to_owned());
        if self.children.get(&key).is_some() {
            return Ok(true);
        }
        let mut readers = self.runtime.roster.of(space);
        readers.insert(0, self.runtime.service_user());
        readers.dedup();
        let mut holds = None;
        for reader in readers.iter().take(READERS_MAX) {
            holds = unless_refused(self.runtime.api().space_holds(reader, space, room).await)?.flatten();
            if holds.is_some() {
                break;
            }
        }
        if holds.is_none() {
            tracing::warn!(room.id = %space, "a tool is bound to a space that none of our users is in; invite the service bot");
        }
        let holds = holds.unwrap_or_default();
        if holds {
            self.children.put(key, ());
        }
        Ok(holds)
    }

    /// Returns whether one of these names stands for a room.
    pub(super) async fn is_among(&self, room: &RoomId, names: &[OwnedRoomOrAliasId]) -> Result<bool, EngineError> {
        for name in names {
            if self.workplace(name).await?.as_deref() == Some(room) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Maps a refusal to `None`; a homeserver that does not answer is an error.
fn unless_refused<T>(answer: Result<T, MatrixError>) -> Result<Option<T>, EngineError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_passing() => Err(error.into()),
        Err(_) => Ok(None),
    }
}
