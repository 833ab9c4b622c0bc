//! Whatever happens to a run, people see a bounded number of messages, each of a size that can be sent.

use proptest::prelude::*;

use super::*;

/// The most messages, edits aside, that a coworker's run sends before its answer and a file: its status.
const NOTICES_MAX: usize = 1;

#[derive(Clone, Debug)]
enum Happening {
    Text(usize),
    Tick,
    Waiting(u64),
    Later(u64),
}

fn any_step() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..5_000_usize).prop_map(Happening::Text),
        Just(Happening::Tick),
        (0..400_000_u64).prop_map(Happening::Waiting),
        (0..200_000_u64).prop_map(Happening::Later),
    ]
}

fn any_end() -> impl Strategy<Value = Result<(String, Stop), Fault>> {
    let stop = prop::sample::select(vec![Stop::End, Stop::Cut, Stop::Unfinished, Stop::Refused]);
    let fault = prop::sample::select(vec![Fault::Overloaded, Fault::Unreachable, Fault::BrokenOff, Fault::TooLong]);
    let text = prop_oneof!["\\PC{0,40}", Just(" \n".to_owned()), (0..9_000_usize).prop_map(|n| "word <&> ".repeat(n))];
    prop_oneof![(text, stop).prop_map(Ok), fault.prop_map(Err)]
}

fn fits(message: &Outgoing, bytes_max: usize) -> bool {
    let bytes = |text: &str| serde_json::to_string(text).expect("a string").len();
    bytes(&message.body) + message.html.as_deref().map_or(0, bytes) <= bytes_max
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn c9_c19_no_sequence_makes_a_run_send_more_than_a_notice_and_one_answer_or_a_blank_one(
        private in any::<bool>(),
        steps in prop::collection::vec(any_step(), 0..60),
        end in any_end(),
    ) {
        let mut now = NOW;
        let mut machine = Showing::new(&record(private), NOW);
        let (mut text, mut effects) = (String::new(), Vec::new());
        for step in steps {
            match step {
                Happening::Text(more) => {
                    text.push_str(&"word ".repeat(more / 5));
                    effects.extend(machine.take(&News::Text(&text), now));
                }
                Happening::Tick => effects.extend(machine.take(&News::Tick(&text), now)),
                Happening::Waiting(elapsed_ms) => effects.extend(machine.take(&News::Waiting(elapsed_ms), now)),
                Happening::Later(ms) => now = now.later(ms),
            }
        }
        let is_edit = |step: &Step| matches!(step, Step::Edit(_) | Step::StatusEdit(_));
        let sent: Vec<Step> = effects.iter().map(|(step, _)| *step).filter(|step| !is_edit(step)).collect();
        let answers = sent.iter().filter(|step| **step == Step::Answer).count();
        prop_assert!(answers <= usize::from(private), "a coworker's answer comes whole: {:?}", sent);
        prop_assert!(sent.len() - answers <= NOTICES_MAX, "{:?}", sent);
        let edits = effects.iter().filter(|e| matches!(e, (Step::Edit(_), _))).count();
        prop_assert!(edits < usize::try_from(crate::core::pace::EDITS_MAX).expect("small"));
        for (_, message) in &effects {
            prop_assert!(fits(message, EDIT_BYTES_MAX) && !message.body.trim().is_empty());
            prop_assert_eq!(private || message.kind == OutgoingKind::Notice, message.mentions.is_empty());
        }

        let answer = match &end {
            Ok((text, stop)) => machine.answered(text, *stop, Vec::new()),
            Err(fault) => machine.failed(*fault),
        };
        prop_assert!(!answer.message.body.trim().is_empty());
        let bytes_max = if private { EDIT_BYTES_MAX } else { MESSAGE_BYTES_MAX };
        prop_assert!(fits(&answer.message, bytes_max));
        let mentioned: BTreeSet<_> = (!private).then(|| user_id!("@alice:hs").to_owned()).into_iter().collect();
        prop_assert_eq!(&answer.message.mentions, &mentioned);
        let said_something = matches!(&end, Ok((text, stop)) if *stop != Stop::Refused && !render::is_blank(text));
        prop_assert_eq!(answer.outcome == Outcome::Done, said_something);
    }
}
