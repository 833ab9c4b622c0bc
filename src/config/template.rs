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

/// What a new coworker's file says; what is not given keeps its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewCoworker {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// One line for people.
    pub purpose: String,
    /// What the model is told.
    pub instructions: String,
    /// Its model.
    pub model: Option<String>,
    /// Its effort.
    pub effort: Option<String>,
    /// What it may cost in a month, in US dollars.
    pub budget_usd_month: Option<String>,
    /// The names of its tools.
    pub tools: Vec<String>,
}

impl NewCoworker {
    /// Returns the text of its file. Whether it is right, `check` says.
    #[must_use]
    pub fn file(&self) -> String {
        let mut lines = vec![
            "# yaml-language-server: $schema=../coworker.schema.json".to_owned(),
            format!("id: {}", scalar(&self.id)),
            format!("name: {}", scalar(&self.name)),
            format!("purpose: {}", scalar(&self.purpose)),
        ];
        if self.instructions.trim().is_empty()
            || self.instructions.contains(|char: char| char.is_control() && char != '\n')
        {
            lines.push(format!("instructions: {}", scalar(&self.instructions)));
        } else {
            lines.push("instructions: |".to_owned());
            let text = self.instructions.trim();
            lines.extend(text.lines().map(|line| format!("  {line}").trim_end().to_owned()));
        }
        lines.extend(self.model.iter().map(|model| format!("model: {}", scalar(model))));
        lines.extend(self.effort.iter().map(|effort| format!("effort: {}", scalar(effort))));
        lines.extend(self.budget_usd_month.iter().map(|dollars| format!("budget_usd_month: {dollars}")));
        if !self.tools.is_empty() {
            lines.push("tools:".to_owned());
            lines.extend(self.tools.iter().map(|tool| format!("  - {}", scalar(tool))));
        }
        lines.join("\n") + "\n"
    }
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
    fn op7_a_new_coworkers_file_reads_back_as_it_was_given() {
        let whole = NewCoworker {
            id: "legal-2".to_owned(),
            name: "Legal: \"no\"".to_owned(),
            purpose: "yes".to_owned(),
            instructions: "Read contracts.\n\n  - quote: exactly # always".to_owned(),
            model: Some("claude-opus-5-5".to_owned()),
            effort: Some("low".to_owned()),
            budget_usd_month: Some("12.5".to_owned()),
            tools: vec!["http_get".to_owned(), "logs__*".to_owned()],
        };
        for new in [whole.clone(), NewCoworker { instructions: "\ttab".to_owned(), ..whole }] {
            let text = new.file();
            let Value::Map(entries) = yaml::parse(&text).expect("is YAML").value else { panic!("{text}") };
            let read =
                |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| format!("{:?}", entry.node));
            for (key, value) in [("name", &new.name), ("purpose", &new.purpose)] {
                let read = read(key).expect(key);
                assert!(read.contains(&format!("{value:?}")), "{key}: {read}");
            }
            let first = new.instructions.trim().lines().next().expect("a line");
            assert!(read("instructions").expect("there").contains(first), "{text}");
            assert!(read("tools").expect("there").contains("logs__*"), "{text}");
        }
    }

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
