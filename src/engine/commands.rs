//! Commands to a coworker (C16): done at once, and answered in fixed words.

use std::borrow::Cow;

use ruma::{RoomId, UserId};

use super::{
    Engine, EngineError,
    control::{Order, Which},
    records::RoomRecord,
};
use crate::{
    clock,
    config::Coworker,
    core::{
        address::CoworkerHere,
        command::{CoworkerCommand, CoworkerRequest, coworker_request},
        context::hidden_links,
        event::{EventKind, Message, RoomEvent},
        notes::NewNote,
        words,
    },
};

impl Engine {
    /// Does what a command asks and returns the answer.
    pub(super) async fn obey(
        &self,
        coworker: &Coworker,
        event: &RoomEvent,
        command: CoworkerRequest<'_>,
        user: &UserId,
    ) -> Result<String, EngineError> {
        let room = &event.room;
        Ok(match command {
            CoworkerRequest::Prompt(_) => words::unknown_command(),
            CoworkerRequest::Command(command) => self.obey_word(coworker, event, command, user).await?,
            CoworkerRequest::AddNote(text) => {
                // If one message asks two coworkers, the note is made once: notes belong to the room.
                let cause = event.id.as_str();
                let text = with_links(text, event);
                let new = NewNote { text: &text, by: event.sender.clone(), at: clock::now(), cause };
                match self.notes.add(room, new).await? {
                    Ok(number) => words::noted(number),
                    Err(why) => words::not_noted(why),
                }
            }
            CoworkerRequest::Unschedule(number) => match self.pool.kept(user) {
                Some(account) => self.schedules.end_schedule(&account, event, number).await?,
                None => words::timetable::no_such_schedule(number),
            },
            CoworkerRequest::Reread(number) => match self.pool.kept(user) {
                Some(account) => self.reread(&account, event, Some(number)).await?,
                None => words::unknown_command(),
            },
            CoworkerRequest::ForgetNote(number) => match self.notes.remove(room, number).await? {
                Some(_) => words::forgot(number),
                None => words::no_such_note(number),
            },
        })
    }

    async fn obey_word(
        &self,
        coworker: &Coworker,
        event: &RoomEvent,
        command: CoworkerCommand,
        user: &UserId,
    ) -> Result<String, EngineError> {
        let (room, name) = (&event.room, &coworker.id.0);
        Ok(match command {
            CoworkerCommand::Help => words::coworker_help(name),
            CoworkerCommand::Purpose => words::purpose(&coworker.purpose),
            CoworkerCommand::Tools => words::tools(
                &self.toolsets.toolset(coworker, room).await?,
                &self.toolsets.servers_down(&coworker.tools),
            ),
            CoworkerCommand::Status => {
                let status = words::status(self.running.count(room, user));
                let used = self.budget.budget_used(user, room)?;
                if used.is_empty() { status } else { format!("{status} {used}") }
            }
            CoworkerCommand::Stop => {
                let stopped = self.running.order(room, Which::Of(user, event.thread_root()), &Order::Stop);
                match (stopped, self.running.count(room, user)) {
                    (0, 0) => words::nothing_to_stop(),
                    // In a thread, it only stops that thread's runs.
                    (0, elsewhere) => words::nothing_to_stop_here(elsewhere),
                    _ => words::stopped(),
                }
            }
            CoworkerCommand::Mute => {
                self.mute(room, user, true)?;
                // Muting a coworker also stops its current work.
                self.running.order(room, Which::Of(user, None), &Order::Stop);
                words::muted(name)
            }
            CoworkerCommand::Unmute => {
                self.mute(room, user, false)?;
                words::unmuted()
            }
            CoworkerCommand::Notes => match self.notes.of(room)?.as_slice() {
                [] => words::no_notes(name),
                notes => words::notes(name, notes, &self.zones.zone_of(&event.sender).await),
            },
            CoworkerCommand::Schedules => {
                self.schedules.list_schedules(coworker, room, &self.zones.zone_of(&event.sender).await).await?
            }
            CoworkerCommand::Verify => words::trust::look_for_request(None),
            CoworkerCommand::Why => self.audit.why(user, event).await?,
            CoworkerCommand::LeftOut | CoworkerCommand::Reread => match self.pool.kept(user) {
                Some(account) if command == CoworkerCommand::LeftOut => self.left_out_of(&account, event).await?,
                Some(account) => self.reread(&account, event, None).await?,
                None => words::unknown_command(),
            },
            CoworkerCommand::Forget => words::forgot_all(self.notes.forget(room).await?),
        })
    }

    fn mute(&self, room: &RoomId, user: &UserId, muted: bool) -> Result<(), EngineError> {
        self.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            let mut record = record.unwrap_or_default();
            if muted {
                record.muted.insert(user.to_owned());
            } else {
                record.muted.remove(user);
            }
            Some(record)
        })?;
        Ok(())
    }
}

/// Returns a note's text with the links that only the message's formatted text has: in plain text, a pill is only the
/// room's name.
fn with_links<'t>(text: &'t str, event: &RoomEvent) -> Cow<'t, str> {
    let links = match &event.kind {
        EventKind::Message(message) | EventKind::Edit { new: message, .. } => hidden_links(message),
        _ => Vec::new(),
    };
    if links.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(format!("{text} ({})", links.join(" "))) }
}

/// Returns the command in a message to a coworker, if it is one.
pub(super) fn command_of<'m>(message: &'m Message, coworker: &Coworker, user: &UserId) -> Option<CoworkerRequest<'m>> {
    let display_name = coworker.display_name();
    let here = CoworkerHere { user, id: &coworker.id.0, name: &coworker.name, display_name: Some(&display_name) };
    match coworker_request(message, &here) {
        CoworkerRequest::Prompt(_) => None,
        command => Some(command),
    }
}
