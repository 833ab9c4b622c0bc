//! Readers see what the model meant: nothing vanishes, and nothing is markup by accident.

use super::pings;
use crate::core::render::{Rendered, is_blank, render, so_far};

#[test]
fn h_emphasis_beside_punctuation_of_scripts_without_spaces_is_emphasis() {
    let table = [
        ("**注意：**请先备份", "<strong>注意：</strong>请先备份"),
        ("这是**“重要”**的", "这是<strong>“重要”</strong>的"),
        ("请看**（见下）**一节", "请看<strong>（见下）</strong>一节"),
        ("**「確認」**してください", "<strong>「確認」</strong>してください"),
        ("これは*「例」*です", "これは<em>「例」</em>です"),
        ("**\"안녕\"**은 인사", "<strong>&quot;안녕&quot;</strong>은 인사"),
        ("**Note:**请先", "<strong>Note:</strong>请先"),
        ("**`ls`**命令", "<strong><code>ls</code></strong>命令"),
        ("~~旧的。~~新的", "<del>旧的。</del>新的"),
        ("**注意：**请先，**“重要”**的", "<strong>注意：</strong>请先，<strong>“重要”</strong>的"),
        ("**a** b *c*", "<strong>a</strong> b <em>c</em>"),
        ("2 * 3 * 4：好", "(none)"),
        ("`**注：**请`", "<code>**注：**请</code>"),
    ];
    for (markdown, html) in table {
        let found = render(markdown).html.unwrap_or_else(|| "(none)".to_owned());
        assert_eq!(found, html.replace("&quot;", "\""), "{markdown}");
    }
    let link = render("[x](https://e.example/**（a）**请) **注：**请").html.expect("a link");
    assert!(!link.contains('\u{fdd0}'), "{link}");
}

#[test]
fn h_emphasis_is_emphasis_in_ten_scripts_also_where_a_word_goes_on_behind_a_quote() {
    let table = [
        ("**„fett“**er Text", "<strong>„fett“</strong>er Text"),
        ("das **„Fette“** und **‚das‘**s", "das <strong>„Fette“</strong> und <strong>‚das‘</strong>s"),
        ("ein**„fettes“** Wort", "ein<strong>„fettes“</strong> Wort"),
        ("l’**«été»** et **«là»**bas", "l’<strong>«été»</strong> et <strong>«là»</strong>bas"),
        ("він сказав **«так»**, а **«ні»**х", "він сказав <strong>«так»</strong>, а <strong>«ні»</strong>х"),
        ("**\"Ankara\"**nın nüfusu", "<strong>\"Ankara\"</strong>nın nüfusu"),
        ("**গুরুত্ব**পূর্ণ", "<strong>গুরুত্ব</strong>পূর্ণ"),
        ("**\"ঢাকা\"**য় বৃষ্টি", "<strong>\"ঢাকা\"</strong>য় বৃষ্টি"),
        ("**ক্**ষ এবং *বাংলা*", "<strong>ক্</strong>ষ এবং <em>বাংলা</em>"),
        ("**सावधान:**यह करें", "<strong>सावधान:</strong>यह करें"),
        ("**यह करें।**फिर", "<strong>यह करें।</strong>फिर"),
        ("**ที่**นี่ **“สำคัญ”**มาก", "<strong>ที่</strong>นี่ <strong>“สำคัญ”</strong>มาก"),
        ("**หมายเหตุ:**โปรดทราบ", "<strong>หมายเหตุ:</strong>โปรดทราบ"),
        ("**«مهم»**ة و**مهم**", "<strong>«مهم»</strong>ة و<strong>مهم</strong>"),
        ("**ملاحظة:**اقرأ", "<strong>ملاحظة:</strong>اقرأ"),
        ("**כתב״**ל וגם *עברית*", "<strong>כתב״</strong>ל וגם <em>עברית</em>"),
        ("**می\u{200c}خواهم**", "<strong>می\u{200c}خواهم</strong>"),
        ("**“중요”**한 것과 **주의:**먼저", "<strong>“중요”</strong>한 것과 <strong>주의:</strong>먼저"),
        ("**「重要」**な点、**“重要”**的", "<strong>「重要」</strong>な点、<strong>“重要”</strong>的"),
        ("**ប្រយ័ត្ន៖**សូម", "<strong>ប្រយ័ត្ន៖</strong>សូម"),
        // As in CommonMark.
        ("he said “**bold**” and \"**bold**\"", "he said “<strong>bold</strong>” and \"<strong>bold</strong>\""),
        ("**a** “**b**” (**c**)d", "<strong>a</strong> “<strong>b</strong>” (<strong>c</strong>)d"),
        ("**(a)** *b*.", "<strong>(a)</strong> <em>b</em>."),
        ("**open only", "(none)"),
        ("** not bold **", "(none)"),
    ];
    for (markdown, html) in table {
        let found = render(markdown).html.unwrap_or_else(|| "(none)".to_owned());
        assert_eq!(found, html, "{markdown}");
    }
}

#[test]
fn h_an_address_ends_where_the_next_word_begins_also_without_a_space() {
    let link = |text: &str| format!("<a href=\"https://e.org/a\">{text}</a>");
    let table = [
        ("请看[文档](https://e.org/a)，**重要**：先。", format!("请看{}，<strong>重要</strong>：先。", link("文档"))),
        (
            "- **[文档](https://e.org/a)**：说明。**重要**",
            format!("<ul><li><strong>{}</strong>：说明。<strong>重要</strong></li></ul>", link("文档")),
        ),
        (
            "请打开 https://e.org/a，然后**重启**服务",
            "请打开 https://e.org/a，然后<strong>重启</strong>服务".to_owned(),
        ),
        ("详见「https://e.org/a」，**重启**服务", "详见「https://e.org/a」，<strong>重启</strong>服务".to_owned()),
        ("링크는 https://e.org/a입니다.**중요**함", "링크는 https://e.org/a입니다.<strong>중요</strong>함".to_owned()),
        (
            "詳しくはhttps://e.org/aを**ご覧**ください",
            "詳しくはhttps://e.org/aを<strong>ご覧</strong>ください".to_owned(),
        ),
        (
            "see (https://e.org/a)**b** and https://e.org/a—**c**",
            "see (https://e.org/a)<strong>b</strong> and https://e.org/a—<strong>c</strong>".to_owned(),
        ),
        ("**https://e.org/a**是新的", "<strong>https://e.org/a</strong>是新的".to_owned()),
        (
            "https://e.org/wiki/表_(旧)_x/**/b_c_d **e**",
            "https://e.org/wiki/表_(旧)_x/**/b_c_d <strong>e</strong>".to_owned(),
        ),
    ];
    for (markdown, html) in table {
        let found = render(markdown).html.unwrap_or_else(|| "(none)".to_owned());
        assert_eq!(found, html, "{markdown}");
    }
}

#[test]
fn h_line_breaks_folds_and_tasks_read_well() {
    let table = [
        (
            "| a |\n|---|\n| drain<br>restart<BR/>look |",
            "a\ndrain; restart; look",
            "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>drain<br>restart<br>look</td></tr></tbody></table>",
        ),
        ("one<br />two", "one\ntwo", "(none)"),
        ("- [ ] open\n- [x] done", "☐ open\n☑ done", "☐ open<br>☑ done"),
        ("- [ ] a\n  - [x] b\n- [ ] c", "☐ a\n  ☑ b\n☐ c", "☐ a<br>&nbsp;&nbsp;&nbsp;&nbsp;☑ b<br>☐ c"),
        ("- [ ] a\n- plain", "☐ a\n• plain", "<ul><li>☐ a</li><li>plain</li></ul>"),
        (
            "<details>\n<summary>Logs</summary>\n\nThe **log**.\n\n</details>\n\nAfter",
            "▸ Logs\nThe log.\n\nAfter",
            "<details><summary>Logs</summary><p>The <strong>log</strong>.</p></details><p>After</p>",
        ),
        (
            "<details open><summary>Logs</summary>short</details>",
            "▸ Logs\nshort",
            "<details><summary>Logs</summary><p>short</p></details>",
        ),
        (
            "<details>\n<summary>Logs</summary>\n\nnever closed",
            "Logs\n\nnever closed",
            "<p><strong>Logs</strong></p><p>never closed</p>",
        ),
        ("</details>\n\nstray", "stray", "(none)"),
    ];
    for (markdown, body, html) in table {
        let found = render(markdown);
        assert_eq!(found.body.replace("\n\nThe log", "\nThe log"), body, "{markdown}");
        assert_eq!(found.html.unwrap_or_else(|| "(none)".to_owned()), html, "{markdown}");
    }
}

#[test]
fn h_addresses_are_left_alone_and_only_what_would_ping_is_kept_from_it() {
    for text in [
        "ops@rooms.example.org",
        "write to ops@rooms.example.org, please",
        "https://example.org/@roomba/12",
        "https://example.org/@alice:8080/x",
        "x@room and @rooms and @roomy",
        "https://example.org/_foo_/bar",
        "see https://example.org/a*b*c?x=1*2 (or https://x.org/a__init__b/__init__.py).",
        "https://x.org/~u~/y, and https://h.org/a?b=$x$&c=$y$",
        "git@room_service:repo",
    ] {
        let (found, code) = (render(text), render(&format!("```\n{text}\n```")));
        assert_eq!((found.body.as_str(), found.html), (text, None), "{text}");
        assert_eq!(code.body, format!("```\n{text}\n```"), "{text}");
    }
    for text in ["@room", "(@ROOM)", "hey @room!", "@room's", "@room: look", "@**room**"] {
        let found = render(text);
        assert!(!pings(&found.body), "{text}");
        assert!(found.html.is_some_and(|html| html.contains("<code>") || !html.contains("@room")), "{text}");
    }
    for (text, body, html) in [
        (
            "**https://x.org/a_b_c**: *go*",
            "https://x.org/a_b_c: go",
            "<strong>https://x.org/a_b_c</strong>: <em>go</em>",
        ),
        (
            "[_here_](https://x.org/_a_/b) and <https://x.org/_a_/b>",
            "here (https://x.org/_a_/b) and https://x.org/_a_/b",
            "<a href=\"https://x.org/_a_/b\"><em>here</em></a> and <a href=\"https://x.org/_a_/b\">https://x.org/_a_/b</a>",
        ),
    ] {
        let found = render(text);
        assert_eq!((found.body.as_str(), found.html.as_deref()), (body, Some(html)), "{text}");
    }
    let link = render("[mail](mailto:ops@rooms.example.org)");
    assert_eq!(link.html.as_deref(), Some("<a href=\"mailto:ops@rooms.example.org\">mail</a>"));
}

#[test]
fn h_what_people_copy_keeps_its_letters_though_a_room_could_be_called_in_it() {
    let address = "<a href=\"https://e.org/@room/12\">there</a>";
    let table = [
        ("https://example.org/@room/12", "https://example.org/@room/12", "(none)"),
        (
            "see <https://e.org/@room>.",
            "see https://e.org/@room.",
            "see <a href=\"https://e.org/@room\">https://e.org/@room</a>.",
        ),
        ("[there](https://e.org/@room/12)", "there (https://e.org/@room/12)", address),
        ("https://e.org/?to=@room&x=@ROOM", "https://e.org/?to=@room&x=@ROOM", "(none)"),
        ("type `@room` there", "type `@room` there", "type <code>@room</code> there"),
        ("`@ROOM`", "`@ROOM`", "<code>@ROOM</code>"),
        ("npm i @room/core", "npm i `@room/core`", "npm i <code>@room/core</code>"),
        ("look at /@room", "look at `/@room`", "look at <code>/@room</code>"),
        ("@room.example.org.", "`@room.example.org`.", "<code>@room.example.org</code>."),
        ("`if to == \"@room\"`", "`if to == \"@room\"`", "<code>if to == \"@room\"</code>"),
        ("`curl https://e.org/@room`", "`curl https://e.org/@room`", "<code>curl https://e.org/@room</code>"),
        (
            "```kotlin\n@Room\nclass A\n```\n@room",
            "```kotlin\n@Room\nclass A\n```\n\n`@\u{2060}room`",
            "<pre><code class=\"language-kotlin\">@Room\nclass A\n</code></pre><p><code>@room</code></p>",
        ),
        ("ask @room, please", "ask `@\u{2060}room`, please", "ask <code>@room</code>, please"),
        ("ops@rooms.example.org", "ops@rooms.example.org", "(none)"),
        ("git@room:team/repo.git", "git@room:team/repo.git", "(none)"),
    ];
    for (markdown, body, html) in table {
        let found = render(markdown);
        assert_eq!((found.body.as_str(), found.html.as_deref().unwrap_or("(none)")), (body, html), "{markdown}");
    }
}

#[test]
fn h_bold_addresses_end_before_cjk_text_summaries_may_be_bold_and_schemes_may_be_capital() {
    let bold = render("**https://x.y/**を参照。その後**b**");
    let html = bold.html.expect("bold");
    assert!(html.contains("<strong>https://x.y/</strong>") || html.contains("https://x.y/</a></strong>"), "{html}");
    assert!(html.contains("<strong>b</strong>"), "{html}");
    let pattern = render("https://x.y/**/z.js and **b**").html.expect("bold");
    assert!(pattern.contains("https://x.y/**/z.js") && pattern.contains("<strong>b</strong>"), "{pattern}");
    let folded = render("<details>\n<summary><b>Click</b></summary>\n\ntext\n\n</details>");
    let html = folded.html.expect("a fold");
    assert!(html.contains("<summary><strong>Click</strong></summary>"), "{html}");
    assert!(!folded.body.contains("<b>"), "{}", folded.body);
    let link = render("[report](HTTPS://X.Y/a)").html.expect("a link");
    assert_eq!(link, "<a href=\"https://X.Y/a\">report</a>");
}

#[test]
fn h_formulas_keep_every_letter_of_their_source() {
    let table = [
        ("\\(E = mc^2\\)", "E = mc^2", "span"),
        ("$a_1 * b_2 * c$", "a_1 * b_2 * c", "span"),
        ("$x$", "x", "span"),
        ("$$\\frac{1}{2}$$", "\\frac{1}{2}", "div"),
        ("\\[\n\\sum_{i=1}^n i\n= x\n\\]", "\\sum_{i=1}^n i\n= x", "div"),
        ("\\(a < b & c\\)", "a &lt; b &amp; c", "span"),
        ("$`\\sqrt{2}`$", "\\sqrt{2}", "span"),
        ("```math\n\\int_0^1 x\n= \\|v\\|\n```", "\\int_0^1 x\n= \\|v\\|", "div"),
    ];
    for (source, tex, element) in table {
        let found = render(source);
        assert_eq!(found.body, source);
        let html = found.html.expect("a formula");
        assert!(html.starts_with(&format!("<{element} data-mx-maths=\"{tex}\"")), "{html}");
    }
    for text in ["`$` or `$HOME`", "a `$` b `$`", "5 $`pwd`$ 6"] {
        assert!(!render(text).html.unwrap_or_default().contains("maths"), "{text}");
    }
    let inline = render("so \\(a^2\\) and | `$x$` **b**");
    assert_eq!(inline.body, "so \\(a^2\\) and | `$x$` b");
    let cell = render("| a |\n|---|\n| \\(|x|_1\\) |");
    assert!(cell.body.contains("\\(|x|_1\\)"), "{}", cell.body);
    let cell = render("| a |\n|---|\n| $P(A\\|B)$ |");
    assert!(cell.body.contains("$P(A|B)$") && cell.html.is_some_and(|html| html.contains("maths=\"P(A|B)\"")));
    assert!(render("$\\|v\\| = 1$").html.is_some_and(|html| html.contains("maths=\"\\|v\\| = 1\"")), "a norm");
    assert!(!render("```mathematica\nx^2\n```").html.expect("code").contains("maths"));
    for text in ["it costs $5 and $10", "$5-$10", "$HOME/bin:$PATH", "a $ b $ c", "US$5 + US$6 = $11"] {
        assert_eq!(render(text), Rendered { body: text.to_owned(), html: None }, "{text}");
    }
    assert_eq!(render("a \\[sic\\] b \\(not this\\)").body, "a [sic] b (not this)");
    assert_eq!(render("```\n\\(a^2\\) $x$\n```").body, "```\n\\(a^2\\) $x$\n```");
}

#[test]
fn h_a_formula_that_does_more_than_set_maths_is_shown_as_its_source() {
    for tex in [
        r"\href{javascript:alert(1)}{x}",
        r"a + \url{https://x.example} + b",
        r"\includegraphics{https://x.example/a.png}",
        r"\htmlClass{a}{x} + \htmlStyle{color: red}{x}",
        r"\htmlData{a=b}{x}",
        r"\style{position: fixed}{x}",
        r"\def\f#1{\x{#1}} \f{a}",
        r"\csname href\endcsname{javascript:a}{x}",
        r"\^^68ref{javascript:a}{x}",
        r"x \\\href{a}{b}",
    ] {
        let found = render(&format!("\\({tex}\\)"));
        let html = found.html.expect("a formula");
        assert!(!html.contains("data-mx-maths") && html.contains("<code>"), "{html}");
    }
    for tex in [r"\alpha_{x} \\ \beta", r"a \\href", r"\hrefs", r"\text{see \{href\}}", r"\mathrm{data}"] {
        let html = render(&format!("\\({tex}\\)")).html.expect("a formula");
        assert!(html.contains("data-mx-maths"), "{html}");
    }
}

#[test]
fn h_what_nobody_can_see_is_blank() {
    for blank in [
        "",
        " \n",
        "&nbsp;",
        "\u{200b}",
        "\u{2800}",
        "\u{3164}",
        "\u{feff}\u{200d}",
        "&#8203;&zwj;",
        "<!-- nothing -->",
        "<br>",
        "<br/>\n\n&nbsp;",
        "****",
        "**&nbsp;**",
        "---",
        "- ",
        "```\n```",
        "<div></div>",
        "<p>&nbsp;</p>",
        "\u{e0020}",
        "\u{115f}",
        "> ",
        "<!-- a -->\n\n<!-- b -->",
        "\u{202e}\u{202c}",
        "[](  )",
    ] {
        assert!(is_blank(blank), "{blank:?}");
    }
    for shown in [
        "a",
        "👍",
        ".",
        "好",
        "`<b>`",
        "1 < 2",
        "<b>bold</b>",
        "<!-- a --> b",
        "$x$",
        "\u{200f}שלום",
        "https://e.example",
        "[a]: https://e.example/",
        "﷽",
    ] {
        assert!(!is_blank(shown), "{shown:?}");
    }
}

/// Asserts that a text stays unchanged in both forms.
fn stays(text: &str) {
    assert_eq!(render(text), Rendered { body: text.to_owned(), html: None }, "{text}");
}

#[test]
fn h_sums_names_and_patterns_keep_their_signs() {
    for text in [
        "5*6*7 and 2 * 3 * 4 and a*b*c",
        "x = a*b + c*d, (a+b)*(c+d) and f(x)*2*(y)",
        "2**3**4, x**2 + y**2 and a**b**c",
        "α*β*γ",
        "a_b_c, snake_case and some_long_name_",
        "__init__, self.__dict__ and __name__ == \"__main__\"; __FILE__",
        "use *.rs and **/*.py or src/**/*.rs and *.toml",
        "**/node_modules/** and /var/log/* and ./*/ and foo-*.log, foo.*.log",
        "COUNT(*) and SUM(*), [*] and {*}, \"*\" and '*'",
        "f(*args, **kwargs) and g(*a, **k)",
        "/* comment */ and /*comment*/",
        "*/5 * * * * /usr/bin/a, then 0 5 * * *",
        "* * * * * /usr/bin/backup",
        "~/dir, ~5 min, ~10 min~ and ~/a ~/b",
        "path/to/_private_/file, foo/_bar_ and self._x_",
        "a < b > c, <T>, Vec<T> and Map<String, Vec<u8>>",
        "jo.doe@example.org and a_b_c@example.org",
        r"C:\new\table, (D:\x\_y) and C:\Users\_foo\*bar, \\server\share\_x.",
        "#tag and #1",
        "$5 and $10, US$5*3*2",
        ":tada: and :+1:",
        r#"\n and \t, \\ and \" in strings"#,
        r"the set \{1, 2\}, \, and \; with \frac{a}{b}\,dx \\ done",
        "a[i](b) and foo[0](x)",
        "{\"a\": \"b*c*d\", \"_id\": \"x_y_\"}",
        "foo_bar_@example.org and _foo_@example.org",
        "www.a_b_c.org/_x_ and ftp://h/_a_/b",
        "|x| < 5 and P(A|B) = 0.5",
        "####### seven",
    ] {
        stays(text);
        for code in [format!("```\n{text}\n```"), format!("`{text}`")] {
            assert_eq!(render(&code).body, code, "in code");
        }
        for end in text.char_indices().map(|(at, _)| at) {
            let shown = so_far(&text[..end], "").unwrap_or_default();
            let shown = shown.trim_end_matches('…').trim_end();
            assert!(text.starts_with(&*render(shown).body), "{shown:?} of {text:?}");
        }
    }
}

#[test]
fn h_what_is_meant_as_markup_beside_signs_that_are_none_is_markup() {
    let table = [
        ("**.env** and **.gitignore files**", "<strong>.env</strong> and <strong>.gitignore files</strong>"),
        ("**/etc/hosts** and **/*.py", "<strong>/etc/hosts</strong> and **/*.py"),
        ("*plural*s, **S**QL and **x**2", "<em>plural</em>s, <strong>S</strong>QL and <strong>x</strong>2"),
        ("**Note**(optional)", "<strong>Note</strong>(optional)"),
        ("*with 5*6 in it* and **2*3**", "<em>with 5*6 in it</em> and <strong>2*3</strong>"),
        (
            "**Option 1**/**Option 2**, *a*/*b*",
            "<strong>Option 1</strong>/<strong>Option 2</strong>, <em>a</em>/<em>b</em>",
        ),
        ("_so_ and __Bold words__ and (_x_)", "<em>so</em> and <strong>Bold words</strong> and (<em>x</em>)"),
        ("~~gone~~ ~5 min", "<del>gone</del> ~5 min"),
        ("**Note:**text and **«So»**dann", "<strong>Note:</strong>text and <strong>«So»</strong>dann"),
        (r"**C:\new\table**", r"<strong>C:\new\table</strong>"),
        ("__注意：__请先备份…__“重要”__的", "<strong>注意：</strong>请先备份…<strong>“重要”</strong>的"),
        ("これは_「例」_です, 变量_name_是", "これは<em>「例」</em>です, 变量_name_是"),
        ("##Head", "<h3>Head</h3>"),
        ("**a** * *b*", "<strong>a</strong> * <em>b</em>"),
        ("[5*6*7](https://e.org/a*b*c?~x)", "<a href=\"https://e.org/a*b*c?~x\">5*6*7</a>"),
    ];
    for (markdown, html) in table {
        assert_eq!(render(markdown).html.as_deref(), Some(html), "{markdown}");
        let code = format!("```\n{markdown}\n```");
        assert_eq!(render(&code).body, code, "in code");
    }
}

#[test]
fn h_environments_of_tex_are_formulas_and_shown_only_whole() {
    let source = "\\begin{align}\na &= b \\\\\nc &= \\{d\\,e\\}\n\\end{align}";
    let found = render(source);
    assert_eq!(found.body, source);
    let html = found.html.expect("a formula");
    assert!(html.starts_with("<div data-mx-maths=\"\\begin{align}\na &amp;= b \\\\\nc &amp;= "), "{html}");
    let text = format!("So {source}, \\(f(x)\\), \\(a*b\\) and \\[\n{}= 2\n\\].", "x_1 + ".repeat(200));
    for (end, _) in text.char_indices() {
        let Some(shown) = so_far(&text[..end], "") else { continue };
        let count = |signs: [&str; 3]| signs.map(|sign| shown.matches(sign).count());
        assert_eq!(count(["\\begin", "\\(", "\\["]), count(["\\end", "\\)", "\\]"]), "{shown}");
    }
    assert_eq!(render(&text).body, text);
}

#[test]
fn h_nothing_of_an_answer_vanishes() {
    let table =
        |row: &str| format!("<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr>{row}</tr></tbody></table>");
    let rows = [
        ("text\n---\nmore", "text\n\n———\n\nmore", "<p>text</p><hr><p>more</p>"),
        ("a line\nand one\n======", "a line\nand one\n======", "(none)"),
        ("x\n=\ny", "x\n=\n\ny", "(none)"),
        ("Header\n------", "Header", "<h3>Header</h3>"),
        (
            "3. x\n2. y\n1. z",
            "3. x\n2. y\n1. z",
            "<ol start=\"3\"><li>x</li></ol><ol start=\"2\"><li>y</li></ol><ol><li>z</li></ol>",
        ),
        (
            "1986. A\n1990. B",
            "1986. A\n1990. B",
            "<ol start=\"1986\"><li>A</li></ol><ol start=\"1990\"><li>B</li></ol>",
        ),
        ("Born in\n1986. A great year", "Born in\n1986. A great year", "(none)"),
        ("1. a\n1. b", "1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
        (
            "So:\n\n[1]: https://a.org/x_y_z\n[2]: https://b.org",
            "So:\n\n[1]: https://a.org/x_y_z\n[2]: https://b.org",
            "(none)",
        ),
        ("See [it][1].\n\n[1]: https://a.org", "See it (https://a.org).", "See <a href=\"https://a.org\">it</a>."),
        ("[docs](docs/a.md), [a.md](a.md), ![pic](i.png)", "docs (docs/a.md), a.md, pic (i.png)", "(none)"),
        ("[call](tel:+4912) [x](javascript:a)", "call (tel:+4912) x", "(none)"),
        ("|a|b|\n|-|-|\n|1|2|3|4|", "a | b\n1 | 2 | 3|4", &table("<td>1</td><td>2 | 3|4</td>")),
        (
            "|a|b|\n|-|-|\n|`ps | grep x`|2|",
            "a | b\n`ps | grep x` | 2",
            &table("<td><code>ps | grep x</code></td><td>2</td>"),
        ),
        ("|a|b|\n|-|-|\n|x`|y`|", "a | b\nx` | y`", &table("<td>x`</td><td>y`</td>")),
        ("|a|b|\n|-|-|\n|x,<br>y<br>|z|", "a | b\nx, y | z", &table("<td>x,<br>y<br></td><td>z</td>")),
        (
            "- a <details><summary>Logs</summary>b</details>",
            "• a Logs\n  b",
            "<ul><li>a <strong>Logs</strong><br>b</li></ul>",
        ),
        ("````\n```\nx\n```\n````", "````\n```\nx\n```\n````", "<pre><code>```\nx\n```\n</code></pre>"),
        (
            "H<sub>2</sub>O, 10<sup>6</sup>, <kbd>Ctrl</kbd>+<b>C *d*</b>",
            "H_2O, 10^6, `Ctrl`+C d",
            "H<sub>2</sub>O, 10<sup>6</sup>, <code>Ctrl</code>+<strong>C <em>d</em></strong>",
        ),
        (
            "Vec<b> and [a <i>x](https://a.org) [c</i>](https://b.org)",
            "Vec<b> and a <i>x (https://a.org) c</i> (https://b.org)",
            "Vec&lt;b&gt; and <a href=\"https://a.org\">a &lt;i&gt;x</a> <a href=\"https://b.org\">c&lt;/i&gt;</a>",
        ),
        ("``a`b``", "``a`b``", "<code>a`b</code>"),
        ("a <!-- b --> c", "a <!-- b --> c", "(none)"),
        ("see[^1]\n\n[^1]: A note.", "see[^1]\n\n[^1]: A note.", "(none)"),
    ];
    for (markdown, body, html) in rows {
        let found = render(markdown);
        assert_eq!(found.body, body, "{markdown}");
        assert_eq!(found.html.unwrap_or_else(|| "(none)".to_owned()), html, "{markdown}");
    }
}
