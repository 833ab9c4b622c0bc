//! Amounts of money.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Millionths in a US dollar.
const MICRO: u64 = 1_000_000;
/// Millionths in a cent.
const CENT: u64 = MICRO / 100;

/// US dollars in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usd(u64);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Wraps a number of millionths.
    #[must_use]
    pub const fn from_micro(micro: u64) -> Self {
        Self(micro)
    }

    /// Returns that many dollars.
    #[must_use]
    pub const fn dollars(dollars: u32) -> Self {
        Self(dollars as u64 * MICRO)
    }

    /// Returns the number of millionths.
    #[must_use]
    pub const fn micro(self) -> u64 {
        self.0
    }

    /// Returns the amount in dollars, for display and metrics only.
    #[must_use]
    pub fn as_dollars(self) -> f64 {
        // Each half fits a float exactly.
        let [high, low] = [self.0 / MICRO, self.0 % MICRO].map(|half| u32::try_from(half).unwrap_or(u32::MAX));
        f64::from(high) + f64::from(low) / f64::from(1_000_000_u32)
    }

    /// Parses dollars with at most two decimals, such as `12` or `0.50`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, cents) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(cents) || cents.len() > 2 {
            return None;
        }
        let tenths = if cents.len() == 1 { 10 } else { 1 };
        let cents = cents.parse::<u64>().ok()? * tenths;
        let whole = whole.parse::<u64>().ok()?.checked_mul(MICRO)?;
        whole.checked_add(cents * CENT).map(Self)
    }

    pub(super) fn without(self, less: Self) -> Self {
        Self(self.0.saturating_sub(less.0))
    }

    pub(super) fn add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

impl fmt::Display for Usd {
    /// Formats whole dollars, or dollars and cents rounded up: `$12`, `$0.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.0.div_ceil(CENT);
        match (cents / 100, cents % 100) {
            (dollars, 0) => write!(f, "${dollars}"),
            (dollars, cents) => write!(f, "${dollars}.{cents:02}"),
        }
    }
}
