//! The result of a tool call.

use ruma::OwnedEventId;
use serde::{Deserialize, Serialize};

use crate::core::prompt::Found;

/// Most bytes of the line that marks an omission in a result.
const CUT_MARK_BYTES: usize = 64;
/// Fewest bytes of something found that are worth giving.
const FOUND_BYTES_MIN: usize = 512;

/// What a tool gave back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The text for the model, as data.
    pub text: String,
    /// Whether the call failed; the text then says why, and what to do instead.
    pub is_error: bool,
    /// Whether a part was cut because of the size limit.
    pub truncated: bool,
    /// The room's messages it contains, for the audit index.
    #[serde(default)]
    pub read: Vec<OwnedEventId>,
    /// What it found, each with its source, behind the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
    /// Pictures in it, undecoded.
    #[serde(skip)]
    pub pictures: Vec<Vec<u8>>,
}

impl Output {
    /// Returns a successful result.
    #[must_use]
    pub fn ok(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_error: false,
            truncated: false,
            read: Vec::new(),
            found: Vec::new(),
            pictures: Vec::new(),
        }
    }

    /// Returns a failure; the text says what to do instead.
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::ok(text) }
    }

    /// Returns the result with its middle cut if it is too long: an error is as often at the end as at the beginning.
    /// Of what was found, the last is cut or left out.
    #[must_use]
    pub fn cut(self, bytes_max: usize) -> Self {
        self.cut_text(bytes_max).cut_found(bytes_max)
    }

    fn cut_found(mut self, bytes_max: usize) -> Self {
        let mut left = bytes_max.saturating_sub(self.text.len());
        for at in 0..self.found.len() {
            let text = &mut self.found[at].text;
            if text.len() > left {
                self.truncated = true;
                if left < FOUND_BYTES_MIN {
                    self.found.truncate(at);
                    break;
                }
                *text = Self::ok(std::mem::take(text)).cut_text(left).text;
            }
            left -= text.len();
        }
        self
    }

    /// Returns the result with its texts changed, such as with secrets hidden.
    #[must_use]
    pub fn mapped(mut self, change: impl Fn(&str) -> String) -> Self {
        self.text = change(&self.text);
        for found in &mut self.found {
            for text in [&mut found.source, &mut found.title, &mut found.text] {
                *text = change(text);
            }
        }
        self
    }

    fn cut_text(mut self, bytes_max: usize) -> Self {
        if self.text.len() <= bytes_max {
            return self;
        }
        self.truncated = true;
        let Some(room) = bytes_max.checked_sub(CUT_MARK_BYTES).filter(|room| *room >= CUT_MARK_BYTES) else {
            self.text.truncate(self.text.floor_char_boundary(bytes_max));
            return self;
        };
        let head = self.text.floor_char_boundary(room / 3 * 2);
        let tail = self.text.ceil_char_boundary(self.text.len() - (room - head));
        let mark = format!("\n[… {} bytes left out here …]\n", tail - head);
        self.text.replace_range(head..tail, &mark);
        self
    }
}
