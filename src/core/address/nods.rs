//! Replies to an answer that ask nothing (C5): a bare emoji, thanks, an `ok`, a yes or no to no question.
//!
//! Every word must be known, and no mark may make it a question; any other text asks.

pub(crate) use self::asked::{Answered, asked_back};
use super::{CoworkerHere, Message, MessageKind, after_quote, asking, letters};
use crate::core::legible::{is_hidden, usual_width};

mod asked;

/// Most bytes of a nod; a longer text says more than thanks.
const NOD_BYTES_MAX: usize = 200;
/// Most words of a phrase.
const PHRASE_WORDS_MAX: usize = 4;

/// Phrases of thanks.
const THANKS: [&str; 105] = [
    "thanks",
    "thank you",
    "thank u",
    "thanks again",
    "thank you again",
    "many thanks",
    "thx",
    "thanx",
    "tnx",
    "ty",
    "tysm",
    "tyvm",
    "cheers",
    "much appreciated",
    "appreciated",
    "appreciate it",
    "danke",
    "dankeschön",
    "danke schön",
    "danke sehr",
    "vielen dank",
    "besten dank",
    "herzlichen dank",
    "merci",
    "merci beaucoup",
    "merci bien",
    "gracias",
    "muchas gracias",
    "mil gracias",
    "obrigado",
    "obrigada",
    "muito obrigado",
    "muito obrigada",
    "valeu",
    "grazie",
    "grazie mille",
    "mille grazie",
    "dank je",
    "dank je wel",
    "dankjewel",
    "dank u",
    "dank u wel",
    "bedankt",
    "tack",
    "tack så mycket",
    "takk",
    "tusen takk",
    "mange tak",
    "kiitos",
    "dziękuję",
    "dzięki",
    "děkuji",
    "díky",
    "hvala",
    "köszönöm",
    "köszi",
    "mulțumesc",
    "mersi",
    "teşekkürler",
    "teşekkür ederim",
    "sağ ol",
    "sağolun",
    "спасибо",
    "большое спасибо",
    "спасибо большое",
    "благодарю",
    "дякую",
    "ευχαριστώ",
    "شكرا",
    "شكراً",
    "شكرا جزيلا",
    "תודה",
    "תודה רבה",
    "धन्यवाद",
    "शुक्रिया",
    "ধন্যবাদ",
    "ขอบคุณ",
    "ขอบคุณครับ",
    "ขอบคุณค่ะ",
    "cảm ơn",
    "terima kasih",
    "makasih",
    "salamat",
    "谢谢",
    "謝謝",
    "谢谢你",
    "谢谢您",
    "多谢",
    "多謝",
    "感谢",
    "谢了",
    "辛苦了",
    "ta",
    "非常感谢",
    "ありがとう",
    "ありがとうございます",
    "ありがとうございました",
    "どうも",
    "助かります",
    "助かりました",
    "감사합니다",
    "고마워",
    "고마워요",
    "고맙습니다",
    "감사해요",
];
/// Phrases that acknowledge or approve, and bare answers.
const TAKEN: [&str; 144] = [
    "ok",
    "okay",
    "okey",
    "oki",
    "okok",
    "k",
    "kk",
    "ok then",
    "alright",
    "all right",
    "got it",
    "gotcha",
    "understood",
    "noted",
    "makes sense",
    "i see",
    "will do",
    "roger",
    "ack",
    "fine",
    "good",
    "sounds good",
    "fair enough",
    "no worries",
    "no problem",
    "np",
    "great",
    "perfect",
    "nice",
    "nice one",
    "cool",
    "awesome",
    "excellent",
    "brilliant",
    "wonderful",
    "amazing",
    "lovely",
    "super",
    "good job",
    "well done",
    "great job",
    "nice work",
    "good work",
    "good bot",
    "lol",
    "haha",
    "wow",
    "yay",
    "alles klar",
    "verstanden",
    "klar",
    "passt",
    "gut",
    "prima",
    "toll",
    "klasse",
    "perfekt",
    "d'accord",
    "compris",
    "entendu",
    "parfait",
    "génial",
    "vale",
    "de acuerdo",
    "entendido",
    "perfecto",
    "genial",
    "va bene",
    "capito",
    "perfetto",
    "beleza",
    "entendi",
    "хорошо",
    "понятно",
    "понял",
    "поняла",
    "ясно",
    "ок",
    "окей",
    "отлично",
    "好",
    "好的",
    "好吧",
    "明白",
    "明白了",
    "知道了",
    "收到",
    "了解",
    "了解です",
    "了解しました",
    "承知しました",
    "わかりました",
    "分かりました",
    "なるほど",
    "알겠습니다",
    "알겠어요",
    "ठीक है",
    "tamam",
    "anladım",
    "حسنا",
    "lgtm",
    "you're welcome",
    "you are welcome",
    "youre welcome",
    "yw",
    "nvm",
    "nevermind",
    "never mind",
    "thumbs up",
    "yes",
    "yeah",
    "yep",
    "yup",
    "no",
    "nope",
    "nah",
    "ja",
    "nein",
    "jo",
    "nee",
    "oui",
    "non",
    "sí",
    "si",
    "sì",
    "sim",
    "não",
    "да",
    "нет",
    "так",
    "ні",
    "tak",
    "nie",
    "evet",
    "hayır",
    "はい",
    "うん",
    "いいえ",
    "是",
    "是的",
    "不是",
    "네",
    "예",
    "아니요",
];
/// Phrases that accompany those and mean nothing alone.
const BESIDE: [&str; 40] = [
    "so",
    "so much",
    "very much",
    "very",
    "a lot",
    "a bunch",
    "a million",
    "all",
    "everyone",
    "everybody",
    "guys",
    "team",
    "mate",
    "man",
    "buddy",
    "oh",
    "ah",
    "and",
    "for the help",
    "for your help",
    "for that",
    "for this",
    "for helping",
    "that helps",
    "that helped",
    "that's all",
    "sehr",
    "viel",
    "schön",
    "beaucoup",
    "bien",
    "mucho",
    "muy",
    "por todo",
    "per tutto",
    "очень",
    "большое",
    "à tous",
    "an alle",
    "dir",
];

/// A message that asks nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nod {
    /// Only emoji and marks.
    Emoji,
    /// Thanks.
    Thanks,
    /// An acknowledgement, with which people also answer a question.
    Taken,
}

impl Nod {
    /// Returns whether it asks nothing, given whether the answered message asked something back; `None` if unknown.
    #[must_use]
    pub(crate) fn asks_nothing(self, asked_back: Option<bool>) -> bool {
        match (self, asked_back) {
            (_, Some(asked)) => !asked,
            (Self::Emoji | Self::Thanks, None) => true,
            (Self::Taken, None) => false,
        }
    }
}

/// Returns the message's nod, if it asks nothing by itself. It may contain the coworkers' names.
#[must_use]
pub(crate) fn nod(message: &Message, coworkers: &[CoworkerHere<'_>]) -> Option<Nod> {
    if !matches!(message.kind, MessageKind::Text | MessageKind::Emote) {
        return None;
    }
    let text = after_quote(&message.body).trim();
    let links = || message.html.as_deref().is_some_and(|html| html.contains("href"));
    if text.is_empty() || text.len() > NOD_BYTES_MAX || asking::is_question(text) || links() {
        return None;
    }
    let words: Vec<String> = text.split_whitespace().filter(|word| letters::is_word(word)).map(plain).collect();
    if words.is_empty() {
        return Some(Nod::Emoji);
    }
    let (mut thanks, mut taken) = (false, false);
    let mut rest = words.as_slice();
    while !rest.is_empty() {
        let (length, kind) = phrase(rest).or_else(|| names(rest, coworkers).map(|length| (length, None)))?;
        thanks |= kind == Some(Nod::Thanks);
        taken |= kind == Some(Nod::Taken);
        rest = &rest[length..];
    }
    match (thanks, taken) {
        (_, true) => Some(Nod::Taken),
        (true, false) => Some(Nod::Thanks),
        (false, false) => None,
    }
}

/// Returns whether a text is one known phrase.
pub(super) fn is_phrase(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().map(plain).collect();
    phrase(&words).is_some_and(|(length, _)| length == words.len())
}

/// Returns the longest known phrase at the start of `words`: its length in words, and its meaning.
fn phrase(words: &[String]) -> Option<(usize, Option<Nod>)> {
    (1..=words.len().min(PHRASE_WORDS_MAX)).rev().find_map(|length| {
        let said = words[..length].join(" ");
        let is = |phrases: &[&str]| phrases.contains(&said.as_str());
        match () {
            () if is(&THANKS) => Some((length, Some(Nod::Thanks))),
            () if is(&TAKEN) => Some((length, Some(Nod::Taken))),
            () if is(&BESIDE) => Some((length, None)),
            () => None,
        }
    })
}

/// Returns the length in words of a coworker's name at the start of `words`.
fn names(words: &[String], coworkers: &[CoworkerHere<'_>]) -> Option<usize> {
    let names = coworkers.iter().flat_map(|coworker| [coworker.id, coworker.name]);
    names
        .filter_map(|name| {
            let name: Vec<String> = name.split_whitespace().map(plain).collect();
            (!name.is_empty() && words.starts_with(&name)).then_some(name.len())
        })
        .max()
}

/// Normalises a word for comparison: lower case, usual width, without the marks and emoji around it.
fn plain(word: &str) -> String {
    let letters = word.chars().map(usual_width).filter(|letter| !is_hidden(*letter));
    let letters = letters.map(|letter| if matches!(letter, '’' | 'ʼ') { '\'' } else { letter });
    let word: String = letters.flat_map(char::to_lowercase).collect();
    word.trim_matches(|letter: char| !letters::is_letter(letter) && !is_spoken_mark(letter)).to_owned()
}

/// Returns whether a character is a vowel sign or the like, which belongs to words in many scripts.
fn is_spoken_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{dff}' | '\u{e30}'..='\u{e4e}' | '\u{64b}'..='\u{652}')
}
