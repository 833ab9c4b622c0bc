//! XML as a flat run of elements and texts. Entities that a document declares are never expanded, nothing outside it is
//! fetched, and names count without their prefixes.

use std::borrow::Cow;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

use super::Unread;

/// The deepest nesting of elements.
const DEPTH_MAX: usize = 1_000;
/// Most attributes of an element that are looked at.
const ATTRIBUTES_MAX: usize = 64;

/// A piece of a document.
pub(super) enum Node<'a> {
    /// An element begins; an empty one ends with the next node.
    Open(Element<'a>),
    /// An element of this name ends.
    Close(String),
    /// Text.
    Text(Cow<'a, str>),
}

/// The beginning of an element.
pub(super) struct Element<'a>(BytesStart<'a>);

impl Element<'_> {
    /// Returns the name without its prefix.
    pub(super) fn name(&self) -> &str {
        self.0.local_name().into_inner()
    }

    /// Returns the attribute of this name without its prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.0.attributes();
        // Comparing each with all others would take for ever.
        attributes.with_checks(false);
        let found =
            attributes.take(ATTRIBUTES_MAX).flatten().find(|known| known.key.local_name().into_inner() == name)?;
        found.normalized_value(XmlVersion::Implicit1_0).ok().map(Cow::into_owned)
    }

    /// Returns the attribute of this name that has a prefix, where one without it means something else.
    pub(super) fn prefixed(&self, name: &str) -> Option<String> {
        let mut attributes = self.0.attributes();
        attributes.with_checks(false);
        let is_it = |key: &str| key.split_once(':').is_some_and(|(_, local)| local == name);
        let found = attributes.take(ATTRIBUTES_MAX).flatten().find(|known| is_it(known.key.into_inner()))?;
        found.normalized_value(XmlVersion::Implicit1_0).ok().map(Cow::into_owned)
    }

    /// Returns a number in the attribute of this name.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.attribute(name)?.trim().parse().ok()
    }
}

/// Reads a document node by node.
pub(super) struct Nodes<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> Nodes<'a> {
    /// Begins to read.
    pub(super) fn of(document: &'a str) -> Self {
        let mut reader = Reader::from_str(document);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        Self { reader, depth: 0 }
    }

    /// Returns the next node; `None` at the end.
    ///
    /// # Errors
    /// [`Unread::Broken`] if it is no XML, or nested too deeply.
    pub(super) fn next(&mut self) -> Result<Option<Node<'a>>, Unread> {
        loop {
            return Ok(Some(match self.reader.read_event().map_err(|_| Unread::Broken)? {
                Event::Start(start) | Event::Empty(start) => {
                    self.depth += 1;
                    if self.depth > DEPTH_MAX {
                        return Err(Unread::Broken);
                    }
                    Node::Open(Element(start))
                }
                Event::End(end) => {
                    self.depth = self.depth.saturating_sub(1);
                    Node::Close(end.local_name().into_inner().to_owned())
                }
                Event::Text(text) => Node::Text(text.into_inner()),
                Event::CData(text) => Node::Text(text.into_inner()),
                Event::GeneralRef(reference) => {
                    let letter = match &*reference {
                        "amp" => Some('&'),
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        // What the document itself declares stays unexpanded, and so harmless.
                        _ => reference.resolve_char_ref().ok().flatten(),
                    };
                    Node::Text(letter.map(String::from).unwrap_or_default().into())
                }
                Event::Eof if self.depth > 0 => return Err(Unread::Broken),
                Event::Eof => return Ok(None),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => continue,
            }));
        }
    }

    /// Skips to the end of the element that has just begun.
    pub(super) fn skip(&mut self) -> Result<(), Unread> {
        self.within(|_| ())
    }

    /// Reads to the end of the element that has just begun, and calls back for every element in it.
    pub(super) fn within(&mut self, mut seen: impl FnMut(&Element<'a>)) -> Result<(), Unread> {
        let outside = self.depth - 1;
        while let Some(node) = self.next()? {
            match node {
                Node::Open(element) => seen(&element),
                Node::Close(_) if self.depth == outside => return Ok(()),
                Node::Close(_) | Node::Text(_) => {}
            }
        }
        Err(Unread::Broken)
    }

    /// Returns the text in the element that has just begun.
    pub(super) fn text(&mut self) -> Result<String, Unread> {
        let outside = self.depth - 1;
        let mut all = String::new();
        while let Some(node) = self.next()? {
            match node {
                Node::Text(text) => all.push_str(&text),
                Node::Close(_) if self.depth == outside => return Ok(all),
                Node::Close(_) | Node::Open(_) => {}
            }
        }
        Err(Unread::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(document: &str) -> Result<String, Unread> {
        let (mut nodes, mut all) = (Nodes::of(document), String::new());
        while let Some(node) = nodes.next()? {
            match node {
                Node::Open(element) => all.extend(["<", element.name(), ">"]),
                Node::Close(name) => all.extend(["</", &name, ">"]),
                Node::Text(text) => all.push_str(&text),
            }
        }
        Ok(all)
    }

    #[test]
    fn s3_an_entity_that_a_document_declares_is_not_expanded() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"xxxxxxxxxx\"><!ENTITY y \"&x;&x;&x;&x;&x;\">\
                    <!ENTITY z SYSTEM \"file:///etc/passwd\">]><a b='&y;'>1&y;&z;2 &amp; &#51; &#xd800; &bad</a>";
        assert_eq!(all(bomb).as_deref(), Ok("<a>12 & 3  &bad</a>"));
        let mut nodes = Nodes::of(bomb);
        let Ok(Some(Node::Open(element))) = nodes.next() else { panic!("an element") };
        assert_eq!(element.attribute("b"), None);
    }

    #[test]
    fn what_is_no_xml_or_nested_too_deeply_is_broken() {
        let deep = format!("{}{}", "<a>".repeat(DEPTH_MAX + 1), "</a>".repeat(DEPTH_MAX + 1));
        for broken in ["<a>", "<a></b>", "<a", &deep, "</a>"] {
            assert_eq!(all(broken), Err(Unread::Broken), "{}", &broken[..broken.len().min(20)]);
        }
        assert_eq!(all("<w:a x:b='1'/><c><![CDATA[<d>]]></c>").as_deref(), Ok("<a></a><c><d></c>"));
    }
}
