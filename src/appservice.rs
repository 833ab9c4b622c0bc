//! The homeserver's endpoint: transactions, queries and pings (spec 1.17, "Application Service API").
//!
//! A transaction is answered 200 only once its events are durable in the store's inbox. Callers must present the
//! `hs_token`, which is checked before anything else is read.

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    middleware,
    routing::{get, post, put},
};
use ruma::OwnedUserId;
use tokio::sync::{Semaphore, mpsc, oneshot};

#[cfg(feature = "doubles")]
pub(crate) use self::transactions::taken_apart;
use self::{arrivals::Arrivals, health::Health, refusal::Refusal};
use crate::{secret::Rotating, store::Inbox};

pub(crate) mod arrivals;
mod auth;
mod body;
pub(crate) mod health;
pub(crate) mod hooks;
pub(crate) mod metrics;
pub(crate) mod operators;
mod queries;
mod refusal;
#[cfg(test)]
mod tests;
mod transactions;

/// Transactions read and stored concurrently; a homeserver sends one at a time.
const TRANSACTIONS_AT_ONCE_MAX: usize = 4;
/// Connections from homeservers; one keeps a few.
pub const CONNECTIONS_MAX: usize = 256;

/// The homeserver asks whether one of our users exists; the engine may create the user before it answers.
#[derive(Debug)]
pub struct Query {
    /// The user in question; not checked against the namespace.
    pub user: OwnedUserId,
    /// Receives the answer; it must come within ten seconds.
    pub answer: oneshot::Sender<bool>,
}

/// What the endpoint depends on.
#[derive(Debug)]
pub struct Appservice {
    /// The token that authenticates the homeserver.
    pub hs_token: Rotating,
    /// Stores the events.
    pub inbox: Inbox,
    /// Receives queries about users.
    pub queries: mpsc::Sender<Query>,
    /// Learns from each transaction whether the store is writable.
    pub health: Health,
    /// Learns of pings, transactions and calls with a wrong token.
    pub arrivals: Arrivals,
    /// Most bytes of a transaction's body (`limits.transaction_bytes_max`).
    pub body_bytes_max: usize,
}

/// State shared by all calls.
struct Shared {
    appservice: Appservice,
    transactions: Semaphore,
}

impl Appservice {
    /// Returns the current and the legacy routes, all behind the token check.
    pub fn router(self) -> Router {
        let shared = Arc::new(Shared { appservice: self, transactions: Semaphore::new(TRANSACTIONS_AT_ONCE_MAX) });
        Router::new()
            .route("/_matrix/app/v1/transactions/{txn_id}", put(transactions::put))
            .route("/_matrix/app/v1/users/{user_id}", get(queries::user))
            .route("/_matrix/app/v1/rooms/{alias}", get(queries::alias))
            .route("/_matrix/app/v1/ping", post(queries::ping))
            // Spec, "Legacy routes": servers from before v1 call these, and others fall back to them.
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

/// Returns routes for a process that only tests whether the homeserver reaches us: it records pings and puts off
/// everything else, so that the homeserver keeps it.
pub fn pings_only(hs_token: Rotating, arrivals: Arrivals) -> Router {
    let (heard, checking) = (arrivals.clone(), arrivals);
    let later = || async {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", "a check of the set-up goes on; send it again later")
    };
    Router::new()
        .route("/_matrix/app/v1/ping", post(async move |body| queries::hear(&heard, body)))
        .fallback(later)
        .layer(middleware::from_fn(move |request: axum::extract::Request, next: middleware::Next| {
            let checked = auth::check_token(&hs_token, &checking, &request);
            async move {
                checked?;
                Ok::<_, Refusal>(next.run(request).await)
            }
        }))
}
