//! What the homeserver calls: transactions, queries and pings (spec 1.17, "Application Service API").
//!
//! A transaction is answered 200 only once its events are durable in the store's inbox. Whoever calls must know the
//! `hs_token`; it is checked before anything else is looked at.

use std::{future::IntoFuture as _, io, sync::Arc, time::Duration};

use axum::{
    Router,
    http::StatusCode,
    middleware,
    routing::{get, post, put},
    serve::ListenerExt as _,
};
use ruma::OwnedUserId;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use self::{health::Health, refusal::Refusal};
use crate::{secret::Secret, store::Inbox};

mod auth;
pub mod health;
pub mod metrics;
mod queries;
mod refusal;
#[cfg(test)]
mod tests;
mod transactions;

/// Transactions read and stored at once; a homeserver sends one at a time.
const TRANSACTIONS_AT_ONCE_MAX: usize = 4;
/// How long calls in flight may go on after shutdown was asked for, in seconds.
const SHUTDOWN_WAIT_S: u64 = 10;

/// The homeserver's question whether one of our users exists; whoever answers may make the user first.
#[derive(Debug)]
pub struct Query {
    /// The user asked for; not checked against the namespace.
    pub user: OwnedUserId,
    /// Where the answer goes; within ten seconds.
    pub answer: oneshot::Sender<bool>,
}

/// What the endpoint needs.
#[derive(Debug)]
pub struct Appservice {
    /// What the homeserver authenticates with.
    pub hs_token: Secret,
    /// Where events go.
    pub inbox: Inbox,
    /// Where questions for users go.
    pub queries: mpsc::Sender<Query>,
    /// Told whether the store can be written, by each transaction.
    pub health: Health,
    /// Most bytes of a transaction's body (`limits.transaction_bytes_max`).
    pub body_bytes_max: usize,
}

/// Shared by all calls.
struct Shared {
    appservice: Appservice,
    transactions: Semaphore,
}

impl Appservice {
    /// Returns the routes, present and legacy, all behind the token check.
    pub fn router(self) -> Router {
        let shared = Arc::new(Shared { appservice: self, transactions: Semaphore::new(TRANSACTIONS_AT_ONCE_MAX) });
        Router::new()
            .route("/_matrix/app/v1/transactions/{txn_id}", put(transactions::put))
            .route("/_matrix/app/v1/users/{user_id}", get(queries::user))
            .route("/_matrix/app/v1/rooms/{alias}", get(queries::alias))
            .route("/_matrix/app/v1/ping", post(queries::ping))
            // Spec, "Legacy routes": what servers of before v1 call, and fall back to.
            .route("/transactions/{txn_id}", put(transactions::put))
            .route("/users/{user_id}", get(queries::user))
            .route("/rooms/{alias}", get(queries::alias))
            .nest("/_matrix/app/v1/thirdparty", queries::third_party())
            .nest("/_matrix/app/unstable/thirdparty", queries::third_party())
            .fallback(async || Refusal::unrecognized(StatusCode::NOT_FOUND))
            .method_not_allowed_fallback(async || Refusal::unrecognized(StatusCode::METHOD_NOT_ALLOWED))
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), auth::check))
            .with_state(shared)
    }
}

/// Answers calls until `shutdown` is cancelled, then lets those in flight end, for ten seconds at most.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    // Without TCP_NODELAY each answer waits 40 ms for the peer's delayed acknowledgement.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set on a connection");
        }
    });
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let out_of_patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(Duration::from_secs(SHUTDOWN_WAIT_S)).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = out_of_patience => {
            tracing::warn!("calls were still open {SHUTDOWN_WAIT_S} s after shutdown began; they are cut off");
            Ok(())
        }
    }
}
