//! Provisions virtual users: account, device, profile, cross-signing, recovery. Idempotent, and repeated at every
//! start.

mod client;
mod damage;
mod looks;
mod recovery;
mod renewals;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use matrix_sdk::{
    Client, SessionMeta, SessionTokens, SqliteCryptoStore, authentication::matrix::MatrixSession,
    store::RoomLoadSettings,
};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use self::client::Keeps;
use super::{
    account::{Account, Renewal},
    api::{AUTOMATED_FIELD, Api},
    avatar,
    damage::is_damage,
    error::MatrixError,
    proxy::Identity,
};
use crate::{
    clock,
    core::{hex::hex, time::Timestamp},
    secret::{MasterSecret, Secret},
};

/// The identity that a virtual user should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persona {
    /// The full user id.
    pub user: OwnedUserId,
    /// The display name.
    pub display_name: String,
    /// Whether the display name always applies. If not, it is only a default, and a name that somebody set stays.
    pub is_named: bool,
    /// A PNG, JPEG, GIF or WebP image; `None` generates one from the id.
    pub avatar: Option<Vec<u8>>,
    /// `coworker`, `assistant` or `service`; goes into the profile field for automated users.
    pub kind: &'static str,
}

impl Persona {
    /// Returns whether a user now called `now` must be renamed. Homeservers name new users by their localparts.
    #[must_use]
    pub fn is_to_be_renamed(&self, now: Option<&str>) -> bool {
        let has_name = now.is_some_and(|name| !name.trim().is_empty() && name != self.user.localpart());
        now != Some(&self.display_name) && (self.is_named || !has_name)
    }
}

/// Returns the name of a user's folder. A localpart may contain `/` and `.`, which must not lead out of `users`.
fn folder_of(localpart: &str) -> String {
    localpart.bytes().fold(String::new(), |mut name, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            name.push(char::from(byte));
        } else {
            name.push('=');
            name.push_str(&hex(&[byte]));
        }
        name
    })
}

/// Returns the localpart of the user whose folder has this name; `None` if it is no user's.
#[must_use]
pub fn localpart_of(folder: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(folder.len());
    let mut rest = folder.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'=' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|localpart| folder_of(localpart) == folder)
}

/// Provisions and opens virtual users; cheap to clone.
#[derive(Clone)]
pub struct Provisioner {
    api: Api,
    users_dir: PathBuf,
    master: MasterSecret,
    renewals: Arc<renewals::Renewals>,
}

/// What is stored about a user beside its SDK stores, in the same folder, so that they can only be lost together.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Card {
    device: OwnedDeviceId,
    /// Whether the store was opened with this device; if the store is then lost, the user needs a new device.
    opened: bool,
    /// SHA-256 of the uploaded avatar, and its URI.
    avatar: Option<(String, String)>,
    /// How far recovery is set up.
    #[serde(default)]
    recovery: recovery::Stage,
    /// When this device replaced another, whose received keys were lost.
    #[serde(default)]
    renewed_at: Option<Timestamp>,
}

impl Provisioner {
    /// Returns a provisioner that stores users below `data_dir/users`.
    #[must_use]
    pub fn new(api: Api, data_dir: &Path, master: MasterSecret) -> Self {
        Self { api, users_dir: data_dir.join("users"), master, renewals: Arc::default() }
    }

    /// Returns the homeserver's API.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Creates the account, its profile and device, opens the client, and sets up recovery.
    ///
    /// # Errors
    /// By cause. Completed steps stay, and the next call skips them.
    pub async fn provision(&self, persona: &Persona) -> Result<Arc<Account>, MatrixError> {
        match Box::pin(self.provision_once(persona)).await {
            Err(error) if is_damage(&error) => {
                tracing::error!(user.id = %persona.user, %error, "a store cannot be used any more");
                self.set_aside(&persona.user)?;
            }
            // Deleted since the lookup.
            Err(error) if error.is_device_gone() => {}
            provisioned => return provisioned,
        }
        Box::pin(self.provision_once(persona)).await
    }

    async fn provision_once(&self, persona: &Persona) -> Result<Arc<Account>, MatrixError> {
        self.api.register(persona.user.localpart()).await?;
        let dir = self.dir_of(&persona.user);
        let mut card = Box::pin(self.device(persona, &dir)).await?;
        self.profile(persona, &dir, &mut card).await?;
        Box::pin(self.open_with(persona.user.clone(), &dir, card)).await
    }

    /// Opens a user that was provisioned before; provisions it again if its folder is lost.
    ///
    /// # Errors
    /// As [`Self::provision`].
    pub async fn open(&self, persona: &Persona) -> Result<Arc<Account>, MatrixError> {
        let dir = self.dir_of(&persona.user);
        if let Some(card) = read_card(&dir)?.filter(|card| card.opened && has_store(&dir)) {
            match Box::pin(self.open_with(persona.user.clone(), &dir, card)).await {
                Err(error) if is_damage(&error) || error.is_device_gone() => {}
                opened => return opened,
            }
        }
        Box::pin(self.provision(persona)).await
    }

    /// Returns whether a user has acted before: its folder holds a device that was in use.
    #[must_use]
    pub fn has_acted(&self, user: &UserId) -> bool {
        read_card(&self.dir_of(user)).is_ok_and(|card| card.is_some_and(|card| card.opened))
    }

    /// Brings the profile of a user whose client is open in line with its persona.
    ///
    /// # Errors
    /// By cause. The next call, or the next start, does what is left.
    pub async fn follow(&self, persona: &Persona) -> Result<(), MatrixError> {
        let dir = self.dir_of(&persona.user);
        let Some(mut card) = read_card(&dir)? else { return Ok(()) };
        self.profile(persona, &dir, &mut card).await
    }

    fn dir_of(&self, user: &UserId) -> PathBuf {
        self.users_dir.join(folder_of(user.localpart()))
    }

    /// Makes sure that the user has exactly one device, the one of the store in `dir`.
    async fn device(&self, persona: &Persona, dir: &Path) -> Result<Card, MatrixError> {
        fs::create_dir_all(dir).map_err(|cause| file_error(dir, cause))?;
        let card = read_card(dir)?;
        let was_opened = card.as_ref().is_some_and(|card| card.opened);
        let existing = self.api.devices(&persona.user).await?;
        let usable = card.filter(|card| {
            let known = existing.iter().any(|device| device == card.device.as_str());
            // A device and a store cannot be paired again once one was lost, because the homeserver has the old store's
            // one-time keys.
            if card.opened { known && has_store(dir) } else { true }
        });
        let card = if let Some(card) = usable {
            card
        } else {
            let renews = !existing.is_empty() || was_opened;
            if renews {
                self.renewals.count(&persona.user, Instant::now())?;
                tracing::warn!(user.id = %persona.user, "the store or the device was lost; a new device takes over");
            }
            clear(dir)?;
            let card = Card {
                device: fresh_device(),
                opened: false,
                avatar: None,
                recovery: recovery::Stage::default(),
                renewed_at: renews.then(clock::now),
            };
            write_card(dir, &card)?;
            card
        };
        for stale in existing.iter().filter(|device| *device != card.device.as_str()) {
            self.api.delete_device(&persona.user, stale).await?;
        }
        if !card.opened {
            self.api.make_device(&persona.user, &card.device, "Workmate").await?;
            // A homeserver may create devices and still not let us act as one.
            self.api.check_device(&persona.user, &card.device).await?;
        }
        Ok(card)
    }

    async fn profile(&self, persona: &Persona, dir: &Path, card: &mut Card) -> Result<(), MatrixError> {
        let user = &persona.user;
        let profile = self.api.profile(user).await?;
        if persona.is_to_be_renamed(profile.display_name.as_deref()) {
            self.api.set_profile_field(user, "displayname", json!(persona.display_name)).await?;
        }
        let picture = persona.avatar.clone().unwrap_or_else(|| avatar::generate(user.as_str()));
        let digest = hex(&Sha256::digest(&picture));
        let stands =
            card.avatar.as_ref().is_some_and(|(known, uri)| *known == digest && profile.avatar.as_ref() == Some(uri));
        if !stands {
            let uri = self.api.upload_image(user, &picture).await?;
            self.api.set_profile_field(user, "avatar_url", json!(uri)).await?;
            card.avatar = Some((digest, uri));
            write_card(dir, card)?;
        }
        let automated = json!({ "kind": persona.kind, "software": "workmate" });
        if profile.automated.as_ref() != Some(&automated) {
            match self.api.set_profile_field(user, AUTOMATED_FIELD, automated).await {
                Ok(()) => {}
                // Homeservers without MSC4133 work too; the display name then tells.
                Err(MatrixError::Refused { status: 400 | 404 | 405, errcode, .. }) => {
                    tracing::info!(user.id = %user, errcode, "the homeserver keeps no custom profile fields (MSC4133)");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn open_with(&self, user: OwnedUserId, dir: &Path, mut card: Card) -> Result<Arc<Account>, MatrixError> {
        let (client, token) = self.restored(&user, dir, &card.device, Keeps::Identity).await?;
        let is_fresh = !card.opened;
        if is_fresh {
            card.opened = true;
            write_card(dir, &card)?;
        }
        let account = self.account(client, token, dir, Renewal { at: card.renewed_at, is_fresh }).await?;
        Box::pin(self.recovery(&account, dir, card)).await?;
        Ok(account)
    }

    /// Opens a user for a trial: a new device in place of every other, and nothing that outlives it. The user gets no
    /// profile, no identity and no key backup.
    pub(super) async fn open_for_trial(&self, user: &UserId, device_name: &str) -> Result<Arc<Account>, MatrixError> {
        self.api.register(user.localpart()).await?;
        for stale in self.api.devices(user).await? {
            self.api.delete_device(user, &stale).await?;
        }
        let (dir, device) = (self.dir_of(user), fresh_device());
        fs::create_dir_all(&dir).map_err(|cause| file_error(&dir, cause))?;
        self.api.make_device(user, &device, device_name).await?;
        self.api.check_device(user, &device).await?;
        let (client, token) = self.restored(user, &dir, &device, Keeps::Device).await?;
        self.account(client, token, &dir, Renewal { at: None, is_fresh: true }).await
    }

    async fn restored(
        &self,
        user: &UserId,
        dir: &Path,
        device: &DeviceId,
        keeps: Keeps,
    ) -> Result<((Client, SqliteCryptoStore), Secret), MatrixError> {
        let token = self.api.proxy().admit(Identity::Device(user.to_owned(), device.to_owned()));
        let (client, crypto) = client::build(&self.api, &self.master, user, dir, keeps).await?;
        let session = MatrixSession {
            meta: SessionMeta { user_id: user.to_owned(), device_id: device.to_owned() },
            tokens: SessionTokens { access_token: token.expose().to_owned(), refresh_token: None },
        };
        Box::pin(client.matrix_auth().restore_session(session, RoomLoadSettings::default())).await?;
        Ok(((client, crypto), token))
    }

    async fn account(
        &self,
        (client, crypto): (Client, SqliteCryptoStore),
        token: Secret,
        dir: &Path,
        renewal: Renewal,
    ) -> Result<Arc<Account>, MatrixError> {
        client.encryption().wait_for_e2ee_initialization_tasks().await;
        let proxy = self.api.proxy();
        let shared = (proxy.pulse().clone(), proxy.seals().clone(), proxy.outdated().clone(), proxy.gate());
        let account = Account::new((client, crypto), token, dir.to_owned(), renewal, shared);
        account.sync().await?;
        Ok(account)
    }
}

fn fresh_device() -> OwnedDeviceId {
    let device = format!("WM{}", &hex(&Sha256::digest(Secret::random().expose().as_bytes()))[..10]);
    device.to_uppercase().into()
}

fn card_path(dir: &Path) -> PathBuf {
    dir.join("workmate.json")
}

fn has_store(dir: &Path) -> bool {
    dir.join("matrix-sdk-crypto.sqlite3").is_file()
}

fn read_card(dir: &Path) -> Result<Option<Card>, MatrixError> {
    let path = card_path(dir);
    match fs::read(&path) {
        // A half-written card counts as lost: the device that it named is replaced.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(file_error(&path, cause)),
    }
}

fn write_card(dir: &Path, card: &Card) -> Result<(), MatrixError> {
    let (path, fresh) = (card_path(dir), dir.join("workmate.json.new"));
    let bytes = serde_json::to_vec(card).expect("a card is plain data");
    let written = fs::write(&fresh, bytes)
        .and_then(|()| fs::File::open(&fresh)?.sync_all())
        .and_then(|()| fs::rename(&fresh, &path));
    written.map_err(|cause| file_error(&path, cause))
}

fn clear(dir: &Path) -> Result<(), MatrixError> {
    let cleared = fs::remove_dir_all(dir).and_then(|()| fs::create_dir_all(dir));
    cleared.map_err(|cause| file_error(dir, cause))
}

fn file_error(path: &Path, cause: std::io::Error) -> MatrixError {
    MatrixError::File { path: path.display().to_string(), cause }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn a1_a_name_for_want_of_a_better_one_takes_the_place_of_none_that_stands() {
        let persona = |is_named| Persona {
            user: user_id!("@assistant-alice:hs").to_owned(),
            display_name: "alice's assistant".to_owned(),
            is_named,
            avatar: None,
            kind: "assistant",
        };
        let table = [
            (None, true, true),
            (Some(""), true, true),
            (Some("assistant-alice"), true, true),
            (Some("alice's assistant"), false, false),
            (Some("Alice Liddell's assistant"), true, false),
        ];
        for (now, named, for_want) in table {
            let renamed = [true, false].map(|is_named| persona(is_named).is_to_be_renamed(now));
            assert_eq!(renamed, [named, for_want], "{now:?}");
        }
    }
}
