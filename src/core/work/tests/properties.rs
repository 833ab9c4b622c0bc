//! Whatever the model says and whatever happens to its calls.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Something that happens to a loop.
#[derive(Clone, Debug)]
enum Event {
    Turn(TurnStop, Vec<(String, Value)>),
    Run(bool),
    StartOnly,
    Decide(u8),
    Crash,
    Revoke,
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("look".to_owned()),
        Just("act".to_owned()),
        Just("ask".to_owned()),
        Just("secret".to_owned()),
        Just("web_search".to_owned()),
        "\\PC{0,8}",
    ]
}

fn input() -> impl Strategy<Value = Value> {
    prop_oneof![4 => Just(json!({"a": "hunter2-token"})), 1 => Just(json!([])), 1 => Just(Value::Null)]
}

fn event() -> impl Strategy<Value = Event> {
    let stop = prop_oneof![
        8 => Just(TurnStop::End), 1 => Just(TurnStop::Cut), 1 => Just(TurnStop::Paused), 1 => Just(TurnStop::Refused)
    ];
    prop_oneof![
        4 => (stop, prop::collection::vec((name(), input()), 0..5)).prop_map(|(stop, calls)| Event::Turn(stop, calls)),
        4 => any::<bool>().prop_map(Event::Run),
        1 => Just(Event::StartOnly),
        2 => (0..3_u8).prop_map(Event::Decide),
        1 => Just(Event::Crash),
        1 => Just(Event::Revoke),
    ]
}

fn decision(kind: u8) -> Decision {
    let by = user_id!("@alice:hs").to_owned();
    match kind {
        0 => Decision::Approved { by, at: NOW },
        1 => Decision::Declined { by, at: NOW },
        _ => Decision::Expired,
    }
}

fn ids_of(round: &Round) -> Vec<String> {
    let blocks = round.said.iter().map(|raw| serde_json::from_str::<Value>(raw).expect("raw JSON"));
    blocks
        .filter(|block| block["type"] == "tool_use")
        .map(|block| block["id"].as_str().unwrap_or_default().to_owned())
        .collect()
}

proptest! {
    #[test]
    fn c12_calls_stay_paired_and_nothing_runs_that_is_not_allowed(events in prop::collection::vec(event(), 0..40)) {
        let mut bench = Bench::new();
        let mut approved: BTreeSet<String> = BTreeSet::new();
        let mut acted: BTreeSet<String> = BTreeSet::new();
        let mut asked = 0;
        for (at, event) in events.into_iter().enumerate() {
            let next = bench.next();
            match event {
                Event::Turn(stop, calls) if matches!(next, Next::Ask(_)) => {
                    asked += 1;
                    let blocks: Vec<Value> =
                        calls.iter().enumerate().map(|(n, (name, input))| call(&format!("{at}-{n}"), name, input)).collect();
                    if let Next::End(_) = bench.take(stop, &blocks) {
                        break;
                    }
                }
                Event::Run(_) | Event::StartOnly if next == Next::Calls => {
                    for id in bench.work.ready(&bench.terms()) {
                        let Some((tool, arguments)) = bench.with(|work, terms| work.start(&id, terms, NOW)) else { continue };
                        let name = tool.offer.name.as_str();
                        prop_assert!(["look", "act", "ask"].contains(&name) && bench.tools.permit(name, &Value::Object(arguments)).is_ok());
                        prop_assert!(name != "ask" || approved.contains(&id), "{id} ran unapproved");
                        prop_assert!(tool.idempotent || acted.insert(id.clone()), "{id} ran twice");
                        if let Event::Run(fine) = event {
                            let output = if fine { Output::ok("hunter2-token") } else { Output::error("no") };
                            bench.with(|work, terms| work.finish(&id, output, terms, LATER));
                        }
                    }
                }
                Event::Decide(kind) => {
                    for pending in bench.work.pending(&bench.terms()) {
                        if kind == 0 {
                            approved.insert(pending.call.clone());
                        }
                        bench.with(|work, terms| work.decide(&pending.call, decision(kind), terms));
                    }
                }
                Event::Crash => bench.crash(),
                Event::Revoke => {
                    let grants = ["look"].map(Grant::plain);
                    let look = offer("look", Class::Read, ApprovalRule::Never, true, Source::Process);
                    bench.tools = Toolset::resolve(&grants, &[look], &BTreeMap::new(), &Here::default());
                    bench.with(Work::take_up);
                }
                Event::Turn(..) | Event::Run(_) | Event::StartOnly => {}
            }
        }
        bench.work.stop();
        for round in bench.work.rounds() {
            let results: Vec<String> = round.results.iter().map(|result| result.call.clone()).collect();
            prop_assert_eq!(ids_of(round), results);
            prop_assert!(round.results.iter().all(|result| !result.text.contains("hunter2")));
        }
        prop_assert!(asked <= ROUNDS_MAX as usize + 1 + PAUSES_MAX);
        prop_assert!(bench.work.steps().iter().all(|step| !step.arguments.contains("hunter2") && !step.result.contains("hunter2")));
        prop_assert_ne!(bench.next(), Next::Calls);
    }
}
