//! Invites to our users: accepted or declined by C3, C4, A1 and A2, and what the inviter is told.

use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::json;
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, records::RoomRecord};
use crate::{
    clock,
    config::AcceptInvites,
    core::{
        company::{Company, Liveliness},
        event::Membership,
        invite::{Accepts, AfterJoin, AssistantFor, Invite, InviteDecision, Tell, after_join, on_invite},
        people::Who,
        words,
    },
    matrix::{
        Account,
        account::Facts,
        api::{Body, encode},
        proxy::Identity,
    },
};

impl Engine {
    /// Handles an invite to one of our users.
    pub(super) async fn take_invite(
        self: Shared,
        room: &RoomId,
        invited: &UserId,
        inviter: &UserId,
        is_direct: bool,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        if self.namespace.who(invited) == Who::Service && self.is_the_space(room).await {
            return self.join_space(room).await;
        }
        if self.namespace.who(invited) == Who::Service
            && self.namespace.who(inviter).is_person()
            && self.is_a_grants_space(room).await
        {
            return self.join_grants_space(room).await;
        }
        if let Who::Assistant(owner) = self.namespace.who(invited)
            && self.namespace.user_id(&owner) == inviter
            && Box::pin(self.take_invite_to_successor(inviter, room, accepted)).await?
        {
            return Ok(());
        }
        let accepts = self.coworker(invited).map(|coworker| match &coworker.accept_invites_from {
            AcceptInvites::Members => Accepts::Members,
            AcceptInvites::Only(people) => Accepts::Only(people),
        });
        let invite = Invite { invited, inviter, is_direct, humans: None, accepts };
        let decision = on_invite(&self.namespace, &invite);
        tracing::info!(room.id = %room, user.id = %invited, ?decision, "an invite");
        match decision {
            InviteDecision::Join => Box::pin(self.join_as_coworker(room, invited, inviter, accepted)).await,
            InviteDecision::ServiceDm { person, assistant } => {
                Box::pin(self.join_service_dm(room, &person, assistant)).await
            }
            InviteDecision::MakeAssistant { owner } => {
                self.decline(room, invited).await?;
                if !self.may_have_assistant(&owner)? {
                    return Box::pin(self.say_privately(&owner, &words::not_a_member())).await;
                }
                if self.config.assistants.enabled {
                    Box::pin(self.clone().ensure_assistant(&owner)).await?;
                }
                Ok(())
            }
            InviteDecision::Decline { tell } => {
                self.decline(room, invited).await?;
                if let Some(tell) = tell {
                    Box::pin(self.tell_inviter(inviter, invited, tell)).await;
                }
                Ok(())
            }
        }
    }

    /// Declines without opening a client: the user may never have had one.
    async fn decline(&self, room: &RoomId, user: &UserId) -> Result<(), EngineError> {
        if let Some(account) = self.pool.kept(user) {
            return Ok(account.leave(room).await?);
        }
        let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(room.as_str()));
        let identity = Identity::User(user.to_owned());
        let left = self.api().call(identity, reqwest::Method::POST, &path, Some(Body::Json(json!({})))).await;
        match left {
            Err(error) if !error.is_forbidden() => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn join_as_coworker(
        self: Shared,
        room: &RoomId,
        user: &UserId,
        inviter: &UserId,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(user) else { return Ok(()) };
        account.sync_since(accepted).await?;
        if account.is_in(room) {
            let known = self.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
            if known.stays.contains(user) {
                // Taken before a crash. Who is there now is looked at like in any room at a start.
                self.roster.enter(room, user);
                return self.introduce(&account, room).await;
            }
        } else {
            match account.join(room).await {
                // The invite is gone: withdrawn, or the room is.
                Err(error) if error.is_forbidden() => return Ok(()),
                joined => joined?,
            }
        }
        self.roster.enter(room, user);
        if !self.can_speak(&account, room).await? {
            Box::pin(self.tell_other_encryption(&account, room, inviter)).await;
        }
        let upgraded = self.follow_upgrade(&account, room)?;
        if !self.stay_if_lively(&account, room, upgraded.as_deref()).await? {
            Box::pin(self.tell_inviter(inviter, user, Tell::AskInRoom)).await;
        }
        Ok(())
    }

    /// What a coworker does in a room that it has just joined (C4): it stays, waits for others, or leaves again.
    /// Returns whether it stayed. People follow an upgrade one by one, so a room that replaces another is waited in.
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
                self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
                    let mut record = record.unwrap_or_default();
                    let _ = record.liveliness.take(&company, clock::now());
                    record.stays.insert(account.user().to_owned());
                    Some(record)
                })?;
                // It may have been taken out in the middle of something.
                self.try_what_is_owed();
                // Before anything of it is seen: if the others leave meanwhile, it is paused and does not go.
                self.store.flush().await?;
                self.introduce(account, room).await?;
            }
            AfterJoin::Await => {
                self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
                    Some(RoomRecord { liveliness: Liveliness::awaiting(), ..record.unwrap_or_default() })
                })?;
            }
            AfterJoin::LeaveAndTell(_) => {
                account.leave(room).await?;
                self.roster.leave(room, account.user());
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first words in a room (C17), once for each coworker and room.
    pub(super) async fn introduce(&self, account: &Account, room: &RoomId) -> Result<(), EngineError> {
        let Some(coworker) = self.coworker(account.user()) else { return Ok(()) };
        let record = self.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
        if record.introduced.contains(account.user()) || !self.can_speak(account, room).await? {
            return Ok(());
        }
        if !coworker.silent_join {
            let facts = account.facts(room).await?;
            let tools = words::tool_names(&self.toolset_of_run(coworker, room).await?);
            let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
            // What can be read is known only once some of it was looked at.
            let events = account.history(room, 1).await?;
            let text = words::first_words(&words::FirstWords {
                name: &coworker.name,
                purpose: &coworker.purpose,
                encrypted: facts.encrypted,
                readable_from: if events.is_empty() { None } else { account.readable_from(room) },
                tools: &tools,
                reads: coworker.reads,
            });
            // Invited again after it was removed, it introduces itself anew: another event, so another transaction.
            let joined_by = account.joined_by(room).await?;
            let cause = joined_by.as_ref().map_or(room.as_str(), |event| event.as_str());
            let txn = super::word_transaction("first-words", cause, account.user());
            account.send_first_words(room, &super::word(&text, None), txn).await?;
        }
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            record.introduced.insert(account.user().to_owned());
            Some(record)
        })?;
        Ok(())
    }

    /// Counts who is in a room and who is invited.
    pub(super) fn company(&self, facts: &Facts) -> Company {
        let joined = facts.joined.iter().map(|user| (&**user, Membership::Join));
        let invited = facts.invited.iter().map(|user| (&**user, Membership::Invite));
        Company::of(&self.namespace, joined.chain(invited))
    }

    async fn join_service_dm(
        self: Shared,
        room: &RoomId,
        person: &UserId,
        assistant: AssistantFor,
    ) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&self.service_user()) else { return Ok(()) };
        match account.join(room).await {
            Err(error) if error.is_forbidden() => return Ok(()),
            joined => joined?,
        }
        let others = account.facts(room).await?;
        let humans = self.company(&others);
        if humans.humans + humans.humans_invited > 1 {
            return Ok(account.leave(room).await?);
        }
        self.roster.enter(room, account.user());
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            Some(RoomRecord { service_dm: Some(person.to_owned()), ..record.unwrap_or_default() })
        })?;
        Box::pin(self.welcome(&account, room, person, assistant)).await
    }

    /// Tells an inviter why one of ours did not come: in their assistant's room, or in their chat with the service bot.
    async fn tell_inviter(self: Shared, inviter: &UserId, invited: &UserId, tell: Tell) {
        let name = match self.namespace.who(invited) {
            Who::Coworker(id) => self.coworker(invited).map_or(id.0, |coworker| coworker.name.clone()),
            _ => invited.to_string(),
        };
        let service = self.service_user();
        let text = match tell {
            Tell::AskInRoom => words::declined_private(&name),
            Tell::NotAccepted | Tell::UnknownCoworker => words::declined_inviter(&name),
            Tell::NotYourAssistant => words::not_your_assistant(invited.as_str()),
            Tell::AssistantStaysPrivate => words::assistant_is_here(invited.as_str()),
            Tell::ServiceOnlyDirect => words::service_only_direct(service.as_str()),
        };
        let told = Box::pin(self.say_privately(inviter, &text)).await;
        if let Err(error) = told {
            tracing::warn!(user.id = %inviter, %error, "an inviter cannot be told why an invite was declined");
        }
    }

    /// Says something to one person in the chat that the service bot has with them; one is made if there is none.
    pub(super) async fn say_privately(self: Shared, person: &UserId, text: &str) -> Result<(), EngineError> {
        self.say_privately_once(person, text, ruma::TransactionId::new()).await
    }

    /// As [`Self::say_privately`]; the same `txn` is said once.
    pub(super) async fn say_privately_once(
        self: Shared,
        person: &UserId,
        text: &str,
        txn: ruma::OwnedTransactionId,
    ) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&self.service_user()) else { return Ok(()) };
        let known = self.tables.rooms.iter().filter_map(Result::ok);
        let mut rooms = known.filter(|(_, record)| record.service_dm.as_deref() == Some(person)).map(|(room, _)| room);
        let room = if let Some(room) = rooms.find(|room| account.is_in(room)) {
            room
        } else {
            let room = crate::matrix::dm::create_service(&account, person).await?;
            self.roster.enter(&room, account.user());
            self.tables
                .rooms
                .put(&room, &RoomRecord { service_dm: Some(person.to_owned()), ..RoomRecord::default() })?;
            room
        };
        account.sync().await?;
        account.send(&room, &super::word(text, Some(person)), txn).await?;
        Ok(())
    }

    /// Handles invites that came while we were away and that no transaction brought.
    pub(super) async fn take_missed_invites(self: Shared, account: &Account) -> Result<(), EngineError> {
        for room in account.invited() {
            let Some((inviter, is_direct)) = account.inviter(&room).await else { continue };
            let user: OwnedUserId = account.user().to_owned();
            Box::pin(self.clone().take_invite(&room, &user, &inviter, is_direct, Instant::now())).await?;
        }
        Ok(())
    }

    pub(super) fn api(&self) -> &crate::matrix::api::Api {
        self.pool.provisioner().api()
    }
}
