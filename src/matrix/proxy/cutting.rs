//! Cuts the answers of `/sync`, `/keys/query` and `/joined_members` while they arrive, so that an oversized room,
//! to-device event, key list or display name costs only itself.
//!
//! Any member can add any amount of state to a room, anybody can send any amount to a device or publish any amount of
//! keys. If such an answer were refused as a whole, every sync would bring it again, and its user could read no room
//! any more.

/// Marks a joined room that was cut, in its account data, which only its user writes.
pub(in crate::matrix) const CUT_MARK: &str = "io.workmate.cut";
/// Replaces a joined room that was cut; its messages are fetched on demand.
const JOINED: &str = concat!(
    r#"{"account_data":{"events":[{"type":"io.workmate.cut","content":{}}]},"#,
    r#""timeline":{"events":[],"limited":true}}"#
);
/// Replaces anything else that was cut.
const NOTHING: &str = "{}";
/// Containers around the most deeply nested parts: rooms, and to-device events.
const CUT_DEPTH: usize = 3;
/// Rooms and users named in a log line.
const NAMED_MAX: usize = 4;

/// Limits on what is kept of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Bytes of the whole answer after cutting.
    pub(super) whole: usize,
    /// Bytes of one part: a room, a to-device event, or one user's keys.
    pub(super) part: usize,
}

/// The answer is too large even when cut.
#[derive(Debug)]
pub(super) struct TooLarge;

/// Cuts a JSON text as it arrives. Other text passes unchanged.
pub(super) struct Cutter {
    sizes: Sizes,
    out: Vec<u8>,
    /// Open containers.
    depth: usize,
    /// The keys, in quotes, that hold the first few containers.
    keys: [Vec<u8>; CUT_DEPTH],
    /// Where the last string began that may be a relevant key.
    string_at: usize,
    in_string: bool,
    escaped: bool,
    /// Where the current part begins, and the number of containers around it.
    part: Option<(usize, usize)>,
    skips: bool,
    cut: Cut,
}

/// What was cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// The number of parts.
    pub(super) parts: usize,
    /// The first rooms and users concerned.
    pub(super) names: Vec<String>,
}

impl Cutter {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            out: Vec::new(),
            depth: 0,
            keys: Default::default(),
            string_at: 0,
            in_string: false,
            escaped: false,
            part: None,
            skips: false,
            cut: Cut::default(),
        }
    }

    /// Returns the text and what was cut from it.
    pub(super) fn done(self) -> (Vec<u8>, Cut) {
        (self.out, self.cut)
    }

    /// Takes the next bytes; returns how many bytes are held.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<usize, TooLarge> {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = if self.escaped {
                self.keep(&[byte])?;
                self.escaped = false;
                rest
            } else if self.in_string {
                self.string(bytes)?
            } else {
                self.structure(byte)?;
                rest
            };
        }
        Ok(self.out.len())
    }

    /// Takes a string's bytes up to its end or an escape; returns the rest.
    fn string<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], TooLarge> {
        let Some(at) = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
            self.keep(bytes)?;
            return Ok(&[]);
        };
        self.keep(&bytes[..=at])?;
        match bytes[at] {
            b'"' => self.in_string = false,
            _ => self.escaped = true,
        }
        Ok(&bytes[at + 1..])
    }

    fn structure(&mut self, byte: u8) -> Result<(), TooLarge> {
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth <= CUT_DEPTH {
                    self.string_at = self.out.len();
                }
            }
            b':' if (1..=CUT_DEPTH).contains(&self.depth) => {
                let key = self.out.get(self.string_at..).unwrap_or_default().trim_ascii_end();
                self.keys[self.depth - 1] = key.to_vec();
            }
            b'{' | b'[' => {
                if self.part.is_none() && self.stands_for_itself() {
                    self.part = Some((self.out.len(), self.depth));
                }
                self.depth += 1;
                if let Some(key) = self.keys.get_mut(self.depth - 1) {
                    key.clear();
                }
            }
            b'}' | b']' => {
                self.keep(&[byte])?;
                self.depth = self.depth.saturating_sub(1);
                return if self.part.is_some_and(|(_, depth)| depth == self.depth) { self.end_part() } else { Ok(()) };
            }
            _ => {}
        }
        self.keep(&[byte])
    }

    /// Returns whether the value that begins here can be cut by itself.
    fn stands_for_itself(&self) -> bool {
        let of_keys = || {
            let keys = ["device_keys", "master_keys", "self_signing_keys", "user_signing_keys", "joined"];
            keys.iter().any(|key| self.is(0, key))
        };
        match self.depth {
            2 => of_keys(),
            3 => self.is(0, "rooms") || (self.is(0, "to_device") && self.is(1, "events")),
            _ => false,
        }
    }

    /// Returns whether the container open at a level is the value of this key.
    fn is(&self, level: usize, key: &str) -> bool {
        let quoted = &self.keys[level];
        quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) == Some(key.as_bytes())
    }

    fn end_part(&mut self) -> Result<(), TooLarge> {
        self.part = None;
        if !std::mem::take(&mut self.skips) {
            return Ok(());
        }
        self.cut.parts += 1;
        let named_at = match () {
            () if self.is(0, "rooms") => Some(2),
            () if self.is(0, "to_device") => None,
            () => Some(1),
        };
        if self.cut.names.len() < NAMED_MAX
            && let Some(Ok(name)) = named_at.map(|level| serde_json::from_slice(&self.keys[level]))
        {
            self.cut.names.push(name);
        }
        let instead = if self.is(0, "rooms") && self.is(1, "join") { JOINED } else { NOTHING };
        self.keep(instead.as_bytes())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.skips {
            return Ok(());
        }
        self.out.extend_from_slice(bytes);
        match self.part {
            Some((at, _)) if self.out.len() - at > self.sizes.part => {
                self.out.truncate(at);
                self.skips = true;
            }
            _ => {}
        }
        if self.out.len() > self.sizes.whole { Err(TooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const SIZES: Sizes = Sizes { whole: 6_000, part: 600 };

    fn cut_in(text: &str, pieces: usize, sizes: Sizes) -> Result<(String, Cut), TooLarge> {
        let mut cutter = Cutter::new(sizes);
        for piece in text.as_bytes().chunks(pieces) {
            cutter.feed(piece)?;
        }
        let (text, cut) = cutter.done();
        Ok((String::from_utf8(text).expect("is as it came"), cut))
    }

    /// Returns a room with that many bytes of state, including whatever may confuse a JSON scanner.
    fn room(bytes: usize) -> Value {
        let odd = "\"}]{[\\\\\\\" rooms: ";
        json!({ "state": { "events": [{ "content": { odd: "x".repeat(bytes), "k": [odd, { "rooms": { "join": {} } }] } }] } })
    }

    #[test]
    fn c4_one_room_that_is_too_large_costs_itself() {
        let body = json!({
            "account_data": { "events": [{ "content": "y".repeat(300) }] },
            "next_batch": "s1",
            "rooms": {
                "invite": { "!fat:hs": room(900), "!c:hs": room(1) },
                "join": { "!a:hs": room(1), "!fat:hs": room(9_000), "!b:hs": room(2) },
                "leave": { "!left:hs": room(800) },
            },
            "to_device": { "events": [{ "a": 1 }, { "b": "x".repeat(700) }, { "c": 2 }] },
        });
        let mut expected = body.clone();
        expected["rooms"]["join"]["!fat:hs"] = serde_json::from_str(JOINED).unwrap();
        for (section, room) in [("invite", "!fat:hs"), ("leave", "!left:hs")] {
            expected["rooms"][section][room] = json!({});
        }
        expected["to_device"]["events"][1] = json!({});
        for text in [body.to_string(), serde_json::to_string_pretty(&body).unwrap()] {
            for pieces in [1, 7, 100_000] {
                let (kept, cut) = cut_in(&text, pieces, SIZES).unwrap();
                assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), expected, "{pieces}");
                assert_eq!((cut.parts, cut.names.len()), (4, 3));
                assert!(cut.names.contains(&"!left:hs".to_owned()));
            }
        }
        assert!(JOINED.contains(CUT_MARK));
    }

    #[test]
    fn c8_one_persons_keys_that_are_too_large_cost_that_person() {
        let keys = |bytes: usize| json!({ "DEVICE": { "keys": { "ed25519:DEVICE": "k".repeat(bytes) } } });
        let body = json!({
            "device_keys": { "@a:hs": keys(10), "@fat:hs": keys(800), "@b:hs": keys(20) },
            "master_keys": { "@a:hs": { "keys": {} }, "@fat:hs": { "keys": { "x": "k".repeat(800) } } },
        });
        let mut expected = body.clone();
        expected["device_keys"]["@fat:hs"] = json!({});
        expected["master_keys"]["@fat:hs"] = json!({});
        let (kept, cut) = cut_in(&body.to_string(), 5, SIZES).unwrap();
        assert_eq!((serde_json::from_str::<Value>(&kept).unwrap(), cut.parts), (expected, 2));
    }

    #[test]
    fn what_is_too_large_altogether_is_not_kept() {
        let rooms: serde_json::Map<_, _> = (0..100).map(|number| (format!("!{number}:hs"), room(1))).collect();
        let body = json!({ "rooms": { "join": rooms } }).to_string();
        assert!(cut_in(&body, 64, SIZES).is_err());
        assert_eq!(cut_in(&body, 64, Sizes { whole: 1 << 20, ..SIZES }).unwrap(), (body.clone(), Cut::default()));
        let elsewhere = json!({ "presence": "x".repeat(9_000) }).to_string();
        assert!(cut_in(&elsewhere, 64, SIZES).is_err());
    }

    proptest! {
        #[test]
        fn what_is_small_passes_as_it_came(text in r#"[ -~{}\[\]":,\\]{0,80}"#, pieces in 1_usize..9) {
            prop_assert_eq!(cut_in(&text, pieces, SIZES).unwrap(), (text, Cut::default()));
        }
    }
}
