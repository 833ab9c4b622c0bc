//! Tries the homeserver in both directions, and the listen addresses.

use std::time::Duration;

use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Check, Found, Subject, Tried, exchange, finding};
use crate::{
    appservice::{
        self,
        arrivals::{Arrivals, CHECK},
    },
    cli::check::shown,
    config::{Config, Registration},
    core::reach::registered::Differs,
    engine::{differences, try_listening},
    listener,
    matrix::{
        MatrixError,
        api::Api,
        proxy::{Proxy, Upstream},
        seals::Seals,
    },
};

/// How long the homeserver may take for an answer.
const ASK_MAX: Duration = Duration::from_secs(15);
/// How long it may take to ping us and report the result.
const PING_MAX: Duration = Duration::from_secs(30);

/// Also returns how many milliseconds the homeserver's clock is ahead of ours, if it told the time.
pub(super) async fn all(
    subject: &Subject<'_>,
    runs: bool,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> (Vec<Tried>, Option<i64>) {
    let config = subject.config;
    let (listener, mut tried) = listeners(config, runs).await;
    let upstream = Upstream { url: config.homeserver.url.clone(), through: config.homeserver.proxy.clone() };
    let tokens = config.appservice.tokens();
    let api = match Proxy::start(upstream, tokens.ours.clone(), Seals::unkept(), tasks, stop.clone()).await {
        Ok(proxy) => Api::new(proxy),
        Err(error) => {
            tried.push(Tried::new(Check::Homeserver, Found::Fault(format!("no call can be made: {error}"))));
            return (tried, None);
        }
    };
    let (found, answers) = match subject.within(Check::Homeserver, ask(config, &api)).await {
        Ok(found) => found,
        Err(Tried { found, .. }) => (found, false),
    };
    tried.push(Tried::new(Check::Homeserver, found));
    if tokens.ours.is_behind() {
        let text = "the homeserver still takes the as_token from before the last rotation: it has not read the present \
                    registration\n  Mend: give it registration.yaml, and restart it.";
        tried.push(Tried::new(Check::Homeserver, Found::Open(text.to_owned())));
    }
    if !answers {
        return (tried, api.clock_ahead_ms());
    }
    let acting = async {
        let acted = subject.all(Check::Namespace, act(config, &api)).await;
        let is_ours = acted.iter().all(|tried| !matches!(tried.found, Found::Fault(_)));
        let exchanged = if is_ours && subject.is_wanted(Check::Encryption) {
            exchange::all(subject, &api).await
        } else {
            Vec::new()
        };
        acted.into_iter().chain(exchanged).collect::<Vec<_>>()
    };
    let pinging = async { vec![Tried::new(Check::Deliveries, ping(config, &api, listener, runs, tasks, stop).await)] };
    let finding = async { finding::coworkers(config, &api).await.into_iter().collect() };
    let (acted, pinged, found) = tokio::join!(
        Box::pin(acting),
        Box::pin(subject.all(Check::Deliveries, pinging)),
        Box::pin(subject.all(Check::Search, finding)),
    );
    tried.extend(acted.into_iter().chain(pinged).chain(found));
    (tried, api.clock_ahead_ms())
}

async fn listeners(config: &Config, runs: bool) -> (Option<TcpListener>, Vec<Tried>) {
    if runs {
        let text = format!("a workmate runs here and answers at {}", config.health_listen);
        return (None, vec![Tried::new(Check::Ports, Found::Fine(text))]);
    }
    let (mut tried, mut appservice) = (Vec::new(), None);
    let hooks = config.has_hooks().then_some(("hooks_listen", config.hooks_listen));
    let always = [("appservice.listen", config.appservice.listen), ("health_listen", config.health_listen)];
    let all: Vec<_> = always.into_iter().chain(hooks).collect();
    for (key, address) in &all {
        match try_listening(key, *address).await {
            Ok(listener) if *key == "appservice.listen" => appservice = Some(listener),
            Ok(_) => {}
            Err(error) => tried.push(Tried::new(Check::Ports, Found::Fault(error.to_string()))),
        }
    }
    if tried.is_empty() {
        let addresses: Vec<String> = all.iter().map(|(_, address)| address.to_string()).collect();
        let text = format!("{} are free", addresses.join(", "));
        tried.push(Tried::new(Check::Ports, Found::Fine(text)));
    }
    (appservice, tried)
}

/// Asks who we are; also returns whether further calls make sense.
async fn ask(config: &Config, api: &Api) -> (Found, bool) {
    let url = shown(&config.homeserver.url);
    let user = match timeout(ASK_MAX, api.whoami()).await {
        Ok(Ok(user)) => user,
        Ok(Err(error)) => return (Found::Fault(error.about_us(url)), false),
        Err(_) => {
            let cause = format!("no answer within {} s", ASK_MAX.as_secs());
            return (Found::Fault(MatrixError::Unreachable { url: url.to_owned(), cause }.to_string()), false);
        }
    };
    let (ours, theirs) = (&config.homeserver.server_name, user.server_name());
    if ours != theirs {
        let text = format!(
            "homeserver.server_name: {ours}, but the homeserver at {url} is {theirs}\n  It lets nobody act as users of another \
             server.\n  Mend: set homeserver.server_name to {theirs}, and the regex in the registration to '{}'.",
            Registration::of(config)
                .users_regex
                .replace(&regex::escape(ours.as_str()), &regex::escape(theirs.as_str()))
        );
        return (Found::Fault(text), false);
    }
    let sender = Registration::of(config).sender_localpart;
    if user.localpart() != sender {
        let text = format!("{}.", Differs::Sender { theirs: user.as_str(), ours: &format!("@{sender}:{ours}") }.told());
        return (Found::Fault(text), true);
    }
    (Found::Fine(format!("{url} is {theirs} and takes our as_token")), true)
}

/// Returns the error without its remedy, which the first call's error has shown already.
fn in_short(error: &MatrixError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Checks whether the homeserver lets us act as our own users, one of each kind; reads only.
async fn act(config: &Config, api: &Api) -> Vec<Tried> {
    let found = match timeout(ASK_MAX, differences(config, api)).await {
        Ok(Ok(found)) if found.is_empty() => {
            Found::Fine("the service bot, coworkers and assistants are in ours".to_owned())
        }
        Ok(Ok(found)) => {
            return found.iter().map(|told| Tried::new(Check::Namespace, Found::Fault(format!("{told}.")))).collect();
        }
        Ok(Err(error)) => Found::Open(format!("not told ({})", in_short(&error))),
        Err(_) => Found::Open("not told in time".to_owned()),
    };
    vec![Tried::new(Check::Namespace, found)]
}

/// Has the homeserver ping us. If no Workmate is running, opens its endpoint for that moment, for pings only.
async fn ping(
    config: &Config,
    api: &Api,
    listener: Option<TcpListener>,
    runs: bool,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Found {
    let arrivals = Arrivals::new(CHECK);
    let is_ours = listener.is_some();
    if let Some(listener) = listener {
        let router = appservice::pings_only(config.appservice.tokens().theirs, arrivals.clone());
        tasks.spawn(listener::serve(listener, router, appservice::CONNECTIONS_MAX, stop.clone()));
    } else if !runs {
        return Found::Open(format!("not tried: {} cannot be listened on", config.appservice.listen));
    }
    let (began, id) = (tokio::time::Instant::now(), arrivals.next_ping());
    let pinged = timeout(PING_MAX, api.ping(&config.appservice.id, &id)).await;
    let (url, listen) = (shown(&config.appservice.url), config.appservice.listen);
    if arrivals.heard_wrong_token_since(began) {
        return Found::Fault(
            "the homeserver calls us with another hs_token than ours\n  Nothing that it delivers would be taken.\n  Mend: its \
             copy of the registration is an old one: give it the present registration.yaml and restart it."
                .to_owned(),
        );
    }
    let said = match pinged {
        Ok(Ok(())) if !is_ours => {
            return Found::Fine(format!("the homeserver reaches the workmate that runs, at {url}"));
        }
        Ok(Ok(())) if arrivals.heard_ping(&id) => {
            return Found::Fine(format!("the homeserver reaches us at {url}, with our hs_token"));
        }
        Ok(Ok(())) => {
            return Found::Fault(format!(
                "the homeserver's call was answered by somebody else than this machine's {listen}\n  Another workmate or service \
                 stands at the url of the registration that it has loaded; the config says {url}.\n  Mend: correct url in the \
                 registration and appservice.url, and restart the homeserver; stop a second workmate."
            ));
        }
        Ok(Err(MatrixError::Refused { errcode, .. })) if errcode == "M_FORBIDDEN" => {
            return Found::Fault(format!("{}.", Differs::Id { ours: &config.appservice.id }.told()));
        }
        Ok(Err(MatrixError::Refused { errcode, .. })) if errcode == "M_UNRECOGNIZED" => {
            return Found::Open("not tried: this homeserver has no ping for appservices".to_owned());
        }
        Ok(Err(MatrixError::Refused { errcode, message, .. })) => format!("{errcode}: {message}"),
        Ok(Err(error)) => return Found::Open(format!("not told ({})", in_short(&error))),
        Err(_) => format!("no word within {} s", PING_MAX.as_secs()),
    };
    Found::Fault(format!(
        "the homeserver cannot reach us ({said})\n  It would deliver nothing, so nobody is answered.\n  Mend: see that {url}, the \
         url of the registration that it has loaded, leads from its machine to {listen} (another machine or container cannot \
         use 127.0.0.1: set appservice.listen to an address that it reaches, and the url to that), and restart it after a change."
    ))
}
