use proptest::prelude::*;

use super::*;

prop_compose! {
    fn any_user()(index in 0..8usize) -> OwnedUserId {
        let users = ["@alice:here.org", "@bob:here.org", "@coworker-oncall:here.org", "@coworker-ci:here.org",
            "@assistant-alice:here.org", "@workmate:here.org", "@buildbot:here.org", "@mallory:evil.org"];
        UserId::parse(users[index]).unwrap()
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,8}",
        Just("oncall".to_owned()),
        Just("@".to_owned()),
        Just(": ".to_owned()),
        Just("\n> ".to_owned()),
        Just("```".to_owned()),
        Just("<blockquote>".to_owned()),
        Just("</blockquote>".to_owned()),
        Just("<code".to_owned()),
        Just("<a href=\"https://matrix.to/#/@coworker-oncall:here.org\">".to_owned()),
        Just("[x](https://matrix.to/#/@coworker-ci:here.org)".to_owned()),
        Just("</a>".to_owned()),
        Just("<!--".to_owned()),
        Just("&#x".to_owned()),
        Just("ß·é".to_owned()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

prop_compose! {
    fn any_message()(
        kind in prop_oneof![Just(MessageKind::Text), Just(MessageKind::Notice), Just(MessageKind::Emote),
            any_text().prop_map(|name| MessageKind::Attachment { msgtype: "m.file".to_owned(), name, mime: None, size: None, voice: false, media: None })],
        body in any_text(),
        html in prop::option::of(any_text()),
        mentions in prop::option::of((prop::collection::btree_set(any_user(), 0..4), any::<bool>())),
        threaded in any::<bool>(),
        replies in any::<bool>(),
    ) -> Message {
        Message {
            kind, body, html,
            mentions: mentions.map(|(users, room)| Mentions { users, room }),
            thread_root: threaded.then(|| event_id!("$root").to_owned()),
            reply_to: replies.then(|| event_id!("$before").to_owned()),
            relates: false,
            speaks_as: None,
            live: false,
        }
    }
}

prop_compose! {
    fn any_event()(
        sender in any_user(),
        sent_at in any::<i64>(),
        message in any_message(),
        newly_mentioned in prop::collection::btree_set(any_user(), 0..4),
        edit in any::<bool>(),
    ) -> RoomEvent {
        let kind = if edit {
            EventKind::Edit { target: event_id!("$before").to_owned(), new: message, newly_mentioned }
        } else {
            EventKind::Message(message)
        };
        RoomEvent { sent_at: Timestamp::from_ms(sent_at), ..event(&sender, kind) }
    }
}

proptest! {
    #[test]
    fn c14_no_sequence_of_events_makes_ours_bots_or_notices_ask_or_asks_anyone_twice(
        events in prop::collection::vec((any_event(), prop::option::of(any_user()), any::<i64>()), 1..6),
    ) {
        let mut thread = ThreadSoFar::default();
        let asked_before = BTreeSet::new();
        let doubled: Vec<_> = COWORKERS.iter().chain(COWORKERS.iter()).copied().collect();
        for (event, other, time) in events {
            let before = thread.clone();
            let replaced = other.as_deref().map(|sender| super::event(sender, EventKind::Message(Message::text("hi"))));
            let original = replaced.as_ref().map(|event| Original { event, asked: &asked_before });
            let scene = Scene {
                coworkers: &doubled, reply_sender: other.as_deref(), thread: Some(&before), original,
                now: Timestamp::from_ms(time), ..scene()
            };
            let _ = needs_reply_target(&event, &scene);
            let verdict = addressed(&event, &scene);
            thread.note(&event, &verdict, &scene);
            let Verdict::Asked(asked) = verdict else { continue };
            prop_assert_eq!(NAMESPACE.who(&event.sender), Who::Person);
            let (EventKind::Message(message) | EventKind::Edit { new: message, .. }) = &event.kind else { unreachable!() };
            prop_assert_ne!(&message.kind, &MessageKind::Notice);
            let users: BTreeSet<_> = asked.iter().map(|asked| &asked.user).collect();
            prop_assert!(!asked.is_empty());
            prop_assert_eq!(users.len(), asked.len());
            prop_assert!(users.iter().all(|user| COWORKERS.iter().any(|coworker| coworker.user == **user)));
        }
    }

    #[test]
    fn c16_stripping_an_address_takes_from_the_message_and_adds_nothing(body in any_text(), html in prop::option::of(any_text())) {
        for coworker in COWORKERS.iter() {
            let text = strip_address(&body, html.as_deref(), coworker);
            prop_assert!(body.contains(text));
            prop_assert_eq!(text, text.trim());
        }
    }
}
