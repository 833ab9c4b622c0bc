//! The time zones in which people read our messages (`m.tz` of their profiles): cached, and never waited for long.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio::time::{Instant, timeout};

use super::{EngineError, records::RoomRecord, runtime::Runtime};
use crate::core::{run::RunRecord, zone::Zone};

/// How long a zone is cached; shorter if the profile could not be read.
const KEPT: Duration = Duration::from_hours(1);
const KEPT_UNKNOWN: Duration = Duration::from_mins(5);
/// How long to wait for a profile; then times are shown in UTC.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most cached zones; beyond that all are dropped.
const PEOPLE_MAX: usize = 4_096;

/// Cached zones with their expiry.
pub(super) struct Zones {
    runtime: Arc<Runtime>,
    kept: Mutex<HashMap<OwnedUserId, (Instant, Zone)>>,
}

impl Zones {
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone(), kept: Mutex::default() }
    }

    /// Returns the name of a person's zone, for a run's record.
    pub(super) async fn zone_name_of(&self, person: &UserId) -> Option<String> {
        self.zone_of(person).await.name().map(ToOwned::to_owned)
    }

    /// Records the time zone of a run's asker, and returns the zones of those who have asked in its room.
    ///
    /// They are stored with the room, so that a prompt's facts change only with a new asker, and not with each asker in
    /// turn.
    pub(super) fn zones_of_askers(&self, run: &RunRecord) -> Result<BTreeMap<OwnedUserId, String>, EngineError> {
        let mut kept = self.runtime.tables.rooms.get(&run.room)?.unwrap_or_default().zones;
        if kept.get(&run.asker) == run.zone.as_ref() {
            return Ok(kept);
        }
        self.runtime.tables.rooms.update(&run.room, |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            record.note_zone(&run.asker, run.zone.as_deref());
            kept.clone_from(&record.zones);
            Some(record)
        })?;
        Ok(kept)
    }

    /// Returns a person's zone; UTC if their profile names none or cannot be read.
    pub(super) async fn zone_of(&self, person: &UserId) -> Zone {
        if person.server_name() != self.runtime.namespace().server {
            // Another server would have to be asked, and it need not show us the profile.
            return Zone::default();
        }
        let now = Instant::now();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(person).cloned();
        if let Some((until, zone)) = kept
            && now < until
        {
            return zone;
        }
        let asked = timeout(PATIENCE, self.runtime.api().profile_fields(person)).await;
        let (zone, kept) = match asked {
            Ok(Ok(profile)) => (Zone::of_profile(&profile), KEPT),
            _ => (Zone::default(), KEPT_UNKNOWN),
        };
        let mut zones = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if zones.len() >= PEOPLE_MAX {
            zones.clear();
        }
        zones.insert(person.to_owned(), (now + kept, zone.clone()));
        zone
    }

    /// Returns an owner's zone: their profile's, or the one that they named in the chat.
    pub(super) async fn zone_of_owner(&self, owner: &UserId) -> Result<Option<Zone>, EngineError> {
        let of_profile = self.zone_of(owner).await;
        if of_profile.name().is_some() {
            return Ok(Some(of_profile));
        }
        let kept = self.runtime.tables.reminders.get(&owner.to_owned())?.unwrap_or_default();
        Ok(kept.zone.as_deref().and_then(Zone::named))
    }
}
