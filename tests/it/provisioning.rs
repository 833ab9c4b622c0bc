//! Assistants for all members of a space, and the end of those whose owner is gone (A1, A3).

use std::{future::IntoFuture as _, time::Duration};

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::{OwnedRoomId, RoomId, events::room::member::MembershipState};
use serde_json::{Value, json};
use workmate::standin::{Options, StandIn};

use crate::{
    assistants::{FIRST_WORDS, Office, call_as, said},
    harness::{
        Person, Setup,
        homeserver::shared,
        readiness::{reconfigure, until_logged},
    },
};

/// A person with a space, and a Workmate that makes an assistant for each member.
struct Campus {
    office: Office,
    alice: Person,
    space: OwnedRoomId,
}

impl Campus {
    async fn open(assistants: Value, others: &[&Person]) -> Result<Self> {
        let alice = shared().person("alice").await;
        let slot = shared().take_slot();
        let space = make_space(&alice, others).await?;
        let claude = StandIn::start(Options::scripted()).await?;
        let mut settings = json!({"provision": "members", "provision_per_minute": 6000});
        for (key, value) in assistants.as_object().into_iter().flatten() {
            settings[key] = value.clone();
        }
        let setup = Setup::new(&slot, shared().url(), &claude.base_url())
            .section("workspace", json!({"space": space}))
            .section("assistants", settings);
        let workmate = setup.start().await;
        let campus = Self { office: Office { workmate, claude, slot }, alice, space };
        campus.invite_service_bot().await?;
        Ok(campus)
    }

    async fn invite_service_bot(&self) -> Result<()> {
        let service = self.office.slot.service();
        self.alice.invite(&self.space, &service).await?;
        self.alice.until_membership(&self.space, &service, &MembershipState::Join).await
    }

    /// Waits for the assistant of a person who did not ask for one; joins its room.
    async fn welcomed(&self, person: &Person) -> Result<OwnedRoomId> {
        let assistant = self.office.assistant_of(person);
        let room = person.until_invited_by(&assistant).await?;
        person.join(&room).await?;
        person.until(&room, "the first words", |seen| said(seen, &assistant, FIRST_WORDS)).await?;
        Ok(room)
    }

    async fn rooms_of_assistant(&self, person: &Person) -> Result<Value> {
        self.office.rooms_of_assistant(person).await
    }
}

pub(crate) async fn make_space(owner: &Person, others: &[&Person]) -> Result<OwnedRoomId> {
    let body = json!({
        "name": "everyone", "preset": "private_chat", "creation_content": {"type": "m.space"},
        "invite": others.iter().map(|other| other.user_id()).collect::<Vec<_>>(),
    });
    let made = call_as(owner, Method::POST, "_matrix/client/v3/createRoom", &body).await?;
    let space = RoomId::parse(made["room_id"].as_str().context("a room was made")?)?;
    owner.until_membership(&space, owner.user_id(), &MembershipState::Join).await?;
    for other in others {
        other.until_invited_by(owner.user_id()).await?;
        other.join(&space).await?;
    }
    Ok(space)
}

#[tokio::test]
async fn a1_every_member_of_the_space_gets_an_assistant_and_who_joins_later_too() -> Result<()> {
    let [bob, carol] = [shared().person("bob").await, shared().person("carol").await];
    let campus = Campus::open(json!({}), &[&bob]).await?;

    campus.welcomed(&campus.alice).await?;
    let room = campus.welcomed(&bob).await?;
    campus.office.ask(&bob, &room, "I never asked for you", "Here I am.").await?;
    campus.alice.invite(&campus.space, carol.user_id()).await?;
    carol.until_invited_by(campus.alice.user_id()).await?;
    assert_eq!(campus.office.workmate.logs().matches("an assistant is ready").count(), 2, "an invite is no membership");
    carol.join(&campus.space).await?;
    campus.welcomed(&carol).await?;

    // A person counts as welcomed only after the remaining steps, too.
    let health = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{}", campus.office.slot.health_listen);
    let all_made = async {
        loop {
            let report: Value = health.get(format!("{url}/readyz")).send().await?.json().await?;
            if report["provisioning"] == json!({"waiting": 0, "made": 3}) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all_made).await.context("three are made and nobody waits")??;
    let metrics = health.get(format!("{url}/metrics")).send().await?.text().await?;
    for line in ["workmate_assistants_waiting 0", "workmate_assistants_made_total 3"] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} is not in\n{metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn a1_who_is_not_in_the_space_is_told_so() -> Result<()> {
    let campus = Campus::open(json!({}), &[]).await?;
    campus.welcomed(&campus.alice).await?;
    let mallory = shared().person("mallory").await;
    let service = campus.office.slot.service();

    let dm = mallory.create_dm(&service).await?;

    mallory.until(&dm, "why not", |seen| said(seen, &service, "Assistants here are for members")).await?;
    assert!(mallory.client().invited_rooms().is_empty());
    Ok(())
}

#[tokio::test]
async fn a1_provisioning_goes_on_where_a_kill_ended_it_and_nobody_gets_two() -> Result<()> {
    let [bob, carol] = [shared().person("bob").await, shared().person("carol").await];
    let mut campus = Campus::open(json!({"provision_per_minute": 20}), &[&bob, &carol]).await?;
    until_logged(&campus.office.workmate, "an assistant is ready", 1).await;
    campus.office.workmate.kill();

    // A change of membership while Workmate is stopped is noticed at the start.
    bob.room(&campus.space)?.leave().await?;
    reconfigure(&campus.office.workmate.config(), |settings| {
        settings["assistants"]["provision_per_minute"] = json!(6000);
    })?;
    campus.office.workmate.start_again().await;

    campus.welcomed(&campus.alice).await?;
    let room = campus.welcomed(&carol).await?;
    assert_eq!(campus.rooms_of_assistant(&carol).await?, json!([room]));
    Ok(())
}

#[tokio::test]
async fn a3_who_left_the_space_keeps_their_assistant_for_the_grace_period_and_comes_back_to_it() -> Result<()> {
    let bob = shared().person("bob").await;
    let campus = Campus::open(json!({}), &[&bob]).await?;
    let room = campus.welcomed(&bob).await?;

    bob.room(&campus.space)?.leave().await?;
    until_logged(&campus.office.workmate, "sign=NotInSpace", 1).await;
    campus.alice.invite(&campus.space, bob.user_id()).await?;
    bob.until_invited_by(campus.alice.user_id()).await?;
    bob.join(&campus.space).await?;
    until_logged(&campus.office.workmate, "after=Some(Due)", 3).await;

    campus.office.ask(&bob, &room, "do you remember me?", "Of course.").await?;
    assert_eq!(campus.rooms_of_assistant(&bob).await?, json!([room]));
    Ok(())
}

#[tokio::test]
async fn a3_after_the_grace_period_the_assistant_of_who_left_the_space_is_gone() -> Result<()> {
    let bob = shared().person("bob").await;
    let campus = Campus::open(json!({"gone_grace_days": 0}), &[&bob]).await?;
    let (room, assistant) = (campus.welcomed(&bob).await?, campus.office.assistant_of(&bob));

    bob.room(&campus.space)?.leave().await?;

    bob.until_membership(&room, &assistant, &MembershipState::Leave).await?;
    until_logged(&campus.office.workmate, "what was kept for them is deleted", 1).await;
    assert_eq!(campus.rooms_of_assistant(&bob).await?, json!([]));
    assert_eq!(campus.rooms_of_assistant(&campus.alice).await?.as_array().map(Vec::len), Some(1), "others keep theirs");
    Ok(())
}

#[tokio::test]
async fn a3_the_assistant_of_a_deactivated_account_is_gone_and_that_of_one_who_only_left_the_chat_stays() -> Result<()>
{
    let office = Office::open_with(|setup| setup.section("assistants", json!({"gone_grace_days": 0}))).await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let [of_alice, _] = [office.meet(&alice).await?, office.meet(&bob).await?];

    alice.room(&of_alice)?.leave().await?;
    until_logged(&office.workmate, "sign=Account", 1).await;
    deactivate(&bob).await?;

    until_logged(&office.workmate, "what was kept for them is deleted", 1).await;
    let rooms = [office.rooms_of_assistant(&bob).await?, office.rooms_of_assistant(&alice).await?];
    assert_eq!(rooms, [json!([]), json!([of_alice])]);
    Ok(())
}

/// Has a person deactivate their account.
pub(crate) async fn deactivate(person: &Person) -> Result<()> {
    let name = person.user_id().localpart();
    let identifier = json!({"type": "m.id.user", "user": name});
    let auth = json!({"type": "m.login.password", "identifier": identifier, "password": format!("password-of-{name}")});
    let path = "_matrix/client/v3/account/deactivate";
    call_as(person, Method::POST, path, &json!({"auth": auth, "erase": false})).await?;
    Ok(())
}

/// Receives the homeserver's transactions in Workmate's place and loses them, until one contains all of `parts`.
async fn lose_transactions(office: &Office, parts: [&str; 2]) -> Result<()> {
    let (heard, mut lost) = tokio::sync::mpsc::unbounded_channel();
    let take = move |body: String| {
        // The receiver below may be satisfied already.
        let _ = heard.send(body);
        // A kept-alive connection would swallow transactions meant for the next Workmate.
        async { ([("connection", "close")], axum::Json(json!({}))) }
    };
    office.slot.release_ports();
    let listener = tokio::net::TcpListener::bind(office.slot.listen).await?;
    let serving = tokio::spawn(axum::serve(listener, axum::Router::new().fallback(take)).into_future());
    let hearing = async {
        while let Some(body) = lost.recv().await {
            if parts.iter().all(|part| body.contains(part)) {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(Duration::from_mins(1), hearing).await;
    serving.abort();
    assert!(serving.await.is_err_and(|ended| ended.is_cancelled()), "the port is free again");
    heard.context("the homeserver tells of it within a minute")
}

#[tokio::test]
async fn a3_an_owner_who_was_gone_before_the_start_is_noticed_though_the_transaction_is_lost() -> Result<()> {
    let settings = json!({"gone_grace_days": 0});
    let mut office = Office::open_with(|setup| setup.section("assistants", settings)).await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let [of_alice, of_bob] = [office.meet(&alice).await?, office.meet(&bob).await?];
    office.workmate.stop().await;

    let losing = lose_transactions(&office, [of_bob.as_str(), "leave"]);
    tokio::try_join!(losing, deactivate(&bob))?;
    office.workmate.start_again().await;

    until_logged(&office.workmate, "what was kept for them is deleted", 1).await;
    assert_eq!(office.rooms_of_assistant(&bob).await?, json!([]));
    assert_eq!(office.rooms_of_assistant(&alice).await?, json!([of_alice]), "she is still there");
    Ok(())
}

#[tokio::test]
async fn c12_c23_service_bot_shows_its_status_to_admins_alone_and_makes_them_no_assistant_by_the_way() -> Result<()> {
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let admins = json!({"admins": [alice.user_id()]});
    let office =
        Office::open_with(|setup| setup.section("workspace", admins).section("audit", json!({"room": false}))).await?;
    let service = office.slot.service();
    let mut answers = Vec::new();
    for person in [&alice, &bob] {
        let dm = person.create_dm(&service).await?;
        let is_admin = person.user_id() == alice.user_id();
        let greeted = |seen: &crate::harness::Timeline| {
            let welcome = said(seen, &service, "Hello! Claude is here")?;
            let told = is_admin == (welcome.body().contains("`!status`") && welcome.body().contains("`!changes`"));
            assert!(told, "{}", welcome.body());
            if is_admin { Some(welcome) } else { said(seen, &service, "Your assistant is") }
        };
        person.until(&dm, "the welcome, and where the assistant is", greeted).await?;
        person.send(&dm, "!status").await?;
        let beginning = if is_admin { "Workmate " } else { "You've used $0" };
        let answer = |seen: &crate::harness::Timeline| said(seen, &service, beginning);
        answers.push(person.until(&dm, "an answer to !status", answer).await?.body().to_owned());
    }
    for part in ["Coworkers: 1", "Assistants: 0", "Claude: ready", "Tool servers: up none; down none"] {
        assert!(answers[0].contains(part), "{part} is missing in {}", answers[0]);
    }
    assert!(!answers[1].contains("Claude"), "{}", answers[1]);
    Ok(())
}
