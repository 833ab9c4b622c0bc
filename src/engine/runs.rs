//! Driving runs: `core::run` says what is to be done, and here it is done. The driver knows no rule.
//!
//! Everything that an effect begins goes on side by side, and is driven by one loop together with orders, the model's
//! progress and the clock: nothing waits for another but through the run.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::DropGuard;

mod asking;
mod calls;
mod effects;
mod ending;
mod saying;

pub(super) use self::saying::answer_file;
use super::{
    Engine, EngineError, Shared, ahead::Ahead, ask::Asking, budget::Hold, caught::caught, control::Registered, lanes,
    progress::Progress, used,
};
use crate::{
    clock::Steady,
    core::{
        run::{BatchNews, Effect, End, Failure, Fault, Input, Nearness, Ready, Reply, Run, RunId, RunRecord},
        time::Timestamp,
    },
    matrix::{Account, MatrixError},
};

/// What came of something that was begun.
enum Done<'a> {
    /// What happened.
    Was(Input),
    /// The account that answers.
    Opened(Arc<Account>),
    /// The context.
    Composed(Option<Box<(Asking, Ready)>>),
    /// What the call of the model holds of the budgets.
    Reserved(Result<Hold<'a>, Fault>),
    /// The model has ended. Names the container in which it goes on, if one was told; an empty name is none any more.
    Replied(Reply, Option<String>),
    /// What became of the batch; what it holds of the budgets, while it is waited for.
    Batched(Option<Hold<'a>>, BatchNews),
}

/// Whether it was to send something of the run's, and what came of it.
type Ended<'a> = (bool, Result<Done<'a>, EngineError>);

/// A run, and what its effects need.
struct Driver<'a> {
    engine: &'a Shared,
    id: &'a RunId,
    run: Run,
    /// The run's own clock: its waits and what it says of them do not depend on how the wall clock is set.
    clock: Steady,
    place: &'a lanes::Place,
    sender: &'a watch::Sender<Progress>,
    /// What is known of the room has to be newer than this.
    accepted: Instant,
    account: Option<Arc<Account>>,
    asking: Option<Arc<Asking>>,
    hold: Option<Hold<'a>>,
    /// What was asked before the run was there, until it is known whether the run asks the same.
    ahead: Option<Ahead>,
    /// Shows that the request is worked on, until it is dropped.
    presence: Option<DropGuard>,
    /// What failed last.
    error: Option<Arc<EngineError>>,
    turn: BoxFuture<'a, ()>,
    under_way: FuturesUnordered<BoxFuture<'a, Ended<'a>>>,
}

impl Engine {
    /// Waits for its turn and runs to the end: the answer is sent, or nothing can be said any more.
    #[tracing::instrument(name = "run", skip_all, fields(run.id = registered.id().as_str(), room.id = %record.room, user.id = %record.user))]
    pub(super) async fn run(
        self: &Shared,
        mut registered: Registered,
        record: RunRecord,
        place: lanes::Place,
        (accepted, ahead): (Instant, Option<Ahead>),
    ) {
        let id = &registered.id().clone();
        let (sender, clock) = (watch::Sender::new(Progress::default()), Steady::start());
        let mut driver = Driver {
            engine: self,
            id,
            run: Run::new(record, self.toolsets.rules(), clock.now()),
            clock,
            place: &place,
            sender: &sender,
            accepted,
            account: None,
            asking: None,
            hold: None,
            ahead,
            presence: None,
            error: None,
            turn: std::future::pending().boxed(),
            under_way: FuturesUnordered::new(),
        };
        let mut end = driver.drive(&mut registered).await;
        end.taken_back |= registered.is_taken_back();
        // Typing ends behind the answer; nobody waits for it.
        driver.presence = None;
        self.running.enter(id, driver.run.nearness());
        Box::pin(self.end_run(id, &driver.run, end)).await;
    }
}

impl<'a> Driver<'a> {
    /// Carries out effects and takes what comes of them, until the run is over.
    async fn drive(&mut self, registered: &mut Registered) -> End {
        let mut progress = self.sender.subscribe();
        let (mut is_stopping, mut told) = (false, Nearness::default());
        loop {
            while let Some(effect) = self.run.next_effect() {
                if let Effect::End(end) = effect {
                    self.under_way.clear();
                    return end;
                }
                if let Err(error) = self.carry_out(effect) {
                    let failure = self.failed(error);
                    self.handle(Input::Failed(failure));
                }
            }
            let nearness = self.run.nearness();
            if std::mem::replace(&mut told, nearness) != nearness {
                self.engine.running.enter(self.id, nearness);
            }
            let input = tokio::select! {
                biased;
                order = registered.next_order() => {
                    // What the order came with is in the room: a sync from before it does not do any more.
                    self.accepted = Instant::now();
                    Input::Order(order)
                }
                Some(ended) = self.under_way.next() => self.take(ended),
                () = &mut self.turn => {
                    self.turn = std::future::pending().boxed();
                    Input::Turn
                }
                () = self.engine.stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    Input::Stopping
                }
                Ok(()) = progress.changed() => {
                    let so_far = progress.borrow_and_update();
                    let thought = so_far.thought.newest().to_owned();
                    Input::Heard { text: so_far.text.clone(), thought, waiting_ms: so_far.waiting_ms }
                }
                () = until(self.run.next_at(), self.clock) => Input::Tick,
            };
            self.handle(input);
        }
    }

    /// Hands the run what happened. A panic in it, over a text perhaps, is a failure of this attempt.
    fn handle(&mut self, input: Input) {
        let (now, run) = (self.clock.now(), &mut self.run);
        if catch_unwind(AssertUnwindSafe(|| run.handle(input, now))).is_err() {
            let failure = self.failed(EngineError::Panicked);
            self.run.handle(Input::Failed(failure), now);
        }
    }

    /// Begins something that goes on for a while. `posts` says that it sends something of the run's.
    fn begin(&mut self, posts: bool, work: impl Future<Output = Result<Done<'a>, EngineError>> + Send + 'a) {
        self.under_way.push(async move { (posts, caught(work).await) }.boxed());
    }

    /// Keeps what was begun for later effects, and returns what it means to the run.
    fn take(&mut self, (posts, ended): Ended<'a>) -> Input {
        match ended {
            Ok(Done::Was(input)) => input,
            Ok(Done::Opened(account)) => {
                self.account = Some(account);
                Input::Opened
            }
            Ok(Done::Composed(composed)) => Input::Composed(composed.map(|composed| {
                let (asking, ready) = *composed;
                self.asking = Some(Arc::new(asking));
                ready
            })),
            Ok(Done::Replied(reply, container)) => {
                if let (Some(container), Some(asking)) = (container, &mut self.asking) {
                    let computing = &mut Arc::make_mut(asking).composed.prompt.computing;
                    computing.container = Some(container).filter(|container| !container.is_empty());
                }
                Input::Replied(reply)
            }
            Ok(Done::Batched(hold, news)) => {
                self.hold = hold;
                Input::Batch(news)
            }
            Ok(Done::Reserved(reserved)) => Input::Reserved(reserved.map(|hold| self.hold = Some(hold))),
            Err(error) if posts => Input::Sent(Err(self.failed(error))),
            Err(error) => Input::Failed(self.failed(error)),
        }
    }

    /// Keeps an error, and returns what the run has to know of it.
    fn failed(&mut self, error: EngineError) -> Failure {
        let record = self.run.record();
        let matrix = match &error {
            EngineError::Matrix(error) => Some(error),
            _ => None,
        };
        let failure = Failure {
            is_passing: error.is_passing(),
            is_refusal: matrix.is_some_and(MatrixError::is_refusal),
            is_forbidden: matrix.is_some_and(MatrixError::is_forbidden),
            is_misdirected: matches!(error, EngineError::Refused(_)),
            is_of_homeserver: matrix.is_some(),
            is_in: self.engine.is_in_room_of(record),
            retry_after: error.retry_after(),
        };
        self.error = Some(Arc::new(error));
        failure
    }

    /// Breaks off whatever goes on; what the model wrote is paid for.
    fn cut_off(&mut self) {
        self.under_way.clear();
        (self.hold, self.ahead, self.presence, self.account) = (None, None, None, None);
        let asked = self.sender.send_replace(Progress::default());
        self.engine.computing.note_made(self.id, &asked, &mut 0);
        if let Some(bill) = used::bill_of(&asked) {
            self.handle(Input::Billed(bill));
        }
    }
}

impl Engine {
    fn is_in_room_of(&self, record: &RunRecord) -> bool {
        self.pool.opened(&record.user).is_some_and(|account| account.is_in(&record.room))
    }
}

/// Waits until a moment; for ever, where there is none.
async fn until(at: Option<Timestamp>, clock: Steady) {
    match at {
        Some(at) => tokio::time::sleep(Duration::from_millis(at.ms_since(clock.now()))).await,
        None => std::future::pending().await,
    }
}
