//! The form of a call's body. What rmcp refuses in plain words, or takes for a method that nobody knows, is answered here
//! with the errors of JSON-RPC 2.0 (section 5.1).

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ErrorCode};
use serde_json::{Value, json};

/// The methods that are served. rmcp takes one of them whose `params` do not fit for a method of somebody's own.
const SERVED: [&str; 9] = [
    "initialize",
    "ping",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "prompts/list",
    "prompts/get",
];

/// Returns the answer to a body that is no message, or whose `params` do not fit its method.
pub(super) fn fault(body: &[u8]) -> Option<Response> {
    let Ok(message) = serde_json::from_slice::<Value>(body) else {
        let told = "the body is not JSON, or too deeply nested";
        return Some(error(StatusCode::BAD_REQUEST, &Value::Null, ErrorCode::PARSE_ERROR, told));
    };
    if message.is_array() {
        let told = "batches are not taken: send each message in a call of its own";
        return Some(error(StatusCode::BAD_REQUEST, &Value::Null, ErrorCode::INVALID_REQUEST, told));
    }
    let id = message.get("id").filter(|id| id.is_string() || id.is_i64()).unwrap_or(&Value::Null);
    match serde_json::from_slice(body) {
        Ok(ClientJsonRpcMessage::Request(request)) => {
            let ClientRequest::CustomRequest(custom) = request.request else { return None };
            // It was understood, so it is answered like every other request.
            let is_served = SERVED.contains(&custom.method.as_str());
            let told = "the params of this method are missing or do not fit it";
            is_served.then(|| error(StatusCode::OK, id, ErrorCode::INVALID_PARAMS, told))
        }
        Ok(_) => None,
        Err(_) => {
            let told = "not a message of JSON-RPC 2.0, or its id is neither text nor a whole number";
            Some(error(StatusCode::BAD_REQUEST, id, ErrorCode::INVALID_REQUEST, told))
        }
    }
}

fn error(status: StatusCode, id: &Value, code: ErrorCode, told: &str) -> Response {
    let body = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code.0, "message": told } });
    (status, Json(body)).into_response()
}
