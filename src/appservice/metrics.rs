//! `/metrics`: Workmate's activity in numbers, for operators (OpenMetrics 1.0, text format).
//!
//! All series exist from the start with 0, so that `increase()` sees each first event. Labels name coworkers, MCP
//! servers and outcomes. Nothing reveals an assistant's owner, a room, or what was said (A4).

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
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use super::{
    arrivals::Arrivals,
    health::{Health, State},
};
use crate::core::{audit::RunSummary, run::Outcome, trail::StepOutcome, words::trail::outcome};

mod process;

/// Bucket bounds for run durations, in seconds.
const RUN_SECONDS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0];
/// The label for all assistants together.
const ASSISTANTS: &str = "assistant";
const MICRO_USD: f64 = 1_000_000.0;
/// The prefix of our own metrics.
const PREFIX: &str = "workmate";

/// A value with its labels, as names and values.
pub(crate) type Labelled = (Vec<(&'static str, String)>, f64);

/// All counters; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    registry: Mutex<Registry>,
    runs: Family<Ended, Counter>,
    seconds: Family<Who, Histogram, fn() -> Histogram>,
    tokens: Family<Used, Counter>,
    cost: Family<Who, Counter<f64, std::sync::atomic::AtomicU64>>,
    missed: Counter,
    tool_calls: Family<Called, Counter>,
    model_errors: Family<Failed, Counter>,
    recordings: Family<Called, Counter>,
}

/// The program that runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Called {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    kind: String,
}

/// Every outcome of a run.
const OUTCOMES: [Outcome; 5] = [Outcome::Done, Outcome::Failed, Outcome::Stopped, Outcome::Declined, Outcome::Dropped];
/// Every outcome of a tool call, with its label.
const CALLS: [(StepOutcome, &str); 9] = [
    (StepOutcome::Done, "done"),
    (StepOutcome::Failed, "failed"),
    (StepOutcome::Denied, "denied"),
    (StepOutcome::Unusable, "unusable"),
    (StepOutcome::Surplus, "surplus"),
    (StepOutcome::Declined, "declined"),
    (StepOutcome::Expired, "expired"),
    (StepOutcome::Stopped, "stopped"),
    (StepOutcome::Unknown, "unknown"),
];
/// What comes of a recording: its words, nobody's, or none because of the recording or of the recogniser.
pub(crate) const RECORDINGS: [&str; 5] = ["heard", "silent", "refused", "odd", "down"];
/// Kinds of tokens; `input` excludes what the provider had cached.
const TOKENS: [&str; 3] = ["input", "cached_input", "output"];

impl Metrics {
    /// Returns counters that start at 0, and gauges for `health` and `arrivals`.
    #[must_use]
    pub(crate) fn new(health: &Health, arrivals: &Arrivals) -> Self {
        let mut whole = Registry::default();
        whole.register_collector(Box::new(process::Process));
        let registry = whole.sub_registry_with_prefix(PREFIX);
        // A gauge, because the text format of Prometheus knows no type `info`.
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "This program", build);
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
        let (tool_calls, model_errors) = <(Family<_, _>, Family<_, _>)>::default();
        registry.register("tool_calls", "Tool calls of requests that ended, by how they ended", tool_calls.clone());
        let help = "Calls of the Messages API that failed, those that were tried again included";
        registry.register("claude_errors", help, model_errors.clone());
        let recordings = Family::<Called, Counter>::default();
        let help = "Recordings for the recogniser of voice messages, by what came of them";
        registry.register("recordings", help, recordings.clone());
        registry.register_collector(Box::new(health.clone()));
        registry.register_collector(Box::new(arrivals.clone()));
        for (_, outcome) in CALLS {
            let _ = tool_calls.get_or_create(&Called { outcome });
        }
        for outcome in RECORDINGS {
            let _ = recordings.get_or_create(&Called { outcome });
        }
        let registry = Mutex::new(whole);
        let this = Self(Arc::new(Counted {
            registry,
            runs,
            seconds,
            tokens,
            cost,
            missed,
            tool_calls,
            model_errors,
            recordings,
        }));
        this.begin_with([ASSISTANTS.to_owned()], []);
        this
    }

    /// Creates the series of these coworkers and of these kinds of model errors.
    pub(crate) fn begin_with(
        &self,
        coworkers: impl IntoIterator<Item = String>,
        error_kinds: impl IntoIterator<Item = &'static str>,
    ) {
        for by in coworkers {
            for ended in OUTCOMES {
                let _ = self.0.runs.get_or_create(&Ended { by: by.clone(), outcome: outcome(ended) });
            }
            for kind in TOKENS {
                let _ = self.0.tokens.get_or_create(&Used { by: by.clone(), kind });
            }
            let _ = self.0.seconds.get_or_create(&Who { by: by.clone() });
            let _ = self.0.cost.get_or_create(&Who { by });
        }
        for kind in error_kinds {
            let _ = self.0.model_errors.get_or_create(&Failed { kind: kind.to_owned() });
        }
    }

    /// Registers a gauge that `read` computes at each scrape; `name` lacks the prefix `workmate_`.
    pub(crate) fn observe(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        let read = Box::new(read);
        self.collect(Observed { name, help, kind: MetricType::Gauge, read });
    }

    /// Registers a counter that `read` computes at each scrape and that only grows; `name` lacks the prefix `workmate_` and
    /// the suffix `_total`.
    pub(crate) fn count(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        let read = Box::new(read);
        self.collect(Observed { name, help, kind: MetricType::Counter, read });
    }

    /// Registers a gauge with labels that `read` computes at each scrape; `name` lacks the prefix `workmate_`.
    pub(crate) fn observe_each(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<Labelled> + Send + Sync + 'static,
    ) {
        let read = Box::new(read);
        self.collect(ObservedEach { name, help, kind: MetricType::Gauge, read });
    }

    /// Registers counters with labels, as [`Self::count`] does.
    pub(crate) fn count_each(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<Labelled> + Send + Sync + 'static,
    ) {
        let read = Box::new(read);
        self.collect(ObservedEach { name, help, kind: MetricType::Counter, read });
    }

    fn collect(&self, collector: impl Collector) {
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.sub_registry_with_prefix(PREFIX).register_collector(Box::new(collector));
    }

    /// Counts a failed call of the Messages API by the short name of its cause.
    pub(crate) fn model_failed(&self, kind: &str) {
        self.0.model_errors.get_or_create(&Failed { kind: kind.to_owned() }).inc();
    }

    /// Counts a recording for the recogniser; `outcome` is one of [`RECORDINGS`].
    pub(crate) fn recording(&self, outcome: &'static str) {
        self.0.recordings.get_or_create(&Called { outcome }).inc();
    }

    /// Counts events that no transaction brought.
    pub(crate) fn missed(&self, events: usize) {
        self.0.missed.inc_by(events as u64);
    }

    /// Counts a run that ended.
    pub(crate) fn run_ended(&self, summary: &RunSummary) {
        let by = || summary.coworker.clone().unwrap_or_else(|| ASSISTANTS.to_owned());
        self.0.runs.get_or_create(&Ended { by: by(), outcome: outcome(summary.outcome) }).inc();
        let ms = u32::try_from(summary.ended_at.ms_since(summary.accepted_at)).unwrap_or(u32::MAX);
        self.0.seconds.get_or_create(&Who { by: by() }).observe(f64::from(ms) / 1000.0);
        let used = [
            ("input", summary.input_tokens.saturating_sub(summary.cached_tokens)),
            ("cached_input", summary.cached_tokens),
            ("output", summary.output_tokens),
        ];
        for (kind, tokens) in used {
            self.0.tokens.get_or_create(&Used { by: by(), kind }).inc_by(tokens);
        }
        for tool in &summary.tools {
            let name = CALLS.iter().find(|(outcome, _)| *outcome == tool.outcome).map_or("unknown", |(_, name)| name);
            self.0.tool_calls.get_or_create(&Called { outcome: name }).inc();
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

/// A gauge or counter computed at each scrape.
struct Observed {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: Box<dyn Fn() -> usize + Send + Sync>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Observed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metric = encoder.encode_descriptor(self.name, self.help, None, self.kind)?;
        let number = (self.read)();
        match self.kind {
            MetricType::Counter => ConstCounter::new(number as u64).encode(metric),
            _ => ConstGauge::new(count(number)).encode(metric),
        }
    }
}

/// Gauges or counters with labels, computed at each scrape.
struct ObservedEach {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: Box<dyn Fn() -> Vec<Labelled> + Send + Sync>,
}

impl fmt::Debug for ObservedEach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedEach").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for ObservedEach {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let each = (self.read)();
        if each.is_empty() {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, self.kind)?;
        for (labels, number) in each {
            let series = metric.encode_family(&labels)?;
            match self.kind {
                MetricType::Counter => ConstCounter::new(number).encode(series)?,
                _ => ConstGauge::new(number).encode(series)?,
            }
        }
        Ok(())
    }
}

impl Collector for Arrivals {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (transactions, last) = self.transactions();
        let help = "Transactions of the homeserver that were taken.";
        let metric = encoder.encode_descriptor("transactions", help, None, MetricType::Counter)?;
        ConstCounter::new(transactions).encode(metric)?;
        let help = "When the last one was taken, since the epoch; 0 before the first.";
        let unit = Unit::Seconds;
        let metric = encoder.encode_descriptor("last_transaction_timestamp", help, Some(&unit), MetricType::Gauge)?;
        ConstGauge::new(last.map_or(0, |last| last.as_ms() / 1000)).encode(metric)
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
