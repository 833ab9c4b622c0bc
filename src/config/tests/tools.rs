//! The tools that coworkers and assistants are granted, MCP servers and credentials.

use super::*;
use crate::core::tool::{ApprovalRule, Class, Setting, Transport};

const TOOLS: &str = "\
credentials:
  ci: {value: s3cret-of-the-builds}
mcp_servers:
  logs:
    command: [npx, -y, server, /logs]
    env: {LANG: C, TOKEN: {credential: ci}}
  tickets:
    url: https://tickets.example.org/mcp
    headers: {Authorization: {credential: ci}}
";

#[test]
fn c12_tools_are_granted_by_name_or_pattern_with_their_conditions() {
    let folder = Folder::new(&format!("{MINIMAL}{TOOLS}"));
    folder.write(
        "coworkers/ci.yaml",
        &format!(
            "{CI}tools:\n  - room_search\n  - {{name: logs__read_*, class: read, approval: never, timeout_seconds: 5}}\n  \
             - {{name: http_get, hosts: [CI.example.org, \"*.example.net:8443\"], credential: ci, approval: 75}}\n  \
             - {{name: tickets__close, approval: [\"@ada:example.org\"], output_bytes_max: 1000, idempotent: true}}\n"
        ),
    );
    let (config, _) = folder.load(&[]).expect("loads");

    let mut read = Grant::plain("logs__read_*");
    (read.class, read.approval, read.timeout_ms) = (Some(Class::Read), Some(ApprovalRule::Never), Some(5_000));
    let mut get = Grant::plain("http_get");
    get.hosts = vec!["ci.example.org".to_owned(), "*.example.net:8443".to_owned()];
    (get.credential, get.approval) = (Some("ci".to_owned()), Some(ApprovalRule::Moderator { level: 75 }));
    let mut close = Grant::plain("tickets__close");
    let ada = ruma::user_id!("@ada:example.org").to_owned();
    close.approval = Some(ApprovalRule::People([ada].into()));
    (close.output_bytes_max, close.idempotent) = (Some(1_000), Some(true));
    assert_eq!(config.coworkers[0].tools, [Grant::plain("room_search"), read, get, close]);

    let credential = || Setting::Credential("ci".to_owned());
    let env = [("LANG".to_owned(), Setting::Plain("C".to_owned())), ("TOKEN".to_owned(), credential())].into();
    let command = ["npx", "-y", "server", "/logs"].map(str::to_owned).to_vec();
    let url = Url::parse("https://tickets.example.org/mcp").expect("a URL");
    let headers = [("Authorization".to_owned(), credential())].into();
    assert_eq!(
        config.mcp_servers,
        [
            Server { name: "logs".to_owned(), transport: Transport::Stdio { command, env } },
            Server { name: "tickets".to_owned(), transport: Transport::Http { url, headers } },
        ]
    );
    assert!(config.credentials["ci"].matches("s3cret-of-the-builds"));
}

#[test]
fn each_fault_of_tools_says_how_to_mend_it() {
    let folder = Folder::new(&format!(
        "{MINIMAL}credentials:\n  ci: {{}}\nmcp_servers:\n  Logs: {{command: [x]}}\n  a: {{}}\n  b: {{command: [], \
         headers: {{X: y}}}}\n  c: {{url: \"https://u:p@x\", env: {{A: {{credential: nobody}}}}}}\n"
    ));
    folder.write(
        "coworkers/ci.yaml",
        &format!(
            "{CI}tools:\n  - room_saerch\n  - http_get\n  - {{name: time, approval: everyone, hosts: [localhost]}}\n  \
             - {{name: time, approval: []}}\n  - {{approval: never}}\n"
        ),
    );
    insta::assert_snapshot!(folder.faults());
}

#[test]
fn a4_assistants_have_the_tools_that_are_granted_and_none_by_default() {
    let folder = Folder::new(MINIMAL);
    folder.write("coworkers/ci.yaml", CI);
    let (config, _) = folder.load(&[]).expect("loads");
    assert_eq!(config.assistants.tools, []);

    let folder = Folder::new(&format!(
        "{MINIMAL}{TOOLS}assistants:\n  tools:\n    - time\n    - logs__*\n    - {{name: tickets__list, approval: never}}\n    \
         - {{name: web_search, hosts: [docs.example.org]}}\n"
    ));
    folder.write("coworkers/ci.yaml", CI);
    let (config, _) = folder.load(&[]).expect("loads");
    let list = Grant { approval: Some(ApprovalRule::Never), ..Grant::plain("tickets__list") };
    let search = Grant { hosts: vec!["docs.example.org".to_owned()], ..Grant::plain("web_search") };
    assert_eq!(config.assistants.tools, [Grant::plain("time"), Grant::plain("logs__*"), list, search]);
}

#[test]
fn c24_code_execution_is_granted_by_name_and_its_skills_with_it() {
    let folder = Folder::new(&format!("{MINIMAL}assistants:\n  tools:\n    - code_execution\n"));
    folder.write("coworkers/ci.yaml", &format!("{CI}tools:\n  - code_execution\n  - skill_xlsx\n"));
    let (config, _) = folder.load(&[]).expect("loads");
    assert_eq!(config.coworkers[0].tools, [Grant::plain("code_execution"), Grant::plain("skill_xlsx")]);
    assert_eq!(config.assistants.tools, [Grant::plain("code_execution")]);

    let folder = Folder::new(&format!(
        "{MINIMAL}assistants:\n  tools:\n    - skill_pdf\n    - {{name: skill_docx, approval: asker}}\n"
    ));
    folder.write("coworkers/ci.yaml", CI);
    let faults = folder.faults();
    for fault in
        ["`skill_pdf` without `code_execution`", "grant code_execution too", "before anybody here could be asked"]
    {
        assert!(faults.contains(fault), "{faults}");
    }
}

#[test]
fn a4_each_fault_of_assistants_tools_says_how_to_mend_it() {
    let folder = Folder::new(&format!(
        "{MINIMAL}{TOOLS}assistants:\n  tools:\n    - room_read\n    - {{name: note_add, approval: never}}\n    \
         - http_get\n    - web_search\n    - {{name: web_fetch, hosts: [docs.example.org], approval: asker}}\n    \
         - {{name: logs__read, approval: moderator}}\n    - {{name: tickets__close, approval: [\"@ada:example.org\"]}}\n"
    ));
    folder.write("coworkers/ci.yaml", CI);
    insta::assert_snapshot!(folder.faults());
}
