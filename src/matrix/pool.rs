//! Which clients are open: coworkers' always, assistants' on demand.

mod places;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio::{sync::Notify, time::Instant};

use self::places::{Place, Places};
use super::{
    account::Account,
    error::MatrixError,
    provision::{Persona, Provisioner},
};

/// How long an assistant's client stays open without use.
const IDLE: Duration = Duration::from_mins(10);
/// How often to look for a place that was freed without a notification.
const FREED_CHECK: Duration = Duration::from_millis(200);

/// The open clients: coworkers' and the service bot's stay, assistants' come and go.
pub(crate) struct Pool {
    provisioner: Provisioner,
    lasting: Mutex<HashMap<OwnedUserId, Arc<Account>>>,
    passing: Mutex<Places<Account>>,
    freed: Notify,
}

impl Pool {
    /// Returns a pool with at most `passing_max` assistants' clients open at once.
    #[must_use]
    pub(crate) fn new(provisioner: Provisioner, passing_max: usize) -> Self {
        let passing = Mutex::new(Places::new(passing_max));
        Self { provisioner, lasting: Mutex::default(), passing, freed: Notify::new() }
    }

    /// Returns the provisioner.
    #[must_use]
    pub(crate) fn provisioner(&self) -> &Provisioner {
        &self.provisioner
    }

    /// Keeps a client open from now on, replacing an older one.
    pub(crate) fn keep(&self, account: Arc<Account>) {
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        let older = lasting.insert(account.user().to_owned(), account);
        drop(lasting);
        if let Some(older) = older {
            older.give_up();
            self.provisioner.api().proxy().revoke(older.token());
        }
    }

    /// Returns a user's client if it is open.
    #[must_use]
    pub(crate) fn opened(&self, user: &UserId) -> Option<Arc<Account>> {
        let passing = || self.passing.lock().unwrap_or_else(PoisonError::into_inner).opened(user);
        self.kept(user).or_else(passing)
    }

    /// Drops an assistant's client that can no longer act; the next use opens a new one.
    pub(crate) fn drop_passing(&self, account: &Account) {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        passing.remove(account.user());
        let open = passing.len();
        drop(passing);
        self.close(account, open);
        self.freed.notify_waiters();
    }

    /// Returns a permanently open client.
    #[must_use]
    pub(crate) fn kept(&self, user: &UserId) -> Option<Arc<Account>> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned()
    }

    /// Returns every permanently open client.
    #[must_use]
    pub(crate) fn all_kept(&self) -> Vec<Arc<Account>> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns an assistant's client, opening it if necessary; the least recently used one is closed for it. Waits
    /// while every place is in use.
    ///
    /// # Errors
    /// When the client cannot be opened.
    pub(crate) async fn passing(&self, persona: &Persona) -> Result<Arc<Account>, MatrixError> {
        let place = loop {
            let freed = self.freed.notified();
            if let Some(place) = self.place(&persona.user) {
                break place;
            }
            // A run that drops its client also frees a place, without a notification.
            let _ = tokio::time::timeout(FREED_CHECK, freed).await;
        };
        let opened = place.get_or_try_init(|| async {
            let account = Box::pin(self.provisioner.open(persona)).await?;
            tracing::debug!(user.id = %persona.user, open = self.passing_len(), "an assistant's client was opened");
            Ok(account)
        });
        match opened.await {
            Ok(account) => Ok(account.clone()),
            Err(error) => {
                self.passing.lock().unwrap_or_else(PoisonError::into_inner).give_back(&persona.user, &place);
                self.freed.notify_waiters();
                Err(error)
            }
        }
    }

    /// Closes assistants' clients that have not been used for a while.
    pub(crate) fn close_idle(&self, now: Instant) {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = passing.close_idle(now, IDLE);
        let open = passing.len();
        drop(passing);
        for account in closed {
            self.close(&account, open);
        }
        self.freed.notify_waiters();
    }

    /// Closes a client for good and deletes its folder with all keys.
    ///
    /// # Errors
    /// When the folder cannot be deleted.
    pub(crate) fn erase(&self, account: Arc<Account>) -> Result<(), MatrixError> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner).remove(account.user());
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        passing.remove(account.user());
        let open = passing.len();
        drop(passing);
        self.close(&account, open);
        let dir = account.dir().clone();
        drop(account);
        self.freed.notify_waiters();
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            erased => erased.map_err(|cause| MatrixError::File { path: dir.display().to_string(), cause }),
        }
    }

    /// Returns the assistants whose clients are open or opening.
    #[must_use]
    pub(crate) fn passing_users(&self) -> Vec<OwnedUserId> {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner).users()
    }

    /// Returns how many assistants' clients are open or opening.
    #[must_use]
    pub(crate) fn passing_len(&self) -> usize {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn place(&self, user: &UserId) -> Option<Place<Account>> {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, closed) = passing.take(user, Instant::now())?;
        let others = passing.len() - 1;
        drop(passing);
        if let Some(account) = closed {
            self.close(&account, others);
        }
        Some(place)
    }

    /// Revokes a closed client's token at the proxy; `open` clients are left.
    fn close(&self, account: &Account, open: usize) {
        self.provisioner.api().proxy().revoke(account.token());
        tracing::debug!(user.id = %account.user(), open, "an assistant's client was closed");
    }
}
