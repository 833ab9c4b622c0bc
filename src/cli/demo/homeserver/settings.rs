//! The embedded Synapse's configuration, and the secrets that it keeps between starts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::SERVER_NAME;
use crate::{cli::demo::private_file, secret::MasterSecret};

/// One homeserver's secrets, generated once and kept in its directory.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Secrets {
    pub(super) registration: String,
    macaroon: String,
    form: String,
    signing_key: String,
}

impl Secrets {
    /// Reads the directory's secrets, or generates them.
    pub(super) fn load_or_make(dir: &Path) -> Result<Self> {
        let path = dir.join("secrets.json");
        if let Ok(text) = fs::read_to_string(&path) {
            return serde_json::from_str(&text).with_context(|| {
                format!("{}: not readable as the homeserver's secrets. Mend: start with --fresh.", path.display())
            });
        }
        let random = || MasterSecret::random().encode().expose().to_owned();
        let secrets = Self { registration: random(), macaroon: random(), form: random(), signing_key: signing_key() };
        private_file::write(&path, &serde_json::to_string_pretty(&secrets)?)?;
        Ok(secrets)
    }
}

/// Generates an ed25519 seed in the form of Synapse's `signing.key`: algorithm, version, unpadded base64.
fn signing_key() -> String {
    let seed = MasterSecret::random().derive("synapse:signing-key");
    format!("ed25519 a_demo {}\n", STANDARD_NO_PAD.encode(seed))
}

/// Writes `homeserver.yaml` and the files it refers to; returns its path.
pub(super) fn write(dir: &Path, port: u16, registrations: &[PathBuf], secrets: &Secrets) -> Result<PathBuf> {
    let config = dir.join("homeserver.yaml");
    private_file::write(&dir.join("signing.key"), &secrets.signing_key)?;
    private_file::write(&dir.join("log.yaml"), &serde_json::to_string_pretty(&log_settings(dir))?)?;
    let settings = homeserver_settings(dir, port, registrations, secrets);
    // JSON is valid YAML, and it escapes paths safely.
    private_file::write(&config, &serde_json::to_string_pretty(&settings)?)?;
    Ok(config)
}

fn homeserver_settings(dir: &Path, port: u16, registrations: &[PathBuf], secrets: &Secrets) -> Value {
    let mut settings = json!({
        "server_name": SERVER_NAME,
        "report_stats": false,
        "pid_file": dir.join("homeserver.pid"),
        "listeners": [{
            "port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "tls": false,
            "resources": [{"names": ["client"], "compress": false}],
        }],
        "database": {"name": "sqlite3", "args": {"database": dir.join("homeserver.db")}},
        "media_store_path": dir.join("media"),
        "log_config": dir.join("log.yaml"),
        "signing_key_path": dir.join("signing.key"),
        "registration_shared_secret": secrets.registration,
        "macaroon_secret_key": secrets.macaroon,
        "form_secret": secrets.form,
        "app_service_config_files": registrations,
        "enable_registration": false,
        "bcrypt_rounds": 4,
        "presence": {"enabled": true},
        "url_preview_enabled": false,
        "trusted_key_servers": [],
        "suppress_key_server_warning": true,
        "federation_domain_whitelist": [],
    });
    for (name, limit) in unlimited_rates() {
        settings[name] = limit;
    }
    settings
}

/// Rate limits beyond the reach of any demo or test; by default a person may send only 28 messages in 90 s.
fn unlimited_rates() -> [(&'static str, Value); 9] {
    let rate = json!({"per_second": 10_000, "burst_count": 10_000});
    [
        ("rc_message", rate.clone()),
        ("rc_registration", rate.clone()),
        ("rc_joins_per_room", rate.clone()),
        ("rc_room_creation", rate.clone()),
        ("rc_key_requests", rate.clone()),
        ("rc_media_create", rate.clone()),
        ("rc_joins", json!({"local": rate, "remote": rate})),
        ("rc_login", json!({"address": rate, "account": rate, "failed_attempts": rate})),
        ("rc_invites", json!({"per_room": rate, "per_user": rate, "per_issuer": rate})),
    ]
}

fn log_settings(dir: &Path) -> Value {
    json!({
        "version": 1,
        "disable_existing_loggers": false,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "formatter": "line", "filename": dir.join("homeserver.log")}},
        "root": {"level": "WARNING", "handlers": ["file"]},
    })
}
