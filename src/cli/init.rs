//! `workmate init`: writes a configuration, a registration with fresh tokens and the master secret.

mod files;
mod words;

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use ruma::OwnedServerName;
use url::Url;

use self::files::{Planned, Privacy};
use super::say::say;
use crate::{
    config::{COWORKER_FILES, Registration, config_file, parse_base_url},
    secret::{MasterSecret, Secret},
};

/// What `init` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct InitArgs {
    /// The folder to write into: config/ and registration.yaml.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// Where the homeserver answers.
    #[arg(long, default_value = "http://127.0.0.1:8008", value_name = "URL", value_parser = parse_base_url)]
    pub homeserver: Url,
    /// The part after the colon in the homeserver's user ids.
    #[arg(long, default_value = SERVER_NAME, value_name = "NAME")]
    pub server_name: OwnedServerName,
    /// The address and port on which Workmate awaits the homeserver's calls.
    #[arg(long, default_value = "127.0.0.1:29330", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where the homeserver finds that listener [default: http:// and the listen address].
    #[arg(long, value_name = "URL", value_parser = parse_base_url)]
    pub url: Option<Url>,
    /// Replace files that are there already, tokens included; an existing master secret is kept.
    #[arg(long)]
    pub force: bool,
    /// With --force: replace the master secret too, and keep the old one beside it.
    #[arg(long, requires = "force")]
    pub new_master_secret: bool,
}

/// The server name that is only an example.
const SERVER_NAME: &str = "example.org";
/// Below the config folder.
const MASTER_FILE: &str = "master.secret";

/// Writes the files and says what to do next.
///
/// # Errors
/// When files stand in the way, cannot be written, or would not make a configuration that loads.
pub fn run(args: &InitArgs) -> anyhow::Result<()> {
    let written = write(args)?;
    say(words::next_steps(args, &written));
    Ok(())
}

/// What has been written, for the words about it.
struct Written {
    registration: PathBuf,
    config: PathBuf,
    master: PathBuf,
    /// Whether the master secret of before was kept.
    master_kept: bool,
    /// Where the master secret of before went.
    master_before: Option<PathBuf>,
}

fn write(args: &InitArgs) -> anyhow::Result<Written> {
    let config_dir = args.dir.join("config");
    let config = config_dir.join("workmate.yaml");
    let master = config_dir.join(MASTER_FILE);
    let registration_file = args.dir.join("registration.yaml");
    let registration = match &args.url {
        Some(url) => Registration::fresh(url, &args.server_name),
        None => Registration::fresh(&url_of(args.listen)?, &args.server_name),
    };
    let text = config_file(&[
        ("homeserver.url", args.homeserver.as_str().trim_end_matches('/')),
        ("homeserver.server_name", args.server_name.as_str()),
        ("appservice.listen", &args.listen.to_string()),
        ("appservice.url", &registration.url),
        ("health_listen", &health_listen(args.listen).to_string()),
    ]);
    let mut plan = vec![
        Planned::new(config_dir.join("secrets/as_token"), &line(&registration.as_token), Privacy::Owner),
        Planned::new(config_dir.join("secrets/hs_token"), &line(&registration.hs_token), Privacy::Owner),
    ];
    for (name, text) in COWORKER_FILES {
        plan.push(Planned::new(config_dir.join("coworkers").join(name), text, Privacy::Everyone));
    }
    plan.push(Planned::new(config.clone(), &text, Privacy::Everyone));
    plan.push(Planned::new(registration_file.clone(), registration.render().expose(), Privacy::Owner));

    let mut in_the_way = files::existing(plan.iter().map(|planned| planned.path.as_path()));
    in_the_way.extend(files::existing([master.as_path()]));
    if !args.force && !in_the_way.is_empty() {
        bail!(words::in_the_way(&in_the_way));
    }
    let (master_kept, master_before) = write_master(&master, args.new_master_secret)?;
    for planned in &plan {
        planned.write()?;
    }
    Ok(Written { registration: registration_file, config, master, master_kept, master_before })
}

/// Keeps the master secret that is there, unless a new one is asked for: then the old one stays beside it.
fn write_master(path: &Path, new: bool) -> anyhow::Result<(bool, Option<PathBuf>)> {
    let exists = !files::existing([path]).is_empty();
    if exists && !new {
        return Ok((true, None));
    }
    let before = if exists { Some(files::set_aside(path)?) } else { None };
    Planned::new(path.to_owned(), &line(&MasterSecret::random().encode()), Privacy::Owner).write()?;
    Ok((false, before))
}

fn line(secret: &Secret) -> String {
    format!("{}\n", secret.expose())
}

/// Returns where a listener can be called from this machine: nobody can call 0.0.0.0.
fn url_of(listen: SocketAddr) -> anyhow::Result<Url> {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Url::parse(&format!("http://{address}")).context("the listen address makes no URL")
}

/// Returns where health is asked for: the usual port, or the next where the appservice has that.
fn health_listen(listen: SocketAddr) -> SocketAddr {
    const PORT: u16 = 29331;
    let port = if listen.port() == PORT { PORT + 1 } else { PORT };
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

#[cfg(test)]
mod tests;
