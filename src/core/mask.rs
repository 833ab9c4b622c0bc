//! Hides secrets in text that is shown, stored or sent to a model: as they are, and in their JSON, URL and base64
//! forms.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// Replaces a secret.
pub const MASK: &str = "•••";
/// Shorter secrets are not searched for: they would match ordinary words.
const CHARS_MIN: usize = 6;
/// Shorter base64 fragments are not searched for: they would match ordinary words.
const BASE64_CHARS_MIN: usize = 10;

/// The secrets of this process in all searched forms.
#[derive(Clone, Default)]
pub struct Mask(Vec<String>);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.0.len())
    }
}

impl Mask {
    /// Collects the forms of the secrets; secrets too short to search for are not hidden.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: Vec<String> = Vec::new();
        for secret in secrets.into_iter().filter(|secret| secret.chars().count() >= CHARS_MIN) {
            let escaped = quoted(secret);
            let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let in_path = encoded.replace('+', "%20");
            forms.extend([secret.to_owned(), quoted(&escaped), escaped, in_path.replace("%2F", "/"), in_path, encoded]);
            forms.extend(in_base64(secret.as_bytes()));
        }
        // Longest first, because one form may be a prefix of another.
        forms.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        forms.dedup();
        Self(forms)
    }

    /// Returns whether a secret is in a file's bytes, as UTF-8 or as UTF-16.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let wide =
            |form: &String, bytes_of: fn(u16) -> [u8; 2]| form.encode_utf16().flat_map(bytes_of).collect::<Vec<u8>>();
        self.0.iter().any(|form| {
            memchr::memmem::find(bytes, form.as_bytes()).is_some()
                || memchr::memmem::find(bytes, &wide(form, u16::to_le_bytes)).is_some()
                || memchr::memmem::find(bytes, &wide(form, u16::to_be_bytes)).is_some()
        })
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

impl Mask {
    /// Splits `text` into pieces, with `None` in the place of each secret.
    #[must_use]
    pub fn pieces(&self, text: &str) -> Vec<Option<String>> {
        let mut pieces = vec![Some(text.to_owned())];
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                pieces = pieces.into_iter().flat_map(|piece| without(piece, secret)).collect();
            }
        }
        pieces
    }
}

/// Splits a piece at each occurrence of a secret.
fn without(piece: Option<String>, secret: &str) -> Vec<Option<String>> {
    let Some(text) = piece else { return vec![None] };
    let mut pieces = Vec::new();
    for (index, part) in text.split(secret).enumerate() {
        if index > 0 {
            pieces.push(None);
        }
        pieces.push(Some(part.to_owned()));
    }
    pieces
}

/// Returns a text as it is written inside a JSON string.
fn quoted(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns the base64 of a secret inside a longer value (`user:secret`), in both alphabets, for each of the three
/// alignments.
fn in_base64(secret: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let whole = [&[0; 2][..before], secret].concat();
        let encoded = STANDARD_NO_PAD.encode(&whole);
        // Drop the characters that also depend on the bytes before or after the secret.
        let (first, last) = ((before * 8).div_ceil(6), whole.len() * 8 / 6);
        if let Some(inner) = encoded.get(first..last).filter(|inner| inner.len() >= BASE64_CHARS_MIN) {
            forms.extend([inner.to_owned(), inner.replace('+', "-").replace('/', "_")]);
        }
    }
    forms
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
        assert_eq!(format!("{:?}", Mask::new(["s3cret"])), "Mask(1 secrets)");
    }

    #[test]
    fn c24_a_secret_is_found_in_the_bytes_of_a_file() {
        let mask = Mask::new(["s3cret-token"]);
        let wide: Vec<u8> = "x s3cret-token".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [b"a,b\n\xff\xfes3cret-token\0".as_slice(), &wide, b"Zm9vczNjcmV0LXRva2Vu"] {
            assert!(mask.is_in(bytes), "{bytes:?}");
        }
        assert!(!mask.is_in(b"s3cret") && !mask.is_in(b"") && !Mask::default().is_in(b"s3cret-token"));
    }

    #[test]
    fn c13_secrets_are_hidden_in_paths_in_json_within_json_and_in_base64_wherever_they_begin() {
        let secret = "s3cret \"token\"/x+y";
        let mask = Mask::new([secret]);
        let nested = serde_json::json!({ "text": serde_json::json!({ "k": secret }).to_string() }).to_string();
        assert_eq!(mask.hide(&nested), r#"{"text":"{\"k\":\"•••\"}"}"#);
        assert_eq!(mask.hide("/s3cret%20%22token%22/x%2By/s3cret%20%22token%22%2Fx%2By"), "/•••/•••");
        for before in ["", "a", "ab", "abc", "user:"] {
            for encoded in [
                base64::prelude::BASE64_STANDARD.encode(format!("{before}{secret}")),
                base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(format!("{before}{secret} and more")),
            ] {
                let hidden = mask.hide(&encoded);
                assert!(hidden.contains(MASK) && !hidden.contains("M3JldC"), "{before}: {hidden}");
                let left = hidden.split(MASK).map(str::len).max().unwrap_or_default();
                assert!(left <= 16, "{before}: {hidden}");
            }
        }
        assert_eq!(mask.hide("QUJDREVGR0hJSktM"), "QUJDREVGR0hJSktM");
    }
}
