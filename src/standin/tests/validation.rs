use serde_json::{Value, json};

use super::{Bench, request, tool};

/// A user message.
fn user(content: &Value) -> Value {
    json!({ "role": "user", "content": content })
}

fn assistant(content: &Value) -> Value {
    json!({ "role": "assistant", "content": content })
}

fn call(id: &str) -> Value {
    json!({ "type": "tool_use", "id": id, "name": "look", "input": {} })
}

fn result(id: &str) -> Value {
    json!({ "type": "tool_result", "tool_use_id": id, "content": "ok" })
}

fn marked(ttl: &str) -> Value {
    json!({ "type": "text", "text": "x", "cache_control": { "type": "ephemeral", "ttl": ttl } })
}

/// Asserts that each request gets its 400 and consumes no script.
async fn refused(table: &[(Value, &str)]) {
    let bench = Bench::scripted().await;
    for (changes, essence) in table {
        let response = bench.ask(&request(changes)).await;
        assert_eq!(response.status(), 400, "{changes} should be refused: {essence}");
        let id = response.headers()["request-id"].to_str().expect("ASCII").to_owned();
        let body: Value = response.json().await.expect("JSON");
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.contains(essence), "{changes}: {message}");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["request_id"], id.as_str());
    }
    bench.claude.finish().expect("a refused request asks for no script");
}

/// Asserts that each request is accepted.
async fn taken(table: &[Value]) {
    let bench = Bench::scripted().await;
    bench.claude.respond_with(|_| super::super::Turn::text("ok"));
    for changes in table {
        let response = bench.ask(&request(changes)).await;
        let status = response.status();
        assert_eq!(status, 200, "{changes}: {}", response.text().await.expect("a body"));
    }
}

#[tokio::test]
async fn bad_fields_are_refused() {
    refused(&[
        (json!({ "model": 5 }), "model: Input should be a valid string"),
        (json!({ "max_tokens": "many" }), "max_tokens: Input should be a valid integer"),
        (json!({ "max_tokens": 128_001 }), "maximum allowed number of output tokens"),
        (json!({ "max_tokens": 0, "stream": true }), "max_tokens: 0 cannot be combined with `stream`"),
        (json!({ "messages": "hi" }), "messages: Input should be a valid list"),
        (json!({ "messages": [] }), "at least one message is required"),
        (json!({ "wisdom": 3 }), "wisdom: Extra inputs are not permitted"),
        (json!({ "temperature": 1 }), "temperature: Extra inputs are not permitted"),
        (json!({ "top_p": 1, }), "top_p: Extra inputs are not permitted"),
        (json!({ "top_k": 1, }), "top_k: Extra inputs are not permitted"),
        (json!({ "fallbacks": "default" }), "fallbacks: Extra inputs are not permitted"),
        (json!({ "stream": 1 }), "stream: Input should be a valid boolean"),
        (json!({ "stop_sequences": [" "] }), "must contain non-whitespace"),
        (json!({ "metadata": { "name": "Ann" } }), "metadata.name: Extra inputs are not permitted"),
        (json!({ "service_tier": "gold" }), "service_tier: Input should be 'auto' or 'standard_only'"),
    ])
    .await;
}

#[tokio::test]
async fn misplaced_roles_and_blocks_are_refused() {
    let hi = json!("hi");
    refused(&[
        (json!({ "messages": [assistant(&hi), user(&hi)] }), "first message must use the \"user\" role"),
        (json!({ "messages": [user(&hi), assistant(&hi)] }), "does not support assistant message prefill"),
        (json!({ "messages": [{ "role": "system", "content": "x" }, user(&hi)] }), "first message must use"),
        (
            json!({ "messages": [user(&hi), { "role": "system", "content": "x" }, user(&hi)] }),
            "must be last or be followed by an assistant message",
        ),
        (
            json!({ "messages": [user(&hi), assistant(&hi), { "role": "system", "content": "x" }] }),
            "must follow a user message",
        ),
        (
            json!({ "model": "claude-opus-4-6", "messages": [user(&hi), { "role": "system", "content": "x" }] }),
            "role 'system' is not supported on this model",
        ),
        (json!({ "messages": [user(&json!(""))] }), "non-empty content"),
        (json!({ "messages": [user(&json!([]))] }), "non-empty content"),
        (json!({ "messages": [user(&json!([{ "type": "text", "text": "" }]))] }), "must be non-empty"),
        (json!({ "messages": [user(&json!([{ "type": "text", "text": " " }]))] }), "non-whitespace"),
        (json!({ "system": [{ "type": "text", "text": "" }] }), "must be non-empty"),
        (
            json!({ "messages": [user(&json!([{ "type": "text", "text": "x", "speaker": "Ann" }]))] }),
            "messages.0.content.0.text.speaker: Extra inputs are not permitted",
        ),
        (json!({ "messages": [user(&json!([call("toolu_1")]))] }), "not permitted in `user` messages"),
        (json!({ "messages": [user(&json!([{ "type": "smell" }]))] }), "does not match any of the expected tags"),
        (json!({ "messages": [{ "role": "user", "content": "x", "name": "Ann" }] }), "messages.0.name: Extra"),
        (
            json!({ "messages": [user(&json!([{ "type": "text", "text": "x", "citations": [{}] }]))] }),
            "citations: Extra inputs are not permitted",
        ),
    ])
    .await;
}

#[tokio::test]
async fn bad_tools_are_refused() {
    let open = json!({ "name": "a", "strict": true, "input_schema": { "type": "object", "properties": {} } });
    let strict = |index: usize| {
        let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
        json!({ "name": format!("t{index}"), "strict": true, "input_schema": schema })
    };
    refused(&[
        (json!({ "tools": [tool("no spaces")] }), "String should match pattern"),
        (json!({ "tools": [tool(&"x".repeat(65))] }), "String should match pattern"),
        (json!({ "tools": [tool("a"), tool("a")] }), "Tool names must be unique"),
        (json!({ "tools": [{ "name": "a" }] }), "tools.0.custom.input_schema: Field required"),
        (json!({ "tools": [{ "name": "a", "input_schema": { "type": "string" } }] }), "Input should be 'object'"),
        (
            json!({ "tools": [{ "name": "a", "input_schema": { "type": "object", "properties": { "a[]": {} } } }] }),
            "Property keys should match pattern",
        ),
        (
            json!({ "tools": [{ "name": "a", "input_schema": { "type": "object", "anyOf": [{}] } }] }),
            "does not support oneOf, allOf, or anyOf at the top level",
        ),
        (
            json!({ "tools": [{ "name": "a", "input_schema": {
                "type": "object", "properties": { "a": { "type": "array", "items": [{}] } }
            } }] }),
            "JSON schema is invalid",
        ),
        (json!({ "tools": [{ "name": "a", "colour": 1, "input_schema": {} }] }), "colour: Extra inputs"),
        (json!({ "tools": [{ "type": "time_travel_2027", "name": "a" }] }), "does not match any of the expected tags"),
        (json!({ "tools": [open] }), "'additionalProperties' must be explicitly set to false"),
        (json!({ "tools": (0..21).map(strict).collect::<Vec<_>>() }), "too complex for compilation"),
        (json!({ "tools": [tool("a")], "tool_choice": { "type": "any" } }), "forcing tool use with type 'any'"),
        (json!({ "tools": [tool("a")], "tool_choice": { "type": "tool", "name": "a" } }), "forcing tool use"),
        (
            json!({ "model": "claude-opus-5", "tools": [tool("a")], "tool_choice": { "type": "tool", "name": "b" } }),
            "Tool 'b' not found",
        ),
        (json!({ "tool_choice": { "type": "maybe" } }), "tool_choice.type"),
    ])
    .await;
}

#[tokio::test]
async fn calls_and_results_that_do_not_pair_are_refused() {
    let hi = json!("hi");
    let with = |rest: &[Value]| {
        let messages: Vec<Value> = std::iter::once(user(&hi)).chain(rest.iter().cloned()).collect();
        json!({ "messages": messages, "tools": [tool("look")] })
    };
    let two = assistant(&json!([call("toolu_1"), call("toolu_2")]));
    refused(&[
        (with(&[two.clone(), user(&hi)]), "without `tool_result` blocks immediately after: toolu_1, toolu_2"),
        (with(&[two.clone(), user(&json!([result("toolu_2")]))]), "immediately after: toolu_1."),
        (
            with(&[two.clone(), user(&json!([result("toolu_1")])), user(&json!([result("toolu_2")]))]),
            "immediately after: toolu_2",
        ),
        (with(&[user(&json!([result("toolu_9")]))]), "unexpected `tool_use_id` found"),
        (
            with(&[two.clone(), user(&json!([{ "type": "text", "text": "x" }, result("toolu_1"), result("toolu_2")]))]),
            "must come first",
        ),
        (
            with(&[two.clone(), user(&json!([result("toolu_1"), result("toolu_1"), result("toolu_2")]))]),
            "must have a single result",
        ),
        (with(&[assistant(&json!([call("a"), call("a")])), user(&json!([result("a")]))]), "ids must be unique"),
        (with(&[two, { json!({ "role": "system", "content": "x" }) }]), "a system message must follow a user message"),
    ])
    .await;
}

#[tokio::test]
async fn thinking_and_effort_are_judged_by_the_model() {
    let adaptive = json!({ "type": "adaptive" });
    let disabled = json!({ "type": "disabled" });
    let between = json!({ "type": "between_tools" });
    let enabled = json!({ "type": "enabled", "budget_tokens": 1024 });
    let xhigh = json!({ "effort": "xhigh" });
    let unsupported = "is not supported on";
    refused(&[
        (json!({ "thinking": enabled, "max_tokens": 2048 }), unsupported),
        (json!({ "thinking": disabled }), unsupported),
        (json!({ "thinking": between }), unsupported),
        (json!({ "model": "claude-fable-5", "thinking": disabled }), unsupported),
        (json!({ "model": "claude-haiku-5-5", "thinking": disabled, "output_config": xhigh }), "with effort 'xhigh'"),
        (json!({ "model": "claude-sonnet-5-5", "thinking": between, "output_config": xhigh }), "with effort 'xhigh'"),
        (json!({ "model": "claude-sonnet-5", "thinking": enabled }), unsupported),
        (json!({ "model": "claude-opus-4-5", "thinking": adaptive }), unsupported),
        (json!({ "model": "claude-haiku-4-5", "output_config": { "effort": "low" } }), "does not support the effort"),
        (json!({ "model": "claude-opus-4-5", "output_config": xhigh }), "'xhigh' is not supported"),
        (json!({ "model": "claude-sonnet-4-6", "output_config": xhigh }), "'xhigh' is not supported"),
        (
            json!({ "model": "claude-opus-4-5", "thinking": { "type": "enabled", "budget_tokens": 9 } }),
            "greater than or equal to 1024",
        ),
        (json!({ "model": "claude-opus-4-5", "thinking": enabled }), "must be greater than `thinking.budget_tokens`"),
        (json!({ "output_config": { "effort": "huge" } }), "output_config.effort: Input should be"),
        (json!({ "output_config": { "format": { "type": "xml" } } }), "Input should be 'json_schema'"),
    ])
    .await;
    taken(&[
        json!({ "thinking": adaptive, "output_config": xhigh }),
        json!({ "model": "claude-sonnet-5-5", "thinking": between }),
        json!({ "model": "claude-haiku-5-5", "thinking": disabled }),
        json!({ "model": "claude-sonnet-5", "thinking": disabled }),
        json!({ "model": "claude-opus-4-6", "thinking": enabled, "max_tokens": 2048 }),
        json!({ "model": "claude-opus-4-5-20251101", "thinking": enabled, "max_tokens": 2048 }),
    ])
    .await;
}

#[tokio::test]
async fn cache_markers_are_counted_and_ordered() {
    let five = vec![marked("5m"); 5];
    let four = vec![marked("1h"); 4];
    refused(&[
        (json!({ "system": five }), "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        (json!({ "system": four, "cache_control": { "type": "ephemeral" } }), "Found 5."),
        (json!({ "system": [marked("5m"), marked("1h")] }), "must not come after a ttl='5m'"),
        (json!({ "system": [marked("2h")] }), "cache_control.ttl: Input should be '5m' or '1h'"),
        (json!({ "cache_control": { "type": "eternal" } }), "Input should be 'ephemeral'"),
    ])
    .await;
    taken(&[json!({ "system": [marked("1h"), marked("1h"), marked("5m")], "cache_control": { "type": "ephemeral" } })])
        .await;
}

#[tokio::test]
async fn what_the_api_allows_is_taken() {
    let hi = json!("hi");
    taken(&[
        json!({ "messages": [user(&hi), user(&hi)] }),
        json!({ "messages": [user(&hi), { "role": "system", "content": "be brief" }] }),
        json!({ "messages": [user(&hi), assistant(&hi), assistant(&hi), user(&hi)] }),
        json!({ "model": "claude-sonnet-4-5", "messages": [user(&hi), assistant(&json!("The answer is"))] }),
        json!({
            "tools": [tool("look")],
            "tool_choice": { "type": "auto", "disable_parallel_tool_use": true },
            "messages": [
                user(&hi),
                assistant(&json!([call("toolu_1"), call("toolu_2")])),
                user(&json!([result("toolu_1"), result("toolu_2"), { "type": "text", "text": "and now?" }])),
            ],
        }),
        json!({ "model": "claude-opus-5", "tools": [tool("look")], "tool_choice": { "type": "any" } }),
        json!({ "max_tokens": 0 }),
        json!({ "stop_sequences": ["END"], "metadata": { "user_id": "h_5f0c" }, "service_tier": "auto" }),
    ])
    .await;
}

#[tokio::test]
async fn headers_are_judged() {
    let bench =
        Bench::start(super::Options { keys: Some(vec!["good".to_owned()]), ..super::Options::scripted() }).await;
    bench.claude.respond_with(|_| super::super::Turn::text("ok"));
    let url = bench.claude.base_url().join("/v1/messages").expect("a path joins");
    let key = ("x-api-key", "good");
    let version = ("anthropic-version", "2026-10-21");
    let table: &[(&[(&str, &str)], u16)] = &[
        (&[version], 401),
        (&[("x-api-key", "bad"), version], 401),
        (&[("x-api-key", "bad"), ("authorization", "Bearer good"), version], 401),
        (&[key, version], 200),
        (&[("authorization", "Bearer good"), version], 200),
        (&[key, ("anthropic-version", "2023-06-01")], 200),
        (&[key], 400),
        (&[key, ("anthropic-version", "2024-01-01")], 400),
        (&[key, version, ("anthropic-beta", "compact-2026-01-12,oauth-2025-04-20")], 200),
        (&[key, version, ("anthropic-beta", "compact-2026-01-12,made-up-2026-01-01")], 400),
    ];
    for (headers, status) in table {
        let mut asked = bench.http.post(url.clone()).json(&request(&json!({})));
        for (name, value) in *headers {
            asked = asked.header(*name, *value);
        }
        let response = asked.send().await.expect("the stand-in answers");
        assert_eq!(response.status(), *status, "{headers:?}");
        assert!(response.headers().contains_key("request-id"));
    }
    let shown = format!("{:?}", bench.claude.requests());
    assert!(!shown.contains("good"), "the journal shows no key");
}

#[tokio::test]
async fn sampling_is_taken_only_from_older_versions_by_older_models() {
    let bench = Bench::scripted().await;
    bench.claude.respond_with(|_| super::super::Turn::text("ok"));
    for (model, status) in [("claude-opus-4-6", 200), ("claude-opus-5-5", 400)] {
        let url = bench.claude.base_url().join("/v1/messages").expect("a path joins");
        let asked = bench.http.post(url).header("x-api-key", "k").header("anthropic-version", "2023-06-01");
        let body = request(&json!({ "model": model, "temperature": 0.5 }));
        assert_eq!(asked.json(&body).send().await.expect("an answer").status(), status, "{model}");
    }
}

#[tokio::test]
async fn an_unknown_model_or_route_is_404_and_broken_json_400() {
    let bench = Bench::scripted().await;
    let unknown = bench.ask(&request(&json!({ "model": "claude-opus-9" }))).await;
    assert_eq!(unknown.status(), 404);
    let body: Value = unknown.json().await.expect("JSON");
    assert_eq!(body["error"], json!({ "type": "not_found_error", "message": "model: claude-opus-9" }));
    let nowhere = bench.post("/v1/poems").json(&json!({})).send().await.expect("an answer");
    assert_eq!(nowhere.status(), 404);
    assert_eq!(nowhere.json::<Value>().await.expect("JSON")["error"]["type"], "not_found_error");
    let broken = bench.post("/v1/messages").header("content-type", "application/json").body("{").send().await;
    assert_eq!(broken.expect("an answer").status(), 400);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_in_json_or_html() {
    for (too_large_as_html, content_type) in [(false, "application/json"), (true, "text/html")] {
        let options = super::Options { body_bytes_max: 4096, too_large_as_html, ..super::Options::scripted() };
        let bench = Bench::start(options).await;
        let content = "x".repeat(5000);
        let response = bench.ask(&request(&json!({ "messages": [user(&json!(content))] }))).await;
        assert_eq!(response.status(), 413);
        assert_eq!(response.headers()["content-type"], content_type);
    }
}

/// Returns a base64 source.
fn base64_source(media_type: &str, bytes: &[u8]) -> Value {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    json!({ "type": "base64", "media_type": media_type, "data": BASE64_STANDARD.encode(bytes) })
}

fn picture(width: u32, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(width, 1).write_to(&mut bytes, format).expect("a picture can be written");
    bytes.into_inner()
}

#[tokio::test]
async fn images_and_documents_must_be_what_they_claim() {
    use image::ImageFormat::{Jpeg, Png};
    let image = |source: Value| json!({ "messages": [user(&json!([{ "type": "image", "source": source }]))] });
    let document = |source: Value, title: &str| json!({ "messages": [user(&json!([{ "type": "document", "source": source, "title": title }]))] });
    let text = |data: &str| json!({ "type": "text", "media_type": "text/plain", "data": data });
    refused(&[
        (image(json!({})), "source.type: Field required"),
        (image(base64_source("image/tiff", b"x")), "media_type: Input should be 'image/jpeg'"),
        (image(json!({ "type": "base64", "media_type": "image/png", "data": "%%" })), "invalid base64 data"),
        (image(base64_source("image/png", &picture(9, Jpeg))), "specified using the image/png media type"),
        (image(base64_source("image/png", &picture(9, Png)[..20])), "Could not process image"),
        (image(base64_source("image/png", &picture(8_001, Png))), "exceed max allowed size: 8000 pixels"),
        (image(base64_source("image/png", &vec![0; 4 << 20])), "image exceeds 5 MB maximum"),
        (document(base64_source("application/zip", b"x"), "a"), "media_type: Input should be 'application/pdf'"),
        (document(base64_source("application/pdf", b"x"), "a"), "The PDF specified was not valid"),
        (document(text(" "), "a"), "String should have at least 1 character"),
        (document(text("x"), ""), "title: String should have 1 to 500 characters"),
        (
            document(json!({ "type": "text", "media_type": "text/plain", "data": "x", "more": 1 }), "a"),
            "more: Extra inputs",
        ),
    ])
    .await;
    taken(&[
        image(base64_source("image/jpeg", &picture(8_000, Jpeg))),
        document(base64_source("application/pdf", b"%PDF-1.7"), "a.pdf"),
        document(text("x"), "a.txt"),
    ])
    .await;
}
