//! Whether words ask something, or state something about whom they follow.

use super::folding::is_any;
use crate::core::legible::is_blank;

/// Question marks.
const QUESTIONS: [char; 11] = ['?', '？', '؟', '¿', '﹖', '⁇', '⁈', '⁉', '❓', '❔', '՞'];

/// Words right after a name that say something about its owner.
const STATES: [&str; 66] = [
    "is", "isn't", "are", "aren't", "was", "wasn't", "were", "weren't", "has", "hasn't", "have", "haven't", "had",
    "will", "won't", "can't", "cannot", "does", "doesn't", "did", "didn't", "needs", "says", "said", "seems", "looks",
    "went", "got", "gets", "just", "and", "or", "&", "team", "ist", "sind", "war", "waren", "hat", "hatte", "haben",
    "wird", "wurde", "und", "oder", "est", "sont", "était", "a", "et", "ou", "es", "está", "están", "fue", "tiene",
    "y", "è", "sono", "ha", "är", "er", "é", "foi", "не", "был",
];

/// Subjects that turn such a word into a question: "is it up", "are you there".
const SUBJECTS: [&str; 22] = [
    "you",
    "it",
    "there",
    "this",
    "that",
    "these",
    "those",
    "we",
    "they",
    "i",
    "he",
    "she",
    "anyone",
    "anybody",
    "someone",
    "everyone",
    "everything",
    "anything",
    "du",
    "ihr",
    "das",
    "wir",
];

/// Words that begin a question or a request.
const ASKS: [&str; 62] = [
    "who",
    "whom",
    "whose",
    "what",
    "what's",
    "when",
    "where",
    "where's",
    "why",
    "which",
    "how",
    "how's",
    "can",
    "could",
    "would",
    "should",
    "shall",
    "may",
    "might",
    "do",
    "please",
    "pls",
    "tell",
    "show",
    "give",
    "any",
    "wer",
    "was",
    "wann",
    "wo",
    "warum",
    "wieso",
    "welche",
    "wie",
    "kannst",
    "kann",
    "könntest",
    "bitte",
    "qui",
    "que",
    "quoi",
    "quand",
    "où",
    "pourquoi",
    "comment",
    "peux-tu",
    "qué",
    "quién",
    "cuándo",
    "dónde",
    "cómo",
    "puedes",
    "chi",
    "che",
    "cosa",
    "quando",
    "кто",
    "что",
    "когда",
    "где",
    "почему",
    "как",
];

/// Returns whether the text after a name says something about its owner: `sales are down`, `oncall has paged`.
pub(super) fn states(behind: &str) -> bool {
    let mut words = behind.split_whitespace().map(bare);
    let Some(first) = words.next().filter(|_| behind.starts_with(char::is_whitespace)) else { return false };
    let mut inverted = || words.next().is_some_and(|subject| is_any(subject, &SUBJECTS));
    // French: `ou` is "or", `où` is "where".
    let is_accented_question = !first.is_ascii() && ASKS.contains(&first.to_lowercase().as_str());
    is_any(first, &STATES) && !is_accented_question && !inverted()
}

/// Returns whether the text after a name begins like a question or a request.
pub(super) fn asks_behind(behind: &str) -> bool {
    let mut words = behind.split_whitespace().map(bare);
    let first = words.next().unwrap_or_default();
    let inverted = is_any(first, &STATES) && words.next().is_some_and(|word| is_any(word, &SUBJECTS));
    inverted || is_any(first, &ASKS)
}

/// Returns whether a text contains a question mark.
pub(super) fn is_question(text: &str) -> bool {
    text.contains(QUESTIONS)
}

/// Returns whether a text ends with a question mark.
pub(super) fn ends_as_question(text: &str) -> bool {
    text.trim_end_matches(is_blank).ends_with(QUESTIONS)
}

/// Returns a word without the marks around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '\'' | '’' | 'ʼ' | '&'))
}
