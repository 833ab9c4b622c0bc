//! Makes the runtime and the services, from the lowest up: each is handed those that it may call.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

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
        assistants::Forgetful,
        audit::Audit,
        batches::Batches,
        bindings::Bindings,
        budget::Budget,
        chats::Chats,
        company::Company,
        computing::Computing,
        connections::Connections,
        control::Running,
        deserted::Deserted,
        doubts::Doubts,
        due::Due,
        echoes::Echoes,
        entries::Entries,
        errands::Errands,
        gaps::Gaps,
        homes::Homes,
        homeserver::Homeserver,
        hooks::Hooks,
        invites::Invites,
        keeping_up::KeepingUp,
        lanes,
        lobby::Lobby,
        media::{FilesRead, Hears},
        members::Memberships,
        model::Model,
        notes::NoteBook,
        parked,
        readable::Readable,
        records::Tables,
        runtime::{Current, Life, Reloads, Runtime, Setup},
        service::ServiceBot,
        service_chats::ServiceChats,
        spending::Pacing,
        standing::People,
        timetable::Schedules,
        toolsets::Toolsets,
        trust::Trust,
        upgrades::Upgrades,
        visits::Visits,
        voice::Voices,
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
    (config, config_file, tokens): (Config, PathBuf, Tokens),
    store: Store,
    (health, metrics, arrivals): (Health, Metrics, Arrivals),
    tasks: TaskTracker,
    stop: CancellationToken,
) -> Result<Shared, StartError> {
    let claude = Arc::new(claude::Client::new(claude_client(&config.claude))?);
    let hears = Arc::new(Hears::new(config.transcription.as_ref()).map_err(StartError::Recogniser)?);
    let runtime = Arc::new(runtime((config, config_file, tokens), store, (health, metrics), tasks, stop).await?);
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
    let low =
        Low { hears, homeserver, budget, zones, bindings, toolsets, errands, readable, members, connections, lobby };
    Ok(Arc::new(engine(&runtime, &claude, low)))
}

/// The services on which all others stand.
struct Low {
    hears: Arc<Hears>,
    homeserver: Arc<Homeserver>,
    budget: Arc<Budget>,
    zones: Arc<Zones>,
    bindings: Arc<Bindings>,
    toolsets: Arc<Toolsets>,
    errands: Arc<Errands>,
    readable: Arc<Readable>,
    members: Arc<Members>,
    connections: Arc<Connections>,
    lobby: Arc<Lobby>,
}

/// Makes the engine on the services on which all others stand.
fn engine(runtime: &Arc<Runtime>, claude: &Arc<claude::Client>, low: Low) -> Engine {
    let Low { hears, homeserver, budget, zones, bindings, toolsets, errands, readable, members, connections, lobby } =
        low;
    let (store, running, lanes) =
        (&runtime.store, Running::default(), lanes::Lanes::new(runtime.config().limits.schedule()));
    let wards = Arc::new(Wards::new(runtime));
    let people = Arc::new(People::new(runtime, &members, &connections));
    let deserted = Arc::new(Deserted::new(runtime, &lobby, &members));
    let notes = Arc::new(NoteBook::new(runtime));
    let owed_due = Arc::<Due>::default();
    let service_chats = Arc::new(ServiceChats::new(runtime));
    let inbox = store.inbox(runtime.config().fingerprint());
    let entries = Arc::new(Entries::new(runtime, &hears, &homeserver, &wards, inbox));
    let chats = Arc::new(Chats::new(runtime, &toolsets, &hears));
    let voices = Arc::new(Voices::new(runtime, &service_chats));
    let trust = Arc::new(Trust::new(runtime, &chats, &voices, &service_chats));
    let files = Arc::new(FilesRead::new(runtime, &hears));
    let gaps = Arc::new(Gaps::new(runtime, &entries, &deserted, &homeserver));
    let company = Arc::new(Company::new(runtime, &voices, &hears, &toolsets, &zones, &bindings, &owed_due));
    let visits = Arc::new(Visits::new(runtime, &company, &trust, &voices, &lobby));
    let schedules = Arc::new(Schedules::new(runtime, &voices, &bindings, &toolsets, &zones));
    let homes = Arc::new(Homes::new(runtime, &chats, &people, &gaps, &service_chats, &running, &Arc::default()));
    let forgetting = Arc::new(Forgetful::new(runtime, &connections, &homes, (&files, &budget), &toolsets, &running));
    let upgrades = Arc::new(Upgrades::new(runtime, &notes, &schedules, &company, &service_chats));
    let audit = Arc::new(Audit::new(runtime, (&budget, &errands), (&toolsets, &zones)));
    let service_bot = Arc::new(ServiceBot::new(
        runtime,
        (&people, &lobby, &toolsets),
        (&budget, &audit),
        (&trust, &homes),
        (&chats, &service_chats, &lanes),
    ));
    let invites = Arc::new(Invites::new(
        runtime,
        (&company, &visits, &upgrades),
        (&gaps, &homes, &chats),
        (&service_bot, &service_chats, &voices),
        (&bindings, &lobby, &people),
        &homeserver,
    ));
    let approvals = Arc::new(Desk::new(store.approvals(), store.cards_begun()));
    let membership = Arc::new(Memberships::new(
        runtime,
        (&lobby, &people, &deserted),
        (&errands, &schedules, &company),
        (&visits, &upgrades, &invites),
        (&service_bot, &service_chats, &approvals),
        &running,
    ));
    let keeping_up = Arc::new(KeepingUp::new(runtime, &gaps, &trust, &invites, &homeserver));
    Engine {
        lanes,
        parked: parked::Parked::default(),
        pacing: Pacing::new(runtime, &running, &zones),
        model: Arc::new(Model::new(runtime, claude, &budget)),
        batches: Arc::new(Batches::new(runtime, claude)),
        computing: Arc::new(Computing::new(runtime, claude)),
        approvals,
        membership,
        hooks: Arc::new(Hooks::new(runtime, &bindings, &errands)),
        audit,
        echoes: Arc::new(Echoes::new(runtime)),
        doubts: Arc::new(Doubts::new(runtime)),
        runtime: runtime.clone(),
        homeserver,
        budget,
        zones,
        bindings,
        toolsets,
        errands,
        readable,
        connections,
        running,
        wards,
        people,
        notes,
        owed_due,
        service_chats,
        entries,
        chats,
        voices,
        trust,
        files,
        schedules,
        homes,
        forgetting,
        keeping_up,
    }
}

/// Makes what all services share.
async fn runtime(
    (config, config_file, tokens): (Config, PathBuf, Tokens),
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
