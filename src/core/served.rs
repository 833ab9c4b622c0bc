//! What owners' own programs are served (A13): which tools there are, and what their answers say. Whose program it is, is
//! [`super::connection`]'s.

pub(crate) mod answer;
pub(crate) mod tools;
