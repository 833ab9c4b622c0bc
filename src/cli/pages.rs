//! `workmate pages`: manual pages and shell completions, made of the command line's own definition. Packages call it; by
//! hand, `workmate pages --dir /usr/local/share` puts them where `man` and the shells look.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow};
use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};

use super::{Cli, say::say};
use crate::config::{reason, whose_if_denied};

/// The program's name in pages and completions.
const NAME: &str = "workmate";
/// Where shells look for completions, below a `share` folder.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];
/// Where bash looks for a command's completion: a file of the command's own name.
const BASH: &str = "bash-completion/completions/workmate";

/// What `pages` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct PagesArgs {
    /// The folder to write to, such as /usr/local/share.
    #[arg(long, value_name = "DIR", value_parser = super::path_parser())]
    pub dir: PathBuf,
}

/// Writes the pages and completions.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn run(args: &PagesArgs) -> Result<()> {
    let written = write(&args.dir)?;
    say(format!("{written} manual pages, and completions for bash, zsh and fish, are in {}", args.dir.display()));
    Ok(())
}

/// Returns how many manual pages were written.
fn write(dir: &Path) -> Result<usize> {
    let folder = |name: &str| {
        let folder = dir.join(name);
        fs::create_dir_all(&folder).map_err(|error| cannot(&folder, &error))?;
        anyhow::Ok(folder)
    };
    let man = folder("man/man1")?;
    let failed = |error: std::io::Error| cannot(dir, &error);
    clap_mangen::generate_to(Cli::command(), &man).map_err(failed)?;
    for (shell, place) in COMPLETIONS {
        generate_to(shell, &mut Cli::command(), NAME, folder(place)?).map_err(failed)?;
    }
    let bash = dir.join(BASH);
    fs::rename(bash.with_extension("bash"), &bash).map_err(failed)?;
    Ok(fs::read_dir(&man).map_err(failed)?.count())
}

/// Returns the error that something cannot be written, with a remedy.
fn cannot(path: &Path, error: &std::io::Error) -> anyhow::Error {
    anyhow!(
        "{} cannot be written: {}{}\n  Mend: name a folder in which you may write with --dir, or run this with sudo.",
        path.display(),
        reason(error),
        whose_if_denied(path, error)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_manual_page_and_the_shells_know_all_of_them() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path()).expect("written");
        let read =
            |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let whole = read("man/man1/workmate.1");
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let page = read(&format!("man/man1/workmate-{name}.1"));
            assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{name}: {page}");
            // A hyphen is escaped there.
            assert!(whole.replace('\\', "").contains(name), "{name}");
            for shell in [BASH, "zsh/site-functions/_workmate", "fish/vendor_completions.d/workmate.fish"] {
                assert!(read(shell).contains(name), "{shell}: {name}");
            }
        }
        assert!(read("man/man1/workmate-doctor.1").contains("Print one JSON object"));
        assert!(!dir.path().join("man/man1/workmate-decode.1").exists(), "what is hidden is not explained");
    }

    #[test]
    fn op4_a_folder_that_cannot_be_written_is_named_with_a_mend() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let told = write(&file).expect_err("it is a file").to_string();
        assert!(told.contains("/file/man/man1 cannot be written: it, or a part of its path, is no folder"), "{told}");
        assert!(told.contains("Mend: name a folder") && !told.contains("os error"), "{told}");
    }
}
