//! Compares the limit of file descriptors with what our users need.

use std::fs;

use super::{Check, Found, Tried, serving};
use crate::{
    cli::check::unit::Unit,
    config::Config,
    engine::{DESCRIPTORS_OF_A_USER, DESCRIPTORS_WANTED},
};

/// What the listeners, the store and connections take beside our users.
const BESIDE: u64 = 512;

/// `serves` says whether a workmate serves, whose own limit then counts.
pub(super) async fn all(config: &Config, unit: &Unit, serves: bool) -> Vec<Tried> {
    let users = fs::read_dir(config.data_dir.join("users")).map_or(0, Iterator::count);
    let coworkers = config.coworkers.len() as u64 + 1;
    let (limit, whose) = if serves {
        let metrics = serving::page(config, "metrics").await.unwrap_or_default();
        (gauge(&metrics, "process_max_fds"), "of the workmate that serves")
    } else if unit.descriptors.is_some() {
        (unit.descriptors, "of the unit (LimitNOFILE)")
    } else {
        // A start raises the soft limit to it.
        (rlimit::getrlimit(rlimit::Resource::NOFILE).ok().map(|(_, hard)| hard), "of this shell")
    };
    vec![Tried::new(Check::Descriptors, judged(limit, whose, coworkers, users as u64))]
}

/// Reads a value of a metrics page.
fn gauge(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Judges a limit by the users that are always connected, and by all.
fn judged(limit: Option<u64>, whose: &str, coworkers: u64, users: u64) -> Found {
    let Some(limit) = limit else { return Found::Open("the system does not tell the limit".to_owned()) };
    let needed = |users: u64| BESIDE + users * DESCRIPTORS_OF_A_USER;
    let mend = format!("set LimitNOFILE={DESCRIPTORS_WANTED} in the unit (or `ulimit -n`), and restart workmate");
    if limit < needed(coworkers) {
        return Found::Fault(format!(
            "{limit} descriptors {whose}, and {coworkers} users that are always connected need {}\n  Some of them could not \
             work.\n  Mend: {mend}.",
            needed(coworkers)
        ));
    }
    if limit < needed(users).max(DESCRIPTORS_WANTED) {
        return Found::Open(format!(
            "{limit} descriptors {whose} are enough for about {} users at once; {DESCRIPTORS_WANTED} are wanted\n  Mend: {mend}.",
            (limit - BESIDE) / DESCRIPTORS_OF_A_USER
        ));
    }
    Found::Fine(format!("{limit} {whose}, enough for {} users at once", (limit - BESIDE) / DESCRIPTORS_OF_A_USER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op3_a_limit_is_judged_by_the_users_that_there_are() {
        for (limit, coworkers, users, expected) in [
            (Some(16_384), 4, 10, "Fine"),
            (Some(1_048_576), 4, 10_000, "Fine"),
            (Some(16_384), 4, 10_000, "Open"),
            (Some(1_024), 4, 4, "Open"),
            (Some(1_024), 40, 40, "Fault"),
            (Some(256), 1, 0, "Fault"),
            (None, 1, 0, "Open"),
        ] {
            let found = format!("{:?}", judged(limit, "of this shell", coworkers, users));
            assert!(found.starts_with(expected), "{limit:?} {coworkers} {users}: {found}");
        }
        assert_eq!(gauge("a 1\nprocess_max_fds 1024\n", "process_max_fds"), Some(1_024));
    }
}
