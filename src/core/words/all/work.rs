//! The texts about work: its state, the cards of its calls, and its records.

use std::collections::BTreeSet;

use ruma::{owned_event_id, owned_user_id, room_id, server_name, user_id};
use serde_json::{Value, json};

use super::{AT, Book, names, tool_name};
use crate::core::{
    approval::{self, Pending, Setting},
    audit::{Entry, Spent},
    citing::Cited,
    event::Place,
    mask::Mask,
    names::Names,
    run::{Ended, Outcome, trace::record},
    tool::{ApprovalRule, Class},
    trail::{Decision, StepOutcome, Tally, TrailStep},
    words::{self, trail},
    zone::Zone,
};

fn pending(arguments: Value) -> Pending {
    let (call, tool, rule) = ("toolu_1".to_owned(), tool_name(), ApprovalRule::Asker);
    Pending { call, tool, class: Class::Write, rule, arguments }
}

pub(super) fn work(book: &mut Book) {
    book.part("While it works");
    let names_of = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    book.told("for a moment", &words::working(1));
    book.told("for longer", &words::working(75));
    book.told("with tools", &words::working_with_tools(12, 2, &names_of(&["logs__read"])));
    let thinking = words::with_thought(&words::working(75), "Comparing the two logs of Tuesday");
    book.told("with a summary of its thinking", &thinking);
    book.told("it waits", &words::waiting_for_approval(&names_of(&["ops__deploy"]), 12, 1));
    book.part("Approvals");
    let arguments = json!({ "to": "production", "steps": ["build", "push"], "note": "first line\nsecond line" });
    let (place, mask, names) = (Place::Timeline, Mask::default(), names());
    let setting = Setting { place: &place, mask: &mask, names: &names, meaning: None };
    let card =
        |pending: &Pending| approval::asking(pending, user_id!("@alice:hs"), BTreeSet::new(), 3_600_000, &setting);
    book.shown("the card", &card(&pending(arguments.clone())).message.body);
    book.shown("without arguments", &card(&pending(json!({}))).message.body);
    let secret = Mask::new(["a-secret-token"]);
    let masked = Setting { mask: &secret, ..setting };
    let asked = pending(json!({ "token": "a-secret-token" }));
    let asked = approval::asking(&asked, user_id!("@alice:hs"), BTreeSet::new(), 600_000, &masked);
    book.shown("with a secret", &asked.message.body);
    let long = card(&pending(json!({ "text": "x".repeat(20_000), "to": "production" })));
    book.shown("too long for a message", &long.message.body);
    let by = || owned_user_id!("@alice:hs");
    let decisions = [
        Decision::Approved { by: by(), at: AT },
        Decision::Declined { by: by(), at: AT },
        Decision::Expired,
        Decision::Left { by: by(), at: AT },
    ];
    for decision in &decisions {
        book.shown("decided", &approval::decided(&pending(arguments.clone()), decision, &setting).body);
    }
    book.told("stopped meanwhile", &words::approval::closed(&tool_name()));
    let people = || ApprovalRule::People([owned_user_id!("@alice:hs"), owned_user_id!("@bob:hs")].into());
    for rule in [ApprovalRule::Asker, ApprovalRule::Moderator { level: 50 }, people()] {
        book.told("somebody else reacts", &words::approval::not_yours(&rule, user_id!("@alice:hs"), &names));
    }
    book.told("a call that a bridge's puppet asked for", &words::approval::ask_through_a_person(&tool_name()));
    book.told("a plain yes with several cards", &words::approval::which_card());
    book.told("a reply that may be a yes", &words::deciding::say_it_clearly());
    records(book, &decisions);
}

fn records(book: &mut Book, decisions: &[Decision]) {
    let (mask, names) = (Mask::default(), names());
    book.part("Records");
    let step = |tool: &str, arguments: &str, outcome, decision| TrailStep {
        tool: tool.to_owned(),
        arguments: arguments.to_owned(),
        decision,
        outcome,
        result: "2 lines\nof it".to_owned(),
        duration_ms: 340,
    };
    let steps = [
        step("room_search", "\"query\": \"deploy\"", StepOutcome::Done, None),
        step("ops__deploy", "\"to\": \"production\"", StepOutcome::Failed, Some(decisions[0].clone())),
        step("ops__deploy", "\"to\": \"staging\"", StepOutcome::Declined, Some(decisions[1].clone())),
        step("ops__deploy", "", StepOutcome::Expired, Some(Decision::Expired)),
        step("rm", "", StepOutcome::Denied, None),
        step("ops__deploy", "[\"production\"]", StepOutcome::Unusable, None),
        step("room_search", "\"query\": \"deploy\"", StepOutcome::Surplus, None),
        step("logs__read", "", StepOutcome::Stopped, None),
        step("ops__restart", "", StepOutcome::Unknown, None),
    ];
    let spent = Spent {
        model_calls: 2,
        input_tokens: 1_200,
        output_tokens: 34,
        cost_micro_usd: Some(12_300),
        cached_tokens: 0,
    };
    for outcome in [Outcome::Done, Outcome::Failed, Outcome::Stopped, Outcome::Declined] {
        let steps = if outcome == Outcome::Done { &steps[..] } else { &[] };
        let ended = Ended {
            steps,
            outcome,
            fallback: None,
            duration_ms: 75_000,
            spent,
            mask: &mask,
            names: &names,
            zone: &Zone::default(),
        };
        book.shown("a record", &record(&ended).body);
    }
    let by_another = trail::with_fallback("Done after 12 s".to_owned(), Some("claude-sonnet-5-5"));
    book.shown("a record, where another model answered", &by_another);
    let entry = Entry {
        request: Some(owned_event_id!("$ask")),
        answer: Some(owned_event_id!("$answer")),
        read: vec![owned_event_id!("$one"), owned_event_id!("$two")],
        read_span: Some((AT, AT)),
        tools: vec![Tally {
            tool: "ops__deploy".to_owned(),
            outcome: StepOutcome::Done,
            decision: Some(decisions[0].clone()),
            duration_ms: 340,
        }],
        tool_calls: 1,
        model: Some("claude".to_owned()),
        spent,
        ..Entry::bare(AT)
    };
    book.told("!why", &trail::why(&entry, 10, server_name!("hs"), &names, &Zone::default()));
    let refused = Entry { refused: Some("cyber".to_owned()), fallback: true, left_out: 1, ..entry.clone() };
    book.told("!why, after a refusal", &trail::why(&refused, 10, server_name!("hs"), &names, &Zone::default()));
    refusals(book, &names);
    let cited = |name: &str, link: Option<&str>, words: &str| Cited {
        name: name.to_owned(),
        link: link.map(ToOwned::to_owned),
        words: words.to_owned(),
    };
    let sources = [
        cited("report.pdf, p. 3", Some("https://matrix.to/#/!r:hs/$file?via=hs"), "The valve was replaced in May."),
        cited("Rain", Some("https://example.org/rain"), ""),
        cited("probe://minutes", None, "Nobody objected."),
    ];
    book.told("!why", &trail::cites(&sources));
    book.told("!why, too late", &trail::why_unknown());
    book.told("!why, too soon", &trail::why_not_yet());
    book.told("the audit room", &trail::audit_line(&entry, server_name!("hs")));
    book.told("the audit room", &trail::reloaded("SIGHUP", true, "legal: added\nci: changed (tools, schedules)"));
    book.told("the audit room", &trail::reloaded("workmate reload", false, "legal.yaml:3 name: missing"));
}

fn refusals(book: &mut Book, names: &Names) {
    use crate::core::refused::{LeftOut, Part, PutBack, Suspect};
    let one = |part: Part, category: &str| {
        let by = Some(owned_user_id!("@bob:hs"));
        let sent_at = matches!(part, Part::Event(_)).then_some(AT);
        LeftOut { what: Suspect { part, room: None, version: None, by, sent_at }, category: Some(category.to_owned()) }
    };
    let room = room_id!("!team:hs");
    let all = [
        one(Part::Event(owned_event_id!("$one")), "general_harms"),
        one(Part::Note(3), "unnamed"),
        one(Part::Name(owned_user_id!("@bob:hs")), "cyber"),
        one(Part::name_of(room), "cyber"),
        one(Part::topic_of(room), "cyber"),
    ];
    for listed in [&all[..], &[]] {
        let text = words::refusals::left_out(listed, room, server_name!("hs"), names, &Zone::default());
        book.told("!leftout", &text);
    }
    let parts = |many: usize| all.iter().take(many).map(|one| one.what.part.clone()).collect::<Vec<_>>();
    for (many, kept, number) in [(0, 0, None), (0, 0, Some(9)), (0, 1, None), (1, 0, None), (3, 0, None), (1, 2, None)]
    {
        book.told("!reread", &words::refusals::put_back(&PutBack { parts: parts(many), kept }, number));
    }
}
