//! Tries the Messages API at no cost: whether it is reachable, accepts the key and has the models.

use super::{Found, Tried};
use crate::{
    claude::{Cause, Client, Looked},
    cli::check::shown,
    clock,
    config::Config,
    core::model,
    engine::{NO_KEY, claude_client, models_of},
};

/// Also returns how many milliseconds the API's clock is ahead of ours, if it told the time.
pub(super) async fn all(config: &Config) -> (Vec<Tried>, Option<i64>) {
    if !config.claude.has_credentials() {
        return (vec![Tried::new("claude", Found::Fault(format!("{NO_KEY}.")))], None);
    }
    let client = match Client::new(claude_client(&config.claude)) {
        Ok(client) => client,
        Err(error) => return (vec![Tried::new("claude", Found::Fault(error.told()))], None),
    };
    let mut tried = Vec::new();
    for (model, who) in models_of(config) {
        let base = shown(&config.claude.base_url);
        let (what, found, goes_on) = match client.look(&model).await {
            Ok(Looked::Model(facts)) if facts.is_retired => {
                let text = format!("{model} is retired (named by {})\n  Mend: choose another one.", who.join(", "));
                ("model", Found::Fault(text), true)
            }
            Ok(Looked::Model(_)) => ("model", Found::Fine(format!("{base} takes the key and has {model}")), true),
            Ok(Looked::Unknown) => ("model", Found::Open(not_said(base, &model)), true),
            Err(error) => match &error.cause {
                Cause::ModelNotFound { .. } => {
                    let named = format!("\n  It is named by {}.\n  Mend: ", who.join(", "));
                    let text = error.told().replacen("\n  Mend: ", &named, 1);
                    ("model", Found::Fault(text), true)
                }
                Cause::KeyRefused { status: 403, .. } | Cause::RateLimited { .. } | Cause::Overloaded => {
                    ("model", Found::Open(not_said(base, &model)), true)
                }
                _ => ("claude", Found::Fault(error.told()), false),
            },
        };
        let is_there = matches!(found, Found::Fine(_) | Found::Open(_));
        tried.push(Tried::new(what, found));
        let ends = client.facts(&model).ends.filter(|_| is_there);
        let told = ends.and_then(|ends| model::told_of_end(&model, &who.join(", "), &ends, clock::now()));
        tried.extend(told.map(|told| Tried::new("model", Found::Open(format!("{told}.")))));
        if !goes_on {
            break;
        }
    }
    let ahead = client.clock_ahead_ms();
    (tried, ahead)
}

fn not_said(base: &str, model: &str) -> String {
    format!("{base} does not say whether it has {model}; the first request shows it")
}
