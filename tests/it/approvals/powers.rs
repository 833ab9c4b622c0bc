//! Power with an odd history: whoever taps is a moderator exactly where Synapse lets them act as one at that moment.

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::events::room::member::MembershipState;
use serde_json::{Value, json};

use super::Scene;
use crate::{assistants::call_as, harness::Person};

/// How Bob comes to his power, and whether he has it in the end.
enum Step {
    /// Alice changes the power levels.
    Levels(fn(&mut Value, &str)),
    /// Alice redacts the power levels' event, which leaves what counts.
    Redacted,
    /// Bob leaves, and comes back on an invite.
    Left,
    /// Bob is banned, then unbanned and invited again.
    Banned,
    /// Bob leaves, knocks, and is let in.
    Knocked,
}

const STEPS: [(&str, Step, bool); 10] = [
    ("given", Step::Levels(|levels, bob| levels["users"][bob] = json!(50)), true),
    ("redacted", Step::Redacted, true),
    ("left and back", Step::Left, true),
    ("banned and back", Step::Banned, true),
    ("taken", Step::Levels(|levels, bob| levels["users"][bob] = json!(49)), false),
    ("knocked without power", Step::Knocked, false),
    ("everybody's", Step::Levels(everybodys), true),
    ("everybody's, redacted", Step::Redacted, true),
    ("everybody's but his", Step::Levels(|levels, bob| levels["users"][bob] = json!(0)), false),
    ("everybody's no more", Step::Levels(nobodys), false),
];

fn everybodys(levels: &mut Value, bob: &str) {
    levels["users_default"] = json!(50);
    levels["users"].as_object_mut().map(|users| users.remove(bob));
}

fn nobodys(levels: &mut Value, bob: &str) {
    everybodys(levels, bob);
    levels.as_object_mut().map(|levels| levels.remove("users_default"));
}

impl Scene {
    async fn call(&self, person: &Person, method: Method, path: &str, body: &Value) -> Result<Value> {
        call_as(person, method, &format!("_matrix/client/v3/rooms/{}/{path}", self.room), body).await
    }

    async fn take(&self, step: &Step) -> Result<()> {
        let (alice, bob) = (&self.office.alice, &self.office.bob);
        let whom = json!({ "user_id": bob.user_id() });
        match step {
            Step::Levels(change) => {
                let mut levels = self.call(alice, Method::GET, "state/m.room.power_levels/", &json!({})).await?;
                change(&mut levels, bob.user_id().as_str());
                self.call(alice, Method::PUT, "state/m.room.power_levels/", &levels).await?;
            }
            Step::Redacted => {
                let all = self.call(alice, Method::GET, "state", &json!({})).await?;
                let levels =
                    all.as_array().and_then(|all| all.iter().find(|event| event["type"] == "m.room.power_levels"));
                let id = levels.and_then(|event| event["event_id"].as_str()).context("there are power levels")?;
                self.call(alice, Method::PUT, &format!("redact/{id}/gone{}", id.len()), &json!({})).await?;
            }
            Step::Left => {
                self.call(bob, Method::POST, "leave", &json!({})).await?;
                self.come_back(&whom).await?;
            }
            Step::Banned => {
                self.call(alice, Method::POST, "ban", &whom).await?;
                self.call(alice, Method::POST, "unban", &whom).await?;
                self.come_back(&whom).await?;
            }
            Step::Knocked => {
                self.call(alice, Method::PUT, "state/m.room.join_rules/", &json!({ "join_rule": "knock" })).await?;
                self.call(bob, Method::POST, "leave", &json!({})).await?;
                call_as(bob, Method::POST, &format!("_matrix/client/v3/knock/{}", self.room), &json!({})).await?;
                self.come_back(&whom).await?;
            }
        }
        Ok(())
    }

    async fn come_back(&self, whom: &Value) -> Result<()> {
        self.call(&self.office.alice, Method::POST, "invite", whom).await?;
        self.call(&self.office.bob, Method::POST, "join", &json!({})).await?;
        let bob = self.office.bob.user_id();
        self.office.alice.until_membership(&self.room, bob, &MembershipState::Join).await
    }

    /// Returns whether the homeserver lets Bob set state, which is a moderator's.
    async fn is_a_moderator(&self, what: &str) -> Result<bool> {
        let answer = self.call(&self.office.bob, Method::PUT, "state/org.example.probe/", &json!({ "is": what })).await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if error.to_string().contains("403") => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[tokio::test]
async fn c12_whoever_the_homeserver_lets_act_as_a_moderator_approves_whatever_the_rooms_history() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("moderator"))).await?;
    let (alice, bob) = (&scene.office.alice, &scene.office.bob);
    let mut expected: Vec<String> = Vec::new();
    for (number, (what, step, is_moderator)) in STEPS.iter().enumerate() {
        scene.take(step).await.context(*what)?;
        assert_eq!(scene.is_a_moderator(what).await?, *is_moderator, "{what}: the homeserver");
        let to = format!("target{number}");
        let (_, card) = scene.ask(alice, &to).await?;
        scene.tap(bob, &card, "✅").await?;
        if *is_moderator {
            scene.until_card_says(&card, "approved by ").await.context(*what)?;
            scene.settle(&format!("done with {number}?")).await?;
            expected.push(to);
        } else {
            scene.settle(&format!("still waiting with {number}?")).await?;
            scene.tap(alice, &card, "❌").await?;
            scene.until_card_says(&card, "declined").await.context(*what)?;
        }
        assert_eq!(scene.ran(), expected, "{what}");
    }
    Ok(())
}
