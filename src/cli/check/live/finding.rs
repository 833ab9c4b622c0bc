//! Tests whether people find the coworkers by name.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

use super::{Check, Found, Tried};
use crate::{
    config::Config,
    matrix::{
        api::{Api, Body},
        proxy::Identity,
    },
};

/// How long the homeserver may take to search.
const SEARCH_MAX: Duration = Duration::from_secs(15);

/// Searches for a coworker as people do; `None` if there is no coworker, a lobby is kept, or the homeserver does not
/// search.
pub(super) async fn coworkers(config: &Config, api: &Api) -> Option<Tried> {
    let coworker = config.coworkers.first().filter(|_| !config.workspace.lobby)?;
    let namespace = config.namespace();
    let user = namespace.coworker(&coworker.id.0);
    let searcher = Identity::User(namespace.user_id(&namespace.service));
    let search = Body::Json(json!({ "search_term": coworker.name, "limit": 50 }));
    let path = "/_matrix/client/v3/user_directory/search";
    let found = timeout(SEARCH_MAX, api.call(searcher, Method::POST, path, Some(search))).await.ok()?.ok()?;
    let mut results = found["results"].as_array()?.iter();
    let is_found = results.any(|result| result["user_id"] == user.as_str());
    let text = if is_found {
        format!("the homeserver's search shows {user}")
    } else {
        format!(
            "the homeserver's search leaves {user} out, as Synapse does with all users of an appservice's exclusive \
             namespace, whatever user_directory says\n  People invite coworkers by id, or from @workmate's list. With \
             workspace.lobby: true there is a room in which every app finds them by name."
        )
    };
    Some(Tried::new(Check::Search, Found::Fine(text)))
}
