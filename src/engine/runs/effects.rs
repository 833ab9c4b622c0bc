//! What each effect of a run is.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Done, Driver};
use crate::{
    clock,
    core::{
        budget::DECLINED_KEY,
        owed::Owed,
        run::{CatchUp, Effect, Flush, Input, Remark, RunRecord},
        sealed::Carriage,
    },
    engine::{Engine, EngineError, Shared, answerers::Said, presence, word_transaction},
    matrix::Account,
};

impl<'a> Driver<'a> {
    /// Carries out one effect, or begins to.
    pub(super) fn carry_out(&mut self, effect: Effect) -> Result<(), EngineError> {
        let (engine, id, place) = (self.engine, self.id, self.place);
        match effect {
            Effect::AwaitTurn => self.turn = Box::pin(place.turn()),
            Effect::CountAhead => self.handle(Input::Ahead(place.ahead())),
            Effect::AwaitQuiet => self.begin(false, async move {
                engine.running.until_quiet(id).await;
                Ok(Done::Was(Input::Quiet))
            }),
            Effect::AwaitHomeserver(pause) => self.begin(false, async move {
                engine.homeserver.reach.until_back_within(pause).await;
                Ok(Done::Was(Input::Back))
            }),
            Effect::Park => place.park(),
            Effect::Unpark => self.begin(false, async move {
                place.unpark().await;
                Ok(Done::Was(Input::Unparked))
            }),
            Effect::Open => self.open(),
            Effect::LookBack => self.look_back(),
            Effect::CatchUp(what) => self.catch_up(what),
            Effect::ShowPresence => self.show_presence(),
            Effect::Compose(breadth) => self.compose(breadth),
            Effect::Reserve(tool_use, latency) => self.reserve(tool_use, latency),
            Effect::Ask => self.ask(),
            Effect::SendBatch(batch) => self.send_batch(batch),
            Effect::AwaitBatch(batch) => self.await_batch(batch),
            Effect::LeaveOutFiles => self.leave_out_files(),
            Effect::Call(start) => self.call(start),
            Effect::Approve(pending) => self.approve(pending),
            Effect::Journal => engine.journal(id, self.run.record())?,
            Effect::TryToJournal => {
                if let Err(error) = engine.journal(id, self.run.record()) {
                    tracing::error!(%error, "a run cannot be journaled");
                }
            }
            Effect::Flush(flush) => self.begin(flush == Flush::Post, async move {
                engine.store.flush().await?;
                Ok(Done::Was(Input::Flushed(flush)))
            }),
            Effect::Send(step, message) => self.send(step, message),
            Effect::Edit(step, target, message) => self.edit(step, target, message),
            Effect::SendFile(markdown, place) => self.send_file(markdown, place),
            Effect::PostMade { made, place, behind } => self.post_made(made, place, behind),
            effect => self.note(effect)?,
        }
        Ok(())
    }

    /// Carries out an effect that only notes something.
    fn note(&mut self, effect: Effect) -> Result<(), EngineError> {
        let (engine, id) = (self.engine, self.id);
        match effect {
            Effect::Shown(event) => engine.running.show(id, &event),
            Effect::NotePosted(event) => {
                let record = self.run.record();
                engine.answerer(record).note_posted(record, Said::Answer(&event))?;
            }
            Effect::LookForAgain(event) => self.look_for_again(event),
            Effect::NoteRefused(parts, category) => {
                engine.note_refused(self.run.record(), &parts, category.as_deref())?;
            }
            Effect::NoteTaken => engine.note_taken(self.run.record())?,
            Effect::NoteWhoTook => {
                if let Some(asking) = &self.asking {
                    engine.note_who_took(self.run.record(), asking)?;
                }
            }
            Effect::WeighBudgetWord(full) => {
                let is_due = engine.pacing.is_budget_word_due(self.run.record(), &full)?;
                if !is_due && !self.run.record().is_unasked() {
                    self.mark_declined();
                }
                self.handle(Input::BudgetWord(is_due));
            }
            Effect::CloseCards => engine.close_cards(id, self.run.record()),
            Effect::ReadAnew => {
                let (restarts, editor) = engine.running.edited(id);
                self.handle(Input::Anew { restarts, joined: engine.running.joined(id), editor });
            }
            Effect::Doubt => self.doubt(),
            Effect::CutOff => self.cut_off(),
            Effect::OweStop(text) => {
                if let Err(error) = engine.owe(Owed::of_stop(self.run.record(), text, clock::now())) {
                    tracing::error!(%error, "that a run was stopped will not be said");
                }
            }
            Effect::Log(remark) => self.log(remark),
            _ => {}
        }
        Ok(())
    }

    /// Returns the run's record without its work, for calls that go on beside it.
    pub(super) fn facts(&mut self) -> RunRecord {
        self.run.facts()
    }

    /// Returns the account that answers, opened before or now.
    pub(super) fn account(&mut self) -> impl Future<Output = Result<Arc<Account>, EngineError>> + Send + use<'a> {
        let engine = self.engine;
        let opened = self.account.clone().ok_or_else(|| self.facts());
        async move {
            match opened {
                Ok(account) => Ok(account),
                Err(record) => engine.answerer(&record).account().await,
            }
        }
    }

    fn open(&mut self) {
        let (engine, record) = (self.engine, self.facts());
        self.begin(false, async move {
            let account = engine.answerer(&record).account().await?;
            if record.came == Carriage::Encrypted {
                // Also where our memory of the room was lost since.
                account.note_encrypted(&record.room);
            }
            Ok(Done::Opened(account))
        });
    }

    fn look_back(&mut self) {
        let (engine, record, account) = (self.engine, self.facts(), self.account());
        self.begin(false, async move {
            Box::pin(engine.take_missed_orders(&account.await?, &record)).await;
            Ok(Done::Was(Input::LookedBack))
        });
    }

    fn look_for_again(&mut self, event: ruma::OwnedEventId) {
        let (engine, record, account) = (self.engine, self.facts(), self.account());
        self.begin(false, async move {
            Box::pin(engine.take_missed_again(&account.await?, &record, &event)).await;
            Ok(Done::Was(Input::LookedBack))
        });
    }

    fn catch_up(&mut self, what: CatchUp) {
        let (engine, record, account, accepted) = (self.engine, self.facts(), self.account(), self.accepted);
        self.begin(false, async move {
            let (account, answerer) = (account.await?, engine.answerer(&record));
            match what {
                CatchUp::ToSay => {
                    account.sync_since(accepted).await?;
                    answerer.check_room(&account, &record).await?;
                }
                CatchUp::ToRead => {
                    answerer.catch_up(&account, &record, accepted).await?;
                    engine.voices.make_sure_it_is_heard(&account, &record.room).await?;
                }
            }
            Ok(Done::Was(Input::CaughtUp))
        });
    }

    fn show_presence(&mut self) {
        let Some(account) = self.account.clone() else { return };
        let typing = CancellationToken::new();
        let shown = presence::show(account, self.facts(), self.accepted, typing.clone());
        self.engine.tasks.spawn(shown);
        // Typing ends behind the answer, however the run ends; nobody waits for it.
        self.presence = Some(typing.drop_guard());
    }

    /// Shows on the request that it is declined, where the word that says why stands already.
    fn mark_declined(&mut self) {
        let (engine, id, record) = (self.engine.clone(), self.id.clone(), self.facts());
        let Some(account) = self.account.clone() else { return };
        self.engine.tasks.spawn(async move {
            let txn = word_transaction("declined", id.as_str(), account.user());
            let marked = match engine.chats.destination(&record) {
                Ok(to) => account.react(to.room(), &record.request, DECLINED_KEY, txn).await.map_err(EngineError::from),
                Err(error) => Err(error),
            };
            if let Err(error) = marked {
                tracing::debug!(%error, "a declined request cannot be marked");
            }
        });
    }

    fn doubt(&mut self) {
        let (engine, record, error) = (self.engine, self.facts(), self.error.clone());
        self.begin(false, async move {
            let doubted = engine.is_doubted(&record, error.as_deref()).await;
            Ok(Done::Was(Input::Doubted { doubted, is_in: engine.is_in_room_of(&record) }))
        });
    }

    fn log(&self, remark: Remark) {
        let error = self.error.as_ref().map(ToString::to_string).unwrap_or_default();
        let crashes = self.run.record().crashes;
        match remark {
            Remark::Waits => tracing::warn!(%error, "a run waits for the homeserver"),
            Remark::MayNotWrite => tracing::info!(why = %error, "a run ends: it may not write"),
            Remark::RoomRefuses => tracing::info!(%error, "a run ends: the room does not let it say anything"),
            Remark::CannotSay => tracing::error!(%error, "a run cannot say anything any more"),
            Remark::Fails => tracing::error!(%error, "a run failed; its asker is told"),
            Remark::CutOff => tracing::error!(crashes, "a run that was under way in several crashes is given up"),
            Remark::BeginsAnew => tracing::info!("the request was edited or added to; the run begins anew"),
            Remark::RequestGone => tracing::info!("the request is gone; nothing is answered"),
            Remark::WithoutThinking => tracing::info!("the rounds of a run are sent again without thinking"),
            Remark::AsksAnother => tracing::info!("the model refused a request; another one is asked"),
            Remark::Searches => tracing::info!("a request was refused; what is to blame is searched for"),
            Remark::LeavesOut(parts) => tracing::info!(parts, "what was refused is left out from now on"),
            Remark::BatchGivenUp => tracing::info!("a batch brings no answer; the model is asked in a normal call"),
            Remark::CallsStuck => {
                tracing::error!("calls can neither be carried out nor be answered; they are given up");
            }
            Remark::CannotShow => tracing::debug!(%error, "what a run shows beside its work cannot be shown"),
            Remark::StopUnsaid => tracing::warn!(%error, "that a run was stopped cannot be said yet"),
        }
    }
}

impl Engine {
    /// Whether a refusal is one that nothing known speaks for.
    async fn is_doubted(self: &Shared, record: &RunRecord, error: Option<&EngineError>) -> bool {
        let Some(EngineError::Matrix(error)) = error else { return false };
        match self.answerer(record).account().await {
            Ok(account) => Box::pin(self.doubts.doubts(&account, &record.room, error)).await,
            Err(error) => error.may_pass(),
        }
    }
}
