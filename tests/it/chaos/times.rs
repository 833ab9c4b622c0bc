//! Work at set times on bad days (C20): a day without Workmate, kills between due time, acceptance, run and answer, and a
//! clock that jumps both ways. Each due time has to come once, or the room has to be told that it was skipped.

use anyhow::Result;
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Value, json};
use tokio::time::{self, Duration, Instant};
use workmate::{
    cli::demo::person::timeline::{SeenEvent, Timeline},
    standin::{RecordedRequest, Turn},
};

use crate::{
    chaos::{
        chance::Chance,
        parts::SETTLE_MAX,
        tally::Tally,
        world::{Size, World},
    },
    harness::workmate::{Clock, Workmate, date, give_schedules, now_s},
};

/// How far apart due times are that came while Workmate was away, in seconds: 40 make a day.
const APART_S: i64 = 36 * 60;
/// How late they may run, in minutes.
const GRACE_MINUTES: i64 = 90;
/// How far apart the due times are at which it is killed, in seconds: further than a restart takes.
const KILLS_APART_S: i64 = 12;
/// How long before the first of these it starts, in seconds.
const START_S: i64 = 25;
/// The longest that a timer takes to see that the clock has jumped, and a good while more.
const SEES_JUMP: Duration = Duration::from_secs(100);
/// How long nothing may happen after a clock was set back.
const QUIET: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Due times, 36 minutes apart, while Workmate is away.
    pub(crate) missed: usize,
    /// Due times at each of which it is killed.
    pub(crate) kills: usize,
    /// How far the clock jumps while it runs, in seconds, in turn.
    pub(crate) jumps_s: &'static [i64],
}

/// One schedule, which is due once.
struct Due {
    name: String,
    at_s: i64,
}

struct Scene {
    world: World,
    workmate: Workmate,
    clock: Clock,
    room: OwnedRoomId,
    oncall: OwnedUserId,
    due: Vec<Due>,
}

/// Carries out a plan and counts what came of each due time. Lost is what neither came nor was said to be skipped.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn times(plan: Plan) -> Result<Tally> {
    let mut scene = Box::pin(Scene::set(plan.missed)).await?;
    scene.live_through_a_day(plan.missed).await?;
    scene.kill_at_due_times(plan.seed, plan.kills).await?;
    for (number, jump) in plan.jumps_s.iter().enumerate() {
        scene.jump(number, *jump).await?;
    }
    scene.tally().await
}

async fn until_clock_ms(at_ms: i64) {
    let wait_ms = at_ms - workmate::clock::now().as_ms();
    time::sleep(Duration::from_millis(u64::try_from(wait_ms).unwrap_or_default())).await;
}

/// Answers a task with its name, which stands behind `TASK-`.
fn respond(request: &RecordedRequest) -> Turn {
    let text = request.last_user_text();
    let name = text.rsplit_once("TASK-").map(|(_, rest)| rest.split('.').next().unwrap_or_default().to_owned());
    Turn::text(format!("Done with {}.", name.unwrap_or_default()))
        .delta_chars(6)
        .delta_interval(Duration::from_millis(60))
}

impl Scene {
    async fn set(missed: usize) -> Result<Self> {
        let clock = Clock::new();
        let size = Size { people: 2, rooms: 1, assistants: 0, piece_ms: 50 };
        let mut world = Box::pin(World::make_with(size, |setup| clock.on(setup))).await?;
        world.claude.respond_with(respond);
        let (room, oncall, workmate) = (world.rooms[0].clone(), world.oncall(), world.take_workmate());
        let now = now_s();
        let due = (0..missed).map(|number| {
            let ago = i64::try_from(missed - number).unwrap_or_default() * APART_S;
            Due { name: format!("missed{number}"), at_s: now - ago + 5 * 60 }
        });
        Ok(Self { due: due.collect(), world, workmate, clock, room, oncall })
    }

    /// Writes all schedules so far into the coworker's file, while Workmate is away.
    fn write(&self) {
        let schedules = self.due.iter().map(|due| {
            json!({
                "name": due.name, "when": date(due.at_s), "rooms": [self.room], "task": format!("TASK-{}.", due.name),
                "grace_minutes": GRACE_MINUTES,
            })
        });
        give_schedules(&self.workmate, &Value::Array(schedules.collect()));
    }

    /// Starts Workmate and waits until it knows its schedules: one that is new owes nothing of before.
    async fn start_and_load(&mut self) -> Result<()> {
        let loads = |workmate: &Workmate| workmate.logs().matches("schedules are loaded").count();
        let before = loads(&self.workmate);
        self.workmate.spawn();
        self.workmate.until_ready_whatever_ends().await?;
        while loads(&self.workmate) == before {
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Has Workmate know its schedules the day before, and come back today.
    async fn live_through_a_day(&mut self, missed: usize) -> Result<()> {
        if missed == 0 {
            return Ok(());
        }
        self.workmate.end().await;
        self.write();
        self.clock.ahead(-i64::try_from(missed + 1)? * APART_S);
        self.start_and_load().await?;
        self.workmate.end().await;
        self.clock.ahead(0);
        self.workmate.spawn();
        self.workmate.until_ready_whatever_ends().await
    }

    /// Kills it at each of so many due times, at a moment between the due time and the answer.
    async fn kill_at_due_times(&mut self, seed: u64, kills: usize) -> Result<()> {
        if kills == 0 {
            return Ok(());
        }
        let mut chance = Chance::new(seed);
        self.workmate.end().await;
        let (first, begins) = (self.due.len(), now_s() + START_S);
        self.due.extend((0..kills).map(|number| Due {
            name: format!("killed{number}"),
            at_s: begins + i64::try_from(number).unwrap_or_default() * KILLS_APART_S,
        }));
        self.write();
        self.workmate.spawn();
        self.workmate.until_ready_whatever_ends().await?;
        let moments: Vec<i64> = self.due[first..].iter().map(|due| due.at_s).collect();
        for at_s in moments {
            let after_ms = i64::try_from(chance.between(0, 1_500))?;
            until_clock_ms(at_s * 1_000 + after_ms).await;
            self.workmate.kill();
            self.workmate.spawn();
            self.workmate.until_ready_whatever_ends().await?;
        }
        Ok(())
    }

    /// Has the clock jump over a due time and back, and further back: what came once does not come again.
    async fn jump(&mut self, number: usize, jump_s: i64) -> Result<()> {
        self.workmate.end().await;
        let name = format!("jumped{number}");
        let in_s = if jump_s > 0 { jump_s / 2 } else { START_S };
        self.due.push(Due { name: name.clone(), at_s: now_s() + in_s });
        self.write();
        self.start_and_load().await?;
        if jump_s > 0 {
            self.clock.ahead(jump_s);
        }
        let deadline = Instant::now() + SEES_JUMP;
        while self.answers(&name) == 0 && Instant::now() < deadline {
            time::sleep(PAUSE).await;
        }
        // Just before it, so that it seems to come again, and far back.
        let at_s = self.due.last().map_or(0, |due| due.at_s);
        for back_s in [at_s - 2 - now_s(), -jump_s.abs(), 0] {
            self.clock.ahead(back_s);
            time::sleep(QUIET).await;
        }
        Ok(())
    }

    fn seen(&self) -> Timeline {
        self.world.people[0].timeline(&self.room)
    }

    fn notices(&self, name: &str) -> Vec<SeenEvent> {
        let seen = self.seen();
        let begins = format!("🗓️ {name} ");
        seen.messages_of(&self.oncall).filter(|event| event.body().starts_with(&begins)).cloned().collect()
    }

    fn answers(&self, name: &str) -> usize {
        let (seen, says) = (self.seen(), format!("Done with {name}."));
        let is_answer = |event: &&SeenEvent| event.msgtype() == "m.text" && event.body().contains(&says);
        seen.messages_of(&self.oncall).filter(is_answer).count()
    }

    /// Asks the coworker what was skipped; returns the list.
    async fn list(&self) -> Result<String> {
        let person = &self.world.people[0];
        let ask = json!({"msgtype": "m.text", "body": "oncall: !schedules", "m.mentions": {"user_ids": [self.oncall]}});
        person.room(&self.room)?.send_raw("m.room.message", ask).await?;
        let last = self.due.last().map(|due| due.name.clone()).unwrap_or_default();
        let find = |seen: &Timeline| {
            let mut lists = seen.messages_of(&self.oncall).filter(|event| event.body().contains("in my file"));
            lists.find(|event| event.body().contains(&last)).map(|event| event.body().to_owned())
        };
        person.until(&self.room, "the list of schedules", find).await
    }

    async fn tally(mut self) -> Result<Tally> {
        let list = self.list().await?;
        let skipped: Vec<&str> = list.lines().filter(|line| line.contains("last skipped on")).collect();
        let is_skipped = |name: &str| {
            skipped.iter().any(|line| line.split(" · ").next().is_some_and(|head| head.ends_with(&format!(" {name}"))))
        };
        let deadline = Instant::now() + SETTLE_MAX;
        while self.due.iter().any(|due| !is_skipped(&due.name) && self.answers(&due.name) == 0)
            && Instant::now() < deadline
        {
            time::sleep(PAUSE).await;
        }
        let mut tally =
            Tally { requests: self.due.len(), undecryptable: self.world.undecryptable(), ..Tally::default() };
        for due in &self.due {
            let (notices, answers) = (self.notices(&due.name).len(), self.answers(&due.name));
            let told = is_skipped(&due.name);
            let what = format!("{}: {notices} notices, {answers} answers, skipped: {told}", due.name);
            match (notices, answers) {
                (0, 0) if told => tally.told += 1,
                (1, 1) if !told => tally.answered += 1,
                (0 | 1, 0) => tally.lost.push(what),
                _ => tally.doubled.push(what),
            }
        }
        tally.peak_kb = self.world.peak_kb();
        self.workmate.end().await;
        self.world.give_back(self.workmate);
        if tally.check().is_err() {
            tally.notes.push(format!("the log is kept in {}", self.world.keep_log()?.display()));
        }
        Ok(tally)
    }
}
