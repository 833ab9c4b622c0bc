//! What the store keeps of a run while it is going on, so that another process can take it up.

use std::collections::BTreeSet;

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Answer, RunId, Used};
use crate::core::{
    batch::Batch,
    event::Place,
    hex::hex,
    origin::{Charge, OriginKind},
    schedule::{Lane, Wanted},
    sealed::Carriage,
    time::Timestamp,
    tool::{ApprovalRule, MODERATOR_LEVEL, Pending},
    work::Work,
    zone::Zone,
};

/// Numbers of edits that one process may use.
pub(super) const EDITS_OF_A_PROCESS: u32 = 1_000;

/// So many crashes in the middle of a run end it with a word: perhaps it is what brings the process down.
pub(super) const CRASHES_MAX: u32 = 3;

/// What the store keeps of a run while it is going on.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that was noted at another moment")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The virtual user that answers.
    pub user: OwnedUserId,
    /// The room.
    pub room: OwnedRoomId,
    /// The message that asks.
    pub request: OwnedEventId,
    /// Who asks.
    pub asker: OwnedUserId,
    /// Where the answer goes.
    pub place: Place,
    /// When it was asked, by the sender's server's clock.
    pub asked_at: Timestamp,
    /// When the run was recorded.
    pub accepted_at: Timestamp,
    /// Whether the answer must say that it is late (C5).
    pub late: bool,
    /// Whether it is an assistant's: its owner is the asker, and what it says is sealed under their key.
    pub private: bool,
    /// A streamed answer's message, once sent.
    pub streamed: Option<OwnedEventId>,
    /// The number of the last edit of it, as far as it was noted; see [`Self::resume`].
    pub edits: u32,
    /// Whether an earlier process had the run, and may have sent more than it noted.
    #[serde(default)]
    pub resumed: bool,
    /// The answer, once it is there: what is sent, whatever happens in between. Nothing is asked for again.
    pub answer: Option<Answer>,
    /// The status notice, once sent.
    #[serde(default)]
    pub status: Option<OwnedEventId>,
    /// How often the request was run before (🔁).
    #[serde(default)]
    pub attempt: u32,
    /// What was done with tools so far.
    #[serde(default)]
    pub work: Work,
    /// Whether the status notice was on its way. Without [`Self::status`] it may be there or not: sent again as the same
    /// step it is one event.
    #[serde(default)]
    pub status_begun: bool,
    /// The digest of what was first on its way as the answer, or as the beginning of one: that may be there.
    #[serde(default)]
    pub answer_begun: Option<String>,
    /// Whether a process composes it or has the model asked. A start that finds this follows a crash in the middle of that.
    #[serde(default)]
    pub under_way: bool,
    /// How many crashes in a row came while it was under way, without a turn of the model in between.
    #[serde(default)]
    pub crashes: u32,
    /// Whether the answer is the word that there is none, because of something of ours.
    #[serde(default)]
    pub gave_up: bool,
    /// How the request came: one that was encrypted is answered encrypted or not at all, whatever the room's state says.
    #[serde(default)]
    pub came: Carriage,
    /// How often edits of the request restarted it.
    #[serde(default)]
    pub restarts: u32,
    /// Files that its asker sent behind the request and that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<OwnedEventId>,
    /// Whether the request is a file alone, of which more may follow at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gathers: bool,
    /// Whether its asker was still writing the request (MSC4357).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// The time zone that its asker reads times in, by its IANA name; UTC where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whose gesture made it work last, where that was not the asker's: who edited the request.
    #[serde(default)]
    pub payer: Option<OwnedUserId>,
    /// The batch in which its first question went (C20).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// How many models before this one refused it: 0 is the configured one, then come `claude.fallback_models`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fallback: usize,
    /// The errand that it carries out, where nobody asked (C20 to C22). Its asker is then the answering user itself, or
    /// whoever ran it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errand: Option<Charge>,
    /// Whether a message that says that it was stopped may have been sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stop_begun: bool,
    /// What it used so far, for its record and its summary.
    #[serde(default)]
    pub(crate) used: Used,
}

impl RunRecord {
    /// Returns the record of a coworker's run that begins now, in time and for the first time.
    #[must_use]
    pub fn new(user: &UserId, room: &RoomId, request: &EventId, asker: &UserId, place: Place, now: Timestamp) -> Self {
        Self {
            user: user.to_owned(),
            room: room.to_owned(),
            request: request.to_owned(),
            asker: asker.to_owned(),
            place,
            asked_at: now,
            accepted_at: now,
            late: false,
            private: false,
            streamed: None,
            edits: 0,
            resumed: false,
            answer: None,
            status: None,
            attempt: 0,
            work: Work::default(),
            status_begun: false,
            answer_begun: None,
            gathers: false,
            live: false,
            under_way: false,
            crashes: 0,
            gave_up: false,
            came: Carriage::default(),
            restarts: 0,
            joined: Vec::new(),
            zone: None,
            payer: None,
            batch: None,
            fallback: 0,
            errand: None,
            stop_begun: false,
            used: Used::default(),
        }
    }

    /// Returns the owner whose assistant answers; `None` for a coworker.
    #[must_use]
    pub fn owner(&self) -> Option<&UserId> {
        self.private.then_some(&*self.asker)
    }

    /// Returns the time zone that times are shown in.
    #[must_use]
    pub fn zone(&self) -> Zone {
        Zone::stored(self.zone.as_deref())
    }

    /// Returns what is to be answered: the message that asks, and what was added to it.
    #[must_use]
    pub fn requests(&self) -> Vec<OwnedEventId> {
        std::iter::once(&self.request).chain(&self.joined).cloned().collect()
    }

    /// Returns the errand that it carries out, if nobody asked for it: no person has run it again.
    #[must_use]
    pub fn unasked(&self) -> Option<&Charge> {
        self.errand.as_ref().filter(|_| self.asker == self.user)
    }

    /// Returns whether nobody asked for it.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        self.unasked().is_some()
    }

    /// Returns whose gesture made it work last, whom its cost counts for (C23): who asked, who edited the request, or who
    /// set up the schedule. `None` if that was no person's: what the operator configured is paid by coworker, room and
    /// workspace alone.
    #[must_use]
    pub fn payer(&self) -> Option<&UserId> {
        self.payer.as_deref().or_else(|| match self.unasked() {
            Some(charge) => charge.origin.set_by.as_deref(),
            None => Some(&self.asker),
        })
    }

    /// Returns whom its answer mentions: who asked, or whom the errand's config names.
    #[must_use]
    pub fn addressees(&self) -> BTreeSet<OwnedUserId> {
        self.unasked().map_or_else(|| BTreeSet::from([self.asker.clone()]), |charge| charge.mention.clone())
    }

    /// Takes up a run of an earlier process.
    ///
    /// What that one noted last may be lost with it. Edits get numbers that it never used: under an old number the
    /// homeserver would take a new edit for one that it has.
    pub fn resume(&mut self) {
        self.resumed = true;
        self.edits = (self.edits / EDITS_OF_A_PROCESS + 1) * EDITS_OF_A_PROCESS;
        if std::mem::take(&mut self.under_way) {
            self.crashes = self.crashes.saturating_add(1);
        }
    }

    /// Notes that the process is about to do what a crash is counted for: to compose, or to have the model asked.
    pub fn enter(&mut self) {
        self.under_way = true;
    }

    /// Notes that a turn of the model is whole: the crashes before it did not keep it from coming.
    pub fn has_come_on(&mut self) {
        self.under_way = false;
        self.crashes = 0;
    }

    /// Whether so many crashes in a row have cut it off that it is given up. An answer that is there is always sent, and
    /// a run that has calls to carry out, or waits for people, is not cut off from anything that was paid for.
    #[must_use]
    pub fn is_cut_off_for_good(&self) -> bool {
        self.crashes >= CRASHES_MAX && self.answer.is_none()
    }

    /// Begins anew with the request as it reads now.
    pub fn begin_anew(&mut self) {
        self.answer = None;
        // What was said under the last number may be there already.
        self.edits = self.edits.saturating_add(1);
        self.work.begin_anew();
    }

    /// Notes what is about to be sent as the answer for the first time; returns whether something else may be there
    /// under that step, which has to be edited then.
    pub fn begin_answer(&mut self, answer: &Answer) -> bool {
        let digest = answer.digest();
        match &self.answer_begun {
            None => {
                self.answer_begun = Some(digest);
                false
            }
            Some(begun) => *begun != digest,
        }
    }

    /// Whether the beginning of an answer is in the room, or may be.
    #[must_use]
    pub fn has_begun_answer(&self) -> bool {
        self.streamed.is_some() || self.answer_begun.is_some()
    }

    /// Whether a status notice is in the room, or may be.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.status.is_some() || self.status_begun
    }

    /// Returns the lane in which it waits (C11).
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane {
            room: self.room.clone(),
            thread: self.place.thread_root().map(ToOwned::to_owned),
            user: self.user.clone(),
        }
    }

    /// Returns who wants it, as its turn depends on that (C11).
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        if self.is_unasked() { Wanted::ByNobody } else { Wanted::ByPerson }
    }

    /// Returns whose request it is, as whoever has one going leaves places to others; `None` if nobody asked (C11).
    #[must_use]
    pub fn asked_by(&self) -> Option<&UserId> {
        (!self.is_unasked()).then_some(&*self.asker)
    }

    /// Returns the name under which its outlays are kept: the run's id, but for a webhook's the errand's, because the
    /// model may be asked before the notice is there of which the run's id is made.
    #[must_use]
    pub fn outlays_name(&self) -> String {
        match self.unasked() {
            Some(charge) if charge.origin.kind == OriginKind::Hook => charge.id.as_str().to_owned(),
            _ => self.id().as_str().to_owned(),
        }
    }

    /// Returns the run's id.
    #[must_use]
    pub fn id(&self) -> RunId {
        RunId::again(&self.request, &self.user, self.attempt)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Returns a call that awaits a decision as it stands in a run. Where nobody asked, a moderator decides in the asker's
/// place.
#[must_use]
pub(crate) fn decided_by(record: &RunRecord, pending: Pending) -> Pending {
    match pending.rule {
        ApprovalRule::Asker if record.is_unasked() => {
            Pending { rule: ApprovalRule::Moderator { level: MODERATOR_LEVEL }, ..pending }
        }
        _ => pending,
    }
}

impl Answer {
    fn digest(&self) -> String {
        let text = Sha256::new().chain_update(&self.message.body).chain_update("\0");
        let html = self.message.html.as_deref().unwrap_or_default();
        hex(&text.chain_update(html).finalize()[..16])
    }
}
