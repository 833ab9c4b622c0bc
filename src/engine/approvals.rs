//! Asks people whether a tool call may run (C12): a card in the thread, ✅ and ❌, replies, expiry.
//!
//! `core/approval.rs` says who may decide and what counts as a decision; [`desk`] keeps the open cards.

use std::sync::Arc;

use ruma::{OwnedEventId, RoomId, UserId};
use tokio::time::Instant;

use self::desk::{Begun, Card};
use super::{Engine, EngineError, Shared, answerers::Said, word, word_transaction};
use crate::{
    clock,
    core::{
        approval::{self, APPROVE_KEY, DECLINE_KEY, Pending, Setting, Standing, WholeCall},
        event::{Outgoing, RoomEvent},
        names::Names,
        owed::Shown,
        run::{CardStep, RunId, RunRecord, Step},
        tool::ApprovalRule,
        trail::Decision,
        words,
    },
    engine::timetable::Schedules,
    matrix::{Account, MatrixError, account::File},
    store::StoreError,
};

pub(super) mod desk;
mod hearing;
mod looking_back;

/// What is still to be done about a run's cards when the run is over.
#[derive(Debug, Default)]
pub(super) struct CardEnds {
    /// The cards' last edits: card, step, text.
    pub(super) edits: Vec<(Shown, Step, Outgoing)>,
    /// Our own reactions that are still to be redacted.
    pub(super) reactions: Vec<OwnedEventId>,
}

impl Engine {
    /// Asks the people of the rule about one call, and waits for their decision or its expiry.
    ///
    /// Called again for the same call after a restart, it continues with the existing card. A decision given meanwhile
    /// is returned at once, and again until the run ends (`end_run`). A decision holds for this call with these
    /// arguments. Calls of one round may be asked about at the same time.
    pub(super) async fn approve(
        self: &Shared,
        account: &Arc<Account>,
        id: &RunId,
        record: &RunRecord,
        pending: &Pending,
    ) -> Result<Decision, EngineError> {
        if approval::lacks_decider(&pending.rule, &self.namespace().who(&record.asker), record.owner().is_some()) {
            return self.decline_for_nobody(account, id, record, pending).await;
        }
        let found = self.approvals.find(&record.room, id, pending)?;
        let (card, standing) = match found {
            Some(found) => found,
            None => self.post_card(account, id, record, pending).await?,
        };
        if standing.decision().is_none() {
            self.prepare_reactions(account, id, &card, pending).await;
            self.until_decided(account, &card, &standing).await?;
        }
        let decision = self.approvals.wait(&card).await?;
        tracing::info!(tool.name = pending.tool.as_str(), ?decision, "a run goes on after an approval");
        self.show_decision(account, id, record, pending, &card, &decision).await;
        // The call need not wait for this.
        self.tasks.spawn(self.clone().take_reactions_back(account.clone(), card));
        Ok(decision)
    }

    /// Declines a call about which nobody can decide, and says who could ask for it.
    async fn decline_for_nobody(
        &self,
        account: &Account,
        id: &RunId,
        record: &RunRecord,
        pending: &Pending,
    ) -> Result<Decision, EngineError> {
        let said = word(&words::approval::ask_through_a_person(&pending.tool), Some(&record.asker));
        let cause = format!("{} {}", id.as_str(), pending.number());
        let txn = word_transaction("nobody-decides", &cause, account.user());
        let said = Outgoing { place: record.place.clone(), ..said };
        match account.send(self.chats.destination(record)?.room(), &said, txn).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "who can ask for a tool cannot be said"),
            Ok(_) => {}
        }
        tracing::info!(
            tool.name = pending.tool.as_str(),
            "a tool call is declined, because nobody can decide about it"
        );
        Ok(Decision::Declined { by: account.user().to_owned(), at: clock::steady() })
    }

    async fn post_card(
        &self,
        account: &Account,
        id: &RunId,
        record: &RunRecord,
        pending: &Pending,
    ) -> Result<(Card, Standing), EngineError> {
        let room = self.chats.destination(record)?.room();
        let open_ms = u64::from(self.config().limits.approval_minutes) * 60_000;
        let expires_at = clock::steady().later(open_ms);
        let standing = Standing::new(id, record, pending, expires_at);
        let level = match pending.rule {
            ApprovalRule::Moderator { .. } => account.level_at(&record.room, &record.request, &record.asker).await?,
            _ => None,
        };
        let deciders = if record.is_unasked() {
            record.addressees()
        } else {
            approval::mentioned(&pending.rule, &record.asker, level)
        };
        let names = names(account, &record.room, &pending.rule, &record.asker).await;
        let meaning = Schedules::meaning_of(record, pending);
        let setting = Setting {
            place: &record.place,
            mask: &self.toolsets.tools.mask(),
            names: &names,
            meaning: meaning.as_deref(),
        };
        let card = approval::asking(pending, &record.asker, deciders, open_ms, &setting);
        if let Some(whole) = card.file {
            // The whole call comes first: whoever can see the card can read what it names.
            self.post_whole_call(account, id, record, pending, whole).await?;
        }
        let begun = Begun {
            run: id.clone(),
            number: pending.number(),
            tool: pending.tool.clone(),
            owner: record.owner().map(ToOwned::to_owned),
        };
        // If we crash right after sending, the card still ends with its run.
        self.approvals.begin(&begun)?;
        self.store.flush().await?;
        let txn = id.transaction(Step::Card(pending.number(), CardStep::Ask));
        let event = account.send(room, &card.message, txn).await?;
        let card = (record.room.clone(), event.clone());
        self.approvals.open(&card, &standing, &begun)?;
        self.answerer(record).note_posted(record, Said::Beside(&event))?;
        self.store.flush().await?;
        tracing::info!(tool.name = pending.tool.as_str(), event.id = %event, "a tool call waits for an approval");
        Ok((card, standing))
    }

    /// Attaches the whole call, if it is too long for its card.
    async fn post_whole_call(
        &self,
        account: &Account,
        id: &RunId,
        record: &RunRecord,
        pending: &Pending,
        whole: WholeCall,
    ) -> Result<(), EngineError> {
        let room = self.chats.destination(record)?.room();
        let file = File { name: whole.name, media_type: mime::TEXT_PLAIN_UTF_8, bytes: whole.text.into_bytes() };
        let txn = id.transaction(Step::Card(pending.number(), CardStep::Whole));
        let event = account.send_file(room, file, &record.place, txn).await?;
        self.answerer(record).note_posted(record, Said::Beside(&event))
    }

    /// Adds ✅ and ❌ for people to tap. They can decide without them, so a failure is ignored.
    async fn prepare_reactions(&self, account: &Account, id: &RunId, card: &Card, pending: &Pending) {
        for (key, step) in [(APPROVE_KEY, CardStep::Approve), (DECLINE_KEY, CardStep::Decline)] {
            let txn = id.transaction(Step::Card(pending.number(), step));
            let prepared = match account.react(&card.0, &card.1, key, txn).await {
                Ok(reaction) => self.approvals.change(card, |standing| standing.prepare(reaction)).map(drop),
                Err(error) => {
                    tracing::debug!(%error, "a card's reaction cannot be prepared");
                    continue;
                }
            };
            if let Err(error) = prepared {
                tracing::warn!(%error, "a card's reaction cannot be noted");
            }
        }
    }

    /// Removes our own ✅ and ❌ from a decided card, so that people's reactions remain. What fails now is owed when the
    /// run ends.
    async fn take_reactions_back(self: Shared, account: Arc<Account>, card: Card) {
        let Ok(Some(standing)) = self.approvals.get(&card.0, &card.1) else { return };
        for reaction in &standing.prepared {
            let taken = match super::take_back(&account, &card.0, reaction).await {
                Ok(()) => self.approvals.change(&card, |standing| standing.prepared.retain(|known| known != reaction)),
                Err(error) => {
                    tracing::debug!(%error, "a card's reaction cannot be taken back yet");
                    return;
                }
            };
            if let Err(error) = taken {
                tracing::warn!(%error, "that a card's reaction was taken back cannot be noted");
            }
        }
    }

    /// Shows on the card how it ended; mentions nobody.
    async fn show_decision(
        &self,
        account: &Account,
        id: &RunId,
        record: &RunRecord,
        pending: &Pending,
        card: &Card,
        decision: &Decision,
    ) {
        if matches!(self.approvals.get(&card.0, &card.1), Ok(Some(standing)) if standing.shown) {
            return;
        }
        let names = account.names(&record.room, decision.by().as_slice()).await;
        let setting = Setting { place: &record.place, mask: &self.toolsets.tools.mask(), names: &names, meaning: None };
        let message = approval::decided(pending, decision, &setting);
        let txn = id.transaction(Step::Card(pending.number(), CardStep::End));
        let shown = match account.edit(&card.0, &card.1, &message, txn).await {
            Ok(_) => self.approvals.change(card, |standing| standing.shown = true).map(drop),
            Err(error) => {
                tracing::debug!(%error, "a card cannot say how it ended");
                return;
            }
        };
        if let Err(error) = shown {
            tracing::warn!(%error, "that a card says how it ended cannot be noted");
        }
    }

    /// Returns the last edits of a run's cards that do not show yet how they ended, and our reactions on them. Includes
    /// a card that was being sent, although it may not have arrived.
    pub(super) fn card_ends(&self, id: &RunId, record: &RunRecord) -> Result<CardEnds, StoreError> {
        let mut ends = CardEnds::default();
        for ((_, card), mut standing) in self.approvals.of_run(&record.room, id)? {
            ends.reactions.append(&mut standing.prepared);
            if standing.shown {
                continue;
            }
            let decision = standing.decision().filter(|_| standing.is_taken());
            let message = approval::closed(&standing.tool, decision.as_ref(), &record.place);
            ends.edits.push((Shown::Event(card), Step::Card(standing.number(), CardStep::End), message));
        }
        for begun in self.approvals.begun_by(id)? {
            let step = |step| Step::Card(begun.number, step);
            let message = approval::closed(&begun.tool, None, &record.place);
            ends.edits.push((Shown::SentAs(step(CardStep::Ask)), step(CardStep::End), message));
        }
        Ok(ends)
    }

    /// Returns the sender's power level at the time of the event, as the user that posted the card sees it.
    async fn level_of(
        &self,
        standing: &Standing,
        event: &RoomEvent,
        accepted: Instant,
    ) -> Result<Option<i64>, EngineError> {
        let Some(account) = self.account_of_card(standing).await? else { return Ok(None) };
        account.sync_since(accepted).await?;
        Ok(account.level_at(&event.room, &event.id, &event.sender).await?)
    }

    /// Returns the client that posted a card, if it is available.
    async fn account_of_card(&self, standing: &Standing) -> Result<Option<Arc<Account>>, MatrixError> {
        match standing.owner() {
            Some(owner) => Box::pin(self.pool.passing(&self.assistant_persona(owner))).await.map(Some),
            None => Ok(self.pool.kept(&standing.user)),
        }
    }
}

/// Returns the names of the people whom a rule allows to decide.
async fn names(account: &Account, room: &RoomId, rule: &ApprovalRule, asker: &UserId) -> Names {
    let people = match rule {
        ApprovalRule::People(people) => {
            people.iter().take(words::approval::PEOPLE_NAMED_MAX).map(|one| &**one).collect::<Vec<_>>()
        }
        ApprovalRule::Asker => vec![asker],
        ApprovalRule::Moderator { .. } | ApprovalRule::Never => Vec::new(),
    };
    account.names(room, &people).await
}
