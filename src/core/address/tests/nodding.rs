use super::*;
use crate::core::event::EventKind;

const ASKS_NOTHING: [&str; 60] = [
    "👍",
    "🙏🏽",
    "🎉🎉",
    "❤️",
    ":+1:",
    "+1",
    "…",
    "!",
    "thanks",
    "Thanks!",
    "thank you so much",
    "Thx 👍",
    "ty",
    "ok, thanks!",
    "OK",
    "ｏｋ",
    "okay 👌",
    "great, thanks a lot!",
    "got it",
    "Thanks, oncall!",
    "thanks @Build Help",
    "Perfect. Thank you.",
    "thanks for the help",
    "Danke schön",
    "Alles klar, danke!",
    "merci beaucoup 🙏",
    "d’accord",
    "muchas gracias",
    "obrigada!",
    "grazie mille",
    "спасибо большое",
    "dziękuję",
    "teşekkürler",
    "شكرا",
    "תודה רבה",
    "धन्यवाद",
    "谢谢！",
    "好的，谢谢",
    "好的",
    "ありがとうございます。",
    "了解です",
    "감사합니다~",
    "cảm ơn",
    "> the quoted answer\n\nthanks",
    "lgtm",
    "LGTM 👍",
    "you're welcome",
    "You’re welcome!",
    "nvm",
    "Never mind, thanks",
    "ta",
    "(y)",
    "yes",
    "no",
    "no thanks",
    "ja",
    "はい",
    "да",
    "oui",
    "Ja, danke!",
];

const ASKS: [&str; 30] = [
    "👍 and now?",
    "?",
    "??",
    "❓",
    "👍❓",
    "؟",
    "thanks?",
    "ok?",
    "yes, restart it",
    "no, the other one",
    "(x)",
    "thanks, and today",
    "ok do it",
    "ok go",
    "ok again",
    "thanks but it is still red",
    "ok, restart it",
    "great, next one please",
    "42",
    "A",
    "B",
    "later",
    "stop",
    "please",
    "more",
    "wrong",
    "danke, und morgen",
    "谢谢，请重启",
    "ok is that it",
    "",
];

fn in_reply(body: &str) -> Message {
    replying(Message::text(body))
}

#[test]
fn c5_emoji_and_thanks_alone_in_reply_to_an_answer_or_in_its_thread_ask_nothing() {
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), ..ThreadSoFar::default() };
    let scene = Scene { thread: Some(&one), reply_sender: Some(oncall()), asked_back: Some(false), ..scene() };
    let nothing = || nobody(Silence::NoWords);
    for body in ASKS_NOTHING.map(|body| body.replace("，", "， ")) {
        // Clients mention the replied-to sender.
        let mentioned = Message { mentions: mentioning(&[oncall()]).mentions, ..in_reply(&body) };
        for message in [in_reply(&body), mentioned, in_thread(Message::text(body.clone()))] {
            assert_eq!(addressed(&said(message), &scene), nothing(), "{body}");
        }
    }
    for body in ASKS {
        assert_eq!(addressed(&said(in_reply(body)), &scene), asks(&[(oncall(), Why::RepliedTo)]), "{body}");
    }
    // A coworker called by name is asked, whatever the text.
    let pill = "<a href=\"https://matrix.to/#/@coworker-oncall:here.org\">oncall</a> 👍";
    for message in [
        in_reply("@oncall 👍"),
        in_reply("oncall: thanks"),
        Message { html: Some(pill.to_owned()), mentions: mentioning(&[oncall()]).mentions, ..in_reply("oncall 👍") },
        Message { mentions: mentioning(&[oncall()]).mentions, ..Message::text("👍") },
    ] {
        let scene = Scene { reply_sender: message.reply_to.as_ref().map(|_| oncall()), ..scene };
        assert_eq!(addressed(&said(message.clone()), &scene), asks(&[(oncall(), Why::Mentioned)]), "{message:?}");
    }
    let picture = MessageKind::Attachment {
        msgtype: "m.image".to_owned(),
        name: "a.png".to_owned(),
        mime: None,
        size: None,
        voice: false,
        media: None,
    };
    let picture = Message { kind: picture, ..in_reply("a.png") };
    assert_eq!(addressed(&said(picture), &scene), asks(&[(oncall(), Why::RepliedTo)]), "a picture is no nod");
}

#[test]
fn c5_what_may_answer_a_question_of_the_coworkers_is_not_taken_for_thanks() {
    let scene = |asked_back| Scene { reply_sender: Some(oncall()), asked_back, ..scene() };
    let runs = || asks(&[(oncall(), Why::RepliedTo)]);
    let table = [
        ("ok", Some(true), runs()),
        ("👍", Some(true), runs()),
        ("sounds good, thanks", Some(true), runs()),
        ("yes", Some(true), runs()),
        ("no thanks", Some(true), runs()),
        ("はい", Some(true), runs()),
        ("nvm", Some(true), runs()),
        ("yes", None, runs()),
        ("да", Some(false), nobody(Silence::NoWords)),
        ("ok", None, runs()),
        ("好的", None, runs()),
        ("ok", Some(false), nobody(Silence::NoWords)),
        ("👍", None, nobody(Silence::NoWords)),
        ("thanks", None, nobody(Silence::NoWords)),
    ];
    for (body, asked_back, expected) in table {
        assert_eq!(addressed(&said(in_reply(body)), &scene(asked_back)), expected, "{body} {asked_back:?}");
    }
    let answer = |body: &str| EventKind::Message(in_thread(Message::text(body)));
    let back = |body: &str| {
        let events = [event(oncall(), answer(body)), said(in_thread(Message::text("ok?")))];
        let back = asked_back(&events, Answered::Thread(event_id!("$root")), |user| user == oncall());
        assert_eq!(back, asked_back(&events, Answered::Message(&events[0].id), |user| user == oncall()));
        back
    };
    let long = format!("Why? Because. {}", "It is red. ".repeat(60));
    let table = [
        ("It is red. Shall I restart it?", Some(true)),
        ("要重启吗？", Some(true)),
        ("Reply `ok` and I restart it.", Some(true)),
        ("Shall I restart it? It takes a minute.", Some(true)),
        ("It is red. I can restart it.", Some(true)),
        ("It is red. Let me know if I should restart it.", Some(true)),
        ("You asked: ok?", Some(false)),
        ("It is red.", Some(false)),
        (&*long, Some(false)),
    ];
    for (body, expected) in table {
        assert_eq!(back(body), expected, "{body}");
    }
    assert_eq!(asked_back(&[], Answered::Chat, |_| true), None);
}

#[test]
fn c5_what_a_message_answers_is_looked_up_only_where_it_matters() {
    let open = scene();
    let mentioned = Message { mentions: mentioning(&[oncall(), ci()]).mentions, ..in_reply("thanks") };
    let table = [
        (in_reply("👍"), true, true),
        (mentioned, true, true),
        (in_reply("and today?"), false, true),
        (in_thread(Message::text("thanks")), true, false),
        (in_thread(Message::text("can you restart it, Anna?")), false, false),
        (Message::text("thanks"), false, false),
    ];
    for (message, answered, target) in table {
        let event = said(message);
        assert_eq!(needs_asked_back(&event, &open).is_some(), answered, "{event:?}");
        assert_eq!(needs_reply_target(&event, &open).is_some(), target, "{event:?}");
    }
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), ..ThreadSoFar::default() };
    let (whose, followed) = (Some(oncall()), Scene { thread: Some(&one), ..scene() });
    for (scene, body, answered) in [
        (&followed, "can you restart it, Anna?", true),
        (&Scene { root_sender: whose, ..scene() }, "team, lunch?", true),
        (&followed, "restart it", false),
        (&open, "team, lunch?", false),
    ] {
        let event = said(in_thread(Message::text(body)));
        assert_eq!(needs_asked_back(&event, scene).is_some(), answered, "{body}");
    }
}
