//! What `workmate retire --everything` prints.

use std::path::Path;

use ruma::UserId;

use super::Done;
use crate::config::Config;

/// Most users named one by one.
const NAMED_MAX: usize = 20;

/// Says that a Workmate uses the data.
pub(super) fn it_runs(state: &Path) -> String {
    format!(
        "{}: a workmate runs with this configuration: nothing was done\n  It would make anew what is removed here.\n  Mend: stop it \
         (`systemctl stop workmate`), and run this again.",
        state.display()
    )
}

/// Says what would be done.
pub(super) fn would<'a>(config: &Config, users: impl Iterator<Item = &'a UserId>, rooms: usize) -> String {
    let users: Vec<&UserId> = users.collect();
    let mut named: Vec<String> = users.iter().take(NAMED_MAX).map(|user| format!("  {user}")).collect();
    if users.len() > NAMED_MAX {
        named.push(format!("  and {} more", users.len() - NAMED_MAX));
    }
    if named.is_empty() {
        named.push("  (the homeserver knows none of our users)".to_owned());
    }
    format!(
        "Nothing was done yet. This is what --yes does, for good.\n\nThese leave {rooms} room{rs}, lose every device, and are \
         deactivated, so that nobody gets their names again:\n{named}\n\nThen everything that Workmate keeps in {data} is \
         deleted: requests, assistants' sessions, the audit index, encryption keys. `workmate audit export` keeps a copy of the \
         index.\n\nWhat people and coworkers wrote stays in the rooms. Run it again with --yes.",
        rs = plural(rooms),
        named = named.join("\n"),
        data = config.data_dir.display(),
    )
}

/// Says what was done, and what remains where only the operator reaches.
pub(super) fn done(config: &Config, done: &Done, rest: bool) -> String {
    let mut text = format!(
        "Workmate is gone from {server}: {users} user{us} left {rooms} room{rs}, lost {devices} device{ds}, and {fate}.\n{data}: \
         deleted{other}.\n",
        server = config.homeserver.server_name,
        users = done.users,
        us = plural(done.users),
        rooms = done.rooms,
        rs = plural(done.rooms),
        devices = done.devices,
        ds = plural(done.devices),
        fate = fate(done),
        data = config.data_dir.display(),
        other = if rest { "; other files are in that folder, and stay" } else { "" },
    );
    text.push_str(
        "\nWhat remains, and how it goes:\n\
         - the registration in the homeserver's configuration: remove it there, and restart the homeserver\n\
         - the configuration with tokens, the master secret and the API key: delete its folder; with the Debian package, \
         `apt purge workmate`\n\
         - backups of the data folder and old master secrets, wherever you keep them\n\
         - messages, files and pictures in the rooms, as those of people who left: the homeserver's own retention\n\
         - what the provider of the model keeps: see its terms and its console; files sent there were deleted with each run\n\
         - the API key itself: delete it in the provider's console\n\
         - names of our users in other systems: webhooks' senders, Grafana, the reverse proxy",
    );
    for user in done.blanked.iter().take(NAMED_MAX) {
        text.push_str("\n- the account ");
        text.push_str(user.as_str());
        text.push_str(", without a name: deactivate it with the homeserver's admin API");
    }
    text
}

fn fate(done: &Done) -> String {
    match (done.users - done.blanked.len(), done.blanked.len()) {
        (_, 0) => "were deactivated".to_owned(),
        (0, _) => "could not be deactivated, so their names and pictures were removed".to_owned(),
        (gone, left) => format!("{gone} of them were deactivated, {left} only lost their names and pictures"),
    }
}

/// Says where it was broken off.
pub(super) fn broken_off(user: &UserId, done: &Done) -> String {
    format!(
        "{user}: not retired; {} others are, and no data was deleted\n  Mend: run this again: it goes on there",
        done.users
    )
}

/// Says that data could not be deleted.
pub(super) fn not_deleted(path: &Path) -> String {
    format!(
        "{}: could not be deleted; our users are gone from the homeserver\n  Mend: delete it by hand, or run this again as its owner",
        path.display()
    )
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
