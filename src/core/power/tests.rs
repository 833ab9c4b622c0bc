use ruma::user_id;
use serde_json::json;

use super::*;

const ALICE: &str = "@alice:hs";

fn version(id: &str) -> Version {
    Version::of(id).expect("a known version")
}

fn level(id: &str, levels: Option<&Value>) -> i64 {
    let creation = json!({ "creator": ALICE, "additional_creators": ["@bob:hs"] });
    let creation = Some((user_id!("@alice:hs"), &creation));
    Levels::of(&State { version: Some(version(id)), creation, levels }).of_user(user_id!("@alice:hs"))
}

#[test]
fn c12_an_unreadable_entry_is_never_taken_for_a_missing_one() {
    let table = [
        ("another's bad id", json!({ "users": { "no id": 100, ALICE: 50 } }), ["50"; 4]),
        ("another's bad level", json!({ "users": { "@bob:hs": {}, ALICE: 50 } }), ["50"; 4]),
        ("a bad default", json!({ "users": { ALICE: 50 }, "users_default": "all" }), ["50"; 4]),
        ("demoted beside a bad id", json!({ "users": { "bad": 1, ALICE: 0 } }), ["0"; 4]),
        ("not named", json!({ "users": { "bad": 1 } }), ["0"; 4]),
        ("as a string", json!({ "users": { ALICE: " +50 " } }), ["50", "none", "none", "creator"]),
        ("as a fraction", json!({ "users": { ALICE: 50.9 } }), ["50", "none", "none", "creator"]),
        ("as a truth", json!({ "users": { ALICE: true } }), ["1", "none", "none", "creator"]),
        ("in words", json!({ "users": { ALICE: "fifty" }, "users_default": 10 }), ["none", "none", "none", "creator"]),
        ("null", json!({ "users": { ALICE: null }, "users_default": 10 }), ["10"; 4]),
        ("a list", json!({ "users": { ALICE: [100] } }), ["none", "none", "none", "creator"]),
        ("beyond canonical JSON", json!({ "users": { ALICE: 1_u64 << 60 } }), ["big", "none", "none", "creator"]),
        (
            "below any level",
            json!({ "users": { ALICE: "-99999999999999999999" } }),
            ["none", "none", "none", "creator"],
        ),
        ("users are no object", json!({ "users": [ALICE], "users_default": 100 }), ["none", "none", "none", "creator"]),
        ("users are null", json!({ "users": null, "users_default": 100 }), ["none", "none", "none", "creator"]),
        ("a bad default for all", json!({ "users_default": "x" }), ["none", "none", "none", "creator"]),
        ("no users", json!({}), ["0"; 4]),
        ("no object", json!("open"), ["none", "none", "none", "creator"]),
    ];
    for (what, content, expected) in table {
        for (id, expected) in ["9", "10", "11", "12"].into_iter().zip(expected) {
            let expected = match expected {
                _ if id == "12" => i64::MAX,
                "none" => i64::MIN,
                "big" => 1 << 60,
                number => number.parse().expect("a number"),
            };
            assert_eq!(level(id, Some(&content)), expected, "{what} in version {id}");
        }
    }
}

#[test]
fn c12_only_without_power_levels_the_creator_has_their_power() {
    let table = [
        ("1", user_id!("@carol:hs"), user_id!("@alice:hs"), [100, 0, 0]),
        ("10", user_id!("@carol:hs"), user_id!("@alice:hs"), [100, 0, 0]),
        ("11", user_id!("@alice:hs"), user_id!("@alice:hs"), [100, 0, 0]),
        ("12", user_id!("@alice:hs"), user_id!("@alice:hs"), [i64::MAX, i64::MAX, 0]),
    ];
    let creation = json!({ "creator": ALICE, "additional_creators": ["@bob:hs", 7, "bad"] });
    for (id, sender, creator, expected) in table {
        let levels =
            Levels::of(&State { version: Some(version(id)), creation: Some((sender, &creation)), levels: None });
        let people = [creator, user_id!("@bob:hs"), user_id!("@dave:hs")];
        assert_eq!(people.map(|user| levels.of_user(user)), expected, "version {id}");
    }
    let creation = Some((user_id!("@alice:hs"), &creation));
    let unknown = Levels::of(&State { version: None, creation, levels: None });
    assert_eq!(unknown.of_user(user_id!("@alice:hs")), 0, "of a version that is not known, nothing is given");
    let nothing = Levels::of(&State { version: Some(version("10")), creation: None, levels: None });
    assert_eq!(nothing.of_user(user_id!("@alice:hs")), 0);
}

#[test]
fn c10_who_may_take_back_others_words() {
    let table = [
        (json!({ "users": { ALICE: 50 } }), true),
        (json!({ "users": { ALICE: 49 } }), false),
        (json!({ "users": { ALICE: 0 }, "redact": 0 }), true),
        (json!({ "users": { ALICE: 100 }, "redact": "no" }), false),
        (json!({ "users": { ALICE: 49 }, "redact": null }), false),
        (json!({ "users_default": 50 }), true),
        (json!({}), false),
        (json!([]), false),
    ];
    for (content, expected) in table {
        let state = State { version: Some(version("10")), creation: None, levels: Some(&content) };
        assert_eq!(Levels::of(&state).may_redact(user_id!("@alice:hs")), expected, "{content}");
    }
}

#[test]
fn versions_are_known_by_their_exact_ids() {
    for (id, known) in
        [("1", true), ("12", true), ("13", false), ("0", false), ("011", false), ("+1", false), ("org.x", false)]
    {
        assert_eq!(Version::of(id).is_some(), known, "{id}");
    }
}
