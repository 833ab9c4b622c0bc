//! Tries the MCP servers: whether each starts and lists its tools.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Check, Found, Subject, Tried, files};
use crate::{config::own_uid, tools};

/// How long the servers may take; `npx` may have to download one.
const START_MAX: Duration = Duration::from_secs(65);

/// Returns whether we are root and the service is not.
fn runs_as_somebody_else(subject: &Subject<'_>) -> bool {
    let service = files::service(subject.path, subject.config, subject.unit.user.as_deref());
    own_uid() == Some(0) && service.uid != 0
}

pub(super) async fn all(subject: &Subject<'_>, tasks: &TaskTracker, stop: &CancellationToken) -> Vec<Tried> {
    let config = subject.config;
    if config.mcp_servers.is_empty() {
        return Vec::new();
    }
    if runs_as_somebody_else(subject) {
        let text =
            "not tried: as root, their programs would have more rights than the service's user; run this as that user";
        return vec![Tried::new(Check::Mcp, Found::Open(text.to_owned()))];
    }
    let mut settings = tools::Settings::default();
    settings.servers.clone_from(&config.mcp_servers);
    settings.credentials.clone_from(&config.credentials);
    settings.secrets = config.own_secrets();
    let tools = tools::Tools::start(settings, tasks, stop);
    let (mut changed, until) = (tools.changed(), Instant::now() + START_MAX);
    // Wait until each is up or has failed once.
    while tools.troubles().iter().any(|(_, trouble)| trouble.is_none()) {
        if !matches!(timeout_at(until, changed.changed()).await, Ok(Ok(()))) {
            break;
        }
    }
    let up = tools.health().up.into_iter().map(|server| Tried::new(Check::Mcp, Found::Fine(format!("{server} is up"))));
    let down = tools.troubles().into_iter().map(|(server, trouble)| {
        let trouble = trouble.unwrap_or_else(|| "it does not list its tools in time".to_owned());
        let text = format!(
            "mcp_servers.{server}: {trouble}\n  Its tools are offered to nobody.\n  Mend: run its command by hand as the user of \
             workmate, or correct its address; a workmate that serves tries again by itself."
        );
        Tried::new(Check::Mcp, Found::Fault(text))
    });
    let left_out = tools.left_out().into_iter().map(|tool| {
        let text = format!(
            "{}: {}\n  The Messages API would refuse every request with it, so it is offered to nobody; the server's other tools \
             are.",
            tool.name.as_str(),
            tool.why
        );
        Tried::new(Check::Tool, Found::Open(text))
    });
    up.chain(down).chain(left_out).collect()
}
