//! The command line: parses commands and dispatches them.

pub(crate) mod audit;
mod calling;
pub(crate) mod check;
pub(crate) mod coworker;
#[cfg_attr(not(feature = "doubles"), path = "cli/no_demo.rs")]
pub mod demo;
pub(crate) mod doctor;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod pages;
pub(crate) mod reload;
pub(crate) mod retire;
pub mod say;
pub(crate) mod serve;
pub(crate) mod telemetry;
mod width;
pub(crate) mod wrap;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{
    Parser, Subcommand,
    builder::{PathBufValueParser, TypedValueParser as _},
};

use self::say::{complain, help};
use crate::{config::written_out, core::people::CoworkerId};

/// The exit code of a command that found faults; clap exits with 2 on an invalid command line.
const FAULTS: u8 = 1;

/// Puts Claude into Matrix rooms, as coworkers and as private assistants.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration, a registration with fresh tokens and a master secret.
    Init(init::InitArgs),
    /// Say everything that is wrong with the configuration, without starting.
    Check(check::CheckArgs),
    /// Try everything that can be wrong, and say how to mend it.
    Doctor(doctor::DoctorArgs),
    /// Serve the homeserver until stopped.
    Serve(serve::ServeArgs),
    /// Make fresh tokens for Workmate and the homeserver, without a pause in between.
    RotateTokens(init::RotateArgs),
    /// Ask the Workmate that runs on this machine whether it is alive, for health checks.
    Health(health::HealthArgs),
    /// List, show and export past runs: who asked, which tools, how it ended, tokens and cost; never content.
    Audit(audit::AuditArgs),
    /// Write a new coworker's file, or take a coworker out of service.
    Coworker(coworker::CoworkerArgs),
    /// Have the running Workmate read its configuration again; with a fault in any file, nothing changes.
    Reload(reload::ReloadArgs),
    /// Have a coworker whose file is gone leave its rooms, or take out all of Workmate.
    Retire(retire::RetireArgs),
    /// Show it all on this machine: a homeserver of its own, people, rooms, coworkers, an assistant.
    Demo(demo::DemoArgs),
    /// Write manual pages and shell completions, for packages.
    #[command(hide = true)]
    Pages(pages::PagesArgs),
    /// Decode files in a sandbox: what `serve` starts by itself.
    #[command(hide = true)]
    Decode,
}

/// The config file option of commands that need it.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The config file [default: $WORKMATE_CONFIG, else config/workmate.yaml, else /etc/workmate/workmate.yaml].
    #[arg(long = "config", value_name = "FILE", value_parser = path_parser())]
    pub given: Option<PathBuf>,
}

/// The default config file.
const CONFIG: &str = "config/workmate.yaml";
/// The config file of a system's service, where the default one is not there.
const SYSTEM_CONFIG: &str = "/etc/workmate/workmate.yaml";

impl ConfigFile {
    /// Returns the config file from the command line, else from `WORKMATE_CONFIG`, else the default, else the system's.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.path_with(std::env::var_os("WORKMATE_CONFIG"), Path::exists)
    }

    fn path_with(&self, named: Option<std::ffi::OsString>, is_there: impl Fn(&Path) -> bool) -> PathBuf {
        let named = || named.filter(|named| !named.is_empty()).map(PathBuf::from);
        let usual = || {
            let is_system = !is_there(Path::new(CONFIG)) && is_there(Path::new(SYSTEM_CONFIG));
            PathBuf::from(if is_system { SYSTEM_CONFIG } else { CONFIG })
        };
        self.given.clone().or_else(named).unwrap_or_else(usual)
    }
}

/// Parses a path that the shell has not seen, as behind `--dir=~/x`: what it would replace is an error.
fn path_parser() -> clap::builder::ValueParser {
    clap::builder::ValueParser::new(PathBufValueParser::new().try_map(written_out))
}

/// Parses a coworker's id, which is its file's name.
fn coworker_id(text: &str) -> Result<String, String> {
    if CoworkerId::is_one(text) {
        return Ok(text.to_owned());
    }
    Err("not a coworker's id; write it as its file is called, such as oncall for oncall.yaml".to_owned())
}

/// Parses the command line. Where it asks for help, or is wrong, that has been said when this returns the exit code.
///
/// # Errors
/// The exit code to end with.
pub fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        let text = error.render().to_string();
        if error.use_stderr() {
            complain(text.trim_end());
        } else {
            help(&text);
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAULTS))
    })
}

/// Reports that the runtime cannot be started.
#[must_use]
pub fn cannot_begin(error: &std::io::Error) -> ExitCode {
    complain(&format!("the system gives no threads to work with: {error}"));
    ExitCode::from(FAULTS)
}

/// Runs one command; errors have been printed when it returns.
pub async fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Init(args) if args.new_tokens => init::rotate_in(&args).await,
        Command::Init(args) => init::run(&args),
        Command::Check(args) => Box::pin(check::run(&args)).await,
        Command::Doctor(args) => return Box::pin(doctor::run(&args)).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Health(args) => health::run(&args).await,
        Command::Audit(args) => audit::run(args),
        Command::RotateTokens(args) => init::rotate(&args).await,
        Command::Coworker(args) => coworker::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Retire(args) => retire::run(&args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Pages(args) => pages::run(&args),
        Command::Decode => return crate::sandbox::child::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(FAULTS)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_a_wrong_one_ends_with_2() {
        Cli::command().debug_assert();
        assert!(Cli::command().find_subcommand(crate::sandbox::COMMAND).is_some_and(clap::Command::is_hide_set));
        for line in
            ["workmate", "workmate init --homeserver ftp://x", "workmate init --new-master-secret", "workmate x"]
        {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn op12_the_help_of_every_command_fits_80_columns_under_its_own_column() {
        fn each(command: &mut clap::Command, seen: &mut Vec<String>) {
            for text in [command.render_help(), command.render_long_help()].map(|text| text.to_string()) {
                let wrapped = wrap::wrapped(&text, wrap::COLUMNS);
                let long: Vec<&str> = wrapped.lines().filter(|line| width::width(line) > wrap::COLUMNS).collect();
                assert_eq!(long, Vec::<&str>::new(), "{}", command.get_name());
                // What an option means goes on where it began.
                let column = |line: &str| line.len() - line.trim_start().len();
                for (above, line) in wrapped.lines().zip(wrapped.lines().skip(1)) {
                    let begins =
                        above.rfind("  ").map(|at| at + 2).filter(|at| above.trim_start().starts_with('-') && *at > 6);
                    let goes_on = !line.trim().is_empty() && !line.trim_start().starts_with('-') && column(line) > 6;
                    assert!(!goes_on || begins.is_none_or(|at| column(line) == at || at > 40), "{above}\n{line}");
                }
            }
            seen.push(command.get_name().to_owned());
            command.get_subcommands_mut().for_each(|command| each(command, seen));
        }
        let (mut command, mut seen) = (Cli::command(), Vec::new());
        command.build();
        each(&mut command, &mut seen);
        assert!(seen.len() > 10, "{seen:?}");
    }

    #[test]
    fn op4_an_argument_out_of_range_is_refused_with_a_word_about_what_it_should_be() {
        for (line, word) in [
            ("init --listen :0", "an IP address and a port"),
            ("init --listen ", "an IP address and a port"),
            ("init --listen 29330", "an IP address and a port"),
            ("init --listen localhost:29330", "an IP address and a port"),
            ("init --listen 127.0.0.1:70000", "an IP address and a port"),
            ("init --listen 127.0.0.1:-1", "an IP address and a port"),
            ("init --listen 127.0.0.1:0", "port 0"),
            ("init --listen [::]:0", "port 0"),
            ("init --homeserver http://h:0", "port 0"),
            ("init --homeserver ", "not a URL"),
            ("init --url http://h:0", "port 0"),
            ("init --server-name ", "write it like example.org"),
            ("init --server-name -", "write it like example.org"),
            ("init --server-name ..", "write it like example.org"),
            ("init --server-name https://a.org", "write it like example.org"),
            ("init --server-name a.org:70000", "write it like example.org"),
            ("init --dir=~/workmate", "write the path out"),
            ("init --dir $HOME", "write the path out"),
            ("check --config=~/workmate.yaml", "write the path out"),
            ("audit list --limit 0", "from 1 on"),
            ("audit list --limit -1", "from 1 on"),
            ("audit list --limit 99999999999999999999999", "from 1 on"),
            ("audit export --limit 0", "from 1 on"),
            ("audit list --coworker ", "as its file is called"),
            ("audit list --coworker @coworker-oncall:a.org", "as its file is called"),
            ("audit list --tool ", "a tool's name"),
            ("audit list --room #a:b.org", "a room's id"),
            ("retire ", "as its file is called"),
            ("retire @coworker-oncall:a.org", "as its file is called"),
            ("retire ../x", "as its file is called"),
        ] {
            let words = ["workmate"].into_iter().chain(line.split(' '));
            let error = Cli::try_parse_from(words).expect_err(line);
            assert!(error.to_string().contains(word) && error.exit_code() == 2, "{line}: {error}");
        }
    }

    #[test]
    fn the_config_file_is_the_one_given_or_the_environment_s_or_the_usual_or_the_system_s() {
        let file = |given: Option<&str>, named: Option<&str>, there: &[&str]| {
            let given = ConfigFile { given: given.map(PathBuf::from) };
            let is_there = |path: &Path| there.contains(&path.to_str().unwrap_or_default());
            given.path_with(named.map(Into::into), is_there).display().to_string()
        };
        let (both, system) = ([CONFIG, SYSTEM_CONFIG], [SYSTEM_CONFIG]);
        let named = [file(Some("a"), Some("b"), &both), file(None, Some("b"), &system)];
        let usual = [file(None, Some(""), &[]), file(None, None, &both), file(None, None, &system)];
        assert_eq!(named, ["a", "b"]);
        assert_eq!(usual, [CONFIG, CONFIG, SYSTEM_CONFIG]);
    }

    #[tokio::test]
    async fn faults_end_with_1_and_success_with_0() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = dir.path().join("config/workmate.yaml").display().to_string();
        let dir = dir.path().display().to_string();
        let lines = [
            ["workmate", "check", "--config", &config],
            ["workmate", "init", "--dir", &dir],
            ["workmate", "check", "--config", &config],
            ["workmate", "init", "--dir", &dir],
        ];
        let mut codes = Vec::new();
        for line in lines {
            let code = Box::pin(run(Cli::try_parse_from(line).expect("parses"))).await;
            codes.push(format!("{code:?}"));
        }
        let (ok, faults) = (format!("{:?}", ExitCode::SUCCESS), format!("{:?}", ExitCode::from(FAULTS)));
        assert_eq!(codes, [faults.clone(), ok.clone(), ok, faults]);
    }
}
