//! The model is asked while a webhook's notice is on its way (C21): nothing is said before it, and whatever happens to it,
//! one delivery has one answer and wastes one call at the most.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Result;
use ruma::RoomId;
use workmate::standin::{Gate, Matcher, Turn};

use super::{Desk, errands, is_about, run};
use crate::{
    harness::{
        Timeline,
        faults::{Fault, Faults},
        homeserver::shared,
        readiness::until_runs_ended,
    },
    spending::{gauge, sums_agree},
};

/// What calls in progress have reserved.
const RESERVED: &str = "workmate_budget_reserved_usd";

/// A desk behind a homeserver that holds notices back.
struct Held {
    desk: Desk,
    faults: Faults,
}

impl Held {
    async fn open() -> Result<Self> {
        let faults = Faults::before(shared().url().clone()).await?;
        let url = faults.url().clone();
        let desk = Box::pin(Desk::open_with(|setup| setup.homeserver(&url))).await?;
        Ok(Self { desk, faults })
    }

    /// Has the model's next answer about a title wait for its gate.
    fn gate(&self, title: &str) -> Gate {
        let (turn, gate) = Turn::text(format!("Digest of {title}")).hold_headers();
        let title = title.to_owned();
        self.desk.office.claude.on(Matcher::when("an errand", move |request| is_about(request, &title)), turn);
        gate
    }

    /// Delivers a report, whose notice meets a fault, and waits until the model is asked. No notice is there then.
    async fn asked_ahead(&self, title: &str, fault: Fault) -> Result<Gate> {
        let gate = self.gate(title);
        self.faults.hold();
        // What is held is held once; what is refused is refused however often it is tried.
        let (is_first, once) = (AtomicBool::new(true), fault == Fault::Held);
        self.faults.decide(move |call| {
            let is_met = call.sends("m.room.message") && (is_first.swap(false, Ordering::Relaxed) || !once);
            if is_met { fault } else { Fault::None }
        });
        assert_eq!(self.desk.github(&run(title)).await?.0, 202);
        gate.reached().await;
        assert_eq!(self.desk.notices(&self.desk.plain, title).len(), 0);
        Ok(gate)
    }

    /// Lets the notice go its way, and what is sent after it.
    fn release(&self) {
        self.faults.heal();
        self.faults.release();
    }

    async fn answered_once(&self, room: &RoomId, title: &str, calls: usize) -> Result<()> {
        self.desk.answered(room, title).await?;
        self.desk.assert_once(room, title);
        assert_eq!(errands(&self.desk.office.claude, title).len(), calls, "{title}");
        Ok(())
    }
}

#[tokio::test]
async fn c21_the_model_is_asked_while_the_notice_is_on_its_way_and_answers_behind_it() -> Result<()> {
    let mut held = Held::open().await?;
    let (plain, sealed) = (held.desk.plain.clone(), held.desk.sealed.clone());
    let workmate = |held: &Held| held.desk.office.workmate.logs().matches("a run ended").count();

    // The answer is there before the notice, and waits for it.
    held.asked_ahead("early", Fault::Held).await?.release();
    assert_eq!(held.desk.answers(&plain, "early"), 0);
    held.release();
    held.answered_once(&plain, "early", 1).await?;
    until_runs_ended(&held.desk.office.workmate, 1).await;

    // The room refuses the notice: the call is broken off, and the next notice has a call of its own.
    let _wasted = held.asked_ahead("refused", Fault::HeldJson(403, "M_FORBIDDEN")).await?;
    assert!(gauge(&held.desk.office.workmate, RESERVED).await? > 0);
    held.faults.release();
    while gauge(&held.desk.office.workmate, RESERVED).await? > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(errands(&held.desk.office.claude, "refused").len(), 1);
    held.release();
    held.answered_once(&plain, "refused", 2).await?;
    until_runs_ended(&held.desk.office.workmate, 2).await;

    // Somebody writes meanwhile: what the room says now is asked.
    let _wasted = held.asked_ahead("interrupted", Fault::Held).await?;
    held.desk.alice().send(&plain, "by the way, Carol has it").await?;
    // Once a command is answered, what was said before it is read.
    let (alice, oncall) = (held.desk.alice(), held.desk.office.oncall());
    held.desk.office.ask(alice, &plain, "!status").await?;
    held.desk.office.answer(alice, &plain, &oncall, "I'm here").await?;
    held.release();
    held.answered_once(&plain, "interrupted", 2).await?;
    until_runs_ended(&held.desk.office.workmate, 3).await;
    let asked = errands(&held.desk.office.claude, "interrupted");
    let reads = |number: usize| asked[number].body["messages"].to_string().contains("Carol has it");
    assert_eq!((reads(0), reads(1)), (false, true));

    // What is on its way is stopped as soon as its notice is there.
    let gate = held.asked_ahead("stopped", Fault::Held).await?;
    held.release();
    let notice = |seen: &Timeline| {
        let ours = seen.messages_of(&held.desk.office.oncall()).find(|event| event.body().contains("stopped"));
        ours.map(|event| event.event_id.clone())
    };
    let notice = held.desk.alice().until(&plain, "the notice", notice).await?;
    held.desk.alice().react(&plain, &notice, "🛑").await?;
    until_runs_ended(&held.desk.office.workmate, 4).await;
    gate.release();
    assert_eq!((held.desk.answers(&plain, "stopped"), errands(&held.desk.office.claude, "stopped").len()), (0, 1));

    // An encrypted room, too.
    let gate = held.gate("SealedDisk");
    held.faults.hold();
    held.faults.decide(|call| if call.sends("m.room.encrypted") { Fault::Held } else { Fault::None });
    assert_eq!(held.desk.alert("SealedDisk", "firing").await?.0, 202);
    gate.reached().await;
    gate.release();
    assert_eq!(held.desk.notices(&sealed, "SealedDisk").len(), 0);
    held.release();
    held.answered_once(&sealed, "SealedDisk", 1).await?;
    until_runs_ended(&held.desk.office.workmate, 5).await;
    assert_eq!(workmate(&held), 5);
    sums_agree(&held.desk.office.workmate).await?;

    // Killed in between: announced and answered once, with one call wasted.
    let _wasted = held.asked_ahead("killed", Fault::Held).await?;
    held.desk.office.workmate.kill();
    held.release();
    held.desk.office.workmate.start_again().await;
    held.answered_once(&plain, "killed", 2).await?;
    until_runs_ended(&held.desk.office.workmate, 6).await;
    sums_agree(&held.desk.office.workmate).await?;
    Ok(())
}
