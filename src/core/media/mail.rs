//! E-mail messages (RFC 5322, MIME): who, to whom, when, about what, the text, and what is attached. A message inside a
//! message follows it. Nothing that a message points to is fetched.

use mail_parser::{
    Address, Message, MessageParser, MessagePart, MimeHeaders as _, PartType, decoders::html::html_to_text,
};

use super::{Decoded, Form, Unread, calendar, script::Script, text};

/// Bytes in which a message's headers must show that it is one.
const HEADERS_BYTES_MAX: usize = 64 << 10;
/// How deep messages within messages are read.
const DEPTH_MAX: usize = 5;
/// Most parts of a message that are named.
const PARTS_MAX: usize = 200;
/// Most addresses of a header that are named.
const ADDRESSES_MAX: usize = 50;
/// Headers of which a message has at least one besides its sender.
const USUAL: [&str; 7] = ["date", "message-id", "mime-version", "received", "to", "subject", "return-path"];

/// Returns whether a text is an e-mail message: it begins with headers, and among them are those that every one has.
pub(super) fn is_mail(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEADERS_BYTES_MAX)];
    let (mut has_sender, mut usual) = (false, 0);
    for line in head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        match line.first() {
            None => return has_sender && usual >= 2,
            Some(b' ' | b'\t') if has_sender || usual > 0 => continue,
            Some(_) => {}
        }
        let Some(at) = memchr::memchr(b':', line) else { return false };
        let name = &line[..at];
        if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return false;
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        has_sender |= name == "from";
        usual += usize::from(USUAL.contains(&&*name));
    }
    false
}

/// Decodes a message.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Unread> {
    let message = MessageParser::default().parse(bytes).ok_or(Unread::Broken)?;
    let mut script = Script::default();
    read(&message, 0, "", &mut script);
    script.decoded(Form::Mail)
}

/// Reads a message, which is the one with this number within another.
fn read(message: &Message<'_>, depth: usize, number: &str, script: &mut Script) {
    let mut header = |name: &str, value: &str| {
        if !value.trim().is_empty() {
            script.line(&format!("{name}: {}", value.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    };
    header("From", &addresses(message.from()));
    header("To", &addresses(message.to()));
    header("Cc", &addresses(message.cc()));
    header("Reply-To", &addresses(message.reply_to()));
    header("Date", &message.date().map(ToString::to_string).unwrap_or_default());
    header("Subject", message.subject().unwrap_or_default());
    script.push("\n");
    let mut is_first = true;
    for part in message.text_body.iter().filter_map(|at| message.part(*at)) {
        if !std::mem::take(&mut is_first) {
            script.push("\n");
        }
        words(part, script);
    }
    for (at, part) in (1..).zip(message.attachments().take(PARTS_MAX)) {
        attached(part, depth, &format!("{number}{at}"), script);
    }
    script.left_out(message.attachments().skip(PARTS_MAX).count(), "attachment", "attachments");
}

/// Reads what is attached: a message, a text or a date; anything else is only named.
fn attached(part: &MessagePart<'_>, depth: usize, number: &str, script: &mut Script) {
    let name = part.attachment_name().unwrap_or_default();
    let kind = part.content_type().map(|kind| match kind.subtype() {
        Some(subtype) => format!("{}/{subtype}", kind.ctype()),
        None => kind.ctype().to_owned(),
    });
    let about = [Some(name.to_owned()), kind, Some(format!("{} bytes", part.len()))];
    let about = about.into_iter().flatten().filter(|known| !known.is_empty()).collect::<Vec<_>>().join(", ");
    match &part.body {
        PartType::Message(inner) if depth < DEPTH_MAX => {
            script.begin(&format!("attachment {number}: a message"));
            read(inner, depth + 1, &format!("{number}."), script);
        }
        PartType::Message(_) => {
            script.begin(&format!("attachment {number}: a message, too deep inside others to be read"));
        }
        PartType::Text(_) | PartType::Html(_) => {
            script.begin(&format!("attachment {number}: {about}"));
            words(part, script);
        }
        PartType::Binary(_) | PartType::InlineBinary(_) => {
            script.begin(&format!("attachment {number}: {about}, not read"));
        }
        PartType::Multipart(_) => {}
    }
}

fn words(part: &MessagePart<'_>, script: &mut Script) {
    let words = match &part.body {
        PartType::Html(html) => html_to_text(html),
        PartType::Text(words) if calendar::is_calendar(words.as_bytes()) => return calendar::read(words, script),
        PartType::Text(words) => words.replace("\r\n", "\n"),
        _ => return,
    };
    script.line(text::plain(&words).trim_end());
}

fn addresses(of: Option<&Address<'_>>) -> String {
    let Some(of) = of else { return String::new() };
    let shown = of.iter().take(ADDRESSES_MAX).map(|one| match (one.name(), one.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => String::new(),
    });
    let mut shown = shown.filter(|one| !one.is_empty()).collect::<Vec<_>>().join(", ");
    let more = of.iter().count().saturating_sub(ADDRESSES_MAX);
    if more > 0 {
        shown = format!("{shown} and {more} more");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(bytes: &[u8]) -> String {
        assert!(is_mail(bytes));
        let decoded = decode(bytes).expect("a message");
        String::from_utf8(decoded.bytes).expect("text")
    }

    #[test]
    fn c7_a_message_is_told_from_a_text_about_one() {
        let rows: [(&str, bool); 8] = [
            ("From: a@hs\r\nDate: Mon, 30 Nov 2026 09:00:00 +0100\r\nSubject: x\r\n\r\nhello", true),
            ("Received: by hs\n\twith esmtp\nFrom: a@hs\nTo: b@hs\n\nhello", true),
            ("From: a@hs\nSubject: x\nno header any more\n\nhello", false),
            ("From: here\n\nto there", false),
            ("Note: a\nFrom: b\n\n", false),
            ("# From: a\nDate: b\nTo: c\n\n", false),
            ("From 0123 Mon Sep 17 00:00:00 2001\nFrom: a\nDate: b\nSubject: [PATCH]\n\n", false),
            ("From: a@hs\nDate: b\nSubject: never ends", false),
        ];
        for (text, expected) in rows {
            assert_eq!(is_mail(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn c7_a_message_is_read_with_its_attachments_named_and_its_texts_read() {
        let message = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: Ops <ops@example.org>, b@example.org\r\n\
            Date: Mon, 30 Nov 2026 09:00:00 +0100\r\nSubject: =?iso-8859-1?Q?R=FCckfrage?=\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
            --c\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            Sch=F6ne Gr=FC=DFe\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>Sch&ouml;ne Gr&uuml;&szlig;e<img src=\"https://x/y\"></p>\r\n--c--\r\n\
            --b\r\nContent-Type: text/csv; name=\"a.csv\"\r\nContent-Disposition: attachment\r\n\r\nx;y\r\n1;2\r\n\
            --b\r\nContent-Type: application/pdf; name=\"p.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--b--\r\n";
        let expected = "From: Jürgen <j@example.org>\nTo: Ops <ops@example.org>, b@example.org\n\
            Date: 2026-11-30T09:00:00+01:00\nSubject: Rückfrage\n\nSchöne Grüße\n\n\
            [attachment 1: a.csv, text/csv, 8 bytes]\nx;y\n1;2\n\n\
            [attachment 2: p.pdf, application/pdf, 5 bytes, not read]\n";
        assert_eq!(given(message.as_bytes()), expected);
    }

    #[test]
    fn c7_of_very_many_attachments_the_text_says_how_many_are_left_out() {
        let part = "--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment\r\n\r\nx\r\n";
        let message = format!(
            "From: a@hs\r\nTo: b@hs\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             {}--b--\r\n",
            part.repeat(PARTS_MAX + 7)
        );
        let text = given(message.as_bytes());
        assert!(text.contains(&format!("[attachment {PARTS_MAX}: ")), "{text}");
        assert!(text.ends_with("\n[left out: 7 more attachments]\n"), "{text}");
    }

    #[test]
    fn s3_messages_nested_fifty_deep_are_read_to_a_depth_and_cost_little() {
        let mut message = "From: a@hs\nTo: b@hs\nSubject: the innermost\n\nend\n".to_owned();
        for depth in 0..50 {
            message = format!(
                "From: a@hs\nTo: b@hs\nSubject: level {depth}\nMIME-Version: 1.0\n\
                 Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\nContent-Type: message/rfc822\n\n{message}\n--b{depth}--\n"
            );
        }
        let text = given(message.as_bytes());
        assert!(text.contains("Subject: level 49") && text.contains("Subject: level 44"), "{text}");
        assert!(!text.contains("Subject: level 43") && text.contains("too deep inside others to be read"), "{text}");
    }
}
