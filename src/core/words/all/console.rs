//! Texts of the console's command. Those of its pages are constants.

use super::Book;
use crate::core::{
    tool::{ApprovalRule, MODERATOR_LEVEL},
    words::{console as words, whose_approval},
};

pub(super) fn console(book: &mut Book) {
    book.part("The console");
    book.told("!console", &words::link("https://workmate.example.org/in/abc"));
    book.told("!console, where it is not on", &words::off());
    book.told("!console, in a chat that is not encrypted", &words::plain_chat());
    for sessions in 0..3 {
        book.told("!console end", &words::ended(sessions));
    }
    for rule in [ApprovalRule::Never, ApprovalRule::Asker, ApprovalRule::Moderator { level: MODERATOR_LEVEL }] {
        book.told("who may approve, in the console", &whose_approval(&rule));
    }
}
