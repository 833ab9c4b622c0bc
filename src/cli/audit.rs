//! `workmate audit`: lists, shows and exports the index of past runs, whether Workmate is running or stopped.

mod export;
mod report;
mod source;
mod spend;
mod table;

use std::io::{self, BufWriter, Write};

use anyhow::bail;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use self::{export::Format, report::Reported, source::Source, spend::Spent};
use super::{
    ConfigFile,
    say::{columns_out, complain, fitting},
    wrap::COLUMNS,
};
use crate::{
    clock,
    config::Config,
    core::{
        audit::{Ask, Bound, By, Entry, Filter, RUN_CHARS_MIN, moment, outcome_named},
        budget::day_of,
        run::Outcome,
        time::Timestamp,
    },
};
pub(super) use source::{have_done, knock};

/// The default number of runs that `list` shows.
const LISTED: usize = 50;
/// Most matches that are collected for an ambiguous id prefix.
const NAMED_MAX: usize = 10;

/// What `audit` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// The commands of `audit`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// List runs, newest first: figures, and below them who asked, where, and why it failed. Sums stand at the end.
    List {
        /// Which runs.
        #[command(flatten)]
        wanted: Wanted,
        /// The most runs to list.
        #[arg(long, default_value_t = LISTED, value_name = "N", value_parser = count, allow_negative_numbers = true)]
        limit: usize,
        /// Where the configuration is.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Show everything that is kept of one run.
    Show {
        /// Its id, or the beginning of it that `list` shows.
        run: String,
        /// Where the configuration is.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Add up what was spent: all that budgets counted, work in progress included.
    Spend {
        /// A row for each of what.
        #[arg(long, value_enum, default_value_t = By::Day)]
        by: By,
        /// Since this day: 2026-11-22, 2026-11-22T14:05:00Z for the same day, or 7d for seven days ago.
        #[arg(long, value_name = "TIME", value_parser = since)]
        since: Option<Timestamp>,
        /// Write one JSON object, for other programs.
        #[arg(long)]
        json: bool,
        /// Where the configuration is.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Report who uses it and what it costs: runs, failures, tokens, time and cost, and how they were spread.
    Report {
        /// A row for each of what.
        #[arg(long, value_enum, default_value_t = By::Day)]
        by: By,
        /// Since this day: 2026-11-22, 2026-11-22T14:05:00Z for the same day, or 7d for seven days ago.
        #[arg(long, value_name = "TIME", value_parser = since)]
        since: Option<Timestamp>,
        /// Write one JSON object, for other programs.
        #[arg(long)]
        json: bool,
        /// Where the configuration is.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Write runs to standard output for other programs, newest first.
    Export {
        /// One JSON object a line, or comma-separated values.
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        format: Format,
        /// Which runs.
        #[command(flatten)]
        wanted: Wanted,
        /// The most runs to write; all of them unless given.
        #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
        limit: Option<usize>,
        /// Where the configuration is.
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Which runs are wanted; all of these must fit. Assistants' runs are listed without rooms, events and tools' names.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Wanted {
    /// A coworker's id, such as oncall.
    #[arg(long, value_name = "ID", value_parser = super::coworker_id)]
    pub coworker: Option<String>,
    /// A room's id, such as !abc:example.org.
    #[arg(long, value_name = "ROOM", value_parser = room)]
    pub room: Option<OwnedRoomId>,
    /// Who asked: a full user id, such as @alice:example.org.
    #[arg(long, value_name = "USER", value_parser = person)]
    pub person: Option<OwnedUserId>,
    /// A tool that was called.
    #[arg(long, value_name = "NAME", value_parser = tool)]
    pub tool: Option<String>,
    /// How it ended: done, failed, stopped, declined or dropped.
    #[arg(long, value_parser = outcome_named)]
    pub outcome: Option<Outcome>,
    /// Accepted then or later: 2026-11-22T14:05:00Z, 2026-11-22, or 7d for seven days ago.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Timestamp>,
    /// Accepted then or earlier; written like `since`.
    #[arg(long, value_name = "TIME", value_parser = until)]
    pub until: Option<Timestamp>,
}

impl Wanted {
    fn filter(self, limit: Option<usize>) -> Filter {
        let Self { coworker, room, person, tool, outcome, since, until } = self;
        Filter { coworker, room, person, tool, outcome, since, until, limit }
    }
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "not a number of runs from 1 on".to_owned())
}

fn tool(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("not a tool's name".to_owned()) } else { Ok(text.to_owned()) }
}

fn room(text: &str) -> Result<OwnedRoomId, String> {
    RoomId::parse(text).map_err(|_| "not a room's id; write it with quotes, like '!abc:example.org'".to_owned())
}

fn person(text: &str) -> Result<OwnedUserId, String> {
    UserId::parse(text).map_err(|_| "not a full user id; write it like @alice:example.org".to_owned())
}

fn since(text: &str) -> Result<Timestamp, String> {
    moment(text, Bound::Since, clock::now())
}

fn until(text: &str) -> Result<Timestamp, String> {
    moment(text, Bound::Until, clock::now())
}

/// Runs one of the commands; results go to standard output.
///
/// # Errors
/// When the configuration has faults, the index cannot be read, or no run has this id.
pub(crate) fn run(args: AuditArgs) -> anyhow::Result<()> {
    let wanted = match &args.command {
        AuditCommand::List { wanted, .. } | AuditCommand::Export { wanted, .. } => Some(wanted),
        AuditCommand::Show { .. } | AuditCommand::Spend { .. } | AuditCommand::Report { .. } => None,
    };
    if wanted.is_some_and(|wanted| matches!((wanted.since, wanted.until), (Some(since), Some(until)) if since > until))
    {
        bail!("--since is later than --until, so that no run can fit\n  Mend: exchange the two.");
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match args.command {
        AuditCommand::List { wanted, limit, config } => list(&config, wanted.filter(Some(limit)), &mut out),
        AuditCommand::Show { run, config } => show(&config, &run, &mut out),
        AuditCommand::Spend { by, since, json, config } => {
            let (rows, sum) = open(&config)?.spending(by, since)?;
            let spent = Spent { by, since: since.map(day_of), rows, sum };
            let columns = columns_out().unwrap_or(COLUMNS);
            if json { spend::json(&spent, &mut out) } else { spend::table(&spent, columns, &mut out) }
        }
        AuditCommand::Report { by, since, json, config } => {
            let (rows, sum) = open(&config)?.report(by, since)?;
            let reported = Reported { by, since: since.map(day_of), rows, sum };
            let columns = columns_out().unwrap_or(COLUMNS);
            if json { report::json(&reported, &mut out) } else { report::table(&reported, columns, &mut out) }
        }
        AuditCommand::Export { format, wanted, limit, config } => {
            let mut source = open(&config)?;
            export::write(&mut source, &Ask::List(wanted.filter(limit)), format, &mut out)
        }
    };
    match written.and_then(|()| Ok(out.flush()?)) {
        // The reader has closed the pipe (`workmate audit list | head`), which is not an error.
        Err(error) if is_closed_pipe(&error) => Ok(()),
        written => written,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = error.chain().find_map(|cause| match cause.downcast_ref::<csv::Error>().map(csv::Error::kind) {
        Some(csv::ErrorKind::Io(error)) => Some(error.kind()),
        _ => cause.downcast_ref::<io::Error>().map(io::Error::kind),
    });
    kind == Some(io::ErrorKind::BrokenPipe)
}

fn open(config: &ConfigFile) -> anyhow::Result<Source> {
    Source::open(&Config::load(&config.path())?)
}

fn list(config: &ConfigFile, filter: Filter, out: &mut impl Write) -> anyhow::Result<()> {
    let limit = filter.limit;
    let (mut listed, mut totals) = (0, table::Totals::default());
    let columns = columns_out().unwrap_or(COLUMNS);
    open(config)?.each(&Ask::List(filter), &mut |entry| {
        if listed == 0
            && let Some(head) = table::head(columns)
        {
            writeln!(out, "{head}")?;
        }
        listed += 1;
        totals.add(&entry);
        Ok(writeln!(out, "{}", table::row(&entry, columns))?)
    })?;
    out.flush()?;
    match listed {
        0 => complain("No runs fit."),
        _ if Some(listed) == limit => {
            complain(&format!("{}; these are the newest, --limit shows more.", totals.shown()));
        }
        _ => complain(&totals.shown()),
    }
    Ok(())
}

fn show(config: &ConfigFile, run: &str, out: &mut impl Write) -> anyhow::Result<()> {
    if run.len() < RUN_CHARS_MIN {
        let run = if run.is_empty() { "nothing" } else { run };
        bail!(
            "{run}: too short to name one run\n  Mend: give at least {RUN_CHARS_MIN} characters of the id that `workmate audit list` shows."
        );
    }
    let mut named: Vec<Entry> = Vec::new();
    open(config)?.each(&Ask::Show(run.to_owned()), &mut |entry| {
        if named.len() < NAMED_MAX {
            named.push(entry);
        }
        Ok(())
    })?;
    match named.as_slice() {
        [] => bail!(
            "{run}: no run has this id\n  Mend: look it up with `workmate audit list`; runs older than audit.retention_days are \
             gone."
        ),
        [entry] => Ok(writeln!(out, "{}", fitting(&table::whole(entry)))?),
        several => {
            let ids: Vec<&str> = several.iter().map(|entry| entry.run.as_str()).collect();
            bail!("{run}: several runs have ids that begin like this\n  Mend: name one of {}.", ids.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
