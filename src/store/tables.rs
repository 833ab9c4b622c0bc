//! Every table: its name, its key, and what its values are. They are in one place so that a schema change is noticed.
//!
//! Values are the caller's record types. A table must be read with the type it was written with. A change of a record's
//! JSON shape that serde cannot bridge needs a new schema version with a migration.

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Serialize, de::DeserializeOwned};

use super::{Store, table::Table};
use crate::core::{sealed::Seal as RoomSeal, time::Timestamp};

/// The names of the trees on disk; the inbox has its own trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Runs,
    RunIndex,
    Rooms,
    Threads,
    Assistants,
    AssistantRooms,
    Users,
    Cursors,
    Settings,
    Notes,
    Approvals,
    ToolPins,
    Spent,
    Forgetting,
    Members,
    Owed,
    Seals,
    Checked,
    HeldBack,
    Ledger,
    People,
    CardsBegun,
}

impl Name {
    pub(super) const ALL: [Self; 22] = [
        Self::Runs,
        Self::RunIndex,
        Self::Rooms,
        Self::Threads,
        Self::Assistants,
        Self::AssistantRooms,
        Self::Users,
        Self::Cursors,
        Self::Settings,
        Self::Notes,
        Self::Approvals,
        Self::ToolPins,
        Self::Spent,
        Self::Forgetting,
        Self::Members,
        Self::Owed,
        Self::Seals,
        Self::Checked,
        Self::HeldBack,
        Self::Ledger,
        Self::People,
        Self::CardsBegun,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::RunIndex => "run_index",
            Self::Rooms => "rooms",
            Self::Threads => "threads",
            Self::Assistants => "assistants",
            Self::AssistantRooms => "assistant_rooms",
            Self::Users => "users",
            Self::Cursors => "cursors",
            Self::Settings => "settings",
            Self::Notes => "notes",
            Self::Approvals => "approvals",
            Self::ToolPins => "tool_pins",
            Self::Spent => "spent",
            Self::Forgetting => "forgetting",
            Self::Members => "members",
            Self::Owed => "owed",
            Self::Seals => "seals",
            Self::Checked => "checked",
            Self::HeldBack => "held_back",
            Self::Ledger => "ledger",
            Self::People => "people",
            Self::CardsBegun => "cards_begun",
        }
    }
}

impl Store {
    /// Returns the runs in progress with their journals, by run id; a run that ends is removed.
    #[must_use]
    pub fn runs<V: Serialize + DeserializeOwned>(&self) -> Table<String, V> {
        self.table(Name::Runs)
    }

    /// Returns the audit index of all runs, by start time and run id; it never holds content.
    #[must_use]
    pub fn run_index<V: Serialize + DeserializeOwned>(&self) -> Table<(Timestamp, String), V> {
        self.table(Name::RunIndex)
    }

    /// Returns what is known about each room, by room id.
    #[must_use]
    pub fn rooms<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedRoomId, V> {
        self.table(Name::Rooms)
    }

    /// Returns the threads in which a coworker was asked, by room id and thread root.
    #[must_use]
    pub fn threads<V: Serialize + DeserializeOwned>(&self) -> Table<(OwnedRoomId, OwnedEventId), V> {
        self.table(Name::Threads)
    }

    /// Returns the assistants, by owner.
    #[must_use]
    pub fn assistants<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedUserId, V> {
        self.table(Name::Assistants)
    }

    /// Returns the assistants' chats, by room id.
    #[must_use]
    pub fn assistant_rooms<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedRoomId, V> {
        self.table(Name::AssistantRooms)
    }

    /// Returns the virtual users' provisioning records, by user id.
    #[must_use]
    pub fn users<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedUserId, V> {
        self.table(Name::Users)
    }

    /// Returns up to where each room was compared with the inbox, by room id.
    #[must_use]
    pub fn checked<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedRoomId, V> {
        self.table(Name::Checked)
    }

    /// Returns the events kept for virtual users that could not take them, by room and event id.
    #[must_use]
    pub fn held_back<V: Serialize + DeserializeOwned>(&self) -> Table<(OwnedRoomId, OwnedEventId), V> {
        self.table(Name::HeldBack)
    }

    /// Returns how far each room is processed, by room id.
    #[must_use]
    pub fn cursors<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedRoomId, V> {
        self.table(Name::Cursors)
    }

    /// Returns the approvals of runs in progress, by room id and card; they never hold a call's arguments.
    #[must_use]
    pub fn approvals<V: Serialize + DeserializeOwned>(&self) -> Table<(OwnedRoomId, OwnedEventId), V> {
        self.table(Name::Approvals)
    }

    /// Returns settings made at run time, by name: the audit room and the lobby.
    #[must_use]
    pub fn settings<V: Serialize + DeserializeOwned>(&self) -> Table<String, V> {
        self.table(Name::Settings)
    }

    /// Returns the rooms' notes, by room id.
    #[must_use]
    pub fn notes<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedRoomId, V> {
        self.table(Name::Notes)
    }

    /// Returns what coworkers cost before the ledger existed, in millionths of a US dollar, by coworker and month
    /// (`2026-11`).
    #[must_use]
    pub fn spent<V: Serialize + DeserializeOwned>(&self) -> Table<(OwnedUserId, String), V> {
        self.table(Name::Spent)
    }

    /// Returns the fingerprints of tools as they were when granted or approved, by coworker and tool.
    #[must_use]
    pub fn tool_pins<V: Serialize + DeserializeOwned>(&self) -> Table<(OwnedUserId, String), V> {
        self.table(Name::ToolPins)
    }

    /// Returns which assistants are being made to forget, and how far that has come, by owner; never content.
    #[must_use]
    pub fn forgetting<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedUserId, V> {
        self.table(Name::Forgetting)
    }

    /// Returns what ended runs still owe, by run id.
    #[must_use]
    pub fn owed<V: Serialize + DeserializeOwned>(&self) -> Table<String, V> {
        self.table(Name::Owed)
    }

    /// Returns what was spent and what is reserved, by account (`workspace`, `person:@alice:example.org`).
    #[must_use]
    pub fn ledger<V: Serialize + DeserializeOwned>(&self) -> Table<String, V> {
        self.table(Name::Ledger)
    }

    /// Returns how fast people ask and what they were told about it, by user id.
    #[must_use]
    pub fn people<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedUserId, V> {
        self.table(Name::People)
    }

    /// Returns the cards that were being sent when last noted, by run id and number.
    #[must_use]
    pub fn cards_begun<V: Serialize + DeserializeOwned>(&self) -> Table<String, V> {
        self.table(Name::CardsBegun)
    }

    /// Returns how local people belong to the workspace, by user id.
    #[must_use]
    pub fn members<V: Serialize + DeserializeOwned>(&self) -> Table<OwnedUserId, V> {
        self.table(Name::Members)
    }

    /// Returns which rooms were ever encrypted, by room id; records are never removed.
    #[must_use]
    pub fn seals(&self) -> Table<OwnedRoomId, RoomSeal> {
        self.table(Name::Seals)
    }
}
