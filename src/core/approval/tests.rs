use std::collections::BTreeSet;

use proptest::prelude::*;
use ruma::{event_id, owned_server_name, owned_user_id, room_id, user_id};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{card::Card, *};
use crate::core::{
    event::{EventKind, Message, MessageKind, Outgoing, OutgoingKind, Place},
    hex::hex,
    mask::Mask,
    names::Names,
    people::Namespace,
    render::{self, EDIT_BYTES_MAX, Rendered},
    tool::{
        Class, canonical,
        shown::{self, Shown},
    },
};

mod found;

const ASKED: Timestamp = Timestamp::from_ms(1_795_346_405_000);
const EXPIRY: Timestamp = Timestamp::from_ms(1_795_350_005_000);
const LATER: Timestamp = Timestamp::from_ms(1_795_346_406_000);

pub(super) fn namespace() -> Namespace {
    Namespace {
        allowed_servers: BTreeSet::from([owned_server_name!("friends")]),
        bots: BTreeSet::from([owned_user_id!("@github:hs")]),
        bridges: vec![crate::core::people::Bridge {
            ids: crate::core::people::IdPattern::parse("@irc_.*").expect("a pattern"),
            may: crate::core::people::Bridged::Ask,
        }],
        ..Namespace::of_tests(owned_server_name!("hs"))
    }
}

fn pending(rule: ApprovalRule, arguments: Value) -> Pending {
    let tool = ToolName::parse("deploy").expect("a name");
    Pending { call: "toolu_1".to_owned(), tool, class: Class::Write, rule, arguments }
}

pub(super) fn people(ids: &[&str]) -> ApprovalRule {
    ApprovalRule::People(ids.iter().map(|id| UserId::parse(*id).expect("an id")).collect())
}

pub(super) fn standing(rule: ApprovalRule) -> Standing {
    let place = Place::Timeline;
    let record = RunRecord::new(
        user_id!("@coworker-ci:hs"),
        room_id!("!r:hs"),
        event_id!("$request"),
        user_id!("@alice:hs"),
        place,
        ASKED,
    );
    Standing::new(&record.id(), &record, &pending(rule, json!({"to": "production"})), EXPIRY)
}

pub(super) fn event(sender: &str, kind: EventKind) -> RoomEvent {
    let sender = UserId::parse(sender).expect("an id");
    RoomEvent { room: room_id!("!r:hs").to_owned(), id: event_id!("$e").to_owned(), sender, sent_at: ASKED, kind }
}

pub(super) fn reaction(sender: &str, key: &str) -> RoomEvent {
    event(sender, EventKind::Reaction { target: event_id!("$card").to_owned(), key: key.to_owned() })
}

pub(super) fn reply(body: &str) -> Message {
    Message { reply_to: Some(event_id!("$card").to_owned()), ..Message::text(body) }
}

#[test]
fn c12_nobody_is_asked_to_decide_who_cannot() {
    let asker = ApprovalRule::Asker;
    let puppet = Who::Puppet(crate::core::people::Bridged::Ask);
    let table = [
        (&asker, Who::Person, false, false),
        (&asker, puppet.clone(), false, true),
        (&asker, Who::Guest, false, true),
        (&asker, Who::Person, true, false),
        (&ApprovalRule::Moderator { level: 50 }, puppet, false, false),
    ];
    for (rule, who, is_private, lacks) in table {
        assert_eq!(lacks_decider(rule, &who, is_private), lacks, "{rule:?} {who:?}");
    }
}

#[test]
fn c12_the_rule_alone_says_who_decides_by_full_id_and_power_level() {
    let asker = user_id!("@alice:hs");
    let moderator = |level| ApprovalRule::Moderator { level };
    let table = [
        (ApprovalRule::Asker, "@alice:hs", Some(0), Ok(())),
        (ApprovalRule::Asker, "@alice:hs", None, Err(NotAllowed::NotHere)),
        (ApprovalRule::Asker, "@Alice:hs", Some(100), Err(NotAllowed::NotNamed)),
        (ApprovalRule::Asker, "@alice:hs.example", Some(100), Err(NotAllowed::Stranger)),
        (ApprovalRule::Asker, "@alice:friends", Some(100), Err(NotAllowed::NotNamed)),
        (ApprovalRule::Asker, "@alice_:hs", Some(100), Err(NotAllowed::NotNamed)),
        (ApprovalRule::Asker, "@bob:hs", Some(i64::MAX), Err(NotAllowed::NotNamed)),
        (moderator(50), "@alice:hs", Some(0), Err(NotAllowed::TooLowLevel)),
        (moderator(50), "@bob:hs", Some(49), Err(NotAllowed::TooLowLevel)),
        (moderator(50), "@bob:hs", Some(50), Ok(())),
        (moderator(50), "@bob:hs", Some(i64::MAX), Ok(())),
        (moderator(50), "@bob:hs", None, Err(NotAllowed::NotHere)),
        (moderator(0), "@bob:evil", Some(100), Err(NotAllowed::Stranger)),
        (moderator(50), "@coworker-ci:hs", Some(100), Err(NotAllowed::NoPerson)),
        (moderator(50), "@assistant-alice:hs", Some(100), Err(NotAllowed::NoPerson)),
        (moderator(50), "@workmate:hs", Some(100), Err(NotAllowed::NoPerson)),
        (moderator(50), "@github:hs", Some(100), Err(NotAllowed::NoPerson)),
        (moderator(50), "@17:hs", Some(100), Err(NotAllowed::NoPerson)),
        (moderator(50), "@irc_ann:hs", Some(100), Err(NotAllowed::NoPerson)),
        (people(&["@irc_ann:hs"]), "@irc_ann:hs", Some(100), Err(NotAllowed::NoPerson)),
        (people(&["@bob:hs"]), "@bob:hs", Some(0), Ok(())),
        (people(&["@bob:hs"]), "@bob:friends", Some(0), Err(NotAllowed::NotNamed)),
        (people(&["@bob:hs"]), "@alice:hs", Some(100), Err(NotAllowed::NotNamed)),
        (people(&["@bob:hs"]), "@bob:hs", None, Err(NotAllowed::NotHere)),
        (people(&["@coworker-ci:hs"]), "@coworker-ci:hs", Some(100), Err(NotAllowed::NoPerson)),
        (people(&["@github:hs"]), "@github:hs", Some(100), Err(NotAllowed::NoPerson)),
        (people(&["@bob:evil"]), "@bob:evil", Some(100), Err(NotAllowed::Stranger)),
        (people(&[]), "@alice:hs", Some(100), Err(NotAllowed::NotNamed)),
        (ApprovalRule::Never, "@alice:hs", Some(100), Err(NotAllowed::Nobody)),
    ];
    for (rule, user, level, expected) in table {
        let user = UserId::parse(user).expect("an id");
        let found = may_decide(&rule, &user, &namespace().who(&user), asker, level);
        assert_eq!(found, expected, "{rule:?} {user} {level:?}");
        let could = standing(rule.clone()).may_be_decided_by(&user, &namespace().who(&user));
        let at_no_level =
            matches!(expected, Err(why) if ![NotAllowed::NotHere, NotAllowed::TooLowLevel].contains(&why));
        assert_eq!(could, !at_no_level, "{rule:?} {user}");
    }
}

#[test]
fn c12_only_the_two_emoji_decide_with_and_without_variation_selectors() {
    let table = [
        ("✅", Some(Choice::Approve)),
        ("✅\u{fe0f}", Some(Choice::Approve)),
        ("✅\u{fe0e}", Some(Choice::Approve)),
        ("❌", Some(Choice::Decline)),
        ("❌\u{fe0f}", Some(Choice::Decline)),
        ("✔", None),
        ("✔️", None),
        ("☑️", None),
        ("👍", None),
        ("👎", None),
        ("✖️", None),
        ("❎", None),
        ("✅✅", None),
        ("✅❌", None),
        (" ✅", None),
        ("\u{fe0f}", None),
        ("yes", None),
        ("", None),
    ];
    for (key, expected) in table {
        let found = choice_of(&reaction("@alice:hs", key)).map(|(target, choice)| (target.to_string(), choice));
        assert_eq!(found, expected.map(|choice| ("$card".to_owned(), choice)), "{key:?}");
    }
}

#[test]
fn c12_only_a_reply_with_the_very_word_decides() {
    let table = [
        ("yes", Some(Choice::Approve)),
        (" YES\n", Some(Choice::Approve)),
        ("Approve", Some(Choice::Approve)),
        ("✅️", Some(Choice::Approve)),
        ("no", Some(Choice::Decline)),
        ("decline", Some(Choice::Decline)),
        ("❌", Some(Choice::Decline)),
        ("> <@oncall:hs> May I run it?\n> yes\n\nno", Some(Choice::Decline)),
        ("> yes", None),
        ("yes!", Some(Choice::Approve)),
        ("yes, but later", None),
        ("y", None),
        ("ok", None),
        ("approved", Some(Choice::Approve)),
        ("yes no", None),
        ("уes", None),
        ("", None),
    ];
    for (body, expected) in table {
        let said = event("@alice:hs", EventKind::Message(reply(body)));
        assert_eq!(choice_of(&said).map(|(_, choice)| choice), expected, "{body:?}");
    }
}

#[test]
fn c12_edits_notices_emotes_and_messages_that_reply_to_nothing_decide_nothing() {
    let message = |message| EventKind::Message(message);
    let edit = EventKind::Edit {
        target: event_id!("$card").to_owned(),
        new: reply("yes"),
        newly_mentioned: BTreeSet::default(),
    };
    let kinds = [
        edit,
        message(Message { kind: MessageKind::Notice, ..reply("yes") }),
        message(Message { kind: MessageKind::Emote, ..reply("yes") }),
        message(Message::text("yes")),
        message(Message { thread_root: Some(event_id!("$card").to_owned()), ..Message::text("yes") }),
        EventKind::Redacted,
    ];
    for kind in kinds {
        assert_eq!(choice_of(&event("@alice:hs", kind.clone())), None, "{kind:?}");
    }
}

#[test]
fn c12_the_first_decision_stands_and_nothing_later_changes_it() {
    let (alice, bob) = (user_id!("@alice:hs"), user_id!("@bob:hs"));
    let mut standing = standing(ApprovalRule::Moderator { level: 50 });
    let mut hear =
        |choice, by: &UserId, level| standing.hear(choice, by, &Who::Person, Some(level), event_id!("$e"), LATER);
    let heard = [
        hear(Choice::Approve, alice, 0),
        hear(Choice::Decline, bob, 50),
        hear(Choice::Approve, bob, 50),
        hear(Choice::Approve, alice, 100),
    ];
    assert_eq!(heard, [Err(NotAllowed::TooLowLevel), Ok(true), Ok(false), Ok(false)]);
    assert_eq!(standing.take(EXPIRY), Some(Decision::Declined { by: bob.to_owned(), at: LATER }));
}

#[test]
fn c12_without_a_decision_in_time_it_expires_for_good() {
    let alice = user_id!("@alice:hs");
    let mut standing = standing(ApprovalRule::Asker);
    assert_eq!((standing.take(LATER), standing.is_taken()), (None, false));
    assert_eq!(standing.take(EXPIRY), Some(Decision::Expired));
    // Also if the clock was set back.
    for now in [EXPIRY, LATER] {
        assert_eq!(standing.hear(Choice::Approve, alice, &Who::Person, Some(0), event_id!("$e"), now), Ok(false));
        assert_eq!(standing.take(now), Some(Decision::Expired));
    }
}

#[test]
fn c12_a_decision_on_the_stroke_of_expiry_is_late() {
    let mut standing = standing(ApprovalRule::Asker);
    let late = standing.hear(Choice::Approve, user_id!("@alice:hs"), &Who::Person, Some(0), event_id!("$e"), EXPIRY);
    assert_eq!((late, standing.take(EXPIRY)), (Ok(false), Some(Decision::Expired)));
}

#[test]
fn c12_a_redacted_reaction_is_withdrawn_until_the_run_has_taken_it() {
    let alice = user_id!("@alice:hs");
    let approved = Some(Decision::Approved { by: alice.to_owned(), at: LATER });
    let mut standing = standing(ApprovalRule::Asker);
    let approve = |standing: &mut Standing| {
        standing.hear(Choice::Approve, alice, &Who::Person, Some(0), event_id!("$tap"), LATER)
    };
    assert_eq!(approve(&mut standing), Ok(true));
    assert!(!standing.withdraw(event_id!("$other")));
    assert!(standing.withdraw(event_id!("$tap")));
    assert_eq!(standing.take(LATER), None, "it is open again");
    assert_eq!(approve(&mut standing), Ok(true));
    assert_eq!(standing.take(LATER), approved);
    assert!(!standing.withdraw(event_id!("$tap")), "the call has begun");
    assert_eq!(standing.take(EXPIRY), approved);
}

#[test]
fn c12_redacting_the_card_declines_and_overturns_nothing() {
    let (alice, mallory) = (user_id!("@alice:hs"), user_id!("@mallory:evil"));
    let mut open = standing(ApprovalRule::Asker);
    open.card_redacted(mallory, event_id!("$gone"), LATER);
    assert_eq!(open.take(LATER), Some(Decision::Declined { by: mallory.to_owned(), at: LATER }));

    let mut decided = standing(ApprovalRule::Asker);
    decided.hear(Choice::Approve, alice, &Who::Person, Some(0), event_id!("$tap"), LATER).expect("she may");
    decided.card_redacted(mallory, event_id!("$gone"), LATER);
    assert_eq!(decided.take(LATER), Some(Decision::Approved { by: alice.to_owned(), at: LATER }));
}

#[test]
fn c12_a_decision_is_for_one_call_with_those_very_arguments() {
    let rule = || ApprovalRule::Asker;
    let asked = pending(rule(), json!({"to": "production"}));
    let place = Place::Timeline;
    let (user, room) = (user_id!("@coworker-ci:hs"), room_id!("!r:hs"));
    let record = RunRecord::new(user, room, event_id!("$request"), user_id!("@alice:hs"), place, ASKED);
    let (run, other_run) = (record.id(), RunId::of(event_id!("$other"), user));
    let standing = Standing::new(&run, &record, &asked, EXPIRY);
    assert!(standing.is_for(&run, &asked));
    assert_eq!(standing.number(), asked.number());
    let others = [
        pending(rule(), json!({"to": "production "})),
        pending(rule(), json!({"to": "production", "force": true})),
        pending(ApprovalRule::Moderator { level: 0 }, json!({"to": "production"})),
        Pending { call: "toolu_2".to_owned(), ..asked.clone() },
        Pending { tool: ToolName::parse("destroy").expect("a name"), ..asked.clone() },
    ];
    for other in others {
        assert!(!standing.is_for(&run, &other), "{other:?}");
        assert_ne!(other.number(), asked.number());
    }
    assert!(!standing.is_for(&other_run, &asked));
}

#[test]
fn c12_a_standing_approval_is_stored_like_this() {
    let mut standing = standing(ApprovalRule::Asker);
    standing
        .hear(Choice::Approve, user_id!("@alice:hs"), &Who::Person, Some(0), event_id!("$tap"), LATER)
        .expect("may");
    let stored = serde_json::to_value(&standing).expect("JSON");
    insta::assert_snapshot!(serde_json::to_string_pretty(&stored).expect("JSON"));
    assert_eq!(serde_json::from_value::<Standing>(stored).expect("readable"), standing);
}

fn all(value: &Value) -> String {
    shown::indented(value, &Mask::default()).text
}

fn line(value: &Value) -> String {
    shown::on_a_line("k", value, &Mask::default()).text
}

#[test]
fn c12_nothing_in_a_value_hides() {
    let table = [
        ("a\u{202e}b", r#""a\u202eb""#),
        ("\u{2066}x\u{2069}", r#""\u2066x\u2069""#),
        ("ad\u{200b}min", r#""ad\u200bmin""#),
        ("tag\u{e0041}", r#""tag\udb40\udc41""#),
        ("line\nbreak\ttab", r#""line\nbreak\ttab""#),
        ("sep\u{2028}para\u{2029}nel\u{85}", r#""sep\u2028para\u2029nel\u0085""#),
        ("nul\u{0}del\u{7f}c1\u{9b}", r#""nul\u0000del\u007fc1\u009b""#),
        ("hard\u{a0}space\u{3164}", r#""hard\u00a0space\u3164""#),
        ("e\u{301}e\u{301}\u{301}\u{301}\u{301}", "\"e\u{301}e\u{301}\u{301}\\u0301\\u0301\""),
        ("\u{338}no", r#""\u0338no""#),
        ("back\\u202e", r#""back\\u202e""#),
        ("grüße שלום 你好 👋", r#""grüße שלום 你好 👋""#),
        // One word in two alphabets.
        ("p\u{430}ypal", r#""p\u0430ypal""#),
        ("\nпривет\u{1}мир, мир!", r#""\nпривет\u0001мир, мир!""#),
        ("\u{1d429}rod \u{ff50}rod", r#""\ud835\udc29rod \uff50rod""#),
        // A text cannot imitate the mask.
        ("a••• b", r#""a\u2022\u2022\u2022 b""#),
    ];
    for (text, expected) in table {
        assert_eq!(all(&json!(text)), expected);
        assert_eq!(line(&json!(text)), format!("\"k\": {expected}"));
        assert_eq!(serde_json::from_str::<Value>(expected).expect("it is still the value"), json!(text));
    }
    assert_eq!(all(&json!({"k\u{202e}": 1})), "{\n  \"k\\u202e\": 1\n}");
    assert_eq!(all(&json!({"t\u{43e}": 1})), "{\n  \"t\\u043e\": 1\n}", "no name looks like another");
    // HTML would collapse spaces, and a thousand would push the rest out of sight.
    assert_eq!(line(&json!("a  b")), "\"k\": \"a \u{a0}b\"");
    let far = line(&json!(format!("a{}b", " ".repeat(1_000))));
    assert!(far.ends_with("\\u0020b\"") && far.matches("\\u0020").count() == 984, "{far}");
}

#[test]
fn c13_secrets_are_masked_wherever_they_stand_and_the_card_says_so() {
    let mask = Mask::new(["s3cr3t-token", "12345678"]);
    let value = json!({
        "header": "Bearer s3cr3t-token", "s3cr3t-token": [1, 12_345_678],
        "long": format!("{}s3cr3t-token{}", "x".repeat(140), "y".repeat(2_000)),
    });
    let mut texts = vec![shown::indented(&value, &mask)];
    texts.extend(value.as_object().expect("one").iter().map(|(name, value)| shown::on_a_line(name, value, &mask)));
    for Shown { text, masked } in texts {
        assert!(!text.contains("s3cr3t") && !text.contains("12345678") && masked, "{text}");
    }
    let masked = card_with(&pending(ApprovalRule::Asker, value), &mask);
    assert!(masked.message.body.contains("••• stands for a secret"), "{}", masked.message.body);
    let long = json!({"token": "s3cr3t-token", "text": "x".repeat(100_000)});
    let file = card_with(&pending(ApprovalRule::Asker, long), &mask).file.expect("a long call").text;
    assert!(!file.contains("s3cr3t") && file.contains("••• stands for a secret"));
    let pretends = card_with(&pending(ApprovalRule::Asker, json!({"a": "•••"})), &mask);
    assert!(!pretends.message.body.contains("•••"), "{}", pretends.message.body);
}

fn card_with(pending: &Pending, mask: &Mask) -> Card {
    let asker = user_id!("@alice:hs");
    asking(pending, asker, mentioned(&pending.rule, asker, Some(50)), 3_600_000, &setting(mask, &names()))
}

fn names() -> Names {
    let names = [("@alice:hs", "Alice"), ("@bob:hs", "Bob")];
    names.iter().map(|(id, name)| (UserId::parse(*id).expect("an id"), (*name).to_owned())).collect()
}

fn setting<'a>(mask: &'a Mask, names: &'a Names) -> Setting<'a> {
    Setting { place: &Place::Timeline, mask, names, meaning: None }
}

fn end_of(pending: &Pending, decision: &Decision) -> Outgoing {
    decided(pending, decision, &setting(&Mask::default(), &names()))
}

fn card(pending: &Pending) -> Outgoing {
    card_with(pending, &Mask::default()).message
}

#[test]
fn c12_the_card_shows_the_exact_call_who_decides_and_until_when() {
    let arguments = json!({"to": "production", "steps": ["build", "push"], "note": "```\n**done**\n@room @bob:hs"});
    let pending = pending(ApprovalRule::Asker, arguments);
    let asked = card(&pending);
    insta::assert_snapshot!(asked.body);
    assert_eq!(asked.mentions, BTreeSet::from([owned_user_id!("@alice:hs")]));
    assert_eq!(asked.kind, OutgoingKind::Card);
    let approved = Decision::Approved { by: owned_user_id!("@alice:hs"), at: LATER };
    let end = end_of(&pending, &approved);
    insta::assert_snapshot!(end.body);
    assert_eq!((end.mentions, end.kind), (BTreeSet::new(), OutgoingKind::Card), "the end pings nobody");
}

#[test]
fn c12_a_card_says_who_decides_and_mentions_exactly_them() {
    let many: Vec<String> = (0..12).map(|n| format!("@person{n}:hs")).collect();
    let many = people(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let moderator = |level| ApprovalRule::Moderator { level };
    let rules: [(_, _, &[&str]); 7] = [
        (ApprovalRule::Asker, "Alice decides", &["@alice:hs"]),
        (moderator(50), "Any moderator here decides", &["@alice:hs"]),
        (moderator(51), "Anyone here with power level 51 or more decides", &[]),
        (people(&["@bob:hs"]), "Bob decides", &["@bob:hs"]),
        (people(&["@bob:hs", "@carol:hs"]), "Bob or `@carol:hs` decides", &["@bob:hs", "@carol:hs"]),
        (people(&[]), "Nobody decides", &[]),
        (ApprovalRule::Never, "Nobody decides", &[]),
    ];
    for (rule, words, named) in rules {
        let asked = card(&pending(rule.clone(), json!({})));
        assert!(asked.body.contains(words), "{}", asked.body);
        assert_eq!(asked.mentions.iter().map(|user| user.as_str()).collect::<Vec<_>>(), named, "{rule:?}");
    }
    let asked = card(&pending(many, json!({})));
    assert!(asked.body.contains(" or one of 4 more decides") && asked.mentions.len() == 12, "{}", asked.body);
    let unknown = mentioned(&moderator(0), user_id!("@alice:hs"), None);
    assert_eq!(unknown, BTreeSet::new(), "it is not known whether she qualifies");
}

#[test]
fn c5_a_card_is_a_line_for_each_argument_that_wraps_and_so_is_its_end() {
    let url = format!("https://ci.example/{}?then=rm", "very-long-".repeat(60));
    let arguments = json!({
        "script": "set -e\n  cd /srv\n\trm -rf production\n", "url": url, "nested": {"a": [{"b": null}, 1.5]},
        "hidden\u{202e}": "\u{2066}x\u{200b}",
    });
    let pending = pending(ApprovalRule::Asker, arguments);
    for message in [card(&pending), end_of(&pending, &Decision::Expired)] {
        let html = message.html.expect("rich");
        assert!(!html.contains("<pre") && !html.contains("<table") && !html.contains("<details"), "{html}");
        let items: Vec<&str> =
            html.split("<li>").skip(1).map(|rest| rest.split("</li>").next().expect("it ends")).collect();
        let whole = items.iter().filter(|item| {
            item.starts_with("<code>\"")
                && item.ends_with("</code>")
                && item.matches('<').count() == 2
                && !item.contains('\n')
        });
        assert_eq!((items.len(), whole.count()), (4, 4), "{html}");
        let lines: Vec<&str> = message.body.lines().filter(|line| line.starts_with("• ")).collect();
        assert_eq!(lines[0], r#"• `"hidden\u202e": "\u2066x\u200b"`"#);
        assert_eq!(lines[1], r#"• `"nested": {"a": [{"b": null}, 1.5]}`"#);
        assert!(
            lines[2].starts_with(r#"• `"script": "set -e\n "#)
                && lines[2].ends_with(r#"cd /srv\n\trm -rf production\n"`"#)
        );
        assert_eq!(lines[3], format!("• `\"url\": \"{url}\"`"));
    }
}

#[test]
fn c10_who_may_not_decide_is_told_once_for_each_card_whose_decision_it_is() {
    let (alice, bob) = (user_id!("@alice:hs"), user_id!("@bob:hs"));
    let mut open = standing(ApprovalRule::Moderator { level: 50 });
    assert!(open.is_to_be_told(bob, NotAllowed::TooLowLevel) && open.is_to_be_told(bob, NotAllowed::NotNamed));
    for silent in [NotAllowed::NoPerson, NotAllowed::Stranger, NotAllowed::NotHere, NotAllowed::Nobody] {
        assert!(!open.is_to_be_told(bob, silent), "{silent:?}");
    }
    open.told(bob);
    assert!(!open.is_to_be_told(bob, NotAllowed::NotNamed) && open.is_to_be_told(alice, NotAllowed::NotNamed));
    for n in 0..TOLD_MAX {
        open.told(&UserId::parse(format!("@p{n}:hs")).expect("an id"));
    }
    assert!(!open.is_to_be_told(alice, NotAllowed::NotNamed), "a crowd is not told one by one");
    let told = |rule: &ApprovalRule| render::own(&words::not_yours(rule, alice, &names())).body;
    let moderator = |level| ApprovalRule::Moderator { level };
    let table = [
        (ApprovalRule::Asker, "Thanks, but only Alice can decide this one."),
        (moderator(50), "Thanks, but only a moderator here can decide this one."),
        (moderator(100), "Thanks, but only an admin here can decide this one."),
        (moderator(75), "Thanks, but only somebody with power level 75 or more can decide this one."),
        (people(&["@bob:hs", "@carol:hs"]), "Thanks, but only Bob or `@carol:hs` can decide this one."),
    ];
    for (rule, expected) in table {
        assert_eq!(told(&rule), expected);
    }
}

fn bytes(message: &Outgoing) -> usize {
    render::json_bytes(&Rendered { body: message.body.clone(), html: message.html.clone() })
}

#[test]
fn c12_nothing_that_would_run_is_missing_from_a_card() {
    let middle = format!("{}; rm -rf /srv/production; {}", "a".repeat(350), "z".repeat(354));
    let asked = card(&pending(ApprovalRule::Asker, json!({"command": middle, "to": "staging"})));
    assert!(asked.body.contains(&format!("\"command\": \"{middle}\"")), "{}", asked.body);
    assert!(asked.html.as_ref().is_some_and(|html| html.contains(&middle) && !html.contains("<pre>")));
    let many: serde_json::Map<String, Value> = (0..150).map(|n| (format!("k{n}"), json!(n))).collect();
    let asked = card_with(&pending(ApprovalRule::Asker, Value::Object(many)), &Mask::default());
    assert!(asked.file.is_none() && (0..150).all(|n| asked.message.body.contains(&format!("\"k{n}\": {n}"))));
    let nested = json!({"a": {"b": [{"c": "deep"}, 2]}});
    assert!(card(&pending(ApprovalRule::Asker, nested)).body.contains(r#""a": {"b": [{"c": "deep"}, 2]}"#));
}

#[test]
fn c12_a_call_that_is_too_long_for_a_message_is_whole_in_the_cards_file() {
    let long = "0123456789".repeat(10_000);
    let arguments = json!({"command": long, "note": "May I run `other`? `@alice:hs` decides", "to": "production"});
    let pending = pending(ApprovalRule::Asker, arguments.clone());
    let Card { message, file } = card_with(&pending, &Mask::default());
    let file = file.expect("it is too long");
    assert!(file.text.ends_with(&format!("{}\n", all(&arguments))));
    assert!(!message.body.contains("0123456789"), "an argument is shown whole or not at all");
    for said in [
        &format!("`{}`", file.name),
        &format!("({} bytes, SHA-256 `{}`)", file.text.len(), hex(&Sha256::digest(&file.text))),
        "\"command\"` is in the file (100013 characters)",
        "\"to\": \"production\"",
        "\"note\": \"May I run `other`? `@alice:hs` decides\"",
    ] {
        assert!(message.body.contains(said), "{said}: {}", message.body);
    }
    let end = end_of(&pending, &Decision::Expired);
    assert!(end.body.contains(&file.digest()), "its end names the same file: {}", end.body);
}

#[test]
fn c12_the_largest_calls_fit_into_a_card_and_into_its_end() {
    let deep = (0..120).fold(json!("core"), |inner, _| json!({ "k": inner }));
    let wide: serde_json::Map<String, Value> =
        (0..1_000).map(|n| (format!("{n}{}", "\u{202e}".repeat(70)), json!("\u{e0041}".repeat(900)))).collect();
    let named: serde_json::Map<String, Value> = (0..3_000).map(|n| (format!("k{n}"), json!(true))).collect();
    let calls = [
        (deep, false),
        (Value::Object(wide), true),
        (Value::Object(named), true),
        (json!({"text": "<&>\"\\".repeat(100_000)}), true),
        (json!({"`": "`".repeat(20_000)}), true),
        (json!({"`": "`".repeat(500)}), false),
    ];
    for (arguments, in_file) in calls {
        let many: Vec<String> = (0..50).map(|n| format!("@{}{n}:hs", "p".repeat(240))).collect();
        let rule = people(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let pending = pending(rule, arguments);
        let asked = card_with(&pending, &Mask::default());
        assert_eq!(asked.file.is_some(), in_file);
        let by = UserId::parse(&*many[0]).expect("an id");
        let approved = end_of(&pending, &Decision::Approved { by, at: LATER });
        for message in [asked.message, approved] {
            assert!(bytes(&message) <= EDIT_BYTES_MAX, "{} bytes", bytes(&message));
            assert_eq!(message.body.contains("SHA-256"), in_file);
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

/// Generates users in the room whom none of the test's rules names.
fn others() -> impl Strategy<Value = (&'static str, i64)> {
    prop::sample::select(vec![
        ("@bob:hs", 49),
        ("@Alice:hs", 49),
        ("@alice:hs.evil", 100),
        ("@alice:friends", 0),
        ("@coworker-ci:hs", 100),
        ("@workmate:hs", 100),
        ("@assistant-alice:hs", 100),
        ("@github:hs", 100),
    ])
}

fn said() -> impl Strategy<Value = EventKind> {
    let word =
        prop::sample::select(vec!["✅", "✅\u{fe0f}", "yes", "approve", "❌", "no", "🛑", "I am @alice:hs: yes"]);
    (word, 0..4_u8).prop_map(|(word, how)| match how {
        0 => EventKind::Message(reply(word)),
        1 => EventKind::Edit {
            target: event_id!("$card").to_owned(),
            new: reply(word),
            newly_mentioned: BTreeSet::default(),
        },
        _ => EventKind::Reaction { target: event_id!("$card").to_owned(), key: word.to_owned() },
    })
}

proptest! {
    #[test]
    fn c12_what_is_shown_of_a_value_is_the_value(value in json_value()) {
        let text = all(&value);
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).expect("it is JSON"), &value);
        let line = line(&value).replacen("\"k\": ", "", 1).replace('\u{a0}', " ");
        prop_assert_eq!(serde_json::from_str::<Value>(&line).expect("it is JSON"), value);
    }

    #[test]
    fn c12_equal_values_and_only_they_have_one_canonical_form(one in json_value(), other in json_value()) {
        prop_assert_eq!(canonical(&one) == canonical(&other), one == other);
        prop_assert_eq!(serde_json::from_str::<Value>(&canonical(&one)).expect("it is JSON"), one);
    }

    #[test]
    fn c12_nothing_that_others_say_approves(
        rule in prop::sample::select(vec![
            ApprovalRule::Asker, ApprovalRule::Moderator { level: 50 }, people(&["@alice:hs", "@carol:hs"]), people(&[]),
        ]),
        said in prop::collection::vec((others(), said(), 0..4_000_000_i64), 0..40),
    ) {
        let mut standing = standing(rule);
        for ((sender, level), kind, after_ms) in said {
            let event = event(sender, kind);
            let now = Timestamp::from_ms(ASKED.as_ms() + after_ms);
            let who = namespace().who(&event.sender);
            if let Some((_, choice)) = choice_of(&event) {
                let heard = standing.hear(choice, &event.sender, &who, Some(level), &event.id, now);
                prop_assert!(heard.is_err(), "{} {:?}", event.sender, heard);
            }
        }
        prop_assert_eq!(standing.take(EXPIRY), Some(Decision::Expired));
    }
}
