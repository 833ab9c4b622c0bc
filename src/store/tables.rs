//! All tables: their names, keys and values. They are in one list, so that a schema change is visible; the names on
//! disk, the store's methods and the table in `docs/storage.md` are generated from it.
//!
//! Values are the caller's record types. A table must be read with the type with which it was written. A change of a
//! record's JSON that serde cannot bridge needs a new schema version with a migration.

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Serialize, de::DeserializeOwned};

use super::{Store, table::Table};
use crate::core::{sealed::Seal as RoomSeal, time::Timestamp};

macro_rules! tables {
    ($(#[doc = $about:literal] $name:ident $tree:ident: $key:ty $(, $value:ty)?;)+) => {
        /// The names of the trees on disk; the inbox has its own trees.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Name {
            $($name,)+
        }

        impl Name {
            pub(super) const ALL: [Self; [$(stringify!($tree)),+].len()] = [$(Self::$name),+];

            pub(super) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($tree),)+
                }
            }

            /// Returns a table's description for the documentation.
            #[cfg(test)]
            const fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $about,)+
                }
            }
        }

        impl Store {
            $(method!($about, $name, $tree, $key $(, $value)?);)+
        }
    };
}

macro_rules! method {
    ($about:literal, $name:ident, $tree:ident, $key:ty) => {
        #[doc = concat!("Returns ", $about)]
        #[must_use]
        pub fn $tree<V: Serialize + DeserializeOwned>(&self) -> Table<$key, V> {
            self.table(Name::$name)
        }
    };
    ($about:literal, $name:ident, $tree:ident, $key:ty, $value:ty) => {
        #[doc = concat!("Returns ", $about)]
        #[must_use]
        pub fn $tree(&self) -> Table<$key, $value> {
            self.table(Name::$name)
        }
    };
}

tables! {
    #[doc = "the runs in progress with their journals, by run id; a run that ends is removed."]
    Runs runs: String;
    #[doc = "the audit index of all runs, by start time and run id; it never holds content."]
    RunIndex run_index: (Timestamp, String);
    #[doc = "what is known about each room, by room id."]
    Rooms rooms: OwnedRoomId;
    #[doc = "the threads in which a coworker was asked, by room id and thread root."]
    Threads threads: (OwnedRoomId, OwnedEventId);
    #[doc = "the assistants, by owner."]
    Assistants assistants: OwnedUserId;
    #[doc = "the assistants' chats, by room id."]
    AssistantRooms assistant_rooms: OwnedRoomId;
    #[doc = "how far each room is processed, by room id."]
    Cursors cursors: OwnedRoomId;
    #[doc = "settings made at run time, by name: the audit room, the lobby, and which files of the configuration changed."]
    Settings settings: String;
    #[doc = "the rooms' notes, by room id."]
    Notes notes: OwnedRoomId;
    #[doc = "the approvals of runs in progress, by room id and card; they never hold a call's arguments."]
    Approvals approvals: (OwnedRoomId, OwnedEventId);
    #[doc = "the fingerprints of tools as they were when granted or approved, by coworker and tool."]
    ToolPins tool_pins: (OwnedUserId, String);
    #[doc = "what coworkers cost before the ledger existed, in millionths of a US dollar, by coworker and month (`2026-11`)."]
    Spent spent: (OwnedUserId, String);
    #[doc = "which assistants are being made to forget, and how far that has come, by owner; never content."]
    Forgetting forgetting: OwnedUserId;
    #[doc = "how local people belong to the workspace, by user id."]
    Members members: OwnedUserId;
    #[doc = "what ended runs still owe, by run id."]
    Owed owed: String;
    #[doc = "which rooms were ever encrypted, by room id; records are never removed."]
    Seals seals: OwnedRoomId, RoomSeal;
    #[doc = "up to where each room was compared with the inbox, by room id."]
    Checked checked: OwnedRoomId;
    #[doc = "the events kept for virtual users that could not take them, by room and event id."]
    HeldBack held_back: (OwnedRoomId, OwnedEventId);
    #[doc = "what was spent and what is reserved, by account (`workspace`, `person:@alice:example.org`)."]
    Ledger ledger: String;
    #[doc = "what each call of a run cost, by start time (an assistant's: its day) and run id; it never holds content."]
    Outlays outlays: (Timestamp, String);
    #[doc = "how fast people ask and what they were told about it, by user id."]
    People people: OwnedUserId;
    #[doc = "the cards that were being sent when last noted, by run id and number."]
    CardsBegun cards_begun: String;
    #[doc = "work that nobody asked for (webhooks, schedules, watches) with what was reported, by errand id; kept for 30 days."]
    Errands errands: String;
    #[doc = "the threads of what several errands are about, by the matter's key."]
    Matters matters: String;
    #[doc = "which messages of encrypted sessions were heard, by the hash of room, sender and session; never content."]
    Heard heard: String;
    #[doc = "up to when each schedule's due times are handled, by its key (`file`, coworker and name on a line each)."]
    Timetable timetable: String;
    #[doc = "the schedules that members set up, by room id."]
    Schedules schedules: OwnedRoomId;
    #[doc = "owners' reminders, by owner; sealed under their keys."]
    Reminders reminders: OwnedUserId;
    #[doc = "what a recogniser heard in recordings, by who was told and the hash of the recording's place; kept for a day, an assistant's under its owner's key."]
    Transcripts transcripts: (OwnedUserId, String);
    #[doc = "the verifications in progress, by our user and the person; they say nothing of what is compared."]
    Verifications verifications: (OwnedUserId, OwnedUserId);
    #[doc = "the batches that are not cleared away at the provider, by their ids there; never content."]
    Batches batches: String;
    #[doc = "the files that are not deleted at the provider, by their ids there; never content."]
    ProviderFiles provider_files: String;
    #[doc = "the containers at the provider in which threads compute, by room id, thread and answering user."]
    Containers containers: (OwnedRoomId, String);
    #[doc = "owners' connections and the trail of their calls, by owner; sealed under their keys, and never content."]
    Connections connections: OwnedUserId;
    #[doc = "whose connection a token proves, by the token's keyed hash."]
    ConnectionTokens connection_tokens: String;
    #[doc = "admins' sessions in the console, by the keyed hashes of their tokens."]
    ConsoleSessions console_sessions: String;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::kept_end;

    #[test]
    fn docs_storage_lists_every_table() {
        let rows: String = Name::ALL.map(|name| format!("| `{}` | {} |\n", name.as_str(), name.about())).concat();
        let made = format!(
            "## The tables in `data/state`\n\nMade of the list in `src/store/tables.rs`; the inbox has trees of its own.\n\n\
             | table | what it holds |\n| --- | --- |\n{rows}"
        );
        kept_end("docs/storage.md", &made);
    }
}
