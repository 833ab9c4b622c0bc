//! What a call may cost at most, as far as that is known before it is made.

use super::{UNKNOWN_PRICE_MICRO_USD, usd::Usd};
use crate::core::{
    context,
    media::PDF_PAGE_TOKENS,
    prompt::{FileContent, Part, Prompt, ToolDefinition},
    provider::{PAGE_TOKENS_MAX, SEARCHES_MAX},
};

/// What a picture takes at most, in tokens.
const PICTURE_TOKENS: u64 = 1_600;
/// A page of a PDF has at least so many characters of base64.
const PDF_PAGE_CHARS: usize = 1_000;
/// What a result of the provider's takes at most, in tokens.
const FETCHED_TOKENS_MAX: u64 = 100 * PDF_PAGE_TOKENS as u64;
/// Pages of a PDF that is sent.
const PDF_PAGES_MAX: usize = 100;

/// What a model charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// A token of the prompt, however it is cached, in billionths of a US dollar.
    pub prompt_nano_usd: u64,
    /// A token of the answer.
    pub answer_nano_usd: u64,
    /// A search of the provider's.
    pub search_nano_usd: u64,
}

impl Price {
    /// What counts where the price is not known.
    pub const UNKNOWN: Self = Self {
        prompt_nano_usd: UNKNOWN_PRICE_MICRO_USD.0 * 1_000,
        answer_nano_usd: UNKNOWN_PRICE_MICRO_USD.1 * 1_000,
        search_nano_usd: 10_000_000,
    };
}

/// What a call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Its prompt, which is paid for as soon as the call is made.
    pub prompt: Usd,
    /// The longest answer, and what the provider's own tools may add.
    pub answer: Usd,
}

impl Estimate {
    /// Returns both together.
    #[must_use]
    pub fn whole(&self) -> Usd {
        self.prompt.add(self.answer)
    }
}

/// Estimates the tokens of a prompt, on the high side.
#[must_use]
pub fn prompt_tokens(prompt: &Prompt) -> u64 {
    let text = |text: &str| u64::from(context::estimate(text));
    let tools = prompt.tools.iter().map(|tool| match tool {
        ToolDefinition::Client { name, description, schema } => {
            text(name) + text(description) + text(&schema.to_string())
        }
        ToolDefinition::Provider(raw) => text(&raw.to_string()),
    });
    let parts = prompt.turns.iter().flat_map(|turn| &turn.parts).map(|part| match part {
        Part::Text(said) => text(said),
        Part::File(file) => match &file.content {
            FileContent::Image { .. } => PICTURE_TOKENS,
            FileContent::Pictures { base64, .. } => PICTURE_TOKENS * u64::try_from(base64.len()).unwrap_or(u64::MAX),
            FileContent::Pdf { base64 } => {
                let pages = (base64.len() / PDF_PAGE_CHARS).clamp(1, PDF_PAGES_MAX);
                u64::try_from(pages).unwrap_or(u64::MAX) * u64::from(PDF_PAGE_TOKENS)
            }
            FileContent::Text { text: content } => text(content),
        },
    });
    let rounds = prompt.rounds.iter().map(|round| {
        // What is larger is a file that the provider fetched, in base64.
        let said = round.said.iter().map(|raw| text(raw).min(FETCHED_TOKENS_MAX));
        let pictures = |count: usize| u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(PICTURE_TOKENS);
        let results = round.results.iter().map(|result| text(&result.text) + pictures(result.pictures.len()));
        said.chain(results).sum::<u64>()
    });
    prompt.system.iter().map(|block| text(block)).chain(tools).chain(parts).chain(rounds).sum()
}

/// Estimates what a call with this prompt, which the model counts as so many tokens, may cost.
#[must_use]
pub fn estimate(prompt: &Prompt, tokens: u64, output_tokens_max: u32, price: Price) -> Estimate {
    let cost = |count: u64, nano_usd: u64| count.saturating_mul(nano_usd).div_ceil(1_000);
    let of_provider = prompt.tools.iter().filter(|tool| matches!(tool, ToolDefinition::Provider(_))).count();
    let uses = u64::try_from(of_provider).unwrap_or(u64::MAX).saturating_mul(u64::from(SEARCHES_MAX));
    let pages = uses.saturating_mul(u64::from(PAGE_TOKENS_MAX));
    let answer = cost(u64::from(output_tokens_max), price.answer_nano_usd)
        .saturating_add(cost(pages, price.prompt_nano_usd))
        .saturating_add(cost(uses, price.search_nano_usd));
    Estimate { prompt: Usd::from_micro(cost(tokens, price.prompt_nano_usd)), answer: Usd::from_micro(answer) }
}
