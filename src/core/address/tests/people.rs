//! What people say to each other in a coworker's thread.

use super::*;

const MEMBERS: [(&str, &str); 16] = [
    ("@alice:here.org", "Alice"),
    ("@anna:here.org", "Anna Novák"),
    ("@bob:here.org", "Bob Stone"),
    ("@max:here.org", "Max"),
    ("@zoe:here.org", "Zoë"),
    ("@ayse:here.org", "Ayşe Yılmaz"),
    ("@juergen:here.org", "Jürgen Weiß"),
    ("@drm:here.org", "Dr. Clara Müller"),
    ("@rahul:here.org", "राहुल"),
    ("@minsu:here.org", "김민수"),
    ("@hanako:here.org", "山田花子"),
    ("@muhammad:here.org", "محمد"),
    ("@petar:here.org", "Петър"),
    ("@olena:here.org", "Олена"),
    ("@sam:here.org", "Sam"),
    ("@lei:here.org", "雷军"),
];

fn verdict_on(body: &str, asked_back: Option<bool>) -> Verdict {
    let members = MEMBERS.map(|(user, name)| Member { user: <&UserId>::try_from(user).unwrap(), name: Some(name) });
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), ..ThreadSoFar::default() };
    let scene = Scene { thread: Some(&one), members: &members, asked_back, ..scene() };
    addressed(&said(in_thread(Message::text(body))), &scene)
}

#[test]
fn c5_a_members_name_behind_a_comma_at_the_end_makes_a_message_that_members() {
    for body in [
        "can you restart it, Anna?",
        "can you restart it, anna?",
        "It is red again. Can you restart it, Anna?",
        "Could you have a look, Anna Novák?",
        "could you have a look, @anna",
        "can you restart it please, Bob?",
        "can you restart it, Bob, please?",
        "can you restart it, Anna 🙏",
        "can you two look, Anna and Bob?",
        "have you seen this, Max?",
        "on it, Anna",
        "thanks for looking, Bob!",
        "no, Anna",
        "good catch, Anna",
        "kannst du das neu starten, Jürgen?",
        "kannst du das neu starten, Juergen?",
        "tu peux le relancer, Zoe ?",
        "¿puedes reiniciarlo, Zoë?",
        "yeniden başlatır mısın, Ayse?",
        "можешь перезапустить, Олена?",
        "再起動してもらえますか、山田さん",
        "再起動してもらえますか、花子さん？",
        "能重启一下吗，雷军？",
        "다시 시작해 주세요, 민수 씨",
    ] {
        assert_eq!(verdict_on(body, None), nobody(Silence::NotAddressed), "{body}");
    }
}

#[test]
fn c5_a_request_that_ends_with_a_name_and_is_not_for_its_owner_does_not_vanish() {
    let follows = || asks(&[(oncall(), Why::FollowsThread)]);
    for body in [
        "can you page Anna?",
        "can you restart it Anna?",
        "who was it, Bob or Anna?",
        "page Bob, Anna",
        "page Bob, Max, Anna",
        "compare nginx, apache, max",
        "notify Carol, Anna",
        "5 lines, max",
        "give me five lines, max",
        "make an account for our new colleague, Anna",
        "who owns it? The lead, Anna?",
        "add the user, anna",
        "tests, Anna",
        "thanks, and today?",
        "oncall, tell us about Bob, Anna",
        "```\nselect max, anna\n```",
        "It is red. Anna",
        "ask Alice, Anna",
    ] {
        let verdict = verdict_on(body, None);
        assert!(verdict == follows() || verdict == asks(&[(oncall(), Why::Mentioned)]), "{body} {verdict:?}");
    }
    // It may answer what the coworker asked back.
    assert_eq!(verdict_on("for the new one, Anna", Some(true)), follows());
    assert_eq!(verdict_on("what do you think, Anna?", Some(true)), nobody(Silence::NotAddressed));
}

#[test]
fn c5_a_salutation_of_everybody_in_its_thread_is_not_for_the_coworker() {
    for body in [
        "team, lunch?",
        "Team: lunch?",
        "folks: who has the key?",
        "guys, look at this",
        "everyone - lunch",
        "hi all, who has the key?",
        "Hi all!",
        "hello everyone, look",
        "hey folks who has the key?",
        "hey folks who has the key⁉",
        "good morning team, lunch?",
        "hallo zusammen, wer hat Zeit?",
        "Leute, Mittag?",
        "bonjour à tous, qui vient ?",
        "hola a todos, ¿quién viene?",
        "ciao a tutti, chi viene?",
        "коллеги, обед?",
        "Всем привет",
        "привет всем, кто идёт?",
        "大家，吃饭吗？",
        "皆さん、見てください",
        "여러분, 점심?",
    ] {
        let verdict = verdict_on(body, None);
        assert!(matches!(verdict, Verdict::Nobody(_)), "{body} {verdict:?}");
    }
    for body in [
        "all, newest first",
        "all please",
        "team lead is away, who is on call?",
        "everyone who failed",
        "the team: who is in it?",
        "hi, all tests are red, why?",
        "hi, can you look again?",
        "guys who failed the test",
        "people: how many?",
    ] {
        assert_eq!(verdict_on(body, None), asks(&[(oncall(), Why::FollowsThread)]), "{body}");
    }
    // "Who should get it?"
    assert!(matches!(verdict_on("everyone, also guests", Some(true)), Verdict::Asked(_)));
}

#[test]
fn c5_a_question_behind_a_salutation_is_not_taken_for_its_answer() {
    let (carol, text) = (user_id!("@carol:here.org"), |body: &str| in_thread(Message::text(body)));
    let mut thread = ThreadSoFar { asked: [oncall().to_owned()].into(), ..ThreadSoFar::default() };
    for (by, body, asked) in [
        (alice(), "team, lunch?", false),
        (carol, "which disk is full?", true),
        (alice(), "team, lunch?", false),
        (carol, "at noon", false),
    ] {
        let event = event(by, EventKind::Message(text(body)));
        let before = thread.clone();
        let scene = Scene { thread: Some(&before), ..scene() };
        let verdict = addressed(&event, &scene);
        assert_eq!(matches!(verdict, Verdict::Asked(_)), asked, "{body}");
        thread.note(&event, &verdict, &scene);
    }
}

#[test]
fn c5_a_members_name_is_read_without_its_accents_behind_titles_and_in_its_calling_form() {
    for body in [
        "Ayse, bakar mısın",
        "zoe, look",
        "Juergen: schau mal",
        "Dr Anna Novák: ok",
        "Dr. Müller, look",
        "Dr Clara Müller: ok",
        "Captain Stone, look",
        "राहुल भाई, देखिए",
        "أستاذ محمد، انظر",
        "雷哥，看一下",
        "민수 씨, 봐 주세요",
        "山田：見て",
        "Anno, můžeš to restartovat?",
        "Hi Anno, můžeš to restartovat?",
        "Петре, виж",
        "Олено, подивись",
        "Maxe, podívej se",
    ] {
        let verdict = verdict_on(body, None);
        let is_short = body.starts_with("Maxe");
        assert_eq!(verdict == nobody(Silence::NotAddressed), !is_short, "{body} {verdict:?}");
    }
    for body in
        ["Same, and today?", "Claro, reinicia", "anno, what is it", "Bobs, look", "Dr, look", "Stones: how many?"]
    {
        assert_eq!(verdict_on(body, None), asks(&[(oncall(), Why::FollowsThread)]), "{body}");
    }
}

#[test]
fn c6_an_edit_that_makes_a_question_of_what_asked_nobody_in_its_thread_asks() {
    let members = MEMBERS.map(|(user, name)| Member { user: <&UserId>::try_from(user).unwrap(), name: Some(name) });
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), ..ThreadSoFar::default() };
    let none = BTreeSet::new();
    let by_edit = || asks(&[(oncall(), Why::NewlyMentionedByEdit)]);
    let nothing = || nobody(Silence::NothingNewInEdit);
    let table = [
        ("thanks", "thanks, and what about disk 2?", by_edit()),
        ("👍", "is it up?", by_edit()),
        ("Anna, can you?", "can you restart it?", by_edit()),
        ("can you restart it, Anna?", "can you restart it?", by_edit()),
        ("team, lunch?", "which disk is full?", by_edit()),
        ("thanks", "thanks!", nothing()),
        ("thanks", "Anna, thank you", nothing()),
        ("is it up", "is it up?", nothing()),
    ];
    let edited = |before: Message, after: &str, reply_sender| {
        let replaced = said(before);
        let original = Original { event: &replaced, asked: &none };
        let new = Message { thread_root: Some(event_id!("$root").to_owned()), ..Message::text(after) };
        let edit = EventKind::Edit { target: replaced.id.clone(), new, newly_mentioned: BTreeSet::new() };
        let thread = Some(&one);
        let scene = Scene { thread, members: &members, original: Some(original), reply_sender, ..scene() };
        addressed(&event(alice(), edit), &scene)
    };
    for (before, after, expected) in table {
        assert_eq!(edited(in_thread(Message::text(before)), after, None), expected, "{before} to {after}");
    }
    let in_reply = || replying(Message::text("thanks"));
    assert_eq!(edited(in_reply(), "thanks, and today?", Some(oncall())), by_edit());
    assert_eq!(edited(in_reply(), "thanks, and today?", Some(bob())), nothing());
}

#[test]
fn c16_a_command_behind_a_name_and_a_dash_is_a_command() {
    use crate::core::command::{CoworkerCommand, CoworkerRequest, coworker_request};
    for body in [
        "oncall - !status",
        "oncall – !status",
        "oncall — !Status.",
        "@oncall - !status",
        "oncall -> !status",
        "oncall: - !status",
        "oncall… !status",
        "oncall · coworker - !status",
        "oncall - **!status**",
        "!status - oncall",
    ] {
        let message = Message::text(body);
        assert_eq!(addressed(&said(message.clone()), &scene()), asks(&[(oncall(), Why::Mentioned)]), "{body}");
        let request = coworker_request(&message, &COWORKERS[0]);
        assert_eq!(request, CoworkerRequest::Command(CoworkerCommand::Status), "{body}");
    }
    let build = Message::text("Build Help - !status");
    assert_eq!(addressed(&said(build), &scene()), asks(&[(ci(), Why::Mentioned)]));
    assert_eq!(strip_address("oncall - state of the disks", None, &COWORKERS[0]), "state of the disks");
    assert_eq!(strip_address("oncall - ~~!stop~~", None, &COWORKERS[0]), "~~!stop~~");
    assert_eq!(strip_address("oncall،!status", None, &COWORKERS[0]), "!status");
    assert_eq!(strip_address_behind("!status ― @oncall", None, &COWORKERS[0]), Some("!status"));
}
