//! The routes of batches.

use std::{collections::BTreeMap, io, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderValue, Response, header},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use super::{
    batches::{self, Batches, Item},
    http::{Call, Shared, lock},
    problem::Problem,
    validate::{self, Caller, Endpoint},
};

/// Returns the routes.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/messages/batches", post(create).get(list))
        .route("/v1/messages/batches/{id}", get(look).delete(delete))
        .route("/v1/messages/batches/{id}/cancel", post(cancel))
        .route("/v1/messages/batches/{id}/results", get(results))
}

async fn create(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let call = Call::open(shared.clone(), &request);
    let (caller, body) = match call.read(request).await {
        Ok(read) => read,
        Err(problem) => return call.reply(Err(problem)),
    };
    let plan = lock(&shared.batches).next_plan(&body);
    if let Some(failure) = &plan.refusal {
        return call.fail(failure);
    }
    let items = match batches::items(&body) {
        Ok(items) => items,
        Err(problem) => return call.reply(Err(problem)),
    };
    let results = items.into_iter().map(|item| call.result(&caller, item)).collect();
    let loses_reply = plan.loses_reply;
    let made = lock(&shared.batches).create(shared.ids.next("msgbatch"), results, plan);
    if loses_reply { call.cut() } else { call.reply(Ok(made)) }
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response<Body> {
    answered(&shared, &request, |batches| batches.page(&query))
}

async fn look(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response<Body> {
    answered(&shared, &request, |batches| batches.look(&id))
}

async fn cancel(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response<Body> {
    answered(&shared, &request, |batches| batches.cancel(&id))
}

async fn delete(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response<Body> {
    answered(&shared, &request, |batches| batches.delete(&id))
}

async fn results(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response<Body> {
    let call = Call::open(shared.clone(), &request);
    let caller = validate::caller(request.headers(), call.keys(), false);
    match caller.and_then(|_| lock(&shared.batches).results(&id)) {
        Ok(lines) => {
            let mut response = call.reply(Ok(Value::Null));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-jsonl"));
            *response.body_mut() = Body::from(lines);
            response
        }
        Err(problem) => call.reply(Err(problem)),
    }
}

fn answered(
    shared: &Arc<Shared>,
    request: &Request,
    act: impl FnOnce(&mut Batches) -> Result<Value, Problem>,
) -> Response<Body> {
    let call = Call::open(Arc::clone(shared), request);
    let caller = validate::caller(request.headers(), call.keys(), false);
    let done = caller.and_then(|_| act(&mut lock(&shared.batches)));
    call.reply(done)
}

impl Call {
    /// Returns what becomes of a batch's request. A request that the API would refuse is reported by
    /// [`super::StandIn::finish`] too.
    fn result(&self, caller: &Caller, item: Item) -> (String, Value) {
        let Item { custom_id, params } = item;
        let done = batches::check_params(&params)
            .and_then(|()| self.judge(Endpoint::Messages, caller, &params))
            .inspect_err(|problem| self.report(format!("batch request {custom_id}: {}", problem.message)))
            .and_then(|model| self.turn_of(&params).map(|turn| (model, turn)));
        let result = match done {
            Err(problem) => batches::errored(&problem, self.id()),
            Ok((model, turn)) => {
                if let Some(failure) = &turn.failure {
                    batches::errored(&failure.problem, self.id())
                } else {
                    let mut message = self.message(&turn, caller, model, &params);
                    message["usage"]["service_tier"] = json!("batch");
                    json!({ "type": "succeeded", "message": message })
                }
            }
        };
        (custom_id, result)
    }

    /// Cuts the connection instead of replying.
    fn cut(self) -> Response<Body> {
        let mut response = self.reply(Ok(Value::Null));
        let broken = io::Error::new(io::ErrorKind::ConnectionAborted, "the stand-in cuts the connection");
        *response.body_mut() = Body::from_stream(stream::iter([Err::<Bytes, _>(broken)]));
        response
    }
}
