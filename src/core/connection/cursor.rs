//! Where a list goes on. A cursor holds for the owner, the tool, the room and the question that it was given for, and
//! for nobody and nothing else: our key vouches for it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use ruma::UserId;
use serde::{Deserialize, Serialize};

/// Bytes of the mark that vouches for a cursor.
const MARK_BYTES: usize = 16;
/// Longest cursor that is looked at; the homeserver's own tokens are far shorter.
pub(crate) const CURSOR_BYTES_MAX: usize = 2_048;

/// A place in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The homeserver's token of the page; none for the first one.
    #[serde(default, rename = "f", skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last one of that page that was given.
    #[serde(default, rename = "b", skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
}

/// What a cursor holds for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct For<'a> {
    /// The owner.
    pub owner: &'a UserId,
    /// The tool.
    pub what: &'a str,
    /// Everything else that was asked, in a fixed form.
    pub asked: &'a str,
}

impl Cursor {
    /// Returns it as text for the client.
    ///
    /// # Panics
    /// Never: two strings serialize, and HMAC takes any key.
    #[must_use]
    pub(crate) fn sealed(&self, key: &[u8; 32], of: &For<'_>) -> String {
        let plain = serde_json::to_vec(self).expect("strings serialize");
        let mark = &mac(key, of, &plain).finalize().into_bytes()[..MARK_BYTES];
        URL_SAFE_NO_PAD.encode([mark, &plain].concat())
    }

    /// Reads what [`Self::sealed`] wrote for the same; `None` if it is anything else.
    #[must_use]
    pub(crate) fn open(text: &str, key: &[u8; 32], of: &For<'_>) -> Option<Self> {
        if text.len() > CURSOR_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (mark, plain) = bytes.split_at_checked(MARK_BYTES)?;
        mac(key, of, plain).verify_truncated_left(mark).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

fn mac(key: &[u8; 32], of: &For<'_>, plain: &[u8]) -> Hmac<sha2::Sha256> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes any key");
    for part in [of.owner.as_bytes(), of.what.as_bytes(), of.asked.as_bytes(), plain] {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac
}
