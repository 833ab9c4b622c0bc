//! Salutations of everybody in the room: `team, lunch?`, `hi all, …`.

use super::{
    asking::asks_behind,
    others::{ANSWERS, GREETINGS},
    spelling::{calls_clearly, is_vocative, name_at_start},
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
    let called = |word: &&str| {
        name_at_start(text, word).is_some_and(|start| {
            // `both should be included` is no question.
            let asks = || text.contains(['?', '？', '؟']) && asks_behind(&text[start.bytes..]);
            calls_clearly(text, &start) || greeted && (is_vocative(text, &start) || asks())
        })
    };
    // `всем привет`
    let greetings = || GREETINGS.iter().filter(|greeting| !ANSWERS.contains(greeting));
    let is_greeting = |behind: &str| greetings().any(|greeting| name_at_start(behind, greeting).is_some());
    let before_greeting =
        |word: &&str| name_at_start(text, word).is_some_and(|start| is_greeting(text[start.bytes..].trim_start()));
    EVERYBODY.iter().any(called)
        || greeted && GREETED.iter().any(called)
        || EVERYBODY.iter().chain(&GREETED).any(before_greeting)
}
