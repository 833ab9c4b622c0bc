//! Where the connections' listener is reached: its public address, and which calls came there by it.
//!
//! A browser on the owner's machine can be brought to call an address that a stranger's name resolves to (DNS
//! rebinding). Such a call names the stranger's host, and the page that made it; so both are checked, before anything
//! else.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use url::Url;

/// The path of the protocol's one endpoint.
pub(crate) const PATH: &str = "/mcp";
/// Where clients find what protects it (RFC 9728, section 3).
pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The listener's own address, and the one by which people's programs reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The base of its public address, without [`PATH`].
    pub public: Url,
}

impl Reached {
    /// Returns the address that people's programs are given.
    #[must_use]
    pub(crate) fn endpoint(&self) -> String {
        format!("{}{PATH}", self.base())
    }

    /// Returns where the metadata about the endpoint is.
    #[must_use]
    pub(crate) fn metadata_address(&self) -> String {
        // The well-known part goes in front of the whole path (RFC 9728, section 3.1).
        let origin = self.public.origin().ascii_serialization();
        format!("{origin}{WELL_KNOWN}{}{PATH}", self.public.path().trim_end_matches('/'))
    }

    /// Returns the metadata (RFC 9728, section 2). An issuer that the homeserver has will be named here.
    #[must_use]
    pub(crate) fn metadata(&self, issuers: &[Url]) -> Value {
        let mut metadata = json!({
            "resource": self.endpoint(),
            "resource_name": "Workmate: the rooms that you and a coworker share",
            "bearer_methods_supported": ["header"],
        });
        if !issuers.is_empty() {
            metadata["authorization_servers"] = issuers.iter().map(Url::as_str).collect();
        }
        metadata
    }

    fn base(&self) -> &str {
        self.public.as_str().trim_end_matches('/')
    }

    /// Returns whether a call that names this host came by an address of ours: the public one, the listener's own, or
    /// this machine's, by which a reverse proxy may call.
    #[must_use]
    pub(crate) fn is_for_us(&self, host: Option<&str>) -> bool {
        let Some((name, port)) = host.and_then(parts) else { return false };
        let is_public = self.public.host_str().is_some_and(|ours| bare(ours).eq_ignore_ascii_case(&name))
            && port.is_none_or(|port| Some(port) == self.public.port_or_known_default());
        let is_own = name.parse::<IpAddr>().is_ok_and(|ip| ip == self.listen.ip());
        is_public || is_own || is_loopback(&name)
    }

    /// Returns whether a call may come from the page that it names; a program names none.
    #[must_use]
    pub(crate) fn may_come_from(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        Url::parse(origin).is_ok_and(|origin| origin.origin().is_tuple() && origin.origin() == self.public.origin())
    }
}

/// Returns whether a host's name can only mean this machine.
#[must_use]
pub(crate) fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || bare(name).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Takes a `Host` header apart; `None` if it is none.
fn parts(host: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            (name, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match host.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let port = port.map(str::parse::<u16>).transpose().ok()?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_name)).then(|| (name.to_owned(), port))
}
