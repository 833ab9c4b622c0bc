//! Free checks of the API: whether it answers, accepts the key and has a model, and what that model accepts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    Client, body_of, decoding, headers,
    response::{self, Failure, Sent},
    unsent, within,
};
use crate::{
    claude::{
        error::{Cause, Error, Wait},
        retry::Hints,
        wire::Effort,
    },
    core::model::{EFFORTS, Facts},
};

/// The longest that a look may take.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes read of a model's description.
const BYTES_MAX: usize = 256 << 10;

/// The result of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// The model exists; holds what it accepts and when it retires.
    Model(Facts),
    /// Something answers that does not know this endpoint, like many gateways. Neither key nor model can be checked.
    Unknown,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    lifecycle: Option<String>,
    #[serde(default)]
    retires_at: Option<String>,
    #[serde(default)]
    max_tokens: Option<Value>,
    #[serde(default)]
    capabilities: Option<Capabilities>,
}

#[derive(Deserialize)]
struct Capabilities {
    #[serde(default)]
    effort: Option<Map<String, Value>>,
}

impl Client {
    /// Asks the API about a model (`GET /v1/models/{id}`), once.
    ///
    /// # Errors
    /// When there is no connection or no key, or the key or the model is refused. [`Error::advice`] says what to do.
    pub async fn look(&self, model: &str) -> Result<Looked, Error> {
        if !headers::sign(&self.headers) {
            return Err(self.error(Failure::of(Cause::MissingKey)));
        }
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop().push("models").push(model);
        }
        let (status, headers, body) = self.asked(self.http.get(url)).await?;
        if status.is_success() {
            let info = serde_json::from_slice::<Info>(&body).ok().filter(|info| info.id.is_some());
            let Some(info) = info else { return self.knock(model).await };
            let facts = info.facts(&Facts::known(model));
            self.learn(model, facts.clone());
            return Ok(Looked::Model(facts));
        }
        let failure = response::failure(status, &headers, &body, Hints::default(), &self.sent(model));
        match failure.cause {
            // The endpoint is missing; the key and the model may be fine.
            Cause::Protocol { .. }
            | Cause::Page { .. }
            | Cause::Server { status: 501, .. }
            | Cause::InvalidRequest { .. } => self.knock(model).await,
            _ => Err(self.error(failure)),
        }
    }

    /// Sends an empty request to where answers come from. It is refused, costs nothing, and shows who answers there.
    ///
    /// # Errors
    /// When nobody answers, or what answers does not speak the Messages API or refuses the key or the model.
    pub async fn knock(&self, model: &str) -> Result<Looked, Error> {
        if !headers::sign(&self.headers) {
            return Err(self.error(Failure::of(Cause::MissingKey)));
        }
        let nothing = json!({ "model": model, "max_tokens": 1, "messages": [] }).to_string();
        let call = self.http.post(self.endpoint.clone()).header(CONTENT_TYPE, "application/json").body(nothing);
        let (status, headers, body) = self.asked(call).await?;
        let object = serde_json::from_slice::<Map<String, Value>>(&body).ok();
        if status.is_success() && (response::is_of_events(&headers) || object.as_ref().is_some_and(is_a_message)) {
            return Ok(Looked::Unknown);
        }
        let failure = response::failure(status, &headers, &body, Hints::default(), &self.sent(model));
        match failure.cause {
            // The endpoint is missing, whoever answers.
            Cause::InvalidRequest { status: 404 | 405, .. } => Err(self.error(failure)),
            Cause::InvalidRequest { .. } | Cause::RateLimited { .. } | Cause::TooLarge { .. } => Ok(Looked::Unknown),
            // Gateways refuse an empty request in their own form.
            Cause::Protocol { status: 400 | 422, .. } if object.is_some() => Ok(Looked::Unknown),
            _ => Err(self.error(failure)),
        }
    }

    async fn asked(&self, call: reqwest::RequestBuilder) -> Result<(StatusCode, HeaderMap, Vec<u8>), Error> {
        let limit = (Wait::Headers, LOOK_TIMEOUT);
        let whole = (LOOK_TIMEOUT, Instant::now() + LOOK_TIMEOUT);
        let failed = |failure| self.error(failure);
        let mut response = within(limit, whole, call.headers(self.headers.clone()).send())
            .await
            .map_err(failed)?
            .map_err(|error| failed(Failure::of(unsent(&error, self.config.timeouts.connect))))?;
        let (status, headers) = (response.status(), response.headers().clone());
        self.hear(&headers);
        let bytes_max = if response::is_of_events(&headers) { 0 } else { BYTES_MAX };
        let body = body_of(&mut response, bytes_max, LOOK_TIMEOUT, whole).await;
        let body = decoding::whole(&headers, body, BYTES_MAX);
        Ok((status, headers, body))
    }

    pub(super) fn sent<'a>(&'a self, model: &'a str) -> Sent<'a> {
        Sent { model, request_bytes: 0, secrets: headers::secrets(&self.config) }
    }
}

/// Returns whether this is a message, from something that answers even an empty request.
fn is_a_message(object: &Map<String, Value>) -> bool {
    object.get("type").is_some_and(|kind| kind == "message") || object.get("content").is_some_and(Value::is_array)
}

impl Info {
    /// Returns the stated facts, completed by those in `known`.
    fn facts(self, known: &Facts) -> Facts {
        let supported = |value: Option<&Value>| value.is_some_and(|value| value["supported"] == true);
        let effort = self.capabilities.and_then(|capabilities| capabilities.effort);
        let efforts = effort.map(|effort| {
            let of = |(name, level): &(&str, Effort)| supported(effort.get(*name)).then_some(*level);
            if supported_at_all(&effort) { EFFORTS.iter().filter_map(of).collect() } else { Vec::new() }
        });
        let day = |text: String| text.split('T').next().map(ToOwned::to_owned);
        let ends = self.retires_at.and_then(day).or_else(|| known.ends.clone());
        let efforts = efforts.or_else(|| known.efforts.clone());
        let told = self.max_tokens.as_ref().and_then(Value::as_u64).and_then(|most| u32::try_from(most).ok());
        let output_tokens_max = told.filter(|most| *most > 0).or(known.output_tokens_max);
        Facts {
            efforts,
            output_tokens_max,
            summarises: known.summarises,
            ends,
            is_retired: self.lifecycle.as_deref() == Some("retired"),
        }
    }
}

fn supported_at_all(effort: &Map<String, Value>) -> bool {
    effort.get("supported") == Some(&Value::Bool(true))
}

/// Facts about models from looks and refusals; shared by a client's clones.
#[derive(Clone, Debug, Default)]
pub(super) struct Learnt(Arc<Mutex<BTreeMap<String, Facts>>>);

impl Learnt {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Facts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Returns a model's facts: those learnt last, else the table's. Makes no call.
    #[must_use]
    pub fn facts(&self, model: &str) -> Facts {
        self.learnt.lock().get(model).cloned().unwrap_or_else(|| Facts::known(model))
    }

    /// Records that a model refuses an effort; returns whether that is new.
    #[must_use]
    pub fn learn_effort_refused(&self, model: &str, refused: Effort) -> bool {
        let mut facts = self.facts(model);
        let taken = facts.efforts.clone().unwrap_or_else(|| EFFORTS.map(|(_, effort)| effort).to_vec());
        let left: Vec<Effort> = taken.iter().copied().filter(|effort| *effort != refused).collect();
        let is_news = left.len() < taken.len();
        facts.efforts = Some(left);
        self.learn(model, facts);
        is_news
    }

    /// Records that a model gives no summary of its thinking; returns whether that is new.
    #[must_use]
    pub fn learn_summary_refused(&self, model: &str) -> bool {
        let facts = self.facts(model);
        let is_news = facts.summarises;
        self.learn(model, Facts { summarises: false, ..facts });
        is_news
    }

    fn learn(&self, model: &str, facts: Facts) {
        self.learnt.lock().insert(model.to_owned(), facts);
    }
}
