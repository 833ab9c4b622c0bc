//! An answer in progress: deltas one by one, and the whole message at the end.

use std::{collections::VecDeque, fmt};

use reqwest::{Response, StatusCode, header::HeaderMap};
use tokio::time::Instant;

use super::{
    Client,
    decoding::Decoding,
    response::{self, Failure},
    within,
};
use crate::{
    claude::{
        error::{COMPRESSED, Cause, Error, Phase, Wait},
        retry::Hints,
        stream::{Assembler, Delta, StreamError},
        wire::{Container, Message, Usage},
    },
    clock,
};

/// An answer that has begun. Dropping it closes the connection, and the model stops.
pub struct Stream {
    /// `None` once everything was read.
    response: Option<Response>,
    assembler: Assembler,
    news: VecDeque<Delta>,
    fault: Option<Failure>,
    request_id: Option<String>,
    deadline: Instant,
    client: Client,
    model: String,
    /// The response's status, a success.
    status: StatusCode,
    /// The response's headers.
    headers: HeaderMap,
    decoding: Decoding,
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the model said.
    pub message: Message,
    /// The response's `request-id`.
    pub request_id: Option<String>,
}

impl Stream {
    /// Reads until the answer begins; a failure before that can be retried.
    pub(super) async fn begin(
        client: Client,
        response: Response,
        model: &str,
        request_id: Option<String>,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let decoding = Decoding::of(&headers).map_err(|name| {
            let what = format!("{COMPRESSED} {name}, which was not asked for");
            Failure::of(Cause::Protocol { status: status.as_u16(), what })
        })?;
        let mut stream = Self {
            response: Some(response),
            assembler: Assembler::framed(client.config.limits, response::is_of_events(&headers)),
            status,
            headers,
            decoding,
            news: VecDeque::new(),
            fault: None,
            request_id,
            deadline,
            client,
            model: model.to_owned(),
        };
        while !stream.assembler.is_begun() {
            stream.read().await;
            if let Some(failure) = stream.fault.take_if(|_| !stream.assembler.is_begun()) {
                return Err(failure);
            }
        }
        Ok(stream)
    }

    /// Returns the next delta, or `None` when the answer is complete. Cancel-safe.
    ///
    /// # Errors
    /// When the answer broke off. The deltas so far are then worthless; [`Error::advice`] says whether to ask again,
    /// which this never does.
    pub async fn next(&mut self) -> Result<Option<Delta>, Error> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Ok(Some(news));
            }
            if let Some(fault) = &self.fault {
                return Err(self.error(fault.clone()));
            }
            if self.assembler.is_complete() {
                return Ok(None);
            }
            self.read().await;
        }
    }

    /// Reads to the end and returns the whole answer.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn finish(mut self) -> Result<Answer, Error> {
        while self.next().await?.is_some() {}
        let Self { assembler, client, request_id, .. } = self;
        match assembler.finish() {
            Ok(message) => Ok(Answer { message, request_id }),
            Err(error) => {
                let error = client.error(Failure::of(Cause::BrokenStream(error)));
                Err(Error { phase: Phase::DuringAnswer, request_id, ..error })
            }
        }
    }

    /// Returns the `request-id` of the response.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns the usage reported so far, for a call that is stopped or broke off.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.assembler.usage()
    }

    /// Returns the container that is computed in, as far as it was told.
    #[must_use]
    pub fn container(&self) -> Option<Container> {
        self.assembler.container()
    }

    /// Returns the files that were made so far, for an answer that is stopped or broke off.
    #[must_use]
    pub fn made_files(&self) -> Vec<String> {
        self.assembler.made_files()
    }

    /// Reads once: adds deltas, completes the message, or sets a failure.
    async fn read(&mut self) {
        let outcome = match &mut self.response {
            Some(response) => {
                let timeouts = self.client.config.timeouts;
                let limit = (Wait::Idle, timeouts.idle);
                within(limit, (timeouts.overall, self.deadline), response.chunk()).await
            }
            None => Ok(Ok(None)),
        };
        let fed = match outcome {
            Err(failure) => Err(failure),
            Ok(Ok(Some(bytes))) => self.take(&bytes),
            Ok(Ok(None)) if self.is_complete_at_its_end() => Ok(()),
            Ok(Ok(None)) if self.assembler.foreign().is_some() => Err(self.broken(StreamError::NoAnswer)),
            Ok(Ok(None)) if !self.assembler.is_begun() => Err(self.strange().unwrap_or_else(broken_off)),
            // A lost connection means no more than an end without `message_stop`.
            Ok(Ok(None) | Err(_)) => Err(broken_off()),
        };
        if let Err(mut fault) = fed {
            fault.request_id = self.request_id.clone().or(fault.request_id);
            self.fault = Some(fault);
        }
        if self.fault.is_some() || self.assembler.is_complete() {
            self.response = None;
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let decoded = self.decoding.take(bytes, self.client.config.limits.message_bytes_max);
        let decoded = decoded.map_err(|_| self.broken(StreamError::Undecodable))?;
        self.assembler.feed(&decoded, &mut self.news).map_err(|error| self.broken(error))
    }

    fn is_complete_at_its_end(&mut self) -> bool {
        self.assembler.end(&mut self.news);
        self.assembler.is_complete()
    }

    /// Returns the failure of an answer that ended without a beginning: nothing at all, or another API's events. Neither
    /// is an API that broke off.
    fn strange(&self) -> Option<Failure> {
        let status = self.status.as_u16();
        if self.assembler.is_empty() {
            return Some(Failure::of(Cause::nothing(status)));
        }
        let what = "events of another API".to_owned();
        self.assembler.is_strange().then(|| Failure::of(Cause::Protocol { status, what }))
    }

    fn broken(&self, error: StreamError) -> Failure {
        let sent = || self.client.sent(&self.model);
        match error {
            StreamError::Api { kind, message, code, request_id } => {
                let request_id = request_id.as_deref().map(response::bounded_id);
                Failure { request_id, ..Failure::of(response::streamed(&kind, &message, code, &sent())) }
            }
            // Interpret it as what it is: a page, or an error with a success status.
            StreamError::NoAnswer => {
                let hints = Hints::read(&self.headers, clock::now());
                let body = self.assembler.foreign().unwrap_or_default();
                response::failure(self.status, &self.headers, body, hints, &sent())
            }
            error => Failure::of(Cause::BrokenStream(error)),
        }
    }

    fn error(&self, failure: Failure) -> Error {
        let phase = if self.assembler.is_begun() { Phase::DuringAnswer } else { Phase::BeforeAnswer };
        let request_id = self.request_id.clone().or_else(|| failure.request_id.clone());
        Error { phase, request_id, ..self.client.error(failure) }
    }
}

fn broken_off() -> Failure {
    Failure::of(Cause::BrokenStream(StreamError::EndedEarly))
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}
