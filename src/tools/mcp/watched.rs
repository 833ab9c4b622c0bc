//! A transport that a server cannot flood: input is counted, and only messages we can use reach rmcp, which spawns a
//! task for every request and notification.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use rmcp::{
    RoleClient,
    model::{ClientJsonRpcMessage, JsonRpcMessage, ServerJsonRpcMessage, ServerNotification},
    transport::Transport,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Messages that a server may send within [`FLOOD_SECONDS`].
pub(super) const MESSAGES_MAX: usize = 2_000;
/// Bytes that a program may write within [`FLOOD_SECONDS`].
const BYTES_MAX: usize = 64 << 20;
/// The counting period.
pub(super) const FLOOD_SECONDS: u64 = 10;
/// A server's requests that await our answer, which the server must read.
const REQUESTS_OPEN_MAX: usize = 32;

/// Counts within periods of [`FLOOD_SECONDS`].
struct Meter {
    max: usize,
    count: usize,
    since: Instant,
}

impl Meter {
    fn new(max: usize, now: Instant) -> Self {
        Self { max, count: 0, since: now }
    }

    /// Counts `more`; returns whether it fits.
    fn takes(&mut self, more: usize, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(FLOOD_SECONDS) {
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(more);
        self.count <= self.max
    }
}

/// A connection's state, shared with its owner.
#[derive(Clone, Default)]
pub(super) struct Watch {
    closed: CancellationToken,
    flooded: Arc<AtomicBool>,
    changes: Arc<AtomicU64>,
}

impl Watch {
    /// Waits until the connection is closed.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Returns whether the connection is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Closes the connection to further input.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// Returns how often the server has said on this connection that its tools changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Returns whether both belong to the same connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.changes, &other.changes)
    }

    /// Returns whether it was closed because of a flood.
    pub(super) fn flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }
}

/// A watched transport.
pub(super) struct Watched<T> {
    inner: T,
    watch: Watch,
    messages: Meter,
    requests_open: Arc<AtomicUsize>,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T) -> (Self, Watch) {
        let watch = Watch::default();
        let messages = Meter::new(MESSAGES_MAX, Instant::now());
        (Self { inner, watch: watch.clone(), messages, requests_open: Arc::default() }, watch)
    }

    /// Returns whether a message goes on to rmcp; `None` for a flood.
    fn admits(&mut self, message: &ServerJsonRpcMessage) -> Option<bool> {
        if !self.messages.takes(1, Instant::now()) {
            return None;
        }
        match message {
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => Some(true),
            // Progress, logs and the like are of no use here.
            JsonRpcMessage::Notification(notification) => {
                let is_change = matches!(notification.notification, ServerNotification::ToolListChangedNotification(_));
                self.watch.changes.fetch_add(u64::from(is_change), Ordering::Relaxed);
                Some(is_change)
            }
            JsonRpcMessage::Request(_) => {
                let open = self.requests_open.fetch_add(1, Ordering::Relaxed);
                (open < REQUESTS_OPEN_MAX).then_some(true)
            }
        }
    }
}

impl<T: Transport<RoleClient> + 'static> Transport<RoleClient> for Watched<T> {
    type Error = T::Error;

    fn send(&mut self, item: ClientJsonRpcMessage) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let answers = matches!(item, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        let open = self.requests_open.clone();
        let sending = self.inner.send(item);
        async move {
            let sent = sending.await;
            if answers {
                // The answer may be to a line that was not a request, and so was not counted.
                let _ = open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| open.checked_sub(1));
            }
            sent
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            if self.watch.is_closed() {
                return None;
            }
            let message = self.inner.receive().await;
            match message.as_ref().map(|message| self.admits(message)) {
                Some(Some(true)) => return message,
                Some(Some(false)) => {}
                Some(None) => {
                    self.watch.flooded.store(true, Ordering::Relaxed);
                    self.watch.close();
                }
                None => self.watch.close(),
            }
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.watch.close();
        self.inner.close()
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.watch.close();
    }
}

/// A pipe that ends when a flood comes through.
pub(super) struct Metered<R> {
    inner: R,
    bytes: Meter,
}

impl<R> Metered<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, bytes: Meter::new(BYTES_MAX, Instant::now()) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Metered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let came = buffer.filled().len() - before;
        if self.bytes.takes(came, Instant::now()) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(io::Error::other("too much came in too short a time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_counts_over_a_stretch_of_time() {
        let now = Instant::now();
        let later = now + Duration::from_secs(FLOOD_SECONDS);
        let mut meter = Meter::new(3, now);
        assert_eq!([meter.takes(2, now), meter.takes(1, now), meter.takes(1, now)], [true, true, false]);
        assert_eq!([meter.takes(3, later), meter.takes(usize::MAX, later)], [true, false]);
    }
}
