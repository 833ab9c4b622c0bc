//! `workmate doctor`: tries for real everything that can be wrong, beside a workmate that serves or before the first start,
//! and says how to mend it.

use std::{path::Path, process::ExitCode, time::Duration};

use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    ConfigFile, FAULTS,
    check::{
        live::{self, Found, Subject, Tried, list::Check, list::Scope},
        registration_file,
        unit::Unit,
        unit_of, unreadable,
    },
    say::say,
};
use crate::{
    config::{Config, Env, Registration},
    core::mask::Mask,
};

/// The exit code of warnings alone; 2 is clap's, for an invalid command line.
const WARNINGS: u8 = 3;
/// How long everything may take; what is not finished then is broken off and tidied up.
const WHOLE_MAX: Duration = Duration::from_mins(2);

/// What `doctor` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorArgs {
    /// The config file.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Print one JSON object, for programs.
    #[arg(long)]
    pub json: bool,
    /// Ask the model nothing, so that it costs nothing; an account that cannot pay is then not found.
    #[arg(long)]
    pub free: bool,
}

/// Everything that was found.
struct Report {
    config: String,
    tried: Vec<Tried>,
    serves: bool,
    took: Duration,
    mask: Mask,
}

/// Tries everything, and prints what was found.
pub(crate) async fn run(args: &DoctorArgs) -> ExitCode {
    let (path, began) = (args.config.path(), Instant::now());
    let unit = unit_of(&path);
    let env = |name: &str| std::env::var(name).ok().or_else(|| unit.variables.get(name).cloned());
    let (mut tried, config) = read(&path, &unit, &env);
    let mut serves = false;
    if let Some(config) = &config {
        let (found, report) = Box::pin(examine(&path, config, &unit, !args.free)).await;
        tried.extend(found);
        serves = report.is_some();
    }
    live::complete(&mut tried);
    let secrets =
        config.iter().flat_map(|config| config.own_secrets().into_iter().chain(config.credentials.values().cloned()));
    let secrets: Vec<_> = secrets.collect();
    let mask = Mask::new(secrets.iter().map(crate::secret::Secret::expose));
    let report = Report { config: path.display().to_string(), tried, serves, took: began.elapsed(), mask };
    say(if args.json { format!("{:#}", report.json()) } else { report.text() });
    report.code()
}

/// Reads the configuration and compares the registration with it. A faulty file of a coworker leaves out that coworker
/// alone, as at a start.
fn read(path: &Path, unit: &Unit, env: Env<'_>) -> (Vec<Tried>, Option<Config>) {
    let mut tried: Vec<Tried> = unreadable(unit).map(|told| Tried::new(Check::Config, Found::Open(told))).collect();
    let (config, warnings) = match Config::load_leaving_out(path, env) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let faults =
                faults.as_slice().iter().map(|fault| Tried::new(Check::Config, Found::Fault(fault.to_string())));
            tried.extend(faults);
            return (tried, None);
        }
    };
    tried.extend(config.left_out.iter().map(|fault| Tried::new(Check::Config, Found::Fault(fault.to_string()))));
    tried.extend(warnings.iter().map(|warning| Tried::new(Check::Config, Found::Open(warning.to_string()))));
    if tried.is_empty() {
        let coworkers = config.coworkers.len();
        let text = format!("no faults and no warnings, {coworkers} coworker{}", if coworkers == 1 { "" } else { "s" });
        tried.push(Tried::new(Check::Config, Found::Fine(text)));
    }
    tried.extend(compared(path, &config));
    (tried, Some(config))
}

fn compared(path: &Path, config: &Config) -> Vec<Tried> {
    let of = |found| Tried::new(Check::Registration, found);
    let Some(file) = registration_file(path, config) else {
        return vec![of(Found::Skipped("there is no registration.yaml beside the config to compare".to_owned()))];
    };
    match Registration::of(config).compare(&file) {
        Ok(warnings) if warnings.is_empty() => vec![of(Found::Fine(format!("{} agrees", file.display())))],
        Ok(warnings) => warnings.iter().map(|warning| of(Found::Open(warning.to_string()))).collect(),
        Err(faults) => faults.as_slice().iter().map(|fault| of(Found::Fault(fault.to_string()))).collect(),
    }
}

/// Examines everything, and breaks off when time is up or a signal comes; what was begun is tidied up in any case.
async fn examine(path: &Path, config: &Config, unit: &Unit, may_cost: bool) -> (Vec<Tried>, Option<Value>) {
    let broken_off = CancellationToken::new();
    let subject = Subject { path, config, unit, scope: Scope::Doctor, may_cost, broken_off: &broken_off };
    let mut examining = std::pin::pin!(live::examine(subject));
    tokio::select! {
        done = &mut examining => return done,
        () = tokio::time::sleep(WHOLE_MAX) => {}
        () = told_to_stop() => {}
    }
    broken_off.cancel();
    let (mut tried, report) = examining.await;
    let text = "broken off before everything was tried\n  Mend: run this again.".to_owned();
    tried.push(Tried::new(Check::Config, Found::Fault(text)));
    (tried, report)
}

/// Waits for Ctrl-C or SIGTERM.
async fn told_to_stop() {
    let (Ok(mut interrupted), Ok(mut terminated)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
}

/// How a check ended, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Skip,
    Pass,
    Warn,
    Fail,
}

impl Verdict {
    const fn of(found: &Found) -> Self {
        match found {
            Found::Skipped(_) => Self::Skip,
            Found::Fine(_) => Self::Pass,
            Found::Open(_) => Self::Warn,
            Found::Fault(_) => Self::Fail,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// Returns its mark in the list: a fault is found without colour, too.
    const fn mark(self) -> &'static str {
        match self {
            Self::Fail => "FAIL",
            other => other.name(),
        }
    }
}

const fn text_of(found: &Found) -> &String {
    match found {
        Found::Fine(text) | Found::Open(text) | Found::Fault(text) | Found::Skipped(text) => text,
    }
}

impl Report {
    fn count(&self, verdict: Verdict) -> usize {
        self.tried.iter().filter(|tried| Verdict::of(&tried.found) == verdict).count()
    }

    fn verdict(&self) -> Verdict {
        let worst = self.tried.iter().map(|tried| Verdict::of(&tried.found)).max();
        worst.map_or(Verdict::Pass, |worst| worst.max(Verdict::Pass))
    }

    fn code(&self) -> ExitCode {
        match self.verdict() {
            Verdict::Fail => ExitCode::from(FAULTS),
            Verdict::Warn => ExitCode::from(WARNINGS),
            Verdict::Pass | Verdict::Skip => ExitCode::SUCCESS,
        }
    }

    /// Returns the list for people: a line for each result, what to do below it, and a sum.
    fn text(&self) -> String {
        let mut lines = vec![format!("{}, workmate {}", self.config, env!("CARGO_PKG_VERSION"))];
        for tried in &self.tried {
            let mark = Verdict::of(&tried.found).mark();
            let text = self.mask.hide(text_of(&tried.found)).replace('\n', "\n      ");
            lines.push(format!("  {mark}  {:<13}  {text}", tried.check.name()));
        }
        let sum = [
            (Verdict::Fail, "failed"),
            (Verdict::Warn, "doubtful"),
            (Verdict::Pass, "passed"),
            (Verdict::Skip, "not tried"),
        ];
        let sum = sum.map(|(verdict, word)| format!("{} {word}", self.count(verdict)));
        lines.push(format!("{}, in {:.1} s", sum.join(", "), self.took.as_secs_f32()));
        lines.join("\n")
    }

    /// Returns the same for programs; the shape is documented in docs/operating.md.
    fn json(&self) -> Value {
        let checks: Vec<Value> = self
            .tried
            .iter()
            .map(|tried| {
                let (what, mend) = parts(&self.mask.hide(text_of(&tried.found)));
                let listed = tried.check.descriptor();
                json!({
                    "check": listed.name,
                    "about": listed.about,
                    "verdict": Verdict::of(&tried.found).name(),
                    "what": what,
                    "mend": mend,
                })
            })
            .collect();
        json!({
            "workmate": env!("CARGO_PKG_VERSION"),
            "config": self.config,
            "serves": self.serves,
            "verdict": self.verdict().name(),
            "counts": {
                "pass": self.count(Verdict::Pass),
                "warn": self.count(Verdict::Warn),
                "fail": self.count(Verdict::Fail),
                "skip": self.count(Verdict::Skip),
            },
            "duration_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "checks": checks,
        })
    }
}

/// Returns what a text says is wrong, and its remedy, a line each.
fn parts(text: &str) -> (String, Option<String>) {
    let line = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.fold(String::new(), |mut whole, line| {
            if !whole.is_empty() {
                let ends = whole.ends_with(['.', '!', '?', ':', ';', ',']) || !line.starts_with(char::is_uppercase);
                whole.push_str(if ends { " " } else { ". " });
            }
            whole.push_str(line);
            whole
        })
    };
    match text.split_once("Mend: ") {
        Some((what, mend)) => (line(what), Some(line(mend))),
        None => (line(text), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{width::width, wrap::wrapped};

    fn report(found: &[(Check, Found)]) -> Report {
        let tried = found.iter().map(|(check, found)| Tried::new(*check, found.clone())).collect();
        let (took, mask) = (Duration::from_millis(4_240), Mask::new(["sk-ant-secret"]));
        Report { config: "/etc/workmate.yaml".to_owned(), tried, serves: true, took, mask }
    }

    fn all() -> Report {
        report(&[
            (Check::Config, Found::Fine("no faults and no warnings, 2 coworkers".to_owned())),
            (Check::Disk, Found::Open("/d (tmpfs) is in memory, and gone with the next restart of this machine\n  Mend: set data_dir to a local disk.".to_owned())),
            (Check::Serving, Found::Skipped("no workmate answers at 127.0.0.1:29331".to_owned())),
            (
                Check::Claude,
                Found::Fault("claude at https://a: the key sk-ant-secret was refused\n  Nobody is answered.\n  Mend: set another one.".to_owned()),
            ),
        ])
    }

    #[test]
    fn op3_the_list_is_read_without_colour_at_80_columns() {
        insta::assert_snapshot!(wrapped(&all().text(), 80));
        assert!(wrapped(&all().text(), 80).lines().all(|line| width(line) <= 80));
    }

    #[test]
    fn op3_programs_get_the_same_as_one_object() {
        insta::assert_json_snapshot!(all().json());
    }

    #[test]
    fn op3_the_exit_code_tells_faults_from_doubts() {
        let [pass, warn, fail, skip] =
            [Found::Fine, Found::Open, Found::Fault, Found::Skipped].map(|of| (Check::Config, of(String::new())));
        let code = |found: &[(Check, Found)]| format!("{:?}", report(found).code());
        let of = |code: u8| format!("{:?}", ExitCode::from(code));
        for (found, expected) in [
            (vec![pass.clone(), skip.clone()], 0),
            (vec![skip], 0),
            (vec![], 0),
            (vec![pass.clone(), warn.clone()], 3),
            (vec![warn, fail, pass], 1),
        ] {
            assert_eq!(code(&found), of(expected), "{found:?}");
        }
    }

    #[test]
    fn op3_a_text_is_taken_apart_into_what_is_wrong_and_its_mend() {
        for (text, what, mend) in [
            ("fine", "fine", None),
            ("one\n  Two.\n  Mend: three\n  four.", "one. Two.", Some("three four.")),
            ("a: \n  b", "a: b", None),
        ] {
            assert_eq!(parts(text), (what.to_owned(), mend.map(str::to_owned)), "{text}");
        }
    }
}
