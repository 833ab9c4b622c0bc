//! Hides secrets in whatever is shown, stored or given to a model.

/// What stands where a secret was.
pub const MASK: &str = "•••";
/// Secrets shorter than this are not looked for: they would be found in ordinary words.
const CHARS_MIN: usize = 6;

/// Knows the secrets of the process.
#[derive(Clone, Default)]
pub struct Mask(Vec<String>);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.0.len())
    }
}

impl Mask {
    /// Takes the secrets. What is too short to be told from words is not hidden.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: Vec<String> = Vec::new();
        for secret in secrets.into_iter().filter(|secret| secret.chars().count() >= CHARS_MIN) {
            let escaped = serde_json::Value::from(secret).to_string();
            let escaped = escaped.trim_matches('"').to_owned();
            let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            forms.extend([secret.to_owned(), escaped, encoded]);
        }
        // The longest first: one may be the beginning of another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self(forms)
    }

    /// Returns `text` with every secret replaced by [`MASK`].
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MASK);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_secrets_are_hidden_as_they_are_in_json_and_in_urls() {
        let mask = Mask::new(["s3cret \"token\"/x", "s3cret", "short"]);
        assert_eq!(mask.hide("a s3cret \"token\"/x b"), "a ••• b");
        assert_eq!(mask.hide(r#"{"k":"s3cret \"token\"/x"}"#), r#"{"k":"•••"}"#);
        assert_eq!(mask.hide("?k=s3cret+%22token%22%2Fx&s3cret"), "?k=•••&•••");
        assert_eq!(mask.hide("a short word"), "a short word");
        assert_eq!(format!("{mask:?}"), "Mask(4 secrets)");
    }
}
