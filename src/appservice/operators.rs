//! `/healthz`, `/readyz` and `/metrics`, on a listener of their own and without a token.

use axum::{Router, extract::State, routing::get};

use super::{health::Health, metrics::Metrics};

/// Connections at once to the listener without a token.
pub(crate) const CONNECTIONS_MAX: usize = 64;

/// Returns the routes: `/healthz` is 200 while the process can do its work, `/readyz` 200 or 503 with every condition,
/// `/metrics` has the numbers.
pub(crate) fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(async move || metrics.show()))
        .route("/healthz", get(async |State(health): State<Health>| health.is_alive()))
        .route("/readyz", get(async |State(health): State<Health>| health.report()))
        .with_state(health)
}
