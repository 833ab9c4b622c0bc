//! The calls of the Message Batches API. Each is made once; who waits for a batch looks again at its own pace.

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Client, body_of, chain, decoding,
    decoding::Decoding,
    headers,
    response::{self, Failure},
    unsent, within,
};
use crate::claude::{
    batch::{Batch, BatchOutcome, NotMade},
    error::{Cause, Error, Wait},
    request::Request,
    retry::Hints,
    stream::StreamError,
};

/// Most bytes read of a batch's description, or of a list of them.
const BYTES_MAX: usize = 1 << 20;
/// Most bytes of one result; it holds one answer.
pub(super) const RESULT_BYTES_MAX: usize = 32 << 20;
/// Most bytes read of a batch's results.
const RESULTS_BYTES_MAX: usize = 64 << 20;
/// The type of most bodies.
const JSON: &str = "application/json";
/// How many of the newest batches are listed.
const LISTED_MAX: usize = 100;

#[derive(Serialize)]
struct Creation<'a> {
    requests: [Item<'a>; 1],
}

#[derive(Serialize)]
struct Item<'a> {
    custom_id: &'a str,
    params: &'a Request,
}

/// How an exchange failed.
pub(super) struct Broken {
    pub(super) failure: Failure,
    /// Whether the other side may have acted on it.
    may_have_acted: bool,
}

impl Broken {
    /// Returns a refusal.
    pub(super) fn unacted(failure: Failure) -> Self {
        Self { failure, may_have_acted: false }
    }
}

impl Client {
    /// Makes a batch of one request, under this id of ours (letters, digits, `_` and `-`).
    ///
    /// # Errors
    /// [`NotMade`]; where the batch may exist, nobody may make it again.
    ///
    /// # Panics
    /// Never: a request is made of strings and numbers.
    pub async fn create_batch(&self, request: &Request, custom_id: &str) -> Result<Batch, NotMade> {
        let refused = |failure: Failure| NotMade { error: self.error(failure), may_exist: false, may_pass: false };
        if let Some(fault) = request.fault() {
            return Err(refused(Failure::of(Cause::Unsendable(fault))));
        }
        let request = request.clone().uncached();
        let creation = Creation { requests: [Item { custom_id, params: &request }] };
        let body = serde_json::to_vec(&creation).expect("a request is made of strings and numbers");
        let sent = self.exchange(Method::POST, "", Some(Bytes::from(body)), &request.model).await;
        let unsure = |failure, may_exist| {
            let may_pass = matches!(
                failure,
                Failure { cause: Cause::Connect { .. } | Cause::RateLimited { .. } | Cause::Overloaded, .. }
            );
            NotMade { error: self.error(failure), may_exist, may_pass }
        };
        let (status, value) = sent.map_err(|broken| unsure(broken.failure, broken.may_have_acted))?;
        Batch::read(&value).ok_or_else(|| {
            let what = "no batch".to_owned();
            unsure(Failure::of(Cause::Protocol { status: status.as_u16(), what }), true)
        })
    }

    /// Looks how far a batch is; `None` if there is none with this id.
    ///
    /// # Errors
    /// When that cannot be told now.
    pub async fn look_at_batch(&self, id: &str) -> Result<Option<Batch>, Error> {
        self.about(Method::GET, &format!("/{id}")).await
    }

    /// Cancels a batch; `None` if there is none with this id. One that has ended is refused by the API.
    ///
    /// # Errors
    /// When it cannot be cancelled, or not now.
    pub async fn cancel_batch(&self, id: &str) -> Result<Option<Batch>, Error> {
        self.about(Method::POST, &format!("/{id}/cancel")).await
    }

    /// Deletes a batch that has ended, with its results.
    ///
    /// # Errors
    /// When it cannot be deleted, or not now.
    pub async fn delete_batch(&self, id: &str) -> Result<(), Error> {
        match self.exchange(Method::DELETE, &format!("/{id}"), None, "").await {
            Ok(_) => Ok(()),
            Err(broken) if is_not_found(&broken.failure) => Ok(()),
            Err(broken) => Err(self.error(broken.failure)),
        }
    }

    /// Lists the newest batches of the key's workspace, newest first.
    ///
    /// # Errors
    /// When they cannot be listed now.
    pub async fn newest_batches(&self) -> Result<Vec<Batch>, Error> {
        let listed = self.exchange(Method::GET, &format!("?limit={LISTED_MAX}"), None, "").await;
        listed.map(|(_, value)| Batch::read_list(&value)).map_err(|broken| self.error(broken.failure))
    }

    /// Reads the result of one request of a batch that has ended, line by line as they come; `None` if it is not among
    /// them. The address that the API names for them is not used: the key belongs to the base URL.
    ///
    /// # Errors
    /// When they cannot be read now, or are larger than they can be.
    pub async fn batch_result(&self, id: &str, custom_id: &str) -> Result<Option<BatchOutcome>, Error> {
        let failed = |failure| self.error(failure);
        let timeouts = self.config.timeouts;
        let whole = (timeouts.overall, Instant::now() + timeouts.overall);
        let mut response =
            self.send(Method::GET, &format!("/{id}/results"), None).await.map_err(|broken| failed(broken.failure))?;
        if !response.status().is_success() {
            let failure = self.refused(response, "").await;
            return if is_not_found(&failure) { Ok(None) } else { Err(failed(failure)) };
        }
        let broken = |error| failed(Failure::of(Cause::BrokenStream(error)));
        let mut decoding = Decoding::of(response.headers()).map_err(|_| broken(StreamError::Undecodable))?;
        let secrets = headers::secrets(&self.config);
        // `looked` bytes of what is pending hold no end of a line.
        let (mut pending, mut looked, mut read) = (Vec::new(), 0, 0_usize);
        loop {
            let chunk = within((Wait::Idle, timeouts.idle), whole, response.chunk()).await.map_err(failed)?;
            let Some(bytes) = chunk.map_err(|_| broken(StreamError::EndedEarly))? else { break };
            let bytes = decoding.take(&bytes, RESULT_BYTES_MAX).map_err(|_| broken(StreamError::Undecodable))?;
            read = read.saturating_add(bytes.len());
            pending.extend_from_slice(&bytes);
            while let Some(end) = pending.iter().skip(looked).position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=looked + end).collect();
                looked = 0;
                if let Some(outcome) = BatchOutcome::read(line.trim_ascii(), custom_id, &secrets) {
                    return Ok(Some(outcome));
                }
            }
            looked = pending.len();
            if looked > RESULT_BYTES_MAX || read > RESULTS_BYTES_MAX {
                return Err(broken(StreamError::MessageTooLong { message_bytes_max: RESULT_BYTES_MAX }));
            }
        }
        Ok(BatchOutcome::read(pending.trim_ascii(), custom_id, &secrets))
    }

    async fn about(&self, method: Method, path: &str) -> Result<Option<Batch>, Error> {
        match self.exchange(method, path, None, "").await {
            Ok((status, value)) => Batch::read(&value).map(Some).ok_or_else(|| {
                let what = "no batch".to_owned();
                self.error(Failure::of(Cause::Protocol { status: status.as_u16(), what }))
            }),
            Err(broken) if is_not_found(&broken.failure) => Ok(None),
            Err(broken) => Err(self.error(broken.failure)),
        }
    }

    /// Makes one call and reads its JSON.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        model: &str,
    ) -> Result<(StatusCode, Value), Broken> {
        let body = body.map(|body| (JSON.to_owned(), body));
        self.exchange_at(method, self.batches_url(path), body, model).await
    }

    /// Makes one call to an address of the API and reads its JSON.
    pub(super) async fn exchange_at(
        &self,
        method: Method,
        url: String,
        body: Option<(String, Bytes)>,
        model: &str,
    ) -> Result<(StatusCode, Value), Broken> {
        let mut response = self.send_to(method, url, body).await?;
        let (status, head) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let failure = self.refused(response, model).await;
            // A refusal is one; what a gateway says of a call that it passed on is not.
            let may_have_acted = status.is_server_error() && !matches!(failure.cause, Cause::Overloaded);
            return Err(Broken { failure, may_have_acted });
        }
        let timeouts = self.config.timeouts;
        let whole = (timeouts.overall, Instant::now() + timeouts.overall);
        let read = body_of(&mut response, BYTES_MAX, timeouts.idle, whole).await;
        let read = decoding::whole(&head, read, BYTES_MAX);
        match serde_json::from_slice::<Value>(&read) {
            Ok(value) if value.get("error").is_none() => Ok((status, value)),
            _ => {
                let failure = response::failure(status, &head, &read, Hints::default(), &self.sent(model));
                Err(Broken { failure, may_have_acted: true })
            }
        }
    }

    /// Sends one call and waits for its head.
    async fn send(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Response, Broken> {
        self.send_to(method, self.batches_url(path), body.map(|body| (JSON.to_owned(), body))).await
    }

    /// Sends one call to an address of the API and waits for its head. A body goes with its type.
    pub(super) async fn send_to(
        &self,
        method: Method,
        url: String,
        body: Option<(String, Bytes)>,
    ) -> Result<Response, Broken> {
        let unsent_yet = |failure| Broken { failure, may_have_acted: false };
        if !headers::sign(&self.headers) {
            return Err(unsent_yet(Failure::of(Cause::MissingKey)));
        }
        let timeouts = self.config.timeouts;
        let mut call = self.http.request(method, url).headers(self.headers.clone());
        if let Some((kind, body)) = body {
            call = call.header(CONTENT_TYPE, kind).body(body);
        }
        let whole = (timeouts.overall, Instant::now() + timeouts.overall);
        let sent = within((Wait::Headers, timeouts.headers), whole, call.send()).await;
        let sent = sent.map_err(|failure| Broken { failure, may_have_acted: true })?;
        let response = sent.map_err(|error| {
            let may_have_acted = !error.is_connect();
            let failure = if may_have_acted {
                Failure::of(Cause::BrokenStream(StreamError::EndedEarly))
            } else {
                Failure::of(unsent(&error, timeouts.connect))
            };
            tracing::debug!(why = chain(&error), may_have_acted, "a call beside the messages failed");
            Broken { failure, may_have_acted }
        })?;
        self.hear(response.headers());
        Ok(response)
    }

    pub(super) async fn refused(&self, response: Response, model: &str) -> Failure {
        let timeouts = self.config.timeouts;
        self.refusal(response, &self.sent(model), Instant::now() + timeouts.overall).await
    }

    fn batches_url(&self, path: &str) -> String {
        format!("{}/batches{path}", self.endpoint)
    }
}

/// Whether there is nothing at the address; the batch is gone, or this endpoint knows none.
pub(super) fn is_not_found(failure: &Failure) -> bool {
    matches!(failure.cause, Cause::InvalidRequest { status: 404, .. } | Cause::ModelNotFound { .. })
}
