//! What waits: runs, cards, keys, and work that nobody asked for.

use maud::{Markup, html};

use super::{
    Frame,
    parts::{event, live, name, room, runs_of, table, text, tiles, time},
};
use crate::{console::view::Queues, core::words::console as words};

pub(super) fn page(frame: &Frame<'_>, queues: &Queues) -> Markup {
    html! {
        (live("counts", "Counts", &tiles(&[
            ("Being answered", queues.running.0.to_string()),
            ("Waiting for their turn", queues.running.1.to_string()),
            ("Questions at the provider", queues.batches.to_string()),
            ("Runs that owe something", queues.owed.to_string()),
            ("Events given up", queues.given_up.to_string()),
        ])))
        (live("cards", "Cards that wait", &cards(frame, queues)))
        (live("keys", "Not decrypted yet", &undecryptable(queues)))
        (live("errands", "Nobody asked for it", &errands(queues)))
    }
}

fn cards(frame: &Frame<'_>, queues: &Queues) -> Markup {
    html! {
        @if queues.cards.is_empty() { p { "No coworker's call waits for somebody's word." } }
        @else {
            p.quiet { (words::DECIDED_IN_THE_ROOM) }
            (table("Cards that wait", &["Coworker", "Tool", "Who decides", "Card", "Until"], &html! {
                @for card in &queues.cards {
                    tr {
                        th scope="row" { (runs_of(frame, "coworker", &card.coworker)) }
                        td { (name(&card.tool)) }
                        td { (text(&card.who)) }
                        td { (event(&card.room, &card.card, &queues.via, "open in Matrix")) }
                        td { (time(card.until)) }
                    }
                }
            }))
        }
        @if queues.private_cards > 0 { p { (queues.private_cards) " more in assistants' chats." } }
    }
}

fn undecryptable(queues: &Queues) -> Markup {
    html! {
        @if queues.undecryptable.is_empty() { p { "No event waits for its key." } }
        @else {
            (table("Events that wait for their keys", &["Room", "Events"], &html! {
                @for (at, count) in &queues.undecryptable {
                    tr {
                        th scope="row" {
                            @match at { Some(at) => { (room(at, &queues.via)) } None => { "(assistants)" } }
                        }
                        td.number { (count) }
                    }
                }
            }))
        }
    }
}

fn errands(queues: &Queues) -> Markup {
    html! {
        @if queues.errands.is_empty() { p { "No schedule, hook or watch waits to begin." } }
        @else {
            (table("Work that nobody asked for and that waits", &["Room", "Waiting"], &html! {
                @for (at, count) in &queues.errands {
                    tr { th scope="row" { (room(at, &queues.via)) } td.number { (count) } }
                }
            }))
        }
    }
}
