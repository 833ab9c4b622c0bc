//! Replies to a card that decide beyond `yes` and `no`, and the word for those that may be meant to.

/// Replies that approve, as they are typed without a mark behind them.
pub const YES: [&str; 22] = [
    "approved",
    "yes please",
    "yes please do",
    "yes do it",
    "yes run it",
    "yes go ahead",
    "yes approve",
    "yes approved",
    "please do",
    "do it",
    "run it",
    "go ahead",
    "please go ahead",
    "ja",
    "ja bitte",
    "ja mach das",
    "oui",
    "oui vas-y",
    "sí",
    "sí por favor",
    "да",
    "はい",
];
/// Replies that decline, as they are typed without a mark behind them.
pub const NO: [&str; 24] = [
    "declined",
    "no thanks",
    "no thank you",
    "no please don't",
    "no don't",
    "no stop",
    "nope",
    "nah",
    "don't",
    "dont",
    "do not",
    "don't do it",
    "don't run it",
    "stop",
    "cancel",
    "abort",
    "reject",
    "rejected",
    "nein",
    "nein danke",
    "non",
    "non merci",
    "нет",
    "いいえ",
];

/// Says how to decide to somebody whose reply or reaction could mean more than one thing.
#[must_use]
pub fn say_it_clearly() -> String {
    "I can't tell whether that is a yes, so nothing runs yet. React ✅ to run it once or ❌ not to, or reply `yes` or `no` to \
     the message that asks."
        .to_owned()
}
