//! The homeserver's side: one unmodified SDK client for each virtual user, behind a masquerading proxy.
//!
//! Everything that goes to the homeserver passes the proxy; nothing else holds the `as_token`. ruma's event types
//! stop at [`inbound`] and [`outbound`]: what leaves this module is `core`'s.

mod about_us;
pub mod account;
pub mod api;
pub mod audit_room;
pub mod avatar;
pub mod disk;
pub mod dm;
pub mod error;
pub mod inbound;
pub mod lead;
pub mod lobby;
pub mod media;
pub mod outbound;
pub mod outdated;
pub mod pool;
pub mod provision;
pub mod proxy;
pub mod pulse;
pub mod roster;
pub mod seals;
pub mod unseen;
pub mod window;

pub use account::Account;
pub use error::MatrixError;
