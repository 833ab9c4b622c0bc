//! Generates cases by changing known bytes and JSON a little, from a seed.

use serde_json::Value;

/// Most bytes of a case.
const CASE_BYTES_MAX: usize = 4 << 10;
/// Most cases kept because they showed a new shape.
const POOL_MAX: usize = 4_000;
/// Most changes to one case.
const CHANGES_MAX: usize = 6;

/// A small random generator (SplitMix64): the same seed gives the same cases.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`, which must not be 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or(0)
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// Makes cases, and keeps those that showed a new shape.
pub(crate) struct Cases {
    chance: Chance,
    pool: Vec<Vec<u8>>,
    words: &'static [&'static str],
    shapes: std::collections::HashSet<u64>,
}

impl Cases {
    pub(crate) fn new(seed: u64, corpus: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        let pool = if corpus.is_empty() { vec![Vec::new()] } else { corpus };
        Self { chance: Chance::new(seed), pool, words, shapes: std::collections::HashSet::new() }
    }

    /// Makes the next case.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let at = self.chance.below(self.pool.len());
        let mut case = self.pool[at].clone();
        for _ in 0..=self.chance.below(CHANGES_MAX) {
            let changed = if self.chance.one_in(2) { self.json(&case) } else { None };
            case = changed.unwrap_or_else(|| self.bytes(&case));
        }
        case.truncate(CASE_BYTES_MAX);
        case
    }

    /// Keeps a case whose shape is new; returns the number of known shapes.
    pub(crate) fn learn(&mut self, case: &[u8], shape: u64) -> usize {
        if self.shapes.insert(shape) && self.pool.len() < POOL_MAX {
            self.pool.push(case.to_vec());
        }
        self.shapes.len()
    }

    fn bytes(&mut self, case: &[u8]) -> Vec<u8> {
        let at = self.chance.below(case.len() + 1);
        let length = self.chance.below(16.min(case.len() - at + 1)) + usize::from(case.len() > at);
        let (front, rest) = case.split_at(at);
        let (part, back) = rest.split_at(length.min(rest.len()));
        let middle: Vec<u8> = match self.chance.below(9) {
            0 => Vec::new(),
            1 => part.repeat(2 + self.chance.below(200)),
            2 => self.word(),
            3 => [part, &self.word()].concat(),
            4 => part.iter().map(|byte| byte ^ (1 << self.chance.below(8))).collect(),
            5 => part.iter().map(|_| [0, 0x7f, 0x80, 0xff, b'\n', b'"', b'0', b'<'][self.chance.below(8)]).collect(),
            6 => return self.spliced(front),
            7 => return front.to_vec(),
            _ => (0..length).map(|_| self.chance.next().to_le_bytes()[0]).collect(),
        };
        [front, &middle, back].concat()
    }

    fn word(&mut self) -> Vec<u8> {
        let at = self.chance.below(self.words.len());
        self.words[at].as_bytes().to_vec()
    }

    /// Splices another case's end onto this case's beginning.
    fn spliced(&mut self, front: &[u8]) -> Vec<u8> {
        let other = self.chance.below(self.pool.len());
        let from = self.chance.below(self.pool[other].len() + 1);
        [front, &self.pool[other][from..]].concat()
    }

    /// Changes one value in one line of JSON.
    fn json(&mut self, case: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(case).ok()?;
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let at = self.chance.below(lines.len());
        let line = lines[at].clone();
        let begin = line.find(['{', '['])?;
        let mut value: Value = serde_json::from_str(&line[begin..]).ok()?;
        let mut steps = self.chance.below(24);
        self.change(&mut value, &mut steps);
        lines[at] = format!("{}{value}", &line[..begin]);
        Some(lines.join("\n").into_bytes())
    }

    /// Walks `steps` values deep or wide, and changes the value it reaches.
    fn change(&mut self, value: &mut Value, steps: &mut usize) {
        let down = *steps > 0;
        *steps = steps.saturating_sub(1);
        match value {
            Value::Object(map) if down && !map.is_empty() => {
                let at = self.chance.below(map.len());
                let key = map.keys().nth(at).cloned().unwrap_or_default();
                if self.chance.one_in(12) {
                    let taken = map.remove(&key).unwrap_or_default();
                    if self.chance.one_in(2) {
                        map.insert(String::from_utf8_lossy(&self.word()).into_owned(), taken);
                    }
                } else if let Some(inner) = map.get_mut(&key) {
                    self.change(inner, steps);
                }
            }
            Value::Array(list) if down && !list.is_empty() => {
                let at = self.chance.below(list.len());
                match self.chance.below(12) {
                    0 => drop(list.remove(at)),
                    1 => list.extend(vec![list[at].clone(); 1 + self.chance.below(40)]),
                    _ => self.change(&mut list[at], steps),
                }
            }
            _ => *value = self.odd(value),
        }
    }

    /// Returns an unexpected value in place of this one.
    fn odd(&mut self, instead_of: &Value) -> Value {
        match self.chance.below(14) {
            0 => Value::Null,
            1 => Value::Bool(self.chance.one_in(2)),
            2 => [0, -1, 1, i64::MAX, i64::MIN, 255, 65_536][self.chance.below(7)].into(),
            3 => serde_json::json!([instead_of]),
            4 => serde_json::json!({ "a": instead_of }),
            5 => Value::Array(Vec::new()),
            6 => serde_json::json!({}),
            7 => 1.5e300.into(),
            8 => "a".repeat(1 << self.chance.below(13)).into(),
            9 => ["$0", "$request", "!a:hs", "@alice:hs", "@coworker-oncall:hs", "", "\u{0}"][self.chance.below(7)]
                .into(),
            10 => (0..60).fold(instead_of.clone(), |inner, _| serde_json::json!([inner])),
            _ => {
                let text = instead_of.as_str().unwrap_or_default();
                String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned().into()
            }
        }
    }
}
