//! Addresses that `http_get` may connect to: only the public internet's, nothing behind our own firewall.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{net::lookup_host, time::timeout};

/// How long resolving a name may take.
const RESOLVE_MAX: Duration = Duration::from_secs(10);

/// Which addresses are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum AddressPolicy {
    /// Public addresses only.
    Public,
    /// Loopback too: only for tests.
    #[cfg(test)]
    LoopbackToo,
}

impl AddressPolicy {
    /// Returns whether an address is allowed.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            #[cfg(test)]
            Self::LoopbackToo => address.is_loopback() || is_public(address),
        }
    }
}

/// Why a name cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    #[error("its name is not known")]
    Unknown,
    #[error("its name took too long to look up")]
    TooSlow,
    #[error("it is not on the public internet")]
    NotPublic,
}

/// Resolves names for the HTTP client, which connects only to the addresses returned here. So the checked address is
/// the one used, even if the name resolves differently a moment later.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckedResolver(pub(super) AddressPolicy);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let found = match timeout(RESOLVE_MAX, lookup_host((name.as_str(), 0))).await {
                Err(_) => return Err(Unresolved::TooSlow.into()),
                Ok(Err(_)) => return Err(Unresolved::Unknown.into()),
                Ok(Ok(found)) => found.collect(),
            };
            let checked = checked(policy, found)?;
            Ok(Box::new(checked.into_iter()) as Addrs)
        })
    }
}

/// Returns the addresses if all are allowed: a name with one forbidden address is not trusted at all.
fn checked(policy: AddressPolicy, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Unresolved> {
    if found.is_empty() {
        return Err(Unresolved::Unknown);
    }
    let allowed = found.iter().all(|address| policy.allows(address.ip()));
    if allowed { Ok(found) } else { Err(Unresolved::NotPublic) }
}

/// Returns whether an address belongs to the public internet (IANA's special-purpose registries, RFC 6890 and its
/// updates).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        // This network, private, loopback; multicast and reserved, including broadcast.
        (0 | 10 | 127 | 224.., _, _)
        // Shared address space, link-local, private, private.
        | (100, 64..=127, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _)
        // Protocol assignments and documentation, 6to4 relays, benchmarking, documentation.
        | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    let [a, b, ..] = address.segments();
    match (a, b) {
        // Protocol assignments (Teredo, benchmarking, ORCHID), documentation, 6to4, documentation.
        (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff) => false,
        // Only this eighth is allocated to internet hosts (RFC 4291, 2.4).
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

/// Returns the IPv4 address that an IPv6 address stands for: mapped, or behind NAT64 (RFC 6052's well-known prefix).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let nat64 = matches!(address.segments(), [0x64, 0xff9b, 0, 0, 0, 0, _, _]);
    let [.., a, b, c, d] = address.octets();
    if nat64 { Some(Ipv4Addr::new(a, b, c, d)) } else { address.to_ipv4_mapped() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c12_only_addresses_of_the_public_internet_are_connected_to() {
        let public = ["1.1.1.1", "8.8.8.8", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1"];
        let public_v6 = ["2606:4700::1111", "2a00:1450:4001::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2001:4860::1"];
        let inner = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
        ];
        let inner_v6 = [
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:0a00:0001::1",
            "2002:7f00:0001::",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ];
        let rows = public.iter().chain(&public_v6).map(|text| (*text, true));
        for (text, expected) in rows.chain(inner.iter().chain(&inner_v6).map(|text| (*text, false))) {
            let address: IpAddr = text.parse().expect("is an address");
            assert_eq!(AddressPolicy::Public.allows(address), expected, "{text}");
        }
    }

    #[test]
    fn c12_a_name_with_one_inner_address_is_not_connected_to_at_all() {
        let address = |text: &str| SocketAddr::new(text.parse().expect("is an address"), 0);
        let good = vec![address("1.1.1.1"), address("2606:4700::1111")];
        let rebound = vec![address("1.1.1.1"), address("127.0.0.1")];
        assert_eq!(checked(AddressPolicy::Public, good.clone()), Ok(good));
        assert_eq!(checked(AddressPolicy::Public, rebound.clone()), Err(Unresolved::NotPublic));
        assert_eq!(checked(AddressPolicy::LoopbackToo, rebound.clone()), Ok(rebound));
        assert_eq!(checked(AddressPolicy::LoopbackToo, vec![address("10.0.0.1")]), Err(Unresolved::NotPublic));
        assert_eq!(checked(AddressPolicy::Public, Vec::new()), Err(Unresolved::Unknown));
    }
}
