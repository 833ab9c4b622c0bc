//! What every service of the engine stands on: the config, the stored tables, our users' clients, the tasks and the
//! stop. It decides nothing and calls no service.

mod reloads;
mod setup;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ruma::{OwnedUserId, RoomId, UserId};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::{
    reloads::{AskedBy, Reloaded, Reloads, Wanted},
    setup::{Current, Setup},
};
use super::records::Tables;
use crate::{
    appservice::{health::Health, metrics::Metrics},
    config::{Config, Coworker},
    core::{
        event::{EventKind, MessageKind, RoomEvent},
        people::Namespace,
        time::Timestamp,
    },
    matrix::{Account, MatrixError, api::Api, pool::Pool, provision::Persona, roster::Roster},
    secret::Tokens,
    store::Store,
};

/// The service bot's display name.
const SERVICE_NAME: &str = "Workmate";

/// What services share.
pub(super) struct Runtime {
    pub(super) current: Current,
    /// What we and the homeserver prove ourselves with.
    pub(super) tokens: Tokens,
    /// The file from which the config came.
    pub(super) config_file: PathBuf,
    pub(super) reloads: Reloads,
    pub(super) pool: Pool,
    pub(super) roster: Roster,
    pub(super) tables: Tables,
    pub(super) store: Store,
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    pub(super) life: Life,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// When the process began, and how far it is.
pub(super) struct Life {
    started: tokio::time::Instant,
    /// The start by the wall clock.
    pub(super) began: Timestamp,
    serving: AtomicBool,
    starts_again: AtomicBool,
}

impl Life {
    /// Begins now.
    pub(super) fn begin() -> Self {
        Self {
            started: tokio::time::Instant::now(),
            began: crate::clock::now(),
            serving: AtomicBool::new(false),
            starts_again: AtomicBool::new(false),
        }
    }

    /// Returns how long the process has been up.
    pub(super) fn up_for(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes that the start is over.
    pub(super) fn serve(&self) {
        self.serving.store(true, Ordering::Relaxed);
    }

    /// Returns whether the start is over, so that events are handled.
    pub(super) fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Notes that the process starts itself again once it has stopped.
    pub(super) fn start_again(&self) {
        self.starts_again.store(true, Ordering::Relaxed);
    }

    /// Returns whether the process starts itself again once it has stopped.
    pub(super) fn starts_again(&self) -> bool {
        self.starts_again.load(Ordering::Relaxed)
    }
}

impl Runtime {
    /// Returns the calls to the homeserver that need no client.
    pub(super) fn api(&self) -> &Api {
        self.pool.provisioner().api()
    }

    /// Returns our users in a room whose clients stay open, the lead first.
    pub(super) fn kept_in(&self, room: &RoomId) -> Vec<Arc<Account>> {
        self.roster.of(room).iter().filter_map(|user| self.pool.kept(user)).collect()
    }

    /// Returns the service bot's client.
    ///
    /// # Errors
    /// While the bot is not provisioned.
    pub(super) fn service_account(&self) -> Result<Arc<Account>, MatrixError> {
        let service = self.service_user();
        let gone = || MatrixError::NotJoined { user: service.to_string(), room: "any room".to_owned() };
        self.pool.kept(&service).ok_or_else(gone)
    }

    /// Returns the config in use. A reload puts another in its place: whoever keeps one keeps it as it was.
    pub(super) fn config(&self) -> Arc<Config> {
        self.current.get().config
    }

    /// Returns the namespace on which decisions are based.
    pub(super) fn namespace(&self) -> Arc<Namespace> {
        self.current.get().namespace
    }

    /// Returns the coworkers' ids, in the order of the config.
    pub(super) fn users(&self) -> Arc<[OwnedUserId]> {
        self.current.get().users
    }

    /// Returns a coworker as the config has it now.
    pub(super) fn coworker(&self, user: &UserId) -> Option<Arc<Coworker>> {
        self.current.get().coworker(user).cloned()
    }

    /// Returns the coworkers among users, with their display names.
    pub(super) fn named<'u>(&self, users: &'u [OwnedUserId]) -> Vec<(&'u OwnedUserId, Arc<Coworker>, String)> {
        let setup = self.current.get();
        let coworkers = users.iter().filter_map(|user| Some((user, setup.coworker(user)?.clone())));
        coworkers.map(|(user, coworker)| (user, coworker.clone(), coworker.display_name())).collect()
    }

    pub(super) fn coworker_user(&self, coworker: &Coworker) -> OwnedUserId {
        self.namespace().coworker(&coworker.id.0)
    }

    pub(super) fn service_user(&self) -> OwnedUserId {
        self.namespace().user_id(&self.namespace().service)
    }

    /// Returns a link to the service bot, for our own words.
    pub(super) fn service_pill(&self) -> String {
        crate::core::names::pill(&self.service_user(), SERVICE_NAME)
    }

    /// Returns a coworker's persona, as the config describes it.
    pub(super) fn coworker_persona(&self, coworker: &Coworker) -> std::io::Result<Persona> {
        let avatar = coworker.avatar.as_ref().map(std::fs::read).transpose()?;
        Ok(Persona {
            user: self.coworker_user(coworker),
            display_name: coworker.display_name(),
            is_named: true,
            avatar,
            kind: "coworker",
        })
    }

    pub(super) fn service_persona(&self) -> Persona {
        Persona {
            user: self.service_user(),
            display_name: SERVICE_NAME.to_owned(),
            is_named: true,
            avatar: None,
            kind: "service",
        }
    }

    /// Returns whether the id of a person's assistant would be valid: a long id of theirs makes it too long, and with the
    /// letters of a historical one it could not be registered.
    pub(super) fn fits_an_assistant(&self, owner: &UserId) -> bool {
        crate::core::id::may_be_registered(&self.assistant_persona(owner).user)
    }

    /// Returns the persona of `owner`'s assistant.
    pub(super) fn assistant_persona(&self, owner: &UserId) -> Persona {
        let localpart = owner.localpart();
        let display_name = crate::core::words::assistant_name(owner, "");
        Persona {
            user: self.namespace().assistant(localpart),
            display_name,
            is_named: false,
            avatar: None,
            kind: "assistant",
        }
    }

    /// Returns whether this is a message of ours that says nothing about the room: first words, command answers, cards.
    pub(super) fn is_our_notice(&self, event: &RoomEvent) -> bool {
        let notice = matches!(&event.kind, EventKind::Message(message) if message.kind == MessageKind::Notice);
        (notice && self.namespace().is_ours(&event.sender)) || self.is_our_card(event)
    }

    /// Returns whether this is an approval card of ours, or an edit of one.
    pub(super) fn is_our_card(&self, event: &RoomEvent) -> bool {
        let card = match &event.kind {
            EventKind::Message(message) | EventKind::Edit { new: message, .. } => message.kind == MessageKind::Card,
            _ => false,
        };
        card && self.namespace().is_ours(&event.sender)
    }

    /// Returns whether a user is a person of this homeserver.
    pub(super) fn is_local_person(&self, user: &UserId) -> bool {
        user.server_name() == self.namespace().server && self.namespace().who(user).is_person()
    }
}
