//! The JSON schema of a file (draft 7, which editors understand), generated from its keys.

use serde_json::{Map, Value, json};

use super::{Fallback, Form, Key, Kind};

/// Returns the schema of a file with these keys, as `init` writes it.
pub(in crate::config) fn schema(title: &str, keys: &'static [Key]) -> String {
    let mut schema = section(keys);
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!(title));
    format!("{:#}\n", Value::Object(schema))
}

fn section(keys: &'static [Key]) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut forms = Vec::new();
    for key in keys {
        let is_required = matches!(key.fallback, Fallback::Required);
        if let Kind::Secret { as_value } = key.kind {
            let names: Vec<String> = key.names().into_iter().skip(usize::from(!as_value)).collect();
            for name in &names {
                properties.insert(name.clone(), json!({"type": "string", "description": key.about}));
            }
            forms.push(one_form(&names, is_required));
        } else {
            if is_required {
                required.push(key.name);
            }
            properties.insert(key.name.to_owned(), property(key, is_required));
        }
    }
    let mut section = Map::new();
    section.insert("type".to_owned(), json!("object"));
    section.insert("properties".to_owned(), Value::Object(properties));
    section.insert("additionalProperties".to_owned(), json!(false));
    if !required.is_empty() {
        section.insert("required".to_owned(), json!(required));
    }
    if !forms.is_empty() {
        section.insert("allOf".to_owned(), Value::Array(forms));
    }
    section
}

/// A secret is given in one form, and may be omitted unless it is required.
fn one_form(names: &[String], is_required: bool) -> Value {
    let mut ways: Vec<Value> = names.iter().map(|name| json!({"required": [name]})).collect();
    if !is_required {
        ways.push(json!({"not": {"anyOf": ways}}));
    }
    json!({"oneOf": ways})
}

fn property(key: &'static Key, is_required: bool) -> Value {
    let mut property = match of_kind(&key.kind) {
        // An empty key counts as omitted.
        Value::Object(kind) if !is_required => or_nothing(kind),
        Value::Object(kind) => kind,
        _ => Map::new(),
    };
    let about = match key.fallback {
        Fallback::Told(default) => format!("{} Default: {default}.", key.about),
        _ => key.about.to_owned(),
    };
    property.insert("description".to_owned(), json!(about));
    let default = match key.fallback {
        Fallback::Number(number) => Some(json!(number)),
        Fallback::Truth(truth) => Some(json!(truth)),
        Fallback::Word(word) => Some(json!(word)),
        Fallback::Required | Fallback::Nothing | Fallback::Told(_) => None,
    };
    property.extend(default.map(|default| ("default".to_owned(), default)));
    Value::Object(property)
}

fn or_nothing(mut kind: Map<String, Value>) -> Map<String, Value> {
    if let Some(words) = kind.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    } else if let Some(ways) = kind.get_mut("anyOf").and_then(Value::as_array_mut) {
        ways.push(json!({"type": "null"}));
    } else {
        match kind.get_mut("type") {
            Some(Value::Array(types)) => types.push(json!("null")),
            Some(one) => *one = json!([one.take(), "null"]),
            None => {}
        }
    }
    kind
}

fn of_kind(kind: &'static Kind) -> Value {
    match kind {
        Kind::Section(keys) => Value::Object(section(keys)),
        Kind::Named(kind) => json!({"type": "object", "additionalProperties": of_kind(kind)}),
        Kind::List(kind, usize::MAX) => json!({"type": "array", "items": of_kind(kind)}),
        Kind::List(kind, most) => json!({"type": "array", "items": of_kind(kind), "maxItems": most}),
        Kind::Either(kinds) => json!({"anyOf": kinds.iter().map(of_kind).collect::<Vec<_>>()}),
        Kind::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Dollars(least, most) => {
            // Compute in cents, which a float represents as written.
            let dollars = |micro: u64| f64::from(u32::try_from(micro / 10_000).unwrap_or(u32::MAX)) / 100.0;
            json!({"type": ["number", "string"], "minimum": dollars(*least), "maximum": dollars(*most)})
        }
        Kind::Truth => json!({"type": "boolean"}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::Text(form) => text(form),
        Kind::Word => json!({"type": ["string", "number", "boolean"]}),
        // Handled with its section, because a secret has three names.
        Kind::Secret { .. } => Value::Null,
    }
}

fn text(form: &'static Form) -> Value {
    let mut text = Map::new();
    text.insert("type".to_owned(), json!("string"));
    if !form.pattern.is_empty() {
        text.insert("pattern".to_owned(), json!(form.pattern));
        // Not a standard keyword: editors show it if the pattern does not match.
        text.insert("patternErrorMessage".to_owned(), json!(format!("{} belongs here.", form.what)));
    }
    text.extend(form.chars_max.map(|chars_max| ("maxLength".to_owned(), json!(chars_max))));
    Value::Object(text)
}
