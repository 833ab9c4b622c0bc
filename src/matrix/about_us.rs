//! What an operator is told when the homeserver, or something in its place, keeps us from working at all.

use super::MatrixError;
use crate::core::reach::homeserver;

impl MatrixError {
    /// Returns the error with its remedy if it concerns us and not one room; for `/readyz`, `check` and the start.
    #[must_use]
    pub fn about_us(&self, url: &str) -> String {
        let why = match self {
            Self::Refused { call, status, errcode, message, retry_after } => {
                homeserver::refused(call, *status, errcode, message, *retry_after)
            }
            Self::NotMatrix { status, call, .. } => homeserver::foreign(*status, call),
            _ => return self.to_string(),
        };
        format!("homeserver {}: {why}", url.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op2_a_refusal_of_us_and_a_page_are_told_with_where_and_their_mend() {
        let call = || "GET /whoami".to_owned();
        let url = || "https://hs.example/".to_owned();
        let [errcode, message] = ["M_LIMIT_EXCEEDED", "slow down"].map(ToOwned::to_owned);
        for (error, what) in [
            (
                MatrixError::Refused { call: call(), status: 429, errcode, message, retry_after: None },
                "rate_limited: false",
            ),
            (MatrixError::NotMatrix { url: url(), status: 200, call: call() }, "but not as a homeserver does"),
            (MatrixError::Token { url: url() }, "refused our as_token"),
        ] {
            let told = error.about_us("https://hs.example/");
            assert!(
                told.starts_with("homeserver https://hs.example") && told.contains(what) && told.contains("\n  Mend: "),
                "{told}"
            );
        }
    }
}
