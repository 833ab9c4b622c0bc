//! Texts about verification and encryption (A11, C8, A3).

/// Characters shown of a device's name.
const DEVICE_NAME_MAX: usize = 60;

/// Lists the emoji, with their names, that the person's app must show too, and says what a match does not prove.
///
/// The emoji come first, so that a notification shows them beside the app's dialog, which may cover the chat. A program
/// has no second channel: an attacker who can forge keys in transit can also forge this text.
#[must_use]
pub fn compare(emoji: &[(&str, &str)]) -> String {
    let shown: Vec<String> = emoji.iter().map(|(symbol, name)| format!("{symbol} {name}")).collect();
    format!(
        "{}\n\nThese are mine. If your app shows the same ones in the same order, confirm there; I've confirmed my side, as \
         I always do. If they differ, say so there: then somebody stands between us. What this can't prove is that the \
         homeserver is honest: my emoji reach you through it.",
        shown.join(" · ")
    )
}

/// Says that a verification is done.
#[must_use]
pub fn verified() -> String {
    "Verified. Your app will warn you if my identity ever changes.".to_owned()
}

/// Says that the person cancelled a verification, or that it broke off.
#[must_use]
pub fn cancelled() -> String {
    "The verification was cancelled; nothing has changed. Start it again whenever you like.".to_owned()
}

/// Says that two verifications at once ended each other.
#[must_use]
pub fn crossed() -> String {
    "Two verifications were open at once, so both were cancelled; nothing has changed. Start one again, and I'll take it up."
        .to_owned()
}

/// Says that the end of the process broke a verification off; its last step may have arrived all the same.
#[must_use]
pub fn broken_off() -> String {
    "I was restarted in the middle of our verification. If your app doesn't show me as verified, please start it again."
        .to_owned()
}

/// Says that the person reported different emoji.
#[must_use]
pub fn differed() -> String {
    "The verification was cancelled because the emoji differ; nothing has changed. Unless you pressed the wrong button, \
     somebody may stand between us: tell the person who runs Workmate."
        .to_owned()
}

/// Says that a verification took too long.
#[must_use]
pub fn timed_out() -> String {
    "The verification took too long, so I ended it; nothing has changed. Start it again from my profile in your app, or \
     with `!verify`."
        .to_owned()
}

/// Says that the person's apps were asked, or only the one with this name.
#[must_use]
pub fn look_for_request(device: Option<&str>) -> String {
    let whom = match device {
        None => "your apps to verify me. Accept the request in one of them".to_owned(),
        Some(name) => format!("your app \"{}\" to verify me. Accept the request there", plain(name)),
    };
    format!("I've asked {whom}, and I'll show my emoji here.")
}

/// Says that the person has no device that can verify.
#[must_use]
pub fn no_device() -> String {
    "None of your apps can verify me yet: first confirm one of them as yours, in its settings under security or \
     encryption. Then try again."
        .to_owned()
}

/// Says that too many verifications are going on.
#[must_use]
pub fn too_many() -> String {
    "I'm in the middle of too many verifications. Try again in a few minutes.".to_owned()
}

/// Returns a device's name without anything that could become Markdown or a link.
fn plain(name: &str) -> String {
    let fits = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '-' | ',' | '(' | ')');
    name.chars().filter(fits).take(DEVICE_NAME_MAX).collect()
}

/// Says that a message in an encrypted room was not encrypted, so it is not answered (C8).
#[must_use]
pub fn not_encrypted() -> String {
    "That message wasn't encrypted, though this room is, so I don't answer it: I can't know that you wrote it. Please send \
     it again from an app that encrypts here."
        .to_owned()
}

/// Says in an assistant's chat that an unencrypted message arrived (A3).
#[must_use]
pub fn not_encrypted_here() -> String {
    "A message in your name came here unencrypted. I didn't read or answer it, because I can't know that you wrote it. If you \
     did, please send it again from an app that encrypts this chat."
        .to_owned()
}

/// Says elsewhere that one of ours cannot speak in a room whose encryption it does not know (C8).
#[must_use]
pub fn other_encryption(name: &str, room: &str) -> String {
    format!(
        "{name} can't answer in {room}: the room asks for a kind of encryption that it doesn't know, and it doesn't write there \
         unencrypted. It works in a room with the usual encryption, or in one without any."
    )
}

/// Says once that the owner has not verified one of their devices (A11).
#[must_use]
pub fn unverified_device(device: &str, answered: bool) -> String {
    let so = if answered {
        "I answer it all the same. If it isn't yours, sign it out and change your password."
    } else {
        "So I don't answer it. Verify it from one of your other devices, or sign it out if it isn't yours, and change your \
         password then."
    };
    format!(
        "You haven't verified the device {device} that wrote just now. Anybody who has your password could have added it. {so}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a11_whoever_compares_emoji_is_told_what_they_show_and_what_they_cannot_prove() {
        let text = compare(&[("🐶", "Dog"), ("🔑", "Key")]);
        for said in ["🐶 Dog · 🔑 Key", "I always do", "If they differ", "can't prove is that the homeserver is honest"]
        {
            assert!(text.contains(said), "{said} is not in {text}");
        }
        assert!(text.starts_with("🐶 Dog"), "a notification shows them: {text}");
    }

    #[test]
    fn a11_a_devices_name_is_shown_as_plain_words() {
        let text = look_for_request(Some("**Element** on [Firefox](https://evil.example/#/@room:hs)"));
        assert!(text.contains("\"Element on Firefox(httpsevil.exampleroomhs)\""), "{text}");
        assert!(look_for_request(None).starts_with("I've asked your apps"));
    }
}
