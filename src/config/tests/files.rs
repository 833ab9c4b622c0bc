//! What may be at a path in place of a file.

use std::{
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
};

use nix::{sys::stat::Mode, unistd::mkfifo};

use super::*;

#[test]
fn op4_what_stands_in_a_file_s_place_is_named_with_a_mend_of_its_own() {
    let folder = Folder::new(MINIMAL);
    let at = |name: &str| folder.path("coworkers").join(name);
    fs::create_dir(at("folder.yaml")).expect("made");
    symlink("loop.yaml", at("loop.yaml")).expect("linked");
    symlink("nowhere", at("gone.yaml")).expect("linked");
    symlink("/dev/zero", at("device.yaml")).expect("linked");
    symlink(Path::new("ci.yaml/below"), at("through.yaml")).expect("linked");
    mkfifo(&at("pipe.yaml"), Mode::S_IRWXU).expect("made");
    let _socket = UnixListener::bind(at("socket.yaml")).expect("bound");
    fs::write(at("utf16.yaml"), b"\xff\xfei\0d\0").expect("written");
    let faults = folder.load(&[]).expect_err("they are no files");
    let told: Vec<String> = faults.as_slice().iter().map(ToString::to_string).collect();
    for (name, what, mend) in [
        ("device", "it is a device, not a file", "move it away, or put a file in its place."),
        ("folder", "it is a folder", "move the folder away, or name a file."),
        ("gone", "there is no such file", "correct the link, which leads nowhere, or remove it."),
        ("loop", "it is a link that leads back to itself", "correct the link, or remove it."),
        ("pipe", "it is a pipe, not a file", "move it away, or put a file in its place."),
        ("socket", "it is a socket, not a file", "move it away, or put a file in its place."),
        ("through", "it, or a part of its path, is no folder", "let the user that runs Workmate read it"),
        ("utf16", "it is not UTF-8 text", "save it as text in UTF-8"),
    ] {
        let about = told
            .iter()
            .find(|text| text.contains(&format!("/{name}.yaml")))
            .unwrap_or_else(|| panic!("{name}: {told:?}"));
        assert!(about.contains(what) && about.contains(&format!("Mend: {mend}")), "{about}");
    }
    assert_eq!(told.len(), 8, "the good one is none of them");
}

#[test]
fn op4_a_file_that_is_no_configuration_is_told_in_one_fault_that_quotes_none_of_it() {
    let shadow = "root:$6$salt$hash:20228:0:99999:7:::\ndaemon:*:20228:0:99999:7:::\n";
    let registration = "id: workmate\nurl: http://127.0.0.1:29330\nas_token: SECRET\nhs_token: SECRET\n";
    for (text, what) in [
        (shadow, "is no configuration of Workmate"),
        (registration, "is no configuration of Workmate"),
        ("services:\n  synapse:\n    image: x\n", "is no configuration of Workmate"),
        ("just words\n", "is no configuration of Workmate"),
        ("- a\n- b\n", "is no configuration of Workmate"),
        ("", "holds nothing"),
        ("# nothing yet\n", "holds nothing"),
    ] {
        let folder = Folder::new(text);
        let faults = folder.faults();
        assert!(faults.starts_with(&format!("workmate.yaml: {what}")), "{text}: {faults}");
        assert_eq!(faults.matches("Mend: ").count(), 1, "{faults}");
        assert!(!faults.contains("$6$") && !faults.contains("SECRET") && !faults.contains("daemon"), "{faults}");
    }
    // A slip in the only section is told as a slip.
    assert!(Folder::new("homesever:\n  url: x\n").faults().contains("did you mean `homeserver`?"));
}

#[test]
fn op4_a_folder_of_coworkers_in_whose_place_a_file_stands_is_told() {
    let folder = Folder::new(&format!("coworkers_dir: workmate.yaml\n{MINIMAL}"));
    assert!(folder.faults().contains("Mend: create the folder, or correct coworkers_dir."), "{}", folder.faults());
}
