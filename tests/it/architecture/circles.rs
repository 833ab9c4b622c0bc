//! No circle of imports among the modules of a folder: each can be understood once those that it imports are.
//!
//! Every folder is looked at by itself, down to the innermost. A module there is a file with all that lies below it, and
//! a parent does not count: that it uses its own parts, and they its types, is what a parent is for. A name that a module
//! passes on (`pub use`) counts for the module that has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::{code_of, is_test, src};

/// A module's path below `src`, or that of a name in it.
type Name = Vec<String>;

/// A module's code, and what its `use` items bring into it.
struct Module {
    code: String,
    brought: BTreeMap<String, Name>,
}

struct Tree(BTreeMap<Name, Module>);

impl Tree {
    /// Reads modules from their codes.
    fn of(codes: BTreeMap<Name, String>) -> Self {
        let known: BTreeSet<Name> = codes.keys().cloned().collect();
        let modules = codes.into_iter().map(|(name, code)| {
            let used = uses(&code).into_iter();
            let brought = used.filter_map(|(path, alias)| Some((alias, absolute(&known, &name, &path)?))).collect();
            (name, Module { code, brought })
        });
        Self(modules.collect())
    }

    /// Returns the module that has what a path names, wherever it was passed on from.
    fn owner(&self, path: &[String], depth: usize) -> Name {
        let module = (0..=path.len()).rev().map(|end| &path[..end]).find(|prefix| self.0.contains_key(*prefix));
        let module = module.unwrap_or_default();
        let passed_on = path.get(module.len()).and_then(|name| self.0.get(module)?.brought.get(name));
        match passed_on {
            Some(from) if depth < 8 && from.as_slice() != path => {
                let rest = &path[module.len() + 1..];
                self.owner(&[from, rest].concat(), depth + 1)
            }
            _ => module.to_vec(),
        }
    }

    /// Returns the modules that a module uses; `known` are all.
    fn used_by(&self, name: &Name, known: &BTreeSet<Name>) -> BTreeSet<Name> {
        let Module { code, brought } = &self.0[name];
        let written = paths(code).into_iter().filter_map(|path| match brought.get(&path[0]) {
            Some(from) => Some([from, &path[1..]].concat()),
            None => absolute(known, name, &path),
        });
        let used = brought.values().cloned().chain(written).map(|path| self.owner(&path, 0));
        used.filter(|used| used != name).collect()
    }

    /// Returns the circles among the modules of each folder.
    fn circles(&self) -> Vec<(String, Vec<String>)> {
        let mut folders: BTreeMap<Name, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        let known: BTreeSet<Name> = self.0.keys().cloned().collect();
        for name in &known {
            for used in self.used_by(name, &known) {
                let shared = name.iter().zip(&used).take_while(|(a, b)| a == b).count();
                if let (Some(from), Some(to)) = (name.get(shared), used.get(shared)) {
                    let folder = folders.entry(name[..shared].to_vec()).or_default();
                    folder.entry(from.clone()).or_default().insert(to.clone());
                }
            }
        }
        let circles = folders.iter().flat_map(|(folder, uses)| {
            let found: BTreeSet<Vec<String>> = uses.keys().filter_map(|module| circle_of(module, uses)).collect();
            found.into_iter().map(|circle| (folder.join("::"), circle))
        });
        circles.filter(|(folder, _)| !folder.is_empty()).collect()
    }
}

/// Returns the modules that a module uses, and that use it, whether directly or not.
pub(super) fn circle_of(module: &str, uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let reached = |from: &str| {
        let (mut reached, mut waiting) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(next) = waiting.pop() {
            let new = uses.get(&next).into_iter().flatten().filter(|used| reached.insert((*used).clone()));
            waiting.extend(new.cloned().collect::<Vec<_>>());
        }
        reached
    };
    let around = reached(module);
    let circle: Vec<String> = around.iter().filter(|other| reached(other).contains(module)).cloned().collect();
    (circle.len() > 1).then_some(circle)
}

/// Returns the absolute path of one written in `module`; `None` for another crate's.
fn absolute(known: &BTreeSet<Name>, module: &[String], path: &[String]) -> Option<Name> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([&module[..module.len().checked_sub(supers)?], &path[supers..]].concat()),
        first => known.contains(&[module, &[first.to_owned()]].concat()).then(|| [module, path].concat()),
    }
}

/// Returns what the `use` items of a code bring: each path, and its name here.
fn uses(code: &str) -> Vec<(Name, String)> {
    let mut found = Vec::new();
    for item in code.split("use ").skip(1) {
        let tree: String = item.split(';').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        expand(&tree, &[], &mut found);
    }
    found
}

fn expand(tree: &str, before: &[String], found: &mut Vec<(Name, String)>) {
    let tree = tree.trim();
    let head = tree.split('{').next().unwrap_or_default();
    let (path, alias) = head.split_once(" as ").unwrap_or((head, ""));
    let parts = path.split("::").map(str::trim).filter(|part| !part.is_empty());
    let mut path: Name = before.iter().cloned().chain(parts.map(str::to_owned)).collect();
    if path.iter().any(|part| !part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '*')) {
        return;
    }
    if let Some(list) = tree.strip_prefix(head).and_then(|rest| rest.strip_prefix('{')) {
        let (mut depth, mut begin) = (0_usize, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    expand(&list[begin..at], &path, found);
                    begin = at + 1;
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    } else if let Some(last) = path.pop_if(|last| last == "self").or_else(|| path.last().cloned()) {
        let own = if last == "self" { path.last().cloned().unwrap_or_default() } else { last };
        let alias = if alias.is_empty() { own } else { alias.trim().to_owned() };
        found.push((path, alias));
    }
}

/// Returns every path of two or more parts in a code.
fn paths(code: &str) -> Vec<Name> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c: char| !is_part(c)).map(|word| word.trim_matches(':'));
    words.filter(|word| word.contains("::")).map(|word| word.split("::").map(str::to_owned).collect()).collect()
}

/// Returns the codes of all modules of the program.
fn codes() -> BTreeMap<Name, String> {
    let (mut codes, mut waiting) = (BTreeMap::new(), vec![src()]);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a source directory can be read");
            waiting.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            let inside = path.strip_prefix(src()).expect("it is below src").with_extension("");
            let name: Name = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            codes.insert(name, fs::read_to_string(&path).expect("a source can be read"));
        }
    }
    let tests: Vec<Name> = codes.iter().flat_map(|(name, text)| test_modules(name, text)).collect();
    codes.retain(|name, _| name != &["lib"] && name != &["main"] && !tests.iter().any(|test| name.starts_with(test)));
    codes.into_iter().map(|(name, text)| (name, code_of(&text))).collect()
}

/// Returns the modules that a module has only for tests.
fn test_modules(name: &Name, text: &str) -> Vec<Name> {
    let declared = text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.split_once(';'));
    let names = declared.map(|(child, _)| child).filter(|child| child.chars().all(|c| c.is_alphanumeric() || c == '_'));
    names.map(|child| [name.as_slice(), &[child.to_owned()]].concat()).collect()
}

#[test]
fn design_6_no_circle_of_imports_among_the_modules_of_a_folder() {
    let found = Tree::of(codes()).circles();
    assert!(found.is_empty(), "these modules import each other in a circle; move what they share: {found:#?}");
}

#[test]
fn circles_are_found_through_every_way_to_name_a_module() {
    let tree = |files: &[(&str, &str)]| {
        let codes = files.iter().map(|(name, code)| (name.split("::").map(str::to_owned).collect(), code_of(code)));
        Tree::of(codes.collect()).circles()
    };
    let circle = |folder: &str, modules: [&str; 2]| vec![(folder.to_owned(), modules.map(str::to_owned).to_vec())];
    let facade = ("core", "mod a;\nmod b;\npub use self::{a::{A, One as Two}, b::B};");
    let table: [(&[(&str, &str)], _); 7] = [
        (&[("core::a", "use super::b::B;"), ("core::b", "use crate::core::{c, a::A};")], circle("core", ["a", "b"])),
        (&[("core::a", "fn f() { super::b::go() }"), ("core::b", "use super::a;")], circle("core", ["a", "b"])),
        (&[("core::a", "use super::b;"), ("core::b", "fn f() {}")], vec![]),
        (&[facade, ("core::a", "use super::B;"), ("core::b", "use super::Two;")], circle("core", ["a", "b"])),
        (&[facade, ("core::a", "use super::Own;"), ("core::b", "use super::{self, A};")], vec![]),
        (
            &[("core::a", ""), ("core::a::x", "use crate::core::b;"), ("core::b", "use super::a::x::{self, X};")],
            circle("core", ["a", "b"]),
        ),
        (
            &[("core::a", "mod x; mod y;"), ("core::a::x", "use super::y::Y;"), ("core::a::y", "use super::x;")],
            circle("core::a", ["x", "y"]),
        ),
    ];
    for (files, expected) in table {
        assert_eq!(tree(files), expected, "{files:?}");
    }
}
