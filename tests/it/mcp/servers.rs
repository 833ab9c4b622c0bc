//! The independent reference servers, pinned, installed into `target/mcp-servers` and kept for the next run.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use tokio::{process::Command, sync::OnceCell};

use crate::standin_sdks::run;

const PACKAGES: [&str; 2] =
    ["@modelcontextprotocol/server-everything@2026.8.31", "@modelcontextprotocol/server-filesystem@2026.8.31"];

/// The folder in which both are installed.
pub(crate) struct Reference(PathBuf);

impl Reference {
    /// Installs them; prints a notice and returns `None` if there is no node.
    pub(crate) async fn installed() -> Option<&'static Self> {
        static INSTALLED: OnceCell<Option<Reference>> = OnceCell::const_new();
        INSTALLED.get_or_init(install).await.as_ref()
    }

    pub(super) fn everything(&self) -> String {
        self.script("server-everything")
    }

    pub(crate) fn filesystem(&self) -> String {
        self.script("server-filesystem")
    }

    fn script(&self, package: &str) -> String {
        let script = self.0.join("node_modules/@modelcontextprotocol").join(package).join("dist/index.js");
        script.to_str().expect("the path is text").to_owned()
    }
}

async fn install() -> Option<Reference> {
    for program in ["node", "npm"] {
        if run(Command::new(program).arg("--version")).await.is_err() {
            let line = format!("SKIPPED: MCP is not tested against the reference servers: there is no {program}\n");
            std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
            return None;
        }
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("mcp-servers");
    let marker = directory.join("installed").join(PACKAGES.join("+").replace('/', "_"));
    if !marker.exists() {
        std::fs::create_dir_all(&directory).expect("target is writable");
        std::fs::write(directory.join("package.json"), r#"{"private":true}"#).expect("target is writable");
        let mut install = Command::new("npm");
        install.args(["install", "--no-audit", "--no-fund", "--save-exact"]).args(PACKAGES).current_dir(&directory);
        run(&mut install).await.expect("npm installs the reference servers");
        std::fs::create_dir_all(&marker).expect("target is writable");
    }
    Some(Reference(directory))
}

/// Returns the command of the server that misbehaves as told (`tests/it/mcp/server.py`).
pub(super) fn misbehaving(mode: &[&str]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mcp/server.py");
    ["python3", script].iter().chain(mode).map(|part| (*part).to_owned()).collect()
}

/// Returns the processes whose command lines contain a word.
pub(super) fn processes_with(word: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let pid = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&command).split('\0').any(|part| part == word).then_some(pid)
    };
    entries.filter_map(pid).collect()
}
