//! What a model refused and another one answered: for a while the first one is not asked about the same in vain (C26).
//!
//! Nobody looked for the message to blame then, and nothing is left out. What is known is narrowed as questions come: a
//! prompt that is refused with only some of it tells that these are to blame, and one that is taken that they are not.

use serde::{Deserialize, Serialize};

use super::{Part, Suspects};
use crate::core::time::Timestamp;

/// For how long another model answers at once, in milliseconds; then the first one is asked again.
pub(crate) const AVERSE_MS: u64 = 60 * 60 * 1_000;
/// Most parts that are remembered for one model; the newest count.
pub(crate) const AVERSE_PARTS_MAX: usize = 50;
/// Most models that are remembered for one place; the oldest is forgotten first.
pub(crate) const AVERSE_MODELS_MAX: usize = 4;

/// The models that refuse something of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Averse(Vec<Aversion>);

/// One model that refuses something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Aversion {
    model: String,
    /// The model that answered.
    instead: String,
    /// When it refused.
    since: Timestamp,
    /// At least one of these is to blame; with them, what changes when they do.
    parts: Vec<(Part, Option<String>)>,
}

impl Aversion {
    fn holds(&self, now: Timestamp) -> bool {
        now.ms_since(self.since) < AVERSE_MS
    }

    fn is_met_by(&self, suspects: &Suspects) -> bool {
        self.parts.iter().all(|part| has(suspects, part))
    }
}

impl Averse {
    /// Returns whether nothing is known.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the model that is asked at once instead of this one, which would refuse.
    #[must_use]
    pub(crate) fn instead_of(&self, model: &str, suspects: &Suspects, now: Timestamp) -> Option<&str> {
        let known = self.0.iter().find(|one| one.model == model)?;
        (known.holds(now) && known.is_met_by(suspects)).then_some(&known.instead)
    }

    /// A model refused this, or would have, and another answered it.
    pub(crate) fn refused(&mut self, (model, instead): (&str, &str), suspects: &Suspects, now: Timestamp) {
        let known = self.0.iter().position(|one| one.model == model).map(|at| self.0.remove(at));
        let (since, mut parts) = match known {
            // It was not asked.
            Some(known) if known.holds(now) && known.is_met_by(suspects) => (known.since, known.parts),
            Some(known) => (now, known.parts.into_iter().filter(|part| has(suspects, part)).collect()),
            None => (now, Vec::new()),
        };
        if parts.is_empty() {
            parts = new_of(suspects);
        }
        if !parts.is_empty() {
            self.0.push(Aversion { model: model.to_owned(), instead: instead.to_owned(), since, parts });
        }
        let over = self.0.len().saturating_sub(AVERSE_MODELS_MAX);
        self.0.drain(..over);
    }

    /// A model took this: nothing of it is to blame.
    pub(crate) fn took(&mut self, model: &str, suspects: &Suspects) {
        for known in self.0.iter_mut().filter(|known| known.model == model) {
            known.parts.retain(|part| !has(suspects, part));
        }
        self.0.retain(|known| !known.parts.is_empty());
    }
}

fn has(suspects: &Suspects, (part, version): &(Part, Option<String>)) -> bool {
    let all = suspects.parts.iter().chain(&suspects.request);
    // A window may lack the edit that it had then.
    all.into_iter().any(|one| one.part == *part && (one.version.is_none() || one.version == *version))
}

/// Returns what came since the last answer, request included: the rest was taken then.
fn new_of(suspects: &Suspects) -> Vec<(Part, Option<String>)> {
    let newest = suspects.parts.iter().rev().take(suspects.newest);
    let new = suspects.request.iter().chain(newest).take(AVERSE_PARTS_MAX);
    new.map(|one| (one.part.clone(), one.version.clone())).collect()
}

#[cfg(test)]
mod tests {
    use ruma::event_id;

    use super::*;
    use crate::core::refused::Suspect;

    const HOUR: i64 = 3_600_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn suspect(number: u32) -> Suspect {
        Suspect { part: Part::Note(number), room: None, version: None, by: None, sent_at: None }
    }

    fn suspects(parts: &[u32], newest: usize) -> Suspects {
        Suspects { parts: parts.iter().copied().map(suspect).collect(), newest, request: None }
    }

    #[test]
    fn c26_what_one_model_refused_another_is_asked_at_once_for_an_hour() {
        let mut averse = Averse::default();
        averse.refused(("one", "two"), &suspects(&[1, 2, 3], 2), at(0));
        for (parts, now, expected) in [
            (&[1, 2, 3, 4][..], 1, Some("two")),
            (&[2, 3], HOUR - 1, Some("two")),
            (&[2, 3], HOUR, None),
            // Without one of them it may be taken.
            (&[1, 2, 4], 1, None),
            (&[], 1, None),
        ] {
            assert_eq!(averse.instead_of("one", &suspects(parts, 0), at(now)), expected, "{parts:?} {now}");
            assert_eq!(averse.instead_of("two", &suspects(parts, 0), at(now)), None);
        }
        // It was not asked meanwhile, and the hour is not put off by that.
        averse.refused(("one", "three"), &suspects(&[2, 3], 0), at(HOUR - 1));
        assert_eq!(averse.instead_of("one", &suspects(&[2, 3], 0), at(HOUR - 1)), Some("three"));
        assert_eq!(averse.instead_of("one", &suspects(&[2, 3], 0), at(HOUR)), None);
        // It was asked again, and refused again.
        averse.refused(("one", "two"), &suspects(&[2, 3], 0), at(HOUR));
        assert_eq!(averse.instead_of("one", &suspects(&[2, 3], 0), at(2 * HOUR - 1)), Some("two"));
    }

    #[test]
    fn c26_what_is_to_blame_is_narrowed_by_what_is_refused_and_what_is_taken() {
        let mut averse = Averse::default();
        averse.refused(("one", "two"), &suspects(&[1, 2, 3], 3), at(0));
        averse.refused(("one", "two"), &suspects(&[2, 3, 4], 1), at(1));
        assert_eq!(averse.instead_of("one", &suspects(&[2, 3], 0), at(1)), Some("two"), "1 was not there");
        averse.took("one", &suspects(&[2, 9], 0));
        assert_eq!(averse.instead_of("one", &suspects(&[3], 0), at(1)), Some("two"));
        let stored = serde_json::to_string(&averse).expect("JSON");
        assert_eq!(serde_json::from_str::<Averse>(&stored).expect("it reads back"), averse);
        averse.took("one", &suspects(&[3], 0));
        assert!(averse.is_empty());
    }

    #[test]
    fn c26_an_edited_or_redacted_message_lets_the_first_model_be_asked_again() {
        let event = |version: Option<&str>| Suspect {
            part: Part::Event(event_id!("$bad").to_owned()),
            version: version.map(str::to_owned),
            ..suspect(0)
        };
        let with = |version| Suspects { parts: Vec::new(), newest: 0, request: Some(event(version)) };
        let mut averse = Averse::default();
        averse.refused(("one", "two"), &with(None), at(0));
        assert_eq!(averse.instead_of("one", &with(None), at(1)), Some("two"));
        assert_eq!(averse.instead_of("one", &with(Some("$edit")), at(1)), None);
        assert_eq!(averse.instead_of("one", &Suspects::default(), at(1)), None, "redacted");
    }

    #[test]
    fn c26_no_more_is_remembered_than_the_limits_say() {
        let mut averse = Averse::default();
        let many: Vec<u32> = (0..500).collect();
        for model in 0..AVERSE_MODELS_MAX + 3 {
            averse.refused((&format!("model {model}"), "two"), &suspects(&many, 400), at(0));
        }
        assert_eq!((averse.0.len(), averse.0[0].parts.len()), (AVERSE_MODELS_MAX, AVERSE_PARTS_MAX));
        assert_eq!(averse.0[0].parts[0].0, Part::Note(499));
    }
}
