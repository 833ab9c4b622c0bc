//! Splits a sync that is too large into parts of some rooms each, so that a user in many rooms with much state can
//! still start.
//!
//! Each part is a first sync of its rooms only. The sync after the last part continues from where the first one ended,
//! and so brings what happened meanwhile in any room. A file in the user's folder says that parts have begun: a process
//! that ends before the last one starts over, because the SDK would continue from the last part, without the other
//! rooms.

use std::{collections::VecDeque, fs, path::PathBuf};

use matrix_sdk::config::SyncToken;
use ruma::OwnedRoomId;
use tokio::time::Instant;

use super::{
    Account,
    current::{asked, uncached},
};
use crate::matrix::{
    api::encode,
    error::MatrixError,
    proxy::call::{part_token, token_of_part},
};

/// Most rooms of a part at first; a part that is still too large is halved.
const PART_ROOMS: usize = 100;
/// Most bytes of a part's room ids in a URL, because some gateways accept only 8 KiB.
const PART_IDS_BYTES_MAX: usize = 5 << 10;
/// Most parts of a sync, including those that were too large.
const PARTS_MAX: usize = 1_024;
/// The file that says that parts have begun.
const NOTE: &str = "in-parts";

impl Account {
    /// Returns whether a sync in parts has begun and not ended.
    pub(super) fn is_in_parts(&self) -> bool {
        self.note_of_parts().is_file()
    }

    fn note_of_parts(&self) -> PathBuf {
        self.dir().join(NOTE)
    }

    /// Syncs in parts, and then syncs what happened meanwhile.
    pub(super) async fn sync_in_parts(&self, begun: Instant) -> Result<(), MatrixError> {
        let note = self.note_of_parts();
        fs::write(&note, []).map_err(|cause| MatrixError::File { path: note.display().to_string(), cause })?;
        let known = self.client.joined_rooms();
        self.note_outdated().await?;
        let rooms = self.joined_told().await?;
        tracing::warn!(user.id = %self.user, rooms = rooms.len(), "a sync is too large to be read at once; it is read in parts");
        self.forget_left(known, &rooms).await;
        let mut parts: VecDeque<Vec<OwnedRoomId>> = parts_of(rooms).into();
        let (mut first, mut number) = (None, 0);
        while let Some(mut part) = parts.pop_front() {
            let token = SyncToken::Specific(part_token(usize::from(first.is_some()) * number));
            match self.sync_with(asked(1, Some(part.clone())).token(token).timeout(uncached())).await {
                Ok(response) => {
                    first.get_or_insert_with(|| token_of_part(&response.next_batch).to_owned());
                    self.take_sync(response, begun).await;
                }
                Err(error) if error.is_too_large() && part.len() > 1 && number < PARTS_MAX => {
                    parts.push_front(part.split_off(part.len() / 2));
                    parts.push_front(part);
                }
                Err(error) => return Err(error),
            }
            number += 1;
        }
        // Without rooms there was no part.
        let since = first.map_or(SyncToken::NoToken, SyncToken::Specific);
        let rest = self.sync_with(asked(1, None).token(since)).await?;
        self.take_sync(rest, begun).await;
        fs::remove_file(&note).map_err(|cause| MatrixError::File { path: note.display().to_string(), cause })
    }
}

/// Splits rooms into parts of limited size.
fn parts_of(rooms: Vec<OwnedRoomId>) -> Vec<Vec<OwnedRoomId>> {
    let (mut parts, mut bytes): (Vec<Vec<OwnedRoomId>>, usize) = (Vec::new(), 0);
    for room in rooms {
        // With quotes and a comma, three bytes each.
        let length = encode(room.as_str()).len() + 9;
        let fits = |part: &Vec<OwnedRoomId>| part.len() < PART_ROOMS && bytes + length <= PART_IDS_BYTES_MAX;
        if let Some(part) = parts.last_mut().filter(|part| fits(part)) {
            part.push(room);
            bytes += length;
        } else {
            parts.push(vec![room]);
            bytes = length;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_name_all_rooms_once_and_no_more_than_fit_into_a_url() {
        for (count, id_bytes, parts_expected) in [(0, 20, 0), (1, 20, 1), (720, 20, 8), (720, 255, 40)] {
            let room = |number: usize| {
                let id = format!("!{number:0>width$}:hs", width = id_bytes - 4);
                OwnedRoomId::try_from(id).expect("a room's id")
            };
            let rooms: Vec<OwnedRoomId> = (0..count).map(room).collect();
            let parts = parts_of(rooms.clone());
            assert_eq!(parts.concat(), rooms);
            assert!(parts.len().abs_diff(parts_expected) <= 5, "{} parts of {count}", parts.len());
            for part in parts {
                let bytes: usize = part.iter().map(|room| encode(room.as_str()).len() + 9).sum();
                assert!(part.len() <= PART_ROOMS && bytes <= PART_IDS_BYTES_MAX);
            }
        }
    }
}
