//! What a reload follows, and what it keeps until a restart.

use super::*;

const LONG: &str = "0123456789012345678901234567890123456789";

/// Returns the config in use after another workmate.yaml was read, and what is said of it.
fn followed(before: &str, after: &str) -> (Config, Changes) {
    let folder = Folder::new(before);
    let (one, _) = folder.load(&[("KEY", LONG), ("OTHER", LONG)]).expect("loads");
    folder.write("workmate.yaml", after);
    let (other, _) = folder.load(&[("KEY", LONG), ("OTHER", LONG)]).expect("loads");
    one.followed_by(other)
}

#[test]
fn op7_each_key_follows_or_waits_for_a_restart_and_is_named() {
    let rows = [
        ("limits: {runs_max: 7}\n", "changed: limits"),
        ("budgets: {workspace: {usd_month: 5}}\n", "changed: budgets"),
        ("workspace: {lobby: true}\n", "changed: workspace"),
        ("assistants: {instructions: Be kind.}\n", "changed: assistants"),
        ("claude: {model: claude-haiku-5-5}\n", "changed: claude.model"),
        ("mcp_servers: {logs: {command: [logs]}}\n", "changed: mcp_servers"),
        ("credentials: {forge: {value_env: KEY}}\n", "changed: credentials"),
        ("audit: {retention_days: 7}\n", "changed: audit"),
        ("data_dir: ../elsewhere\n", "data_dir"),
        ("health_listen: 127.0.0.1:9\n", "health_listen"),
        ("claude: {api_key_env: OTHER}\n", "claude.api_key"),
        ("claude: {base_url: http://127.0.0.1:1}\n", "claude.base_url, claude.idle_seconds"),
        ("log: {format: json}\n", "log"),
        ("audit: {room: false}\n", "audit.room"),
        ("limits: {transaction_bytes_max: 33554432}\n", "limits.transaction_bytes_max"),
    ];
    for (added, told) in rows {
        let (config, changes) = followed(MINIMAL, &format!("{MINIMAL}{added}"));
        let told = if told.starts_with("changed") {
            told.to_owned()
        } else {
            format!("needs a restart: {told}; until then the earlier values hold")
        };
        assert_eq!(changes.to_string(), told, "{added}");
        let (_, again) = config.followed_by(config.clone());
        assert_eq!(again.to_string(), "nothing changed", "{added}");
    }
    let (config, changes) = followed(
        MINIMAL,
        &MINIMAL.replace("example.org", "example.net").replace(HS_TOKEN, AS_TOKEN.repeat(2).as_str()),
    );
    assert_eq!(changes.waiting, ["appservice.hs_token", "homeserver.server_name"]);
    assert!(config.homeserver.server_name == "example.org" && config.appservice.hs_token.matches(HS_TOKEN));
    assert_eq!(followed(MINIMAL, MINIMAL).1, Changes::default());
}

#[test]
fn op7_coworkers_are_new_changed_or_gone_by_their_files() {
    let folder = Folder::new(MINIMAL);
    folder.write("coworkers/sales.yaml", &CI.replace("ci", "sales"));
    let (before, _) = folder.load(&[]).expect("loads");
    folder.write("coworkers/ci.yaml", &format!("{}effort: low\n", CI.replace("Builds.", "Builds and tests.")));
    folder.write("coworkers/legal.yaml", &CI.replace("ci", "legal"));
    fs::remove_file(folder.path("coworkers/sales.yaml")).expect("is removed");
    let (after, _) = folder.load(&[]).expect("loads");
    let (config, changes) = before.followed_by(after);

    let told = "legal: added\nci: changed (purpose, effort)\nsales: taken out of service, because its file is gone; `workmate \
                retire sales` has it leave its rooms";
    same(&changes.to_string(), told);
    let ids: Vec<&str> = config.coworkers.iter().map(|one| one.id.0.as_str()).collect();
    assert_eq!(ids, ["ci", "legal"]);
}

#[test]
fn op7_the_first_hook_needs_a_listener_and_so_a_restart() {
    let credentials = "credentials: {forge: {value_env: KEY}}\n";
    let folder = Folder::new(&format!("{MINIMAL}{credentials}"));
    let env = [("KEY", LONG)];
    let (before, _) = folder.load(&env).expect("loads");
    let hook = "hooks:\n  - {name: build, room: \"!r:example.org\", task: Look., proof: bearer, credential: forge}\n";
    folder.write("coworkers/ci.yaml", &format!("{CI}{hook}"));
    let (after, _) = folder.load(&env).expect("loads");
    let (_, changes) = before.followed_by(after);
    assert_eq!((changes.changed, changes.waiting), (vec![("ci".to_owned(), vec!["hooks"])], vec!["hooks"]));
}

#[test]
fn op7_a_hundred_coworkers_are_read_and_compared_in_much_less_than_two_seconds() {
    let folder = Folder::new(MINIMAL);
    for number in 1..100 {
        folder.write(&format!("coworkers/c{number}.yaml"), &CI.replace("ci", &format!("c{number}")));
    }
    let (before, _) = folder.load(&[]).expect("loads");
    folder.write("coworkers/ci.yaml", &format!("{CI}effort: low\n"));
    let began = tokio::time::Instant::now();
    let (after, _) = folder.load(&[]).expect("loads");
    let (_, changes) = before.followed_by(after);
    let took = began.elapsed();
    println!("100 coworkers: read and compared in {took:?}");
    assert_eq!(changes.changed, [("ci".to_owned(), vec!["effort"])]);
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
}
