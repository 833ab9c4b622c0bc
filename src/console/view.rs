//! What pages show, in the form in which the engine hands it over. There is no content in it, and no place for any.

use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId};

use crate::core::{
    audit::{By, Entry, ReportRow, RunKey},
    budget::Usd,
    console::query::{Asked, Span},
    time::Timestamp,
};

/// What a call wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// How Workmate is.
    Now,
    /// The runs that match.
    Runs(Box<Asked>),
    /// One run.
    Run(RunKey),
    /// What was spent.
    Spend(By, Span),
    /// The coworkers and their tools.
    Coworkers,
    /// What waits.
    Queues,
    /// The assistants, without anything of theirs.
    Assistants,
    /// Who changed the configuration.
    Changes,
    /// What there is no address for.
    Nothing,
}

/// What a page shows.
pub(crate) enum Answer {
    /// How Workmate is.
    Now(Box<Now>),
    /// The runs that match.
    Runs(Box<Runs>),
    /// One run.
    Run(Box<Run>),
    /// What was spent.
    Spend(Box<Spend>),
    /// The coworkers and their tools.
    Coworkers(Box<Coworkers>),
    /// What waits.
    Queues(Box<Queues>),
    /// The assistants.
    Assistants(Box<Assistants>),
    /// Who changed the configuration.
    Changes(Box<Changes>),
    /// There is no such thing.
    Nothing,
    /// It cannot be said; why.
    Failed(String),
}

/// How something is that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is well.
    Pass,
    /// It is in doubt, or a part is missing.
    Warn,
    /// Nothing works without it.
    Fail,
    /// It was not tried, or is being looked at.
    Skip,
}

/// Something that is checked, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// What it is called.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub what: String,
    /// What to do.
    pub mend: Option<String>,
    /// Since when it has been so, where that is known.
    pub since: Option<Timestamp>,
}

/// What `workmate doctor` found when it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Examined {
    /// It was not asked since the start.
    #[default]
    Never,
    /// It is at work.
    Since(Timestamp),
    /// What it found, and when.
    Found(Timestamp, Vec<Checked>),
    /// It could not be asked; when, and why.
    Failed(Timestamp, String),
}

/// A budget with what is spent of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BudgetRow {
    /// Whose it is: `workspace`, or a coworker's id.
    pub name: String,
    /// Its period: `month` or `day`.
    pub period: &'static str,
    /// What is spent.
    pub spent: Usd,
    /// What calls in progress have reserved.
    pub reserved: Usd,
    /// The limit, if there is one.
    pub limit: Option<Usd>,
}

/// How many accounts of a scope with an account for each of many have little or nothing left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrowdRow {
    /// The scope: `person`, `room` or `assistant`.
    pub scope: &'static str,
    /// Its period.
    pub period: &'static str,
    /// The limit for each.
    pub limit: Usd,
    /// How many have spent most of it.
    pub low: usize,
    /// How many have spent all of it.
    pub used_up: usize,
}

/// The sums of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Summed {
    /// The rows.
    pub rows: Vec<ReportRow>,
    /// All of them together.
    pub sum: ReportRow,
}

/// How Workmate is, at a glance.
pub(crate) struct Now {
    /// Whether everything holds that answers need.
    pub ready: bool,
    /// Minutes since the start.
    pub up_minutes: u64,
    /// The conditions of readiness.
    pub conditions: Vec<Checked>,
    /// What `workmate doctor` found.
    pub examined: Examined,
    /// Runs that are being answered, and that wait.
    pub running: (usize, usize),
    /// Whether all runs are counted; after a start that takes a while.
    pub counted: bool,
    /// Today and the last 30 days.
    pub today: ReportRow,
    /// The last 30 days.
    pub month: ReportRow,
    /// What failed in the last week, by cause.
    pub causes: Vec<ReportRow>,
    /// The tools that failed in the last week.
    pub tools: Vec<ReportRow>,
    /// Who used it most in the last week.
    pub people: Vec<ReportRow>,
    /// The newest runs that failed.
    pub failed: Vec<Entry>,
    /// The budgets of which most is spent.
    pub near: Vec<BudgetRow>,
    /// Accounts of people, rooms and assistants with little left.
    pub crowds: Vec<CrowdRow>,
}

/// The runs that match.
pub(crate) struct Runs {
    /// What was asked.
    pub asked: Asked,
    /// They, newest first.
    pub entries: Vec<Entry>,
    /// Where to go on; `None` if there are no more.
    pub next: Option<RunKey>,
    /// Whether it was looked for only so far, because matches lie far apart; `next` goes on from there.
    pub looked_to: Option<Timestamp>,
    /// The coworkers that can be chosen.
    pub coworkers: Vec<String>,
}

/// One run.
pub(crate) struct Run {
    /// What is kept of it.
    pub entry: Entry,
    /// Our homeserver, for links.
    pub via: OwnedServerName,
}

/// What was spent.
pub(crate) struct Spend {
    /// By what.
    pub by: By,
    /// In which days.
    pub span: Span,
    /// The rows.
    pub summed: Summed,
    /// The days, for the chart.
    pub days: Vec<ReportRow>,
    /// The budgets of the workspace and of coworkers.
    pub budgets: Vec<BudgetRow>,
    /// Limits for each person, room and assistant.
    pub crowds: Vec<CrowdRow>,
    /// Whether all runs are counted.
    pub counted: bool,
    /// The zone of the days.
    pub zone: String,
}

/// A tool as a coworker's file grants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// The name, or a pattern.
    pub tool: String,
    /// Whether it reads or writes, if the file says so.
    pub class: Option<&'static str>,
    /// Who may approve it, in words.
    pub approval: String,
    /// Where it holds; empty for everywhere.
    pub rooms: Vec<String>,
}

/// Something that makes a coworker work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unasked {
    /// Its name.
    pub name: String,
    /// When, or of whom.
    pub when: String,
    /// Where.
    pub rooms: Vec<String>,
    /// When it came last, and what became of that.
    pub last: Option<(Timestamp, String)>,
    /// When it comes next.
    pub next: Option<Timestamp>,
}

/// A coworker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coworker {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// Its model.
    pub model: String,
    /// The number of rooms that it is in.
    pub rooms: usize,
    /// Its tools.
    pub tools: Vec<Granted>,
    /// Its schedules.
    pub schedules: Vec<Unasked>,
    /// Its hooks.
    pub hooks: Vec<Unasked>,
    /// What it watches.
    pub watches: Vec<Unasked>,
}

/// The coworkers and their tools.
pub(crate) struct Coworkers {
    /// They.
    pub coworkers: Vec<Coworker>,
    /// The MCP servers.
    pub servers: Vec<Checked>,
    /// The faults of files that are left out.
    pub left_out: Vec<String>,
}

/// A card that waits for somebody's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CardRow {
    /// The coworker.
    pub coworker: String,
    /// The tool.
    pub tool: String,
    /// Who may decide, in words.
    pub who: String,
    /// Where it is; it is decided there and nowhere else.
    pub room: OwnedRoomId,
    /// The card.
    pub card: OwnedEventId,
    /// Until when.
    pub until: Timestamp,
}

/// What waits.
pub(crate) struct Queues {
    /// Runs that are being answered, and that wait.
    pub running: (usize, usize),
    /// Cards of coworkers' calls.
    pub cards: Vec<CardRow>,
    /// Cards in assistants' chats: only their number.
    pub private_cards: usize,
    /// Events that cannot be decrypted yet, by room; rooms of assistants are one row.
    pub undecryptable: Vec<(Option<OwnedRoomId>, usize)>,
    /// Events that were given up.
    pub given_up: usize,
    /// Work that nobody asked for and that has yet to begin, by room.
    pub errands: Vec<(OwnedRoomId, usize)>,
    /// Questions that wait at the provider.
    pub batches: usize,
    /// What ended runs still owe.
    pub owed: usize,
    /// Our homeserver, for links.
    pub via: OwnedServerName,
}

/// The assistants: how many, and whose.
pub(crate) struct Assistants {
    /// How many there are, and how many are in use now.
    pub count: (usize, usize),
    /// Owners with the sums of their last 30 days.
    pub owners: Vec<(OwnedUserId, ReportRow)>,
    /// Owners that are not shown.
    pub more: usize,
    /// Connections of owners' own programs.
    pub connections: usize,
}

/// A file of the configuration, and its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// When it was changed.
    pub at: Timestamp,
    /// Which file.
    pub what: String,
    /// Whether it is in use so.
    pub how: String,
    /// To whom it belongs.
    pub who: Option<String>,
}

/// Who changed the configuration.
pub(crate) struct Changes {
    /// They, newest first.
    pub changes: Vec<Change>,
    /// Tools of servers whose definition differs from the one that was accepted.
    pub tools: Vec<String>,
}
