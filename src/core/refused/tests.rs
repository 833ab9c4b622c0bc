use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ruma::{owned_event_id, owned_room_id, room_id, user_id};

use super::{search::TRIES_MAX, *};
use crate::core::{
    event::{EventKind, Message, MessageKind, RoomEvent},
    notes::Note,
    redaction::Authority,
};

const ME: &str = "@coworker-oncall:hs";
/// What is said where there is no answer.
const NO: &str = "I can't help with that one.";

fn event(number: i64, sender: &str, kind: EventKind) -> RoomEvent {
    let id = EventId::parse(format!("$e{number}")).expect("an id");
    RoomEvent {
        id,
        room: owned_room_id!("!r:hs"),
        sender: UserId::parse(sender).expect("an id"),
        sent_at: Timestamp::from_ms(number),
        kind,
    }
}

fn said(number: i64, sender: &str, text: &str) -> RoomEvent {
    event(number, sender, EventKind::Message(Message::text(text)))
}

fn edit(number: i64, sender: &str, target: &str, text: &str) -> RoomEvent {
    let target = EventId::parse(target).expect("an id");
    let kind = EventKind::Edit { target, new: Message::text(text), newly_mentioned: BTreeSet::new() };
    event(number, sender, kind)
}

fn id(number: usize) -> OwnedEventId {
    EventId::parse(format!("$e{number}")).expect("an id")
}

fn part(number: usize) -> Part {
    Part::Event(id(number))
}

fn suspect(number: usize) -> Suspect {
    Suspect { part: part(number), room: None, version: None, by: None, sent_at: None }
}

fn bodies(events: &[RoomEvent]) -> Vec<String> {
    let body = |event: &RoomEvent| match &event.kind {
        EventKind::Message(message) | EventKind::Edit { new: message, .. } => message.body.clone(),
        _ => String::new(),
    };
    events.iter().map(body).collect()
}

/// Passes events of a room, whose last one is the request.
fn pass(refused: &Refused, breadth: &Breadth, events: &mut Vec<RoomEvent>) -> (Suspects, Vec<Part>) {
    let requests = [events.last().expect("a request").id.clone()];
    let me = UserId::parse(ME).expect("an id");
    let mut sieve = Sieve::new(refused, breadth, &me, &requests);
    sieve.timeline(room_id!("!r:hs"), events, NO);
    sieve.ended()
}

#[test]
fn c26_a_refused_message_leaves_a_mark_with_its_edits_and_files_and_the_request_passes() {
    let file = Message {
        kind: MessageKind::Attachment {
            msgtype: "m.file".to_owned(),
            name: "poison.pdf".to_owned(),
            mime: None,
            size: None,
            voice: false,
            media: None,
        },
        html: Some("poison".to_owned()),
        ..Message::text("poison.pdf")
    };
    let events = [
        edit(5, "@alice:hs", "$e1", "poison, edited"),
        said(1, "@alice:hs", "poison"),
        event(4, "@bob:hs", EventKind::Message(file)),
        said(2, "@bob:hs", "hello"),
    ];
    let mut refused = Refused::default();
    let edited = Suspect { version: Some("$e5".to_owned()), ..suspect(1) };
    refused.add(&[edited, suspect(4), suspect(4), suspect(2)], Some("cyber"));
    assert_eq!(refused.list().len(), 3, "each once");
    let mut later = events.to_vec();
    let (suspects, stale) = pass(&refused, &Breadth::default(), &mut later);
    assert_eq!(bodies(&later), [MARK, MARK, MARK, "hello"]);
    assert!(!format!("{later:?}").contains("poison"), "{later:?}");
    assert_eq!((suspects.parts.as_slice(), stale.as_slice()), ([].as_slice(), [].as_slice()));
    assert_eq!(suspects.request.map(|request| request.part), Some(part(2)));
}

#[test]
fn c26_an_edited_message_is_looked_at_anew_and_a_redacted_one_is_forgotten() {
    let mut refused = Refused::default();
    refused.add(&[suspect(1), suspect(2), suspect(3)], None);
    let redaction = EventKind::Redaction { target: id(2), authority: Authority::OwnServer };
    let mut events = vec![
        said(1, "@alice:hs", "poison"),
        said(2, "@alice:hs", "poison"),
        said(3, "@alice:hs", "poison"),
        edit(4, "@alice:hs", "$e1", "harmless"),
        edit(5, "@mallory:hs", "$e3", "not hers to edit"),
        event(6, "@alice:hs", redaction),
        said(7, "@bob:hs", "the request"),
    ];
    let (suspects, stale) = pass(&refused, &Breadth::default(), &mut events);
    assert_eq!(stale, [part(1), part(2)]);
    assert_eq!(suspects.parts.iter().map(|one| &one.part).collect::<Vec<_>>(), [&part(1)]);
    assert_eq!(bodies(&events)[2..4], [MARK, "harmless"]);
}

#[test]
fn c26_all_that_people_wrote_is_suspected_and_what_came_since_the_last_answer_first() {
    let mut events = vec![
        said(1, "@alice:hs", "old"),
        said(2, ME, "An answer."),
        said(3, "@bob:hs", "new"),
        said(4, ME, NO),
        event(5, "@bob:hs", EventKind::RoomName("x".to_owned())),
        said(6, "@carol:hs", "the request"),
        said(7, "@carol:hs", "later than the request"),
    ];
    let (refused, breadth, requests) = (Refused::default(), Breadth::default(), [id(6)]);
    let me = UserId::parse(ME).expect("an id");
    let mut sieve = Sieve::new(&refused, &breadth, &me, &requests);
    let room = room_id!("!r:hs");
    sieve.timeline(room, &mut events, NO);
    let (mut name, mut topic) = (Some("team".to_owned()), None);
    sieve.text(Part::name_of(room), &mut name);
    sieve.text(Part::topic_of(room), &mut topic);
    let alice = user_id!("@alice:hs").to_owned();
    let by = alice.clone();
    let note = Note { number: 3, text: "a note".to_owned(), by, at: Timestamp::from_ms(1), cause: String::new() };
    sieve.notes(room, &mut [note]);
    sieve.names(room, &mut BTreeMap::from([(alice.clone(), "Alice".to_owned())]));
    let (suspects, _) = sieve.ended();
    let parts: Vec<Part> = suspects.parts.into_iter().map(|one| one.part).collect();
    let old = [part(1), part(2), part(5), Part::name_of(room), Part::Note(3), Part::Name(alice)];
    assert_eq!(parts[..6], old);
    assert_eq!((&parts[6..], suspects.newest), ([part(3), part(4)].as_slice(), 2));
}

#[test]
fn c26_a_refused_name_topic_or_note_is_marked_until_it_changes() {
    let (room, me) = (room_id!("!r:hs"), UserId::parse(ME).expect("an id"));
    let bob = user_id!("@bob:hs").to_owned();
    let read = |refused: &Refused, topic: &str, note: &str| {
        let breadth = Breadth::default();
        let mut sieve = Sieve::new(refused, &breadth, &me, &[]);
        let mut topic = Some(topic.to_owned());
        sieve.text(Part::topic_of(room), &mut topic);
        let (by, cause) = (bob.clone(), String::new());
        let mut notes = [Note { number: 3, text: note.to_owned(), by, at: Timestamp::from_ms(1), cause }];
        sieve.notes(room, &mut notes);
        let mut names = BTreeMap::from([(bob.clone(), "poison".to_owned())]);
        sieve.names(room, &mut names);
        let [note] = notes;
        let (suspects, stale) = sieve.ended();
        (suspects.parts, stale, topic.expect("a topic"), note.text, names.len())
    };
    let (all, ..) = read(&Refused::default(), "poison", "poison");
    assert_eq!(all.len(), 3);
    let mut refused = Refused::default();
    refused.add(&all, Some("cyber"));
    let mark = || MARK.to_owned();
    assert_eq!(read(&refused, "poison", "poison"), (vec![], vec![], mark(), mark(), 0));
    let (suspects, stale, topic, note, _) = read(&refused, "harmless", "harmless");
    assert_eq!((topic.as_str(), note.as_str(), suspects.len()), ("harmless", "harmless", 2));
    assert_eq!(stale, [Part::topic_of(room), Part::Note(3)]);
}

#[test]
fn c26_what_a_request_is_tried_without_is_dropped_or_marked() {
    let events = vec![
        said(1, "@alice:hs", "one"),
        edit(2, "@alice:hs", "$e1", "one, edited"),
        said(3, "@bob:hs", "two"),
        said(4, "@bob:hs", "the request"),
    ];
    let tried = |marks| {
        let breadth = Breadth { without: [part(1), part(4)].into(), marks, probes: !marks };
        let mut events = events.clone();
        let (suspects, _) = pass(&Refused::default(), &breadth, &mut events);
        (bodies(&events), suspects.parts.len())
    };
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(tried(false), (texts(&["two", "the request"]), 1));
    assert_eq!(tried(true), (texts(&[MARK, MARK, "two", "the request"]), 1));
}

#[test]
fn c26_a_room_keeps_so_many_and_the_newest_and_reads_what_earlier_versions_kept() {
    let mut refused: Refused = serde_json::from_str(r#"["$old"]"#).expect("the earlier form");
    assert!(refused.has_event(&owned_event_id!("$old")));
    (0..KEPT_MAX + 5).for_each(|number| refused.add(&[suspect(number)], None));
    let has = |number: usize| refused.has_event(&id(number));
    assert_eq!((has(4), has(5), refused.list().len()), (false, true, KEPT_MAX));
    let text = serde_json::to_string(&refused).expect("JSON");
    assert_eq!(serde_json::from_str::<Refused>(&text).expect("the same"), refused);
}

#[test]
fn c26_senders_put_back_their_own_and_moderators_anything() {
    let (alice, bob) = (user_id!("@alice:hs"), user_id!("@bob:hs"));
    let of = |number: usize, by: Option<&UserId>| Suspect { by: by.map(ToOwned::to_owned), ..suspect(number) };
    let mut refused = Refused::default();
    refused.add(&[of(1, Some(alice)), of(2, Some(bob)), of(3, None)], None);
    for (who, moderates, number, parts, kept) in [
        (alice, false, None, vec![part(1)], 2),
        (alice, false, Some(1), vec![part(1)], 0),
        (alice, false, Some(2), vec![], 1),
        (bob, false, Some(3), vec![], 1),
        (bob, true, Some(3), vec![part(3)], 0),
        (bob, true, None, vec![part(1), part(2), part(3)], 0),
        (bob, true, Some(4), vec![], 0),
        (bob, true, Some(0), vec![], 0),
    ] {
        let back = put_back(&refused, Asking { who, moderates }, number);
        assert_eq!(back, PutBack { parts, kept }, "{who} {moderates} {number:?}");
    }
}

/// How a search went.
#[derive(Debug, PartialEq, Eq)]
struct Searched {
    /// What it blames; `None` if that is the request.
    blamed: Option<Vec<usize>>,
    /// With how many of the parts the answer was given; `None` if there is none.
    answered_with: Option<usize>,
    /// How many requests were accepted and paid for, the answered one included.
    paid: u32,
    tries: u32,
}

/// Searches in a room where a request is refused if it has one of the poisonous parts.
fn search(many: usize, newest: usize, poison: &[usize], is_request: bool, is_fine: bool) -> Searched {
    let of_bob = |at: usize| Suspect { by: Some(user_id!("@bob:hs").to_owned()), ..suspect(at) };
    let suspects = Suspects { parts: (0..many).map(of_bob).collect(), newest, request: None };
    let (mut search, mut verdict) = Search::begin(suspects, user_id!("@me:hs"), is_fine);
    let number = |one: &Suspect| (0..many).find(|at| part(*at) == one.part).expect("one of them");
    let (mut tries, mut paid, mut answered_with) = (0, 0, None);
    let blamed = loop {
        match verdict {
            Verdict::Try(breadth) => {
                tries += 1;
                assert!(tries <= TRIES_MAX, "too many requests");
                assert_eq!(breadth.probes, !search.answers());
                let is_refused = is_request || poison.iter().any(|at| !breadth.without.contains(&part(*at)));
                verdict = if is_refused {
                    search.refused()
                } else {
                    paid += 1;
                    if search.answers() {
                        answered_with = Some(many - breadth.without.len());
                    }
                    search.accepted()
                };
            }
            Verdict::Blame(blamed) | Verdict::Nothing(blamed) => break Some(blamed.iter().map(number).collect()),
            Verdict::Request => break None,
        }
    };
    Searched { blamed, answered_with, paid, tries }
}

#[test]
fn c26_the_one_message_that_is_to_blame_is_found_and_no_other_is_left_out() {
    let found = |blamed: Vec<usize>, with, paid, tries| Searched {
        blamed: Some(blamed),
        answered_with: Some(with),
        paid,
        tries,
    };
    // Somebody said it since the last answer: asked without it, and answered.
    assert_eq!(search(10, 1, &[9], false, true), found(vec![9], 9, 1, 1));
    assert_eq!(search(1, 1, &[0], false, true), found(vec![0], 0, 1, 1));
    assert_eq!(search(1, 0, &[0], false, true), found(vec![0], 0, 1, 1));
    // One of several new ones.
    let eight = search(20, 8, &[17], false, true);
    assert_eq!((&eight.blamed, eight.answered_with), (&Some(vec![17]), Some(19)));
    assert!(eight.tries <= 5, "{eight:?}");
    // An old one, of many.
    let old = search(200, 5, &[20], false, true);
    assert!(old.tries <= TRIES_MAX && old.answered_with.is_some(), "{old:?}");
    let blamed = old.blamed.expect("a message is to blame");
    assert!(blamed.contains(&20) && blamed.len() <= 2, "{blamed:?}");
    // The request.
    let request = search(20, 8, &[], true, true);
    assert_eq!(request, Searched { blamed: None, answered_with: None, paid: 0, tries: 2 });
    assert_eq!(search(0, 0, &[], true, true), Searched { blamed: None, answered_with: None, paid: 0, tries: 0 });
}

#[test]
fn c26_after_a_refusal_in_the_middle_of_an_answer_two_more_are_asked_for_and_no_more() {
    let found = search(20, 3, &[18], false, false);
    assert_eq!((found.blamed, found.answered_with, found.tries), (Some(vec![17, 18, 19]), Some(17), 1));
    let old = search(20, 3, &[4], false, false);
    assert_eq!((old.blamed, old.answered_with, old.tries), (Some((0..17).collect()), Some(0), 2));
    assert_eq!(search(20, 3, &[], true, false).tries, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn c26_a_search_ends_in_bounds_answers_if_it_can_and_blames_what_is_to_blame(
        many in 0_usize..250,
        newest in 0_usize..250,
        poison in prop::collection::btree_set(0_usize..250, 0..4),
        is_request in any::<bool>(),
        is_fine in any::<bool>(),
    ) {
        let poison: Vec<usize> = poison.into_iter().filter(|at| *at < many).collect();
        prop_assume!(is_request || !poison.is_empty());
        let searched = search(many, newest.min(many), &poison, is_request, is_fine);
        match searched.blamed {
            None => prop_assert!(is_request && searched.paid == 0),
            Some(blamed) => {
                prop_assert!(!is_request);
                prop_assert!(searched.answered_with.is_some(), "it can be answered alone at least");
                // So the next request finds the next one, and the room is clean in the end.
                let is_told_apart = is_fine || many <= BLAMED_MAX;
                prop_assert!(!is_told_apart || poison.iter().any(|at| blamed.contains(at)), "{:?}", blamed);
                prop_assert!(blamed.len() <= BLAMED_MAX, "{}", blamed.len());
            }
        }
    }
}
