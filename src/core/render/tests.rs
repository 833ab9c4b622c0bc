use std::fmt::Write as _;

use proptest::prelude::*;

use super::{EDIT_BYTES_MAX, MESSAGE_BYTES_MAX, Rendered, fit, fit_so_far, render};
use crate::core::words;

mod meant;

fn shown(rows: &[(&str, &str)]) -> String {
    let mut shown = String::new();
    for (name, markdown) in rows {
        let Rendered { body, html } = render(markdown);
        let html = html.unwrap_or_else(|| "(none)".to_owned());
        let escaped = |text: &str| -> String {
            let invisible = |letter: char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
            text.chars().map(|c| if invisible(c) { format!("<U+{:04X}>", c as u32) } else { c.to_string() }).collect()
        };
        writeln!(
            shown,
            "=== {name}\n{}\n--- body\n{}\n--- html\n{}\n",
            escaped(markdown),
            escaped(&body),
            escaped(&html)
        )
        .expect("writing to a string");
    }
    shown
}

#[test]
fn markdown_becomes_body_and_html() {
    insta::assert_snapshot!(shown(&[
        ("plain", "Just words."),
        ("paragraphs and lines", "One\ntwo\n\nThree"),
        ("inline", "**Bold**, *slanted*, ~~gone~~, `code <b>`"),
        ("headings", "# One\n\n## Two\n\n#### Four\n\ntext"),
        ("list", "Before\n\n- a\n- b\n  - c\n  - d\n- e\n\nAfter"),
        ("numbered", "3. three\n4. four\n\n   more of four\n5. five"),
        ("tasks", "- [x] done\n- [ ] open"),
        ("code", "```rust\nfn main() {\n    println!(\"<&>\");\n}\n```\nthen"),
        ("code in list", "- a\n\n  ```\n  x\n  y\n  ```\n- b"),
        ("code with odd language", "```\"><script>\nx\n```"),
        ("table", "| a | b |\n|---|---|\n| 1 | **2** |\n| 3 | `4` |\n\nend"),
        ("quote", "> said\n> twice\n>\n> again\n\nanswer"),
        ("rule", "a\n\n---\n\nb"),
        ("links", "[docs](https://example.org/a?b=1&c=2) <https://example.org/> <a@example.org> https://bare.example"),
        ("open fence", "```sh\nls"),
    ]));
}

#[test]
fn hostile_markdown_is_shown_and_not_obeyed() {
    insta::assert_snapshot!(shown(&[
        ("script", "<script>alert(1)</script>"),
        ("inline html", "a <b onclick=\"x()\">b</b> <img src=x onerror=alert(1)>"),
        ("html block", "<div style=\"position:fixed\">\n<h1>You won</h1>\n</div>\n\nafter"),
        ("reply fallback", "<mx-reply><blockquote>@alice:hs said</blockquote></mx-reply> yes"),
        ("comment", "a <!-- hidden --> b"),
        ("javascript", "[click](javascript:alert(1)) [data](data:text/html,x) [file](file:///etc/passwd) [rel](../x)"),
        ("disguised", "[https://bank.example](https://evil.example/?q=1)"),
        ("attribute break", "[x](https://e.example/\"onmouseover=\"alert(1))"),
        ("image", "![a cat](https://track.example/pixel.png?secret=1) ![](https://track.example/x.png)"),
        ("image in link", "[![badge](https://i.example/b.svg)](https://ci.example)"),
        ("image with odd scheme", "![x](javascript:alert(1)) ![y](mxc://hs/media)"),
        ("reference", "[a][1]\n\n[1]: javascript:alert(1)"),
        ("entities", "&lt;script&gt; &amp; &#x3c;b&#x3e; &#0;"),
        ("controls", "a\u{0}b\u{8}c\u{1b}[31md\u{85}e\u{2028}f"),
        ("spoiler", "<span data-mx-spoiler>x</span> <font color=red>y</font>"),
    ]));
}

#[test]
fn mentions_in_the_models_words_are_no_mentions() {
    insta::assert_snapshot!(shown(&[
        ("room", "@room wake up, @ROOM! x@room"),
        ("user", "Ask @alice:example.org. (@bob:hs), not a@b.example or @everyone"),
        ("pill", "[Alice](https://matrix.to/#/@alice:example.org) did it"),
        ("encoded pill", "[Alice](https://matrix.to/#/%40alice:example.org) <https://matrix.to/#/@a:hs>"),
        ("matrix uri", "[Alice](matrix:u/alice:example.org) matrix:u/bob:hs"),
        ("web client's permalink", "[Alice](https://app.element.io/#/user/@alice:example.org)"),
        ("bare link", "see https://matrix.to/#/@alice:example.org, please"),
        ("room link stays", "[the room](https://matrix.to/#/#ops:example.org) [m](matrix:r/ops:example.org)"),
        ("in code", "`@room` and\n\n```\n@room @a:hs\n```"),
        ("in a link's text", "[@room](https://example.org)"),
        ("split by markup", "@**room** and @<!-- -->room and \\@room and &#64;room"),
    ]));
}

#[test]
fn an_address_that_reads_like_a_ping_is_no_link() {
    for markdown in ["[mail](mailto:@ROOM)", "[x](https://@room.example/)", "<https://@room/>", "</@room>"] {
        let html = render(markdown).html.unwrap_or_default().to_lowercase();
        assert!(!html.contains("href"), "{html}");
    }
}

#[test]
fn text_in_any_direction_is_kept_and_overrides_end_with_their_line() {
    insta::assert_snapshot!(shown(&[
        ("hebrew", "שלום **עולם**, see `main.rs`"),
        ("marks", "a\u{200f}b"),
        ("override", "\u{202e}txt.exe\nnext line"),
        ("nested", "\u{2067}a \u{202b}b\n\nnext"),
        ("entity", "&#x202e;a&#x7; **b**"),
        ("code", "`\u{202e}x` y\n\n```\n\u{2066}x\ny\n```"),
        ("in a link", "[x](https://e.example/\u{202e}y)"),
        ("unopened", "a\u{202c}\u{2069}b"),
        ("in a table", "|a|b|\n|-|-|\n|\u{202e}c|d|"),
    ]));
}

#[test]
fn c9_links_that_clients_could_read_as_a_mention_are_none_however_they_are_written() {
    for link in [
        "https://matrix.to/#/@bob:hs",
        "https://matrix.to/#/%40bob%3Ahs",
        "https://matrix.to/%23/%40bob:hs",
        "https://matrix.to/%23%2F%40bob:hs",
        "https://matrix.to/#%2f@bob:hs",
        "HTTPS://MATRIX.TO/#/@bob:hs",
        "matrix:u/bob:hs",
        "MATRIX:u/bob:hs",
        "matrix:user/bob:hs",
        "matrix:%75/bob:hs",
        "matrix://hs/u/bob:hs",
        "https://app.element.io/#/user/@bob:hs",
        "https://chat.example/#@bob:hs",
    ] {
        let Rendered { body, html } = render(&format!("[bob]({link}), **<{link}>**"));
        let html = html.expect("it is strong");
        assert!(!html.contains("href"), "{link}: {html}");
        assert!(body.starts_with("bob, "), "{link}: {body}");
    }
    let harmless =
        render("[a](https://example.org/@bob) [b](https://matrix.to/#/!room:hs/$event) [c](https://x.example/#a)");
    assert_eq!(harmless.html.map(|html| html.matches("href").count()), Some(3), "links to anything else stay");
}

#[test]
fn c9_tables_lists_and_code_in_each_other_keep_their_shape() {
    insta::assert_snapshot!(shown(&[
        ("lists in lists", "1. one\n   - a\n     1. deep\n        > quoted\n   - b\n2. two"),
        ("list behind a paragraph", "steps:\n1. one\n2. two"),
        ("loose and tight", "- a\n\n- b\n- c"),
        (
            "table with links and mentions",
            "|who|where|\n|:-|-:|\n|@bob:hs|[x](https://e.example/a\\|b)|\n|@room|![i](https://i.example/x)|"
        ),
        ("table without a body", "|a|\n|-|"),
        ("table with too many cells", "|a|b|\n|-|-|\n|1|2|3|\n|4|"),
        ("code in a quote", "> ```py\n> x = \"<b>\"\n> ```\n> done"),
        ("indented code", "text\n\n    <script>\n    y"),
        ("heading with code", "## `@room` and **b**"),
        ("quote in a list", "- > a\n  > b\n- c"),
    ]));
}

#[test]
fn c9_text_from_right_to_left_keeps_its_order_in_every_block() {
    insta::assert_snapshot!(shown(&[
        ("arabic list", "- مرحبا **عالم**\n- `code` ثم نص\n\n1. אחת\n2. שתיים (two)"),
        ("table", "|שם|ערך|\n|-|-|\n|גובה|90 m|"),
        ("isolates that are closed", "\u{2067}שלום\u{2069} a, \u{2068}b\u{2069}"),
        ("isolates across blocks", "- \u{2067}a\n- b\n\n> \u{202e}c\n\nd"),
        ("isolates across markup", "**\u{2066}a** b *\u{2069}c*"),
        ("an override around a link", "\u{202e}[gpj.exe](https://e.example/) after"),
        ("a mention behind marks", "\u{200f}@room \u{202e}@bob:hs"),
        ("a mention split by marks", "@\u{200b}room @\u{200f}room @bob\u{200e}:hs"),
    ]));
}

#[test]
fn c9_sixty_kilobytes_of_anything_become_a_beginning_in_the_room_and_the_whole_in_a_file() {
    let rows = [
        ("words", "A word and another one. ".repeat(2_600)),
        ("one word", "x".repeat(60_000)),
        ("a table", format!("|a|b|\n|-|-|\n{}", "|one|two|\n".repeat(6_000))),
        ("a list", "- an item of a list\n".repeat(3_100)),
        ("code", format!("```\n{}```", "let x = 1;\n".repeat(5_500))),
        ("arabic", "مرحبا بالعالم ".repeat(2_400)),
        ("emoji", "🦀 ".repeat(12_500)),
    ];
    let mut shown = String::new();
    for (name, markdown) in &rows {
        assert!(markdown.len() >= 60_000, "{name}");
        let fitted = fit(markdown, MESSAGE_BYTES_MAX);
        assert_eq!(fitted.overflow.as_ref(), Some(markdown), "{name}");
        let Rendered { body, html } = fitted.message;
        let end: String = body.chars().skip(body.chars().count() - 90).collect();
        let html_bytes = html.map_or(0, |html| html.len());
        writeln!(shown, "=== {name}: body {} bytes, html {html_bytes} bytes, ends\n{end}\n", body.len())
            .expect("writing to a string");
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn html_is_left_out_where_it_says_nothing_more() {
    for markdown in ["", "Hello", "Two\n\nparagraphs", "Line\nbreak", "1 < 2 & 3"] {
        assert_eq!(render(markdown).html, None, "{markdown:?}");
    }
    assert_eq!(render("1 < 2 & 3").body, "1 < 2 & 3");
}

#[test]
fn an_answer_that_fits_is_one_message() {
    let fitted = fit("**Yes.**", MESSAGE_BYTES_MAX);
    assert_eq!(fitted.message, render("**Yes.**"));
    assert_eq!(fitted.overflow, None);
}

#[test]
fn a_long_answer_is_cut_at_a_paragraph_and_attached_whole() {
    let paragraph = "All work and no play makes an engineer dull. ".repeat(20);
    let answer = format!("# Report\n\n{}", format!("{paragraph}\n\n").repeat(70));
    assert!(answer.len() > 60_000);

    let fitted = fit(&answer, MESSAGE_BYTES_MAX);

    assert_eq!(fitted.overflow.as_deref(), Some(answer.as_str()));
    let note = render(&words::rest_in_file());
    let (beginning, end) = fitted.message.body.rsplit_once("\n\n").expect("a note");
    assert_eq!(end, note.body);
    assert!(beginning.ends_with("makes an engineer dull."));
    assert!(answer.starts_with("# Report") && beginning.starts_with("Report\n\nAll work"));
}

#[test]
fn a_cut_inside_a_code_block_leaves_the_note_outside() {
    let answer = format!("```\n{}```\n", "0123456789\n".repeat(6_000));
    let html = fit(&answer, MESSAGE_BYTES_MAX).message.html.expect("html");
    let note = html.rsplit_once("</code></pre></div>").expect("a closed block").1;
    assert_eq!(note, format!("<p>{}</p>", render(&words::rest_in_file()).html.expect("rich")));
}

#[test]
fn expanding_answers_keep_the_limits() {
    let rows = [
        "<".repeat(60_000),
        "\"\\\u{1}".repeat(20_000),
        "&amp;".repeat(12_000),
        "> ".repeat(30_000),
        "- ".repeat(30_000),
        "[".repeat(60_000),
        "*a **b ".repeat(8_000),
        "🦀".repeat(15_000),
        format!("[a]: https://e.example/{}\n\n{}", "x".repeat(2_000), "[a] ".repeat(14_000)),
        "|a".repeat(20_000),
    ];
    for (row, markdown) in rows.iter().enumerate() {
        for most in [MESSAGE_BYTES_MAX, EDIT_BYTES_MAX] {
            assert!(json_len(&fit(markdown, most).message) <= most, "row {row}");
        }
        assert!(json_len(&fit_so_far(markdown)) <= EDIT_BYTES_MAX, "row {row}");
    }
}

fn json_len(message: &Rendered) -> usize {
    let len = |text: &str| serde_json::to_string(text).expect("a string").len();
    len(&message.body) + message.html.as_deref().map_or(0, len)
}

fn pings(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| super::mentions::is_room_mention(text, at))
}

#[test]
fn a_call_of_the_room_behind_a_link_to_a_person_is_none() {
    let body = render("see https://matrix.to/#/@a:hs](@room: and @room").body;
    assert!(!calls_room(&body) && body.matches(super::mentions::WORD_JOINER).count() == 2, "{body}");
}

/// Returns whether a text contains `@room` as a word that is part of nothing else.
fn calls_room(text: &str) -> bool {
    text.split_whitespace().any(super::mentions::calls_room)
}

fn markdown() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~\n]{0,12}",
        "\\PC{0,6}",
        prop::sample::select(vec![
            "<b>",
            "</",
            "<img src=x>",
            "<script>",
            "```\n",
            "`",
            "![a](https://b.c/d)",
            "[x](javascript:y)",
            "](",
            "> ",
            "- ",
            "1. ",
            "|a|b|\n|-|-|\n|",
            "@room",
            "@a:hs",
            "https://matrix.to/#/@a:hs",
            "[p](https://matrix.to/#/@a:hs)",
            "\u{202e}",
            "\u{2067}",
            "**",
            "~~",
            "\n\n",
            "    ",
            "&lt;",
            "&#64;",
            "\\",
            "<!--",
            "$",
            "\\(x^2",
            "\\)",
            "<details>",
            "</details>",
            "<summary>",
            "<br>",
            "- [ ] ",
            "请",
            "：",
            "”",
            "__",
            "*/",
            "~",
            "\\begin{a}",
            "\\end{a}",
            "C:\\",
            "##",
            "2. ",
            "\n---\n",
            "[a]: b",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn anything_renders_to_clean_html_without_pings(markdown in markdown()) {
        let Rendered { body, html } = render(&markdown);
        // Code, and what people copy as one word, stay unchanged.
        if !markdown.contains(['`', '~', '\t']) && !markdown.contains("    ") {
            prop_assert!(!calls_room(&body), "{}", body);
        }
        let Some(html) = html else { return Ok(()) };
        prop_assert!(!html.contains("<img") && !html.contains("<script"));
        prop_assert!(!html.contains(r#"href="https://matrix.to/#/@"#));
        prop_assert_eq!(super::sanitised(&html), html.clone());
        // Every `@room` is in code or in an address.
        for (at, _) in html.match_indices('@').filter(|(at, _)| super::mentions::is_room_mention(&html, *at)) {
            let before = html.get(..at).unwrap_or_default();
            let in_address = before.rsplit(|letter: char| letter.is_whitespace() || "<>\"".contains(letter)).next();
            let in_address = in_address.is_some_and(|word| word.contains("://"));
            prop_assert!(in_address || before.rfind("<code") > before.rfind("</code>"), "{}", html);
        }
    }
}
