//! The engine's gauges in `/metrics`, read at each scrape.

use std::sync::{Arc, atomic::Ordering};

use super::{Engine, Shared, console::Waiting};
use crate::{appservice::metrics::Labelled, claude};

/// Registers the engine's gauges.
pub(super) fn show(engine: &Shared) {
    let show = |name, help, read: fn(&Engine) -> usize| {
        let engine = Arc::downgrade(engine);
        let read = move || engine.upgrade().map_or(0, |engine| read(&engine));
        (name, help, read)
    };
    let shown = [
        show("runs_going_on", "Runs that wait or are answered.", |engine| engine.running.len()),
        show("events_awaiting_keys", "Events that cannot be decrypted yet.", |engine| engine.parked.len()),
        show("assistant_clients_open", "Assistants' clients; at most limits.assistants_live_max.", |engine| {
            engine.pool.passing_len()
        }),
        show("connections", "Connections of people's own programs.", |engine| engine.connections.connections_len()),
    ];
    for (name, help, read) in shown {
        engine.metrics.observe(name, help, read);
    }
    let help = "Events that could not be handled; each is in the log";
    let (name, help, read) = show("events_given_up", help, |engine| engine.entries.given_up.load(Ordering::Relaxed));
    engine.metrics.count(name, help, read);
    let config = engine.config();
    let coworkers = config.coworkers.iter().map(|coworker| coworker.id.0.clone());
    engine.metrics.begin_with(coworkers, claude::Cause::NAMES);
    show_each(engine, "mcp_server_up", "Whether an MCP server can be called.", |engine| {
        let health = engine.toolsets.tools.health();
        let all = health.up.into_iter().map(|name| (name, 1.0)).chain(health.down.into_iter().map(|name| (name, 0.0)));
        all.map(|(server, up)| (vec![("server", server)], up)).collect()
    });
    let help = "Calls of people's own programs, by what became of them";
    let weak = Arc::downgrade(engine);
    let counted = move || weak.upgrade().map(|engine| engine.connections.counted()).unwrap_or_default();
    engine.metrics.count_each("connection_calls", help, counted);
    let help = "What was spent in this month, on this day of workspace.zone, by the workspace and by coworkers.";
    show_each(engine, "budget_spent_usd", help, |engine| engine.budget.budgets_spent());
    let help = "What calls in progress have reserved, by the workspace and by coworkers.";
    show_each(engine, "budget_reserved_usd", help, |engine| engine.budget.budgets_reserved());
    let help = "What may be spent, where there is a limit; for people, rooms and assistants, by each of them.";
    show_each(engine, "budget_limit_usd", help, |engine| engine.budget.budget_limits());
    let help = "People, rooms and assistants with a limit of which most is spent, or all.";
    show_each(engine, "budget_accounts", help, |engine| engine.budget.budgets_low());
}

/// Tells the console how to count what waits.
pub(super) fn show_queues(engine: &Shared) {
    let weak = Arc::downgrade(engine);
    engine.audit.console.counts_by(move || {
        let Some(engine) = weak.upgrade() else { return Waiting::default() };
        Waiting {
            running: engine.lanes.counts(),
            undecryptable: engine.parked.by_room(),
            given_up: engine.entries.given_up.load(Ordering::Relaxed),
            connections: engine.connections.connections_len(),
        }
    });
}

/// Registers a gauge with labels.
fn show_each(engine: &Shared, name: &'static str, help: &'static str, read: fn(&Engine) -> Vec<Labelled>) {
    let weak = Arc::downgrade(engine);
    engine.metrics.observe_each(name, help, move || weak.upgrade().map(|engine| read(&engine)).unwrap_or_default());
}
