//! Time to compose, in rooms of each size in turn.

use tokio::time::Instant;
use workmate::{cli::say::say, core::event::RoomEvent};

use crate::{
    RATIO_MAX, SIZES,
    figures::{Samples, verdict},
    room::Room,
};

/// Prints medians and ratios: composing from the window, as a run does, and from a whole timeline.
pub(crate) fn measure(rounds: usize) {
    let rooms = SIZES.map(Room::of);
    print("from the room's window", &sampled(rounds, |size| drop(rooms[size].compose())));

    let whole: [Vec<RoomEvent>; SIZES.len()] = std::array::from_fn(|size| rooms[size].timeline(SIZES[size]));
    print(
        "composing alone, handed the whole timeline",
        &sampled(rounds, |size| drop(rooms[size].compose_from(&whole[size]))),
    );
}

/// Composes in each room in turn, forwards and backwards, so that noise affects all of them alike.
fn sampled(rounds: usize, mut compose: impl FnMut(usize)) -> [Samples; SIZES.len()] {
    let mut samples: [Samples; SIZES.len()] = Default::default();
    for round in 0..=rounds {
        for place in 0..SIZES.len() {
            let size = if round % 2 == 0 { place } else { SIZES.len() - 1 - place };
            let began = Instant::now();
            compose(size);
            // The first round warms up.
            if round > 0 {
                samples[size].push(began.elapsed());
            }
        }
    }
    samples
}

fn print(what: &str, samples: &[Samples; SIZES.len()]) {
    say(format!("\n{what}"));
    for (size, samples) in SIZES.iter().zip(samples) {
        say(format!("  {size:>7} events: {samples}"));
    }
    let [.., before, largest] = samples;
    let ratio = largest.median_ms() / before.median_ms();
    say(format!("  the largest over the one before: {ratio:.2} (goal {RATIO_MAX}: {})", verdict(ratio, RATIO_MAX)));
}
