//! Makes the runtime and the services, from the lowest up: each is handed those that it may call.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
};

use ruma::RoomId;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{StartError, claude_client};
use crate::{
    appservice::{arrivals::Arrivals, health::Health, metrics::Metrics},
    claude,
    config::Config,
    engine::{
        Engine, Shared,
        approvals::desk::Desk,
        assistants,
        audit::Audit,
        batches::Batches,
        bindings::Bindings,
        budget::Budget,
        computing::Computing,
        connections::Connections,
        control::Running,
        deserted::Deserted,
        errands::Errands,
        hearing::Hears,
        homeserver::Homeserver,
        hooks::Hooks,
        lanes,
        lobby::Lobby,
        media, members,
        model::Model,
        notes::NoteBook,
        parked,
        readable::Readable,
        records::Tables,
        runtime::{Current, Life, Reloads, Runtime, Setup},
        spending::Pacing,
        standing::People,
        timetable,
        toolsets::Toolsets,
        trust, visits,
        wards::Wards,
        workspace::Members,
        zones::Zones,
    },
    matrix::{
        api::Api,
        pool::Pool,
        provision::Provisioner,
        proxy::{Proxy, Upstream},
        roster::Roster,
        seals::Seals,
    },
    secret::Tokens,
    store::Store,
};

/// Returns the store's memory of which rooms are encrypted, for the homeserver's side.
fn seals(store: &Store) -> Seals {
    let (kept, adding) = (store.seals(), store.seals());
    let note = move |room: &RoomId, seal| match adding.add(room, seal) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(room.id = %room, %error, "that a room is encrypted cannot be stored; it holds until the next start");
            false
        }
    };
    Seals::new(move |room| kept.of(room), note)
}

/// Makes the engine. Nothing runs yet but the proxy and the tools' servers.
pub(super) async fn build(
    (config, config_file): (Config, PathBuf),
    store: Store,
    (health, metrics, arrivals): (Health, Metrics, Arrivals),
    tasks: TaskTracker,
    stop: CancellationToken,
) -> Result<Shared, StartError> {
    let claude = Arc::new(claude::Client::new(claude_client(&config.claude))?);
    let hears = Hears::new(config.transcription.as_ref()).map_err(StartError::Recogniser)?;
    let runtime = Arc::new(runtime((config, config_file), store, (health, metrics), tasks, stop).await?);
    let (config, store) = (&runtime.config(), &runtime.store);
    let homeserver = Arc::new(Homeserver::new(&runtime, &claude, arrivals));
    let budget = Arc::new(Budget::open(&runtime)?);
    let zones = Arc::new(Zones::new(&runtime));
    let bindings = Arc::new(Bindings::new(&runtime));
    let toolsets = Arc::new(Toolsets::start(&runtime, &bindings));
    let errands = Arc::new(Errands::new(&runtime));
    let readable = Arc::new(Readable::new(&runtime));
    let members = Arc::new(Members::new(&runtime));
    let connections = Arc::new(Connections::new(&runtime, &zones, &readable, &members));
    let lobby = Arc::new(Lobby::new(&runtime));
    let running = Running::default();
    Ok(Arc::new(Engine {
        inbox: store.inbox(config.fingerprint()),
        lanes: lanes::Lanes::new(config.limits.schedule()),
        makers: assistants::Makers::default(),
        no_chats: assistants::NoChats::default(),
        headcounts: members::Headcounts::default(),
        flows: trust::Flows::default(),
        visits: visits::Visits::default(),
        prepared: media::Prepared::new(),
        hears,
        pacing: Pacing::new(&runtime, &running, &zones),
        running,
        model: Arc::new(Model::new(&runtime, &claude, &budget)),
        parked: parked::Parked::default(),
        owed_due: tokio::sync::Notify::new(),
        service_chats: tokio::sync::Mutex::new(()),
        given_up: AtomicUsize::new(0),
        timetable: timetable::Timetable::default(),
        batches: Arc::new(Batches::new(&runtime, &claude)),
        computing: Arc::new(Computing::new(&runtime, &claude)),
        notes: NoteBook::new(&runtime),
        approvals: Desk::new(store.approvals(), store.cards_begun()),
        hooks: Arc::new(Hooks::new(&runtime, &bindings, &errands)),
        audit: Arc::new(Audit::new(&runtime, (&budget, &errands), (&toolsets, &zones))),
        budget,
        errands,
        toolsets,
        bindings,
        people: Arc::new(People::new(&runtime, &members, &connections)),
        connections,
        readable,
        deserted: Arc::new(Deserted::new(&runtime, &lobby, &members)),
        lobby,
        homeserver,
        wards: Arc::new(Wards::new(&runtime)),
        zones,
        runtime,
    }))
}

/// Makes what all services share.
async fn runtime(
    (config, config_file): (Config, PathBuf),
    store: Store,
    (health, metrics): (Health, Metrics),
    tasks: TaskTracker,
    stop: CancellationToken,
) -> Result<Runtime, StartError> {
    // The proxy outlives `stop`, because ending tasks still need to reach the homeserver.
    let proxy_stop = CancellationToken::new();
    let proxy_tasks = TaskTracker::new();
    let upstream = Upstream { url: config.homeserver.url.clone(), through: config.homeserver.proxy.clone() };
    let proxy = Proxy::start(upstream, tokens.ours.clone(), seals(&store), &proxy_tasks, proxy_stop).await;
    let proxy = proxy.map_err(|cause| StartError::Listen {
        key: "the masquerading proxy",
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        cause,
    })?;
    let provisioner = Provisioner::new(Api::new(proxy), &config.data_dir, config.master.clone());
    Ok(Runtime {
        tokens,
        pool: Pool::new(provisioner, config.limits.assistants_live_max),
        roster: Roster::default(),
        tables: Tables::of(&store),
        health,
        metrics,
        life: Life::begin(),
        tasks,
        stop,
        store,
        current: Current::new(Setup::of(config)),
        config_file,
        reloads: Reloads::default(),
    })
}
