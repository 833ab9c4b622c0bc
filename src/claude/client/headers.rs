//! The headers of every call: credentials, API version, and a gateway's own.

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::ClientConfig;
use crate::secret::Secret;

/// Headers that carry credentials, at the API and at gateways.
const SIGNING: [&str; 3] = ["x-api-key", "authorization", "api-key"];
/// The prefix of tokens from the provider's own sign-in, and the beta that they require.
const OAUTH: (&str, &str) = ("sk-ant-oat", "oauth-2025-04-20");

/// Returns the headers; `None` if a value cannot be in a header.
pub(super) fn of(config: &ClientConfig) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Some(())
    };
    // Compression holds events back until a block is full.
    set(ACCEPT_ENCODING, "identity")?;
    set(HeaderName::from_static("anthropic-version"), &config.api_version)?;
    if let Some(key) = &config.api_key {
        set(HeaderName::from_static("x-api-key"), key.expose())?;
    }
    if let Some(token) = &config.auth_token {
        set(AUTHORIZATION, &format!("Bearer {}", token.expose()))?;
        if token.expose().starts_with(OAUTH.0) {
            set(HeaderName::from_static("anthropic-beta"), OAUTH.1)?;
        }
    }
    for (name, value) in &config.headers {
        set(name.to_ascii_lowercase().parse().ok()?, value.expose())?;
    }
    Some(headers)
}

/// Returns whether the headers carry credentials.
pub(super) fn sign(headers: &HeaderMap) -> bool {
    SIGNING.iter().any(|name| headers.contains_key(*name))
}

/// Returns everything to cut from the other side's messages.
pub(super) fn secrets(config: &ClientConfig) -> Vec<&str> {
    let extra = config.headers.iter().map(|(_, value)| value);
    config.api_key.iter().chain(&config.auth_token).chain(extra).map(Secret::expose).collect()
}
