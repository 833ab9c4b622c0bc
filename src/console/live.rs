//! Tells open pages that something has changed, by server-sent events (HTML, "9.2 Server-sent events"). It says only that:
//! a page then asks for itself again, as its session allows.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::{Shared, pages, told};

/// Pages that are kept up to date at the same time; further ones show what was there when they were opened.
pub(super) const LISTENERS_MAX: usize = 24;
/// How often it is looked whether something has changed, and so how often a page hears of it at most.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// After so many looks without news something is sent all the same, so that no proxy takes the line for dead.
const QUIET_LOOKS_MAX: u32 = 6;

/// One open page.
struct Listener {
    console: Arc<Shared>,
    headers: HeaderMap,
    /// What it has heard of; `None` before the first word.
    heard: Option<u64>,
    quiet: u32,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

/// Answers with events until the session, the page or Workmate ends.
pub(super) async fn listen(State(console): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if console.admitted(&headers).is_none() {
        return told(&console, StatusCode::UNAUTHORIZED, pages::Told::SignedOut);
    }
    let Ok(place) = console.live.clone().try_acquire_owned() else {
        return ([(RETRY_AFTER, "60")], StatusCode::SERVICE_UNAVAILABLE).into_response();
    };
    let listener = Listener { console, headers, heard: None, quiet: 0, is_over: false, _place: place };
    let words = stream::unfold(listener, |listener| Box::pin(next(listener)));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(words)).into_response()
}

async fn next(mut listener: Listener) -> Option<(Result<Bytes, std::convert::Infallible>, Listener)> {
    if listener.is_over {
        return None;
    }
    let said = loop {
        if listener.heard.is_some() {
            tokio::select! {
                () = listener.console.stop.cancelled() => return None,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        if listener.console.admitted(&listener.headers).is_none() {
            listener.is_over = true;
            break "event: over\ndata: \n\n";
        }
        let pulse = listener.console.door.pulse();
        let heard = listener.heard.replace(pulse);
        listener.quiet += 1;
        match heard {
            None => break "retry: 10000\n\n",
            Some(heard) if heard != pulse => {
                listener.quiet = 0;
                break "event: change\ndata: \n\n";
            }
            Some(_) if listener.quiet >= QUIET_LOOKS_MAX => {
                listener.quiet = 0;
                break ": still here\n\n";
            }
            Some(_) => {}
        }
    };
    Some((Ok(Bytes::from_static(said.as_bytes())), listener))
}
