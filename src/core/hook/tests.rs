mod hostile;
mod reports;

use hmac::{Hmac, Mac as _};
use ruma::{room_id, user_id};
use serde_json::json;

use super::*;
use crate::core::errand::Stage;

const NOW: Timestamp = Timestamp::from_ms(1_614_265_330_000);
const JSON: (&str, &str) = ("content-type", "application/json");

fn hook(proof: Proof, sender: Sender) -> Hook {
    Hook {
        name: "ci".to_owned(),
        room: room_id!("!dev:hs").to_owned().into(),
        task: "Say what broke.".to_owned(),
        proof,
        header: None,
        sender,
        delivery: None,
        thread: Threading::BySender,
        events: BTreeSet::new(),
        filter: Vec::new(),
        mention: BTreeSet::new(),
    }
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in pairs {
        headers.add(name, value.as_bytes());
    }
    headers
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

fn judged(hook: &Hook, secret: &str, given: &[(&str, &str)], body: &[u8]) -> Result<Judged, Denied> {
    judged_at(hook, secret, given, body, NOW)
}

fn judged_at(hook: &Hook, secret: &str, given: &[(&str, &str)], body: &[u8], now: Timestamp) -> Result<Judged, Denied> {
    let key = key_of(hook.proof, secret).expect("a usable secret");
    judge(hook, &key, &Call { headers: &headers(given), body }, now)
}

fn delivery(judged: Result<Judged, Denied>) -> Delivery {
    match judged {
        Ok(Judged::Accepted(delivery)) => *delivery,
        other => panic!("not accepted: {other:?}"),
    }
}

/// Judges a report that a bearer's token proves.
fn reported(sender: Sender, given: &[(&str, &str)], report: &Value) -> Delivery {
    let given = [&[JSON, ("authorization", "Bearer secret")], given].concat();
    delivery(judged(&hook(Proof::Bearer, sender), "secret", &given, report.to_string().as_bytes()))
}

#[test]
fn c21_an_id_with_dots_names_its_delivery_and_what_was_signed_is_split_in_one_way() {
    let (key, at) = (b"a key of the test's".as_slice(), (NOW.as_ms() / 1000).to_string());
    let (standard, secret) = (hook(Proof::Standard, Sender::Other), format!("whsec_{}", base64(key)));
    let judge = |id: &str, time: &str, body: &str, signed: &str| {
        let signature = format!("v1,{}", base64(&mac(key, &[signed.as_bytes()])));
        let given = [JSON, ("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", &signature)];
        judged(&standard, &secret, &given, body.as_bytes())
    };
    let signed = |id: &str, body: &str| format!("{id}.{at}.{body}");
    let body = r#"{"what": "it broke"}"#;
    for id in ["evt.42", "a.b.c", &format!("m.{at}"), "x.", ".x", "1.2"] {
        assert_eq!(delivery(judge(id, &at, body, &signed(id, body))).name, id);
    }
    // The same signature for parts that are cut elsewhere.
    let number = format!("{at}.5");
    for (id, body, id_moved, body_moved) in [
        // A part of the id becomes the time, and the time a part of the body.
        (format!("evt.{at}"), body, "evt".to_owned(), format!("{at}.{body}")),
        (format!("evt.{at}"), "5", "evt".to_owned(), number.clone()),
        // The time becomes a part of the id, and the body's beginning the time.
        ("evt".to_owned(), number.as_str(), format!("evt.{at}"), "5".to_owned()),
    ] {
        let whole = signed(&id, body);
        assert_eq!(whole, signed(&id_moved, &body_moved), "both read the same");
        let is_taken = |id: &str, body: &str| matches!(judge(id, &at, body, &whole), Ok(Judged::Accepted(_)));
        let taken = [is_taken(&id, body), is_taken(&id_moved, &body_moved)];
        assert!(!(taken[0] && taken[1]), "{id} and {id_moved} are one delivery");
    }
}

#[test]
fn c21_standard_webhooks_and_github_prove_themselves_as_their_documents_say() {
    // The example of the specification of Standard Webhooks.
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let given = [
        JSON,
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let body = br#"{"test": 2432232314}"#;
    let standard = hook(Proof::Standard, Sender::Other);
    assert_eq!(delivery(judged(&standard, secret, &given, body)).name, "msg_p5jXN8AQM9LWM0D4loKWxJek");
    // Svix sends the same under other names.
    let svix = given.map(|(name, value)| (name.replace("webhook-", "svix-"), value));
    let svix: Vec<_> = svix.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(delivery(judged(&standard, secret, &svix, body)).name, "msg_p5jXN8AQM9LWM0D4loKWxJek");

    // The example of GitHub's documentation; its body is no JSON.
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let given = [("content-type", "text/plain"), ("X-Hub-Signature-256", signature)];
    let github = hook(Proof::Github, Sender::Other);
    let read = delivery(judged(&github, "It's a Secret to Everybody", &given, b"Hello, World!"));
    assert_eq!((read.payload.as_str(), read.cut), ("Hello, World!", false));
}

/// A proof, its secret, and the headers that prove.
type Row<'a> = (Proof, &'a str, Vec<(&'a str, String)>);

#[test]
fn c21_each_proof_takes_its_own_and_refuses_what_is_a_byte_off() {
    let body = br#"{"a":1}"#;
    let (key, at) = (b"top:secret".as_slice(), "1614265330");
    let standard_secret = format!("whsec_{}", base64(key));
    let signature = hex(&mac(key, &[body]));
    let rows: Vec<Row<'_>> = vec![
        (
            Proof::Standard,
            &standard_secret,
            vec![
                ("webhook-id", "id-1".to_owned()),
                ("webhook-timestamp", at.to_owned()),
                (
                    "webhook-signature",
                    format!("v1a,xx v1,{}", base64(&mac(key, &[b"id-1.", at.as_bytes(), b".", body]))),
                ),
            ],
        ),
        (Proof::Github, "top:secret", vec![("x-hub-signature-256", format!("sha256={signature}"))]),
        (Proof::Forgejo, "top:secret", vec![("x-forgejo-signature", signature.clone())]),
        (Proof::Forgejo, "top:secret", vec![("x-gitea-signature", signature.clone())]),
        (Proof::Gitlab, "top:secret", vec![("x-gitlab-token", "top:secret".to_owned())]),
        (
            Proof::Stripe,
            "top:secret",
            vec![("stripe-signature", format!("t={at},v1={},v0=abc", hex(&mac(key, &[at.as_bytes(), b".", body]))))],
        ),
        (Proof::Bearer, "top:secret", vec![("authorization", "bearer top:secret".to_owned())]),
        (Proof::Basic, "top:secret", vec![("authorization", format!("Basic {}", base64(key)))]),
    ];
    for (proof, secret, given) in &rows {
        let hook = hook(*proof, Sender::Other);
        let ask = |given: &[(&str, String)], body: &[u8], secret: &str| {
            let mut pairs = vec![JSON];
            pairs.extend(given.iter().map(|(name, value)| (*name, value.as_str())));
            judged(&hook, secret, &pairs, body)
        };
        assert!(matches!(ask(given, body, secret), Ok(Judged::Accepted(_))), "{proof:?}");
        let sends_its_secret = matches!(proof, Proof::Gitlab | Proof::Bearer | Proof::Basic);
        if !sends_its_secret {
            assert_eq!(ask(given, br#"{"a":2}"#, secret), Err(Denied::NotProven), "{proof:?}: another body");
        }
        let other = if *proof == Proof::Standard { "whsec_b3RoZXI=" } else { "other:secret" };
        assert_eq!(ask(given, body, other), Err(Denied::NotProven), "{proof:?}: another secret");
        for (at, (name, value)) in given.iter().enumerate() {
            // Every letter of what proves it, changed or left out.
            for place in 0..value.len() {
                let mut spoiled = given.clone();
                let mut letters = value.clone().into_bytes();
                letters[place] ^= 1;
                let Ok(letters) = String::from_utf8(letters) else { continue };
                spoiled[at].1 = letters;
                let is_beside = *name == "webhook-signature" && place < 7
                    || *name == "stripe-signature" && place >= value.len() - 7
                    || *name == "authorization" && place < 7;
                if !is_beside {
                    let got = ask(&spoiled, body, secret);
                    assert!(got.is_err(), "{proof:?}: {name} spoiled at {place}: {got:?}");
                }
            }
            let mut lacking = given.clone();
            lacking.remove(at);
            assert_eq!(ask(&lacking, body, secret), Err(Denied::NotProven), "{proof:?} without {name}");
            let mut twice = given.clone();
            twice.push((name, value.clone()));
            assert_eq!(ask(&twice, body, secret), Err(Denied::NotProven), "{proof:?}: {name} twice");
        }
    }
    // What is there first counts: a wrong signature is not saved by a right one under another name.
    let both = [JSON, ("x-forgejo-signature", "00"), ("x-gitea-signature", signature.as_str())];
    assert_eq!(judged(&hook(Proof::Forgejo, Sender::Forgejo), "top:secret", &both, body), Err(Denied::NotProven));
}

#[test]
fn c21_a_signed_time_outside_of_the_window_is_refused_both_ways() {
    let (key, body) = (b"secret".as_slice(), b"{}".as_slice());
    let hook = hook(Proof::Stripe, Sender::Other);
    let at = |seconds: &str| {
        let signature = hex(&mac(key, &[seconds.as_bytes(), b".", body]));
        let header = format!("t={seconds},v1={signature}");
        judged(&hook, "secret", &[JSON, ("stripe-signature", &header)], body).map(drop)
    };
    let now = NOW.as_ms() / 1000;
    for (off, expected) in
        [(0, Ok(())), (-300, Ok(())), (300, Ok(())), (-301, Err(Denied::OutOfTime)), (301, Err(Denied::OutOfTime))]
    {
        assert_eq!(at(&(now + off).to_string()), expected, "{off}");
    }
    for odd in ["", "x", "-1", "+1614265330", "99999999999999999999", "9223372036854775807"] {
        assert_eq!(at(odd), Err(Denied::OutOfTime), "{odd}");
    }
}

#[test]
fn c21_a_delivery_is_named_by_what_its_proof_covers() {
    let github = hook(Proof::Github, Sender::Github);
    let body = json!({ "action": "completed", "check_run": { "id": 7, "name": "test" } }).to_string();
    let signature = format!("sha256={}", hex(&mac(b"secret", &[body.as_bytes()])));
    let named = |id: &str| {
        let given = [JSON, ("x-hub-signature-256", signature.as_str()), ("x-github-delivery", id)];
        delivery(judged(&github, "secret", &given, body.as_bytes())).name
    };
    // Whoever saw a call can send it again under another id: it stays the same delivery.
    assert_eq!(named("1"), named("2"));
    let by_header = Hook { delivery: Some(Naming::Header("x-github-delivery".to_owned())), ..github.clone() };
    let given = [JSON, ("x-hub-signature-256", signature.as_str())];
    assert_eq!(judged(&by_header, "secret", &given, body.as_bytes()), Err(Denied::Nameless));
    let by_value = Hook { delivery: Some(Naming::Pointer("/check_run/id".to_owned())), ..github };
    assert_eq!(delivery(judged(&by_value, "secret", &given, body.as_bytes())).name, "7");

    // An unknown sender may report the same again tomorrow; within an hour it is the same delivery.
    let bearer = hook(Proof::Bearer, Sender::Other);
    let given = [JSON, ("authorization", "Bearer secret")];
    let at = |ms: i64| delivery(judged_at(&bearer, "secret", &given, b"{}", Timestamp::from_ms(ms)));
    let hour = 60 * 60 * 1000;
    let (first, same, next, later) = (at(10 * hour), at(11 * hour - 1), at(11 * hour), at(30 * hour));
    assert_eq!(first.name, same.name);
    assert!(next.name != first.name && next.earlier.as_ref() == Some(&first.name));
    assert!(later.name != first.name && later.earlier.as_ref() != Some(&first.name));
    let (known, _) = bearer.errand(first, user_id!("@c:hs"), room_id!("!r:hs"), Timestamp::from_ms(10 * hour));
    assert!(is_same_delivery(&known, Timestamp::from_ms(11 * hour - 1)));
    assert!(!is_same_delivery(&known, Timestamp::from_ms(11 * hour)));
}

#[test]
fn c21_an_equal_report_of_an_unknown_sender_is_new_after_an_hour_however_it_is_proven() {
    let (body, hour) = (br#"{"text":"the backup failed"}"#.as_slice(), 60 * 60 * 1000);
    let signature = hex(&mac(b"secret", &[body]));
    let rows: [(Proof, &str, String); 4] = [
        (Proof::Github, "x-hub-signature-256", format!("sha256={signature}")),
        (Proof::Forgejo, "x-forgejo-signature", signature),
        (Proof::Gitlab, "x-gitlab-token", "secret".to_owned()),
        (Proof::Bearer, "authorization", "Bearer secret".to_owned()),
    ];
    for (proof, name, value) in &rows {
        let named = |sender, ms: i64| {
            let given = [JSON, (*name, value.as_str())];
            delivery(judged_at(&hook(*proof, sender), "secret", &given, body, Timestamp::from_ms(ms)))
        };
        let (first, next) = (named(Sender::Other, 10 * hour), named(Sender::Other, 11 * hour));
        assert!(next.name != first.name && next.earlier.as_ref() == Some(&first.name), "{proof:?}");
        // The reports of known senders hold their ids and times: an equal one is the same.
        assert_eq!(named(Sender::Github, 10 * hour).name, named(Sender::Github, 500 * hour).name, "{proof:?}");
    }
    // A signed time is no name either: Stripe signs each try anew.
    let at = |ms: i64| {
        let seconds = (ms / 1000).to_string();
        let signature = hex(&mac(b"secret", &[seconds.as_bytes(), b".", body]));
        let header = format!("t={seconds},v1={signature}");
        let given = [JSON, ("stripe-signature", header.as_str())];
        delivery(judged_at(&hook(Proof::Stripe, Sender::Other), "secret", &given, body, Timestamp::from_ms(ms)))
    };
    assert_eq!(at(10 * hour).name, at(10 * hour + 60_000).name);
    assert_ne!(at(10 * hour).name, at(12 * hour).name);
}

/// A proof, the headers of a call, and whether they alone let it send its body.
type Admission<'a> = (Proof, Vec<(&'a str, &'a str)>, Result<(), Denied>);

#[test]
fn c21_headers_alone_refuse_a_call_before_its_body_is_read() {
    let signed = |hex: &str| format!("sha256={hex}");
    let fine = signed(&"0".repeat(64));
    let now = (NOW.as_ms() / 1000).to_string();
    let old = ((NOW.as_ms() / 1000) - 301).to_string();
    let stripe = |at: &str| format!("t={at},v1={}", "0".repeat(64));
    let (in_time, late) = (stripe(&now), stripe(&old));
    let standard = |at: &'static str, signature: &'static str| {
        vec![("webhook-id", "id"), ("webhook-timestamp", at), ("webhook-signature", signature)]
    };
    let rows: Vec<Admission<'_>> = vec![
        // A secret that is sent along is judged whole.
        (Proof::Bearer, vec![("authorization", "Bearer secret")], Ok(())),
        (Proof::Bearer, vec![("authorization", "Bearer secreT")], Err(Denied::NotProven)),
        (Proof::Gitlab, vec![("x-gitlab-token", "secret")], Ok(())),
        (Proof::Gitlab, vec![], Err(Denied::NotProven)),
        // A signature has to be there, and its time to be near.
        (Proof::Github, vec![("x-hub-signature-256", fine.as_str())], Ok(())),
        (Proof::Github, vec![("x-hub-signature-256", "sha256=00")], Err(Denied::NotProven)),
        (Proof::Github, vec![], Err(Denied::NotProven)),
        (Proof::Stripe, vec![("stripe-signature", in_time.as_str())], Ok(())),
        (Proof::Stripe, vec![("stripe-signature", late.as_str())], Err(Denied::OutOfTime)),
        (Proof::Stripe, vec![("stripe-signature", "t=1")], Err(Denied::OutOfTime)),
        (Proof::Standard, standard("1614265330", "v1,AAAA"), Ok(())),
        (Proof::Standard, standard("1614265330", "v2,AAAA v1 !"), Err(Denied::NotProven)),
        (Proof::Standard, standard("1614200000", "v1,AAAA"), Err(Denied::OutOfTime)),
    ];
    for (proof, given, expected) in rows {
        let hook = hook(proof, Sender::Github);
        let key = key_of(proof, if proof == Proof::Standard { "whsec_c2VjcmV0" } else { "secret" }).expect("a key");
        let admitted = |kind: (&str, &str)| admit(&hook, &key, &headers(&[&[kind], &given[..]].concat()), NOW);
        assert_eq!(admitted(JSON), expected, "{proof:?} {given:?}");
        let typed = expected.and(Err(Denied::MediaType));
        assert_eq!(admitted(("content-type", "text/html")), typed, "{proof:?} {given:?}");
        let coded =
            |coding| admit(&hook, &key, &headers(&[&[JSON, ("content-encoding", coding)], &given[..]].concat()), NOW);
        assert_eq!(coded("gzip"), expected.and(Err(Denied::Packed)), "{proof:?} {given:?}");
        assert_eq!(coded("identity"), expected, "{proof:?} {given:?}");
    }
}

#[test]
fn c21_what_is_shown_of_a_calls_headers_holds_no_secret() {
    let shown = format!("{:?}", headers(&[JSON, ("authorization", "Bearer top-secret")]));
    assert!(shown.contains("authorization") && !shown.contains("top-secret"), "{shown}");
}

#[test]
fn c21_what_the_filter_drops_becomes_nothing() {
    let report = json!({ "status": "firing", "level": 7, "up": false, "who": null, "tags": ["a"], "count": "12.5",
        "alerts": [{"labels": {"severity": "warning"}}, {"labels": {"severity": "page"}}, {"labels": {}}], "none": [] });
    let of = |conditions: &[Condition]| filter::passes(conditions, &report);
    let at = |at: &str| Condition { at: at.to_owned(), ..Condition::default() };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let rows = [
        (Condition { is: words(&["firing", "pending"]), ..at("/status") }, true),
        (Condition { is: words(&["resolved"]), ..at("/status") }, false),
        (Condition { not: words(&["resolved"]), ..at("/status") }, true),
        (Condition { not: words(&["firing"]), ..at("/status") }, false),
        (Condition { is: words(&["7"]), ..at("/level") }, true),
        (Condition { is: words(&["7.0"]), ..at("/level") }, true),
        (Condition { not: words(&["7.0"]), ..at("/level") }, false),
        (Condition { is: words(&["false"]), ..at("/up") }, true),
        (Condition { above: Some(6.5), below: Some(8.0), ..at("/level") }, true),
        (Condition { above: Some(7.0), ..at("/level") }, false),
        (Condition { above: Some(12.0), ..at("/count") }, true),
        (Condition { above: Some(0.0), ..at("/status") }, false),
        (Condition { exists: Some(true), ..at("/tags/0") }, true),
        (Condition { exists: Some(true), ..at("/who") }, false),
        (Condition { exists: Some(false), ..at("/nothing/there") }, true),
        (Condition { is: words(&["x"]), ..at("/nothing") }, false),
        (Condition { not: words(&["x"]), ..at("/nothing") }, true),
        (Condition { is: words(&["a"]), ..at("/tags") }, false),
        (Condition { is: words(&["a"]), ..at("/tags/*") }, true),
        (Condition { is: words(&["page", "critical"]), ..at("/alerts/*/labels/severity") }, true),
        (Condition { is: words(&["critical"]), ..at("/alerts/*/labels/severity") }, false),
        (Condition { not: words(&["page"]), ..at("/alerts/*/labels/severity") }, false),
        (Condition { not: words(&["critical"]), ..at("/alerts/*/labels/severity") }, true),
        (Condition { exists: Some(true), ..at("/none/*") }, false),
        (Condition { not: words(&["x"]), ..at("/none/*/x") }, true),
        (Condition { is: words(&["a"]), ..at("/who/*") }, false),
    ];
    for (condition, expected) in rows {
        assert_eq!(of(std::slice::from_ref(&condition)), expected, "{condition:?}");
    }
    assert!(of(&[]) && !of(&[at("/status"), Condition { is: words(&["x"]), ..at("/status") }]));
    for (text, expected) in
        [("", true), ("/a/0", true), ("/a~1b~0", true), ("a", false), ("/a~2", false), ("/~", false)]
    {
        assert_eq!(is_pointer(text), expected, "{text}");
    }
}

#[test]
fn c21_an_errand_of_a_delivery_is_the_hooks_and_has_its_own_id() {
    let read = reported(Sender::Other, &[], &json!({ "title": "Backup *failed*", "status": "red" }));
    let (user, room) = (user_id!("@coworker-ci:hs"), room_id!("!dev:hs"));
    let hook = hook(Proof::Bearer, Sender::Other);
    let (errand, earlier) = hook.errand(read.clone(), user, room, NOW);
    assert_eq!(errand.headline, "🔔 **ci**: Backup \\*failed\\* · red");
    assert_eq!((errand.stage, errand.accepted_at, errand.origin.name.as_str()), (Stage::Accepted, NOW, "ci"));
    assert!(earlier.is_some_and(|earlier| earlier != errand.id));
    let other = Hook { name: "ci2".to_owned(), ..hook };
    assert_ne!(other.errand(read, user, room, NOW).0.id, errand.id);
}
