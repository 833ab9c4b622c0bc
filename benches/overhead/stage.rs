//! Shared setup: a homeserver with appservice slots, people, rooms, and a stand-in that answers at once.

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;
use ruma::{OwnedRoomId, UserId, events::room::member::MembershipState};
use tempfile::TempDir;
use tokio::time::{Duration, Instant};
use workmate::{
    cli::{
        demo::{
            homeserver::{Homeserver, Options, free_port},
            person::{Options as PersonOptions, Person, RoomKind, message::Message, timeline::Timeline},
        },
        say::complain,
    },
    standin::{self, StandIn, Turn},
};

use crate::slot::Slot;

/// The text of every answer.
pub(crate) const ANSWER: &str = "Forty-two, as ever.";

/// A homeserver and the appservices that it serves.
pub(crate) struct Stage {
    pub(crate) homeserver: Homeserver,
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) dir: TempDir,
}

impl Stage {
    /// Starts a homeserver with that many appservices.
    pub(crate) async fn start(slots: usize) -> Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let slots = (0..slots).map(|number| Slot::prepare(number, dir.path()).map(Arc::new));
        let slots = slots.collect::<Result<Vec<_>>>()?;
        let options = Options {
            venv: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("synapse-venv"),
            dir: dir.path().join("homeserver"),
            port: free_port()?.local_addr()?.port(),
            registrations: slots.iter().map(|slot| slot.registration.clone()).collect(),
            runner: None,
        };
        let homeserver = Homeserver::start(options, &complain).await?;
        Ok(Self { homeserver, slots, dir })
    }

    /// Registers a person and logs in an ordinary client.
    pub(crate) async fn person(&self, localpart: &str) -> Result<Person> {
        let password = format!("password-of-{localpart}");
        self.homeserver.register(localpart, &password).await?;
        Person::start(PersonOptions::new(self.homeserver.url(), localpart, &password)).await
    }
}

/// Starts a stand-in that answers at once.
pub(crate) async fn claude() -> Result<StandIn> {
    let claude = StandIn::start(standin::Options::scripted()).await?;
    claude.respond_with(|_| Turn::text(ANSWER));
    Ok(claude)
}

/// Makes a room for two people. The other's client knows the room and its devices, and may be stopped.
pub(crate) async fn room(asker: &Person, other: &Person, kind: RoomKind, name: &str) -> Result<OwnedRoomId> {
    let room = asker.create_room(kind, name, &[other.user_id()]).await?;
    other.until_membership(&room, other.user_id(), &MembershipState::Invite).await?;
    other.join(&room).await?;
    asker.until_membership(&room, other.user_id(), &MembershipState::Join).await?;
    Ok(room)
}

/// The time that one answer took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// From the asker's send until the asker's client has read the answer.
    pub(crate) to_read: Duration,
    /// By the homeserver's clock, from its accepting the question to its accepting the answer.
    pub(crate) in_between: Duration,
}

/// Asks once and waits until the asker's client has read the answer.
pub(crate) async fn ask(asker: &Person, room: &OwnedRoomId, whom: &UserId) -> Result<Took> {
    let began = Instant::now();
    let question = Message::text("@it what is the answer?").pill("@it", whom);
    let request = asker.send(room, question).await?;
    let find = |seen: &Timeline| {
        let asked = seen.event(&request)?;
        let answer = seen.answer(&request, whom, asker.user_id())?;
        Some((answer.body() == ANSWER, answer.sent_at.ms_since(asked.sent_at)))
    };
    let (right, in_between_ms) = asker.until(room, &format!("{whom}'s answer"), find).await?;
    anyhow::ensure!(right, "{whom} answered something else");
    Ok(Took { to_read: began.elapsed(), in_between: Duration::from_millis(in_between_ms) })
}
