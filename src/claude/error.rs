//! Errors between us and the Messages API: by cause, with what to do.

mod quoted;

use std::{borrow::Cow, fmt, time::Duration};

pub(crate) use self::quoted::QUOTED_CHARS_MAX;
pub(crate) use self::quoted::Quoted;
use super::stream::StreamError;
use crate::core::reach::Obstacle;

/// A call without an answer.
///
/// Its `Display` is for operators: what is wrong, where, and how to mend it. It marks quotes of the provider as such,
/// and never contains the key or a prompt.
#[derive(Debug)]
pub struct Error {
    /// Why it failed.
    pub cause: Cause,
    /// How far the call had come.
    pub phase: Phase,
    /// The base URL without credentials.
    pub base_url: String,
    /// The response's `request-id`, for the provider's support.
    pub request_id: Option<String>,
}

/// How far a call had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before anything of an answer.
    BeforeAnswer,
    /// After part of an answer, which is worthless by itself.
    DuringAnswer,
}

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The same request may succeed later; the call's own retries are spent.
    RetryLater {
        /// The earliest time for that, if the provider states one.
        after: Option<Duration>,
    },
    /// The answer broke off: discard it and ask again.
    Regenerate,
    /// Shorten the request: it is too large.
    Shorten,
    /// Have an operator mend the configuration or the account.
    MendConfig,
    /// Do nothing: it would fail again.
    Fail,
}

/// Which wait timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For connecting.
    Connect,
    /// For the response's headers.
    Headers,
    /// For the next byte of the answer.
    Idle,
    /// For the whole answer, including retries.
    Overall,
}

/// The code of an error that is a filter's refusal of the request or its answer.
pub(super) const FLAGGED: &str = "flagged";

/// What came where nothing came.
const NOTHING: &str = "an empty answer";

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// No key is configured.
    #[error("no API key is set")]
    MissingKey,
    /// The key contains characters that a header cannot.
    #[error("the API key holds characters that no header can carry")]
    UnusableKey,
    /// The base URL is not http(s), or contains credentials.
    #[error("the base URL is not an http or https URL without user name and password")]
    UnusableBaseUrl,
    /// The HTTP client cannot be built, e.g. without root certificates.
    #[error("the HTTP client cannot be set up: {reason}")]
    Setup {
        /// The library's error text.
        reason: String,
    },
    /// The key was refused (401 or 403).
    #[error("the API key was refused (HTTP {status}); {said}")]
    KeyRefused {
        /// The status, 401 or 403.
        status: u16,
        /// The provider's text.
        said: Quoted,
    },
    /// The account cannot pay: 402, a spend limit, an empty balance, an organisation on hold.
    #[error("the account cannot pay for the call; {said}")]
    Billing {
        /// The provider's text.
        said: Quoted,
    },
    /// The model does not exist (404).
    #[error("the model {model:?} was not found; {said}")]
    ModelNotFound {
        /// The requested id.
        model: String,
        /// The provider's text.
        said: Quoted,
    },
    /// The request is too large (413).
    #[error("the request of {request_bytes} bytes is too large")]
    TooLarge {
        /// The request's size.
        request_bytes: usize,
    },
    /// The request was refused, with 400 or another status.
    #[error("the request was refused as invalid (HTTP {status}{}); {said}", code.as_deref().map(|code| format!(", {code}")).unwrap_or_default())]
    InvalidRequest {
        /// The status.
        status: u16,
        /// `details.error_code`.
        code: Option<String>,
        /// The provider's text.
        said: Quoted,
    },
    /// The request was not sent, because it would be refused; says why.
    #[error("the request was not sent: {0}")]
    Unsendable(&'static str),
    /// Too many requests (429).
    #[error("the rate limit is reached; {said}")]
    RateLimited {
        /// The pause that the provider demands.
        retry_after: Option<Duration>,
        /// The provider's text.
        said: Quoted,
    },
    /// The provider is overloaded (529 or `overloaded_error`).
    #[error("the API is overloaded")]
    Overloaded,
    /// The provider failed (408, 409 and 5xx).
    #[error("the API could not serve the request now (HTTP {status}); {said}")]
    Server {
        /// The status; 200 for an error inside a stream.
        status: u16,
        /// The provider's text.
        said: Quoted,
    },
    /// A wait timed out.
    #[error("{}", wait_text(*wait, *limit))]
    Timeout {
        /// Which wait.
        wait: Wait,
        /// Its limit.
        limit: Duration,
    },
    /// No connection, or it broke before the response's headers.
    #[error("there is no connection: {reason}")]
    Connect {
        /// The library's error text.
        reason: String,
    },
    /// The connection broke during the answer, or the stream is not a whole message.
    #[error("the answer broke off: {0}")]
    BrokenStream(#[from] StreamError),
    /// A web page in the API's place, as gateways and firewalls send temporarily.
    #[error("what answered is a page and not the Messages API: {what} (HTTP {status})")]
    Page {
        /// The status.
        status: u16,
        /// What came instead.
        what: String,
    },
    /// What answered does not speak the Messages API.
    #[error("this address does not speak the Messages API: {what} (HTTP {status})")]
    Protocol {
        /// The status.
        status: u16,
        /// What came instead.
        what: String,
    },
}

/// How the description of an answer begins that is compressed in a way that this client does not read.
pub(super) const COMPRESSED: &str = "an answer that is compressed as";

fn wait_text(wait: Wait, limit: Duration) -> String {
    let what = match wait {
        Wait::Connect => "no connection was made",
        Wait::Headers => "no response began",
        Wait::Idle => "the answer stood still, without a byte",
        Wait::Overall => "the answer was not complete",
    };
    format!("{what} for {limit:?}")
}

impl Cause {
    /// All names that [`Self::name`] returns.
    pub const NAMES: [&str; 18] = [
        "missing_key",
        "unusable_key",
        "unusable_base_url",
        "setup",
        "key_refused",
        "billing",
        "model_not_found",
        "too_large",
        "invalid_request",
        "unsendable",
        "rate_limited",
        "overloaded",
        "server",
        "timeout",
        "connect",
        "broken_stream",
        "page",
        "protocol",
    ];

    /// Returns the cause where a success came with nothing in it.
    #[must_use]
    pub fn nothing(status: u16) -> Self {
        Self::Protocol { status, what: NOTHING.to_owned() }
    }

    /// Returns whether a success came with nothing in it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Protocol { what, .. } if what == NOTHING)
    }

    /// Returns a fixed short name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MissingKey => "missing_key",
            Self::UnusableKey => "unusable_key",
            Self::UnusableBaseUrl => "unusable_base_url",
            Self::Setup { .. } => "setup",
            Self::KeyRefused { .. } => "key_refused",
            Self::Billing { .. } => "billing",
            Self::ModelNotFound { .. } => "model_not_found",
            Self::TooLarge { .. } => "too_large",
            Self::InvalidRequest { .. } => "invalid_request",
            Self::Unsendable(_) => "unsendable",
            Self::RateLimited { .. } => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Server { .. } => "server",
            Self::Timeout { .. } => "timeout",
            Self::Connect { .. } => "connect",
            Self::BrokenStream(_) => "broken_stream",
            Self::Page { .. } => "page",
            Self::Protocol { .. } => "protocol",
        }
    }

    fn mend(&self) -> Cow<'static, str> {
        if let Self::Connect { reason } = self {
            return Obstacle::mend_of(reason, "claude.base_url").into();
        }
        Cow::Borrowed(match self {
            Self::MissingKey => {
                "set claude.api_key_file (or claude.auth_token_file), or ANTHROPIC_API_KEY in the environment"
            }
            Self::UnusableKey => "look for line ends and quotes in the key's value or file",
            Self::UnusableBaseUrl => "set claude.base_url, e.g. to https://api.anthropic.com",
            Self::Setup { .. } => "install the system's CA certificates",
            Self::KeyRefused { .. } => "check claude.api_key, and that it may use this model",
            Self::Billing { .. } => {
                "see to the credit, the spend limits and the state of the organisation in the provider's console"
            }
            Self::ModelNotFound { .. } => "set an existing model id in the config; ids carry no date suffix since 4.6",
            Self::TooLarge { .. } => "lower limits.context_tokens_max",
            Self::InvalidRequest { status: 404 | 405, .. } => {
                "check claude.base_url (without /v1): what answers there has no Messages API, or not this model"
            }
            Self::InvalidRequest { .. } | Self::Unsendable(_) => {
                "this is a fault of Workmate or of a setting (model, effort, output_tokens_max)"
            }
            Self::RateLimited { .. } => "lower limits.runs_max, or have the account's limits raised",
            Self::Overloaded | Self::Server { .. } => "nothing here: it passes, see the provider's status page",
            Self::Timeout { wait: Wait::Connect | Wait::Headers, .. } | Self::Connect { .. } => {
                "check claude.base_url, the network, DNS and proxies"
            }
            Self::Timeout { .. } | Self::BrokenStream(_) => {
                "ask again; if it stays, look at proxies that buffer or cut long responses"
            }
            Self::Protocol { what, .. } if what.starts_with(COMPRESSED) => {
                "turn the compression off in the gateway at claude.base_url, or let it heed `accept-encoding: identity`"
            }
            Self::Page { .. } | Self::Protocol { .. } => {
                "check claude.base_url (without /v1), and for proxies or firewalls in between"
            }
        })
    }
}

impl Error {
    /// Returns whether the provider's content filter refused the request or its answer. It says so as an invalid request
    /// (docs/claude-api.md, section 8), but means a refusal.
    #[must_use]
    pub fn is_content_filtered(&self) -> bool {
        matches!(&self.cause, Cause::InvalidRequest { code: Some(code), .. } if code == FLAGGED)
    }

    /// Returns the text with the remedy on a separate line, for reports and `/readyz`.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{}\n  Mend: {}", self.what(), self.cause.mend())
    }

    fn what(&self) -> String {
        let request = self.request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
        format!("claude at {}: {}{request}", self.base_url, self.cause)
    }

    /// Returns what to do about the error.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match &self.cause {
            Cause::MissingKey
            | Cause::UnusableKey
            | Cause::UnusableBaseUrl
            | Cause::Setup { .. }
            | Cause::KeyRefused { .. }
            | Cause::Billing { .. }
            | Cause::ModelNotFound { .. }
            | Cause::Protocol { .. } => Advice::MendConfig,
            Cause::TooLarge { .. } => Advice::Shorten,
            Cause::InvalidRequest { .. }
            | Cause::Unsendable(_)
            | Cause::BrokenStream(StreamError::LineTooLong { .. } | StreamError::MessageTooLong { .. }) => Advice::Fail,
            // Nothing was said, and the call's own retries are spent.
            Cause::BrokenStream(StreamError::EndedEarly) if self.phase == Phase::BeforeAnswer => {
                Advice::RetryLater { after: None }
            }
            // Nothing acts on a partial answer, so asking again is harmless.
            Cause::BrokenStream(_) => Advice::Regenerate,
            _ if self.phase == Phase::DuringAnswer => Advice::Regenerate,
            Cause::RateLimited { retry_after, .. } => Advice::RetryLater { after: *retry_after },
            Cause::Overloaded
            | Cause::Server { .. }
            | Cause::Page { .. }
            | Cause::Timeout { .. }
            | Cause::Connect { .. } => Advice::RetryLater { after: None },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. Mend: {}", self.what(), self.cause.mend())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(cause: Cause, phase: Phase) -> Error {
        Error { cause, phase, base_url: "https://api.example".to_owned(), request_id: Some("req_1".to_owned()) }
    }

    #[test]
    fn an_operator_reads_what_where_and_how_to_mend_it() {
        let said = Quoted::new("invalid x-api-key: sk-ant-1\nsecond line", Some("sk-ant-1"));
        assert_eq!(
            error(Cause::KeyRefused { status: 401, said }, Phase::BeforeAnswer).to_string(),
            "claude at https://api.example: the API key was refused (HTTP 401); the API says: “invalid x-api-key: … \
             second line” (request req_1). Mend: check claude.api_key, and that it may use this model"
        );
    }

    #[test]
    fn advice_depends_on_cause_and_phase() {
        let after = Some(Duration::from_secs(90));
        let limit = Duration::from_secs(1);
        let said = Quoted::default;
        for (cause, before, during) in [
            (Cause::MissingKey, Advice::MendConfig, Advice::MendConfig),
            (Cause::TooLarge { request_bytes: 1 }, Advice::Shorten, Advice::Shorten),
            (Cause::Unsendable("it has no message"), Advice::Fail, Advice::Fail),
            (Cause::RateLimited { retry_after: after, said: said() }, Advice::RetryLater { after }, Advice::Regenerate),
            (Cause::Overloaded, Advice::RetryLater { after: None }, Advice::Regenerate),
            (Cause::Timeout { wait: Wait::Idle, limit }, Advice::RetryLater { after: None }, Advice::Regenerate),
            (Cause::BrokenStream(StreamError::EndedEarly), Advice::RetryLater { after: None }, Advice::Regenerate),
            (Cause::BrokenStream(StreamError::Undecodable), Advice::Regenerate, Advice::Regenerate),
        ] {
            let found = [Phase::BeforeAnswer, Phase::DuringAnswer].map(|phase| error(cause.clone(), phase).advice());
            assert_eq!(found, [before, during], "{cause}");
        }
    }
}
