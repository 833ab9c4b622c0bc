//! Joins the edges: takes accepted events in room order, asks the core what to do, and does it.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    appservice::{health::Health, metrics::Metrics},
    claude,
    config::{Config, Coworker},
    core::{
        destination::Refused,
        hex::hex,
        people::Namespace,
        retry::{SEND_PAUSES, send_pause},
    },
    matrix::{MatrixError, pool::Pool, provision::Persona, roster::Roster},
    secret::MasterSecret,
    store::{Inbox, Store, StoreError},
    tools::Tools,
};

mod answerers;
mod approvals;
mod ask;
mod assistants;
mod audit;
mod batches;
mod beginning;
mod bindings;
mod budget;
mod caught;
mod changes;
mod commands;
mod computing;
mod connections;
mod control;
mod coworkers;
mod data_dir;
mod deserted;
mod disk;
mod doubts;
mod echoes;
mod errands;
mod events;
mod foreseen;
mod gaps;
mod hearing;
mod homeserver;
mod hooks;
mod inbox;
mod invites;
mod lanes;
mod lobby;
mod looking_back;
mod media;
mod members;
mod notes;
mod numbers;
mod online;
mod owed;
mod parked;
mod presence;
mod progress;
mod provisioning;
mod reactions;
mod readable;
mod records;
mod refusals;
mod registered;
mod rephrased;
mod retiring;
mod room_tools;
mod runs;
mod service;
mod spending;
mod start;
mod stepped_back;
mod timetable;
mod toolsets;
mod trust;
mod unencrypted;
mod upgrades;
mod used;
mod visits;
mod voice;
mod wards;
mod watches;
mod watching;
mod zones;

pub use audit::{at_socket, door_of};
pub use data_dir::{PlaceError, too_full_to_start, try_data_dir};
pub use disk::{Ended, start_again};
pub(crate) use hearing::settings_of as recogniser_settings;
pub use registered::differences;
pub use start::{StartError, claude_client, serve, try_listening};
pub(crate) use watches::{NO_KEY, models_of};

/// The service bot's display name.
const SERVICE_NAME: &str = "Workmate";
/// Pause between two safety syncs of a client that no transaction woke.
const SAFETY_SYNC: Duration = Duration::from_mins(5);

/// Everything that handling an event needs; shared by all tasks.
struct Engine {
    config: Config,
    namespace: Namespace,
    /// The coworkers' ids, in the order of the config.
    users: Vec<OwnedUserId>,
    pool: Pool,
    roster: Roster,
    claude: claude::Client,
    tools: Tools,
    /// Until this moment MCP servers may still be starting.
    servers_due: tokio::time::Instant,
    tables: records::Tables,
    inbox: Inbox,
    store: Store,
    lanes: lanes::Lanes,
    makers: assistants::Makers,
    no_chats: assistants::NoChats,
    members: provisioning::Members,
    headcounts: members::Headcounts,
    flows: trust::Flows,
    visits: visits::Visits,
    started: tokio::time::Instant,
    /// `started` by the wall clock.
    began: crate::core::time::Timestamp,
    prepared: media::Prepared,
    hears: hearing::Hears,
    running: control::Running,
    ledger: budget::Ledger,
    parked: parked::Parked,
    zones: zones::Zones,
    /// Wakes the task that does what runs still owe.
    owed_due: tokio::sync::Notify,
    /// Held while the service bot's chat with a person is looked up or made, so that two words at once make one chat.
    service_chats: tokio::sync::Mutex<()>,
    /// Events that were given up because they could not be handled.
    given_up: AtomicUsize,
    moments: readable::Moments,
    timetable: timetable::Timetable,
    /// Tells that a run is over that left a batch at the provider.
    batches_left: tokio::sync::Notify,
    files_left: tokio::sync::Notify,
    approvals: approvals::desk::Desk,
    bindings: bindings::Bindings,
    changes: changes::Changes,
    errands: errands::Errands,
    paces: hooks::Paces,
    connections: connections::Connections,
    homeserver: homeserver::Homeserver,
    /// Wakes the watcher of the Messages API for another look.
    claude_trouble: tokio::sync::Notify,
    /// Troubles with the Messages API that requests met and that a look cannot see.
    met: watches::Met,
    wards: wards::Wards,
    /// Whether the start is over.
    serving: std::sync::atomic::AtomicBool,
    /// Whether the process starts itself again once it has stopped.
    starts_again: std::sync::atomic::AtomicBool,
    health: Health,
    metrics: Metrics,
    audit: audit::Audit,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why an event could not be handled.
#[derive(Debug, thiserror::Error)]
enum EngineError {
    /// The homeserver, or a user's own store, failed.
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    /// Our store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run may not write there (A2, A4).
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A fault of ours or of a library; the log line before this one says where.
    #[error("workmate has a fault; please report the line before this one, which says where")]
    Panicked,
}

impl EngineError {
    /// Returns whether the same may succeed later without anybody's help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Matrix(error) => error.is_passing(),
            // The entry is kept, and is handled once the disk is mended and Workmate restarted.
            Self::Store(error) => error.is_fatal(),
            Self::Refused(_) | Self::Panicked => false,
        }
    }

    /// Returns whether the homeserver refused something, possibly by mistake.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Matrix(error) if error.is_refusal())
    }

    /// Returns whether the homeserver takes no file of that size.
    fn is_about_size(&self) -> bool {
        matches!(self, Self::Matrix(error) if error.is_too_large())
    }

    /// Returns whether the same may succeed later: it passes, or the refusal may be a mistake.
    fn may_pass(&self) -> bool {
        self.is_passing() || self.is_refusal()
    }

    /// Returns the pause after which another try is worth it. After so many tries, a refusal is believed.
    fn pause_after(&self, tries: usize) -> Option<Duration> {
        (self.is_passing() || self.is_refusal() && tries < SEND_PAUSES.len()).then(|| send_pause(tries))
    }

    /// Returns whether the homeserver's refusal says nothing about the asker or the subject.
    fn is_odd_refusal(&self) -> bool {
        matches!(self, Self::Matrix(error) if error.is_odd_refusal())
    }

    /// Returns how long the homeserver asks us to wait before the next call, if it does.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Matrix(error) => error.retry_after(crate::clock::now()),
            Self::Store(_) | Self::Refused(_) | Self::Panicked => None,
        }
    }
}

/// A handle that tasks share.
type Shared = Arc<Engine>;

impl Engine {
    /// Returns whether the start is over, so that events are handled.
    fn is_serving(&self) -> bool {
        self.serving.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn coworker(&self, user: &UserId) -> Option<&Coworker> {
        self.users.iter().zip(&self.config.coworkers).find(|(known, _)| *known == user).map(|(_, coworker)| coworker)
    }

    fn coworker_user(&self, coworker: &Coworker) -> OwnedUserId {
        self.namespace.coworker(&coworker.id.0)
    }

    fn service_user(&self) -> OwnedUserId {
        self.namespace.user_id(&self.namespace.service)
    }

    /// Returns a link to the service bot, for our own words.
    fn service_pill(&self) -> String {
        crate::core::names::pill(&self.service_user(), SERVICE_NAME)
    }

    /// Returns a coworker's persona, as the config describes it.
    fn coworker_persona(&self, coworker: &Coworker) -> std::io::Result<Persona> {
        let avatar = coworker.avatar.as_ref().map(std::fs::read).transpose()?;
        Ok(Persona {
            user: self.coworker_user(coworker),
            display_name: coworker.display_name(),
            is_named: true,
            avatar,
            kind: "coworker",
        })
    }

    fn service_persona(&self) -> Persona {
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
    fn fits_an_assistant(&self, owner: &UserId) -> bool {
        crate::core::id::may_be_registered(&self.assistant_persona(owner).user)
    }

    /// Returns the persona of `owner`'s assistant.
    fn assistant_persona(&self, owner: &UserId) -> Persona {
        let localpart = owner.localpart();
        let display_name = crate::core::words::assistant_name(owner, "");
        Persona {
            user: self.namespace.assistant(localpart),
            display_name,
            is_named: false,
            avatar: None,
            kind: "assistant",
        }
    }
}

/// Returns a keyed hash of the asker for `metadata.user_id`: the provider can tell people apart, but learns no name.
fn user_tag(master: &MasterSecret, user: &UserId) -> String {
    use hmac::{Hmac, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&master.derive("user-tag")).expect("HMAC takes any key");
    mac.update(user.as_bytes());
    hex(&mac.finalize().into_bytes()[..16])
}

/// Returns a transaction id for a message that belongs to no run. The same cause gives the same event.
fn word_transaction(purpose: &str, cause: &str, user: &UserId) -> ruma::OwnedTransactionId {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(format!("{purpose}|{cause}|{user}"));
    format!("wm-word-{}", hex(&digest[..16])).into()
}

/// Redacts one of the account's own messages; a message that it may no longer redact stays.
async fn take_back(
    account: &crate::matrix::Account,
    room: &ruma::RoomId,
    event: &ruma::EventId,
) -> Result<(), EngineError> {
    let txn = word_transaction("take-back", event.as_str(), account.user());
    match account.redact(room, event, txn).await {
        Err(error) if error.is_passing() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Returns a plain word of ours for the timeline, which mentions `to`.
fn word(markdown: &str, to: Option<&UserId>) -> crate::core::event::Outgoing {
    let rendered = crate::core::render::own(markdown);
    crate::core::event::Outgoing {
        kind: crate::core::event::OutgoingKind::Notice,
        body: rendered.body,
        html: rendered.html,
        mentions: to.into_iter().map(ToOwned::to_owned).collect(),
        place: crate::core::event::Place::Timeline,
    }
}
