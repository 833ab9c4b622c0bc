//! Tries the Messages API: whether it is reachable, accepts the key and has the models, at no cost; and with one short
//! question, whether the account can pay.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{Check, Found, Subject, Tried};
use crate::{
    claude::{
        Cause, Client, ContentBlock, Error, Looked, Request,
        request::{InputMessage, OutputConfig},
        wire::Role,
    },
    cli::check::shown,
    clock,
    config::{Config, Effort},
    core::model::{self, Facts},
    engine::{NO_KEY, claude_client, models_of},
};

/// How long the question may take.
const QUESTION_MAX: Duration = Duration::from_secs(30);
/// Most tokens of its answer.
const QUESTION_TOKENS_MAX: u32 = 64;
/// What is asked.
const QUESTION: &str = "Answer with the word yes.";

/// Also returns how many milliseconds the API's clock is ahead of ours, if it told the time.
pub(super) async fn all(subject: &Subject<'_>) -> (Vec<Tried>, Option<i64>) {
    let config = subject.config;
    let fault = |text: String| (vec![Tried::new(Check::Claude, Found::Fault(text))], None);
    if !config.claude.has_credentials() {
        return fault(format!("{NO_KEY}."));
    }
    let client = match Client::new(claude_client(&config.claude)) {
        Ok(client) => client,
        Err(error) => return fault(error.told()),
    };
    let mut tried = match subject.within(Check::Claude, looked(config, &client)).await {
        Ok(tried) => tried,
        Err(tried) => vec![tried],
    };
    let answers = tried.iter().any(|tried| tried.check == Check::Claude && matches!(tried.found, Found::Fine(_)));
    if answers {
        tried.extend(efforts(config, &client));
    }
    if answers && subject.is_wanted(Check::Question) {
        let found = if subject.may_cost {
            subject.within(Check::Question, question(config, client.facts(&config.claude.model))).await
        } else {
            Ok(Found::Skipped("not asked, as --free says".to_owned()))
        };
        tried.push(found.map_or_else(|tried| tried, |found| Tried::new(Check::Question, found)));
    }
    let ahead = client.clock_ahead_ms();
    (tried, ahead)
}

/// Looks at each model.
async fn looked(config: &Config, client: &Client) -> Vec<Tried> {
    let base = shown(&config.claude.base_url);
    let (mut tried, mut answered) = (Vec::new(), None);
    for (model, who) in models_of(config) {
        let found = match client.look(&model).await {
            Ok(Looked::Model(facts)) if facts.is_retired => {
                Found::Fault(format!("{model} is retired (named by {})\n  Mend: choose another one.", who.join(", ")))
            }
            Ok(Looked::Model(_)) => Found::Fine(format!("{base} takes the key and has {model}")),
            Ok(Looked::Unknown) => Found::Open(not_said(base, &model)),
            Err(error) => match &error.cause {
                Cause::ModelNotFound { .. } => {
                    let named = format!("\n  It is named by {}.\n  Mend: ", who.join(", "));
                    Found::Fault(error.told().replacen("\n  Mend: ", &named, 1))
                }
                Cause::KeyRefused { status: 403, .. } | Cause::RateLimited { .. } | Cause::Overloaded => {
                    Found::Open(not_said(base, &model))
                }
                _ => {
                    answered = Some(Found::Fault(error.told()));
                    break;
                }
            },
        };
        let is_there = !matches!(found, Found::Fault(_));
        tried.push(Tried::new(Check::Model, found));
        let ends = client.facts(&model).ends.filter(|_| is_there);
        let told = ends.and_then(|ends| model::told_of_end(&model, &who.join(", "), &ends, clock::now()));
        tried.extend(told.map(|told| Tried::new(Check::Model, Found::Open(format!("{told}.")))));
    }
    let answered = answered.unwrap_or_else(|| Found::Fine(format!("{base} answers and takes the key")));
    tried.insert(0, Tried::new(Check::Claude, answered));
    tried
}

fn not_said(base: &str, model: &str) -> String {
    format!("{base} does not say whether it has {model}; the first request shows it")
}

/// Compares the efforts that are asked for with those that the models take, by what the API said of them.
fn efforts(config: &Config, client: &Client) -> Vec<Tried> {
    let mut asked: BTreeMap<(String, &'static str), (Effort, Vec<String>)> = BTreeMap::new();
    let mut add = |own_model: Option<&String>, own_effort: Option<Effort>, who: &str| {
        let model = own_model.unwrap_or(&config.claude.model).clone();
        let effort = own_effort.unwrap_or(config.claude.effort);
        asked.entry((model, model::name(effort))).or_insert((effort, Vec::new())).1.push(who.to_owned());
    };
    add(None, None, "claude");
    if config.assistants.enabled {
        add(config.assistants.model.as_ref(), config.assistants.effort, "assistants");
    }
    for coworker in &config.coworkers {
        add(coworker.model.as_ref(), coworker.effort, &coworker.id.0);
    }
    let judged = |((model, _), (effort, who)): (&(String, _), &(Effort, Vec<String>))| {
        told_of_effort(model, *effort, &who.join(", "), &client.facts(model))
    };
    let tried: Vec<Tried> = asked.iter().filter_map(judged).map(|found| Tried::new(Check::Effort, found)).collect();
    if tried.is_empty() {
        let text = "each model takes the effort that it is asked for".to_owned();
        return vec![Tried::new(Check::Effort, Found::Fine(text))];
    }
    tried
}

/// Says that a model does not take an effort, and what it is asked for instead.
fn told_of_effort(model: &str, wanted: Effort, who: &str, facts: &Facts) -> Option<Found> {
    let taken = facts.efforts.as_ref()?;
    let asked = facts.effort(wanted);
    if asked == Some(wanted) {
        return None;
    }
    let taken: Vec<&str> = taken.iter().map(|effort| model::name(*effort)).collect();
    let taken = if taken.is_empty() { "no effort".to_owned() } else { format!("only {}", taken.join(", ")) };
    let instead = asked.map_or_else(|| "without one".to_owned(), |effort| format!("with {}", model::name(effort)));
    Some(Found::Open(format!(
        "{model} takes {taken}, and {who} is to ask with {}\n  It is asked {instead}.\n  Mend: set an effort that it takes, or \
         choose another model.",
        model::name(wanted)
    )))
}

/// Asks the default model something short: an account that cannot pay is met by no look.
async fn question(config: &Config, facts: Facts) -> Found {
    let mut settings = claude_client(&config.claude);
    settings.retry.attempts_max = 1;
    settings.timeouts.overall = QUESTION_MAX;
    let client = match Client::new(settings) {
        Ok(client) => client,
        Err(error) => return Found::Fault(error.told()),
    };
    let model = &config.claude.model;
    let request = Request {
        model: model.clone(),
        max_tokens: QUESTION_TOKENS_MAX,
        tools: Vec::new(),
        tool_choice: None,
        system: Vec::new(),
        messages: vec![InputMessage { role: Role::User, content: vec![ContentBlock::text(QUESTION)], paused: false }],
        cache_control: None,
        output_config: facts.effort(Effort::Low).map(|effort| OutputConfig { effort }),
        thinking: None,
        container: None,
        metadata: None,
    };
    let began = Instant::now();
    let answered = async { client.stream(&request).await?.finish().await };
    match answered.await {
        Ok(answer) => {
            let usage = answer.message.usage;
            Found::Fine(format!(
                "{model} answers after {:.1} s ({} tokens in, {} out)",
                began.elapsed().as_secs_f32(),
                usage.prompt_tokens(),
                usage.output_tokens.unwrap_or_default()
            ))
        }
        Err(error) => judged(&error),
    }
}

fn judged(error: &Error) -> Found {
    match &error.cause {
        Cause::RateLimited { .. } | Cause::Overloaded | Cause::Server { .. } => Found::Open(error.told()),
        _ => Found::Fault(error.told()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claude::error::{Phase, Quoted};

    #[test]
    fn op4_an_effort_that_a_model_does_not_take_is_told_with_what_is_asked_instead() {
        use Effort::{High, Low, Max};
        let facts = |efforts: Option<&[Effort]>| Facts { efforts: efforts.map(<[Effort]>::to_vec), ..Facts::default() };
        for (taken, wanted, expected) in [
            (None, Max, None),
            (Some([Low, High].as_slice()), High, None),
            (
                Some([Low, High].as_slice()),
                Max,
                Some("m takes only low, high, and ci is to ask with max\n  It is asked with high."),
            ),
            (
                Some([].as_slice()),
                Low,
                Some("m takes no effort, and ci is to ask with low\n  It is asked without one."),
            ),
        ] {
            let told = told_of_effort("m", wanted, "ci", &facts(taken));
            let text = told.as_ref().map(|found| match found {
                Found::Open(text) => text.as_str(),
                _ => "no doubt",
            });
            assert_eq!(text.and_then(|text| text.split("\n  Mend: ").next()), expected);
        }
    }

    #[test]
    fn op4_an_account_that_cannot_pay_is_a_fault_and_a_busy_provider_is_a_doubt() {
        let of =
            |cause| Error { cause, phase: Phase::BeforeAnswer, base_url: "https://a".to_owned(), request_id: None };
        for (cause, is_fault) in [
            (Cause::Billing { said: Quoted::default() }, true),
            (Cause::KeyRefused { status: 401, said: Quoted::default() }, true),
            (Cause::Overloaded, false),
        ] {
            let found = judged(&of(cause.clone()));
            assert_eq!(matches!(found, Found::Fault(_)), is_fault, "{cause}");
            let (Found::Fault(text) | Found::Open(text)) = found else { panic!("{cause}") };
            assert!(text.contains("Mend: "), "{text}");
        }
    }
}
