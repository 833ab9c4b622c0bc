//! Edits that change a request's kind (C6, C16): a prompt into a command, or a command into a prompt.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{EventId, OwnedUserId, UserId};
use tokio::time::Instant;

use super::{
    Engine, EngineError, Shared,
    commands::command_of,
    coworkers::{habit_of, place_of},
};
use crate::{
    core::{
        address::{Asked, EDIT_WINDOW_MS, Why},
        command::{AssistantCommand, CoworkerCommand, CoworkerRequest, Reminding},
        event::{EventKind, Message, RoomEvent},
        sealed::Carriage,
        time::Timestamp,
        words,
    },
    matrix::Account,
};

/// A coworker for which an edit changed the request's kind.
pub(super) struct Anew {
    pub(super) user: OwnedUserId,
    /// Whether the request is now a command, so that its run stops.
    pub(super) is_command: bool,
    /// Whether that command is a stop.
    stops: bool,
    was_going_on: bool,
}

impl Engine {
    /// Returns the coworkers for which an edit changes the request's kind, while their run goes on or soon after the
    /// request was sent.
    pub(super) fn asked_anew_by_edit(
        &self,
        event: &RoomEvent,
        original: &RoomEvent,
        triggered: &BTreeSet<OwnedUserId>,
        (target, new): (&EventId, &Message),
    ) -> Vec<Anew> {
        let EventKind::Message(before) = &original.kind else { return Vec::new() };
        let in_time = event.sent_at.ms_since(original.sent_at) <= EDIT_WINDOW_MS;
        let anew = triggered.iter().filter_map(|user| {
            let coworker = self.coworker(user)?;
            let (was, is) = (command_of(before, &coworker, user), command_of(new, &coworker, user));
            let was_going_on = self.running.is_asked_by(&event.room, target, user);
            let counts = match (&was, &is) {
                (_, Some(_)) => was_going_on || (in_time && was != is),
                (Some(_), None) => in_time && !was_going_on,
                (None, None) => false,
            };
            let stops = is == Some(CoworkerRequest::Command(CoworkerCommand::Stop));
            counts.then(|| Anew { user: user.clone(), is_command: is.is_some(), stops, was_going_on })
        });
        anew.collect()
    }

    /// Does what the edited request now asks of a coworker.
    pub(super) async fn take_anew(
        self: Shared,
        event: &RoomEvent,
        came: Carriage,
        anew: &Anew,
        accepted: Instant,
    ) -> Result<(), EngineError> {
        if !anew.stops {
            let asked = Asked { user: anew.user.clone(), why: Why::NewlyMentionedByEdit, late: false };
            return Box::pin(self.begin_coworker(event, came, &asked, accepted)).await;
        }
        // A run that stops says so itself. Other runs continue, because the edit concerns only this request.
        let (false, EventKind::Edit { target, .. }) = (anew.was_going_on, &event.kind) else { return Ok(()) };
        let (Some(account), Some(coworker)) = (self.pool.kept(&anew.user), self.coworker(&anew.user)) else {
            return Ok(());
        };
        let place = place_of(&account, event, target, habit_of(&coworker));
        self.answer_command(&account, event, &words::nothing_to_stop(), place).await
    }

    /// Handles an owner's edit: of a request that is being answered, or one that turns a request into a command.
    pub(super) async fn take_owners_edit(
        self: &Shared,
        account: &Arc<Account>,
        owner: &UserId,
        event: &RoomEvent,
        (target, new): (&EventId, &Message),
        came: (Timestamp, Instant),
    ) -> Result<(), EngineError> {
        let command = AssistantCommand::of(new);
        let sets_up = |reminding: &Reminding| matches!(reminding, Reminding::Add(_) | Reminding::AddTask(_));
        if !matches!(&command, Some(AssistantCommand::Reminding(reminding)) if sets_up(reminding)) {
            self.schedules.end_unsaid_reminders(account, owner, event, target).await?;
        }
        let is_going_on = self.running.is_asked_by(&event.room, target, account.user());
        let not_asked = command.iter().map(|_| account.user().to_owned()).collect();
        Box::pin(self.pacing.take_edit_of_request(event, target, &not_asked)).await?;
        match command {
            // The run says so itself.
            Some(AssistantCommand::Stop) if is_going_on => Ok(()),
            Some(command) if is_going_on || self.is_new_command(account, event, target, &command).await? => {
                Box::pin(self.answer_owner_command(account, owner, event, &command)).await
            }
            None if !is_going_on => {
                let asks = self.asks_since_edit(account, owner, event, (target, new)).await?;
                let Some(stands) = asks else { return Ok(()) };
                Box::pin(self.clone().begin_owners_run(account, owner, &stands, came)).await
            }
            _ => Ok(()),
        }
    }

    /// Returns whether an edit turns a recent message of the same sender into this command.
    async fn is_new_command(
        &self,
        account: &Account,
        edit: &RoomEvent,
        target: &EventId,
        command: &AssistantCommand,
    ) -> Result<bool, EngineError> {
        let original = match account.event(&edit.room, target).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            found => found.ok().flatten(),
        };
        let Some(original) = original.filter(|original| original.event.sender == edit.sender) else { return Ok(false) };
        let EventKind::Message(before) = &original.event.kind else { return Ok(false) };
        let in_time = edit.sent_at.ms_since(original.event.sent_at) <= EDIT_WINDOW_MS;
        Ok(in_time && AssistantCommand::of(before).as_ref() != Some(command))
    }
}
