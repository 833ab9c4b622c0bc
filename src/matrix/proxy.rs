//! The masquerading proxy: the only holder of the `as_token`.
//!
//! An SDK client cannot add `user_id` and `device_id` to its calls (spec 1.17, "Identity assertion", MSC4326). So each
//! uses a random token of ours as its access token, and this proxy on loopback replaces it by the `as_token` and adds
//! both parameters.
//!
//! All traffic to and from the homeserver passes here. Calls with impossible ids are not sent ([`call`]), unparsable
//! answers do not reach the SDK ([`repair`]), answers that are not Matrix's are reported as such ([`answer`]), and
//! doubtful refusals are not passed on at once ([`doubt`]). Files stream in both directions.

mod answer;
pub(super) mod call;
pub(super) mod cutting;
mod doubt;
pub(super) mod pacing;
mod repair;
mod slimming;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use ruma::{OwnedDeviceId, OwnedUserId};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

pub(super) use self::answer::{AWAY, Remark};
use self::{
    answer::{Reading, refuse},
    doubt::{Payload, Verdict},
};
use super::error::NOT_SENT;
use super::gate::Gate;
use super::outdated::Outdated;
use super::pulse::{Ailment, Pulse};
use super::seals::Seals;
use crate::{
    core::reach,
    secret::{Rotating, Secret},
};

mod sealed;

/// Idle connections kept open to the homeserver.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// Connections from our own clients; each keeps a few.
const CONNECTIONS_MAX: usize = 4_096;
/// How long connecting to the homeserver may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Hop-by-hop headers, which are not forwarded.
const HOP_HEADERS: [HeaderName; 5] =
    [header::HOST, header::AUTHORIZATION, header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE];

/// Where the homeserver is, and how to reach it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The base URL of its client-server API.
    pub url: Url,
    /// The HTTP proxy that the operator configured. Those in the environment (`HTTP_PROXY`) are ignored, because they
    /// would learn the `as_token`.
    pub through: Option<Url>,
}

impl From<Url> for Upstream {
    fn from(url: Url) -> Self {
        Self { url, through: None }
    }
}

impl Upstream {
    /// Returns the HTTP proxy to use; none for a homeserver on this machine.
    fn proxy(&self) -> reqwest::Result<Option<reqwest::Proxy>> {
        let Some(through) = self.through.as_ref().filter(|_| !is_loopback(&self.url)) else { return Ok(None) };
        reqwest::Proxy::all(through.clone()).map(Some)
    }
}

/// Returns whether a URL points to this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// The identity for which one of our tokens stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The application service itself.
    Appservice,
    /// A virtual user, without a device.
    User(OwnedUserId),
    /// A virtual user with one of its devices.
    Device(OwnedUserId, OwnedDeviceId),
}

/// A running proxy; cheap to clone.
#[derive(Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
    address: SocketAddr,
}

struct Inner {
    homeserver: Url,
    as_token: Rotating,
    http: reqwest::Client,
    reading: Reading,
    /// Permits for repeating calls.
    doubting: Semaphore,
    identities: RwLock<HashMap<String, Identity>>,
    seals: Seals,
    outdated: Outdated,
    gate: Gate,
    pulse: Pulse,
}

impl Proxy {
    /// Binds to a free loopback port and serves until `stop`; the task belongs to `tasks`.
    ///
    /// # Errors
    /// When no loopback port can be bound or the HTTP client cannot be set up.
    pub async fn start(
        upstream: Upstream,
        as_token: Rotating,
        seals: Seals,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let mut http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none());
        if let Some(proxy) = upstream.proxy().map_err(std::io::Error::other)? {
            http = http.proxy(proxy);
        }
        let http = http.build().map_err(std::io::Error::other)?;
        let inner = Arc::new(Inner {
            homeserver: upstream.url,
            as_token,
            http,
            reading: Reading::default(),
            doubting: Semaphore::new(doubt::AT_ONCE_MAX),
            identities: RwLock::default(),
            seals,
            outdated: Outdated::default(),
            gate: Gate::default(),
            pulse: Pulse::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(forward).with_state(inner.clone());
        tasks.spawn(crate::listener::serve(listener, router, CONNECTIONS_MAX, stop));
        Ok(Self { inner, address })
    }

    /// Returns the seals: which rooms were ever encrypted.
    #[must_use]
    pub fn seals(&self) -> &Seals {
        &self.inner.seals
    }

    /// Returns about whom clients' first syncs have to ask.
    #[must_use]
    pub fn outdated(&self) -> &Outdated {
        &self.inner.outdated
    }

    /// Returns what clients do with syncs' answers before their SDKs read them.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// Returns the base URL that SDK clients use as the homeserver's.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the signs of trouble that calls reveal.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.inner.pulse
    }

    /// Returns the homeserver's own base URL, for messages to the operator.
    #[must_use]
    pub fn homeserver(&self) -> &Url {
        &self.inner.homeserver
    }

    /// Returns a fresh token that acts as `identity` until it is revoked.
    ///
    /// # Panics
    /// Never: the lock is not held over code that may panic.
    #[must_use]
    pub fn admit(&self, identity: Identity) -> Secret {
        let token = Secret::random();
        let mut identities = self.inner.identities.write().expect("no holder panics");
        identities.insert(token.expose().to_owned(), identity);
        token
    }

    /// Revokes a token; later calls with it get 401 `M_UNKNOWN_TOKEN`.
    ///
    /// # Panics
    /// Never: the lock is not held over code that may panic.
    pub fn revoke(&self, token: &Secret) {
        self.inner.identities.write().expect("no holder panics").remove(token.expose());
    }
}

impl Inner {
    /// Notes the signs of trouble in an answer.
    fn listen(&self, identity: Option<Identity>, response: &Response) {
        if Remark::of(response.headers()).is_some() || response.extensions().get::<answer::TokenRefused>().is_some() {
            self.pulse.missed();
        }
        if let (Some(Identity::Device(user, device)), Some(answer::UnknownDevice)) =
            (identity, response.extensions().get())
        {
            self.pulse.ails(user, Ailment::DeviceGone(device));
        }
    }
}

async fn forward(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let identity = match bearer(&parts.headers) {
        None => None,
        Some(token) => {
            let known = inner.identities.read().expect("no holder panics").get(token).cloned();
            if known.is_none() {
                return refuse(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", "no virtual user has this token");
            }
            known
        }
    };
    if sealed::would_leak(&inner.seals, &parts.method, &parts.uri) {
        tracing::warn!("a message that was not encrypted was kept from a room that was");
        return refuse(StatusCode::BAD_REQUEST, sealed::SEALED, "the room was encrypted; nothing goes there plainly");
    }
    if let Some(fault) = call::fault(parts.uri.path(), parts.uri.query().unwrap_or_default()) {
        tracing::warn!(fault, "a call was not sent: somebody chose an id in it that no homeserver can have");
        return refuse(StatusCode::BAD_REQUEST, NOT_SENT, fault);
    }
    let Some(url) = target(&inner.homeserver, &parts.uri, identity.as_ref()) else {
        return refuse(StatusCode::BAD_REQUEST, "M_UNRECOGNIZED", "the path is no URL of a homeserver");
    };
    strip_hop_headers(&mut parts.headers);
    let Ok(payload) = Payload::of(&mut parts.headers, body).await else {
        return refuse(StatusCode::BAD_REQUEST, NOT_SENT, "the call broke off");
    };
    if payload.is_empty() && matches!(parts.method, Method::POST | Method::PUT) {
        // HTTP libraries leave it out, and Synapse takes no upload without it, not even of an empty file.
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    exchange(&inner, identity, &parts, url, payload).await
}

/// Makes a call, and repeats it if its refusal may be mistaken.
async fn exchange(
    inner: &Inner,
    identity: Option<Identity>,
    parts: &Parts,
    url: Url,
    mut payload: Payload,
) -> Response {
    let kind = call::kind(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let part = if kind == call::Kind::Sync { call::part(query) } else { None };
    let is_first = kind == call::Kind::Sync && call::is_first_sync(query);
    let outdated = match &identity {
        Some(Identity::Device(user, _)) if is_first => inner.outdated.of(user),
        _ => Vec::new(),
    };
    let mut pauses = doubt::PAUSES.iter();
    let (mut token, mut tried_other) = (inner.as_token.current(), false);
    loop {
        let (method, headers) = (parts.method.clone(), parts.headers.clone());
        let call = inner.http.request(method, url.clone()).headers(headers).body(payload.take());
        let call = if identity.is_some() { call.bearer_auth(token.expose()) } else { call };
        let answer = match call.send().await {
            Ok(answer) => answer::relay(answer, kind, part, &outdated, &inner.reading).await,
            Err(error) => {
                inner.pulse.missed();
                // `without_url`, because the query names users and the path may name rooms.
                return Remark::Away.answer(&reach::chain(&error.without_url()));
            }
        };
        if identity.is_some() {
            let is_refused = answer.extensions().get::<answer::TokenRefused>().is_some();
            if !is_refused && inner.as_token.works(token.expose()) {
                tracing::info!("the homeserver takes the new as_token; the one before it is forgotten");
            }
            // While tokens are replaced, the homeserver has read the new registration or not yet.
            if is_refused
                && !tried_other
                && payload.is_held()
                && let Some(other) = inner.as_token.other_than(&token)
            {
                (token, tried_other) = (other, true);
                continue;
            }
        }
        let verdict = payload.verdict(&answer);
        if verdict == Verdict::Doubtful
            && call::is_repeated(parts.uri.path())
            && let (Ok(_place), Some(pause)) = (inner.doubting.try_acquire(), pauses.next())
        {
            tokio::time::sleep(*pause).await;
            continue;
        }
        if verdict == Verdict::Meant
            && let (Some(Identity::Device(user, _)), Some(answer::Synced(body))) =
                (&identity, answer.extensions().get())
        {
            inner.gate.pass(user, body.clone()).await;
        }
        inner.listen(identity, &answer);
        return match verdict {
            Verdict::Meant => answer,
            Verdict::Doubtful => doubt::passed_on(answer),
            Verdict::TooLarge => doubt::too_large(),
        };
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Returns the homeserver's URL for a call, with the token's identity and no other.
fn target(homeserver: &Url, uri: &axum::http::Uri, identity: Option<&Identity>) -> Option<Url> {
    let base = homeserver.as_str().trim_end_matches('/');
    let mut url = Url::parse(&format!("{base}{}", uri.path())).ok()?;
    let asked = uri.query().unwrap_or_default();
    let asserts = ["user_id", "device_id", "access_token"];
    let kept: Vec<(String, String)> = url::form_urlencoded::parse(asked.as_bytes())
        .into_owned()
        .filter(|(name, _)| !(asserts.contains(&name.as_str()) || name == "since" && call::part(asked).is_some()))
        .collect();
    let (user, device) = match identity {
        None | Some(Identity::Appservice) => (None, None),
        Some(Identity::User(user)) => (Some(user), None),
        Some(Identity::Device(user, device)) => (Some(user), Some(device)),
    };
    if kept.is_empty() && user.is_none() {
        return Some(url);
    }
    let mut query = url.query_pairs_mut();
    query.extend_pairs(kept);
    if let Some(user) = user {
        query.append_pair("user_id", user.as_str());
    }
    if let Some(device) = device {
        query.append_pair("device_id", device.as_str());
    }
    drop(query);
    Some(url)
}

fn strip_hop_headers(headers: &mut HeaderMap) {
    for name in HOP_HEADERS {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(uri: &str, identity: Option<&Identity>) -> String {
        let homeserver = Url::parse("http://hs.example:8008/").expect("a URL");
        target(&homeserver, &uri.parse().expect("a URI"), identity).expect("a URL").to_string()
    }

    #[test]
    fn the_way_to_this_machine_leads_through_no_proxy() {
        let through = Some(Url::parse("http://proxy.example:3128").expect("a URL"));
        for (url, is_proxied) in [
            ("http://127.0.0.1:8008", false),
            ("http://127.8.9.1:8008", false),
            ("http://[::1]:8008", false),
            ("http://LOCALHOST:8008", false),
            ("https://matrix.example.org", true),
            ("http://10.0.0.1:8008", true),
        ] {
            let upstream = Upstream { url: Url::parse(url).expect("a URL"), through: through.clone() };
            assert_eq!(upstream.proxy().expect("a proxy").is_some(), is_proxied, "{url}");
        }
        assert!(Upstream::from(Url::parse("https://hs.example").expect("a URL")).proxy().expect("none").is_none());
    }

    #[test]
    fn a_call_carries_the_identity_of_its_token_and_no_other() {
        let user = ruma::user_id!("@coworker-a:example.org").to_owned();
        let device = Identity::Device(user.clone(), "DEV".into());
        let table = [
            ("/x", None, "http://hs.example:8008/x"),
            ("/x?since=a%20b", Some(Identity::Appservice), "http://hs.example:8008/x?since=a+b"),
            ("/x", Some(Identity::User(user)), "http://hs.example:8008/x?user_id=%40coworker-a%3Aexample.org"),
            (
                "/x?user_id=@evil:example.org&device_id=E&access_token=t&limit=3",
                Some(device),
                "http://hs.example:8008/x?limit=3&user_id=%40coworker-a%3Aexample.org&device_id=DEV",
            ),
        ];
        for (uri, identity, expected) in table {
            assert_eq!(url_of(uri, identity.as_ref()), expected);
        }
    }
}
