//! Random choices from a seed, so that a run can be repeated.

/// A small generator (xorshift64*); good enough to choose moments.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Begins with a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number from `least` up to but excluding `most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        least + (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % (most - least).max(1)
    }
}
