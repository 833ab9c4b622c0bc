use futures_util::FutureExt as _;
use ruma::{event_id, room_id, user_id};

use super::*;
use crate::core::{breaker::Whose, event::Place};

fn record() -> RunRecord {
    let (request, now) = (event_id!("$ask"), Timestamp::from_ms(1));
    let place = Place::Thread { root: event_id!("$root").to_owned(), latest: request.to_owned() };
    RunRecord::new(user_id!("@c:hs"), room_id!("!r:hs"), request, user_id!("@alice:hs"), place, now)
}

fn order(running: &Running, order: &Order) -> usize {
    running.order(room_id!("!r:hs"), Which::Touching(event_id!("$ask")), order)
}

#[test]
fn c10_an_order_waits_until_what_is_on_its_way_has_arrived() {
    let (running, record) = (Running::default(), record());
    let mut registered = running.register(&record.id(), &record);
    let sending = running.sending(&record.id()).now_or_never().flatten().expect("nothing else is being sent");

    assert_eq!(order(&running, &Order::Stop), 1);
    assert_eq!(registered.next_order().now_or_never(), None, "something is being sent");
    drop(sending);
    assert_eq!(registered.next_order().now_or_never(), Some(Order::Stop), "it was not forgotten meanwhile");
    assert_eq!(registered.next_order().now_or_never(), None, "it is carried out once");
}

#[test]
fn c10_an_order_about_what_a_run_is_not_yet_known_to_have_shown_is_given_with_it() {
    let (running, record) = (Running::default(), record());
    let id = record.id();
    let mut registered = running.register(&id, &record);
    let (notice, room) = (event_id!("$notice"), room_id!("!r:hs"));
    let touch = |room: &RoomId, event: &EventId, order: Order| running.order(room, Which::Touching(event), &order);

    assert_eq!(touch(room, notice, Order::Stop), 0, "its id is not known yet");
    assert_eq!(touch(room_id!("!other:hs"), event_id!("$status"), Order::Stop), 0);
    running.show(&id, event_id!("$status"));
    assert_eq!(registered.next_order().now_or_never(), None, "it was about another message");
    running.show(&id, notice);
    assert_eq!(registered.next_order().now_or_never(), Some(Order::Stop));

    touch(room, event_id!("$late"), Order::TakeBack);
    for n in 0..EARLY_MAX {
        touch(room, &OwnedEventId::try_from(format!("${n}")).expect("an id"), Order::Stop);
    }
    running.show(&id, event_id!("$late"));
    assert_eq!(registered.next_order().now_or_never(), None, "so many are kept");
}

#[tokio::test]
async fn a_stop_waits_for_runs_that_are_nearly_done_and_for_no_other() {
    let (running, record) = (Running::default(), record());
    let id = record.id();
    let may_end = || running.until_done_or_cut_off(&id).now_or_never().is_some();
    assert!(may_end(), "it is not there yet");
    let registered = running.register(&id, &record);
    for (nearness, at_once) in [(Nearness::Far, true), (Nearness::Writing, false), (Nearness::Ending, false)] {
        running.enter(&id, nearness);
        assert_eq!(may_end(), at_once, "{nearness:?}");
    }
    let waiting = running.until_done_or_cut_off(&id);
    drop(registered);
    waiting.await;
}

#[test]
fn c10_what_ends_a_run_more_thoroughly_holds() {
    use Order::{Drop, Restart, Stop, TakeBack};
    let table = [
        (vec![Restart, Restart], Restart),
        (vec![Restart, Stop], Stop),
        (vec![Stop, Restart], Stop),
        (vec![Stop, TakeBack], TakeBack),
        (vec![TakeBack, Stop], TakeBack),
        (vec![TakeBack, Restart], TakeBack),
        (vec![Stop, Drop], Drop),
        (vec![Drop, Stop], Drop),
    ];
    for (orders, expected) in table {
        let (running, record) = (Running::default(), record());
        let mut registered = running.register(&record.id(), &record);
        for given in &orders {
            order(&running, given);
        }
        assert_eq!(registered.next_order().now_or_never(), Some(expected.clone()), "{orders:?}");
        assert_eq!(registered.is_taken_back(), expected == TakeBack, "{orders:?}");
    }
}

#[test]
fn c10_an_order_reaches_only_the_runs_that_it_is_for() {
    let (room, other) = (room_id!("!r:hs"), room_id!("!other:hs"));
    let user = user_id!("@c:hs");
    let table = [
        ("the request", room, Which::Touching(event_id!("$ask")), 1),
        ("its status", room, Which::Touching(event_id!("$status")), 1),
        ("another message", room, Which::Touching(event_id!("$else")), 0),
        ("another room", other, Which::Touching(event_id!("$ask")), 0),
        ("its request", room, Which::AskedBy(event_id!("$ask")), 1),
        ("its status alone", room, Which::AskedBy(event_id!("$status")), 0),
        ("all of its user", room, Which::Of(user, None), 1),
        ("its thread", room, Which::Of(user, Some(event_id!("$root"))), 1),
        ("another thread", room, Which::Of(user, Some(event_id!("$else"))), 0),
        ("another user", room, Which::Of(user_id!("@d:hs"), None), 0),
    ];
    let (running, record) = (Running::default(), record());
    let _registered = running.register(&record.id(), &record);
    running.show(&record.id(), event_id!("$status"));
    for (name, room, which, reached) in table {
        assert_eq!(running.order(room, which, &Order::GoOn), reached, "{name}");
    }
}

#[test]
fn c6_an_edit_that_takes_the_mention_away_stops_the_run() {
    let (running, record) = (Running::default(), record());
    let mut registered = running.register(&record.id(), &record);
    let edit = |not_asked: &BTreeSet<OwnedUserId>| {
        let edited = (event_id!("$ask"), user_id!("@alice:hs"), false);
        running.edit(room_id!("!r:hs"), edited, not_asked, || Ok::<_, std::convert::Infallible>(Gate::Open))
    };
    assert_eq!(edit(&[user_id!("@other:hs").to_owned()].into()).map(|taken| taken.len()), Ok(1));
    assert_eq!(registered.next_order().now_or_never(), Some(Order::Restart));
    assert_eq!(edit(&[record.user.clone()].into()).map(|taken| taken.len()), Ok(0), "it counts for nothing");
    assert_eq!(registered.next_order().now_or_never(), Some(Order::Stop));
}

#[tokio::test]
async fn c6_a_live_message_waits_for_its_end_also_after_a_restart() {
    for (is_live, waits) in [(true, true), (false, false)] {
        let record = RunRecord { live: is_live, accepted_at: clock::now(), ..record() };
        let running = Running::default();
        let mut registered = running.register(&record.id(), &record);
        assert_eq!(running.until_quiet(&record.id()).now_or_never().is_none(), waits);
        let edit = |is_live: bool| {
            let edited = (event_id!("$ask"), user_id!("@alice:hs"), is_live);
            running.edit(room_id!("!r:hs"), edited, &BTreeSet::new(), || Ok::<_, std::convert::Infallible>(Gate::Open))
        };
        assert_eq!(edit(true).map(|taken| taken.len()), Ok(1));
        assert_eq!(registered.next_order().now_or_never(), Some(Order::Restart), "the next fragment is read");
        assert!(running.until_quiet(&record.id()).now_or_never().is_none());
    }
}

#[test]
fn f_a_file_is_added_to_the_newest_request_of_its_sender_and_restarts_it() {
    use crate::core::event::{EventKind, Message, MessageKind};

    let running = Running::default();
    let asked = |request: &EventId, ms: i64| {
        let asked_at = Timestamp::from_ms(ms);
        let place = Place::Thread { root: request.to_owned(), latest: request.to_owned() };
        RunRecord { request: request.to_owned(), asked_at, place, ..record() }
    };
    let (old, new) = (asked(event_id!("$old"), 1_000), asked(event_id!("$new"), 2_000));
    let (mut first, mut second) = (running.register(&old.id(), &old), running.register(&new.id(), &new));
    let kind = MessageKind::Attachment {
        msgtype: "m.image".to_owned(),
        name: "a.png".to_owned(),
        mime: None,
        size: None,
        voice: false,
        media: None,
    };
    let file = RoomEvent {
        room: room_id!("!r:hs").to_owned(),
        id: event_id!("$file").to_owned(),
        sender: user_id!("@alice:hs").to_owned(),
        sent_at: Timestamp::from_ms(3_500),
        kind: EventKind::Message(Message { kind, ..Message::text("a.png") }),
    };
    let join = |event: &RoomEvent| {
        let Ok(joined) = running.join(event, || Ok::<_, std::convert::Infallible>(Gate::Open));
        joined.map(|(request, taken)| (request, taken.len()))
    };
    assert_eq!(join(&file), Some((event_id!("$new").to_owned(), 1)));
    assert_eq!(join(&file), Some((event_id!("$new").to_owned(), 0)), "once");
    assert_eq!(join(&RoomEvent { sender: user_id!("@bob:hs").to_owned(), ..file.clone() }), None);
    assert_eq!(first.next_order().now_or_never(), None);
    assert_eq!(second.next_order().now_or_never(), Some(Order::Restart));
    assert_eq!(running.joined(&new.id()), [event_id!("$file").to_owned()]);
}

#[tokio::test]
async fn c6_an_edit_restarts_the_runs_that_its_message_asked_for_once_the_model_was_asked() {
    let (room, alice) = (room_id!("!r:hs"), user_id!("@alice:hs"));
    let (running, record) = (Running::default(), record());
    let mut registered = running.register(&record.id(), &record);
    running.show(&record.id(), event_id!("$status"));
    let edit = |room: &RoomId, request: &EventId, gate: Gate| {
        let Ok(taken) =
            running.edit(room, (request, alice, false), &BTreeSet::new(), || Ok::<_, std::convert::Infallible>(gate));
        taken.into_iter().map(|(.., edit)| edit).collect::<Vec<_>>()
    };
    assert_eq!(edit(room, event_id!("$status"), Gate::Open), []);
    assert_eq!(edit(room_id!("!other:hs"), event_id!("$ask"), Gate::Open), []);
    assert_eq!(registered.next_order().now_or_never(), None);

    assert_eq!(edit(room, event_id!("$ask"), Gate::Open), [Edit::Replaces]);
    assert_eq!(registered.next_order().now_or_never(), Some(Order::Restart), "it is read anew");
    assert_eq!(running.edited(&record.id()), (0, None), "which counts nothing");
    assert!(running.until_quiet(&record.id()).now_or_never().is_none(), "more may come");
    running.asks(&record.id());
    assert!(running.until_quiet(&record.id()).now_or_never().is_some());

    let (whose, until) = (Whose::Person, Timestamp::from_ms(9));
    let stopped = edit(room, event_id!("$ask"), Gate::Stopped { whose, say: true, until });
    assert_eq!(stopped, [Edit::Stopped { whose, say: true, until }]);
    assert_eq!(registered.next_order().now_or_never(), None, "the run goes on");
    assert_eq!(edit(room, event_id!("$ask"), Gate::Open), [Edit::Restarts]);
    assert_eq!(running.edited(&record.id()), (1, Some(alice.to_owned())));
}
