//! The demo's story: who says what to whom. The whole text is in this file.
//!
//! Only earlier messages of the same room answer the questions. The markers are words from that history which the
//! questions themselves do not contain.

use super::person::RoomKind;

/// One of the two people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// She makes the rooms.
    Alice,
    /// He joins them.
    Bob,
}

/// A room and what happens in it.
pub(super) struct Scene {
    pub(super) room: &'static str,
    pub(super) kind: RoomKind,
    pub(super) lines: &'static [Line],
}

/// A line that somebody says.
pub(super) enum Line {
    /// A message to everybody; no coworker answers.
    Says(Who, &'static str),
    /// A question to coworkers, each written as `@id` in the text; each answers in a thread below it.
    Asks(Question),
    /// A question in the previous question's thread.
    AsksOnInThread(Question),
}

/// A question to one or more coworkers.
pub(super) struct Question {
    pub(super) who: Who,
    pub(super) text: &'static str,
    /// Each coworker asked, with words from the room's history of which its answer quotes at least one.
    pub(super) whom: &'static [(&'static str, &'static [&'static str])],
}

use Line::{Asks, AsksOnInThread, Says};
use Who::{Alice, Bob};

/// The coworkers in every room of the story.
pub(super) const COWORKERS: [&str; 3] = ["oncall", "ci", "sales"];

/// The rooms, in the story's order.
pub(super) const SCENES: [Scene; 2] = [
    Scene {
        room: "Checkout incident",
        kind: RoomKind::Encrypted,
        lines: &[
            Says(Bob, "checkout-api answers 502 since 14:05, about 18 % of requests. EU customers only."),
            Says(Alice, "Looking. Release 2026.11.3 went out at 13:58, that is suspiciously close."),
            Says(
                Bob,
                "It is the connection pool: orders-db sits at 100 of 100 connections. The US runs the old pool size.",
            ),
            Says(Alice, "I take the rollback to 2026.11.2. Ten minutes."),
            Says(Bob, "Then I write to support. Nobody has looked at the refund queue yet."),
            Asks(Question {
                who: Alice,
                text: "@oncall Dana from support is joining: what do customers see, and what happens with the release?",
                whom: &[("oncall", &["checkout-api", "orders-db", "502", "2026.11.2", "refund queue"])],
            }),
            AsksOnInThread(Question {
                who: Bob,
                text: "@oncall and what has nobody taken yet?",
                whom: &[("oncall", &["refund queue", "orders-db", "checkout-api"])],
            }),
        ],
    },
    Scene {
        room: "Builds and customers",
        kind: RoomKind::Plain,
        lines: &[
            Says(
                Bob,
                "Build 4711 on main is red: test refund_is_idempotent, third time in a row. 4708 was the last green one.",
            ),
            Says(
                Alice,
                "First red was 4709, with a3f9c1e in it: Priya's change to the retries. She is on it until tonight.",
            ),
            Says(Bob, "Jonas at Acme asked yesterday when the refund fix ships. I promised him a word by Thursday."),
            Says(Alice, "Friday's release is realistic, if the build is green by then. No earlier date, please."),
            Asks(Question {
                who: Alice,
                text: "@ci which test is red, and since which build? @sales please draft the word on the refund fix.",
                whom: &[
                    ("ci", &["refund_is_idempotent", "4711", "4709", "a3f9c1e"]),
                    ("sales", &["Jonas", "Acme", "Thursday", "Friday"]),
                ],
            }),
        ],
    },
];

/// The room in which the coworkers work without being asked, and what is said there before.
pub(super) const UNASKED: Scene = Scene {
    room: "What nobody asks for",
    kind: RoomKind::Encrypted,
    lines: &[
        Says(Bob, "The orders-db page of last night is mended: the pool has 200 connections now. Dana watches it."),
        Says(Alice, "The follow-up to Jonas at Acme is due today: the refund fix ships on Friday, no earlier."),
    ],
};

/// Who works there without being asked: what the notice says, and words of which the answer quotes at least one.
pub(super) const JOBS: [Job; 3] = [
    Job { id: "ci", notice: "nightly refunds", markers: &["refund_is_idempotent", "a3f9c1e"] },
    Job { id: "oncall", notice: "weekday summary", markers: &["orders-db", "Dana", "Jonas", "Acme"] },
    Job { id: "sales", notice: "due follow-ups", markers: &["Jonas", "Acme", "Friday"] },
];

/// Work that comes by itself.
pub(super) struct Job {
    pub(super) id: &'static str,
    pub(super) notice: &'static str,
    pub(super) markers: &'static [&'static str],
}

/// A table that somebody shares, and who draws it.
pub(super) struct Chart {
    pub(super) id: &'static str,
    pub(super) file: &'static str,
    pub(super) table: &'static str,
    pub(super) question: &'static str,
    pub(super) markers: &'static [&'static str],
}

/// The table that becomes a chart.
pub(super) const CHART: Chart = Chart {
    id: "sales",
    file: "refunds.csv",
    table: "week,refunds\n44,3\n45,5\n46,4\n47,41\n48,7\n",
    question: "@sales please make a chart of the refunds",
    markers: &["47"],
};

/// What GitHub reports of a red run, as far as it matters; `{id}` is the run's.
pub(super) const RED_RUN: &str = r#"{
  "action": "completed",
  "workflow_run": {
    "id": {id}, "run_number": 812, "name": "nightly refunds", "head_branch": "main", "head_sha": "a3f9c1e",
    "status": "completed", "conclusion": "failure", "html_url": "https://github.example/acme/shop/actions/runs/812",
    "head_commit": { "message": "Retry refunds\n\nFails: refund_is_idempotent" }
  },
  "repository": { "id": 7, "full_name": "acme/shop" },
  "sender": { "login": "priya" }
}"#;

/// What Alice tells her assistant, with words of which each answer quotes at least one, if any.
pub(super) const ASSISTANT: [(&str, &[&str]); 2] = [
    (
        "My one-on-one with Sam is tomorrow at ten. I want to talk about the on-call load and about the Lisbon move.",
        &[],
    ),
    ("What do I want to talk about with Sam?", &["on-call", "Lisbon"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_can_be_told_from_an_echo_of_its_question() {
        for scene in &SCENES {
            let mut said = String::new();
            for line in scene.lines {
                match line {
                    Says(_, text) => said += *text,
                    Asks(question) | AsksOnInThread(question) => {
                        for (id, markers) in question.whom {
                            assert!(question.text.contains(&format!("@{id}")), "{}", question.text);
                            for marker in *markers {
                                assert!(said.contains(marker) && !question.text.contains(marker), "{marker}");
                            }
                        }
                    }
                }
            }
        }
    }
}
