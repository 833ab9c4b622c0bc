//! `http_get`: fetches a page from an allowed host on the public internet, as text.

mod address;
mod target;
#[cfg(test)]
mod tests;

use std::{error::Error as _, time::Duration};

use futures_util::StreamExt as _;
use reqwest::{
    Client, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION},
    redirect::Policy,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    core::{
        mask::Mask,
        tool::{Offer, Output, Tool},
    },
    secret::Secret,
};

pub(super) use self::address::AddressPolicy;
use self::{
    address::{CheckedResolver, Unresolved},
    target::Refused,
};
use super::process_offer;

/// The tool's name.
pub(super) const NAME: &str = "http_get";
/// Most redirects followed.
const REDIRECTS_MAX: usize = 5;
/// Most characters of a URL.
const URL_CHARS_MAX: usize = 8_192;
/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Bytes read beyond the limit, so that a secret at the cut is seen whole and masked.
const MARGIN_BYTES: usize = 4 << 10;

/// Fetches pages.
pub(super) struct HttpGet {
    policy: AddressPolicy,
    /// `None` if TLS cannot be set up.
    client: Option<Client>,
}

/// Why there is no page, in words for the model.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}.")]
    Refused(#[from] Refused),
    #[error("The arguments do not fit: {0}.")]
    Arguments(String),
    #[error("The page leads to where it may not be followed: {0}.")]
    Redirect(Refused),
    #[error("The page leads from https to http, which is not followed.")]
    Downgrade,
    #[error("The page leads on more than {REDIRECTS_MAX} times.")]
    TooManyRedirects,
    #[error("The page leads on, but does not say where to.")]
    NoLocation,
    #[error("This tool's credential goes only over https: use an https address.")]
    CredentialInTheClear,
    #[error("This tool is not set up: tell people to ask an admin.")]
    Setup,
    #[error("{host} cannot be reached: {why}.")]
    Unreachable { host: String, why: &'static str },
    #[error("{host} cannot be reached: {why}.")]
    Unresolved { host: String, why: Unresolved },
}

/// The parameters of a call.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) arguments: &'a Map<String, Value>,
    pub(super) tool: &'a Tool,
    pub(super) credential: Option<&'a Secret>,
    pub(super) mask: &'a Mask,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    url: String,
    max_bytes: Option<usize>,
}

pub(super) fn offer() -> Offer {
    let schema = json!({
        "type": "object",
        "properties": {
            "url": { "type": "string" },
            "max_bytes": { "type": "integer", "minimum": 1 },
        },
        "required": ["url"],
        "additionalProperties": false,
    });
    process_offer(NAME, schema)
}

impl HttpGet {
    pub(super) fn new(policy: AddressPolicy) -> Self {
        let client = Client::builder()
            .user_agent(concat!("workmate/", env!("CARGO_PKG_VERSION")))
            // A proxy would resolve names itself, and could reach forbidden addresses.
            .no_proxy()
            // Each hop is checked before it is requested.
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_MAX)
            .dns_resolver(CheckedResolver(policy))
            .build();
        Self { policy, client: client.ok() }
    }

    /// Returns the page, masked. The caller limits the time.
    pub(super) async fn call(&self, call: Call<'_>) -> Output {
        match self.page(&call).await {
            Ok(output) => output,
            Err(failed) => Output::error(failed.to_string()),
        }
    }

    async fn page(&self, call: &Call<'_>) -> Result<Output, Failed> {
        let Call { arguments, tool, credential, mask } = *call;
        let arguments: Arguments = serde_json::from_value(Value::Object(arguments.clone()))
            .map_err(|error| Failed::Arguments(error.to_string()))?;
        if arguments.url.len() > URL_CHARS_MAX {
            return Err(Failed::Arguments(format!("url is longer than {URL_CHARS_MAX} characters")));
        }
        let first = Url::parse(arguments.url.trim()).map_err(|_| Refused::NotHttp)?;
        target::check(&first, &tool.hosts, self.policy)?;
        let mut url = first.clone();
        for _ in 0..=REDIRECTS_MAX {
            let credential = credential.filter(|_| target::same_origin(&first, &url));
            let response = self.ask(&url, credential).await?;
            if !is_redirect(response.status()) {
                let bytes_max = arguments.max_bytes.unwrap_or(usize::MAX).clamp(1, tool.output_bytes_max);
                return Ok(given(response, &url, bytes_max, mask).await);
            }
            let next = next_hop(&url, response.headers())?;
            target::check(&next, &tool.hosts, self.policy).map_err(Failed::Redirect)?;
            url = next;
        }
        Err(Failed::TooManyRedirects)
    }

    async fn ask(&self, url: &Url, credential: Option<&Secret>) -> Result<Response, Failed> {
        let client = self.client.as_ref().ok_or(Failed::Setup)?;
        let mut request = client.get(url.clone());
        if let Some(secret) = credential {
            if url.scheme() != "https" && self.policy == AddressPolicy::Public {
                return Err(Failed::CredentialInTheClear);
            }
            let bearer = HeaderValue::from_str(&format!("Bearer {}", secret.expose())).map_err(|_| Failed::Setup)?;
            request = request.header(AUTHORIZATION, sensitive(bearer));
        }
        request.send().await.map_err(|error| unreachable_because(url, &error))
    }
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn next_hop(url: &Url, headers: &HeaderMap) -> Result<Url, Failed> {
    let location = header(headers, &LOCATION).ok_or(Failed::NoLocation)?;
    let next = url.join(location).map_err(|_| Failed::NoLocation)?;
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(Failed::Downgrade);
    }
    Ok(next)
}

/// Returns why a request failed, without the URL, whose query may be private.
fn unreachable_because(url: &Url, error: &reqwest::Error) -> Failed {
    let host = url.host_str().unwrap_or_default().to_owned();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(why) = inner.downcast_ref::<Unresolved>() {
            return Failed::Unresolved { host, why: *why };
        }
        cause = inner.source();
    }
    let why = if error.is_timeout() {
        "it does not answer"
    } else if error.is_connect() {
        "no connection was made"
    } else {
        "the connection broke"
    };
    Failed::Unreachable { host, why }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns what the model is given: status, address and text.
async fn given(response: Response, url: &Url, bytes_max: usize, mask: &Mask) -> Output {
    let status = response.status();
    let mime = header(response.headers(), &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let encoding = header(response.headers(), &CONTENT_ENCODING).unwrap_or("identity").to_owned();
    let head = format!("status: {}\nurl: {url}\ncontent type: {}\n", status.as_u16(), one_line(&mime));
    if encoding != "identity" {
        return Output::ok(format!("{head}\n[encoded as {}, left out]", one_line(&encoding)));
    }
    if !mime.is_empty() && !is_text(&mime) {
        let size = response.content_length().map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
        return Output::ok(format!("{head}\n[a file of {}{size}, left out]", one_line(&mime)));
    }
    let body = read(response, bytes_max.saturating_add(MARGIN_BYTES)).await;
    let text = decoded(&body.bytes, &mime);
    if mime.is_empty() && text.contains(['\0', char::REPLACEMENT_CHARACTER]) {
        return Output::ok(format!("{head}\n[a file of an unknown type, left out]"));
    }
    let broken = if body.broke_off { "\n[the connection broke here]" } else { "" };
    let text = Output::ok(mask.hide(&text)).cut(bytes_max);
    let whole = Output { text: format!("{head}\n{}{broken}", text.text), ..text };
    Output { is_error: status.as_u16() >= 400, ..whole }
}

struct Body {
    bytes: Vec<u8>,
    broke_off: bool,
}

async fn read(response: Response, bytes_max: usize) -> Body {
    let mut body = Body { bytes: Vec::new(), broke_off: false };
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else {
            body.broke_off = true;
            break;
        };
        let room = bytes_max - body.bytes.len();
        body.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    body
}

/// Returns whether a content type is text that a model can read.
fn is_text(mime: &str) -> bool {
    let essence = mime.split(';').next().unwrap_or_default().trim();
    let (kind, subtype) = essence.split_once('/').unwrap_or((essence, ""));
    let named = ["json", "xml", "yaml", "x-yaml", "toml", "javascript", "x-ndjson", "ndjson", "graphql", "sql", "x-sh"];
    let suffix = subtype.rsplit('+').next().unwrap_or_default();
    kind == "text" || (kind == "application" && (named.contains(&subtype) || matches!(suffix, "json" | "xml" | "yaml")))
}

fn decoded(bytes: &[u8], mime: &str) -> String {
    let latin = ["iso-8859-1", "latin1", "windows-1252"].iter().any(|charset| mime.contains(charset));
    if latin {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    // Drop a character that the limit cut in two.
    let end = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Returns a header's value, cleaned for a line of ours.
fn one_line(value: &str) -> String {
    value.chars().filter(|char| !char.is_control()).take(200).collect()
}
