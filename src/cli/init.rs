//! `workmate init`: writes a configuration, a registration with fresh tokens and the master secret.

mod files;
mod places;
mod rotating;
mod words;

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use ruma::OwnedServerName;
use url::Url;

pub(crate) use self::rotating::{RotateArgs, run_alone as rotate};
use self::{
    files::{Copy, Planned, Privacy},
    places::Places,
};
use super::say::say;
use crate::{
    config::{
        COWORKER_FILES, Config, Registration, config_file, parse_base_url, parse_server_name, parse_socket,
        schema_files,
    },
    secret::{MasterSecret, Secret},
};

/// What `init` is told.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct InitArgs {
    /// The folder to write into: config/ and registration.yaml [default: this one].
    #[arg(long, value_name = "DIR", value_parser = super::path_parser())]
    pub dir: Option<PathBuf>,
    /// Write for a service of this system: everything into /etc/workmate, and the data into /var/lib/workmate. --dir names
    /// the root that /etc is in, if it is not /.
    #[arg(long)]
    pub system: bool,
    /// Where the homeserver answers [default: http://127.0.0.1:8008; with --force, what the config says].
    #[arg(long, value_name = "URL", value_parser = parse_base_url)]
    pub homeserver: Option<Url>,
    /// The part after the colon in the homeserver's user ids [default: example.org; with --force, what the config says].
    #[arg(long, value_name = "NAME", value_parser = parse_server_name, allow_hyphen_values = true)]
    pub server_name: Option<OwnedServerName>,
    /// The address and port on which Workmate awaits the homeserver's calls [default: 127.0.0.1:29330; with --force, what
    /// the config says].
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Where the homeserver finds that listener [default: http:// and the listen address].
    #[arg(long, value_name = "URL", value_parser = parse_base_url)]
    pub url: Option<Url>,
    /// Replace the config and the tokens that are there, and keep dated copies of them. Coworkers' files and the master
    /// secret stay as they are.
    #[arg(long)]
    pub force: bool,
    /// Only make fresh tokens, with the registration that belongs to them, and keep dated copies of the old ones.
    #[arg(long, conflicts_with_all = ["force", "new_master_secret", "homeserver", "server_name", "listen", "url"])]
    pub new_tokens: bool,
    /// With --force: replace the master secret too, and keep the old one beside it.
    #[arg(long, requires = "force")]
    pub new_master_secret: bool,
}

/// Parses a listen address that the homeserver can be told: port 0 would change at each start.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let address = parse_socket(text)?;
    if address.port() == 0 {
        return Err(
            "port 0 is another one at each start: name the port on which the homeserver finds Workmate".to_owned()
        );
    }
    Ok(address)
}

/// The default URL of the homeserver.
const HOMESERVER: &str = "http://127.0.0.1:8008";
/// The default listen address.
const LISTEN: &str = "127.0.0.1:29330";
/// The default server name, which is only an example.
const SERVER_NAME: &str = "example.org";
/// The master secret's file in the config folder.
const MASTER_FILE: &str = "master.secret";

/// Writes the files and prints the next steps.
///
/// # Errors
/// When files are in the way, cannot be written, or the result would not load.
pub(crate) fn run(args: &InitArgs) -> anyhow::Result<()> {
    let written = write(args)?;
    say(words::next_steps(args, &written));
    Ok(())
}

/// Makes fresh tokens for what `init` wrote before.
///
/// # Errors
/// As `rotate-tokens`.
pub(crate) async fn rotate_in(args: &InitArgs) -> anyhow::Result<()> {
    Box::pin(rotating::run(&written_before(args)?)).await
}

/// Returns the configuration that `init` wrote before.
fn written_before(args: &InitArgs) -> anyhow::Result<PathBuf> {
    let file = Places::of(args).config();
    if file.exists() { Ok(file) } else { bail!(words::nothing_to_rotate(&file)) }
}

/// What was written, for the message about it.
struct Written {
    registration: PathBuf,
    config: PathBuf,
    master: PathBuf,
    /// The server name in the configuration.
    server_name: OwnedServerName,
    /// The address on which Workmate listens for the homeserver.
    listen: SocketAddr,
    /// Whether the old master secret was kept.
    master_kept: bool,
    /// Where the old master secret was moved.
    master_before: Option<PathBuf>,
    /// Whether coworkers' files existed, which are kept.
    coworkers_kept: bool,
    /// Copies of the replaced files.
    copies: Vec<PathBuf>,
}

/// The values from the arguments, else from the replaced configuration, else the defaults.
struct Values {
    homeserver: Url,
    server_name: OwnedServerName,
    listen: SocketAddr,
    url: Option<Url>,
}

impl Values {
    fn of(args: &InitArgs, config: &Path) -> anyhow::Result<Self> {
        let before =
            (args.force && config.exists()).then(|| Config::load_with(config, &|name| std::env::var(name).ok()));
        let before = match before {
            None => None,
            Some(Ok((before, _))) => Some(before),
            // The old configuration cannot be read; its values are only reset if the arguments give all of them.
            Some(Err(_)) if args.server_name.is_some() && args.homeserver.is_some() && args.listen.is_some() => None,
            Some(Err(faults)) => bail!(words::not_carried_over(config, &faults)),
        };
        let before = before.as_ref();
        let listen = args.listen.or(before.map(|before| before.appservice.listen));
        Ok(Self {
            homeserver: match args.homeserver.clone().or_else(|| before.map(|before| before.homeserver.url.clone())) {
                Some(url) => url,
                None => Url::parse(HOMESERVER).context("the default is a URL")?,
            },
            server_name: match args
                .server_name
                .clone()
                .or_else(|| before.map(|before| before.homeserver.server_name.clone()))
            {
                Some(name) => name,
                None => SERVER_NAME.try_into().context("the default is a server's name")?,
            },
            // The old url belongs to the old listen address.
            url: args
                .url
                .clone()
                .or_else(|| before.filter(|_| args.listen.is_none()).map(|before| before.appservice.url.clone())),
            listen: match listen {
                Some(listen) => listen,
                None => LISTEN.parse().context("the default is an address")?,
            },
        })
    }
}

fn write(args: &InitArgs) -> anyhow::Result<Written> {
    let places = Places::of(args);
    let config_dir = &places.config_dir;
    let config = places.config();
    let master = config_dir.join(MASTER_FILE);
    let values = Values::of(args, &config)?;
    let registration = match &values.url {
        Some(url) => Registration::fresh(url, &values.server_name),
        None => Registration::fresh(&url_of(values.listen)?, &values.server_name),
    };
    let (listen, health_listen) = (values.listen.to_string(), health_listen(values.listen).to_string());
    let own = [
        ("homeserver.url", values.homeserver.as_str().trim_end_matches('/')),
        ("homeserver.server_name", values.server_name.as_str()),
        ("appservice.listen", &listen),
        ("appservice.url", &registration.url),
        ("health_listen", &health_listen),
    ];
    let text = config_file(&[&own[..], places.values].concat());
    let mut plan = tokens_of(&places, &registration);
    let coworkers = config_dir.join("coworkers");
    let coworkers_kept = args.force && holds_coworkers(&coworkers);
    for (name, text) in COWORKER_FILES.iter().filter(|_| !coworkers_kept) {
        plan.push(Planned::new(coworkers.join(name), text, Privacy::Everyone));
    }
    plan.push(Planned::new(config.clone(), &text, Privacy::Everyone));

    let mut in_the_way = files::existing(plan.iter().map(|planned| planned.path.as_path()));
    in_the_way.extend(files::existing([master.as_path()]));
    in_the_way.sort();
    files::check_replaceable(&places.root, &in_the_way)?;
    if !args.force && !in_the_way.is_empty() {
        bail!(words::in_the_way(&in_the_way));
    }
    // The schemas contain nothing of the operator's, so they are replaced without a copy.
    for (name, text) in schema_files() {
        plan.push(Planned::new(config_dir.join(name), &text, Privacy::Everyone).with_copy(Copy::None));
    }
    let master_kept = master.exists() && !args.new_master_secret;
    if !master_kept {
        let text = line(&MasterSecret::random().encode());
        plan.push(Planned::new(master.clone(), &text, Privacy::Owner).with_copy(Copy::Old));
    }
    let mut copies = files::write_all(&plan, &dated())?;
    let is_of_master = |copy: &mut PathBuf| copy.to_string_lossy().contains(&format!("{MASTER_FILE}.old"));
    let master_before = copies.extract_if(.., is_of_master).next();
    let (registration, server_name, listen) = (places.registration, values.server_name, values.listen);
    Ok(Written {
        registration,
        config,
        master,
        server_name,
        listen,
        master_kept,
        master_before,
        coworkers_kept,
        copies,
    })
}

/// Plans the files that contain tokens.
fn tokens_of(places: &Places, registration: &Registration) -> Vec<Planned> {
    let secrets = places.config_dir.join("secrets");
    vec![
        Planned::new(secrets.join("as_token"), &line(&registration.as_token), Privacy::Owner),
        Planned::new(secrets.join("hs_token"), &line(&registration.hs_token), Privacy::Owner),
        Planned::new(places.registration.clone(), registration.render().expose(), Privacy::Owner),
    ]
}

/// Returns the current time as used in copies' names.
fn dated() -> String {
    let now = jiff::Timestamp::from_millisecond(crate::clock::now().as_ms()).unwrap_or_default();
    now.strftime("%Y%m%d-%H%M%S").to_string()
}

fn holds_coworkers(dir: &Path) -> bool {
    let is_one = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "yaml" || end == "yml");
    std::fs::read_dir(dir).is_ok_and(|entries| entries.filter_map(Result::ok).any(is_one))
}

fn line(secret: &Secret) -> String {
    format!("{}\n", secret.expose())
}

/// Returns a URL for calling a listener from this machine, because 0.0.0.0 cannot be called.
fn url_of(listen: SocketAddr) -> anyhow::Result<Url> {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Url::parse(&format!("http://{address}")).context("the listen address makes no URL")
}

/// Returns the health listener's address: the usual port, or the next if the appservice uses that.
fn health_listen(listen: SocketAddr) -> SocketAddr {
    const PORT: u16 = 29331;
    let port = if listen.port() == PORT { PORT + 1 } else { PORT };
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

#[cfg(test)]
mod tests;
