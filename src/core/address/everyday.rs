//! Words that are nobody's name: everyday ones, greetings, nods.

use super::{folding::is_any, nods};

/// Everyday words, which address nobody as a part of a name.
pub(super) const EVERYDAY: [&str; 57] = [
    "a", "all", "an", "and", "any", "are", "but", "can", "could", "did", "do", "does", "for", "had", "has", "have",
    "he", "help", "her", "here", "his", "how", "i", "if", "in", "is", "it", "its", "just", "me", "might", "must", "my",
    "no", "not", "now", "of", "ok", "on", "or", "our", "please", "she", "should", "so", "test", "that", "the", "they",
    "this", "to", "we", "what", "when", "why", "would", "yes",
];

/// Words with which people begin to address somebody.
pub(super) const GREETINGS: [&str; 40] = [
    "hey",
    "hi",
    "hello",
    "thanks",
    "thx",
    "thank you",
    "ok",
    "okay",
    "yes",
    "yeah",
    "no",
    "sorry",
    "dear",
    "morning",
    "good morning",
    "hallo",
    "moin",
    "danke",
    "liebe",
    "lieber",
    "merci",
    "bonjour",
    "salut",
    "cher",
    "chère",
    "hola",
    "gracias",
    "olá",
    "ciao",
    "grazie",
    "cześć",
    "привет",
    "спасибо",
    "merhaba",
    "selam",
    "مرحبا",
    "يا",
    "שלום",
    "こんにちは",
    "おはよう",
];

/// Those of them that also begin an answer: "ok skip", "yes, grant access".
pub(super) const ANSWERS: [&str; 5] = ["ok", "okay", "yes", "yeah", "no"];

/// Returns whether a text is an everyday word, a greeting or a nod, which is nobody's name.
pub(super) fn is_everyday(text: &str) -> bool {
    is_any(text, &GREETINGS) || is_any(text, &EVERYDAY) || nods::is_phrase(text)
}
