//! The homeserver's queries: users, aliases, third-party networks, pings.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::StatusCode,
    routing::get,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};

use super::{Query, Shared, arrivals::Arrivals, refusal::Refusal};
use crate::core::id;

/// How long answering a query about a user may take, in seconds.
const QUERY_WAIT_S: u64 = 10;

type Answer = Result<Json<Value>, Refusal>;

/// `GET /users/{userId}`: 200 if the user exists or was just created, else 404.
pub(super) async fn user(State(shared): State<Arc<Shared>>, user: Result<Path<String>, PathRejection>) -> Answer {
    let user = user.ok().and_then(|Path(user)| id::user(&user));
    let Some(user) = user else { return Err(Refusal::not_found("that is no user id")) };
    let ask = async {
        let (answer, answered) = oneshot::channel();
        shared.appservice.queries.send(Query { user: user.clone(), answer }).await.ok()?;
        answered.await.ok()
    };
    match timeout(Duration::from_secs(QUERY_WAIT_S), ask).await {
        Ok(Some(true)) => Ok(Json(json!({}))),
        Ok(Some(false)) => Err(Refusal::not_found("there is no such user here")),
        Ok(None) | Err(_) => {
            tracing::warn!(user.id = %user, "the homeserver's question for a user was not answered in time");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", "no answer in time; ask again later"))
        }
    }
}

/// `GET /rooms/{alias}`: we have no aliases.
pub(super) async fn alias() -> Answer {
    Err(Refusal::not_found("there are no room aliases here"))
}

/// `POST /ping`, with the transaction id that whoever requested the ping chose.
pub(super) async fn ping(State(shared): State<Arc<Shared>>, body: Result<Bytes, BytesRejection>) -> Json<Value> {
    hear(&shared.appservice.arrivals, body)
}

/// Records a ping's transaction id.
pub(super) fn hear(arrivals: &Arrivals, body: Result<Bytes, BytesRejection>) -> Json<Value> {
    let body: Value = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    if let Some(id) = body["transaction_id"].as_str() {
        arrivals.hear_ping(id);
    }
    Json(json!({}))
}

/// `…/thirdparty/…`: we bridge no network, so every list is empty.
pub(super) fn third_party() -> Router<Arc<Shared>> {
    Router::new()
        .route("/protocol/{protocol}", get(async || Answer::Err(Refusal::not_found("there is no such protocol here"))))
        .route("/user", get(nothing))
        .route("/user/{protocol}", get(nothing))
        .route("/location", get(nothing))
        .route("/location/{protocol}", get(nothing))
}

async fn nothing() -> Json<Value> {
    Json(json!([]))
}
