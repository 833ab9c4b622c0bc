//! Upper estimates of a call's cost, before it is made.

use super::{UNKNOWN_PRICE_MICRO_USD, usd::Usd};
use crate::core::{
    media::PDF_PAGE_TOKENS,
    prompt::{FileContent, Part, Prompt, ToolDefinition},
    provider::{PAGE_TOKENS_MAX, SEARCHES_MAX},
    tokens,
};

/// Most tokens of a picture.
const PICTURE_TOKENS: u64 = 1_600;
/// Fewest base64 characters of a PDF page.
const PDF_PAGE_CHARS: usize = 1_000;
/// Most tokens of a provider's tool result.
const FETCHED_TOKENS_MAX: u64 = 100 * PDF_PAGE_TOKENS as u64;
/// Most pages of a PDF that is sent.
const PDF_PAGES_MAX: usize = 100;

/// A model's prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Price {
    /// For a prompt token, however it is cached, in billionths of a US dollar.
    pub prompt_nano_usd: u64,
    /// For an answer token.
    pub answer_nano_usd: u64,
    /// For a web search.
    pub search_nano_usd: u64,
    /// For the container of the longest call, where it computes.
    pub container_nano_usd: u64,
}

impl Price {
    /// The prices used if a model's are unknown.
    pub(crate) const UNKNOWN: Self = Self {
        prompt_nano_usd: UNKNOWN_PRICE_MICRO_USD.0 * 1_000,
        answer_nano_usd: UNKNOWN_PRICE_MICRO_USD.1 * 1_000,
        search_nano_usd: 10_000_000,
        container_nano_usd: 20_000_000,
    };

    /// Returns the prices in a batch: half, but for searches.
    #[must_use]
    pub(crate) fn halved(self) -> Self {
        Self {
            prompt_nano_usd: self.prompt_nano_usd.div_ceil(2),
            answer_nano_usd: self.answer_nano_usd.div_ceil(2),
            ..self
        }
    }
}

/// What a call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// The prompt, which is billed as soon as the call is made.
    pub prompt: Usd,
    /// The longest answer, and what the provider's tools may add.
    pub answer: Usd,
}

impl Estimate {
    /// Returns the sum.
    #[must_use]
    pub(crate) fn whole(&self) -> Usd {
        self.prompt.add(self.answer)
    }
}

/// Estimates a prompt's tokens, on the high side.
#[must_use]
pub(crate) fn prompt_tokens(prompt: &Prompt) -> u64 {
    let text = |text: &str| u64::from(tokens::estimate(text));
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
        // Anything larger is a file fetched by the provider, in base64.
        let said = round.said.iter().map(|raw| text(raw).min(FETCHED_TOKENS_MAX));
        let pictures = |count: usize| u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(PICTURE_TOKENS);
        let results = round.results.iter().map(|result| {
            let found = result.found.iter().map(|found| text(&found.text) + text(&found.title) + text(&found.source));
            text(&result.text) + found.sum::<u64>() + pictures(result.pictures.len())
        });
        said.chain(results).sum::<u64>()
    });
    let listing = prompt.computing.listing().map(|listing| text(&listing));
    prompt.system.iter().map(|block| text(block)).chain(listing).chain(tools).chain(parts).chain(rounds).sum()
}

/// Estimates the cost of a call with this prompt, which has that many of the model's tokens.
#[must_use]
pub(crate) fn estimate(prompt: &Prompt, tokens: u64, output_tokens_max: u32, price: Price) -> Estimate {
    let cost = |count: u64, nano_usd: u64| count.saturating_mul(nano_usd).div_ceil(1_000);
    let of_provider = prompt.tools.iter().filter(|tool| matches!(tool, ToolDefinition::Provider(_))).count();
    let uses = u64::try_from(of_provider).unwrap_or(u64::MAX).saturating_mul(u64::from(SEARCHES_MAX));
    let pages = uses.saturating_mul(u64::from(PAGE_TOKENS_MAX));
    let answer = cost(u64::from(output_tokens_max), price.answer_nano_usd)
        .saturating_add(cost(pages, price.prompt_nano_usd))
        .saturating_add(cost(uses, price.search_nano_usd))
        .saturating_add(cost(u64::from(prompt.computes()), price.container_nano_usd));
    Estimate { prompt: Usd::from_micro(cost(tokens, price.prompt_nano_usd)), answer: Usd::from_micro(answer) }
}
