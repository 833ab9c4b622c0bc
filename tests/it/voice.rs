//! Voice messages as words (C25): espeak-ng speaks, and PyPI's pocketsphinx listens behind OpenAI's endpoint.

use std::{path::PathBuf, process::Stdio, sync::Arc};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::{Semaphore, SemaphorePermit},
};
use url::Url;
use workmate::{
    core::{media::Unread, render, words},
    standin::{RecordedRequest, Turn},
};

use crate::{
    assistants,
    harness::{
        Message, Person, RoomKind, SentFile, Setup, Timeline,
        homeserver::shared,
        office::{Office, records},
        readiness::{is_ready, until_readiness},
        workmate::coworker,
    },
    standin_sdks::{directory, run, skip},
};

/// A recogniser with a model, and a library that speaks.
const PACKAGES: [&str; 2] = ["pocketsphinx==5.1.1", "espeakng-loader==0.2.4"];
const KEY: &str = "a-key-of-the-recogniser";

/// Held while the packages are installed.
static INSTALLING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Speech, and a recogniser that serves; killed on drop.
struct Voices {
    python: PathBuf,
    folder: PathBuf,
    url: Url,
    heard: Lines<BufReader<ChildStdout>>,
    serving: Child,
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/voice/listen.py")
}

impl Voices {
    /// Starts it; `None`, loudly, if the packages cannot be had.
    async fn start() -> Result<Option<Self>> {
        let folder = directory("voice");
        let python = folder.join("bin/python");
        let marker = folder.join("installed");
        let alone = INSTALLING.lock().await;
        if !marker.exists() {
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
            let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).await;
            let made = match made {
                Ok(_) => run(&mut install).await,
                failed => failed,
            };
            if let Err(why) = made {
                skip(&format!("no recogniser for voice messages: {}", why.lines().last().unwrap_or_default()));
                return Ok(None);
            }
            std::fs::write(&marker, "")?;
        }
        drop(alone);
        let mut serving = Command::new(&python);
        serving.arg(script()).arg("serve").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut serving = serving.spawn()?;
        let mut heard = BufReader::new(serving.stdout.take().context("a pipe")?).lines();
        let port = heard.next_line().await?.context("a port")?;
        let url = Url::parse(&format!("http://127.0.0.1:{port}"))?;
        Ok(Some(Self { python, folder, url, heard, serving }))
    }

    /// Returns a voice message in which this is said.
    async fn says(&self, text: &str) -> Result<SentFile> {
        let path = self.folder.join(format!("{}.wav", text.replace([' ', ','], "-")));
        let mut speak = Command::new(&self.python);
        speak.arg(script()).arg("speak").arg(text).arg(&path);
        run(&mut speak).await.map_err(anyhow::Error::msg)?;
        Ok(SentFile::new("Voice message", "audio/wav", std::fs::read(&path)?).as_voice())
    }

    /// Returns what the recogniser heard next.
    async fn hears(&mut self) -> Result<String> {
        self.heard.next_line().await?.context("it goes on")
    }
}

fn last_transcript(request: &RecordedRequest) -> Value {
    records(request).last().map(|record| record["attachment"]["transcript"].clone()).unwrap_or_default()
}

/// Answers with the newest transcript.
fn repeat(request: &RecordedRequest) -> Turn {
    let heard = last_transcript(request);
    Turn::text(format!("You said: {}", heard.as_str().unwrap_or("nothing")))
}

fn with(url: &Url) -> Value {
    json!({ "url": url.as_str(), "model": "tiny", "api_key": KEY, "language": "en" })
}

async fn people() -> [Person; 2] {
    [shared().person("alice").await, shared().person("bob").await]
}

#[tokio::test]
async fn c25_asked_by_voice_means_asked_and_spoken_words_are_paid_for_once() -> Result<()> {
    let Some(mut voices) = Voices::start().await? else { return Ok(()) };
    let (url, mut monica) = (voices.url.clone(), coworker("oncall"));
    monica["name"] = json!("Monica");
    let mut office = Office::open_for(people().await, |setup: Setup| {
        setup.coworkers(vec![monica]).section("transcription", with(&url))
    })
    .await?;
    office.claude.respond_with(repeat);
    let (room, oncall) = (office.room_of_people(RoomKind::Encrypted).await?, office.oncall());
    let first_words = office.bring(&room, &oncall).await?;
    assert!(first_words.body().contains("Voice messages go to 127.0.0.1"), "{}", first_words.body());

    // Not for it: nobody is named at the start.
    let other = voices.says("the new server is down today").await?;
    office.bob.send_file(&room, &other, None).await?;
    assert_eq!(voices.hears().await?, format!("tiny Bearer {KEY} the new server is down today"));
    let thanks = voices.says("thank you monica, what is two and two").await?;
    office.bob.send_file(&room, &thanks, None).await?;
    voices.hears().await?;

    // A name at the start asks.
    let called = voices.says("monica, we need a new server tomorrow").await?;
    let request = office.alice.send_file(&room, &called, None).await?;
    let answer = office.answer(&office.alice, &room, &oncall, "You said: monica we need a new server tomorrow").await?;
    voices.hears().await?;
    let requests = office.claude.requests();
    assert_eq!(requests.len(), 1, "the others asked nobody");
    let heard: Vec<Value> =
        records(&requests[0]).iter().map(|record| record["attachment"]["transcript"].clone()).collect();
    assert_eq!(
        heard,
        [
            "the new server is down today",
            "thank you monica what is two and two",
            "monica we need a new server tomorrow"
        ]
    );

    // In its thread no name is needed; and after a kill, what was heard is known.
    office.workmate.kill();
    office.workmate.start_again().await;
    let spoken = Some(Message::text("Voice message").in_thread(&request));
    office.alice.send_file(&room, &other, spoken).await?;
    office.answer(&office.alice, &room, &oncall, "You said: the new server is down today").await?;
    assert_eq!(voices.hears().await?, format!("tiny Bearer {KEY} the new server is down today"));
    let last = office.claude.requests().pop().context("a request")?;
    let heard = records(&last).iter().filter(|record| record["attachment"]["transcript"].is_string()).count();
    assert_eq!(heard, 4, "all of them are read, and only one was heard anew");
    assert!(answer.thread_root().is_some() && !office.workmate.logs().contains("new server"), "no words in the logs");

    // A recogniser that is gone costs a word, and not the room.
    voices.serving.kill().await?;
    let gone = voices.says("what is two and two").await?;
    let spoken = Some(Message::text("Voice message").in_thread(&request));
    office.alice.send_file(&room, &gone, spoken).await?;
    office.claude.respond_with(|_| Turn::text("Still here."));
    office.ask(&office.bob, &room, "are you there?").await?;
    office.answer(&office.bob, &room, &oncall, "Still here.").await?;
    let word = render::render(&words::files::unreadable(Unread::Unheard)).body;
    office.answer(&office.alice, &room, &oncall, &word).await?;
    let ready = until_readiness(&office.workmate, |_, conditions| !is_ready(conditions, "transcription")).await?;
    assert!(!ready.to_string().contains(KEY), "{ready}");
    Ok(())
}

#[tokio::test]
async fn c25_an_assistant_hears_its_owner() -> Result<()> {
    let Some(mut voices) = Voices::start().await? else { return Ok(()) };
    let url = voices.url.clone();
    let office = assistants::Office::open_with(|setup| setup.section("transcription", with(&url))).await?;
    office.claude.respond_with(repeat);
    let alice = shared().person("alice").await;
    let room = office.meet(&alice).await?;
    alice.send_file(&room, &voices.says("what is two and two").await?, None).await?;
    office.answered(&alice, &room, "You said: what is two and two").await?;
    voices.hears().await?;
    assert!(!office.workmate.logs().contains("two and two"));
    Ok(())
}

/// A recogniser that gives an answer for each permit.
async fn slow_recogniser() -> Result<(Url, Arc<Semaphore>)> {
    let permits = Arc::new(Semaphore::new(0));
    let answers = permits.clone();
    let transcribe = axum::routing::post(async move |_: axum::body::Bytes| {
        answers.acquire().await.map(SemaphorePermit::forget).ok();
        axum::Json(json!({ "text": "what is two and two" }))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    let router = axum::Router::new().route("/v1/audio/transcriptions", transcribe);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((url, permits))
}

/// A second of silence, as a voice message.
fn recording() -> SentFile {
    let (rate, bytes) = (16_000_u32, 32_000_u32);
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    for field in [16_u32, 1 | 1 << 16, rate, rate * 2, 2 | 16 << 16] {
        wav.extend(field.to_le_bytes());
    }
    wav.extend(b"data");
    wav.extend(bytes.to_le_bytes());
    wav.resize(wav.len() + bytes as usize, 0);
    SentFile::new("Voice message", "audio/wav", wav).as_voice()
}

#[tokio::test]
async fn c25_while_it_is_heard_whoever_its_place_asks_shows_that_they_listen_and_nobody_else() -> Result<()> {
    let (url, permits) = slow_recogniser().await?;
    let office = Office::open_for(people().await, |setup| setup.section("transcription", with(&url))).await?;
    office.claude.respond_with(repeat);
    let (room, oncall) = (office.room(RoomKind::Encrypted).await?, office.oncall());
    let other = office.room(RoomKind::Plain).await?;
    let root = office.ask(&office.alice, &room, "open a thread").await?;
    office.answer(&office.alice, &room, &oncall, "You said").await?;
    let is_quiet = |seen: &Timeline| (!seen.typing.contains(&oncall)).then_some(());
    office.alice.until(&room, "the end of typing", is_quiet).await?;

    // In the timeline its words decide whom it asks.
    office.bob.send_file(&other, &recording(), None).await?;
    let spoken = Message::text("Voice message").in_thread(&root);
    let voice = office.alice.send_file(&room, &recording(), Some(spoken)).await?;
    let listens =
        |seen: &Timeline| (seen.typing.contains(&oncall) && seen.read.get(&oncall) == Some(&voice)).then_some(());
    office.alice.until(&room, "that it listens", listens).await?;
    assert_eq!(office.claude.requests().len(), 1, "it is heard before the model is asked");
    assert!(office.alice.timeline(&other).typed.is_empty(), "nobody pretends to be at work");
    permits.add_permits(2);
    office.answer(&office.alice, &room, &oncall, "You said: what is two and two").await?;
    office.alice.until(&room, "the end of typing", is_quiet).await?;
    Ok(())
}
