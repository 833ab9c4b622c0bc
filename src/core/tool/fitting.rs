//! Makes a schema acceptable to the Messages API if only its references prevent that: recursive ones are expanded to a
//! fixed depth and cut there, and those without a target accept anything. The server checks its arguments itself, so a
//! wider schema is harmless.

use serde_json::{Map, Value, json};

use super::schema::{self, DEPTH_MAX, LISTED, ONE, PARTS_MAX};

/// How often a schema may be expanded inside itself, if it fits.
const LEVELS_MAX: usize = 3;
/// Keywords that are copied unchanged, because they contain no schema.
const VALUES: [&str; 4] = ["const", "default", "enum", "examples"];
/// Keywords that refer to another schema.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords that are superfluous without references.
const DROPPED: [&str; 7] =
    ["$anchor", "$defs", "$dynamicAnchor", "$id", "$recursiveAnchor", "definitions", "$vocabulary"];
/// The description of a part that was cut.
const CUT: &str = "The same again, nested; its form is given further up.";

/// Returns a schema in at most `bytes_max` bytes, with the references expanded that the API would not follow; if that
/// fails, returns it unchanged.
#[must_use]
pub(crate) fn fitted(given: Value, bytes_max: usize) -> Value {
    if !is_needed(&given) {
        return given;
    }
    let fitting = (0..=LEVELS_MAX).rev().find_map(|levels| {
        let mut writing = Writing { root: &given, levels, parts: 0, within: Vec::new() };
        writing.schema(&given, 0).filter(|written| written.to_string().len() <= bytes_max)
    });
    fitting.unwrap_or(given)
}

fn is_needed(given: &Value) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| given.get(*word).is_some());
    let text = given.to_string();
    has(&REFERENCES)
        || REFERENCES[1..].iter().any(|word| text.contains(word))
        || (text.contains("\"$ref\"") && schema::fault(given).is_some_and(|fault| fault.contains("refers to")))
}

struct Writing<'a> {
    root: &'a Value,
    levels: usize,
    parts: usize,
    /// References being expanded.
    within: Vec<&'a str>,
}

impl<'a> Writing<'a> {
    /// Returns a schema without references; `None` if it becomes too large.
    fn schema(&mut self, schema: &'a Value, depth: usize) -> Option<Value> {
        self.parts += 1;
        if self.parts > PARTS_MAX || depth > DEPTH_MAX {
            return None;
        }
        let Value::Object(fields) = schema else { return Some(schema.clone()) };
        let mut written = Map::new();
        for (word, value) in fields {
            if !DROPPED.contains(&word.as_str()) && !REFERENCES.contains(&word.as_str()) {
                written.insert(word.clone(), self.word(word, value, depth + 1)?);
            }
        }
        let reference = REFERENCES.iter().find_map(|word| fields.get(*word)).and_then(Value::as_str);
        let Some(to) = reference else { return Some(Value::Object(written)) };
        let target = self.target(to);
        let is_open = self.within.iter().filter(|within| **within == to).count() >= self.levels;
        match target {
            Some(target) if !is_open => {
                self.within.push(to);
                let inner = self.schema(target, depth);
                self.within.pop();
                // Keywords beside a reference apply too; if both have one, the nearer one wins.
                let Value::Object(mut inner) = inner? else { return Some(Value::Object(written)) };
                inner.extend(written);
                Some(Value::Object(inner))
            }
            Some(target) => Some(cut(written, target)),
            None => Some(Value::Object(written)),
        }
    }

    fn word(&mut self, word: &str, value: &'a Value, depth: usize) -> Option<Value> {
        let each = |this: &mut Self, listed: &'a Vec<Value>| {
            listed.iter().map(|one| this.schema(one, depth)).collect::<Option<Vec<_>>>().map(Value::Array)
        };
        match value {
            _ if VALUES.contains(&word) => Some(value.clone()),
            Value::Array(listed) if LISTED.contains(&word) || word == "items" => each(self, listed),
            Value::Object(named) if matches!(word, "properties" | "patternProperties" | "dependentSchemas") => {
                let named = named.iter().map(|(name, one)| Some((name.clone(), self.schema(one, depth)?)));
                named.collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            _ if ONE.contains(&word) => self.schema(value, depth),
            _ => Some(value.clone()),
        }
    }

    /// Returns the target of a reference within the schema: a path, the whole, or an anchor.
    fn target(&self, to: &str) -> Option<&'a Value> {
        match to.strip_prefix('#')? {
            "" | "/" => Some(self.root),
            path if path.starts_with('/') => self.root.pointer(path),
            anchor => anchored(self.root, anchor, 0),
        }
    }
}

/// Finds the part with this anchor.
fn anchored<'a>(value: &'a Value, anchor: &str, depth: usize) -> Option<&'a Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let is_it = |word: &str| value.get(word).and_then(Value::as_str) == Some(anchor);
    match value {
        Value::Object(_) if is_it("$anchor") || is_it("$dynamicAnchor") => Some(value),
        Value::Object(fields) => fields.values().find_map(|field| anchored(field, anchor, depth + 1)),
        Value::Array(listed) => listed.iter().find_map(|one| anchored(one, anchor, depth + 1)),
        _ => None,
    }
}

/// Returns the replacement where a schema would continue inside itself: its type, and a note for the model.
fn cut(mut beside: Map<String, Value>, target: &Value) -> Value {
    if let Some(kind @ Value::String(_)) = target.get("type") {
        beside.entry("type").or_insert_with(|| kind.clone());
    }
    beside.entry("description").or_insert_with(|| json!(CUT));
    Value::Object(beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 16 << 10;

    fn tree() -> Value {
        json!({ "type": "object", "properties": { "root": { "$ref": "#/$defs/node" } }, "$defs": { "node": {
            "type": "object",
            "properties": { "name": { "type": "string" }, "children": { "type": "array", "items": { "$ref": "#/$defs/node" } } },
        } } })
    }

    #[test]
    fn c12_a_schema_that_refers_to_itself_is_cut_and_can_be_offered() {
        let (a, b) = (json!({ "$ref": "#/$defs/b" }), json!({ "$ref": "#/$defs/a" }));
        let wide: Map<String, Value> = (0..30).map(|number| (format!("p{number}"), json!({ "$ref": "#" }))).collect();
        for schema in [
            tree(),
            json!({ "type": "object", "properties": { "again": { "$ref": "#" } } }),
            json!({ "type": "object", "properties": { "a": a }, "$defs": {
                "a": { "type": "object", "properties": { "b": a } }, "b": { "type": "object", "properties": { "a": b } } } }),
            json!({ "$ref": "#/definitions/Args", "definitions": {
                "Args": { "type": "object", "properties": { "filter": { "$ref": "#/definitions/Args" } } } } }),
            json!({ "type": "object", "properties": { "a": { "$ref": "https://example.org/a.json", "description": "An a." } } }),
            json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/missing" } } }),
            json!({ "type": "object", "properties": { "n": { "$ref": "#node" } }, "$defs": {
                "node": { "$anchor": "node", "type": "object", "properties": { "next": { "$ref": "#node" } } } } }),
            json!({ "$dynamicAnchor": "t", "type": "object", "properties": { "sub": { "$dynamicRef": "#t" } } }),
            json!({ "type": "object", "properties": wide }),
        ] {
            let fitted = fitted(schema.clone(), BYTES_MAX);
            assert_eq!(schema::fault(&fitted), None, "{schema} became {fitted}");
            assert!(fitted.to_string().len() <= BYTES_MAX && !fitted.to_string().contains("Ref\""), "{fitted}");
        }
        let fitted = fitted(tree(), BYTES_MAX).to_string();
        assert_eq!((fitted.matches("\"name\"").count(), fitted.matches(CUT).count()), (LEVELS_MAX, 1), "{fitted}");
    }

    #[test]
    fn what_the_api_takes_is_left_as_it_came_and_so_is_what_cannot_be_made_to_fit() {
        let plain = json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/a" } }, "$defs": { "a": {} } });
        let mut vast = tree();
        vast["description"] = Value::from("x".repeat(BYTES_MAX));
        let named = json!({ "type": "object", "properties": { "definitions": { "type": "string", "default": { "$ref": 1 } } } });
        for schema in [plain, vast, named, json!({ "type": "object", "properties": [] }), json!(7)] {
            assert_eq!(fitted(schema.clone(), BYTES_MAX), schema);
        }
    }
}
