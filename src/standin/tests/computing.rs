//! Tests files and containers as a client sees them.

use std::fmt::Write as _;

use super::*;
use crate::standin::{Failure, Turn};

const CODE: &str = "code_execution_20260521";

fn computing(changes: &Value) -> Value {
    let mut body = request(&json!({ "tools": [{ "type": CODE, "name": "code_execution" }] }));
    for (name, value) in changes.as_object().expect("changes are an object") {
        body[name] = value.clone();
    }
    body
}

async fn upload(bench: &Bench, fields: &[(&str, &str)], name: &str, bytes: &str) -> (u16, Value) {
    let mut body = String::new();
    for (field, value) in fields {
        let _ = write!(body, "--x\r\ncontent-disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
    }
    let _ = write!(
        body,
        "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{bytes}\r\n--x--\r\n"
    );
    let call = bench.post("/v1/files").header("content-type", "multipart/form-data; boundary=x").body(body);
    let response = call.send().await.expect("the stand-in answers");
    (response.status().as_u16(), response.json().await.expect("JSON is answered"))
}

#[tokio::test]
async fn c24_files_are_kept_until_they_are_deleted_and_only_made_ones_are_read() {
    let bench = Bench::scripted().await;
    let (status, info) = upload(&bench, &[("expires_in_seconds", "3600")], "data.csv", "a,b\r\n1,2").await;
    assert_eq!((status, &info["filename"], &info["downloadable"]), (200, &json!("data.csv"), &json!(false)));
    assert_eq!(bench.claude.files()[0].bytes, b"a,b\r\n1,2");
    let id = info["id"].as_str().expect("an id").to_owned();
    let made = bench.claude.make_file("chart.png", b"png");
    let get = |path: String| bench.http.get(bench.claude.base_url().join(&path).expect("a path joins"));
    let signed = |call: RequestBuilder| call.header("x-api-key", "k").header("anthropic-version", "2026-10-21");
    let status = |call: RequestBuilder| async { signed(call).send().await.expect("answered").status().as_u16() };
    assert_eq!(status(get(format!("/v1/files/{id}/content"))).await, 400);
    let read = signed(get(format!("/v1/files/{made}/content"))).send().await.expect("answered");
    assert_eq!(read.bytes().await.expect("bytes"), &b"png"[..]);
    assert_eq!(status(get("/v1/files/file_none".to_owned())).await, 404);
    assert_eq!(get(format!("/v1/files/{id}")).send().await.expect("answered").status(), 401);
    for id in [&id, &made] {
        let url = bench.claude.base_url().join(&format!("/v1/files/{id}")).expect("a path joins");
        assert_eq!(status(bench.http.delete(url.clone())).await, 200);
        assert_eq!(status(bench.http.delete(url)).await, 404, "once");
    }
    assert!(bench.claude.files().is_empty());

    for (fields, name, bytes) in
        [(&[("expires_in_seconds", "60")][..], "a", "x"), (&[("colour", "red")], "a", "x"), (&[], "a", "")]
    {
        assert_eq!(upload(&bench, fields, name, bytes).await.0, 400, "{fields:?} {bytes}");
    }
    bench.claude.fail_next_upload(Failure::status(429).retry_after("1"));
    assert_eq!(upload(&bench, &[], "a", "x").await.0, 429);
}

#[tokio::test]
async fn c24_a_container_is_made_used_again_and_refused_once_it_is_gone() {
    let bench = Bench::scripted().await;
    let file = bench.claude.make_file("chart.png", b"png");
    for _ in 0..2 {
        bench.claude.enqueue(
            Turn::empty().and_code("srvtoolu_1", "plot()", "done", std::slice::from_ref(&file)).and_text("Here."),
        );
    }
    let skills = json!([{ "type": "anthropic", "skill_id": "xlsx", "version": "latest" }]);
    let first = bench.ask_json(&computing(&json!({ "container": { "skills": skills } }))).await;
    let container = first["container"]["id"].as_str().expect("a container").to_owned();
    assert!(first["container"]["expires_at"].is_string());
    assert_eq!(first["content"][1]["content"]["content"][0]["file_id"], json!(file));
    let again = bench.ask_json(&computing(&json!({ "container": container }))).await;
    assert_eq!(again["container"]["id"], json!(container));
    bench.claude.expire_containers();
    let (_, info) = upload(&bench, &[], "data.csv", "1").await;
    let blocks = |id: &Value| json!([{ "role": "user", "content": [{ "type": "container_upload", "file_id": id }] }]);
    for (changes, status) in [
        (json!({ "container": container }), 400),
        (json!({ "container": { "id": "container_of_another" } }), 400),
        (json!({ "container": { "id": 7 } }), 400),
        (json!({ "container": { "colour": "red" } }), 400),
        (json!({ "container": { "skills": [{ "type": "anthropic", "skill_id": "exe" }] } }), 400),
        (json!({ "container": { "skills": skills }, "tools": [] }), 400),
        (json!({ "messages": blocks(&json!("file_none")) }), 404),
        (json!({ "messages": blocks(&info["id"]), "tools": [] }), 400),
        (json!({ "messages": blocks(&Value::Null) }), 400),
    ] {
        let response = bench.ask(&computing(&changes)).await;
        assert_eq!(response.status().as_u16(), status, "{changes}");
    }
    bench.claude.enqueue(Turn::text("Nothing to compute."));
    let filled = bench.ask_json(&computing(&json!({ "messages": blocks(&info["id"]) }))).await;
    assert!(filled["container"]["id"].is_string(), "a file was put into one");
}

#[tokio::test]
async fn c24_errors_of_code_execution_come_back_and_unknown_ones_are_refused() {
    let bench = Bench::scripted().await;
    for (code, status) in [("unavailable", 200), ("container_expired", 200), ("output_file_too_large", 200), ("x", 400)]
    {
        if status == 200 {
            bench.claude.enqueue(Turn::text("It did not run."));
        }
        let blocks = [
            json!({ "type": "server_tool_use", "id": "srvtoolu_1", "name": "bash_code_execution", "input": {} }),
            json!({ "type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_1", "content": {
                "type": "bash_code_execution_tool_result_error", "error_code": code } }),
            json!({ "type": "text", "text": "x" }),
        ];
        let messages = json!([
            { "role": "user", "content": "a" }, { "role": "assistant", "content": blocks },
            { "role": "user", "content": "b" },
        ]);
        assert_eq!(bench.ask(&computing(&json!({ "messages": messages }))).await.status().as_u16(), status, "{code}");
    }
}
