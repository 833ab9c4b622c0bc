//! The routes of files.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderValue, Response, header},
    routing::{get, post},
};
use serde_json::Value;

use super::{
    files::{self, Files},
    http::{Call, Shared, lock},
    offline,
    problem::Problem,
    turn::Turn,
    validate,
};

/// Returns the routes.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/files", post(upload).get(list))
        .route("/v1/files/{id}", get(look).delete(delete))
        .route("/v1/files/{id}/content", get(content))
}

async fn upload(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let call = Call::open(shared.clone(), &request);
    if let Some(failure) = lock(&shared.files).take_failure() {
        return call.fail(&failure);
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let caller = validate::caller(request.headers(), call.keys(), false);
    let read = call.read_bytes(request).await;
    let done = caller.and_then(|_| files::form(&kind, &read?)).map(|form| {
        let id = shared.ids.next("file");
        lock(&shared.files).add(id, &form.name, form.bytes, Some(form.expires.unwrap_or(30 * 24 * 3_600)))
    });
    call.reply(done)
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response<Body> {
    answered(&shared, &request, |files| files.page(&query))
}

async fn look(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response<Body> {
    answered(&shared, &request, |files| files.look(&id))
}

async fn delete(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response<Body> {
    answered(&shared, &request, |files| files.delete(&id))
}

async fn content(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response<Body> {
    let call = Call::open(shared.clone(), &request);
    let caller = validate::caller(request.headers(), call.keys(), false);
    match caller.and_then(|_| lock(&shared.files).content(&id)) {
        Ok(bytes) => {
            let mut response = call.reply(Ok(Value::Null));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            *response.body_mut() = Body::from(bytes);
            response
        }
        Err(problem) => call.reply(Err(problem)),
    }
}

impl Call {
    /// Returns the offline answer to who asks for a chart of a table that is in the container.
    pub(super) fn computed(&self, body: &Value) -> Option<Turn> {
        if !offline::asks_for_chart(body) {
            return None;
        }
        let made = lock(&self.shared().files).uploads_of(body).into_iter().rev().find_map(|file| {
            let chart = offline::chart::chart(std::str::from_utf8(&file.bytes).ok()?)?;
            Some((file.name, chart))
        });
        let (name, chart) = made?;
        let id = self.shared().ids.next("file");
        lock(&self.shared().files).add(id.clone(), "chart.png", chart.png, None);
        let code = format!("chart(table({name:?}), to=\"chart.png\")");
        let call = self.shared().ids.next("srvtoolu");
        Some(
            Turn::empty()
                .and_code(&call, &code, &chart.told, &[id])
                .and_text(offline::honestly(&chart.told))
                .word_by_word(),
        )
    }
}

fn answered(
    shared: &Arc<Shared>,
    request: &Request,
    act: impl FnOnce(&mut Files) -> Result<Value, Problem>,
) -> Response<Body> {
    let call = Call::open(Arc::clone(shared), request);
    let caller = validate::caller(request.headers(), call.keys(), false);
    let done = caller.and_then(|_| act(&mut lock(&shared.files)));
    call.reply(done)
}
