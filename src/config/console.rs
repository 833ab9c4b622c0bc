//! `console_listen` and `console_url`: the operators' console.

use std::net::SocketAddr;

use url::Url;

use super::{
    fault::{Faults, Trouble},
    section::Section,
    value,
};
use crate::core::connection::place::{Reached, is_loopback};

/// Returns the console's addresses; `None` where it is not opened.
pub(super) fn console(root: &Section<'_>, faults: &mut Faults) -> Option<Reached> {
    let listen = root.get("console_listen", faults, value::socket);
    let public = root.get("console_url", faults, |node| value::base_url(node, "/runs"));
    let listen: SocketAddr = listen?;
    let own = || Url::parse(&format!("http://{listen}")).ok().filter(|_| listen.ip().is_loopback());
    let Some(public) = public.or_else(own) else {
        let trouble = Trouble::new(
            "missing, although console_listen is no address of this machine alone",
            "Admins need the address by which they reach the console, and a session must not travel unencrypted.",
            "put a proxy with TLS in front of it, and set console_url to its address.",
        );
        root.report("console_url", trouble, faults);
        return None;
    };
    if public.scheme() == "http" && !public.host_str().is_some_and(is_loopback) {
        let trouble = Trouble::new(
            "http, although it is not on this machine",
            "Sessions would travel unencrypted, and whoever sees one is signed in as its admin.",
            "put a proxy with TLS in front of console_listen, and write https://.",
        );
        root.report("console_url", trouble, faults);
        return None;
    }
    Some(Reached { listen, public })
}

/// Warns of a console that nobody can open.
pub(super) fn without_admins() -> Trouble {
    Trouble::new(
        "nobody can sign in",
        "The console opens for workspace.admins alone, and there are none.",
        "list who runs Workmate in workspace.admins, or remove console_listen.",
    )
}
