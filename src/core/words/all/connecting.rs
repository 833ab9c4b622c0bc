//! Texts about connections of an owner's own programs.

use ruma::{event_id, room_id, server_name};

use super::{AT, Book};
use crate::core::{
    connection::{Became, Called, Connections, token},
    words::connections as words,
    zone::Zone,
};

pub(super) fn connections(book: &mut Book) {
    book.part("An owner's own programs");
    book.told("!connect, where it is not offered", &words::not_offered());
    let mut kept = Connections::default();
    book.told("!connections", &words::connections(kept.list(), 30, &Zone::default()));
    book.told("!trail", &words::trail(&kept, server_name!("hs"), &Zone::default()));
    let made = kept.add("hash".into(), "laptop", event_id!("$one").to_owned(), AT).expect("there is room");
    let token = token(&"x".repeat(43));
    book.told("!connect laptop", &words::connected(&made, "https://work.example.org/mcp", &token, 30));
    kept.add("hash 2".into(), "", event_id!("$two").to_owned(), AT).expect("there is room");
    for (number, became) in Became::ALL.into_iter().enumerate() {
        let (room, what) = (Some(room_id!("!team:hs").to_owned()), "room_search".to_owned());
        kept.note_call(Called { at: AT.later(60_000), by: 1, what, room, messages: number, became, earlier: None });
    }
    let rooms = Called {
        at: AT,
        by: 1,
        what: "rooms".into(),
        room: None,
        messages: 0,
        became: Became::Answered,
        earlier: None,
    };
    kept.note_call(rooms.clone());
    kept.note_call(Called { at: AT.later(300_000), ..rooms });
    book.told("!connections", &words::connections(kept.list(), 1, &Zone::default()));
    book.told("!trail", &words::trail(&kept, server_name!("hs"), &Zone::default()));
    book.told("!connect, an eleventh time", &words::too_many_connections());
    book.told("!disconnect 1", &words::disconnected(1, true));
    book.told("!disconnect 9", &words::disconnected(9, false));
    for count in 0..3 {
        book.told("!disconnect all", &words::all_disconnected(count));
    }
}
