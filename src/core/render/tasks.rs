//! Lists whose items are all tasks: `- [ ]`.

use pulldown_cmark::{Event, Tag, TagEnd};

/// Returns how many events the list at the start of `events` has, if all its items, nested ones included, are tasks
/// with running text.
pub(super) fn list(events: &[Event<'_>]) -> Option<usize> {
    if !matches!(events.first(), Some(Event::Start(Tag::List(None)))) {
        return None;
    }
    let (mut depth, mut begins_item) = (0_usize, false);
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::TaskListMarker(_) => begins_item = false,
            Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph) => {}
            _ if begins_item => return None,
            Event::Start(Tag::List(None)) => depth += 1,
            Event::End(TagEnd::List(_)) if depth == 1 => return Some(at + 1),
            Event::End(TagEnd::List(_)) => depth -= 1,
            Event::Start(Tag::Item) => begins_item = true,
            Event::Start(
                Tag::List(_) | Tag::BlockQuote(_) | Tag::CodeBlock(_) | Tag::Table(_) | Tag::Heading { .. },
            )
            | Event::Html(_)
            | Event::Rule => return None,
            _ => {}
        }
    }
    None
}
