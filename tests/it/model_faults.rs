//! Faults of the model, as reported in the thread (C19) and in `/readyz`.

use anyhow::Result;
use workmate::{
    core::{
        refused, render,
        words::{self, Again},
    },
    standin::{Failure, Fault, Options, StandIn, Turn},
};

use crate::harness::{
    Message, RoomKind, Setup, Timeline,
    homeserver::shared,
    office::{Office, answers_in_thread},
    readiness::{is_ready, readiness, reconfigure, until_readiness, until_runs_ended},
    workmate::coworker,
};

/// Asks a question that fails in a way with a fixed text; the text appears in the thread once.
async fn words_in_the_thread(turns: Vec<Turn>, expected: &str) -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    for turn in turns {
        office.script("go wrong", turn);
    }
    let request = office.ask(&office.alice, &room, "go wrong").await?;
    let oncall = office.oncall();
    let find = |seen: &Timeline| seen.answer(&request, &oncall, office.alice.user_id()).cloned();
    let said = office.alice.until(&room, "words about what went wrong", find).await?;
    office.asked_and_answered(&room, "and now?").await?;

    assert_eq!((said.body(), said.thread_root()), (expected, Some(request.as_str())));
    assert_eq!(answers_in_thread(&office.alice, &room, &request, &oncall), 1);
    office.claude.finish()?;
    Ok(())
}

#[tokio::test]
async fn c19_a_refusal_is_said_plainly_and_the_refused_words_are_not_shown() -> Result<()> {
    let turn = Turn::text("I was about to say").and_refusal(Some("cyber"), "not this");
    Box::pin(words_in_the_thread(vec![turn], &words::refused())).await
}

#[tokio::test]
async fn c19_an_answer_cut_at_the_limit_says_that_it_was_cut() -> Result<()> {
    let cut = render::render(&format!("The first half\n\n{}", words::cut_at_limit())).body;
    Box::pin(words_in_the_thread(vec![Turn::text("The first half").stop_reason("max_tokens")], &cut)).await
}

#[tokio::test]
async fn c19_an_empty_answer_is_no_blank_message() -> Result<()> {
    Box::pin(words_in_the_thread(vec![Turn::empty()], &words::nothing_to_say())).await
}

#[tokio::test]
async fn c19_an_overload_that_passes_is_waited_out() -> Result<()> {
    let busy = || Turn::failure(Failure::status(529).retry_after_ms(20));
    Box::pin(words_in_the_thread(vec![busy(), busy(), Turn::text("Here I am.")], "Here I am.")).await
}

#[tokio::test]
async fn c19_an_overload_that_stays_is_said() -> Result<()> {
    let busy = Turn::failure(Failure::status(529).should_retry(false));
    Box::pin(words_in_the_thread(vec![busy], &words::overloaded_gave_up(Again::ByReaction))).await
}

#[tokio::test]
async fn c19_an_overload_in_the_middle_gets_the_same_patience() -> Result<()> {
    let busy = || Turn::text("nothing of this").fault(Fault::ErrorAfter(1, "overloaded_error"));
    Box::pin(words_in_the_thread(vec![busy(), busy(), busy(), Turn::text("Here I am.")], "Here I am.")).await
}

#[tokio::test]
async fn c19_a_stream_that_breaks_once_is_asked_again_and_shows_no_half() -> Result<()> {
    let broken = Turn::text("half of an answer that is never to be seen").fault(Fault::DropAfter(4));
    Box::pin(words_in_the_thread(vec![broken, Turn::text("Whole.")], "Whole.")).await
}

#[tokio::test]
async fn c19_a_stream_that_breaks_again_is_said_plainly() -> Result<()> {
    let broken = || Turn::text("half of an answer that is never to be seen").fault(Fault::DropAfter(4));
    Box::pin(words_in_the_thread(vec![broken(), broken()], &words::broken_off(Again::ByReaction))).await
}

#[tokio::test]
async fn c19_a_request_that_the_api_refuses_is_said_plainly() -> Result<()> {
    Box::pin(words_in_the_thread(vec![Turn::failure(Failure::status(400))], &words::request_refused())).await
}

#[tokio::test]
async fn c19_a_prompt_that_is_too_long_is_said_plainly() -> Result<()> {
    Box::pin(words_in_the_thread(vec![Turn::failure(Failure::status(413))], &words::too_long())).await
}

#[tokio::test]
async fn c19_a_model_out_of_reach_is_said_and_again_on_that_word_asks_again() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    office.script("out of reach", Turn::failure(Failure::status(500).should_retry(false)));
    office.ask(&office.alice, &room, "out of reach").await?;
    let oncall = office.oncall();
    let said = office.answer(&office.alice, &room, &oncall, &words::model_unreachable(Again::ByReaction)).await?;

    office.bob.react(&room, &said.event_id, "🔁").await?;

    let answered = office.answer(&office.bob, &room, &oncall, "You asked: @oncall out of reach").await?;
    assert_eq!(answered.thread_root(), said.thread_root());
    assert_eq!(office.claude.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn c19_an_account_without_credit_is_said_plainly() -> Result<()> {
    Box::pin(words_in_the_thread(vec![Turn::failure(Failure::status(402))], &words::account_exhausted())).await
}

#[tokio::test]
async fn c19_an_empty_balance_told_as_a_faulty_request_is_said_in_the_thread_and_in_readyz_and_asked_once() -> Result<()>
{
    let office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    let empty = Failure::status(400).message("Your credit balance is too low to access the Anthropic API.");
    office.script("who pays", Turn::failure(empty));
    office.ask(&office.alice, &room, "who pays").await?;
    office.answer(&office.alice, &room, &office.oncall(), &words::account_exhausted()).await?;
    let (status, conditions) = readiness(&office.workmate).await?;
    assert_eq!((status, office.claude.requests().len()), (503, 1), "{conditions}");
    assert!(!is_ready(&conditions, "claude_credit"), "{conditions}");
    office.asked_and_answered(&room, "and now").await?;
    until_readiness(&office.workmate, |status, _| status == 200).await?;
    Ok(())
}

/// What the provider refuses is left out of later requests, wherever it stands.
#[tokio::test]
async fn c26_no_message_silences_a_room() -> Result<()> {
    const POISON: &str = "POISON-7F3A";
    let office = Office::open().await?;
    let room = office.room(RoomKind::Encrypted).await?;
    let oncall = office.oncall();
    office.claude.refuse(POISON);

    // A message that asks nobody: the next request is answered by itself, later ones as usual.
    office.alice.send(&room, Message::text(format!("by the way, {POISON}"))).await?;
    let first = office.asked_and_answered(&room, "is all well").await?;
    assert!(first.body().contains("left") || first.body().contains("leave"), "{}", first.body());
    assert_eq!(office.claude.requests().len(), 2, "with the room around it, and by itself");
    office.asked_and_answered(&room, "and still").await?;
    let asked = office.claude.requests();
    assert_eq!(asked.len(), 3);
    let last = asked[2].body.to_string();
    assert!(!last.contains(POISON) && last.contains(refused::MARK), "{last}");

    // A request with it is refused, and affects no other.
    let request = office.ask(&office.alice, &room, &format!("say {POISON}")).await?;
    let find = |seen: &Timeline| seen.answer(&request, &oncall, office.alice.user_id()).cloned();
    let said = office.alice.until(&room, "the word", find).await?;
    assert_eq!(said.body(), words::refused());
    let before = office.claude.requests().len();
    office.asked_and_answered(&room, "one more").await?;
    let asked = office.claude.requests();
    assert_eq!(asked.len(), before + 1);
    assert!(!asked[before].body.to_string().contains(POISON));

    // The provider's content filter refuses as it does an invalid request, and means the same.
    // Whatever is left out around it.
    let flagged = "Your input was flagged for \"violence\". No credits were charged.";
    let ways = [(400, "Output blocked by content filtering policy"), (403, flagged)];
    for (status, message) in ways.into_iter().cycle().take(12) {
        let filtered = Failure::status(status).message(message);
        office.script("FILTERED-51C8", Turn::failure(filtered));
    }
    let request = office.ask(&office.alice, &room, "say FILTERED-51C8").await?;
    let find = |seen: &Timeline| seen.answer(&request, &oncall, office.alice.user_id()).cloned();
    let said = office.alice.until(&room, "the word about the filter", find).await?;
    assert_eq!(said.body(), words::refused());
    let before = office.claude.requests().len();
    office.asked_and_answered(&room, "one more again").await?;
    assert!(!office.claude.requests()[before].body.to_string().contains("FILTERED-51C8"));
    Ok(())
}

#[tokio::test]
async fn c19_a_long_overload_is_told_once_while_it_is_waited_for() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    office.script("patience", Turn::failure(Failure::status(529).retry_after("21")));
    let request = office.ask(&office.alice, &room, "patience").await?;

    // One notice: the status, which appears first, also carries the failure.
    let oncall = office.oncall();
    let in_thread = |seen: &Timeline| {
        seen.messages_of(&oncall)
            .find(|e| e.msgtype() == "m.notice" && e.thread_root() == Some(request.as_str()))
            .cloned()
    };
    let told = office.alice.until(&room, "the status", in_thread).await?;
    let trying = |seen: &Timeline| {
        let mut shown = seen.edits(&told.event_id).filter_map(|edit| edit.content["m.new_content"]["body"].as_str());
        shown.any(|text| text == words::overloaded_trying()).then_some(())
    };
    let trying = |seen: &Timeline| trying(seen).or_else(|| (told.body() == words::overloaded_trying()).then_some(()));
    office.alice.until(&room, "the word that it is tried again", trying).await?;
    let answered = office.answer(&office.alice, &room, &oncall, "patience").await?;

    assert!(!told.mentions(office.alice.user_id()), "only the answer notifies: {told:?}");
    assert_eq!(answered.thread_root(), Some(request.as_str()));
    let seen = office.alice.timeline(&room);
    let thread = seen.messages_of(&oncall).filter(|event| event.thread_root() == Some(request.as_str()));
    assert_eq!(thread.count(), 2, "one notice and the answer:\n{seen}");
    Ok(())
}

#[tokio::test]
async fn c19_without_a_key_it_serves_says_so_in_the_thread_and_in_readyz() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let claude = StandIn::start(Options::scripted()).await?;
    let mut workmate = Setup::new(&shared().take_slot(), shared().url(), &claude.base_url()).write();
    reconfigure(&workmate.config(), |settings| {
        settings["claude"].as_object_mut().expect("a section").remove("api_key");
    })?;
    workmate.spawn();
    let conditions = until_readiness(&workmate, |_, conditions| is_ready(conditions, "users")).await?;
    let [alice, bob] = people;
    let office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Encrypted).await?;
    office.ask(&office.alice, &room, "anything").await?;

    office.answer(&office.alice, &room, &office.oncall(), &words::key_missing()).await?;
    assert!(!is_ready(&conditions, "claude_key"), "{conditions}");
    assert!(conditions["claude_key"]["mend"].to_string().contains("claude.api_key"), "{conditions}");
    assert_eq!(readiness(&office.workmate).await?.0, 503);
    assert_eq!(office.claude.requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn c19_a_refused_key_is_said_in_the_thread_and_in_readyz_until_it_is_taken_again() -> Result<()> {
    let office = Office::open().await?;
    let room = office.room(RoomKind::Plain).await?;
    office.script("with a bad key", Turn::failure(Failure::status(401)));
    office.ask(&office.alice, &room, "with a bad key").await?;
    office.answer(&office.alice, &room, &office.oncall(), &words::key_refused()).await?;
    let (status, conditions) = readiness(&office.workmate).await?;
    assert_eq!((status, is_ready(&conditions, "claude_key")), (503, false), "{conditions}");
    assert!(!conditions.to_string().contains("sk-ant"), "{conditions}");

    office.asked_and_answered(&room, "with a good key").await?;
    until_readiness(&office.workmate, |status, _| status == 200).await?;
    Ok(())
}

#[tokio::test]
async fn c19_a_used_up_budget_is_said_before_work_begins_and_outlasts_a_restart() -> Result<()> {
    let mut oncall = coworker("oncall");
    oncall["budget_usd_month"] = 1.into();
    let mut office = Office::open_with(vec![oncall]).await?;
    let room = office.room(RoomKind::Encrypted).await?;
    // About 75 000 output tokens, at 20 dollars for a million.
    office.script("a novel", Turn::text("once upon a time ".repeat(18_000)).delta_chars(20_000));
    office.ask(&office.alice, &room, "a novel").await?;
    until_runs_ended(&office.workmate, 1).await;
    office.workmate.kill();
    office.workmate.start_again().await;
    let asked = office.claude.requests().len();

    let request = office.ask(&office.alice, &room, "and a sequel").await?;
    let (oncall, alice) = (office.oncall(), office.alice.user_id());
    let find = |seen: &Timeline| seen.answer(&request, &oncall, alice).cloned();
    let said = office.alice.until(&room, "the word about the budget", find).await?;

    assert!(said.body().starts_with("My budget is used up for this month ($1), so I didn't start."), "{}", said.body());
    assert!(said.body().contains("starts afresh on 1 ") && said.body().contains("can raise it"), "{}", said.body());
    assert_eq!(office.claude.requests().len(), asked, "the model is not asked");
    // Each person is told once; anyone who asks for the status learns it.
    office.ask(&office.alice, &room, "and a third part").await?;
    let bobs = office.ask(&office.bob, &room, "and what about mine").await?;
    let told = |seen: &Timeline| seen.answer(&bobs, &oncall, office.bob.user_id()).map(|_| ());
    office.bob.until(&room, "the word to bob", told).await?;
    office.ask(&office.alice, &room, "!status").await?;
    office.answer(&office.alice, &room, &oncall, "I've used $1.").await?;
    until_runs_ended(&office.workmate, 4).await;
    let seen = office.alice.timeline(&room);
    assert_eq!(seen.messages_of(&oncall).filter(|event| event.body().starts_with("My budget")).count(), 2, "{seen}");
    assert_eq!(office.claude.requests().len(), asked);
    Ok(())
}
