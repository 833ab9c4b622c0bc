use ruma::user_id;

use super::*;

#[test]
fn html_yields_the_text_outside_quotes_and_code() {
    let table = [
        ("a <b>bold</b> word", "a bold word"),
        ("<mx-reply><blockquote>q</blockquote></mx-reply>mine", "mine"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("1 < 2 &amp; 3 &gt; 2 &unknown; &", "1 < 2 & 3 > 2 &unknown; &"),
        ("&#64;x &#x40;y &#xFFFFFFFF;", "@x @y &#xFFFFFFFF;"),
        ("a<!-- > hidden -->b", "ab"),
        ("a<code>hidden</code>b", "ab"),
        ("</blockquote></blockquote>shown", "shown"),
        ("<a href=\"x\" title=\"a > b\">c</a>", "c"),
        ("cut <a href=\"never closed", "cut "),
        ("cut <", "cut <"),
        ("", ""),
    ];
    for (html, expected) in table {
        assert_eq!(OwnWords::of_html(html).text, expected, "{html}");
    }
}

#[test]
fn a_body_yields_the_lines_outside_quotes_and_code() {
    let table = [
        ("> quoted\nmine", "mine\n"),
        ("a `code` b", "a   b\n"),
        ("a `open b", "a `open b\n"),
        ("```\ncode\n```\nmine", "mine\n"),
        ("```\nnever closed", ""),
    ];
    for (body, expected) in table {
        assert_eq!(OwnWords::of_body(body).text, expected, "{body}");
    }
}

#[test]
fn hostile_html_is_read_in_one_pass_up_to_the_limit() {
    let far = format!("{}<a href=\"https://matrix.to/#/@x:y.org\">x</a>", " ".repeat(INSPECTED_BYTES_MAX));
    assert_eq!(OwnWords::of_html(&far).links, []);
    let near = format!("{}<a href=\"https://matrix.to/#/@x:y.org\">x</a>", " ".repeat(100));
    assert_eq!(OwnWords::of_html(&near).linked_users().collect::<Vec<_>>(), [user_id!("@x:y.org")]);
    for piece in ["<b>", "<a href='x'>", "<blockquote>", "<", "&", "<!--", "<a href=\"", "é", "</a>", "<a =", "`", "> "]
    {
        let hostile = piece.repeat(INSPECTED_BYTES_MAX);
        let words = OwnWords::of_html(&hostile);
        assert!(words.links.len() <= INSPECTED_LINKS_MAX, "{piece}");
        assert!(words.text.len() <= 2 * INSPECTED_BYTES_MAX, "{piece}");
        assert!(OwnWords::of_body(&hostile).text.len() <= 2 * INSPECTED_BYTES_MAX, "{piece}");
    }
}

#[test]
fn a_leading_link_has_nothing_said_before_it() {
    let words = OwnWords::of_html("<p> <a href=\"h\">l</a> x</p>");
    assert_eq!(words.leading_link(), Some(("h", "l")));
    assert_eq!(OwnWords::of_html("x <a href=\"h\">l</a>").leading_link(), None);
    assert_eq!(OwnWords::of_html("x").leading_link(), None);
}
