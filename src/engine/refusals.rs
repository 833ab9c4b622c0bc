//! Refusals by the model's provider (C26): what was to blame is left out of later requests, until it is put back.
//! `core::run` decides what that is, and `core::refused` who may put it back.

use ruma::{EventId, RoomId, UserId};

use super::{Engine, EngineError, ask::Asking as Asked, records::RoomRecord};
use crate::{
    clock,
    core::{
        command::Refusing,
        event::RoomEvent,
        names::Names,
        refused::{Asking, LeftOut, Part, Refused, Suspect, put_back},
        run::RunRecord,
        tool::MODERATOR_LEVEL,
        words,
    },
    matrix::Account,
};

impl Engine {
    /// Returns the models that a run may ask: the configured one, and those that are asked where it refused.
    pub(super) fn models_of(&self, own: Option<&str>) -> Vec<String> {
        let config = self.config();
        let first = own.unwrap_or(&config.claude.model);
        let others = config.claude.fallback_models.iter().filter(|model| *model != first);
        std::iter::once(first.to_owned()).chain(others.cloned()).collect()
    }

    /// Returns which of its models a run asks at once, because the first one refused something of this a while ago; 0 for
    /// the first.
    pub(super) fn begins_with(&self, record: &RunRecord, asking: &Asked) -> Result<usize, EngineError> {
        let (Some(first), 0, true) = (asking.models.first(), record.fallback, record.work.is_empty()) else {
            return Ok(0);
        };
        if asking.models.len() == 1 || asking.probes {
            return Ok(0);
        }
        let refused = self.answerer(record).refused()?;
        let instead = refused.averse().instead_of(first, &asking.suspects, clock::now());
        Ok(instead.and_then(|instead| asking.models.iter().position(|model| *model == instead)).unwrap_or_default())
    }

    /// The model that a run asks took the request: what the first one refuses is known better now.
    pub(super) fn note_who_took(&self, record: &RunRecord, asking: &Asked) -> Result<(), EngineError> {
        let Some(first) = asking.models.first().filter(|_| asking.models.len() > 1) else { return Ok(()) };
        let answerer = self.answerer(record);
        if *first != asking.model {
            let by = (first.as_str(), asking.model.as_str());
            return answerer
                .change_refused(&mut |refused| refused.averse_mut().refused(by, &asking.suspects, clock::now()));
        }
        if answerer.refused()?.averse().is_empty() {
            return Ok(());
        }
        answerer.change_refused(&mut |refused| refused.averse_mut().took(first, &asking.suspects))
    }

    /// Leaves parts out of later requests where a run reads.
    pub(super) fn note_refused(
        &self,
        record: &RunRecord,
        parts: &[Suspect],
        category: Option<&str>,
    ) -> Result<(), EngineError> {
        self.answerer(record).change_refused(&mut |refused| refused.add(parts, category))
    }

    /// A request that was refused before was taken.
    pub(super) fn note_taken(&self, record: &RunRecord) -> Result<(), EngineError> {
        self.forget_refused(record, &[Part::Event(record.request.clone())])
    }

    /// Forgets that parts were refused: they are gone, or read otherwise now.
    pub(super) fn forget_refused(&self, record: &RunRecord, parts: &[Part]) -> Result<(), EngineError> {
        let answerer = self.answerer(record);
        let refused = answerer.refused()?;
        let known: Vec<&Part> = parts.iter().filter(|part| refused.get(part).is_some()).collect();
        if known.is_empty() {
            return Ok(());
        }
        answerer.change_refused(&mut |refused| known.iter().for_each(|part| refused.remove(part)))
    }

    /// Forgets that a message of a room was refused, because it was redacted.
    pub(super) fn forget_refused_in(&self, room: &RoomId, target: &EventId) -> Result<(), EngineError> {
        let kept = self.tables.rooms.get(&room.to_owned())?;
        if !kept.is_some_and(|kept| kept.refused.has_event(target)) {
            return Ok(());
        }
        self.change_refused_in(room, |refused| refused.remove_event(target))
    }

    /// Answers `!leftout` in a room.
    pub(super) async fn left_out_of(&self, account: &Account, event: &RoomEvent) -> Result<String, EngineError> {
        let refused = self.tables.rooms.get(&event.room)?.unwrap_or_default().refused;
        self.told_left_out(account, event, refused.list()).await
    }

    /// Returns the answer to `!leftout`.
    async fn told_left_out(
        &self,
        account: &Account,
        event: &RoomEvent,
        left_out: &[LeftOut],
    ) -> Result<String, EngineError> {
        let people: Vec<&UserId> = left_out.iter().filter_map(|one| one.what.by.as_deref()).collect();
        let names = if people.is_empty() { Names::default() } else { account.names(&event.room, &people).await };
        let zone = self.zones.zone_of(&event.sender).await;
        Ok(words::refusals::left_out(left_out, &event.room, &self.namespace().server, &names, &zone))
    }

    /// Carries out `!reread` in a room.
    pub(super) async fn reread(
        &self,
        account: &Account,
        event: &RoomEvent,
        number: Option<u32>,
    ) -> Result<String, EngineError> {
        let (room, who) = (&event.room, &event.sender);
        let refused = self.tables.rooms.get(room)?.unwrap_or_default().refused;
        let level = account.level_at(room, &event.id, who).await?;
        let moderates =
            level.is_some_and(|level| level >= MODERATOR_LEVEL) || self.config().workspace.admins.contains(who);
        let back = put_back(&refused, Asking { who, moderates }, number);
        if !back.parts.is_empty() {
            self.change_refused_in(room, |refused| back.parts.iter().for_each(|part| refused.remove(part)))?;
            self.store.flush().await?;
            tracing::info!(room.id = %room, parts = back.parts.len(), "what was left out is read again");
        }
        Ok(words::refusals::put_back(&back, number))
    }

    /// Carries out a command in an assistant's chat, which is its owner's.
    pub(super) async fn obey_refusing(
        &self,
        account: &Account,
        owner: &UserId,
        event: &RoomEvent,
        refusing: Refusing,
    ) -> Result<String, EngineError> {
        let refused = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default().refused;
        let Refusing::Reread(number) = refusing else {
            return self.told_left_out(account, event, refused.list()).await;
        };
        let back = put_back(&refused, Asking { who: owner, moderates: true }, number);
        if !back.parts.is_empty() {
            self.chats.note(owner, |kept| back.parts.iter().for_each(|part| kept.refused.remove(part)))?;
            self.store.flush().await?;
        }
        Ok(words::refusals::put_back(&back, number))
    }

    fn change_refused_in(&self, room: &RoomId, change: impl Fn(&mut Refused)) -> Result<(), EngineError> {
        self.tables.rooms.update(&room.to_owned(), |kept: Option<RoomRecord>| {
            let mut kept = kept.unwrap_or_default();
            change(&mut kept.refused);
            Some(kept)
        })?;
        Ok(())
    }
}
