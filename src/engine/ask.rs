//! Asking the model: one streamed call, with what it says handed on as it comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ruma::{EventId, OwnedEventId, UserId};
use tokio::{sync::watch, time::Instant};

use super::{budget::Hold, model::Model, progress::Progress};
use crate::{
    claude::{self, Advice, Cause, Container, Delta, StopReason, wire::Json},
    core::{
        self,
        context::{self, Composed, Wanted},
        event::{EventKind, RoomEvent},
        prompt::{Effort, Prompt},
        redaction::takes_effect,
        refused::{PROBE_TOKENS, Suspects},
        run::Fault,
        tokens::estimate,
        work::{ModelTurn, TurnStop},
    },
};

/// A composed question.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) composed: Composed,
    pub(super) model: String,
    pub(super) effort: Effort,
    /// What may be to blame where the request is refused with it (C26).
    pub(super) suspects: Suspects,
    /// The configured model, and those that can be asked if it refuses.
    pub(super) models: Vec<String>,
    /// Whether it is only to be found out if it is refused.
    pub(super) probes: bool,
    /// What of the context matters to a container.
    pub(super) around: Around,
}

/// What of a context matters to a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    /// The files that may go into it, oldest first.
    pub(super) files: Vec<Wanted>,
    /// The messages that whoever asks may read now.
    pub(super) readable: BTreeSet<OwnedEventId>,
    /// The message with which an assistant's session begins.
    pub(super) begins: Option<OwnedEventId>,
}

impl Around {
    /// Returns the messages that still say something.
    pub(super) fn readable<'e>(events: impl Iterator<Item = &'e RoomEvent> + Clone) -> BTreeSet<OwnedEventId> {
        let said = events.clone().filter(|event| event.kind != EventKind::Redacted);
        let mut authors: BTreeMap<&EventId, &UserId> = said.map(|event| (&*event.id, &*event.sender)).collect();
        for event in events {
            let EventKind::Redaction { target, authority } = &event.kind else { continue };
            if authors.get(&**target).is_some_and(|author| takes_effect(&event.sender, *authority, author)) {
                authors.remove(&**target);
            }
        }
        authors.into_keys().map(ToOwned::to_owned).collect()
    }
}

/// What to ask and whom.
pub(super) struct Question<'a> {
    pub(super) prompt: &'a Prompt,
    pub(super) model: &'a str,
    pub(super) effort: Effort,
    /// Whether it is only to be found out if it is refused.
    pub(super) probes: bool,
    pub(super) user_tag: String,
    /// What it has reserved.
    pub(super) hold: &'a Hold<'a>,
}

/// A turn of the model, or why there is none.
pub(super) type Reply = Result<ModelTurn, Fault>;

impl Model {
    /// Asks the model and shows its progress. Dropping the future closes the stream at the provider.
    pub(super) async fn ask(&self, question: &Question<'_>, progress: &watch::Sender<Progress>) -> Reply {
        let request_of = |prompt: &Prompt| {
            let request = self.request_of((prompt, question.model), question.effort, &question.user_tag);
            if question.probes { request.at_most(PROBE_TOKENS) } else { request }
        };
        let mut request = request_of(question.prompt);
        let with_files = question.prompt.has_files();
        let (mut first_break, mut broken, mut paid) = (None, 0, 0);
        loop {
            match self.ask_once(question, &request, progress).await {
                Ok(reply) => {
                    self.note_model_answers(question.model);
                    return Ok(reply);
                }
                Err(error) if error.is_content_filtered() => {
                    tracing::warn!(%error, "the provider's content filter refused an answer");
                    self.note_model_answers(question.model);
                    progress.send_modify(|so_far| {
                        so_far.unbilled = error.phase == claude::Phase::BeforeAnswer;
                        so_far.refused = Some(FILTERED.to_owned());
                    });
                    return Ok(ModelTurn { blocks: Vec::new(), stop: TurnStop::Filtered });
                }
                // The model takes less effort than it was known to, or tells nothing of its thinking.
                Err(error) if self.learns_effort(&error, &request) || self.learns_summary(&error, &request) => {
                    request = if progress.borrow().files_refused {
                        request_of(&context::without_files(question.prompt))
                    } else {
                        request_of(question.prompt)
                    };
                    if progress.borrow().container_refused {
                        request = request.without_container();
                    }
                }
                // It has ended, or is nobody's; what was made in it is made again.
                Err(error) if request.goes_on_in_container() && refuses_container(&error) => {
                    tracing::info!(%error, "a thread's container is gone; the model begins in a new one");
                    progress.send_modify(|so_far| so_far.container_refused = true);
                    request = request.without_container();
                }
                // Perhaps for a file that only looked whole; without any, the rest can still be answered.
                Err(error) if with_files && !progress.borrow().files_refused && refuses_content(&error) => {
                    tracing::warn!(%error, "the model refused a request with files; it is asked without them");
                    progress.send_modify(|so_far| so_far.files_refused = true);
                    request = request_of(&context::without_files(question.prompt));
                    if progress.borrow().container_refused {
                        request = request.without_container();
                    }
                }
                Err(error) => {
                    self.runtime.metrics.model_failed(error.cause.name());
                    broken += 1;
                    paid += u32::from(!progress.borrow().text.is_empty());
                    let since = *first_break.get_or_insert_with(Instant::now);
                    let made = claude::Made { attempts: broken, elapsed: since.elapsed() };
                    let again = match error.advice() {
                        Advice::Regenerate => self.claude.decide_broken(made, paid, &error.cause),
                        _ => claude::Decision::GiveUp,
                    };
                    tracing::warn!(%error, cause = error.cause.name(), ?again, "the model gave no answer");
                    let claude::Decision::RetryAfter(pause) = again else {
                        self.note_failure(question.model, &error);
                        return Err(fault(&error));
                    };
                    question.hold.again()?;
                    progress.send_modify(|so_far| {
                        so_far.begin_again();
                        if !pause.is_zero() {
                            // Busy, not broken.
                            so_far.waiting_ms = u64::try_from((made.elapsed + pause).as_millis()).unwrap_or(u64::MAX);
                        }
                    });
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Whether a request was refused for its effort, and is now known to be.
    fn learns_effort(&self, error: &claude::Error, request: &claude::Request) -> bool {
        let Cause::InvalidRequest { status: 400, said, .. } = &error.cause else { return false };
        let Some(sent) = request.output_config else { return false };
        let is_news = said.as_str().to_lowercase().contains("effort")
            && self.claude.learn_effort_refused(&request.model, sent.effort);
        if is_news {
            tracing::warn!(
                model = request.model,
                effort = core::model::name(sent.effort),
                "a model does not take the configured effort; it is asked with less"
            );
        }
        is_news
    }

    /// Whether a request was refused for wanting a summary of the thinking, which is now known.
    fn learns_summary(&self, error: &claude::Error, request: &claude::Request) -> bool {
        let Cause::InvalidRequest { status: 400, said, .. } = &error.cause else { return false };
        let said = said.as_str().to_lowercase();
        let is_about = said.contains("display") || (said.contains("thinking") && !said.contains("block"));
        let is_news = request.thinking.is_some() && is_about && self.claude.learn_summary_refused(&request.model);
        if is_news {
            tracing::info!(model = request.model, "a model gives no summary of its thinking");
        }
        is_news
    }

    async fn ask_once(
        &self,
        question: &Question<'_>,
        request: &claude::Request,
        progress: &watch::Sender<Progress>,
    ) -> Result<ModelTurn, claude::Error> {
        let busy = |wait: &claude::Waiting<'_>| {
            let waiting_ms = u64::try_from((wait.made.elapsed + wait.wait).as_millis()).unwrap_or(u64::MAX);
            progress.send_modify(|so_far| so_far.waiting_ms = waiting_ms);
            self.runtime.metrics.model_failed(wait.cause.name());
            if matches!(wait.cause, Cause::Connect { .. } | Cause::Page { .. }) {
                // Whoever looks after it need not wait for the last attempt.
                self.trouble.notify_one();
            }
        };
        let mut stream = self.claude.stream_with(request, busy).await?;
        let (began, fills) = (Instant::now(), request.fills_container() || request.goes_on_in_container());
        let usage = |stream: &claude::Stream| {
            // A container is paid for by the time, also where nothing is computed on what was put into it.
            let computes = fills || stream.container().is_some();
            let container_ms = computes.then(|| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            claude::Usage { container_ms, ..stream.usage() }
        };
        let so_far = usage(&stream);
        progress.send_modify(|told| {
            told.model = Some(request.model.clone());
            told.usage = so_far;
        });
        while let Some(delta) = stream.next().await? {
            let usage = usage(&stream);
            let made =
                matches!(&delta, Delta::BlockStarted { kind, .. } if kind.ends_with("code_execution_tool_result"));
            let made = made.then(|| stream.made_files());
            progress.send_modify(|so_far| {
                match &delta {
                    Delta::Text(more) => so_far.text.push_str(more),
                    Delta::Thinking(more) => so_far.thought.push(more),
                    Delta::BlockStopped { .. } => so_far.thought.end(),
                    _ => {}
                }
                so_far.usage = usage;
                if let Some(made) = made {
                    so_far.make(&made);
                }
            });
        }
        let used = usage(&stream);
        let mut message = stream.finish().await?.message;
        message.usage.container_ms = used.container_ms.or_else(|| message.container.as_ref().map(|_| 0));
        Ok(self.turn_of((question.prompt, &request.model), message, progress))
    }

    /// Returns the request that asks this.
    pub(super) fn request_of(&self, (prompt, model): (&Prompt, &str), effort: Effort, tag: &str) -> claude::Request {
        let facts = self.claude.facts(model);
        let tokens_max = facts.output_tokens(self.runtime.config().claude.output_tokens_max);
        let request = claude::Request::from_prompt(prompt, model, facts.effort(effort), tokens_max, Some(tag));
        request.with_summary(facts.summarises)
    }

    /// Returns the turn that a whole answer is, and notes what it used.
    pub(super) fn turn_of(
        &self,
        (prompt, model): (&Prompt, &str),
        message: claude::Message,
        progress: &watch::Sender<Progress>,
    ) -> ModelTurn {
        let stop = match &message.stop_reason {
            Some(StopReason::Refusal) => TurnStop::Refused,
            Some(StopReason::PauseTurn) => TurnStop::Paused,
            Some(reason) if reason.is_cut_off() => TurnStop::Cut,
            _ => TurnStop::End,
        };
        let blocks: Vec<String> = message.content.iter().map(|block| Json::of(block).as_str().to_owned()).collect();
        let made: Vec<String> = message.content.iter().flat_map(claude::ContentBlock::made_files).collect();
        let usage = whole(&message.usage, &blocks, || self.budget.tokens_of(prompt, model));
        let is_unbilled = message.is_refused_unsaid();
        let refused = (stop == TurnStop::Refused).then(|| {
            let category = message.stop_details.as_ref().and_then(|details| details.category.clone());
            let name = category.unwrap_or_else(|| "unnamed".to_owned());
            name.chars().filter(|char| char.is_ascii_alphanumeric() || *char == '_').take(CATEGORY_CHARS_MAX).collect()
        });
        progress.send_modify(|so_far| {
            so_far.complete = true;
            so_far.unbilled = is_unbilled;
            so_far.refused = refused;
            so_far.model = Some(answering(model, message.model));
            so_far.usage = usage;
            so_far.container = message.container.as_ref().and_then(Container::read);
            so_far.make(&made);
        });
        ModelTurn { blocks, stop }
    }
}

/// Returns the model that answered, for prices and records: the one that was asked, unless another one says plainly that
/// it was.
fn answering(asked: &str, told: String) -> String {
    let is_dated = told
        .strip_prefix(asked)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|date| date.len() == "20260801".len() && date.chars().all(|char| char.is_ascii_digit()));
    let is_the_same = is_dated
        || told.eq_ignore_ascii_case(asked)
        || told.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case(asked));
    let is_a_name =
        (1..=MODEL_CHARS_MAX).contains(&told.chars().count()) && !told.contains(|char: char| char.is_control());
    if is_the_same || !is_a_name { asked.to_owned() } else { told }
}

/// Returns the usage of a whole answer. What the provider did not tell, or only as a number that none can be, counts as it
/// is estimated: an answer is not free for that.
fn whole(usage: &claude::Usage, blocks: &[String], prompt_tokens: impl FnOnce() -> u64) -> claude::Usage {
    let uncached = || prompt_tokens().saturating_sub(usage.prompt_tokens());
    let written = || blocks.iter().map(|block| u64::from(estimate(block))).fold(0, u64::saturating_add);
    let (input, output) = (usage.input_tokens.unwrap_or_else(uncached), usage.output_tokens.unwrap_or_else(written));
    claude::Usage { input_tokens: Some(input), output_tokens: Some(output), ..usage.clone() }
}

/// The category under which a refusal of the provider's content filter is counted.
const FILTERED: &str = "content_filter";
/// Characters of a model's name.
const MODEL_CHARS_MAX: usize = 100;
/// Characters of the name of a category of refusals.
const CATEGORY_CHARS_MAX: usize = 40;
/// A wait that people are told of instead of waiting.
const LONG: Duration = Duration::from_mins(2);

fn refuses_content(error: &claude::Error) -> bool {
    matches!(error.cause, Cause::InvalidRequest { .. } | Cause::TooLarge { .. }) || is_about(error, "file")
}

fn refuses_container(error: &claude::Error) -> bool {
    is_about(error, "container")
}

/// Whether a request was refused for something that it names.
fn is_about(error: &claude::Error, what: &str) -> bool {
    let (Cause::InvalidRequest { said, .. } | Cause::ModelNotFound { said, .. }) = &error.cause else { return false };
    said.as_str().to_lowercase().contains(what)
}

fn fault(error: &claude::Error) -> Fault {
    match (&error.cause, error.advice()) {
        (Cause::MissingKey, _) => Fault::KeyMissing,
        (Cause::KeyRefused { .. } | Cause::UnusableKey, _) => Fault::KeyRefused,
        (Cause::Billing { .. }, _) => Fault::AccountExhausted,
        (Cause::ModelNotFound { .. }, _) => Fault::ModelMissing,
        (Cause::RateLimited { retry_after: Some(after), .. }, _) if *after > LONG => {
            Fault::LimitedFor(after.as_secs().div_ceil(60))
        }
        (Cause::Overloaded | Cause::RateLimited { .. }, _) => Fault::Overloaded,
        (_, Advice::Regenerate) if error.phase == claude::Phase::DuringAnswer => Fault::BrokenOff,
        (_, Advice::Shorten) => Fault::TooLong,
        // What broke off before anything of an answer was none.
        (_, Advice::RetryLater { .. } | Advice::Regenerate)
        | (Cause::Protocol { .. } | Cause::UnusableBaseUrl | Cause::InvalidRequest { status: 404 | 405, .. }, _) => {
            Fault::Unreachable
        }
        _ => Fault::RequestRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claude::{
        error::{Phase, Quoted, Wait},
        stream::StreamError,
    };

    #[test]
    fn c19_each_way_in_which_the_model_fails_has_its_word() {
        use Phase::{BeforeAnswer, DuringAnswer};
        let said = Quoted::default;
        let timeout = || Cause::Timeout { wait: Wait::Idle, limit: Duration::from_secs(1) };
        let broken = || Cause::BrokenStream(StreamError::EndedEarly);
        let table = [
            (Cause::MissingKey, BeforeAnswer, Fault::KeyMissing),
            (Cause::KeyRefused { status: 401, said: said() }, BeforeAnswer, Fault::KeyRefused),
            (Cause::UnusableKey, BeforeAnswer, Fault::KeyRefused),
            (Cause::Billing { said: said() }, BeforeAnswer, Fault::AccountExhausted),
            (Cause::Overloaded, BeforeAnswer, Fault::Overloaded),
            (Cause::RateLimited { retry_after: None, said: said() }, BeforeAnswer, Fault::Overloaded),
            (Cause::Connect { reason: String::new() }, BeforeAnswer, Fault::Unreachable),
            (Cause::Server { status: 500, said: said() }, BeforeAnswer, Fault::Unreachable),
            (timeout(), BeforeAnswer, Fault::Unreachable),
            (Cause::Protocol { status: 200, what: "HTML".to_owned() }, BeforeAnswer, Fault::Unreachable),
            (Cause::UnusableBaseUrl, BeforeAnswer, Fault::Unreachable),
            (timeout(), DuringAnswer, Fault::BrokenOff),
            (broken(), DuringAnswer, Fault::BrokenOff),
            (broken(), BeforeAnswer, Fault::Unreachable),
            (Cause::BrokenStream(StreamError::Undecodable), BeforeAnswer, Fault::Unreachable),
            (Cause::TooLarge { request_bytes: 1 }, BeforeAnswer, Fault::TooLong),
            (Cause::InvalidRequest { status: 400, code: None, said: said() }, BeforeAnswer, Fault::RequestRefused),
            (Cause::ModelNotFound { model: "x".to_owned(), said: said() }, BeforeAnswer, Fault::ModelMissing),
            (Cause::Page { status: 403, what: "text/html".to_owned() }, BeforeAnswer, Fault::Unreachable),
            (
                Cause::RateLimited { retry_after: Some(Duration::from_secs(601)), said: said() },
                BeforeAnswer,
                Fault::LimitedFor(11),
            ),
        ];
        for (cause, phase, expected) in table {
            let error = claude::Error { cause, phase, base_url: "https://api.example".to_owned(), request_id: None };
            assert_eq!(fault(&error), expected, "{error}");
        }
    }

    #[test]
    fn a3_what_is_not_told_of_an_answer_s_tokens_counts_as_estimated() {
        let blocks = ["x".repeat(70)];
        let of = |input_tokens, cached, output_tokens| {
            let usage = claude::Usage {
                input_tokens,
                cache_read_input_tokens: cached,
                output_tokens,
                ..claude::Usage::default()
            };
            let usage = whole(&usage, &blocks, || 1_000);
            (usage.prompt_tokens(), usage.output_tokens)
        };
        assert_eq!(of(Some(9), None, Some(3)), (9, Some(3)));
        assert_eq!(of(None, None, None), (1_000, Some(20)));
        assert_eq!(of(None, Some(400), Some(0)), (1_000, Some(0)));
        assert_eq!(of(None, Some(4_000), Some(1)), (4_000, Some(1)));
    }

    #[test]
    fn a3_a_model_that_is_named_in_another_way_is_the_one_that_was_asked() {
        let long = "x".repeat(101);
        for (told, expected) in [
            ("claude-opus-5-5", "claude-opus-5-5"),
            ("claude-opus-5-5-20260801", "claude-opus-5-5"),
            ("anthropic/claude-opus-5-5", "claude-opus-5-5"),
            ("Claude-Opus-5-5", "claude-opus-5-5"),
            ("", "claude-opus-5-5"),
            ("a\nb", "claude-opus-5-5"),
            (&long, "claude-opus-5-5"),
            ("claude-opus-5-5-fast", "claude-opus-5-5-fast"),
            ("claude-sonnet-5-5", "claude-sonnet-5-5"),
        ] {
            assert_eq!(answering("claude-opus-5-5", told.to_owned()), expected, "{told}");
        }
    }
}
