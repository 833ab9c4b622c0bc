//! The service bot: makes or finds a person's assistant, and says which of the two to use.

use std::sync::Arc;

use ruma::{RoomId, UserId};

use super::{EngineError, homes::Chat};
use crate::{
    appservice::health::Condition,
    core::{
        command::ServiceCommand,
        event::{Place, RoomEvent},
        invite::AssistantFor,
        names::pill,
        sealed::Carriage,
        words,
    },
    engine::{
        audit::Audit, budget::Budget, chats::Chats, homes::Homes, lanes::Lanes, lobby::Lobby, runtime::Runtime,
        service_chats::ServiceChats, standing::People, toolsets::Toolsets, trust::Trust,
    },
    matrix::Account,
};

/// The service bot.
pub(super) struct ServiceBot {
    runtime: Arc<Runtime>,
    people: Arc<People>,
    lobby: Arc<Lobby>,
    toolsets: Arc<Toolsets>,
    budget: Arc<Budget>,
    trust: Arc<Trust>,
    audit: Arc<Audit>,
    homes: Arc<Homes>,
    chats: Arc<Chats>,
    service_chats: Arc<ServiceChats>,
    lanes: Lanes,
}

impl ServiceBot {
    /// Makes it on what it may call.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        (people, lobby, toolsets): (&Arc<People>, &Arc<Lobby>, &Arc<Toolsets>),
        (budget, audit): (&Arc<Budget>, &Arc<Audit>),
        (trust, homes): (&Arc<Trust>, &Arc<Homes>),
        (chats, service_chats, lanes): (&Arc<Chats>, &Arc<ServiceChats>, &Lanes),
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            people: people.clone(),
            lobby: lobby.clone(),
            toolsets: toolsets.clone(),
            budget: budget.clone(),
            trust: trust.clone(),
            audit: audit.clone(),
            homes: homes.clone(),
            chats: chats.clone(),
            service_chats: service_chats.clone(),
            lanes: lanes.clone(),
        }
    }

    /// Says the first words in a person's chat with the service bot, and makes their assistant.
    pub(super) async fn welcome(
        self: Arc<Self>,
        account: &Account,
        room: &RoomId,
        person: &UserId,
        assistant: AssistantFor,
    ) -> Result<(), EngineError> {
        let txn = super::word_transaction("welcome", room.as_str(), account.user());
        let is_admin = self.runtime.config().workspace.admins.contains(person);
        let mut text = words::welcome(&self.runtime.current.get().listed(), self.lobby.lobby_link()?.as_deref());
        if is_admin {
            text = format!("{text}\n\n{}", words::service_help(true));
        }
        account.send_first_words(room, &super::word(&text, None), txn).await?;
        // An admin may only have come to look, so they have to ask for theirs.
        if assistant == AssistantFor::Local && !is_admin {
            let txn = super::word_transaction("assistant", room.as_str(), account.user());
            Box::pin(self.clone().hand_over(account, room, person, txn)).await?;
        }
        Ok(())
    }

    /// Answers a message in a person's chat with the service bot.
    pub(super) async fn answer_service_dm(
        self: Arc<Self>,
        person: &UserId,
        event: &RoomEvent,
        came: Carriage,
    ) -> Result<(), EngineError> {
        let is_admin = self.runtime.config().workspace.admins.contains(person);
        let asked = ServiceCommand::of(event, person, &self.runtime.namespace().who(person), is_admin);
        let Some(command) = asked else { return Ok(()) };
        let Some(account) = self.runtime.pool.kept(&self.runtime.service_user()) else { return Ok(()) };
        let txn = super::word_transaction("service", event.id.as_str(), account.user());
        account.sync().await?;
        let text = match command {
            ServiceCommand::Console => {
                // What came encrypted is answered encrypted or not at all.
                let facts = account.facts(&event.room).await?;
                let is_of_two = facts.invited.is_empty()
                    && facts.joined.iter().all(|member| member == person || member == account.user());
                self.audit.console.offer(person, is_of_two && came == Carriage::Encrypted)
            }
            ServiceCommand::ConsoleEnd => self.audit.console.end_all(person).await?,
            ServiceCommand::Changes => self.toolsets.show_changes(&account, &event.room, &txn).await?,
            ServiceCommand::Accept(named) => self.toolsets.accept_change(person, &named).await?,
            ServiceCommand::Coworkers => {
                words::coworker_list(&self.runtime.current.get().listed(), self.lobby.lobby_link()?.as_deref())
            }
            // The app's own button works as well, and says nothing here.
            ServiceCommand::Verify => {
                return Box::pin(self.trust.verify_on_request(&account, person, &event.room, Place::Timeline, event))
                    .await;
            }
            ServiceCommand::Assistant => {
                return Box::pin(self.clone().hand_over(&account, &event.room, person, txn)).await;
            }
            ServiceCommand::Status if is_admin => {
                format!("{}\n{}", words::service_status(&self.service_status()), self.budget.ledger_shown()?)
            }
            ServiceCommand::Status => self.budget.own_ledger(person)?,
            ServiceCommand::Help => words::service_help(is_admin),
        };
        account.send(&event.room, &super::word(&text, None), txn).await?;
        Ok(())
    }

    async fn hand_over(
        self: Arc<Self>,
        account: &Account,
        room: &RoomId,
        person: &UserId,
        txn: ruma::OwnedTransactionId,
    ) -> Result<(), EngineError> {
        let text = if !self.runtime.fits_an_assistant(person) {
            words::id_does_not_fit()
        } else if !self.people.members.may_have_assistant(person)? {
            words::not_a_member()
        } else if self.runtime.config().assistants.enabled && person.server_name() == self.runtime.namespace().server {
            let persona = self.chats.persona_after(person).await;
            let assistant = pill(&persona.user, &persona.display_name);
            let chat = Box::pin(self.homes.clone().ensure_assistant(person)).await?;
            let link = self
                .service_chats
                .assistant_chat_link(person, if chat == Chat::Joined { "its chat" } else { "Its chat" })?;
            match chat {
                Chat::Joined => words::assistant_is_known(&assistant, link.as_deref()),
                Chat::Invited => words::assistant_is_here(&assistant, link.as_deref()),
            }
        } else {
            words::assistants_off()
        };
        account.send(room, &super::word(&text, Some(person)), txn).await?;
        Ok(())
    }

    /// Returns counts and conditions for admins, without content or names.
    fn service_status(&self) -> words::ServiceStatus {
        let (running, waiting) = self.lanes.counts();
        let tools = self.toolsets.tools.health();
        words::ServiceStatus {
            version: env!("CARGO_PKG_VERSION"),
            up_minutes: self.runtime.life.up_for().as_secs() / 60,
            coworkers: self.runtime.config().coworkers.len(),
            assistants: self.runtime.tables.assistants.len(),
            assistants_open: self.runtime.pool.passing_len(),
            running,
            waiting,
            provisioning: self.people.provisioning_counts(),
            servers_up: tools.up,
            servers_down: tools.down,
            claude: self.runtime.health.get(Condition::ClaudeKey).reason().map(ToOwned::to_owned),
        }
    }
}
