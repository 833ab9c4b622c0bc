use super::*;
use crate::core::event::MediaSource;

fn of(body: &str, html: &str) -> Message {
    Message { html: Some(html.to_owned()), ..Message::text(body) }
}

fn given(body: &str, html: &str) -> Option<Seen> {
    seen(&of(body, html), body)
}

#[test]
fn e_what_only_the_formatted_text_says_is_given_as_text() {
    let pill = r#"<a href="https://matrix.to/#/@coworker-oncall:hs">oncall</a>"#;
    for (body, html, expected) in [
        ("read this: ...", "read this: <pre><code>ERRORCODE 77</code></pre>", "read this:\n\n```\nERRORCODE 77\n```"),
        ("what is it?", r#"what is it? <img src="mxc://hs/x" alt="CHART" title="t">"#, "what is it? [image: CHART]"),
        (
            "sum it",
            "sum it <table><tr><th>Fruit</th><th>n</th></tr><tr><td>APPLES</td><td>3</td></tr></table>",
            "sum it\n\nFruit | n\nAPPLES | 3",
        ),
        ("deploy prod staging", "deploy <del>prod</del> staging", "deploy ~~prod~~ staging"),
        ("deploy prod staging", "deploy <S>prod</S> staging", "deploy ~~prod~~ staging"),
        ("what is 25?", "what is 2<sup>5</sup>?", "what is 2^(5)?"),
        ("H2O", "H<sub>2</sub>O", "H_(2)O"),
        ("solve it", "solve it <span data-mx-maths=\"x^2=9\">…</span>", "solve it $x^2=9$"),
        ("see log", "see log <details><summary>today</summary>FATAL</details>", "see log\ntoday\nFATAL"),
        ("it was the butler", "it was <span data-mx-spoiler>the butler</span>", "it was [spoiler: the butler]"),
        ("say ok", "say ok 👍", "say ok 👍"),
        ("do", "do<ol start=4><li>one<li>two<ul><li>in</ul></ol>", "do\n4. one\n5. two\n  - in"),
        ("yes", "<blockquote>sure?<br>really?</blockquote>yes", "> sure?\n> really?\n\nyes"),
        ("a b", "<p>a</p>\n<p>b <script>x</script>c &hellip; d</p>", "a\n\nb c … d"),
        ("oncall: go", &format!("{pill}: go on"), "oncall: go on"),
        ("go", "<mx-reply><blockquote>secret words</blockquote></mx-reply>go now", "go now"),
    ] {
        let found = given(body, html).map(|seen| match seen {
            Seen::Instead(text) => text,
            Seen::Beside(text) => format!("beside: {text}"),
        });
        assert_eq!(found.as_deref(), Some(expected), "{body:?} {html}");
    }
}

#[test]
fn e_a_message_that_says_two_things_is_given_as_both() {
    for (body, html, expected) in [
        ("who? [Spoiler](mxc://hs/abc)", "who? <span data-mx-spoiler>THE BUTLER</span>", "who? [spoiler: THE BUTLER]"),
        (
            "who? [Spoiler for the end](mxc://hs/abc)",
            "who? <span data-mx-spoiler=\"the end\">BUTLER</span>",
            "who? [spoiler (the end): BUTLER]",
        ),
        ("(HTML message)", "<p>please restart NODE7</p>", "please restart NODE7"),
        ("deploy prod", "deploy staging", "deploy staging"),
        ("do not deploy", "do deploy", "do deploy"),
        ("do not deploy", "<b class=\"not\" title=\"not\">do deploy</b>", "do deploy"),
        ("do not deploy", "<a href=\"not\">do deploy</a>", "do deploy"),
        ("do not deploy", "<script>not</script>do deploy", "do deploy"),
        ("do deploy", "do <a href=\"https://matrix.to/#/@not:hs\">NOT</a> deploy", "do NOT deploy"),
        ("stop A before B", "stop B before A", "stop B before A"),
        ("approve 👍", "approve 👎", "approve 👎"),
        ("add 5", "add -5", "add -5"),
        ("see https://x.example/a", "see <a href=\"https://x.example/a\">this page</a>", "see this page"),
    ] {
        assert_eq!(given(body, html), Some(Seen::Beside(expected.to_owned())), "{body:?} {html}");
    }
}

#[test]
fn e_a_formatted_text_that_says_the_same_is_not_repeated() {
    for (body, html) in [
        ("a **bold** word", "a <strong>bold</strong> word"),
        ("foo**bar** \\*x\\* `code`", "foo<b>bar</b> *x* <code>code</code>"),
        ("~~no~~ yes", "<del>no</del> yes"),
        ("write `<b>`", "write <code>&lt;b&gt;</code>"),
        ("<del>no</del> 2<sup>5</sup>", "<del>no</del> 2<sup>5</sup>"),
        ("x^2 and $y^2$", "x<sup>2</sup> and <span data-mx-maths=\"y^2\"><code>y^2</code></span>"),
        ("||hidden||", "<span data-mx-spoiler>hidden</span>"),
        ("[here](https://x.example/a?b=1)", "<a href=\"https://x.example/a?b=1\">here</a>"),
        ("https://x.example/a", "<a href=\"https://x.example/a\">https://x.example/a</a>"),
        ("Alice Smith: hi", "<a href=\"https://matrix.to/#/@alice:hs\">Alice Smith</a>: hi"),
        ("@alice:hs: hi", "<a href=\"https://matrix.to/#/@alice:hs\">Alice Smith</a>: hi"),
        ("[Alice](https://matrix.to/#/@alice:hs) hi", "<a href=\"https://matrix.to/#/@alice:hs\">Alice</a> hi"),
        ("see #ops:hs", "see <a href=\"https://matrix.to/#/%23ops:hs\">Operations</a>"),
        ("1. one\n1. two\n\n- [x] three", "<ol><li>one</li><li>two</li></ol><ul><li>three</li></ul>"),
        ("```rust\nfn a() {}\n```", "<pre><code class=\"language-rust\">fn a() {}\n</code></pre>"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<table><tr><th>a<th>b<tr><td>1<td>2</table>"),
        ("<details><summary>s</summary>x</details>", "<details><summary>s</summary>x</details>"),
        (":party: 🎉", "<img data-mx-emoticon src=\"mxc://hs/p\" alt=\":party:\"> 🎉"),
        ("> <@bob:hs> no\n\nyes", "<mx-reply><blockquote>no</blockquote></mx-reply>yes"),
        ("It's \"so\" ...", "It’s “so” …"),
        ("# Title\n\ntext", "<h1>Title</h1><p>text</p>"),
        ("something", "<p> </p><!-- nothing -->"),
        ("", ""),
    ] {
        assert_eq!(given(body, html), None, "{body:?} {html}");
    }
    assert_eq!(seen(&Message::text("plain"), "plain"), None);
}

#[test]
fn e_a_file_without_a_caption_may_have_words_in_its_formatted_text_only() {
    let file = |html: &str| {
        let kind = MessageKind::Attachment {
            msgtype: "m.image".to_owned(),
            name: "a.png".to_owned(),
            mime: None,
            size: None,
            voice: false,
            media: Some(MediaSource::new(String::new())),
        };
        Message { kind, ..of("a.png", html) }
    };
    assert_eq!(seen(&file("a.png"), ""), None);
    assert_eq!(seen(&file("what is it?"), ""), Some(Seen::Beside("what is it?".to_owned())));
}

#[test]
fn e_hostile_html_is_drawn_in_bounds() {
    for piece in [
        "<b>",
        "</b>",
        "<blockquote>x<br>",
        "<ul><li>x",
        "<li>",
        "<table><tr><td>",
        "<del>",
        "<del>x",
        "<sup>x</sup>",
        "<span data-mx-spoiler=\"y\">",
        "<pre>\n",
        "<a href=\"https://matrix.to/#/@x:hs\">x</a>",
        "<mx-reply>",
        "<script>",
        "<img alt=\"x\">",
        "<span data-mx-maths=\"x\">",
        "<pre><code class=\"language-x\">y</code></pre>",
        "<",
        "&",
        "<!--",
        "\u{e9}",
        "<a =",
        "\u{202e}",
        "<p>x",
        "</p></ul></mx-reply>",
    ] {
        let hostile = piece.repeat(64 * 1024 / piece.len() + 1);
        for body in ["x", &hostile] {
            let Some(Seen::Instead(text) | Seen::Beside(text)) = given(body, &hostile) else { continue };
            assert!(text.len() <= 64 * 1024, "{piece}");
            assert!(text.lines().all(|line| !line.starts_with(&"> ".repeat(9))), "{piece}");
        }
    }
    // What is nested too deeply is still text.
    let deep = format!("{}deep{}", "<div><span>".repeat(5_000), "</span></div>".repeat(5_000));
    assert_eq!(given("x", &deep), Some(Seen::Beside("deep".to_owned())));
}
