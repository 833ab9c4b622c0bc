//! The client of a speech recogniser that the operator names (C25): `POST …/v1/audio/transcriptions`, as OpenAI defined it
//! and local servers offer it.
//!
//! A call is bounded in size and time, and few run at once. After a failure the recogniser counts as down for a while,
//! in which nothing waits for it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::header::CONTENT_TYPE;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use url::Url;

use crate::{
    core::{
        reach,
        recogniser::{self, ANSWER_BYTES_MAX, NoWords, Sound},
    },
    secret::Secret,
};

/// Recordings that are transcribed at once, over all rooms; more wait.
const CALLS_AT_ONCE: usize = 4;
/// How long a recording waits for its turn.
const TURN_PATIENCE: Duration = Duration::from_mins(1);
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses before a call is tried again; a recogniser that was restarted is back by then.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];
/// How long a recogniser that failed is not asked again.
const DOWN_FOR: Duration = Duration::from_secs(30);
/// Most bytes of what a refusal says that are shown to the operator.
const REASON_BYTES_MAX: usize = 300;
/// Ends and begins the parts of a form; no recording holds it but by design, and then only spoils itself.
const BOUNDARY: &str = "workmate-3f1c6d0a9be24f7c8a5e";

/// How a recogniser is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL without `/v1`.
    pub url: Url,
    /// The model that it is asked for.
    pub model: String,
    /// The key, sent as `Authorization: Bearer`.
    pub api_key: Option<Secret>,
    /// The language that is spoken (ISO 639-1); `None` lets it guess.
    pub language: Option<String>,
}

/// Why a recording has no words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// Nobody speaks in it.
    #[error("nobody speaks in the recording")]
    Silence,
    /// The recogniser refuses this recording; holds its status.
    #[error("the recogniser answered {0} for a recording")]
    Refused(u16),
    /// What it answers for this recording cannot be used; says why.
    #[error("the recogniser's answer cannot be used: {0}")]
    Odd(String),
    /// The recogniser is down, or refuses everything; says why.
    #[error("the recogniser cannot be used: {0}")]
    Down(String),
}

/// A recogniser; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recogniser(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    http: reqwest::Client,
    endpoint: Url,
    turns: Semaphore,
    down: Mutex<Option<(Instant, String)>>,
}

/// One try's failure.
enum Failure {
    /// It may succeed later.
    Passing(String),
    /// It will not; nothing else is to be expected of this recogniser.
    Lasting(String),
    /// It concerns this recording.
    Of(Unheard),
}

impl Recogniser {
    /// Returns a client; it does not connect yet.
    ///
    /// # Errors
    /// If TLS cannot be set up, or the URL takes no path.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let mut endpoint = settings.url.clone();
        let path = format!("{}/v1/audio/transcriptions", endpoint.path().trim_end_matches('/'));
        endpoint.set_path(&path);
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("workmate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect would take the recording and the key elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        if endpoint.scheme() != "https" {
            // In plain http a proxy of the environment would hear everything.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| error.to_string())?;
        let turns = Semaphore::new(CALLS_AT_ONCE);
        Ok(Self(Arc::new(Inner { settings, http, endpoint, turns, down: Mutex::default() })))
    }

    /// Returns the host that hears the recordings, for people and operators.
    #[must_use]
    pub fn host(&self) -> String {
        self.0.endpoint.host_str().unwrap_or_default().to_owned()
    }

    /// Returns why it counts as down, if it does.
    #[must_use]
    pub fn is_down(&self) -> Option<String> {
        let mut down = self.0.down.lock().unwrap_or_else(PoisonError::into_inner);
        if down.as_ref().is_some_and(|(since, _)| since.elapsed() >= DOWN_FOR) {
            *down = None;
        }
        down.as_ref().map(|(_, why)| why.clone())
    }

    /// Returns the words of a recording.
    ///
    /// # Errors
    /// [`Unheard`] by cause; after [`Unheard::Down`] it is not asked again for a while.
    pub async fn words(&self, sound: Sound, bytes: Vec<u8>) -> Result<String, Unheard> {
        if let Some(why) = self.is_down() {
            return Err(Unheard::Down(why));
        }
        let Ok(Ok(_turn)) = timeout(TURN_PATIENCE, self.0.turns.acquire()).await else {
            return Err(Unheard::Down("too many recordings wait for it".to_owned()));
        };
        // It may have failed others meanwhile.
        if let Some(why) = self.is_down() {
            return Err(Unheard::Down(why));
        }
        let form = bytes::Bytes::from(self.form(sound, &bytes));
        drop(bytes);
        let mut pauses = PAUSES.iter();
        let why = loop {
            let tried = timeout(CALL_TIMEOUT, self.try_once(form.clone())).await;
            match tried.unwrap_or_else(|_| Err(Failure::Lasting("it took too long".to_owned()))) {
                Ok(words) => return Ok(words),
                Err(Failure::Of(unheard)) => return Err(unheard),
                Err(Failure::Lasting(why)) => break why,
                Err(Failure::Passing(why)) => match pauses.next() {
                    Some(pause) => sleep(*pause).await,
                    None => break why,
                },
            }
        };
        *self.0.down.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), why.clone()));
        Err(Unheard::Down(why))
    }

    async fn try_once(&self, form: bytes::Bytes) -> Result<String, Failure> {
        let passing = |error: reqwest::Error| Failure::Passing(reach::chain(&error.without_url()));
        let mut request = self.0.http.post(self.0.endpoint.clone()).body(form);
        request = request.header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"));
        if let Some(key) = &self.0.settings.api_key {
            request = request.bearer_auth(key.expose());
        }
        let mut answer = request.send().await.map_err(passing)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(passing)? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(Failure::Of(Unheard::Odd(format!("it has more than {ANSWER_BYTES_MAX} bytes"))));
            }
            body.extend_from_slice(&part);
        }
        match status {
            200..=299 => recogniser::words(&body).map_err(|why| match why {
                NoWords::Silence => Failure::Of(Unheard::Silence),
                NoWords::Odd => Failure::Of(Unheard::Odd("there is no `text` in it".to_owned())),
            }),
            408 | 425 | 429 | 500.. => Err(Failure::Passing(format!("HTTP {status}{}", said(&body)))),
            400 | 413 | 415 | 422 => Err(Failure::Of(Unheard::Refused(status))),
            _ => Err(Failure::Lasting(format!("HTTP {status}{}", said(&body)))),
        }
    }

    /// Returns the form with the recording (RFC 7578).
    fn form(&self, sound: Sound, bytes: &[u8]) -> Vec<u8> {
        let mut form = Vec::with_capacity(bytes.len() + 1024);
        let Settings { model, language, .. } = &self.0.settings;
        let fields =
            [("model", Some(model.as_str())), ("response_format", Some("json")), ("language", language.as_deref())];
        for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            form.extend_from_slice(head.as_bytes());
        }
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\nContent-Type: {}\r\n\r\n",
            sound.file_name(),
            sound.media_type()
        );
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(bytes);
        form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        form
    }
}

/// Returns what an error's body says, on one line, for the operator.
fn said(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(&body[..body.len().min(REASON_BYTES_MAX)]);
    let words =
        body.split(|letter: char| letter.is_whitespace() || letter.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if line.is_empty() { String::new() } else { format!(": {line}") }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Serves these answers, one for each call, the last one for ever; returns the URL, the calls, and the last form.
    async fn serve(answers: Vec<&'static str>) -> (Url, Arc<AtomicUsize>, Arc<Mutex<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = Url::parse(&format!("http://{}/base/", listener.local_addr().expect("an address"))).expect("a URL");
        let (calls, form) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counted, kept) = (calls.clone(), form.clone());
        let serving = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut got = Vec::new();
                let mut some = [0; 4096];
                while !got.ends_with(b"--\r\n") {
                    let length = stream.read(&mut some).await.unwrap_or_default();
                    if length == 0 {
                        break;
                    }
                    got.extend_from_slice(&some[..length]);
                }
                *kept.lock().expect("unpoisoned") = got;
                let call = counted.fetch_add(1, Ordering::SeqCst);
                let answer = answers[call.min(answers.len() - 1)];
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        };
        tokio::task::spawn(serving);
        (url, calls, form)
    }

    fn recogniser(url: Url) -> Recogniser {
        let api_key = Some(Secret::new("a-key-of-the-test"));
        Recogniser::new(Settings { url, model: "whisper-1".to_owned(), api_key, language: Some("en".to_owned()) })
            .expect("a client")
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"text\":\"hello there\"}";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\nbusy";

    #[tokio::test]
    async fn c25_a_recording_goes_out_as_a_form_and_comes_back_as_words() {
        let (url, calls, form) = serve(vec![BUSY, GOOD]).await;
        let heard = recogniser(url).words(Sound::Ogg, b"OggS-bytes".to_vec()).await;
        assert_eq!((heard, calls.load(Ordering::SeqCst)), (Ok("hello there".to_owned()), 2), "asked again while busy");
        let form = String::from_utf8_lossy(&form.lock().expect("unpoisoned")).into_owned();
        for part in [
            "POST /base/v1/audio/transcriptions HTTP/1.1",
            "authorization: Bearer a-key-of-the-test",
            "name=\"model\"\r\n\r\nwhisper-1\r\n",
            "name=\"language\"\r\n\r\nen\r\n",
            "filename=\"audio.ogg\"\r\nContent-Type: audio/ogg\r\n\r\nOggS-bytes\r\n",
        ] {
            assert!(form.contains(part), "{part} is not in {form}");
        }
    }

    #[tokio::test]
    async fn c25_what_refuses_everything_is_left_alone_for_a_while_and_a_refusal_costs_one_recording() {
        for (answer, expected) in [
            (
                "HTTP/1.1 401 No\r\nconnection: close\r\n\r\n{\"error\":\n\"bad key\"}",
                "HTTP 401: {\"error\": \"bad key\"}",
            ),
            ("HTTP/1.1 302 Go\r\nlocation: http://elsewhere/\r\nconnection: close\r\n\r\n", "HTTP 302"),
        ] {
            let (url, calls, _) = serve(vec![answer]).await;
            let recogniser = recogniser(url);
            for _ in 0..2 {
                let heard = recogniser.words(Sound::Wav, b"RIFF".to_vec()).await;
                assert!(matches!(&heard, Err(Unheard::Down(why)) if why.contains(expected)), "{heard:?}");
            }
            assert_eq!(calls.load(Ordering::SeqCst), 1, "{expected}: not asked again at once");
        }
        let (url, calls, _) = serve(vec!["HTTP/1.1 400 Bad\r\nconnection: close\r\n\r\n", GOOD]).await;
        let recogniser = recogniser(url);
        assert_eq!(recogniser.words(Sound::Wav, b"RIFF".to_vec()).await, Err(Unheard::Refused(400)));
        assert_eq!(recogniser.words(Sound::Wav, b"RIFF".to_vec()).await, Ok("hello there".to_owned()));
        assert_eq!((calls.load(Ordering::SeqCst), recogniser.is_down()), (2, None));
    }

    #[tokio::test]
    async fn c25_one_odd_answer_costs_one_recording_and_nobody_elses() {
        let huge: &'static str =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(ANSWER_BYTES_MAX + 1)).leak();
        for (answer, expected) in
            [("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>", "no `text`"), (huge, "more than")]
        {
            let (url, calls, _) = serve(vec![answer, GOOD]).await;
            let recogniser = recogniser(url);
            let heard = recogniser.words(Sound::Wav, b"RIFF".to_vec()).await;
            assert!(matches!(&heard, Err(Unheard::Odd(why)) if why.contains(expected)), "{heard:?}");
            assert_eq!(recogniser.words(Sound::Wav, b"RIFF".to_vec()).await, Ok("hello there".to_owned()));
            assert_eq!((calls.load(Ordering::SeqCst), recogniser.is_down()), (2, None));
        }
    }
}
