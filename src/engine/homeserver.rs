//! Whether the homeserver answers us and reaches us; the one watcher of that, for all who wait.
//!
//! Every few seconds it is asked who we are, and every minute to ping us, which tests both ways. It is asked more often
//! while one way is broken, while somebody waits, and after any sign of trouble. Only one question is asked at a time.

mod reach;

use std::{sync::Arc, time::Duration};

use ruma::OwnedUserId;
use serde_json::json;
use tokio::time::{Instant, timeout};

use self::reach::{Look, Reach};
use super::{foreseen::look_at_clock, records::AuditRoom, runtime::Runtime};
use crate::{
    appservice::{
        arrivals::Arrivals,
        health::{Condition, State},
    },
    claude, clock,
    core::reach::registered::Differs,
    matrix::MatrixError,
    store::Inbox,
};

/// How often it is pinged while all is well.
const PING_EVERY: Duration = Duration::from_mins(1);
/// How long it may take to say who we are.
const ASK_MAX: Duration = Duration::from_secs(10);
/// How long a ping may take, including the call to us.
const PING_MAX: Duration = Duration::from_secs(20);
/// Signs of trouble within this time lead to one look.
const SIGNS_TOGETHER: Duration = Duration::from_secs(1);
/// The least time between two announced returns, so that a call that always fails costs little.
const RETURNS_APART: Duration = Duration::from_secs(5);
/// The explanation and mend when another program uses our registration.
const RIVALS: &str = "\n  Two programs with one registration delete each other's devices, and each misses what the other is told.\n  \
                      Mend: stop the other workmate (a copied folder?), or give each a registration of its own (`workmate init` \
                      in another folder)";
/// The store's key for the service bot's own room.
const OWN_ROOM: &str = "wake";
/// The state event that is set in it.
const WAKE: &str = "io.workmate.wake";

/// Watches the homeserver, and tells what it finds.
pub(super) struct Homeserver {
    runtime: Arc<Runtime>,
    claude: Arc<claude::Client>,
    inbox: Inbox,
    pub(super) reach: Reach,
}

impl Homeserver {
    pub(super) fn new(runtime: &Arc<Runtime>, claude: &Arc<claude::Client>, arrivals: Arrivals) -> Self {
        let inbox = runtime.store.inbox(runtime.config().fingerprint());
        Self { runtime: runtime.clone(), claude: claude.clone(), inbox, reach: Reach::new(arrivals) }
    }
}

/// Watches the homeserver until Workmate stops.
pub(super) async fn keep_watch(homeserver: Arc<Homeserver>) {
    let mut missed = homeserver.runtime.api().proxy().pulse().watch_missed();
    let mut recounts = homeserver.inbox.watch_recounts();
    let mut away = homeserver.reach.away.subscribe();
    let mut failures = 0_usize;
    let mut ping_due = Instant::now() + PING_EVERY;
    loop {
        let is_away = *away.borrow_and_update();
        // This can be a false alarm: Synapse also reports it if a call to an old process of ours broke.
        let was_deaf = homeserver.is_known_as_deaf();
        let is_troubled = is_away || was_deaf;
        let has_sign = tokio::select! {
            () = homeserver.runtime.stop.cancelled() => return,
            () = tokio::time::sleep(homeserver.reach.rest(is_troubled, failures)) => false,
            _ = missed.changed(), if !is_away => true,
            _ = recounts.changed() => true,
            // Another look changed the state, or somebody waits: the pause is computed anew.
            _ = away.changed() => if is_away { false } else { continue },
            () = homeserver.reach.hurry.notified(), if is_troubled => continue,
        };
        if has_sign {
            tokio::time::sleep(SIGNS_TOGETHER).await;
            missed.mark_unchanged();
            recounts.mark_unchanged();
        }
        let pings = is_troubled || has_sign || Instant::now() >= ping_due;
        let look = homeserver.look(if pings { Depth::Ping } else { Depth::Ask }, None).await;
        if pings {
            ping_due = Instant::now() + PING_EVERY;
        }
        failures = if matches!(look, Look::Well | Look::There) { 0 } else { failures + 1 };
        let came_back = is_away || has_sign || (was_deaf && !matches!(look, Look::Deaf(_)));
        if came_back && !homeserver.reach.is_away() {
            tracing::info!("the homeserver may have been away; what it did not deliver is looked for");
            if is_away {
                homeserver.wake().await;
            }
            homeserver.reach.returns.send_modify(|returns| *returns += 1);
            tokio::select! {
                () = homeserver.runtime.stop.cancelled() => return,
                () = tokio::time::sleep(RETURNS_APART) => {}
            }
        }
    }
}

/// What a look asks.
#[derive(Clone, Copy)]
enum Depth {
    /// Who we are.
    Ask,
    /// To ping us, which tests both ways at once and makes Synapse send its backlog.
    Ping,
}

impl Homeserver {
    /// Tests both ways once and shows the result in `/readyz`.
    pub(super) async fn look_at_homeserver(&self) {
        self.look(Depth::Ping, None).await;
    }

    /// Waits until the homeserver answers; returns whether it was away at or after `since`. It asks only if the
    /// homeserver has not answered since then.
    pub(super) async fn was_away(&self, since: Instant) -> bool {
        loop {
            self.look(Depth::Ask, Some(since)).await;
            let seen = self.reach.seen.lock().await;
            if seen.answered.is_some_and(|at| at >= since) {
                return seen.back.is_some_and(|at| at >= since);
            }
            drop(seen);
            self.reach.until_back().await;
        }
    }

    /// Asks once, one question at a time, and notes the result; asks nothing if it has answered since `unless_since`.
    async fn look(&self, depth: Depth, unless_since: Option<Instant>) -> Look {
        let mut seen = self.reach.seen.lock().await;
        if unless_since.is_some_and(|since| seen.answered.is_some_and(|at| at >= since)) {
            return Look::There;
        }
        let asked = Instant::now();
        let look = match depth {
            Depth::Ask => self.ask_who_we_are().await,
            Depth::Ping => self.ping_us().await,
        };
        self.reach.take(&look, asked, &mut seen);
        drop(seen);
        self.note_look(&look);
        look
    }

    async fn ask_who_we_are(&self) -> Look {
        match self.whoami_in_time().await {
            Ok(_) => Look::There,
            Err(error) if error.is_passing() => Look::Away(error),
            Err(error) => Look::Refuses(error),
        }
    }

    /// Asks who the `as_token` belongs to, within a few seconds.
    pub(super) async fn whoami_in_time(&self) -> Result<OwnedUserId, MatrixError> {
        let asked = timeout(ASK_MAX, self.runtime.api().whoami()).await;
        asked.unwrap_or_else(|_| Err(self.too_slow(ASK_MAX)))
    }

    /// Returns whether it does not answer at this moment; tells a room's trouble from its own.
    pub(super) async fn is_away_now(&self) -> bool {
        self.whoami_in_time().await.is_err_and(|error| error.is_passing())
    }

    fn too_slow(&self, limit: Duration) -> MatrixError {
        let url = self.runtime.api().proxy().homeserver().to_string();
        MatrixError::Unreachable { url, cause: format!("no answer within {} s", limit.as_secs()) }
    }

    async fn ping_us(&self) -> Look {
        let (id, asked) = (self.reach.arrivals.next_ping(), Instant::now());
        let pinged = timeout(PING_MAX, self.runtime.api().ping(&self.runtime.config().appservice.id, &id)).await;
        match pinged {
            Ok(Ok(())) if self.reach.arrivals.heard_ping(&id) => self.who_heard(),
            // A server that says yes to everything is no homeserver; then nobody is using our registration.
            Ok(Ok(())) => match self.ask_who_we_are().await {
                Look::There => self.nobody_heard(),
                look => look,
            },
            Ok(Err(MatrixError::Refused { errcode, message, .. })) if is_about_us(&errcode) => {
                Look::Deaf(self.why_deaf(&message, asked))
            }
            // The id that we ping with is not that of the loaded registration.
            Ok(Err(MatrixError::Refused { errcode, .. })) if errcode == "M_FORBIDDEN" => {
                match self.ask_who_we_are().await {
                    Look::There => Look::Deaf(Differs::Id { ours: &self.runtime.config().appservice.id }.told()),
                    look => look,
                }
            }
            // This error says nothing about the way to us: the homeserver lacks the ping, or is in trouble.
            Ok(Err(MatrixError::Refused { .. })) => match self.ask_who_we_are().await {
                Look::There => Look::Well,
                look => look,
            },
            Ok(Err(error)) => Look::Away(error),
            Err(_) => match self.ask_who_we_are().await {
                Look::There => Look::Deaf(self.why_deaf("its call did not come back in time", asked)),
                look => look,
            },
        }
    }

    /// Returns the result for a ping that was answered, but not by us.
    fn nobody_heard(&self) -> Look {
        let url = &self.runtime.config().appservice.url;
        Look::Deaf(format!(
            "the homeserver reaches somebody else at the url of the registration that it has loaded: its ping was answered, \
             and not by this process. Another workmate, or another service? Here the url is {url}{RIVALS}"
        ))
    }

    /// Returns the result for a ping that reached us: another process may use our registration as well.
    fn who_heard(&self) -> Look {
        if self.reach.arrivals.is_another_there() {
            return Look::Deaf(format!("another workmate uses this registration at the same time{RIVALS}"));
        }
        Look::Well
    }

    fn why_deaf(&self, said: &str, asked: Instant) -> String {
        if self.reach.arrivals.heard_wrong_token_since(asked) {
            return "the homeserver calls us with another hs_token than ours: its copy of the registration is an old one\n  \
                    Mend: give it the present registration.yaml and restart it"
                .to_owned();
        }
        let listen = self.runtime.config().appservice.listen;
        let url = &self.runtime.config().appservice.url;
        format!(
            "the homeserver cannot reach us ({said})\n  It delivers nothing until it can.\n  Mend: see that {url}, the url of \
             the registration that it has loaded, leads from its machine to {listen}, where workmate listens; \
             `workmate check --live` tries it"
        )
    }

    /// Returns what is wrong with the homeserver, and how to mend it.
    pub(super) fn told(&self, error: &MatrixError) -> String {
        error.about_us(self.runtime.config().homeserver.url.as_str())
    }

    fn is_known_as_deaf(&self) -> bool {
        matches!(self.runtime.health.get(Condition::Deliveries), State::Waiting(_)) && !self.reach.is_away()
    }

    fn note_look(&self, look: &Look) {
        look_at_clock(&self.runtime, &self.claude);
        let homeserver = match look {
            Look::Well | Look::There | Look::Deaf(_) => State::Ready,
            Look::Refuses(error) | Look::Away(error) => State::Waiting(self.told(error)),
        };
        self.runtime.health.set(Condition::Homeserver, homeserver);
        match look {
            Look::Well => self.runtime.health.set(Condition::Deliveries, State::Ready),
            Look::Deaf(why) => self.runtime.health.set(Condition::Deliveries, State::Waiting(why.clone())),
            Look::There | Look::Refuses(_) | Look::Away(_) => {}
        }
    }

    /// Makes an event in a room of the service bot's own. A homeserver that keeps undelivered events until the next one
    /// (Continuwuity, Tuwunel before 1.8.3) then sends them. Repeated events are recognised by their ids.
    pub(super) async fn wake(&self) {
        let service = self.runtime.service_user();
        let woken = async {
            let known = self.runtime.tables.audit_room.get(&OWN_ROOM.to_owned())?.and_then(|known| known.room);
            let content = || json!({ "at": clock::now().as_ms() });
            if let Some(room) = &known {
                match self.runtime.api().set_state(&service, room, WAKE, content()).await {
                    // The bot was removed from its own room, so it makes another.
                    Err(error) if error.is_forbidden() => {}
                    set => return Ok(set?),
                }
            }
            // Making the room is many events, and one is enough.
            let room = self.runtime.api().make_own_room(&service, "Workmate, waking up").await?;
            self.runtime.tables.audit_room.put(&OWN_ROOM.to_owned(), &AuditRoom { room, ..AuditRoom::default() })?;
            Ok::<_, super::EngineError>(())
        };
        if let Err(error) = woken.await {
            tracing::debug!(%error, "the homeserver cannot be woken by an event of our own");
        }
    }
}

/// Returns whether a refused ping is about the homeserver's call to us (spec 1.17, "POST
/// /appservice/{appserviceId}/ping").
fn is_about_us(errcode: &str) -> bool {
    matches!(errcode, "M_BAD_STATUS" | "M_CONNECTION_FAILED" | "M_CONNECTION_TIMEOUT" | "M_URL_NOT_SET")
}
