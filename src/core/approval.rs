//! Approvals (C12): what is asked, who may decide, what counts as a decision, and that it holds for one call only.
//!
//! Anything but a clear decision by a person whom the rule names leaves the call pending, and time turns that into no.
//! Readings chosen where the rule leaves room:
//!
//! - The rule alone says who decides: a moderator has no say under `asker`, nor the asker under `moderator` without the
//!   power level.
//! - Only new reactions and new replies decide. Edits of the card mean nothing. The sender of an edited reply, or of a
//!   ✅ on something else that the run has posted, is told how to decide.
//! - Redacting a ✅ or ❌ takes it back until the run has acted on it; the card is then open again. Redacting the card
//!   declines the call, whoever does it, because declining is always safe.
//! - A reply to the card that is clearly a yes or a no decides ([`words::deciding`](super::words::deciding)). An
//!   ambiguous one (`ok`, 👍) decides nothing, and its sender is told how to decide.
//! - A message in the card's thread that replies to nothing, or to the run's status, is read in the same way if it
//!   consists only of deciding words; otherwise it is a question. If several cards are open there it decides nothing,
//!   and its sender is told how to say which one.
//! - A yes or no of a person whom the rule does not name is not a request: they are told once per card who decides. An
//!   `ok` of theirs that points to no card is an ordinary message.
//! - Doubt never approves: a question mark, dots, struck-out text. A no at the start of a message declines, and the
//!   rest of the message is an ordinary request.
//! - A decision made after the expiry is late, whatever time another server claims for it. Once the run has learned of
//!   the expiry, every further decision is late.

mod card;
mod clear;
mod plain;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use ruma::{EventId, OwnedEventId, OwnedUserId, ServerName, UserId};
use serde::{Deserialize, Serialize};

use super::{
    event::RoomEvent,
    people::Who,
    run::{RunId, RunRecord},
    time::Timestamp,
    tool::{ApprovalRule, ToolName, number},
    trail::Decision,
    words::approval as words,
};

#[cfg(feature = "doubles")]
pub(crate) use self::clear::said_in_reply;
pub(crate) use self::{
    card::{Setting, WholeCall, asking, closed, decided, mentioned},
    clear::{Said, leans, said_of},
    plain::{Beside, Plain, Refused, may_be_plain, plain, refused, said_beside},
};
pub(crate) use super::tool::Pending;

/// The reaction that approves.
pub(crate) const APPROVE_KEY: &str = "✅";
/// The reaction that declines.
pub(crate) const DECLINE_KEY: &str = "❌";
/// Most people told about one card that they may not decide.
pub(crate) const TOLD_MAX: usize = 10;
/// Clients write an emoji with or without one of these after it (text and emoji presentation).
const VARIATION_SELECTORS: [char; 2] = ['\u{fe0e}', '\u{fe0f}'];

/// A person's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Choice {
    /// Run it.
    Approve,
    /// Do not run it.
    Decline,
}

/// Returns the card that an event decides about, with the decision, if the event reads as one.
#[must_use]
pub(crate) fn choice_of(event: &RoomEvent) -> Option<(&EventId, Choice)> {
    match said_of(event)? {
        (target, Said::Decides { choice, .. }) => Some((target, choice)),
        (_, Said::Unclear) => None,
    }
}

fn choice_of_key(key: &str) -> Option<Choice> {
    match key.trim_end_matches(VARIATION_SELECTORS) {
        APPROVE_KEY => Some(Choice::Approve),
        DECLINE_KEY => Some(Choice::Decline),
        _ => None,
    }
}

/// Returns those of a room's events, in order, that may decide about a card: whatever points to it, and plain messages
/// after it. Earlier plain messages were about something else.
#[must_use]
pub(crate) fn found_about<'a>(events: &'a [RoomEvent], card: &EventId) -> Vec<&'a RoomEvent> {
    let at = events.iter().position(|event| event.id == card);
    let points = |event: &RoomEvent| choice_of(event).is_some_and(|(target, _)| target == card);
    let behind = |place: usize| at.is_some_and(|at| place > at);
    let may_decide =
        events.iter().enumerate().filter(|(place, event)| points(event) || (behind(*place) && may_be_plain(event)));
    may_decide.map(|(_, event)| event).collect()
}

/// Returns when a decision counts as made: for a person on our own server by the event's timestamp, for anybody else
/// when we hear it. So a timely tap counts although it is found late, and another server's claim counts for nothing.
#[must_use]
pub(crate) fn made_at(event: &RoomEvent, ours: &ServerName, now: Timestamp) -> Timestamp {
    if event.sender.server_name() == ours { event.sent_at.min(now) } else { now }
}

/// Why somebody's decision does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAllowed {
    /// They are a virtual user, a bot, a guest or a puppet.
    NoPerson,
    /// They are on a server that is not allowed, even if the rule names them.
    Stranger,
    /// They are not in the room, were not when they decided, or it is unknown.
    NotHere,
    /// The rule names other people.
    NotNamed,
    /// Their power level is too low.
    TooLowLevel,
    /// Nobody can decide under this rule.
    Nobody,
}

impl NotAllowed {
    /// Returns whether to tell the person: others than they decide.
    #[must_use]
    pub(crate) fn names_others(self) -> bool {
        matches!(self, Self::NotNamed | Self::TooLowLevel)
    }
}

/// Checks whether `user` may decide under `rule`.
///
/// `level` is their power level in the room at the time of the decision; `None` if they are not joined or it is
/// unknown.
///
/// # Errors
/// Why they may not.
pub(crate) fn may_decide(
    rule: &ApprovalRule,
    user: &UserId,
    who: &Who,
    asker: &UserId,
    level: Option<i64>,
) -> Result<(), NotAllowed> {
    match who {
        Who::Person => {}
        Who::Stranger => return Err(NotAllowed::Stranger),
        Who::Service | Who::Coworker(_) | Who::Assistant(_) | Who::Bot | Who::Guest | Who::Puppet(_) => {
            return Err(NotAllowed::NoPerson);
        }
    }
    let level = level.ok_or(NotAllowed::NotHere)?;
    match rule {
        ApprovalRule::Never => Err(NotAllowed::Nobody),
        ApprovalRule::Asker if user == asker => Ok(()),
        ApprovalRule::People(people) if people.contains(user) => Ok(()),
        ApprovalRule::Asker | ApprovalRule::People(_) => Err(NotAllowed::NotNamed),
        ApprovalRule::Moderator { level: wanted } if level >= *wanted => Ok(()),
        ApprovalRule::Moderator { .. } => Err(NotAllowed::TooLowLevel),
    }
}

/// Returns whether nobody could decide: the asker would have to, and is a bridge's puppet or a guest.
#[must_use]
pub(crate) fn lacks_decider(rule: &ApprovalRule, asker: &Who, is_private: bool) -> bool {
    *rule == ApprovalRule::Asker && !is_private && !asker.is_person()
}

/// What the store keeps about a posted card until its run ends; not the arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The run that needs the decision.
    pub run: RunId,
    /// The virtual user that posted the card.
    pub user: OwnedUserId,
    /// The request that the run answers.
    pub request: OwnedEventId,
    /// The request's sender.
    pub asker: OwnedUserId,
    /// Whether it is an assistant's run.
    pub private: bool,
    /// The tool's name.
    pub tool: ToolName,
    /// Who may decide.
    pub rule: ApprovalRule,
    /// The call's [`Pending::digest`].
    pub digest: String,
    /// When the card expires.
    pub expires_at: Timestamp,
    /// The root of the card's thread.
    #[serde(default)]
    pub thread: Option<OwnedEventId>,
    /// The first valid decision.
    #[serde(default)]
    given: Option<Given>,
    /// Whether the run has acted on the decision, or on the expiry; from then on it is final.
    #[serde(default)]
    taken: bool,
    /// Whether the card shows its outcome.
    #[serde(default)]
    pub shown: bool,
    /// Our own reactions on the card that people can tap, while they exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepared: Vec<OwnedEventId>,
    /// Who was told that they may not decide.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    told: BTreeSet<OwnedUserId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    choice: Choice,
    by: OwnedUserId,
    at: Timestamp,
    /// The deciding reaction or reply, or the departure.
    event: OwnedEventId,
    /// Whether the asker has left the room, which decides against the call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    left: bool,
}

impl Standing {
    /// Returns the record of a card that is posted now.
    #[must_use]
    pub(crate) fn new(run: &RunId, record: &RunRecord, pending: &Pending, expires_at: Timestamp) -> Self {
        Self {
            run: run.clone(),
            user: record.user.clone(),
            request: record.request.clone(),
            asker: record.asker.clone(),
            private: record.owner().is_some(),
            tool: pending.tool.clone(),
            // In an assistant's chat only the owner can be asked.
            rule: if record.owner().is_some() { ApprovalRule::Asker } else { pending.rule.clone() },
            digest: pending.digest(),
            expires_at,
            thread: record.place.thread_root().map(ToOwned::to_owned),
            given: None,
            taken: false,
            shown: false,
            prepared: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// Returns the owner whose assistant has posted it; `None` for a coworker.
    #[must_use]
    pub(crate) fn owner(&self) -> Option<&UserId> {
        self.private.then_some(&*self.asker)
    }

    /// Returns whether it is about exactly this call of this run; a decision holds for no other arguments.
    #[must_use]
    pub(crate) fn is_for(&self, run: &RunId, pending: &Pending) -> bool {
        self.run == *run && self.digest == pending.digest()
    }

    /// Returns the card's number within its run.
    #[must_use]
    pub(crate) fn number(&self) -> u64 {
        number(&self.digest)
    }

    /// Returns whether `user` may decide, provided that they have the power level.
    #[must_use]
    pub(crate) fn may_be_decided_by(&self, user: &UserId, who: &Who) -> bool {
        self.refuses(user, who).is_none()
    }

    /// Returns why `user` may not decide, regardless of their power level.
    #[must_use]
    pub(crate) fn refuses(&self, user: &UserId, who: &Who) -> Option<NotAllowed> {
        may_decide(&self.rule, user, who, &self.asker, Some(i64::MAX)).err()
    }

    /// Applies a decision; returns whether it counts, which the first timely one does. `who` and `level` are as in
    /// [`may_decide`], `event` is the reaction or reply.
    ///
    /// # Errors
    /// Why they may not decide.
    pub(crate) fn hear(
        &mut self,
        choice: Choice,
        by: &UserId,
        who: &Who,
        level: Option<i64>,
        event: &EventId,
        now: Timestamp,
    ) -> Result<bool, NotAllowed> {
        may_decide(&self.rule, by, who, &self.asker, level)?;
        Ok(self.give(choice, by, event, now))
    }

    /// Returns whether to tell a person whom the rule does not name that they may not decide; once for each card.
    #[must_use]
    pub(crate) fn is_to_be_told(&self, user: &UserId, why: NotAllowed) -> bool {
        why.names_others() && self.told.len() < TOLD_MAX && !self.told.contains(user)
    }

    /// Records our own reaction on the card.
    pub(crate) fn prepare(&mut self, reaction: OwnedEventId) {
        if !self.prepared.contains(&reaction) {
            self.prepared.push(reaction);
        }
    }

    /// Records that somebody was told that they may not decide.
    pub(crate) fn told(&mut self, user: &UserId) {
        self.told.insert(user.to_owned());
    }

    /// Handles the card's redaction, after which nobody can decide.
    pub(crate) fn card_redacted(&mut self, by: &UserId, event: &EventId, now: Timestamp) {
        self.give(Choice::Decline, by, event, now);
    }

    /// Handles the asker's departure, after which nobody waits for the call; returns whether that decides.
    pub(crate) fn asker_left(&mut self, event: &EventId, now: Timestamp) -> bool {
        let decides = self.give(Choice::Decline, &self.asker.clone(), event, now);
        if let Some(given) = self.given.as_mut().filter(|_| decides) {
            given.left = true;
        }
        decides
    }

    fn give(&mut self, choice: Choice, by: &UserId, event: &EventId, now: Timestamp) -> bool {
        let open = self.is_open(now);
        if open {
            self.given = Some(Given { choice, by: by.to_owned(), at: now, event: event.to_owned(), left: false });
        }
        open
    }

    /// Handles the redaction of a reaction or reply; returns whether it withdraws a decision.
    pub(crate) fn withdraw(&mut self, event: &EventId) -> bool {
        let withdrawn = !self.taken && self.given.as_ref().is_some_and(|given| given.event == event && !given.left);
        if withdrawn {
            self.given = None;
        }
        withdrawn
    }

    /// Returns whether it can still be decided.
    #[must_use]
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        self.given.is_none() && !self.taken && now < self.expires_at
    }

    /// Returns the decision for the waiting run; once returned, it is final.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Decision> {
        let decision = self.decision().or_else(|| (now >= self.expires_at).then_some(Decision::Expired));
        self.taken |= decision.is_some();
        decision
    }

    /// Returns the decision so far, whether or not the run knows it.
    #[must_use]
    pub(crate) fn decision(&self) -> Option<Decision> {
        match &self.given {
            Some(Given { left: true, by, at, .. }) => Some(Decision::Left { by: by.clone(), at: *at }),
            Some(Given { choice: Choice::Approve, by, at, .. }) => Some(Decision::Approved { by: by.clone(), at: *at }),
            Some(Given { choice: Choice::Decline, by, at, .. }) => Some(Decision::Declined { by: by.clone(), at: *at }),
            None if self.taken => Some(Decision::Expired),
            None => None,
        }
    }

    /// Returns whether the run has acted on the decision.
    #[must_use]
    pub(crate) fn is_taken(&self) -> bool {
        self.taken
    }
}
