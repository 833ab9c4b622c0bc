//! Has `workmate doctor` try everything for real, in a process of its own: its results are shown on the first page.

use std::{process::Stdio, sync::Arc, time::Duration};

use ruma::UserId;
use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::Console;
use crate::{
    clock,
    console::view::{Checked, Examined, Verdict},
};

/// How long it may take; longer than `workmate doctor` takes at most.
const EXAMINE_MAX: Duration = Duration::from_secs(150);
/// The time between the end of one examination and the beginning of another, in milliseconds.
const EXAMINE_PAUSE_MS: u64 = 10_000;
/// Most results that are shown.
const RESULTS_MAX: usize = 200;

/// Begins an examination, unless one is going on or was a moment ago.
pub(super) fn begin(console: &Arc<Console>, admin: &UserId) {
    let now = clock::now();
    {
        let mut examined = console.examined.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let may = match &*examined {
            Examined::Never => true,
            Examined::Since(_) => false,
            Examined::Found(at, _) | Examined::Failed(at, _) => now.ms_since(*at) >= EXAMINE_PAUSE_MS,
        };
        if !may {
            return;
        }
        *examined = Examined::Since(now);
    }
    tracing::info!(user.id = %admin, "an admin has everything examined");
    let console_then = console.clone();
    console.runtime.tasks.spawn(async move {
        let stop = console_then.runtime.stop.clone();
        let found = tokio::select! {
            () = stop.cancelled() => return,
            found = timeout(EXAMINE_MAX, ask(&console_then)) => found,
        };
        let at = clock::now();
        let found = match found {
            Ok(Ok(checks)) => Examined::Found(at, checks),
            Ok(Err(why)) => Examined::Failed(at, why),
            Err(_) => Examined::Failed(at, "it took too long".to_owned()),
        };
        *console_then.examined.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = found;
    });
}

async fn ask(console: &Console) -> Result<Vec<Checked>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut doctor = Command::new(program);
    doctor.args(["doctor", "--free", "--json", "--config"]).arg(&console.runtime.config().file);
    doctor.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let said = doctor.output().await.map_err(|error| format!("workmate doctor cannot be run: {error}"))?;
    let said: Value = serde_json::from_slice(&said.stdout)
        .map_err(|_| "workmate doctor said nothing that can be read; run it in a terminal".to_owned())?;
    let checks = said["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(checks.iter().take(RESULTS_MAX).map(checked).collect())
}

fn checked(of: &Value) -> Checked {
    let text = |key: &str| of[key].as_str().map(ToOwned::to_owned);
    let verdict = match of["verdict"].as_str() {
        Some("pass") => Verdict::Pass,
        Some("warn") => Verdict::Warn,
        Some("fail") => Verdict::Fail,
        _ => Verdict::Skip,
    };
    Checked {
        name: text("check").unwrap_or_default(),
        verdict,
        what: text("what").unwrap_or_default(),
        mend: text("mend"),
        since: None,
    }
}
