//! The appservice's registration with the homeserver: rendered from the configuration, and compared with it.
//!
//! Its keys are those of Application Service API v1.17, "Registration". Tuwunel needs `io.element.msc4190` before an
//! appservice may create devices; Synapse since 1.141 ignores it.

use std::{fs, path::Path};

use ruma::ServerName;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{
    Config,
    fault::{Fault, Faults, Trouble},
    file::read_yaml,
    secrets::mode_for_others,
    section::Section,
    value,
    workspace::{APPSERVICE_ID, ASSISTANT_PREFIX, COWORKER_PREFIX, SERVICE_LOCALPART},
    yaml::{Node, Value},
};
use crate::secret::Secret;

/// The content of `registration.yaml`.
#[derive(Clone, Debug)]
pub struct Registration {
    /// `id`
    pub id: String,
    /// `url`: where the homeserver reaches the appservice, without a trailing slash.
    pub url: String,
    /// `as_token`
    pub as_token: Secret,
    /// `hs_token`
    pub hs_token: Secret,
    /// `sender_localpart`
    pub sender_localpart: String,
    /// The only pattern under `namespaces.users`: the users that are exclusively ours.
    pub users_regex: String,
}

impl Registration {
    /// Returns the registration for a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let appservice = &config.appservice;
        Self {
            id: appservice.id.clone(),
            url: appservice.url.as_str().trim_end_matches('/').to_owned(),
            as_token: appservice.as_token.clone(),
            hs_token: appservice.hs_token.clone(),
            sender_localpart: sender_localpart(&appservice.service_localpart),
            users_regex: users_regex(
                [&appservice.service_localpart, &appservice.coworker_prefix, &appservice.assistant_prefix],
                &config.homeserver.server_name,
            ),
        }
    }

    /// Returns a registration with fresh tokens and the default names, for an appservice at `url`.
    ///
    /// # Panics
    /// As [`Secret::random`].
    #[must_use]
    pub fn fresh(url: &Url, server: &ServerName) -> Self {
        Self {
            id: APPSERVICE_ID.to_owned(),
            url: url.as_str().trim_end_matches('/').to_owned(),
            as_token: Secret::random(),
            hs_token: Secret::random(),
            sender_localpart: sender_localpart(SERVICE_LOCALPART),
            users_regex: users_regex([SERVICE_LOCALPART, COWORKER_PREFIX, ASSISTANT_PREFIX], server),
        }
    }

    /// Renders the file; a [`Secret`], because it contains both tokens.
    #[must_use]
    pub fn render(&self) -> Secret {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        Secret::new(format!(
            "\
# Tells the homeserver of Workmate. Written by `workmate init`; `workmate check` compares it with config/workmate.yaml.
# It holds two secrets: keep it readable only by the homeserver and yourself.

# A name of our own choosing, unique among the homeserver's appservices.
id: {id}
# Where the homeserver finds Workmate.
url: {url}
# What Workmate proves itself with to the homeserver.
as_token: {as_token}
# What the homeserver proves itself with to Workmate.
hs_token: {hs_token}
# An account that only the homeserver knows. It is not the service bot: Synapse does not let it sync.
sender_localpart: {sender}
# Virtual users answer many people at once: not held to a person's pace.
rate_limited: false
# To-device messages and receipts are read by each virtual user's own client, and not pushed.
receive_ephemeral: false
# Lets Workmate make devices for its users (MSC4190). Tuwunel needs it; Synapse 1.141 and later do not.
io.element.msc4190: true
namespaces:
  # Workmate's users, and nobody else's: the service bot, the coworkers, the assistants.
  users:
    - exclusive: true
      regex: '{regex}'
  aliases: []
  rooms: []
",
            id = quoted(&self.id),
            url = quoted(&self.url),
            as_token = quoted(self.as_token.expose()),
            hs_token = quoted(self.hs_token.expose()),
            sender = quoted(&self.sender_localpart),
            regex = self.users_regex.replace('\'', "''"),
        ))
    }

    /// Compares the file at `path` with this registration, and returns warnings.
    ///
    /// # Errors
    /// Every difference between the file and the configuration.
    pub fn compare(&self, path: &Path) -> Result<Vec<Fault>, Faults> {
        let mut faults = Faults::default();
        let mut warnings = Faults::default();
        let missing = (
            "What the homeserver was told cannot be compared with the configuration.",
            "correct registration_file, or remove it if the registration is kept elsewhere.",
        );
        let Some(node) = read_yaml(path, missing, &mut faults) else { return Err(faults) };
        let root = Section::unchecked(path, &node);
        if !["id", "url", "as_token", "hs_token", "namespaces"].iter().any(|key| root.has(key)) {
            faults.push(Fault {
                file: path.to_owned(),
                line: None,
                key: String::new(),
                what: "is no registration: it has neither tokens nor namespaces".to_owned(),
                why: "What the homeserver was told cannot be compared with the configuration.".to_owned(),
                mend: "correct registration_file; or run `workmate init --new-tokens`, which writes it anew, and give the \
                       homeserver the new one."
                    .to_owned(),
            });
            return Err(faults);
        }
        self.compare_names(&root, &mut faults);
        self.compare_tokens(&root, &mut faults);
        self.compare_namespaces(&root, &mut faults);
        doubts(&root, path, &mut warnings);
        faults.sort();
        if faults.is_empty() { Ok(warnings.as_slice().to_vec()) } else { Err(faults) }
    }

    fn compare_names(&self, root: &Section<'_>, faults: &mut Faults) {
        let names = [
            ("id", &self.id, "appservice.id"),
            ("url", &self.url, "appservice.url"),
            ("sender_localpart", &self.sender_localpart, "what appservice.service_localpart makes it"),
        ];
        for (key, ours, source) in names {
            let theirs = root.get(key, faults, value::text).unwrap_or_default();
            if theirs.trim_end_matches('/') != ours {
                let trouble = Trouble::new(
                    format!("differs from {source}, which is \"{ours}\""),
                    "The homeserver and Workmate would speak of different things.",
                    format!("make the two equal, in {} or in the config, and restart the homeserver.", name_of(root)),
                );
                root.report(key, trouble, faults);
            }
        }
    }

    fn compare_tokens(&self, root: &Section<'_>, faults: &mut Faults) {
        for (key, ours) in [("as_token", &self.as_token), ("hs_token", &self.hs_token)] {
            let theirs = Secret::new(root.get(key, faults, value::text).unwrap_or_default());
            if !ours.matches(theirs.expose()) {
                let trouble = Trouble::new(
                    format!("differs from appservice.{key}"),
                    "Every call between the homeserver and Workmate would be refused.",
                    "copy the token from one to the other, and restart the homeserver.",
                );
                root.report(key, trouble, faults);
            }
        }
    }

    fn compare_namespaces(&self, root: &Section<'_>, faults: &mut Faults) {
        let namespaces = root.again("namespaces");
        let plain = self.users_regex.trim_start_matches('^').trim_end_matches('$');
        let ours = namespaces
            .list("users", faults, |node| Ok(user_namespace(node)))
            .into_iter()
            .any(|(regex, alone)| alone && (regex == self.users_regex || regex == plain));
        if !ours {
            let trouble = Trouble::new(
                "has no exclusive entry for Workmate's users",
                "The homeserver would not let Workmate act as them, or would let others take their names.",
                format!("add `- {{exclusive: true, regex: '{}'}}`, and restart the homeserver.", self.users_regex),
            );
            namespaces.report("users", trouble, faults);
        }
    }
}

impl Config {
    /// Returns a stable id for this registration, a hash of its id and hs_token.
    ///
    /// After a new registration the homeserver counts transactions from 1 again. With the fingerprint in their keys,
    /// they are not mistaken for the old ones.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        let token = Sha256::digest(self.appservice.hs_token.expose().as_bytes());
        let whole = Sha256::new_with_prefix(b"workmate-registration-v1\0")
            .chain_update(self.appservice.id.as_bytes())
            .chain_update([0])
            .chain_update(token)
            .finalize();
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&whole[..16]);
        fingerprint
    }
}

/// Returns the pattern of an entry under `namespaces.users`, and whether it is exclusive.
fn user_namespace(node: &Node) -> (String, bool) {
    let Value::Map(entries) = &node.value else { return (String::new(), false) };
    let of = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node);
    let regex = of("regex").and_then(|node| value::text(node).ok()).unwrap_or_default();
    (regex, of("exclusive").is_some_and(|node| value::truth(node) == Ok(true)))
}

fn doubts(root: &Section<'_>, path: &Path, warnings: &mut Faults) {
    let quiet = &mut Faults::default();
    if root.get("rate_limited", quiet, value::truth) != Some(false) {
        let trouble = Trouble::new(
            "not false",
            "The homeserver holds all virtual users together to the pace of one person.",
            "set it to false.",
        );
        root.report("rate_limited", trouble, warnings);
    }
    if root.get("io.element.msc4190", quiet, value::truth) != Some(true) {
        let trouble = Trouble::new(
            "not true",
            "Tuwunel does not let Workmate make devices without it; Synapse since 1.141 does.",
            "set it to true.",
        );
        root.report("io.element.msc4190", trouble, warnings);
    }
    let mode = fs::metadata(path).ok().and_then(|metadata| mode_for_others(&metadata));
    if let Some(mode) = mode.filter(|mode| mode & 0o007 != 0) {
        let trouble = Trouble::new(
            format!("can be read by everyone (mode {mode:04o})"),
            "Whoever reads the as_token speaks for every virtual user.",
            format!("run `chmod o= {}`; the homeserver must still be able to read it.", path.display()),
        );
        root.report("as_token", trouble, warnings);
    }
}

fn name_of(root: &Section<'_>) -> String {
    root.file().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the sender's localpart, which must not be one of our virtual users: Synapse answers the sender's `/sync`
/// with 500 (`NotImplementedError`, matrix-org/matrix-doc#1144).
fn sender_localpart(service: &str) -> String {
    format!("{service}-sender")
}

/// Returns the pattern of our users: the service bot, and localparts with one of the prefixes.
fn users_regex([sender, coworker, assistant]: [&str; 3], server: &ServerName) -> String {
    let server = escaped(server.as_str());
    format!("^@({}|{}.+|{}.+):{server}$", escaped(sender), escaped(coworker), escaped(assistant))
}

/// Escapes characters that are special in Python's and Rust's patterns.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if "\\.+*?()|[]{}^$".contains(char) {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}
