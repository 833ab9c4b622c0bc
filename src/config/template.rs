//! The files that `init` writes: the repository's own `config/`, with some values replaced.

use super::{
    keys,
    yaml::{self, Value},
};

/// The config file with every key explained.
const WORKMATE: &str = include_str!("../../config/workmate.yaml");

/// The example coworkers: file name and text.
pub const COWORKER_FILES: [(&str, &str); 3] = [
    ("oncall.yaml", include_str!("../../config/coworkers/oncall.yaml")),
    ("ci.yaml", include_str!("../../config/coworkers/ci.yaml")),
    ("sales.yaml", include_str!("../../config/coworkers/sales.yaml")),
];

/// Returns the JSON schemas of both kinds of file, under the names in the samples' first lines.
#[must_use]
pub fn schema_files() -> [(&'static str, String); 2] {
    [
        ("workmate.schema.json", keys::schema("Workmate", &keys::WORKMATE)),
        ("coworker.schema.json", keys::schema("A coworker of Workmate", &keys::COWORKER)),
    ]
}

/// Returns the config file's text with each `(key, value)` inserted, e.g. `("homeserver.url", "https://…")`.
///
/// # Panics
/// When the template lacks a key or has its value on another line: a bug in this repository that the tests of `init`
/// find.
#[must_use]
pub fn config_file(values: &[(&str, &str)]) -> String {
    let tree = yaml::parse(WORKMATE).expect("the template is YAML, as its tests say");
    let mut lines: Vec<String> = WORKMATE.lines().map(str::to_owned).collect();
    for (path, value) in values {
        let mut node = &tree;
        let mut line = 0;
        for key in path.split('.') {
            let Value::Map(entries) = &node.value else { panic!("{path} is not in the template") };
            let entry = entries.iter().find(|entry| entry.key == key);
            let entry = entry.unwrap_or_else(|| panic!("{path} is not in the template"));
            (node, line) = (&entry.node, entry.line);
        }
        let text = &mut lines[line - 1];
        let end = text.find(": ").unwrap_or_else(|| panic!("{path} has no value on its line"));
        text.replace_range(end + 2.., &scalar(value));
    }
    lines.join("\n") + "\n"
}

/// Returns `value` as a YAML scalar: bare if that is safe, else in double quotes.
fn scalar(value: &str) -> String {
    let word = value.starts_with(|char: char| char.is_ascii_alphabetic());
    let address = value.starts_with(|char: char| char.is_ascii_digit()) && value.matches('.').count() > 1;
    let bare = (word || address)
        && value.chars().all(|char| char.is_ascii_alphanumeric() || "._/:-".contains(char))
        && !value.ends_with(':')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&value.to_lowercase().as_str());
    if bare { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_in_by_the_names_of_their_keys_and_the_rest_stays() {
        let unchanged = config_file(&[("homeserver.url", "http://127.0.0.1:8008"), ("data_dir", "../data")]);
        let text = config_file(&[("homeserver.server_name", "a: \"b\""), ("health_listen", "[::1]:1")]);

        // `../data` gets quotes because it begins with a dot; nothing else may differ.
        assert_eq!(unchanged.replace("\"../data\"", "../data"), WORKMATE);
        let expected = WORKMATE
            .replace("  server_name: example.org\n", "  server_name: \"a: \\\"b\\\"\"\n")
            .replace("health_listen: 127.0.0.1:29331\n", "health_listen: \"[::1]:1\"\n");
        assert_eq!(text, expected);
    }
}
