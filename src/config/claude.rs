//! `claude:`, completed from the environment.

use url::Url;

use super::{
    Claude, Effort, Env,
    fault::{Faults, Trouble, shown},
    secrets::{self, Found, Sources},
    section::Section,
    value,
};
use crate::secret::Secret;

/// The default base URL of the Messages API.
const CLAUDE_URL: &str = "https://api.anthropic.com";
/// The default model.
pub(super) const MODEL: &str = "claude-opus-5-5";
/// Most fallback models.
pub(super) const FALLBACKS_MAX: usize = 3;
/// The supported API versions, newest first.
pub(super) const VERSIONS: [&str; 2] = ["2026-10-21", "2023-06-01"];
/// Tokens for thinking and answer of one call.
pub(super) const OUTPUT_TOKENS_MAX: u64 = 16_000;
/// After how much silence a stream counts as ended, in seconds: at the provider itself, which pings, and behind a
/// gateway, which may swallow pings.
const IDLE_SECONDS: (u32, u32) = (90, 300);
/// Most further headers; the next constant limits their names.
const HEADERS_MAX: usize = 32;
const HEADER_CHARS_MAX: usize = 64;
/// Headers that Workmate or the connection sets.
const OWN_HEADERS: [&str; 6] =
    ["content-type", "content-length", "host", "connection", "transfer-encoding", "accept-encoding"];

/// The words of `effort:`.
pub(super) use crate::core::model::EFFORTS;

pub(super) fn claude(root: &Section<'_>, sources: &Sources<'_>, faults: &mut Faults) -> Option<Claude> {
    let section = root.section("claude", faults);
    let base_url = if section.has("base_url") {
        section.get("base_url", faults, |node| value::base_url(node, "/v1"))
    } else {
        default_base_url(&section, sources.env, faults)
    };
    let given = |name: &str, faults: &mut Faults| match sources.secret(&section, name, faults) {
        Found::Given(secret) => (Some(secret), true),
        Found::Faulty => (None, true),
        Found::Absent => (None, false),
    };
    let (mut api_key, has_key) = given("api_key", faults);
    let (mut auth_token, has_token) = given("auth_token", faults);
    if !has_key && !has_token {
        // As in the official SDKs, the key wins if both are set.
        api_key = of_environment(&section, sources.env, ("ANTHROPIC_API_KEY", "api_key"), faults);
        if api_key.is_none() {
            auth_token = of_environment(&section, sources.env, ("ANTHROPIC_AUTH_TOKEN", "auth_token"), faults);
        }
    }
    let headers = headers(&section, sources, faults);
    let model = section.get("model", faults, value::model);
    let fallback_models = fallbacks(&section, model.as_deref().unwrap_or(MODEL), faults);
    let effort = section.choice("effort", faults, &EFFORTS);
    let versions = VERSIONS.map(|version| (version, version));
    let api_version = section.choice("api_version", faults, &versions);
    let idle_seconds = section.number_if_given("idle_seconds", faults);
    let output_tokens_max = section.number("output_tokens_max", faults);
    let proxy = section.get("proxy", faults, |node| value::base_url(node, ""));
    let base_url = base_url?;
    let is_provider = base_url.host_str().is_some_and(|host| host == "api.anthropic.com");
    let idle_default = if is_provider { IDLE_SECONDS.0 } else { IDLE_SECONDS.1 };
    Some(Claude {
        base_url,
        api_key,
        auth_token,
        headers,
        api_version: api_version.unwrap_or(VERSIONS[0]).to_owned(),
        idle_seconds: idle_seconds.unwrap_or(idle_default),
        proxy,
        model: model.unwrap_or_else(|| MODEL.to_owned()),
        fallback_models,
        effort: effort.unwrap_or(Effort::Medium),
        output_tokens_max,
    })
}

/// Parses `fallback_models:`; each is another model than those before it.
fn fallbacks(section: &Section<'_>, first: &str, faults: &mut Faults) -> Vec<String> {
    let models = section.list("fallback_models", faults, value::model);
    if models.len() > FALLBACKS_MAX {
        let trouble = Trouble::new(
            format!("{} models", models.len()),
            "Whoever asks waits for each of them.",
            format!("name at most {FALLBACKS_MAX}."),
        );
        section.report("fallback_models", trouble, faults);
    }
    let mut asked = vec![first];
    for model in &models {
        if asked.contains(&model.as_str()) {
            let trouble = Trouble::new(
                format!("{model} is asked already"),
                "A model that has refused a request refuses it again.",
                "name each model once, and not the one of claude.model.",
            );
            section.report("fallback_models", trouble, faults);
            break;
        }
        asked.push(model);
    }
    models
}

/// Parses `headers:`, each a value or a reference (`{value_file: …}`); without any, uses the environment's.
fn headers(claude: &Section<'_>, sources: &Sources<'_>, faults: &mut Faults) -> Vec<(String, Secret)> {
    if !claude.has("headers") {
        return headers_of_environment(claude, sources.env, faults);
    }
    let section = claude.section("headers", faults);
    let mut headers = Vec::new();
    for name in section.keys() {
        let text = if section.has_section(name) {
            let one = section.section(name, faults);
            match sources.secret(&one, "value", faults) {
                Found::Given(secret) => Some(secret),
                Found::Faulty => None,
                Found::Absent => {
                    let trouble =
                        Trouble::new("no value", "The header would be empty.", "set value_file, value_env or value.");
                    one.report("value_file", trouble, faults);
                    None
                }
            }
        } else {
            section.get(name, faults, value::text).map(Secret::new)
        };
        let Some(text) = text else { continue };
        match checked(name, text.expose(), headers.len()) {
            Ok(()) => headers.push((name.to_owned(), text)),
            Err(trouble) => section.report(name, trouble, faults),
        }
    }
    headers
}

/// Parses `ANTHROPIC_CUSTOM_HEADERS`: `Name: value` on each line, as in the official SDKs.
fn headers_of_environment(section: &Section<'_>, env: Env<'_>, faults: &mut Faults) -> Vec<(String, Secret)> {
    let text = env("ANTHROPIC_CUSTOM_HEADERS").unwrap_or_default();
    let mut headers = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let (name, value) = (name.trim(), value.trim());
        match checked(name, value, headers.len()) {
            Ok(()) => headers.push((name.to_owned(), Secret::new(value))),
            Err(trouble) => {
                let what = format!("the environment's ANTHROPIC_CUSTOM_HEADERS: {}", trouble.what);
                section.report("headers", Trouble { what, ..trouble }, faults);
            }
        }
    }
    headers
}

fn checked(name: &str, value: &str, before: usize) -> Result<(), Trouble> {
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    let is_name = !name.is_empty() && name.len() <= HEADER_CHARS_MAX && name.chars().all(fits);
    let is_value = !value.is_empty() && value.chars().all(|char| (' '..='~').contains(&char));
    let trouble = |what: &str, mend: &str| {
        Err(Trouble::new(what, "It goes with every call to the Messages API as it stands.", mend.to_owned()))
    };
    match () {
        () if before >= HEADERS_MAX => trouble("too many headers", "keep at most 32."),
        () if !is_name => {
            trouble(&format!("{} cannot be a header's name", shown(name)), "use letters, digits, - and _, at most 64.")
        }
        () if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) => {
            trouble("a header that Workmate sets itself", "remove it.")
        }
        () if !is_value => trouble("a value that no header can carry", "use printable ASCII, on one line."),
        () => Ok(()),
    }
}

fn default_base_url(section: &Section<'_>, env: Env<'_>, faults: &mut Faults) -> Option<Url> {
    let text = env("ANTHROPIC_BASE_URL").filter(|text| !text.trim().is_empty());
    match value::parse_base_url(text.as_deref().map_or(CLAUDE_URL, str::trim), "/v1") {
        Ok(url) => Some(url),
        Err(trouble) => {
            let what = format!("the environment's ANTHROPIC_BASE_URL: {}", trouble.what);
            section.report("base_url", Trouble { what, ..trouble }, faults);
            None
        }
    }
}

fn of_environment(
    section: &Section<'_>,
    env: Env<'_>,
    (variable, key): (&str, &str),
    faults: &mut Faults,
) -> Option<Secret> {
    let text = env(variable).filter(|text| !text.trim().is_empty())?;
    match secrets::checked(text.trim()) {
        Ok(secret) => Some(secret),
        Err(trouble) => {
            let what = format!("the environment's {variable}: {}", trouble.what);
            section.report(key, Trouble { what, ..trouble }, faults);
            None
        }
    }
}
