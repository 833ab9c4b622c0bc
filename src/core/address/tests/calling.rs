use super::*;

static ORDINARY: LazyLock<Vec<CoworkerHere<'static>>> = LazyLock::new(|| {
    let row = |(user, name): &(&'static str, &'static str)| CoworkerHere {
        user: <&UserId>::try_from(*user).unwrap(),
        id: name,
        name,
        display_name: None,
    };
    [
        ("@coworker-sales:here.org", "sales"),
        ("@coworker-ci:here.org", "ci"),
        ("@coworker-support:here.org", "Support"),
        ("@coworker-pit:here.org", "Pit Boss"),
        ("@coworker-isil:here.org", "Işıl"),
        ("@coworker-duty:here.org", "当番"),
        ("@coworker-bereit:here.org", "Straße"),
        ("@coworker-guard:here.org", "حارس"),
    ]
    .iter()
    .map(row)
    .collect()
});

fn called(body: &str, mentions: bool) -> Option<String> {
    let message = Message { mentions: mentions.then(Mentions::default), ..Message::text(body) };
    match addressed(&said(message), &Scene { coworkers: &ORDINARY, ..scene() }) {
        Verdict::Asked(asked) => asked.first().map(|asked| asked.user.localpart().replace("coworker-", "")),
        Verdict::Nobody(_) => None,
    }
}

#[test]
fn c5_a_name_that_is_an_ordinary_word_asks_only_where_it_is_an_address() {
    let asks = [
        ("sales: how are we doing", "sales"),
        ("Sales, look at this", "sales"),
        ("@sales look at this", "sales"),
        ("SALES： 看一下", "sales"),
        ("sales", "sales"),
        ("sales!", "sales"),
        ("sales how are we doing?", "sales"),
        ("support can you look at ticket 7?", "support"),
        ("Support; the printer is out", "support"),
        ("sales are you there?", "sales"),
        ("support könntest du nachsehen?", "support"),
        ("support où est le ticket 7 ?", "support"),
        ("ci !status", "ci"),
        ("!help ci", "ci"),
        ("**ci**: rerun it", "ci"),
        ("ci: red again", "ci"),
        ("@coworker-sales:here.org sales are down", "sales"),
    ];
    for (body, expected) in asks {
        for mentions in [true, false] {
            assert_eq!(called(body, mentions).as_deref(), Some(expected), "{body} {mentions}");
        }
    }
    let speaks_about = [
        "sales are down",
        "Sales are down?",
        "sales down again?",
        "sales of last week",
        "sales and marketing meet at 9",
        "Support is slow today",
        "support tickets pile up",
        "support team meets at noon",
        "ci is red",
        "CI has failed again!",
        "ci/cd is down",
        "ci-runner 4 is full",
        "sales's numbers",
        "Sales’ numbers: bad",
        "salesforce is down",
        "Pit Boss is away",
        "pit boss was here, wasn't he?",
        "pit boss wasn’t here",
        "pit boss está de viaje",
        "pit boss était là",
    ];
    for body in speaks_about {
        for mentions in [true, false] {
            assert_eq!(called(body, mentions), None, "{body} {mentions}");
        }
    }
    // Without `m.mentions`, words may follow a name that is not an ordinary word.
    assert_eq!(called("pit boss restart it", false).as_deref(), Some("pit"));
    assert_eq!(called("pit boss restart it", true), None);
}

#[test]
fn c5_a_coworkers_name_is_read_as_people_of_ten_languages_write_it() {
    let table = [
        ("ışıl, bak", Some("isil")),
        ("IŞIL: BAK", Some("isil")),
        ("isil: bak", Some("isil")),
        ("işil, bak", Some("isil")),
        ("İŞİL, bak", Some("isil")),
        ("Işıl Hanım, bakar mısın", Some("isil")),
        ("Işıl'ın raporu: iyi", None),
        ("当番、見て", Some("duty")),
        ("当番さん、見てください", Some("duty")),
        ("当番さん 見てください", Some("duty")),
        ("当番さん", Some("duty")),
        ("当番：見て", Some("duty")),
        ("＠当番 見て", Some("duty")),
        ("当番は誰？", None),
        ("当番さんの報告は？", None),
        ("当番表を見て", None),
        ("ＣＩ：見て", Some("ci")),
        ("ciさん、見て", Some("ci")),
        ("ciは落ちた？", None),
        ("ci的配置在哪？", None),
        ("ci님, 봐 주세요", Some("ci")),
        ("ci는 뭐예요?", None),
        ("strasse: los", Some("bereit")),
        ("STRASSE, los", Some("bereit")),
        ("Straßen: zu", None),
        ("حارس، انظر", Some("guard")),
        ("حارس: انظر", Some("guard")),
        ("\u{200f}حارس، هل أنت هنا؟", Some("guard")),
        ("\u{2067}حارس\u{2069}: انظر", Some("guard")),
        ("حارسنا غائب", None),
        ("pit boss — los", Some("pit")),
    ];
    for (body, expected) in table {
        assert_eq!(called(body, true).as_deref(), expected, "{body}");
    }
}

#[test]
fn c5_who_is_called_in_a_thread_is_read_as_people_of_ten_languages_write_it() {
    let members = [
        Member { user: alice(), name: Some("Alice") },
        Member { user: user_id!("@hanako:here.org"), name: Some("山田花子") },
        Member { user: user_id!("@taro:here.org"), name: Some("鈴木 太郎") },
        Member { user: user_id!("@wang:here.org"), name: Some("王小明") },
        Member { user: user_id!("@minsu:here.org"), name: Some("김민수") },
        Member { user: user_id!("@ahmad:here.org"), name: Some("أحمد علي") },
        Member { user: user_id!("@dana:here.org"), name: Some("דנה") },
        Member { user: user_id!("@ilkay:here.org"), name: Some("İlkay Yıldız") },
        Member { user: user_id!("@rahul:here.org"), name: Some("राहुल") },
        Member { user: user_id!("@minh:here.org"), name: Some("Minh") },
        Member { user: user_id!("@mx:here.org"), name: Some("Bob Stone (ops)") },
        Member { user: user_id!("@juergen:here.org"), name: Some("Jürgen Weiß") },
        Member { user: user_id!("@ivan:here.org"), name: Some("Иван Петров") },
        Member { user: oncall(), name: Some("oncall · coworker") },
    ];
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), ..ThreadSoFar::default() };
    let scene = Scene { thread: Some(&one), members: &members, ..scene() };
    let to_others = [
        "山田花子さん、再起動してもらえますか",
        "山田花子さん 再起動してもらえますか",
        "山田花子様：お願いします",
        "山田さん、再起動してください",
        "花子ちゃん、見た？",
        "鈴木さん、どう？",
        "太郎くん、どう？",
        "王小明，请看一下",
        "王总，请看一下",
        "小明同学，看一下",
        "김민수 님, 확인 부탁드려요",
        "민수씨, 봤어요?",
        "김민수님: 확인해 주세요",
        "أحمد، هل يمكنك إعادة التشغيل؟",
        "يا أحمد، انظر",
        "דנה, תוכלי לבדוק?",
        "\u{200f}דנה: תוכלי לבדוק?",
        "ilkay, bakar mısın",
        "İLKAY BEY, bakar mısınız",
        "Yıldız Hanım, bakar mısınız",
        "राहुल जी, देखिए",
        "Minh ơi, xem giúp",
        "Stone, can you restart it?",
        "Mr Stone, can you restart it?",
        "Bob-san, can you restart it?",
        "Hallo Jürgen, schaust du?",
        "Herr Weiß, schauen Sie bitte",
        "HERR WEISS: schauen Sie bitte",
        "Иван, посмотри",
        "Привет, Иван, посмотри",
        "Ｂｏｂ： look",
        "Bob, is it up?",
        "bob stone: can you restart it",
    ];
    for body in to_others {
        let verdict = addressed(&said(in_thread(Message::text(body))), &scene);
        assert_eq!(verdict, nobody(Silence::NotAddressed), "{body}");
    }
    let to_the_coworker = [
        "山田花子さんの報告は？",
        "山田さんは今日休みです。誰が見ますか",
        "王小明的报告在哪？",
        "김민수씨는 오늘 없어요. 누가 봐요?",
        "Bob's deploy failed, why?",
        "Bob’s deploy failed, why?",
        "Bob Stone is away, who can restart it?",
        "Minh was here, what did he do?",
        "İlkay'ın raporu nerede?",
        "Ivans Bericht fehlt",
        "أحمدنا غائب، من يراقب؟",
        "Bobby, tables",
        "stones are heavy",
        "と、山田花子さん、とは？",
        "oncallさん、見てください",
    ];
    for body in to_the_coworker {
        let verdict = addressed(&said(in_thread(Message::text(body))), &scene);
        assert!(matches!(verdict, Verdict::Asked(_)), "{body} {verdict:?}");
    }
}

#[test]
fn c5_a_follow_up_that_begins_with_a_word_that_is_also_a_members_name_does_not_vanish() {
    let named = [
        "Grant",
        "Max",
        "Bill",
        "Skip",
        "Rose",
        "Hope",
        "Ben",
        "Will",
        "Mark Twain",
        "Art",
        "Sue",
        "Page",
        "Summer Hill",
    ];
    let members = named.map(|name| Member { user: bob(), name: Some(name) });
    let one = ThreadSoFar { asked: [oncall().to_owned()].into(), ..ThreadSoFar::default() };
    let scene = Scene { thread: Some(&one), members: &members, ..scene() };
    let in_its_thread = |body: &str| addressed(&said(in_thread(Message::text(body))), &scene);
    for body in [
        "Grant access to the logs",
        "Max 5 lines please",
        "Bill the customer",
        "Skip this step",
        "Skip",
        "skip!",
        "Max?",
        "ok skip",
        "Ok, skip it",
        "yes, grant access",
        "Rose by how much",
        "Hope can you do it",
        "Ben ne yapmalıyım",
        "Will it work",
        "Mark it as done",
        "Page Sue about it",
        "Summer Hill prices",
        "max:5",
        "Max-5 lines",
    ] {
        assert_eq!(in_its_thread(body), asks(&[(oncall(), Why::FollowsThread)]), "{body}");
    }
    for body in [
        "Grant, access is yours",
        "Max: look",
        "skip - look",
        "Bill — look",
        "@Rose look",
        "hey hope",
        "thanks, Ben!",
        "Mark, check",
        "will: look",
        "Bill & Sue: look",
    ] {
        assert_eq!(in_its_thread(body), nobody(Silence::NotAddressed), "{body}");
    }
}

#[test]
fn c5_a_coworkers_name_with_a_colon_in_a_longer_word_is_no_address() {
    for body in [
        "ci:main is red",
        "ci:8080 is down",
        "ci:latest does not pull",
        "ci://x",
        "ci::run fails",
        "pit boss:example.org",
    ] {
        for mentions in [true, false] {
            assert_eq!(called(body, mentions), None, "{body} {mentions}");
        }
    }
    for body in ["ci: main is red", "ci:\nmain is red", "ci:看一下", "ci:why is main red?", "ci:посмотри"] {
        assert_eq!(called(body, true).as_deref(), Some("ci"), "{body}");
    }
}

#[test]
fn c5_a_coworkers_name_is_read_behind_an_emoji_a_quote_a_bracket_and_before_a_dash_or_line() {
    let table = [
        ("👋 @oncall state", true),
        ("👋🏽 oncall: state", true),
        ("❤️ @oncall state", true),
        ("(@oncall) state", true),
        ("«oncall», state", true),
        ("„oncall“: state", true),
        ("「oncall」、state", true),
        ("\"@oncall\" state", true),
        ("- @oncall state", true),
        ("— @oncall state", true),
        ("oncall - state", true),
        ("oncall – state", true),
        ("oncall — state", true),
        ("oncall\nstate", true),
        ("(oncall) was paged", false),
        ("👍 oncall was paged", false),
        ("[oncall] disk full", false),
        ("\"oncall\": 5", false),
        ("- oncall: nobody", false),
        ("oncall-state", false),
        ("oncall - was paged twice", false),
        ("👋 all, see @oncall", false),
    ];
    for (body, asked) in table {
        let expected = if asked { asks(&[(oncall(), Why::Mentioned)]) } else { nobody(Silence::NotAddressed) };
        assert_eq!(addressed(&said(Message::text(body)), &scene()), expected, "{body}");
    }
    for body in ["[oncall] disk full", "👍 oncall paged", "- oncall: nobody"] {
        assert_eq!(addressed(&said(unmarked(body, None)), &scene()), nobody(Silence::NotAddressed), "{body}");
    }
    let oncall = &COWORKERS[0];
    assert_eq!(strip_address("(@oncall) state", None, oncall), "state");
    assert_eq!(strip_address("«oncall», state", None, oncall), "state");
    assert_eq!(strip_address("👋 @oncall !help", None, oncall), "!help");
}

#[test]
fn c5_a_struck_pill_does_not_ask() {
    let pill = "<a href=\"https://matrix.to/#/@coworker-oncall:here.org\">oncall</a>";
    for (html, asked) in [
        (format!("<del>{pill}</del> never mind the disk"), false),
        (format!("<s>{pill} look</s> done"), false),
        (format!("<strike>{pill}</strike> done"), false),
        (format!("<del>{pill} wait</del> {pill} look"), true),
        (format!("<strong>{pill}</strong> look"), true),
    ] {
        for mentions in [None, mentioning(&[oncall()]).mentions] {
            let message = Message { mentions, ..unmarked("look at the disk", Some(&html)) };
            let expected = if asked { asks(&[(oncall(), Why::Mentioned)]) } else { nobody(Silence::NotAddressed) };
            assert_eq!(addressed(&said(message), &scene()), expected, "{html}");
        }
    }
}

#[test]
fn c5_a_mention_as_other_clients_write_it_into_the_body_asks() {
    for (body, expected) in [
        ("@[sales] how are we doing", Some("sales")),
        ("@[Pit Boss]: how are we doing", Some("pit")),
        ("@[pit boss]#1234 how are we doing", Some("pit")),
        ("@[sales", None),
        ("@[sales]x how are we", None),
        ("[sales] how are we doing", None),
        ("@当番お願い", Some("duty")),
        ("@当番 お願い", Some("duty")),
        ("@当番の人に聞いて", None),
        ("当番お願い", None),
    ] {
        assert_eq!(called(body, true).as_deref(), expected, "{body}");
    }
}
