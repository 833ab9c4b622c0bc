//! `docs/limits.md` agrees with the constants: each limit has a row, and each row has the code's value.
//!
//! Limits are constants recognised by name (`…_MAX`, `…PATIENCE`, `…TIMEOUT`, `…AT_ONCE`) or type (`Duration`). Most
//! rows are written by hand; this test writes the page's last part for the constants that no row names
//! (`INSTA_UPDATE=always`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Sources without limits of the product: test doubles, and code that only tests run.
const ELSEWHERE: &[&str] = &["standin", "fuzzing", "simulation", "cli/demo"];
/// The heading of the part that this test writes.
const REST: &str = "## Limits that need no more words\n";

/// A constant in the sources.
struct Constant {
    /// The file's path below `src`, e.g. `matrix/proxy.rs`.
    file: String,
    name: String,
    /// The first sentence of its doc comment.
    about: String,
    /// The expression as written.
    written: String,
    /// Its values in milliseconds, bytes or plain numbers; empty if the expression is not understood.
    values: Vec<f64>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_rust(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "rs")
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "tests" || name == "tests.rs" {
        } else if path.is_dir() {
            files(&path, into);
        } else if is_rust(&name) {
            into.push(path);
        }
    }
}

fn constants() -> Vec<Constant> {
    let src = root().join("src");
    let mut paths = Vec::new();
    files(&src, &mut paths);
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let file = path.strip_prefix(&src).expect("below src").to_string_lossy().into_owned();
        if !ELSEWHERE.iter().any(|elsewhere| file.starts_with(elsewhere)) {
            let text = fs::read_to_string(&path).expect("a source can be read");
            found.extend(constants_of(&file, &text));
        }
    }
    found
}

fn constants_of(file: &str, text: &str) -> Vec<Constant> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let mut known: BTreeMap<String, f64> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((name, kind, mut written)) = declaration(line) else { continue };
        for more in &lines[at + 1..] {
            if written.ends_with(';') {
                break;
            }
            written = format!("{written} {}", more.trim());
        }
        let written = written.trim_end_matches(';').trim().to_owned();
        let values = values_of(&written, &known);
        if let [value] = values[..] {
            known.insert(name.clone(), value);
        }
        if is_limit(&name, &kind) {
            let doc: Vec<&str> = lines[..at].iter().rev().map_while(|line| line.trim().strip_prefix("/// ")).collect();
            let doc = doc.into_iter().rev().collect::<Vec<_>>().join(" ");
            let about = doc.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned();
            found.push(Constant { file: file.to_owned(), name, about, written, values });
        }
    }
    found
}

/// Parses `pub(super) const NAME: Type = expression`.
fn declaration(line: &str) -> Option<(String, String, String)> {
    let line = line.trim();
    let rest = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(')').map_or("", |(_, rest)| rest),
        None => rest,
    });
    let (name, rest) = rest.trim_start().strip_prefix("const ")?.split_once(": ")?;
    let (kind, expression) = rest.split_once(" =")?;
    let is_name = name.chars().all(|char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_');
    is_name.then(|| (name.to_owned(), kind.to_owned(), expression.trim().to_owned()))
}

fn is_limit(name: &str, kind: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let named = ["MAX", "PATIENCE", "TIMEOUT"].iter().any(|part| parts.contains(part));
    named || name.ends_with("AT_ONCE") || kind.contains("Duration")
}

/// Returns the numbers of an expression, in milliseconds for a duration; empty if one is not understood.
fn values_of(written: &str, known: &BTreeMap<String, f64>) -> Vec<f64> {
    let list = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let list = list.or_else(|| {
        written.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).filter(|in_it| in_it.contains(", "))
    });
    let parts = list.map_or_else(|| vec![written.to_owned()], |list| list.split(", ").map(str::to_owned).collect());
    let values: Option<Vec<f64>> = parts
        .iter()
        .map(|part| part.trim().trim_end_matches(','))
        .filter(|part| !part.is_empty())
        .map(|part| value_of(part, known))
        .collect();
    values.unwrap_or_default()
}

fn value_of(part: &str, known: &BTreeMap<String, f64>) -> Option<f64> {
    for (call, scale) in [("secs", 1e3), ("millis", 1.0), ("mins", 6e4), ("hours", 3.6e6)] {
        if let Some(inner) = part.strip_prefix(&format!("Duration::from_{call}(")) {
            return Some(value_of(inner.strip_suffix(')')?, known)? * scale);
        }
    }
    if let Some((left, right)) = part.split_once("<<") {
        return Some(value_of(left, known)? * 2f64.powf(value_of(right, known)?));
    }
    for (sign, apply) in [(" + ", (|a, b| a + b) as fn(f64, f64) -> f64), (" - ", |a, b| a - b), (" * ", |a, b| a * b)]
    {
        if let Some((left, right)) = part.split_once(sign) {
            return Some(apply(value_of(left, known)?, value_of(right, known)?));
        }
    }
    let part = part.trim().trim_start_matches('(').trim_end_matches(')');
    known.get(part).copied().or_else(|| part.replace('_', "").parse().ok())
}

/// A row of a table that is written by hand.
struct Row {
    limit: String,
    value: String,
    place: String,
}

fn rows(page: &str) -> Vec<Row> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = cells.map(|line| line.split(" | ").map(str::to_owned).collect::<Vec<_>>());
    let rows = cells.filter(|cells| cells.len() == 4 && cells[0] != "limit" && !cells[0].starts_with("---"));
    rows.map(|cells| Row { limit: cells[0].clone(), value: cells[1].clone(), place: cells[2].clone() }).collect()
}

/// Returns the constants that a row names: `` a.rs `X`, `Y`, b.rs `Z` `` names X and Y of a.rs, and Z of b.rs.
fn named(place: &str) -> Vec<(String, String)> {
    let mut file = String::new();
    let mut found = Vec::new();
    for word in place.split([' ', ',']).filter(|word| !word.is_empty()) {
        if let Some(name) = word.strip_prefix('`').and_then(|word| word.strip_suffix('`')) {
            found.push((file.clone(), name.to_owned()));
        } else if is_rust(word) {
            word.clone_into(&mut file);
        }
    }
    found
}

/// Returns every number that a cell can mean: as written, and in milliseconds or bytes by the unit after it.
fn numbers(cell: &str) -> BTreeSet<u64> {
    const UNITS: &[(&str, f64)] = &[
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("TiB", 1_099_511_627_776.0),
        ("MB", 1e6),
        ("million", 1e6),
        ("ms", 1.0),
        ("s", 1e3),
        ("second", 1e3),
        ("min", 6e4),
        ("h", 3.6e6),
        ("hour", 3.6e6),
        ("day", 8.64e7),
        ("days", 8.64e7),
    ];
    const WORDS: &[(&str, f64)] = &[
        ("half", 2.0),
        ("third", 3.0),
        ("quarter", 4.0),
        ("eighth", 8.0),
        ("every second", 1e3),
        ("every hour", 3.6e6),
        ("a minute", 6e4),
        ("a day", 8.64e7),
        ("first", 1.0),
        ("one", 1.0),
    ];
    let mut found: Vec<f64> = WORDS.iter().filter(|(word, _)| cell.contains(word)).map(|(_, number)| *number).collect();
    let words: Vec<&str> = cell.split(|char: char| char.is_whitespace() || ",;()".contains(char)).collect();
    // Earlier numbers share the unit: "0.5 to 1 min", "0.5, 2 and 5 s".
    let mut open: Vec<f64> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let mut digits = words[at].to_owned();
        while is_number(&digits)
            && words.get(at + 1).is_some_and(|next| next.len() == 3 && next.bytes().all(|b| b.is_ascii_digit()))
        {
            at += 1;
            digits += words[at];
        }
        at += 1;
        if let Some(number) = digits.parse::<f64>().ok().filter(|_| is_number(&digits)) {
            open.push(number);
        } else if let Some((_, scale)) = UNITS.iter().find(|(unit, _)| *unit == digits) {
            found.extend(open.iter().map(|number| number * scale));
            found.append(&mut open);
        }
    }
    found.append(&mut open);
    found.into_iter().map(rounded).collect()
}

fn is_number(word: &str) -> bool {
    word.starts_with(|char: char| char.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Converts to thousandths, so that 0.5 can be compared.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limits are small and positive")]
fn rounded(number: f64) -> u64 {
    (number * 1e3).round() as u64
}

/// Returns whether a cell has a value: as it is, or in seconds or days if the constant's name says so.
fn says(cell: &BTreeSet<u64>, constant: &Constant, value: f64) -> bool {
    let in_seconds = ["_S", "_SECONDS"].iter().any(|unit| constant.name.ends_with(unit));
    cell.contains(&rounded(value)) || in_seconds && cell.contains(&rounded(value * 1e3))
}

#[test]
fn every_row_of_the_limits_has_the_value_that_the_code_has() {
    let page = fs::read_to_string(root().join("docs/limits.md")).expect("the page is there");
    let by_hand = page.split(REST).next().unwrap_or_default();
    let constants = constants();
    let mut faults = Vec::new();
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    for row in rows(by_hand) {
        for file in row.place.split([' ', ',']).filter(|word| is_rust(word)) {
            if !root().join("src").join(file).exists() {
                faults.push(format!("{}: there is no src/{file}", row.limit));
            }
        }
        let cell = numbers(&row.value);
        for (file, name) in named(&row.place) {
            let Some(constant) = constants.iter().find(|constant| constant.file == file && constant.name == name)
            else {
                let source = fs::read_to_string(root().join("src").join(&file)).unwrap_or_default();
                if !source.contains(&name) {
                    faults.push(format!("{}: {file} has no `{name}`", row.limit));
                }
                continue;
            };
            let setting = row.value.contains('`');
            if !setting && constant.values.iter().any(|value| !says(&cell, constant, *value)) {
                faults.push(format!("{}: \"{}\", but {file} has {name} = {}", row.limit, row.value, constant.written));
            }
            told.insert((file, name));
        }
    }
    assert!(faults.is_empty(), "docs/limits.md differs from the code:\n{}", faults.join("\n"));

    let mut rest = String::from(REST);
    rest.push_str(
        "\nWritten by `tests/it/limits.rs` (`INSTA_UPDATE=always`): every other constant that bounds something. What \
         happens there\nis said beside it, and where that is worth a word, the limit belongs in a table above.\n\n\
         | where | value | what it bounds |\n| --- | --- | --- |\n",
    );
    for constant in constants.iter().filter(|one| !told.contains(&(one.file.clone(), one.name.clone()))) {
        let written = constant.written.replace("Duration::from_", "").replace('|', "\\|");
        let about = constant.about.replace('|', "\\|");
        let _ = writeln!(rest, "| {} `{}` | {written} | {about} |", constant.file, constant.name);
    }
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        let made = format!("{}\n\n{rest}", by_hand.trim_end());
        fs::write(root().join("docs/limits.md"), made).expect("written");
    }
    let page = fs::read_to_string(root().join("docs/limits.md")).expect("the page is there");
    let there = page.split_once(REST).map_or("", |(_, rest)| rest);
    let rows_of = |text: &str| -> BTreeSet<String> { text.lines().filter_map(where_and_value).collect() };
    let (there, made) = (rows_of(there), rows_of(&rest));
    let lacking: Vec<&String> = made.difference(&there).collect();
    let stale: Vec<&String> = there.difference(&made).collect();
    assert!(
        lacking.is_empty() && stale.is_empty(),
        "docs/limits.md lacks {lacking:?}, and has {stale:?}, which the code has not. Mend: add a row with the outcome, or \
         write the last part anew: INSTA_UPDATE=always cargo test --test it limits"
    );
}

/// Returns the parts of a row of the last part that must agree; its words are only renewed when it is written.
fn where_and_value(line: &str) -> Option<String> {
    let row = line.strip_prefix("| ")?;
    let (place, rest) = row.split_once("` | ")?;
    Some(format!("{place}` {}", rest.split_once(" | ")?.0))
}

#[test]
fn numbers_of_a_cell_are_read_with_their_units() {
    let cases: &[(&str, &[f64])] = &[
        ("4 096", &[4096.0]),
        ("64 KiB, 256 links", &[64.0, 65_536.0, 256.0]),
        ("0.5 s to 1 min", &[0.5, 500.0, 1.0, 60_000.0]),
        ("0.5 to 10 s", &[0.5, 500.0, 10.0, 10_000.0]),
        ("44 000 bytes", &[44_000.0]),
        ("a third", &[3.0]),
    ];
    for (cell, expected) in cases {
        let expected: BTreeSet<u64> = expected.iter().copied().map(rounded).collect();
        assert_eq!(numbers(cell), expected, "{cell}");
    }
    let constants = constants_of(
        "x.rs",
        "/// How much. Really.\npub(super) const A_MAX: usize = 16 << 10;\nconst WAIT: Duration = Duration::from_secs(5 * 60);\n\
         const PAUSES: [Duration; 2] =\n    [Duration::from_millis(500), Duration::from_secs(2)];\nconst B_MAX: u64 = 2 * A_MAX;\n",
    );
    let values: Vec<(&str, &[f64])> = constants.iter().map(|one| (one.name.as_str(), one.values.as_slice())).collect();
    let expected: Vec<(&str, &[f64])> =
        vec![("A_MAX", &[16384.0]), ("WAIT", &[3e5]), ("PAUSES", &[500.0, 2000.0]), ("B_MAX", &[32768.0])];
    assert_eq!((values, constants[0].about.as_str()), (expected, "How much"));
}
