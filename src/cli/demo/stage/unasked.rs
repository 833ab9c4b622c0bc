//! What nobody asks for: a webhook's digest, the summary of a schedule, a follow-up that is due.

use anyhow::{Context as _, Result, ensure};
use hmac::{Hmac, Mac as _};
use ruma::{OwnedRoomId, RoomId};
use sha2::Sha256;

use super::{Stage, check_answer, coworker, lock, print_text, readable};
use crate::{
    cli::demo::{
        person::timeline::{SeenEvent, Timeline},
        say,
        story::{JOBS, Job, RED_RUN, UNASKED},
    },
    clock,
    core::hex::hex,
};

impl Stage {
    /// Makes the room in which the coworkers work by themselves.
    pub(in crate::cli::demo) async fn room_of_work(&mut self) -> Result<OwnedRoomId> {
        self.scene(&UNASKED).await
    }

    /// Waits until each job is announced and done; a failure is added to `faults`.
    pub(in crate::cli::demo) async fn watch_work(&mut self, room: &RoomId) {
        for job in &JOBS {
            match self.job(room, job).await {
                Ok(answer) => self.check_markers(job.id, &answer, job.markers),
                Err(error) => self.fault(format!("{} unasked: {error:#}", job.id)),
            }
        }
    }

    /// Waits for a job's notice and the answer in its thread, prints both, and returns the answer.
    async fn job(&self, room: &RoomId, job: &Job) -> Result<String> {
        let from = coworker(job.id)?;
        let announces = |event: &&SeenEvent| event.msgtype() == "m.notice" && event.body().contains(job.notice);
        let find = |seen: &Timeline| seen.messages_of(&from).find(announces).cloned();
        let notice = self.alice.until(room, &format!("{}'s notice of {}", job.id, job.notice), find).await?;
        say(format!("{:>9}{} {}", job.id, lock(&notice), notice.body()));
        let answers = |event: &&SeenEvent| {
            event.msgtype() == "m.text"
                && event.thread_root() == Some(notice.event_id.as_str())
                && event.replaces().is_none()
        };
        let find = |seen: &Timeline| seen.messages_of(&from).find(answers).cloned();
        let answer = self.alice.until(room, &format!("{}'s answer in the notice's thread", job.id), find).await?;
        let ms = answer.read_at.ms_since(notice.read_at);
        say(format!("{:>9}{} ↳ in the thread, unasked ({ms} ms later)", job.id, lock(&answer)));
        print_text(answer.body());
        check_answer(&answer, UNASKED.kind)?;
        let theirs = |seen: &Timeline| readable(seen, &answer.event_id);
        self.bob.until(room, &format!("{}'s answer, readable", job.id), theirs).await?;
        Ok(answer.body().to_owned())
    }
}

/// Reports a red run as GitHub does, signed with the hook's secret.
pub(in crate::cli::demo) async fn report_red_run(port: u16, secret: &str) -> Result<()> {
    let body = RED_RUN.replace("{id}", &clock::now().as_ms().to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("any key will do")?;
    mac.update(body.as_bytes());
    let http = reqwest::Client::builder().no_proxy().build()?;
    let call = http
        .post(format!("http://127.0.0.1:{port}/hooks/github"))
        .header("content-type", "application/json")
        .header("x-github-event", "workflow_run")
        .header("x-hub-signature-256", format!("sha256={}", hex(&mac.finalize().into_bytes())))
        .body(body);
    let answer = call.send().await?;
    say(format!("   github called /hooks/github, signed; Workmate answered {}", answer.status()));
    ensure!(answer.status().as_u16() == 202, "the hook's call was not accepted");
    Ok(())
}
