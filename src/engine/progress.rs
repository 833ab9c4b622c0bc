//! What the model has said so far in one answer, and what it used.

use crate::{
    claude,
    core::{computing::add_made, thought::Thought, tokens::estimate},
};

/// An answer while it is being written; watched, so that a slow reader sees only the newest.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that comes at another moment")]
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// All of its text so far; empty again where it broke off and is asked for anew.
    pub(super) text: String,
    /// What the summary of its thinking says.
    pub(super) thought: Thought,
    /// The model is busy; this long so far, in milliseconds.
    pub(super) waiting_ms: u64,
    /// The model that answers.
    pub(super) model: Option<String>,
    /// What it used so far.
    pub(super) usage: claude::Usage,
    /// What answers that broke off had used.
    pub(super) broken: Vec<claude::Usage>,
    /// The files of the prompt were refused; what was asked since has none.
    pub(super) files_refused: bool,
    /// The container of an earlier answer was refused; what was asked since has none.
    pub(super) container_refused: bool,
    /// The container that was computed in.
    pub(super) container: Option<claude::Container>,
    /// The files that code made, of answers that broke off too.
    pub(super) made: Vec<String>,
    /// How many were made before these, beyond what is kept.
    pub(super) made_before: usize,
    /// The answer is there, and the provider has told all that it used.
    pub(super) complete: bool,
    /// The category under which the provider refused, `unnamed` where it names none.
    pub(super) refused: Option<String>,
    /// The provider charges nothing for it: the model refused before it said anything.
    pub(super) unbilled: bool,
}

impl Progress {
    /// What came so far is void, and was paid for.
    pub(super) fn begin_again(&mut self) {
        let usage = self.usage_so_far();
        self.text.clear();
        self.thought = Thought::default();
        self.usage = claude::Usage::default();
        self.broken.push(usage);
    }

    /// Adds files that code made, each once; the newest are kept.
    pub(super) fn make(&mut self, files: &[String]) {
        self.made_before += add_made(&mut self.made, files.iter());
    }

    /// Returns whether the provider has told what the answer that is being written used of the prompt.
    pub(super) fn is_told(&self) -> bool {
        self.usage.input_tokens.is_some()
    }

    /// Returns what the answer that is being written used. The provider tells the answer's own tokens at its end:
    /// until then they are estimated from the text, thinking left out.
    pub(super) fn usage_so_far(&self) -> claude::Usage {
        if self.complete {
            return self.usage.clone();
        }
        let estimated = u64::from(estimate(&self.text));
        let output_tokens = self.usage.output_tokens.map(|told| told.max(estimated));
        claude::Usage { output_tokens, ..self.usage.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(output_tokens: u64) -> claude::Usage {
        claude::Usage { input_tokens: Some(9), output_tokens: Some(output_tokens), ..claude::Usage::default() }
    }

    #[test]
    fn c10_what_an_unfinished_answer_used_is_told_or_estimated_whichever_is_more() {
        let written = Progress { text: "abcdefg".to_owned(), usage: told(1), ..Progress::default() };
        assert_eq!(written.usage_so_far(), told(2), "the provider tells an answer's tokens at its end");
        let thought = Progress { text: "abcdefg".to_owned(), usage: told(50), ..Progress::default() };
        assert_eq!(thought.usage_so_far(), told(50));
        let complete = Progress { complete: true, ..written.clone() };
        assert_eq!(complete.usage_so_far(), told(1), "nothing is estimated once all is told");
        let nothing = Progress { text: "abc".to_owned(), ..Progress::default() };
        assert_eq!(nothing.usage_so_far(), claude::Usage::default(), "no answer of the provider's began");
    }

    #[test]
    fn c10_an_answer_that_broke_off_is_void_and_paid_for() {
        let mut progress = Progress { text: "abcdefg".to_owned(), usage: told(1), ..Progress::default() };
        progress.begin_again();
        assert_eq!((progress.text.as_str(), &progress.usage), ("", &claude::Usage::default()));
        assert_eq!(progress.broken, [told(2)]);
    }
}
