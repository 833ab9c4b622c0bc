//! Things that go on side by side, and go on while their owner waits for something else.

use std::{collections::VecDeque, future::Future, pin::pin};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};

/// Futures that are driven whenever their owner waits, for one of them or [`beside`](Self::beside) them.
///
/// One that nobody drives keeps the locks it holds. An owner that then waits for one of these locks waits for ever:
/// while futures are under way, it awaits nothing but through here.
pub(super) struct UnderWay<'a, T> {
    going: FuturesUnordered<BoxFuture<'a, T>>,
    ended: VecDeque<T>,
}

impl<'a, T> UnderWay<'a, T> {
    pub(super) fn new() -> Self {
        Self { going: FuturesUnordered::new(), ended: VecDeque::new() }
    }

    pub(super) fn push(&mut self, future: impl Future<Output = T> + Send + 'a) {
        self.going.push(future.boxed());
    }

    /// Whether nothing goes on, and nothing has ended that was not taken yet.
    pub(super) fn is_empty(&self) -> bool {
        self.going.is_empty() && self.ended.is_empty()
    }

    /// Waits for the next one that ends; `None` where there is none.
    pub(super) async fn next(&mut self) -> Option<T> {
        match self.ended.pop_front() {
            Some(ended) => Some(ended),
            None => self.going.next().await,
        }
    }

    /// Waits for something else while these go on.
    pub(super) async fn beside<U>(&mut self, other: impl Future<Output = U>) -> U {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                done = &mut other => return done,
                Some(ended) = self.going.next() => self.ended.push_back(ended),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Mutex, oneshot};

    use super::*;

    #[tokio::test]
    async fn who_waits_for_what_one_of_them_holds_gets_it() {
        let lock = Arc::new(Mutex::new(()));
        let (go_on, told) = oneshot::channel::<()>();
        let mut under_way = UnderWay::new();
        let theirs = lock.clone();
        under_way.push(async move {
            let _held = theirs.lock().await;
            told.await.is_ok()
        });
        // It holds the lock by now, and would keep it if it were left alone.
        assert!(under_way.next().now_or_never().is_none() && lock.try_lock().is_err());
        go_on.send(()).expect("it is there");
        let _ours = under_way.beside(lock.lock()).await;
        assert!(!under_way.is_empty(), "what ended meanwhile is kept");
        assert_eq!((under_way.next().await, under_way.next().await), (Some(true), None));
        assert!(under_way.is_empty());
    }
}
