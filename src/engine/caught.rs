//! Panics, kept to the work that they came from: one message that a library cannot take costs itself.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;

use super::EngineError;

/// Does a piece of work; a panic in it is a failure that no second try mends.
///
/// The panic itself is logged by the hook (`cli/telemetry.rs`), without its words, which may be somebody's.
pub(super) async fn caught<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, EngineError>
where
    EngineError: From<E>,
{
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => Ok(done?),
        Err(_) => Err(EngineError::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::MatrixError;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_is_not_tried_again() {
        let panics = caught(async {
            let empty: [u8; 0] = std::hint::black_box([]);
            Ok::<_, MatrixError>(empty[std::hint::black_box(0)])
        });
        let error = panics.await.expect_err("it panics");
        assert!(matches!(error, EngineError::Panicked) && !error.is_passing());
        assert_eq!(caught(async { Ok::<_, MatrixError>(7) }).await.ok(), Some(7));
    }
}
