//! The time zones in which people read our messages (`m.tz` of their profiles): cached, and never waited for long.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio::time::{Instant, timeout};

use super::{Engine, EngineError, records::RoomRecord};
use crate::core::{run::RunRecord, zone::Zone};

/// How long a zone is cached; shorter if the profile could not be read.
const KEPT: Duration = Duration::from_hours(1);
const KEPT_UNKNOWN: Duration = Duration::from_mins(5);
/// How long to wait for a profile; then times are shown in UTC.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most cached zones; beyond that all are dropped.
const PEOPLE_MAX: usize = 4_096;

/// Cached zones with their expiry.
#[derive(Default)]
pub(super) struct Zones(Mutex<HashMap<OwnedUserId, (Instant, Zone)>>);

impl Engine {
    /// Returns the name of a person's zone, for a run's record.
    pub(super) async fn zone_name_of(&self, person: &UserId) -> Option<String> {
        self.zone_of(person).await.name().map(ToOwned::to_owned)
    }

    /// Records the time zone of a run's asker, and returns the zones of those who have asked in its room.
    ///
    /// They are stored with the room, so that a prompt's facts change only with a new asker, and not with each asker in
    /// turn.
    pub(super) fn zones_of_askers(&self, run: &RunRecord) -> Result<BTreeMap<OwnedUserId, String>, EngineError> {
        let mut kept = self.tables.rooms.get(&run.room)?.unwrap_or_default().zones;
        if kept.get(&run.asker) == run.zone.as_ref() {
            return Ok(kept);
        }
        self.tables.rooms.update(&run.room, |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            record.note_zone(&run.asker, run.zone.as_deref());
            kept.clone_from(&record.zones);
            Some(record)
        })?;
        Ok(kept)
    }

    /// Returns a person's zone; UTC if their profile names none or cannot be read.
    pub(super) async fn zone_of(&self, person: &UserId) -> Zone {
        if person.server_name() != self.namespace.server {
            // Another server would have to be asked, and it need not show us the profile.
            return Zone::default();
        }
        let now = Instant::now();
        let kept = self.zones.0.lock().unwrap_or_else(PoisonError::into_inner).get(person).cloned();
        if let Some((until, zone)) = kept
            && now < until
        {
            return zone;
        }
        let asked = timeout(PATIENCE, self.api().profile_fields(person)).await;
        let (zone, kept) = match asked {
            Ok(Ok(profile)) => (Zone::of_profile(&profile), KEPT),
            _ => (Zone::default(), KEPT_UNKNOWN),
        };
        let mut zones = self.zones.0.lock().unwrap_or_else(PoisonError::into_inner);
        if zones.len() >= PEOPLE_MAX {
            zones.clear();
        }
        zones.insert(person.to_owned(), (now + kept, zone.clone()));
        zone
    }
}
