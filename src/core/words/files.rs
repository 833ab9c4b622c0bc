//! What people are told about files that cannot be read (C7, C19).

use crate::core::{
    computing::{POSTED_MAX, Unposted},
    media::{PDF_PAGES_MAX, Unread},
    recogniser::SECONDS_MAX,
};

/// Answers a request that consists of an unreadable file: why it cannot be read, and which files can.
#[must_use]
pub fn unreadable(why: Unread) -> String {
    let why = match why {
        Unread::Voice => "I can't listen to voice messages.".to_owned(),
        Unread::Audio => "I can't listen to audio.".to_owned(),
        Unread::Unheard | Unread::NotHeardYet => {
            return "I couldn't listen to your message: the service that writes down what is said doesn't answer, or \
                    can't read the recording. Please try again later, or write what you need."
                .to_owned();
        }
        Unread::Silence => {
            return "I heard no words in that recording. Please record it again, or write what you need.".to_owned();
        }
        Unread::TooLongToHear => {
            return format!(
                "That recording is too long for me: I listen to at most {} minutes. Please send a shorter one, or write \
                 what you need.",
                SECONDS_MAX / 60
            );
        }
        Unread::Video => "I can't watch videos.".to_owned(),
        Unread::Unsupported => "I can't read files of that kind.".to_owned(),
        Unread::PictureFormat => {
            return "I can't read pictures in that format (such as HEIC, AVIF or TIFF). Please send it as JPEG or PNG, or write \
                    what I should know."
                .to_owned();
        }
        Unread::Packed => "That file is packed (gzip, 7-Zip or the like): please unpack it first.".to_owned(),
        Unread::TooLarge => "That file is too large for me.".to_owned(),
        Unread::TooLargeUnpacked => "That file is too large for me once it is unpacked.".to_owned(),
        Unread::TookTooLong => "That file took too long to read, so I gave up on it.".to_owned(),
        Unread::TooLong => format!("That file is too long for me: I read at most {PDF_PAGES_MAX} pages of a PDF."),
        Unread::Encrypted => "That file is protected with a password, so I can't read it.".to_owned(),
        Unread::Broken => "That file seems to be damaged, or it isn't what its name says.".to_owned(),
        Unread::Empty => "That file is empty.".to_owned(),
        Unread::NoWords => {
            return "I couldn't read your message: its text is missing or damaged. Please send it again.".to_owned();
        }
        Unread::Unavailable => {
            return "I couldn't fetch that file. Please send it again, or write what I should know.".to_owned();
        }
        Unread::LeftOut => return "I'm not set up to read files here. Please write what I should know.".to_owned(),
    };
    format!(
        "{why} I can read images (JPEG, PNG, GIF, WebP), PDF, Word, Excel, PowerPoint, OpenDocument, mail, calendar \
         and text files, or just write what you need."
    )
}

/// Stands in an answer that is nothing but files.
#[must_use]
pub fn made_files() -> String {
    "Here is what I made.".to_owned()
}

/// Says which of the files that it made are not posted, and why.
#[must_use]
pub(crate) fn unposted(unposted: &Unposted) -> String {
    let Unposted { too_many, uncounted, too_large, missing, secret, broken, refused } = *unposted;
    let it = |count: usize| if count == 1 { "it" } else { "them" };
    let reasons = [
        (too_many, format!("left out: I post at most {POSTED_MAX}, the newest")),
        (too_large, "too large to post".to_owned()),
        (missing, format!("gone before I could fetch {}", it(missing))),
        (
            secret,
            format!("held back, because {} a credential", if secret == 1 { "it contains" } else { "they contain" }),
        ),
        (broken, format!("left out, because no picture could be made of {}", it(broken))),
        (refused, "refused by the homeserver".to_owned()),
    ];
    let told = reasons.into_iter().enumerate().filter(|(_, (count, _))| *count > 0);
    let told: Vec<String> = told
        .map(|(at, (count, why))| match count {
            1 => format!("One file was {why}."),
            count if uncounted && at == 0 => format!("At least {count} files were {why}."),
            count => format!("{count} files were {why}."),
        })
        .collect();
    told.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c19_whoever_sends_what_cannot_be_read_is_told_what_can() {
        let all = [
            Unread::Voice,
            Unread::Audio,
            Unread::Video,
            Unread::Unsupported,
            Unread::Packed,
            Unread::TooLarge,
            Unread::TooLargeUnpacked,
            Unread::TookTooLong,
            Unread::TooLong,
            Unread::Encrypted,
            Unread::Broken,
            Unread::Empty,
        ];
        for why in all {
            let word = unreadable(why);
            assert!(word.contains("images (JPEG, PNG, GIF, WebP), PDF, Word, Excel"), "{word}");
        }
        assert!(unreadable(Unread::Voice).starts_with("I can't listen to voice messages."));
        assert!(unreadable(Unread::PictureFormat).contains("as JPEG or PNG"));
    }
}
