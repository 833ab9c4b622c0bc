//! The source of the index: the socket of a running Workmate, or the store of a stopped one.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use tempfile::TempDir;

use crate::{
    config::{Config, whose},
    core::{
        audit::{
            Answer, Ask, By, Day, Entry, Filter, ReportRow, Row, RunKey, RunSummary, Spending, Sums, add_up, select,
        },
        budget::outlay::RunOutlays,
        people::Namespace,
        time::Timestamp,
        zone::Zone,
    },
    engine::{at_socket, door_of},
    store::{Store, StoreError, Table},
};

/// How long a running Workmate may take for its next answer.
const DOOR_PATIENCE: Duration = Duration::from_mins(2);

/// Where the index is read from.
pub(super) enum Source {
    /// A running Workmate, which alone can read its store.
    Door(UnixStream),
    /// A copy of a stopped Workmate's store.
    Index {
        index: Table<RunKey, RunSummary>,
        outlays: Table<RunKey, RunOutlays>,
        namespace: Box<Namespace>,
        /// Where days begin.
        zone: Zone,
        /// Deletes the copy on drop.
        _copy: TempDir,
    },
}

impl Source {
    /// Opens the index of the Workmate with this configuration.
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        let path = door_of(&config.data_dir);
        if let Some(door) = knock(&path)? {
            return Ok(Self::Door(door));
        }
        let dir = config.data_dir.join("state");
        if !dir.is_dir() {
            bail!(
                "{}: there is no store yet, so no runs\n  Mend: start workmate with this configuration, or correct data_dir.",
                dir.display()
            );
        }
        // The caller may be root or somebody who can only read, so open a copy and write nothing to the store.
        match Store::open_copy(&dir, &config.master.derive("state")) {
            Ok((store, copy)) => {
                let (index, outlays) = (store.run_index(), store.outlays());
                Ok(Self::Index {
                    index,
                    outlays,
                    namespace: Box::new(config.namespace()),
                    zone: config.workspace.zone.clone(),
                    _copy: copy,
                })
            }
            Err(StoreError::Locked { .. }) => bail!(
                "{}: workmate runs, but its door {} does not open\n  Mend: ask again in a moment if it is only starting; else look \
                 for `workmate audit` in its log, or stop it and ask again.",
                dir.display(),
                path.display()
            ),
            Err(StoreError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => bail!(
                "{source}{}\n  Mend: run this as the user that runs workmate, e.g. with sudo -u workmate.",
                whose(&dir)
            ),
            Err(error) => Err(error.into()),
        }
    }

    /// Calls `take` for every requested run, newest first, as it is read.
    pub(super) fn each(&mut self, ask: &Ask, take: &mut dyn FnMut(Entry) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match self {
            Self::Door(door) => through(door, ask, DOOR_PATIENCE, &mut |answer| match answer {
                Answer::Run(entry) => take(*entry),
                _ => Ok(()),
            }),
            Self::Index { index, namespace, .. } => {
                let (filter, named) = match ask {
                    Ask::List(filter) => (filter.clone(), None),
                    Ask::Show(run) => (Filter::default(), Some(run)),
                    Ask::Spend { .. } | Ask::Report { .. } | Ask::Retire(_) | Ask::Tokens | Ask::Reload => {
                        return Ok(());
                    }
                };
                for entry in select(index.iter().rev(), &filter, namespace) {
                    let entry = entry?;
                    if named.is_none_or(|run| entry.is_named(run)) {
                        take(entry)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Adds up what was spent; returns the rows and the sum of all.
    pub(super) fn spending(&mut self, by: By, since: Option<Timestamp>) -> anyhow::Result<(Vec<Row>, Row)> {
        match self {
            Self::Door(door) => {
                let (mut rows, mut sum) = (Vec::new(), Row::default());
                through(door, &Ask::Spend { by, since }, DOOR_PATIENCE, &mut |answer| {
                    match answer {
                        Answer::Spent(row) => rows.push(row),
                        Answer::SpentInAll(row) => sum = row,
                        _ => {}
                    }
                    Ok(())
                })?;
                Ok((rows, sum))
            }
            Self::Index { index, outlays, namespace, zone, .. } => {
                Ok(add_up(Spending::new(by, since, zone.clone()), outlays.iter(), index.iter(), namespace)?)
            }
        }
    }

    /// Reports runs and what they cost; returns the rows and the sum of all.
    pub(super) fn report(&mut self, by: By, since: Option<Timestamp>) -> anyhow::Result<(Vec<ReportRow>, ReportRow)> {
        match self {
            Self::Door(door) => {
                let (mut rows, mut sum) = (Vec::new(), ReportRow::default());
                through(door, &Ask::Report { by, since }, DOOR_PATIENCE, &mut |answer| {
                    match answer {
                        Answer::Reported(row) => rows.push(*row),
                        Answer::ReportedInAll(row) => sum = *row,
                        _ => {}
                    }
                    Ok(())
                })?;
                Ok((rows, sum))
            }
            Self::Index { index, outlays, namespace, zone, .. } => {
                let sums = Sums::of(zone.clone(), outlays.iter(), index.iter(), namespace)?;
                Ok(sums.report(by, (since.map(Day::of), None)))
            }
        }
    }
}

/// Connects to the running Workmate; `None` if there is none.
///
/// # Errors
/// When its socket refuses us.
pub(in crate::cli) fn knock(path: &Path) -> anyhow::Result<Option<UnixStream>> {
    match at_socket(path, |path| UnixStream::connect(path)) {
        Ok(door) => Ok(Some(door)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bail!(
            "{}: only the user that runs workmate may ask it{}\n  Mend: run this as that user, e.g. with sudo -u workmate.",
            path.display(),
            whose(path)
        ),
        // There is no socket, or a killed process left it behind.
        Err(_) => Ok(None),
    }
}

/// Sends a question to the running Workmate, and calls `take` for each answer but the last.
///
/// # Errors
/// The other side's error, or that the answer broke off.
fn through(
    door: &mut UnixStream,
    ask: &Ask,
    patience: Duration,
    take: &mut dyn FnMut(Answer) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let broken = "the running workmate broke off its answer\n  Mend: ask again; if it stays so, look into its log";
    door.set_read_timeout(Some(patience)).context(broken)?;
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    door.write_all(&line).context(broken)?;
    for line in BufReader::new(door).lines() {
        let answer = serde_json::from_str(&line.context(broken)?);
        match answer
            .context("the running workmate is of another version\n  Mend: ask with the same one, or restart it")?
        {
            Answer::Done => return Ok(()),
            Answer::Failed(why) => bail!(why),
            answer => take(answer)?,
        }
    }
    bail!("{broken}.")
}

/// Has the running Workmate do something; returns what it says of it.
///
/// # Errors
/// What it says if it did not, and as [`through`].
pub(in crate::cli) fn have_done(door: &mut UnixStream, deed: &Ask, patience: Duration) -> anyhow::Result<String> {
    let mut said = String::new();
    through(door, deed, patience, &mut |answer| match answer {
        Answer::Said { done: true, text } => {
            said = text;
            Ok(())
        }
        Answer::Said { done: false, text } => Err(anyhow!(text)),
        _ => Ok(()),
    })?;
    Ok(said)
}
