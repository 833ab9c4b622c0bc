//! Finds whom a message is meant for: mentions, links, and names at its very start.

use std::collections::BTreeSet;

use ruma::OwnedUserId;

use super::{CoworkerHere, Message, OwnWords, after_quote, is_speech, is_struck, nods};

/// Returns the mentioned users: by `m.mentions`, or by links if it is missing. Also those called by name at the very
/// start, which people type whatever their client puts into `m.mentions`.
pub(super) fn mentioned_users(message: &Message, coworkers: &[CoworkerHere<'_>]) -> BTreeSet<OwnedUserId> {
    let mut mentioned = match &message.mentions {
        Some(mentions) => {
            let mut users = mentions.users.clone();
            for struck in struck_users(message) {
                users.remove(&struck);
            }
            users
        }
        None if message.is_uncaptioned() => return BTreeSet::new(),
        None => match &message.html {
            Some(html) => OwnWords::of_unstruck_html(html).linked_users().collect(),
            None => OwnWords::of_body(&message.body).linked_users().collect(),
        },
    };
    mentioned.extend(called_by_name(message, coworkers, message.mentions.is_some()));
    mentioned
}

/// Returns the users whose pills are all struck out.
fn struck_users(message: &Message) -> BTreeSet<OwnedUserId> {
    let Some(html) = message.html.as_deref().filter(|html| is_struck(html)) else { return BTreeSet::new() };
    let standing: BTreeSet<OwnedUserId> = OwnWords::of_unstruck_html(html).linked_users().collect();
    OwnWords::of_html(html).linked_users().filter(|user| !standing.contains(user)).collect()
}

/// Returns the coworkers whose name begins the message. If `calls` is set, the name must be an unambiguous address,
/// because a client that sends `m.mentions` has already said whom its user picked. Without `calls`, an ordinary word,
/// or a name that the message only talks about, still does not count.
pub(super) fn called_by_name(message: &Message, coworkers: &[CoworkerHere<'_>], calls: bool) -> BTreeSet<OwnedUserId> {
    if message.is_uncaptioned() {
        return BTreeSet::new();
    }
    let calls = calls || !is_speech(message);
    // Parsed only if a name starts the body.
    let html = std::cell::LazyCell::new(|| message.html.as_deref().map(OwnWords::of_html));
    let named = coworkers.iter().filter_map(|coworker| {
        let named = coworker.name_at_start(after_quote(&message.body))?;
        let shown = html.as_ref().is_none_or(|words| coworker.name_at_start(words.text.trim_start()).is_some());
        (shown && (named.calls || !calls && named.may_call)).then_some((named.bytes, coworker.user))
    });
    let mut named: Vec<_> = named.collect();
    if named.is_empty() {
        let behind = coworkers.iter().filter(|coworker| coworker.is_named_behind_command(&message.body));
        named.extend(behind.map(|coworker| (0, coworker.user)));
    }
    let longest = named.iter().map(|(length, _)| *length).max();
    named.iter().filter(|(length, _)| Some(*length) == longest).map(|(_, user)| (*user).to_owned()).collect()
}

/// Returns whether a message only nods at what it replies to. Clients mention the replied-to sender, which alone does
/// not ask; a name or a pill in the text does.
pub(super) fn only_nods(message: &Message, coworkers: &[CoworkerHere<'_>], asked_back: Option<bool>) -> bool {
    let nods = nods::nod(message, coworkers).is_some_and(|nod| nod.asks_nothing(asked_back));
    nods && called_by_name(message, coworkers, true).is_empty()
}
