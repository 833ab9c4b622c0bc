use std::collections::BTreeMap;

use ruma::user_id;
use serde_json::json;

use super::{
    Again, FirstWords, KeyMissing, ListedCoworker, Unasked, assistant_first, assistant_help, assistant_name,
    broken_off, coworker_help, coworker_list, duration_minutes, first_words, internal, limited_for, model_unreachable,
    moving, overloaded_gave_up, sentence, sessions, span, undecryptable, welcome,
};
use crate::core::{
    asker::Reads,
    provider,
    render::{own, render},
    time::Timestamp,
    tool::{Grant, Here, Offer, Toolset},
    zone::Zone,
};

#[test]
fn c17_first_words_say_what_it_reads_and_how_to_remove_it() {
    let none = Toolset::default();
    let offers = [Offer::of_server("ops", "deploy", String::new(), json!({})).expect("a name")];
    let some = Toolset::resolve(&[Grant::plain("ops__*")], &offers, &BTreeMap::new(), &Here::default());
    let words = FirstWords {
        name: "oncall",
        purpose: "I help with incidents",
        encrypted: true,
        readable_from: Some(Timestamp::from_ms(1_795_346_405_000)),
        tools: &none,
        reads: Reads::AsAsker,
        zone: &Zone::default(),
        recogniser: None,
        unasked: Unasked::default(),
    };
    insta::assert_snapshot!(first_words(&words));
    let open = FirstWords { encrypted: false, readable_from: None, tools: &some, ..words };
    insta::assert_snapshot!(first_words(&open));
    let all = first_words(&FirstWords { reads: Reads::Room, ..open });
    assert!(all.contains("I may tell newcomers about messages from before they came."), "{all}");
    let heard = first_words(&FirstWords { recogniser: Some("stt.example.org"), ..words });
    assert!(heard.contains("Voice messages go to stt.example.org, which writes them down for me."), "{heard}");
    let unasked = Unasked { schedules: true, watches: true, hooks: false };
    let unasked = first_words(&FirstWords { unasked, ..words });
    let when = "no other: when I'm asked, at set times and when a bot or bridge writes what I watch for.";
    assert!(unasked.contains(when), "{unasked}");
    let kathmandu = Zone::named("Asia/Kathmandu").expect("a zone");
    let there = first_words(&FirstWords { zone: &kathmandu, ..words });
    assert!(there.contains("from before 22 November 2026, 17:05 UTC+5:45."), "{there}");
}

#[test]
fn assistants_first_words_are_honest_about_encryption() {
    let none = Toolset::default();
    for words in [assistant_first(None, &none), moving::moved(Some("stt.example.org"), &none)] {
        for part in ["end-to-end encrypted", "homeserver", "service that runs me decrypts", "provider", "processes"] {
            assert!(words.contains(part), "{part} is missing in {words}");
        }
        assert!(!words.contains("I can ") && !words.contains("tools"), "{words}");
    }
}

#[test]
fn a5_assistants_first_words_name_what_is_granted() {
    let grants = [Grant::plain("code_execution"), Grant::plain("ops__*")];
    let mut offers = provider::offers(&grants);
    offers.extend(Offer::of_server("ops", "deploy", String::new(), json!({})));
    let tools = Toolset::resolve_private(&grants, &offers, &BTreeMap::new());
    for words in [assistant_first(None, &tools), moving::moved(None, &tools)] {
        for part in ["run code on files you share here, at Anthropic", "After your OK, I can use `deploy` from `ops`."]
        {
            assert!(words.contains(part), "{part} is missing in {words}");
        }
    }
}

/// About how many characters fit in a line of a message on a phone, and how many lines above its keyboard.
const PHONE: (usize, usize) = (40, 16);

#[test]
fn a6_c16_help_fits_a_phone() {
    let lines = |body: &str| body.lines().map(|line| line.chars().count().max(1).div_ceil(PHONE.0)).sum::<usize>();
    for help in [coworker_help("oncall"), assistant_help()] {
        let help = render(&help).body;
        for line in help.lines().filter(|line| line.starts_with('•')) {
            assert!(line.chars().count() <= PHONE.0, "a command is broken over two lines: {line}");
        }
        assert!(lines(&help) <= PHONE.1, "{help}");
    }
}

#[test]
fn a3_what_is_forgotten_and_what_remains_is_said() {
    insta::assert_snapshot!(sessions::forgotten(12, false));
    for part in ["your own messages", "homeserver", "provider", "Backups"] {
        assert!(sessions::forgotten(0, true).contains(part), "{part}");
    }
}

#[test]
fn c19_what_may_pass_offers_to_try_again() {
    for words in [overloaded_gave_up, model_unreachable, broken_off, internal] {
        let (coworkers, assistants) = (words(Again::ByReaction), words(Again::ByAsking));
        assert!(coworkers.contains('🔁'), "{coworkers}");
        assert!(assistants.contains("ask again") && !assistants.contains('🔁'), "{assistants}");
    }
}

#[test]
fn welcome_lists_the_coworkers_without_mentioning_them() {
    let user_id = ruma::user_id!("@coworker-ci:hs");
    let listed = [ListedCoworker { user_id, name: "CI", purpose: "Watches the builds." }];
    let shown = own(&welcome(&listed, None));
    assert!(shown.body.contains("CI (`@coworker-ci:hs`): Watches the builds."), "{}", shown.body);
    insta::assert_snapshot!(shown.html.expect("rich"));
    assert!(welcome(&[], None).ends_with("There are no coworkers yet."));
    assert!(
        coworker_list(&listed, Some("[Coworkers](https://matrix.to/#/!r:hs)")).contains("They are all in [Coworkers]")
    );
}

#[test]
fn c8_each_cause_of_a_missing_key_is_told_apart() {
    let told = [KeyMissing::NotSent, KeyMissing::Withheld, KeyMissing::BeforeJoining].map(undecryptable);
    assert!(told.iter().all(|text| text.starts_with("I can't decrypt a message here. ")));
    assert!(told[0] != told[1] && told[1] != told[2] && told[0] != told[2]);
}

#[test]
fn c13_an_assistant_is_named_after_its_owners_name_and_after_their_id_where_they_have_none() {
    let named = ["Alice", " ", "", "Ann\u{202e}a\nB."].map(|name| assistant_name(user_id!("@alice:hs"), name));
    assert_eq!(named, ["Alice", "alice", "alice", "Ann\\u202ea B."].map(|name| format!("{name}'s assistant")));
}

#[test]
fn c10_a_time_that_somebody_has_is_said_as_people_say_it() {
    let told =
        [0, 1, 60_000, 61_000, 30 * 60_000, 60 * 60_000, 90 * 60_000, 480 * 60_000, 1_440 * 60_000, 10_080 * 60_000];
    let expected = [
        "a minute",
        "a minute",
        "a minute",
        "2 minutes",
        "30 minutes",
        "an hour",
        "90 minutes",
        "8 hours",
        "a day",
        "7 days",
    ];
    assert_eq!(told.map(span), expected);
}

#[test]
fn c19_how_long_the_provider_takes_nothing_is_said_as_people_say_it() {
    for (minutes, expected) in [
        (1, "for about a minute."),
        (11, "for about 11 minutes."),
        (60, "for about an hour."),
        (120, "for about 2 hours."),
        (4 * 1_440, "for about 4 days."),
        (10_080, "for about 7 days."),
        (10_081, "for more than a week."),
        (16_666_666_667, "for more than a week."),
        (u64::MAX, "for more than a week."),
    ] {
        let said = limited_for(minutes, Again::ByAsking);
        assert!(said.contains(expected), "{minutes}: {said}");
    }
}

#[test]
fn parts_of_sentences() {
    assert_eq!(sentence(" Helps "), "Helps.");
    assert_eq!(sentence("Helps!"), "Helps!");
    assert_eq!(sentence(""), "");
    assert_eq!(
        [1, 45, 60, 90, 130, 2_879, 2_880, 10_080, u64::MAX].map(duration_minutes),
        [
            "a minute",
            "45 minutes",
            "an hour",
            "90 minutes",
            "2 hours",
            "48 hours",
            "2 days",
            "7 days",
            "12810238940076078 days",
        ]
    );
    assert_eq!(Zone::default().date(Timestamp::from_ms(0)), "1 January 1970, 00:00 UTC");
    assert_eq!(Zone::default().date(Timestamp::from_ms(i64::MAX)), "some time");
}
