//! What is made of the reports of known senders.

use super::*;

fn key(delivery: &Delivery) -> Option<&str> {
    delivery.matter.as_ref().map(|matter| matter.key.as_str())
}

#[test]
fn c21_resolved_is_about_the_same_as_its_firing() {
    let group = |status: &str| {
        json!({
            "version": "4", "groupKey": "{}:{alertname=\"DiskFull\"}", "status": status, "receiver": "workmate",
            "groupLabels": { "alertname": "DiskFull" },
            "commonLabels": { "alertname": "DiskFull", "severity": "page" },
            "commonAnnotations": { "summary": "/var is full on db-1" },
            "externalURL": "http://alertmanager.example",
            "alerts": [{
                "status": status, "labels": { "instance": "db-1" }, "annotations": {},
                "startsAt": "2026-11-30T04:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "ab",
            }],
        })
    };
    for sender in [Sender::Alertmanager, Sender::Grafana] {
        let (firing, resolved) = (reported(sender, &[], &group("firing")), reported(sender, &[], &group("resolved")));
        assert_eq!(firing.title.as_deref(), Some("DiskFull: /var is full on db-1"));
        assert_eq!((firing.state.as_deref(), resolved.state.as_deref()), (Some("firing"), Some("resolved")));
        assert!(key(&firing).is_some() && key(&firing) == key(&resolved));
        assert_ne!(firing.name, resolved.name);
        // What matters comes first: a cut never takes it.
        assert!(
            firing.payload.starts_with(r#"{"status":"firing","firing":1,"resolved":0,"labels":{"#),
            "{}",
            firing.payload
        );
        // Repeated by the sender's schedule, it holds nothing new.
        assert_eq!(reported(sender, &[], &group("firing")).name, firing.name);
    }
}

#[test]
fn c21_a_forges_jobs_and_checks_are_about_their_run() {
    let github = |event: &str, report: &Value| reported(Sender::Github, &[("x-github-event", event)], report);
    let repository = json!({ "id": 1, "full_name": "acme/app" });
    let run = json!({
        "action": "completed", "repository": repository,
        "workflow_run": {
            "id": 9, "name": "CI", "head_branch": "main", "conclusion": "failure", "head_sha": "abc",
            "html_url": "https://github.example/acme/app/actions/runs/9", "run_number": 3,
        },
    });
    let job = json!({
        "action": "completed", "repository": repository,
        "workflow_job": {
            "id": 10, "run_id": 9, "name": "test (linux)", "conclusion": "failure",
            "steps": [{ "name": "build", "conclusion": "success" }, { "name": "cargo test", "conclusion": "failure" }],
        },
    });
    let (run, job) = (github("workflow_run", &run), github("workflow_job", &job));
    assert_eq!((run.title.as_deref(), run.state.as_deref()), (Some("acme/app: CI"), Some("failure")));
    assert!(key(&run).is_some() && key(&run) == key(&job));
    assert!(job.payload.contains(r#""failed_steps":["cargo test"]"#), "{}", job.payload);
    let issue = json!({ "action": "opened", "repository": repository, "issue": { "id": 5, "number": 12, "title": "It breaks" } });
    assert_eq!(github("issues", &issue).title.as_deref(), Some("acme/app: #12 It breaks"));

    let pipeline = json!({
        "object_kind": "pipeline", "project": { "id": 2, "path_with_namespace": "acme/app" },
        "object_attributes": { "id": 31, "ref": "main", "status": "failed", "detailed_status": "failed" },
        "commit": { "message": "Break it" },
        "builds": [
            { "id": 1, "stage": "test", "name": "unit", "status": "failed", "failure_reason": "script_failure" },
            { "id": 2, "stage": "build", "name": "build", "status": "success" },
        ],
    });
    let build = json!({
        "object_kind": "build", "project_id": 2, "pipeline_id": 31, "build_name": "unit", "build_status": "failed",
        "project_name": "acme / app", "ref": "main", "sha": "abc", "build_failure_reason": "script_failure",
    });
    let (pipeline, build) = (reported(Sender::Gitlab, &[], &pipeline), reported(Sender::Gitlab, &[], &build));
    assert_eq!(
        (pipeline.title.as_deref(), pipeline.state.as_deref()),
        (Some("acme/app: pipeline main"), Some("failed"))
    );
    assert!(key(&pipeline).is_some() && key(&pipeline) == key(&build));
    // How a part stands is not how all stands.
    let stands = |one: &Delivery| one.matter.as_ref().and_then(|matter| matter.state.clone());
    assert_eq!(
        [&run, &job, &pipeline, &build].map(stands),
        [Some("failure".to_owned()), None, Some("failed".to_owned()), None]
    );
    assert!(pipeline.payload.contains(r#""failed_jobs":[{"failure":"script_failure""#), "{}", pipeline.payload);
}

#[test]
fn c21_a_report_tells_when_it_was_so_by_its_senders_clock() {
    let at = |sender, report: &Value| {
        reported(sender, &[("x-github-event", "workflow_run")], report).matter.and_then(|matter| matter.at)
    };
    let github = |time: &str| json!({ "workflow_run": { "id": 1, "name": "CI", "updated_at": time } });
    let gitlab = |times: Value| {
        let attributes = json!({ "id": 1, "created_at": "2026-11-30 04:00:00 UTC", "finished_at": times });
        json!({ "object_kind": "pipeline", "object_attributes": attributes })
    };
    let four = Some(Timestamp::from_ms(1_796_011_200_000));
    assert_eq!(at(Sender::Github, &github("2026-11-30T04:00:00Z")), four);
    assert_eq!(at(Sender::Github, &github("2026-11-30T05:00:00+01:00")), four);
    assert_eq!(at(Sender::Github, &github("yesterday")), None);
    assert_eq!(at(Sender::Gitlab, &gitlab(Value::Null)), four);
    assert!(at(Sender::Gitlab, &gitlab(json!("2026-11-30 04:00:01 UTC"))) > four);
}

#[test]
fn c21_events_that_are_not_meant_and_pings_are_dropped() {
    let given = |event: &'static str| [JSON, ("authorization", "Bearer secret"), ("x-github-event", event)];
    let only = Hook { events: ["workflow_run".to_owned()].into(), ..hook(Proof::Bearer, Sender::Github) };
    for (hook, event, dropped) in [
        (&only, "workflow_run", false),
        (&only, "push", true),
        (&hook(Proof::Bearer, Sender::Github), "push", false),
        (&hook(Proof::Bearer, Sender::Github), "ping", true),
    ] {
        let judged = judged(hook, "secret", &given(event), b"{}").expect("proven");
        assert_eq!(judged == Judged::Dropped(None), dropped, "{event}");
    }
    let firing = Hook { events: ["firing".to_owned()].into(), ..hook(Proof::Bearer, Sender::Alertmanager) };
    let body = br#"{"status":"resolved","alerts":[]}"#;
    assert_eq!(judged(&firing, "secret", &given("x"), body), Ok(Judged::Dropped(None)));
}

#[test]
fn c21_what_the_filter_drops_may_say_how_its_matter_stands() {
    let given = [JSON, ("authorization", "Bearer secret")];
    let severe = filter::Condition { at: "/severity".to_owned(), is: vec!["page".to_owned()], ..Default::default() };
    let hook = Hook { filter: vec![severe], ..hook(Proof::Bearer, Sender::Alertmanager) };
    let body = br#"{"status":"resolved","groupKey":"disk","alerts":[]}"#;
    let judged = judged(&hook, "secret", &given, body);
    let Ok(Judged::Dropped(Some(delivery))) = judged else { panic!("it is dropped: {judged:?}") };
    let state = delivery.matter.and_then(|matter| matter.state);
    assert_eq!(state.as_deref(), Some("resolved"));
}

#[test]
fn c21_a_thread_is_shared_by_what_the_config_names() {
    let report = json!({ "order": { "id": 7 }, "title": "Order 7" });
    let body = report.to_string();
    let given = [JSON, ("authorization", "Bearer secret"), ("x-matter", "m")];
    let by = |thread| {
        let hook = Hook { thread, ..hook(Proof::Bearer, Sender::Other) };
        delivery(judged(&hook, "secret", &given, body.as_bytes())).matter.map(|matter| matter.key)
    };
    assert_eq!(by(Threading::By(Naming::Pointer("/order/id".to_owned()))).as_deref(), Some("7"));
    assert_eq!(by(Threading::By(Naming::Header("x-matter".to_owned()))).as_deref(), Some("m"));
    assert_eq!(by(Threading::By(Naming::Pointer("/nothing".to_owned()))), None);
    assert_eq!((by(Threading::Apart), by(Threading::BySender)), (None, None));
}
