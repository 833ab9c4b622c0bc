//! Reports of GitHub, Forgejo, Gitea and GitLab.

use serde_json::{Value, json};

use super::{ITEMS_MAX, Report, ends, said, shortened, time, title};

/// Most bytes of a commit's message.
const COMMIT_BYTES_MAX: usize = 200;

/// The things that GitHub's events are about: their field, and the name of their matter.
const SUBJECTS: [&str; 10] = [
    "workflow_run",
    "workflow_job",
    "check_run",
    "check_suite",
    "run",
    "deployment_status",
    "pull_request",
    "issue",
    "release",
    "alert",
];

/// Reads an event of GitHub's, Forgejo's or Gitea's.
pub(super) fn github(event: Option<&str>, report: &Value) -> Report {
    let subject = SUBJECTS.into_iter().find(|name| report[*name].is_object());
    let about = subject.map_or(&Value::Null, |name| &report[name]);
    let repository = said(report, &["/repository/full_name", "/run/repository/full_name", "/organization/login"]);
    let named = said(about, &["/name", "/title", "/display_title", "/output/title"])
        .or_else(|| said(about, &["/head_branch"]))
        .or_else(|| said(report, &["/head_commit/message", "/ref"]))
        .map(|name| first_line(&name));
    let number = said(about, &["/number"]).map(|number| format!("#{number} ")).unwrap_or_default();
    let state = said(about, &["/conclusion", "/state", "/status"]);
    let what = named.map(|name| format!("{number}{name}")).or_else(|| event.map(ToOwned::to_owned));
    let mut made = Report {
        event: event.map(ToOwned::to_owned),
        is_ping: event == Some("ping"),
        title: title(repository, what),
        state: state.or_else(|| said(report, &["/action"])),
        matter: matter(report, subject, about),
        is_part: matches!(subject, Some("workflow_job" | "check_run")),
        at: time(about, &["/updated_at", "/completed_at", "/created_at"]),
        ..Report::default()
    };
    let facts = &mut made.facts;
    if let Some(event) = event {
        facts.add("event", json!(event));
    }
    facts.take("action", report, &["/action"]);
    facts.take("repository", report, &["/repository/full_name", "/run/repository/full_name"]);
    facts.take("name", about, &["/name", "/title", "/display_title"]);
    facts.take("number", about, &["/number", "/run_number"]);
    facts.take("conclusion", about, &["/conclusion"]);
    facts.take("status", about, &["/status", "/state"]);
    facts.take("branch", about, &["/head_branch", "/head/ref", "/check_suite/head_branch", "/prettyref"]);
    facts.take("ref", report, &["/ref"]);
    facts.take("commit", about, &["/head_sha", "/head/sha", "/commit_sha"]);
    facts.take("message", about, &["/head_commit/message", "/body", "/description"]);
    facts.take("output", about, &["/output/title"]);
    facts.take("summary", about, &["/output/summary"]);
    facts.take("text", about, &["/output/text"]);
    let steps = about["steps"].as_array().into_iter().flatten();
    let failed = steps.filter(|step| step["conclusion"] == "failure").take(ITEMS_MAX);
    facts.add("failed_steps", failed.map(|step| step["name"].clone()).collect());
    facts.add("commits", commits(&report["commits"]));
    facts.take("comment", report, &["/comment/body", "/review/body"]);
    facts.take("url", about, &["/html_url", "/target_url", "/environment_url"]);
    facts.take("compare", report, &["/compare", "/compare_url"]);
    facts.take("sender", report, &["/sender/login", "/pusher/name"]);
    made
}

/// Returns what an event is about: the run that a job or a check belongs to, the pull request, the issue.
fn matter(report: &Value, subject: Option<&str>, about: &Value) -> Option<String> {
    let repository = ["/repository/id", "/repository/full_name", "/run/repository/id", "/run/repository/full_name"];
    let repository = said(report, &repository).unwrap_or_default();
    let (kind, id) = match subject? {
        "workflow_job" => ("workflow_run", said(about, &["/run_id"])?),
        "check_run" => ("check_suite", said(about, &["/check_suite/id"]).or_else(|| said(about, &["/id"]))?),
        "deployment_status" => ("deployment", said(report, &["/deployment/id"])?),
        other => (other, said(about, &["/id", "/number"])?),
    };
    Some(format!("{repository}/{kind}/{id}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn commits(commits: &Value) -> Value {
    let kept = commits.as_array().into_iter().flatten().take(ITEMS_MAX).map(|commit| {
        let message = commit["message"].as_str().unwrap_or_default();
        json!({
            "id": commit["id"], "author": commit["author"]["name"],
            "message": ends(message, COMMIT_BYTES_MAX),
        })
    });
    kept.collect()
}

/// Reads an event of GitLab's.
pub(super) fn gitlab(report: &Value) -> Report {
    let event = said(report, &["/object_kind", "/event_name", "/event_type"]);
    let project = said(report, &["/project/path_with_namespace", "/project_name", "/group/full_path"]);
    let about = if report["object_attributes"].is_object() { &report["object_attributes"] } else { report };
    let named = match event.as_deref() {
        Some("pipeline") => said(about, &["/name", "/ref"]).map(|name| format!("pipeline {name}")),
        Some("build") => said(report, &["/build_name"]).map(|name| format!("job {name}")),
        _ => said(about, &["/title", "/name", "/ref", "/note"]),
    };
    let title = title(project, named.map(|name| first_line(&name)).or_else(|| event.clone()));
    let state =
        said(report, &["/build_status"]).or_else(|| said(about, &["/detailed_status", "/status", "/state", "/action"]));
    let of_project = said(report, &["/project/id", "/project_id"]).unwrap_or_default();
    let key = match event.as_deref() {
        Some("pipeline") => said(about, &["/id"]).map(|id| ("pipeline", id)),
        Some("build") => said(report, &["/pipeline_id"]).map(|id| ("pipeline", id)),
        Some("deployment") => said(report, &["/deployment_id"]).map(|id| ("deployment", id)),
        Some("note") => said(report, &["/merge_request/iid"])
            .map(|id| ("merge_request", id))
            .or_else(|| said(report, &["/issue/iid"]).map(|id| ("issue", id))),
        Some(kind @ ("merge_request" | "issue" | "incident" | "alert")) => {
            said(about, &["/iid", "/id"]).map(|id| (kind, id))
        }
        _ => None,
    };
    let matter = key.map(|(kind, id)| format!("{of_project}/{kind}/{id}"));
    let is_part = matches!(event.as_deref(), Some("build" | "note"));
    let at = time(about, &["/finished_at", "/updated_at", "/created_at"]);
    let mut made = Report { event, title, state, matter, is_part, at, ..Report::default() };
    let facts = &mut made.facts;
    facts.take("event", report, &["/object_kind", "/event_name"]);
    facts.take("project", report, &["/project/path_with_namespace", "/project_name"]);
    facts.take("status", about, &["/detailed_status", "/status", "/state", "/build_status"]);
    facts.take("action", about, &["/action"]);
    facts.take("name", about, &["/title", "/name", "/build_name"]);
    facts.take("ref", about, &["/ref", "/source_branch"]);
    facts.take("commit", report, &["/object_attributes/sha", "/sha", "/checkout_sha"]);
    facts.take("message", report, &["/commit/message", "/object_attributes/last_commit/message"]);
    facts.take("failure", report, &["/build_failure_reason"]);
    let jobs = report["builds"].as_array().into_iter().flatten();
    let failed = jobs.filter(|job| job["status"] == "failed").take(ITEMS_MAX).map(
        |job| json!({ "id": job["id"], "stage": job["stage"], "name": job["name"], "failure": job["failure_reason"] }),
    );
    facts.add("failed_jobs", failed.collect());
    facts.add("commits", commits(&report["commits"]));
    facts.add("description", shortened(&about["description"]));
    facts.take("note", about, &["/note"]);
    facts.take("url", about, &["/url"]);
    facts.take("url_of_project", report, &["/project/web_url"]);
    facts.take("user", report, &["/user/username", "/user_username", "/user/name"]);
    made
}
