//! Confines a panic to the work that it came from: a message that a library cannot handle fails alone.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;

use super::EngineError;

/// Does a piece of work; a panic in it is a failure that no retry mends.
///
/// The hook (`cli/telemetry.rs`) logs the panic itself, without its message, which may contain somebody's words.
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
