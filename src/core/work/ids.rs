//! Ids of calls, so that each result can be told to be its own: what the model's turn lacks of them is ours.
//!
//! The API refuses a conversation in which an id stands twice, or is none. What is signed, thinking, does not hold them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::said::Said;

/// Characters of an id that is kept; the API's have some thirty.
pub(super) const ID_CHARS_MAX: usize = 128;

/// Returns the blocks of a turn with an id of its own for each call. A call that is there twice, with its id, is one;
/// another call under a known id, or one without a usable id, gets one of ours.
pub(super) fn made_unique<'a>(blocks: &[String], used: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen: BTreeSet<String> = used.map(ToOwned::to_owned).collect();
    let mut here: Vec<(String, Said)> = Vec::new();
    let mut unique = Vec::with_capacity(blocks.len());
    for raw in blocks {
        let call = raw.contains("\"tool_use\"").then(|| Said::read(raw));
        let Some(call @ Said::Call { id, .. }) = &call else {
            unique.push(raw.clone());
            continue;
        };
        if is_usable(id) && here.iter().any(|(known, before)| known == id && before == call) {
            continue;
        }
        here.push((id.clone(), call.clone()));
        if is_usable(id) && seen.insert(id.clone()) {
            unique.push(raw.clone());
            continue;
        }
        let ours = (1..=seen.len() + 1)
            .map(|number| format!("call_{number}"))
            .find(|ours| !seen.contains(ours))
            .unwrap_or_default();
        unique.push(with_id(raw, &ours));
        seen.insert(ours);
    }
    unique
}

fn is_usable(id: &str) -> bool {
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    !id.is_empty() && id.len() <= ID_CHARS_MAX && id.chars().all(fits)
}

fn with_id(raw: &str, id: &str) -> String {
    let mut block: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw).unwrap_or_default();
    block.insert("id".to_owned(), serde_json::value::to_raw_value(id).expect("a string is JSON"));
    serde_json::to_string(&block).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a3_each_call_has_an_id_of_its_own_and_one_that_is_there_twice_is_made_once() {
        let call = |id: &str, input: &str| format!(r#"{{"id":{id},"input":{input},"name":"f","type":"tool_use"}}"#);
        let (one, two) = (r#"{"a":1}"#, r#"{"a":2}"#);
        let long = format!("\"{}\"", "x".repeat(ID_CHARS_MAX + 1));
        let text = r#"{"type":"text","text":"a tool_use"}"#.to_owned();
        for (blocks, expected) in [
            (vec![call(r#""t1""#, one)], vec![call(r#""t1""#, one)]),
            (vec![call(r#""t1""#, one), text.clone(), call(r#""t1""#, one)], vec![call(r#""t1""#, one), text]),
            (vec![call(r#""t1""#, one), call(r#""t1""#, two)], vec![call(r#""t1""#, one), call(r#""call_1""#, two)]),
            (vec![call(r#""old""#, one)], vec![call(r#""call_1""#, one)]),
            (vec![call(r#""old""#, one), call(r#""old""#, one)], vec![call(r#""call_1""#, one)]),
            (vec![call(r#""""#, one), call("null", one)], vec![call(r#""call_1""#, one), call(r#""call_2""#, one)]),
            (vec![call(&long, one), call(r#""a b""#, one)], vec![call(r#""call_1""#, one), call(r#""call_2""#, one)]),
            (vec![call(r#""call_1""#, one), call("7", one)], vec![call(r#""call_1""#, one), call(r#""call_2""#, one)]),
        ] {
            assert_eq!(made_unique(&blocks, ["old"].into_iter()), expected, "{blocks:?}");
        }
    }
}
