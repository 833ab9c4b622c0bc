//! `workmate coworker new`: writes a coworker's file, from flags or a few questions. `workmate coworker remove`: moves it
//! aside and retires the coworker.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};

use super::{
    ConfigFile, reload, retire,
    say::{complain, say},
};
use crate::config::{Config, NewCoworker};

/// What `coworker` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct CoworkerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CoworkerCommand,
}

/// The commands of `coworker`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CoworkerCommand {
    /// Write a coworker's file. What no flag says is asked on a terminal.
    New(NewArgs),
    /// Take a coworker out of service: move its file aside, have it say farewell, leave its rooms and lose its device.
    Remove(RemoveArgs),
}

/// What `coworker new` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct NewArgs {
    /// Its id, such as legal: a-z 0-9 _ -. It becomes part of its user id.
    #[arg(value_parser = super::coworker_id)]
    pub id: String,
    /// Its name [default: the id].
    #[arg(long)]
    pub name: Option<String>,
    /// One line that tells people what to ask it for.
    #[arg(long, value_name = "LINE")]
    pub purpose: Option<String>,
    /// What the model is told.
    #[arg(long, value_name = "TEXT")]
    pub instructions: Option<String>,
    /// A file with what the model is told.
    #[arg(long, value_name = "FILE", conflicts_with = "instructions", value_parser = super::path_parser())]
    pub instructions_file: Option<PathBuf>,
    /// Its model [default: claude.model].
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// How much it thinks [default: claude.effort].
    #[arg(long, value_name = "EFFORT")]
    pub effort: Option<String>,
    /// What it may cost in a month, in US dollars.
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    pub budget: Option<String>,
    /// A tool that it may use; give it again for each.
    #[arg(long = "tool", value_name = "NAME")]
    pub tools: Vec<String>,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// What `coworker remove` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct RemoveArgs {
    /// Its id, such as legal for legal.yaml.
    #[arg(value_parser = super::coworker_id)]
    pub id: String,
    /// Delete its file instead of moving it aside.
    #[arg(long)]
    pub yes: bool,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
}

fn dollars(text: &str) -> Result<String, String> {
    let is_amount = text.parse::<f64>().is_ok_and(|amount| amount.is_finite() && amount >= 0.0);
    let is_plain = text.chars().all(|char| char.is_ascii_digit() || char == '.');
    if is_amount && is_plain { Ok(text.to_owned()) } else { Err("not an amount; write it like 20 or 12.50".to_owned()) }
}

/// Runs one of the commands.
///
/// # Errors
/// As the commands.
pub(crate) fn run(args: &CoworkerArgs) -> anyhow::Result<()> {
    match &args.command {
        CoworkerCommand::New(args) => new(args),
        CoworkerCommand::Remove(args) => remove(args),
    }
}

/// Writes the file, unless it would be faulty or is there already.
fn new(args: &NewArgs) -> anyhow::Result<()> {
    let config = args.config.path();
    let dir = Config::coworkers_dir_of(&config);
    if let Some(known) = file_of(&dir, &args.id) {
        bail!("{}: is there already\n  Mend: edit it, or choose another id.", known.display());
    }
    let text = described(args, io::stdin().is_terminal())?.file();
    let file = dir.join(format!("{}.yaml", args.id));
    write(&file, &text)?;
    if let Err(faults) = Config::load_with(&config, &|name| std::env::var(name).ok()) {
        // Other files' faults, or a secret that only the service has, are not this file's.
        let ours: Vec<String> =
            faults.as_slice().iter().filter(|fault| fault.file == file).map(ToString::to_string).collect();
        if !ours.is_empty() {
            fs::remove_file(&file).with_context(|| file.display().to_string())?;
            bail!("{}\nNothing was written.", ours.join("\n"));
        }
    }
    say(format!(
        "{} is written.\nEdit it as you like; every key is explained in oncall.yaml, which `workmate init` writes, and in \
         docs/configuration.md. `workmate reload` has it join the others.",
        file.display()
    ));
    Ok(())
}

fn file_of(dir: &Path, id: &str) -> Option<PathBuf> {
    ["yaml", "yml"].iter().map(|end| dir.join(format!("{id}.{end}"))).find(|file| file.exists())
}

/// Writes a new file that its folder's readers can read, and never over another.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let place = || format!("{}\n  Mend: make its folder, or run this as the user that may write there", file.display());
    let mut new = OpenOptions::new().write(true).create_new(true).open(file).with_context(place)?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).with_context(place)
}

/// Returns what the file is to say, asking for what no flag says.
fn described(args: &NewArgs, may_ask: bool) -> anyhow::Result<NewCoworker> {
    let needed = |flag: &str, question: &str| -> anyhow::Result<String> {
        if may_ask {
            let answer = ask(question)?;
            if !answer.is_empty() {
                return Ok(answer);
            }
        }
        Err(anyhow!("--{flag} is missing\n  Mend: give it, or run this on a terminal, where it is asked."))
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None if may_ask => Some(ask(&format!("Its name [{}]:", args.id))?)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| args.id.clone()),
        None => args.id.clone(),
    };
    let purpose = match &args.purpose {
        Some(purpose) => purpose.clone(),
        None => needed("purpose", "What should people ask it for, in one line?")?,
    };
    let instructions = match (&args.instructions, &args.instructions_file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => fs::read_to_string(file).with_context(|| file.display().to_string())?,
        (None, None) => needed("instructions", "What should it do, and how? One line; the file takes more later.")?,
    };
    Ok(NewCoworker {
        id: args.id.clone(),
        name,
        purpose,
        instructions,
        model: args.model.clone(),
        effort: args.effort.clone(),
        budget_usd_month: args.budget.clone(),
        tools: args.tools.clone(),
    })
}

fn ask(question: &str) -> anyhow::Result<String> {
    let mut answer = String::new();
    let _ = write!(io::stderr(), "{question} ");
    io::stdin().lock().read_line(&mut answer).context("the answer cannot be read")?;
    Ok(answer.trim().to_owned())
}

/// Moves the file aside, has a running Workmate go on without it, and retires the coworker.
fn remove(args: &RemoveArgs) -> anyhow::Result<()> {
    let dir = Config::coworkers_dir_of(&args.config.path());
    let Some(file) = file_of(&dir, &args.id) else {
        bail!(
            "{}: there is no such file\n  Mend: name a coworker as its file is called. One whose file is gone already leaves \
             with `workmate retire {}`.",
            dir.join(format!("{}.yaml", args.id)).display(),
            args.id
        );
    };
    let aside = file.with_extension("yaml.removed");
    let place = || format!("{}\n  Mend: run this as the user that may change it", file.display());
    if args.yes {
        fs::remove_file(&file).with_context(place)?;
        say(format!("{} is deleted.", file.display()));
    } else {
        fs::rename(&file, &aside).with_context(place)?;
        say(format!("{} is now {}.", file.display(), aside.display()));
    }
    match reload::ask(&args.config) {
        Ok(Some(said)) => say(said),
        Ok(None) => {
            complain(&format!(
                "no workmate runs with this configuration: once it does, `workmate retire {}` has it leave its rooms.",
                args.id
            ));
            return Ok(());
        }
        Err(error) if args.yes => return Err(error.context("the running workmate still serves it")),
        Err(error) => {
            // As it was, so that file and service agree.
            fs::rename(&aside, &file).with_context(place)?;
            return Err(error.context(format!("{} is back, because the rest could not be done", file.display())));
        }
    }
    retire::one(&Config::load(&args.config.path())?, &args.id)
}
