//! What people see of a run while it goes on, and its last message: the pace of a streamed answer, the one notice of long
//! work, the words of ours.
//!
//! It sends nothing itself; every message that it asks for has a [`Step`].

use std::collections::BTreeSet;

use ruma::OwnedUserId;

use super::{
    Answer, Doing, Ended, Fault, Outcome, RunRecord, Step, Stop, record::EDITS_OF_A_PROCESS, status::Status, trace,
};
use crate::core::{
    batch::FALLBACK_MS,
    citing::{self, Cited},
    event::{Outgoing, OutgoingKind, Place},
    pace::{Edit, Pace},
    render::{self, EDIT_BYTES_MAX, MESSAGE_BYTES_MAX, Rendered},
    time::Timestamp,
    words::{self, Again},
    zone::Zone,
};

/// After this long without an answer because of the model's load, people are told, in milliseconds (C19).
pub(in crate::core) const WAITING_WORD_AFTER_MS: u64 = 20_000;

/// What a run has to show something of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) enum News<'a> {
    /// More text has come; this is all of it so far.
    Text(&'a str),
    /// Time has passed, at [`Showing::next_at`].
    Tick(&'a str),
    /// The model is busy and is tried again; this long so far, in milliseconds.
    Waiting(u64),
    /// Tools are used; this is how far that is.
    Steps(&'a Doing),
    /// The question went as a batch, which is given up at this time.
    Batched(Timestamp),
}

/// What is to be shown. The step says whether it is sent or replaces what was sent.
pub(in crate::core) type Show = (Step, Outgoing);

/// Decides what people see of a run, and when.
#[derive(Debug)]
pub(in crate::core) struct Showing {
    /// Whom its messages mention.
    addressees: BTreeSet<OwnedUserId>,
    /// The member who set up what nobody asks for now.
    set_by: Option<OwnedUserId>,
    place: Place,
    prefix: Option<String>,
    pace: Option<Pace>,
    edits: u32,
    /// What was shown last of the text that is being written.
    shown: String,
    told_waiting: bool,
    /// When the request was accepted.
    began: Timestamp,
    /// An assistant's begins with its first tool: until then its answer shows what it does.
    status: Option<Status>,
    doing: Option<Doing>,
    /// What the model is doing, in a line of its own.
    thought: Option<String>,
    zone: Zone,
}

impl Showing {
    /// Begins a run, or takes it up again after a restart.
    #[must_use]
    pub(in crate::core) fn new(record: &RunRecord, now: Timestamp) -> Self {
        let pace = match (record.owner(), &record.streamed) {
            (None, _) => None,
            (Some(_), None) => Some(Pace::new()),
            (Some(_), Some(_)) => Some(Pace::resumed(record.edits % EDITS_OF_A_PROCESS, now)),
        };
        let late_minutes = record.late.then(|| now.ms_since(record.asked_at) / 60_000);
        Self {
            addressees: record.addressees(),
            set_by: record.unasked().and_then(|charge| charge.origin.set_by.clone()),
            place: record.place.clone(),
            prefix: late_minutes.map(if record.errand.is_some() { words::timetable::late } else { words::late_prefix }),
            pace,
            edits: record.edits,
            shown: String::new(),
            told_waiting: false,
            began: record.accepted_at,
            status: (record.owner().is_none() || record.has_status())
                .then(|| Status::new(record.accepted_at, record.has_status(), now)),
            doing: None,
            thought: None,
            zone: record.zone(),
        }
    }

    /// Returns when [`News::Tick`] is due; `None` while there is nothing to wait for.
    #[must_use]
    pub(in crate::core) fn next_at(&self) -> Option<Timestamp> {
        let status = self.status.as_ref().map(|status| status.next);
        let edit = self.pace.as_ref().and_then(Pace::next_at);
        edit.into_iter().chain(status).min()
    }

    /// Takes what happened and returns what to do, in order.
    #[must_use]
    pub(in crate::core) fn take(&mut self, input: &News<'_>, now: Timestamp) -> Vec<Show> {
        match *input {
            News::Text(so_far) => self.stream(so_far, now, |pace| pace.on_text(so_far.len(), now)),
            News::Tick(so_far) => {
                let mut effects = self.stream(so_far, now, |pace| pace.on_tick(now));
                effects.extend(self.show_status(so_far, now));
                effects
            }
            News::Waiting(elapsed_ms) => self.waiting(elapsed_ms, now),
            News::Steps(doing) => self.steps(doing, now),
            News::Batched(until) => self.batched(until, now),
        }
    }

    /// Shows what is whole of the text so far, when that is due and there is more of it than before.
    fn stream(&mut self, so_far: &str, now: Timestamp, ask: impl FnOnce(&mut Pace) -> Option<Edit>) -> Vec<Show> {
        let Some(pace) = &mut self.pace else { return Vec::new() };
        if so_far.trim().is_empty() {
            pace.rest();
            return Vec::new();
        }
        let Some(due) = ask(pace) else { return Vec::new() };
        let Some(shown) = render::so_far(so_far, &self.shown) else {
            pace.rest();
            return Vec::new();
        };
        pace.act(due, now);
        let rendered = render::fit_so_far(&self.prefixed(&shown));
        self.shown = shown;
        let message = self.message(rendered, OutgoingKind::Text);
        let step = match due {
            Edit::First => Step::Answer,
            Edit::Interim => {
                self.edits += 1;
                Step::Edit(self.edits)
            }
        };
        vec![(step, message)]
    }

    /// A run with tools shows its status at the first call; from then on the edits say how far it is. That people are
    /// waited for is said at once: nothing else may come for long.
    fn steps(&mut self, doing: &Doing, now: Timestamp) -> Vec<Show> {
        self.doing = Some(doing.clone());
        if let Some(pace) = &mut self.pace {
            pace.rest();
        }
        let began = self.began;
        let status = self.status.get_or_insert_with(|| Status::new(began, false, now));
        // The model has answered: it is busy no more.
        status.busy = false;
        if status.shown && (status.waits || !doing.waits()) {
            return Vec::new();
        }
        status.next = now;
        self.show_status("", now).into_iter().collect()
    }

    /// Says once that the answer may take hours; nothing else is to be said until it is there.
    fn batched(&mut self, until: Timestamp, now: Timestamp) -> Vec<Show> {
        let began = self.began;
        let status = self.status.get_or_insert_with(|| Status::new(began, false, now));
        let step = status.step(now);
        let answer_by = until.later(FALLBACK_MS);
        vec![(step, self.notice(&words::timetable::batched(answer_by, &self.zone)))]
    }

    fn show_status(&mut self, so_far: &str, now: Timestamp) -> Option<Show> {
        let status = self.status.as_mut()?;
        let step = status.due(now)?;
        status.busy &= so_far.is_empty();
        if status.busy {
            // It says already what there is to say.
            return None;
        }
        let seconds = now.ms_since(status.began) / 1000;
        status.waits = self.doing.as_ref().is_some_and(Doing::waits);
        let text = match &self.doing {
            None => words::working(seconds),
            Some(doing) if status.waits => words::waiting_for_approval(&doing.asked, seconds, doing.done),
            Some(doing) => words::working_with_tools(seconds, doing.done, &doing.running),
        };
        let text = match &self.thought {
            Some(line) if !status.waits => words::with_thought(&text, line),
            _ => text,
        };
        Some((step, self.notice(&text)))
    }

    /// Takes what the model is doing, masked and harmless; it stands in the status when that is shown next.
    pub(in crate::core) fn think(&mut self, line: Option<String>) {
        self.thought = line;
    }

    /// Returns what a status becomes when the run is over: its record (C13). A run whose tools were done before any
    /// status was due leaves it too; any other leaves nothing.
    #[must_use]
    pub(in crate::core) fn status_end(&self, ended: &Ended<'_>) -> Option<Outgoing> {
        let shown = self.status.as_ref().is_some_and(|status| status.shown);
        (shown || !ended.steps.is_empty()).then(|| self.quiet(trace::record(ended)))
    }

    pub(super) fn notice(&self, markdown: &str) -> Outgoing {
        self.quiet(render::own(markdown))
    }

    /// A message that notifies nobody.
    fn quiet(&self, rendered: Rendered) -> Outgoing {
        let mut message = self.message(rendered, OutgoingKind::Notice);
        message.mentions.clear();
        message
    }

    /// The word that the model is busy. A coworker's stands in its status, so that there is one notice at the most.
    fn waiting(&mut self, elapsed_ms: u64, now: Timestamp) -> Vec<Show> {
        if elapsed_ms < WAITING_WORD_AFTER_MS || std::mem::replace(&mut self.told_waiting, true) {
            return Vec::new();
        }
        let step = self.status.as_mut().map_or(Step::Waiting, |status| {
            status.busy = true;
            status.step(now)
        });
        vec![(step, self.notice(&words::overloaded_trying()))]
    }

    /// Returns the last message of a run with the model's whole answer, which cites these sources.
    #[must_use]
    pub(in crate::core) fn answered(&self, text: &str, stop: Stop, cited: Vec<Cited>) -> Answer {
        let text = match stop {
            Stop::Refused => return self.word(&words::refused()),
            Stop::Cut if render::is_blank(text) => return self.word(&words::limit_before_words()),
            Stop::Unfinished if render::is_blank(text) => return self.word(&words::work_too_long()),
            Stop::End if render::is_blank(text) => return self.word(&words::nothing_to_say()),
            Stop::End => self.prefixed(text),
            Stop::Cut => format!("{}\n\n{}", self.prefixed(text), words::cut_at_limit()),
            Stop::Unfinished => format!("{}\n\n{}", self.prefixed(text), words::unfinished()),
        };
        // An edit carries its text twice. Whether it becomes one is known only now.
        let bytes_max = if self.pace.is_some() { EDIT_BYTES_MAX } else { MESSAGE_BYTES_MAX };
        let sources = citing::kept(cited);
        let fitted = render::fit(&text, bytes_max - citing::bytes_of(&sources));
        let message = Outgoing { sources, ..self.message(fitted.message, OutgoingKind::Text) };
        Answer { message, file: fitted.overflow, made: Vec::new(), outcome: Outcome::Done }
    }

    /// Returns the last message of a run that was stopped, with what was streamed so far (C10).
    #[must_use]
    pub(in crate::core) fn stopped(&self, so_far: &str) -> Answer {
        let word = words::stopped();
        let text = match render::so_far(so_far, "") {
            Some(shown) => format!("{}\n\n*{word}*", self.prefixed(&shown)),
            None => word,
        };
        let mut message = self.message(render::fit_so_far(&text), OutgoingKind::Notice);
        message.mentions.clear();
        Answer { message, file: None, made: Vec::new(), outcome: Outcome::Stopped }
    }

    /// Returns the last message of a run that has no answer.
    #[must_use]
    pub(in crate::core) fn failed(&self, fault: Fault) -> Answer {
        let again = if self.pace.is_some() { Again::ByAsking } else { Again::ByReaction };
        let words = match fault {
            Fault::Overloaded => words::overloaded_gave_up(again),
            Fault::LimitedFor(minutes) => words::limited_for(minutes, again),
            Fault::ModelMissing => words::model_missing(),
            Fault::Unreachable => words::model_unreachable(again),
            Fault::BrokenOff => words::broken_off(again),
            Fault::KeyMissing => words::key_missing(),
            Fault::KeyRefused => words::key_refused(),
            Fault::AccountExhausted => words::account_exhausted(),
            Fault::TooLong => words::too_long(),
            Fault::RequestRefused => words::request_refused(),
            Fault::Unreadable(why) => words::files::unreadable(why),
            Fault::OverBudget(full) => words::spending::budget_reached(&full, self.set_by.as_deref(), &self.zone),
            Fault::WorkTooLong => words::work_too_long(),
            Fault::ToolsFailed => words::tools_failed(again),
            Fault::CallCut => words::call_cut(),
            Fault::CutOff => words::cut_off(again),
            Fault::Internal => words::internal(again),
        };
        let answer = self.word(&words);
        // Of what was declined before work began, nothing failed (C19).
        let is_declined = matches!(fault, Fault::OverBudget(full) if !full.begun);
        Answer { outcome: if is_declined { Outcome::Declined } else { answer.outcome }, ..answer }
    }

    /// A final word of ours. In a room it mentions the asker: who asked is to learn that there is no answer.
    fn word(&self, words: &str) -> Answer {
        let message = self.message(render::own(words), OutgoingKind::Text);
        Answer { message, file: None, made: Vec::new(), outcome: Outcome::Failed }
    }

    fn prefixed(&self, text: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}\n\n{text}"),
            None => text.to_owned(),
        }
    }

    /// A message mentions the asker, or whom an errand names; not in an assistant's chat, which notifies by itself (A10).
    fn message(&self, rendered: Rendered, kind: OutgoingKind) -> Outgoing {
        let mentions = if self.pace.is_none() { self.addressees.clone() } else { BTreeSet::new() };
        let (body, html) = (rendered.body, rendered.html);
        Outgoing { kind, body, html, mentions, place: self.place.clone(), sources: Vec::new() }
    }
}

impl RunRecord {
    /// Gives a run up: its answer is the word why.
    pub fn give_up(&mut self, fault: Fault, now: Timestamp) {
        self.gave_up = true;
        self.answer = Some(Showing::new(self, now).failed(fault));
    }

    /// Returns what its status becomes when it is over: its record (C13), where there is one to leave.
    #[must_use]
    pub fn last_notice(&self, ended: &Ended<'_>, now: Timestamp) -> Option<Outgoing> {
        Showing::new(self, now).status_end(ended)
    }
}
