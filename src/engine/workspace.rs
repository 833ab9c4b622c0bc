//! Who belongs to the workspace, and so may have an assistant (A1).

use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize};

use ruma::{OwnedRoomId, RoomId, UserId};
use tokio::sync::Notify;

use super::{EngineError, runtime::Runtime};
use crate::config::Provision;

/// Who belongs to the workspace, and so may have an assistant.
pub(super) struct Members {
    runtime: Arc<Runtime>,
    pub(super) space: Mutex<Option<OwnedRoomId>>,
    /// Tells that somebody is to be seen to.
    pub(super) changed: Notify,
    /// Assistants made since the start.
    pub(super) made: AtomicUsize,
}

impl Members {
    pub(super) fn new(runtime: &Arc<Runtime>) -> Self {
        Self { runtime: runtime.clone(), space: Mutex::default(), changed: Notify::new(), made: AtomicUsize::new(0) }
    }

    /// Returns whether `room` is the space whose members get assistants.
    pub(super) fn is_space(&self, room: &RoomId) -> bool {
        self.space.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(room)
    }

    /// Returns the space whose members get assistants, once it is known.
    pub(super) fn space(&self) -> Option<OwnedRoomId> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether the members of a space get assistants by themselves.
    pub(super) fn follows_space(&self) -> bool {
        self.runtime.config().assistants.enabled && self.runtime.config().assistants.provision == Provision::Members
    }

    /// Returns whether a person may have an assistant: everyone, or only members of the space.
    pub(super) fn may_have_assistant(&self, person: &UserId) -> Result<bool, EngineError> {
        if !self.runtime.namespace().who(person).is_person() || !self.runtime.fits_an_assistant(person) {
            return Ok(false);
        }
        if !self.follows_space() {
            return Ok(true);
        }
        Ok(self.runtime.tables.members.get(&person.to_owned())?.is_some_and(|known| !known.is_gone()))
    }
}
