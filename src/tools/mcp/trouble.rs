//! Why an MCP server is down, for the operator's log; never in the server's words.

use rmcp::{
    service::{ClientInitializeError, ServiceError},
    transport::{DynamicTransportError, streamable_http_client::StreamableHttpError},
};

use super::watched::{FLOOD_SECONDS, MESSAGES_MAX};

/// Why a server is down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("its program cannot be started: {}; check `command` in the config, and that the program is installed", told(*.0))]
    Spawn(std::io::ErrorKind),
    #[error("the config has no credential {0}; add it to `credentials`")]
    Credential(String),
    #[error("its header {0} cannot be sent; check `headers` in the config")]
    Header(String),
    #[error("the HTTP client cannot be set up")]
    Setup,
    #[error("it did not initialise in time; see whether it runs by hand")]
    InitialiseTooSlow,
    #[error("it did not initialise: {0}")]
    Initialise(String),
    #[error("it did not list its tools in time")]
    ListTooSlow,
    #[error("it did not list its tools: {0}")]
    List(String),
    #[error("it closed the connection; see whether it runs by hand")]
    Closed,
    #[error("it sent too much (more than {MESSAGES_MAX} messages or 64 MiB in {FLOOD_SECONDS} s)")]
    Flooded,
    #[error("it hangs: neither a call nor a ping was answered")]
    Silent,
}

impl Trouble {
    pub(super) fn initialise(error: &ClientInitializeError) -> Self {
        Self::Initialise(match error {
            ClientInitializeError::JsonRpcError(error) => format!("it answered with error {}", error.code.0),
            ClientInitializeError::TransportError { error, .. } => transport(error),
            ClientInitializeError::ConnectionClosed(_) => "it closed the connection; does it run by hand?".to_owned(),
            _ => "its answer is none to `initialize`; is it an MCP server?".to_owned(),
        })
    }

    pub(super) fn list(error: &ServiceError) -> Self {
        Self::List(match error {
            ServiceError::McpError(error) => format!("it answered with error {}", error.code.0),
            ServiceError::TransportSend(error) => transport(error),
            ServiceError::TransportClosed => "it closed the connection".to_owned(),
            _ => "its answer is none to `tools/list`".to_owned(),
        })
    }
}

/// Says why a program cannot be started.
fn told(kind: std::io::ErrorKind) -> String {
    match kind {
        std::io::ErrorKind::NotFound => "there is no such program".to_owned(),
        std::io::ErrorKind::PermissionDenied => "workmate's user may not run it".to_owned(),
        other => other.to_string(),
    }
}

/// Describes a transport error by kind and status only, because its text may contain a body.
fn transport(error: &DynamicTransportError) -> String {
    let Some(error) = error.error.downcast_ref::<StreamableHttpError<reqwest::Error>>() else {
        return "it ended, or closed its pipe; does it run by hand?".to_owned();
    };
    match error {
        StreamableHttpError::AuthRequired(_) => "HTTP 401: check its `headers`".to_owned(),
        StreamableHttpError::InsufficientScope(_) => "HTTP 403: its credential may not do that".to_owned(),
        StreamableHttpError::HttpStatus(error) => format!("HTTP {}", error.status),
        StreamableHttpError::SessionExpired => "its session expired".to_owned(),
        StreamableHttpError::ResponseBodyTooLarge { max_size } => format!("its answer is larger than {max_size} bytes"),
        StreamableHttpError::Client(error) if error.is_connect() => "it cannot be reached; is `url` right?".to_owned(),
        StreamableHttpError::Client(error) if error.is_timeout() => "it does not answer".to_owned(),
        StreamableHttpError::UnexpectedServerResponse(text) => status_in(text),
        _ => "its answer is not MCP's; is `url` its endpoint?".to_owned(),
    }
}

/// Extracts the status from rmcp's `HTTP 404 Not Found: body`.
fn status_in(text: &str) -> String {
    let digits = text.strip_prefix("HTTP ").and_then(|rest| rest.get(..3));
    match digits.filter(|digits| digits.chars().all(|char| char.is_ascii_digit())) {
        Some(digits) => format!("HTTP {digits}; is `url` its endpoint?"),
        None => "its answer is not MCP's; is `url` its endpoint?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op4_a_program_that_cannot_be_started_is_told_in_plain_words() {
        let told = |kind| Trouble::Spawn(kind).to_string();
        assert!(told(std::io::ErrorKind::NotFound).contains("there is no such program; check `command`"));
        assert!(told(std::io::ErrorKind::PermissionDenied).contains("may not run it; check `command`"));
    }

    #[test]
    fn of_a_body_only_the_status_is_said() {
        assert_eq!(status_in("HTTP 404 Not Found: secret words"), "HTTP 404; is `url` its endpoint?");
        assert_eq!(status_in("secret words"), "its answer is not MCP's; is `url` its endpoint?");
        assert_eq!(status_in("HTTP ü"), "its answer is not MCP's; is `url` its endpoint?");
    }
}
