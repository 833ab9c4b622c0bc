//! The engine's services (`ARCHITECTURE.md`, "Runtime and services"): each owns its state and names those that it may
//! call, as fields. So the fields of their types are the graph of calls, and it has no cycle.
//!
//! What is not a service yet are the methods of `Engine`, any of which may touch everything. They may only become fewer.

use std::collections::{BTreeMap, BTreeSet};

use super::{circles::circle_of, code_of, sources};

/// `Engine`'s fields. Lower it with what moves into a service.
const ENGINE_FIELDS_MAX: usize = 36;
/// `Engine`'s methods, in all files. Lower it with what moves into a service.
const ENGINE_METHODS_MAX: usize = 202;

/// Names of the engine as a whole, which no service may use.
const WHOLE: [&str; 2] = ["Engine", "Shared"];

/// Returns the words of a code: names, without what stands between them.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Returns the fields of a struct, each with the names in its type; `None` if no code defines it with named fields.
fn fields<'c>(codes: &'c [String], name: &str) -> Option<Vec<(&'c str, BTreeSet<&'c str>)>> {
    let begin = format!("struct {name} {{\n");
    let after = codes.iter().find_map(|code| code.split_once(begin.as_str()))?.1;
    let body = after.split("\n}").next().unwrap_or_default();
    let field = |line: &'c str| {
        let (name, kind) = line.trim().split_once(": ")?;
        Some((name.rsplit(' ').next()?, words(kind).collect()))
    };
    Some(body.lines().filter_map(field).collect())
}

/// Returns the services, each with those that it may call: the structs that hold the runtime, but for `Engine`.
fn services(codes: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let defined = codes.iter().flat_map(|code| code.split("struct ").skip(1)).filter_map(|after| words(after).next());
    let names: BTreeSet<&str> = defined.filter(|name| *name != "Engine").collect();
    let all = names.into_iter().filter_map(|name| Some((name, fields(codes, name)?)));
    let of: BTreeMap<&str, Vec<(&str, BTreeSet<&str>)>> =
        all.filter(|(_, fields)| fields.iter().any(|(_, kind)| kind.contains("Runtime"))).collect();
    let called = |fields: &[(&str, BTreeSet<&str>)]| {
        let kinds = fields.iter().flat_map(|(_, kind)| kind.iter().copied());
        kinds.filter(|kind| of.contains_key(kind)).map(ToOwned::to_owned).collect()
    };
    of.iter().map(|(name, fields)| ((*name).to_owned(), called(fields))).collect()
}

/// Returns the services that a code has methods of.
fn implemented<'s>(code: &str, services: &'s BTreeMap<String, BTreeSet<String>>) -> Option<&'s str> {
    services.keys().map(String::as_str).find(|name| code.contains(&format!("\nimpl {name} {{")))
}

/// Counts the methods of `Engine` in a code.
fn engine_methods(code: &str) -> usize {
    let code = code.replace("\nimpl super::Engine {", "\nimpl Engine {");
    let blocks = code.split("\nimpl Engine {").skip(1).map(|after| after.split("\n}").next().unwrap_or_default());
    blocks.map(|block| block.lines().filter(|line| is_method(line)).count()).sum()
}

/// Returns whether a line of an `impl` begins a method of it, and not a function inside one.
fn is_method(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("    ").filter(|rest| !rest.starts_with(' ')) else { return false };
    rest.starts_with("fn ") || rest.contains(" fn ") && !rest.starts_with('#')
}

fn engine() -> Vec<(String, String)> {
    sources("engine").into_iter().map(|(path, code)| (path.display().to_string(), code)).collect()
}

#[test]
fn design_6_no_service_calls_back_to_who_calls_it() {
    let codes: Vec<String> = engine().into_iter().map(|(_, code)| code).collect();
    let services = services(&codes);
    assert!(services.len() > 5, "the services are found: {services:?}");
    let cycles: BTreeSet<Vec<String>> = services.keys().filter_map(|name| circle_of(name, &services)).collect();
    assert!(cycles.is_empty(), "these services call each other: {cycles:?}\nReturn what the caller is to do instead.");
    let own: Vec<_> = services.iter().filter(|(name, called)| called.contains(*name)).collect();
    assert!(own.is_empty(), "these services hold themselves: {own:?}");
}

#[test]
fn design_6_no_service_knows_the_engine() {
    let engine = engine();
    let codes: Vec<String> = engine.iter().map(|(_, code)| code.clone()).collect();
    let services = services(&codes);
    let knows = |(path, code): &(String, String)| {
        let service = implemented(code, &services)?;
        let named = words(code).find(|word| WHOLE.contains(word))?;
        Some(format!("{path}: {service} names {named}"))
    };
    let faults: Vec<String> = engine.iter().filter_map(knows).collect();
    assert!(faults.is_empty(), "name the services it needs instead:\n{}", faults.join("\n"));
}

#[test]
fn design_6_the_engine_only_becomes_smaller() {
    let codes: Vec<String> = engine().into_iter().map(|(_, code)| code).collect();
    let fields = fields(&codes, "Engine").expect("it is defined").len();
    let methods: usize = codes.iter().map(|code| engine_methods(code)).sum();
    let mend = "a new method or field belongs to a service, with collaborators of its own (ARCHITECTURE.md)";
    assert!(fields <= ENGINE_FIELDS_MAX, "`Engine` has {fields} fields: {mend}");
    assert!(methods <= ENGINE_METHODS_MAX, "`Engine` has {methods} methods: {mend}");
}

#[test]
fn services_are_read_with_whom_they_call() {
    let code = |text: &str| code_of(text);
    let codes = [
        code("pub(super) struct Notes {\n    runtime: Arc<Runtime>,\n}\n\nimpl Notes {\n    fn a() {}\n}\n"),
        code(
            "struct Desk {\n    // Notes\n    runtime: Arc<Runtime>,\n    pub(super) notes: Arc<Notes>,\n    x: Place,\n}\n",
        ),
        code("struct Place {\n    name: String,\n}\nstruct Tuple(Arc<Runtime>);\n"),
        code("struct Engine {\n    runtime: Arc<Runtime>,\n    desk: Desk,\n}\n"),
    ];
    let of = |called: &[&str]| called.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    let found = services(&codes);
    assert_eq!(found, BTreeMap::from([("Desk".to_owned(), of(&["Notes"])), ("Notes".to_owned(), of(&[]))]));
    assert_eq!(implemented(&codes[0], &found), Some("Notes"));
    assert_eq!((circle_of("Desk", &found), fields(&codes, "Engine").map(|fields| fields.len())), (None, Some(2)));

    let round = codes.map(|code| code.replace("struct Notes {\n", "struct Notes {\n    desk: Weak<Desk>,\n"));
    assert_eq!(circle_of("Desk", &services(&round)), Some(vec!["Desk".to_owned(), "Notes".to_owned()]));
}

#[test]
fn the_engine_s_methods_are_counted() {
    let block = "\nimpl Engine {\n    pub(super) async fn a(&self) {\n        fn inner() {}\n        self.b(|fn_a| 1);\n    }\n\n    fn b(\n        &self,\n    ) {\n    }\n}\n";
    assert_eq!(engine_methods(block), 2);
    assert_eq!(engine_methods(&block.replace("Engine", "super::Engine")), 2);
    assert_eq!(engine_methods(&block.replace("Engine", "Notes")), 0);
}
