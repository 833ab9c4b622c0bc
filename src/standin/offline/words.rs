//! Picks the words that carry a text's meaning, and shortens texts.

/// Words too common to tell anything.
const STOP_WORDS: &[&str] = &[
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
    "does", "for", "from", "had", "has", "have", "he", "hello", "help", "her", "here", "hey", "hi", "his", "how", "i",
    "if", "in", "is", "it", "its", "just", "know", "let", "me", "my", "no", "not", "now", "of", "on", "or", "our",
    "please", "said", "say", "she", "should", "so", "tell", "than", "thank", "that", "the", "their", "them", "then",
    "there", "they", "this", "to", "up", "us", "was", "we", "were", "what", "when", "where", "which", "who", "why",
    "will", "with", "would", "you", "your",
];

/// Returns the significant words in lower case, plurals reduced, each once.
pub(super) fn keywords(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for token in text.split_whitespace() {
        // A mention or a Matrix id tells who is asked, not what.
        if token.starts_with(['@', '!']) || token.contains("matrix.to") {
            continue;
        }
        let words = token.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
        for word in words.filter(|word| word.chars().count() > 1 && !STOP_WORDS.contains(&word.as_str())) {
            let word = singular(&word);
            if !found.contains(&word) {
                found.push(word);
            }
        }
    }
    found
}

fn singular(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() > 1) {
        return format!("{stem}y");
    }
    let sibilant = ["ses", "xes", "ches", "shes"].iter().any(|ending| word.ends_with(ending));
    let cut = if sibilant { word.strip_suffix("es") } else { word.strip_suffix('s') };
    let keeps_s = word.ends_with("ss") || word.ends_with("us") || word.ends_with("is");
    cut.filter(|stem| stem.chars().count() > 2 && !keeps_s).unwrap_or(word).to_owned()
}

/// Returns the text on one line, ending in an ellipsis if it had to be cut.
pub(super) fn shorten(text: &str, chars_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let kept: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_drop_stop_words_mentions_and_plurals() {
        let words = keywords("@oncall:example.org why did the deploys fail? The policies, the buses, a boss");
        assert_eq!(words, ["deploy", "fail", "policy", "bus", "boss"]);
    }

    #[test]
    fn a_long_text_is_cut_by_characters_with_an_ellipsis() {
        assert_eq!(shorten("grüße  an\nalle", 8), "grüße a…");
        assert_eq!(shorten("kurz", 8), "kurz");
    }
}
