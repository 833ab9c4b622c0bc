//! How a call proves that it comes from the sender. Every comparison takes the same time, wherever it differs.
//!
//! What the headers alone decide is decided before the body is read: a secret that is sent along, a signed time, and
//! whether there is a signature at all. A body's signature is computed once, however many the call brings.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Call, Denied, Headers, Hook};
use crate::core::time::Timestamp;

/// How far a signed time may be from ours, in milliseconds: what Standard Webhooks and Stripe recommend.
pub(super) const WINDOW_MS: u64 = 5 * 60 * 1000;
/// Most signatures of one call that are compared; senders send two while a secret is exchanged.
const SIGNATURES_MAX: usize = 8;
/// What the secret of Standard Webhooks begins with.
const STANDARD_PREFIX: &str = "whsec_";

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How calls prove themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Standard Webhooks 1.0.0 (`webhook-id`, `webhook-timestamp`, `webhook-signature`), which GitLab's signing token
    /// and Svix use as well.
    Standard,
    /// GitHub's `X-Hub-Signature-256`.
    Github,
    /// GitLab's `X-Gitlab-Token`.
    Gitlab,
    /// `X-Forgejo-Signature` or `X-Gitea-Signature`.
    Forgejo,
    /// A timestamped signature in the form of Stripe's `Stripe-Signature`.
    Stripe,
    /// `Authorization: Bearer`, or a header of another name that holds the token alone.
    Bearer,
    /// `Authorization: Basic`; the secret is `name:password`.
    Basic,
}

/// Returns the key that a proof uses, made of the configured secret; `None` if it cannot be one.
#[must_use]
pub fn key_of(proof: Proof, secret: &str) -> Option<Vec<u8>> {
    match proof {
        Proof::Standard => {
            let key = BASE64.decode(secret.strip_prefix(STANDARD_PREFIX).unwrap_or(secret)).ok()?;
            (!key.is_empty()).then_some(key)
        }
        Proof::Basic => secret.contains(':').then(|| secret.as_bytes().to_vec()),
        _ => (!secret.is_empty()).then(|| secret.as_bytes().to_vec()),
    }
}

/// What a call's headers claim of its body.
pub(super) enum Claim<'a> {
    /// Nothing more: the secret itself was sent along.
    Proven,
    /// One of these signatures is that of these parts and the body, under the key.
    Signed {
        /// What comes before the body.
        before: Vec<&'a [u8]>,
        /// The signatures.
        any_of: Vec<Vec<u8>>,
        /// The delivery's id, which the signature covers.
        id: Option<&'a str>,
    },
}

/// Checks as much of a call's proof as its headers can tell.
pub(super) fn claim<'a>(hook: &Hook, key: &[u8], headers: &'a Headers, now: Timestamp) -> Result<Claim<'a>, Denied> {
    let of = |usual: &str| headers.get(hook.header.as_deref().unwrap_or(usual));
    match hook.proof {
        Proof::Standard => standard(headers, now),
        Proof::Github => signed(of("x-hub-signature-256").and_then(|one| one.strip_prefix("sha256="))),
        // The first that is there counts: a wrong one is not saved by another.
        Proof::Forgejo => signed(headers.first(&["x-forgejo-signature", "x-gitea-signature"])),
        Proof::Gitlab => same(key, of("x-gitlab-token").map(str::as_bytes)),
        Proof::Stripe => stripe(of("stripe-signature"), now),
        Proof::Bearer => {
            let token = match &hook.header {
                Some(name) => headers.get(name),
                None => headers.get("authorization").and_then(|value| credentials(value, "bearer")),
            };
            same(key, token.map(str::as_bytes))
        }
        Proof::Basic => {
            let given = headers.get("authorization").and_then(|value| credentials(value, "basic"));
            let given = given.and_then(|given| BASE64.decode(given).ok());
            same(key, given.as_deref())
        }
    }
}

/// Checks a call's proof; returns the delivery's id, if the proof covers one.
pub(super) fn prove(hook: &Hook, key: &[u8], call: &Call<'_>, now: Timestamp) -> Result<Option<String>, Denied> {
    let (before, any_of, id) = match claim(hook, key, call.headers, now)? {
        Claim::Proven => return Ok(None),
        Claim::Signed { before, any_of, id } => (before, any_of, id),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    for part in &before {
        mac.update(part);
    }
    mac.update(call.body);
    let right = mac.finalize().into_bytes();
    // All are compared, so that the time does not say which one is right.
    let is_signed = any_of.iter().fold(subtle::Choice::from(0), |any, one| any | right.as_slice().ct_eq(one));
    let is_proven = bool::from(is_signed) && id.is_none_or(|id| is_split_as_signed(id, call.body));
    if is_proven { Ok(id.map(str::to_owned)) } else { Err(Denied::NotProven) }
}

/// Returns whether what was signed, `id.time.body`, can be split in no other way. Without a dot in the id it cannot. With
/// one, whoever has seen a call could move a part of it into the id, or out of it, and deliver it again under another
/// name. A time has digits only, so what they made would be a body that begins with digits and a dot: an object or a list
/// does not.
fn is_split_as_signed(id: &str, body: &[u8]) -> bool {
    !id.contains('.') || matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Returns what follows a scheme in an `Authorization` header.
fn credentials<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    let (given, rest) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// Compares a secret that was sent along. Digests are compared, so that the time says nothing about its length either.
fn same<'a>(key: &[u8], given: Option<&[u8]>) -> Result<Claim<'a>, Denied> {
    let given = given.ok_or(Denied::NotProven)?;
    let is_same = Sha256::digest(key).ct_eq(&Sha256::digest(given));
    if bool::from(is_same) { Ok(Claim::Proven) } else { Err(Denied::NotProven) }
}

/// Reads a signature over the body alone, in hexadecimal.
fn signed<'a>(signature: Option<&str>) -> Result<Claim<'a>, Denied> {
    let signature = signature.and_then(unhex).ok_or(Denied::NotProven)?;
    Ok(Claim::Signed { before: Vec::new(), any_of: vec![signature], id: None })
}

fn standard(headers: &Headers, now: Timestamp) -> Result<Claim<'_>, Denied> {
    let family = if headers.get("webhook-id").is_some() { "webhook" } else { "svix" };
    let part = |name: &str| headers.get(&format!("{family}-{name}")).ok_or(Denied::NotProven);
    let (id, sent, signatures) = (part("id")?, part("timestamp")?, part("signature")?);
    if id.is_empty() {
        return Err(Denied::NotProven);
    }
    let given = signatures.split(' ').take(SIGNATURES_MAX);
    let any_of: Vec<_> = given.filter_map(|one| BASE64.decode(one.strip_prefix("v1,")?).ok()).collect();
    in_time(sent, now)?;
    some(Claim::Signed { before: vec![id.as_bytes(), b".", sent.as_bytes(), b"."], any_of, id: Some(id) })
}

/// `t=1492774577,v1=…`, where `v1` signs the time, a dot and the body. It covers no id: the body names the delivery.
fn stripe(header: Option<&str>, now: Timestamp) -> Result<Claim<'_>, Denied> {
    let header = header.ok_or(Denied::NotProven)?;
    let fields = || header.split(',').filter_map(|field| field.trim().split_once('='));
    let mut times = fields().filter(|(name, _)| *name == "t").map(|(_, value)| value);
    let (Some(sent), None) = (times.next(), times.next()) else { return Err(Denied::NotProven) };
    let given = fields().filter(|(name, _)| *name == "v1").take(SIGNATURES_MAX);
    let any_of: Vec<_> = given.filter_map(|(_, value)| unhex(value)).collect();
    in_time(sent, now)?;
    some(Claim::Signed { before: vec![sent.as_bytes(), b"."], any_of, id: None })
}

/// Refuses a claim without any signature that can be read.
fn some(claim: Claim<'_>) -> Result<Claim<'_>, Denied> {
    match &claim {
        Claim::Signed { any_of, .. } if any_of.is_empty() => Err(Denied::NotProven),
        _ => Ok(claim),
    }
}

fn in_time(sent: &str, now: Timestamp) -> Result<(), Denied> {
    let is_number = !sent.is_empty() && sent.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 = sent.parse().ok().filter(|_| is_number).ok_or(Denied::OutOfTime)?;
    let sent = Timestamp::from_ms(seconds.saturating_mul(1000));
    if now.ms_since(sent) <= WINDOW_MS && sent.ms_since(now) <= WINDOW_MS { Ok(()) } else { Err(Denied::OutOfTime) }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.chunks(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}
