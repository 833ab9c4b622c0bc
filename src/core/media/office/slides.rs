//! PowerPoint presentations (ECMA-376, PresentationML): each slide's text and tables, and its speaker's notes.

use super::{
    Unread,
    document::about,
    flow::Flow,
    package::Package,
    xml::{Node, Nodes},
};
use crate::core::media::script::Script;

/// Most slides that are read.
const SLIDES_MAX: usize = 2_000;

/// Reads a presentation.
pub(super) fn read(package: &mut Package<'_>, main: &str, script: &mut Script) -> Result<(), Unread> {
    let relations = package.relations(main)?;
    let text = package.part(main)?;
    let (mut order, mut left_out) = (Vec::new(), 0);
    let mut nodes = Nodes::of(&text);
    while let Some(node) = nodes.next()? {
        let Node::Open(element) = node else { continue };
        // It has an id of its own, and one without which it is nowhere.
        match element.name() {
            "sldId" if order.len() < SLIDES_MAX => order.extend(element.prefixed("id")),
            "sldId" => left_out += 1,
            _ => {}
        }
    }
    for (number, id) in (1..).zip(order) {
        let Some(slide) = relations.get(&id).filter(|slide| !slide.is_outside) else { continue };
        read_slide(package, &slide.target, number, script)?;
    }
    script.left_out(left_out, "slide", "slides");
    Ok(())
}

fn read_slide(package: &mut Package<'_>, name: &str, number: u32, script: &mut Script) -> Result<(), Unread> {
    let Some(text) = package.part_if_any(name)? else { return Ok(()) };
    script.begin(&format!("slide {number}"));
    let title = shapes(&text, script, false)?;
    if let Some(title) = title {
        script.call(&format!("slide {number}, {title}"));
    }
    let relations = package.relations(name)?;
    let notes = relations.values().find(|relation| relation.kind == "notesSlide" && !relation.is_outside);
    let Some(notes) = notes else { return Ok(()) };
    let Some(text) = package.part_if_any(&notes.target)? else { return Ok(()) };
    let mut said = Script::default();
    shapes(&text, &mut said, true)?;
    if !said.is_blank() {
        script.begin(&format!("notes of slide {number}"));
        script.append(&said);
    }
    Ok(())
}

/// Reads the shapes of a slide, or those of its notes that the speaker wrote; returns the title.
fn shapes(text: &str, script: &mut Script, is_notes: bool) -> Result<Option<String>, Unread> {
    let mut nodes = Nodes::of(text);
    let mut flow = Flow::into(script);
    let (mut is_text, mut is_title, mut title, mut holder) = (false, false, None, None);
    while let Some(node) = nodes.next()? {
        match node {
            Node::Open(element) => match element.name() {
                "Fallback" => nodes.skip()?,
                "sld" if matches!(element.attribute("show").as_deref(), Some("0" | "false")) => {
                    flow.write("(hidden when it is shown)");
                }
                "sp" => (is_title, holder) = (false, None),
                "ph" => {
                    let kind = element.attribute("type").unwrap_or_else(|| "body".to_owned());
                    is_title = matches!(&*kind, "title" | "ctrTitle");
                    holder = Some(kind);
                }
                // Beside the notes stand a small picture of the slide, its number and the date.
                "txBody" if is_notes && holder.as_deref() != Some("body") => nodes.skip()?,
                "p" => {
                    flow.open_paragraph();
                    if is_title {
                        flow.begin_with("# ");
                    }
                }
                "t" => is_text = true,
                "br" => flow.text("\n"),
                "tr" => flow.open_row(),
                "tc" => flow.open_cell(),
                "cNvPr" => {
                    let description = element.attribute("descr").unwrap_or_default();
                    if !description.trim().is_empty() {
                        flow.write(&about("picture", &description));
                    }
                }
                "chart" => flow.write("[chart]"),
                "relIds" => flow.write("[diagram]"),
                "oleObj" => flow.write("[an embedded object]"),
                "videoFile" | "audioFile" => flow.write("[a recording]"),
                _ => {}
            },
            Node::Text(text) if is_text => flow.text(&text),
            Node::Text(_) => {}
            Node::Close(name) => match &*name {
                "t" => is_text = false,
                // A table behind the title is none of it.
                "sp" => (is_title, holder) = (false, None),
                "p" => {
                    let text = flow.close_paragraph();
                    if is_title && title.is_none() {
                        title = text.filter(|text| !text.trim().is_empty());
                    }
                }
                "tr" => flow.close_row(),
                "tc" => flow.close_cell(),
                _ => {}
            },
        }
    }
    Ok(title)
}
