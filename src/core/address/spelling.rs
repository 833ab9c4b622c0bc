//! How people spell names that they address: what they put before and after a name (marks, brackets, honorifics), and
//! where a name ends.

use super::{asking::asks_behind, folding::prefix_folded};
use crate::core::legible::{is_blank, is_hidden, usual_width};

/// Characters that may follow a name used as an address.
pub(super) const VOCATIVE: [char; 23] = [
    ':', ',', '：', '，', '、', '﹐', '﹕', ';', '；', '!', '！', '?', '？', '…', '،', '؛', '؟', '՝', '፣', '፥', '၊',
    '～', '〜',
];

/// Those of them that make an address of any word before them.
pub(super) const CALLING: [char; 15] =
    [':', ',', '：', '，', '、', '﹐', '﹕', ';', '；', '،', '؛', '՝', '፣', '፥', '၊'];

/// Dashes.
pub(super) const DASHES: [char; 4] = ['-', '–', '—', '―'];

/// Quotes and brackets around a name, in pairs.
const PAIRS: [(char, char); 14] = [
    ('(', ')'),
    ('（', '）'),
    ('[', ']'),
    ('«', '»'),
    ('»', '«'),
    ('‹', '›'),
    ('“', '”'),
    ('„', '“'),
    ('‘', '’'),
    ('"', '"'),
    ('\'', '\''),
    ('「', '」'),
    ('『', '』'),
    ('【', '】'),
];

/// Those with which logs and data begin too: an `@` must follow.
const OF_DATA: [char; 3] = ['[', '"', '\''];

/// Honorifics that are attached to a name.
const HONORIFICS: [&str; 48] = [
    "哥",
    "姐",
    "兄",
    "叔",
    "阿姨",
    "师傅",
    "師傅",
    "선배님",
    "대표님",
    "이사님",
    "さん",
    "サン",
    "さま",
    "様",
    "くん",
    "クン",
    "君",
    "ちゃん",
    "チャン",
    "氏",
    "殿",
    "先生",
    "先輩",
    "部長",
    "課長",
    "係長",
    "社長",
    "小姐",
    "女士",
    "老师",
    "老師",
    "总",
    "總",
    "经理",
    "經理",
    "同学",
    "同學",
    "老板",
    "님",
    "씨",
    "아",
    "야",
    "선생님",
    "과장님",
    "부장님",
    "팀장님",
    "대리님",
    "जी",
];

/// Titles after a name, as a separate word or with a hyphen.
const TITLES_BEHIND: [&str; 36] = [
    " भाई",
    " भैया",
    " दीदी",
    " साहब",
    " भाइ",
    " ভাই",
    " bhai",
    " didi",
    " efendi",
    " 선배님",
    "-san",
    "-sama",
    "-kun",
    "-chan",
    "-sensei",
    "-senpai",
    "-ssi",
    "-nim",
    "-ji",
    " さん",
    " 様",
    " 先生",
    " 님",
    " 씨",
    " 선생님",
    " 과장님",
    " 팀장님",
    " bey",
    " hanım",
    " abi",
    " abla",
    " hocam",
    " जी",
    " ji",
    " ơi",
    " sahib",
];

/// Particles that show, in scripts without spaces, that a text talks about a name's owner: of, is, at, and the like.
const PARTICLES: [char; 42] = [
    'の', 'は', 'が', 'を', 'に', 'も', 'と', 'へ', 'で', 'や', 'か', 'な', 'だ', '的', '是', '在', '有', '了', '和',
    '跟', '与', '與', '被', '也', '都', '很', '已', '又', '说', '說', '은', '는', '이', '가', '을', '를', '의', '에',
    '도', '와', '과', '로',
];

/// A name found at the start of a text.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about how the name is written")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Its length in bytes, including what precedes it, and the markup or honorific after it.
    pub(super) bytes: usize,
    /// Whether an `@` precedes it.
    pub(super) at: bool,
    /// Whether it includes an attached honorific.
    pub(super) honoured: bool,
    /// Whether it includes any honorific or title.
    pub(super) titled: bool,
    /// Whether an emoji, a quote or a bracket precedes it.
    pub(super) decorated: bool,
}

/// What precedes a name: its length in bytes, the pair that closes it, and whether only an `@` may follow.
struct Before {
    bytes: usize,
    close: Option<char>,
    only_at: bool,
}

/// Returns the emoji, the dash, or the quote or bracket at the start of a text.
fn before(text: &str) -> Before {
    let is_emoji = |letter: char| matches!(letter, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}');
    let mut rest = text.trim_start_matches(|letter: char| is_emoji(letter) || is_hidden(letter) || letter == ' ');
    let mut only_at = false;
    let dashed = rest.trim_start_matches(DASHES).trim_start_matches('•');
    if dashed.len() < rest.len() && dashed.starts_with(char::is_whitespace) {
        only_at = true;
        rest = dashed.trim_start();
    }
    let open = rest.chars().next();
    let pair = PAIRS.iter().find(|(from, _)| Some(*from) == open);
    if let Some((from, _)) = pair {
        only_at |= OF_DATA.contains(from);
        rest = &rest[from.len_utf8()..];
    }
    Before { bytes: text.len() - rest.len(), close: pair.map(|(_, to)| *to), only_at }
}

/// Finds `name` at the start of `text`, if a word ends after it. Invisible marks, emoji, a quote or bracket, emphasis and
/// an `@` may precede it, and an honorific may follow.
pub(super) fn name_at_start(text: &str, name: &str) -> Option<Start> {
    let hidden = text.len() - text.trim_start_matches(is_hidden).len();
    let bare = Before { bytes: hidden, close: None, only_at: false };
    name_behind(text, name, &bare).or_else(|| {
        let before = before(text);
        if before.bytes > hidden { name_behind(text, name, &before) } else { None }
    })
}

fn name_behind(text: &str, name: &str, before: &Before) -> Option<Start> {
    let shown = &text[before.bytes..];
    let plain = shown.trim_start_matches(['*', '_']);
    let markup = &shown[..shown.len() - plain.len()];
    let bare = plain.strip_prefix(['@', '＠']);
    let decorated = before.close.is_some() || before.only_at || !text[..before.bytes].chars().all(is_hidden);
    let named = |rest: &str, at: bool| {
        let skipped = text.len() - rest.len();
        let mut length = prefix_folded(rest, name)?;
        length += if markup.is_empty() { 0 } else { closing(&rest[length..], markup) };
        let closed = before.close.filter(|close| rest[length..].starts_with(*close));
        length += closed.map_or(0, char::len_utf8);
        let behind = &rest[length..];
        let (honorific, honoured) = honorific(behind);
        let bytes = skipped + length + honorific;
        (honorific > 0 || ends_word(behind, name) || at && is_run_on(behind, name)).then_some(Start {
            bytes,
            at,
            honoured,
            titled: honorific > 0,
            decorated,
        })
    };
    let in_brackets = || {
        let rest = behind_brackets(bare?, name)?;
        let bytes = text.len() - rest.len();
        Some(Start { bytes, at: true, honoured: false, titled: false, decorated })
    };
    let found = in_brackets().or_else(|| bare.and_then(|bare| named(bare, true)));
    let found = found.or_else(|| named(plain, name.starts_with('@')));
    found
        .filter(|start| start.at || !before.only_at)
        .filter(|start| !is_part_of_user_id(plain, start.bytes - (text.len() - plain.len())))
}

/// Returns what follows a name as clients on the Matrix Dart SDK write a mention behind its `@`: `[oncall · coworker]`, with
/// `#1234` where two people have one name.
fn behind_brackets<'t>(bare: &'t str, name: &str) -> Option<&'t str> {
    let inside = bare.strip_prefix('[')?;
    let rest = inside[prefix_folded(inside, name)?..].strip_prefix(']')?;
    let number = rest.strip_prefix('#').map(|number| number.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    let rest = number.unwrap_or(rest);
    ends_word(rest, name).then_some(rest)
}

/// Returns whether a found name can only be an address.
pub(super) fn is_vocative(text: &str, found: &Start) -> bool {
    let behind = &text[found.bytes..];
    let rest = behind.trim_start_matches(is_blank);
    let is_parted = found.honoured && rest.len() < behind.len();
    found.at || is_parted || rest.is_empty() || rest.starts_with(VOCATIVE)
}

/// Returns whether a found name is an address; where one is expected, behind a greeting or a title, less marks it.
pub(super) fn is_call(text: &str, found: &Start, expected: bool) -> bool {
    calls_clearly(text, found) || expected && is_vocative(text, found)
}

/// Returns whether a found name is marked as an address: by an `@`, an honorific, `:`, `,` and the like, or a dash.
fn calls_clearly(text: &str, found: &Start) -> bool {
    let behind = &text[found.bytes..];
    let rest = behind.trim_start_matches(is_blank);
    let honoured = found.honoured && is_vocative(text, found);
    found.at || honoured || rest.starts_with(CALLING) || behind_dash(behind).is_some()
}

/// Returns what follows a dash that stands apart behind a name.
pub(super) fn behind_dash(behind: &str) -> Option<&str> {
    let rest = behind.trim_start();
    let said = rest.trim_start_matches(DASHES);
    let apart = rest.len() < behind.len() && said.len() < rest.len() && said.starts_with(char::is_whitespace);
    apart.then_some(said)
}

/// Returns whether a character is of a script without spaces.
pub(super) fn is_unspaced(letter: char) -> bool {
    ('\u{2e80}'..='\u{ffff}').contains(&letter)
}

/// Returns the bytes of an honorific right after a name, and whether it is attached without a space.
fn honorific(behind: &str) -> (usize, bool) {
    let ended = |title: &str| {
        let bytes = prefix_folded(behind, title)?;
        ends_word(&behind[bytes..], "").then_some(bytes)
    };
    let longest = |titles: &[&str]| titles.iter().filter_map(|title| ended(title)).max();
    let (attached, apart) = (longest(&HONORIFICS), longest(&TITLES_BEHIND));
    (attached.max(apart).unwrap_or_default(), attached > apart)
}

/// Returns whether the name is only the beginning of a user id, such as one with the same localpart on another server.
fn is_part_of_user_id(text: &str, name_bytes: usize) -> bool {
    let server = text[name_bytes..].strip_prefix(':').and_then(|rest| rest.chars().next());
    text.starts_with('@') && server.is_some_and(|c| !c.is_whitespace())
}

/// Returns whether a word ends between `name` and `rest`. In scripts without spaces, people put none after a Latin name
/// either.
fn ends_word(rest: &str, name: &str) -> bool {
    let mut letters = rest.chars();
    let Some(next) = letters.next() else { return true };
    let is_honoured = || HONORIFICS.iter().any(|honorific| rest.starts_with(honorific));
    let changes_script = || {
        let is_latin = name.ends_with(|letter: char| usual_width(letter).is_ascii_alphanumeric());
        is_latin && is_unspaced(next) && !PARTICLES.contains(&next) && !is_honoured()
    };
    if is_glued(rest) {
        return false;
    }
    let mut full_stop = || matches!(next, '.' | ')') && letters.next().is_none_or(char::is_whitespace);
    next.is_whitespace()
        || is_hidden(next)
        || VOCATIVE.contains(&next)
        || matches!(next, '。' | '．' | '।' | '۔' | '։')
        || changes_script()
        || full_stop()
}

/// Returns whether a text in a script without spaces goes on right behind a name in one: `@小助手你好`.
fn is_run_on(rest: &str, name: &str) -> bool {
    let goes_on = |letter: char| is_unspaced(letter) && letter.is_alphabetic() && !PARTICLES.contains(&letter);
    name.ends_with(is_unspaced) && rest.starts_with(goes_on)
}

/// Returns whether a colon after a name belongs to a longer word: `ci:main`, `ci:8080`, `ci://x`. A question may follow
/// without a space.
fn is_glued(rest: &str) -> bool {
    let behind = rest.trim_start_matches(':');
    let goes_on = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '/' | '-' | '.' | '_' | '@' | '$');
    behind.len() < rest.len() && behind.starts_with(goes_on) && !asks_behind(behind)
}

/// Returns the length of the emphasis that closes after a name what was opened before it.
fn closing(rest: &str, markup: &str) -> usize {
    let closed = rest.len() - rest.trim_start_matches(['*', '_']).len();
    closed.min(markup.len())
}
