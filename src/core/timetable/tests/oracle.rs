//! A thousand random schedules against a second implementation: PyPI's `croniter` by the wall clock, and Python's
//! `zoneinfo` for what clocks do.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    super::{Rule, When},
    at, shown, zone,
};

const SCHEDULES: usize = 1_000;
const DUE_TIMES: usize = 5;
const VERSION: &str = "croniter==7.0.0";

/// Moments shortly before changes of clocks, in both hemispheres, and zones that have them.
const CHANGES: [(&str, &str); 8] = [
    ("Europe/Berlin", "2026-03-28T20:00:00Z"),
    ("Europe/Berlin", "2026-10-24T20:00:00Z"),
    ("America/New_York", "2026-03-08T02:00:00Z"),
    ("America/New_York", "2026-11-01T01:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T08:00:00Z"),
    ("Australia/Lord_Howe", "2027-04-03T08:00:00Z"),
    ("America/St_Johns", "2027-03-14T00:00:00Z"),
    ("Africa/Cairo", "2026-04-23T15:00:00Z"),
];

/// Takes due times by the wall clock and puts them on the time line: the end of the gap for one that does not exist,
/// the first of two that do, and none twice.
const ORACLE: &str = r"
import json, sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo
from croniter import croniter

def exists(wall, zone):
    there = wall.replace(tzinfo=zone, fold=0)
    return there.astimezone(timezone.utc).astimezone(zone).replace(tzinfo=None) == wall

def instant(wall, zone):
    if not exists(wall, zone):
        wall = wall.replace(second=0)
        while not exists(wall, zone):
            wall += timedelta(minutes=1)
    return wall.replace(tzinfo=zone, fold=0).astimezone(timezone.utc)

out = []
for cron, name, start, count in json.load(sys.stdin):
    zone = ZoneInfo(name)
    start = datetime.fromisoformat(start.replace('Z', '+00:00'))
    walls = croniter(cron, (start - timedelta(days=2)).astimezone(zone).replace(tzinfo=None), implement_cron_bug=True)
    due, last = [], start
    while len(due) < count:
        at = instant(walls.get_next(datetime), zone)
        if at > last:
            due.append(at.strftime('%Y-%m-%dT%H:%M:%SZ'))
            last = at
    out.append(due)
json.dump(out, sys.stdout)
";

/// A small generator: the same schedules in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn field(&mut self, least: u64, most: u64) -> String {
        let width = most - least + 1;
        let first = least + self.below(width);
        match self.below(5) {
            0 | 1 => "*".to_owned(),
            2 => first.to_string(),
            // To croniter, `5-5` is every day.
            3 if first < most => format!("{first}-{}", first + 1 + self.below(most - first)),
            _ => format!("{first},{}", least + self.below(width)),
        }
    }

    fn cron(&mut self) -> String {
        let minute = if self.below(3) == 0 { format!("*/{}", 1 + self.below(30)) } else { self.field(0, 59) };
        // Changes happen at night.
        let hour = if self.below(2) == 0 { self.field(0, 4) } else { self.field(0, 23) };
        let (day, month) = (self.field(1, 28), self.field(1, 12));
        let weekday = if self.below(2) == 0 { "*".to_owned() } else { self.field(0, 6) };
        format!("{minute} {hour} {day} {month} {weekday}")
    }
}

#[test]
fn c20_a_thousand_random_schedules_are_due_when_croniter_says() {
    let Some(python) = python_with_croniter() else {
        eprintln!("\n*** SKIPPED: {VERSION} cannot be had, so cron is not compared with a second implementation ***\n");
        return;
    };
    let mut chance = Chance(20_261_130);
    let cases: Vec<Value> = (0..SCHEDULES)
        .map(|n| {
            let (zone, start) = CHANGES[n % CHANGES.len()];
            json!([chance.cron(), zone, start, DUE_TIMES])
        })
        .collect();
    let asked = asked(&python, &cases);
    for (case, expected) in cases.iter().zip(asked) {
        let text = |index: usize| case[index].as_str().expect("a text");
        let rule = Rule::of(&When::Cron(text(0).to_owned()), &zone(text(1)))
            .unwrap_or_else(|fault| panic!("{}: {fault:?}", text(0)));
        let ours: Vec<String> = rule.next(at(text(2)), DUE_TIMES).into_iter().map(shown).collect();
        assert_eq!(ours, expected, "{case}");
    }
}

fn asked(python: &Path, cases: &[Value]) -> Vec<Vec<String>> {
    let mut oracle = Command::new(python)
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = oracle.stdin.take().expect("piped");
    let cases = serde_json::to_vec(cases).expect("JSON");
    stdin.write_all(&cases).expect("written");
    drop(stdin);
    let output = oracle.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the oracle failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Returns a Python with `croniter`: that of the tests' virtual environment, where it is installed once.
fn python_with_croniter() -> Option<PathBuf> {
    // target/debug/deps/<this test>
    let target = std::env::current_exe().ok()?.ancestors().nth(3)?.to_owned();
    let python = target.join("synapse-venv/bin/python");
    let has_it = || {
        let found = Command::new(&python).args(["-c", "import croniter"]).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    if !has_it() {
        let install =
            ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-q", "--prefer-binary", VERSION];
        let done = Command::new("timeout").arg("120").arg(&python).args(install).status();
        if !done.is_ok_and(|status| status.success()) || !has_it() {
            return None;
        }
    }
    Some(python)
}
