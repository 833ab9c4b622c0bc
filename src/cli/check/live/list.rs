//! The list of everything that is tried: what `workmate doctor` shows, in its order, and `workmate check --live` in part.

use std::time::Duration;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Check {
    Config,
    Registration,
    Secrets,
    Files,
    Data,
    Disk,
    Store,
    Descriptors,
    Serving,
    Ports,
    Homeserver,
    Namespace,
    Deliveries,
    Encryption,
    Pace,
    Search,
    Clock,
    Claude,
    Model,
    Effort,
    Question,
    Mcp,
    Tool,
    Transcription,
    Addresses,
}

/// Which command tries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Scope {
    /// Also `workmate check --live`, which changes nothing anywhere and costs nothing.
    Live,
    /// `workmate doctor` alone.
    Doctor,
}

/// A check as it is listed.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Descriptor {
    pub(in crate::cli) check: Check,
    /// Its name in every output.
    pub(in crate::cli) name: &'static str,
    /// What it tries, for documentation and `--json`.
    pub(in crate::cli) about: &'static str,
    pub(in crate::cli) scope: Scope,
    /// The check without which it cannot be tried.
    pub(in crate::cli) needs: Option<Check>,
    /// How long it may take.
    pub(in crate::cli) limit: Duration,
}

/// How long a look at this machine may take.
const HERE_MAX: Duration = Duration::from_secs(20);
/// How long reading the whole store may take.
const STORE_MAX: Duration = Duration::from_mins(1);
/// How long one question to another service may take, with the client's own limits inside.
const ASK_MAX: Duration = Duration::from_secs(35);
/// How long the encrypted exchange may take, with registering users and making devices.
const EXCHANGE_MAX: Duration = Duration::from_mins(1);
/// How long programs of MCP servers may take; `npx` may have to download one.
const SERVERS_MAX: Duration = Duration::from_secs(70);

const fn here(check: Check, name: &'static str, about: &'static str, scope: Scope) -> Descriptor {
    Descriptor { check, name, about, scope, needs: None, limit: HERE_MAX }
}

const fn asked(
    check: Check,
    name: &'static str,
    about: &'static str,
    scope: Scope,
    needs: Option<Check>,
) -> Descriptor {
    Descriptor { check, name, about, scope, needs, limit: ASK_MAX }
}

/// Every check, in the order of [`Check`].
pub(in crate::cli) static CHECKS: [Descriptor; 25] = {
    use Check as C;
    use Scope::{Doctor, Live};
    [
        here(C::Config, "config", "every file of the configuration, with file, line and mend", Doctor),
        here(C::Registration, "registration", "the registration's file against the configuration", Doctor),
        here(C::Secrets, "secrets", "modes: who else could read secrets and data, or change files", Doctor),
        here(C::Files, "files", "whether the service's user may read the configuration and write the data", Live),
        here(C::Data, "data", "whether data_dir can be used or made, and its disk has room for a start", Live),
        here(C::Disk, "disk", "type of file system, free space, how long a durable write takes", Doctor),
        Descriptor {
            limit: STORE_MAX,
            needs: Some(C::Data),
            ..here(C::Store, "store", "whether the master secret opens the store, and every record is whole", Live)
        },
        here(C::Descriptors, "descriptors", "the limit of file descriptors against what our users need", Doctor),
        here(C::Serving, "serving", "the conditions in /readyz of the workmate that serves", Doctor),
        here(C::Ports, "ports", "whether the listeners' addresses are free or ours", Live),
        asked(
            C::Homeserver,
            "homeserver",
            "whether it answers, its name, and whether it takes our as_token",
            Live,
            None,
        ),
        asked(
            C::Namespace,
            "namespace",
            "whether the loaded registration lets us act as each kind of our users",
            Live,
            Some(C::Homeserver),
        ),
        asked(
            C::Deliveries,
            "deliveries",
            "whether the homeserver reaches us, with our hs_token, and nobody else in our place",
            Live,
            Some(C::Homeserver),
        ),
        Descriptor {
            limit: EXCHANGE_MAX,
            ..asked(
                C::Encryption,
                "encryption",
                "an encrypted message each way between two throw-away users with devices of their own",
                Doctor,
                Some(C::Namespace),
            )
        },
        asked(C::Pace, "pace", "whether the homeserver slows our users down", Doctor, Some(C::Encryption)),
        asked(C::Search, "search", "whether people find coworkers by name", Live, Some(C::Homeserver)),
        asked(C::Clock, "clock", "this machine's clock against the homeserver's and the provider's", Live, None),
        asked(C::Claude, "claude", "whether the Messages API answers and takes the key", Live, None),
        asked(C::Model, "model", "whether each configured model exists, and when it ends", Live, Some(C::Claude)),
        asked(C::Effort, "effort", "whether each model takes the effort that it is asked for", Doctor, Some(C::Claude)),
        asked(
            C::Question,
            "question",
            "one short question to the default model, which shows whether the account can pay",
            Doctor,
            Some(C::Claude),
        ),
        Descriptor {
            limit: SERVERS_MAX,
            ..asked(C::Mcp, "mcp", "whether each MCP server starts and lists its tools", Live, None)
        },
        asked(C::Tool, "tool", "tools of MCP servers that the Messages API would refuse", Live, Some(C::Mcp)),
        asked(C::Transcription, "transcription", "whether the recogniser hears a second of silence", Live, None),
        asked(
            C::Addresses,
            "addresses",
            "whether the public addresses of hooks and connections lead to us",
            Doctor,
            None,
        ),
    ]
};

impl Check {
    /// Returns its entry in the list.
    pub(in crate::cli) fn descriptor(self) -> &'static Descriptor {
        &CHECKS[self as usize]
    }

    /// Returns its name in every output.
    pub(in crate::cli) fn name(self) -> &'static str {
        self.descriptor().name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn op3_the_list_is_in_its_order_with_names_that_fit_a_column_and_are_documented() {
        let docs = include_str!("../../../../docs/operating.md");
        let mut names = BTreeSet::new();
        for (at, listed) in CHECKS.iter().enumerate() {
            assert_eq!(listed.check as usize, at, "{}", listed.name);
            assert_eq!(listed.check.name(), listed.name);
            assert!(names.insert(listed.name) && listed.name.len() <= 13, "{}", listed.name);
            assert!(listed.needs.is_none_or(|needed| needed < listed.check), "{}", listed.name);
            let row = format!("| `{}` | {} |", listed.name, listed.about);
            assert!(docs.contains(&row), "docs/operating.md lacks this row:\n{row}");
        }
    }
}
