//! Word documents (ECMA-376, WordprocessingML): the text with headings, lists, tables, links, notes and comments.
//! Deleted and hidden text is left out, as a reader does not see it either.

use std::collections::BTreeMap;

use super::{
    Unread,
    flow::Flow,
    package::{Package, Relation},
    xml::{Element, Node, Nodes},
};
use crate::core::media::script::Script;

/// Most styles that are looked at.
const STYLES_MAX: usize = 5_000;
/// The deepest heading.
const HEADING_MAX: usize = 6;
/// The deepest list.
const LIST_DEPTH_MAX: u32 = 8;
/// The longest link that is shown, in characters.
const LINK_CHARS_MAX: usize = 300;
/// What Word leaves where a page ended when it was last shown.
const SHOWN_PAGE: &str = "lastRenderedPageBreak";

/// Reads a document.
pub(super) fn read(package: &mut Package<'_>, main: &str, script: &mut Script) -> Result<(), Unread> {
    let relations = package.relations(main)?;
    let part_of = |kind: &str| relations.values().find(|known| known.kind == kind && !known.is_outside);
    let styles = match part_of("styles") {
        Some(styles) => headings(&package.part_if_any(&styles.target)?.unwrap_or_default())?,
        None => BTreeMap::new(),
    };
    let text = package.part(main)?;
    let is_shown = text.contains(SHOWN_PAGE);
    let has_pages = is_shown || text.contains("w:type=\"page\"") || text.contains(":br w:type='page'");
    let mut reading = Reading {
        flow: Flow::into(script),
        styles: &styles,
        relations: &relations,
        page: has_pages.then_some(1),
        heading: String::new(),
        is_shown,
    };
    if has_pages {
        reading.flow.script.begin("page 1");
    }
    reading.read(&text)?;
    for (kind, name) in [
        ("footnotes", "footnotes"),
        ("endnotes", "endnotes"),
        ("comments", "comments"),
        ("header", "page header"),
        ("footer", "page footer"),
    ] {
        let targets: Vec<&String> = relations
            .values()
            .filter(|known| known.kind == kind && !known.is_outside)
            .map(|known| &known.target)
            .collect();
        for target in targets {
            let Some(text) = package.part_if_any(target)? else { continue };
            let mut aside = Script::default();
            let relations = package.relations(target)?;
            let mut reading = Reading {
                flow: Flow::into(&mut aside),
                styles: &styles,
                relations: &relations,
                page: None,
                heading: String::new(),
                is_shown: true,
            };
            reading.read(&text)?;
            if !aside.is_blank() {
                script.begin(name);
                script.append(&aside);
            }
        }
    }
    Ok(())
}

/// Returns how deep a heading each style makes, by the styles' ids. Their names are English in every language.
fn headings(styles: &str) -> Result<BTreeMap<String, usize>, Unread> {
    let (mut nodes, mut headings, mut id) = (Nodes::of(styles), BTreeMap::new(), None);
    while let Some(node) = nodes.next()? {
        let Node::Open(element) = node else { continue };
        let depth = match element.name() {
            "style" => {
                id = element.attribute("styleId");
                continue;
            }
            "name" => depth_of(&element.attribute("val").unwrap_or_default()),
            "outlineLvl" => element.number("val").map(|level| level as usize + 1),
            _ => continue,
        };
        if let (Some(id), Some(depth)) = (&id, depth.filter(|depth| *depth <= 9))
            && headings.len() < STYLES_MAX
        {
            headings.entry(id.clone()).or_insert(depth);
        }
    }
    Ok(headings)
}

fn depth_of(name: &str) -> Option<usize> {
    let name = name.to_ascii_lowercase();
    if name == "title" {
        return Some(1);
    }
    name.strip_prefix("heading ")?.parse().ok()
}

struct Reading<'a, 's> {
    flow: Flow<'s>,
    styles: &'a BTreeMap<String, usize>,
    relations: &'a BTreeMap<String, Relation>,
    /// The page, if the file says where pages end.
    page: Option<u32>,
    heading: String,
    /// Whether pages are counted as they were last shown; otherwise by the breaks that the author set.
    is_shown: bool,
}

impl Reading<'_, '_> {
    fn read(&mut self, text: &str) -> Result<(), Unread> {
        let mut nodes = Nodes::of(text);
        let (mut is_text, mut is_hidden, mut picture) = (false, false, String::new());
        let mut links: Vec<Option<String>> = Vec::new();
        // Headings are named once their paragraph ends.
        let mut headings: Vec<bool> = Vec::new();
        while let Some(node) = nodes.next()? {
            match node {
                Node::Open(element) => match element.name() {
                    // Deleted, moved away, or the same once more for older programs.
                    "del" | "moveFrom" | "Fallback" | "sectPr" | "tblPr" | "tcPr" | "trPr" | "instrText"
                    | "delText" => {
                        nodes.skip()?;
                    }
                    "p" => {
                        self.flow.open_paragraph();
                        headings.push(false);
                    }
                    "pPr" => {
                        let is_heading = self.properties(&mut nodes)?;
                        headings.pop();
                        headings.push(is_heading);
                    }
                    "r" => is_hidden = false,
                    "rPr" => nodes.within(|property| {
                        is_hidden |= property.name() == "vanish" && is_on(property);
                    })?,
                    "t" => is_text = !is_hidden,
                    "altChunk" => self.flow.write("[another document is embedded here]"),
                    "tr" => self.flow.open_row(),
                    "tc" => self.flow.open_cell(),
                    "hyperlink" => links.push(self.link(&element)),
                    "docPr" => picture = element.attribute("descr").unwrap_or_default(),
                    "blip" | "imagedata" => self.flow.text(&about("picture", &std::mem::take(&mut picture))),
                    "chart" => self.flow.text(&about("chart", &std::mem::take(&mut picture))),
                    "OLEObject" => self.flow.text("[an embedded object]"),
                    "comment" => self.flow.write(&said(&element)),
                    "footnote" | "endnote" if element.attribute("type").is_none() => {
                        self.flow.write(&format!("[^{}]", element.attribute("id").unwrap_or_default()));
                    }
                    "footnote" | "endnote" => nodes.skip()?,
                    name if !is_hidden => self.sign(name, &element),
                    _ => {}
                },
                Node::Text(text) if is_text => self.flow.text(&text),
                Node::Text(_) => {}
                Node::Close(name) => match &*name {
                    "t" => is_text = false,
                    "p" => {
                        let text = self.flow.close_paragraph();
                        if headings.pop() == Some(true) {
                            self.heading = text.unwrap_or_default();
                            self.name();
                        }
                    }
                    "tr" => self.flow.close_row(),
                    "tc" => self.flow.close_cell(),
                    "hyperlink" => {
                        if let Some(Some(link)) = links.pop() {
                            self.flow.text(&format!(" ({link})"));
                        }
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }

    /// Reads a paragraph's properties; returns whether it is a heading.
    fn properties(&mut self, nodes: &mut Nodes<'_>) -> Result<bool, Unread> {
        let (mut depth, mut list) = (None, None);
        nodes.within(|property| match property.name() {
            "pStyle" => {
                depth = depth.or_else(|| self.styles.get(&property.attribute("val").unwrap_or_default()).copied());
            }
            "outlineLvl" => depth = property.number("val").map(|level| level as usize + 1).filter(|depth| *depth <= 9),
            "ilvl" => list = property.number("val"),
            "numPr" => list = list.or(Some(0)),
            _ => {}
        })?;
        if let Some(depth) = depth {
            self.flow.begin_with(&format!("{} ", "#".repeat(depth.clamp(1, HEADING_MAX))));
        } else if let Some(level) = list {
            self.flow.begin_with(&format!("{}- ", "  ".repeat(level.min(LIST_DEPTH_MAX) as usize)));
        }
        Ok(depth.is_some())
    }

    /// Writes what a single element stands for.
    fn sign(&mut self, name: &str, element: &Element<'_>) {
        match name {
            "tab" => self.flow.text("\t"),
            "cr" => self.flow.text("\n"),
            "noBreakHyphen" => self.flow.text("-"),
            "br" if element.attribute("type").as_deref() != Some("page") => self.flow.text("\n"),
            "br" if !self.is_shown => self.turn(),
            SHOWN_PAGE => self.turn(),
            "footnoteReference" | "endnoteReference" => {
                self.flow.text(&format!("[^{}]", element.attribute("id").unwrap_or_default()));
            }
            "commentReference" => {
                self.flow.text(&format!("[comment {}]", element.attribute("id").unwrap_or_default()));
            }
            _ => {}
        }
    }

    /// Turns the page. A paragraph is parted there; a table's row is named with the page on which it ends.
    fn turn(&mut self) {
        if let Some(page) = &mut self.page {
            *page += 1;
            self.flow.part_paragraph();
            let page = format!("page {page}");
            self.flow.script.begin(&page);
        }
    }

    fn name(&mut self) {
        let place = match self.page {
            Some(page) => format!("page {page}, {}", self.heading),
            None => self.heading.clone(),
        };
        self.flow.script.call(&place);
    }

    fn link(&self, element: &Element<'_>) -> Option<String> {
        let relation = self.relations.get(&element.attribute("id")?)?;
        let is_short = relation.target.chars().nth(LINK_CHARS_MAX).is_none();
        (relation.is_outside && is_short).then(|| relation.target.clone())
    }
}

/// Returns whether a property that may be switched off is on.
fn is_on(property: &Element<'_>) -> bool {
    !matches!(property.attribute("val").as_deref(), Some("0" | "false" | "off"))
}

/// Returns what stands for something that is seen and not read.
pub(super) fn about(what: &str, description: &str) -> String {
    let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    if description.is_empty() { format!("[{what}]") } else { format!("[{what}: {description}]") }
}

fn said(comment: &Element<'_>) -> String {
    let author = comment.attribute("author").unwrap_or_default();
    format!("[comment {} by {author}]", comment.attribute("id").unwrap_or_default())
}
