//! What people say about open cards: decisions, and words that may be meant as one (C12).

use ruma::{EventId, OwnedTransactionId};
use tokio::time::Instant;

use super::{desk::Card, names};
use crate::{
    clock,
    core::{
        address::CoworkerHere,
        approval::{self, Beside, Choice, NotAllowed, Plain, Refused, Said, Standing},
        event::{EventKind, Message, Outgoing, Place, RoomEvent},
        people::Who,
        time::Timestamp,
        words,
    },
    engine::{Engine, EngineError, word, word_transaction},
    matrix::{Account, account::Carried},
};

/// How something about a card is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// As it comes.
    Now,
    /// By looking back. Unless it decides, it was answered when it came.
    Late,
    /// In an edit, which decides nothing; its sender is told how to decide.
    Edited,
}

impl Engine {
    /// Takes a reaction to a card, a reply to it, or words beside it. Returns whether it was only about a card; then it
    /// starts no run, whoever sent it.
    pub(in crate::engine) async fn take_choice(
        &self,
        event: &RoomEvent,
        accepted: Instant,
    ) -> Result<bool, EngineError> {
        self.take_said(event, Heard::Now, accepted).await
    }

    /// As [`Self::take_choice`], except that something heard late gets no answer.
    pub(super) async fn take_said(
        &self,
        event: &RoomEvent,
        heard: Heard,
        accepted: Instant,
    ) -> Result<bool, EngineError> {
        // A "yes" that is still being written may become another word.
        if event.is_live() {
            return Ok(false);
        }
        let said = approval::said_of(event);
        if let Some((card, said)) = said
            && let Some(standing) = self.approvals.get(&event.room, card)?
        {
            let who = self.namespace().who(&event.sender);
            return match said {
                Said::Decides { choice, more } => {
                    Box::pin(self.take_decision(event, card, &standing, choice, (heard, accepted))).await?;
                    Ok(!more)
                }
                Said::Unclear
                    if standing.is_open(clock::steady()) && standing.may_be_decided_by(&event.sender, &who) =>
                {
                    let card = (event.room.clone(), card.to_owned());
                    self.ask_for_clear_word(event, &card, &standing, heard).await?;
                    Ok(true)
                }
                // A decision by a person without a say, clear or not; anything else they say is an ordinary message.
                Said::Unclear => match &event.kind {
                    EventKind::Message(message) if approval::leans(message) => {
                        self.refuse_words(event, card, &standing, who, heard).await
                    }
                    _ => Ok(false),
                },
            };
        }
        match &event.kind {
            EventKind::Message(message) if approval::may_be_plain(event) => {
                Box::pin(self.take_words_beside(event, message, heard, accepted)).await
            }
            EventKind::Reaction { target, .. } if said.is_some() => {
                self.take_reaction_beside(event, target, heard).await
            }
            _ => Ok(false),
        }
    }

    /// Takes an edit of a message about a card. The message itself decided, or its sender was told how to decide.
    pub(in crate::engine) async fn take_edited_words(
        &self,
        event: &RoomEvent,
        new: &Message,
        accepted: Instant,
    ) -> Result<bool, EngineError> {
        if new.live {
            return Ok(false);
        }
        Box::pin(self.take_words_beside(event, new, Heard::Edited, accepted)).await
    }

    /// Takes a reaction such as ✅ on something else that a card's run has shown, such as its status; its sender is told
    /// how to decide.
    async fn take_reaction_beside(
        &self,
        event: &RoomEvent,
        target: &EventId,
        heard: Heard,
    ) -> Result<bool, EngineError> {
        let who = self.namespace().who(&event.sender);
        for (card, standing) in self.approvals.undecided(&event.room, clock::steady())? {
            if standing.may_be_decided_by(&event.sender, &who) && self.is_of_run(&standing, &card, target)? {
                self.ask_for_clear_word(event, &card, &standing, heard).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn take_decision(
        &self,
        event: &RoomEvent,
        card: &EventId,
        standing: &Standing,
        choice: Choice,
        (heard, accepted): (Heard, Instant),
    ) -> Result<(), EngineError> {
        if standing.decision().is_some() {
            return Ok(());
        }
        let card = (event.room.clone(), card.to_owned());
        // If no power level would help, the homeserver is not asked.
        let mut refused = standing.refuses(&event.sender, &self.namespace().who(&event.sender));
        if refused.is_none() {
            let level = self.level_of(standing, event, accepted).await?;
            refused = Box::pin(self.hear(event, &card, choice, level, heard)).await?;
        }
        if let Some(why) = refused {
            Box::pin(self.tell_not_theirs(standing, &card, event, why)).await?;
        }
        Ok(())
    }

    /// Tells a person whose decision does not count who may decide, once per card.
    async fn tell_not_theirs(
        &self,
        standing: &Standing,
        card: &Card,
        event: &RoomEvent,
        why: NotAllowed,
    ) -> Result<(), EngineError> {
        if !standing.is_to_be_told(&event.sender, why) {
            return Ok(());
        }
        tracing::debug!(room.id = %event.room, event.id = %event.id, ?why, "somebody is told that they may not decide");
        let Some(account) = self.account_of_card(standing).await? else { return Ok(()) };
        let names = names(&account, &event.room, &standing.rule, &standing.asker).await;
        let text = words::approval::not_yours(&standing.rule, &standing.asker, &names);
        let mut word = word(&text, Some(&event.sender));
        word.place = match &standing.thread {
            Some(root) => Place::Thread { root: root.clone(), latest: card.1.clone() },
            None => Place::Reply { to: card.1.clone() },
        };
        let cause = format!("{}|{}", card.1, event.sender);
        let txn = word_transaction("not-yours", &cause, account.user());
        say(&account, event, &word, txn).await?;
        self.approvals.change(card, |standing| standing.told(&event.sender))?;
        Ok(())
    }

    /// Applies a choice to a card, if it counts; returns why it does not.
    async fn hear(
        &self,
        event: &RoomEvent,
        card: &Card,
        choice: Choice,
        level: Option<i64>,
        heard: Heard,
    ) -> Result<Option<NotAllowed>, EngineError> {
        let who = self.namespace().who(&event.sender);
        let now = approval::made_at(event, &self.namespace().server, clock::steady());
        if let Some(standing) = self.approvals.get(&card.0, &card.1)?
            && standing.clone().hear(choice, &event.sender, &who, level, &event.id, now) == Ok(true)
            && !self.is_from_its_sender(event, card, &standing, now).await?
        {
            tracing::warn!(room.id = %event.room, event.id = %event.id, "a decision was sent before, or points elsewhere");
            self.ask_for_clear_word(event, card, &standing, heard).await?;
            return Ok(None);
        }
        let hear = |standing: &mut Standing| {
            let heard = standing.hear(choice, &event.sender, &who, level, &event.id, now);
            (heard, standing.run.clone())
        };
        let heard = self.approvals.change(card, hear)?;
        match heard {
            Some((Ok(true), run)) => {
                self.store.flush().await?;
                let approved = choice == Choice::Approve;
                tracing::info!(run.id = run.as_str(), user.id = %event.sender, approved, "a tool call is decided");
            }
            Some((Err(why), _)) => {
                tracing::debug!(room.id = %event.room, event.id = %event.id, ?why, "a decision does not count");
                return Ok(Some(why));
            }
            Some((Ok(false), _)) | None => {}
        }
        Ok(None)
    }

    /// Returns whether a message is what its sender wrote, about this card, and for the first time. The homeserver vouches
    /// for what is not encrypted.
    async fn is_from_its_sender(
        &self,
        event: &RoomEvent,
        card: &Card,
        standing: &Standing,
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        if !matches!(event.kind, EventKind::Message(_)) {
            return Ok(true);
        }
        let Some(account) = self.account_of_card(standing).await? else { return Ok(false) };
        match Box::pin(account.carried(event, self.config().workspace.obey_unencrypted)).await? {
            Carried::Plain => Ok(true),
            Carried::Sealed(ciphertext) => {
                self.echoes.decides_once(&ciphertext, &event.id, (&card.1, standing.owner()), now)
            }
            Carried::InDoubt => Ok(false),
        }
    }

    /// Takes words that point at no card: they are about the open card where they are said. If several are open there,
    /// their sender is told how to say which. If the sender may not decide, it is a message like any other.
    async fn take_words_beside(
        &self,
        event: &RoomEvent,
        message: &Message,
        heard: Heard,
        accepted: Instant,
    ) -> Result<bool, EngineError> {
        let who = self.namespace().who(&event.sender);
        let now = approval::made_at(event, &self.namespace().server, clock::steady());
        let mut beside: Vec<(Card, Standing, Said)> = Vec::new();
        for (card, standing) in self.approvals.undecided(&event.room, now)? {
            if let Some(said) = self.said_beside(message, &card, &standing)? {
                beside.push((card, standing, said));
            }
        }
        let is_theirs = |(_, standing, _): &&(Card, Standing, Said)| standing.may_be_decided_by(&event.sender, &who);
        let Some((_, theirs, _)) = beside.iter().find(is_theirs) else {
            return self.refuse_words_beside(event, &beside, None, heard).await;
        };
        let level = self.level_of(theirs, event, accepted).await?;
        let standings: Vec<&Standing> = beside.iter().map(|(_, standing, _)| standing).collect();
        match approval::plain(&standings, &event.sender, &who, level, now) {
            Plain::About(at) => match &beside[at] {
                (card, _, Said::Decides { choice, more }) if heard != Heard::Edited => {
                    Box::pin(self.hear(event, card, *choice, level, heard)).await?;
                    Ok(!more)
                }
                (card, standing, _) => {
                    self.ask_for_clear_word(event, card, standing, heard).await?;
                    Ok(true)
                }
            },
            Plain::Unclear => {
                if heard != Heard::Late {
                    self.ask_which(theirs, event).await?;
                }
                Ok(true)
            }
            Plain::Nothing => self.refuse_words_beside(event, &beside, level, heard).await,
        }
    }

    /// Tells a person without a say, who replied to a card with unclear words, who may decide. Returns whether they are
    /// a person who can be told.
    async fn refuse_words(
        &self,
        event: &RoomEvent,
        card: &EventId,
        standing: &Standing,
        who: Who,
        heard: Heard,
    ) -> Result<bool, EngineError> {
        let why = standing.refuses(&event.sender, &who).filter(|why| why.names_others());
        let Some(why) = why.filter(|_| standing.is_open(clock::steady())) else { return Ok(false) };
        if heard != Heard::Late {
            Box::pin(self.tell_not_theirs(standing, &(event.room.clone(), card.to_owned()), event, why)).await?;
        }
        Ok(true)
    }

    /// Like [`Self::refuse_words`], for a clear yes or no that points to no card.
    async fn refuse_words_beside(
        &self,
        event: &RoomEvent,
        beside: &[(Card, Standing, Said)],
        level: Option<i64>,
        heard: Heard,
    ) -> Result<bool, EngineError> {
        let cards: Vec<_> = beside.iter().map(|(_, standing, said)| (standing, *said)).collect();
        let who = self.namespace().who(&event.sender);
        let refused = approval::refused(&cards, &event.sender, &who, level, clock::steady());
        let Some(Refused { card, why, more }) = refused else { return Ok(false) };
        let (card, standing, _) = &beside[card];
        if heard != Heard::Late {
            Box::pin(self.tell_not_theirs(standing, card, event, why)).await?;
        }
        Ok(!more)
    }

    fn said_beside(&self, message: &Message, card: &Card, standing: &Standing) -> Result<Option<Said>, EngineError> {
        let replies_to_run = match &message.reply_to {
            Some(to) => self.is_of_run(standing, card, to)?,
            None => false,
        };
        let coworker = self.coworker(&standing.user);
        let display_name = coworker.as_ref().map(|coworker| coworker.display_name());
        let here = coworker.as_ref().map(|coworker| CoworkerHere {
            user: &standing.user,
            id: &coworker.id.0,
            name: &coworker.name,
            display_name: display_name.as_deref(),
        });
        let beside = Beside { coworker: here.as_ref(), replies_to_run };
        Ok(approval::said_beside(message, &card.1, standing, &beside))
    }

    /// Returns whether a card's run has shown an event: its status, or the file with the whole call.
    fn is_of_run(&self, standing: &Standing, card: &Card, event: &EventId) -> Result<bool, EngineError> {
        if self.running.has_shown(&standing.run, event) {
            return Ok(true);
        }
        let posted = self.tables.threads.get(&(card.0.clone(), standing.request.clone()))?.unwrap_or_default().posted;
        Ok(posted.iter().any(|posted| posted.event == event))
    }

    /// Tells the sender of unclear words or an unclear reaction how to decide: for every such message, but for
    /// reactions once per card and person.
    async fn ask_for_clear_word(
        &self,
        event: &RoomEvent,
        card: &Card,
        standing: &Standing,
        heard: Heard,
    ) -> Result<(), EngineError> {
        if heard == Heard::Late {
            return Ok(());
        }
        let Some(account) = self.account_of_card(standing).await? else { return Ok(()) };
        let mentioned = standing.owner().is_none().then_some(&*event.sender);
        let said = word(&words::deciding::say_it_clearly(), mentioned);
        // A repeated send gives the same event.
        let (latest, cause) = match &event.kind {
            EventKind::Message(_) | EventKind::Edit { .. } => (event.id.clone(), event.id.to_string()),
            _ => (card.1.clone(), format!("{} {}", card.1, event.sender)),
        };
        let place = match event.thread_root().or(standing.thread.as_deref()) {
            Some(root) => Place::Thread { root: root.to_owned(), latest },
            None => Place::Reply { to: card.1.clone() },
        };
        let txn = word_transaction("say-clearly", &cause, account.user());
        say(&account, event, &Outgoing { place, ..said }, txn).await
    }

    async fn ask_which(&self, card: &Standing, event: &RoomEvent) -> Result<(), EngineError> {
        let Some(account) = self.account_of_card(card).await? else { return Ok(()) };
        let mentioned = card.owner().is_none().then_some(&*event.sender);
        let said = word(&words::approval::which_card(), mentioned);
        let place = match event.thread_root() {
            Some(root) => Place::Thread { root: root.to_owned(), latest: event.id.clone() },
            None => Place::Reply { to: event.id.clone() },
        };
        let txn = word_transaction("which-card", event.id.as_str(), account.user());
        say(&account, event, &Outgoing { place, ..said }, txn).await
    }
}

/// Says something to the sender of `event`; a failure is ignored.
async fn say(
    account: &Account,
    event: &RoomEvent,
    said: &Outgoing,
    txn: OwnedTransactionId,
) -> Result<(), EngineError> {
    match account.send(&event.room, said, txn).await {
        Err(error) if error.is_passing() => Err(error.into()),
        _ => Ok(()),
    }
}
