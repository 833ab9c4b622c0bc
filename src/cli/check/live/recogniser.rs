//! Tries the recogniser of voice messages with a second of silence.

use super::{Check, Found, Tried};
use crate::{
    cli::check::shown,
    config::Config,
    core::recogniser::Sound,
    engine::recogniser_settings,
    recogniser::{Recogniser, Unheard},
};

/// Samples in a second.
const RATE: u32 = 16_000;

pub(super) async fn all(config: &Config) -> Vec<Tried> {
    let Some(settings) = &config.transcription else { return Vec::new() };
    let url = shown(&settings.url);
    let found = match Recogniser::new(recogniser_settings(settings)) {
        Err(why) => fault(url, &why),
        Ok(recogniser) => match recogniser.words(Sound::Wav, silence()).await {
            // Some hear words in silence.
            Ok(_) | Err(Unheard::Silence) => Found::Fine(format!("{url} listens with {}", settings.model)),
            Err(Unheard::Refused(status)) => {
                Found::Open(format!("{url} answers, and refuses a second of silence (HTTP {status})"))
            }
            Err(Unheard::Odd(why)) => fault(url, &format!("what it answers cannot be used: {why}")),
            Err(Unheard::Down(why)) => fault(url, &why),
        },
    };
    vec![Tried::new(Check::Transcription, found)]
}

fn fault(url: &str, why: &str) -> Found {
    Found::Fault(format!(
        "{url}: {why}\n  Voice messages are only named.\n  Mend: see that transcription.url, model and api_key are right and \
         the recogniser runs."
    ))
}

/// Returns a second of silence as a WAV file.
fn silence() -> Vec<u8> {
    let bytes = RATE * 2;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    wav.extend([1, 0, 1, 0]);
    wav.extend(RATE.to_le_bytes());
    wav.extend((RATE * 2).to_le_bytes());
    // Two bytes for a sample.
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend(bytes.to_le_bytes());
    wav.resize(wav.len() + bytes as usize, 0);
    wav
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_lasts_a_second() {
        let wav = silence();
        assert_eq!((Sound::of(&wav, false), Sound::Wav.seconds(&wav)), (Some(Sound::Wav), Some(1)));
    }
}
