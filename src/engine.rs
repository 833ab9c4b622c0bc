//! Joins the edges: takes accepted events in room order, asks the core what to do, and does it.

use std::{sync::Arc, time::Duration};

use ruma::UserId;

use self::runtime::Runtime;
use crate::{
    core::{
        destination::Refused,
        hex::hex,
        retry::{SEND_PAUSES, send_pause},
    },
    matrix::MatrixError,
    secret::MasterSecret,
    store::StoreError,
};

mod ahead;
mod answerers;
mod approvals;
mod ask;
mod assistants;
mod audit;
mod batches;
mod beginning;
mod bindings;
mod books;
mod budget;
mod caught;
mod chats;
mod commands;
mod company;
mod computing;
mod connections;
mod console;
mod control;
mod coworkers;
mod data_dir;
mod deserted;
mod disk;
mod doubts;
mod due;
mod echoes;
mod entries;
mod errands;
mod events;
mod foreseen;
mod gaps;
mod homes;
mod homeserver;
mod hooks;
mod inbox;
mod invites;
mod keeping_up;
mod lanes;
mod lobby;
mod looking_back;
mod media;
mod members;
mod model;
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
mod reloading;
mod rephrased;
mod retiring;
mod room_tools;
mod runs;
mod runtime;
mod service;
mod service_chats;
mod speaking_up;
mod spending;
mod standing;
mod start;
mod stepped_back;
mod supervisor;
mod timetable;
mod toolsets;
mod trust;
mod unencrypted;
mod upgrades;
mod used;
mod visits;
mod voice;
mod wards;
mod watching;
mod workspace;
mod zones;

pub use audit::{at_socket, door_of};
pub use data_dir::{OURS, PlaceError, too_full_to_start, try_data_dir};
pub use disk::{Ended, start_again};
pub(crate) use media::settings_of as recogniser_settings;
pub(crate) use model::{NO_KEY, models_of};
pub use registered::differences;
pub use retiring::users_of;
pub(crate) use start::{DESCRIPTORS_OF_A_USER, DESCRIPTORS_WANTED};
pub use start::{Source, StartError, claude_client, serve, try_listening};
pub use supervisor::Supervisor;

/// Pause between two safety syncs of a client that no transaction woke.
const SAFETY_SYNC: Duration = Duration::from_mins(5);

/// The type that earlier versions gave an event that no transaction brought.
const MISSED: &str = "io.workmate.missed";

/// Everything that handling an event needs; shared by all tasks. What has moved out of it are services with collaborators of
/// their own; what is still here may touch everything. The runtime shows through ([`std::ops::Deref`]).
struct Engine {
    runtime: Arc<Runtime>,
    toolsets: Arc<toolsets::Toolsets>,
    lanes: lanes::Lanes,
    running: control::Running,
    pacing: spending::Pacing,
    budget: Arc<budget::Budget>,
    parked: parked::Parked,
    zones: Arc<zones::Zones>,
    owed_due: Arc<due::Due>,
    service_chats: Arc<service_chats::ServiceChats>,
    readable: Arc<readable::Readable>,
    batches: Arc<batches::Batches>,
    computing: Arc<computing::Computing>,
    notes: Arc<notes::NoteBook>,
    people: Arc<standing::People>,
    approvals: Arc<approvals::desk::Desk>,
    bindings: Arc<bindings::Bindings>,
    errands: Arc<errands::Errands>,
    hooks: Arc<hooks::Hooks>,
    connections: Arc<connections::Connections>,
    homeserver: Arc<homeserver::Homeserver>,
    model: Arc<model::Model>,
    wards: Arc<wards::Wards>,
    audit: Arc<audit::Audit>,
    chats: Arc<chats::Chats>,
    voices: Arc<voice::Voices>,
    echoes: Arc<echoes::Echoes>,
    doubts: Arc<doubts::Doubts>,
    entries: Arc<entries::Entries>,
    trust: Arc<trust::Trust>,
    files: Arc<media::FilesRead>,
    schedules: Arc<timetable::Schedules>,
    homes: Arc<homes::Homes>,
    forgetting: Arc<assistants::Forgetful>,
    keeping_up: Arc<keeping_up::KeepingUp>,
    membership: Arc<members::Memberships>,
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

    /// Returns whether the homeserver does not take that file, whatever room it is for.
    fn is_about_file(&self) -> bool {
        matches!(self, Self::Matrix(MatrixError::NotTaken { .. }))
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

impl std::ops::Deref for Engine {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        &self.runtime
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
        sources: Vec::new(),
    }
}
