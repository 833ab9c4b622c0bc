//! Chooses the files that fit, such that the choice stays the same while the transcript grows.

use super::TOTAL_BYTES_MAX;

/// Most tokens of all files in a prompt: one PDF of the most pages.
pub const TOKENS_MAX: u32 = 200_000;

/// A file's weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes for the model.
    pub bytes: u64,
    /// Estimated tokens.
    pub tokens: u32,
    /// Whether it only belongs to the room, and not to the request or its thread.
    pub around: bool,
}

/// The limits on all files together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Most files.
    pub files_max: usize,
    /// Most tokens of files that only belong to the room.
    pub around_tokens_max: u32,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    files: u64,
    bytes: u64,
    tokens: u64,
    around: u64,
}

impl Sum {
    fn with(self, file: &Weight) -> Self {
        let tokens = u64::from(file.tokens);
        Self {
            files: self.files + 1,
            bytes: self.bytes.saturating_add(file.bytes),
            tokens: self.tokens + tokens,
            around: self.around + if file.around { tokens } else { 0 },
        }
    }

    fn without(self, file: &Weight) -> Self {
        let tokens = u64::from(file.tokens);
        Self {
            files: self.files - 1,
            bytes: self.bytes - file.bytes,
            tokens: self.tokens - tokens,
            around: self.around - if file.around { tokens } else { 0 },
        }
    }

    fn fits(self, limits: Self) -> bool {
        self.files <= limits.files
            && self.bytes <= limits.bytes
            && self.tokens <= limits.tokens
            && self.around <= limits.around
    }

    fn three_quarters(self) -> Self {
        let part = |whole: u64| whole.div_ceil(4) * 3;
        Self { files: part(self.files), bytes: part(self.bytes), tokens: part(self.tokens), around: part(self.around) }
    }
}

/// Returns which files are included, given all of them in message order.
///
/// It follows the transcript's growth: whether a file is included depends on those before it, and only changes when a
/// later one displaces the oldest. A file that exceeds a limit by itself is never included.
#[must_use]
pub fn choose(files: &[Weight], totals: &Totals) -> Vec<bool> {
    let limits = Sum {
        files: totals.files_max as u64,
        bytes: TOTAL_BYTES_MAX,
        tokens: u64::from(TOKENS_MAX),
        around: u64::from(totals.around_tokens_max),
    };
    let mut chosen = vec![false; files.len()];
    let mut sum = Sum::default();
    let mut oldest = 0;
    for (at, file) in files.iter().enumerate() {
        if !Sum::default().with(file).fits(limits) {
            continue;
        }
        if !sum.with(file).fits(limits) {
            while oldest < at && (!sum.with(file).fits(limits) || !sum.fits(limits.three_quarters())) {
                if std::mem::replace(&mut chosen[oldest], false) {
                    sum = sum.without(&files[oldest]);
                }
                oldest += 1;
            }
        }
        chosen[at] = true;
        sum = sum.with(file);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOTALS: Totals = Totals { files_max: 4, around_tokens_max: 10_000 };

    fn thread(tokens: u32) -> Weight {
        Weight { bytes: 1, tokens, around: false }
    }

    fn around(tokens: u32) -> Weight {
        Weight { around: true, ..thread(tokens) }
    }

    fn heavy(bytes: u64) -> Weight {
        Weight { bytes, ..thread(1) }
    }

    #[test]
    fn c7_the_oldest_files_go_first_and_a_quarter_at_a_time() {
        let rows: [(&str, Vec<Weight>, &str); 8] = [
            ("none", vec![], ""),
            ("all fit", vec![thread(1); 4], "xxxx"),
            ("one too many", vec![thread(1); 5], "-xxxx"),
            ("one too many, and then room for none", vec![thread(1); 6], "--xxxx"),
            (
                "the room's files go before the thread's",
                vec![around(1), around(1), thread(1), thread(1), thread(1)],
                "-xxxx",
            ),
            ("the room's files have less room", vec![around(6_000), around(6_000), thread(150_000)], "-xx"),
            ("what is too long alone takes no place", vec![thread(1), around(10_001), thread(200_001)], "x--"),
            ("bytes", vec![heavy(15 << 20), heavy(6 << 20), heavy(21 << 20)], "-x-"),
        ];
        for (name, files, expected) in rows {
            let chosen = choose(&files, &TOTALS);
            let shown: String = chosen.iter().map(|chosen| if *chosen { 'x' } else { '-' }).collect();
            assert_eq!(shown, expected, "{name}");
        }
    }

    #[test]
    fn no_files_are_chosen_where_none_are_allowed() {
        assert_eq!(choose(&[thread(1)], &Totals { files_max: 0, ..TOTALS }), [false]);
    }

    proptest! {
        #[test]
        fn what_is_chosen_fits_and_holds_the_newest(
            files in prop::collection::vec((0_u64..9 << 20, 0_u32..60_000, any::<bool>()), 0..30),
        ) {
            let files: Vec<_> =
                files.into_iter().map(|(bytes, tokens, around)| Weight { bytes, tokens, around }).collect();
            let chosen = choose(&files, &TOTALS);
            let given: Vec<_> = files.iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|(file, _)| file).collect();
            let around = given.iter().filter(|file| file.around);
            prop_assert!(given.len() <= TOTALS.files_max);
            prop_assert!(given.iter().map(|file| file.bytes).sum::<u64>() <= TOTAL_BYTES_MAX);
            prop_assert!(given.iter().map(|file| file.tokens).sum::<u32>() <= TOKENS_MAX);
            prop_assert!(around.map(|file| file.tokens).sum::<u32>() <= TOTALS.around_tokens_max);
            if let Some(last) = files.last() {
                let fits_alone = !last.around || last.tokens <= TOTALS.around_tokens_max;
                prop_assert_eq!(chosen.last(), Some(&fits_alone));
            }
        }

        #[test]
        fn a_later_file_changes_nothing_or_makes_the_oldest_go(
            tokens in prop::collection::vec(0_u32..90_000, 1..30),
        ) {
            let files: Vec<_> = tokens.into_iter().map(thread).collect();
            let mut before = Vec::new();
            for upto in 1..=files.len() {
                let after = choose(&files[..upto], &TOTALS);
                let gone = before.iter().zip(&after).rposition(|(before, after)| before != after).map_or(0, |at| at + 1);
                prop_assert!(after[..gone].iter().all(|given| !given));
                before = after;
            }
        }
    }
}
