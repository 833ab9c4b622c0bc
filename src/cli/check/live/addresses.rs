//! Tries the public addresses of the listeners for people's programs and for webhooks: whether they lead to us. Where no
//! workmate serves, the listener is opened for that moment and answers with a word that only we know.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::any};
use reqwest::redirect::Policy;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use super::{Check, Found, Tried};
use crate::{
    cli::check::shown,
    config::Config,
    core::{
        connection::place::is_loopback,
        reach::{self, Obstacle},
    },
    listener,
    secret::Secret,
};

/// How long an address may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Most connections of a listener that is opened for this.
const CONNECTIONS_MAX: usize = 8;
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// A public address.
struct Place {
    /// The key that names it.
    key: &'static str,
    /// What does not work without it.
    without: &'static str,
    listen: SocketAddr,
    public: Url,
    /// What is asked there.
    asked: String,
    /// Something that only a workmate answers there.
    sign: Sign,
}

enum Sign {
    /// The metadata about this endpoint.
    Endpoint(String),
    /// The refusal of a call that is not made with POST.
    Refusal,
}

pub(super) async fn all(config: &Config, serves: bool, tasks: &TaskTracker, stop: &CancellationToken) -> Vec<Tried> {
    let places = places(config);
    let tried = futures_util::future::join_all(places.iter().map(|place| try_out(place, serves, tasks, stop))).await;
    tried.into_iter().map(|found| Tried::new(Check::Addresses, found)).collect()
}

fn places(config: &Config) -> Vec<Place> {
    let connections = config.connections.reached.as_ref().map(|reached| Place {
        key: "connections.public_url",
        without: "People's own programs could not connect.",
        listen: reached.listen,
        public: reached.public.clone(),
        asked: reached.metadata_address(),
        sign: Sign::Endpoint(reached.endpoint()),
    });
    let hooks = config.hooks_url.as_ref().filter(|_| config.has_hooks()).map(|public| Place {
        key: "hooks_url",
        without: "What other systems report would not arrive.",
        listen: config.hooks_listen,
        public: public.clone(),
        asked: format!("{}/hooks/doctor", shown(public)),
        sign: Sign::Refusal,
    });
    connections.into_iter().chain(hooks).collect()
}

async fn try_out(place: &Place, serves: bool, tasks: &TaskTracker, stop: &CancellationToken) -> Found {
    let word = Secret::random().expose().to_owned();
    let guard = stop.child_token().drop_guard();
    if !serves {
        let Ok(listener) = TcpListener::bind(place.listen).await else {
            return Found::Open(format!("{} not tried: {} cannot be listened on", place.key, place.listen));
        };
        let said = word.clone();
        let router = Router::new().fallback(any(async move || said));
        let end = guard.disarm();
        tasks.spawn(listener::serve(listener, router, CONNECTIONS_MAX, end.clone()));
        let answer = ask(&place.asked).await;
        end.cancel();
        return judged(place, answer.as_ref().map(|(status, text)| (*status, text.as_str())), |text| text == word);
    }
    let answer = ask(&place.asked).await;
    judged(place, answer.as_ref().map(|(status, text)| (*status, text.as_str())), |text| place.sign.is_in(text))
}

impl Sign {
    fn is_in(&self, text: &str) -> bool {
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        match self {
            Self::Endpoint(endpoint) => said["resource"] == endpoint.as_str(),
            Self::Refusal => said["error"] == crate::appservice::hooks::NOT_POST,
        }
    }
}

/// Asks as a caller from outside would, as far as that is possible from here.
async fn ask(url: &str) -> Result<(u16, String), String> {
    let is_here = Url::parse(url).is_ok_and(|url| url.host_str().is_some_and(is_loopback));
    let http = reqwest::Client::builder().timeout(ANSWER_MAX).redirect(Policy::none());
    let http = if is_here { http.no_proxy() } else { http };
    let http = http.build().map_err(|error| reach::chain(&error))?;
    let mut answer = http.get(url).send().await.map_err(|error| reach::chain(&error.without_url()))?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        let Ok(Some(chunk)) = answer.chunk().await else { break };
        body.extend_from_slice(&chunk);
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn judged(place: &Place, answer: Result<(u16, &str), &String>, is_ours: impl Fn(&str) -> bool) -> Found {
    let (key, url, listen) = (place.key, shown(&place.public), place.listen);
    match answer {
        Ok((_, text)) if is_ours(text) => Found::Fine(format!("{key}: {url} leads here")),
        Ok((status, _)) => Found::Fault(format!(
            "{key}: something else answers at {url} (HTTP {status})\n  {}\n  Mend: have the proxy at that address pass calls on to \
             {listen}, with path and host unchanged; or correct {key}.",
            place.without
        )),
        Err(cause) => Found::Open(format!(
            "{key}: {url} does not answer from here ({cause})\n  It may do so from outside. {}\n  Mend: try it from another machine; \
             otherwise {}.",
            place.without,
            Obstacle::mend_of(cause, key)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op3_an_address_is_ours_or_another_s_or_not_to_be_told_from_here() {
        let place = Place {
            key: "hooks_url",
            without: "Nothing arrives.",
            listen: "127.0.0.1:29333".parse().expect("an address"),
            public: Url::parse("https://h.example").expect("a URL"),
            asked: String::new(),
            sign: Sign::Refusal,
        };
        let ours = format!("{{\"error\":\"{}\"}}", crate::appservice::hooks::NOT_POST);
        let away = "tcp connect error: Connection refused (os error 111)".to_owned();
        for (answer, expected) in [
            (Ok((405, ours.as_str())), "Fine(\"hooks_url: https://h.example leads here"),
            (Ok((200, "<html>")), "Fault(\"hooks_url: something else answers at https://h.example (HTTP 200)"),
            (Err(&away), "Open(\"hooks_url: https://h.example does not answer from here"),
        ] {
            let found = format!("{:?}", judged(&place, answer, |text| place.sign.is_in(text)));
            assert!(found.starts_with(expected), "{found}");
        }
        let endpoint = Sign::Endpoint("https://h.example/mcp".to_owned());
        assert!(endpoint.is_in("{\"resource\":\"https://h.example/mcp\"}") && !endpoint.is_in("{}"));
    }
}
