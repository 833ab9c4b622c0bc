//! The messages of `init`: what is in the way, or what to do next.

use std::path::{Path, PathBuf};

use super::{InitArgs, SERVER_NAME, Written};
use crate::config::Faults;

/// Says which files exist already.
pub(super) fn in_the_way(files: &[PathBuf]) -> String {
    let list: Vec<String> = files.iter().map(|file| format!("  {}", file.display())).collect();
    format!(
        "nothing was written: these files are there already\n{}\n  Mend: choose another --dir, or replace them with \
         --force, which keeps dated copies; an existing master secret and coworkers' files stay even then. Only new \
         tokens: --new-tokens.",
        list.join("\n")
    )
}

/// Says that there is no configuration whose tokens could be replaced.
pub(super) fn nothing_to_rotate(config: &Path) -> String {
    format!(
        "nothing was changed: {}: there is no such file, so there are no tokens to replace\n  Mend: name the folder of your \
         installation with --dir (or --system), or run `workmate init` without --new-tokens.",
        config.display()
    )
}

/// Says what was written, what the homeserver must be told, and what to run.
pub(super) fn next_steps(args: &InitArgs, written: &Written) -> String {
    let registration = absolute(&written.registration);
    let registration = registration.display();
    let mut parts = vec![what_was_written(written)];
    if args.url.is_none() && written.listen.ip().is_unspecified() {
        parts.push(format!(
            "Workmate listens on every address, and the registration's url names this machine alone. If the homeserver is\n\
             elsewhere (another machine, a container), run this again with\n  --force --url http://ADDRESS:{}",
            written.listen.port()
        ));
    }
    if written.server_name == SERVER_NAME {
        parts.push(format!(
            "The server name is still the example, {SERVER_NAME}. Unless it is yours, run this again with\n  --force \
             --server-name NAME"
        ));
    }
    parts.push(format!(
        "Tell the homeserver of it, in one of these ways:\n\n  \
         Synapse (1.141 or later): add to homeserver.yaml, then restart it\n    app_service_config_files:\n      - \
         {registration}\n  Only you can read that file now. Where Synapse runs as another user, name a copy of its own instead:\n    \
         sudo install -o matrix-synapse -m 600 {registration} \\\n      /etc/matrix-synapse/workmate.yaml\n\n  \
         Tuwunel (1.8.3 or later): put a copy into the folder that tuwunel.toml names, then restart it\n    [global]\n    appservice_dir \
         = \"/var/lib/tuwunel/appservices\"\n  or send `!admin appservices register` with the file's text in a code \
         block in the admin room.\n  It needs the line `io.element.msc4190: true`, which the file has.\n\n  \
         Continuwuity (26.7.0 or later): send to the admin room, the file's text in the code block\n    !admin appservices register\n    \
         ```\n    (the text of {registration})\n    ```"
    ));
    parts.push(if args.system {
        format!(
            "Then:\n  echo 'ANTHROPIC_API_KEY=…' | sudo tee {} > /dev/null\n  sudo systemctl enable --now workmate\n  sudo \
             workmate doctor",
            written.config.with_file_name("environment").display()
        )
    } else {
        format!(
            "Then:\n  export ANTHROPIC_API_KEY=…      (or set claude.api_key_file in the config)\n  workmate doctor \
             --config {config}\n  workmate serve --config {config}",
            config = written.config.display()
        )
    });
    parts.join("\n\n")
}

fn what_was_written(written: &Written) -> String {
    let master = match (&written.master_before, written.master_kept) {
        (Some(before), _) => {
            format!("new; the one of before is now {}. What it encrypted opens only with it.", before.display())
        }
        (None, true) => "kept as it was".to_owned(),
        (None, false) => {
            "new. Keep a copy apart from this machine: without it a lost disk is lost for good.".to_owned()
        }
    };
    let coworkers_are = if written.coworkers_kept { "kept as they were" } else { "oncall, ci, sales" };
    let mut text = format!(
        "Written, with fresh tokens:\n  {config}\n  {coworkers}: {coworkers_are}\n  {registration}\n  {master_file}: \
         {master}",
        config = written.config.display(),
        coworkers = written.config.with_file_name("coworkers").display(),
        registration = written.registration.display(),
        master_file = written.master.display(),
    );
    if !written.copies.is_empty() {
        text.push_str("\nWhat was there before:");
        for copy in &written.copies {
            text.push_str("\n  ");
            text.push_str(&copy.display().to_string());
        }
        text.push_str(
            "\nThe config is a new one: of the old, only the homeserver's url and name and our own addresses were carried \
             over.\nCompare the two, and give the homeserver the new registration.",
        );
    }
    text
}

/// Says that the config to be replaced cannot be read.
pub(super) fn not_carried_over(config: &Path, faults: &Faults) -> String {
    format!(
        "nothing was written: {} has faults, so that what it says cannot be carried over\n{faults}\n  Mend: mend these, or say \
         all of --homeserver, --server-name and --listen.",
        config.display()
    )
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
