//! Fuzzing: runs every target of `workmate::fuzzing` for a time or a number of cases.
//!
//! `cargo bench --bench fuzz -- --seconds 60` gives each target a minute, `--cases 1000000` a number of cases.
//! `--target events` runs one target, `--seed 7` changes the cases. `--trace FILE` writes each case before it runs, to
//! find one that ends the process. A failing case is shrunk and saved in the corpus, which `cargo test` runs from then
//! on. The last lines name each file and the command that reruns it (`--target bodies --case FILE`).

mod mutate;

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
};

use mutate::Cases;
use tokio::time::{Duration, Instant};
use workmate::{
    cli::say::say,
    fuzzing::{TARGETS, Target},
};

/// A case that takes longer than this is reported.
const SLOW: Duration = Duration::from_secs(2);
/// Failures after which a target ends.
const FAILURES_MAX: usize = 5;
/// Attempts to shrink a failing case.
const SHRINKS_MAX: usize = 2_000;

/// How long a target runs by default.
const SECONDS: f64 = 60.0;

/// The command line's options.
struct Asked {
    seconds: f64,
    cases: Option<u64>,
    seed: u64,
    target: Option<String>,
    trace: Option<PathBuf>,
    case: Option<PathBuf>,
}

impl Asked {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let of = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).cloned()
        };
        let number = |name: &str| of(name).and_then(|text| text.parse().ok());
        Self {
            seconds: seconds(&of),
            cases: number("--cases"),
            seed: number("--seed").unwrap_or(1),
            target: of("--target"),
            trace: of("--trace").map(PathBuf::from),
            case: of("--case").map(PathBuf::from),
        }
    }

    fn goes_on(&self, number: u64, began: Instant) -> bool {
        match self.cases {
            Some(cases) => number < cases,
            None => began.elapsed().as_secs_f64() < self.seconds,
        }
    }
}

fn seconds(of: &impl Fn(&str) -> Option<String>) -> f64 {
    let number = |name: &str| of(name).and_then(|text| text.parse::<f64>().ok());
    number("--seconds").or_else(|| number("--minutes").map(|minutes| minutes * 60.0)).unwrap_or(SECONDS)
}

fn corpus_of(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/fuzz/corpus").join(target.name)
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(corpus_of(target)).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().filter_map(|path| fs::read(path).ok()).collect()
}

fn fails(target: &Target, case: &[u8]) -> Option<String> {
    let failed = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(case))).err()?;
    let text = failed.downcast_ref::<String>().cloned();
    Some(text.or_else(|| failed.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
}

/// Returns a smaller case that also fails.
fn shrunk(target: &Target, case: &[u8]) -> Vec<u8> {
    let (mut best, mut part, mut tries) = (case.to_vec(), case.len() / 2, 0);
    while part > 0 && tries < SHRINKS_MAX {
        let mut at = 0;
        let before = best.len();
        while at < best.len() && tries < SHRINKS_MAX {
            let smaller = [&best[..at], &best[(at + part).min(best.len())..]].concat();
            tries += 1;
            if fails(target, &smaller).is_some() {
                best = smaller;
            } else {
                at += part;
            }
        }
        if best.len() == before {
            part /= 2;
        }
    }
    best
}

/// Runs one target; returns the files of failing cases.
fn run(target: &Target, asked: &Asked) -> Vec<PathBuf> {
    let (began, known) = (Instant::now(), corpus(target));
    let mut cases = Cases::new(asked.seed, known.clone(), target.words);
    let (mut number, mut failures, mut shapes, mut slowest) = (0_u64, Vec::new(), 0, Duration::ZERO);
    let mut waiting = known.into_iter();
    while asked.goes_on(number, began) && failures.len() < FAILURES_MAX {
        let case = waiting.next().unwrap_or_else(|| cases.next());
        if let Some(trace) = &asked.trace {
            fs::write(trace, &case).expect("the trace can be written");
        }
        let start = Instant::now();
        let ran = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&case)));
        let took = start.elapsed();
        slowest = slowest.max(took);
        if let Ok(shape) = ran {
            shapes = cases.learn(&case, shape);
        } else {
            let small = shrunk(target, &case);
            let file = corpus_of(target).join(format!("failed-{}-{number}", asked.seed));
            fs::write(&file, &small).expect("the corpus can be written");
            let why = fails(target, &small).unwrap_or_default();
            say(format!("{}: case {number} of seed {} fails: {why}", target.name, asked.seed));
            failures.push(file);
        }
        if took > SLOW {
            let (name, seed, bytes) = (target.name, asked.seed, case.len());
            say(format!("{name}: case {number} of seed {seed} took {took:.1?} ({bytes} bytes)"));
        }
        number += 1;
    }
    let name = target.name;
    let each = began.elapsed() / u32::try_from(number.max(1)).unwrap_or(u32::MAX);
    say(format!(
        "{name:<13} {number:>9} cases of {each:>8.1?}, {shapes:>5} shapes, slowest {slowest:>8.1?}, {} failures",
        failures.len()
    ));
    failures
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        say("nothing is run without --bench, which `cargo bench` gives");
        return ExitCode::SUCCESS;
    }
    let asked = Asked::read();
    // A failure is printed once, after shrinking.
    panic::set_hook(Box::new(|_| {}));
    let chosen = TARGETS.iter().filter(|target| asked.target.as_deref().is_none_or(|name| name == target.name));
    let chosen: Vec<_> = chosen.collect();
    if let Some(file) = &asked.case {
        return again(&chosen, file);
    }
    let failed: Vec<_> = chosen.into_iter().map(|target| (target.name, run(target, &asked))).collect();
    for (name, files) in &failed {
        for file in files {
            let file = file.display();
            say(format!(
                "{name} failed; the case is {file}. Again: \
                 cargo bench --profile dev --bench fuzz -- --target {name} --case {file}"
            ));
        }
    }
    if failed.iter().all(|(_, files)| files.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one case alone, and shows its panic message.
fn again(targets: &[&Target], file: &Path) -> ExitCode {
    let [target] = targets else {
        say("--case needs --target, with the name of one".to_owned());
        return ExitCode::FAILURE;
    };
    let case = match fs::read(file) {
        Ok(case) => case,
        Err(error) => {
            say(format!("{}: {error}", file.display()));
            return ExitCode::FAILURE;
        }
    };
    let began = Instant::now();
    if let Some(why) = fails(target, &case) {
        say(format!("{}: fails: {why}", target.name));
        return ExitCode::FAILURE;
    }
    say(format!("{}: passes, in {:.1?}", target.name, began.elapsed()));
    ExitCode::SUCCESS
}
