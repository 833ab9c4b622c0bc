//! Asking the model: one streamed call, with what it says handed on as it comes.

use tokio::sync::watch;

use super::Engine;
use crate::{
    claude::{self, Advice, Cause, Delta, StopReason},
    core::{
        context,
        prompt::{Effort, Prompt},
        run::{Fault, Stop},
    },
};

/// How often an answer that broke off is asked for again.
const REGENERATIONS_MAX: u32 = 1;

/// What to ask and whom.
pub(super) struct Question<'a> {
    pub(super) prompt: &'a Prompt,
    pub(super) model: &'a str,
    pub(super) effort: Effort,
    pub(super) user_tag: String,
}

/// An answer while it is being written; watched, so that a slow reader sees only the newest.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// All of its text so far; empty again where it broke off and is asked for anew.
    pub(super) text: String,
    /// The model is busy; this long so far, in milliseconds.
    pub(super) waiting_ms: u64,
    /// The model that answers.
    pub(super) model: Option<String>,
    /// What it used so far.
    pub(super) usage: claude::Usage,
}

/// An answer, or why there is none.
pub(super) struct Reply {
    pub(super) ended: Result<(String, Stop), Fault>,
    pub(super) model: Option<String>,
    pub(super) usage: claude::Usage,
}

impl Reply {
    /// There is no answer.
    pub(super) fn none(fault: Fault) -> Self {
        Self { ended: Err(fault), model: None, usage: claude::Usage::default() }
    }
}

impl Engine {
    /// Asks the model and shows its progress. Dropping the future closes the stream at the provider.
    pub(super) async fn ask(&self, question: &Question<'_>, progress: &watch::Sender<Progress>) -> Reply {
        let output_tokens_max = self.config.claude.output_tokens_max;
        let request_of = |prompt: &Prompt| {
            let (model, effort, tag) = (question.model, question.effort, Some(question.user_tag.as_str()));
            claude::Request::from_prompt(prompt, model, effort, output_tokens_max, tag)
        };
        let mut request = request_of(question.prompt);
        let mut with_files = question.prompt.has_files();
        let mut regenerations = 0;
        loop {
            match self.ask_once(&request, progress).await {
                Ok(reply) => return reply,
                // Perhaps for a file that only looked whole; without any, the rest can still be answered.
                Err(error) if with_files && refuses_content(&error) => {
                    tracing::warn!(%error, "the model refused a request with files; it is asked without them");
                    with_files = false;
                    request = request_of(&context::without_files(question.prompt));
                }
                Err(error) => {
                    let again = error.advice() == Advice::Regenerate && regenerations < REGENERATIONS_MAX;
                    tracing::warn!(%error, cause = error.cause.name(), again, "the model gave no answer");
                    if !again {
                        return Reply::none(fault(&error));
                    }
                    regenerations += 1;
                    progress.send_modify(|so_far| so_far.text.clear());
                }
            }
        }
    }

    async fn ask_once(
        &self,
        request: &claude::Request,
        progress: &watch::Sender<Progress>,
    ) -> Result<Reply, claude::Error> {
        let busy = |wait: &claude::Waiting<'_>| {
            let waiting_ms = u64::try_from((wait.made.elapsed + wait.wait).as_millis()).unwrap_or(u64::MAX);
            progress.send_modify(|so_far| so_far.waiting_ms = waiting_ms);
        };
        let mut stream = self.claude.stream_with(request, busy).await?;
        progress.send_modify(|so_far| so_far.model = Some(request.model.clone()));
        while let Some(delta) = stream.next().await? {
            let usage = stream.usage();
            progress.send_modify(|so_far| {
                if let Delta::Text(more) = &delta {
                    so_far.text.push_str(more);
                }
                so_far.usage = usage;
            });
        }
        let answer = stream.finish().await?;
        let message = answer.message;
        let stop = match &message.stop_reason {
            Some(StopReason::Refusal) => Stop::Refused,
            Some(reason) if reason.is_cut_off() => Stop::Cut,
            _ => Stop::End,
        };
        Ok(Reply { ended: Ok((message.text(), stop)), model: Some(message.model.clone()), usage: message.usage })
    }
}

fn refuses_content(error: &claude::Error) -> bool {
    matches!(error.cause, Cause::InvalidRequest { .. } | Cause::TooLarge { .. })
}

fn fault(error: &claude::Error) -> Fault {
    match (&error.cause, error.advice()) {
        (Cause::MissingKey, _) => Fault::KeyMissing,
        (Cause::KeyRefused { .. } | Cause::UnusableKey, _) => Fault::KeyRefused,
        (Cause::Billing { .. }, _) => Fault::AccountExhausted,
        (Cause::Overloaded | Cause::RateLimited { .. }, _) => Fault::Overloaded,
        (_, Advice::Regenerate) => Fault::BrokenOff,
        (_, Advice::Shorten) => Fault::TooLong,
        (_, Advice::RetryLater { .. }) | (Cause::Protocol { .. } | Cause::UnusableBaseUrl, _) => Fault::Unreachable,
        _ => Fault::RequestRefused,
    }
}
