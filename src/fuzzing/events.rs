//! Events, from the wire to three decisions: who is asked, which command it is, and what the prompt says.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, event_id, room_id, user_id};

use super::{shape, size};
use crate::{
    core::{
        address::{self, CoworkerHere, Scene, ThreadSoFar, strip_address},
        approval,
        command::{self, AssistantCommand},
        context::{self, Input, Kind, Pinned, Room},
        event::{EventKind, Message, RoomEvent},
        id, links,
        media::Limits,
        people::Namespace,
        prompt::Role,
        time::Timestamp,
    },
    matrix::inbound::{self, Rules},
};

pub(super) const WORDS: &[&str] = &[
    "\"m.relates_to\":{",
    "\"rel_type\":\"m.replace\"",
    "\"rel_type\":\"m.thread\"",
    "\"m.in_reply_to\":{\"event_id\":\"$0\"}",
    "\"m.new_content\":{",
    "\"m.mentions\":{\"user_ids\":[\"@coworker-oncall:hs\"]}",
    "\"formatted_body\":\"",
    "\"format\":\"org.matrix.custom.html\"",
    "\"msgtype\":\"m.text\"",
    "\"msgtype\":\"m.file\"",
    "\"msgtype\":\"m.audio\"",
    "\"body\":\"@oncall ",
    "!note ",
    "!open #a:hs",
    "\"info\":{\"size\":-1}",
    "\"url\":\"mxc://hs/a\"",
    "\"file\":{",
    "m.poll.start",
    "org.matrix.msc3381.poll.response",
    "m.location",
    "geo:1,2;u=3",
    "m.room.redaction",
    "\"redacts\":\"$0\"",
    "m.room.member",
    "\"membership\":\"join\"",
    "m.room.name",
    "m.room.topic",
    "m.room.encrypted",
    "m.reaction",
    "\"key\":\"\\u2705\"",
    "dev.workmate.card",
    "\"state_key\":\"\"",
    "m.room.history_visibility",
    "\\u0000",
    "\\u202e",
    "\n",
];

/// The time at which every case happens.
const NOW_MS: i64 = 1_795_346_405_000;
/// Events read from one case at most.
const EVENTS_MAX: usize = 12;

fn namespace() -> Namespace {
    Namespace::of_tests(ruma::owned_server_name!("hs"))
}

/// Checks what holds for any events: ids are well formed, each line of the prompt is one record of one sender, and
/// nothing panics.
pub(super) fn events(bytes: &[u8]) -> u64 {
    let (room, me) = (room_id!("!a:hs"), user_id!("@coworker-oncall:hs"));
    let text = String::from_utf8_lossy(bytes);
    let rules = Rules::default();
    let lines = text.split('\n').filter(|line| !line.trim().is_empty()).take(EVENTS_MAX);
    let mut events: Vec<RoomEvent> = lines.filter_map(|line| inbound::from_json(room, &rules, line)).collect();
    let coworker = CoworkerHere { user: me, id: "oncall", name: "oncall", display_name: Some("oncall") };
    let forms: Vec<_> = events.iter().map(|event| each(event, &coworker)).collect();

    events.push(RoomEvent {
        room: room.to_owned(),
        id: event_id!("$request").to_owned(),
        sender: user_id!("@alice:hs").to_owned(),
        sent_at: Timestamp::from_ms(NOW_MS),
        kind: EventKind::Message(Message::text("@oncall what is going on?")),
    });
    let names: BTreeMap<OwnedUserId, String> =
        events.iter().map(|event| (event.sender.clone(), text.chars().take(40).collect())).collect();
    let name: String = text.chars().take(80).collect();
    let composed = compose(me, &events, &names, &name);
    for turn in composed.prompt.turns.iter().filter(|turn| turn.role == Role::User) {
        for line in turn.text().split('\n') {
            let record: serde_json::Value = serde_json::from_str(line).expect("a line is a record");
            let sender = record["sender"].as_str();
            let theirs = sender.is_none_or(|sender| events.iter().any(|event| event.sender == sender));
            assert!(theirs, "a record of somebody who sent nothing");
        }
    }
    let left = composed.left_out;
    shape(&(forms, size(composed.read.len()), left.request, left.cut, composed.unreadable.is_some()))
}

fn compose(
    me: &ruma::UserId,
    events: &[RoomEvent],
    names: &BTreeMap<OwnedUserId, String>,
    name: &str,
) -> context::Composed {
    let requests = [event_id!("$request").to_owned()];
    let pins = [event_id!("$0").to_owned()];
    context::compose(&Input {
        me,
        kind: Kind::Coworker { name: "oncall", purpose: "Helps.", instructions: "Be calm." },
        room: Room {
            name: Some(name),
            topic: Some(name),
            encrypted: true,
            readable_from: None,
            time_zone: None,
            time_zones: None,
            invited: &[],
        },
        events,
        older: false,
        begin_is_fixed: false,
        names,
        requests: &requests,
        joined: &[],
        answered_meanwhile: &[],
        errands: &context::NO_ERRANDS,
        notes: &[],
        pinned: Pinned { ids: &pins, fetched: &[] },
        replied_to: &[],
        opened: &[],
        withheld: &[],
        thread_root: None,
        session: None,
        tokens_max: context::TOKENS_MIN,
        file_limits: Limits::default(),
        files: None,
    })
}

/// Takes one event through every decision about it, and returns its shape.
fn each(event: &RoomEvent, coworker: &CoworkerHere<'_>) -> (std::mem::Discriminant<EventKind>, u32, bool, bool) {
    let namespace = namespace();
    assert!(id::is_event(&event.id) && id::is_user(&event.sender), "an id that does not fit");
    let thread = ThreadSoFar::default();
    let scene = Scene {
        namespace: &namespace,
        coworkers: std::slice::from_ref(coworker),
        reply_sender: None,
        thread: Some(&thread),
        root_sender: None,
        asked_back: None,
        members: &[],
        original: None,
        now: Timestamp::from_ms(NOW_MS),
        accepted_at: Timestamp::from_ms(NOW_MS),
        deadline_ms: 1_800_000,
    };
    let verdict = address::addressed(event, &scene);
    if let Some(target) = address::needs_reply_target(event, &scene) {
        assert!(id::is_event(target), "an id that does not fit");
    }
    let decides = approval::may_be_plain(event) && says_something_to_a_card(event);
    let asked = matches!(verdict, address::Verdict::Asked(_));
    if let EventKind::Message(message) | EventKind::Edit { new: message, .. } = &event.kind {
        let _ = command::coworker_request(message, coworker);
        let _ = AssistantCommand::of(message);
        let bare = strip_address(&message.body, message.html.as_deref(), coworker);
        let (links, _) = links::pasted(message);
        return (std::mem::discriminant(&event.kind), size(bare.len()), asked, decides || !links.is_empty());
    }
    (std::mem::discriminant(&event.kind), 0, asked, decides)
}

fn says_something_to_a_card(event: &RoomEvent) -> bool {
    matches!(&event.kind, EventKind::Message(message) if approval::said_in_reply(message).is_some())
}
