//! Tests what `init` writes, in a temporary folder.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _};

use clap::Parser as _;
use tempfile::TempDir;

use super::*;
use crate::{
    cli::{Cli, Command, check},
    config::Config,
};

fn args(dir: &TempDir, more: &[&str]) -> InitArgs {
    let dir = dir.path().to_str().unwrap();
    let cli = Cli::try_parse_from([&["workmate", "init", "--dir", dir], more].concat()).expect("parses");
    let Command::Init(args) = cli.command else { panic!("is init") };
    args
}

/// Returns every file below `dir` with its name, mode and text.
fn files_of(dir: &Path) -> BTreeMap<String, (u32, String)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                files.insert(name, (mode, fs::read_to_string(path).unwrap()));
            }
        }
    }
    files
}

fn load(dir: &TempDir) -> Config {
    Config::load_with(&dir.path().join("config/workmate.yaml"), &|_| None).expect("loads").0
}

#[test]
fn without_arguments_it_writes_the_repository_s_own_files_with_fresh_secrets() {
    let dir = tempfile::tempdir().unwrap();
    write(&args(&dir, &[])).expect("writes");

    let mut files = files_of(dir.path());
    let config = load(&dir);
    let secrets = ["config/master.secret", "config/secrets/as_token", "config/secrets/hs_token"].map(|name| {
        let (mode, text) = files.remove(name).expect(name);
        assert_eq!((mode, text.len()), (0o600, 44), "{name}");
        text.trim_end().to_owned()
    });
    assert!(config.appservice.as_token.matches(&secrets[1]) && config.appservice.hs_token.matches(&secrets[2]));
    let (mode, registration) = files.remove("registration.yaml").expect("is written");
    let placeholders = registration.replace(&secrets[1], "<as_token>").replace(&secrets[2], "<hs_token>");
    assert_eq!(mode, 0o600);
    assert_eq!(placeholders, include_str!("../../../registration.yaml"));
    let texts: BTreeMap<&str, &str> = files.iter().map(|(name, (_, text))| (name.as_str(), text.as_str())).collect();
    let expected = BTreeMap::from([
        ("config/workmate.yaml", include_str!("../../../config/workmate.yaml")),
        ("config/coworkers/oncall.yaml", include_str!("../../../config/coworkers/oncall.yaml")),
        ("config/coworkers/ci.yaml", include_str!("../../../config/coworkers/ci.yaml")),
        ("config/coworkers/sales.yaml", include_str!("../../../config/coworkers/sales.yaml")),
        ("config/workmate.schema.json", include_str!("../../../config/workmate.schema.json")),
        ("config/coworker.schema.json", include_str!("../../../config/coworker.schema.json")),
    ]);
    assert_eq!(texts, expected);
}

#[test]
fn its_arguments_reach_config_and_registration() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["--homeserver", "https://hs.test", "--server-name", "my.test", "--listen", "0.0.0.0:29331"];
    write(&args(&dir, &more)).expect("writes");

    let config = load(&dir);
    let registration = Registration::of(&config);
    assert_eq!(config.homeserver.url.as_str(), "https://hs.test/");
    assert_eq!(config.appservice.listen.to_string(), "0.0.0.0:29331");
    assert_eq!(registration.url, "http://127.0.0.1:29331");
    assert_eq!(config.health_listen.to_string(), "127.0.0.1:29332");
    assert_eq!(registration.users_regex, r"^@(workmate|coworker-.+|assistant-.+):my\.test$");
    let ids: Vec<&str> = config.coworkers.iter().map(|coworker| coworker.id.0.as_str()).collect();
    assert_eq!(ids, ["ci", "oncall", "sales"]);
}

#[test]
fn it_overwrites_nothing_and_names_what_stands_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    write(&args(&dir, &[])).expect("writes");
    let before = files_of(dir.path());
    let config = dir.path().join("config");
    for name in
        ["secrets/as_token", "secrets/hs_token", "coworkers/oncall.yaml", "coworkers/ci.yaml", "coworkers/sales.yaml"]
    {
        fs::remove_file(config.join(name)).unwrap();
    }

    let error = write(&args(&dir, &[])).err().expect("is refused").to_string();

    let root = dir.path().display();
    let expected = format!(
        "nothing was written: these files are there already\n  {root}/config/master.secret\n  {root}/config/workmate.yaml\n  \
         {root}/registration.yaml\n  Mend: choose another --dir, or replace them with --force, which keeps dated copies; an \
         existing master secret and coworkers' files stay even then. Only new tokens: --new-tokens."
    );
    assert_eq!(error, expected);
    let after = files_of(dir.path());
    assert_eq!(after.len(), 5);
    assert!(after.iter().all(|(name, file)| before.get(name) == Some(file)));
}

#[test]
fn force_makes_new_tokens_and_keeps_the_master_secret() {
    let dir = tempfile::tempdir().unwrap();
    write(&args(&dir, &[])).expect("writes");
    let before = load(&dir);

    let written = write(&args(&dir, &["--force"])).expect("writes again");

    let after = load(&dir);
    assert!(written.master_kept);
    assert_eq!(after.master.derive("x"), before.master.derive("x"));
    assert!(!after.appservice.hs_token.matches(before.appservice.hs_token.expose()));
    assert_ne!(after.fingerprint(), before.fingerprint());
}

/// As a package installs it: `--dir` is a root in which `/etc` is.
#[test]
fn for_a_system_s_service_config_and_registration_are_in_etc_and_the_data_is_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let system = args(&dir, &["--system", "--server-name", "my.test"]);
    let written = write(&system).expect("writes");
    let config = dir.path().join("etc/workmate/workmate.yaml");
    let loaded = || Config::load_with(&config, &|_| None).expect("loads").0;
    let before = loaded();

    let names: Vec<String> = files_of(dir.path()).into_keys().collect();
    let expected = [
        "coworker.schema.json",
        "coworkers/ci.yaml",
        "coworkers/oncall.yaml",
        "coworkers/sales.yaml",
        "master.secret",
        "registration.yaml",
        "secrets/as_token",
        "secrets/hs_token",
        "workmate.schema.json",
        "workmate.yaml",
    ];
    assert_eq!(names, expected.map(|name| format!("etc/workmate/{name}")));
    assert_eq!(before.data_dir, Path::new("/var/lib/workmate"));
    let (summary, _) = check::check(&config, &|_| None).expect("no faults");
    assert!(summary.contains("registration.yaml agrees"), "{summary}");
    let said = words::next_steps(&system, &written);
    assert!(said.contains("systemctl enable --now workmate") && !said.contains("export ANTHROPIC"), "{said}");

    // What the install could not know is named afterwards; a rotation finds the files too.
    write(&args(&dir, &["--system", "--force", "--server-name", "other.test"])).expect("writes again");
    assert_eq!(loaded().homeserver.server_name, "other.test");
    assert_eq!(loaded().data_dir, before.data_dir);
    let config = Places::of(&system).config();
    let (held, _) = Config::load_leaving_out(&config, &|_| None).expect("loads");
    rotating::rotate(&config, &held).expect("rotates");
}

/// Returns the copies that `init` made of a file.
fn copies_of(dir: &TempDir, name: &str) -> Vec<String> {
    let files = files_of(dir.path());
    files.into_iter().filter(|(path, _)| path.starts_with(&format!("{name}.bak-"))).map(|(_, (_, text))| text).collect()
}

#[test]
fn op8_force_resets_nothing_without_a_copy_and_carries_over_where_the_homeserver_is() {
    let dir = tempfile::tempdir().unwrap();
    write(&args(&dir, &["--server-name", "my.test", "--homeserver", "https://hs.test"])).expect("writes");
    let (config, ours) = (dir.path().join("config/workmate.yaml"), dir.path().join("config/coworkers/oncall.yaml"));
    let edited = fs::read_to_string(&config).unwrap().replace("claude-opus-5-5", "claude-haiku-5-5");
    fs::write(&config, &edited).unwrap();
    let own = fs::read_to_string(&ours).unwrap() + "\n# ours\n";
    fs::write(&ours, &own).unwrap();

    let written = write(&args(&dir, &["--force"])).expect("writes again");

    let after = load(&dir);
    assert_eq!((after.homeserver.server_name.as_str(), after.homeserver.url.as_str()), ("my.test", "https://hs.test/"));
    assert_eq!(copies_of(&dir, "config/workmate.yaml"), [edited]);
    assert_eq!(copies_of(&dir, "registration.yaml").len(), 1);
    assert_eq!(fs::read_to_string(&ours).unwrap(), own);
    assert_eq!(written.copies.len(), 4, "{:?}", written.copies);
    let said = words::next_steps(&args(&dir, &["--force"]), &written);
    assert!(written.copies.iter().all(|copy| said.contains(&copy.display().to_string())), "{said}");

    fs::write(&config, "homeserver: [").unwrap();
    let refused = write(&args(&dir, &["--force"])).err().expect("is refused").to_string();
    assert!(refused.contains("nothing was written") && refused.contains("--server-name"), "{refused}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "homeserver: [");
}

#[test]
fn op8_new_tokens_change_tokens_and_registration_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    write(&args(&dir, &["--server-name", "my.test"])).expect("writes");
    let config = dir.path().join("config/workmate.yaml");
    let edited = fs::read_to_string(&config).unwrap().replace("claude-opus-5-5", "claude-haiku-5-5");
    fs::write(&config, &edited).unwrap();
    let before = load(&dir);

    let rotated = rotating::rotate(&config, &before).expect("rotates");

    let after = load(&dir);
    assert_eq!(fs::read_to_string(&config).unwrap(), edited);
    assert!(!after.appservice.as_token.matches(before.appservice.as_token.expose()));
    assert_eq!(Registration::of(&after).compare(&rotated.registration).expect("agrees"), []);
    assert_eq!(rotated.copies.len(), 1);
    assert!(rotated.previous.iter().all(|file| file.exists()), "{rotated:?}");
    let held = after.appservice.before.iter().flatten().map(|token| token.expose().to_owned());
    assert_eq!(
        held.collect::<Vec<_>>(),
        [&before.appservice.as_token, &before.appservice.hs_token].map(Secret::expose)
    );
    assert!(files_of(dir.path()).iter().all(|(name, (mode, _))| !name.contains(".bak-") || *mode == 0o600));

    fs::write(&config, edited.replace("as_token_file: secrets/as_token", "as_token_file: master.secret")).unwrap();
    let refused = rotating::rotate(&config, &load(&dir)).expect_err("the file is another key's, too").to_string();
    assert!(refused.contains("nothing was written"), "{refused}");

    let elsewhere = tempfile::tempdir().unwrap();
    let refused = written_before(&args(&elsewhere, &[])).expect_err("nothing is there").to_string();
    assert!(refused.contains("nothing was changed") && refused.contains("--dir"), "{refused}");
}

#[test]
fn op2_a_listener_on_every_address_is_told_of_with_the_url_that_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let args = args(&dir, &["--listen", "0.0.0.0:29330"]);
    let said = words::next_steps(&args, &write(&args).expect("writes"));
    assert!(said.contains("--force --url http://ADDRESS:29330"), "{said}");
    let (_, warnings) = check::check(&dir.path().join("config/workmate.yaml"), &|_| None).expect("no faults");
    assert!(warnings.iter().any(|warning| warning.key == "appservice.url"), "{warnings:?}");
}

#[test]
fn a_new_master_secret_leaves_every_old_one_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    write(&args(&dir, &[])).expect("writes");
    let secret = |name: &str| fs::read_to_string(dir.path().join("config").join(name)).expect(name);
    let first = secret("master.secret");
    write(&args(&dir, &["--force", "--new-master-secret"])).expect("writes again");
    let second = secret("master.secret");
    write(&args(&dir, &["--force", "--new-master-secret"])).expect("writes a third time");

    assert_eq!([secret("master.secret.old"), secret("master.secret.old.2")], [first.clone(), second.clone()]);
    assert!(secret("master.secret") != first && secret("master.secret") != second && first != second);
}

#[test]
fn what_it_says_names_the_registration_for_each_homeserver_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let args = args(&dir, &[]);
    let written = write(&args).expect("writes");
    let said = words::next_steps(&args, &written);

    let registration = dir.path().canonicalize().unwrap().join("registration.yaml").display().to_string();
    let config = load(&dir);
    for wanted in [
        &format!("app_service_config_files:\n      - {registration}\n"),
        "appservice_dir = ",
        "io.element.msc4190: true",
        "!admin appservices register\n",
        "--server-name NAME",
        "workmate doctor --config ",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in\n{said}");
    }
    let secrets = [config.appservice.as_token, config.appservice.hs_token, config.master.encode()];
    assert!(secrets.iter().all(|secret| !said.contains(secret.expose())));
}

#[test]
fn what_it_writes_passes_check_with_the_missing_key_as_its_only_warning() {
    let dir = tempfile::tempdir().unwrap();
    write(&args(&dir, &[])).expect("writes");
    let (summary, warnings) = check::check(&dir.path().join("config/workmate.yaml"), &|_| None).expect("no faults");
    let warned: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(warned, ["claude.api_key"]);
    assert!(summary.contains("no faults, 1 warning\n"), "{summary}");
}

#[test]
fn op4_what_stands_in_the_way_of_init_is_named_and_nothing_waits_for_a_pipe() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "").expect("written");
    std::os::unix::fs::symlink("loop", at("loop")).expect("linked");
    fs::create_dir_all(at("piped/config")).expect("made");
    nix::unistd::mkfifo(&at("piped/registration.yaml"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    fs::create_dir_all(at("foldered/registration.yaml")).expect("made");
    for (name, force, words) in [
        ("file", false, "file is not a folder\n  Mend: choose another --dir, or move it away."),
        ("file/below", false, "file is not a folder\n  Mend: choose another --dir, or move it away."),
        ("loop", false, "loop is not a folder\n  Mend: choose another --dir, or move it away."),
        ("piped", true, "registration.yaml is a pipe, a socket or a device, not a file\n  Mend: move it away"),
        ("foldered", true, "registration.yaml is a folder, not a file\n  Mend: move it away"),
    ] {
        let dir = at(name).display().to_string();
        let mut line = vec!["workmate", "init", "--dir", &dir];
        line.extend(force.then_some("--force"));
        let Command::Init(args) = Cli::try_parse_from(line).expect("parses").command else { panic!("is init") };
        let error = super::run(&args).expect_err(name).to_string();
        assert!(error.starts_with("nothing was written: ") && error.contains(words), "{name}: {error}");
    }
}
