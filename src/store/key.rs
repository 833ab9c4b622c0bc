//! Table keys as bytes: ids and text as they are, numbers big-endian, composites with delimited parts.
//!
//! Bytes sort as the values do, part by part. The first parts of a composite form a prefix that can be scanned.

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::core::time::Timestamp;

/// A type that can be the key of a table.
pub trait Key: Sized {
    /// Returns the key's bytes; they compare and sort as the keys do.
    fn to_bytes(&self) -> Vec<u8>;

    /// Parses what [`Self::to_bytes`] wrote; `None` for anything else.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// A key that begins with a `P`, so that all keys with one beginning can be scanned.
pub trait Prefixed<P: ?Sized>: Key {
    /// Returns the bytes that the keys with this beginning share, and no other key does.
    fn prefix_bytes(prefix: &P) -> Vec<u8>;
}

impl Key for String {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl Prefixed<str> for String {
    fn prefix_bytes(prefix: &str) -> Vec<u8> {
        prefix.as_bytes().to_vec()
    }
}

impl Key for u64 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// Big-endian with the sign bit flipped, so that times before 1970 sort first.
impl Key for Timestamp {
    fn to_bytes(&self) -> Vec<u8> {
        (self.as_ms() ^ i64::MIN).to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_ms(i64::from_be_bytes(bytes.try_into().ok()?) ^ i64::MIN))
    }
}

/// Bytes that are the key themselves, e.g. a hash.
impl<const N: usize> Key for [u8; N] {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

macro_rules! matrix_id_key {
    ($owned:ty, $borrowed:ty) => {
        impl Key for $owned {
            fn to_bytes(&self) -> Vec<u8> {
                self.as_bytes().to_vec()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                <$borrowed>::parse(std::str::from_utf8(bytes).ok()?).ok()
            }
        }
    };
}

matrix_id_key!(OwnedRoomId, RoomId);
matrix_id_key!(OwnedEventId, EventId);
matrix_id_key!(OwnedUserId, UserId);

impl<A: Key, B: Key> Key for (A, B) {
    fn to_bytes(&self) -> Vec<u8> {
        [part(&self.0), part(&self.1)].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (a, rest) = read_part(bytes)?;
        let (b, rest) = read_part(rest)?;
        rest.is_empty().then_some((a, b))
    }
}

impl<A: Key, B: Key> Prefixed<A> for (A, B) {
    fn prefix_bytes(prefix: &A) -> Vec<u8> {
        part(prefix)
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn to_bytes(&self) -> Vec<u8> {
        [part(&self.0), part(&self.1), part(&self.2)].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (a, rest) = read_part(bytes)?;
        let (b, rest) = read_part(rest)?;
        let (c, rest) = read_part(rest)?;
        rest.is_empty().then_some((a, b, c))
    }
}

impl<A: Key, B: Key, C: Key> Prefixed<A> for (A, B, C) {
    fn prefix_bytes(prefix: &A) -> Vec<u8> {
        part(prefix)
    }
}

impl<A: Key, B: Key, C: Key> Prefixed<(A, B)> for (A, B, C) {
    fn prefix_bytes(prefix: &(A, B)) -> Vec<u8> {
        [part(&prefix.0), part(&prefix.1)].concat()
    }
}

/// Ends a part; sorts before an escaped NUL, so that order is kept.
const PART_END: [u8; 2] = [0, 1];
/// Stands for a NUL inside a part.
const ESCAPED_NUL: [u8; 2] = [0, 0xff];

fn part(key: &impl Key) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in key.to_bytes() {
        if byte == 0 {
            out.extend(ESCAPED_NUL);
        } else {
            out.push(byte);
        }
    }
    out.extend(PART_END);
    out
}

fn read_part<K: Key>(bytes: &[u8]) -> Option<(K, &[u8])> {
    let mut plain = Vec::new();
    let mut at = 0;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (0, Some(&1)) => return Some((K::from_bytes(&plain)?, &bytes[at + 2..])),
            (0, Some(&0xff)) => {
                plain.push(0);
                at += 2;
            }
            (0, _) => return None,
            (byte, _) => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::{owned_event_id, owned_room_id, owned_user_id};

    use super::*;

    #[test]
    fn ids_read_back_and_what_is_no_id_is_refused() {
        let key = (owned_room_id!("!r:example.org"), owned_event_id!("$e"), owned_user_id!("@u:example.org"));
        assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
        assert_eq!(OwnedUserId::from_bytes(b"u"), None);
        assert_eq!(<(u64, u64)>::from_bytes(b"\0"), None);
    }

    #[test]
    fn times_sort_by_their_bytes_from_before_1970_on() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp::from_ms);
        let bytes = times.map(|time| time.to_bytes());
        assert!(bytes.is_sorted());
        assert_eq!(bytes.map(|bytes| Timestamp::from_bytes(&bytes)), times.map(Some));
    }

    proptest! {
        #[test]
        fn composites_read_back(a in "[a\\x00\\x01]{0,4}", n in any::<u64>(), c in any::<[u8; 4]>()) {
            let key = (a, n, c);
            prop_assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
        }

        #[test]
        fn composites_sort_as_their_parts_do(
            a in ("[ab\\x00\\x01]{0,3}", any::<u64>()),
            b in ("[ab\\x00\\x01]{0,3}", any::<u64>()),
        ) {
            prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
        }

        #[test]
        fn a_prefix_is_shared_by_exactly_the_keys_that_begin_with_it(
            a in "[ab\\x00\\x01]{0,3}",
            b in "[ab\\x00\\x01]{0,3}",
            n in any::<u64>(),
        ) {
            let prefix = <(String, u64)>::prefix_bytes(&a);
            prop_assert_eq!((b.clone(), n).to_bytes().starts_with(&prefix), a == b);
        }
    }
}
