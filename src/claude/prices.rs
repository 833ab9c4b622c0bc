//! The cost of an answer, by `prices.json`; a model that is not listed has no known price.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use super::wire::{Iteration, Usage};

/// A price, in whole micro-USD, rounded up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// Millionths of a US dollar.
    pub micro_usd: u64,
}

/// The content of `prices.json`.
#[derive(Debug, Deserialize)]
struct Prices {
    web_search_nano_usd: u64,
    container_hour_nano_usd: u64,
    models: BTreeMap<String, Vec<Tier>>,
}

/// Prices in nano-USD for a token, for prompts up to a size.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    /// The largest prompt of this tier, all kinds of input together; the last tier covers the rest.
    #[serde(default = "no_bound")]
    prompt_tokens_max: u64,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
}

/// The `service_tier` of an answer in a batch.
pub const BATCH_TIER: &str = "batch";

/// A call that computes is billed for so long at least, in milliseconds.
const CONTAINER_MS_MIN: u64 = 5 * 60 * 1000;
/// The longest that a call computes: as long as it may take, in milliseconds.
const CONTAINER_MS_MAX: u64 = 20 * 60 * 1000;
const HOUR_MS: u64 = 60 * 60 * 1000;

const fn no_bound() -> u64 {
    u64::MAX
}

static PRICES: LazyLock<Prices> =
    LazyLock::new(|| serde_json::from_str(include_str!("prices.json")).expect("a test reads the built-in prices"));

/// Returns what `usage` cost with `model`; `None` if the model, its speed or the usage is unknown.
///
/// Another model's price is never used instead. Cache writes with an unstated lifetime count as the more expensive
/// ones. If the provider reports several passes, each counts by its own model's price.
#[must_use]
pub fn cost(model: &str, usage: &Usage) -> Option<Cost> {
    if usage.speed.as_deref().is_some_and(|speed| speed != "standard") {
        return None;
    }
    let tokens = match usage.iterations.as_deref() {
        None | Some([]) => tokens(model, usage)?,
        Some(passes) => {
            let of = |pass: &Iteration| tokens(pass.model.as_deref().unwrap_or(model), &pass.usage());
            passes.iter().map(of).sum::<Option<u128>>()?
        }
    };
    // What was answered in a batch costs half; searches cost what they cost.
    let tokens = if usage.service_tier.as_deref() == Some(BATCH_TIER) { tokens.div_ceil(2) } else { tokens };
    let searches = usage.server_tool_use.as_ref().and_then(|used| used.web_search_requests).unwrap_or(0);
    // Inference only in the US costs a tenth more (docs/claude-api.md, section 10).
    let tokens = if usage.inference_geo.as_deref() == Some("us") { tokens * 11 / 10 } else { tokens };
    let searches = u128::from(searches) * u128::from(PRICES.web_search_nano_usd);
    let nano_usd = tokens + searches + usage.container_ms.map_or(0, container);
    Some(Cost { micro_usd: u64::try_from(nano_usd.div_ceil(1000)).unwrap_or(u64::MAX) })
}

/// Returns the cost of a container's time, in nano-USD; hours that the provider gives away are not known here.
fn container(ms: u64) -> u128 {
    u128::from(ms.max(CONTAINER_MS_MIN)) * u128::from(PRICES.container_hour_nano_usd) / u128::from(HOUR_MS)
}

/// Returns the cost of one pass's tokens, in nano-USD.
fn tokens(model: &str, usage: &Usage) -> Option<u128> {
    let (input, output) = (usage.input_tokens?, usage.output_tokens?);
    let prompt = usage.prompt_tokens();
    let tier = PRICES.models.get(model)?.iter().find(|tier| prompt <= tier.prompt_tokens_max)?;
    let writes = usage.cache_creation.clone().unwrap_or_default();
    let brief_writes = writes.ephemeral_5m_input_tokens.unwrap_or(0);
    let hourly_writes = usage
        .cache_creation_input_tokens
        .map_or(writes.ephemeral_1h_input_tokens.unwrap_or(0), |all| all.saturating_sub(brief_writes));
    let price = |count: u64, nano_usd: u64| u128::from(count) * u128::from(nano_usd);
    Some(
        price(input, tier.input)
            + price(output, tier.output)
            + price(usage.cache_read_input_tokens.unwrap_or(0), tier.cache_read)
            + price(brief_writes, tier.cache_write_5m)
            + price(hourly_writes, tier.cache_write_1h),
    )
}

/// A model's highest prices, in nano-USD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dearest {
    /// For a prompt token, cached in the most expensive way.
    pub prompt: u64,
    /// For an answer token.
    pub answer: u64,
    /// For a web search.
    pub search: u64,
    /// For the container of the longest call.
    pub container: u64,
}

/// Returns a model's highest prices for a prompt of that size; `None` if its price is unknown.
#[must_use]
pub fn dearest(model: &str, prompt_tokens: u64) -> Option<Dearest> {
    let tier = PRICES.models.get(model)?.iter().find(|tier| prompt_tokens <= tier.prompt_tokens_max)?;
    let prompt = [tier.input, tier.cache_write_5m, tier.cache_write_1h].into_iter().max()?;
    let container = u64::try_from(container(CONTAINER_MS_MAX)).unwrap_or(u64::MAX);
    Some(Dearest { prompt, answer: tier.output, search: PRICES.web_search_nano_usd, container })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claude::wire::{CacheCreation, ServerToolUse};

    const MILLION: u64 = 1_000_000;

    fn usage(input: u64, brief_writes: u64, hourly_writes: u64, read: u64, output: u64) -> Usage {
        Usage {
            input_tokens: Some(input),
            output_tokens: Some(output),
            cache_read_input_tokens: Some(read),
            cache_creation_input_tokens: Some(brief_writes + hourly_writes),
            cache_creation: Some(CacheCreation {
                ephemeral_5m_input_tokens: Some(brief_writes),
                ephemeral_1h_input_tokens: Some(hourly_writes),
            }),
            ..Usage::default()
        }
    }

    fn micro_usd(model: &str, usage: &Usage) -> Option<u64> {
        cost(model, usage).map(|cost| cost.micro_usd)
    }

    /// Each row: micro-USD for a million tokens of input, output, cache read, 5m write, 1h write.
    #[test]
    fn each_kind_of_token_has_its_model_s_price() {
        for (model, expected) in [
            ("claude-fable-5-2", [8_000_000, 40_000_000, 200_000, 10_000_000, 16_000_000]),
            ("claude-mythos-5-2", [8_000_000, 40_000_000, 200_000, 10_000_000, 16_000_000]),
            ("claude-mythos-5-1", [10_000_000, 50_000_000, 250_000, 12_500_000, 20_000_000]),
            ("claude-fable-5", [10_000_000, 50_000_000, 1_000_000, 12_500_000, 20_000_000]),
            ("claude-opus-5-5", [4_000_000, 20_000_000, 200_000, 5_000_000, 8_000_000]),
            ("claude-opus-4-5-20251101", [5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000]),
            ("claude-sonnet-5-5", [2_000_000, 10_000_000, 100_000, 2_500_000, 4_000_000]),
            ("claude-sonnet-5", [2_000_000, 10_000_000, 200_000, 2_500_000, 4_000_000]),
            ("claude-sonnet-4-6", [3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000]),
            ("claude-haiku-4-5", [1_000_000, 5_000_000, 100_000, 1_250_000, 2_000_000]),
            ("claude-haiku-5-5", [500_000, 2_500_000, 50_000, 625_000, 1_000_000]),
        ] {
            let found = [
                micro_usd(model, &usage(MILLION, 0, 0, 0, 0)),
                // Output is measured with a prompt of the upper tier's size, whose price is then subtracted.
                micro_usd(model, &usage(MILLION, 0, 0, 0, MILLION)).map(|both| both - expected[0]),
                micro_usd(model, &usage(0, 0, 0, MILLION, 0)),
                micro_usd(model, &usage(0, MILLION, 0, 0, 0)),
                micro_usd(model, &usage(0, 0, MILLION, 0, 0)),
            ];
            assert_eq!(found, expected.map(Some), "{model}");
        }
    }

    #[test]
    fn a_haiku_prompt_over_its_tier_reprices_the_whole_request() {
        let cheap = usage(40_000, 10_000, 10_000, 40_000, 1000);
        let dear = Usage { cache_read_input_tokens: Some(40_001), ..cheap.clone() };
        assert_eq!(micro_usd("claude-haiku-5-5", &cheap), Some(4000 + 1250 + 2000 + 400 + 500));
        assert_eq!(micro_usd("claude-haiku-5-5", &dear), Some(20_000 + 6250 + 10_000 + 2001 + 2500));
    }

    #[test]
    fn the_dearest_price_is_that_of_an_hour_in_the_cache_and_of_the_prompt_s_tier() {
        assert_eq!(
            dearest("claude-opus-5-5", 1),
            Some(Dearest { prompt: 8_000, answer: 20_000, search: 10_000_000, container: 16_666_666 })
        );
        assert_eq!(dearest("claude-haiku-5-5", 100_000).map(|price| price.prompt), Some(200));
        assert_eq!(dearest("claude-haiku-5-5", 100_001).map(|price| price.prompt), Some(1_000));
        assert_eq!(dearest("claude-opus-6", 1), None);
    }

    #[test]
    fn each_pass_of_an_answer_has_the_price_of_its_own_model() {
        let pass = |model: Option<&str>, input_tokens| Iteration {
            model: model.map(ToOwned::to_owned),
            input_tokens: Some(input_tokens),
            output_tokens: Some(0),
            ..Iteration::default()
        };
        let told = |passes| Usage { iterations: Some(passes), ..usage(MILLION, 0, 0, 0, 0) };
        let both = told(vec![pass(None, 1_000), pass(Some("claude-haiku-4-5"), 1_000)]);
        assert_eq!(micro_usd("claude-opus-5-5", &both), Some(4_000 + 1_000));
        assert_eq!(micro_usd("claude-opus-5-5", &told(vec![])), Some(4_000_000), "none are told");
        assert_eq!(micro_usd("claude-opus-5-5", &told(vec![pass(Some("claude-opus-6"), 1)])), None);
    }

    #[test]
    fn what_is_not_known_has_no_price() {
        let known = usage(1, 0, 0, 0, 1);
        assert_eq!(micro_usd("claude-opus-5-5", &known), Some(24));
        for (model, usage) in [
            ("claude-opus-6", known.clone()),
            ("claude-opus-5-5-20261001", known.clone()),
            ("claude-opus-5-5", Usage { input_tokens: None, ..known.clone() }),
            ("claude-opus-5-5", Usage { output_tokens: None, ..known.clone() }),
            ("claude-opus-5-5", Usage { speed: Some("fast".to_owned()), ..known }),
        ] {
            assert_eq!(cost(model, &usage), None, "{model} {usage:?}");
        }
    }

    #[test]
    fn fractions_round_up_and_surcharges_are_added() {
        let base = usage(0, 0, 0, 1, 0);
        assert_eq!(micro_usd("claude-sonnet-5-5", &base), Some(1));
        let us = Usage { inference_geo: Some("us".to_owned()), ..usage(1000, 0, 0, 0, 0) };
        assert_eq!(micro_usd("claude-sonnet-5-5", &us), Some(2200));
        let searched = ServerToolUse { web_search_requests: Some(2), web_fetch_requests: Some(5) };
        let computed = |ms| micro_usd("claude-opus-5-5", &Usage { container_ms: Some(ms), ..usage(0, 0, 0, 0, 0) });
        assert_eq!(computed(1), Some(4_167), "C24: five minutes at least");
        assert_eq!(computed(60 * 60 * 1000), Some(50_000));
        let searched = Usage { server_tool_use: Some(searched), ..usage(1, 0, 0, 0, 0) };
        assert_eq!(micro_usd("claude-sonnet-5-5", &searched), Some(20_002));
        let unsplit = Usage { cache_creation: None, ..usage(0, 10, 0, 0, 0) };
        assert_eq!(micro_usd("claude-sonnet-5-5", &unsplit), Some(40));
        let batched = Usage { service_tier: Some("batch".to_owned()), ..usage(1001, 0, 0, 0, 0) };
        assert_eq!(micro_usd("claude-sonnet-5-5", &batched), Some(1001), "C20: a batch costs half");
        let batched = Usage { service_tier: Some("batch".to_owned()), ..searched.clone() };
        assert_eq!(micro_usd("claude-sonnet-5-5", &batched), Some(20_001), "C20: searches in a batch cost the same");
        let absurd = usage(u64::MAX, 0, 0, 0, u64::MAX);
        assert_eq!(micro_usd("claude-fable-5", &absurd), Some(u64::MAX));
    }
}
