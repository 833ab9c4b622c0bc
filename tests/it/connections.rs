//! Connections to Workmate and from it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::harness::{RoomKind, homeserver::shared, office::Office};

/// Half-sent requests; more than a process's default number of descriptors.
const HALVES: usize = 3_000;
const HALF: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: workmate\r\nx-more:";

/// Opens that many connections, sends half a request on each, and keeps them open.
async fn half_requests(address: &str, count: usize) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await?;
        // The listener may have hung up by now.
        let _ = stream.write_all(HALF).await;
        streams.push(stream);
    }
    Ok(streams)
}

/// Collects everything in a folder that others may read or write, with its mode.
fn open_to_others(dir: &Path, found: &mut Vec<String>) -> Result<()> {
    let mode = fs::symlink_metadata(dir)?.permissions().mode();
    if mode & 0o077 != 0 {
        found.push(format!("{:o} {}", mode & 0o7777, dir.display()));
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => open_to_others(&path, found)?,
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => found.push(path.display().to_string()),
            // SQLite's temporary files come and go.
            _ => {}
        }
    }
    Ok(())
}

#[tokio::test]
async fn three_thousand_half_requests_hold_up_nobody_no_proxy_is_told_anything_and_no_file_is_open_to_others()
-> Result<()> {
    rlimit::increase_nofile_limit(16_384)?;
    // A listener in the environment's proxy variables notices every connection.
    let trap = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = format!("http://{}", trap.local_addr()?);
    let caught = Arc::new(AtomicUsize::new(0));
    let catching = caught.clone();
    let _trap = tokio::spawn(async move {
        while let Ok((mut stream, _)) = trap.accept().await {
            catching.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).await;
        }
    });
    let people = [shared().person("alice").await, shared().person("bob").await];
    let office = Office::open_for(people, |setup| {
        let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        names.into_iter().fold(setup, |setup, name| setup.env(name, proxy.clone()))
    })
    .await?;
    let room = office.room(RoomKind::Encrypted).await?;

    let slot = office.workmate.slot();
    let health = half_requests(&slot.health_listen.to_string(), HALVES).await?;
    let of_homeserver = half_requests(&slot.listen.to_string(), HALVES / 3).await?;
    office.asked_and_answered(&room, "are you there?").await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let ready = http.get(format!("http://{}/readyz", slot.health_listen)).send().await?;
    assert!(ready.status().is_success());
    let pid = office.workmate.pid().context("it runs")?;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    assert!(descriptors < 1_000, "{descriptors} descriptors");
    drop((health, of_homeserver));

    assert_eq!(caught.load(Ordering::Relaxed), 0, "nothing went to the environment's proxy");
    let mut open = Vec::new();
    open_to_others(&office.workmate.data_dir(), &mut open)?;
    assert!(open.is_empty(), "{open:#?}");
    Ok(())
}
