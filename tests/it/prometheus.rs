//! The alert rules and the dashboard, by Prometheus' own `promtool` and against our metrics page.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result};
use regex::Regex;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    harness::{homeserver::shared, office::Office},
    senders::installed,
    standin_sdks::run,
};

const RULES: &str = "config/prometheus/workmate.rules.yml";
const DASHBOARD: &str = "config/grafana/workmate.json";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Held while it is fetched.
static FETCHING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Returns Debian's promtool; `None`, loudly, if there is none to be had.
async fn promtool() -> Option<PathBuf> {
    let _alone = FETCHING.lock().await;
    if run(Command::new("promtool").arg("--version")).await.is_ok() {
        return Some("promtool".into());
    }
    let mut fetch = Command::new("apt-get");
    fetch.args(["download", "prometheus"]);
    let mut unpack = Command::new("sh");
    unpack.args(["-c", "dpkg -x prometheus_*.deb root"]);
    Some(installed("prometheus", "promtool", vec![fetch, unpack]).await?.join("root/usr/bin/promtool"))
}

/// Returns every expression of the dashboard, with values for Grafana's variables.
fn dashboard() -> Result<Vec<String>> {
    let board: Value = serde_json::from_str(&fs::read_to_string(file(DASHBOARD))?)?;
    let panels = board["panels"].as_array().context("panels")?;
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions = targets.filter_map(|target| target["expr"].as_str());
    Ok(expressions.map(|text| text.replace("$__rate_interval", "5m").replace("$job", ".*")).collect())
}

/// Returns the names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\b(?:workmate|process)_[a-z_]+\b").expect("a pattern");
    name.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

/// Returns the page in the older text format, which promtool reads: there a counter is described under its whole name.
fn as_text_format(page: &str) -> String {
    let counter = Regex::new(r"(?m)^# TYPE (\S+) counter$").expect("a pattern");
    let mut text = page.replace("# EOF\n", "");
    for found in counter.captures_iter(page) {
        for kind in ["TYPE", "HELP"] {
            text = text.replace(&format!("# {kind} {} ", &found[1]), &format!("# {kind} {}_total ", &found[1]));
        }
    }
    // The older format knows no units.
    let lines = text.lines().filter(|line| !line.starts_with("# UNIT "));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

#[tokio::test]
async fn op11_promtool_passes_the_alert_rules_their_tests_and_the_dashboard_s_expressions() -> Result<()> {
    let Some(promtool) = promtool().await else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    fs::copy(file(RULES), dir.path().join("workmate.rules.yml"))?;
    fs::copy(file("tests/it/prometheus/rules.test.yml"), dir.path().join("rules.test.yml"))?;
    // promtool reads expressions only as rules.
    let rules = dashboard()?.into_iter().enumerate();
    let rules: Vec<Value> = rules.map(|(at, expr)| json!({ "record": format!("panel:{at}"), "expr": expr })).collect();
    assert!(rules.len() > 20, "{rules:?}");
    fs::write(dir.path().join("board.yml"), json!({ "groups": [{ "name": "board", "rules": rules }] }).to_string())?;

    for line in
        [["check", "rules", "workmate.rules.yml"], ["check", "rules", "board.yml"], ["test", "rules", "rules.test.yml"]]
    {
        let told = run(Command::new(&promtool).args(line).current_dir(dir.path())).await;
        assert!(told.as_ref().is_ok_and(|told| told.contains("SUCCESS")), "{line:?}: {told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn op11_each_metric_of_the_rules_and_the_dashboard_is_on_our_page_and_promtool_likes_its_names() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let office = Office::open_for(people, |setup| {
        setup
            .section("mcp_servers", json!({ "logs": { "command": ["sh", "-c", "exit 3"] } }))
            .section("budgets", json!({ "workspace": { "usd_month": 10 }, "person": { "usd_day": 1 } }))
    })
    .await?;
    let url = format!("http://{}/metrics", office.workmate.slot().health_listen);
    let page = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?.text().await?;

    let shown: BTreeSet<&str> =
        page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    let wanted: BTreeSet<String> =
        names(&dashboard()?.join("\n")).into_iter().chain(names(&fs::read_to_string(file(RULES))?)).collect();
    let absent: Vec<&String> = wanted.iter().filter(|name| !shown.contains(name.as_str())).collect();
    assert!(absent.is_empty() && wanted.len() > 20, "{absent:?} of {wanted:?} are not in\n{page}");

    let Some(promtool) = promtool().await else { return Ok(()) };
    let mut check = Command::new(promtool);
    let mut check =
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = check.stdin.take().context("it reads")?;
    input.write_all(as_text_format(&page).as_bytes()).await?;
    drop(input);
    let told = check.wait_with_output().await?;
    let said = [&told.stdout, &told.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(told.status.success() && said.trim().is_empty(), "{said}\n{page}");
    Ok(())
}
