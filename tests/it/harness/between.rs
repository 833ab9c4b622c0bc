//! The shared homeserver behind something that sees each call, and may answer in its place.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING},
    },
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use tokio::net::TcpListener;
use url::Url;

use super::homeserver::shared;

/// Returns where the shared homeserver answers what `instead` does not.
pub(crate) async fn homeserver_behind(
    instead: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
) -> Result<Url> {
    let (http, instead) = (reqwest::Client::builder().no_proxy().build()?, Arc::new(instead));
    let answer = move |request: Request| {
        let (http, instead) = (http.clone(), instead.clone());
        async move {
            if let Some(response) = instead(&request) {
                return response;
            }
            pass_on(&http, request).await.unwrap_or_else(|error| {
                let error = json!({ "errcode": "M_UNKNOWN", "error": error.to_string() });
                (StatusCode::BAD_GATEWAY, Json(error)).into_response()
            })
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    Ok(url)
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
