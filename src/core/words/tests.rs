use super::{
    Again, FirstWords, KeyMissing, ListedCoworker, assistant_first, assistant_help, broken_off, coworker_help, date,
    duration_minutes, first_words, internal, model_unreachable, moving, overloaded_gave_up, sentence, sessions,
    undecryptable, welcome,
};
use crate::core::{asker::Reads, render::render, time::Timestamp};

#[test]
fn c17_first_words_say_what_it_reads_and_how_to_remove_it() {
    let words = FirstWords {
        name: "oncall",
        purpose: "I help with incidents",
        encrypted: true,
        readable_from: Some(Timestamp::from_ms(1_795_346_405_000)),
        tools: &[],
        reads: Reads::AsAsker,
    };
    insta::assert_snapshot!(first_words(&words));
    let open = FirstWords { encrypted: false, readable_from: None, tools: &["search", "deploy"], ..words };
    insta::assert_snapshot!(first_words(&open));
    let all = first_words(&FirstWords { reads: Reads::Room, ..open });
    assert!(all.contains("I may tell newcomers about messages from before they came."), "{all}");
}

#[test]
fn assistants_first_words_are_honest_about_encryption() {
    for words in [assistant_first(), moving::moved()] {
        for part in ["end-to-end encrypted", "homeserver", "service that runs me decrypts", "provider", "processes"] {
            assert!(words.contains(part), "{part} is missing in {words}");
        }
    }
}

/// A phone shows about this many letters in a line of a message, and this many lines above its keyboard.
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
    let listed = [ListedCoworker { user_id: "@coworker-ci:hs", purpose: "Watches the builds." }];
    insta::assert_snapshot!(render(&welcome(&listed)).html.expect("rich"));
    assert!(welcome(&[]).ends_with("There are no coworkers yet."));
}

#[test]
fn c8_each_cause_of_a_missing_key_is_told_apart() {
    let told = [KeyMissing::NotSent, KeyMissing::Withheld, KeyMissing::BeforeJoining].map(undecryptable);
    assert!(told.iter().all(|text| text.starts_with("I can't decrypt a message here. ")));
    assert!(told[0] != told[1] && told[1] != told[2] && told[0] != told[2]);
}

#[test]
fn parts_of_sentences() {
    assert_eq!(sentence(" Helps "), "Helps.");
    assert_eq!(sentence("Helps!"), "Helps!");
    assert_eq!(sentence(""), "");
    assert_eq!(
        [duration_minutes(1), duration_minutes(45), duration_minutes(130)],
        ["a minute", "45 minutes", "2 hours"]
    );
    assert_eq!(date(Timestamp::from_ms(0)), "1 January 1970, 00:00 UTC");
    assert_eq!(date(Timestamp::from_ms(i64::MAX)), "some time");
}
