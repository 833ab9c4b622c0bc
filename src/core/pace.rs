//! When a streamed answer is sent and edited (A10). The first text waits a moment, so that an answer which is complete
//! by then needs no edit; edits follow at growing intervals.
//!
//! The machine receives the time and returns what to do; it keeps no text. It always reserves the last edit for the
//! end.

use super::time::Timestamp;

/// How long the first text is held back, in milliseconds; an answer complete by then is never edited.
pub const FIRST_WAIT_MS: u64 = 1_500;
/// The gap between the first text and the first edit, in milliseconds.
pub const FIRST_GAP_MS: u64 = 700;
/// Each gap is this many halves of the one before, that is, 1.5 times as long.
const GROWTH_HALVES: u64 = 3;
/// The longest gap, in milliseconds.
pub const GAP_MS_MAX: u64 = 5_000;
/// Most edits of one answer, including the final one. Floods of edits make rooms slow to load.
pub const EDITS_MAX: u32 = 40;

/// What to do with the text so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Send it as a message.
    First,
    /// Edit the message; more text will follow.
    Interim,
}

/// The timing of one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// When the first text arrived.
    first: Option<Timestamp>,
    /// When text was last sent; `None` before the first.
    sent: Option<Timestamp>,
    /// The text's length at that time, in bytes.
    sent_len: usize,
    /// The text's length now, in bytes.
    len: usize,
    gap_ms: u64,
    edits: u32,
}

impl Pace {
    /// Starts with an answer that has no text yet.
    #[must_use]
    pub fn new() -> Self {
        Self { gap_ms: FIRST_GAP_MS, ..Self::default() }
    }

    /// Resumes an answer whose message was sent and edited this often, as after a restart.
    #[must_use]
    pub fn resumed(edits: u32, now: Timestamp) -> Self {
        Self { sent: Some(now), gap_ms: GAP_MS_MAX, edits, ..Self::default() }
    }

    /// Notes that the text is now `total_len` bytes long, and returns what is due; report it done by [`Self::act`].
    pub fn on_text(&mut self, total_len: usize, now: Timestamp) -> Option<Edit> {
        self.len = total_len;
        if total_len > 0 {
            self.first.get_or_insert(now);
        }
        self.on_tick(now)
    }

    /// Notes that time has passed; call it at [`Self::next_at`].
    pub fn on_tick(&mut self, now: Timestamp) -> Option<Edit> {
        let is_due = self.next_at().is_some_and(|at| at <= now);
        let due = if self.sent.is_some() { Edit::Interim } else { Edit::First };
        is_due.then_some(due)
    }

    /// Notes that what was due is done.
    pub fn act(&mut self, edit: Edit, now: Timestamp) {
        self.sent = Some(now);
        self.sent_len = self.len;
        if edit == Edit::Interim {
            self.edits += 1;
            self.gap_ms = (self.gap_ms * GROWTH_HALVES / 2).min(GAP_MS_MAX);
        }
    }

    /// Notes that no text is coming for now, as while tools run: nothing waits to be shown.
    pub fn rest(&mut self) {
        self.len = self.sent_len;
    }

    /// Returns when to call [`Self::on_tick`]; `None` if nothing is waiting.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        if self.len == self.sent_len || self.edits + 1 >= EDITS_MAX {
            return None;
        }
        let (since, wait_ms) = match self.sent {
            Some(sent) => (sent, self.gap_ms),
            None => (self.first?, FIRST_WAIT_MS),
        };
        Some(since.later(wait_ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{EDITS_MAX, Edit, FIRST_GAP_MS, GAP_MS_MAX, Pace};
    use crate::core::time::Timestamp;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn text(pace: &mut Pace, len: usize, ms: i64) -> Option<Edit> {
        let due = pace.on_text(len, at(ms));
        due.inspect(|edit| pace.act(*edit, at(ms)))
    }

    #[test]
    fn a10_first_text_after_a_moment_then_growing_gaps_then_final() {
        let mut pace = Pace::new();
        let mut sent = Vec::new();
        for ms in (0_i64..20_000).step_by(50) {
            let len = usize::try_from(ms).expect("not negative") + 1;
            sent.extend(text(&mut pace, len, ms).map(|edit| (ms, edit)));
        }
        let gaps: Vec<i64> = sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert_eq!(sent[0], (1_500, Edit::First));
        assert_eq!(gaps, [700, 1050, 1600, 2400, 3550, 5000]);
    }

    #[test]
    fn a_pause_in_the_stream_is_caught_up_by_the_tick() {
        let mut pace = Pace::new();
        assert_eq!(pace.next_at(), None);
        assert_eq!(text(&mut pace, 3, 0), None);
        assert_eq!(pace.next_at(), Some(at(1_500)));
        assert_eq!(pace.on_tick(at(1_499)), None);
        assert_eq!(pace.on_tick(at(1_500)), Some(Edit::First));
        pace.act(Edit::First, at(1_500));
        assert_eq!(pace.next_at(), None);
        assert_eq!(text(&mut pace, 9, 1_600), None);
        assert_eq!(pace.next_at(), Some(at(2_200)));
        assert_eq!(pace.on_tick(at(2_199)), None);
        assert_eq!(pace.on_tick(at(2_200)), Some(Edit::Interim));
        pace.rest();
        assert_eq!((pace.next_at(), pace.on_tick(at(9_000))), (None, None), "nothing of it can be shown");
    }

    #[test]
    fn a10_an_answer_that_is_whole_soon_is_one_message_without_an_edit() {
        let mut pace = Pace::new();
        assert_eq!(text(&mut pace, 0, 0), None);
        assert_eq!(text(&mut pace, 5, 1), None);
        assert_eq!(text(&mut pace, 50, 1_499), None);
    }

    #[test]
    fn a_resumed_answer_is_edited_and_not_sent_again() {
        let mut pace = Pace::resumed(3, at(0));
        assert_eq!(text(&mut pace, 5, 10), None);
        assert_eq!(text(&mut pace, 6, 5_000), Some(Edit::Interim));
    }

    #[test]
    fn edits_before_a_restart_count() {
        let mut pace = Pace::resumed(EDITS_MAX - 1, at(0));
        assert_eq!((text(&mut pace, 5, 60_000), pace.next_at()), (None, None));
    }

    proptest! {
        #[test]
        fn edits_are_few_and_spaced(steps in prop::collection::vec((0_i64..3_000, 0_usize..50), 0..2_000)) {
            let mut pace = Pace::new();
            let (mut now, mut len, mut edits, mut last) = (0, 0, 0, None);
            for (passed, more) in steps {
                now += passed;
                len += more;
                match text(&mut pace, len, now) {
                    Some(Edit::First) => prop_assert_eq!(last.replace(now), None),
                    Some(_) => {
                        let before = last.replace(now).expect("First comes first");
                        prop_assert!(u64::try_from(now - before).expect("time grows") >= FIRST_GAP_MS);
                        edits += 1;
                    }
                    None => {}
                }
            }
            // The last message of the run edits it once more.
            prop_assert!(edits < EDITS_MAX);
            prop_assert!(GAP_MS_MAX >= FIRST_GAP_MS);
        }
    }
}
