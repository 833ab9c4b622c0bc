//! OpenDocument (ISO 26300): texts, spreadsheets, presentations and drawings. Values of cells are those that were shown.

use super::{
    Unread,
    flow::Flow,
    package::Package,
    sheet::{Sheets, address},
    xml::{Element, Node, Nodes},
};
use crate::core::media::{Form, script::Script};

/// Most spaces that one element stands for.
const SPACES_MAX: u32 = 100;
/// Most equal cells in a row that are written out; more are told.
const EQUAL_CELLS_MAX: u32 = 8;
/// The deepest list.
const LIST_DEPTH_MAX: usize = 8;

/// Reads a document of any of its kinds.
pub(super) fn read(package: &mut Package<'_>, script: &mut Script) -> Result<Form, Unread> {
    let text = package.part("content.xml")?;
    let mut nodes = Nodes::of(&text);
    while let Some(node) = nodes.next()? {
        let Node::Open(element) = node else { continue };
        match element.name() {
            "document-content" | "body" => {}
            "spreadsheet" => {
                read_sheets(&mut nodes, script)?;
                return Ok(Form::Workbook);
            }
            "text" => {
                let has_pages = text.contains("soft-page-break");
                read_flow(&mut nodes, script, has_pages)?;
                return Ok(Form::Document);
            }
            "presentation" | "drawing" => {
                read_flow(&mut nodes, script, false)?;
                return Ok(Form::Slides);
            }
            _ => nodes.skip()?,
        }
    }
    Err(Unread::Broken)
}

/// Elements whose content nobody reads, or that was deleted.
fn is_aside(name: &str) -> bool {
    matches!(
        name,
        "tracked-changes"
            | "forms"
            | "event-listeners"
            | "scripts"
            | "hidden-text"
            | "hidden-paragraph"
            | "settings"
            | "sequence-decls"
            | "variable-decls"
            | "user-field-decls"
            | "creator-initials"
            | "index-source"
            | "table-of-content-source"
            | "thumbnail"
            | "script"
    )
}

fn read_flow(nodes: &mut Nodes<'_>, script: &mut Script, has_pages: bool) -> Result<(), Unread> {
    let mut flow = Flow::into(script);
    let mut place = Place { page: 1, slide: 0 };
    let (mut lists, mut is_item, mut headings, mut links) = (0_usize, false, Vec::new(), Vec::new());
    if has_pages {
        flow.script.begin("page 1");
    }
    while let Some(node) = nodes.next()? {
        match node {
            Node::Open(element) => match element.name() {
                name if is_aside(name) => nodes.skip()?,
                "page" => place.turn_slide(&element, &mut flow),
                "notes" => flow.script.begin(&format!("notes of slide {}", place.slide)),
                "soft-page-break" if has_pages => place.turn(&mut flow),
                "list" => lists += 1,
                "list-item" => is_item = true,
                "h" | "p" => {
                    flow.open_paragraph();
                    let is_heading = element.name() == "h";
                    headings.push(is_heading);
                    if is_heading {
                        let depth = element.number("outline-level").unwrap_or(1).clamp(1, 6) as usize;
                        flow.begin_with(&format!("{} ", "#".repeat(depth)));
                    } else if std::mem::take(&mut is_item) {
                        flow.begin_with(&format!("{}- ", "  ".repeat(lists.clamp(1, LIST_DEPTH_MAX) - 1)));
                    }
                }
                "note" => flow.open_remark("note"),
                "annotation" => flow.open_remark("comment"),
                "table-row" => flow.open_row(),
                "table-cell" => flow.open_cell(),
                // A frame's description, behind what it describes.
                "desc" => {
                    let said = format!(" ({})", nodes.text()?);
                    if flow.is_in_paragraph() { flow.text(&said) } else { flow.write(said.trim_start()) }
                }
                "a" => links.push(element.attribute("href")),
                name => sign(name, &element, &mut flow),
            },
            Node::Text(text) => flow.text(&text),
            Node::Close(name) => match &*name {
                "text" | "presentation" | "drawing" if !flow.is_in_paragraph() => return Ok(()),
                "list" => lists = lists.saturating_sub(1),
                "list-item" => is_item = false,
                "h" | "p" => {
                    let text = flow.close_paragraph();
                    if headings.pop() == Some(true) {
                        place.name(&text.unwrap_or_default(), has_pages, &mut flow);
                    }
                }
                "note" | "annotation" => flow.close_remark(),
                "note-citation" | "creator" => flow.text(" "),
                "table-row" => flow.close_row(),
                "table-cell" => flow.close_cell(),
                "a" => {
                    if let Some(Some(link)) = links.pop()
                        && !link.starts_with('#')
                    {
                        flow.text(&format!(" ({link})"));
                    }
                }
                _ => {}
            },
        }
    }
    Err(Unread::Broken)
}

struct Place {
    page: u32,
    slide: u32,
}

impl Place {
    fn turn(&mut self, flow: &mut Flow<'_>) {
        self.page += 1;
        flow.part_paragraph();
        flow.script.begin(&format!("page {}", self.page));
    }

    fn turn_slide(&mut self, element: &Element<'_>, flow: &mut Flow<'_>) {
        self.slide += 1;
        let name = element.attribute("name").filter(|name| !name.is_empty());
        let name = name.map(|name| format!(", {name}")).unwrap_or_default();
        flow.script.begin(&format!("slide {}{name}", self.slide));
    }

    fn name(&self, heading: &str, has_pages: bool, flow: &mut Flow<'_>) {
        match (self.slide, has_pages) {
            (0, true) => flow.script.call(&format!("page {}, {heading}", self.page)),
            (0, false) => flow.script.call(heading),
            (slide, _) => flow.script.call(&format!("slide {slide}, {heading}")),
        }
    }
}

/// Writes what a single element stands for.
fn sign(name: &str, element: &Element<'_>, flow: &mut Flow<'_>) {
    match name {
        "tab" => flow.text("\t"),
        "line-break" => flow.text("\n"),
        "s" => {
            let spaces = element.number("c").unwrap_or(1).min(SPACES_MAX);
            flow.text(&" ".repeat(spaces as usize));
        }
        "image" if flow.is_in_paragraph() => flow.text("[picture]"),
        "image" => flow.write("[picture]"),
        "object" if flow.is_in_paragraph() => flow.text("[an embedded object]"),
        "object" => flow.write("[an embedded object]"),
        _ => {}
    }
}

fn read_sheets(nodes: &mut Nodes<'_>, script: &mut Script) -> Result<(), Unread> {
    let mut sheets = Sheets::into(script);
    let (mut row, mut depth) = (0_u32, 0);
    while let Some(node) = nodes.next()? {
        match node {
            Node::Open(element) => match element.name() {
                "table" => {
                    depth += 1;
                    if depth == 1 {
                        sheets.begin(&element.attribute("name").unwrap_or_default(), false);
                        row = 0;
                    }
                }
                "table-row" if depth == 1 => {
                    let repeated = element.number("number-rows-repeated").unwrap_or(1).max(1);
                    read_row(nodes, row, repeated, &mut sheets)?;
                    row = row.saturating_add(repeated);
                }
                name if is_aside(name) || name == "shapes" => nodes.skip()?,
                _ => {}
            },
            Node::Close(name) if name == "table" => depth -= 1,
            Node::Close(name) if name == "spreadsheet" => {
                sheets.flush();
                return Ok(());
            }
            Node::Close(_) | Node::Text(_) => {}
        }
    }
    Err(Unread::Broken)
}

/// Reads one row, which may stand for several equal ones.
fn read_row(nodes: &mut Nodes<'_>, row: u32, repeated: u32, sheets: &mut Sheets<'_>) -> Result<(), Unread> {
    let (mut column, mut is_empty) = (0_u32, true);
    while let Some(node) = nodes.next()? {
        match node {
            Node::Open(element) if matches!(element.name(), "table-cell" | "covered-table-cell") => {
                let times = element.number("number-columns-repeated").unwrap_or(1).max(1);
                let value = element.attribute("value").or_else(|| element.attribute("date-value"));
                let text = cell(nodes)?;
                let text = if text.trim().is_empty() { value.unwrap_or_default() } else { text };
                if !text.trim().is_empty() {
                    is_empty = false;
                    for at in 0..times.min(EQUAL_CELLS_MAX) {
                        sheets.cell(row, column.saturating_add(at), &text);
                    }
                    if times > EQUAL_CELLS_MAX {
                        let last = address(row, column.saturating_add(times - 1));
                        sheets.remark(&format!("(the same up to {last})"));
                    }
                }
                column = column.saturating_add(times);
            }
            Node::Close(name) if name == "table-row" => {
                if repeated > 1 && !is_empty {
                    sheets.remark(&format!("(the same up to row {})", u64::from(row) + u64::from(repeated)));
                }
                sheets.flush();
                return Ok(());
            }
            Node::Open(_) => nodes.skip()?,
            Node::Close(_) | Node::Text(_) => {}
        }
    }
    Err(Unread::Broken)
}

/// Reads a cell's text; a comment on it is marked as such.
fn cell(nodes: &mut Nodes<'_>) -> Result<String, Unread> {
    let (mut text, mut depth, mut is_text) = (String::new(), 1, 0);
    while depth > 0 {
        match nodes.next()?.ok_or(Unread::Broken)? {
            Node::Open(element) => match element.name() {
                "annotation" => {
                    let comment = nodes.text()?;
                    text.extend(["[comment: ", &comment.split_whitespace().collect::<Vec<_>>().join(" "), "] "]);
                }
                "s" => {
                    text.push(' ');
                    depth += 1;
                }
                name => {
                    if name == "p" && !text.is_empty() && !text.ends_with(' ') {
                        text.push(' ');
                    }
                    is_text += usize::from(name == "p");
                    depth += 1;
                }
            },
            Node::Text(more) if is_text > 0 => text.push_str(&more),
            Node::Text(_) => {}
            Node::Close(name) => {
                is_text -= usize::from(name == "p" && is_text > 0);
                depth -= 1;
            }
        }
    }
    Ok(text)
}
