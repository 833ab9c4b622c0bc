//! Replies to a card (C12): which decide, and which may be meant to but are not clear enough.

use ruma::EventId;

use super::{Choice, choice_of_key};
use crate::core::{
    address::{OwnWords, after_quote, is_struck},
    command::typed,
    event::{EventKind, Message, MessageKind, RoomEvent},
    legible::is_hidden,
    words::{approval as words, deciding},
};

/// Most words of a reply that counts as an attempt to decide; a longer one is a message.
const UNCLEAR_WORDS_MAX: usize = 4;
/// Most words of a message in a card's thread that is checked for deciding words only.
const SAID_WORDS_MAX: usize = 6;
/// Longer messages are not about a card; a coworker's name may precede the words.
const SAID_BYTES_MAX: usize = 400;
/// Reactions with which people decide elsewhere. None of them is an unambiguous yes.
const UNCLEAR_KEYS: [&str; 14] = ["👍", "👎", "👌", "✔", "☑", "✖", "❎", "🆗", "👏", "🙏", "💯", "🚫", "⛔", "🤝"];
/// Reactions that mean no.
const DECLINING_KEYS: [&str; 5] = ["👎", "✖", "🚫", "⛔", "🛑"];
/// Marks between words without a meaning of their own.
const BETWEEN: [char; 15] = [',', '.', '!', ';', ':', '…', '—', '–', '，', '。', '！', '、', '；', '¡', '♪'];
/// Marks that turn a text into a question, or strike it out.
const DOUBTS: [char; 6] = ['?', '？', '؟', '¿', '~', '…'];

/// Marks that end a question.
const QUESTIONS: [char; 3] = ['?', '？', '؟'];

/// What a message says about a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It decides.
    Decides {
        /// The decision.
        choice: Choice,
        /// Whether it also says something else, which is an ordinary message: `No, use the other one`.
        more: bool,
    },
    /// It may be meant to decide but is unclear: it decides nothing, and its sender is told how to.
    Unclear,
}

/// Returns the target of a reaction or reply that may decide about a card, and what it says. More texts mean no than
/// yes, because declining is always safe.
#[must_use]
pub(crate) fn said_of(event: &RoomEvent) -> Option<(&EventId, Said)> {
    match &event.kind {
        EventKind::Reaction { target, key } => Some((target, said_by_key(key)?)),
        EventKind::Message(message) => Some((message.reply_to.as_deref()?, said_in_reply(message)?)),
        _ => None,
    }
}

fn said_by_key(key: &str) -> Option<Said> {
    match choice_of_key(key) {
        Some(choice) => Some(Said::Decides { choice, more: false }),
        None => UNCLEAR_KEYS.contains(&key.trim_end_matches(is_tone)).then_some(Said::Unclear),
    }
}

/// Returns what a reply to a card says about it; `None` if it is an ordinary message.
#[must_use]
pub(crate) fn said_in_reply(message: &Message) -> Option<Said> {
    let text = after_quote(&message.body);
    said_in_passing(message, text, || shown(message)).or_else(|| {
        let plain = plain(text);
        let is_short = (1..=UNCLEAR_WORDS_MAX).contains(&plain.split_whitespace().count());
        let asks = text.trim_end().ends_with(QUESTIONS) || typed(text).starts_with('!');
        (is_said(message) && is_short && !asks).then_some(Said::Unclear)
    })
}

/// Returns whether a reply consists only of deciding words, clear or not, so that it asks nothing else.
#[must_use]
pub(crate) fn leans(message: &Message) -> bool {
    said_in_passing(message, after_quote(&message.body), || shown(message)).is_some()
}

/// Returns the text of a message that clients show instead of its body, if it has one.
pub(super) fn shown(message: &Message) -> Option<String> {
    message.html.as_deref().map(|html| OwnWords::of_all_html(html).text)
}

/// Returns what `text`, a message without its address, says about a card that it does not point to. Every word must be
/// a deciding one, so that a question stays a question.
///
/// `shown` is what clients show instead ([`shown`]), also without the address: it must decide in the same way. It is
/// parsed only for what decides.
#[must_use]
pub(super) fn said_in_passing(message: &Message, text: &str, shown: impl FnOnce() -> Option<String>) -> Option<Said> {
    let said = said_in_body(message, text);
    if !matches!(said, Some(Said::Decides { .. })) {
        return said;
    }
    match shown() {
        Some(shown) if said_in_body(message, &shown) != said => Some(Said::Unclear),
        _ => said,
    }
}

fn said_in_body(message: &Message, text: &str) -> Option<Said> {
    if !may_be_about_a_card(message) || typed(text).starts_with('!') {
        return None;
    }
    let in_so_many_words = message.kind == MessageKind::Text;
    let decides = |choice, more| Some(if in_so_many_words { Said::Decides { choice, more } } else { Said::Unclear });
    let plain = plain(text);
    let in_doubt = text.contains(DOUBTS)
        || text.contains("..")
        || message.html.as_deref().is_some_and(|html| is_struck(html) || is_more_than_said(html));
    match choice_of(text, &plain) {
        Some(Choice::Approve) if in_doubt => return Some(Said::Unclear),
        Some(Choice::Decline) if text.contains(QUESTIONS) => return Some(Said::Unclear),
        Some(choice) => return decides(choice, false),
        None => {}
    }
    if let Some(rest) = behind_a_no(text) {
        let wavers = rest.split_whitespace().any(|word| is_yes(word) || is_assent(word));
        return if wavers || in_doubt { Some(Said::Unclear) } else { decides(Choice::Decline, !is_of_deciding(&rest)) };
    }
    let emoji = text.trim().trim_end_matches(is_tone);
    (UNCLEAR_KEYS.contains(&emoji) || is_of_deciding(&plain)).then_some(Said::Unclear)
}

/// Returns whether clients show more than the sender's own words: a quote beside that of a reply, or a picture.
fn is_more_than_said(html: &str) -> bool {
    let html = html.to_ascii_lowercase();
    let said = html.rsplit("</mx-reply>").next().unwrap_or_default();
    ["<blockquote", "<img", "<pre", "<details"].iter().any(|tag| said.contains(tag))
}

/// Returns whether a message is short enough to be checked.
pub(super) fn may_be_about_a_card(message: &Message) -> bool {
    is_said(message) && after_quote(&message.body).len() <= SAID_BYTES_MAX
}

/// Returns whether a message is ordinary text. An emote (`/me approves`) decides nothing, but may be meant to.
fn is_said(message: &Message) -> bool {
    matches!(message.kind, MessageKind::Text | MessageKind::Emote)
}

fn choice_of(text: &str, plain: &str) -> Option<Choice> {
    let is = |word: &&str| **word == *plain;
    match () {
        () if is_yes(plain) => Some(Choice::Approve),
        () if is_no(plain) => Some(Choice::Decline),
        () if DECLINING_KEYS.iter().any(is) => Some(Choice::Decline),
        () => choice_of_key(text.trim()),
    }
}

fn is_yes(plain: &str) -> bool {
    words::APPROVE.iter().chain(&deciding::YES).any(|word| *word == plain)
}

fn is_no(plain: &str) -> bool {
    words::DECLINE.iter().chain(&deciding::NO).any(|word| *word == plain)
}

fn is_assent(plain: &str) -> bool {
    deciding::ASSENT.iter().chain(&deciding::ASSENT_WHOLE).any(|word| *word == plain)
}

/// Returns the text after an opening no, if a mark separates them.
fn behind_a_no(text: &str) -> Option<String> {
    let text = text.replace(" - ", " — ");
    let (first, rest) = text.split_once(|letter| BETWEEN.contains(&letter) || letter == '\n')?;
    let rest = plain(rest);
    (is_no(&plain(first)) && !rest.is_empty()).then_some(rest)
}

/// Returns whether a text consists only of deciding words.
fn is_of_deciding(plain: &str) -> bool {
    let mut leans = is_assent(plain);
    let is_leaning = |word: &str| is_assent(word) || is_yes(word) || is_no(word) || deciding::DISSENT.contains(&word);
    let phrases = || deciding::YES.iter().chain(&deciding::NO).flat_map(|phrase| phrase.split(' '));
    let words: Vec<&str> = plain.split_whitespace().collect();
    let all = words.iter().all(|word| {
        let leaning = is_leaning(word);
        leans |= leaning;
        leaning || deciding::BESIDE.contains(word) || phrases().any(|part| part == *word)
    });
    !plain.is_empty() && words.len() <= SAID_WORDS_MAX && all && leans
}

/// Normalises a text for comparison with deciding words: like a command, with one space for all marks between words.
fn plain(text: &str) -> String {
    let shown = typed(text).replace(['’', 'ʼ', '＇'], "'").replace(BETWEEN, " ");
    let shown: Vec<&str> = shown.split_whitespace().filter(|word| *word != "-").collect();
    shown.join(" ").trim_end_matches(is_tone).to_owned()
}

/// Returns whether a character is a skin tone or a variation selector.
fn is_tone(letter: char) -> bool {
    is_hidden(letter) || ('\u{1f3fb}'..='\u{1f3ff}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::approval::tests::{event, reaction, reply};

    const YES: Option<Said> = Some(Said::Decides { choice: Choice::Approve, more: false });
    const NO: Option<Said> = Some(Said::Decides { choice: Choice::Decline, more: false });
    const NO_AND_MORE: Option<Said> = Some(Said::Decides { choice: Choice::Decline, more: true });
    const UNCLEAR: Option<Said> = Some(Said::Unclear);

    /// Each row: a text, its meaning in a card's thread, and its meaning as a reply to the card.
    const SAID: [(&str, Option<Said>, Option<Said>); 92] = [
        ("yes", YES, YES),
        ("yes please", YES, YES),
        ("Yes, please!", YES, YES),
        ("yes, do it.", YES, YES),
        ("Ja", YES, YES),
        ("ja bitte", YES, YES),
        ("oui", YES, YES),
        ("はい", YES, YES),
        ("да!", YES, YES),
        ("**yes**", YES, YES),
        ("`yes`", YES, YES),
        ("✅", YES, YES),
        ("no thanks", NO, NO),
        ("No, don't!", NO, NO),
        ("No. Don’t.", NO, NO),
        ("no!!!", NO, NO),
        ("stop", NO, NO),
        ("STOP!", NO, NO),
        ("stop, please", NO, NO),
        ("Nein!", NO, NO),
        ("nein, danke.", NO, NO),
        ("нет.", NO, NO),
        ("いいえ。", NO, NO),
        ("不要！", NO, NO),
        ("아니요", NO, NO),
        ("não, obrigado", NO, NO),
        ("nope", NO, NO),
        ("No...", NO, NO),
        ("No - stop", NO, NO),
        ("👎🏽", NO, NO),
        ("🛑", NO, NO),
        ("❌", NO, NO),
        ("No, not now.", NO, NO),
        ("No, wait", NO, NO),
        ("No, deploy to staging instead", NO_AND_MORE, NO_AND_MORE),
        ("Nein! Erst die Sicherung einspielen.", NO_AND_MORE, NO_AND_MORE),
        ("no, it is fine, go", UNCLEAR, UNCLEAR),
        ("No, wait. Yes.", UNCLEAR, UNCLEAR),
        ("no problem", UNCLEAR, UNCLEAR),
        ("No worries!", UNCLEAR, UNCLEAR),
        ("no?", UNCLEAR, UNCLEAR),
        ("yes?", UNCLEAR, UNCLEAR),
        ("Yes...", UNCLEAR, UNCLEAR),
        ("yes…", UNCLEAR, UNCLEAR),
        ("~~yes~~", UNCLEAR, UNCLEAR),
        ("yes no", UNCLEAR, UNCLEAR),
        ("yes, but later", UNCLEAR, UNCLEAR),
        ("ok", UNCLEAR, UNCLEAR),
        ("Okay.", UNCLEAR, UNCLEAR),
        ("ok?", UNCLEAR, UNCLEAR),
        ("OK, thanks!", UNCLEAR, UNCLEAR),
        ("ｏｋ", UNCLEAR, UNCLEAR),
        ("k", UNCLEAR, UNCLEAR),
        ("sure", UNCLEAR, UNCLEAR),
        ("sure, go", UNCLEAR, UNCLEAR),
        ("y", UNCLEAR, UNCLEAR),
        ("n", UNCLEAR, UNCLEAR),
        ("yep", UNCLEAR, UNCLEAR),
        ("lgtm", UNCLEAR, UNCLEAR),
        ("looks good", UNCLEAR, UNCLEAR),
        ("fine by me", UNCLEAR, UNCLEAR),
        ("+1", UNCLEAR, UNCLEAR),
        ("可以", UNCLEAR, UNCLEAR),
        ("好的。", UNCLEAR, UNCLEAR),
        ("没问题", UNCLEAR, UNCLEAR),
        ("うん", UNCLEAR, UNCLEAR),
        ("네", UNCLEAR, UNCLEAR),
        ("si", UNCLEAR, UNCLEAR),
        ("d’accord", UNCLEAR, UNCLEAR),
        ("хорошо", UNCLEAR, UNCLEAR),
        ("tamam", UNCLEAR, UNCLEAR),
        ("👍", UNCLEAR, UNCLEAR),
        ("👍️", UNCLEAR, UNCLEAR),
        ("👌🏾", UNCLEAR, UNCLEAR),
        ("not now", UNCLEAR, UNCLEAR),
        ("wait", UNCLEAR, UNCLEAR),
        // Other words are a question unless they reply to the card.
        ("уes", None, UNCLEAR),
        ("restart api too", None, UNCLEAR),
        ("thanks", None, UNCLEAR),
        ("status", None, UNCLEAR),
        ("🎉", None, UNCLEAR),
        ("the other one", None, UNCLEAR),
        ("stop the old server", None, UNCLEAR),
        ("what does it do?", None, None),
        ("is it done?", None, None),
        ("!help", None, None),
        ("!stop", None, None),
        ("please restart the other one, this one is fine", None, None),
        ("no deploys on Fridays is our rule", None, None),
        ("yes and can you also tell me what it costs", None, None),
        ("", None, None),
        ("> yes", None, None),
    ];

    fn reads_as_unclear(event: &RoomEvent) -> bool {
        matches!(said_of(event), Some((_, Said::Unclear)))
    }

    #[test]
    fn c12_what_is_said_to_a_card_decides_where_it_cannot_be_meant_otherwise_and_asks_for_a_clear_word_elsewhere() {
        for (body, in_thread, in_reply) in SAID {
            let message = Message::text(body);
            assert_eq!(said_in_passing(&message, after_quote(body), || None), in_thread, "{body} in its thread");
            assert_eq!(said_in_reply(&message), in_reply, "{body} in reply to it");
            let said = event("@alice:hs", EventKind::Message(reply(body)));
            assert_eq!(reads_as_unclear(&said), in_reply == UNCLEAR, "{body}");
        }
    }

    #[test]
    fn c12_what_is_struck_out_or_not_said_in_words_approves_nothing() {
        let struck = Message { html: Some("<del>yes</del>".to_owned()), ..Message::text("yes") };
        assert_eq!(said_in_reply(&struck), UNCLEAR);
        for more in ["<blockquote>yes</blockquote>", "yes<img src=\"mxc://hs/no\">", "<pre>yes</pre>"] {
            let shown = Message { html: Some(more.to_owned()), ..Message::text("yes") };
            assert_eq!(said_in_reply(&shown), UNCLEAR, "{more}");
        }
        let quoting = "<mx-reply><blockquote>May I?</blockquote></mx-reply>yes";
        let quoting = Message { html: Some(quoting.to_owned()), ..Message::text("yes") };
        assert_eq!(said_in_reply(&quoting), YES, "the quote of a reply is no word of theirs");
        let plain = Message { html: Some("<strong>yes</strong>".to_owned()), ..Message::text("yes") };
        assert_eq!(said_in_reply(&plain), YES);
        let acts = ["yes", "ok", "approves"].map(|body| Message { kind: MessageKind::Emote, ..Message::text(body) });
        let said = acts.each_ref().map(|act| (said_in_passing(act, &act.body, || None), said_in_reply(act)));
        assert_eq!(said, [(UNCLEAR, UNCLEAR), (UNCLEAR, UNCLEAR), (None, UNCLEAR)]);
        for kind in [MessageKind::Notice, MessageKind::Card] {
            let message = Message { kind, ..Message::text("yes") };
            assert_eq!(
                (said_in_reply(&message), said_in_passing(&message, "yes", || None)),
                (None, None),
                "{message:?}"
            );
        }
        for (key, is_unclear) in [("👍🏽", true), ("✔️", true), ("👌", true), ("✅", false), ("🛑", false), ("🎉", false)]
        {
            assert_eq!(reads_as_unclear(&reaction("@alice:hs", key)), is_unclear, "{key}");
        }
        let plain = event("@alice:hs", EventKind::Message(Message::text("ok")));
        assert_eq!(said_of(&plain), None, "it is in reply to nothing");
    }

    #[test]
    fn c12_a_reply_decides_only_if_its_body_and_what_clients_show_are_the_same_clear_word() {
        let table = [
            ("yes", "no", UNCLEAR),
            ("yes", "<b>No, don't!</b>", UNCLEAR),
            ("yes", "yes, but only after 5pm", UNCLEAR),
            ("yes", "yes?", UNCLEAR),
            ("yes", "yes…", UNCLEAR),
            ("yes", "", UNCLEAR),
            ("yes", "<mx-reply>yes</mx-reply>", UNCLEAR),
            ("yes", "<mx-reply>yes</mx-reply>no", UNCLEAR),
            ("yes", "<a href=\"https://matrix.to/#/@bob:hs\">Never</a> yes", UNCLEAR),
            ("no", "yes", UNCLEAR),
            ("no", "no, use the other one", UNCLEAR),
            ("> <@w:hs> May I?\n\nyes", "<mx-reply><blockquote>May I?</blockquote></mx-reply>yes", YES),
            ("**yes**", "<strong>yes</strong>", YES),
            ("`yes`", "<p><code>yes</code></p>", YES),
            ("Yes, please!", "<p>Yes, please!</p>\n", YES),
            ("yes", "Ja", YES),
            ("No, don't!", "No, don&#39;t!", NO),
            ("No, use **it**", "No, use <b>it</b>", NO_AND_MORE),
        ];
        for (body, html, said) in table {
            let message = Message { html: Some(html.to_owned()), ..Message::text(body) };
            assert_eq!(said_in_reply(&message), said, "{body}, shown as {html}");
        }
    }
}
