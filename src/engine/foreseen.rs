//! A wrong clock, which is no fault yet, or not ours.

use super::runtime::Runtime;
use crate::{
    appservice::health::{Condition, State},
    claude, clock,
    core::reach,
};

/// Compares this machine's clock with the times last told by the homeserver and the API.
pub(super) fn look_at_clock(runtime: &Runtime, claude: &claude::Client) {
    let told = reach::clock::told(runtime.api().clock_ahead_ms(), claude.clock_ahead_ms(), clock::now());
    // Updating the text every minute would fill the log.
    let is_told = matches!(runtime.health.get(Condition::Clock), State::Waiting(_));
    match told {
        None => runtime.health.set(Condition::Clock, State::Ready),
        Some(reason) if !is_told => runtime.health.set(Condition::Clock, State::Waiting(reason)),
        Some(_) => {}
    }
}
