//! What `init` says: what stands in the way, or what to do next.

use std::path::{Path, PathBuf};

use super::{InitArgs, SERVER_NAME, Written};

/// Says which files are there already.
pub(super) fn in_the_way(files: &[PathBuf]) -> String {
    let list: Vec<String> = files.iter().map(|file| format!("  {}", file.display())).collect();
    format!(
        "nothing was written: these files are there already\n{}\n  Mend: choose another --dir, or replace them with \
         --force (an existing master secret is kept even then).",
        list.join("\n")
    )
}

/// Says what was written, what the homeserver must be told, and what to run.
pub(super) fn next_steps(args: &InitArgs, written: &Written) -> String {
    let registration = absolute(&written.registration);
    let registration = registration.display();
    let mut parts = vec![what_was_written(written)];
    if args.server_name == SERVER_NAME {
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
         Tuwunel: put a copy into the folder that tuwunel.toml names, then restart it\n    [global]\n    appservice_dir \
         = \"/var/lib/tuwunel/appservices\"\n  or send `!admin appservices register` with the file's text in a code \
         block in the admin room.\n  It needs the line `io.element.msc4190: true`, which the file has.\n\n  \
         Continuwuity: send to the admin room, the file's text in the code block\n    !admin appservices register\n    \
         ```\n    (the text of {registration})\n    ```"
    ));
    parts.push(format!(
        "Then:\n  export ANTHROPIC_API_KEY=…      (or set claude.api_key_file in the config)\n  workmate check --config \
         {config}\n  workmate serve --config {config}",
        config = written.config.display()
    ));
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
    format!(
        "Written, with fresh tokens:\n  {config}\n  {coworkers}: oncall, ci, sales\n  {registration}\n  {master_file}: \
         {master}",
        config = written.config.display(),
        coworkers = written.config.with_file_name("coworkers").display(),
        registration = written.registration.display(),
        master_file = written.master.display(),
    )
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
