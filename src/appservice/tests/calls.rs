//! Tokens, paths, queries, ping, health and shutdown.

use ruma::{owned_event_id, owned_room_id, owned_user_id, user_id};

use super::*;
use crate::{
    appservice::{
        arrivals::Arrivals,
        health::{Condition, Provisioning, State},
        metrics::Metrics,
        operators,
    },
    core::{audit::RunSummary, run::Outcome, time::Timestamp},
};

#[tokio::test]
async fn the_token_is_asked_of_every_path_in_the_header_or_the_legacy_query() {
    let endpoint = Endpoint::start().await;
    let ping = |query: &str| endpoint.client.post(format!("{}/_matrix/app/v1/ping{query}", endpoint.url));

    assert_eq!(refused(answer(ping("")).await), refusal(401, "M_MISSING_TOKEN"));
    assert_eq!(refused(answer(ping("").basic_auth("a", Some("b"))).await), refusal(401, "M_MISSING_TOKEN"));
    assert_eq!(refused(answer(ping("").bearer_auth("wrong")).await), refusal(403, "M_FORBIDDEN"));
    assert_eq!(refused(answer(ping("").bearer_auth("")).await), refusal(401, "M_MISSING_TOKEN"));
    assert_eq!(refused(answer(ping("?access_token=wrong")).await), refusal(403, "M_FORBIDDEN"));
    let wrong_header = ping("?access_token=right-token").bearer_auth("wrong");
    assert_eq!(refused(answer(wrong_header).await), refusal(403, "M_FORBIDDEN"));
    assert_eq!(answer(ping("").bearer_auth(TOKEN)).await, ok());
    assert_eq!(answer(ping("?access_token=right-token")).await, ok());
    let nowhere = endpoint.client.get(format!("{}/nowhere", endpoint.url));
    assert_eq!(refused(answer(nowhere).await), refusal(401, "M_MISSING_TOKEN"));
}

#[tokio::test]
async fn a_body_is_not_read_before_the_token_is_checked() {
    let endpoint = Endpoint::start().await;
    let never_ends = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();

    let call = endpoint.client.put(format!("{}/_matrix/app/v1/transactions/1", endpoint.url));
    let call = call.bearer_auth("wrong").body(reqwest::Body::wrap_stream(never_ends));

    assert_eq!(refused(answer(call).await), refusal(403, "M_FORBIDDEN"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_unrecognized() {
    let endpoint = Endpoint::start().await;
    for (method, path, status) in [
        (Method::GET, "/", 404),
        (Method::GET, "/_matrix/app/v1/nowhere", 404),
        (Method::GET, "/_matrix/app/v1/thirdparty/nowhere", 404),
        (Method::GET, "/_matrix/app/v1/ping", 405),
        (Method::POST, "/_matrix/app/v1/transactions/1", 405),
        (Method::PUT, "/users/@a:example.org", 405),
        (Method::POST, "/_matrix/app/v1/thirdparty/user", 405),
    ] {
        let answer = answer(endpoint.call(method.clone(), path)).await;
        assert_eq!(refused(answer), refusal(status, "M_UNRECOGNIZED"), "{method} {path}");
    }
}

#[tokio::test]
async fn aliases_and_third_party_networks_are_answered_as_empty() {
    let endpoint = Endpoint::start().await;
    for path in ["/_matrix/app/v1/rooms/%23a:example.org", "/rooms/%23a:example.org"] {
        assert_eq!(refused(answer(endpoint.call(Method::GET, path)).await), refusal(404, "M_NOT_FOUND"), "{path}");
    }
    for base in ["/_matrix/app/v1/thirdparty", "/_matrix/app/unstable/thirdparty"] {
        let protocol = endpoint.call(Method::GET, &format!("{base}/protocol/irc"));
        assert_eq!(refused(answer(protocol).await), refusal(404, "M_NOT_FOUND"));
        for path in ["user", "user/irc", "location", "location/irc"] {
            let call = endpoint.call(Method::GET, &format!("{base}/{path}?nick=a"));
            assert_eq!(answer(call).await, (200, json!([])), "{base}/{path}");
        }
    }
}

#[tokio::test]
async fn a_question_for_a_user_is_handed_on_and_answered() {
    let mut endpoint = Endpoint::start().await;
    for (path, exists) in [
        ("/_matrix/app/v1/users/%40coworker-ci%3Aexample.org", true),
        ("/users/@coworker-ci:example.org", true),
        ("/_matrix/app/v1/users/%40coworker-ci%3Aexample.org", false),
    ] {
        let asking = tokio::spawn(answer(endpoint.call(Method::GET, path)));
        let query = endpoint.queries.recv().await.expect("a question");
        assert_eq!(query.user, user_id!("@coworker-ci:example.org"));
        query.answer.send(exists).expect("it is awaited");

        let answer = asking.await.expect("it ends");
        if exists {
            assert_eq!(answer, ok());
        } else {
            assert_eq!(refused(answer), refusal(404, "M_NOT_FOUND"));
        }
    }
}

#[tokio::test]
async fn a_question_that_nobody_can_answer_is_no_denial() {
    let mut endpoint = Endpoint::start().await;
    let path = "/_matrix/app/v1/users/@coworker-ci:example.org";

    let asking = tokio::spawn(answer(endpoint.call(Method::GET, path)));
    drop(endpoint.queries.recv().await.expect("a question"));
    assert_eq!(refused(asking.await.expect("it ends")), refusal(500, "M_UNKNOWN"));

    endpoint.queries.close();
    assert_eq!(refused(answer(endpoint.call(Method::GET, path)).await), refusal(500, "M_UNKNOWN"));
    let no_id = endpoint.call(Method::GET, "/_matrix/app/v1/users/nobody");
    assert_eq!(refused(answer(no_id).await), refusal(404, "M_NOT_FOUND"));
}

#[tokio::test]
async fn serving_ends_when_shutdown_is_asked_for() {
    let endpoint = Endpoint::start().await;
    assert_eq!(answer(endpoint.call(Method::POST, "/_matrix/app/v1/ping")).await, ok());

    endpoint.shutdown.cancel();

    endpoint.serving.await.expect("it ends");
}

#[tokio::test]
async fn readiness_names_each_condition_and_its_reason() {
    let health = Health::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(
        listener,
        operators::router(health.clone(), Metrics::new(&health, &Arrivals::new("tests"))),
        operators::CONNECTIONS_MAX,
        shutdown.clone(),
    ));
    let client = Client::new();
    let ready = || answer(client.get(format!("{url}/readyz")));

    let (code, report) = ready().await;
    assert_eq!((code, &report["conditions"]["users"]["ready"]), (503, &json!(false)));
    for condition in Condition::ALL {
        health.set(condition, State::Ready);
    }
    let reason = "no key is set\n  Nothing is answered.\n  Mend: set claude.api_key_file\n  or the environment";
    health.set(Condition::ClaudeKey, State::Waiting(reason.to_owned()));
    health.set(Condition::McpServers, State::Pending("being started".to_owned()));
    let (code, mut report) = ready().await;
    for (_, condition) in report["conditions"].as_object_mut().expect("an object") {
        let since = condition.as_object_mut().expect("an object").remove("since").expect("is said");
        assert!(since.as_str().is_some_and(|since| since.ends_with('Z') && since.len() == 20), "{since}");
    }
    let expected = json!({"ready": false, "conditions": {
        "homeserver": {"ready": true},
        "deliveries": {"ready": true},
        "users": {"ready": true},
        "store": {"ready": true},
        "claude_key": {
            "ready": false, "reason": "no key is set. Nothing is answered.",
            "mend": "set claude.api_key_file or the environment"
        },
        "claude_model": {"ready": true},
        "claude_credit": {"ready": true},
        "claude": {"ready": true},
        "mcp_servers": {"ready": false, "needed": false, "reason": "being started"},
        "coworkers": {"ready": true, "needed": false},
        "clock": {"ready": true, "needed": false},
        "model_end": {"ready": true, "needed": false},
        "schedules": {"ready": true, "needed": false},
        "transcription": {"ready": true, "needed": false},
    }});
    assert_eq!((code, report), (503, expected));
    assert_eq!(answer(client.get(format!("{url}/healthz"))).await, (200, json!({"alive": true})));

    health.set(Condition::ClaudeKey, State::Ready);
    assert_eq!(ready().await.0, 200, "what is not needed does not count");

    shutdown.cancel();
    serving.await.expect("it ends");
}

#[tokio::test]
async fn metrics_show_conditions_provisioning_and_runs_and_nobody_s_name() {
    let health = Health::default();
    health.set(Condition::Store, State::Ready);
    health.set_provisioning(Provisioning { waiting: 7, made: 3, trouble: Some("@carol is away".to_owned()) });
    let arrivals = Arrivals::new("tests");
    arrivals.hear_transaction();
    let metrics = Metrics::new(&health, &arrivals);
    metrics.begin_with(["oncall".to_owned()], ["billing"]);
    metrics.observe_each("mcp_server_up", "Whether.", || vec![(vec![("server", "logs".to_owned())], 1.0)]);
    metrics.observe("runs_going_on", "Runs.", || 2);
    for (coworker, outcome) in [(Some("oncall"), Outcome::Done), (None, Outcome::Failed), (None, Outcome::Failed)] {
        metrics.run_ended(&ended(coworker, outcome));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/metrics", listener.local_addr().expect("an address"));
    let shutdown = CancellationToken::new();
    let serving =
        tokio::spawn(serve(listener, operators::router(health, metrics), operators::CONNECTIONS_MAX, shutdown.clone()));

    let answered = Client::new().get(url).send().await.expect("it answers");
    let form = answered.headers()["content-type"].to_str().expect("text").to_owned();
    let shown = answered.text().await.expect("text");

    assert_eq!(form, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    // Values that depend on the process or the clock differ each time.
    let changes = |line: &&str| {
        line.contains("_bucket")
            || line.starts_with("process_")
            || line.contains("last_transaction_timestamp_seconds 1")
    };
    assert!(
        shown.contains("\nprocess_resident_memory_bytes ") && shown.contains("last_transaction_timestamp_seconds 1")
    );
    let mut lines: Vec<_> = shown.lines().filter(|line| !changes(line)).collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"));
    shutdown.cancel();
    serving.await.expect("it ends");
}

fn ended(coworker: Option<&str>, outcome: Outcome) -> RunSummary {
    RunSummary {
        batch: None,
        user: owned_user_id!("@somebody:hs"),
        coworker: coworker.map(str::to_owned),
        private: coworker.is_none(),
        asker: owned_user_id!("@alice:hs"),
        room: owned_room_id!("!room:hs"),
        thread: None,
        request: owned_event_id!("$request"),
        answer: None,
        outcome,
        read: Vec::new(),
        read_span: None,
        tools: Vec::new(),
        model: Some("claude-opus-5-5".to_owned()),
        model_calls: 1,
        input_tokens: 1_000,
        cached_tokens: 800,
        output_tokens: 50,
        cost_micro_usd: coworker.map(|_| 2_500_000),
        refused: None,
        left_out: 0,
        fallback: false,
        origin: None,
        accepted_at: Timestamp::from_ms(1_000),
        ended_at: Timestamp::from_ms(4_500),
        reason: None,
        line_due: false,
    }
}
