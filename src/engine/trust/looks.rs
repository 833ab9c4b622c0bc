//! Looks for verifications that people's apps request by to-device message (A11).
//!
//! No transaction announces such a message, and nobody need write anything. So the homeserver is asked about our users in
//! turn, for nothing but these messages, and no client is opened for it. A look costs Synapse 1.163 about 6 ms of one
//! processor. Assistants whose owners wrote lately are looked at every few seconds, because people verify whom they have
//! just talked to; all others slowly, at 0.3 % of a processor.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ruma::{OwnedRoomId, OwnedUserId, UserId};

use crate::{
    clock,
    core::{id, people::Who, room_check::Privacy},
    engine::{EngineError, Shared, caught::caught},
    matrix::Account,
};

/// How often each assistant with an open client is looked at, and the least pause between two of them.
const OPEN_EVERY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_millis(250));
/// How often every other user is looked at, and the least pause between two of them.
const OTHERS_EVERY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));
/// Requests remembered as taken up; the homeserver holds them until the client's next sync.
const KNOWN_MAX: usize = 1_024;

/// Whom to look at.
enum Looked {
    /// The service bot or a coworker.
    Kept(Arc<Account>),
    /// An assistant, by its owner and their chat.
    Assistant(OwnedUserId, OwnedRoomId),
}

/// Looks for requests until Workmate stops.
pub(in crate::engine) async fn keep_looking(engine: Shared) {
    tokio::select! {
        () = engine.stop.cancelled() => {}
        _ = async { tokio::join!(
            look_in_turn(&engine, open_assistants, OPEN_EVERY),
            look_in_turn(&engine, all_others, OTHERS_EVERY),
        ) } => {}
    }
}

async fn look_in_turn(engine: &Shared, whom: fn(&Shared) -> Vec<Looked>, (every, least): (Duration, Duration)) {
    let mut known = BTreeSet::new();
    // What came while Workmate was down has waited long enough.
    let mut pause = least;
    loop {
        let users = whom(engine);
        if users.is_empty() {
            tokio::time::sleep(every).await;
        }
        for user in &users {
            tokio::time::sleep(pause).await;
            engine.homeserver.reach.until_back_or(&engine.stop).await;
            if let Err(error) = caught(Box::pin(look_at(engine, user, &mut known))).await {
                tracing::debug!(%error, "requests for a verification cannot be looked for; the next round does it");
            }
        }
        pause = pause_for(whom(engine).len(), every, least);
    }
}

/// Returns the pause between two users, so that each is looked at once in `every`, if `least` allows it.
fn pause_for(users: usize, every: Duration, least: Duration) -> Duration {
    let users = u32::try_from(users).unwrap_or(u32::MAX).max(1);
    (every / users).max(least)
}

async fn look_at(
    engine: &Shared,
    whom: &Looked,
    known: &mut BTreeSet<(OwnedUserId, String)>,
) -> Result<(), EngineError> {
    let user = match whom {
        Looked::Kept(account) => account.user().to_owned(),
        Looked::Assistant(owner, _) => engine.assistant_persona(owner).user,
    };
    let may_ask = |person: &UserId| match whom {
        Looked::Kept(_) => engine.namespace().who(person).is_person(),
        Looked::Assistant(owner, _) => person == owner,
    };
    let looked = engine.pool.provisioner().asked_to_verify(&user, clock::now()).await?;
    let asked = looked.asked.into_iter().filter(|(person, _)| may_ask(person)).map(|(_, id)| (user.clone(), id));
    let new: Vec<_> = asked.filter(|request| !known.contains(request)).collect();
    if new.is_empty() && !looked.is_full {
        return Ok(());
    }
    match whom {
        Looked::Kept(account) => {
            account.sync().await?;
            engine.trust.take_verification_requests(std::slice::from_ref(account));
        }
        Looked::Assistant(owner, room) => {
            let account = Box::pin(engine.pool.passing(&engine.assistant_persona(owner))).await?;
            account.sync().await?;
            if Box::pin(engine.homes.look_after(&account, owner, room)).await? == Privacy::Tight {
                engine.trust.take_owners_verification_requests(&account, owner, room);
            }
        }
    }
    if known.len() + new.len() > KNOWN_MAX {
        known.clear();
    }
    known.extend(new);
    Ok(())
}

/// Returns the assistants whose clients are open, because their owners wrote lately.
fn open_assistants(engine: &Shared) -> Vec<Looked> {
    let of = |user: OwnedUserId| {
        let Who::Assistant(localpart) = engine.namespace().who(&user) else { return None };
        let owner = id::user(&format!("@{localpart}:{}", user.server_name()))?;
        let room = own_room(engine, &owner)?;
        Some(Looked::Assistant(owner, room))
    };
    engine.pool.passing_users().into_iter().filter_map(of).collect()
}

/// Returns the service bot, the coworkers, and the assistants whose clients are closed.
fn all_others(engine: &Shared) -> Vec<Looked> {
    let mut others: Vec<_> = engine.pool.all_kept().into_iter().map(Looked::Kept).collect();
    if !engine.config().assistants.enabled {
        return others;
    }
    for (room, owner) in engine.tables.assistant_rooms.iter().filter_map(Result::ok) {
        let is_closed = engine.pool.opened(&engine.assistant_persona(&owner).user).is_none();
        if is_closed && own_room(engine, &owner).as_ref() == Some(&room) {
            others.push(Looked::Assistant(owner, room));
        }
    }
    others
}

fn own_room(engine: &Shared, owner: &OwnedUserId) -> Option<OwnedRoomId> {
    engine.tables.assistants.get(owner).ok().flatten()?.room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a11_few_users_are_looked_at_once_in_a_round_and_many_at_the_least_pause() {
        let (every, least) = OTHERS_EVERY;
        let seconds = |users| pause_for(users, every, least).as_secs();
        assert_eq!(
            [seconds(0), seconds(1), seconds(3), seconds(15), seconds(16), seconds(5_000)],
            [30, 30, 10, 2, 2, 2]
        );
        let (every, least) = OPEN_EVERY;
        assert_eq!(pause_for(64, every, least), least);
    }
}
