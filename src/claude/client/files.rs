//! The calls of the Files API: files go to the provider for its container, and come back from there.

use bytes::Bytes;
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Client,
    batches::{Broken, is_not_found},
    chance,
    decoding::Decoding,
    response::Failure,
    within,
};
use crate::{
    claude::{
        error::{Cause, Error, Wait},
        retry::{Decision, Made},
        stream::StreamError,
    },
    core::computing::checked_id,
};

/// Random bytes of the line between the parts of an upload.
const BOUNDARY_BYTES: usize = 16;

/// What the provider says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// `file_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// What reading a file came to.
#[derive(Clone, PartialEq, Eq)]
pub enum FileContent {
    /// All of it.
    Whole(Vec<u8>),
    /// It is longer than was asked for.
    TooLarge,
    /// There is no such file, or none that may be read.
    Missing,
}

impl FileInfo {
    fn read(value: &Value) -> Option<Self> {
        let id = value["id"].as_str().and_then(checked_id)?;
        let name = value["filename"].as_str().unwrap_or_default();
        Some(Self { id: id.to_owned(), name: name.to_owned(), bytes: value["size_bytes"].as_u64().unwrap_or_default() })
    }
}

impl Client {
    /// Uploads a file, which the provider deletes after so many seconds if nobody does it before.
    ///
    /// # Errors
    /// When it is refused, or cannot be uploaded now. It may be there nevertheless, until it expires.
    pub async fn upload_file(&self, name: &str, bytes: &[u8], expires_seconds: u32) -> Result<FileInfo, Error> {
        let (kind, body) = form(name, bytes, expires_seconds);
        let upload = || async {
            let body = Some((kind.clone(), body.clone()));
            self.exchange_at(Method::POST, self.files_url(""), body, "").await
        };
        let (status, value) = self.patiently(upload).await.map_err(|failure| self.error(failure))?;
        FileInfo::read(&value).ok_or_else(|| {
            let what = "no file".to_owned();
            self.error(Failure::of(Cause::Protocol { status: status.as_u16(), what }))
        })
    }

    /// Looks at a file; `None` if there is none.
    ///
    /// # Errors
    /// When that cannot be told now.
    pub async fn look_at_file(&self, id: &str) -> Result<Option<FileInfo>, Error> {
        let Some(id) = checked_id(id) else { return Ok(None) };
        let look = || self.exchange_at(Method::GET, self.files_url(&format!("/{id}")), None, "");
        match self.patiently(look).await {
            Ok((_, value)) => Ok(FileInfo::read(&value).filter(|info| info.id == id)),
            Err(failure) if is_not_found(&failure) => Ok(None),
            Err(failure) => Err(self.error(failure)),
        }
    }

    /// Reads a file that was made in a container, up to so many bytes.
    ///
    /// # Errors
    /// When it cannot be read now.
    pub async fn read_file(&self, id: &str, bytes_max: u64) -> Result<FileContent, Error> {
        let Some(id) = checked_id(id) else { return Ok(FileContent::Missing) };
        let read = || async {
            let response = self.send_to(Method::GET, self.files_url(&format!("/{id}/content")), None).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            Err(Broken::unacted(self.refused(response, "").await))
        };
        match self.patiently(read).await {
            Ok(response) => self.content_of(response, bytes_max).await.map_err(|failure| self.error(failure)),
            // One that people uploaded cannot be read back.
            Err(failure) if is_not_found(&failure) || matches!(failure.cause, Cause::InvalidRequest { .. }) => {
                Ok(FileContent::Missing)
            }
            Err(failure) => Err(self.error(failure)),
        }
    }

    /// Deletes a file; one that is gone is deleted.
    ///
    /// # Errors
    /// When it cannot be deleted, or not now.
    pub async fn delete_file(&self, id: &str) -> Result<(), Error> {
        let Some(id) = checked_id(id) else { return Ok(()) };
        match self.exchange_at(Method::DELETE, self.files_url(&format!("/{id}")), None, "").await {
            Ok(_) => Ok(()),
            Err(broken) if is_not_found(&broken.failure) => Ok(()),
            Err(broken) => Err(self.error(broken.failure)),
        }
    }

    async fn content_of(&self, mut response: Response, bytes_max: u64) -> Result<FileContent, Failure> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let timeouts = self.config.timeouts;
        let whole = (timeouts.overall, Instant::now() + timeouts.overall);
        let broken = |error| Failure::of(Cause::BrokenStream(error));
        let mut decoding = Decoding::of(response.headers()).map_err(|_| broken(StreamError::Undecodable))?;
        let announced = response.content_length().unwrap_or_default();
        if announced > bytes_max as u64 {
            return Ok(FileContent::TooLarge);
        }
        let mut content = Vec::new();
        loop {
            let chunk = within((Wait::Idle, timeouts.idle), whole, response.chunk()).await?;
            let Some(bytes) = chunk.map_err(|_| broken(StreamError::EndedEarly))? else {
                return Ok(FileContent::Whole(content));
            };
            let bytes = decoding.take(&bytes, bytes_max).map_err(|_| broken(StreamError::Undecodable))?;
            if content.len() + bytes.len() > bytes_max {
                return Ok(FileContent::TooLarge);
            }
            content.extend_from_slice(&bytes);
        }
    }

    /// Makes a call until it succeeds or is given up, by the policy for all calls.
    async fn patiently<T, F>(&self, call: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Broken>>,
    {
        let began = Instant::now();
        let mut attempts = 0;
        loop {
            let failure = match call().await {
                Ok(done) => return Ok(done),
                Err(broken) => broken.failure,
            };
            attempts += 1;
            let made = Made { attempts, elapsed: began.elapsed() };
            match self.config.retry.decide(made, &failure.cause, failure.hints, chance()) {
                Decision::RetryAfter(wait) => tokio::time::sleep(wait).await,
                Decision::GiveUp => return Err(failure),
            }
        }
    }

    fn files_url(&self, path: &str) -> String {
        let messages = self.endpoint.as_str();
        format!("{}/files{path}", messages.strip_suffix("/messages").unwrap_or(messages))
    }
}

/// Returns an upload's type and body (RFC 7578).
fn form(name: &str, bytes: &[u8], expires_seconds: u32) -> (String, Bytes) {
    let mut random = [0; BOUNDARY_BYTES];
    // Without randomness a file could only spoil its own upload.
    let _ = getrandom::fill(&mut random);
    let boundary = format!("workmate-{}", crate::core::hex::hex(&random));
    let name: String =
        name.chars().map(|char| if matches!(char, '"' | '\\') || char.is_control() { '_' } else { char }).collect();
    let head = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"expires_in_seconds\"\r\n\r\n{expires_seconds}\r\n\
         --{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    let end = format!("\r\n--{boundary}--\r\n");
    let body = [head.as_bytes(), bytes, end.as_bytes()].concat();
    (format!("multipart/form-data; boundary={boundary}"), Bytes::from(body))
}
