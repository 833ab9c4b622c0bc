//! `workmate demo`: starts a homeserver, people and Workmate on this machine, and plays a conversation between them.

mod claude;
pub mod homeserver;
pub mod person;
mod private_file;
mod stage;
mod state;
mod story;
mod workplace;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use ruma::RoomId;
use url::Url;

use self::{
    claude::Claude,
    homeserver::{Homeserver, Options, SERVER_NAME, venv},
    person::{Options as PersonOptions, Person},
    stage::{Stage, unasked},
    state::State,
    workplace::{HOOK_SECRET, Unasked, Workmate},
};
use super::say::say;
use crate::{clock, core::time::Timestamp};

/// How far ahead schedules are due; the next where a start took too long for that.
const DUE_AHEAD: [Duration; 3] = [Duration::from_secs(12), Duration::from_secs(40), Duration::from_mins(2)];
/// A schedule is still ahead if it is due in so many milliseconds.
const DUE_MARGIN_MS: u64 = 2_000;
const PEOPLE: [&str; 2] = ["alice", "bob"];

/// What `workmate demo` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// End after the conversation; the exit code tells whether every step held.
    #[arg(long)]
    pub once: bool,
    /// Start over: forget the homeserver, the people and the rooms of earlier runs.
    #[arg(long)]
    pub fresh: bool,
    /// Where everything is kept [default: target/demo in a checkout, else ./workmate-demo].
    #[arg(long, value_name = "DIR", value_parser = super::path_parser())]
    pub dir: Option<PathBuf>,
}

/// Runs the demo until its end (`--once`) or Ctrl-C.
///
/// # Errors
/// If something cannot be started or, with `--once`, if a step of the conversation failed.
pub async fn run(args: DemoArgs) -> Result<()> {
    let began = clock::now();
    let state = State::open(&args)?;
    say(format!("Workmate's demo keeps everything in {}", state.dir.display()));
    let mut company = tokio::select! {
        company = Box::pin(Company::start(&state)) => company?,
        interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
    };
    say(format!("Ready after {:.1} s. {}", seconds_since(began), company.claude.introduction()));
    let finished = tokio::select! {
        () = Box::pin(company.perform(&state)) => true,
        interrupted = tokio::signal::ctrl_c() => { interrupted?; false }
    };
    if finished {
        say(format!("\n{} ({:.1} s)", verdict(&company.stage.faults), seconds_since(began)));
    }
    if finished && !args.once {
        company.invite_to_log_in(&state);
        tokio::signal::ctrl_c().await?;
        say("");
    }
    say("Stopping …");
    let faults = Box::pin(company.stop()).await?;
    if args.once && !finished {
        bail!("interrupted before the end of the conversation");
    }
    if args.once && !faults.is_empty() {
        bail!("{} of the conversation's steps did not hold:\n  {}", faults.len(), faults.join("\n  "));
    }
    Ok(())
}

/// All that the demo runs; dropping it stops everything.
struct Company {
    stage: Stage,
    workmate: Workmate,
    claude: Claude,
    homeserver: Homeserver,
    python: PathBuf,
}

impl Company {
    async fn start(state: &State) -> Result<Self> {
        let progress = |what: &str| say(format!("   … {what}"));
        let registrations = vec![workplace::write_registration(state)?];
        let (venv, dir) = (state.venv.clone(), state.dir.join("homeserver"));
        let options = Options { venv, dir, port: state.kept.homeserver_port, registrations, runner: None };
        let homeserver = Homeserver::start(options, &progress).await?;
        say(format!("   Synapse answers at {}", homeserver.url()));

        let claude = Claude::choose().await?;
        let config = workplace::write_config(state, homeserver.url(), &claude, None)?;
        let python = venv::ensure(&state.venv, &progress).await?;
        let workmate = Workmate::start(&python, &config, state, &progress).await?;
        say("   Workmate is ready: its users have accounts, faces and keys");

        let [alice, bob] = people(state, &homeserver).await?;
        say("   alice and bob are logged in");
        let quotes_history = claude.quotes_history();
        let stage = Stage { alice, bob, quotes_history, faults: Vec::new() };
        Ok(Self { stage, workmate, claude, homeserver, python })
    }

    /// Plays the story: what people ask, and then what nobody asks for.
    async fn perform(&mut self, state: &State) {
        self.stage.perform().await;
        if let Err(error) = self.unasked(state).await {
            self.stage.fault(format!("what nobody asks for: {error:#}"));
        }
    }

    async fn unasked(&mut self, state: &State) -> Result<()> {
        let room = self.stage.room_of_work().await?;
        self.give_them_work(state, &room).await?;
        unasked::report_red_run(state.kept.hooks_port, HOOK_SECRET).await?;
        self.stage.watch_work(&room).await;
        self.stage.chart(&room).await;
        Ok(())
    }

    /// Starts Workmate with the examples of coworkers that work by themselves, their schedules due in some seconds.
    async fn give_them_work(&mut self, state: &State, room: &RoomId) -> Result<()> {
        let progress = |what: &str| say(format!("   … {what}"));
        for ahead in DUE_AHEAD {
            let now = clock::now();
            let due = Timestamp::from_ms(now.as_ms().saturating_add(i64::try_from(ahead.as_millis())?));
            let unasked = Unasked { room: room.to_owned(), due };
            let config = workplace::write_config(state, self.homeserver.url(), &self.claude, Some(&unasked))?;
            self.workmate.start_again(&self.python, &config, state, &progress).await?;
            if due.ms_since(clock::now()) >= DUE_MARGIN_MS {
                let seconds = due.ms_since(clock::now()) / 1000;
                say(format!("   Workmate runs with config/examples; its two schedules are due in {seconds} s"));
                return Ok(());
            }
        }
        bail!("Workmate takes too long to start for a schedule that is due soon")
    }

    /// Prints how a person can log in with their own client.
    fn invite_to_log_in(&self, state: &State) {
        let url: &Url = self.homeserver.url();
        say("\nEverything stays up until Ctrl-C. Log in with a Matrix client on this machine, e.g. Element:");
        say(format!("   homeserver     {}", url.as_str().trim_end_matches('/')));
        for (name, password) in PEOPLE.iter().zip(&state.kept.passwords) {
            say(format!("   @{name}:{SERVER_NAME}   password {password}   recovery key or phrase: the same"));
        }
        say("Mention @oncall, @ci or @sales in one of the rooms, or write to your assistant.");
    }

    /// Stops everything in order; returns the failed steps of the conversation.
    async fn stop(mut self) -> Result<Vec<String>> {
        let faults = std::mem::take(&mut self.stage.faults);
        self.stage.stop().await;
        self.workmate.stop().await?;
        self.claude.stop().await;
        self.homeserver.stop().await?;
        Ok(faults)
    }
}

async fn people(state: &State, homeserver: &Homeserver) -> Result<[Person; 2]> {
    let [alice, bob] = PEOPLE;
    let [alices, bobs] = &state.kept.passwords;
    Ok([person(state, homeserver, alice, alices).await?, person(state, homeserver, bob, bobs).await?])
}

async fn person(state: &State, homeserver: &Homeserver, name: &str, password: &str) -> Result<Person> {
    homeserver.register(name, password).await?;
    let mut options = PersonOptions::new(homeserver.url(), name, password);
    options.store = Some(state.dir.join("people").join(name));
    options.recovery_passphrase = Some(password.to_owned());
    Person::start(options).await
}

fn verdict(faults: &[String]) -> String {
    match faults.len() {
        0 => "Every step held: all joined, every answer came, was readable and reached the asker.".to_owned(),
        count => format!("{count} steps did not hold:\n  {}", faults.join("\n  ")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a demo does not run for so long that a millisecond is lost")]
fn seconds_since(began: crate::core::time::Timestamp) -> f64 {
    clock::now().ms_since(began) as f64 / 1e3
}
