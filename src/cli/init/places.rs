//! Where `init` writes: everything below one folder, or the places of a system's service, as the packages use them.

use std::path::PathBuf;

use super::InitArgs;

/// The configuration's folder of a system's service.
const SYSTEM_CONFIG: &str = "/etc/workmate";
/// The data's folder of a system's service.
const SYSTEM_DATA: &str = "/var/lib/workmate";

/// The files and folders that `init` writes, and what the config says about them.
pub(super) struct Places {
    /// The folder that everything is below.
    pub(super) root: PathBuf,
    /// The configuration's folder.
    pub(super) config_dir: PathBuf,
    /// The registration's file.
    pub(super) registration: PathBuf,
    /// Keys of the config that differ from the template's, and their values.
    pub(super) values: &'static [(&'static str, &'static str)],
}

impl Places {
    pub(super) fn of(args: &InitArgs) -> Self {
        if args.system {
            let root = args.dir.clone().unwrap_or_else(|| PathBuf::from("/"));
            let config_dir = root.join(SYSTEM_CONFIG.trim_start_matches('/'));
            let registration = config_dir.join("registration.yaml");
            let values = &[("data_dir", SYSTEM_DATA), ("registration_file", "registration.yaml")];
            return Self { root, config_dir, registration, values };
        }
        let root = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
        Self { config_dir: root.join("config"), registration: root.join("registration.yaml"), values: &[], root }
    }

    /// Returns the config's file.
    pub(super) fn config(&self) -> PathBuf {
        self.config_dir.join("workmate.yaml")
    }
}
