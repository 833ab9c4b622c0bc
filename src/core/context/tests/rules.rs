//! What is read and what is not (C7), as tables and snapshots.

use super::*;
use crate::core::{
    context::{EVENTS_MAX, OpenedRoom, opened_block},
    opened::OPENED_MAX,
};

#[test]
fn a_room_becomes_records_and_turns() {
    let attachment = Message {
        kind: MessageKind::Attachment {
            msgtype: "m.image".to_owned(),
            name: "graph.png".to_owned(),
            mime: Some("image/png".to_owned()),
            size: None,
            voice: false,
            media: None,
        },
        ..Message::text("graph.png")
    };
    let emote = Message { kind: MessageKind::Emote, ..Message::text("waves") };
    let mut story = Story::new()
        .member("m1", BOB, Membership::Join)
        .member("m2", BOB, Membership::Join)
        .says("a", ALICE, "The \"db\" is slow\nvery slow")
        .event("b", BOB, EventKind::Message(attachment))
        .reacts("r1", BOB, "a", "👍")
        .reacts("r2", ALICE, "a", "👍")
        .event("u1", ALICE, EventKind::Undecryptable(None))
        .event("u2", ALICE, EventKind::Undecryptable(Some(Message::text(""))))
        .says("c", ME, "Which query?")
        .event("n", ME, EventKind::Message(Message { kind: MessageKind::Notice, ..Message::text("working…") }))
        .event("k", ME, EventKind::Message(Message { kind: MessageKind::Card, ..Message::text("May I run it?") }))
        .edits("k2", ME, "k", "It was approved")
        .says("d", ME, "I mean: which table?")
        .event("e", BOB, EventKind::Message(emote))
        .replies("f", ALICE, "c", "> <@coworker-oncall:hs> Which query?\n\nThe users one")
        .says_in("g", BOB, "a", "in a thread")
        .edits("g2", BOB, "g", "in the thread")
        .event("o", BOB, EventKind::Other("m.room.topic".to_owned()))
        .says("h", ALICE, "oncall: what now?")
        .says("i", BOB, "too late to be read")
        .asks("h");
    story.name = Some("Ops".to_owned());
    story.topic = Some("Fires".to_owned());

    let composed = story.compose();

    insta::assert_snapshot!(transcript(&composed));
    insta::assert_snapshot!("room_facts", composed.prompt.system[1]);
    assert_eq!(composed.read, ["a", "b", "c", "d", "e", "f", "g", "h"].map(id));
    assert_eq!(
        (composed.left_out.older, composed.left_out.undecryptable, composed.left_out.request),
        (false, 2, false)
    );
}

#[test]
fn only_the_author_edits_and_the_newest_edit_counts() {
    let rows: [(&str, Story, &str); 6] = [
        (
            "newest",
            Story::new().says("a", ALICE, "one").edits("e1", ALICE, "a", "two").edits("e2", ALICE, "a", "three"),
            "three",
        ),
        ("somebody else's", Story::new().says("a", ALICE, "one").edits("e1", BOB, "a", "forged"), "one"),
        (
            "redacted edit",
            Story::new().says("a", ALICE, "one").edits("e1", ALICE, "a", "two").redacts("x", ALICE, "e1"),
            "one",
        ),
        (
            "edit of an edit",
            Story::new().says("a", ALICE, "one").edits("e1", ALICE, "a", "two").edits("e2", ALICE, "e1", "x"),
            "two",
        ),
        ("edit before its target", Story::new().edits("e1", ALICE, "a", "two").says("a", ALICE, "one"), "two"),
        ("none", Story::new().says("a", ALICE, "one"), "one"),
    ];
    for (name, story, text) in rows {
        let composed = story.asks("a").compose();
        let record = records(&composed.prompt).pop().expect("the request");
        assert_eq!(record["text"], text, "{name}");
        assert_eq!(record["edited"], if text == "one" { serde_json::Value::Null } else { true.into() }, "{name}");
    }
}

#[test]
fn an_edit_that_can_be_read_stands_for_a_message_that_cannot() {
    let sealed = |thread_root| EventKind::Undecryptable(Some(Message { thread_root, ..Message::text("") }));
    let story = || {
        Story::new()
            .says("root", BOB, "shall we meet?")
            .event("a", ALICE, sealed(Some(id("root"))))
            .event("b", ALICE, sealed(None))
            .event("c", ALICE, EventKind::Undecryptable(None))
            .edits("e1", ALICE, "a", "where is it now")
            .edits("e2", BOB, "b", "forged")
            .edits("e3", ALICE, "c", "an edit of an edit")
    };
    let composed = story().asks("a").in_thread("root").compose();
    let request = records(&composed.prompt).pop().expect("the request");
    assert_eq!(
        (&request["text"], &request["thread"], &request["edited"]),
        (&"where is it now".into(), &"$root".into(), &true.into())
    );
    assert_eq!((shown(&composed.prompt), composed.left_out.undecryptable), (vec!["$root".into(), "$a".into()], 0));
    let later = story().says("d", BOB, "and?").asks("d").compose();
    assert_eq!(
        (shown(&later.prompt), later.left_out.undecryptable),
        (vec!["$root".into(), "$a".into(), "$d".into()], 2)
    );
}

#[test]
fn an_edit_of_the_request_counts_although_it_came_later() {
    let story = Story::new().says("a", ALICE, "one").says("b", BOB, "later").edits("e", ALICE, "a", "two").asks("a");
    assert_eq!(records(&story.compose().prompt).pop().expect("the request")["text"], "two");
}

#[test]
fn redacted_messages_their_edits_and_reactions_are_gone() {
    let story = Story::new()
        .says("a", ALICE, "secret one")
        .edits("e", ALICE, "a", "secret two")
        .reacts("r", BOB, "a", "👀")
        .event("gone", BOB, EventKind::Redacted)
        .says("b", BOB, "@oncall?")
        .reacts("r2", BOB, "b", "👎")
        .redacts("x", ALICE, "a")
        .asks("b");
    let composed = story.compose();
    assert_eq!(shown(&composed.prompt), ["$b"]);
    assert!(!transcript(&composed).contains("secret") && !transcript(&composed).contains("👀"));
}

#[test]
fn a_redacted_request_is_reported() {
    let composed = Story::new().says("a", ALICE, "hi").redacts("x", ALICE, "a").asks("a").compose();
    assert!(composed.left_out.request);
    let composed = Story::new().says("a", ME, "hi").asks("gone").compose();
    assert!(composed.left_out.request);
    assert_eq!(composed.prompt.turns.last().map(|turn| turn.role), Some(Role::User));
}

#[test]
fn in_a_thread_the_room_in_front_of_the_root_is_read_and_nothing_behind() {
    let story = Story::new()
        .says("before", ALICE, "before")
        .says("root", ALICE, "root")
        .says("behind", BOB, "elsewhere")
        .says_in("t1", BOB, "root", "one")
        .says_in("other", BOB, "before", "another thread")
        .reacts("r", BOB, "root", "👍")
        .says_in("t2", ALICE, "root", "two")
        .says_in("t3", ALICE, "root", "later")
        .asks("t2")
        .in_thread("root");
    let composed = story.compose();
    assert_eq!(shown(&composed.prompt), ["$before", "$root", "$t1", "$t2"]);
    assert!(transcript(&composed).contains(r#"{"reactions":{"👍":1},"to":"$root"}"#));
}

#[test]
fn a_long_thread_keeps_root_first_and_last_and_names_the_gap() {
    let mut story = Story::new().says("before", BOB, "before").says("root", ALICE, "the question");
    for n in 0..400 {
        story = story.says_in(&format!("t{n}"), if n % 2 == 0 { ALICE } else { BOB }, "root", &"word ".repeat(40));
    }
    story.tokens_max = 10_000;
    let composed = story.asks("t399").in_thread("root").compose();

    let ids = shown(&composed.prompt);
    assert_eq!(ids[..3], ["$root", "$t0", "$t1"]);
    assert_eq!(ids.last().map(String::as_str), Some("$t399"));
    assert!(ids.len() > 40 && ids.len() < 120, "{}", ids.len());
    assert_eq!(transcript(&composed).matches(super::super::record::gap()).count(), 1);
    assert!(composed.left_out.older && composed.left_out.thread_middle);
}

#[test]
fn a_room_too_long_loses_its_oldest_and_says_so() {
    let mut story = Story::new();
    for n in 0..400 {
        story = story.says(&format!("t{n}"), ALICE, &"word ".repeat(40));
    }
    story.tokens_max = 10_000;
    let composed = story.asks("t399").compose();
    assert_eq!(shown(&composed.prompt).last().map(String::as_str), Some("$t399"));
    assert!(composed.left_out.older);
    assert!(transcript(&composed).contains(r#""older_messages":"left out""#));
}

#[test]
fn events_beyond_the_limit_are_not_looked_at() {
    let mut story = Story::new().says("first", ALICE, "first");
    for n in 0..EVENTS_MAX - 1 {
        story = story.event(&format!("o{n}"), BOB, EventKind::Other("m.sticker".to_owned()));
    }
    let composed = story.clone().says("q", ALICE, "?").asks("q").compose();
    assert_eq!((composed.read, composed.left_out.older), (vec![id("q")], true));
    story.events.remove(1);
    let composed = story.says("q", ALICE, "?").asks("q").compose();
    assert_eq!((composed.read, composed.left_out.older), (["first", "q"].map(id).to_vec(), false));
}

#[test]
fn what_the_request_replies_to_is_quoted_where_the_window_lost_it() {
    let mut story = Story::new().says("old", BOB, "the plan is blue");
    for n in 0..300 {
        story = story.says(&format!("t{n}"), ALICE, &"word ".repeat(40));
    }
    story.tokens_max = 10_000;
    let composed = story.replies("q", ALICE, "old", "why?").asks("q").compose();
    let ids = shown(&composed.prompt);
    assert_eq!(ids[ids.len() - 2..], ["$old", "$q"]);
}

#[test]
fn c7_what_the_request_replies_to_is_quoted_as_it_was_fetched_and_stands_now() {
    let old = Story::new().says("old", BOB, "the plan is bleu").edits("e", BOB, "old", "the plan is blue");
    let mut story = Story::new().says("a", ALICE, "hi").replies("q", ALICE, "old", "why?").asks("q");
    story.fetched = old.events;
    let quoted = records(&story.compose().prompt).into_iter().rev().nth(1).expect("a record before the request");
    assert_eq!((&quoted["event_id"], &quoted["text"]), (&"$old".into(), &"the plan is blue".into()));
    let redacted = story.redacts("x", BOB, "old");
    assert_eq!(shown(&redacted.compose().prompt), ["$a", "$q"]);
}

#[test]
fn an_answer_sent_while_the_request_waited_stands_before_it() {
    let mut story = Story::new()
        .says_in("q1", ALICE, "root", "first?")
        .says_in("q2", BOB, "root", "second?")
        .says_in("a1", ME, "root", "First.")
        .asks("q2")
        .in_thread("root");
    assert!(!transcript(&story.compose()).contains("First."));
    story.answered_meanwhile = vec![id("a1")];
    let turns = story.compose().prompt.turns;
    assert_eq!(turns.len(), 3);
    assert_eq!(turns[1].text(), "First.");
    assert!(turns[2].text().contains("second?"));
}

#[test]
fn a_blank_answer_of_ours_is_no_turn() {
    let turns =
        Story::new().says("a", ALICE, "x").says("b", ME, " \n").says("c", ALICE, "y").asks("c").compose().prompt.turns;
    assert_eq!(turns.len(), 1);
}

#[test]
fn an_assistant_reads_its_owner_since_the_session_began() {
    let story = Story::new()
        .says("a", ALICE, "before")
        .says("new", ALICE, "!new")
        .says("b", ALICE, "hello")
        .says("c", ME, "Hello.")
        .says("d", BOB, "I am somebody else")
        .says("e", ALICE, "and now?")
        .asks("e");
    let (owner, new, b) = (user(ALICE), id("new"), id("b"));
    let kind = Kind::Assistant { owner: &owner, instructions: "" };
    for start in [SessionStart::After(&new), SessionStart::At(&b)] {
        let composed = story.compose_as(kind, Some(start));
        assert_eq!(composed.read, ["b", "c", "e"].map(id));
        assert!(!composed.left_out.older);
    }
}

#[test]
fn a7_opened_rooms_stand_in_front_of_the_chat_and_take_nothing_but_room_from_it() {
    let chat = Story::new().says("a", ALICE, "hello").says("b", ME, "Hello.").says("c", ALICE, "and?").asks("c");
    let there = Story::new().says("x", BOB, "said elsewhere").says("y", ALICE, "indeed");
    let (owner, me, room) = (user(ALICE), user(ME), OwnedRoomId::try_from("!team:hs").expect("a room id"));
    let kind = Kind::Assistant { owner: &owner, instructions: "" };
    let (names, events) = (&there.names, there.events.as_slice());
    let (name, encrypted) = (Some("team"), true);
    let opened = OpenedRoom { room: &room, event: None, name, topic: None, encrypted, events, more: false, names };
    let alone = compose(&chat.input(&kind, None, &me));
    let with = compose(&Input { opened: &[opened], ..chat.input(&kind, None, &me) });

    let block = opened_block(&opened, chat.tokens_max).line;
    assert!(block.contains("said elsewhere"), "{block}");
    let in_front = format!("{block}\n{}", alone.prompt.turns[0].text());
    assert_eq!(with.prompt.turns[0].text(), in_front);
    assert_eq!(with.prompt.turns[1..], alone.prompt.turns[1..]);
    assert_eq!((with.prompt.system, with.read, with.left_out), (alone.prompt.system, alone.read, alone.left_out));
    let too_many = compose(&Input { opened: &[opened; 5], ..chat.input(&kind, None, &me) });
    assert_eq!(too_many.prompt.turns[0].text().matches("opened_room").count(), OPENED_MAX);
}

#[test]
fn a7_answers_that_may_quote_a_closed_room_are_left_out_and_a_record_says_so() {
    let story = Story::new()
        .says("a", ALICE, "hello")
        .says("b", ME, "Hello.")
        .says("c", ALICE, "what do they say?")
        .says("d", ME, "They say canary.")
        .says("e", ME, "And canary again.")
        .says("f", ALICE, "really?")
        .edits("d2", ME, "d", "They said canary.")
        .says("g", ME, "The canary, yes.")
        .says("h", ALICE, "and now?")
        .asks("h");
    let (owner, me) = (user(ALICE), user(ME));
    let kind = Kind::Assistant { owner: &owner, instructions: "" };
    let withheld = ["d", "e", "g", "a"].map(id);

    let composed = compose(&Input { withheld: &withheld, ..story.input(&kind, None, &me) });

    assert_eq!(composed.read, ["a", "b", "c", "f", "h"].map(id), "the owner's own words stay");
    insta::assert_snapshot!(transcript(&composed));
}

#[test]
fn f_a_file_that_was_added_to_a_request_on_the_timeline_is_in_its_threads_prompts() {
    let file = MessageKind::Attachment {
        msgtype: "m.image".to_owned(),
        name: "wall.png".to_owned(),
        mime: None,
        size: None,
        voice: false,
        media: None,
    };
    let story = || {
        Story::new()
            .says("ask", ALICE, "@oncall what is that?")
            .event("file", ALICE, EventKind::Message(Message { kind: file.clone(), ..Message::text("wall.png") }))
            .says("aside", BOB, "lunch?")
            .in_thread("ask")
    };
    let mut added = story().asks("ask");
    added.requests.push(id("file"));
    added.joined.push(id("file"));
    assert_eq!(shown(&added.compose().prompt), ["$ask", "$file"]);
    let follow_up = Message { thread_root: Some(id("ask")), ..Message::text("and behind it?") };
    let mut later = story().event("later", ALICE, EventKind::Message(follow_up)).asks("later");
    later.joined.push(id("file"));
    assert_eq!(shown(&later.compose().prompt), ["$ask", "$file", "$later"]);
}

#[test]
fn g_the_owners_time_zone_is_one_of_the_facts() {
    let story = Story { time_zone: Some("Europe/Berlin".to_owned()), ..Story::new().says("a", ALICE, "hi").asks("a") };
    assert!(story.compose().prompt.system[1].contains(r#""time_zone":"Europe/Berlin""#));
}

#[test]
fn g_a_coworker_is_told_the_zones_of_those_who_have_asked_in_its_room() {
    let story = |zones: &[(&str, &str)]| Story {
        time_zones: zones.iter().map(|(who, zone)| (user(who), (*zone).to_owned())).collect(),
        ..Story::new().says("a", ALICE, "when?").asks("a")
    };
    let facts = |story: &Story| story.compose().prompt.system[1].clone();
    let two = facts(&story(&[(BOB, "Asia/Tokyo"), (ALICE, "Europe/Berlin")]));
    assert!(two.contains(r#""time_zones":{"@alice:hs":"Europe/Berlin","@bob:hs":"Asia/Tokyo"}"#), "{two}");
    assert!(!facts(&story(&[])).contains("time_zone"), "none is known");
}

#[test]
fn c7_a_link_that_stands_only_in_the_formatted_text_is_read() {
    let html = |html: &str, body: &str| {
        let message = Message { html: Some(html.to_owned()), ..Message::text(body) };
        let composed = Story::new().event("a", ALICE, EventKind::Message(message)).asks("a").compose();
        let records = records(&composed.prompt);
        records.iter().rfind(|record| record["event_id"] == "$a").expect("a record")["links"].clone()
    };
    let runbook = "see the <a href=\"https://wiki.hs/run?a=1&amp;b=2\">runbook</a>";
    assert_eq!(html(runbook, "see the runbook"), serde_json::json!(["https://wiki.hs/run?a=1&b=2"]));
    let both = "<a href='https://a.hs/'>a</a> <a href='https://a.hs/'>again</a> <a href=\"http://b.hs\">b</a>";
    assert_eq!(html(both, "a again b"), serde_json::json!(["https://a.hs/", "http://b.hs"]));
    for (formatted, body) in [
        ("<a href=\"https://a.hs\">https://a.hs</a>", "https://a.hs"),
        ("<a href=\"https://matrix.to/#/@bob:hs\">Bob</a>: hi", "Bob: hi"),
        ("<a href=\"javascript:alert(1)\">x</a> <a>y</a> <a href=\"\">z</a>", "x y z"),
        ("<mx-reply><a href=\"https://matrix.to/#/!r:hs/$e\">In reply to</a></mx-reply>no", "no"),
        ("no link", "no link"),
    ] {
        assert_eq!(html(formatted, body), serde_json::Value::Null, "{formatted}");
    }
    let many = (0..50).map(|n| format!("<a href=\"https://{n}.hs\">n</a>")).collect::<Vec<_>>().concat();
    assert_eq!(html(&many, "n").as_array().map(Vec::len), Some(10));
}

#[test]
fn c7_of_a_long_request_beginning_and_last_paragraph_are_read_and_of_other_messages_both_ends() {
    let log = "2026-11-29 all is well, nothing to see here\n".repeat(4_000);
    let pasted = format!("Look at this:\n{log}");
    let mut story = Story::new()
        .says("log", BOB, &format!("{log}fatal: the disk is full"))
        .says("own", ME, &format!("It began well. {log}It ended badly."))
        .says("ask", ALICE, &format!("{pasted}\n\noncall, why did it stop?"))
        .asks("ask");
    story.tokens_max = 12_000;
    let composed = story.compose();
    let text = transcript(&composed);
    for kept in
        ["fatal: the disk is full", "It began well.", "It ended badly.", "Look at this:", "oncall, why did it stop?"]
    {
        assert!(text.contains(kept), "{kept} is missing");
    }
    assert_eq!((composed.left_out.cut, text.matches("left out here …]").count()), (3, 3));
}

#[test]
fn c7_what_cannot_be_read_is_in_the_transcript_and_its_asker_is_told_without_the_model() {
    let unreadable = Message { kind: MessageKind::Unreadable, ..Message::text("") };
    let story = Story::new()
        .event("a", BOB, EventKind::Message(unreadable.clone()))
        .says("ask", ALICE, "what did bob say?")
        .asks("ask");
    let composed = story.compose();
    assert_eq!(composed.unreadable, None);
    let found = records(&composed.prompt);
    assert!(found.iter().any(|record| record["event_id"] == "$a" && record["kind"] == "unreadable"), "{found:?}");

    let asked = Story::new().event("ask", ALICE, EventKind::Message(unreadable)).asks("ask").compose();
    assert_eq!(asked.unreadable, Some(crate::core::media::Unread::NoWords));
    let mended = Story::new()
        .event("ask", ALICE, EventKind::Message(Message { kind: MessageKind::Unreadable, ..Message::text("") }))
        .edits("edit", ALICE, "ask", "what now?")
        .asks("ask")
        .compose();
    assert_eq!(mended.unreadable, None);
}
