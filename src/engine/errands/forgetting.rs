//! Forgets errands that are over, and matters without news: what was reported is kept no longer than the limits say.

use ruma::{RoomId, UserId};

use super::Errands;
use crate::{
    clock,
    core::{
        errand::{self, Errand, Left, MatterThread, Stage},
        time::Timestamp,
    },
    store::{StoreError, Table},
};

impl Errands {
    /// Forgets what is over; at the start and once a day.
    pub(in crate::engine) fn forget_errands(&self) -> Result<(), StoreError> {
        let now = clock::now();
        forget_ended(&self.runtime.tables.errands, now)?;
        forget_matters(&self.runtime.tables.matters, now)
    }

    /// Leaves what waits for a coworker that has left a room or was being carried out, and forgets which threads its matters had there: should it
    /// come back, it begins anew, and whoever sent may send again.
    pub(in crate::engine) fn forget_errands_of(&self, room: &RoomId, user: &UserId) -> Result<(), StoreError> {
        self.lines.drop_line(&(room.to_owned(), user.to_owned()));
        for errand in self.runtime.tables.errands.iter() {
            let (key, errand) = errand?;
            let is_over = match errand.stage {
                Stage::Accepted => false,
                Stage::Begun => !self.is_carried_out(&errand)?,
                Stage::Left(_) => true,
            };
            if is_over || errand.room != room || errand.user != user {
                continue;
            }
            self.note_left(&errand, Left::NotThere)?;
            self.runtime.tables.errands.put(&key, &Errand { stage: Stage::Left(Left::NotThere), ..errand })?;
        }
        forget_matters_of(&self.runtime.tables.matters, room, user)
    }
}

fn forget_ended(errands: &Table<String, Errand>, now: Timestamp) -> Result<(), StoreError> {
    let (mut ended, mut kept) = (Vec::new(), 0);
    for errand in errands.iter() {
        let (key, errand) = errand?;
        if errand.is_stale(now) {
            errands.remove(&key)?;
            continue;
        }
        kept += 1;
        if errand.stage != Stage::Accepted {
            ended.push((errand.accepted_at, errand.id));
        }
    }
    for id in errand::surplus(ended, kept) {
        errands.remove(&id.as_str().to_owned())?;
    }
    Ok(())
}

fn forget_matters(matters: &Table<String, MatterThread>, now: Timestamp) -> Result<(), StoreError> {
    for matter in matters.iter() {
        let (key, thread) = matter?;
        if !thread.is_open(now) {
            // It may have had news in between.
            matters.update(&key, |kept| kept.filter(|thread| thread.is_open(now)))?;
        }
    }
    Ok(())
}

fn forget_matters_of(matters: &Table<String, MatterThread>, room: &RoomId, user: &UserId) -> Result<(), StoreError> {
    for matter in matters.iter() {
        let (key, thread) = matter?;
        if thread.is_of(room, user) {
            matters.remove(&key)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, room_id, user_id};

    use super::*;
    use crate::{
        core::errand::{ErrandId, KEPT_MAX, KEPT_MS, MATTER_MS, Origin, OriginKind},
        store::Store,
    };

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    fn before(ms: u64) -> Timestamp {
        Timestamp::from_ms(NOW.as_ms() - i64::try_from(ms).expect("it fits"))
    }

    fn errand(name: &str, stage: Stage, accepted_at: Timestamp) -> Errand {
        let origin = Origin { kind: OriginKind::Hook, name: "ci".to_owned(), set_by: None };
        let id = ErrandId::of(OriginKind::Hook, &[name]);
        Errand { stage, ..Errand::new(id, user_id!("@c:hs"), room_id!("!r:hs"), origin, "Look.", accepted_at) }
    }

    #[test]
    fn c21_what_is_over_is_forgotten_after_a_month_and_beyond_what_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), &[7; 32]).expect("the store opens");
        let errands: Table<String, Errand> = store.errands();
        let put = |errand: &Errand| errands.put(&errand.id.as_str().to_owned(), errand).expect("stored");
        let has = |errand: &Errand| errands.get(&errand.id.as_str().to_owned()).expect("read").is_some();
        let old = errand("old", Stage::Left(Left::Muted), before(KEPT_MS));
        let younger = errand("younger", Stage::Begun, before(KEPT_MS - 1));
        let waiting = errand("waiting", Stage::Accepted, before(KEPT_MS * 2));
        [&old, &younger, &waiting].into_iter().for_each(put);
        forget_ended(&errands, NOW).expect("forgotten");
        assert_eq!([&old, &younger, &waiting].map(has), [false, true, true]);

        let many: Vec<Errand> = (0..KEPT_MAX).map(|number| errand(&number.to_string(), Stage::Begun, NOW)).collect();
        many.iter().for_each(put);
        forget_ended(&errands, NOW).expect("forgotten");
        assert_eq!(
            (errands.len(), has(&younger), has(&waiting)),
            (KEPT_MAX, false, true),
            "the oldest that ended went"
        );
    }

    #[test]
    fn c21_a_matter_without_news_is_forgotten() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), &[7; 32]).expect("the store opens");
        let matters: Table<String, MatterThread> = store.matters();
        for (key, ms) in [("open", MATTER_MS - 1), ("over", MATTER_MS)] {
            let root = event_id!("$root").to_owned();
            let told = errand(key, Stage::Accepted, before(ms));
            let thread = told.matter_thread(&root, None, before(ms));
            matters.put(&key.to_owned(), &thread).expect("stored");
        }
        forget_matters(&matters, NOW).expect("forgotten");
        let left: Vec<String> = matters.iter().map(|matter| matter.expect("read").0).collect();
        assert_eq!(left, ["open"]);
    }

    #[test]
    fn c10_c21_a_coworker_that_was_removed_begins_new_threads_when_it_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), &[7; 32]).expect("the store opens");
        let matters: Table<String, MatterThread> = store.matters();
        let (room, other) = (room_id!("!r:hs"), room_id!("!other:hs"));
        for (key, of, whose) in [
            ("its", room, user_id!("@c:hs")),
            ("elsewhere", other, user_id!("@c:hs")),
            ("another's", room, user_id!("@d:hs")),
        ] {
            let errand = Errand { user: whose.to_owned(), room: of.to_owned(), ..errand(key, Stage::Accepted, NOW) };
            matters.put(&key.to_owned(), &errand.matter_thread(event_id!("$root"), None, NOW)).expect("stored");
        }
        forget_matters_of(&matters, room, user_id!("@c:hs")).expect("forgotten");
        let mut left: Vec<String> = matters.iter().map(|matter| matter.expect("read").0).collect();
        left.sort();
        assert_eq!(left, ["another's", "elsewhere"]);
    }
}
