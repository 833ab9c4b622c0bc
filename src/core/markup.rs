//! Takes Matrix HTML apart into text and tags, in one pass and without a tree: a parser that builds one recurses or goes
//! quadratic on hostile nesting.

/// A piece of HTML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'h> {
    /// Text with its entities as they were written.
    Text(&'h str),
    /// `<name attribute=value …>`.
    Open(Tag<'h>),
    /// `</name>`, in small letters.
    Close(String),
}

/// An opening tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag<'h> {
    /// Its name in small letters.
    pub(crate) name: String,
    /// Its attributes with their raw values.
    attributes: Vec<(&'h str, &'h str)>,
}

impl Tag<'_> {
    /// Returns the decoded value of an attribute; of two with the same name the first counts.
    #[must_use]
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let named = self.attributes.iter().find(|(attribute, _)| attribute.eq_ignore_ascii_case(name));
        named.map(|(_, value)| decoded(value))
    }
}

/// Returns the pieces of HTML in order, without comments and the like.
pub(crate) fn pieces(html: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = html;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let Some(after_bracket) = rest.strip_prefix('<') else {
                let (text, next) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
                rest = next;
                return Some(Piece::Text(text));
            };
            match after_bracket.as_bytes().first() {
                Some(b'!') => rest = after_comment(rest),
                Some(b'?') => rest = after(rest, ">"),
                Some(b'/') => {
                    let (name, next) = tag_name(&after_bracket[1..]);
                    rest = after(next, ">");
                    return Some(Piece::Close(name));
                }
                Some(letter) if letter.is_ascii_alphabetic() => {
                    let (tag, next) = opening(after_bracket);
                    rest = next;
                    return Some(Piece::Open(tag));
                }
                _ => {
                    let (bracket, next) = rest.split_at(1);
                    rest = next;
                    return Some(Piece::Text(bracket));
                }
            }
        }
        None
    })
}

/// Reads an opening tag behind its bracket; returns it and the rest.
fn opening(text: &str) -> (Tag<'_>, &str) {
    let (name, mut rest) = tag_name(text);
    let mut attributes = Vec::new();
    while let Some((attribute, value, next)) = next_attribute(rest) {
        attributes.push((attribute, value));
        rest = next;
    }
    (Tag { name, attributes }, after(rest, ">"))
}

/// Returns the text after the first `end`; empty if there is none.
fn after<'h>(text: &'h str, end: &str) -> &'h str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

fn after_comment(text: &str) -> &str {
    text.strip_prefix("<!--").map_or_else(|| after(text, ">"), |comment| after(comment, "-->"))
}

fn tag_name(text: &str) -> (String, &str) {
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').unwrap_or(text.len());
    (text[..end].to_ascii_lowercase(), &text[end..])
}

/// Splits off a tag's next attribute: its name, raw value, and the rest. `None` at the tag's end.
fn next_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
    if text.is_empty() || text.starts_with('>') {
        return None;
    }
    // A name may begin with '=' (HTML, "before attribute name state"), so every step advances.
    let name_end = text
        .char_indices()
        .skip(1)
        .find(|(_, c)| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='))
        .map_or(text.len(), |(at, _)| at);
    let (name, rest) = text.split_at(name_end);
    let Some(value) = rest.trim_start().strip_prefix('=') else { return Some((name, "", rest)) };
    let value = value.trim_start();
    for quote in ['"', '\''] {
        if let Some(inside) = value.strip_prefix(quote) {
            let end = inside.find(quote).unwrap_or(inside.len());
            return Some((name, &inside[..end], inside.get(end + 1..).unwrap_or("")));
        }
    }
    let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len());
    Some((name, &value[..end], &value[end..]))
}

/// Decodes the entities that clients write.
#[must_use]
pub(crate) fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    decode_entities(text, &mut out);
    out
}

/// Appends `text` with the entities decoded that clients write; others stay unchanged.
pub(crate) fn decode_entities(text: &str, out: &mut String) {
    const ENTITY_BYTES_MAX: usize = 10;
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let window = &rest[..rest.floor_char_boundary(ENTITY_BYTES_MAX)];
        let decoded = window.find(';').and_then(|end| Some((entity(&window[1..end])?, end)));
        let (c, bytes) = decoded.map_or(('&', 1), |(c, end)| (c, end + 1));
        out.push(c);
        rest = &rest[bytes..];
    }
    out.push_str(rest);
}

fn entity(name: &str) -> Option<char> {
    const NAMED: [(&str, char); 30] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", '\u{a0}'),
        ("middot", '·'),
        ("commat", '@'),
        ("hellip", '…'),
        ("mdash", '—'),
        ("ndash", '–'),
        ("lsquo", '‘'),
        ("rsquo", '’'),
        ("ldquo", '“'),
        ("rdquo", '”'),
        ("laquo", '«'),
        ("raquo", '»'),
        ("bull", '•'),
        ("times", '×'),
        ("deg", '°'),
        ("euro", '€'),
        ("pound", '£'),
        ("copy", '©'),
        ("reg", '®'),
        ("trade", '™'),
        ("larr", '←'),
        ("rarr", '→'),
        ("le", '≤'),
        ("ge", '≥'),
        ("ne", '≠'),
    ];
    if let Some((_, letter)) = NAMED.iter().find(|(known, _)| *known == name) {
        return Some(*letter);
    }
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_falls_into_text_and_tags_however_it_is_written() {
        let shown = |html: &str| -> String {
            let of = |piece: Piece<'_>| match piece {
                Piece::Text(text) => decoded(text),
                Piece::Open(tag) => format!("[{} {}]", tag.name, tag.attribute("a").unwrap_or_default()),
                Piece::Close(name) => format!("[/{name}]"),
            };
            pieces(html).map(of).collect()
        };
        for (html, expected) in [
            ("a<B A='x' a=y>b</B >c", "a[b x]b[/b]c"),
            ("<p a=\"1 &gt; 0\">x", "[p 1 > 0]x"),
            ("a <!-- <b> --> c<?x?>d", "a  cd"),
            ("1 < 2 <", "1 < 2 <"),
            ("a&hellip;b&nosuch;", "a…b&nosuch;"),
            ("cut <a a=\"never", "cut [a never]"),
        ] {
            assert_eq!(shown(html), expected, "{html}");
        }
    }
}
