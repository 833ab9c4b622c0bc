//! Parses YAML into a tree that keeps line numbers and duplicate keys, so that each can be reported.
//!
//! It is built from `saphyr-parser`'s events, because `saphyr`'s own tree stops at the first duplicate key. Aliases,
//! tags and further documents are useless in a configuration and are refused.

mod lines;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::fault::Trouble;

/// Most bytes of a YAML file.
pub(super) const YAML_BYTES_MAX: usize = 256 << 10;
/// How deep lists and sections may nest; the configuration needs 3.
const DEPTH_MAX: usize = 16;

/// A value with the line on which it begins, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// No value after the colon, `~` or `null`.
    Null,
    /// Any scalar, uninterpreted; `plain` if it is unquoted, so that it may be a number or a boolean.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A section, including duplicate keys.
    Map(Vec<Entry>),
}

/// A `key: value` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) node: Node,
}

/// Parses the only document of `text`; an empty file is `Null`.
///
/// # Errors
/// The line and the syntax error, after which parsing cannot continue.
pub(super) fn parse(text: &str) -> Result<Node, (usize, Trouble)> {
    if text.len() > YAML_BYTES_MAX {
        return Err((
            1,
            Trouble::new(
                format!("{} bytes long", text.len()),
                format!("A configuration file may have at most {YAML_BYTES_MAX} bytes."),
                "check that this is the file you mean.",
            ),
        ));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| tree.unclosed(text, error.marker().line(), error.info()))?;
        tree.take(event, span.start.line())?;
    }
    let root = tree.root.unwrap_or(Node { line: 1, value: Value::Null });
    match commented_out(&root, 1, text) {
        Some(fault) => Err(fault),
        None => Ok(root),
    }
}

/// Finds a value that is missing only because YAML takes it for a comment. `line` is that of the key.
fn commented_out(node: &Node, line: usize, text: &str) -> Option<(usize, Trouble)> {
    match &node.value {
        Value::Null => Some((line, lines::commented_out(line_of(text, line))?)),
        Value::Scalar { .. } => None,
        Value::List(items) => items.iter().find_map(|item| commented_out(item, item.line, text)),
        Value::Map(entries) => entries.iter().find_map(|entry| commented_out(&entry.node, entry.line, text)),
    }
}

/// The tree under construction: the open lists and sections, outermost first.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
}

enum Open {
    List { line: usize, items: Vec<Node> },
    Map { line: usize, entries: Vec<Entry>, key: Option<(String, usize)> },
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), (usize, Trouble)> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err(refused(line, "a second document (`---`)")),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Alias(_) => Err(refused(line, "an alias (`*name`)")),
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                Err(refused(line, "a tag (`!name`)"))
            }
            Event::Scalar(text, style, _, None) => {
                let plain = style == ScalarStyle::Plain;
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    _ => Value::Scalar { text: text.into_owned(), plain },
                };
                self.add(Node { line, value })
            }
            Event::SequenceStart(..) => self.begin(line, Open::List { line, items: Vec::new() }),
            Event::MappingStart(..) => self.begin(line, Open::Map { line, entries: Vec::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { line, items }) => self.add(Node { line, value: Value::List(items) }),
                Some(Open::Map { line, entries, .. }) => self.add(Node { line, value: Value::Map(entries) }),
                None => Err(syntax("", line, "an end without a beginning")),
            },
        }
    }

    /// The parser notices an unclosed bracket only lines later, at the first thing that cannot be inside it. Reports
    /// the bracket's line instead.
    fn unclosed(&self, text: &str, line: usize, info: &str) -> (usize, Trouble) {
        let unclosed = self.open.iter().rev().find_map(|open| {
            let (began, open, close) = match open {
                Open::List { line, .. } => (*line, '[', ']'),
                Open::Map { line, .. } => (*line, '{', '}'),
            };
            let is_open = |text: &str| text.matches(open).count() > text.matches(close).count();
            (began < line && is_open(line_of(text, began))).then_some((began, open, close))
        });
        let Some((began, open, close)) = unclosed else { return syntax(text, line, info) };
        let trouble = Trouble::new(
            format!("not YAML: the `{open}` here is not closed before line {line}"),
            "Nothing after this line could be read.",
            format!("write the `{close}` that belongs to it."),
        );
        (began, trouble)
    }

    fn begin(&mut self, line: usize, what: Open) -> Result<(), (usize, Trouble)> {
        if self.open.len() == DEPTH_MAX {
            return Err(refused(line, "nesting deeper than 16"));
        }
        self.open.push(what);
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), (usize, Trouble)> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match (key.take(), node.value) {
                (Some((key, line)), value) => entries.push(Entry { key, line, node: Node { line: node.line, value } }),
                (None, Value::Scalar { text, .. }) => *key = Some((text, node.line)),
                (None, Value::Null) => *key = Some(("null".to_owned(), node.line)),
                (None, Value::List(_) | Value::Map(_)) => return Err(refused(node.line, "a list or section as a key")),
            },
        }
        Ok(())
    }
}

fn syntax(text: &str, line: usize, info: &str) -> (usize, Trouble) {
    const MEND: &str =
        "look at this line and the one before: indentation, a missing colon, or a quote that is not closed.";
    let line = line.max(1);
    // The parser may notice a slip only on the line behind it.
    let found = [line, line - 1].into_iter().find_map(|line| Some((line, lines::mend_of(line_of(text, line))?)));
    let (line, mend) = found.unwrap_or((line, MEND.to_owned()));
    (line, Trouble::new(format!("not YAML: {info}"), "Nothing after this line could be read.", mend))
}

/// Returns a line of a text, by its number from 1.
fn line_of(text: &str, line: usize) -> &str {
    line.checked_sub(1).and_then(|at| text.lines().nth(at)).unwrap_or_default()
}

fn refused(line: usize, what: &str) -> (usize, Trouble) {
    let trouble = Trouble::new(
        format!("{what} is not supported"),
        "A configuration is read by people: it says each thing once, in place.",
        "write the value out as plain YAML; one that begins with `*` or `!` itself goes in quotes.",
    );
    (line, trouble)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scalar(line: usize, text: &str) -> Node {
        Node { line, value: Value::Scalar { text: text.to_owned(), plain: true } }
    }

    #[test]
    fn a_tree_knows_its_lines_and_keeps_duplicate_keys() {
        let tree = parse("# first\na: 1\nb:\n  - x\n  -\na: 2\n").expect("is YAML");
        let list = vec![scalar(4, "x"), Node { line: 5, value: Value::Null }];
        let expected = vec![
            Entry { key: "a".into(), line: 2, node: scalar(2, "1") },
            Entry { key: "b".into(), line: 3, node: Node { line: 4, value: Value::List(list) } },
            Entry { key: "a".into(), line: 6, node: scalar(6, "2") },
        ];
        assert_eq!(tree, Node { line: 2, value: Value::Map(expected) });
    }

    #[test]
    fn what_a_configuration_does_not_need_is_refused_with_its_line() {
        for (text, line, what) in [
            ("a: &x 1\nb: *x\n", 2, "an alias (`*name`) is not supported"),
            ("a: 1\nb: !secret x\n", 2, "a tag (`!name`) is not supported"),
            ("a: 1\n---\nb: 2\n", 2, "a second document (`---`) is not supported"),
            ("? [a]\n: 1\n", 1, "a list or section as a key is not supported"),
            ("a: [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", 1, "nesting deeper than 16 is not supported"),
        ] {
            let (at, trouble) = parse(text).expect_err(text);
            assert_eq!((at, trouble.what.as_str()), (line, what));
        }
    }

    #[test]
    fn op14_a_bracket_that_is_not_closed_is_told_where_it_stands() {
        for (text, line, what) in [
            ("a: 1\nb: [x, y\nc: 1\nd: 2\n", 2, "the `[` here is not closed"),
            ("a: 1\nb:\n  c: [\"x\"\n\n\n  d: 2\n  e: 3\n", 3, "the `[` here is not closed"),
            ("a: {b: 1\nc: 2\nd: 3\n", 1, "the `{` here is not closed"),
            ("a: [\n  b: {c: 1}\n  d: [x]\n  e: 2\nf:\n  g: 3\n", 1, "the `[` here is not closed"),
            ("a: [1, 2]\nb: x: y\n", 2, "not YAML"),
        ] {
            let (at, trouble) = parse(text).expect_err(text);
            assert!(at == line && trouble.what.contains(what), "{text:?}: {at}: {}", trouble.what);
        }
    }

    #[test]
    fn deep_nesting_ends_in_a_fault_and_not_in_an_overflow() {
        let (_, trouble) = parse(&"[".repeat(YAML_BYTES_MAX)).expect_err("too deep");
        assert_eq!(trouble.what, "not YAML: recursion limit exceeded");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_text_of_yaml_s_own_characters_makes_the_parser_panic(text in "[-:?#&*!|>'\"%@`{}\\[\\], \t\r\nab0~.\u{feff}\u{85}é]{0,80}") {
            let _ = parse(&text);
        }
    }
}
