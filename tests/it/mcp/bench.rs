//! The tools and MCP servers of one test.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use workmate::{
    core::tool::{Grant, Here, Output, Server, Setting, Tool, Toolset, Transport},
    secret::Secret,
    tools::{Settings, Tools},
};

/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// The tools of a test and what they run in.
pub(super) struct Bench {
    pub(super) tools: Tools,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Bench {
    pub(super) fn start(servers: Vec<Server>, credentials: &[(&str, &str)]) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let credentials = credentials.iter().map(|(label, value)| ((*label).to_owned(), Secret::new(*value)));
        let settings = Settings { servers, credentials: credentials.collect(), ..Settings::default() };
        let tools = Tools::start(settings, &tasks, &stop);
        Self { tools, tasks, stop }
    }

    /// Starts the servers and waits until all are up.
    pub(super) async fn up(servers: Vec<Server>) -> Self {
        let bench = Self::start(servers, &[]);
        bench.until("all servers are up", |tools| tools.health().down.is_empty()).await;
        bench
    }

    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Tools) -> bool) {
        let mut changed = self.tools.changed();
        let waiting = async {
            while !holds(&self.tools) {
                changed.changed().await.expect("the tools are there");
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
    }

    /// Waits until a tool is offered; returns it as granted with that timeout.
    pub(super) async fn tool(&self, name: &str, timeout_ms: u64) -> Tool {
        self.until(name, |tools| tools.offers().iter().any(|offer| offer.name.as_str() == name)).await;
        let grant = Grant { timeout_ms: Some(timeout_ms), ..Grant::plain(name) };
        let set = Toolset::resolve(&[grant], &self.tools.offers(), &BTreeMap::new(), &Here::default());
        set.iter().next().expect("it is offered").clone()
    }

    pub(super) async fn call(&self, name: &str, arguments: Value) -> Output {
        let tool = self.tool(name, 30_000).await;
        self.tools.call(&tool, arguments.as_object().expect("arguments are an object")).await
    }

    /// Returns the names of the tools that a server offers.
    pub(super) fn names(&self, server: &str) -> Vec<String> {
        let names = self.tools.offers().into_iter().map(|offer| offer.name.as_str().to_owned());
        names.filter(|name| name.starts_with(&format!("{server}__"))).collect()
    }

    /// Ends everything as a shutdown of Workmate does.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        timeout(PATIENCE, self.tasks.wait()).await.expect("all servers end");
    }
}

/// Returns a server that is a program.
pub(super) fn program(name: &str, command: Vec<String>) -> Server {
    program_with(name, command, &[])
}

pub(super) fn program_with(name: &str, command: Vec<String>, env: &[(&str, Setting)]) -> Server {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Server { name: name.to_owned(), transport: Transport::Stdio { command, env } }
}
