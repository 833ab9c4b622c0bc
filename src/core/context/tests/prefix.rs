//! Two prompts share their beginning, so that the provider's cache hits.

use proptest::prelude::*;

use super::*;
use crate::core::prompt::{Part, Turn};

/// Returns the prompt as one text in caching order.
fn flat(composed: &Composed) -> String {
    let turns = composed.prompt.turns.iter().map(|turn| format!("\n<{:?}>\n{}", turn.role, turn.text()));
    composed.prompt.system.iter().cloned().chain(turns).collect()
}

/// Returns whether each earlier turn is unchanged in the next prompt, and the last one only continues.
fn is_prefix(before: &Composed, after: &Composed) -> bool {
    let (last, whole) = before.prompt.turns.split_last().expect("a turn");
    let after = &after.prompt;
    after.system == before.prompt.system
        && after.turns.len() > whole.len()
        && after.turns[..whole.len()] == *whole
        && continues(last, &after.turns[whole.len()])
}

/// Returns whether the parts are the same in the same places, and the last text only continues.
fn continues(before: &Turn, after: &Turn) -> bool {
    let (last, whole) = before.parts.split_last().expect("a part");
    let goes_on = match (last, after.parts.get(whole.len())) {
        (Part::Text(last), Some(Part::Text(text))) => text.starts_with(last),
        (last, part) => Some(last) == part,
    };
    before.role == after.role && after.parts.starts_with(whole) && goes_on
}

fn grown(mut story: Story, turn: usize, noise: usize) -> Story {
    for n in 0..noise {
        story = story.says(&format!("noise{turn}-{n}"), BOB, "elsewhere in the room");
    }
    story
        .says_in(&format!("q{turn}"), ALICE, "root", &format!("question {turn} {}", "why ".repeat(20)))
        .asks(&format!("q{turn}"))
}

#[test]
fn a_threads_prompts_are_prefixes_from_the_request_that_opens_it() {
    let mut story = Story::new();
    for n in 0..300 {
        story = story.says(&format!("old{n}"), BOB, &"history ".repeat(30));
    }
    story.older = true;
    story.tokens_max = 20_000;
    story = story.says("root", ALICE, "oncall: help").asks("root").in_thread("root");
    let mut before = story.compose();
    for turn in 0..20 {
        story = story.says_in(&format!("a{turn}"), ME, "root", &"because ".repeat(30));
        story = story.reacts(&format!("r{turn}"), ALICE, &format!("a{turn}"), "👍");
        story = grown(story, turn, 3);
        let after = story.compose();
        assert!(is_prefix(&before, &after), "turn {turn}");
        before = after;
    }
}

#[test]
fn a_window_slides_seldom_whatever_part_of_the_history_was_fetched() {
    let mut story = Story::new();
    story.older = true;
    story.tokens_max = 12_000;
    let (mut slides, mut turns) = (0, 0);
    let mut before: Option<Composed> = None;
    for turn in 0..400 {
        story = story.says(&format!("q{turn}"), ALICE, &"why ".repeat(30));
        let asked = Story { events: story.events[story.events.len().saturating_sub(220)..].to_vec(), ..story.clone() };
        let after = asked.asks(&format!("q{turn}")).compose();
        if story.events.len() > 250 {
            turns += 1;
            slides += usize::from(before.as_ref().is_some_and(|before| !is_prefix(before, &after)));
        }
        before = Some(after);
        story = story.says(&format!("a{turn}"), ME, &"because ".repeat(30));
    }
    assert!(turns > 250);
    assert!(slides * 6 < turns, "{slides} slides in {turns} turns");
}

#[test]
fn c7_of_a_room_that_is_hidden_up_to_some_message_all_the_rest_is_read() {
    for question in 0..50 {
        let mut story = Story { older: true, begin_is_fixed: true, ..Story::new() };
        for n in 0..9 {
            story = story.says(&format!("{question}-{n}"), ALICE, "said to all who are here");
        }
        let composed = story.asks(&format!("{question}-8")).compose();
        assert_eq!((composed.read.len(), composed.left_out.older), (9, true), "{question}");
    }
}

#[test]
fn most_of_a_long_threads_input_is_shared_with_the_turn_before() {
    let mut story = Story::new().says("root", ALICE, "oncall: help").asks("root").in_thread("root");
    let (mut shared, mut all) = (0, 0);
    let mut before = flat(&story.compose());
    for turn in 0..20 {
        story = story.says_in(&format!("a{turn}"), ME, "root", &"because ".repeat(30));
        story = grown(story, turn, 1);
        let after = flat(&story.compose());
        shared += before.bytes().zip(after.bytes()).take_while(|(one, other)| one == other).count();
        all += after.len();
        before = after;
    }
    assert!(shared * 10 > all * 8, "{shared} of {all}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_comes_later_changes_nothing_that_was_said(
        texts in prop::collection::vec("\\PC{0,40}", 2..12), noise in 0_usize..4, timeline in any::<bool>(),
    ) {
        let mut story = Story::new().says("root", ALICE, "root");
        story.thread = (!timeline).then(|| id("root"));
        let mut before = story.clone().asks("root").compose();
        for (turn, text) in texts.iter().enumerate() {
            story = story.says_in(&format!("a{turn}"), ME, "root", text);
            story = story.reacts(&format!("r{turn}"), BOB, "root", text);
            story = grown(story, turn, noise);
            let after = story.compose();
            prop_assert!(is_prefix(&before, &after));
            before = after;
        }
    }
}
