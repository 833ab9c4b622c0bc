//! The homeserver's side: one unmodified SDK client for each virtual user, behind a masquerading proxy.
//!
//! Everything that goes to the homeserver passes the proxy; nothing else holds the `as_token`. ruma's event types
//! stop at [`inbound`] and [`outbound`]: what leaves this module is `core`'s.

mod about_us;
pub(crate) mod account;
pub mod api;
pub(crate) mod audit_room;
pub(crate) mod avatar;
mod damage;
pub(crate) mod disk;
pub(crate) mod dm;
pub(crate) mod error;
pub(crate) mod gate;
pub mod inbound;
pub mod lead;
pub(crate) mod lobby;
mod marks;
pub(crate) mod media;
pub(crate) mod outbound;
pub(crate) mod outdated;
pub(crate) mod pool;
pub mod provision;
pub mod proxy;
pub(crate) mod pulse;
pub(crate) mod roster;
pub mod seals;
mod source;
pub(crate) mod trial;
mod trouble;
pub(crate) mod unseen;
pub mod window;

pub use account::Account;
pub use error::MatrixError;
