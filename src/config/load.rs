//! Loads the config file and everything it names, and reports all faults at once.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use url::{Host, Url};

use super::{
    Claude, Config, Effort, Env, budgets, certificates, claude, connections, console, coworkers,
    fault::{Fault, Faults, Trouble},
    file::read_yaml,
    grants::{self, Known},
    key::Key,
    keys::{WORKMATE, home_of},
    secrets::{Sources, mode_for_others},
    section::Section,
    slips::nearest,
    tooling, transcription, value, workspace,
    yaml::{Node, Value},
};
use crate::core::{
    model::{self, Facts},
    people::{Namespace, Who},
};

/// The default of `health_listen`.
const HEALTH_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 29331);
/// Consequence and remedy of a missing config file.
const MISSING: (&str, &str) =
    ("Nothing can be started without it.", "run `workmate init` to write one, or name the right file with --config.");

/// Returns the validated configuration and the warnings. Coworkers whose files have faults are left out
/// ([`Config::left_out`]).
///
/// # Errors
/// If any other file has a fault: every fault of every file.
pub(super) fn load(path: &Path, env: Env<'_>) -> Result<(Config, Vec<Fault>), Faults> {
    let mut faults = Faults::default();
    let Some(node) = read_yaml(path, MISSING, &mut faults) else { return Err(faults) };
    if let Some(trouble) = foreign(&node) {
        let Trouble { what, why, mend } = trouble;
        faults.push(Fault { file: path.to_owned(), line: None, key: String::new(), what, why, mend });
        return Err(faults);
    }
    let mut warnings = Faults::default();
    let config = config(path, &node, env, &mut faults, &mut warnings);
    certificates::check(env, &mut faults);
    if let Some(config) = config.as_ref().filter(|_| !faults.is_empty()) {
        // Workmate will not start, so report all faults at once.
        config.left_out.iter().for_each(|fault| faults.push(fault.clone()));
    }
    faults.sort();
    match config {
        Some(config) if faults.is_empty() => Ok((config, warnings.as_slice().to_vec())),
        _ => Err(faults),
    }
}

/// Returns the trouble with a file that is something else than a configuration. None of its lines is quoted: it may be
/// any file of this machine.
fn foreign(node: &Node) -> Option<Trouble> {
    let names: Vec<String> = WORKMATE.iter().flat_map(Key::names).collect();
    let is_known = |key: &str| names.iter().any(|name| name == key);
    let is_near = |key: &str| nearest(key, names.iter().map(String::as_str)).is_some();
    let what = match &node.value {
        Value::Null => "holds nothing",
        Value::Map(entries) if entries.iter().any(|entry| is_known(&entry.key)) => return None,
        Value::Map(entries) if entries.iter().all(|entry| is_near(&entry.key)) => return None,
        _ => "is no configuration of Workmate: it has none of its sections",
    };
    Some(Trouble::new(
        what,
        "Nothing can be started without one.",
        "name the right file with --config, usually config/workmate.yaml, or run `workmate init` in another folder to \
         write one.",
    ))
}

/// Returns where a running Workmate says how it is; the file's other keys may have faults.
///
/// # Errors
/// If the file cannot be read, or this key has a fault.
pub(super) fn health_listen(path: &Path) -> Result<SocketAddr, Faults> {
    let mut faults = Faults::default();
    let Some(node) = read_yaml(path, MISSING, &mut faults) else { return Err(faults) };
    let given = Section::unchecked(path, &node).get("health_listen", &mut faults, value::socket);
    if faults.is_empty() { Ok(given.unwrap_or(HEALTH_LISTEN)) } else { Err(faults) }
}

/// Returns the data folder; the file's other keys may have faults.
///
/// # Errors
/// If the file cannot be read, or this key has a fault.
pub(super) fn data_dir(path: &Path) -> Result<PathBuf, Faults> {
    let (base, mut faults) = (workspace::folder_of(path), Faults::default());
    let Some(node) = read_yaml(path, MISSING, &mut faults) else { return Err(faults) };
    let given = Section::unchecked(path, &node).get("data_dir", &mut faults, |node| value::path(node, base));
    if faults.is_empty() { Ok(given.unwrap_or_else(|| value::below(base, "../data"))) } else { Err(faults) }
}

/// Returns the folder of the coworkers' files; the default one if the config file has faults there.
pub(super) fn coworkers_dir(path: &Path) -> PathBuf {
    let (base, mut faults) = (workspace::folder_of(path), Faults::default());
    let node = read_yaml(path, MISSING, &mut faults);
    let given = node.and_then(|node| {
        Section::unchecked(path, &node).get("coworkers_dir", &mut faults, |node| value::path(node, base))
    });
    given.unwrap_or_else(|| base.join("coworkers"))
}

/// Returns the faults of a text both as `workmate.yaml` and as a coworker's file, with a master secret in `MASTER` and
/// nothing else beside it; for `fuzzing`.
#[cfg(feature = "doubles")]
pub(crate) fn faults_in(text: &str) -> Faults {
    let mut faults = Faults::default();
    let path = Path::new("/nonexistent/ci.yaml");
    let node = match super::yaml::parse(text) {
        Ok(node) => node,
        Err((line, Trouble { what, why, mend })) => {
            faults.push(Fault { file: path.to_owned(), line: Some(line), key: String::new(), what, why, mend });
            return faults;
        }
    };
    let secret = crate::secret::MasterSecret::new([7; 32]).encode();
    let env = |name: &str| (name == "MASTER").then(|| secret.expose().to_owned());
    let _ = config(path, &node, &env, &mut faults, &mut Faults::default());
    let none = Known { servers: &[], credentials: &tooling::Credentials::default() };
    let _ = coworkers::coworker(path, &node, &none, &mut faults);
    faults.sort();
    faults
}

fn config(path: &Path, node: &Node, env: Env<'_>, faults: &mut Faults, warnings: &mut Faults) -> Option<Config> {
    let base = workspace::folder_of(path);
    let sources = Sources { base, env };
    let root = Section::root(path, node, (&WORKMATE, home_of), faults);
    let homeserver = workspace::homeserver(&root, faults);
    let appservice = workspace::appservice(&root, &sources, faults);
    let health_listen = root.get("health_listen", faults, value::socket).unwrap_or(HEALTH_LISTEN);
    let hooks_listen = root
        .get("hooks_listen", faults, value::socket)
        .unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 29333));
    let hooks_url = root.get("hooks_url", faults, |node| value::base_url(node, "/hooks"));
    let connections = connections::connections(&root, faults);
    let console = console::console(&root, faults);
    let data_dir =
        root.get("data_dir", faults, |node| value::path(node, base)).unwrap_or_else(|| value::below(base, "../data"));
    let master = sources.master(&root, faults);
    let registration_file = root.get("registration_file", faults, |node| value::path(node, base));
    let claude = claude::claude(&root, &sources, faults);
    let transcription = transcription::transcription(&root, &sources, faults);
    let workspace = workspace::workspace(&root, faults);
    let limits = workspace::limits(&root, faults);
    let budgets = budgets::read(&root, faults);
    let audit = workspace::audit(&root, faults);
    let log = workspace::log(&root, faults);
    let dir =
        root.get("coworkers_dir", faults, |node| value::path(node, base)).unwrap_or_else(|| base.join("coworkers"));
    let credentials = tooling::Credentials::read(&root, &sources, faults);
    let mcp_servers = tooling::servers(&root, &credentials, faults);
    let reachable = Known { servers: &mcp_servers, credentials: &credentials };
    let assistants = workspace::assistants(&root, &reachable, faults);
    let mut left_out = Faults::default();
    let coworkers = coworkers::load(&dir, &reachable, faults, (&mut left_out, warnings));
    left_out.sort();
    let (Some(homeserver), Some(appservice), Some(claude), Some(master)) = (homeserver, appservice, claude, master)
    else {
        left_out.as_slice().iter().for_each(|fault| faults.push(fault.clone()));
        return None;
    };
    if collide(appservice.listen, health_listen) {
        let trouble = Trouble::new(
            "the address of appservice.listen",
            "Only one of the two listeners could be opened.",
            "give it a port of its own, e.g. 127.0.0.1:29331.",
        );
        root.report("health_listen", trouble, faults);
    }
    let has_hooks = coworkers.iter().any(|coworker| !coworker.hooks.is_empty());
    if has_hooks && [appservice.listen, health_listen].into_iter().any(|other| collide(hooks_listen, other)) {
        let trouble = Trouble::new(
            "the address of another listener",
            "Only one of the two could be opened.",
            "give it a port of its own, e.g. 127.0.0.1:29333.",
        );
        root.report("hooks_listen", trouble, faults);
    }
    let others = [Some(appservice.listen), Some(health_listen), has_hooks.then_some(hooks_listen)];
    if let Some(reached) = &connections.reached
        && others.into_iter().flatten().any(|other| collide(reached.listen, other))
    {
        root.report("mcp_listen", connections::collision("127.0.0.1:29334"), faults);
    }
    let others = others.into_iter().chain([connections.reached.as_ref().map(|reached| reached.listen)]);
    if let Some(reached) = &console
        && others.flatten().any(|other| collide(reached.listen, other))
    {
        root.report("console_listen", connections::collision("127.0.0.1:29335"), faults);
    }
    coworkers::check_user_ids(&coworkers, &dir, &homeserver, &appservice, faults);
    let config = Config {
        file: path.to_owned(),
        homeserver,
        appservice,
        health_listen,
        hooks_listen,
        hooks_url,
        connections,
        console,
        data_dir,
        coworkers_dir: dir,
        master,
        claude,
        workspace,
        assistants,
        transcription,
        limits,
        budgets,
        coworkers,
        mcp_servers,
        credentials: credentials.into_given(),
        audit,
        log,
        registration_file,
        left_out: left_out.as_slice().to_vec(),
    };
    check_lists(&root, &config, faults);
    doubts(&root, path, &config, warnings);
    Some(config)
}

/// Returns whether two listeners would collide.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (everywhere || one.ip() == other.ip())
}

/// Reports virtual users that are listed as admins or as foreign bots.
fn check_lists(root: &Section<'_>, config: &Config, faults: &mut Faults) {
    let namespace = Namespace { bots: config.workspace.bots.clone(), ..config.namespace() };
    let section = root.again("workspace");
    for (key, users) in [("bots", &config.workspace.bots), ("admins", &config.workspace.admins)] {
        for user in users.iter().filter(|user| namespace.is_ours(user)) {
            let trouble = Trouble::new(
                format!("{user} is one of Workmate's own users"),
                "Its own users are known by their names and never command it.",
                "remove it from the list.",
            );
            section.report(key, trouble, faults);
        }
    }
    for coworker in &config.coworkers {
        for sender in coworker.watches.iter().flat_map(|watch| &watch.senders).filter(|user| namespace.is_ours(user)) {
            faults.push(Fault {
                file: config.coworkers_dir.join(format!("{}.yaml", coworker.id.0)),
                line: None,
                key: "watches".to_owned(),
                what: format!("{sender} is one of Workmate's own users"),
                why: "What they say never sets off work, so that nothing goes round in circles.".to_owned(),
                mend: "remove it from the senders.".to_owned(),
            });
        }
    }
    for admin in &config.workspace.admins {
        let what = match namespace.who(admin) {
            Who::Puppet(_) => "a bridge's puppet",
            Who::Guest => "a guest",
            _ => continue,
        };
        let trouble = Trouble::new(
            format!("{admin} counts as {what}"),
            "Neither guests nor a bridge's puppets administer Workmate.",
            "correct workspace.bridges or workspace.guests, or remove the id from the list.",
        );
        section.report("admins", trouble, faults);
    }
}

/// Warns of settings that work, but perhaps not as intended.
fn doubts(root: &Section<'_>, path: &Path, config: &Config, warnings: &mut Faults) {
    let (homeserver, appservice, claude) = (root.again("homeserver"), root.again("appservice"), root.again("claude"));
    let transcription = root.again("transcription");
    if !config.claude.has_credentials() {
        let trouble = Trouble::new(
            "missing",
            "Workmate starts, but answers every request with a message that it can't reach the model.",
            "set claude.api_key_file, or ANTHROPIC_API_KEY in the environment.",
        );
        claude.report("api_key", trouble, warnings);
    }
    if config.console.is_some() && config.workspace.admins.is_empty() {
        root.report("console_listen", console::without_admins(), warnings);
    }
    model_doubts(root, config, warnings);
    for (section, key, url) in [
        (&homeserver, "url", &config.homeserver.url),
        (&appservice, "url", &config.appservice.url),
        (&claude, "base_url", &config.claude.base_url),
    ]
    .into_iter()
    .chain(config.transcription.iter().map(|recogniser| (&transcription, "url", &recogniser.url)))
    {
        if url.scheme() == "http" && !is_loopback(url) {
            let trouble = Trouble::new(
                "plain http to another machine",
                "Tokens and messages can be read on the way.",
                "use https, unless the network between the two is private.",
            );
            section.report(key, trouble, warnings);
        }
    }
    if root.has("transcription") && config.transcription.is_none() {
        let trouble = Trouble::new(
            "missing",
            "Voice messages are only named, because nobody is asked what is said in them.",
            "set it to where the recogniser answers, e.g. http://127.0.0.1:8000, or remove the section.",
        );
        transcription.report("url", trouble, warnings);
    }
    budgets::doubts(root, config, warnings);
    if config.coworkers.is_empty() {
        let trouble = Trouble::new(
            "no coworkers",
            "Only the service bot and assistants will be there.",
            "add a file for each to coworkers_dir.",
        );
        root.report("coworkers_dir", trouble, warnings);
    }
    for coworker in &config.coworkers {
        let open = grants::open_writes(&coworker.tools);
        if !open.is_empty() {
            let trouble = Trouble::new(
                format!("{} lets {} be approved by whoever asks or made the room", coworker.id.0, open.join(", ")),
                "Anybody of the workspace can make a room, is its moderator, and approves there what they asked for. That \
                 keeps the model from acting by itself, and nobody from acting through it.",
                "bind the grant with rooms or spaces, or name the people in approval; class: read if it only looks.",
            );
            root.report("coworkers_dir", trouble, warnings);
        }
    }
    if config.appservice.listen.ip().is_unspecified() && is_loopback(&config.appservice.url) {
        let trouble = Trouble::new(
            format!("{} leads to this machine alone, while appservice.listen is every address", config.appservice.url),
            "A homeserver on another machine or in a container would call itself there, and deliver nothing.",
            "set it, and url in the registration, to where the homeserver finds this machine; for a homeserver on this machine \
             listen on 127.0.0.1.",
        );
        appservice.report("url", trouble, warnings);
    }
    let audit = root.again("audit");
    if audit.has("room") && config.audit.room && config.workspace.admins.is_empty() {
        let trouble = Trouble::new(
            "an audit room without anybody to read it",
            "The service bot makes it for workspace.admins, and there are none.",
            "name them, e.g. [\"@alice:example.org\"], or set audit.room to false.",
        );
        audit.report("room", trouble, warnings);
    }
    let open = fs::metadata(path).ok().and_then(|metadata| mode_for_others(&metadata));
    for (section, key) in [
        (&appservice, "as_token"),
        (&appservice, "hs_token"),
        (&claude, "api_key"),
        (&claude, "auth_token"),
        (&transcription, "api_key"),
    ] {
        if let Some(mode) = open.filter(|_| section.has(key)) {
            let trouble = Trouble::new(
                format!("a secret in a file that others can read (mode {mode:04o})"),
                "Everyone with an account on this machine could take it.",
                format!("run `chmod 600 {}`, or use {key}_file.", path.display()),
            );
            section.report(key, trouble, warnings);
        }
    }
}

/// Warns of models that retire, and of efforts that a model does not accept.
fn model_doubts(root: &Section<'_>, config: &Config, warnings: &mut Faults) {
    let (claude, assistants) = (&config.claude, &config.assistants);
    let (of_all, of_assistants) = (root.again("claude"), root.again("assistants"));
    doubt_model((&of_all, "model", ""), (Some(&claude.model), Some(claude.effort)), claude, warnings);
    for fallback in &claude.fallback_models {
        doubt_model((&of_all, "fallback_models", ""), (Some(fallback), None), claude, warnings);
    }
    if assistants.enabled {
        let asked = (assistants.model.as_ref(), assistants.effort);
        doubt_model((&of_assistants, "model", ""), asked, claude, warnings);
    }
    for coworker in &config.coworkers {
        let asked = (coworker.model.as_ref(), coworker.effort);
        doubt_model((root, "coworkers_dir", &format!("{}: ", coworker.id.0)), asked, claude, warnings);
    }
}

fn doubt_model(
    (section, key, whose): (&Section<'_>, &str, &str),
    (own_model, own_effort): (Option<&String>, Option<Effort>),
    claude: &Claude,
    warnings: &mut Faults,
) {
    if own_model.is_none() && own_effort.is_none() {
        return;
    }
    let model = own_model.unwrap_or(&claude.model);
    let (facts, effort) = (Facts::known(model), own_effort.unwrap_or(claude.effort));
    if let Some(day) = facts.ends.as_ref().filter(|_| own_model.is_some()) {
        let trouble = Trouble::new(
            format!("{whose}{model} is retired on {day}"),
            "From then on the provider answers no request that names it.",
            format!("choose another one, e.g. {}.", model::successor(model).unwrap_or("a newer model")),
        );
        section.report(key, trouble, warnings);
    }
    let taken = facts.effort(effort);
    // A fallback is asked with what it takes; that is not for the operator to choose.
    if taken != Some(effort) && key != "fallback_models" {
        let instead = taken.map_or("without any".to_owned(), |taken| format!("with {}", model::name(taken)));
        let trouble = Trouble::new(
            format!("{whose}{model} does not take effort {}", model::name(effort)),
            format!("It is asked {instead}."),
            "choose another effort or model, if that is not meant.",
        );
        section.report(if key == "model" { "effort" } else { key }, trouble, warnings);
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
