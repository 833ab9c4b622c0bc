//! A server reached over streamable HTTP.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use reqwest::{
    Client,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
    redirect::{Attempt, Policy},
};
use rmcp::transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig};
use url::{Host, Url};

use crate::{core::tool::Setting, secret::Secret};

use super::{lenient::Lenient, stdio::exposed, trouble::Trouble};

/// Most bytes of a message.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Most bytes of an error body.
const ERROR_BYTES_MAX: usize = 4 << 10;
/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long an exchange may be silent, and last; a notification stream is then reopened.
const SILENCE_MAX: Duration = Duration::from_mins(10);
const EXCHANGE_MAX: Duration = Duration::from_mins(30);
/// Most redirects within the server's origin.
const REDIRECTS_MAX: usize = 3;

/// Prepares the transport, which connects on first use.
pub(super) fn connect(
    url: &Url,
    headers: &BTreeMap<String, Setting>,
    credentials: &BTreeMap<String, Secret>,
) -> Result<StreamableHttpClientTransport<Lenient>, Trouble> {
    let mut client = Client::builder()
        .user_agent(concat!("workmate/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_MAX)
        .read_timeout(SILENCE_MAX)
        .timeout(EXCHANGE_MAX)
        .redirect(Policy::custom(within_origin))
        // Compression delays events until a block is full.
        .no_gzip();
    if is_loopback(url) || url.scheme() != "https" {
        // A proxy from the environment would see the headers with credentials.
        client = client.no_proxy();
    }
    let client = client.build().map_err(|_| Trouble::Setup)?;
    let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
        .custom_headers(sent(headers, credentials)?)
        .max_sse_event_size(MESSAGE_BYTES_MAX)
        .max_json_response_size(MESSAGE_BYTES_MAX)
        .max_error_response_size(ERROR_BYTES_MAX)
        // Never repeat a call automatically; the server is reconnected instead.
        .reinit_on_expired_session(false);
    Ok(StreamableHttpClientTransport::with_client(Lenient(client), config))
}

/// Follows a redirect only to the same scheme, host and port, where the headers may go.
fn within_origin(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if same && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}

fn sent(
    headers: &BTreeMap<String, Setting>,
    credentials: &BTreeMap<String, Secret>,
) -> Result<HashMap<HeaderName, HeaderValue>, Trouble> {
    let header = |(name, setting): (&String, &Setting)| {
        let unusable = || Trouble::Header(name.clone());
        let value = exposed(setting, credentials)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
        let is_bearer = name == AUTHORIZATION && matches!(setting, Setting::Credential(_));
        let value = if is_bearer { format!("Bearer {value}") } else { value.to_owned() };
        let mut value = HeaderValue::from_str(&value).map_err(|_| unusable())?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    headers.iter().map(header).collect()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_into_headers_as_bearer_tokens_where_they_authorize() {
        let settings = BTreeMap::from([
            ("Authorization".to_owned(), Setting::Credential("ci".to_owned())),
            ("X-Api-Key".to_owned(), Setting::Credential("ci".to_owned())),
            ("X-Team".to_owned(), Setting::Plain("blue".to_owned())),
        ]);
        let credentials = BTreeMap::from([("ci".to_owned(), Secret::new("s3cret-token"))]);
        let headers = sent(&settings, &credentials).expect("all can be sent");
        let value = |name: &str| headers[&HeaderName::from_bytes(name.as_bytes()).expect("is a name")].clone();
        assert_eq!(value("authorization"), "Bearer s3cret-token");
        assert_eq!(value("x-api-key"), "s3cret-token");
        assert_eq!(value("x-team"), "blue");
        assert!(!format!("{headers:?}").contains("s3cret"));
        assert_eq!(sent(&settings, &BTreeMap::new()), Err(Trouble::Credential("ci".to_owned())));
        let broken = BTreeMap::from([("X-Team".to_owned(), Setting::Plain("a\nb".to_owned()))]);
        assert_eq!(sent(&broken, &credentials), Err(Trouble::Header("X-Team".to_owned())));
    }
}
