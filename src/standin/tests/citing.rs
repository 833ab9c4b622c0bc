use serde_json::{Value, json};

use super::super::{Cite, Turn};
use super::{Bench, events, request};

fn asking(blocks: &Value) -> Value {
    request(&json!({ "stream": true, "messages": [{ "role": "user", "content": blocks }] }))
}

fn document(text: &str, enabled: bool) -> Value {
    let source = json!({ "type": "text", "media_type": "text/plain", "data": text });
    json!({ "type": "document", "title": "a.txt", "source": source, "citations": { "enabled": enabled } })
}

#[tokio::test]
async fn what_a_text_cites_is_looked_up_in_the_request_and_comes_behind_the_text() {
    let bench = Bench::scripted().await;
    bench.claude.enqueue(Turn::empty().and_cited("It rains.", [Cite::Words("größer Regen".to_owned())]));
    let blocks = json!([document("Sonne.", true), document("Ein größer Regen.", true)]);
    let stream = bench.ask(&asking(&blocks)).await.text().await.expect("a stream");
    let events = events(&stream);
    let deltas: Vec<&Value> =
        events.iter().filter(|(name, _)| name == "content_block_delta").map(|(_, data)| &data["delta"]).collect();
    let expected = json!({
        "type": "char_location", "document_index": 1, "document_title": "a.txt", "file_id": null,
        "start_char_index": 4, "end_char_index": 16, "cited_text": "größer Regen",
    });
    assert_eq!(deltas[0]["type"], "text_delta");
    assert_eq!(deltas.last(), Some(&&json!({ "type": "citations_delta", "citation": expected })));
    let (_, begun) = events.iter().find(|(name, _)| name == "content_block_start").expect("a block");
    assert_eq!(begun["content_block"], json!({ "type": "text", "text": "", "citations": [] }));
    bench.claude.finish().expect("all was cited");
}

#[tokio::test]
async fn what_the_request_does_not_hold_for_citing_fails_the_test() {
    for blocks in [json!([document("Rain.", false)]), json!([document("Sun.", true)])] {
        let bench = Bench::scripted().await;
        bench.claude.enqueue(Turn::empty().and_cited("It rains.", [Cite::Words("Rain".to_owned())]));
        assert_eq!(bench.ask(&asking(&blocks)).await.status(), 500);
        let error = bench.claude.finish().expect_err("it could not cite").to_string();
        assert!(error.contains("could not cite"), "{error}");
    }
}

#[tokio::test]
async fn citations_are_for_all_or_none_and_keep_their_form() {
    let found = |changes: &Value| {
        let mut found = json!({
            "type": "search_result", "source": "https://a.org/", "title": "A",
            "content": [{ "type": "text", "text": "x" }], "citations": { "enabled": true },
        });
        for (name, value) in changes.as_object().expect("an object") {
            found[name] = value.clone();
        }
        found
    };
    let of_user = |blocks: Value| json!({ "messages": [{ "role": "user", "content": blocks }] });
    let said = |citation: Value| {
        let text = json!([{ "type": "text", "text": "x", "citations": [citation] }]);
        let user = json!({ "role": "user", "content": "hi" });
        json!({ "messages": [user, { "role": "assistant", "content": text }, user] })
    };
    let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let format = json!({ "format": { "type": "json_schema", "schema": schema } });
    let mut structured = of_user(json!([document("x", true)]));
    structured["output_config"] = format;
    for (changes, problem) in [
        (of_user(json!([document("x", true), document("y", false)])), "all or none of the documents"),
        (
            of_user(json!([found(&json!({})), found(&json!({ "citations": null }))])),
            "all or none of the search results",
        ),
        (structured, "cannot be combined with citations"),
        (of_user(json!([found(&json!({ "content": [] }))])), "content: List should have at least 1 item"),
        (of_user(json!([found(&json!({ "content": [{ "type": "text", "text": " " }] }))])), "non-whitespace"),
        (of_user(json!([found(&json!({ "title": "" }))])), "title: String should have at least 1 character"),
        (of_user(json!([found(&json!({ "citations": { "on": true } }))])), "citations.on: Extra inputs"),
        (said(json!({ "type": "rumour", "cited_text": "x" })), "is no type of citation"),
        (said(json!({ "type": "page_location", "cited_text": "x", "page": 3 })), "citations.0.page: Extra inputs"),
    ] {
        let bench = Bench::scripted().await;
        let answer = bench.ask_json(&request(&changes)).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(problem), "{problem}: {answer}");
    }
}
