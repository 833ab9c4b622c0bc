//! The baselines: an empty appservice, and the smallest one with the SDK's encryption.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    extract::State,
    routing::{any, put},
};
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, TransactionId, UserId};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use url::Url;
use workmate::{
    core::event::{Outgoing, OutgoingKind, Place},
    matrix::{
        Account,
        api::Api,
        lead,
        provision::{Persona, Provisioner},
        proxy::Proxy,
        seals::Seals,
    },
    secret::{MasterSecret, Rotating, Secret},
};

use crate::{
    slot::Slot,
    stage::{ANSWER, Stage},
    tap::listen,
};

/// A running appservice that answers every message from a person with the same text.
pub(crate) struct Baseline {
    user: OwnedUserId,
    speaker: Speaker,
    _stop: DropGuard,
}

/// How a baseline speaks to the homeserver.
enum Speaker {
    /// One call in plain text, whether the room is encrypted or not.
    Plain(Caller),
    /// An SDK client behind the masquerading proxy: sync, decrypt, encrypt, send.
    Sdk(Arc<Account>),
}

/// A user of the appservice, acting by plain calls.
struct Caller {
    http: reqwest::Client,
    homeserver: Url,
    as_token: String,
    user: OwnedUserId,
}

struct Shared {
    prefix: String,
    speaker: Arc<Baseline>,
    tasks: TaskTracker,
}

impl Baseline {
    /// Starts an appservice that decrypts nothing and answers in plain text.
    pub(crate) async fn empty(stage: &Stage, slot: &Slot) -> Result<Arc<Self>> {
        let user = slot.coworker("empty");
        let homeserver = stage.homeserver.url().clone();
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        let caller = Caller { http, homeserver, as_token: slot.as_token(), user: user.clone() };
        caller.register().await?;
        Self::serve(slot, user, Speaker::Plain(caller), CancellationToken::new(), TaskTracker::new()).await
    }

    /// Starts an appservice whose one SDK client syncs, decrypts, encrypts and sends, and does nothing else.
    pub(crate) async fn sdk(stage: &Stage, slot: &Slot) -> Result<Arc<Self>> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let as_token = Secret::new(slot.as_token());
        let upstream = stage.homeserver.url().clone().into();
        let proxy =
            Proxy::start(upstream, Rotating::new(as_token, None), Seals::unkept(), &tasks, stop.clone()).await?;
        let dir = stage.dir.path().join("sdk");
        let provisioner = Provisioner::new(Api::new(proxy), &dir, MasterSecret::random());
        let user = slot.coworker("sdk");
        let persona = Persona {
            user: user.clone(),
            display_name: "sdk".to_owned(),
            avatar: None,
            kind: "coworker",
            is_named: true,
        };
        let account = Box::pin(provisioner.provision(&persona)).await?;
        Self::serve(slot, user, Speaker::Sdk(account), stop, tasks).await
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    /// Joins a room to which the user is invited.
    pub(crate) async fn join(&self, room: &RoomId) -> Result<()> {
        match &self.speaker {
            Speaker::Plain(caller) => {
                let path = format!("_matrix/client/v3/join/{room}");
                caller.call(reqwest::Method::POST, &path, &json!({})).await
            }
            Speaker::Sdk(account) => Ok(Box::pin(account.join(room)).await?),
        }
    }

    async fn serve(
        slot: &Slot,
        user: OwnedUserId,
        speaker: Speaker,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Result<Arc<Self>> {
        slot.release_ports();
        let baseline = Arc::new(Self { user, speaker, _stop: stop.clone().drop_guard() });
        let shared = Shared { prefix: format!("@{}", slot.id), speaker: baseline.clone(), tasks: tasks.clone() };
        let router = Router::new()
            .route("/_matrix/app/v1/transactions/{txn}", put(transaction))
            .fallback(any(async || Json(json!({}))))
            .with_state(Arc::new(shared));
        listen(slot.listen, router, stop, &tasks).await?;
        Ok(baseline)
    }

    async fn answer(&self, asked: &Asked, came: Instant) -> Result<()> {
        match &self.speaker {
            Speaker::Plain(caller) => caller.send(&asked.room, &asked.event, &asked.sender).await,
            Speaker::Sdk(account) => {
                let read = lead::read_as(account, &asked.room, &asked.event, came).await?;
                let is_read = read.is_some_and(|read| read.sealed.is_none());
                anyhow::ensure!(is_read, "the question cannot be decrypted");
                account.send(&asked.room, &asked.answer(), TransactionId::new()).await?;
                Ok(())
            }
        }
    }
}

async fn transaction(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Json<Value> {
    let came = Instant::now();
    let events = body["events"].as_array().into_iter().flatten();
    for asked in events.filter_map(|event| Asked::of(event, &shared.prefix)) {
        let baseline = shared.speaker.clone();
        shared.tasks.spawn(async move {
            if let Err(error) = Box::pin(baseline.answer(&asked, came)).await {
                workmate::cli::say::complain(&format!("{}: {error:#}", baseline.user));
            }
        });
    }
    Json(json!({}))
}

/// A person's message.
struct Asked {
    room: OwnedRoomId,
    event: OwnedEventId,
    sender: OwnedUserId,
}

impl Asked {
    fn of(event: &Value, own_prefix: &str) -> Option<Self> {
        let is_message = event["type"] == "m.room.message" || event["type"] == "m.room.encrypted";
        let sender = event["sender"].as_str().filter(|sender| is_message && !sender.starts_with(own_prefix))?;
        Some(Self {
            room: RoomId::parse(event["room_id"].as_str()?).ok()?,
            event: EventId::parse(event["event_id"].as_str()?).ok()?,
            sender: UserId::parse(sender).ok()?,
        })
    }

    fn answer(&self) -> Outgoing {
        Outgoing {
            kind: OutgoingKind::Text,
            body: ANSWER.to_owned(),
            html: None,
            mentions: std::iter::once(self.sender.clone()).collect(),
            place: Place::Thread { root: self.event.clone(), latest: self.event.clone() },
            sources: Vec::new(),
        }
    }
}

impl Caller {
    async fn register(&self) -> Result<()> {
        let body = json!({
            "type": "m.login.application_service", "username": self.user.localpart(), "inhibit_login": true,
        });
        let url = self.homeserver.join("_matrix/client/v3/register")?;
        let answer = self.http.post(url).bearer_auth(&self.as_token).json(&body).send().await?;
        answer.error_for_status().context("registering the empty appservice's user")?;
        Ok(())
    }

    async fn send(&self, room: &RoomId, request: &EventId, asker: &UserId) -> Result<()> {
        let content = json!({
            "msgtype": "m.text", "body": ANSWER, "m.mentions": {"user_ids": [asker]},
            "m.relates_to": {
                "rel_type": "m.thread", "event_id": request, "is_falling_back": true,
                "m.in_reply_to": {"event_id": request},
            },
        });
        let path = format!("_matrix/client/v3/rooms/{room}/send/m.room.message/{}", TransactionId::new());
        self.call(reqwest::Method::PUT, &path, &content).await
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: &Value) -> Result<()> {
        let mut url = self.homeserver.join(path)?;
        url.query_pairs_mut().append_pair("user_id", self.user.as_str());
        let answer = self.http.request(method, url).bearer_auth(&self.as_token).json(body).send().await?;
        answer.error_for_status()?.bytes().await?;
        Ok(())
    }
}
