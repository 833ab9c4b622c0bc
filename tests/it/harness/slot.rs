//! Slots: one appservice registration each, so that every test has its own Workmate on one homeserver.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context as _, Result};
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};
use workmate::cli::demo::homeserver::{SERVER_NAME, free_port};

/// A registration with its tokens, ports and namespace.
pub(crate) struct Slot {
    /// The registration's `id`, which prefixes all its localparts.
    pub(crate) id: String,
    /// The address for the homeserver's calls.
    pub(crate) listen: SocketAddr,
    /// The address of the health listener.
    pub(crate) health_listen: SocketAddr,
    /// The registration's file.
    pub(crate) registration: PathBuf,
    reserved: Mutex<Vec<TcpListener>>,
}

impl Slot {
    /// Reserves ports and writes the registration of slot `number`.
    pub(crate) fn prepare(number: usize, dir: &Path) -> Result<Self> {
        let (listen, health) = (free_port()?, free_port()?);
        let id = format!("wm{number}");
        let slot = Self {
            listen: listen.local_addr()?,
            health_listen: health.local_addr()?,
            registration: dir.join(format!("registration-{id}.yaml")),
            reserved: Mutex::new(vec![listen, health]),
            id,
        };
        let text = serde_json::to_string_pretty(&slot.registration_settings())?;
        fs::write(&slot.registration, text).with_context(|| slot.registration.display().to_string())?;
        Ok(slot)
    }

    /// Releases the reserved ports; call it just before starting what listens on them.
    pub(crate) fn release_ports(&self) {
        self.reserved.lock().expect("no holder of this lock panics").clear();
    }

    pub(crate) fn as_token(&self) -> String {
        format!("as-token-of-slot-{}", self.id)
    }

    pub(crate) fn hs_token(&self) -> String {
        format!("hs-token-of-slot-{}", self.id)
    }

    pub(crate) fn service_localpart(&self) -> String {
        format!("{}bot", self.id)
    }

    pub(crate) fn coworker_prefix(&self) -> String {
        format!("{}c-", self.id)
    }

    pub(crate) fn assistant_prefix(&self) -> String {
        format!("{}a-", self.id)
    }

    /// Returns the service bot's user id.
    pub(crate) fn service(&self) -> OwnedUserId {
        user_id(&self.service_localpart())
    }

    /// Returns a coworker's user id.
    pub(crate) fn coworker(&self, id: &str) -> OwnedUserId {
        user_id(&(self.coworker_prefix() + id))
    }

    /// Returns the user id of a person's assistant.
    pub(crate) fn assistant(&self, localpart: &str) -> OwnedUserId {
        user_id(&(self.assistant_prefix() + localpart))
    }

    fn registration_settings(&self) -> Value {
        let [bot, coworkers, assistants] = [self.service_localpart(), self.coworker_prefix(), self.assistant_prefix()];
        json!({
            "id": self.id,
            "url": format!("http://{}", self.listen),
            "as_token": self.as_token(),
            "hs_token": self.hs_token(),
            "sender_localpart": format!("{bot}-sender"),
            "rate_limited": false,
            "receive_ephemeral": false,
            "io.element.msc4190": true,
            "namespaces": {
                "users": [{"exclusive": true, "regex": format!("@({bot}|{coworkers}.*|{assistants}.*):{SERVER_NAME}")}],
                "aliases": [],
                "rooms": [],
            },
        })
    }
}

/// Returns the full id of a local user.
pub(crate) fn user_id(localpart: &str) -> OwnedUserId {
    UserId::parse(format!("@{localpart}:{SERVER_NAME}")).expect("the tests' localparts are valid")
}
