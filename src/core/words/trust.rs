//! Words about verification by emoji (A11).

/// Says which emoji the person's app must show too: symbols with their names; and what their being the same leaves open.
///
/// A program has no second channel: whoever forges keys on the way can forge what is written here.
#[must_use]
pub fn compare(emoji: &[(&str, &str)]) -> String {
    let shown: Vec<String> = emoji.iter().map(|(symbol, name)| format!("{symbol} {name}")).collect();
    format!(
        "Compare these with the emoji that your app shows for me:\n\n{}\n\nIf they are the same, in the same order, confirm \
         it in your app; I have confirmed my side, because I always do. If they differ, say so there: then somebody stands \
         between us. What this can't prove is that the homeserver itself is honest: my emoji reach you through it.",
        shown.join(" · ")
    )
}

/// Says that a verification is done.
#[must_use]
pub fn verified() -> String {
    "Verified. Your app will warn you should my identity ever change.".to_owned()
}

/// Says that a verification came to nothing.
#[must_use]
pub fn not_verified() -> String {
    "The verification was cancelled, or took too long; nothing has changed. Start it again whenever you like."
        .to_owned()
}

/// Says that a coworker takes up the verification that the person's app asked for, or asks the app itself.
#[must_use]
pub fn look_for_request() -> String {
    "I've asked your apps to verify me. Accept the request in one of them, and I'll show my emoji here.".to_owned()
}

/// Says that too many verifications go on, or one with this person already.
#[must_use]
pub fn one_at_a_time() -> String {
    "I'm in the middle of a verification already. Finish or cancel that one first, or try again in a few minutes."
        .to_owned()
}

/// Says that a message in an encrypted room was not encrypted, and so is not answered (C8).
#[must_use]
pub fn not_encrypted() -> String {
    "That message wasn't encrypted, though this room is, so I don't answer it: I can't know that you wrote it. Please send \
     it again from an app that encrypts here."
        .to_owned()
}

/// Says elsewhere that one of ours cannot speak in a room, because it does not know the room's encryption (C8).
#[must_use]
pub fn other_encryption(name: &str, room: &str) -> String {
    format!(
        "{name} can't answer in {room}: the room asks for a kind of encryption that I don't know, and I don't write there \
         unencrypted. It works in a room with the usual encryption, or in one without any."
    )
}

/// Says once that a device of an assistant's owner is not verified by them (A11).
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
        for said in
            ["🐶 Dog · 🔑 Key", "I always do", "If they differ", "can't prove is that the homeserver itself is honest"]
        {
            assert!(text.contains(said), "{said} is not in {text}");
        }
    }
}
