//! The token check before every route.

use std::sync::Arc;

use axum::{
    extract::{Query, Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};
use serde::Deserialize;

use super::{Shared, arrivals::Arrivals, refusal::Refusal};
use crate::secret::Rotating;

/// The query parameter in which servers before spec 1.4 send the token.
#[derive(Deserialize)]
struct LegacyToken {
    access_token: String,
}

/// Admits a call that carries the `hs_token`; its body is not read before.
pub(super) async fn check(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    check_token(&shared.appservice.hs_token, &shared.appservice.arrivals, &request)?;
    Ok(next.run(request).await)
}

/// Refuses a call without the `hs_token`.
pub(super) fn check_token(hs_token: &Rotating, arrivals: &Arrivals, request: &Request) -> Result<(), Refusal> {
    let Some(token) = token(request) else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "the hs_token is missing"));
    };
    if !hs_token.admits(&token) {
        arrivals.hear_wrong_token();
        tracing::warn!(
            "a call with a wrong hs_token was refused; if it came from the homeserver, its copy of the registration is \
             out of date: give it the present one and restart it"
        );
        return Err(Refusal::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "the hs_token is wrong"));
    }
    Ok(())
}

/// Returns the token from the header or, without that header, from the query.
fn token(request: &Request) -> Option<String> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Query::<LegacyToken>::try_from_uri(request.uri()).ok().map(|query| query.0.access_token);
    };
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}
