//! Salutations of everybody in the room: `team, lunch?`, `hi all, …`.

use super::{
    asking::{asks_behind, is_question},
    everyday::{ANSWERS, GREETINGS},
    spelling::{is_call, name_at_start},
};

/// Words that address everybody, with or without a greeting before them.
const EVERYBODY: [&str; 52] = [
    "team",
    "folks",
    "guys",
    "you guys",
    "everyone",
    "everybody",
    "y'all",
    "yall",
    "all of you",
    "colleagues",
    "friends",
    "ladies and gentlemen",
    "leute",
    "liebe alle",
    "zusammen",
    "kollegen",
    "tout le monde",
    "les gars",
    "l'équipe",
    "equipo",
    "chicos",
    "gente",
    "compañeros",
    "equipe",
    "pessoal",
    "galera",
    "ragazzi",
    "squadra",
    "allemaal",
    "iedereen",
    "ekipo",
    "zespół",
    "drużyno",
    "tým",
    "arkadaşlar",
    "ekip",
    "коллеги",
    "ребята",
    "друзья",
    "команда",
    "колеги",
    "皆さん",
    "みなさん",
    "みんな",
    "皆様",
    "各位",
    "大家",
    "大家好",
    "여러분",
    "חברים",
    "يا جماعة",
    "mọi người",
];

/// Words that do so only behind a greeting: alone they also choose, as in "all, newest first".
const GREETED: [&str; 21] = [
    "all",
    "people",
    "gang",
    "mates",
    "both",
    "alle",
    "an alle",
    "allerseits",
    "à tous",
    "tous",
    "a todos",
    "todos",
    "a tutti",
    "tutti",
    "alla",
    "alle sammen",
    "kaikki",
    "wszystkim",
    "всем",
    "всім",
    "teman-teman",
];

/// Returns whether a text addresses everybody at its start. `greeted` says that a greeting precedes it.
pub(super) fn calls_everybody(text: &str, greeted: bool) -> bool {
    // `both should be included` is no question.
    let asks = |behind: &str| greeted && is_question(text) && asks_behind(behind);
    // `всем привет`
    let greetings = || GREETINGS.iter().filter(|greeting| !ANSWERS.contains(greeting));
    let greets = |behind: &str| greetings().any(|greeting| name_at_start(behind.trim_start(), greeting).is_some());
    let is_called = |words: &[&str], counts: bool| {
        words.iter().filter_map(|word| name_at_start(text, word)).any(|start| {
            let behind = &text[start.bytes..];
            counts && (is_call(text, &start, greeted) || asks(behind)) || greets(behind)
        })
    };
    is_called(&EVERYBODY, true) || is_called(&GREETED, greeted)
}
