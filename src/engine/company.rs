//! With whom coworkers are in a room, and their first words there (C4, C17).

use std::sync::Arc;

use ruma::RoomId;

use super::{EngineError, records::RoomRecord};
use crate::{
    clock,
    config::Coworker,
    core::{
        company::{Company as Counted, Liveliness},
        event::Membership,
        invite::{AfterJoin, after_join},
        voice::Voice,
        words,
        zone::Zone,
    },
    engine::{
        bindings::Bindings, due::Due, media::Hears, runtime::Runtime, toolsets::Toolsets, voice::Voices, zones::Zones,
    },
    matrix::{Account, account::Facts},
};

/// Whether a coworker stays in a room, and what it says first.
pub(super) struct Company {
    runtime: Arc<Runtime>,
    voices: Arc<Voices>,
    hears: Arc<Hears>,
    toolsets: Arc<Toolsets>,
    zones: Arc<Zones>,
    bindings: Arc<Bindings>,
    owed_due: Arc<Due>,
}

impl Company {
    /// Makes it on what it may call.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        voices: &Arc<Voices>,
        hears: &Arc<Hears>,
        toolsets: &Arc<Toolsets>,
        zones: &Arc<Zones>,
        bindings: &Arc<Bindings>,
        owed_due: &Arc<Due>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            voices: voices.clone(),
            hears: hears.clone(),
            toolsets: toolsets.clone(),
            zones: zones.clone(),
            bindings: bindings.clone(),
            owed_due: owed_due.clone(),
        }
    }

    /// Counts a room's joined and invited members.
    pub(super) fn company(&self, facts: &Facts) -> Counted {
        let joined = facts.joined.iter().map(|user| (&**user, Membership::Join));
        let invited = facts.invited.iter().map(|user| (&**user, Membership::Invite));
        Counted::of(&self.runtime.namespace(), joined.chain(invited))
    }

    /// Says the first words (C17), once for each coworker and room.
    pub(super) async fn introduce(&self, account: &Account, room: &RoomId) -> Result<(), EngineError> {
        let Some(coworker) = self.runtime.coworker(account.user()) else { return Ok(()) };
        let record = self.runtime.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
        if record.introduced.contains(account.user()) || self.voices.voice_in(account, room).await? != Voice::Heard {
            return Ok(());
        }
        // A space is a list of rooms, in which nobody talks.
        if !coworker.silent_join && !account.is_space(room) {
            let facts = account.facts(room).await?;
            let tools = self.toolsets.toolset_of_run(&coworker, room).await?;
            // How far back it can read is known only after a look at the history.
            let events = account.history(room, 1).await?;
            let readable_from = if events.is_empty() { None } else { account.readable_from(room) };
            let zone = match (readable_from, record.invited_by.get(account.user())) {
                (Some(_), Some(inviter)) => self.zones.zone_of(inviter).await,
                _ => Zone::default(),
            };
            let text = words::first_words(&words::FirstWords {
                name: &coworker.name,
                purpose: &coworker.purpose,
                encrypted: facts.encrypted,
                readable_from,
                tools: &tools,
                reads: coworker.reads,
                zone: &zone,
                recogniser: self.hears.host().as_deref(),
                unasked: self.unasked_in(&coworker, room).await?,
            });
            // Use the join event as the cause, so that a coworker invited again introduces itself under a new
            // transaction id.
            let joined_by = account.joined_by(room).await?;
            let cause = joined_by.as_ref().map_or(room.as_str(), |event| event.as_str());
            let txn = crate::engine::word_transaction("first-words", cause, account.user());
            account.send_first_words(room, &crate::engine::word(&text, None), txn).await?;
        }
        self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            record.introduced.insert(account.user().to_owned());
            record.invited_by.remove(account.user());
            Some(record)
        })?;
        Ok(())
    }

    /// Returns what makes a coworker work in a room without being asked.
    async fn unasked_in(&self, coworker: &Coworker, room: &RoomId) -> Result<words::Unasked, EngineError> {
        let schedules: Vec<_> = coworker.schedules.iter().flat_map(|schedule| schedule.rooms.clone()).collect();
        let hooks: Vec<_> = coworker.hooks.iter().map(|hook| hook.hook.room.clone()).collect();
        let watches: Vec<_> = coworker.watches.iter().map(|watch| watch.room.clone()).collect();
        Ok(words::Unasked {
            schedules: self.bindings.is_among(room, &schedules).await?,
            hooks: self.bindings.is_among(room, &hooks).await?,
            watches: self.bindings.is_among(room, &watches).await?,
        })
    }

    /// Decides whether a coworker stays in a room that it has just joined (C4), and returns that. It does not stay with
    /// a single person, except in a room that replaces another: people follow an upgrade one by one, so it waits for
    /// them.
    pub(super) async fn stay_if_lively(
        &self,
        account: &Account,
        room: &RoomId,
        predecessor: Option<&RoomId>,
    ) -> Result<bool, EngineError> {
        let company = self.company(&account.facts(room).await?);
        let stay = match after_join(&company) {
            AfterJoin::LeaveAndTell(_) if predecessor.is_some() => AfterJoin::Await,
            stay => stay,
        };
        match stay {
            AfterJoin::Stay => {
                self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
                    let mut record = record.unwrap_or_default();
                    let _ = record.liveliness.take(&company, clock::now());
                    record.stays.insert(account.user().to_owned());
                    Some(record)
                })?;
                // If it was removed halfway through something, it still owes that here.
                self.owed_due.try_now();
                // Flush before it says anything: if the others leave meanwhile, it is paused and does not leave.
                self.runtime.store.flush().await?;
                self.introduce(account, room).await?;
            }
            AfterJoin::Await => {
                self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
                    Some(RoomRecord { liveliness: Liveliness::awaiting(), ..record.unwrap_or_default() })
                })?;
            }
            AfterJoin::LeaveAndTell(_) => return Ok(false),
        }
        Ok(true)
    }
}
