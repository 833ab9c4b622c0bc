//! Every order in which a room's encryption can be observed, and every shape of the event.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Contents that people and servers may put into `m.room.encryption`.
fn contents() -> Vec<Value> {
    vec![
        json!({ "algorithm": MEGOLM }),
        json!({ "algorithm": MEGOLM, "rotation_period_ms": -1 }),
        json!({ "algorithm": MEGOLM, "rotation_period_msgs": "100" }),
        json!({ "algorithm": MEGOLM, "rotation_period_ms": "604800000" }),
        json!({ "algorithm": MEGOLM, "rotation_period_ms": 1.5e300, "rotation_period_msgs": [] }),
        json!({ "algorithm": 7 }),
        json!({ "algorithm": null }),
        json!({ "algorithm": { "name": MEGOLM } }),
        json!({ "algorithm": "" }),
        json!({ "algorithm": "org.example.future" }),
        json!({ "rotation_period_ms": 604_800_000 }),
        json!({}),
        json!([]),
        json!("m.megolm.v1.aes-sha2"),
        json!(1),
        Value::Null,
    ]
}

/// Returns whether we would speak in plain text after these observations.
fn is_plain(seen: &[Seal]) -> bool {
    speech(seen.iter().copied().reduce(Seal::and), Carriage::Plain) == Speech::Plain
}

#[test]
fn c8_an_encryption_event_of_any_content_ends_plain_speech() {
    for content in contents() {
        let seal = Seal::of_state("", &content);
        assert!(!is_plain(&[seal]), "{content}");
        assert!(!is_plain(&[Seal::of_state("other", &content)]), "{content}, under a state key of its own");
        let event = json!({ "type": ENCRYPTION, "state_key": "", "content": content, "unsigned": 3 }).to_string();
        assert_eq!(Seal::of_event(ENCRYPTION, Some(""), &event), Some(seal), "{content}, as a transaction brings it");
    }
    for event in ["", "nonsense", "{}", "[]", r#"{"content":{"algorithm":"m.megolm.v1.aes-sha2","algorithm":2}}"#] {
        assert!(Seal::of_event(ENCRYPTION, Some(""), event).is_some(), "{event}");
    }
}

#[test]
fn c8_we_speak_as_the_room_asks_or_not_at_all() {
    let state = |content: Value| Seal::of_state("", &content);
    let (good, foreign) = (json!({ "algorithm": MEGOLM }), json!({ "algorithm": "org.example.future" }));
    let table = [
        ("nothing was seen", vec![], Speech::Plain),
        ("encrypted", vec![state(good.clone())], Speech::Encrypted),
        ("redacted from the start", vec![state(json!({}))], Speech::Encrypted),
        ("another algorithm", vec![state(foreign.clone())], Speech::Refused),
        ("another algorithm, after ours", vec![state(good.clone()), state(foreign.clone())], Speech::Encrypted),
        ("another algorithm, then none", vec![state(foreign.clone()), state(json!({}))], Speech::Refused),
        ("another algorithm, but people use ours", vec![state(foreign.clone()), Seal::of_message()], Speech::Encrypted),
        ("an encrypted message and no state", vec![Seal::of_message()], Speech::Encrypted),
        ("a predecessor of another algorithm", vec![state(foreign).of_predecessor()], Speech::Refused),
        ("a predecessor", vec![state(good).of_predecessor()], Speech::Encrypted),
        ("no more than that there is a seal", vec![Seal::unreadable()], Speech::Encrypted),
    ];
    for (what, seen, expected) in table {
        assert_eq!(speech(seen.iter().copied().reduce(Seal::and), Carriage::Plain), expected, "{what}");
        // A sender who can encrypt to us can read our encrypted answer.
        assert_eq!(speech(seen.into_iter().reduce(Seal::and), Carriage::Encrypted), Speech::Encrypted, "{what}");
    }
}

#[test]
fn c8_an_invite_that_shows_an_encrypted_room_seals_it_before_we_join() {
    let invite = |shown: Value| {
        json!({ "type": "m.room.member", "content": { "membership": "invite" }, "unsigned": { "invite_room_state": shown } })
            .to_string()
    };
    let name = json!({ "type": "m.room.name", "state_key": "", "content": { "name": "x" } });
    let odd =
        json!({ "type": ENCRYPTION, "state_key": "", "content": { "algorithm": MEGOLM, "rotation_period_ms": -1 } });
    let table = [
        (json!([name, odd]), Some(Seal { demanded: true, megolm: true, foreign: false })),
        (json!([3, null, odd, "x"]), Some(Seal { demanded: true, megolm: true, foreign: false })),
        (json!([{ "type": ENCRYPTION }]), Some(Seal { demanded: true, megolm: false, foreign: false })),
        (json!([name]), None),
        (json!({ "type": ENCRYPTION }), None),
        (Value::Null, None),
    ];
    for (shown, expected) in table {
        assert_eq!(Seal::of_event("m.room.member", Some("@a:hs"), &invite(shown.clone())), expected, "{shown}");
    }
    assert_eq!(Seal::of_event("m.room.message", None, "{}"), None);
}

#[test]
fn c8_plain_words_in_a_room_whose_people_encrypt_are_not_obeyed_unless_the_operator_says_so() {
    let demanded = Some(Seal::of_state("", &json!({})));
    let table = [
        (demanded, Carriage::Plain, false, true),
        (demanded, Carriage::Plain, true, false),
        (demanded, Carriage::Encrypted, false, false),
        // Nobody's client encrypts there: one stray message must not silence a plain room.
        (Some(Seal::of_message()), Carriage::Plain, false, false),
        (Some(Seal::of_state("other", &json!({ "algorithm": MEGOLM }))), Carriage::Plain, false, false),
        (Some(Seal::unreadable().of_predecessor()), Carriage::Plain, false, false),
        (None, Carriage::Plain, false, false),
    ];
    for (seal, asked, allowed, expected) in table {
        assert_eq!(is_suspect(seal, asked, allowed), expected, "{seal:?} {asked:?} {allowed}");
    }
}

#[test]
fn a_seal_of_an_older_store_is_read() {
    assert_eq!(serde_json::from_str::<Seal>("{}").ok(), Some(Seal::default()));
    insta::assert_json_snapshot!(Seal::unreadable(), @r#"
    {
      "demanded": true,
      "megolm": true,
      "foreign": false
    }
    "#);
}

fn seen() -> impl Strategy<Value = Seal> {
    let state = (prop_oneof![Just(""), Just("x")], prop::sample::select(contents()));
    prop_oneof![
        state.prop_map(|(key, content)| Seal::of_state(key, &content)),
        Just(Seal::of_message()),
        any::<bool>().prop_map(|megolm| Seal { demanded: true, megolm, foreign: !megolm }.of_predecessor()),
        Just(Seal::unreadable()),
    ]
}

proptest! {
    /// Observations come in any order, repeatedly, and some never.
    #[test]
    fn c8_once_sealed_no_sequence_of_states_makes_us_speak_plainly(
        seen in prop::collection::vec(seen(), 1..12),
        order in any::<prop::sample::Index>(),
    ) {
        let mut so_far: Option<Seal> = None;
        for seal in &seen {
            let before = so_far;
            so_far = Some(so_far.map_or(*seal, |known| known.and(*seal)));
            prop_assert_ne!(speech(so_far, Carriage::Plain), Speech::Plain);
            // If we could speak encrypted once, we always can.
            if before.is_some() && speech(before, Carriage::Plain) == Speech::Encrypted && before.is_some_and(|seal| seal.megolm) {
                prop_assert_eq!(speech(so_far, Carriage::Plain), Speech::Encrypted);
            }
        }
        let at = order.index(seen.len());
        let turned = seen[at..].iter().chain(&seen[..at]).chain(&seen).copied().reduce(Seal::and);
        prop_assert_eq!(turned, so_far, "the order and repetition do not matter");
        prop_assert_eq!(speech(so_far, Carriage::Encrypted), Speech::Encrypted);
    }

    #[test]
    fn c8_no_event_that_a_server_can_make_panics_or_unseals(json in ".{0,200}", key in prop::option::of(".{0,5}")) {
        for event_type in [ENCRYPTION, ENCRYPTED, "m.room.member", "m.room.create", ""] {
            let seal = Seal::of_event(event_type, key.as_deref(), &json);
            // Anybody can send a lookalike of an encrypted message.
            prop_assert!(seal.is_none() || event_type != ENCRYPTED);
            prop_assert!(seal.is_some() || event_type != ENCRYPTION || key.is_none());
        }
    }
}
