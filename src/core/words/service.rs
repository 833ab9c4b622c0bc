//! The service bot's texts for admins and for people outside the workspace.

use std::fmt::Write as _;

use super::duration_minutes;

/// What the service bot's `!status` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Workmate's version.
    pub version: &'static str,
    /// Minutes since the process started.
    pub up_minutes: u64,
    /// Coworkers in the config.
    pub coworkers: usize,
    /// Assistants that exist.
    pub assistants: usize,
    /// Assistants with an open client.
    pub assistants_open: usize,
    /// Runs going on.
    pub running: usize,
    /// Runs waiting for their turn.
    pub waiting: usize,
    /// People still to be given an assistant, and people who are gone; `None` unless assistants are made without
    /// asking.
    pub provisioning: Option<(usize, usize)>,
    /// MCP servers that answer.
    pub servers_up: Vec<String>,
    /// MCP servers that do not answer.
    pub servers_down: Vec<String>,
    /// Why Claude cannot be asked; `None` if it can.
    pub claude: Option<String>,
}

/// The service bot's `!status` for admins: counts, never content.
#[must_use]
pub fn service_status(status: &ServiceStatus) -> String {
    let mut text = format!(
        "Workmate {}, up for {}.\n\n- Coworkers: {}\n- Assistants: {}, {} open\n- Requests: {} being worked on, {} waiting\n",
        status.version,
        duration_minutes(status.up_minutes),
        status.coworkers,
        status.assistants,
        status.assistants_open,
        status.running,
        status.waiting,
    );
    if let Some((due, gone)) = status.provisioning {
        let _ = writeln!(text, "- Members: {due} waiting for an assistant, {gone} gone and kept for now");
    }
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    let _ = writeln!(text, "- Tool servers: up {}; down {}", list(&status.servers_up), list(&status.servers_down));
    let _ = write!(text, "- Claude: {}", status.claude.as_deref().unwrap_or("ready"));
    text
}

/// Says that an assistant's id cannot be made of a person's id.
#[must_use]
pub fn id_does_not_fit() -> String {
    "No assistant can be made for your user id: an assistant's own id is yours with a word in front, and a new id may have \
     no more than 255 characters, and no capital letters. Coworkers answer you in rooms all the same."
        .to_owned()
}

/// Says that only members of the workspace can have an assistant.
#[must_use]
pub fn not_a_member() -> String {
    "Assistants here are for members of the workspace's space, and I don't see you there. Once you've joined it, you'll \
     get yours."
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_for_admins_counts_and_names_nobody() {
        let mut status = ServiceStatus {
            version: "0.1.0",
            up_minutes: 180,
            coworkers: 2,
            assistants: 40,
            assistants_open: 3,
            running: 1,
            waiting: 5,
            provisioning: Some((7, 1)),
            servers_up: vec!["logs".to_owned(), "ci".to_owned()],
            servers_down: Vec::new(),
            claude: Some("no key".to_owned()),
        };
        assert_eq!(
            service_status(&status),
            "Workmate 0.1.0, up for 3 hours.\n\n- Coworkers: 2\n- Assistants: 40, 3 open\n- Requests: 1 being worked on, 5 \
             waiting\n- Members: 7 waiting for an assistant, 1 gone and kept for now\n- Tool servers: up `logs`, `ci`; \
             down none\n- Claude: no key"
        );
        (status.provisioning, status.claude) = (None, None);
        let text = service_status(&status);
        assert!(!text.contains("Members") && text.ends_with("- Claude: ready"), "{text}");
    }
}
