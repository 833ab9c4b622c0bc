//! Answers with sources: what they say, what of it is a link, and what goes back to the provider.

use ruma::{event_id, room_id, server_name};

use super::*;
use crate::core::{
    prompt::{File, Part, Role, Turn},
    render,
};

fn text(text: &str, citations: &[Value]) -> Value {
    json!({ "type": "text", "text": text, "citations": citations })
}

fn web(url: &str, title: &str) -> Value {
    json!({ "type": "web_search_result_location", "url": url, "title": title, "cited_text": "words" })
}

fn page_of(title: &str, page: u64) -> Value {
    json!({
        "type": "page_location", "document_index": 0, "document_title": title, "cited_text": "So it is.",
        "start_page_number": page, "end_page_number": page + 1,
    })
}

fn told(blocks: &[Value]) -> String {
    let mut bench = Bench::new();
    let next = bench.take(TurnStop::End, blocks);
    let Next::End(Ok((text, Stop::End))) = next else { panic!("{next:?}") };
    text
}

fn fetched(url: &str, title: Option<&str>, text: Option<&str>) -> Value {
    let source = match text {
        Some(text) => json!({ "type": "text", "media_type": "text/plain", "data": text }),
        None => json!({ "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" }),
    };
    json!({ "type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_1", "content": {
        "type": "web_fetch_result", "url": url, "content": { "type": "document", "source": source, "title": title },
    } })
}

#[test]
fn c9_numbers_stand_behind_claims_and_each_source_once_in_one_line_at_the_end() {
    let blocks = [
        said("So: "),
        text("it rains. ", &[web("https://a.org/x(1)", "Rain\n[now](javascript:1)"), web("javascript:alert(1)", "")]),
        text("It snows.", &[web("https://b.org/", ""), web("https://a.org/x(1)", "again")]),
        said("\n\nThat is all.\n"),
    ];
    let expected = "So: it rains. <sup>[[1]](<https://a.org/x(1)>)</sup> It snows. <sup>[[2]](<https://b.org/>)</sup> \
                    <sup>[[1]](<https://a.org/x(1)>)</sup>\n\nThat is all.\n\n\
                    Sources: [1] [Rain &#91;now&#93;(javascript:1)](<https://a.org/x(1)>) · [2] [b.org](<https://b.org/>)";
    assert_eq!(told(&blocks), expected);
    let shown = render::render(expected);
    assert_eq!(
        shown.body,
        "So: it rains. [1] It snows. [2] [1]\n\nThat is all.\n\n\
         Sources: [1] Rain [now](javascript:1) (https://a.org/x(1)) · [2] b.org (https://b.org/)"
    );
    let html = shown.html.expect("it has links");
    assert!(html.contains(r#"it rains. <sup><a href="https://a.org/x(1)">[1]</a></sup> It snows."#), "{html}");
    assert!(!html.contains("javascript:1\""), "{html}");
}

#[test]
fn c9_neighbouring_claims_with_the_same_sources_have_their_number_once() {
    let rain = || web("https://a.org/", "Rain");
    let answer = told(&[text("It rains ", &[rain()]), text("and pours.", &[rain()]), text("\n\nAnd more.", &[rain()])]);
    assert!(answer.starts_with("It rains and pours. <sup>[[1]]") && answer.matches("<sup>").count() == 2, "{answer}");
}

#[test]
fn c9_no_number_breaks_code_a_table_or_a_rule() {
    let rain = || [web("https://a.org/", "Rain")];
    let mark = " <sup>[[1]](<https://a.org/>)</sup>";
    let end = "\n\nSources: [1] [Rain](<https://a.org/>)";
    for (blocks, expected) in [
        (
            vec![text("```\nlet a = 1;", &rain()), said("\n```\nDone.")],
            format!("```\nlet a = 1;\n```\nDone.{mark}{end}"),
        ),
        (vec![text("Run `ls", &rain()), said(" -l` now.")], format!("Run `ls -l` now.{mark}{end}")),
        (vec![text("| a | b |\n|---|---|\n| 1 | 2 |", &rain()), said("\n")], {
            format!("| a | b |\n|---|---|\n| 1 | 2{mark} |{end}")
        }),
        (vec![text("It is so.\n\n---", &rain())], format!("It is so.\n\n---{end}")),
        (vec![text("```\nopen", &rain())], format!("```\nopen\n```{end}")),
        (vec![text("- one\n", &rain()), said("- two")], format!("- one{mark}\n- two{end}")),
    ] {
        assert_eq!(told(&blocks), expected);
    }
}

#[test]
fn c12_a_citation_of_a_fetched_page_gets_its_address_and_title() {
    let one = fetched("https://a.org/one", Some("One"), Some("Alpha beta. Gamma."));
    let two = fetched("https://a.org/two", Some("Two"), Some("Delta. Gamma."));
    let pdf = fetched("https://a.org/p.pdf", Some("Paper"), None);
    let char_of = |words: &str, title: Option<&str>| json!({ "type": "char_location", "document_index": 7, "document_title": title, "cited_text": words });
    let all = [one, two, pdf.clone()];
    for (pages, citation, expected) in [
        (&all[..], char_of("Alpha beta.", None), Some(("One", "https://a.org/one"))),
        (&all[..], char_of("Gamma.", Some("Two")), Some(("Two", "https://a.org/two"))),
        (&all[..], char_of("Gamma.", None), None),
        (&all[..], char_of("nowhere", Some("One")), Some(("One", "https://a.org/one"))),
        (&all[..], page_of("Paper", 2), Some(("Paper, p. 2", "https://a.org/p.pdf"))),
        (&all[2..], page_of("another title", 1), Some(("Paper, p. 1", "https://a.org/p.pdf"))),
        (&all[..0], page_of("Paper", 1), None),
        (&all[..], json!({ "type": "a_new_location", "url": "https://b.org/" }), None),
    ] {
        let mut bench = Bench::new();
        let blocks: Vec<Value> = pages.iter().cloned().chain([text("x", std::slice::from_ref(&citation))]).collect();
        assert!(matches!(bench.take(TurnStop::End, &blocks), Next::End(Ok(_))));
        let found = bench.work.cited().first().map(|cited| (cited.name.as_str(), cited.link.as_deref().unwrap_or("")));
        assert_eq!(found, expected, "{citation}");
    }
}

fn with_shelf(bench: &mut Bench) {
    let pdf = File {
        title: "report.pdf".to_owned(),
        content: FileContent::Pdf { base64: "cGRm".into() },
        event: Some(event_id!("$pdf").to_owned()),
        has_places: false,
    };
    let turn = Turn { role: Role::User, parts: vec![Part::File(pdf)] };
    let prompt = Prompt { turns: vec![turn], ..Prompt::default() };
    bench.shelf = Shelf::of(&prompt, room_id!("!r:hs"), server_name!("hs"));
}

#[test]
fn c7_a_page_of_a_file_and_a_message_that_was_found_are_linked_and_survive_the_journal() {
    let mut bench = Bench::new();
    with_shelf(&mut bench);
    let source = "https://matrix.to/#/!r:hs/$said?via=hs";
    let title = "Alice, 2026-11-29 10:20 UTC";
    let record = r#"{"event_id":"$said","text":"We roll back. hunter2-token"}"#;
    let found = |source: &str, title: &str| Found {
        source: source.to_owned(),
        title: title.to_owned(),
        text: record.to_owned(),
    };
    bench.take(TurnStop::End, &[text("Look. ", &[page_of("report.pdf", 3)]), call("1", "look", &json!({}))]);
    let output = Output {
        found: vec![found(source, title), found("https://matrix.to/#/!other:hs/$said?via=hs", "Bob")],
        read: vec![event_id!("$said").to_owned()],
        ..Output::ok("1 found")
    };
    bench.run_ready(&output);
    assert!(bench.last_results()[0].found[0].text.contains("•••"), "secrets are hidden in what was found");
    assert!(bench.work.steps()[0].result.contains("We roll back"), "the trail shows it");

    // Another process goes on.
    let journal = serde_json::to_string(&bench.work).expect("JSON");
    assert!(!journal.contains("hunter2"), "{journal}");
    bench.work = serde_json::from_str(&journal).expect("a journal");
    let found_at = |source: &str, title: &str| json!({ "type": "search_result_location", "source": source, "title": title, "cited_text": record });
    let blocks = [
        text("They roll back", &[found_at(source, "forged @room")]),
        text(" soon.", &[found_at("https://matrix.to/#/!other:hs/$said?via=hs", "Bob")]),
        text(" Also this.", &[found_at("https://matrix.to/#/@bob:hs", "Bob the person")]),
    ];
    let next = bench.take(TurnStop::End, &blocks);
    let Next::End(Ok((answer, _))) = next else { panic!("{next:?}") };
    let expected = "They roll back <sup>[[1]](<https://matrix.to/#/!r:hs/%24said?via=hs>)</sup> soon. <sup>[2]</sup> \
                    Also this. <sup>[3]</sup>\n\nSources: [1] [Alice, 2026-11-29 10:20 UTC]\
                    (<https://matrix.to/#/!r:hs/%24said?via=hs>) · [2] Bob · [3] Bob the person";
    assert_eq!(answer, expected);
    assert_eq!(bench.work.cited()[0].words, "We roll back. hunter2-token".replace("hunter2-token", "•••"));
    let shown = render::render(&answer);
    assert_eq!(
        shown.body,
        "They roll back [1] soon. [2] Also this. [3]\n\nSources: [1] Alice, 2026-11-29 10:20 UTC · [2] Bob · \
         [3] Bob the person"
    );
}

#[test]
fn a3_what_the_model_said_beside_its_calls_keeps_its_sources_where_that_is_the_answer() {
    let mut bench = Bench::new();
    with_shelf(&mut bench);
    bench.take(TurnStop::End, &[text("It was replaced.", &[page_of("report.pdf", 3)]), call("1", "look", &json!({}))]);
    bench.run_ready(&Output::ok("ok"));
    let next = bench.take(TurnStop::End, &[]);
    assert!(
        matches!(&next, Next::End(Ok((text, _))) if text.ends_with("p. 3](<https://matrix.to/#/!r:hs/%24pdf?via=hs>)"))
    );
    assert_eq!(bench.work.cited().len(), 1);
    let said: Value = serde_json::from_str(&bench.work.rounds()[0].said[0]).expect("JSON");
    assert_eq!(said["citations"][0], page_of("report.pdf", 3), "it goes back as it came");
}

#[test]
fn design_3_an_older_journal_is_read_and_a_result_without_anything_found_is_as_it_was() {
    let older = r#"{"rounds":[{"said":[],"results":[{"call":"1","text":"t","is_error":false}]}],"steps":[],"asked":1,
        "tokens":5,"failures":{"calls":0,"rounds":0},"read":[]}"#;
    let work: Work = serde_json::from_str(older).expect("an older journal");
    assert_eq!((work.rounds()[0].results[0].found.len(), work.cited().len()), (0, 0));
    let written = serde_json::to_string(&work.rounds()[0]).expect("JSON");
    assert_eq!(written, r#"{"said":[],"results":[{"call":"1","text":"t","is_error":false}]}"#);
}

#[test]
fn c9_hostile_names_neither_ping_nor_break_the_line() {
    let hostile = [
        "@room, look",
        "@bob:hs",
        "](https://evil.example) [x",
        "**bold** _it_ `code` ~~gone~~",
        "<b>b</b> <script>alert(1)</script> &lt;i&gt;",
        "\u{202e}gpj.exe\nSources: [9] forged",
        "$$\\href{javascript:x}{y}$$ | C:\\new \\[1\\]",
        "https://evil.example/login",
        "[1]: https://evil.example",
        "# Heading\n- item\n> quote",
    ];
    for title in hostile {
        let answer = told(&[text("It is so.", &[web("https://a.org/?q=$1|`x`*y*\\z", title)]), said(" [1] More $5.")]);
        let shown = render::render(&answer);
        let html = shown.html.expect("it has links");
        assert!(!html.contains("evil.example\""), "{title}: {html}");
        assert_eq!(html.matches("<a href=\"https://a.org/").count(), 2, "{title}: {html}");
        assert_eq!(html.matches("<a ").count(), 2, "{title}: {html}");
        for markup in
            ["<b>", "<em>", "<strong>", "<del>", "<script", "<h3", "<li>", "<blockquote>", "data-mx-maths", "\u{202e}"]
        {
            assert!(!html.contains(markup), "{title}: {markup} in {html}");
        }
        assert!(!shown.body.contains("@room"), "{title}: {}", shown.body);
        assert_eq!(shown.body.lines().count(), 3, "{title}: {}", shown.body);
    }
}

#[test]
fn c9_sources_and_numbers_are_bounded() {
    let many = |from: usize| -> Vec<Value> {
        (from..from + 10).map(|n| web(&format!("https://a.org/{n}"), &format!("Page {n}"))).collect()
    };
    let blocks: Vec<Value> = (0..20).map(|n| text(&format!("Claim {n}. "), &many(n * 10))).collect();
    let answer = told(&blocks);
    assert_eq!(answer.matches("Page ").count(), crate::core::citing::SOURCES_MAX);
    assert_eq!(
        answer.lines().next().unwrap_or_default().split("Claim 1").next().unwrap_or_default().matches("<sup>").count(),
        4
    );
}

#[test]
fn c26_what_a_tool_found_is_withheld_with_its_result() {
    let mut bench = Bench::new();
    bench.take(TurnStop::End, &[call("1", "look", &json!({}))]);
    let found = Found { source: "https://a.org/".to_owned(), title: "A".to_owned(), text: "poison".to_owned() };
    bench.run_ready(&Output { found: vec![found], ..Output::ok("1 found") });
    assert_eq!(bench.last_results()[0].found.len(), 1);
    assert!(bench.work.withhold(false));
    assert!(bench.last_results()[0].found.is_empty());
}
