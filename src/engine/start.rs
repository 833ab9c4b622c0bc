//! Starting and stopping: listeners first, then the homeserver, then users, then work.

mod building;
mod listening;
mod queries;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    building::build,
    listening::{bind, mend_of_listening},
    queries::answer_queries,
};
use super::{
    Shared,
    data_dir::{PlaceError, too_full_to_start, try_data_dir},
    deserted,
    disk::{self, Ended},
    gaps, homeserver, inbox, provisioning,
    supervisor::Supervisor,
    wards,
};
use crate::{
    appservice::{
        self, Appservice,
        arrivals::Arrivals,
        health::{Condition, Health, State},
        hooks,
        metrics::Metrics,
        operators,
    },
    claude,
    config::{self, Config},
    core::retry,
    listener,
    matrix::MatrixError,
    store::{Store, StoreError, make_private},
};

pub use self::listening::try_listening;

/// The wanted number of file descriptors.
pub(crate) const DESCRIPTORS_WANTED: u64 = 16_384;
/// About how many each open client takes.
pub(crate) const DESCRIPTORS_OF_A_USER: u64 = 22;
/// Pauses while the homeserver does not answer at a start; the last one repeats.
const HOMESERVER_PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
/// Refusals in a row that are waited out at a first start, because a homeserver in trouble may not know us.
const REFUSALS_MAX: usize = 4;
/// How long tasks may take to end after a stop; those cut off are in the journal.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How long the key backup may take at a stop; the rest is uploaded at the next start.
const BACKUP_PATIENCE: Duration = Duration::from_secs(3);
/// Most queries about users that wait for an answer.
const QUERIES_WAITING_MAX: usize = 64;

/// Where the configuration came from, and by what it is read again.
#[derive(Clone, Debug)]
pub struct Source {
    /// The config file.
    pub file: PathBuf,
    /// Notified at each SIGHUP. One that comes before the start is over is heard then.
    pub hangups: Arc<Notify>,
}

/// Returns the Messages API client's configuration.
#[must_use]
pub fn claude_client(claude: &config::Claude) -> claude::ClientConfig {
    let mut reached = claude::ClientConfig::new(claude.base_url.clone(), claude.api_key.clone());
    reached.auth_token.clone_from(&claude.auth_token);
    reached.headers.clone_from(&claude.headers);
    reached.api_version.clone_from(&claude.api_version);
    reached.proxy.clone_from(&claude.proxy);
    reached.timeouts.idle = Duration::from_secs(claude.idle_seconds.into());
    reached
}

/// Why Workmate cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The homeserver refuses us for good.
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    /// The homeserver refuses us; says why, and how to mend it.
    #[error("{0}")]
    Refused(String),
    /// The homeserver's name differs from the configured one.
    #[error(
        "homeserver.server_name: {ours}, but the homeserver at {url} is {theirs}\n  Its users' ids end in :{theirs}, and it lets \
         nobody act as users of another server.\n  Mend: set homeserver.server_name to {theirs}, and the regex in the \
         registration too (`workmate check` says what it has to be); or correct homeserver.url."
    )]
    ServerName {
        /// The configured name.
        ours: String,
        /// The homeserver's own name.
        theirs: String,
        /// The address at which it was asked.
        url: String,
    },
    /// Workmate cannot listen on an address.
    #[error(
        "{key} {address}: cannot listen there: {}\n  Nobody's calls would arrive.\n  Mend: {}.",
        config::reason(cause),
        mend_of_listening(key, address, cause)
    )]
    Listen {
        /// The config key of the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The Claude client cannot be set up.
    #[error("{0}")]
    Claude(#[from] claude::Error),
    /// The recogniser's client cannot be set up.
    #[error(
        "transcription: the recogniser's client cannot be set up ({0})\n  Mend: correct the section, or remove it."
    )]
    Recogniser(String),
    /// An avatar file of the configuration cannot be read.
    #[error(
        "{path}: {}\n  Mend: correct the path in config/coworkers, or remove the avatar key.",
        config::reason(cause)
    )]
    Avatar {
        /// The file's path.
        path: String,
        /// The system's error.
        cause: std::io::Error,
    },
}

/// Serves until `stop` is cancelled, then ends what it can; the rest is in the journal.
///
/// # Errors
/// If it cannot begin because of the store, a listener, or a homeserver that refuses us. It waits for a homeserver that
/// is away.
pub async fn serve(
    config: Config,
    source: Source,
    supervisor: &Supervisor,
    stop: CancellationToken,
) -> Result<Ended, StartError> {
    raise_descriptor_limit();
    let tasks = TaskTracker::new();
    let health = Health::default();
    supervisor.begin(&health, &tasks, &stop);
    let arrivals = Arrivals::new(&crate::core::hex::hex(&random_bytes()));
    let metrics = Metrics::new(&health, &arrivals);
    let listener = bind("appservice.listen", config.appservice.listen).await?;
    let health_listener = bind("health_listen", config.health_listen).await?;
    let connections = listening::bind_connections(&config).await?;
    let console = listening::bind_console(&config).await?;
    let hooks_listener = if config.has_hooks() { Some(bind("hooks_listen", config.hooks_listen).await?) } else { None };
    disk::watch_from_outside(config.data_dir.clone(), health.clone(), stop.clone());
    warn_of_lost_state(&config.data_dir);
    let health_routes = operators::router(health.clone(), metrics.clone());
    tasks.spawn(listener::serve(health_listener, health_routes, operators::CONNECTIONS_MAX, stop.clone()));
    let store = match open_store(&config, &health, &stop).await? {
        Ok(store) => store,
        Err(ended) => return Ok(ended),
    };
    health.set(Condition::Store, State::Ready);
    let (queries, asked) = mpsc::channel(QUERIES_WAITING_MAX);
    let tokens = config.appservice.tokens();
    let endpoint = Appservice {
        hs_token: tokens.theirs.clone(),
        inbox: store.inbox(config.fingerprint()),
        queries,
        health: health.clone(),
        arrivals: arrivals.clone(),
        body_bytes_max: config.limits.transaction_bytes_max,
    };
    // Listeners first: what the homeserver delivers meanwhile is kept, and handled once the users are there.
    tasks.spawn(listener::serve(listener, endpoint.router(), appservice::CONNECTIONS_MAX, stop.clone()));
    let engine =
        build((config, source.file, tokens), store, (health, metrics, arrivals), tasks.clone(), stop.clone()).await?;
    super::numbers::show(&engine);
    tasks.spawn(answer_queries(engine.clone(), asked));
    if let Some(listener) = hooks_listener {
        let (calls, called) = mpsc::channel(super::hooks::CALLS_WAITING_MAX);
        let door = engine.hooks.clone();
        let routes = hooks::router(calls, move |name, headers| door.admit_call(name, headers));
        tasks.spawn(listener::serve(listener, routes, hooks::CONNECTIONS_MAX, stop.clone()));
        tasks.spawn(super::hooks::answer_calls(engine.hooks.clone(), called));
    }
    super::connections::serve(&engine.connections, connections);
    super::numbers::show_queues(&engine);
    super::console::serve(&engine.audit.console, console);
    tasks.spawn(super::model::keep_watch_of_claude(engine.model.clone()));
    tasks.spawn(super::toolsets::keep_watch_of_servers(engine.toolsets.clone()));
    engine.audit.open_index();
    tasks.spawn(disk::keep_store(engine.clone()));
    // Not only once the homeserver answers: whatever waits for this service would wait for that too.
    supervisor.serves();
    let begun = tokio::select! {
        () = stop.cancelled() => Ok(()),
        begun = Box::pin(begin(&engine, source.hangups)) => begun,
    };
    if begun.is_ok() {
        stop.cancelled().await;
    }
    tracing::info!("stopping");
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(STOP_PATIENCE, tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time; their runs go on at the next start");
    }
    // Otherwise keys received since the last upload would be lost with the disk.
    let accounts = engine.pool.all_kept();
    join_all(accounts.iter().map(|account| account.settle_backup(BACKUP_PATIENCE))).await;
    let ended = if engine.life.starts_again() {
        Ok(Ended::StartsAgain)
    } else {
        // A disk that does not answer holds up no stop: what was promised to anybody is on it already.
        let flushed = tokio::time::timeout(STOP_PATIENCE, engine.store.flush()).await;
        flushed.unwrap_or(Ok(())).map_err(StartError::from).and_then(|()| begun.map(|()| Ended::Stopped))
    };
    if engine.store.watch_failure().borrow().is_some() || matches!(ended, Ok(Ended::StartsAgain)) {
        // Closing a database whose disk failed may take for ever, and would not be orderly anyway.
        std::mem::forget(engine);
    }
    ended
}

/// Returns random bytes that identify this process.
fn random_bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    // Without randomness, the start time identifies the process.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = crate::clock::now().as_ms().to_be_bytes();
    }
    bytes
}

async fn open_store(
    config: &Config,
    health: &Health,
    stop: &CancellationToken,
) -> Result<Result<Store, Ended>, StartError> {
    let (data, key) = (config.data_dir.clone(), config.master.derive("state"));
    judge_data_dir(data.clone()).await?;
    let open = move || {
        match make_private(&data) {
            Ok(0) => {}
            Ok(mended) => tracing::warn!(mended, "files in data_dir could be read by others; they are closed now"),
            Err(error) => tracing::warn!(%error, "whether others can read data_dir cannot be looked at"),
        }
        Store::open_or_rescue(&data.join("state"), &key)
    };
    Ok(disk::open_when_there_is_room(&config.data_dir, health, stop, open).await?)
}

/// Refuses an unusable data folder; a full disk is waited for when the store is opened.
async fn judge_data_dir(data: PathBuf) -> Result<(), PlaceError> {
    let judging = tokio::task::spawn_blocking(move || match too_full_to_start(&data) {
        Some(_) => Ok(()),
        None => try_data_dir(&data, None),
    });
    match judging.await.expect("looking at a folder does not panic") {
        Err(error) if error.is_full() => Ok(()),
        judged => judged,
    }
}

/// Waits for the homeserver, provisions our users, and resumes what was left.
async fn begin(engine: &Shared, hangups: Arc<Notify>) -> Result<(), StartError> {
    await_homeserver(engine).await?;
    // This also makes Synapse send its backlog at once.
    engine.homeserver.look_at_homeserver().await;
    engine.tasks.spawn(homeserver::keep_watch(engine.homeserver.clone()));
    let mut personas = vec![engine.service_persona()];
    for coworker in &engine.config().coworkers {
        let persona = engine.coworker_persona(coworker).map_err(|cause| StartError::Avatar {
            path: coworker.avatar.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            cause,
        })?;
        personas.push(persona);
    }
    engine.tasks.spawn(wards::keep_mending(engine.clone()));
    if engine.config().assistants.enabled {
        engine.tasks.spawn(wards::see_to_assistants(engine.runtime.clone(), engine.wards.clone()));
    }
    wards::bring_up_all(engine, personas).await?;
    if let Err(error) = engine.keeping_up.gaps.begin_comparing() {
        tracing::error!(%error, "up to where rooms were compared cannot be noted");
    }
    // Other homeservers send their backlog with the next event.
    engine.homeserver.wake().await;
    super::stepped_back::look_for_a_step_back(&engine.runtime).await;
    for account in engine.pool.all_kept() {
        if let Err(error) =
            Box::pin(engine.membership.invites.clone().take_missed_invites(&account, account.invited())).await
        {
            tracing::warn!(user.id = %account.user(), %error, "invites that came meanwhile cannot be taken yet");
        }
    }
    // Before runs go on: an errand whose run is recorded must not begin another.
    engine.errands.settle_errands()?;
    engine.forgetting.take_up_forgetting()?;
    engine.trust.end_broken_off_verifications();
    engine.membership.visits.take_up_visits();
    resume(engine).await?;
    engine.tasks.spawn(inbox::work(engine.clone()));
    engine.tasks.spawn(super::keeping_up::keep_up(engine.keeping_up.clone()));
    engine.tasks.spawn(super::owed::keep_paying(engine.clone()));
    engine.owed_due.try_now();
    engine.tasks.spawn(deserted::keep_leaving(engine.membership.deserted.clone()));
    engine.tasks.spawn(gaps::read_all_back(engine.keeping_up.gaps.clone()));
    engine.tasks.spawn(gaps::keep_assistants_up(engine.keeping_up.gaps.clone()));
    engine.tasks.spawn(super::trust::looks::keep_looking(engine.clone()));
    engine.tasks.spawn(provisioning::keep_members(engine.clone()));
    engine.tasks.spawn(provisioning::look_for_leavers(
        engine.people.clone(),
        engine.runtime.clone(),
        engine.people.members.clone(),
    ));
    super::retiring::look_at_coworkers(&engine.runtime);
    engine.audit.keep_audit_room();
    engine.tasks.spawn(super::online::keep_online(engine.runtime.clone(), engine.homeserver.clone()));
    engine.tasks.spawn(super::lobby::keep_lobby(engine.membership.lobby.clone()));
    engine.life.serve();
    engine.tasks.spawn(super::errands::keep_beginning(engine.clone()));
    engine.errands.take_up_errands();
    engine.tasks.spawn(super::timetable::keep_timetable(engine.clone()));
    engine.tasks.spawn(super::batches::keep_batches(engine.batches.clone()));
    engine.tasks.spawn(super::computing::keep_files(engine.computing.clone()));
    super::reloading::note_start(&engine.runtime);
    engine.tasks.spawn(super::reloading::keep_reloading(engine.clone(), hangups));
    tracing::info!(coworkers = engine.config().coworkers.len(), "serving");
    Ok(())
}

/// Waits until the homeserver answers and knows us. At a first start, gives up after too many refusals in a row, as of a
/// wrong token. Later the homeserver may only be the last to get a new registration, so that refusals are waited out.
async fn await_homeserver(engine: &Shared) -> Result<(), StartError> {
    let was_served = engine.pool.provisioner().has_acted(&engine.service_user());
    let (mut tries, mut refusals) = (0, 0);
    loop {
        let error = match engine.homeserver.whoami_in_time().await {
            Ok(user) => {
                check_server_name(&engine.config(), &user)?;
                engine.health.set(Condition::Homeserver, State::Ready);
                return Ok(());
            }
            Err(error) => error,
        };
        let is_refused = matches!(error, MatrixError::Token { .. }) || !error.is_passing();
        refusals = if is_refused { refusals + 1 } else { 0 };
        if refusals > REFUSALS_MAX && !was_served {
            return Err(StartError::Refused(engine.homeserver.told(&error)));
        }
        if refusals == REFUSALS_MAX + 1 {
            tracing::error!("the homeserver keeps refusing us; it was served before, so this is waited out");
        }
        engine.health.set(Condition::Homeserver, State::Waiting(engine.homeserver.told(&error)));
        tokio::time::sleep(retry::step(&HOMESERVER_PAUSES, tries)).await;
        tries += 1;
    }
}

/// Checks the homeserver's name: under another name, none of our ids would be allowed.
fn check_server_name(config: &Config, user: &ruma::UserId) -> Result<(), StartError> {
    let (ours, theirs) = (&config.homeserver.server_name, user.server_name());
    if theirs == ours {
        return Ok(());
    }
    let url = config.homeserver.url.to_string();
    Err(StartError::ServerName { ours: ours.to_string(), theirs: theirs.to_string(), url })
}

/// Warns if the store is gone although our users exist: the folder was lost, this is no first start.
fn warn_of_lost_state(data_dir: &std::path::Path) {
    let has = |name: &str| std::fs::read_dir(data_dir.join(name)).is_ok_and(|mut entries| entries.next().is_some());
    if has("users") && !has("state") {
        tracing::warn!(
            data_dir = %data_dir.display(),
            "state/ is missing beside users/: notes, open approvals, runs and the audit index are not known, and assistants' \
             chats are taken up again as their owners write. If there is a copy of state/, stop workmate, put it back and \
             remove users/, which is recovered from the homeserver"
        );
    }
}

/// Resumes the runs that were in progress when the process ended.
async fn resume(engine: &Shared) -> Result<(), StoreError> {
    engine.approvals.forget_but_of(|run| Ok(engine.tables.runs.get(&run.as_str().to_owned())?.is_some()))?;
    let mut runs: Vec<_> = engine.tables.runs.iter().filter_map(Result::ok).map(|(_, record)| record).collect();
    runs.sort_by_key(|record| record.accepted_at);
    for record in &mut runs {
        record.resume();
        let id = record.id().as_str().to_owned();
        engine.tables.runs.put(&id, record)?;
        engine.tables.owed.update(&id, |owed: Option<crate::core::owed::Owed>| {
            let mut owed = owed?;
            owed.resume();
            (!owed.deeds.is_empty()).then_some(owed)
        })?;
    }
    // The new numbers must be stored before one of them is used.
    engine.store.flush().await?;
    for record in runs {
        let id = record.id();
        tracing::info!(run.id = id.as_str(), room.id = %record.room, "a run is taken up again");
        engine.take_up_run(record);
    }
    Ok(())
}

fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(DESCRIPTORS_WANTED) {
        Ok(limit) if limit < DESCRIPTORS_WANTED => {
            tracing::warn!(
                limit,
                wanted = DESCRIPTORS_WANTED,
                "few file descriptors; each virtual user takes about 22"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of file descriptors cannot be raised"),
    }
}
