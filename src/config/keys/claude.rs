//! The keys of `claude:`.

use super::{Fallback as F, Key, Kind as K, MODEL, URL, VALUE, key};
use crate::config::claude::{FALLBACKS_MAX, MODEL as MODEL_DEFAULT, OUTPUT_TOKENS_MAX, VERSIONS};

/// The words of `effort:`.
pub(super) static EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

pub(super) static CLAUDE: [Key; 11] = [
    key(
        "base_url",
        K::Text(&URL),
        F::Told("ANTHROPIC_BASE_URL from the environment, else https://api.anthropic.com"),
        "The base of the Messages API, without `/v1`.",
    ),
    key(
        "api_key",
        K::Secret { as_value: true },
        F::Told("ANTHROPIC_API_KEY from the environment"),
        "The API key; without one Workmate starts, and says so to whoever asks.",
    ),
    key(
        "auth_token",
        K::Secret { as_value: true },
        F::Told("ANTHROPIC_AUTH_TOKEN from the environment, where there is no key"),
        "A gateway's token, which goes as `Authorization: Bearer`.",
    ),
    key(
        "headers",
        K::Named(&K::Either(&[K::Word, K::Section(&VALUE)])),
        F::Told("ANTHROPIC_CUSTOM_HEADERS from the environment"),
        "Further headers of every call.",
    ),
    key("api_version", K::Choice(&VERSIONS), F::Word(VERSIONS[0]), "The version of the API that is spoken."),
    key(
        "idle_seconds",
        K::Number(10, 1_800),
        F::Told("90 at api.anthropic.com, 300 elsewhere"),
        "The silence of an answer, in seconds, after which it is asked for again.",
    ),
    key("model", K::Text(&MODEL), F::Word(MODEL_DEFAULT), "The model where a coworker or the assistants name none."),
    key(
        "fallback_models",
        K::List(&K::Text(&MODEL), FALLBACKS_MAX),
        F::Nothing,
        "The models asked, in this order, when the one before refuses a request.",
    ),
    key("effort", K::Choice(&EFFORTS), F::Word("medium"), "How much thought goes into an answer."),
    key(
        "output_tokens_max",
        K::Number(1_024, 128_000),
        F::Number(OUTPUT_TOKENS_MAX),
        "Thinking and answer of one call together, in tokens.",
    ),
    key(
        "proxy",
        K::Text(&URL),
        F::Told("HTTPS_PROXY from the environment, for another machine under https"),
        "The proxy that these calls go through.",
    ),
];
