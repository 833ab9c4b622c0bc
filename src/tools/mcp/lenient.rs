//! Streamable HTTP as real servers speak it: rmcp's client with the mending for programs' lines, and without its
//! demands on content types.
//!
//! rmcp parses a body as a whole and gives up if one part is unparsable. Here a body is first read within the same
//! limits and mended, and then parsed.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use rmcp::{
    model::{ClientJsonRpcMessage, JsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_client::{
        AuthRequiredError, HttpStatusError, InsufficientScopeError, SseError, StreamableHttpClient,
        StreamableHttpError, StreamableHttpPostResponse, StreamableHttpResponseLimits,
    },
};
use sse_stream::{Sse, SseStream};

use super::mending::mended;

/// The header that names a message's session (MCP 2025-11-25, "Transports").
const SESSION: &str = "mcp-session-id";
const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";
/// Headers that are set here and that the configuration may not set.
const RESERVED: [&str; 3] = ["accept", SESSION, "last-event-id"];
/// The UTF-8 byte order mark.
const BOM: &[u8] = b"\xef\xbb\xbf";

type Failed = StreamableHttpError<reqwest::Error>;
type Events = BoxStream<'static, Result<Sse, SseError>>;

/// A client that accepts answers on which rmcp's own gives up.
#[derive(Clone)]
pub(super) struct Lenient(pub(super) Client);

impl StreamableHttpClient for Lenient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session_id, auth_header, custom_headers, limits).await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        if let Some(name) = custom_headers.keys().find(|name| RESERVED.contains(&name.as_str())) {
            return Err(StreamableHttpError::ReservedHeaderConflict(name.to_string()));
        }
        let mut request = self.0.post(uri.as_ref()).header(ACCEPT, format!("{EVENTS}, {JSON}"));
        if let Some(session) = &session_id {
            request = request.header(SESSION, session.as_ref());
        }
        if let Some(token) = auth_header {
            request = request.bearer_auth(token);
        }
        for (name, value) in custom_headers {
            request = request.header(name, value);
        }
        let response = request.json(&message).send().await.map_err(StreamableHttpError::Client)?;
        let session = response.headers().get(SESSION).and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
        let status = response.status();
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if !status.is_success() {
            let refused = refused(response, session_id.is_some(), &limits).await;
            return refused.map(|message| StreamableHttpPostResponse::Json(message, session));
        }
        let waits = matches!(message, JsonRpcMessage::Request(_));
        if is_of(response.headers(), EVENTS) {
            return Ok(StreamableHttpPostResponse::Sse(events(response, limits.max_sse_event_size), session));
        }
        let body = whole(response, limits.max_json_response_size).await?;
        match read(&body) {
            Some(message) => Ok(StreamableHttpPostResponse::Json(message, session)),
            // Nothing was requested, so whatever the server says is not an answer.
            None if !waits => Ok(StreamableHttpPostResponse::Accepted),
            None => Err(StreamableHttpError::UnexpectedServerResponse(Cow::from("no message"))),
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failed> {
        self.0.delete_session(uri, session_id, auth_header, custom_headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Events, Failed> {
        let stream = self.0.get_stream(uri, session_id, last_event_id, auth_header, custom_headers).await?;
        Ok(stream.map(|event| event.map(mend)).boxed())
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max_sse_event_size: usize,
    ) -> Result<Events, Failed> {
        let stream = self.0.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            max_sse_event_size,
        );
        Ok(stream.await?.map(|event| event.map(mend)).boxed())
    }
}

/// Interprets a refusal: a protocol error, or a transport error.
async fn refused(
    response: Response,
    in_session: bool,
    limits: &StreamableHttpResponseLimits,
) -> Result<ServerJsonRpcMessage, Failed> {
    let (status, headers) = (response.status(), response.headers().clone());
    let challenge = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    match (status, challenge) {
        (StatusCode::UNAUTHORIZED, challenge) => {
            return Err(StreamableHttpError::AuthRequired(AuthRequiredError::new(challenge.unwrap_or_default())));
        }
        (StatusCode::FORBIDDEN, Some(challenge)) => {
            return Err(StreamableHttpError::InsufficientScope(InsufficientScopeError::new(challenge, None)));
        }
        (StatusCode::NOT_FOUND, _) if in_session => return Err(StreamableHttpError::SessionExpired),
        _ => {}
    }
    let is_trouble = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    let body = if is_of(&headers, JSON) && status != StatusCode::TOO_MANY_REQUESTS {
        whole(response, limits.max_json_response_size).await.unwrap_or_default()
    } else {
        Vec::new()
    };
    match read(&body) {
        Some(message @ JsonRpcMessage::Error(_)) if status != StatusCode::FORBIDDEN => Ok(message),
        _ if is_trouble => {
            let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
            Err(HttpStatusError::new(status.as_u16(), after).into())
        }
        _ => Err(StreamableHttpError::UnexpectedServerResponse(Cow::from(format!("HTTP {status}")))),
    }
}

fn is_of(headers: &HeaderMap, media_type: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

/// Reads a body within a limit.
async fn whole(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(StreamableHttpError::Client)? {
        if body.len() + piece.len() > bytes_max {
            return Err(StreamableHttpError::ResponseBodyTooLarge { max_size: bytes_max });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Parses a message from a body: JSON, mended if necessary, or a stream with one event under another content type.
fn read(body: &[u8]) -> Option<ServerJsonRpcMessage> {
    let body = body.strip_prefix(BOM).unwrap_or(body).trim_ascii();
    let data: Vec<u8>;
    let json = if body.starts_with(b"{") {
        body
    } else {
        let lines = body.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(|line| line.strip_prefix(b"data:"));
        data = lines.flatten().copied().collect();
        data.trim_ascii()
    };
    match mended(json) {
        Some(mended) => serde_json::from_str(&mended).ok(),
        None => serde_json::from_slice(json).ok(),
    }
}

fn mend(event: Sse) -> Sse {
    let data = event.data.as_deref().and_then(|data| mended(data.as_bytes()));
    Sse { data: data.or(event.data), ..event }
}

/// Returns a response's events; one that is larger than `bytes_max` ends the stream.
fn events(response: Response, bytes_max: usize) -> Events {
    let bytes = bounded(response.bytes_stream(), bytes_max);
    SseStream::from_bytes_stream(Box::pin(bytes)).map(|event| event.map(mend)).boxed()
}

/// Counts the bytes between two empty lines.
fn bounded(
    stream: impl Stream<Item = Result<Bytes, reqwest::Error>>,
    bytes_max: usize,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    let (mut since, mut last) = (0_usize, 0_u8);
    stream.map(move |piece| {
        let piece = piece.map_err(std::io::Error::other)?;
        let mut most = 0;
        for &byte in &piece {
            since = if byte == last && matches!(byte, b'\n' | b'\r') { 0 } else { since + 1 };
            most = most.max(since);
            // A CRLF is a single line end.
            last = if byte == b'\r' && last == b'\n' { last } else { byte };
        }
        if most > bytes_max { Err(std::io::Error::other("an event is too large")) } else { Ok(piece) }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with these bytes.
    async fn answered(reply: String, limits: usize) -> Result<StreamableHttpPostResponse, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("it has one"));
        let serving = async {
            let (mut connection, _) = listener.accept().await.expect("a call");
            let mut head = [0; 4096];
            let _ = connection.read(&mut head).await;
            connection.write_all(reply.as_bytes()).await.expect("written");
            connection.shutdown().await.expect("closed");
        };
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let message: ClientJsonRpcMessage = serde_json::from_value(message).expect("is one");
        let client = Lenient(Client::builder().no_proxy().build().expect("a client"));
        let mut bounds = StreamableHttpResponseLimits::default();
        (bounds.max_json_response_size, bounds.max_sse_event_size) = (limits, limits);
        let asking = client.post_message_with_response_limits(url.into(), message, None, None, HashMap::new(), bounds);
        tokio::join!(asking, serving).0
    }

    async fn told(content_type: &str, body: &str, limit: usize) -> String {
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{content_type}\r\n");
        match answered(format!("{head}{body}"), limit).await {
            Ok(StreamableHttpPostResponse::Json(message, _)) => serde_json::to_string(&message).expect("is JSON"),
            Ok(StreamableHttpPostResponse::Sse(mut events, _)) => {
                let mut data = String::new();
                while let Some(event) = events.next().await {
                    match event {
                        Ok(event) => data.push_str(&event.data.unwrap_or_default()),
                        Err(error) => return error.to_string(),
                    }
                }
                data
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn c12_a_server_over_http_has_its_odd_parts_mended_as_a_program_has() {
        let tools = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","inputSchema":true},{"name":"b","inputSchema":{"type":"object"},"annotations":5},7]}}"#;
        let half =
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"half \ud83d"},{"type":"video"}]}}"#;
        let typed = |kind: &str| format!("content-type: {kind}\r\n");
        for (kind, body) in [
            (typed(JSON), tools.to_owned()),
            (typed("application/json; charset=utf-8"), format!("\u{feff}{tools}\n")),
            (typed("text/plain"), tools.to_owned()),
            (String::new(), tools.to_owned()),
            (typed(EVENTS), format!("event: message\ndata: {tools}\n\n")),
            (typed("text/event-stream; charset=utf-8"), format!(": hello\r\ndata: {tools}\r\n\r\n")),
            (typed("application/octet-stream"), format!("event: message\ndata: {tools}\n\n")),
        ] {
            let told = told(&kind, &body, 1 << 20).await;
            assert!(told.contains(r#""name":"a""#) && told.contains(r#""name":"b""#), "{kind}: {told}");
            let read: Result<ServerJsonRpcMessage, _> = serde_json::from_str(&told);
            assert!(matches!(read, Ok(JsonRpcMessage::Response(_))), "{kind}: {told}");
        }
        for body in [half.to_owned(), format!("data: {half}\n\n")] {
            let kind = if body.starts_with('{') { JSON } else { EVENTS };
            let told = told(&typed(kind), &body, 1 << 20).await;
            assert!(told.contains("half \u{fffd}") && told.contains("cannot be read, left out"), "{told}");
        }
    }

    #[tokio::test]
    async fn what_is_no_message_or_too_large_is_a_fault_and_a_refusal_keeps_its_status() {
        let typed = |kind: &str| format!("content-type: {kind}\r\n");
        assert!(told(&typed("text/html"), "<html>", 100).await.contains("no message"));
        assert!(told(&typed(JSON), &"x".repeat(200), 100).await.contains("maximum size"));
        let large = told(&typed(EVENTS), &format!("data: {}\n\n", "x".repeat(200)), 100).await;
        assert!(!large.contains("xxx") && !large.is_empty(), "{large}");
        let many = "data: 1\n\n".repeat(60);
        assert_eq!(told(&typed(EVENTS), &many, 100).await, "1".repeat(60), "each of them is small");
        for (status, headers, body, part) in [
            ("401 Unauthorized", "", "", "Auth required"),
            ("403 Forbidden", "www-authenticate: Bearer scope=\"x\"\r\n", "", "scope"),
            ("403 Forbidden", "", "secret words", "HTTP 403 Forbidden"),
            ("404 Not Found", "", "secret words", "HTTP 404"),
            ("503 Service Unavailable", "retry-after: 7\r\n", "secret words", "503"),
        ] {
            let reply = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n{body}");
            let error = answered(reply, 1 << 20).await.expect_err(status).to_string();
            assert!(error.contains(part) && !error.contains("secret"), "{status}: {error}");
        }
        let refusal = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#;
        let reply = format!("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: {JSON}\r\n\r\n{refusal}");
        assert!(matches!(
            answered(reply, 1 << 20).await,
            Ok(StreamableHttpPostResponse::Json(JsonRpcMessage::Error(_), None))
        ));
    }
}
