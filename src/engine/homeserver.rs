//! Whether the homeserver answers us and reaches us: looked at every minute, more often while one of them is
//! not so, and whenever something says otherwise.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Engine, Shared, records::AuditRoom};
use crate::{
    appservice::health::{Condition, State},
    clock,
    matrix::MatrixError,
};

/// How often it is looked while all is well.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Pauses between two looks while it is away or cannot reach us; the last one repeats.
const AWAY_PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
/// Signs of trouble within this time lead to one look.
const SIGNS_TOGETHER: Duration = Duration::from_secs(1);
/// The least time between two returns that are told, so that a call which fails for ever costs little.
const RETURNS_APART: Duration = Duration::from_secs(5);
/// Under which key the store keeps the service bot's own room.
const OWN_ROOM: &str = "wake";
/// The state event that is set there.
const WAKE: &str = "io.workmate.wake";

/// What is known of the homeserver; shared by whoever waits for it.
pub(super) struct Homeserver {
    away: watch::Sender<bool>,
    /// How often it came back, or may have without our seeing that it was away.
    returns: watch::Sender<u64>,
}

/// What a look at the homeserver found.
enum Look {
    /// It answers, and reaches us as far as one can tell.
    Well,
    /// It answers, and says that it cannot reach us.
    Deaf(String),
    /// It does not answer, or not as a homeserver.
    Away(MatrixError),
}

impl Default for Homeserver {
    fn default() -> Self {
        Self { away: watch::Sender::new(false), returns: watch::Sender::new(0) }
    }
}

impl Homeserver {
    /// Whether it did not answer when it was last looked at.
    pub(super) fn is_away(&self) -> bool {
        *self.away.borrow()
    }

    /// Waits until it answers; at once where it is not known to be away.
    pub(super) async fn until_back(&self) {
        let mut away = self.away.subscribe();
        // The sender lives as long as `self`.
        let _ = away.wait_for(|away| !away).await;
    }

    /// As [`Self::until_back`], unless Workmate stops before.
    pub(super) async fn until_back_or(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.until_back() => {}
        }
    }

    /// Returns a count of its returns, to be waited on: what it sent meanwhile may be lost.
    pub(super) fn returns(&self) -> watch::Receiver<u64> {
        self.returns.subscribe()
    }
}

/// Looks at the homeserver until Workmate stops.
pub(super) async fn keep_watch(engine: Shared) {
    let mut missed = engine.api().proxy().pulse().watch_missed();
    let mut recounts = engine.inbox.watch_recounts();
    let mut failures = 0_usize;
    // Nothing has to be wrong for it: Synapse says so too where a call that it made of an old process of ours breaks.
    let mut was_deaf = engine.is_known_as_deaf();
    loop {
        let is_away = engine.homeserver.is_away();
        let pause = if is_away || was_deaf { AWAY_PAUSES[failures.min(AWAY_PAUSES.len() - 1)] } else { LOOK_EVERY };
        let has_sign = tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => false,
            _ = missed.changed(), if !is_away => true,
            _ = recounts.changed() => true,
        };
        if has_sign {
            tokio::time::sleep(SIGNS_TOGETHER).await;
            missed.mark_unchanged();
            recounts.mark_unchanged();
        }
        let look = engine.look().await;
        failures = if matches!(look, Look::Well) { 0 } else { failures + 1 };
        let is_deaf = matches!(look, Look::Deaf(_));
        let came_back = is_away || has_sign || (was_deaf && !is_deaf);
        was_deaf = is_deaf;
        engine.note_look(look);
        if came_back && !engine.homeserver.is_away() {
            tracing::info!("the homeserver may have been away; what it did not deliver is looked for");
            if is_away {
                engine.wake().await;
            }
            engine.homeserver.returns.send_modify(|returns| *returns += 1);
            tokio::select! {
                () = engine.stop.cancelled() => return,
                () = tokio::time::sleep(RETURNS_APART) => {}
            }
        }
    }
}

impl Engine {
    /// Looks at the homeserver once, and says in `/readyz` what was found.
    pub(super) async fn look_at_homeserver(&self) {
        let look = self.look().await;
        self.note_look(look);
    }

    fn is_known_as_deaf(&self) -> bool {
        matches!(self.health.get(Condition::Deliveries), State::Waiting(_)) && !self.homeserver.is_away()
    }

    /// The ping asks for both ways at once, and makes Synapse send its backlog.
    async fn look(&self) -> Look {
        match self.api().ping(&self.config.appservice.id).await {
            Ok(()) => Look::Well,
            Err(MatrixError::Refused { errcode, message, .. }) if is_about_us(&errcode) => Look::Deaf(message),
            Err(MatrixError::Refused { status: 400..=499, .. }) => match self.api().whoami().await {
                // A homeserver without the ping.
                Ok(_) => Look::Well,
                Err(error) => Look::Away(error),
            },
            Err(error) => Look::Away(error),
        }
    }

    fn note_look(&self, look: Look) {
        let is_away = matches!(look, Look::Away(_));
        match look {
            Look::Well => {
                self.health.set(Condition::Homeserver, State::Ready);
                self.health.set(Condition::Deliveries, State::Ready);
            }
            Look::Deaf(said) => {
                self.health.set(Condition::Homeserver, State::Ready);
                let reason = format!(
                    "the homeserver cannot reach us ({said}); check the registration's url and hs_token that it has loaded, \
                     and appservice.listen"
                );
                self.health.set(Condition::Deliveries, State::Waiting(reason));
            }
            Look::Away(error) => {
                self.health.set(Condition::Homeserver, State::Waiting(error.to_string()));
            }
        }
        self.homeserver.away.send_if_modified(|away| std::mem::replace(away, is_away) != is_away);
    }

    /// Makes an event in a room of the service bot's own: a homeserver that keeps what it could not deliver until the
    /// next event (Continuwuity, Tuwunel before 1.8.3) sends it then. What it sends beside is known by its ids.
    pub(super) async fn wake(&self) {
        let service = self.service_user();
        let woken = async {
            let known = self.tables.audit_room.get(&OWN_ROOM.to_owned())?.and_then(|known| known.room);
            let content = || json!({ "at": clock::now().as_ms() });
            if let Some(room) = &known {
                match self.api().set_state(&service, room, WAKE, content()).await {
                    // It was put out of its own room; another one does.
                    Err(error) if error.is_forbidden() => {}
                    set => return Ok(set?),
                }
            }
            // Making it is many events.
            let room = self.api().make_own_room(&service, "Workmate, waking up").await?;
            self.tables.audit_room.put(&OWN_ROOM.to_owned(), &AuditRoom { room, ..AuditRoom::default() })?;
            Ok::<_, super::EngineError>(())
        };
        if let Err(error) = woken.await {
            tracing::debug!(%error, "the homeserver cannot be woken by an event of our own");
        }
    }
}

/// Whether a refused ping tells of the homeserver's call to us (spec 1.17, "POST /appservice/{appserviceId}/ping").
fn is_about_us(errcode: &str) -> bool {
    matches!(errcode, "M_BAD_STATUS" | "M_CONNECTION_FAILED" | "M_CONNECTION_TIMEOUT" | "M_URL_NOT_SET")
}
