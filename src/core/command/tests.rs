use ruma::user_id;

use super::*;
use crate::{core::words, kept::kept};

fn oncall() -> CoworkerHere<'static> {
    CoworkerHere {
        user: user_id!("@coworker-oncall:here.org"),
        id: "oncall",
        name: "oncall",
        display_name: Some("oncall · coworker"),
    }
}

#[test]
fn c16_every_way_to_name_the_coworker_is_taken_off_a_command() {
    let bodies = [
        "@oncall !help",
        "oncall: !help",
        "oncall !help",
        "oncall, !help",
        "OnCall : !help",
        "oncall · coworker: !help",
        "@oncall · coworker !help",
        "@coworker-oncall:here.org: !help",
        "[@oncall](https://matrix.to/#/@coworker-oncall:here.org) !help",
        "[oncall](<https://matrix.to/#/@coworker-oncall:here.org>): !help",
        "> <@bob:here.org> hm\n\noncall: !help\n",
        "!help",
    ];
    for body in bodies {
        let message = Message::text(body);
        let request = coworker_request(&message, &oncall());
        assert_eq!(request, CoworkerRequest::Command(CoworkerCommand::Help), "{body}");
    }
}

#[test]
fn c16_the_label_of_a_pill_is_taken_off_whatever_it_says() {
    let html = "<a href=\"https://matrix.to/#/@coworker-oncall:here.org\">Old Name</a>: !stop";
    let message = Message { html: Some(html.to_owned()), ..Message::text("Old Name: !stop") };
    assert_eq!(coworker_request(&message, &oncall()), CoworkerRequest::Command(CoworkerCommand::Stop));
    let other = html.replace("coworker-oncall", "bob");
    let message = Message { html: Some(other), ..Message::text("Old Name: !stop") };
    assert_eq!(coworker_request(&message, &oncall()), CoworkerRequest::Prompt("Old Name: !stop"));
}

#[test]
fn c16_a_command_is_read_as_people_type_it() {
    let bodies = [
        "@oncall !Help",
        "oncall: !HELP.",
        "oncall: ！help",
        "oncall：！ｈｅｌｐ",
        "＠oncall ！Help。",
        "**!help**",
        "oncall: **!help**",
        "**oncall:** !help",
        "**oncall**: `!help`",
        "oncall: \u{200b}!help\u{fe0f}",
        "oncall: ❗help",
        "oncall: ❗️help",
        "@oncall ❕Help❕",
        "oncall: ǃhelp",
        "❗help @oncall",
        "oncall: (!help)",
        "\u{feff}oncall:\u{a0}!help\u{a0}",
        "oncall: !help!",
        "oncall: !help ?",
        "oncall: “!help”",
        "@oncall ‘!help’",
        "@oncall、！help。",
        "oncall: !help @oncall",
        "oncall! !help",
        "!help @oncall",
        "!help oncall",
        "!Help, @oncall.",
        "!help oncall · coworker",
        "!help @coworker-oncall:here.org",
        "!help [oncall](https://matrix.to/#/@coworker-oncall:here.org)",
        "**!help** oncall",
    ];
    for body in bodies {
        let message = Message::text(body);
        let request = coworker_request(&message, &oncall());
        assert_eq!(request, CoworkerRequest::Command(CoworkerCommand::Help), "{body:?}");
    }
    let pill = "<strong>!stop</strong> <a href=\"https://matrix.to/#/@coworker-oncall:here.org\">Old Name</a>";
    let message = Message { html: Some(pill.to_owned()), ..Message::text("**!stop** Old Name") };
    assert_eq!(coworker_request(&message, &oncall()), CoworkerRequest::Command(CoworkerCommand::Stop));
}

#[test]
fn c16_what_is_not_exactly_a_command_is_a_prompt() {
    let table = [
        ("oncall: !help me", "!help me"),
        ("oncall: help", "help"),
        ("oncall: !purpose deploys only", "!purpose deploys only"),
        ("oncall: ! help", "! help"),
        ("oncall: /help", "/help"),
        ("oncall: why, oncall: why?", "why, oncall: why?"),
        ("what does oncall: !help do?", "what does oncall: !help do?"),
        ("oncall:", ""),
        ("oncall", ""),
        ("oncaller: hi", "oncaller: hi"),
        ("> only a quote", ""),
    ];
    for (body, prompt) in table {
        assert_eq!(coworker_request(&Message::text(body), &oncall()), CoworkerRequest::Prompt(prompt), "{body}");
    }
}

#[test]
fn c16_notes_are_added_with_a_text_and_forgotten_by_number() {
    let table = [
        ("oncall: !note the valve\n is green ", CoworkerRequest::AddNote("the valve\n is green")),
        ("oncall: !note", CoworkerRequest::AddNote("")),
        ("oncall: !Note The Valve @oncall", CoworkerRequest::AddNote("The Valve @oncall")),
        ("！note The Valve, @oncall", CoworkerRequest::AddNote("The Valve")),
        ("oncall: **!note the *valve***", CoworkerRequest::AddNote("the *valve*")),
        ("oncall: !forget #3.", CoworkerRequest::ForgetNote(3)),
        ("！forget １２ @oncall", CoworkerRequest::ForgetNote(12)),
        ("oncall: !forget 12", CoworkerRequest::ForgetNote(12)),
        ("oncall: !forget ١٢", CoworkerRequest::ForgetNote(12)),
        ("oncall: !forget #۱۲", CoworkerRequest::ForgetNote(12)),
        ("oncall: !forget १२", CoworkerRequest::ForgetNote(12)),
        ("oncall: !forget", CoworkerRequest::Command(CoworkerCommand::Forget)),
        ("oncall: !forget it", CoworkerRequest::Prompt("!forget it")),
        ("oncall: !forget -1", CoworkerRequest::Prompt("!forget -1")),
        ("oncall: !notes please", CoworkerRequest::Prompt("!notes please")),
        ("oncall: !noted", CoworkerRequest::Prompt("!noted")),
    ];
    for (body, expected) in table {
        assert_eq!(coworker_request(&Message::text(body), &oncall()), expected, "{body}");
    }
}

#[test]
fn c16_every_command_is_read_by_its_own_word() {
    for one in list::COWORKER.iter().filter(|one| one.is.is_some()) {
        assert_eq!(CoworkerCommand::parse(one.word), one.is, "{}", one.word);
    }
    for one in list::ASSISTANT.iter().filter(|one| one.is.is_some()) {
        assert_eq!(AssistantCommand::parse(one.word), one.is, "{}", one.word);
    }
    for (at, one) in list::SERVICE.iter().enumerate() {
        let of_admins = one.is.clone().unwrap_or(ServiceCommand::Help);
        let of_others = if at < list::SERVICE_FOR_ADMINS { of_admins.clone() } else { ServiceCommand::Help };
        assert_eq!(ServiceCommand::parse(one.word, true), of_admins, "{}", one.word);
        assert_eq!(ServiceCommand::parse(one.word, false), of_others, "{}", one.word);
    }
    let accept = ServiceCommand::Accept("oncall logs__Read".to_owned());
    assert_eq!(ServiceCommand::parse("!Accept oncall logs__Read", true), accept);
    assert_eq!(ServiceCommand::parse("!accept oncall logs__Read", false), ServiceCommand::Help);
}

#[test]
fn c16_a6_the_help_names_every_command() {
    let (coworkers, assistants) = (words::coworker_help("oncall"), words::assistant_help());
    let bot = words::service_help(true);
    // Commands that the help need not list: the help itself, and what `!changes`, the app, `!reminders` (`!schedule`),
    // `!schedules`, the question for a time zone, `!connect` and an answer without what was refused mention.
    let untold = ["!help", "!accept", "!verify", "!schedule", "!schedules", "!unschedule", "!unremind", "!zone"];
    let untold = [&untold[..], &["!connections", "!disconnect", "!trail", "!leftout", "!reread"]].concat();
    let words_of = |list: &[&'static str], help: &str| {
        for word in list.iter().filter(|word| !untold.contains(word)) {
            assert!(help.contains(word), "{word} is not in the help:\n{help}");
        }
    };
    words_of(&list::COWORKER.each_ref().map(|one| one.word), &coworkers);
    words_of(&list::ASSISTANT.each_ref().map(|one| one.word), &assistants);
    words_of(&list::SERVICE.each_ref().map(|one| one.word), &bot);
}

#[test]
fn docs_commands_is_made_of_the_lists() {
    fn table<C>(list: &[list::Described<C>]) -> String {
        let row = |one: &list::Described<C>| {
            let argument =
                if one.argument.is_empty() { String::new() } else { format!(" or `{}{}`", one.word, one.argument) };
            let command = if one.is.is_some() {
                format!("`{}`{argument}", one.word)
            } else {
                format!("`{}{}`", one.word, one.argument)
            };
            format!("| {command} | {} |\n", one.about)
        };
        format!("| command | what it does |\n| --- | --- |\n{}", list.iter().map(row).collect::<String>())
    }
    let page = format!(
        "# Commands\n\nWhat is no command is a prompt. A command is read in any case and width, as bold or code, with the coworker\n\
         named before or behind it (C16 in [behaviour](behaviour.md)). This page is made of the lists in\n\
         `src/core/command/list.rs`, as are the parser and `!help`.\n\n\
         ## Coworkers\n\nMention the coworker: `@oncall !help`.\n\n{}\n## Assistants\n\n{}\n## The service bot\n\n\
         In a chat with `@workmate`; it answers everything else with its help.\n\n{}",
        table(&list::COWORKER),
        table(&list::ASSISTANT),
        table(&list::SERVICE),
    );
    kept("docs/commands.md", &page);
}

#[test]
fn a6_assistants_read_their_commands_and_only_open_takes_an_argument() {
    let open = |target: &str| Some(AssistantCommand::Open(Some(target.to_owned())));
    let long = format!("!open {}", "x".repeat(OPEN_ARGUMENT_BYTES_MAX + 1));
    let table = [
        ("!new", Some(AssistantCommand::New)),
        (" !new\n", Some(AssistantCommand::New)),
        ("!forget", Some(AssistantCommand::Forget)),
        ("!tools", Some(AssistantCommand::Tools)),
        ("!help", Some(AssistantCommand::Help)),
        ("!export", Some(AssistantCommand::Export)),
        ("!share", Some(AssistantCommand::Share)),
        ("!Stop", Some(AssistantCommand::Stop)),
        ("！new", Some(AssistantCommand::New)),
        ("**!Export**.", Some(AssistantCommand::Export)),
        ("!OPEN <https://matrix.to/#/!R:here.org>", open("https://matrix.to/#/!R:here.org")),
        ("**!open #team:here.org**", open("#team:here.org")),
        ("!share this", None),
        ("!open", Some(AssistantCommand::Open(None))),
        ("!open #team:here.org", open("#team:here.org")),
        ("!open  https://matrix.to/#/!r:here.org/$e", open("https://matrix.to/#/!r:here.org/$e")),
        ("!open the door please", None),
        ("!opener", None),
        ("!new plan", None),
        ("!mute", None),
        ("new", None),
        (&long, None),
        ("", None),
    ];
    for (text, expected) in table {
        assert_eq!(AssistantCommand::parse(text), expected, "{text}");
    }
}

#[test]
fn a6_whom_a_command_to_an_assistant_names_is_no_part_of_it() {
    let pill = "<a href=\"https://matrix.to/#/@assistant-a:hs\">Alice's assistant</a>: !help";
    let table = [
        (Message { html: Some(pill.to_owned()), ..Message::text("Alice's assistant: !help") }, true),
        (Message::text("@assistant-a:hs: !Help"), true),
        (Message::text("!help @assistant-a"), true),
        (Message::text("tell @bob:hs !help"), false),
        (Message::text("@bob:hs said: !help me"), false),
    ];
    for (message, is_help) in table {
        assert_eq!(AssistantCommand::of(&message), is_help.then_some(AssistantCommand::Help), "{message:?}");
    }
}

#[test]
fn a9_a_command_in_reply_is_read_behind_the_quote_of_older_clients() {
    let quoted = Message::text("> <@a:hs> an answer\n\n!share");
    let reply = Message { reply_to: Some(ruma::event_id!("$answer").to_owned()), ..quoted.clone() };
    assert_eq!((AssistantCommand::of(&quoted), AssistantCommand::of(&reply)), (None, Some(AssistantCommand::Share)));
}

#[test]
fn a7_a_link_that_stands_in_a_pill_alone_is_what_open_opens() {
    let (room, event) = ("https://matrix.to/#/!abc:hs?via=hs", "https://matrix.to/#/!abc:hs/$event?via=hs");
    let me = "<a href=\"https://matrix.to/#/@assistant-alice:hs\">Alice's assistant</a>";
    let pill = |link: &str, shown: &str| format!("<a href=\"{link}\">{shown}</a>");
    let open = |link: &str| Some(AssistantCommand::Open(Some(link.to_owned())));
    let table = [
        ("!open Ops room", Some(format!("!open {}", pill(room, "Ops room"))), open(room)),
        ("!open Ops", Some(format!("!open {}", pill(room, "Ops"))), open(room)),
        ("!OPEN #ops:hs", Some(format!("!OPEN {}", pill(room, "#ops:hs"))), open(room)),
        (
            "!open Message in Ops room",
            Some(format!("<p>!open {}</p>", pill(event, "Message in Ops room"))),
            open(event),
        ),
        ("Alice's assistant: !open Ops", Some(format!("{me}: !open {}", pill(room, "Ops"))), open(room)),
        ("!open Ops Alice's assistant", Some(format!("!open {} {me}", pill(room, "Ops"))), open(room)),
        ("!open [Ops room](https://matrix.to/#/!abc:hs?via=hs)", None, open(room)),
        ("!open [Ops (new)](<https://matrix.to/#/!abc:hs?via=hs>)", None, open(room)),
        ("!open https://matrix.to/#/!abc:hs?via=hs", Some(format!("!open {}", pill(room, room))), open(room)),
        ("!open", Some("!open".to_owned()), Some(AssistantCommand::Open(None))),
        ("!open Ops", Some(format!("!open {}", pill("https://example.org/", "Ops"))), open("Ops")),
        ("!open Ops and say what is new", Some(format!("!open {} and say what is new", pill(room, "Ops"))), None),
        ("!open Ops Sales", Some(format!("!open {} {}", pill(room, "Ops"), pill(event, "Sales"))), None),
        ("!help Ops", Some(format!("!help {}", pill(room, "Ops"))), None),
    ];
    for (body, html, expected) in table {
        let message = Message { html, ..Message::text(body) };
        assert_eq!(AssistantCommand::of(&message), expected, "{message:?}");
    }
}

#[test]
fn c16_who_asks_what_a_command_does_or_strikes_it_out_loses_nothing() {
    for text in ["!forget?", "!forget …?", "!FORGET？", "**!mute?**", "!stop ?", "!mute ?!", "!forget? "] {
        assert_eq!(CoworkerCommand::parse(text), Some(CoworkerCommand::Help), "{text}");
    }
    for (text, command) in
        [("!forget", CoworkerCommand::Forget), ("!mute.", CoworkerCommand::Mute), ("!status?", CoworkerCommand::Status)]
    {
        assert_eq!(CoworkerCommand::parse(text), Some(command), "{text}");
    }
    for text in ["!forget?", "!new?", "!stop?"] {
        assert_eq!(AssistantCommand::parse(text), Some(AssistantCommand::Help), "{text}");
    }
    let struck = |html: &str| Message { html: Some(html.to_owned()), ..Message::text("!forget") };
    for html in ["<del>!forget</del>", "<s>!forget</s>", "<STRIKE>!forget</STRIKE>"] {
        assert_eq!(AssistantCommand::of(&struck(html)), None, "{html}");
    }
    assert_eq!(AssistantCommand::of(&struck("<strong>!forget</strong>")), Some(AssistantCommand::Forget));
    assert_eq!(AssistantCommand::parse("!unremind 2?"), Some(AssistantCommand::Help));
    assert_eq!(AssistantCommand::parse("~~!forget~~"), None);
    assert_eq!(AssistantCommand::parse("~!forget~"), Some(AssistantCommand::Forget));
}

#[test]
fn a6_the_service_bot_hears_only_its_own_persons_words() {
    let (alice, bob) = (user_id!("@alice:here.org"), user_id!("@bob:here.org"));
    let said = |sender: &ruma::UserId, kind| RoomEvent {
        id: ruma::event_id!("$said").to_owned(),
        room: ruma::room_id!("!bot:here.org").to_owned(),
        sender: sender.to_owned(),
        sent_at: crate::core::time::Timestamp::from_ms(0),
        kind: EventKind::Message(Message { kind, ..Message::text("!changes") }),
    };
    let table = [
        (alice, MessageKind::Text, Who::Person, true, Some(ServiceCommand::Changes)),
        (alice, MessageKind::Text, Who::Person, false, Some(ServiceCommand::Help)),
        (alice, MessageKind::Notice, Who::Person, true, None),
        (alice, MessageKind::Text, Who::Guest, true, None),
        (bob, MessageKind::Text, Who::Person, true, None),
    ];
    for (sender, kind, who, is_admin, expected) in table {
        let asked = ServiceCommand::of(&said(sender, kind), alice, &who, is_admin);
        assert_eq!(asked, expected, "{sender}, {who:?}, admin {is_admin}");
    }
}

#[test]
fn a12_c20_commands_about_times_take_their_argument_as_it_was_written() {
    let reminding = |text: &str| match AssistantCommand::of(&Message::text(text)) {
        Some(AssistantCommand::Reminding(reminding)) => Some(reminding),
        _ => None,
    };
    let table = [
        ("!remind 10m Tea!", Some(Reminding::Add("10m Tea!".to_owned()))),
        ("!Remind  tomorrow at 10 call *Anna*", Some(Reminding::Add("tomorrow at 10 call *Anna*".to_owned()))),
        ("!remind", Some(Reminding::Add(String::new()))),
        (
            "!schedule every friday at 16:00 Sum up *all*",
            Some(Reminding::AddTask("every friday at 16:00 Sum up *all*".to_owned())),
        ),
        ("!schedule", Some(Reminding::AddTask(String::new()))),
        ("!reminders", Some(Reminding::List)),
        ("!schedules", Some(Reminding::List)),
        ("!unremind #2", Some(Reminding::Remove(2))),
        ("!unschedule 2.", Some(Reminding::Remove(2))),
        ("!unremind two", Some(Reminding::List)),
        ("!unremind", Some(Reminding::List)),
        ("!zone Europe/Berlin", Some(Reminding::Zone("Europe/Berlin".to_owned()))),
        ("remind me tomorrow", None),
    ];
    for (text, expected) in table {
        assert_eq!(reminding(text), expected, "{text}");
    }
    let help = CoworkerRequest::Command(CoworkerCommand::Help);
    let table = [
        ("@oncall !schedules", CoworkerRequest::Command(CoworkerCommand::Schedules)),
        ("@oncall !unschedule 2", CoworkerRequest::Unschedule(2)),
        ("!unschedule #2 @oncall", CoworkerRequest::Unschedule(2)),
        ("@oncall !unschedule 2?", help),
        ("@oncall !unschedule all", CoworkerRequest::Command(CoworkerCommand::Schedules)),
        ("@oncall !unschedule", CoworkerRequest::Command(CoworkerCommand::Schedules)),
    ];
    for (text, expected) in table {
        assert_eq!(coworker_request(&Message::text(text), &oncall()), expected, "{text}");
    }
}
