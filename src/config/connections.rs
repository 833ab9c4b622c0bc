//! `mcp_listen` and `connections:`: the listener for owners' own programs (A13).

use std::net::SocketAddr;

use url::Url;

use super::{
    fault::{Faults, Trouble},
    section::Section,
    value,
};
use crate::core::connection::place::{PATH, Reached, is_loopback};

/// `mcp_listen` and `connections:`
#[derive(Clone, Debug)]
pub struct Connections {
    /// The listener's addresses; `None` where it is not opened.
    pub reached: Option<Reached>,
    /// Days after which a connection ends that was not used.
    pub unused_days: u32,
}

pub(super) fn connections(root: &Section<'_>, faults: &mut Faults) -> Connections {
    let section = root.section("connections", faults);
    let listen = root.get("mcp_listen", faults, value::socket);
    let public = section.get("public_url", faults, |node| value::base_url(node, PATH));
    let unused_days = section.number("unused_days", faults);
    let reached = listen.and_then(|listen| {
        let public = public.or_else(|| own(listen));
        let Some(public) = public else {
            let trouble = Trouble::new(
                "missing, although mcp_listen is no address of this machine alone",
                "People's programs need the address by which they reach it, and a token must not travel unencrypted.",
                "put a proxy with TLS in front of it, and set connections.public_url to its address.",
            );
            section.report("public_url", trouble, faults);
            return None;
        };
        if public.scheme() == "http" && !public.host_str().is_some_and(is_loopback) {
            let trouble = Trouble::new(
                "http, although it is not on this machine",
                "The tokens would travel unencrypted, and whoever sees one reads as its owner.",
                "put a proxy with TLS in front of mcp_listen, and write https://.",
            );
            section.report("public_url", trouble, faults);
            return None;
        }
        Some(Reached { listen, public })
    });
    Connections { reached, unused_days }
}

/// Returns the address of a listener that only this machine reaches.
fn own(listen: SocketAddr) -> Option<Url> {
    listen.ip().is_loopback().then(|| Url::parse(&format!("http://{listen}")).ok()).flatten()
}

/// Reports a listener that would take another's address.
pub(super) fn collision(free: &str) -> Trouble {
    Trouble::new(
        "the address of another listener",
        "Only one of the two could be opened.",
        format!("give it a port of its own, e.g. {free}."),
    )
}
