//! `/metrics`: what Workmate does, in numbers, for whoever operates it (OpenMetrics 1.0, text format).
//!
//! Labels name coworkers and how a run ended. Nothing here says whose an assistant is, in which room something
//! happened, or what was said (A4).

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use super::health::{Health, State};
use crate::core::{audit::RunSummary, words::trail::outcome};

/// Upper bounds of the buckets of how long runs took, in seconds.
const RUN_SECONDS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0];
/// The label of all assistants.
const ASSISTANTS: &str = "assistant";
const MICRO_USD: f64 = 1_000_000.0;

/// What is counted; a cheap handle.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    registry: Mutex<Registry>,
    runs: Family<Ended, Counter>,
    seconds: Family<Who, Histogram, fn() -> Histogram>,
    tokens: Family<Used, Counter>,
    cost: Family<Who, Counter<f64, std::sync::atomic::AtomicU64>>,
    missed: Counter,
}

/// A coworker's id, or [`ASSISTANTS`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Who {
    by: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    by: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Used {
    by: String,
    kind: &'static str,
}

impl Metrics {
    /// Returns what counts from now on, and shows `health` besides.
    #[must_use]
    pub fn new(health: &Health) -> Self {
        let mut registry = Registry::with_prefix("workmate");
        let (runs, tokens, cost) = <(Family<_, _>, Family<_, _>, Family<_, _>)>::default();
        let seconds: Family<Who, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(RUN_SECONDS));
        registry.register("runs", "Requests that ended, by who was asked and how they ended", runs.clone());
        let (help, unit) = ("From accepting a request to its end", Unit::Seconds);
        registry.register_with_unit("run_duration", help, unit, seconds.clone());
        registry.register("tokens", "Tokens of the Messages API", tokens.clone());
        registry.register("cost_usd", "Cost in US dollars, of models whose price is known", cost.clone());
        let missed = Counter::default();
        registry.register(
            "events_missed",
            "Events that the homeserver had not delivered, found in rooms",
            missed.clone(),
        );
        registry.register_collector(Box::new(health.clone()));
        Self(Arc::new(Counted { registry: Mutex::new(registry), runs, seconds, tokens, cost, missed }))
    }

    /// Shows a number that is read whenever it is asked for; `name` without the prefix `workmate_`.
    pub fn observe(&self, name: &'static str, help: &'static str, read: impl Fn() -> usize + Send + Sync + 'static) {
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(Observed { name, help, read: Box::new(read) }));
    }

    /// Counts events that no transaction brought.
    pub fn missed(&self, events: usize) {
        self.0.missed.inc_by(events as u64);
    }

    /// Counts a run that ended.
    pub fn run_ended(&self, summary: &RunSummary) {
        let by = || summary.coworker.clone().unwrap_or_else(|| ASSISTANTS.to_owned());
        self.0.runs.get_or_create(&Ended { by: by(), outcome: outcome(summary.outcome) }).inc();
        let ms = u32::try_from(summary.ended_at.ms_since(summary.accepted_at)).unwrap_or(u32::MAX);
        self.0.seconds.get_or_create(&Who { by: by() }).observe(f64::from(ms) / 1000.0);
        let used = [
            ("input", summary.input_tokens),
            ("cached_input", summary.cached_tokens),
            ("output", summary.output_tokens),
        ];
        for (kind, tokens) in used {
            self.0.tokens.get_or_create(&Used { by: by(), kind }).inc_by(tokens);
        }
        let cost = summary.cost_micro_usd.and_then(|micro| u32::try_from(micro).ok());
        if let Some(micro) = cost {
            self.0.cost.get_or_create(&Who { by: by() }).inc_by(f64::from(micro) / MICRO_USD);
        }
    }

    pub(super) fn show(&self) -> Response {
        let mut shown = String::new();
        let registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        match text::encode(&mut shown, &registry) {
            Ok(()) => {
                let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                ([(header::CONTENT_TYPE, form)], shown).into_response()
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

/// A number that is read when it is asked for.
struct Observed {
    name: &'static str,
    help: &'static str,
    read: Box<dyn Fn() -> usize + Send + Sync>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Observed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metric = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        ConstGauge::new(count((self.read)())).encode(metric)
    }
}

impl Collector for Health {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Whether a condition of /readyz holds.";
        let mut metric = encoder.encode_descriptor("ready", help, None, MetricType::Gauge)?;
        for (condition, state) in self.all() {
            let labels = [("condition", condition.name())];
            ConstGauge::new(i64::from(state == State::Ready)).encode(metric.encode_family(&labels)?)?;
        }
        let Some(provisioning) = self.provisioning() else { return Ok(()) };
        let help = "Members of the workspace who are to get an assistant.";
        let metric = encoder.encode_descriptor("assistants_waiting", help, None, MetricType::Gauge)?;
        ConstGauge::new(count(provisioning.waiting)).encode(metric)?;
        let help = "Assistants made for members since the start.";
        let metric = encoder.encode_descriptor("assistants_made", help, None, MetricType::Counter)?;
        ConstCounter::new(provisioning.made as u64).encode(metric)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
