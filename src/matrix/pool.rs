//! Which clients are open: coworkers' always, assistants' when needed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio::{
    sync::{Notify, OnceCell},
    time::Instant,
};

use super::{
    account::Account,
    error::MatrixError,
    provision::{Persona, Provisioner},
};

/// An assistant's client that nobody used for this long is closed.
const IDLE: Duration = Duration::from_mins(10);

/// The open clients; coworkers and the service bot stay, assistants come and go.
pub struct Pool {
    provisioner: Provisioner,
    lasting: Mutex<HashMap<OwnedUserId, Arc<Account>>>,
    passing: Mutex<HashMap<OwnedUserId, Passing>>,
    passing_max: usize,
    freed: Notify,
}

struct Passing {
    cell: Arc<OnceCell<Arc<Account>>>,
    used: Instant,
}

impl Pool {
    /// Returns a pool with at most `passing_max` assistants' clients open at once.
    #[must_use]
    pub fn new(provisioner: Provisioner, passing_max: usize) -> Self {
        Self {
            provisioner,
            lasting: Mutex::default(),
            passing: Mutex::default(),
            passing_max: passing_max.max(1),
            freed: Notify::new(),
        }
    }

    /// Returns what provisions users.
    #[must_use]
    pub fn provisioner(&self) -> &Provisioner {
        &self.provisioner
    }

    /// Keeps a client open from now on.
    pub fn keep(&self, account: Arc<Account>) {
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        lasting.insert(account.user().to_owned(), account);
    }

    /// Returns a client that is kept open.
    #[must_use]
    pub fn kept(&self, user: &UserId) -> Option<Arc<Account>> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned()
    }

    /// Returns every client that is kept open.
    #[must_use]
    pub fn all_kept(&self) -> Vec<Arc<Account>> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns an assistant's client, opened if need be; the least recently used one makes room.
    ///
    /// # Errors
    /// When it cannot be opened. Waits while every place is in use.
    pub async fn passing(&self, persona: &Persona) -> Result<Arc<Account>, MatrixError> {
        let cell = loop {
            let freed = self.freed.notified();
            if let Some(cell) = self.place(&persona.user) {
                break cell;
            }
            // A place is also free once a run drops its client, which notifies nobody.
            let _ = tokio::time::timeout(Duration::from_millis(200), freed).await;
        };
        let opened = cell.get_or_try_init(|| async { Box::pin(self.provisioner.open(persona)).await.map(Arc::new) });
        match opened.await {
            Ok(account) => Ok(account.clone()),
            Err(error) => {
                self.passing.lock().unwrap_or_else(PoisonError::into_inner).remove(&persona.user);
                self.freed.notify_waiters();
                Err(error)
            }
        }
    }

    /// Closes assistants' clients that nobody used for a while.
    pub fn close_idle(&self, now: Instant) {
        self.close(|passing| now.duration_since(passing.used) >= IDLE);
    }

    /// Returns how many assistants' clients are open.
    #[must_use]
    pub fn passing_len(&self) -> usize {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn place(&self, user: &UserId) -> Option<Arc<OnceCell<Arc<Account>>>> {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = passing.get_mut(user) {
            known.used = Instant::now();
            return Some(known.cell.clone());
        }
        if passing.len() >= self.passing_max {
            let oldest = passing.iter().filter(|(_, p)| p.is_free()).min_by_key(|(_, p)| p.used);
            let oldest = oldest.map(|(user, _)| user.clone())?;
            if let Some(closed) = passing.remove(&oldest) {
                self.forget(&closed);
            }
        }
        let cell = Arc::new(OnceCell::new());
        passing.insert(user.to_owned(), Passing { cell: cell.clone(), used: Instant::now() });
        Some(cell)
    }

    fn close(&self, which: impl Fn(&Passing) -> bool) {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        passing.retain(|_, entry| {
            let closes = entry.is_free() && which(entry);
            if closes {
                self.forget(entry);
            }
            !closes
        });
        drop(passing);
        self.freed.notify_waiters();
    }

    fn forget(&self, closed: &Passing) {
        if let Some(account) = closed.cell.get() {
            self.provisioner.api().proxy().revoke(account.token());
        }
    }
}

impl Passing {
    /// Whether nobody but the pool holds the client, and nobody is opening it.
    fn is_free(&self) -> bool {
        match self.cell.get() {
            Some(account) => Arc::strong_count(account) == 1,
            None => Arc::strong_count(&self.cell) == 1,
        }
    }
}
