//! Whether `http_get` may request a URL: its scheme, its port, and its host on the tool's list.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::AddressPolicy;

/// The ports of an entry without a port.
const PORTS: [u16; 2] = [80, 443];

/// Why a URL is not requested, in words for the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is not an address of the form https://host/path")]
    NotHttp,
    #[error("an address with a user name or password in it is not asked")]
    UserInfo,
    #[error("{host} is not among the hosts that this tool may reach: {allowed}")]
    Host { host: String, allowed: String },
    #[error("port {0} of that host is not among what this tool may reach")]
    Port(u16),
    #[error("{0} is not on the public internet")]
    NotPublic(String),
}

/// Checks a URL against the tool's list of hosts (`example.org`, `*.example.org`, `example.org:8443`).
pub(super) fn check(url: &Url, hosts: &[String], policy: AddressPolicy) -> Result<(), Refused> {
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return Err(Refused::NotHttp) };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused::NotHttp);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::UserInfo);
    }
    let of_host: Vec<Entry> =
        hosts.iter().filter_map(|entry| Entry::parse(entry)).filter(|entry| entry.names(&host)).collect();
    if of_host.is_empty() {
        let allowed = if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
        return Err(Refused::Host { host: host.to_string(), allowed });
    }
    if !of_host.iter().any(|entry| entry.takes(port)) {
        return Err(Refused::Port(port));
    }
    match literal(&host) {
        Some(address) if !policy.allows(address) => Err(Refused::NotPublic(host.to_string())),
        _ => Ok(()),
    }
}

/// Returns whether both URLs have the same origin, so that credentials for one may go to the other.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    let origin =
        |url: &Url| (url.scheme().to_owned(), url.host().map(|host| host.to_owned()), url.port_or_known_default());
    origin(one) == origin(other)
}

fn literal<S>(host: &Host<S>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(address) => Some((*address).into()),
        Host::Ipv6(address) => Some((*address).into()),
        Host::Domain(_) => None,
    }
}

/// An entry of a tool's host list.
struct Entry {
    host: Host,
    /// Whether it means the subdomains of `host`, and not `host` itself.
    below: bool,
    port: Option<u16>,
}

impl Entry {
    fn parse(entry: &str) -> Option<Self> {
        let (below, rest) = match entry.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, entry),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (rest, None),
        };
        Some(Self { host: Host::parse(host.trim_end_matches('.')).ok()?, below, port })
    }

    fn names(&self, host: &Host<&str>) -> bool {
        match (&self.host, host) {
            (Host::Domain(entry), Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                if self.below {
                    name.strip_suffix(entry.as_str()).is_some_and(|label| label.len() > 1 && label.ends_with('.'))
                } else {
                    name == entry
                }
            }
            (entry, host) => !self.below && literal(entry).is_some() && literal(entry) == literal(host),
        }
    }

    fn takes(&self, port: u16) -> bool {
        self.port.map_or_else(|| PORTS.contains(&port), |own| own == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(url: &str, hosts: &[&str]) -> Result<(), Refused> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        check(&Url::parse(url).expect("is a URL"), &hosts, AddressPolicy::Public)
    }

    #[test]
    fn c12_only_listed_hosts_and_ports_are_asked() {
        let hosts =
            ["example.org", "*.docs.example.net", "ci.example.org:8443", "bücher.example", "1.1.1.1", "10.0.0.1"];
        let allowed = hosts.join(", ");
        let not_listed = |host: &str| Err(Refused::Host { host: host.to_owned(), allowed: allowed.clone() });
        let rows = [
            ("https://example.org/a?b", Ok(())),
            ("http://EXAMPLE.org./a", Ok(())),
            ("https://example.org:80/", Ok(())),
            ("https://example.org:8443/", Err(Refused::Port(8443))),
            ("https://ci.example.org:8443/", Ok(())),
            ("https://ci.example.org/", Err(Refused::Port(443))),
            ("https://a.docs.example.net/", Ok(())),
            ("https://a.b.docs.example.net/", Ok(())),
            ("https://docs.example.net/", not_listed("docs.example.net")),
            ("https://evildocs.example.net/", not_listed("evildocs.example.net")),
            ("https://example.org.evil.test/", not_listed("example.org.evil.test")),
            ("https://sub.example.org/", not_listed("sub.example.org")),
            ("https://xn--bcher-kva.example/", Ok(())),
            ("https://1.1.1.1/", Ok(())),
            ("https://0x01010101/", Ok(())),
            ("https://10.0.0.1/", Err(Refused::NotPublic("10.0.0.1".to_owned()))),
            ("https://167772161/", Err(Refused::NotPublic("10.0.0.1".to_owned()))),
            ("https://[::1]/", not_listed("[::1]")),
            ("http://127.0.0.1/", not_listed("127.0.0.1")),
            ("https://me:pw@example.org/", Err(Refused::UserInfo)),
            ("https://me@example.org/", Err(Refused::UserInfo)),
            ("https://example.org@evil.test/", Err(Refused::UserInfo)),
            ("ftp://example.org/", Err(Refused::NotHttp)),
            ("file:///etc/passwd", Err(Refused::NotHttp)),
            ("data:text/plain,hello", Err(Refused::NotHttp)),
        ];
        for (url, expected) in rows {
            assert_eq!(asked(url, &hosts), expected, "{url}");
        }
    }

    #[test]
    fn c12_a_wildcard_stands_for_no_address_and_an_empty_list_for_nothing() {
        let not_listed =
            |host: &str, allowed: &str| Err(Refused::Host { host: host.to_owned(), allowed: allowed.to_owned() });
        assert_eq!(asked("https://1.1.1.1/", &["*.1.1.1"]), not_listed("1.1.1.1", "*.1.1.1"));
        assert_eq!(asked("https://[2606:4700::1]:8080/", &["[2606:4700::1]:8080"]), Ok(()));
        assert_eq!(asked("https://example.org/", &[]), not_listed("example.org", "none"));
        assert_eq!(asked("https://example.org/", &["*"]), not_listed("example.org", "*"));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let rows = [
            ("https://a.test/x", "https://a.test:443/y", true),
            ("https://a.test/", "http://a.test/", false),
            ("https://a.test/", "https://b.test/", false),
            ("https://a.test/", "https://a.test:8443/", false),
        ];
        for (one, other, expected) in rows {
            let url = |text: &str| Url::parse(text).expect("is a URL");
            assert_eq!(same_origin(&url(one), &url(other)), expected, "{one} {other}");
        }
    }
}
