//! What the provider says of a failure, as far as it may be quoted in logs and conditions (A4).
//!
//! A provider, and still more a gateway, may quote the request in its error, and that holds what people wrote and what tools
//! answered. So only words that errors are made of are quoted; every other word is an ellipsis.

use std::{collections::HashSet, fmt, sync::LazyLock};

/// Most characters that an error keeps of the provider's text.
pub(crate) const QUOTED_CHARS_MAX: usize = 300;
/// Most of its bytes that are looked at.
const READ_BYTES_MAX: usize = 4 << 10;
/// Most digits of a number that is quoted.
const DIGITS_MAX: usize = 8;
/// The words that errors are made of, in lower case.
static VOCABULARY: LazyLock<HashSet<&'static str>> = LazyLock::new(|| include_str!("vocabulary.txt").lines().collect());
/// What a number stands beside that is quoted.
const MEASURES: [&str; 27] = [
    "bytes",
    "characters",
    "code",
    "image",
    "images",
    "is",
    "kb",
    "length",
    "limit",
    "max",
    "maximum",
    "mb",
    "message",
    "messages",
    "minimum",
    "minutes",
    "most",
    "pages",
    "pixels",
    "px",
    "requests",
    "seconds",
    "status",
    "than",
    "token",
    "tokens",
    "tools",
];
/// Stands for what is not quoted.
const LEFT_OUT: &str = "…";

/// Bounded text of the provider's on one line: quoted to operators, and never mistaken for ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    /// Keeps the beginning of `text`, without control characters, `secret`, and words that somebody may have written.
    #[must_use]
    pub fn new(text: &str, secret: Option<&str>) -> Self {
        Self::hiding(text, secret.as_slice())
    }

    /// Like [`Self::new`], without any of `secrets`.
    #[must_use]
    pub fn hiding(text: &str, secrets: &[&str]) -> Self {
        Self::bounded(&of_errors(&without(text, secrets)))
    }

    /// Keeps the beginning of a header's value, without control characters and `secrets`.
    #[must_use]
    pub fn of_header(text: &str, secrets: &[&str]) -> Self {
        Self::bounded(&without(text, secrets))
    }

    fn bounded(text: &str) -> Self {
        let blank = |c: char| if c.is_control() { ' ' } else { c };
        Self(text.chars().take(QUOTED_CHARS_MAX).map(blank).collect())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("the API says nothing more")
        } else if self.0 == LEFT_OUT {
            f.write_str("what the API says is not shown, because it may quote the request")
        } else {
            write!(f, "the API says: “{}”", self.0)
        }
    }
}

fn without(text: &str, secrets: &[&str]) -> String {
    let mut text = text.get(..text.floor_char_boundary(READ_BYTES_MAX)).unwrap_or_default().to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, LEFT_OUT);
    }
    text
}

/// Returns a text with an ellipsis in the place of everything that errors are not made of.
fn of_errors(text: &str) -> String {
    let chunks: Vec<&str> = text.split_whitespace().collect();
    let mut shown: Vec<&str> = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        let beside = [at.checked_sub(1), Some(at + 1)].into_iter().flatten().filter_map(|at| chunks.get(at));
        let fits = is_of_errors(chunk) || is_number(chunk) && beside.into_iter().any(|chunk| is_measure(chunk));
        let chunk = if fits { chunk } else { LEFT_OUT };
        if chunk != LEFT_OUT || shown.last() != Some(&LEFT_OUT) {
            shown.push(chunk);
        }
    }
    shown.join(" ")
}

/// Returns whether all words of a chunk are of errors; between them may be places in a list and ASCII punctuation.
fn is_of_errors(chunk: &str) -> bool {
    let mut words = words(chunk).peekable();
    if words.peek().is_none() {
        return chunk.is_ascii();
    }
    let is_plain = chunk.chars().all(|c| c.is_ascii() || matches!(c, '“' | '”' | '‘' | '’'));
    let mut has_word = false;
    is_plain
        && words.all(|word| {
            let is_place = word.bytes().all(|byte| byte.is_ascii_digit()) && word.len() <= 3;
            let is_known = VOCABULARY.contains(word.to_ascii_lowercase().as_str());
            has_word |= is_known;
            is_known || is_place
        })
        && has_word
}

fn is_number(chunk: &str) -> bool {
    let digits = chunk.bytes().filter(u8::is_ascii_digit).count();
    let is_plain = chunk.bytes().all(|byte| byte.is_ascii_digit() || b",.;:()%$<>='\"`".contains(&byte));
    is_plain && (1..=DIGITS_MAX).contains(&digits)
}

fn is_measure(chunk: &str) -> bool {
    matches!(chunk, ">" | "<" | "=" | ">=" | "<=" | "+")
        || words(chunk).any(|word| MEASURES.contains(&word.to_ascii_lowercase().as_str()))
}

fn words(chunk: &str) -> impl Iterator<Item = &str> {
    chunk.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_of_what_the_provider_says_only_what_errors_are_made_of_is_quoted() {
        for whole in [
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
            "prompt is too long: 213462 tokens > 200000 maximum",
            "input length and `max_tokens` exceed context limit: 199000 + 21000 > 200000, decrease input length or `max_tokens` and try again",
            "messages.1.content.0.image.source.base64.data: The image was specified using the image/jpeg media type, but the image appears to be a image/png image",
            "tools.3.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
            "messages: text content blocks must be non-empty",
            "This request would exceed your organization's rate limit of 50 requests per minute",
            "invalid x-api-key",
            "Output blocked by content filtering policy",
            "Number of request tokens has exceeded your per-minute rate limit",
            "Overloaded",
            "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens",
        ] {
            let quoted = Quoted::new(whole, None);
            assert_eq!(quoted.as_str(), whole.replace("2020-12", LEFT_OUT));
        }
        for (said, shown) in [
            (
                "messages.0.content: invalid text: 'Mum has cancer, PIN 4711'",
                "messages.0.content: invalid text: … has …",
            ),
            ("could not parse {\"text\":\"the launch is on Friday\"}", "could not parse {\"text\":\"the … is on …"),
            ("Bearer hunter2-abc is not valid for user alice@example.org", "Bearer … is not valid for user …"),
            ("你好，密码是1234", LEFT_OUT),
            ("call +44 20 7946 0958 tonight", "call …"),
            ("card 4111 1111 1111 1111 expired", "… expired"),
            ("aGVsbG8gd29ybGQ= is not base64", "… is not base64"),
            ("the\u{202e}limit", LEFT_OUT),
            ("", ""),
        ] {
            assert_eq!(Quoted::new(said, None).as_str(), shown, "{said}");
        }
        let told = Quoted::new("Mum has cancer", None).to_string();
        assert_eq!(told, "the API says: “… has …”");
        assert_eq!(
            Quoted::new("zebra", None).to_string(),
            "what the API says is not shown, because it may quote the request"
        );
    }

    #[test]
    fn a4_the_vocabulary_is_sorted_and_has_no_word_twice() {
        let words: Vec<&str> = include_str!("vocabulary.txt").lines().collect();
        assert!(words.windows(2).all(|pair| pair[0] < pair[1]) && words.iter().all(|word| !word.is_empty()));
        assert!(MEASURES.iter().all(|measure| VOCABULARY.contains(measure)), "{MEASURES:?}");
    }

    #[test]
    fn the_provider_s_words_are_bounded() {
        let long = Quoted::new(&"limit ".repeat(10_000), None);
        assert_eq!(long.as_str().chars().count(), QUOTED_CHARS_MAX);
    }
}
