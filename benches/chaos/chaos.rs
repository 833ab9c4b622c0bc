//! The parts of the suite; the tests run a short form of them.

#[path = "../../tests/it/chaos/chance.rs"]
pub(crate) mod chance;
#[path = "../../tests/it/chaos/disks.rs"]
pub(crate) mod disks;
#[path = "../../tests/it/chaos/parts.rs"]
pub(crate) mod parts;
#[path = "../../tests/it/chaos/reports.rs"]
pub(crate) mod reports;
#[path = "../../tests/it/chaos/tally.rs"]
pub(crate) mod tally;
#[path = "../../tests/it/chaos/times.rs"]
pub(crate) mod times;
#[path = "../../tests/it/chaos/world.rs"]
pub(crate) mod world;
