//! Opens the listeners, and says what to do if one cannot be opened.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::net::TcpListener;

use super::StartError;
use crate::{config::Config, core::connection::place::Reached};

/// How long a port in use is waited for.
const BIND_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two tries to open it.
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// Opens a listener without waiting for its port, for callers that only test whether it works.
///
/// # Errors
/// As of a start.
pub async fn try_listening(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|cause| StartError::Listen { key, address, cause })
}

/// Opens a listener. A killed predecessor may still be running, so a port in use is tried again for some seconds.
pub(super) async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let began = tokio::time::Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Err(cause) if cause.kind() == ErrorKind::AddrInUse && began.elapsed() < BIND_PATIENCE => {
                tokio::time::sleep(BIND_PAUSE).await;
            }
            bound => return bound.map_err(|cause| StartError::Listen { key, address, cause }),
        }
    }
}

/// Opens the listener for owners' own programs, if there is to be one.
pub(super) async fn bind_connections(config: &Config) -> Result<Option<(TcpListener, Reached)>, StartError> {
    match &config.connections.reached {
        Some(reached) => Ok(Some((bind("mcp_listen", reached.listen).await?, reached.clone()))),
        None => Ok(None),
    }
}

/// Opens the console's listener, if there is to be one.
pub(super) async fn bind_console(config: &Config) -> Result<Option<(TcpListener, Reached)>, StartError> {
    match &config.console {
        Some(reached) => Ok(Some((bind("console_listen", reached.listen).await?, reached.clone()))),
        None => Ok(None),
    }
}

/// Returns what to do about an address on which Workmate cannot listen.
pub(super) fn mend_of_listening(key: &str, address: &SocketAddr, cause: &io::Error) -> String {
    match cause.kind() {
        ErrorKind::AddrInUse => {
            format!("stop what listens there (another workmate? `ss -ltnp` names it), or set {key} to a free address")
        }
        ErrorKind::PermissionDenied => format!(
            "ports below 1024 are for root: set {key} to one from 1024 on, such as {}, or give the unit \
             AmbientCapabilities=CAP_NET_BIND_SERVICE",
            8000 + address.port()
        ),
        ErrorKind::AddrNotAvailable => {
            format!("this machine has no address {}: set {key} to one that it has, or to 0.0.0.0", address.ip())
        }
        _ => format!("set {key} to another address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_why_an_address_cannot_be_listened_on_has_its_mend() {
        for (kind, address, part) in [
            (ErrorKind::AddrInUse, "127.0.0.1:29330", "another workmate?"),
            (ErrorKind::PermissionDenied, "0.0.0.0:443", "such as 8443"),
            (ErrorKind::AddrNotAvailable, "10.9.9.9:29330", "no address 10.9.9.9"),
            (ErrorKind::Other, "127.0.0.1:29330", "set appservice.listen"),
        ] {
            let address = address.parse().expect("an address");
            let error = StartError::Listen { key: "appservice.listen", address, cause: kind.into() }.to_string();
            assert!(error.contains(part) && error.contains("Mend: ") && error.contains("appservice.listen"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_port_whose_predecessor_is_still_going_is_waited_for() {
        let before = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = before.local_addr().expect("it has one");
        assert!(try_listening("health_listen", address).await.is_err());
        let (bound, ()) = tokio::join!(bind("health_listen", address), async {
            tokio::time::sleep(BIND_PAUSE * 3).await;
            drop(before);
        });
        assert_eq!(bound.expect("it is free by now").local_addr().expect("it has one"), address);
    }
}
