//! Slims the answer of `/members` while it arrives. Anybody can be banned for a reason of 60 KiB, have a name that
//! long, and leave and rejoin, and every member is told that for ever. A few thousand such events exceed the size of an
//! answer, and an encrypted room with unknown members gets no answers.

use serde_json::{Map, Value};

use super::cutting::TooLarge;

/// Most bytes of an event that is kept: a homeserver's limit, and what it adds.
const EVENT_BYTES_MAX: usize = 256 << 10;
/// A shorter event is kept unchanged.
const SLIM_BYTES: usize = 1 << 10;
/// Most bytes kept of a name or a picture's address.
const TEXT_BYTES_MAX: usize = 256;
/// Bytes held beyond which users who left or were banned are dropped.
const GONE_BYTES_MAX: usize = 16 << 20;
/// The fields of a membership's content that are kept.
const CONTENT: [&str; 5] = ["membership", "displayname", "avatar_url", "is_direct", "join_authorised_via_users_server"];

/// Slims a member list as it arrives. Other content passes unchanged.
#[expect(clippy::struct_excessive_bools, reason = "where in a text one is")]
pub(super) struct Slimmer {
    whole_max: usize,
    out: Vec<u8>,
    /// The current event.
    event: Vec<u8>,
    /// Containers that are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether the current event is too long.
    skips: bool,
    /// Events that were dropped.
    left_out: usize,
    /// Whether the first list in the answer is open, whose elements are handled one by one.
    in_list: bool,
    /// Whether a comma has come since the last element.
    comma_due: bool,
    /// Whether an element of the list was kept.
    has_any: bool,
}

impl Slimmer {
    pub(super) fn new(whole_max: usize) -> Self {
        let (out, event) = Default::default();
        Self {
            whole_max,
            out,
            event,
            depth: 0,
            in_string: false,
            escaped: false,
            skips: false,
            left_out: 0,
            in_list: false,
            comma_due: false,
            has_any: false,
        }
    }

    /// Returns the list, and the number of events dropped from it.
    pub(super) fn done(self) -> (Vec<u8>, usize) {
        (self.out, self.left_out)
    }

    /// Takes the next bytes; returns how many are held.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<usize, TooLarge> {
        while let Some((&byte, rest)) = bytes.split_first() {
            let is_end = |byte: &u8| matches!(byte, b'"' | b'\\');
            let inside = if self.in_string && !self.escaped { bytes.iter().position(is_end) } else { Some(0) };
            match inside.unwrap_or(bytes.len()) {
                0 => {
                    self.take(byte)?;
                    bytes = rest;
                }
                length => {
                    self.keep(&bytes[..length])?;
                    bytes = &bytes[length..];
                }
            }
        }
        Ok(self.out.len() + self.event.len())
    }

    fn take(&mut self, byte: u8) -> Result<(), TooLarge> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return self.keep(&[byte]);
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.depth += 1;
                if (self.depth, byte) == (2, b'[') {
                    (self.in_list, self.comma_due, self.has_any) = (true, false, false);
                    return self.put(&[byte]);
                }
            }
            b'}' | b']' => {
                self.keep(&[byte])?;
                self.depth = self.depth.saturating_sub(1);
                self.in_list &= self.depth >= 2;
                return if self.in_list && self.depth == 2 { self.end_event() } else { Ok(()) };
            }
            // It is written again only between two elements that are kept.
            b',' if self.in_list && self.depth == 2 => {
                self.comma_due = true;
                return Ok(());
            }
            _ => {}
        }
        self.keep(&[byte])
    }

    /// Keeps a byte of structure, or part of a string.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if !self.in_list {
            return self.put(bytes);
        }
        if self.depth == 2 {
            if bytes != b"]" && !bytes.trim_ascii().is_empty() {
                // A list of something else.
                self.begin_element()?;
            }
            return self.put(bytes);
        }
        if self.event.len() + bytes.len() <= EVENT_BYTES_MAX {
            self.event.extend_from_slice(bytes);
        } else {
            self.skips = true;
        }
        Ok(())
    }

    fn end_event(&mut self) -> Result<(), TooLarge> {
        let event = std::mem::take(&mut self.event);
        let kept = if std::mem::take(&mut self.skips) { None } else { slimmed(event, self.out.len() > GONE_BYTES_MAX) };
        let Some(kept) = kept else {
            self.left_out += 1;
            return Ok(());
        };
        self.begin_element()?;
        self.put(&kept)
    }

    fn begin_element(&mut self) -> Result<(), TooLarge> {
        let is_due = std::mem::take(&mut self.comma_due) && self.has_any;
        self.has_any = true;
        if is_due { self.put(b",") } else { Ok(()) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.out.len() + bytes.len() > self.whole_max {
            return Err(TooLarge);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Returns what is kept of an event: all of a short one; of users who are gone nothing if space is short.
fn slimmed(event: Vec<u8>, is_full: bool) -> Option<Vec<u8>> {
    if event.len() <= SLIM_BYTES && !is_full {
        return Some(event);
    }
    let Ok(Value::Object(mut parsed)) = serde_json::from_slice(&event) else { return Some(event) };
    let is_gone = |content: &Map<String, Value>| matches!(content["membership"].as_str(), Some("leave" | "ban"));
    let content = parsed.get_mut("content").and_then(Value::as_object_mut);
    if let Some(content) = content {
        if is_full && content.contains_key("membership") && is_gone(content) {
            return None;
        }
        content.retain(|name, _| CONTENT.contains(&name.as_str()));
        for value in content.values_mut() {
            if let Value::String(text) = value {
                text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            }
        }
    }
    parsed.retain(|name, _| name != "unsigned" && name != "prev_content");
    serde_json::to_vec(&parsed).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(membership: &str, user: &str, more: &Value) -> Value {
        let mut content = json!({"membership": membership});
        for (name, value) in more.as_object().into_iter().flatten() {
            content[name] = value.clone();
        }
        json!({
            "type": "m.room.member", "state_key": user, "sender": "@m:hs", "event_id": "$e", "origin_server_ts": 1,
            "content": content, "unsigned": {"age": 1},
        })
    }

    fn slim(body: &str, step: usize) -> (String, usize) {
        let mut slimmer = Slimmer::new(128 << 20);
        for bytes in body.as_bytes().chunks(step) {
            slimmer.feed(bytes).expect("it fits");
        }
        let (out, left_out) = slimmer.done();
        (String::from_utf8(out).expect("text"), left_out)
    }

    #[test]
    fn c8_reasons_and_long_names_do_not_make_a_list_of_members_too_large() {
        let long = "é\\\"}".repeat(12_000);
        let list = json!({"chunk": [
            member("ban", "@banned:hs", &json!({"reason": long})),
            member("join", "@alice:hs", &json!({"displayname": "Alice"})),
            member("join", "@long:hs", &json!({"displayname": long, "odd": long})),
            member("leave", "@left:hs", &json!({"displayname": "Left", "reason": long})),
        ]});
        for step in [1, 7, 4_096, usize::MAX] {
            let (out, left_out) = slim(&list.to_string(), step);
            assert_eq!(left_out, 0);
            assert!(out.len() < 4_096, "{} bytes", out.len());
            let out: Value = serde_json::from_str(&out).expect("JSON");
            let chunk = out["chunk"].as_array().expect("a list");
            assert_eq!(chunk[1], list["chunk"][1], "what is short stays as it is");
            assert_eq!(chunk[0]["content"], json!({"membership": "ban"}));
            assert_eq!(chunk[3]["content"], json!({"membership": "leave", "displayname": "Left"}));
            let name = chunk[2]["content"]["displayname"].as_str().expect("a name");
            assert!(long.starts_with(name) && name.len() > TEXT_BYTES_MAX - 4 && name.len() <= TEXT_BYTES_MAX);
            assert_eq!(chunk.len(), 4);
            for (slim, whole) in chunk.iter().zip(list["chunk"].as_array().expect("a list")) {
                for field in ["type", "state_key", "sender", "event_id", "origin_server_ts"] {
                    assert_eq!(slim[field], whole[field]);
                }
            }
        }
    }

    #[test]
    fn who_is_gone_is_left_out_where_there_are_too_many_and_who_is_there_never() {
        let mut slimmer = Slimmer::new(128 << 20);
        slimmer.feed(b"{\"chunk\": [").expect("it fits");
        let name = "n".repeat(TEXT_BYTES_MAX);
        let gone = member("leave", "@left:hs", &json!({"displayname": name})).to_string();
        for _ in 0..GONE_BYTES_MAX / gone.len() + 100 {
            slimmer.feed(gone.as_bytes()).expect("it fits");
            slimmer.feed(b",").expect("it fits");
        }
        let here = member("join", "@alice:hs", &json!({"displayname": name}));
        slimmer.feed(here.to_string().as_bytes()).expect("it fits");
        slimmer.feed(b"]}").expect("it fits");
        let (out, left_out) = slimmer.done();
        let out: Value = serde_json::from_slice(&out).expect("JSON");
        let last = out["chunk"].as_array().and_then(|chunk| chunk.last()).expect("events");
        assert_eq!(last["state_key"], here["state_key"]);
        assert!(left_out >= 90, "{left_out}");
    }

    #[test]
    fn what_is_no_list_of_members_passes_and_what_is_longer_than_any_event_is_left_out() {
        for body in [
            r#"{"errcode":"M_UNKNOWN","error":"a, b"}"#,
            "{}",
            "",
            "<html>",
            r#"{"chunk":[],"a":[1,2]}"#,
            "[1,[2,3]]",
            r#"{"a":{"b":1,"c":{}},"d":[[1],["x,y"],2]}"#,
        ] {
            assert_eq!(slim(body, 3), (body.to_owned(), 0));
        }
        let huge = member("join", "@huge:hs", &json!({"displayname": "x".repeat(300 << 10)}));
        let short = member("join", "@alice:hs", &json!({}));
        for list in [vec![&huge, &short], vec![&short, &huge], vec![&huge, &short, &huge]] {
            let (out, left_out) = slim(&json!({"chunk": list}).to_string(), 4_096);
            assert_eq!(left_out, list.len() - 1);
            assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON"), json!({"chunk": [short]}));
        }
        let mut small = Slimmer::new(100);
        assert!(small.feed(json!({"chunk": [short]}).to_string().as_bytes()).is_err());
    }
}
