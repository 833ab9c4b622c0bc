//! Tests of `hooks:` and `watches:`.

use super::*;
use crate::core::hook::{Naming, Proof, Sender, Threading};

const CREDENTIALS: &str =
    "credentials: {gh: {value: s3cret}, std: {value: \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"}}\n";

#[test]
fn c21_hooks_and_watches_are_read_with_their_defaults() {
    let folder = Folder::new(&format!("{MINIMAL}{CREDENTIALS}"));
    folder.write(
        "coworkers/ci.yaml",
        &format!(
            "{CI}hooks:\n  - name: github\n    room: \"#dev:example.org\"\n    task: Say what broke.\n    proof: github\n    \
             credential: gh\n    events: [workflow_run]\n    filter:\n      - {{at: /workflow_run/conclusion, is: [failure, \
             timed_out]}}\n  - name: shop\n    room: \"!shop:example.org\"\n    task: Look.\n    proof: standard\n    \
             credential: std\n    thread: /data/id\n    delivery: header:X-Id\n    mention: [\"@alice:example.org\"]\n\
             watches:\n  - name: red\n    room: \"#dev:example.org\"\n    senders: [\"@bot:example.org\"]\n    pattern: \
             'FAILED|ERROR'\n    event: org.example.build\n    task: Digest it.\n"
        ),
    );
    let (config, _) = folder.load(&[]).expect("loads");
    let coworker = &config.coworkers[0];
    let [github, shop] = coworker.hooks.as_slice() else { panic!("two hooks") };
    assert_eq!(
        (github.hook.proof, github.hook.sender, github.hook.delivery.as_ref()),
        (Proof::Github, Sender::Github, None)
    );
    assert_eq!((&github.hook.thread, github.hook.filter.len()), (&Threading::BySender, 1));
    assert_eq!((shop.hook.proof, shop.hook.sender), (Proof::Standard, Sender::Other));
    assert_eq!(shop.hook.thread, Threading::By(Naming::Pointer("/data/id".to_owned())));
    assert_eq!(shop.hook.delivery, Some(Naming::Header("x-id".to_owned())));
    assert_eq!((coworker.watches.len(), config.has_hooks()), (1, true));
    assert_eq!(coworker.watches[0].event.as_deref(), Some("org.example.build"));
    assert_eq!(config.hooks_listen.to_string(), "127.0.0.1:29333");
}

#[test]
fn c21_c22_faults_of_hooks_and_watches_are_told_all_at_once() {
    let folder = Folder::new(&format!("{MINIMAL}{CREDENTIALS}"));
    folder.write(
        "coworkers/ci.yaml",
        &format!(
            "{CI}hooks:\n  - {{name: Git Hub, room: dev, proof: md5, credential: none, filter: [{{at: status}}, {{at: /a}}]}}\n  \
             - {{name: one, room: \"!r:x\", task: t, proof: standard, credential: gh, header: X-Sig}}\n  \
             - word\nwatches:\n  - {{name: w, room: \"!r:x\", task: t, senders: [], pattern: \"(\", event: m.room.encrypted}}\n"
        ),
    );
    let faults = folder.load(&[]).expect_err("faulty").to_string();
    for part in [
        "hooks[0].name",
        "hooks[0].room",
        "hooks[0].task",
        "hooks[0].proof",
        "hooks[0].credential",
        "hooks[0].filter[0].at",
        "hooks[0].filter[1]",
        "hooks[1].credential",
        "hooks[1].header",
        "hooks[2]",
        "watches[0].senders",
        "watches[0].pattern",
        "watches[0].event",
    ] {
        assert!(faults.contains(part), "{part} is not told:\n{faults}");
    }
    assert!(!faults.contains("s3cret"), "{faults}");
}

#[test]
fn c21_c22_hooks_and_watches_need_a_task_and_keep_to_the_bounds_of_their_lists() {
    let folder = Folder::new(&format!("{MINIMAL}{CREDENTIALS}"));
    let words = |count: usize| vec!["word"; count].join(", ");
    let people = |count: usize| vec!["\"@a:b.c\""; count].join(", ");
    let write = |task: &str, over: usize| {
        let (words, people) = (words(50 + over), people(50 + over));
        let hook = format!("name: h, room: \"!r:x\", task: {task}, proof: bearer, credential: gh, events: [{words}]");
        let filter = format!("{{at: /a, is: [{words}]}}");
        let watch = format!("name: w, room: \"!r:x\", task: {task}, senders: [{people}], mention: [{people}]");
        let file =
            format!("{CI}hooks: [{{{hook}, mention: [{people}], filter: [{filter}]}}]\nwatches: [{{{watch}}}]\n");
        folder.write("coworkers/ci.yaml", &file);
    };
    write("t", 0);
    folder.load(&[]).expect("loads");
    write("\" \"", 1);
    let faults = folder.load(&[]).expect_err("faulty").to_string();
    for part in ["hooks[0].task: empty", "watches[0].task: empty"] {
        assert!(faults.contains(part), "{part} is not told:\n{faults}");
    }
    for key in
        ["hooks[0].events", "hooks[0].filter[0].is", "hooks[0].mention", "watches[0].senders", "watches[0].mention"]
    {
        assert!(faults.contains(&format!("{key}: 51 entries")), "{key} is not told:\n{faults}");
    }
}

#[test]
fn c21_a_credential_s_fault_is_told_where_it_stands_and_only_what_goes_into_a_header_is_bound_to_ascii() {
    let folder = Folder::new(&format!(
        "{MINIMAL}credentials: {{gh: {{value: \"schön und gut\"}}, lost: {{value_env: NOT_SET}}}}\n"
    ));
    let hook = |name: &str, credential: &str| {
        format!("{{name: {name}, room: \"!r:x\", task: t, proof: github, credential: {credential}}}")
    };
    let write = |credential: &str, tool: &str| {
        folder.write("coworkers/ci.yaml", &format!("{CI}hooks: [{}]\n{tool}", hook("one", credential)));
    };
    let tool = "tools: [{tool: http_get, hosts: [a.example], credential: gh}]\n";
    write("gh", tool);
    let faults = folder.load(&[]).expect_err("faulty").to_string();
    assert!(faults.contains("tools[0].credential") && faults.contains("HTTP header"), "{faults}");
    assert!(!faults.contains("hooks["), "{faults}");
    write("lost", "");
    let faults = folder.load(&[]).expect_err("faulty").to_string();
    assert!(faults.contains("credentials.lost") && !faults.contains("hooks["), "{faults}");
}

#[test]
fn c21_c22_what_can_never_count_is_a_fault_and_each_fault_is_told_once() {
    let folder = Folder::new(&format!("{MINIMAL}{CREDENTIALS}"));
    let hook = |filter: &str| {
        format!(
            "hooks: [{{name: h, room: \"!r:x\", task: t, proof: bearer, credential: gh, filter: [{{at: /a, {filter}}}]}}]\n"
        )
    };
    let watch = |keys: &str| format!("watches: [{{name: w, room: \"!r:x\", task: t, {keys}}}]\n");
    for (keys, told) in [
        (hook("exists: false, is: x"), "a condition that no report meets"),
        (hook("above: x"), "is not a number"),
        (hook("exists: perhaps"), "exists"),
        (hook("ist: x"), "unknown key"),
        (watch("senders: [\"@b\"]"), "is not a full user id"),
        (watch("senders: [\"@b.*:localhost\"]"), "looks like a pattern"),
        (watch("senders: [\"@workmate:example.org\"]"), "one of Workmate's own users"),
        (watch("senders: [\"@coworker-ci:example.org\"]"), "one of Workmate's own users"),
        (watch("senders: [\"@b:example.org\"], pattern: ''"), "It would match every message."),
    ] {
        folder.write("coworkers/ci.yaml", &format!("{CI}{keys}"));
        let faults = folder.load(&[]).expect_err(&keys);
        assert!(faults.to_string().contains(told), "{keys}:\n{faults}");
        assert_eq!(faults.as_slice().len(), 1, "{keys}:\n{faults}");
    }
}

#[test]
fn c21_two_hooks_of_one_name_are_a_fault() {
    let folder = Folder::new(&format!("{MINIMAL}{CREDENTIALS}"));
    let hook = "hooks: [{name: same, room: \"!r:x\", task: t, proof: bearer, credential: gh}]\n";
    folder.write("coworkers/ci.yaml", &format!("{CI}{hook}"));
    folder.write("coworkers/other.yaml", &format!("{}{hook}", CI.replace("ci", "other")));
    let faults = folder.load(&[]).expect_err("faulty").to_string();
    assert!(faults.contains("also a hook's name"), "{faults}");
}
