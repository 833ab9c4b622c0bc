//! Puts a proxy before the shared homeserver that sees each call and may answer in its place.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, TRANSFER_ENCODING},
    },
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use tokio::net::TcpListener;
use url::Url;

use super::homeserver::shared;

/// Returns a URL at which `instead` may answer, and otherwise the shared homeserver does.
pub(crate) async fn homeserver_behind(
    instead: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
) -> Result<Url> {
    between(instead, |_| false).await
}

/// Returns a URL at which the shared homeserver handles every call, and `note` is told of each call's path and time.
pub(crate) async fn homeserver_timed(note: impl Fn(&str, Duration) + Send + Sync + 'static) -> Result<Url> {
    let (http, note) = (reqwest::Client::builder().no_proxy().build()?, Arc::new(note));
    let answer = move |request: Request| {
        let (http, note) = (http.clone(), note.clone());
        async move {
            let (path, began) = (request.uri().path().to_owned(), tokio::time::Instant::now());
            let answer = pass_on(&http, request).await;
            note(&path, began.elapsed());
            answer.unwrap_or_else(|error| bad_gateway(&error.to_string()))
        }
    };
    serve(Router::new().fallback(answer)).await
}

/// Returns a URL at which the shared homeserver handles every call, but the replies that `is_lost` selects are lost.
pub(crate) async fn homeserver_that_loses(is_lost: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Result<Url> {
    between(|_| None, is_lost).await
}

/// Returns a URL that combines both: `instead` may answer, and the replies that `is_lost` selects are lost.
pub(crate) async fn between(
    instead: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    is_lost: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Result<Url> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (instead, is_lost) = (Arc::new(instead), Arc::new(is_lost));
    let answer = move |request: Request| {
        let (http, instead, is_lost) = (http.clone(), instead.clone(), is_lost.clone());
        async move {
            if let Some(response) = instead(&request) {
                return response;
            }
            let is_lost = is_lost(&request);
            match pass_on(&http, request).await {
                Ok(response) if !is_lost => response,
                Ok(_) => bad_gateway("the reply was lost"),
                Err(error) => bad_gateway(&error.to_string()),
            }
        }
    };
    serve(Router::new().fallback(answer)).await
}

/// Returns the URL of a proxy to the shared homeserver; `more` may replace an answer's body, by path and query.
pub(crate) async fn homeserver_that_says_more(
    more: impl Fn(&str, &str, Bytes) -> Bytes + Send + Sync + 'static,
) -> Result<Url> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let more = Arc::new(more);
    let answer = move |request: Request| {
        let (http, more) = (http.clone(), more.clone());
        async move {
            let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
            let answered = async {
                let (parts, body) = pass_on(&http, request).await?.into_parts();
                let body = to_bytes(body, usize::MAX).await?;
                let body = if parts.status.is_success() { more(&path, &query, body) } else { body };
                Ok::<_, anyhow::Error>(Response::from_parts(parts, Body::from(body)))
            };
            answered.await.unwrap_or_else(|error| bad_gateway(&error.to_string()))
        }
    };
    serve(Router::new().fallback(answer)).await
}

/// Returns the URL of a proxy to the shared homeserver whose `Date` headers are that many seconds ahead.
pub(crate) async fn homeserver_whose_clock_is_off(seconds: i64) -> Result<Url> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let answer = move |request: Request| {
        let http = http.clone();
        async move {
            let mut answer = pass_on(&http, request).await.unwrap_or_else(|error| bad_gateway(&error.to_string()));
            let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
            let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            answer.headers_mut().insert(DATE, date.parse().expect("a date is a header's value"));
            answer
        }
    };
    serve(Router::new().fallback(answer)).await
}

async fn serve(router: Router) -> Result<Url> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

/// The masquerading proxy's own answer when the homeserver is unreachable.
pub(crate) fn bad_gateway(why: &str) -> Response {
    (StatusCode::BAD_GATEWAY, Json(json!({ "errcode": "M_UNKNOWN", "error": why }))).into_response()
}

async fn pass_on(http: &reqwest::Client, request: Request) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    for header in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        parts.headers.remove(header);
    }
    let path = parts.uri.path_and_query().context("a call has a path")?.as_str();
    let body = to_bytes(body, usize::MAX).await?;
    let call = http.request(parts.method, shared().url().join(path)?).headers(parts.headers).body(body);
    let answer = call.send().await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(media_type) = answer.headers().get(CONTENT_TYPE) {
        response = response.header(CONTENT_TYPE, media_type);
    }
    Ok(response.body(Body::from(answer.bytes().await?))?)
}
