//! What the homeserver calls: transactions, queries and pings (spec 1.17, "Application Service API").
//!
//! A transaction is answered 200 only once its events are durable in the store's inbox. Whoever calls must know the
//! `hs_token`; it is checked before anything else is looked at.

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    middleware,
    routing::{get, post, put},
};
use ruma::OwnedUserId;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub(crate) use self::transactions::taken_apart;
use self::{arrivals::Arrivals, health::Health, refusal::Refusal};
use crate::{secret::Secret, store::Inbox};

pub mod arrivals;
mod auth;
pub mod health;
pub mod metrics;
pub mod operators;
mod queries;
mod refusal;
#[cfg(test)]
mod tests;
mod transactions;

/// Transactions read and stored at once; a homeserver sends one at a time.
const TRANSACTIONS_AT_ONCE_MAX: usize = 4;
/// Connections of homeservers at once; one keeps a few.
pub const CONNECTIONS_MAX: usize = 256;

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
    /// Told of pings, transactions and calls with another token.
    pub arrivals: Arrivals,
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

/// Returns routes for whoever only tries whether the homeserver reaches us: pings are heard, and everything else is put off,
/// so that the homeserver keeps it.
pub fn pings_only(hs_token: Secret, arrivals: Arrivals) -> Router {
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
