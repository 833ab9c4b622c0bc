//! `hooks:` and `watches:` of a coworker: what makes it work without being asked (C21, C22).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    Coworker, Webhook,
    fault::{Fault, Faults, Trouble, shown},
    grants::Known,
    keys::{EACH_MAX, LIST_MAX, TASK_CHARS_MAX},
    section::{Item, Section},
    value,
    yaml::Node,
};
use crate::core::{
    hook::{Condition, Hook, Naming, Proof, Sender, Threading, is_pointer, key_of},
    watch::{PATTERN_CHARS_MAX, Pattern, TYPE_CHARS_MAX, UNWATCHED, Watch},
};

/// Most characters of a hook's or a watch's name.
const NAME_CHARS_MAX: usize = 64;

/// The words for the ways in which calls prove themselves.
const PROOFS: [(&str, Proof); 7] = [
    ("standard", Proof::Standard),
    ("github", Proof::Github),
    ("gitlab", Proof::Gitlab),
    ("forgejo", Proof::Forgejo),
    ("stripe", Proof::Stripe),
    ("bearer", Proof::Bearer),
    ("basic", Proof::Basic),
];
/// The words for senders whose reports are known.
const SENDERS: [(&str, Sender); 6] = [
    ("github", Sender::Github),
    ("gitlab", Sender::Gitlab),
    ("forgejo", Sender::Forgejo),
    ("alertmanager", Sender::Alertmanager),
    ("grafana", Sender::Grafana),
    ("other", Sender::Other),
];

/// Parses a coworker's `hooks:`.
pub(super) fn hooks(coworker: &Section<'_>, known: &Known<'_>, faults: &mut Faults) -> Vec<Webhook> {
    sections(coworker, "hooks", faults).iter().filter_map(|one| hook(one, known, faults)).collect()
}

/// Parses a coworker's `watches:`.
pub(super) fn watches(coworker: &Section<'_>, faults: &mut Faults) -> Vec<Watch> {
    let sections = sections(coworker, "watches", faults);
    let watches: Vec<Watch> = sections.iter().filter_map(|one| watch(one, faults)).collect();
    let mut names = BTreeSet::new();
    if let Some(twice) = watches.iter().find(|watch| !names.insert(&watch.name)) {
        let trouble = Trouble::new(
            format!("{} is the name of two watches", shown(&twice.name)),
            "The record of what was done names the watch.",
            "give each a name of its own.",
        );
        coworker.report("watches", trouble, faults);
    }
    watches
}

/// Returns the sections of a list, at most [`EACH_MAX`].
fn sections<'a>(coworker: &Section<'a>, key: &str, faults: &mut Faults) -> Vec<Section<'a>> {
    let mut sections = Vec::new();
    for item in coworker.items(key, faults) {
        match item {
            Item::Keys(section) => sections.push(section),
            Item::Word(_, at) => {
                let trouble = Trouble::new(
                    "a word where a section belongs",
                    "Each has several keys.",
                    "write `- name: …` with its other keys under it.",
                );
                at.report("", trouble, faults);
            }
        }
    }
    if sections.len() > EACH_MAX {
        let trouble = Trouble::new(
            format!("{} entries", sections.len()),
            "One coworker could not keep up with so many.",
            format!("keep at most {EACH_MAX}, or use another coworker."),
        );
        coworker.report(key, trouble, faults);
        sections.truncate(EACH_MAX);
    }
    sections
}

fn hook(one: &Section<'_>, known: &Known<'_>, faults: &mut Faults) -> Option<Webhook> {
    let name = one.need("name", ("It is the end of the hook's address.", "set it to a short word."), faults, name);
    let room = room(one, faults);
    let task = task(one, faults);
    let proof = one.need(
        "proof",
        ("Without it anybody could make the coworker work.", "say how the sender proves itself, e.g. github."),
        faults,
        |node| value::choice(node, &PROOFS),
    );
    let credential = one.need(
        "credential",
        ("Calls are proven with a secret.", "name one of `credentials` in workmate.yaml."),
        faults,
        |node| known.credentials.label(node),
    );
    if let (Some(proof), Some(secret)) = (proof, credential.as_ref().and_then(|label| known.credentials.get(label)))
        && key_of(proof, secret.expose()).is_none()
    {
        let mend = match proof {
            Proof::Standard => "use the sender's secret as it shows it: whsec_ and base64.",
            Proof::Basic => "write name:password into the credential.",
            _ => "set the credential's value.",
        };
        let trouble = Trouble::new("a credential that cannot prove such calls", "Every call would be refused.", mend);
        one.report("credential", trouble, faults);
    }
    let sender = one.choice("sender", faults, &SENDERS).or_else(|| proof.map(sender_of));
    let header = one.get("header", faults, header);
    let delivery = one.get("delivery", faults, naming);
    let thread = one.get("thread", faults, |node| {
        if value::text(node)? == "none" { Ok(Threading::Apart) } else { naming(node).map(Threading::By) }
    });
    let events = list(one, "events", faults, |node| value::line(node, NAME_CHARS_MAX));
    let filter = sections_of_filter(one, faults);
    let mention = mention(one, faults);
    if let (Some(proof), true) = (proof, header.is_some())
        && !matches!(proof, Proof::Github | Proof::Gitlab | Proof::Stripe | Proof::Bearer)
    {
        let trouble = Trouble::new(
            "set for a proof that has headers of its own",
            "It would be ignored.",
            "remove it, or use proof: bearer, github, gitlab or stripe.",
        );
        one.report("header", trouble, faults);
    }
    Some(Webhook {
        credential: credential?,
        hook: Hook {
            name: name?,
            room: room?,
            task: task?,
            proof: proof?,
            header,
            sender: sender?,
            delivery,
            thread: thread.unwrap_or(Threading::BySender),
            events: events.into_iter().collect(),
            filter,
            mention,
        },
    })
}

/// Returns who sends calls that prove themselves in this way, unless the config says otherwise.
fn sender_of(proof: Proof) -> Sender {
    match proof {
        Proof::Github => Sender::Github,
        Proof::Gitlab => Sender::Gitlab,
        Proof::Forgejo => Sender::Forgejo,
        Proof::Standard | Proof::Stripe | Proof::Bearer | Proof::Basic => Sender::Other,
    }
}

fn sections_of_filter(one: &Section<'_>, faults: &mut Faults) -> Vec<Condition> {
    sections(one, "filter", faults).iter().filter_map(|section| condition(section, faults)).collect()
}

fn condition(section: &Section<'_>, faults: &mut Faults) -> Option<Condition> {
    let at = section.need("at", ("It names the value.", "write a JSON pointer, e.g. /status."), faults, pointer);
    let condition = Condition {
        at: at?,
        is: words(section, "is", faults),
        not: words(section, "not", faults),
        above: section.get("above", faults, number),
        below: section.get("below", faults, number),
        exists: section.get("exists", faults, value::truth),
    };
    if condition.exists == Some(false)
        && (!condition.is.is_empty() || condition.above.is_some() || condition.below.is_some())
    {
        let trouble = Trouble::new(
            "a condition that no report meets",
            "A value that must not exist is also to be something.",
            "remove `exists: false`, or the rest.",
        );
        section.report("exists", trouble, faults);
    }
    if section.keys().iter().all(|key| *key == "at") {
        let trouble = Trouble::new(
            "a condition that says nothing",
            "Every report would meet it.",
            "add is, not, above, below or exists.",
        );
        section.report("", trouble, faults);
    }
    Some(condition)
}

/// Parses a word or a list of words.
fn words(section: &Section<'_>, key: &str, faults: &mut Faults) -> Vec<String> {
    if section.has_list(key) {
        return list(section, key, faults, value::text);
    }
    section.get(key, faults, value::text).into_iter().collect()
}

fn watch(one: &Section<'_>, faults: &mut Faults) -> Option<Watch> {
    let name = one.need("name", ("The record of what was done names it.", "set it to a short word."), faults, name);
    let room = room(one, faults);
    let task = task(one, faults);
    let before = faults.as_slice().len();
    let senders: BTreeSet<_> = list(one, "senders", faults, sender).into_iter().collect();
    if senders.is_empty() && faults.as_slice().len() == before {
        let trouble = Trouble::new(
            "nobody",
            "Only the words of named senders count.",
            "list the bots or bridges by their full user ids.",
        );
        one.report("senders", trouble, faults);
    }
    let event = one.get("event", faults, event_type);
    let pattern = one.get("pattern", faults, pattern);
    let mention = mention(one, faults);
    Some(Watch { name: name?, room: room?, senders, event, pattern, task: task?, mention })
}

/// Parses the full id of one whose words are watched.
fn sender(node: &Node) -> Result<ruma::OwnedUserId, Trouble> {
    let user = value::user_id(node)?;
    if user.localpart().contains(['*', '[', '(', '|', '?']) {
        return Err(Trouble::new(
            format!("{} looks like a pattern", shown(user.as_str())),
            "Senders are compared letter by letter, and nobody is called so.",
            "list each bot or bridge by its full user id.",
        ));
    }
    Ok(user)
}

fn room(one: &Section<'_>, faults: &mut Faults) -> Option<ruma::OwnedRoomOrAliasId> {
    let missing = ("The coworker says there what it found.", "set it to a room's id or alias.");
    one.need("room", missing, faults, value::room_or_alias)
}

fn task(one: &Section<'_>, faults: &mut Faults) -> Option<String> {
    let missing = ("The coworker would not know what to do.", "say what it is to do with what comes.");
    one.need("task", missing, faults, |node| value::task(node, TASK_CHARS_MAX))
}

fn mention(one: &Section<'_>, faults: &mut Faults) -> BTreeSet<ruma::OwnedUserId> {
    list(one, "mention", faults, value::user_id).into_iter().collect()
}

/// Parses a list of at most [`LIST_MAX`].
fn list<T>(
    section: &Section<'_>,
    key: &str,
    faults: &mut Faults,
    parse: impl Fn(&Node) -> Result<T, Trouble>,
) -> Vec<T> {
    let list = section.list(key, faults, parse);
    if list.len() > LIST_MAX {
        let trouble = Trouble::new(
            format!("{} entries", list.len()),
            "So many at once are more likely a slip.",
            format!("list at most {LIST_MAX}."),
        );
        section.report(key, trouble, faults);
    }
    list
}

fn name(node: &Node) -> Result<String, Trouble> {
    let text = value::text(node)?;
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '_';
    if text.is_empty() || text.len() > NAME_CHARS_MAX || !text.chars().all(fits) {
        return Err(Trouble::new(
            format!("{} is not such a name", shown(&text)),
            "It is part of an address and of records.",
            format!("use 1 to {NAME_CHARS_MAX} of a-z 0-9 _ -"),
        ));
    }
    Ok(text)
}

fn event_type(node: &Node) -> Result<String, Trouble> {
    let text = value::text(node)?;
    let fits = !text.is_empty() && text.len() <= TYPE_CHARS_MAX && !text.contains(char::is_whitespace);
    if fits && !UNWATCHED.contains(&text.as_str()) {
        return Ok(text);
    }
    Err(Trouble::new(
        format!("{} is not a type that can be watched", shown(&text)),
        "No event would match.",
        "write the type of the event inside, such as org.example.build or m.room.topic.",
    ))
}

fn pattern(node: &Node) -> Result<Pattern, Trouble> {
    if value::text(node)?.trim().is_empty() {
        return Err(Trouble::new(
            "empty",
            "It would match every message.",
            "leave `pattern` out if every message of these senders counts, or write what it must contain.",
        ));
    }
    let text = value::line(node, PATTERN_CHARS_MAX)?;
    Pattern::parse(&text).map_err(|error| {
        let what = error.lines().last().unwrap_or_default().trim().to_owned();
        Trouble::new(
            format!("not a regular expression: {what}"),
            "No message could be compared with it.",
            "write one of the Rust crate regex, in single quotes.",
        )
    })
}

fn pointer(node: &Node) -> Result<String, Trouble> {
    let text = value::text(node)?;
    if is_pointer(&text) {
        return Ok(text);
    }
    Err(Trouble::new(
        format!("{} is not a JSON pointer", shown(&text)),
        "It names a value of the report.",
        "begin each part with /, e.g. /alerts/0/status; ~1 stands for a / in a name.",
    ))
}

/// Parses what names a delivery or a matter: a JSON pointer, or `header:` and a header's name.
fn naming(node: &Node) -> Result<Naming, Trouble> {
    let text = value::text(node)?;
    match text.strip_prefix("header:") {
        Some(name) => header_name(name).map(Naming::Header),
        None => pointer(node).map(Naming::Pointer),
    }
}

fn header(node: &Node) -> Result<String, Trouble> {
    header_name(&value::text(node)?)
}

fn header_name(text: &str) -> Result<String, Trouble> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if text.is_empty() || text.len() > NAME_CHARS_MAX || !text.chars().all(fits) {
        return Err(Trouble::new(
            format!("{} is not a header's name", shown(text)),
            "It is looked for in each call.",
            "write it like X-Request-Id.",
        ));
    }
    Ok(text.to_ascii_lowercase())
}

fn number(node: &Node) -> Result<f64, Trouble> {
    let text = value::text(node)?;
    text.trim().parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| {
        Trouble::new(format!("{} is not a number", shown(&text)), "Values are compared with it.", "write a number.")
    })
}

/// Reports hooks of the same name: the name alone says whose a call is.
pub(super) fn check_hook_names(coworkers: &[(PathBuf, Coworker)], faults: &mut Faults) {
    let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
    for (file, coworker) in coworkers {
        for webhook in &coworker.hooks {
            if let Some(first) = seen.insert(&webhook.hook.name, file) {
                faults.push(Fault {
                    file: file.clone(),
                    line: None,
                    key: "hooks".to_owned(),
                    what: format!("{} is also a hook's name in {}", shown(&webhook.hook.name), first.display()),
                    why: "Both would have the same address.".to_owned(),
                    mend: "give each hook a name of its own.".to_owned(),
                });
            }
        }
    }
}
