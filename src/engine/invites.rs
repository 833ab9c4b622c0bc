//! Invites to our users: accepted or declined by C3, C4, A1 and A2, and the explanation to the inviter.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::json;
use tokio::time::Instant;

use super::{Engine, EngineError, Shared, assistants::Chat, caught::caught, records::RoomRecord};
use crate::{
    clock,
    config::{AcceptInvites, Coworker},
    core::{
        company::{Company, Liveliness},
        event::Membership,
        invite::{Accepts, AfterJoin, AssistantFor, Invite, InviteDecision, Tell, after_join, on_invite},
        links::room_address,
        names::pill,
        people::Who,
        voice::Voice,
        words::{self, declining},
        zone::Zone,
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
        accepted: Instant,
    ) -> Result<(), EngineError> {
        if self.lobby.is_lobby(room)? {
            return self.lobby.join_lobby(room, invited).await;
        }
        if self.namespace().who(invited) == Who::Service && self.people.is_the_space(room).await {
            return self.people.join_space(room).await;
        }
        if self.namespace().who(invited) == Who::Service
            && self.namespace().who(inviter).is_person()
            && self.bindings.is_a_grants_space(room).await
        {
            return self.bindings.join_grants_space(room).await;
        }
        if let Who::Assistant(owner) = self.namespace().who(invited)
            && self.namespace().user_id(&owner) == inviter
            && Box::pin(self.take_invite_to_successor(inviter, room, accepted)).await?
        {
            return Ok(());
        }
        let coworker = self.coworker(invited);
        let accepts = coworker.as_ref().map(|coworker| match &coworker.accept_invites_from {
            AcceptInvites::Members => Accepts::Members,
            AcceptInvites::Only(people) => Accepts::Only(people),
        });
        let invite = Invite { invited, inviter, humans: None, accepts };
        let decision = on_invite(&self.namespace(), &invite);
        tracing::info!(room.id = %room, user.id = %invited, ?decision, "an invite");
        match decision {
            InviteDecision::Join => Box::pin(self.join_as_coworker(room, invited, inviter, accepted)).await,
            InviteDecision::ServiceDm { person, assistant } => {
                Box::pin(self.join_service_dm(room, &person, assistant)).await
            }
            InviteDecision::MakeAssistant { owner } => Box::pin(self.lead_to_own_chat(room, invited, &owner)).await,
            // An old invite, handled again: a coworker whose file is missing or faulty stays until it is retired.
            InviteDecision::Decline { tell: Some(Tell::UnknownCoworker) } if self.is_joined(room, invited).await? => {
                Ok(())
            }
            InviteDecision::Decline { tell } => {
                let reason = tell.map(|tell| self.reason(tell));
                self.decline(room, invited, reason.as_deref()).await?;
                if let Some(tell) = tell {
                    Box::pin(self.tell_inviter(inviter, invited, tell)).await;
                }
                Ok(())
            }
        }
    }

    /// Declines an owner's invite of their assistant to another chat, and leads them to the assistant's own.
    async fn lead_to_own_chat(
        self: Shared,
        room: &RoomId,
        assistant: &UserId,
        owner: &UserId,
    ) -> Result<(), EngineError> {
        if !self.people.members.may_have_assistant(owner)? {
            self.decline(room, assistant, Some(&declining::members_only())).await?;
            return Box::pin(self.say_privately(owner, &words::not_a_member())).await;
        }
        if !self.config().assistants.enabled {
            return self.decline(room, assistant, Some(&declining::no_assistants())).await;
        }
        // Noted before the chat exists, because its first words mention it.
        self.note(owner, |record| record.elsewhere = true)?;
        let chat = match Box::pin(self.clone().ensure_assistant(owner)).await {
            Err(error) if error.is_passing() => return Err(error),
            chat => chat,
        };
        let own = self.tables.assistants.get(&owner.to_owned())?.and_then(|record| record.room);
        let reason = own.map(|own| {
            let is_invited = matches!(chat, Ok(Chat::Invited));
            declining::own_chat(&room_address(&own, &self.namespace().server), is_invited)
        });
        self.decline(room, assistant, reason.as_deref()).await?;
        if chat? == Chat::Joined {
            Box::pin(self.say_written_elsewhere(owner, room)).await?;
        }
        Ok(())
    }

    /// Says in an assistant's existing chat that the invite to another one was declined.
    async fn say_written_elsewhere(&self, owner: &UserId, declined: &RoomId) -> Result<(), EngineError> {
        let record = self.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        let Some(own) = record.room.filter(|_| record.introduced && !record.silent) else { return Ok(()) };
        let account = Box::pin(self.pool.passing(&self.assistant_persona(owner))).await?;
        let txn = super::word_transaction("elsewhere", declined.as_str(), account.user());
        account.send(&own, &super::word(&declining::written_elsewhere(), Some(owner)), txn).await?;
        self.note(owner, |record| record.elsewhere = false)
    }

    /// Returns the reason on the leave event of a declined invite.
    fn reason(&self, tell: Tell) -> String {
        let service = self.service_user();
        match tell {
            Tell::AskInRoom => declining::only_in_rooms(service.as_str()),
            Tell::NotAccepted => declining::not_from_you(),
            Tell::UnknownCoworker => declining::retired(service.as_str()),
            Tell::NotYourAssistant => declining::others_assistant(service.as_str()),
            Tell::AssistantStaysPrivate => declining::assistant_of_one(),
            Tell::ServiceOnlyDirect => declining::service_alone(),
        }
    }

    /// Returns whether one of our users, which may have no client, is in a room. One that is only invited may not ask.
    async fn is_joined(&self, room: &RoomId, user: &UserId) -> Result<bool, EngineError> {
        let [room, member] = [room.as_str(), user.as_str()].map(encode);
        let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{member}");
        match self.api().call(Identity::User(user.to_owned()), reqwest::Method::GET, &path, None).await {
            Ok(content) => Ok(content["membership"] == "join"),
            Err(error) if error.is_passing() => Err(error.into()),
            Err(_) => Ok(false),
        }
    }

    /// Declines without opening a client, because the user may never have had one.
    async fn decline(&self, room: &RoomId, user: &UserId, reason: Option<&str>) -> Result<(), EngineError> {
        if let Some(account) = self.pool.kept(user) {
            return Ok(account.leave(room, reason).await?);
        }
        let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
        let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(room.as_str()));
        let identity = Identity::User(user.to_owned());
        let left = self.api().call(identity, reqwest::Method::POST, &path, Some(Body::Json(body))).await;
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
                // Handled before a crash. The start checks who is in each room.
                self.roster.enter(room, user);
                return self.introduce(&account, room).await;
            }
        } else {
            learn_devices(&account, inviter).await?;
            match account.join(room).await {
                // The invite or the room is gone.
                Err(error) if error.is_forbidden() => return Ok(()),
                joined => joined?,
            }
        }
        self.roster.enter(room, user);
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            record.invited_by.insert(user.to_owned(), inviter.to_owned());
            Some(record)
        })?;
        let voice = self.voice_in(&account, room).await?;
        if voice != Voice::Heard {
            Box::pin(self.tell_unheard(&account, room, inviter, voice)).await;
        }
        let upgraded = self.follow_upgrade(&account, room)?;
        if !self.stay_if_lively(&account, room, upgraded.as_deref()).await? {
            self.begin_visit(&account, room, inviter).await?;
        }
        self.read_since_invite(&account, room).await
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
                self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
                    let mut record = record.unwrap_or_default();
                    let _ = record.liveliness.take(&company, clock::now());
                    record.stays.insert(account.user().to_owned());
                    Some(record)
                })?;
                // If it was removed halfway through something, it still owes that here.
                self.try_what_is_owed();
                // Flush before it says anything: if the others leave meanwhile, it is paused and does not leave.
                self.store.flush().await?;
                self.introduce(account, room).await?;
            }
            AfterJoin::Await => {
                self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
                    Some(RoomRecord { liveliness: Liveliness::awaiting(), ..record.unwrap_or_default() })
                })?;
            }
            AfterJoin::LeaveAndTell(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Says the first words (C17), once for each coworker and room.
    pub(super) async fn introduce(&self, account: &Account, room: &RoomId) -> Result<(), EngineError> {
        let Some(coworker) = self.coworker(account.user()) else { return Ok(()) };
        let record = self.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
        if record.introduced.contains(account.user()) || self.voice_in(account, room).await? != Voice::Heard {
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
            let txn = super::word_transaction("first-words", cause, account.user());
            account.send_first_words(room, &super::word(&text, None), txn).await?;
        }
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
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
            schedules: self.is_among(room, &schedules).await?,
            hooks: self.is_among(room, &hooks).await?,
            watches: self.is_among(room, &watches).await?,
        })
    }

    /// Counts a room's joined and invited members.
    pub(super) fn company(&self, facts: &Facts) -> Company {
        let joined = facts.joined.iter().map(|user| (&**user, Membership::Join));
        let invited = facts.invited.iter().map(|user| (&**user, Membership::Invite));
        Company::of(&self.namespace(), joined.chain(invited))
    }

    async fn join_service_dm(
        self: Shared,
        room: &RoomId,
        person: &UserId,
        assistant: AssistantFor,
    ) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&self.service_user()) else { return Ok(()) };
        learn_devices(&account, person).await?;
        match account.join(room).await {
            Err(error) if error.is_forbidden() => return Ok(()),
            joined => joined?,
        }
        let company = self.company(&account.facts(room).await?);
        if company.may_become_lively() || company.ours > 1 || account.is_space(room) {
            return Ok(account.leave(room, Some(&declining::service_alone())).await?);
        }
        self.roster.enter(room, account.user());
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            Some(RoomRecord { service_dm: Some(person.to_owned()), ..record.unwrap_or_default() })
        })?;
        Box::pin(self.clone().welcome(&account, room, person, assistant)).await?;
        self.read_since_invite(&account, room).await
    }

    /// Leaves the service bot's chat with a person, because somebody else has joined it.
    pub(super) async fn leave_service_chat(&self, room: &RoomId) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&self.service_user()) else { return Ok(()) };
        account.leave(room, Some(&declining::service_alone())).await?;
        self.roster.leave(room, account.user());
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            Some(RoomRecord { service_dm: None, ..record.unwrap_or_default() })
        })?;
        Ok(())
    }

    /// Tells an inviter why one of ours declined, in the inviter's chat with the service bot.
    async fn tell_inviter(self: Shared, inviter: &UserId, invited: &UserId, tell: Tell) {
        let name = match self.namespace().who(invited) {
            Who::Coworker(id) => self.coworker(invited).map_or(id.0, |coworker| coworker.name.clone()),
            _ => invited.to_string(),
        };
        let text = match tell {
            // The leave event or the visit says it there.
            Tell::AskInRoom | Tell::ServiceOnlyDirect => return,
            Tell::NotAccepted | Tell::UnknownCoworker => words::declined_inviter(&name),
            Tell::NotYourAssistant => words::not_your_assistant(&pill(invited, invited.as_str())),
            Tell::AssistantStaysPrivate => {
                let link = self.assistant_chat_link(inviter, "Its chat").ok().flatten();
                words::assistant_is_here(&pill(invited, invited.as_str()), link.as_deref())
            }
        };
        let told = Box::pin(self.say_privately(inviter, &text)).await;
        if let Err(error) = told {
            tracing::warn!(user.id = %inviter, %error, "an inviter cannot be told why an invite was declined");
        }
    }

    /// Sends a text in a person's chat with the service bot; makes the chat if there is none.
    pub(super) async fn say_privately(self: Shared, person: &UserId, text: &str) -> Result<(), EngineError> {
        self.say_privately_once(person, text, ruma::TransactionId::new()).await
    }

    /// Like [`Self::say_privately`], but a repeated `txn` sends nothing new.
    pub(super) async fn say_privately_once(
        self: Shared,
        person: &UserId,
        text: &str,
        txn: ruma::OwnedTransactionId,
    ) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&self.service_user()) else { return Ok(()) };
        let room = self.service_chat_of(&account, person).await?;
        account.sync().await?;
        account.send(&room, &super::word(text, Some(person)), txn).await?;
        Ok(())
    }

    /// Returns a person's chat with the service bot; makes it if there is none.
    async fn service_chat_of(&self, account: &Account, person: &UserId) -> Result<OwnedRoomId, EngineError> {
        let _making = self.service_chats.lock().await;
        let known = self.tables.rooms.iter().filter_map(Result::ok);
        let mut rooms = known.filter(|(_, record)| record.service_dm.as_deref() == Some(person)).map(|(room, _)| room);
        if let Some(room) = rooms.find(|room| account.is_in(room)) {
            return Ok(room);
        }
        let room = crate::matrix::dm::create_service(account, person).await?;
        self.roster.enter(&room, account.user());
        let record = RoomRecord { service_dm: Some(person.to_owned()), ..RoomRecord::default() };
        self.tables.rooms.put(&room, &record)?;
        Ok(room)
    }

    /// Handles open invites that no transaction brought. One that cannot be handled costs only itself: while it is open,
    /// the safety sync finds it again.
    ///
    /// # Errors
    /// When the homeserver is away.
    pub(super) async fn take_missed_invites(
        self: Shared,
        account: &Account,
        rooms: impl IntoIterator<Item = OwnedRoomId>,
    ) -> Result<(), EngineError> {
        for room in rooms {
            let Some(inviter) = account.inviter(&room).await else { continue };
            let user: OwnedUserId = account.user().to_owned();
            let taken = caught(Box::pin(self.clone().take_invite(&room, &user, &inviter, Instant::now()))).await;
            let Err(error) = taken else { continue };
            if error.is_passing() && self.homeserver.is_away_now().await {
                return Err(error);
            }
            tracing::warn!(room.id = %room, user.id = %user, %error, "an invite that came meanwhile cannot be taken yet");
        }
        Ok(())
    }
}

/// Learns the inviter's devices before a join: the sync after it may already bring their app's verification request.
async fn learn_devices(account: &Account, person: &UserId) -> Result<(), EngineError> {
    match account.learn_devices(person).await {
        Err(error) if error.is_passing() => Err(error.into()),
        _ => Ok(()),
    }
}
