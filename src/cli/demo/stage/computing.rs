//! A table that somebody shares becomes a chart in its thread.

use anyhow::{Result, ensure};
use ruma::RoomId;

use super::{Stage, answer, check_answer, coworker, lock, print_text, readable};
use crate::{
    cli::demo::{
        person::{
            file::SentFile,
            message::Message,
            timeline::{SeenEvent, Timeline},
        },
        say,
        story::{CHART, Chart, UNASKED},
    },
    clock,
};

impl Stage {
    /// Shares a table, asks for a chart of it, and waits for both answer and picture; a failure is added to `faults`.
    pub(in crate::cli::demo) async fn chart(&mut self, room: &RoomId) {
        match self.charted(room, &CHART).await {
            Ok(answer) => self.check_markers(CHART.id, &answer, CHART.markers),
            Err(error) => self.fault(format!("a chart: {error:#}")),
        }
    }

    async fn charted(&self, room: &RoomId, chart: &Chart) -> Result<String> {
        let from = coworker(chart.id)?;
        let table = SentFile::new(chart.file, "text/csv", chart.table.as_bytes().to_vec());
        let shared = self.alice.send_file(room, &table, None).await?;
        self.bob.until(room, "the table, readable", |seen| readable(seen, &shared)).await?;
        say(format!("{:>9} shares {}", "alice", chart.file));
        let began = clock::now();
        let question = Message::text(chart.question).pill(&format!("@{}", chart.id), &from);
        let request = self.alice.send(room, question).await?;
        say(format!("{:>9} {}", "alice", chart.question));
        let find = |seen: &Timeline| answer(seen, &request, &request, &from, self.alice.user_id());
        let answered = self.alice.until(room, "the answer about the table", find).await?;
        check_answer(&answered, UNASKED.kind)?;
        print_text(answered.body());
        let is_picture =
            |event: &&SeenEvent| event.msgtype() == "m.image" && event.thread_root() == Some(request.as_str());
        let find = |seen: &Timeline| seen.messages_of(&from).find(is_picture).cloned();
        let picture = self.alice.until(room, "the chart in the thread", find).await?;
        let info = &picture.content["info"];
        ensure!(info["w"].is_u64() && info["thumbnail_info"].is_object(), "the chart has no size or no small copy");
        let ms = picture.read_at.ms_since(began);
        say(format!(
            "{:>9}{} ↳ {} in the thread, {} × {} ({ms} ms)",
            chart.id,
            lock(&picture),
            picture.body(),
            info["w"],
            info["h"]
        ));
        Ok(answered.body().to_owned())
    }
}
