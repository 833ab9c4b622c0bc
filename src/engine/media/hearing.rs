//! Recordings as words (C25): fetched, sent to the recogniser that the operator names, and kept for a day.
//!
//! A voice message in a coworkers' room is heard before it is decided whom it asks, beside the room's other events: its
//! words may open with a name. While it is heard, its entry stays in the inbox, so that a kill loses nothing; what was
//! heard is stored at once, so that it is not paid for twice. Without words it asks by its place alone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use ruma::{EventId, OwnedEventId, OwnedUserId, RoomId};
use sha2::{Digest as _, Sha256};

use crate::{
    appservice::health::{Condition, State},
    clock,
    config::Transcription,
    core::{
        context::Wanted,
        event::{EventKind, MediaSource, RoomEvent},
        hex::hex,
        media::{Claims, Extent, Outcome, Prepared, Unread},
        people::Who,
        prompt::FileContent,
        recogniser::{self, SECONDS_MAX, Sound},
        tokens,
    },
    engine::{media::FilesRead, records::Transcript},
    matrix::Account,
    recogniser::{Recogniser, Settings, Unheard},
    store::StoreError,
};

/// Most voice messages that are heard before it is decided whom they ask; further ones ask by their place alone.
const HEARING_MAX: usize = 256;
/// Most transcripts stored.
const TRANSCRIPTS_MAX: usize = 2_000;
/// How long a transcript is stored, in milliseconds: until every run that may need it is over.
const KEPT_FOR_MS: u64 = 24 * 60 * 60 * 1000;

/// The recogniser, and the voice messages that are being heard.
pub(in crate::engine) struct Hears {
    recogniser: Option<Recogniser>,
    hearing: Mutex<BTreeMap<OwnedEventId, Hearing>>,
}

/// How far a voice message is heard.
#[derive(Clone, Debug)]
enum Hearing {
    /// The recogniser is asked.
    Asked,
    /// These are its words.
    Words(Arc<str>),
    /// It has no words.
    Nothing,
}

impl Hears {
    /// Returns what hears with these settings; nothing does without any.
    ///
    /// # Errors
    /// If the client cannot be set up; says why.
    pub(in crate::engine) fn new(settings: Option<&Transcription>) -> Result<Self, String> {
        let recogniser = settings.map(|settings| Recogniser::new(settings_of(settings))).transpose()?;
        Ok(Self { recogniser, hearing: Mutex::default() })
    }

    /// Returns whether there is a recogniser.
    pub(in crate::engine) fn is_on(&self) -> bool {
        self.recogniser.is_some()
    }

    /// Returns whose host hears recordings, for first words.
    pub(in crate::engine) fn host(&self) -> Option<String> {
        self.recogniser.as_ref().map(Recogniser::host)
    }

    /// Returns whether an event is a voice message that is being heard, or decided about by its words.
    pub(in crate::engine) fn is_hearing(&self, event: &EventId) -> bool {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner).contains_key(event)
    }

    /// Returns a voice message as if it had been written, once its words are known.
    pub(in crate::engine) fn written(&self, event: &RoomEvent) -> Option<RoomEvent> {
        match self.hearing.lock().unwrap_or_else(PoisonError::into_inner).get(&event.id) {
            Some(Hearing::Words(words)) => Some(recogniser::as_written(event, words)),
            Some(Hearing::Asked | Hearing::Nothing) | None => None,
        }
    }

    /// Begins to hear an event, unless that began before, or too many are heard.
    pub(in crate::engine) fn begin(&self, event: &EventId) -> bool {
        let mut hearing = self.hearing.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = hearing.len() < HEARING_MAX && !hearing.contains_key(event);
        if begins {
            hearing.insert(event.to_owned(), Hearing::Asked);
        }
        begins
    }

    pub(in crate::engine) fn knows(&self, event: &EventId, words: Option<Arc<str>>) {
        let known = words.map_or(Hearing::Nothing, Hearing::Words);
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner).insert(event.to_owned(), known);
    }

    pub(in crate::engine) fn end(&self, event: &EventId) {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner).remove(event);
    }
}

/// Returns the settings of the recogniser's client.
pub(crate) fn settings_of(settings: &Transcription) -> Settings {
    Settings {
        url: settings.url.clone(),
        model: settings.model.clone(),
        api_key: settings.api_key.clone(),
        language: settings.language.clone(),
    }
}

/// Returns a transcript as a file for the model.
pub(super) fn transcript(words: &str) -> Arc<Prepared> {
    let content = FileContent::Text { text: words.into() };
    let (tokens, bytes) = (tokens::estimate(words), words.len() as u64);
    Arc::new(Prepared { content, tokens, bytes, shown: Extent::Transcript })
}

impl FilesRead {
    /// Returns what is said in a voice message, as one of ours in its room hears it.
    pub(in crate::engine) async fn words_of(&self, event: &RoomEvent) -> Option<Arc<str>> {
        let EventKind::Message(message) = &event.kind else { return None };
        let claims = Claims::of(&message.kind)?;
        let source = claims.worth_fetching(&self.runtime.config().files()).ok()?.clone();
        let account = self.runtime.kept_in(&event.room).into_iter().next()?;
        let wanted = Wanted { event: event.id.clone(), at: 0, source, claims, asked: true };
        let left = AtomicU64::new(self.runtime.config().limits.file_bytes_max);
        let heard = Box::pin(self.fetch_file(&account, &event.room, &wanted, &left, None)).await.ok()?;
        match &heard.content {
            FileContent::Text { text } if heard.shown == Extent::Transcript => Some(text.clone()),
            _ => None,
        }
    }

    /// Returns the words of a recording that was heard before.
    pub(in crate::engine) fn heard_before(
        &self,
        account: &Account,
        room: &RoomId,
        source: &MediaSource,
    ) -> Option<String> {
        let (key, _) = self.transcript_key(account, room, source);
        let kept = self.runtime.tables.transcripts.get(&key).ok().flatten()?;
        (clock::now().ms_since(kept.at) < KEPT_FOR_MS).then_some(kept.words)
    }

    /// Has a recording heard.
    pub(in crate::engine) async fn transcribe(
        &self,
        account: &Account,
        room: &RoomId,
        source: &MediaSource,
        sound: Sound,
        bytes: Vec<u8>,
    ) -> Outcome {
        let Some(recogniser) = &self.hears.recogniser else { return Err(Unread::Voice) };
        if sound.seconds(&bytes).is_some_and(|seconds| seconds > SECONDS_MAX) {
            return Err(Unread::TooLongToHear);
        }
        let heard = recogniser.words(sound, bytes).await;
        self.runtime.metrics.recording(match &heard {
            Ok(_) => "heard",
            Err(Unheard::Silence) => "silent",
            Err(Unheard::Refused(_)) => "refused",
            Err(Unheard::Odd(_)) => "odd",
            Err(Unheard::Down(_)) => "down",
        });
        let words = match heard {
            Ok(words) => words,
            Err(Unheard::Silence) => {
                self.show_recogniser(None);
                return Err(Unread::Silence);
            }
            Err(Unheard::Refused(status)) => {
                tracing::info!(room.id = %room, status, "the recogniser refuses a recording");
                return Err(Unread::Unheard);
            }
            Err(Unheard::Odd(why)) => {
                tracing::warn!(
                    room.id = %room, %why,
                    "the recogniser's answer cannot be used; if it goes on, `workmate check --live` tries it"
                );
                return Err(Unread::Unheard);
            }
            Err(Unheard::Down(why)) => {
                self.show_recogniser(Some(&why));
                return Err(Unread::Unheard);
            }
        };
        self.show_recogniser(None);
        if let Err(error) = self.keep_transcript(account, room, source, &words) {
            tracing::error!(room.id = %room, %error, "what was heard cannot be stored; it may be heard once more");
        }
        Ok(transcript(&words))
    }

    fn show_recogniser(&self, down: Option<&str>) {
        let state = match down {
            None => State::Ready,
            Some(why) => State::Waiting(format!(
                "{why}\n  Voice messages are only named meanwhile.\n  Mend: see that transcription.url, model and api_key are \
                 right and the recogniser runs; `workmate check --live` tries it"
            )),
        };
        self.runtime.health.set(Condition::Transcription, state);
    }

    fn keep_transcript(
        &self,
        account: &Account,
        room: &RoomId,
        source: &MediaSource,
        words: &str,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        let table = &self.runtime.tables.transcripts;
        let old: Vec<_> = table
            .each()
            .filter_map(Result::ok)
            // What cannot be read is an owner's who had it forgotten.
            .filter(|(_, kept)| !kept.as_ref().is_ok_and(|kept| now.ms_since(kept.at) < KEPT_FOR_MS))
            .map(|(key, _)| key)
            .collect();
        for key in &old {
            table.remove(key)?;
        }
        table.remove_first(TRANSCRIPTS_MAX - 1, |_| true)?;
        let (key, owner) = self.transcript_key(account, room, source);
        table.put(&key, &Transcript { words: words.to_owned(), at: now, owner })
    }

    /// Returns under which key a recording's words are kept, and in whose assistant's chat it is. Coworkers share theirs,
    /// because who knows a recording's place and key read its message.
    fn transcript_key(
        &self,
        account: &Account,
        room: &RoomId,
        source: &MediaSource,
    ) -> ((OwnedUserId, String), Option<OwnedUserId>) {
        let place = hex(&Sha256::digest(source.as_str().as_bytes())[..16]);
        if let Who::Assistant(_) = self.runtime.namespace().who(account.user()) {
            let owner = self.runtime.tables.assistant_rooms.get(&room.to_owned()).ok().flatten();
            return ((account.user().to_owned(), place), owner);
        }
        ((self.runtime.service_user(), place), None)
    }
}

#[cfg(test)]
mod tests {
    use ruma::event_id;

    use super::*;

    #[test]
    fn c25_a_voice_message_is_heard_once_and_then_decided_about() {
        let hears = Hears::new(None).expect("nothing to set up");
        let voice = event_id!("$voice");
        assert!(!hears.is_on() && hears.begin(voice) && !hears.begin(voice) && hears.is_hearing(voice));
        hears.knows(voice, Some("hello".into()));
        assert!(!hears.begin(voice), "it is decided about now");
        hears.end(voice);
        assert!(!hears.is_hearing(voice));
        let many: Vec<OwnedEventId> =
            (0..=HEARING_MAX).map(|n| OwnedEventId::try_from(format!("${n}")).expect("an id")).collect();
        assert_eq!(many.iter().filter(|event| hears.begin(event)).count(), HEARING_MAX);
    }
}
