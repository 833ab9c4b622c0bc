//! Webhooks (C21): a call is judged in `core`, and what it reports becomes an errand that is on disk before the answer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinError,
    time::Instant,
};

use super::{
    EngineError,
    bindings::Bindings,
    errands::{self, Accepted, Desk, Errands},
    runtime::Runtime,
    word_transaction,
};
use crate::{
    appservice::hooks::{AGAIN_S, HookAnswer, HookCall},
    clock,
    config::{Coworker, Webhook},
    core::{
        breaker::SaidOnce,
        errand::{Errand, OriginKind},
        hook::{self, Call, Delivery, Denied, Judged},
        time::Timestamp,
    },
    store::StoreError,
};

/// Calls that wait to be judged.
pub(super) const CALLS_WAITING_MAX: usize = 64;
/// Proven calls of one hook that are taken in a minute.
const PROVEN_MAX: usize = 300;
/// The span in which they are counted.
const PROVEN_WINDOW: Duration = Duration::from_mins(1);
/// What a sender is told that is too fast.
const TOO_MANY: &str = "too many deliveries for this hook's room";
/// What a sender is told whose hook's room was replaced by one into which its coworker did not take everything along.
const REPLACED: &str = "the hook's room was replaced by another one";
/// What a sender is told whose hook's coworker is not in its room.
const NOT_THERE: &str = "the hook's coworker is not in its room";
/// What a sender is told whose delivery nothing comes of.
const DROPPED: HookAnswer = HookAnswer::Accepted { became: "dropped" };
/// Calls that are judged at once: a large body takes a processor for a while, and people wait for that too.
const JUDGED_AT_ONCE_MAX: usize = 2;
/// Refused calls of a hook are logged at most this often, in milliseconds.
const REFUSED_LOGGED_EVERY_MS: u64 = 60 * 1000;

/// Why a hook's deliveries are refused for a while, whatever they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shut {
    /// Its room's breaker has stopped errands.
    Until(Instant),
    /// Too many errands wait in its room.
    Full(Desk),
}

/// How fast the hooks are called.
struct Paces {
    /// By the names of hooks that exist.
    of_hooks: Mutex<BTreeMap<String, Pace>>,
    judging: Semaphore,
}

impl Default for Paces {
    fn default() -> Self {
        Self { of_hooks: Mutex::default(), judging: Semaphore::new(JUDGED_AT_ONCE_MAX) }
    }
}

#[derive(Default)]
struct Pace {
    proven: VecDeque<Instant>,
    shut: Option<Shut>,
    refused_logged: SaidOnce,
    /// Refused calls that no line of the log has counted yet.
    refused: u64,
}

impl Paces {
    fn with<T>(&self, hook: &str, ask: impl FnOnce(&mut Pace) -> T) -> T {
        let mut paces = self.of_hooks.lock().unwrap_or_else(PoisonError::into_inner);
        ask(paces.entry(hook.to_owned()).or_default())
    }

    /// Counts a proven call; returns whether it is one too many.
    fn is_too_fast(&self, hook: &str) -> bool {
        self.with(hook, |pace| {
            let is_too_fast = pace.is_at_its_limit();
            if !is_too_fast {
                pace.proven.push_back(Instant::now());
            }
            is_too_fast
        })
    }

    /// Notes that the next deliveries of a hook will be refused.
    fn shut(&self, hook: &str, why: Shut) {
        self.with(hook, |pace| pace.shut = Some(why));
    }

    /// Returns after how many seconds a hook's deliveries may come again; `None` if they may come now.
    fn is_shut(&self, hook: &str, is_full: impl FnOnce(&Desk) -> bool) -> Option<u64> {
        self.with(hook, |pace| pace.shut_for(Instant::now(), is_full))
    }

    /// Counts a refused call; returns how many there were if the log should say so now.
    fn refused(&self, hook: &str) -> Option<u64> {
        self.with(hook, |pace| {
            pace.refused += 1;
            let is_due = pace.refused_logged.is_due(clock::now(), REFUSED_LOGGED_EVERY_MS);
            is_due.then(|| std::mem::take(&mut pace.refused))
        })
    }
}

impl Pace {
    fn is_at_its_limit(&mut self) -> bool {
        while self.proven.front().is_some_and(|at| at.elapsed() >= PROVEN_WINDOW) {
            self.proven.pop_front();
        }
        self.proven.len() >= PROVEN_MAX
    }

    fn shut_for(&mut self, now: Instant, is_full: impl FnOnce(&Desk) -> bool) -> Option<u64> {
        let after_s = match &self.shut {
            Some(Shut::Until(until)) if now < *until => {
                Some((*until - now).as_millis().div_ceil(1000).try_into().unwrap_or(AGAIN_S))
            }
            Some(Shut::Full(desk)) if is_full(desk) => Some(AGAIN_S),
            _ => None,
        };
        if after_s.is_none() {
            self.shut = None;
        }
        after_s.or_else(|| self.is_at_its_limit().then_some(AGAIN_S))
    }
}

/// Answers the calls of hooks until Workmate stops; each in a task of its own, as many as the listener lets through.
pub(super) async fn answer_calls(hooks: Arc<Hooks>, mut calls: mpsc::Receiver<HookCall>) {
    loop {
        let call = tokio::select! {
            () = hooks.runtime.stop.cancelled() => return,
            call = calls.recv() => call,
        };
        let Some(call) = call else { return };
        hooks.runtime.tasks.spawn(answer_call(hooks.clone(), call));
    }
}

async fn answer_call(hooks: Arc<Hooks>, HookCall { name, headers, body, answer }: HookCall) {
    let answered = Box::pin(hooks.take_call(&name, headers, body)).await;
    // The sender may have stopped waiting: what was promised is on disk all the same.
    let _ = answer.send(answered);
}

/// Takes what other systems report.
pub(super) struct Hooks {
    runtime: Arc<Runtime>,
    bindings: Arc<Bindings>,
    errands: Arc<Errands>,
    paces: Paces,
}

impl Hooks {
    pub(super) fn new(runtime: &Arc<Runtime>, bindings: &Arc<Bindings>, errands: &Arc<Errands>) -> Self {
        Self { runtime: runtime.clone(), bindings: bindings.clone(), errands: errands.clone(), paces: Paces::default() }
    }

    fn webhook(&self, name: &str) -> Option<(Arc<Coworker>, Webhook)> {
        let config = self.runtime.config();
        let all = config.coworkers.iter().flat_map(|coworker| coworker.hooks.iter().map(move |one| (coworker, one)));
        let named = all.into_iter().find(|(_, webhook)| webhook.hook.name == name);
        named.map(|(coworker, webhook)| (coworker.clone(), webhook.clone()))
    }

    /// Decides by its headers, and by what became of the hook's last deliveries, whether a call may send its body. One that
    /// would be refused whatever it holds is refused here: a flood of them must cost no more than that.
    pub(super) fn admit_call(&self, name: &str, headers: &hook::Headers) -> Result<(), HookAnswer> {
        let Some((_, webhook)) = self.webhook(name) else { return Err(no_such_hook()) };
        let key = self.key_of(&webhook);
        // Without a key nothing is proven; the config was checked for it.
        let key = key.ok_or(Denied::NotProven);
        let admitted = key.and_then(|key| hook::admit(&webhook.hook, &key, headers, clock::now()));
        admitted.map_err(|denied| self.refuse(name, denied))?;
        let Some(after_s) = self.paces.is_shut(name, |desk| self.errands.is_full(desk, OriginKind::Hook)) else {
            return Ok(());
        };
        self.log_refused(name, 429, TOO_MANY);
        Err(HookAnswer::too_fast(TOO_MANY, after_s))
    }

    async fn take_call(self: &Arc<Self>, name: &str, headers: hook::Headers, body: bytes::Bytes) -> HookAnswer {
        let Some((coworker, webhook)) = self.webhook(name) else { return no_such_hook() };
        let answer = match self.judge(&webhook, headers, body).await {
            Ok(Ok(Judged::Dropped(None))) => DROPPED,
            Ok(Ok(Judged::Dropped(Some(delivery)))) => self.drop_delivery(&coworker, &webhook, *delivery).await,
            Ok(Ok(Judged::Accepted(delivery))) if !self.paces.is_too_fast(name) => {
                self.answer_delivery(&coworker, &webhook, *delivery).await
            }
            Ok(Ok(Judged::Accepted(_))) => HookAnswer::too_fast(TOO_MANY, AGAIN_S),
            Ok(Err(denied)) => return self.refuse(name, denied),
            Err(error) => {
                tracing::error!(hook = name, %error, "a webhook's call could not be judged");
                HookAnswer::not_now("the call could not be judged now")
            }
        };
        if let HookAnswer::Refused { status, told, .. } = &answer {
            self.log_refused(name, *status, told);
        }
        answer
    }

    fn refuse(&self, name: &str, denied: Denied) -> HookAnswer {
        self.log_refused(name, denied.status(), denied.told());
        HookAnswer::refused(denied.status(), denied.told())
    }

    /// Says in the log, from time to time, that calls of a hook are refused, how many, and why the last one was.
    fn log_refused(&self, name: &str, status: u16, told: &str) {
        if let Some(count) = self.paces.refused(name) {
            tracing::warn!(hook = name, count, status, "calls of a webhook are refused: {told}");
        }
    }

    fn key_of(&self, webhook: &Webhook) -> Option<Vec<u8>> {
        let config = self.runtime.config();
        let secret = config.credentials.get(&webhook.credential)?;
        hook::key_of(webhook.hook.proof, secret.expose())
    }

    /// Has `core` judge a call, beside what else goes on: a body may be large.
    async fn judge(
        &self,
        webhook: &Webhook,
        headers: hook::Headers,
        body: bytes::Bytes,
    ) -> Result<Result<Judged, Denied>, JoinError> {
        let key = self.key_of(webhook);
        let (hook, now) = (webhook.hook.clone(), clock::now());
        let turn = self.paces.judging.acquire().await;
        let judging = tokio::task::spawn_blocking(move || {
            let key = key.ok_or(Denied::NotProven)?;
            hook::judge(&hook, &key, &Call { headers: &headers, body: &body }, now)
        });
        let judged = judging.await;
        drop(turn);
        judged
    }

    /// Shows at the root of a matter's thread how it stands by a report that the filter drops: it may be the end of what
    /// the filter let begin.
    async fn drop_delivery(&self, coworker: &Coworker, webhook: &Webhook, delivery: Delivery) -> HookAnswer {
        match Box::pin(self.show_dropped(coworker, webhook, delivery)).await {
            Ok(()) => DROPPED,
            Err(error) => {
                tracing::warn!(hook = webhook.hook.name, %error, "how a matter stands cannot be shown now");
                HookAnswer::not_now("how the matter stands cannot be shown now")
            }
        }
    }

    async fn show_dropped(
        &self,
        coworker: &Coworker,
        webhook: &Webhook,
        delivery: Delivery,
    ) -> Result<(), EngineError> {
        let Some(room) = self.bindings.workplace(&webhook.hook.room).await? else { return Ok(()) };
        let (user, now) = (self.runtime.coworker_user(coworker), clock::now());
        let (errand, _) = webhook.hook.errand(delivery, &user, &room, now);
        let (Some(key), Some(thread)) = (errand.matter_key(), self.errands.open_matter(&errand, now)?) else {
            return Ok(());
        };
        let Some(account) = self.runtime.pool.kept(&user).filter(|account| account.is_in(&room)) else { return Ok(()) };
        let Some(root) = errand.root_now(&thread).filter(|_| !self.paces.is_too_fast(&webhook.hook.name)) else {
            return Ok(());
        };
        let txn = word_transaction("matter", errand.id.as_str(), &user);
        match account.edit(&room, &thread.root, &root, txn).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            // A root that is gone stays gone.
            edited => drop(edited),
        }
        self.runtime.tables.matters.put(&key, &errand.matter_thread(&thread.root, Some(&thread), now))?;
        Ok(())
    }

    async fn answer_delivery(
        self: &Arc<Self>,
        coworker: &Coworker,
        webhook: &Webhook,
        delivery: Delivery,
    ) -> HookAnswer {
        match Box::pin(self.take_delivery(coworker, webhook, delivery)).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(hook = webhook.hook.name, %error, "a webhook's delivery cannot be taken now");
                HookAnswer::not_now("the delivery cannot be stored now")
            }
        }
    }

    async fn take_delivery(
        self: &Arc<Self>,
        coworker: &Coworker,
        webhook: &Webhook,
        delivery: Delivery,
    ) -> Result<HookAnswer, EngineError> {
        let hook = &webhook.hook;
        let Some(room) = self.bindings.workplace(&hook.room).await? else {
            tracing::error!(hook = hook.name, room = %hook.room, "a webhook's room does not exist");
            return Ok(HookAnswer::not_now("the hook's room does not exist"));
        };
        let user = self.runtime.coworker_user(coworker);
        if self.runtime.pool.kept(&user).is_some_and(|account| !account.is_in(&room)) {
            return Ok(HookAnswer::not_now(NOT_THERE));
        }
        if self.runtime.pool.kept(&user).is_some_and(|account| account.successor(&room).is_some()) {
            return Ok(HookAnswer::not_now(REPLACED));
        }
        let now = clock::now();
        let (errand, earlier) = hook.errand(delivery, &user, &room, now);
        let known = earlier.map_or(Ok(None), |earlier| self.errands.kept_errand(&earlier))?;
        let is_known =
            known.is_some_and(|known| hook::is_same_delivery(&known, now) && !Errands::may_come_again(&known));
        // Behind another report of the same matter an equal body is news: what is down again was up in between.
        let may_be_news = errand.body.is_some() && errand.matter.is_some();
        if may_be_news && (is_known || self.errands.kept_errand(&errand.id)?.is_some()) {
            let (hooks, of) = (self.clone(), errand.clone());
            let newest = tokio::task::spawn_blocking(move || hooks.newest_of_matter(&of));
            let newest = newest.await.expect("reading does not panic")?.filter(|newest| newest.body != errand.body);
            if let Some(newest) = newest {
                return self.accept_delivery(errand.behind(&newest), now).await;
            }
        }
        if is_known {
            self.runtime.store.flush().await?;
            return Ok(HookAnswer::Accepted { became: "known" });
        }
        self.accept_delivery(errand, now).await
    }

    /// Returns the newest errand of a matter, where bodies name deliveries.
    fn newest_of_matter(&self, errand: &Errand) -> Result<Option<Errand>, StoreError> {
        let Some(key) = errand.matter_key().filter(|_| errand.body.is_some()) else { return Ok(None) };
        let mut newest: Option<Errand> = None;
        for kept in self.runtime.tables.errands.iter() {
            let (_, kept) = kept?;
            let is_newer = newest.as_ref().is_none_or(|newest| newest.accepted_at <= kept.accepted_at);
            if is_newer && kept.matter_key().as_ref() == Some(&key) {
                newest = Some(kept);
            }
        }
        Ok(newest)
    }

    async fn accept_delivery(self: &Arc<Self>, errand: Errand, now: Timestamp) -> Result<HookAnswer, EngineError> {
        let (hook, desk) = (errand.origin.name.clone(), errands::desk_of(&errand));
        Ok(match self.errands.accept_errand(errand).await? {
            Accepted::Durable { is_new: true } => HookAnswer::Accepted { became: "accepted" },
            Accepted::Durable { is_new: false } => HookAnswer::Accepted { became: "known" },
            Accepted::Full => {
                self.paces.shut(&hook, Shut::Full(desk));
                HookAnswer::too_fast(TOO_MANY, AGAIN_S)
            }
            Accepted::Stopped { until, .. } => {
                let stopped_ms = until.ms_since(now);
                self.paces.shut(&hook, Shut::Until(Instant::now() + Duration::from_millis(stopped_ms)));
                HookAnswer::too_fast(TOO_MANY, stopped_ms.div_ceil(1000))
            }
        })
    }
}

fn no_such_hook() -> HookAnswer {
    HookAnswer::refused(404, "there is no such hook")
}

#[cfg(test)]
mod tests {
    use ruma::{owned_room_id, owned_user_id};

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn desk() -> Desk {
        (owned_room_id!("!r:hs"), owned_user_id!("@c:hs"))
    }

    #[test]
    fn c21_once_a_room_takes_no_more_its_hook_refuses_by_headers_alone_until_it_does() {
        let mut pace = Pace::default();
        let now = Instant::now();
        assert_eq!(pace.shut_for(now, |_| true), None, "nothing was refused yet");

        pace.shut = Some(Shut::Until(now + MINUTE));
        assert_eq!(pace.shut_for(now, |_| false), Some(60));
        assert_eq!(pace.shut_for(now + MINUTE - Duration::from_millis(1), |_| false), Some(1));
        assert_eq!(pace.shut_for(now + MINUTE, |_| false), None, "the breaker's pause is over");
        assert_eq!(pace.shut_for(now, |_| false), None, "and is not begun again");

        pace.shut = Some(Shut::Full(desk()));
        assert_eq!(pace.shut_for(now, |full| *full == desk()), Some(AGAIN_S));
        assert_eq!(pace.shut_for(now, |_| false), None, "one of those that waited has begun");
        assert_eq!(pace.shut_for(now, |_| true), None, "what is handed in next is judged");
    }

    #[test]
    fn c21_a_hook_s_rate_is_looked_at_before_a_body_is_read_and_counts_what_is_proven() {
        let paces = Paces::default();
        for _ in 0..PROVEN_MAX {
            assert_eq!(paces.is_shut("ci", |_| true), None);
            assert!(!paces.is_too_fast("ci"));
        }
        assert_eq!(paces.is_shut("ci", |_| true), Some(AGAIN_S));
        assert!(paces.is_too_fast("ci"));
        assert_eq!(paces.is_shut("other", |_| true), None, "each hook has its own");
    }
}
