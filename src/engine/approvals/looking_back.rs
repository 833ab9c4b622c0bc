//! Decisions that no transaction brought in time: a call that waits for one looks at the card itself.
//!
//! A tap can come while Workmate is down, between sending a card and noting it, or in a transaction that the homeserver
//! loses. Decisions found are judged as if they had just come.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{desk::Card, hearing::Heard};
use crate::{
    core::{
        approval::{self, Standing},
        event::{EventKind, RoomEvent},
    },
    engine::{Engine, EngineError, Shared},
    matrix::Account,
};

/// Pause between two looks at a card that is waited for.
const LOOK_BACK_EVERY: Duration = Duration::from_mins(5);
/// Pause before another look at a card after a failed look.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Most consecutive looks that the homeserver refuses without naming a reason; then nothing counts as found.
const REFUSALS_MAX: usize = 12;

impl Engine {
    /// Waits until a card is decided, or its time is over and a look since then has succeeded; takes no decision.
    pub(super) async fn until_decided(
        self: &Shared,
        account: &Arc<Account>,
        card: &Card,
        standing: &Standing,
    ) -> Result<(), EngineError> {
        let mut refusals = 0;
        loop {
            let looked = match self.look_back(account, card, standing).await {
                Err(error) if error.is_odd_refusal() && refusals >= REFUSALS_MAX => {
                    tracing::warn!(room.id = %card.0, event.id = %card.1, %error, "a card cannot be looked at");
                    Ok(())
                }
                looked => looked,
            };
            refusals = match &looked {
                Ok(()) => 0,
                // An outage refuses nothing.
                Err(error) => refusals + usize::from(error.is_odd_refusal()),
            };
            if self.approvals.is_decided(card)? {
                return Ok(());
            }
            let is_due = self.approvals.is_due(card)?;
            match looked {
                Ok(()) if is_due => return Ok(()),
                Ok(()) => {
                    tokio::select! {
                        until = self.approvals.until_due(card) => until?,
                        () = self.homeserver.reach.pause_unless_back(LOOK_BACK_EVERY) => {}
                    }
                }
                // Until a look succeeds, the card is not over.
                Err(error) => {
                    tracing::debug!(%error, "a card cannot be looked at; it is looked at again");
                    tokio::select! {
                        until = self.approvals.until_due(card), if !is_due => until?,
                        () = self.homeserver.reach.until_back_within(LOOK_AGAIN) => {}
                    }
                }
            }
            if self.approvals.is_decided(card)? {
                return Ok(());
            }
        }
    }

    /// Takes the room's decisions about a card. A homeserver that refuses to tell counts as having none.
    async fn look_back(
        self: &Shared,
        account: &Arc<Account>,
        card: &Card,
        standing: &Standing,
    ) -> Result<(), EngineError> {
        let began = Instant::now();
        let looked = async {
            let mut found = account.reactions_to(&card.0, &card.1).await?;
            if let Some(root) = &standing.thread {
                found.extend(account.newest_in_thread(&card.0, root).await?);
            } else {
                account.sync_since(began).await?;
                let mut held = account.held_events(&card.0);
                // Plain messages in an assistant's chat may not be the owner's.
                held.retain(|event| standing.owner().is_none() || is_sealed_or_reaction(account, event));
                found.extend(held);
            }
            Ok::<_, EngineError>(found)
        };
        let found = match looked.await {
            Err(error) if !error.is_passing() && !error.is_odd_refusal() => {
                tracing::warn!(room.id = %card.0, event.id = %card.1, %error, "a card cannot be looked at");
                return Ok(());
            }
            found => found?,
        };
        for event in approval::found_about(&found, &card.1) {
            Box::pin(self.take_said(event, Heard::Late, began)).await?;
        }
        Ok(())
    }
}

fn is_sealed_or_reaction(account: &Account, event: &RoomEvent) -> bool {
    let is_message = matches!(event.kind, EventKind::Message(_));
    !is_message || account.held(&event.room, &event.id).is_some_and(|read| read.was_encrypted)
}
