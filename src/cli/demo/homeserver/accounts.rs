//! Accounts on the embedded Synapse, through its shared-secret registration.
//!
//! <https://element-hq.github.io/synapse/latest/admin_api/register_api.html>

use anyhow::{Context as _, Result, bail};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;
use url::Url;

use super::http;

/// Registers a person; an existing account is left unchanged.
pub(super) async fn register(homeserver: &Url, shared_secret: &str, localpart: &str, password: &str) -> Result<()> {
    let endpoint = homeserver.join("_synapse/admin/v1/register")?;
    let failed = || format!("registering {localpart} at {homeserver}");
    let nonce: Value =
        http()?.get(endpoint.clone()).send().await.with_context(failed)?.json().await.with_context(failed)?;
    let nonce = nonce["nonce"].as_str().with_context(|| format!("{}: no nonce in the answer", failed()))?;
    let request = json!({
        "nonce": nonce, "username": localpart, "password": password, "admin": false, "inhibit_login": true,
        "mac": mac(shared_secret, nonce, localpart, password),
    });
    let response = http()?.post(endpoint).json(&request).send().await.with_context(failed)?;
    let status = response.status();
    let answer: Value = response.json().await.with_context(failed)?;
    if status.is_success() || answer["errcode"] == "M_USER_IN_USE" {
        return Ok(());
    }
    bail!("{}: {status} {} {}", failed(), answer["errcode"], answer["error"])
}

fn mac(shared_secret: &str, nonce: &str, localpart: &str, password: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(shared_secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update([nonce, localpart, password, "notadmin"].join("\0").as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// Returns bytes as lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).expect("half a byte is one hexadecimal digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registration_mac_is_the_one_of_synapses_documentation() {
        // python3 -c "import hmac; print(hmac.new(b'shared', b'n\0alice\0pw\0notadmin', 'sha1').hexdigest())"
        assert_eq!(mac("shared", "n", "alice", "pw"), "18c7faf7d27695c33fdfba3105b19c75e35a6e19");
    }
}
