//! The tests' harness, as far as the bench needs it.

#[path = "../../tests/it/harness/faults.rs"]
pub(crate) mod faults;
#[path = "../../tests/it/harness/slot.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
pub(crate) mod slot;
#[path = "../../tests/it/harness/workmate.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
pub(crate) mod workmate;
