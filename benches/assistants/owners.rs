//! Owners with their own clients, and what they see of their assistants.

use anyhow::Result;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{OwnedRoomId, OwnedUserId};
use tokio::time::{self, Duration, Instant};
use workmate::cli::{
    demo::person::{Person, timeline::Timeline},
    say::complain,
};

use crate::{figures::Samples, slot::Slot, stage::Stage};

/// Assistants requested at the same time.
pub(crate) const AT_ONCE: usize = 4;

/// A person with an assistant.
pub(crate) struct Owner {
    person: Person,
    assistant: OwnedUserId,
    room: OwnedRoomId,
}

/// Registers people and logs their clients in; `first` numbers the first of them.
pub(crate) async fn people(stage: &Stage, first: usize, number: usize) -> Result<Vec<Person>> {
    let starting = stream::iter(first..first + number).map(|number| async move {
        let person = stage.person(&format!("owner{number}")).await?;
        if number % 10 == 9 {
            complain(&format!("{} people are there", number + 1));
        }
        Ok(person)
    });
    starting.map(Box::pin).buffered(AT_ONCE).try_collect().await
}

/// Has each person write to their assistant, and waits until it invites them.
pub(crate) async fn provision(people: Vec<Person>, slot: &Slot) -> Result<Vec<Owner>> {
    let making = stream::iter(people).map(|person| async move {
        let assistant = slot.assistant(person.user_id().localpart());
        person.create_dm(&assistant).await?;
        let room = person.until_invited_by(&assistant).await?;
        Ok(Owner { person, assistant, room })
    });
    making.map(Box::pin).buffered(AT_ONCE).try_collect().await
}

/// Has each owner join their room; returns when all assistants have introduced themselves.
pub(crate) async fn meet(owners: &[Owner]) -> Result<()> {
    let meeting = stream::iter(owners).map(|owner| async move {
        owner.person.join(&owner.room).await?;
        let introduced = |seen: &Timeline| seen.messages_of(&owner.assistant).next().map(|_| ());
        owner.person.until(&owner.room, "the first words", introduced).await
    });
    meeting.map(Box::pin).buffered(AT_ONCE).try_collect().await
}

/// Has the owners write in turn, evenly spread over `window`, without waiting for answers.
pub(crate) async fn ask_in_turn(owners: &[Owner], messages: usize, window: Duration) -> Result<Samples> {
    let (gap, began) = (window / u32::try_from(messages)?, Instant::now());
    let asking = owners.iter().cycle().take(messages).zip(0..).map(|(owner, number)| {
        Box::pin(async move {
            time::sleep_until(began + gap * number).await;
            owner.ask().await
        })
    });
    let mut samples = Samples::default();
    for took in futures_util::future::try_join_all(asking).await? {
        samples.push(took);
    }
    Ok(samples)
}

impl Owner {
    /// Writes to the assistant; returns the time until the first part of an answer could be read.
    pub(crate) async fn ask(&self) -> Result<Duration> {
        let said = |seen: &Timeline| seen.messages_of(&self.assistant).count();
        let before = said(&self.person.timeline(&self.room));
        let began = Instant::now();
        self.person.send(&self.room, "what is the answer?").await?;
        let answered = |seen: &Timeline| (said(seen) > before).then_some(());
        self.person.until(&self.room, "the first text", answered).await?;
        Ok(began.elapsed())
    }
}
