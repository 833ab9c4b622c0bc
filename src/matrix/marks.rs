//! The state by which rooms of ours are known again.

/// The state event that marks the audit room.
pub(super) const AUDIT_MARK: &str = "io.workmate.audit";
/// The state event that marks the lobby.
pub(super) const LOBBY_MARK: &str = "io.workmate.lobby";
