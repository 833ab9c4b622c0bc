use std::sync::LazyLock;

use ruma::{OwnedEventId, event_id, room_id, user_id};

use super::*;
use crate::core::{
    event::Mentions,
    people::{Bridge, Bridged, IdPattern},
};

mod calling;
mod nodding;
mod people;
mod properties;

const MINUTE_MS: i64 = 60 * 1000;
const DEADLINE_MS: u64 = 30 * 60 * 1000;
const NOW: Timestamp = Timestamp::from_ms(1_000 * MINUTE_MS);

static NAMESPACE: LazyLock<Namespace> = LazyLock::new(|| Namespace {
    allowed_servers: [ruma::owned_server_name!("friends.org")].into(),
    bots: [user_id!("@buildbot:here.org").to_owned()].into(),
    bridges: [("@irc_.*", Bridged::Nothing), ("@tg_.*", Bridged::Ask)]
        .map(|(ids, may)| Bridge { ids: IdPattern::parse(ids).unwrap(), may })
        .into(),
    ..Namespace::of_tests(ruma::owned_server_name!("here.org"))
});

fn oncall() -> &'static UserId {
    user_id!("@coworker-oncall:here.org")
}

fn ci() -> &'static UserId {
    user_id!("@coworker-ci:here.org")
}

fn alice() -> &'static UserId {
    user_id!("@alice:here.org")
}

fn bob() -> &'static UserId {
    user_id!("@bob:here.org")
}

const HERE: [(&str, &str, &str, &str); 2] = [
    ("@coworker-oncall:here.org", "oncall", "oncall", "oncall · coworker"),
    ("@coworker-ci:here.org", "ci", "Build Help", "Build Help · coworker"),
];

static COWORKERS: LazyLock<Vec<CoworkerHere<'static>>> = LazyLock::new(|| {
    let row = |(user, id, name, display): &(&'static str, &'static str, &'static str, &'static str)| CoworkerHere {
        user: <&UserId>::try_from(*user).unwrap(),
        id,
        name,
        display_name: Some(display),
    };
    HERE.iter().map(row).collect()
});

fn scene() -> Scene<'static> {
    Scene {
        namespace: &NAMESPACE,
        coworkers: &COWORKERS,
        reply_sender: None,
        thread: None,
        root_sender: None,
        asked_back: None,
        members: &[],
        original: None,
        now: NOW,
        accepted_at: NOW,
        deadline_ms: DEADLINE_MS,
    }
}

fn event(sender: &UserId, kind: EventKind) -> RoomEvent {
    RoomEvent {
        room: room_id!("!r:here.org").to_owned(),
        id: event_id!("$e").to_owned(),
        sender: sender.to_owned(),
        sent_at: NOW,
        kind,
    }
}

fn said(message: Message) -> RoomEvent {
    event(alice(), EventKind::Message(message))
}

fn mentioning(users: &[&UserId]) -> Message {
    let users = users.iter().map(|user| (*user).to_owned()).collect();
    Message { mentions: Some(Mentions { users, room: false }), ..Message::text("please look") }
}

/// Returns a message from a client without `m.mentions`.
fn unmarked(body: &str, html: Option<&str>) -> Message {
    Message { mentions: None, html: html.map(str::to_owned), ..Message::text(body) }
}

fn in_thread(message: Message) -> Message {
    Message { thread_root: Some(event_id!("$root").to_owned()), ..message }
}

fn replying(message: Message) -> Message {
    Message { reply_to: Some(event_id!("$before").to_owned()), ..message }
}

fn asks(rows: &[(&UserId, Why)]) -> Verdict {
    let asked = rows.iter().map(|(user, why)| Asked { user: (*user).to_owned(), why: *why, late: false });
    Verdict::Asked(asked.collect())
}

fn nobody(silence: Silence) -> Verdict {
    Verdict::Nobody(silence)
}

#[test]
fn c5_m_mentions_decides_where_it_is_present() {
    let room_only = Message { mentions: Some(Mentions { room: true, ..Mentions::default() }), ..Message::text("x") };
    let room_and_one =
        Message { mentions: Some(Mentions { users: [oncall().to_owned()].into(), room: true }), ..Message::text("x") };
    let link = "<a href=\"https://matrix.to/#/@coworker-oncall:here.org\">oncall</a>";
    let table = [
        ("one", mentioning(&[oncall()]), asks(&[(oncall(), Why::Mentioned)])),
        ("two", mentioning(&[oncall(), ci()]), asks(&[(ci(), Why::Mentioned), (oncall(), Why::Mentioned)])),
        ("with a person", mentioning(&[oncall(), bob()]), asks(&[(oncall(), Why::Mentioned)])),
        ("a person", mentioning(&[bob()]), nobody(Silence::NotAddressed)),
        ("one that is not here", mentioning(&[user_id!("@coworker-sales:here.org")]), nobody(Silence::NotAddressed)),
        (
            "its localpart elsewhere",
            mentioning(&[user_id!("@coworker-oncall:evil.org")]),
            nobody(Silence::NotAddressed),
        ),
        ("@room", room_only, nobody(Silence::RoomMention)),
        ("@room and one", room_and_one, asks(&[(oncall(), Why::Mentioned)])),
        (
            "link, but m.mentions is empty",
            Message { html: Some(format!("see {link}")), ..Message::text("see oncall") },
            nobody(Silence::NotAddressed),
        ),
    ];
    for (name, message, expected) in table {
        assert_eq!(addressed(&said(message), &scene()), expected, "{name}");
    }
}

#[test]
fn c5_without_m_mentions_a_name_at_the_very_start_is_a_request() {
    let table = [
        ("oncall: why?", Some(oncall())),
        ("oncall, why?", Some(oncall())),
        ("oncall why?", Some(oncall())),
        ("oncall", Some(oncall())),
        ("OnCall: why?", Some(oncall())),
        ("@oncall why?", Some(oncall())),
        ("oncall · coworker: why?", Some(oncall())),
        ("coworker-oncall: why?", Some(oncall())),
        ("@coworker-oncall:here.org: why?", Some(oncall())),
        ("build HELP: why?", Some(ci())),
        ("> <@bob:here.org> hm\n\noncall: why?", Some(oncall())),
        ("  oncall: why?", Some(oncall())),
        ("oncalls are tiring", None),
        ("oncall-tool broke", None),
        ("is oncall there?", None),
        ("@coworker-oncall:here.organic hi", None),
        ("@coworker-oncall:evil.org: hi", None),
        ("@coworker-oncall:here.org:8448 hi", None),
        ("@oncall:here.org: hi", None),
        ("oncall:why?", Some(oncall())),
        ("`oncall` crashed", None),
        ("> oncall: why?", None),
        ("> oncall: why?\nno idea", None),
        ("@room oncall: why?", None),
        ("", None),
    ];
    for (body, expected) in table {
        let verdict = addressed(&said(unmarked(body, None)), &scene());
        let wanted = expected.map_or(nobody(Silence::NotAddressed), |user| asks(&[(user, Why::Mentioned)]));
        assert_eq!(verdict, wanted, "{body}");
    }
}

#[test]
fn c5_a_name_that_is_typed_at_the_very_start_is_a_request_whatever_m_mentions_says() {
    let table = [
        ("@oncall hello", Some(oncall())),
        ("@Oncall restart it", Some(oncall())),
        ("oncall: hello", Some(oncall())),
        ("Oncall, hello", Some(oncall())),
        ("ONCALL： 你好", Some(oncall())),
        ("@oncall请看一下", Some(oncall())),
        ("oncall", Some(oncall())),
        ("oncall!", Some(oncall())),
        ("oncall why did it page?", Some(oncall())),
        ("oncall !help", Some(oncall())),
        ("!help @oncall", Some(oncall())),
        ("！stop oncall", Some(oncall())),
        ("**oncall**: hello", Some(oncall())),
        ("**oncall:** hello", Some(oncall())),
        ("\u{2068}@oncall\u{2069} hello", Some(oncall())),
        ("oncall · coworker: hello", Some(oncall())),
        ("oncall · coworker hello", Some(oncall())),
        ("@coworker-oncall:here.org hello", Some(oncall())),
        ("@coworker-oncall hello", Some(oncall())),
        ("coworker-oncall: hello", Some(oncall())),
        ("> <@bob:here.org> hm\n\n@oncall why", Some(oncall())),
        ("Build Help, why?", Some(ci())),
        ("@build help look", Some(ci())),
        ("oncall was paged twice last night", None),
        ("Build Help is down again.", None),
        ("please ask @oncall", None),
        ("hey oncall: hello", None),
        ("who is @oncall?", None),
        ("@oncaller hello", None),
        ("@oncall.example.org is down", None),
        ("@oncall:here.org: hi", None),
        ("@coworker-oncall:evil.org: hi", None),
        ("> @oncall hello", None),
        ("`@oncall` is what you type", None),
        ("!nothing of @oncall is a command", None),
    ];
    for (body, expected) in table {
        let expected = expected.map_or(nobody(Silence::NotAddressed), |user| asks(&[(user, Why::Mentioned)]));
        assert_eq!(addressed(&said(Message::text(body)), &scene()), expected, "{body}");
    }
    // For a pill in bold or in a quote, only the sender's own words count.
    let html = |html: &str, body: &str| Message { html: Some(html.to_owned()), ..Message::text(body) };
    let bold = html("<strong>oncall</strong>: hello", "**oncall**: hello");
    assert_eq!(addressed(&said(bold), &scene()), asks(&[(oncall(), Why::Mentioned)]));
    let code = html("<code>oncall: hello</code>", "oncall: hello");
    assert_eq!(addressed(&said(code), &scene()), nobody(Silence::NotAddressed));
    let also =
        addressed(&said(Message { mentions: mentioning(&[ci()]).mentions, ..Message::text("oncall: hm") }), &scene());
    assert_eq!(also, asks(&[(ci(), Why::Mentioned), (oncall(), Why::Mentioned)]));
}

#[test]
fn c5_in_its_thread_what_people_say_among_themselves_is_not_for_it() {
    let members = [
        Member { user: alice(), name: Some("Alice") },
        Member { user: bob(), name: Some("Bob Stone") },
        Member { user: user_id!("@will:here.org"), name: Some("Will") },
        Member { user: user_id!("@boss:here.org"), name: Some("The Boss") },
        Member { user: user_id!("@zhang:here.org"), name: Some("张伟") },
        Member { user: oncall(), name: Some("oncall · coworker") },
    ];
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), others_mentioned: false, ..ThreadSoFar::default() };
    let scene = Scene { thread: Some(&one), members: &members, ..scene() };
    let follows = || asks(&[(oncall(), Why::FollowsThread)]);
    let others = || nobody(Silence::NotAddressed);
    let nothing = || nobody(Silence::NoWords);
    let table = [
        ("bob: can you restart it?", others()),
        ("Bob, can you?", others()),
        ("Bob Stone can you restart it", follows()),
        ("bob can you restart it", follows()),
        ("bob - can you restart it", others()),
        ("@bob please", others()),
        ("hey bob, can you look", others()),
        ("thanks @bob", others()),
        ("thanks, Bob!", others()),
        ("@bob:here.org please", others()),
        ("@carol please", others()),
        ("@here look", others()),
        ("张伟，请看", others()),
        ("@张伟 请看", others()),
        ("will: can you", others()),
        ("@will can you", others()),
        ("boss, it is red", others()),
        ("👋 Bob, look", others()),
        ("Bob & Will: look", others()),
        ("Bob/Will: look", others()),
        ("Bob and Will, look", others()),
        ("Bob Stone und @will, look", others()),
        ("hi Bob + Will: look", others()),
        ("Bob and the disk: look", follows()),
        ("Bob & oncall: look", follows()),
        ("will it work on Friday", follows()),
        ("The pager is red", follows()),
        ("Bob's deploy failed, why?", follows()),
        ("alice here, it is me who asks", follows()),
        ("what did bob: say", follows()),
        ("and today?", follows()),
        ("thanks, and today?", follows()),
        ("```\nerror 7\n```", follows()),
        ("42", follows()),
        ("да", follows()),
        ("好", follows()),
        ("👍", nothing()),
        ("👍🏽 🎉", nothing()),
        ("👨‍👩‍👧 🏳️‍🌈 🇩🇪 1️⃣ ❤️", nothing()),
        (":+1: :tada:", nothing()),
        (":-) :D xD <3", nothing()),
        ("+1", nothing()),
        ("…", nothing()),
        ("??", follows()),
        ("❓", follows()),
        ("👍?", follows()),
        ("ℹ️", nothing()),
    ];
    for (body, expected) in table {
        assert_eq!(addressed(&said(in_thread(Message::text(body))), &scene), expected, "{body}");
    }
    let file = |body: &str, voice: bool| Message {
        kind: MessageKind::Attachment {
            msgtype: if voice { "m.audio" } else { "m.image" }.to_owned(),
            name: "a.png".to_owned(),
            mime: None,
            size: None,
            voice,
            media: None,
        },
        ..in_thread(Message::text(body))
    };
    let pill = "<a href=\"https://matrix.to/#/@bob:here.org\">Bobby</a>: can you?";
    let unknown = Message { kind: MessageKind::Other("org.example.odd".to_owned()), ..in_thread(Message::text("hm")) };
    let table = [
        (file("a.png", false), nothing()),
        (file("what is this?", false), follows()),
        (file("a.png", true), follows()),
        (in_thread(Message { html: Some(pill.to_owned()), ..Message::text("Bobby: can you?") }), others()),
        (unknown, others()),
    ];
    for (message, expected) in table {
        assert_eq!(addressed(&said(message.clone()), &scene), expected, "{message:?}");
    }
    let mut thread = one.clone();
    for (by, said_next, others_mentioned) in
        [(alice(), "bob: can you restart it?", false), (bob(), "on it", true), (alice(), "thank you", true)]
    {
        let event = event(by, EventKind::Message(in_thread(Message::text(said_next))));
        let before = thread.clone();
        let scene = Scene { thread: Some(&before), ..scene };
        let verdict = addressed(&event, &scene);
        assert!(matches!(verdict, Verdict::Nobody(_)), "{said_next}");
        thread.note(&event, &verdict, &scene);
        assert_eq!(thread.others_mentioned, others_mentioned, "{said_next}");
    }
}

#[test]
fn c5_the_members_and_the_root_are_looked_up_only_where_they_matter() {
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), others_mentioned: false, ..ThreadSoFar::default() };
    let none = ThreadSoFar::default();
    let root = event_id!("$root");
    let table = [
        ("follows", in_thread(Message::text("and today?")), &one, None, true),
        ("mentions it", in_thread(mentioning(&[oncall()])), &one, None, false),
        ("no words", in_thread(Message::text("👍")), &one, None, false),
        ("no thread", Message::text("hi"), &one, None, false),
        ("nobody was asked", in_thread(Message::text("hi")), &none, Some(root), false),
        ("nobody was asked, no words", in_thread(Message::text("👍")), &none, None, false),
    ];
    for (name, message, thread, root, members) in table {
        let (event, scene) = (said(message), Scene { thread: Some(thread), ..scene() });
        assert_eq!((needs_root(&event, &scene), needs_members(&event, &scene)), (root, members), "{name}");
    }
}

#[test]
fn c5_a_thread_that_was_opened_on_its_own_message_is_its_own() {
    let none = ThreadSoFar::default();
    let asked = ThreadSoFar { asked: [ci().to_owned()].into(), others_mentioned: false, ..ThreadSoFar::default() };
    let others = ThreadSoFar { others_mentioned: true, ..ThreadSoFar::default() };
    let hm = || in_thread(Message::text("how do I start?"));
    let table = [
        ("its own", oncall(), &none, hm(), asks(&[(oncall(), Why::FollowsThread)])),
        ("a person's", bob(), &none, hm(), nobody(Silence::NotAddressed)),
        ("one of ours that is not here", user_id!("@coworker-x:here.org"), &none, hm(), nobody(Silence::NotAddressed)),
        ("another was asked there", oncall(), &asked, hm(), asks(&[(ci(), Why::FollowsThread)])),
        ("people talk there", oncall(), &others, hm(), nobody(Silence::AmbiguousThread)),
        ("no thread", oncall(), &none, Message::text("hm"), nobody(Silence::NotAddressed)),
        ("to bob", oncall(), &none, in_thread(Message::text("@bob look")), nobody(Silence::NotAddressed)),
    ];
    for (name, root, thread, message, expected) in table {
        let scene = Scene { thread: Some(thread), root_sender: Some(root), ..scene() };
        assert_eq!(addressed(&said(message), &scene), expected, "{name}");
    }
}

#[test]
fn c5_without_m_mentions_only_the_longest_name_at_the_start_is_meant() {
    let on = CoworkerHere { user: user_id!("@coworker-on:here.org"), id: "on", name: "On", display_name: None };
    let on_call = CoworkerHere { user: user_id!("@coworker-x:here.org"), id: "x", name: "On Call", display_name: None };
    let scene = Scene { coworkers: &[on, on_call], ..scene() };
    assert_eq!(addressed(&said(unmarked("on call: hi", None)), &scene), asks(&[(on_call.user, Why::Mentioned)]));
}

#[test]
fn c5_without_m_mentions_a_link_is_a_request() {
    let table = [
        ("matrix.to", "<p>ask <a href=\"https://matrix.to/#/@coworker-oncall:here.org\">x</a></p>", true),
        ("in capitals", "<A HREF=\"HTTPS://MATRIX.TO/#/@coworker-oncall:here.org\">x</A>", true),
        ("escaped", "<a href='https://matrix.to/#/%40coworker-oncall%3Ahere.org'>x</a>", true),
        ("by entity", "<a href=\"https://matrix.to/#/&#64;coworker-oncall:here.org\">x</a>", true),
        ("unquoted", "<A class=pill HREF=https://matrix.to/#/@coworker-oncall:here.org>x</A>", true),
        ("matrix scheme", "<a href=\"matrix:u/coworker-oncall:here.org\">x</a>", true),
        ("written out", "see https://matrix.to/#/@coworker-oncall:here.org, please", true),
        (
            "after a quote",
            "<blockquote>q</blockquote><a href=\"https://matrix.to/#/@coworker-oncall:here.org\">x</a>",
            true,
        ),
        ("of another server", "<a href=\"https://matrix.to/#/@coworker-oncall:evil.org\">x</a>", false),
        ("to another site", "<a href=\"https://evil.org/#/@coworker-oncall:here.org\">x</a>", false),
        ("to an event", "<a href=\"https://matrix.to/#/!r:here.org/$e\">x</a>", false),
        ("in a comment", "<!-- <a href=\"https://matrix.to/#/@coworker-oncall:here.org\">x</a> -->hi", false),
        (
            "in another attribute",
            "<a title=\"href=https://matrix.to/#/@coworker-oncall:here.org\" href=\"/\">x</a>",
            false,
        ),
    ];
    for (name, html, expected) in table {
        let verdict = addressed(&said(unmarked("x", Some(html))), &scene());
        let wanted = if expected { asks(&[(oncall(), Why::Mentioned)]) } else { nobody(Silence::NotAddressed) };
        assert_eq!(verdict, wanted, "{name}");
    }
    let body = "[x](https://matrix.to/#/@coworker-oncall:here.org) hi";
    assert_eq!(addressed(&said(unmarked(body, None)), &scene()), asks(&[(oncall(), Why::Mentioned)]));
}

#[test]
fn c5_a_mention_inside_a_quote_a_reply_fallback_or_code_is_no_request() {
    let pill = "<a href=\"https://matrix.to/#/@coworker-oncall:here.org\">oncall</a>";
    for wrap in ["blockquote", "mx-reply", "code", "pre", "BlockQuote"] {
        for html in [
            format!("<{wrap}>{pill}: why?</{wrap}> hm"),
            format!("<{wrap}><p><b>{pill}</p></{wrap}>hm"),
            format!("<{wrap}><{wrap}>a</{wrap}>{pill}</{wrap}>hm"),
            format!("<{wrap}>{pill} and never closed"),
        ] {
            let verdict = addressed(&said(unmarked("oncall: why? hm", Some(&html))), &scene());
            assert_eq!(verdict, nobody(Silence::NotAddressed), "{html}");
        }
    }
    let link = "https://matrix.to/#/@coworker-oncall:here.org";
    for body in [
        format!("> ask {link}\nhm"),
        format!("```\n{link}\n```\nhm"),
        format!("~~~\n```\n{link}\n~~~"),
        format!("look at `{link}` hm"),
    ] {
        assert_eq!(addressed(&said(unmarked(&body, None)), &scene()), nobody(Silence::NotAddressed), "{body}");
    }
}

#[test]
fn c5_a_files_name_is_no_mention_but_its_caption_is() {
    let file = |body: &str| Message {
        kind: MessageKind::Attachment {
            msgtype: "m.file".to_owned(),
            name: "oncall plan.pdf".to_owned(),
            mime: None,
            size: None,
            voice: false,
            media: None,
        },
        ..unmarked(body, None)
    };
    assert_eq!(addressed(&said(file("oncall plan.pdf")), &scene()), nobody(Silence::NotAddressed));
    assert_eq!(addressed(&said(file("oncall: look")), &scene()), asks(&[(oncall(), Why::Mentioned)]));
}

/// Returns an image with a file name.
fn image(name: &str) -> MessageKind {
    MessageKind::Attachment {
        msgtype: "m.image".to_owned(),
        name: name.to_owned(),
        mime: None,
        size: None,
        voice: false,
        media: None,
    }
}

#[test]
fn c6_a_caption_asks_itself_only_names_or_belongs_to_what_was_asked_before() {
    let captioned = |name: &str, caption: &str| Message { kind: image(name), ..Message::text(caption) };
    for (message, asks_itself, names) in [
        (captioned("x.png", "and who painted this one?"), true, false),
        (captioned("x.png", "what is on it"), true, false),
        (captioned("x.png", "please read this, too"), true, false),
        (captioned("x.png", "kannst du das lesen"), true, false),
        (captioned("x.png", "here is the wall"), false, false),
        (captioned("x.png", "the wall, from the left"), false, false),
        (captioned("x.png", "@oncall"), false, true),
        (captioned("x.png", "oncall:"), false, true),
        (captioned("x.png", "@oncall look at the wall"), false, false),
        (captioned("what?.png", "what?.png"), false, false),
        (Message::text("what is on it?"), false, false),
        (Message::text("@oncall"), false, false),
    ] {
        let found = (asks_by_caption(&message), only_names(&message, &COWORKERS));
        assert_eq!(found, (asks_itself, names), "{}", message.body);
    }
}

#[test]
fn c5_people_ask_in_words_acts_and_captions_and_in_nothing_else() {
    let asked = asks(&[(oncall(), Why::Mentioned)]);
    let table = [
        ("text", MessageKind::Text, asked.clone()),
        ("an emote", MessageKind::Emote, asked.clone()),
        ("what somebody passes off as a card", MessageKind::Card, asked.clone()),
        ("a file with a caption", image("plan.png"), asked.clone()),
        ("a notice", MessageKind::Notice, nobody(Silence::Notice)),
        ("a place", MessageKind::Location(crate::core::event::Location::default()), asked.clone()),
        ("what nobody knows", MessageKind::Other("org.example.hologram".to_owned()), asked.clone()),
        ("a verification", MessageKind::Other("m.key.verification.request".to_owned()), nobody(Silence::NoMessage)),
        ("a step of one", MessageKind::Other("m.key.verification.start".to_owned()), nobody(Silence::NoMessage)),
        ("a server's notice", MessageKind::Other("m.server_notice".to_owned()), nobody(Silence::NoMessage)),
    ];
    for (name, kind, expected) in table {
        assert_eq!(addressed(&said(Message { kind, ..mentioning(&[oncall()]) }), &scene()), expected, "{name}");
    }
}

#[test]
fn c5_two_people_in_one_thread_are_both_answered_by_the_one_that_was_asked() {
    let mut thread = ThreadSoFar::default();
    let ask = |person: &UserId, message: Message| event(person, EventKind::Message(message));
    let steps = [
        ("alice asks", ask(alice(), mentioning(&[oncall()])), asks(&[(oncall(), Why::Mentioned)])),
        ("bob follows", ask(bob(), in_thread(Message::text("x"))), asks(&[(oncall(), Why::FollowsThread)])),
        ("bob turns to alice", ask(bob(), in_thread(mentioning(&[alice()]))), nobody(Silence::NotAddressed)),
        ("alice to bob", ask(alice(), in_thread(Message::text("x"))), nobody(Silence::AmbiguousThread)),
        ("bob asks", ask(bob(), in_thread(mentioning(&[oncall()]))), asks(&[(oncall(), Why::Mentioned)])),
        ("alice follows", ask(alice(), in_thread(Message::text("x"))), asks(&[(oncall(), Why::FollowsThread)])),
        ("bob asks another", ask(bob(), in_thread(mentioning(&[ci()]))), asks(&[(ci(), Why::Mentioned)])),
        ("alice follows whom?", ask(alice(), in_thread(Message::text("x"))), nobody(Silence::AmbiguousThread)),
    ];
    for (name, event, expected) in steps {
        let before = thread.clone();
        let scene = Scene { thread: Some(&before), ..scene() };
        let verdict = addressed(&event, &scene);
        assert_eq!(verdict, expected, "{name}");
        thread.note(&event, &verdict, &scene);
    }
}

#[test]
fn c5_a_reply_addresses_only_the_replied_coworker() {
    let table = [
        ("to a coworker", Some(oncall()), Message::text("and now?"), asks(&[(oncall(), Why::RepliedTo)])),
        (
            "to a coworker, mentioned by the client",
            Some(oncall()),
            mentioning(&[oncall()]),
            asks(&[(oncall(), Why::Mentioned)]),
        ),
        (
            "to one, mentioning another",
            Some(oncall()),
            mentioning(&[ci()]),
            asks(&[(ci(), Why::Mentioned), (oncall(), Why::RepliedTo)]),
        ),
        ("to a person", Some(bob()), Message::text("and now?"), nobody(Silence::NotAddressed)),
        ("to nobody known", None, Message::text("and now?"), nobody(Silence::NotAddressed)),
    ];
    for (name, reply_sender, message, expected) in table {
        let scene = Scene { reply_sender, ..scene() };
        assert_eq!(addressed(&said(replying(message)), &scene), expected, "{name}");
    }
}

#[test]
fn c5_a_sender_left_over_from_another_lookup_does_not_make_a_reply() {
    let scene = Scene { reply_sender: Some(oncall()), ..scene() };
    assert_eq!(addressed(&said(Message::text("hi")), &scene), nobody(Silence::NotAddressed));
}

#[test]
fn c5_the_replied_message_is_looked_up_only_where_it_matters() {
    let before = event_id!("$before");
    let notice = Message { kind: MessageKind::Notice, ..Message::text("x") };
    let table = [
        ("a plain reply", said(replying(Message::text("x"))), Some(before)),
        ("a reply that mentions one", said(replying(mentioning(&[ci()]))), Some(before)),
        ("a reply that mentions all", said(replying(mentioning(&[ci(), oncall()]))), None),
        ("no reply", said(Message::text("x")), None),
        ("a notice", said(replying(notice)), None),
        ("our own", event(oncall(), EventKind::Message(replying(Message::text("x")))), None),
        ("a reaction", said_reaction(), None),
    ];
    for (name, event, expected) in &table {
        assert_eq!(needs_reply_target(event, &scene()), *expected, "{name}");
    }
    let known = Scene { reply_sender: Some(bob()), ..scene() };
    assert_eq!(needs_reply_target(&table[0].1, &known), None);
    assert_eq!(needs_reply_target(&table[0].1, &Scene { coworkers: &[], ..scene() }), None);
}

fn said_reaction() -> RoomEvent {
    event(alice(), EventKind::Reaction { target: event_id!("$before").to_owned(), key: "👍".to_owned() })
}

#[test]
fn c5_a_message_follows_in_a_thread_where_only_one_was_asked_and_nobody_else_mentioned() {
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), others_mentioned: false, ..ThreadSoFar::default() };
    let two = ThreadSoFar {
        asked: [oncall().to_owned(), ci().to_owned()].into(),
        others_mentioned: false,
        ..ThreadSoFar::default()
    };
    let others = ThreadSoFar { others_mentioned: true, ..one.clone() };
    let gone = ThreadSoFar {
        asked: [user_id!("@coworker-sales:here.org").to_owned()].into(),
        others_mentioned: false,
        ..ThreadSoFar::default()
    };
    let follows = asks(&[(oncall(), Why::FollowsThread)]);
    let room = Message { mentions: Some(Mentions { room: true, ..Mentions::default() }), ..Message::text("x") };
    let table = [
        ("plain", &one, None, in_thread(Message::text("and today?")), follows.clone()),
        ("mentions itself", &one, None, in_thread(mentioning(&[alice()])), follows.clone()),
        ("mentions it", &one, None, in_thread(mentioning(&[oncall()])), asks(&[(oncall(), Why::Mentioned)])),
        ("mentions a person", &one, None, in_thread(mentioning(&[bob()])), nobody(Silence::NotAddressed)),
        ("mentions another", &one, None, in_thread(mentioning(&[ci()])), asks(&[(ci(), Why::Mentioned)])),
        (
            "links a person",
            &one,
            None,
            in_thread(unmarked("ask https://matrix.to/#/@bob:here.org", None)),
            nobody(Silence::NotAddressed),
        ),
        (
            "replies to a person",
            &one,
            Some(bob()),
            in_thread(replying(Message::text("x"))),
            nobody(Silence::NotAddressed),
        ),
        ("replies to itself", &one, Some(alice()), in_thread(replying(Message::text("x"))), follows),
        ("mentions @room", &one, None, in_thread(room), nobody(Silence::RoomMention)),
        ("outside the thread", &one, None, Message::text("x"), nobody(Silence::NotAddressed)),
        ("several were asked", &two, None, in_thread(Message::text("x")), nobody(Silence::AmbiguousThread)),
        ("others mentioned since", &others, None, in_thread(Message::text("x")), nobody(Silence::AmbiguousThread)),
        ("it has left", &gone, None, in_thread(Message::text("x")), nobody(Silence::NotAddressed)),
        (
            "nobody was asked",
            &ThreadSoFar::default(),
            None,
            in_thread(Message::text("x")),
            nobody(Silence::NotAddressed),
        ),
    ];
    for (name, thread, reply_sender, message, expected) in table {
        let scene = Scene { thread: Some(thread), reply_sender, ..scene() };
        assert_eq!(addressed(&said(message), &scene), expected, "{name}");
    }
}

#[test]
fn c5_a_thread_remembers_who_was_asked_and_whether_others_were_mentioned_since() {
    let mut thread = ThreadSoFar::default();
    let steps = [
        ("asked", said(mentioning(&[oncall(), bob()])), false),
        ("its own answer", event(oncall(), EventKind::Message(in_thread(mentioning(&[alice()])))), false),
        ("follow-up", said(in_thread(Message::text("more"))), false),
        ("a notice", said(in_thread(Message { kind: MessageKind::Notice, ..mentioning(&[bob()]) })), false),
        ("a bot", event(user_id!("@buildbot:here.org"), EventKind::Message(in_thread(mentioning(&[bob()])))), false),
        ("a person is mentioned", said(in_thread(mentioning(&[bob()]))), true),
        ("plain words", said(in_thread(Message::text("more"))), true),
        ("asked again", said(in_thread(mentioning(&[oncall()]))), false),
    ];
    for (name, event, others_mentioned) in steps {
        let before = thread.clone();
        let scene = Scene { thread: Some(&before), ..scene() };
        let verdict = addressed(&event, &scene);
        thread.note(&event, &verdict, &scene);
        assert_eq!(
            thread,
            ThreadSoFar { asked: [oncall().to_owned()].into(), others_mentioned, called: None },
            "{name}"
        );
    }
    let stored = serde_json::to_string(&thread).unwrap();
    assert_eq!(stored, r#"{"asked":["@coworker-oncall:here.org"],"others_mentioned":false}"#);
}

/// Returns which of these messages, sent one after another in a coworker's thread, ask it.
fn asked_in_turn(said: &[(&UserId, Message)]) -> Vec<bool> {
    let (carol, dan) = (user_id!("@carol:here.org"), user_id!("@dan:here.org"));
    let members = [
        Member { user: alice(), name: Some("Alice") },
        Member { user: bob(), name: Some("Ella") },
        Member { user: carol, name: Some("Carol Shaw") },
        Member { user: dan, name: Some("Dan") },
    ];
    let mut thread = ThreadSoFar { asked: [oncall().to_owned()].into(), ..ThreadSoFar::default() };
    let asked = said.iter().map(|(sender, message)| {
        let before = thread.clone();
        let scene = Scene { thread: Some(&before), members: &members, ..scene() };
        let event = event(sender, EventKind::Message(in_thread(message.clone())));
        let verdict = addressed(&event, &scene);
        thread.note(&event, &verdict, &scene);
        matches!(verdict, Verdict::Asked(_))
    });
    asked.collect()
}

#[test]
fn c5_a_typed_name_makes_one_message_somebody_elses_and_the_thread_is_followed_again() {
    type Said<'a> = Vec<(&'a UserId, Message)>;
    let (ella, carol) = (bob(), user_id!("@carol:here.org"));
    let text = |body: &str| Message::text(body);
    let table: [(&str, Said<'_>, Vec<bool>); 9] = [
        ("the caller goes on", vec![(alice(), text("Ella: nice")), (alice(), text("and today?"))], vec![false, true]),
        ("a third one asks", vec![(alice(), text("Ella: nice")), (carol, text("and today?"))], vec![false, true]),
        (
            "people go on among themselves",
            vec![
                (alice(), text("Ella: can you restart it?")),
                (ella, text("on it")),
                (alice(), text("thank you so much")),
                (carol, text("works again")),
                (alice(), mentioning(&[oncall()])),
                (alice(), text("and now?")),
            ],
            vec![false, false, false, false, true, true],
        ),
        (
            "what has no words changes nothing",
            vec![(alice(), text("Ella: nice")), (ella, text("🎉")), (alice(), text("and today?"))],
            vec![false, false, true],
        ),
        (
            "the called one comes later",
            vec![(alice(), text("Ella: nice")), (alice(), text("and today?")), (ella, text("and tomorrow?"))],
            vec![false, true, true],
        ),
        (
            "the called one asks it by name",
            vec![(alice(), text("Ella: nice")), (ella, text("@oncall and today?")), (ella, text("and tomorrow?"))],
            vec![false, true, true],
        ),
        (
            "one name behind the other",
            vec![(alice(), text("Ella: nice")), (alice(), text("Carol, too")), (ella, text("and today?"))],
            vec![false, false, true],
        ),
        (
            "who is called is not known: anybody else may answer",
            vec![(alice(), text("@here look")), (carol, text("looking")), (alice(), text("and?"))],
            vec![false, false, false],
        ),
        (
            "a mention ends it until the next one, as C5 says",
            vec![(alice(), mentioning(&[ella])), (alice(), text("and today?"))],
            vec![false, false],
        ),
    ];
    for (name, said, expected) in table {
        assert_eq!(asked_in_turn(&said), expected, "{name}");
    }
    let called = ThreadSoFar {
        called: Some(Called { by: alice().to_owned(), users: [bob().to_owned()].into() }),
        ..ThreadSoFar::default()
    };
    let stored = serde_json::to_string(&called).unwrap();
    assert_eq!(
        stored,
        r#"{"asked":[],"others_mentioned":false,"called":{"by":"@alice:here.org","users":["@bob:here.org"]}}"#
    );
    assert_eq!(serde_json::from_str::<ThreadSoFar>(&stored).unwrap(), called);
}

#[test]
fn g_whatever_names_a_coworker_asks_it_and_what_machines_say_asks_nobody() {
    let asked = || asks(&[(oncall(), Why::Mentioned)]);
    let poll = crate::core::event::Poll { answers: Vec::new(), selections_max: 1, disclosed: true };
    let attachment = |msgtype: &str| MessageKind::Attachment {
        msgtype: msgtype.to_owned(),
        name: "please look".to_owned(),
        mime: None,
        size: None,
        voice: false,
        media: None,
    };
    let other = |kind: &str| MessageKind::Other(kind.to_owned());
    let kinds = [
        (attachment("m.sticker"), asked()),
        (attachment("m.audio"), asked()),
        (attachment("m.video"), asked()),
        (MessageKind::Poll(poll.clone()), asked()),
        (MessageKind::Location(crate::core::event::Location::default()), asked()),
        (MessageKind::Unreadable, asked()),
        (other("m.contact"), asked()),
        (other("org.example.hologram"), asked()),
        // A server notice to one user: no person wrote it, and its sender reads no answer.
        (other("m.server_notice"), nobody(Silence::NoMessage)),
        (other("m.key.verification.request"), nobody(Silence::NoMessage)),
        (other("m.bad.encrypted"), nobody(Silence::NoMessage)),
        (MessageKind::Notice, nobody(Silence::Notice)),
    ];
    for (kind, expected) in kinds {
        for body in ["please look", ""] {
            let message = Message { kind: kind.clone(), body: body.to_owned(), ..mentioning(&[oncall()]) };
            assert_eq!(addressed(&said(message.clone()), &scene()), expected, "{message:?}");
        }
    }
    let poll = |body: &str| Message { kind: MessageKind::Poll(poll.clone()), mentions: None, ..Message::text(body) };
    assert_eq!(addressed(&said(poll("@oncall: lunch at noon?")), &scene()), asked());
    assert_eq!(addressed(&said(poll("oncall rota on Friday")), &scene()), nobody(Silence::NotAddressed));
    // Without a mention it neither follows in a thread nor replies to anybody.
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), ..ThreadSoFar::default() };
    let in_its_thread = Scene { thread: Some(&one), reply_sender: Some(oncall()), ..scene() };
    let sticker = Message { kind: attachment("m.sticker"), ..Message::text("please look") };
    for message in [replying(sticker.clone()), in_thread(sticker), in_thread(poll("lunch at noon?"))] {
        assert!(matches!(addressed(&said(message.clone()), &in_its_thread), Verdict::Nobody(_)), "{message:?}");
    }
}

#[test]
fn c5_c14_notices_ours_and_bots_are_never_answered() {
    let message = || mentioning(&[oncall(), ci()]);
    let notice = Message { kind: MessageKind::Notice, ..message() };
    let verification = Message { kind: MessageKind::Other("m.key.verification.request".to_owned()), ..message() };
    let table = [
        (event(alice(), EventKind::Message(notice)), Silence::Notice),
        (event(alice(), EventKind::Message(verification)), Silence::NoMessage),
        (event(oncall(), EventKind::Message(message())), Silence::OurOwn),
        (event(user_id!("@workmate:here.org"), EventKind::Message(message())), Silence::OurOwn),
        (event(user_id!("@assistant-bob:here.org"), EventKind::Message(message())), Silence::OurOwn),
        (event(user_id!("@buildbot:here.org"), EventKind::Message(message())), Silence::Bot),
        (event(user_id!("@17:here.org"), EventKind::Message(message())), Silence::Guest),
        (event(user_id!("@irc_ann:here.org"), EventKind::Message(message())), Silence::Bridged),
        (said_reaction(), Silence::NoMessage),
        (event(alice(), EventKind::Redacted), Silence::NoMessage),
        (event(alice(), EventKind::Undecryptable(None)), Silence::NoMessage),
    ];
    for (event, silence) in table {
        assert_eq!(addressed(&event, &scene()), nobody(silence), "{event:?}");
    }
    let puppet = event(user_id!("@tg_ann:here.org"), EventKind::Message(message()));
    assert!(matches!(addressed(&puppet, &scene()), Verdict::Asked(_)), "config lets this bridge's puppets ask");
}

#[test]
fn c15_strangers_are_told_only_when_they_asked_one() {
    let stranger = user_id!("@mallory:evil.org");
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), others_mentioned: false, ..ThreadSoFar::default() };
    let table = [
        (mentioning(&[oncall()]), true),
        (unmarked("oncall: hi", None), true),
        (Message::text("@oncall hi"), true),
        (Message::text("hi"), false),
        (in_thread(Message::text("hi")), false),
        (Message { kind: MessageKind::Notice, ..mentioning(&[oncall()]) }, false),
    ];
    for (message, tell_stranger) in table {
        let scene = Scene { thread: Some(&one), ..scene() };
        let verdict = addressed(&event(stranger, EventKind::Message(message)), &scene);
        assert_eq!(verdict, nobody(Silence::Stranger { tell_stranger }));
    }
    let friend = event(user_id!("@carol:friends.org"), EventKind::Message(mentioning(&[oncall()])));
    assert_eq!(addressed(&friend, &scene()), asks(&[(oncall(), Why::Mentioned)]));
}

#[test]
fn c5_a_request_older_than_the_deadline_is_late() {
    let minutes_ago = |minutes: i64| Timestamp::from_ms(NOW.as_ms() - minutes * MINUTE_MS);
    let table = [
        ("fresh", minutes_ago(0), minutes_ago(0), false),
        ("at the deadline", minutes_ago(30), minutes_ago(0), false),
        ("sent while we were down", minutes_ago(31), minutes_ago(0), true),
        ("accepted long ago", minutes_ago(0), minutes_ago(31), true),
        ("claimed from the future", minutes_ago(-999), minutes_ago(31), true),
    ];
    for (name, sent_at, accepted_at, late) in table {
        let event = RoomEvent { sent_at, ..said(mentioning(&[oncall()])) };
        let verdict = addressed(&event, &Scene { accepted_at, ..scene() });
        let expected = Verdict::Asked(vec![Asked { user: oncall().to_owned(), why: Why::Mentioned, late }]);
        assert_eq!(verdict, expected, "{name}");
    }
}

#[test]
fn c6_an_edit_that_newly_mentions_triggers_once_within_five_minutes() {
    let none = BTreeSet::new();
    let asked: BTreeSet<_> = [oncall().to_owned()].into();
    let newly = || -> BTreeSet<OwnedUserId> { [oncall().to_owned()].into() };
    let triggers = asks(&[(oncall(), Why::NewlyMentionedByEdit)]);
    let full = || mentioning(&[oncall()]);
    let notice = Message { kind: MessageKind::Notice, ..full() };
    let nothing = nobody(Silence::NothingNewInEdit);
    let table = [
        ("newly", alice(), 0, &none, full(), newly(), triggers.clone()),
        ("at five minutes", alice(), 5 * MINUTE_MS, &none, full(), newly(), triggers.clone()),
        ("after", alice(), 5 * MINUTE_MS + 1, &none, full(), newly(), nobody(Silence::TooOldEdit)),
        ("again", alice(), 0, &asked, full(), newly(), nobody(Silence::NothingNewInEdit)),
        ("not newly", alice(), 0, &none, full(), none.clone(), nobody(Silence::NothingNewInEdit)),
        ("somebody else's", bob(), 0, &none, full(), newly(), nobody(Silence::ForeignEdit)),
        ("to a notice", alice(), 0, &none, notice, newly(), nobody(Silence::Notice)),
        (
            "in the new text's mentions alone",
            alice(),
            0,
            &none,
            full(),
            none.clone(),
            nobody(Silence::NothingNewInEdit),
        ),
        ("by name", alice(), 0, &none, Message::text("@oncall hi"), none.clone(), triggers.clone()),
        (
            "by a name that is no address",
            alice(),
            0,
            &none,
            Message::text("oncall is up"),
            none.clone(),
            nothing.clone(),
        ),
        ("by name, without m.mentions", alice(), 0, &none, unmarked("oncall: hi", None), none.clone(), triggers),
        (
            "by name again",
            alice(),
            0,
            &asked,
            unmarked("oncall: hi", None),
            none.clone(),
            nobody(Silence::NothingNewInEdit),
        ),
    ];
    for (name, original_sender, after_ms, asked, new, newly_mentioned, expected) in table {
        let sent_at = Timestamp::from_ms(NOW.as_ms() - after_ms);
        let replaced = RoomEvent { sent_at, ..event(original_sender, EventKind::Message(Message::text("hm"))) };
        let original = Original { event: &replaced, asked };
        let target: OwnedEventId = event_id!("$before").to_owned();
        let edit = event(alice(), EventKind::Edit { target, new, newly_mentioned });
        assert_eq!(addressed(&edit, &Scene { original: Some(original), ..scene() }), expected, "{name}");
        assert!(matches!(addressed(&edit, &scene()), Verdict::Nobody(Silence::UnknownOriginal | Silence::Notice)));
    }
}
