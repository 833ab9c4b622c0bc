//! The examples that work by themselves (`config/examples`): their own files, read as they are, with the test's room,
//! people and a due time of its own; called by hand and by senders that nobody here wrote (C20, C21, C22).

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context as _, Result, bail};
use hmac::{Hmac, Mac as _};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::{Value, json};
use sha2::Sha256;
use workmate::{
    cli::demo::homeserver::free_port,
    core::{
        hex::hex,
        hook::{Call, Headers, Hook, Judged, Proof, Sender, Threading, judge},
        time::Timestamp,
    },
    standin::{RecordedRequest, Turn},
};

use crate::{
    harness::{
        Person, RoomKind, SeenEvent, Timeline, homeserver::shared, office::Office, readiness::reconfigure,
        workmate::coworker,
    },
    senders,
};

const FILES: [(&str, &str); 3] = [
    ("oncall", include_str!("../../../config/examples/oncall.yaml")),
    ("ci", include_str!("../../../config/examples/ci.yaml")),
    ("sales", include_str!("../../../config/examples/sales.yaml")),
];
/// What is added to sales' file: a shop that sends Standard Webhooks.
const SHOP: &str =
    "hooks:\n  - {name: shop, room: \"ROOM\", task: Say what was paid., proof: standard, credential: shop}\n";
const SHOP_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// How far ahead schedules are due; the next where a start took too long for that.
const DUE_AHEAD: [Duration; 3] = [Duration::from_secs(15), Duration::from_secs(45), Duration::from_secs(150)];

/// The three in an encrypted room with Alice, Bob and a bot.
struct Works {
    office: Office,
    robot: Person,
    room: OwnedRoomId,
    url: String,
    http: reqwest::Client,
}

impl Works {
    async fn open() -> Result<Self> {
        let robot = shared().person("jenkins").await;
        let people = [shared().person("alice").await, shared().person("bob").await];
        let bots = json!({ "bots": [robot.user_id()] });
        let coworkers = FILES.map(|(id, _)| coworker(id)).to_vec();
        let set_up = |setup: crate::harness::Setup| setup.coworkers(coworkers).section("workspace", bots);
        let office = Office::open_for(people, set_up).await?;
        let room = office.room_of_people(RoomKind::Encrypted).await?;
        for (id, _) in FILES {
            office.bring(&room, &office.workmate.slot().coworker(id)).await?;
        }
        office.alice.invite(&room, robot.user_id()).await?;
        office.join_on_invite(&robot, &room).await?;
        office.bob.send(&room, "I promised Acme an offer by today").await?;
        office.claude.respond_with(digest);
        let listener = free_port()?;
        let address = listener.local_addr()?.to_string();
        drop(listener);
        let mut works = Self {
            office,
            robot,
            room,
            url: format!("http://{address}/hooks"),
            http: reqwest::Client::builder().no_proxy().build()?,
        };
        works.begin(&address).await?;
        Ok(works)
    }

    /// Starts Workmate with the examples, their schedules still ahead.
    async fn begin(&mut self, address: &str) -> Result<()> {
        let config = self.office.workmate.config();
        self.office.workmate.stop().await;
        reconfigure(&config, |settings| {
            settings["hooks_listen"] = json!(address);
            settings["credentials"] = json!({
                "alertmanager": { "value": secret("alertmanager") }, "github-hook": { "value": secret("github") },
                "gitlab-hook": { "value": secret("gitlab") }, "forgejo-hook": { "value": secret("forgejo") },
                "shop": { "value": SHOP_SECRET },
            });
        })?;
        for ahead in DUE_AHEAD {
            let due = jiff::Timestamp::now().checked_add(jiff::SignedDuration::try_from(ahead)?)?;
            for (id, text) in FILES {
                let more = if id == "sales" { SHOP } else { "" };
                let text = self.with_ours(&format!("{text}{more}"), due);
                fs::write(config.with_file_name("coworkers").join(format!("{id}.yaml")), text)?;
            }
            self.office.workmate.start_again().await;
            if jiff::Timestamp::now() < due {
                return Ok(());
            }
            self.office.workmate.stop().await;
        }
        bail!("Workmate takes too long to start for what is due soon")
    }

    /// Returns an example with the test's room, people and due time.
    fn with_ours(&self, text: &str, due: jiff::Timestamp) -> String {
        let due = format!("when: {}", due.strftime("%Y-%m-%d %H:%M:%S"));
        let mut text = text.replace("zone: Europe/Berlin", "zone: UTC");
        for when in ["when: every weekday at 09:00", "when: every weekday at 08:30"] {
            text = text.replace(when, &due);
        }
        for room in ["#oncall:example.org", "#dev:example.org", "#sales:example.org", "ROOM"] {
            text = text.replace(room, self.room.as_str());
        }
        for (name, person) in [("alice", &self.office.alice), ("bob", &self.office.bob), ("jenkins", &self.robot)] {
            text = text.replace(&format!("@{name}:example.org"), person.user_id().as_str());
        }
        assert!(!text.contains("example.org") && !text.contains("weekday at 0"), "{text}");
        text
    }

    fn coworker(&self, id: &str) -> OwnedUserId {
        self.office.workmate.slot().coworker(id)
    }

    /// Calls a hook; returns the status and what became of it.
    async fn call(&self, hook: &str, headers: &[(&str, String)], body: &str) -> Result<(u16, Value)> {
        let mut call = self.http.post(format!("{}/{hook}", self.url)).header("content-type", "application/json");
        for (name, value) in headers {
            call = call.header(*name, value);
        }
        let answer = call.body(body.to_owned()).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    async fn github(&self, report: &Value) -> Result<(u16, Value)> {
        let body = report.to_string();
        let signature = format!("sha256={}", signature("github", &body));
        let headers = [("x-github-event", "workflow_run".to_owned()), ("x-hub-signature-256", signature)];
        self.call("github", &headers, &body).await
    }

    /// Waits for a coworker's notice with these words.
    async fn notice(&self, id: &str, words: &str) -> Result<SeenEvent> {
        let from = self.coworker(id);
        let find = |seen: &Timeline| {
            let mut theirs = seen.messages_of(&from);
            theirs.find(|event| event.msgtype() == "m.notice" && event.body().contains(words)).cloned()
        };
        self.office.alice.until(&self.room, &format!("{id}'s notice of {words}"), find).await
    }

    /// Waits for a coworker's answer in a thread.
    async fn in_thread(&self, id: &str, root: &OwnedEventId) -> Result<SeenEvent> {
        let from = self.coworker(id);
        let find = |seen: &Timeline| {
            let mut theirs = seen.messages_of(&from);
            theirs.find(|event| event.msgtype() == "m.text" && event.thread_root() == Some(root.as_str())).cloned()
        };
        self.office.alice.until(&self.room, &format!("{id}'s answer in {root}"), find).await
    }

    /// Waits until something was announced and answered, both encrypted; returns the notice and the answer.
    async fn done(&self, id: &str, words: &str) -> Result<(SeenEvent, SeenEvent)> {
        let notice = self.notice(id, words).await?;
        let answer = self.in_thread(id, &notice.event_id).await?;
        assert!(notice.is_decrypted() && answer.is_decrypted(), "{notice:?} {answer:?}");
        Ok((notice, answer))
    }
}

fn secret(sender: &str) -> String {
    format!("the-secret-of-{sender}")
}

fn signature(sender: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret(sender).as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// Has the model answer with what it was told to look at.
fn digest(request: &RecordedRequest) -> Turn {
    let text = request.last_user_text();
    let record: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_default();
    let errand = &record["errand"];
    Turn::text(format!("Digest for {}: {}", errand["name"], errand["task"].as_str().unwrap_or("nobody's task")))
}

#[tokio::test]
async fn c20_c21_c22_the_examples_do_their_jobs_unasked() -> Result<()> {
    let works = Box::pin(Works::open()).await?;

    // CI digestion: GitHub, GitLab, Forgejo, and the words of a bot. What is green is dropped.
    let run = |name: &str, conclusion: &str| {
        json!({
            "action": "completed", "repository": { "id": 1, "full_name": "acme/app" },
            "workflow_run": { "id": name, "name": name, "head_branch": "main", "conclusion": conclusion },
        })
    };
    assert_eq!(works.github(&run("nightly", "failure")).await?, (202, json!({ "status": "accepted" })));
    assert_eq!(works.github(&run("daily", "success")).await?, (202, json!({ "status": "dropped" })));
    let pipeline = |status: &str| {
        json!({
            "object_kind": "pipeline", "object_attributes": { "id": 31, "ref": "main", "status": status },
            "project": { "id": 2, "path_with_namespace": "acme/shop" },
            "builds": [{ "id": 1, "stage": "test", "name": "unit", "status": "failed" }],
        })
        .to_string()
    };
    let token = [("x-gitlab-token", secret("gitlab")), ("x-gitlab-event", "Pipeline Hook".to_owned())];
    assert_eq!(works.call("gitlab", &token, &pipeline("failed")).await?.1["status"], "accepted");
    assert_eq!(works.call("gitlab", &token, &pipeline("success")).await?.1["status"], "dropped");
    let forgejo = json!({
        "action": "failure", "prior_status": "success",
        "run": { "id": 5, "title": "Bump the pool", "status": "failure", "repository": { "full_name": "acme/infra" } },
    })
    .to_string();
    let signed =
        [("x-forgejo-event", "action_run_failure".to_owned()), ("x-forgejo-signature", signature("forgejo", &forgejo))];
    assert_eq!(works.call("forgejo", &signed, &forgejo).await?.1["status"], "accepted");
    let red = works.robot.send(&works.room, "Build 12 of main failed").await?;
    works.done("ci", "acme/app: nightly · failure").await?;
    works.done("ci", "acme/shop: pipeline main · failed").await?;
    works.done("ci", "acme/infra: Bump the pool · failure").await?;
    assert!(works.in_thread("ci", &red).await?.is_decrypted());

    // On-call: a page, which mentions whom the file names, and what is no page is dropped.
    let alerts = |severities: &[&str]| {
        let alert =
            |severity: &&str| json!({ "status": "firing", "labels": { "instance": "db-1", "severity": severity } });
        let alerts: Vec<_> = severities.iter().map(alert).collect();
        // Of several severities, Alertmanager names none in the common labels.
        let common = json!({ "alertname": "PoolFull" });
        json!({ "version": "4", "groupKey": "g", "status": "firing", "commonLabels": common, "alerts": alerts })
            .to_string()
    };
    let bearer = [("authorization", format!("Bearer {}", secret("alertmanager")))];
    assert_eq!(works.call("alertmanager", &bearer, &alerts(&["info", "warning"])).await?.1["status"], "dropped");
    assert_eq!(works.call("alertmanager", &bearer, &alerts(&["warning", "page"])).await?.1["status"], "accepted");
    let (_, page) = works.done("oncall", "PoolFull · firing").await?;
    assert!(page.mentions(works.office.alice.user_id()));

    // The summary and the follow-ups that are due, once each.
    let (_, summary) = works.done("oncall", "weekday summary").await?;
    assert!(summary.body().contains("Sum up what happened"), "{}", summary.body());
    let (_, follow_up) = works.done("sales", "due follow-ups").await?;
    assert!(follow_up.mentions(works.office.bob.user_id()), "{}", follow_up.body());

    github_by_octokit(&works).await?;
    a_shop_by_standard_webhooks(&works).await?;
    alerts_by_alertmanager(&works).await?;
    Ok(())
}

/// Every example payload of GitHub's events is accepted or dropped, and read as something short and sensible.
async fn github_by_octokit(works: &Works) -> Result<()> {
    let Some(sent) = senders::octokit(&format!("{}/github", works.url), &secret("github")).await? else {
        return Ok(());
    };
    assert!(sent.len() > 300, "{}", sent.len());
    let mut accepted = 0;
    for one in &sent {
        assert_eq!(one.status, 202, "{one:?}");
        let became = one.became.as_deref();
        assert!(matches!(became, Some("accepted" | "known" | "dropped")), "{one:?}");
        accepted += usize::from(became == Some("accepted"));
        is_read_well(one)?;
    }
    assert!(accepted > 0, "some of the examples are red runs");
    let events: BTreeSet<&str> = sent.iter().map(|one| one.event.as_str()).collect();
    assert!(events.len() > 50, "{events:?}");
    Ok(())
}

/// Reads one of octokit's examples as a hook for all events does.
fn is_read_well(sent: &senders::Sent) -> Result<()> {
    let hook = Hook {
        name: "all".to_owned(),
        room: OwnedRoomId::try_from("!r:hs")?.into(),
        task: "Read it.".to_owned(),
        proof: Proof::Github,
        header: None,
        sender: Sender::Github,
        delivery: None,
        thread: Threading::BySender,
        events: BTreeSet::new(),
        filter: Vec::new(),
        mention: BTreeSet::new(),
    };
    let mut headers = Headers::default();
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-github-event", &sent.event),
        ("x-hub-signature-256", &sent.signature),
    ] {
        headers.add(name, value.as_bytes());
    }
    let call = Call { headers: &headers, body: sent.body.as_bytes() };
    let read = match judge(&hook, secret("github").as_bytes(), &call, Timestamp::from_ms(1_800_000_000_000)) {
        Ok(Judged::Accepted(read)) => read,
        Ok(Judged::Dropped(_)) if sent.event == "ping" => return Ok(()),
        other => bail!("{}: {other:?}", sent.event),
    };
    let title = read.title.as_deref().with_context(|| format!("{} has no title: {}", sent.event, sent.body))?;
    assert!(!title.trim().is_empty() && title.lines().count() == 1, "{}: {title:?}", sent.event);
    assert!(read.payload.lines().next().is_some_and(|facts| facts.len() > 20), "{}: {}", sent.event, read.payload);
    assert!(read.payload.contains(&format!("\"event\":\"{}\"", sent.event)), "{}", read.payload);
    Ok(())
}

async fn a_shop_by_standard_webhooks(works: &Works) -> Result<()> {
    let url = format!("{}/shop", works.url);
    let Some(statuses) = senders::standard(&url, SHOP_SECRET, "Order 1 is paid").await? else { return Ok(()) };
    assert_eq!(statuses, [202, 202, 401, 401]);
    works.done("sales", "Order 1 is paid").await?;
    let from = works.coworker("sales");
    let seen = works.office.alice.timeline(&works.room);
    let notices = seen.messages_of(&from).filter(|event| event.body().contains("Order 1 is paid")).count();
    assert_eq!(notices, 1, "{seen}");
    Ok(())
}

/// Firing and resolving, as Alertmanager groups and sends it, end up in one thread whose root says how it stands.
async fn alerts_by_alertmanager(works: &Works) -> Result<()> {
    let receiver = format!("{}/alertmanager", works.url);
    let Some(sender) = senders::Alertmanager::start(&receiver, &secret("alertmanager")).await? else { return Ok(()) };
    sender.report("DiskFull", "page", false).await?;
    sender.report("DiskSlow", "info", false).await?;
    let (firing, _) = works.done("oncall", "DiskFull: it is full · firing").await?;
    sender.report("DiskFull", "page", true).await?;
    let resolved = works.notice("oncall", "DiskFull: it is full · resolved").await?;
    assert_eq!(resolved.thread_root(), Some(firing.event_id.as_str()));
    let root = firing.event_id;
    let says = |seen: &Timeline| seen.shown_text(&root).is_some_and(|text| text.contains("→ resolved")).then_some(());
    works.office.alice.until(&works.room, "the root's new line", says).await?;
    let seen = works.office.alice.timeline(&works.room);
    let oncall = works.coworker("oncall");
    assert!(!seen.messages_of(&oncall).any(|event| event.body().contains("DiskSlow")), "{seen}");
    Ok(())
}
