//! Invites to our users: accepted or declined by C3, C4, A1 and A2, and the explanation to the inviter.

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::json;
use tokio::time::Instant;

use super::{EngineError, caught::caught, homes::Chat, records::RoomRecord};
use crate::{
    config::AcceptInvites,
    core::{
        invite::{Accepts, AssistantFor, Invite, InviteDecision, Tell, on_invite},
        links::room_address,
        names::pill,
        people::Who,
        voice::Voice,
        words::{self, declining},
    },
    engine::{
        bindings::Bindings, chats::Chats, company::Company, gaps::Gaps, homes::Homes, homeserver::Homeserver,
        lobby::Lobby, runtime::Runtime, service::ServiceBot, service_chats::ServiceChats, standing::People,
        upgrades::Upgrades, visits::Visits, voice::Voices,
    },
    matrix::{
        Account,
        api::{Body, encode},
        proxy::Identity,
    },
};

/// Decides about invites to ours.
pub(super) struct Invites {
    runtime: Arc<Runtime>,
    company: Arc<Company>,
    visits: Arc<Visits>,
    upgrades: Arc<Upgrades>,
    gaps: Arc<Gaps>,
    homes: Arc<Homes>,
    chats: Arc<Chats>,
    service_bot: Arc<ServiceBot>,
    service_chats: Arc<ServiceChats>,
    voices: Arc<Voices>,
    bindings: Arc<Bindings>,
    lobby: Arc<Lobby>,
    people: Arc<People>,
    homeserver: Arc<Homeserver>,
}

impl Invites {
    /// Makes it on what it may call.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        (company, visits, upgrades): (&Arc<Company>, &Arc<Visits>, &Arc<Upgrades>),
        (gaps, homes, chats): (&Arc<Gaps>, &Arc<Homes>, &Arc<Chats>),
        (service_bot, service_chats, voices): (&Arc<ServiceBot>, &Arc<ServiceChats>, &Arc<Voices>),
        (bindings, lobby, people): (&Arc<Bindings>, &Arc<Lobby>, &Arc<People>),
        homeserver: &Arc<Homeserver>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            company: company.clone(),
            visits: visits.clone(),
            upgrades: upgrades.clone(),
            gaps: gaps.clone(),
            homes: homes.clone(),
            chats: chats.clone(),
            service_bot: service_bot.clone(),
            service_chats: service_chats.clone(),
            voices: voices.clone(),
            bindings: bindings.clone(),
            lobby: lobby.clone(),
            people: people.clone(),
            homeserver: homeserver.clone(),
        }
    }

    /// Handles an invite to one of our users.
    pub(super) async fn take_invite(
        self: Arc<Self>,
        room: &RoomId,
        invited: &UserId,
        inviter: &UserId,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        if self.lobby.is_lobby(room)? {
            return self.lobby.join_lobby(room, invited).await;
        }
        if self.runtime.namespace().who(invited) == Who::Service && self.people.is_the_space(room).await {
            return self.people.join_space(room).await;
        }
        if self.runtime.namespace().who(invited) == Who::Service
            && self.runtime.namespace().who(inviter).is_person()
            && self.bindings.is_a_grants_space(room).await
        {
            return self.bindings.join_grants_space(room).await;
        }
        if let Who::Assistant(owner) = self.runtime.namespace().who(invited)
            && self.runtime.namespace().user_id(&owner) == inviter
            && Box::pin(self.homes.take_invite_to_successor(inviter, room, accepted)).await?
        {
            return Ok(());
        }
        let coworker = self.runtime.coworker(invited);
        let accepts = coworker.as_ref().map(|coworker| match &coworker.accept_invites_from {
            AcceptInvites::Members => Accepts::Members,
            AcceptInvites::Only(people) => Accepts::Only(people),
        });
        let invite = Invite { invited, inviter, humans: None, accepts };
        let decision = on_invite(&self.runtime.namespace(), &invite);
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
        self: Arc<Self>,
        room: &RoomId,
        assistant: &UserId,
        owner: &UserId,
    ) -> Result<(), EngineError> {
        if !self.people.members.may_have_assistant(owner)? {
            self.decline(room, assistant, Some(&declining::members_only())).await?;
            return Box::pin(self.service_chats.clone().say_privately(owner, &words::not_a_member())).await;
        }
        if !self.runtime.config().assistants.enabled {
            return self.decline(room, assistant, Some(&declining::no_assistants())).await;
        }
        // Noted before the chat exists, because its first words mention it.
        self.chats.note(owner, |record| record.elsewhere = true)?;
        let chat = match Box::pin(self.homes.clone().ensure_assistant(owner)).await {
            Err(error) if error.is_passing() => return Err(error),
            chat => chat,
        };
        let own = self.runtime.tables.assistants.get(&owner.to_owned())?.and_then(|record| record.room);
        let reason = own.map(|own| {
            let is_invited = matches!(chat, Ok(Chat::Invited));
            declining::own_chat(&room_address(&own, &self.runtime.namespace().server), is_invited)
        });
        self.decline(room, assistant, reason.as_deref()).await?;
        if chat? == Chat::Joined {
            Box::pin(self.say_written_elsewhere(owner, room)).await?;
        }
        Ok(())
    }

    /// Says in an assistant's existing chat that the invite to another one was declined.
    async fn say_written_elsewhere(&self, owner: &UserId, declined: &RoomId) -> Result<(), EngineError> {
        let record = self.runtime.tables.assistants.get(&owner.to_owned())?.unwrap_or_default();
        let Some(own) = record.room.filter(|_| record.introduced && !record.silent) else { return Ok(()) };
        let account = Box::pin(self.runtime.pool.passing(&self.runtime.assistant_persona(owner))).await?;
        let txn = super::word_transaction("elsewhere", declined.as_str(), account.user());
        account.send(&own, &super::word(&declining::written_elsewhere(), Some(owner)), txn).await?;
        self.chats.note(owner, |record| record.elsewhere = false)
    }

    /// Returns the reason on the leave event of a declined invite.
    fn reason(&self, tell: Tell) -> String {
        let service = self.runtime.service_user();
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
        match self.runtime.api().call(Identity::User(user.to_owned()), reqwest::Method::GET, &path, None).await {
            Ok(content) => Ok(content["membership"] == "join"),
            Err(error) if error.is_passing() => Err(error.into()),
            Err(_) => Ok(false),
        }
    }

    /// Declines without opening a client, because the user may never have had one.
    async fn decline(&self, room: &RoomId, user: &UserId, reason: Option<&str>) -> Result<(), EngineError> {
        if let Some(account) = self.runtime.pool.kept(user) {
            return Ok(account.leave(room, reason).await?);
        }
        let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
        let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(room.as_str()));
        let identity = Identity::User(user.to_owned());
        let left = self.runtime.api().call(identity, reqwest::Method::POST, &path, Some(Body::Json(body))).await;
        match left {
            Err(error) if !error.is_forbidden() => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn join_as_coworker(
        self: Arc<Self>,
        room: &RoomId,
        user: &UserId,
        inviter: &UserId,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        let Some(account) = self.runtime.pool.kept(user) else { return Ok(()) };
        account.sync_since(accepted).await?;
        if account.is_in(room) {
            let known = self.runtime.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
            if known.stays.contains(user) {
                // Handled before a crash. The start checks who is in each room.
                self.runtime.roster.enter(room, user);
                return self.company.introduce(&account, room).await;
            }
        } else {
            learn_devices(&account, inviter).await?;
            match account.join(room).await {
                // The invite or the room is gone.
                Err(error) if error.is_forbidden() => return Ok(()),
                joined => joined?,
            }
        }
        self.runtime.roster.enter(room, user);
        self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            record.invited_by.insert(user.to_owned(), inviter.to_owned());
            Some(record)
        })?;
        let voice = self.voices.voice_in(&account, room).await?;
        if voice != Voice::Heard {
            Box::pin(self.voices.tell_unheard(&account, room, inviter, voice)).await;
        }
        let upgraded = self.upgrades.follow_upgrade(&account, room)?;
        if !self.company.stay_if_lively(&account, room, upgraded.as_deref()).await? {
            self.visits.begin_visit(&account, room, inviter).await?;
        }
        self.gaps.read_since_invite(&account, room).await
    }

    async fn join_service_dm(
        self: Arc<Self>,
        room: &RoomId,
        person: &UserId,
        assistant: AssistantFor,
    ) -> Result<(), EngineError> {
        let Some(account) = self.runtime.pool.kept(&self.runtime.service_user()) else { return Ok(()) };
        learn_devices(&account, person).await?;
        match account.join(room).await {
            Err(error) if error.is_forbidden() => return Ok(()),
            joined => joined?,
        }
        let company = self.company.company(&account.facts(room).await?);
        if company.may_become_lively() || company.ours > 1 || account.is_space(room) {
            return Ok(account.leave(room, Some(&declining::service_alone())).await?);
        }
        self.runtime.roster.enter(room, account.user());
        self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            Some(RoomRecord { service_dm: Some(person.to_owned()), ..record.unwrap_or_default() })
        })?;
        Box::pin(self.service_bot.clone().welcome(&account, room, person, assistant)).await?;
        self.gaps.read_since_invite(&account, room).await
    }

    /// Tells an inviter why one of ours declined, in the inviter's chat with the service bot.
    async fn tell_inviter(self: Arc<Self>, inviter: &UserId, invited: &UserId, tell: Tell) {
        let name = match self.runtime.namespace().who(invited) {
            Who::Coworker(id) => self.runtime.coworker(invited).map_or(id.0, |coworker| coworker.name.clone()),
            _ => invited.to_string(),
        };
        let text = match tell {
            // The leave event or the visit says it there.
            Tell::AskInRoom | Tell::ServiceOnlyDirect => return,
            Tell::NotAccepted | Tell::UnknownCoworker => words::declined_inviter(&name),
            Tell::NotYourAssistant => words::not_your_assistant(&pill(invited, invited.as_str())),
            Tell::AssistantStaysPrivate => {
                let link = self.service_chats.assistant_chat_link(inviter, "Its chat").ok().flatten();
                words::assistant_is_here(&pill(invited, invited.as_str()), link.as_deref())
            }
        };
        let told = Box::pin(self.service_chats.clone().say_privately(inviter, &text)).await;
        if let Err(error) = told {
            tracing::warn!(user.id = %inviter, %error, "an inviter cannot be told why an invite was declined");
        }
    }

    /// Handles open invites that no transaction brought. One that cannot be handled costs only itself: while it is open,
    /// the safety sync finds it again.
    ///
    /// # Errors
    /// When the homeserver is away.
    pub(super) async fn take_missed_invites(
        self: Arc<Self>,
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
