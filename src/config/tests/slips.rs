//! What operators type wrongly, as whole files: each has its line, what is wrong, and how to mend it.

use super::*;

/// Asserts what is said of the only fault of `MINIMAL` with one replacement.
#[track_caller]
fn told(from: &str, to: &str, at: &str, mend: &str) {
    assert!(MINIMAL.contains(from), "nothing to replace");
    let folder = Folder::new(&MINIMAL.replacen(from, to, 1));
    let faults = folder.load(&[]).expect_err(to);
    let text = faults.to_string().replace(&format!("{}/", folder.0.path().display()), "");
    assert_eq!(faults.as_slice().len(), 1, "{text}");
    assert!(text.starts_with(at) && text.contains(mend), "{to}: {text}");
}

#[test]
fn op4_a_path_that_only_a_shell_could_read_is_a_fault_and_no_folder() {
    for (key, mend) in [
        ("data_dir: ~/data", "data_dir: \"~/data\" holds `~`, which only a shell replaces"),
        ("data_dir: $HOME/data", "holds `$HOME`"),
        ("data_dir: \"%h/data\"", "holds `%h`, which only systemd replaces"),
        ("coworkers_dir: ~/coworkers", "coworkers_dir: \"~/coworkers\""),
        ("registration_file: ${HOME}/registration.yaml", "holds `${HOME}`"),
        ("claude: {api_key_file: ~/key}", "claude.api_key_file"),
        ("credentials: {x: {value_file: ~/key}}", "credentials.x.value_file"),
        ("mcp_servers: {x: {command: [~/bin/server]}}", "mcp_servers.x.command: "),
    ] {
        told("homeserver:\n", &format!("{key}\nhomeserver:\n"), "workmate.yaml:1 ", mend);
    }
    let folder = Folder::new(MINIMAL);
    folder.write("coworkers/ci.yaml", &format!("{CI}avatar: ~/face.png\n"));
    assert!(folder.faults().contains("coworkers/ci.yaml:5 avatar: \"~/face.png\" holds `~`"), "{}", folder.faults());
}

#[test]
fn op4_each_slip_of_an_operator_has_its_line_and_its_mend() {
    for (to, at, mend) in [
        ("limits: {deadline_minutes: 2h}", "workmate.yaml:1 limits.deadline_minutes: ", "write 120, digits alone."),
        ("limits: {file_bytes_max: 10MB}", "workmate.yaml:1 limits.file_bytes_max: ", "write 10485760, digits alone."),
        ("limits: {runs_max: \"1,000\"}", "workmate.yaml:1 limits.runs_max: ", "write 1000, digits alone."),
        ("limits: {runs_max: -1}", "workmate.yaml:1 limits.runs_max: \"-1\" is out of bounds", "from 1 to 1024."),
        ("claude: {api_key_env: $KEY}", "workmate.yaml:1 claude.api_key_env: ", "without `$` and braces"),
        ("claude: {api_key_env: \"${KEY}\"}", "workmate.yaml:1 claude.api_key_env: ", "without `$` and braces"),
        ("limits: {runs_max: 4.0}", "workmate.yaml:1 limits.runs_max: ", "a whole number from 1 to 1024."),
        ("limits: {max_runs: 4}", "workmate.yaml:1 limits.max_runs: unknown key", "did you mean `runs_max`?"),
        ("assistants: {enabled: no}", "workmate.yaml:1 assistants.enabled: ", "write false"),
        ("assistants: {enabled: True}", "workmate.yaml:1 assistants.enabled: ", "write true"),
        ("assistants: {effort: High}", "workmate.yaml:1 assistants.effort: ", "did you mean `high`?"),
        ("runs_max: 4", "workmate.yaml:1 runs_max: unknown key", "a key of `limits` in workmate.yaml"),
        ("reply_in: thread", "workmate.yaml:1 reply_in: unknown key", "a key of a coworker's file"),
        ("log: {filter: verbose}", "workmate.yaml:1 log.filter: ", "error, warn, info, debug or trace"),
        ("log: {filter: warning}", "workmate.yaml:1 log.filter: ", "error, warn, info, debug or trace"),
        ("claude: {model: “claude-opus-5-5”}", "workmate.yaml:1 claude.model: ", "straight quotes"),
        ("claude:\n\tmodel: x", "workmate.yaml:2: not YAML", "begins with a tab"),
        ("workspace: {admins: [@alice:example.org]}", "workmate.yaml:1: not YAML", "\"@alice:example.org\""),
        (
            "workspace:\n  space: !abc:example.org",
            "workmate.yaml:2: a tag",
            "begins with `*` or `!` itself goes in quotes",
        ),
        (
            "workspace:\n  space: #team:example.org",
            "workmate.yaml:2: \"#team:example.org\" is a comment",
            "put it in quotes",
        ),
        ("workspace:\n  admins:\n    - #a:b.c", "workmate.yaml:3: \"#a:b.c\" is a comment", "put it in quotes"),
    ] {
        told("homeserver:\n", &format!("{to}\nhomeserver:\n"), at, mend);
    }
    told("  url: http", "  url:http", "workmate.yaml:2: not YAML", "a blank behind the colon");
    told("example.org", "example.org\u{a0}", "workmate.yaml:3 homeserver.server_name: ", "type it again");
}

#[test]
fn op4_a_coworker_s_file_under_another_name_is_told_in_a_warning() {
    let folder = Folder::new(MINIMAL);
    for name in ["ops.yaml.txt", "web.YAML", "db.json", ".hidden.yaml", "notes.md", "old.yaml.bak", "x.yaml~"] {
        folder.write(&format!("coworkers/{name}"), CI);
    }
    let (config, warnings) = folder.load(&[("ANTHROPIC_API_KEY", "key")]).expect("loads");
    assert_eq!(config.coworkers.len(), 1);
    let names: Vec<_> = warnings.iter().filter_map(|warning| warning.file.file_name()?.to_str()).collect();
    assert_eq!(names, ["db.json", "ops.yaml.txt", "web.YAML"], "{warnings:?}");
}

#[test]
fn op4_a_file_of_another_editor_loads_as_it_is() {
    for text in [MINIMAL.replace('\n', "\r\n"), format!("\u{feff}{MINIMAL}"), format!("---\n{MINIMAL}...\n")] {
        Folder::new(&text).load(&[]).expect("loads");
    }
}

#[test]
fn op4_a_secret_that_was_copied_with_what_stood_around_it_is_a_fault() {
    for (text, what) in [
        ("\"sk-ant-api03-abc\"\n", "stands in quotes"),
        ("'sk-ant-api03-abc'", "stands in quotes"),
        ("`sk-ant-api03-abc`", "stands in quotes"),
        ("ANTHROPIC_API_KEY=sk-ant-api03-abc\n", "begins with a variable's name and `=`"),
        ("export ANTHROPIC_API_KEY=sk-ant-api03-abc\n", "begins with a variable's name and `=`"),
        ("Bearer sk-ant-api03-abc", "holds blanks"),
    ] {
        let folder = Folder::new(&format!("claude: {{api_key_file: key}}\n{MINIMAL}"));
        folder.write("key", text);
        let faults = folder.faults();
        assert!(faults.contains("claude.api_key_file: ") && faults.contains(what), "{text}: {faults}");
        assert!(!faults.contains("abc"), "{faults}");
    }
    // Keys of other makers may hold such signs themselves.
    for text in ["sk-ant-api03-a_b=", "QUJD==", "a=b_c", "it's"] {
        let folder = Folder::new(&format!("claude: {{api_key_file: key}}\n{MINIMAL}"));
        folder.write("key", text);
        folder.load(&[]).unwrap_or_else(|faults| panic!("{text}: {faults}"));
    }
}
