//! Calls that no SDK client makes: registration, devices, profiles, the appservice ping.
//!
//! They pass through the proxy, with tokens that stand for the appservice or a user.

mod people;

use std::time::Duration;

use reqwest::Method;
use ruma::{DeviceId, OwnedUserId, UserId};
use serde_json::{Value, json};

use super::{
    error::{MatrixError, is_errcode, is_unknown_device},
    proxy::{AWAY, Identity, Proxy, Remark, pacing::ASKED},
};
use crate::{
    clock,
    core::{
        hex::hex,
        id,
        reach::{self, clock::Heard},
    },
};

/// The profile field (MSC4133) that marks a user as automated.
pub const AUTOMATED_FIELD: &str = "io.workmate.automated";
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Most bytes read of an answer.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The application service's own calls; cheap to clone.
#[derive(Clone)]
pub struct Api {
    proxy: Proxy,
    http: reqwest::Client,
    /// The homeserver's clock, from its answers.
    heard: Heard,
}

/// The profile fields that Workmate sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// `displayname`
    pub display_name: Option<String>,
    /// `avatar_url`
    pub avatar: Option<String>,
    /// The value of [`AUTOMATED_FIELD`], if present.
    pub automated: Option<Value>,
}

impl Api {
    /// Returns an API over `proxy`.
    #[must_use]
    pub fn new(proxy: Proxy) -> Self {
        // All calls go to our own proxy on loopback, so neither system proxies nor certificates matter. Building fails
        // only if HTTP is impossible altogether, like `Client::new`.
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(CALL_TIMEOUT).build();
        Self { proxy, http: http.unwrap_or_default(), heard: Heard::default() }
    }

    /// Returns the HTTP client, which can only reach the proxy.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Returns how many milliseconds the homeserver's clock is ahead of ours; `None` until it has told the time.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.heard.ahead_ms()
    }

    /// Returns the proxy that all calls pass through.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Makes one call as `identity`.
    ///
    /// # Errors
    /// [`MatrixError`] by cause; a refusal carries the homeserver's code.
    pub async fn call(
        &self,
        identity: Identity,
        method: Method,
        path: &str,
        body: Option<Body<'_>>,
    ) -> Result<Value, MatrixError> {
        let token = self.proxy.admit(identity);
        let mut request =
            self.http.request(method.clone(), format!("{}{path}", self.proxy.url())).bearer_auth(token.expose());
        request = match body {
            None => request,
            Some(Body::Json(value)) => request.json(&value),
            Some(Body::Image(bytes)) => request.header("content-type", image_type(bytes)).body(bytes.to_vec()),
        };
        let answer = request.send().await;
        self.proxy.revoke(&token);
        let unreachable = |error: reqwest::Error| MatrixError::Unreachable {
            url: self.proxy.homeserver().to_string(),
            cause: reach::chain(&error.without_url()),
        };
        let answer = answer.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let after = text("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
        let shortened = text(ASKED.as_str()).and_then(|value| value.parse().ok()).map(Duration::from_millis);
        let remark = Remark::of(answer.headers());
        if remark.is_none() {
            self.heard.note(text("date"), text("age"), clock::now());
        }
        let bytes = answer.bytes().await.map_err(unreachable)?;
        let call = format!("{method} {}", path.split('?').next().unwrap_or(path));
        match remark {
            Some(Remark::Page(status)) => {
                Err(MatrixError::NotMatrix { url: self.proxy.homeserver().to_string(), status, call })
            }
            Some(Remark::Away) => {
                let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let cause = said["error"].as_str().unwrap_or_default();
                let cause = cause.strip_prefix(AWAY).unwrap_or(cause).to_owned();
                Err(MatrixError::Unreachable { url: self.proxy.homeserver().to_string(), cause })
            }
            None => self.read(status, (shortened, after), &bytes, call),
        }
    }

    /// `after` holds the pause that the proxy shortened and the `Retry-After` header.
    fn read(
        &self,
        status: u16,
        after: (Option<Duration>, Option<Duration>),
        bytes: &[u8],
        call: String,
    ) -> Result<Value, MatrixError> {
        let url = self.proxy.homeserver().to_string();
        let parsed: Option<Value> =
            if bytes.len() > ANSWER_BYTES_MAX { None } else { serde_json::from_slice(bytes).ok() };
        let Some(value) = parsed.filter(Value::is_object) else {
            return Err(MatrixError::NotMatrix { url, status, call });
        };
        if (200..300).contains(&status) {
            return Ok(value);
        }
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let (errcode, message) = (text("errcode"), text("error"));
        match errcode.as_str() {
            "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN" => Err(MatrixError::Token { url }),
            gone if is_unknown_device(gone) => Err(MatrixError::DeviceGone { cause: message }),
            odd if !is_errcode(odd) => Err(MatrixError::NotMatrix { url, status, call }),
            _ => {
                let retry_after = after.0.or_else(|| asked_pause(&value, after.1));
                Err(MatrixError::Refused { call, status, errcode, message, retry_after })
            }
        }
    }

    /// Asks whose the `as_token` is: one call shows that the homeserver answers and knows us.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn whoami(&self) -> Result<OwnedUserId, MatrixError> {
        let path = "/_matrix/client/v3/account/whoami";
        let answer = self.call(Identity::Appservice, Method::GET, path, None).await?;
        let user = answer["user_id"].as_str().and_then(id::user);
        user.ok_or_else(|| MatrixError::NotMatrix {
            url: self.proxy.homeserver().to_string(),
            status: 200,
            call: "GET /account/whoami".to_owned(),
        })
    }

    /// Calls `whoami` as one of our users, which works only within our namespace.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn whoami_as(&self, user: &UserId) -> Result<(), MatrixError> {
        let path = "/_matrix/client/v3/account/whoami";
        self.call(Identity::User(user.to_owned()), Method::GET, path, None).await?;
        Ok(())
    }

    /// Registers a virtual user if it does not exist.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn register(&self, localpart: &str) -> Result<(), MatrixError> {
        let body = json!({ "type": "m.login.application_service", "username": localpart, "inhibit_login": true });
        let path = "/_matrix/client/v3/register";
        match self.call(Identity::Appservice, Method::POST, path, Some(Body::Json(body))).await {
            Ok(_) => Ok(()),
            Err(MatrixError::Refused { errcode, .. }) if errcode == "M_USER_IN_USE" => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Creates or renames a virtual user's device (spec 1.17, MSC4190).
    ///
    /// # Errors
    /// [`MatrixError::NoDevices`] if the homeserver lacks the endpoint; else as [`Self::call`].
    pub async fn make_device(&self, user: &UserId, device: &DeviceId, name: &str) -> Result<(), MatrixError> {
        let path = format!("/_matrix/client/v3/devices/{}", encode(device.as_str()));
        let identity = Identity::User(user.to_owned());
        let body = Body::Json(json!({ "display_name": name }));
        match self.call(identity, Method::PUT, &path, Some(body)).await {
            Ok(_) => Ok(()),
            Err(MatrixError::Refused { status, errcode, .. }) if status == 404 || status == 405 => {
                let cause = format!("PUT /devices answered {status} {errcode}");
                Err(MatrixError::NoDevices { url: self.proxy.homeserver().to_string(), cause })
            }
            Err(error) => Err(error),
        }
    }

    /// Checks that calls can be made as one device (MSC4326).
    ///
    /// # Errors
    /// [`MatrixError::NoDevices`] if the homeserver ignores the device; else as [`Self::call`].
    pub async fn check_device(&self, user: &UserId, device: &DeviceId) -> Result<(), MatrixError> {
        let identity = Identity::Device(user.to_owned(), device.to_owned());
        let answer = self.call(identity, Method::GET, "/_matrix/client/v3/account/whoami", None).await?;
        if answer["device_id"].as_str() == Some(device.as_str()) {
            return Ok(());
        }
        let cause = "whoami as a device did not name that device".to_owned();
        Err(MatrixError::NoDevices { url: self.proxy.homeserver().to_string(), cause })
    }

    /// Lists the devices of a virtual user.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn devices(&self, user: &UserId) -> Result<Vec<String>, MatrixError> {
        let identity = Identity::User(user.to_owned());
        let answer = self.call(identity, Method::GET, "/_matrix/client/v3/devices", None).await?;
        // Reading a missing list as an empty one would delete the device that exists.
        let devices = answer["devices"].as_array().ok_or_else(|| MatrixError::NotMatrix {
            url: self.proxy.homeserver().to_string(),
            status: 200,
            call: "GET /devices".to_owned(),
        })?;
        Ok(devices.iter().filter_map(|device| device["device_id"].as_str().map(str::to_owned)).collect())
    }

    /// Deletes a virtual user's device; application services need no UIA.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn delete_device(&self, user: &UserId, device: &str) -> Result<(), MatrixError> {
        let path = format!("/_matrix/client/v3/devices/{}", encode(device));
        self.call(Identity::User(user.to_owned()), Method::DELETE, &path, Some(Body::Json(json!({})))).await?;
        Ok(())
    }

    /// Reads a user's profile; an account without one has an empty profile.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn profile(&self, user: &UserId) -> Result<Profile, MatrixError> {
        let answer = match self.profile_fields(user).await {
            Err(error) if error.is_not_found() => return Ok(Profile::default()),
            answer => answer?,
        };
        let text = |key: &str| answer[key].as_str().map(str::to_owned);
        let automated = answer.get(AUTOMATED_FIELD).cloned();
        Ok(Profile { display_name: text("displayname"), avatar: text("avatar_url"), automated })
    }

    /// Reads all profile fields of a user.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn profile_fields(&self, user: &UserId) -> Result<Value, MatrixError> {
        let path = format!("/_matrix/client/v3/profile/{}", encode(user.as_str()));
        self.call(Identity::Appservice, Method::GET, &path, None).await
    }

    /// Sets one field of a virtual user's own profile (MSC4133 for fields beyond name and avatar).
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn set_profile_field(&self, user: &UserId, field: &str, value: Value) -> Result<(), MatrixError> {
        let path = format!("/_matrix/client/v3/profile/{}/{}", encode(user.as_str()), encode(field));
        let body = Body::Json(json!({ field: value }));
        self.call(Identity::User(user.to_owned()), Method::PUT, &path, Some(body)).await?;
        Ok(())
    }

    /// Uploads an image and returns its `mxc://` URI.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn upload_image(&self, user: &UserId, bytes: &[u8]) -> Result<String, MatrixError> {
        let path = "/_matrix/media/v3/upload?filename=avatar";
        let answer = self.call(Identity::User(user.to_owned()), Method::POST, path, Some(Body::Image(bytes))).await?;
        let uri = answer["content_uri"].as_str().map(str::to_owned);
        uri.ok_or_else(|| MatrixError::Unreadable { call: "POST /media/upload".to_owned() })
    }

    /// Asks the homeserver to ping us with this transaction id. That also makes it retry its backlog at once.
    ///
    /// # Errors
    /// `Refused` with what the homeserver met when it called us; else as [`Self::call`].
    pub async fn ping(&self, appservice_id: &str, transaction_id: &str) -> Result<(), MatrixError> {
        let path = format!("/_matrix/client/v1/appservice/{}/ping", encode(appservice_id));
        let body = Body::Json(json!({ "transaction_id": transaction_id }));
        self.call(Identity::Appservice, Method::POST, &path, Some(body)).await?;
        Ok(())
    }

    /// Returns whether the homeserver knows a user's profile.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn exists(&self, user: &UserId) -> Result<bool, MatrixError> {
        let path = format!("/_matrix/client/v3/profile/{}", encode(user.as_str()));
        match self.call(Identity::Appservice, Method::GET, &path, None).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The body of a call.
pub enum Body<'a> {
    /// JSON.
    Json(Value),
    /// An image; its first bytes tell its type.
    Image(&'a [u8]),
}

/// Returns the pause that a refusal demands. Spec 1.10 replaced the body's field by the header; some servers send only
/// one.
fn asked_pause(refusal: &Value, header: Option<Duration>) -> Option<Duration> {
    refusal["retry_after_ms"].as_u64().map(Duration::from_millis).or(header)
}

/// Returns an image's media type by its signature, because clients trust the stated type.
fn image_type(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => "application/octet-stream",
    }
}

/// Percent-encodes a path segment: everything that RFC 3986 does not call unreserved, and dots that form the whole
/// segment, which a URL parser would resolve.
#[must_use]
pub fn encode(segment: &str) -> String {
    let is_way = matches!(segment, "." | "..");
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') || byte == b'.' && !is_way;
    segment.bytes().fold(String::with_capacity(segment.len()), |mut encoded, byte| {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{asked_pause, encode, image_type};

    #[test]
    fn a_pause_is_read_from_the_body_or_else_from_the_header() {
        let table = [
            (json!({ "retry_after_ms": 1500 }), Some(9), Some(Duration::from_millis(1500))),
            (json!({}), Some(9), Some(Duration::from_secs(9))),
            (json!({ "retry_after_ms": -1 }), None, None),
            (json!({ "retry_after_ms": "soon" }), None, None),
        ];
        for (refusal, header, expected) in table {
            assert_eq!(asked_pause(&refusal, header.map(Duration::from_secs)), expected, "{refusal}");
        }
    }

    #[test]
    fn an_image_is_told_by_its_first_bytes() {
        let table: [(&[u8], &str); 5] = [
            (b"\x89PNG\r\n", "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\0\0\0\0WEBPVP8", "image/webp"),
            (b"<html>", "application/octet-stream"),
        ];
        for (bytes, expected) in table {
            assert_eq!(image_type(bytes), expected);
        }
    }

    #[test]
    fn a_segment_cannot_leave_its_place_in_the_path() {
        for (segment, expected) in [
            ("@a/../b:example.org?x#y", "%40a%2F..%2Fb%3Aexample.org%3Fx%23y"),
            ("$aBc-_~.1", "%24aBc-_~.1"),
            ("a%2Fb", "a%252Fb"),
            ("\0\u{202e} ", "%00%E2%80%AE%20"),
        ] {
            assert_eq!(encode(segment), expected);
        }
    }

    #[test]
    fn a_way_up_is_refused_by_the_proxy_because_url_parsers_walk_it_even_where_it_is_encoded() {
        // The URL standard resolves `%2e%2e` too, so such an id cannot be sent at all.
        let url = url::Url::parse(&format!("http://x/a/{}/b", encode(".."))).expect("a URL");
        assert_eq!(url.path(), "/b");
    }
}
