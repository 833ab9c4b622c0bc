//! A virtual user's SDK client and stores. Waking an assistant builds one, so its cost matters.

use std::{path::Path, time::Duration};

use matrix_sdk::{
    Client, SqliteCryptoStore, SqliteStateStore, SqliteStoreConfig,
    config::RequestConfig,
    cross_process_lock::CrossProcessLockConfig,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
};
use matrix_sdk_base::store::StoreConfig;
use ruma::UserId;

use crate::{
    matrix::{api::Api, error::MatrixError},
    secret::MasterSecret,
};

/// SQLite connections of a store; each costs file descriptors.
const CONNECTIONS_MAX: usize = 2;
/// Tries of a call before it is reported as failed.
const CALL_TRIES: usize = 3;
/// How long one call to the homeserver may take.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// What a user's client keeps of its encryption at the homeserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// An identity and a key backup, which outlive the device.
    Identity,
    /// Nothing but the device.
    Device,
}

/// Builds a user's client with stores in `dir`, sealed under the user's own key; also returns its key store.
pub(super) async fn build(
    api: &Api,
    master: &MasterSecret,
    user: &UserId,
    dir: &Path,
    keeps: Keeps,
) -> Result<(Client, SqliteCryptoStore), MatrixError> {
    let failed =
        |cause: String| MatrixError::UserStore { user: user.to_string(), dir: dir.display().to_string(), cause };
    // A raw key: deriving it slowly, as from a passphrase, would gain nothing.
    let key = master.derive(&format!("store:{user}"));
    let config = SqliteStoreConfig::with_low_memory_config(dir).pool_max_size(CONNECTIONS_MAX).key(Some(&key));
    let opened =
        tokio::try_join!(SqliteStateStore::open_with_config(&config), SqliteCryptoStore::open_with_config(&config));
    let (state, crypto) = opened.map_err(|error| failed(error.to_string()))?;
    // The default writes a lease every 50 ms for each client.
    let stores =
        StoreConfig::new(CrossProcessLockConfig::SingleProcess).state_store(state).crypto_store(crypto.clone());
    // We use neither the SDK's event cache nor its media cache, so neither is opened on disk.
    let encryption = EncryptionSettings {
        auto_enable_cross_signing: keeps == Keeps::Identity,
        auto_enable_backups: keeps == Keeps::Identity,
        backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
    };
    let built = Client::builder()
        .homeserver_url(api.proxy().url())
        // Shared by all clients: separate ones would each read the system's certificates and connect to the proxy anew.
        .http_client(api.http().clone())
        .cross_process_store_config(CrossProcessLockConfig::SingleProcess)
        .store_config(stores)
        .with_encryption_settings(encryption)
        .request_config(RequestConfig::new().retry_limit(CALL_TRIES).timeout(CALL_TIMEOUT))
        .build();
    let client = Box::pin(built).await.map_err(|error| failed(error.to_string()))?;
    Ok((client, crypto))
}
