//! Collects what pages show: from readiness, the sums, the budgets, the config and what waits. Never content.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, UserId};

use super::Console;
use crate::{
    appservice::health::{Condition, State},
    clock, config,
    console::view::{
        Assistants, BudgetRow, CardRow, Change, Changes, Checked, Coworker, Coworkers, CrowdRow, Granted, Now, Queues,
        Spend, Summed, Unasked, Verdict,
    },
    core::{
        approval::Standing,
        audit::{By, Day, Filter, Named, ReportRow},
        budget::{LOW_PERCENT, Usd},
        console::query::Span,
        errand::{Errand, Left, OriginKind, Stage},
        outcome::Outcome,
        time::Timestamp,
        tool::{Class, Grant},
        words::whose_approval,
    },
    engine::{EngineError, budget::Shown, timetable::key_of_file},
    store::{StoreError, Table},
};

/// Failures on the first page.
const FAILURES_SHOWN: usize = 8;
/// People, causes and tools on the first page.
const ROWS_SHOWN: usize = 6;
/// Owners on the page about assistants.
const OWNERS_SHOWN: usize = 200;
/// Cards on the page about what waits.
const CARDS_SHOWN: usize = 200;
const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

impl Console {
    /// Returns a number that changes whenever a page may have.
    pub(super) fn pulse(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        self.budget.books.changes().hash(&mut hasher);
        self.waiting().running.hash(&mut hasher);
        for (condition, state, ..) in self.runtime.health.told() {
            (condition.name(), state.reason()).hash(&mut hasher);
        }
        std::mem::discriminant(&*self.examined()).hash(&mut hasher);
        hasher.finish()
    }

    fn examined(&self) -> std::sync::MutexGuard<'_, crate::console::view::Examined> {
        self.examined.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn first_day(&self, span: Span) -> Option<Day> {
        span.first(clock::now(), &self.runtime.config().workspace.zone)
    }

    /// Returns the sum of all days from this one on, and whether everything is counted.
    fn sum_since(&self, from: Option<Day>) -> (ReportRow, bool) {
        let sum = self.budget.books.look(|sums, whole| (sums.report(By::Day, (from, None)).1, whole));
        sum.unwrap_or_default()
    }

    /// Returns the rows with the most of something in the last week.
    fn most(&self, named: Named, of: fn(&ReportRow) -> u64) -> Vec<ReportRow> {
        let from = self.first_day(Span::Week);
        let mut rows = self.budget.books.look(|sums, _| sums.rows(named, (from, None))).unwrap_or_default();
        rows.retain(|row| of(row) > 0);
        rows.sort_by_key(|row| std::cmp::Reverse(of(row)));
        rows.truncate(ROWS_SHOWN);
        rows
    }

    pub(super) fn now(&self) -> Result<Now, EngineError> {
        let today = Day::of(self.runtime.config().workspace.zone.shown_as_utc(clock::now()));
        let (today, counted) = self.sum_since(Some(today));
        let failed =
            Filter { outcome: Some(Outcome::Failed), since: Some(clock::now().earlier(WEEK_MS)), ..Filter::default() };
        let has_failed = self.budget.books.look(|sums, whole| {
            !whole || sums.report(By::Day, (self.first_day(Span::Week), None)).1.figures.failed > 0
        });
        let failed = match has_failed {
            Some(false) => Vec::new(),
            _ => self.find(&failed, None, FAILURES_SHOWN)?.entries,
        };
        let near = self.budgets()?.into_iter().filter(|row| {
            let limit = row.limit.map_or(0, Usd::micro);
            limit > 0 && row.spent.micro().saturating_mul(100) >= limit.saturating_mul(LOW_PERCENT)
        });
        Ok(Now {
            ready: self.runtime.health.is_ready(),
            up_minutes: self.runtime.life.up_for().as_secs() / 60,
            conditions: self.conditions(),
            examined: self.examined().clone(),
            running: self.waiting().running,
            counted,
            today,
            month: self.sum_since(self.first_day(Span::Days30)).0,
            causes: self.most(Named::Cause, |row| row.figures.runs),
            tools: self.most(Named::Tool, |row| row.figures.failed),
            people: self.most(Named::Person, |row| row.figures.runs),
            failed,
            near: near.collect(),
            crowds: self.crowds().into_iter().filter(|row| row.low + row.used_up > 0).collect(),
        })
    }

    fn conditions(&self) -> Vec<Checked> {
        let all = self.runtime.health.told().into_iter();
        let checked =
            |(condition, state, since, told): (Condition, State, Timestamp, Option<(String, Option<String>)>)| {
                let (what, mend) = told.unwrap_or_default();
                let verdict = match state {
                    State::Ready => Verdict::Pass,
                    State::Pending(_) => Verdict::Skip,
                    State::Waiting(_) if condition.is_needed() => Verdict::Fail,
                    State::Waiting(_) => Verdict::Warn,
                };
                Checked { name: condition.name().to_owned(), verdict, what, mend, since: Some(since) }
            };
        all.map(checked).collect()
    }

    pub(super) fn spend(&self, by: By, span: Span) -> Result<Spend, EngineError> {
        let from = self.first_day(span);
        let summed = self.budget.books.look(|sums, whole| {
            let (rows, sum) = sums.report(by, (from, None));
            let days = if by == By::Day { rows.clone() } else { sums.report(By::Day, (from, None)).0 };
            (Summed { rows, sum }, days, whole)
        });
        let (summed, days, counted) = summed.unwrap_or_default();
        let zone = self.runtime.config().workspace.zone.name().unwrap_or("UTC").to_owned();
        Ok(Spend { by, span, summed, days, budgets: self.budgets()?, crowds: self.crowds(), counted, zone })
    }

    fn budgets(&self) -> Result<Vec<BudgetRow>, EngineError> {
        let row = |Shown { name, period, spent, reserved, limit }: Shown| BudgetRow {
            name: if name.is_empty() { "workspace".to_owned() } else { name },
            period: period.name(),
            spent,
            reserved,
            limit,
        };
        Ok(self.budget.budgets_shown()?.into_iter().map(row).collect())
    }

    fn crowds(&self) -> Vec<CrowdRow> {
        let crowds = self.budget.crowds_shown().into_iter();
        let row = crowds.map(|crowd| CrowdRow {
            scope: crowd.scope.name(),
            period: crowd.period.name(),
            limit: crowd.limit,
            low: crowd.low,
            used_up: crowd.used_up,
        });
        row.collect()
    }

    pub(super) fn coworkers(&self) -> Result<Coworkers, EngineError> {
        let config = self.runtime.config();
        let deliveries = self.last_deliveries()?;
        let rooms = self.runtime.roster.rooms();
        let mut coworkers = Vec::new();
        for coworker in &config.coworkers {
            let user = self.runtime.coworker_user(coworker);
            let rooms = rooms.iter().filter(|room| self.runtime.roster.of(room).contains(&user)).count();
            coworkers.push(self.coworker(coworker, rooms, &deliveries)?);
        }
        let tools = &self.toolsets.tools;
        let up = tools.health().up.into_iter().map(|name| server(name, None));
        let down = tools.troubles().into_iter();
        let down = down.map(|(name, why)| server(name, Some(why.unwrap_or_else(|| "it does not answer".to_owned()))));
        let left_out = config.left_out.iter().map(ToString::to_string).collect();
        Ok(Coworkers { coworkers, servers: up.chain(down).collect(), left_out })
    }

    fn coworker(&self, of: &config::Coworker, rooms: usize, last: &Deliveries) -> Result<Coworker, StoreError> {
        let schedules: Result<Vec<Unasked>, StoreError> = of
            .schedules
            .iter()
            .map(|one| {
                let kept = self.runtime.tables.timetable.get(&key_of_file(&of.id.0, &one.name))?;
                Ok(Unasked {
                    name: one.name.clone(),
                    when: one.said.clone(),
                    rooms: one.rooms.iter().map(ToString::to_string).collect(),
                    last: last.get(&(OriginKind::Schedule.name(), one.name.clone())).cloned(),
                    next: kept.and_then(|kept| kept.next),
                })
            })
            .collect();
        let came = |kind: OriginKind, name: &str| last.get(&(kind.name(), name.to_owned())).cloned();
        Ok(Coworker {
            id: of.id.0.clone(),
            name: of.name.clone(),
            purpose: of.purpose.clone(),
            model: of.model.clone().unwrap_or_else(|| self.runtime.config().claude.model.clone()),
            rooms,
            tools: of.tools.iter().map(granted).collect(),
            schedules: schedules?,
            hooks: of
                .hooks
                .iter()
                .map(|one| Unasked {
                    name: one.hook.name.clone(),
                    when: format!("{:?}", one.hook.sender).to_lowercase(),
                    rooms: vec![one.hook.room.to_string()],
                    last: came(OriginKind::Hook, &one.hook.name),
                    next: None,
                })
                .collect(),
            watches: of
                .watches
                .iter()
                .map(|one| Unasked {
                    name: one.name.clone(),
                    when: one.senders.iter().map(|sender| sender.as_str()).collect::<Vec<_>>().join(", "),
                    rooms: vec![one.room.to_string()],
                    last: came(OriginKind::Watch, &one.name),
                    next: None,
                })
                .collect(),
        })
    }

    /// Returns when each schedule, hook and watch came last, and what became of it. The table of errands is bounded.
    fn last_deliveries(&self) -> Result<Deliveries, StoreError> {
        let mut last = Deliveries::new();
        for read in self.runtime.tables.errands.iter() {
            let (_, errand) = read?;
            let key = (errand.origin.kind.name(), errand.origin.name.clone());
            if last.get(&key).is_none_or(|(at, _)| *at < errand.accepted_at) {
                last.insert(key, (errand.accepted_at, became(&errand)));
            }
        }
        Ok(last)
    }

    pub(super) fn queues(&self) -> Result<Queues, EngineError> {
        let waiting = self.waiting();
        let mut undecryptable: BTreeMap<Option<OwnedRoomId>, usize> = BTreeMap::new();
        for (room, count) in waiting.undecryptable {
            let is_private = self.runtime.tables.assistant_rooms.get(&room)?.is_some();
            *undecryptable.entry((!is_private).then_some(room)).or_default() += count;
        }
        let mut errands: BTreeMap<OwnedRoomId, usize> = BTreeMap::new();
        for read in self.runtime.tables.errands.iter() {
            let (_, errand) = read?;
            if errand.stage == Stage::Accepted && errand.of.is_none() {
                *errands.entry(errand.room).or_default() += 1;
            }
        }
        let (cards, private_cards) = self.cards()?;
        Ok(Queues {
            running: waiting.running,
            cards,
            private_cards,
            undecryptable: undecryptable.into_iter().collect(),
            given_up: waiting.given_up,
            errands: errands.into_iter().collect(),
            batches: self.runtime.tables.batches.len(),
            owed: self.runtime.tables.owed.len(),
            via: self.runtime.namespace().server.clone(),
        })
    }

    /// Returns the open cards of coworkers' calls, and how many there are in assistants' chats.
    fn cards(&self) -> Result<(Vec<CardRow>, usize), StoreError> {
        let table: Table<_, Standing> = self.runtime.store.approvals();
        let (mut cards, mut private, now) = (Vec::new(), 0, clock::steady());
        for read in table.iter() {
            let ((room, card), standing) = read?;
            if !standing.is_open(now) {
                continue;
            }
            if standing.private {
                private += 1;
            } else if cards.len() < CARDS_SHOWN {
                cards.push(CardRow {
                    coworker: self.id_of(&standing.user),
                    tool: standing.tool.as_str().to_owned(),
                    who: whose_approval(&standing.rule),
                    room,
                    card,
                    until: standing.expires_at,
                });
            }
        }
        Ok((cards, private))
    }

    fn id_of(&self, user: &UserId) -> String {
        self.runtime.coworker(user).map_or_else(|| user.localpart().to_owned(), |coworker| coworker.id.0.clone())
    }

    pub(super) fn assistants(&self) -> Result<Assistants, EngineError> {
        let from = self.first_day(Span::Days30);
        let rows = self.budget.books.look(|sums, _| sums.rows(Named::Owner, (from, None))).unwrap_or_default();
        let mut sums: BTreeMap<String, ReportRow> =
            rows.into_iter().filter_map(|row| Some((row.name.clone()?, row))).collect();
        let (mut owners, mut count) = (Vec::new(), 0);
        for read in self.runtime.tables.assistants.each() {
            let (owner, _) = read?;
            count += 1;
            let row = sums.remove(owner.as_str());
            // Whoever used theirs is shown first, however many there are.
            if row.is_some() || owners.len() < OWNERS_SHOWN {
                owners.push((owner, row.unwrap_or_default()));
            }
        }
        owners.sort_by_key(|(_, row)| std::cmp::Reverse(row.figures.runs));
        owners.truncate(OWNERS_SHOWN);
        let (more, connections) = (count - owners.len(), self.waiting().connections);
        Ok(Assistants { count: (count, self.runtime.pool.passing_len()), owners, more, connections })
    }

    pub(super) fn changes(&self) -> Result<Changes, EngineError> {
        let tools = self.toolsets.changed_offers()?.into_iter().map(|offer| offer.name.as_str().to_owned()).collect();
        Ok(Changes { changes: self.noted_changes(), tools })
    }

    /// Returns when each file of the configuration was last changed, and to whom it belongs, newest first.
    fn noted_changes(&self) -> Vec<Change> {
        use std::os::unix::fs::MetadataExt as _;
        let config = self.runtime.config();
        let ids = config.coworkers.iter().map(|coworker| coworker.id.0.clone()).chain(config.left_out_ids());
        let files = ids.map(|id| config.coworkers_dir.join(format!("{id}.yaml")));
        let change = |file: std::path::PathBuf| {
            let about = std::fs::metadata(&file).ok()?;
            let at = Timestamp::from_ms(about.mtime().saturating_mul(1_000));
            let is_read = at <= self.runtime.life.began;
            Some(Change {
                at,
                what: file.file_name()?.to_string_lossy().into_owned(),
                how: if is_read { "as at the start" } else { "changed since the start" }.to_owned(),
                who: Some(config::user_name(about.uid())),
            })
        };
        let mut changes: Vec<Change> = files.chain([config.file.clone()]).filter_map(change).collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.at));
        changes
    }
}

/// When each came last, by kind and name.
type Deliveries = BTreeMap<(&'static str, String), (Timestamp, String)>;

fn became(errand: &Errand) -> String {
    match errand.stage {
        Stage::Accepted => "waits to begin".to_owned(),
        Stage::Begun => "was begun".to_owned(),
        Stage::Left(Left::Muted) => "was left: the coworker is muted there".to_owned(),
        Stage::Left(Left::Paused) => "was left: too few people are there".to_owned(),
        Stage::Left(Left::TooOld) => "was left: it waited too long".to_owned(),
        Stage::Left(Left::NotThere) => "was left: the coworker cannot speak there".to_owned(),
    }
}

fn server(name: String, why: Option<String>) -> Checked {
    let verdict = if why.is_some() { Verdict::Fail } else { Verdict::Pass };
    Checked { name, verdict, what: why.unwrap_or_else(|| "it answers".to_owned()), mend: None, since: None }
}

fn granted(grant: &Grant) -> Granted {
    let class = grant.class.map(|class| match class {
        Class::Read => "reads",
        Class::Write => "writes",
    });
    let approval = grant.approval.as_ref().map_or_else(|| "as the tool says".to_owned(), whose_approval);
    let rooms = grant.rooms.iter().chain(&grant.spaces).map(ToString::to_string).collect();
    Granted { tool: grant.pattern.clone(), class, approval, rooms }
}
