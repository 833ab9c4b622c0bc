//! Every text that people read, in a row. The snapshot beside this file shows them as clients do, for an outsider to
//! read.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use ruma::{event_id, owned_user_id, room_id, server_name, user_id};
use serde_json::json;

use super::*;
use crate::core::{
    computing::Unposted,
    media::Unread,
    names::Names,
    notes::{Note, NoteError},
    opened::OpenedBlock,
    origin::{Left, OriginKind},
    render,
    tool::{ApprovalRule, Class, Grant, Here, Offer, ToolName},
    zone::Zone,
};

mod connecting;
mod console;
mod money;
mod timetable;
mod work;

const AT: Timestamp = Timestamp::from_ms(1_795_356_307_000);

/// Fragments, and texts for programs: nobody reads them on their own.
const PARTS: [&str; 36] = [
    "answer_file_name",
    "asks",
    "audit_room_name",
    "audit_room_topic",
    "call_in_file",
    "call_without_arguments",
    "cost",
    "counted",
    "decided",
    "export_file",
    "export_file_name",
    "export_head",
    "export_line",
    "export_speaker",
    "folded",
    "from_origin",
    "head",
    "in_the_file",
    "lobby_name",
    "lobby_topic",
    "masked",
    "moment",
    "more_arguments",
    "more_in_the_file",
    "more_steps",
    "named",
    "outcome",
    "sortable",
    "sortable_exact",
    "step_end",
    "step_outcome",
    "took",
    "who_decides",
    "whole_call",
    "whole_call_follows",
    "whole_on_card",
];

#[derive(Default)]
struct Book(String);

impl Book {
    fn part(&mut self, title: &str) {
        let _ = write!(self.0, "\n\n=== {title} ===");
    }

    fn told(&mut self, when: &str, markdown: &str) {
        self.shown(when, &render::own(markdown).body);
    }

    fn shown(&mut self, when: &str, body: &str) {
        let _ = write!(self.0, "\n\n({when})\n{body}");
    }
}

fn names() -> Names {
    let names = [("@alice:hs", "Alice"), ("@bob:hs", "Bob")];
    names.iter().map(|(id, name)| (ruma::UserId::parse(*id).expect("an id"), (*name).to_owned())).collect()
}

fn tool_name() -> ToolName {
    ToolName::parse("ops__deploy").expect("a name")
}

fn toolset() -> Toolset {
    let room = ["note_add", "room_read", "room_search", "time"].map(|name| Offer {
        name: ToolName::parse(name).expect("a name"),
        description: String::new(),
        schema: json!({}),
        source: crate::core::tool::Source::Room,
        class: if name == "note_add" { Class::Write } else { Class::Read },
        approval: ApprovalRule::Never,
        idempotent: true,
    });
    let servers = [("ops", "deploy"), ("ops", "restart"), ("logs", "read")];
    let servers = servers.iter().filter_map(|(server, tool)| Offer::of_server(server, tool, String::new(), json!({})));
    let offers: Vec<Offer> = room.into_iter().chain(servers).collect();
    let freely = |pattern: &str| Grant {
        class: Some(Class::Read),
        approval: Some(ApprovalRule::Never),
        ..Grant::plain(pattern)
    };
    let moderated = Grant { approval: Some(ApprovalRule::Moderator { level: 50 }), ..Grant::plain("ops__deploy") };
    let grants = [freely("logs__*"), moderated, Grant::plain("*")];
    Toolset::resolve(&grants, &offers, &BTreeMap::new(), &Here::default())
}

fn coworkers(book: &mut Book) {
    book.part("A coworker in a room");
    let tools = toolset();
    let words = FirstWords {
        name: "oncall",
        purpose: "Keeps an incident's story straight",
        encrypted: true,
        readable_from: Some(AT),
        tools: &tools,
        reads: Reads::AsAsker,
        zone: &Zone::default(),
        recogniser: None,
        unasked: Unasked::default(),
    };
    book.told("it joins an encrypted room", &first_words(&words));
    let unasked = Unasked { schedules: true, hooks: true, watches: true };
    book.told("it joins a room with hooks", &first_words(&FirstWords { unasked, ..words }));
    let (encrypted, tools, reads) = (false, &Toolset::default(), Reads::Room);
    book.told("another joins", &first_words(&FirstWords { encrypted, readable_from: None, tools, reads, ..words }));
    book.told("!help", &coworker_help("oncall"));
    book.told("!purpose", &purpose("Keeps an incident's story straight"));
    book.told("!tools", &super::tools(&toolset(), &["ops".to_owned()]));
    book.told("!tools of another; its first words", &format!("{}\n\n{}", no_tools(), tools_in_short(&toolset())));
    for running in 0..3 {
        book.told("!status", &status(running));
    }
    money::of_coworker(book);
    book.told("!stop", &stopped());
    book.told("!stop", &nothing_to_stop());
    book.told("!stop in a thread", &nothing_to_stop_here(1));
    book.told("!mute", &muted("oncall"));
    book.told("!unmute", &unmuted());
    book.told("another command", &unknown_command());
    book.told("only one person is left", &lonely());
    book.told("it is retired", &farewell());
    book.told("all of Workmate is removed: the reason of its leaving", &gone_for_good());
    book.told("its file is gone", &out_of_service());
    book.told("an answer comes late", &late_prefix(45));
    book.told("a request waits", &queued(1));
    book.told("a request waits", &queued(4));
    book.told("too many wait", &too_many_waiting());
    book.told("somebody of another server asks", &stranger());
    book.told("an invite to a chat of two", &declined_private("oncall"));
    book.told("an invite of somebody else", &declined_inviter("oncall"));
    book.part("Notes");
    let note = |number, text: &str| Note {
        number,
        text: text.to_owned(),
        by: owned_user_id!("@alice:hs"),
        at: AT,
        cause: String::new(),
    };
    book.told(
        "!notes",
        &notes("oncall", &[note(1, "the valve is *green*"), note(3, "ask Bob first")], &Zone::default()),
    );
    book.told("!notes without any", &no_notes("oncall"));
    book.told("!note", &noted(3));
    for why in [NoteError::Blank, NoteError::TooLong { chars: 1_234 }, NoteError::Full] {
        book.told("!note", &not_noted(why));
    }
    book.told("!forget 3", &forgot(3));
    book.told("!forget 9", &no_such_note(9));
    book.told("!forget", &forgot_all(2));
}

fn failures(book: &mut Book) {
    book.part("Why there is no answer");
    for again in [Again::ByReaction, Again::ByAsking] {
        let words = [overloaded_gave_up, model_unreachable, broken_off, tools_failed, cut_off, internal];
        for word in words {
            book.told(if again == Again::ByReaction { "a coworker" } else { "an assistant" }, &word(again));
        }
    }
    for again in [Again::ByReaction, Again::ByAsking] {
        book.told("both", &limited_for(12, again));
    }
    let words = [
        overloaded_trying,
        given_up,
        refused,
        answered_alone,
        answered_without,
        answered_without_results,
        cut_at_limit,
        unfinished,
        nothing_to_say,
        too_long,
        key_missing,
        key_refused,
        model_missing,
        account_exhausted,
        request_refused,
        work_too_long,
        call_cut,
        limit_before_words,
        rest_in_file,
        still_writing,
    ];
    for word in words {
        book.told("both", &word());
    }
    for cause in [KeyMissing::NotSent, KeyMissing::Withheld, KeyMissing::BeforeJoining, KeyMissing::DeviceLost] {
        book.told("undecryptable", &undecryptable(cause));
    }
    let unread = [
        Unread::Voice,
        Unread::TooLong,
        Unread::Encrypted,
        Unread::Broken,
        Unread::PictureFormat,
        Unread::Empty,
        Unread::NoWords,
        Unread::Unavailable,
        Unread::Unheard,
        Unread::Silence,
        Unread::TooLongToHear,
        Unread::LeftOut,
    ];
    for why in unread {
        book.told("a file", &files::unreadable(why));
    }
    book.told("an answer of files", &files::made_files());
    for (too_many, secret) in [(1, 0), (490, 2)] {
        let unposted = Unposted { too_many, secret, missing: 1, ..Unposted::default() };
        book.told("files that are not posted", &files::unposted(&unposted));
        let uncounted = Unposted { too_many: too_many + 900, uncounted: true, ..Unposted::default() };
        book.told("files that are not posted", &files::unposted(&uncounted));
    }
    book.told("by another door", &answer_not_posted("oncall", "!room:hs", "$ask", true));
    book.told("by another door", &answer_not_posted("oncall", "!room:hs", "$ask", false));
    book.told("by another door", &no_power("oncall", "!room:hs"));
    book.told("by another door", &room_replaced("oncall", "!room:hs"));
    money::declined(book);
    book.part("Errands");
    for (title, state) in [(Some("Disk *full* on\ndb-1"), Some("firing")), (None, None)] {
        book.told("a delivery", &errands::reported("alertmanager", title, state));
    }
    let headline = errands::reported("alertmanager", Some("Disk full"), Some("firing"));
    book.told("a matter", &errands::standing(&headline, "resolved"));
    for why in [Left::Muted, Left::Paused, Left::TooOld, Left::NotThere] {
        book.told("a report that is left", &errands::left(&headline, why));
    }
    book.told("too many reports", &errands::too_fast(OriginKind::Hook, 10));
    book.told("too much that is watched for", &errands::full());
    book.told("an event", &errands::seen("builds", "org.example.build", user_id!("@ci-bot:hs")));
}

fn assistants(book: &mut Book) {
    book.part("An assistant");
    book.told("its name", &assistant_name(user_id!("@alice:hs"), "Alice"));
    book.told("its first words", &assistant_first(Some("stt.example.org"), &toolset()));
    book.told("!help", &assistant_help());
    book.told("!new", &fresh());
    book.told("after a pause", &fresh_after_pause(12));
    book.told("a third member", &third_member(&pill(user_id!("@workmate:hs"), "Workmate")));
    book.told(
        "a looser room",
        &room_loosened(&["guests can come in".to_owned()], &pill(user_id!("@workmate:hs"), "Workmate")),
    );
    book.told("somebody else's", &not_your_assistant(&pill(user_id!("@assistant-bob:hs"), "@assistant-bob:hs")));
    book.told("a new room", &moving::unseen("oncall", "https://matrix.to/#/!old:hs", "https://matrix.to/#/!new:hs"));
    book.told("a new room", &moving::moved(None, &Toolset::default()));
    book.told("a new room", &moving::awaiting_invite(&pill(user_id!("@workmate:hs"), "Workmate")));
    book.told("a new room", &moving::not_followed(&["someone else is there".to_owned()]));
    book.part("Its sessions");
    for text in [sessions::adopted(), sessions::renewed(), sessions::forgetting(), sessions::forgotten(12, false)] {
        book.told("a session", &text);
    }
    book.told("!export", &sessions::exported(12, (AT, AT), true, &Zone::default()));
    book.told("!export", &sessions::nothing_to_export());
    book.told("!share", &sessions::nothing_to_share());
    book.part("Opened rooms");
    let block =
        OpenedBlock { messages: 12, span: Some((AT, AT)), over_budget: 7, undecryptable: 2, ..OpenedBlock::default() };
    let header = opened::Header {
        room: room_id!("!team:hs"),
        event: Some(event_id!("$root")),
        name: Some("Team"),
        via: server_name!("hs"),
        block: &block,
        forbidden: true,
        older: true,
        zone: &Zone::default(),
    };
    book.told("!open", &opened::header(&header));
    for text in [opened::cannot_open(), opened::open_what(), opened::too_many_open()] {
        book.told("!open", &text);
    }
    book.told("closed", &opened::closed(room_id!("!team:hs"), server_name!("hs")));
    book.part("Trust");
    book.told("emoji", &trust::compare(&[("🐶", "Dog"), ("🔑", "Key")]));
    let words = [
        trust::verified,
        trust::cancelled,
        trust::crossed,
        trust::broken_off,
        trust::differed,
        trust::timed_out,
        trust::no_device,
        trust::too_many,
        trust::not_encrypted,
        trust::not_encrypted_here,
    ];
    for word in words {
        book.told("trust", &word());
    }
    for device in [None, Some("Element")] {
        book.told("!verify", &trust::look_for_request(device));
    }
    book.told("another encryption", &trust::other_encryption("oncall", "!room:hs"));
    for answered in [true, false] {
        book.told("an unverified device", &trust::unverified_device("ABCDE", answered));
    }
}

fn service(book: &mut Book) {
    book.part("Why one of ours does not come, or does not stay");
    let (bot, room) = ("@workmate:hs", "https://matrix.to/#/!chat:hs");
    book.told("a coworker", &declining::only_in_rooms(bot));
    book.told("a coworker", &declining::works_in_rooms(bot, &[]));
    book.told("a coworker", &declining::works_in_rooms(bot, &["Team".to_owned(), "Incidents".to_owned()]));
    book.told("a coworker", &declining::not_from_you());
    book.told("a coworker", &declining::retired(bot));
    book.told("a coworker", &declining::room_too_large());
    book.told("an assistant", &declining::others_assistant(bot));
    book.told("an assistant", &declining::assistant_of_one());
    for invited in [true, false] {
        book.told("an assistant", &declining::own_chat(room, invited));
    }
    book.told("an assistant", &declining::no_assistants());
    book.told("an assistant", &declining::members_only());
    book.told("an assistant", &declining::written_elsewhere());
    book.told("the service bot", &declining::service_alone());
    book.part("The service bot");
    let user_id = user_id!("@coworker-ci:hs");
    let listed = [ListedCoworker { user_id, name: "ci", purpose: "Watches the builds." }];
    let assistant = pill(user_id!("@assistant-alice:hs"), "Alice's assistant");
    let [lobby, chat] = ["[Coworkers](https://matrix.to/#/!lobby:hs)", "[your chat](https://matrix.to/#/!chat:hs)"];
    book.told("a chat with it", &welcome(&listed, None));
    book.told("!coworkers", &coworker_list(&listed, Some(lobby)));
    book.told("!assistant", &assistant_is_here(&assistant, None));
    book.told("!assistant", &assistant_is_known(&assistant, Some(chat)));
    book.told("!assistant", &assistants_off());
    book.told("!assistant", &not_a_member());
    book.told("!assistant", &id_does_not_fit());
    book.told("!help", &service_help(false));
    book.told("!help of an admin", &service_help(true));
    let status = ServiceStatus {
        version: "0.1.0",
        up_minutes: 180,
        coworkers: 2,
        assistants: 40,
        assistants_open: 3,
        running: 1,
        waiting: 5,
        provisioning: Some((7, 1)),
        servers_up: vec!["logs".to_owned()],
        servers_down: vec!["ops".to_owned()],
        claude: None,
    };
    money::of_service(book, &service_status(&status));
    let changed = ChangedTool { name: tool_name(), fingerprint: "0123abcd".to_owned() };
    book.told("a tool has changed", &tool_changed(&tool_name(), "@workmate:hs"));
    book.told("!changes", &changed_tools(&[changed], "changes.md"));
    book.told("!changes", &changed_tools(&[], "changes.md"));
    book.told("!accept", &accepted(&tool_name()));
    book.told("!accept", &not_accepted());
}

#[test]
fn all_words_in_a_row() {
    let mut book = Book::default();
    for part in [
        coworkers,
        work::work,
        failures,
        assistants,
        service,
        timetable::timetable,
        connecting::connections,
        console::console,
    ] {
        part(&mut book);
    }
    insta::assert_snapshot!(book.0.trim_start());
}

#[test]
fn no_text_is_missing_in_the_row() {
    let words = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/words");
    let files = fs::read_dir(&words).expect("a folder").map(|file| file.expect("a file").path());
    let mut sources = vec![include_str!("../words.rs").to_owned()];
    sources.extend(files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).expect("it is read")));
    let here = concat!(
        include_str!("all.rs"),
        include_str!("all/money.rs"),
        include_str!("all/timetable.rs"),
        include_str!("all/work.rs"),
    );
    let mut seen = 0;
    for name in sources.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("pub fn ")) {
        let name = name.split(['(', '<']).next().unwrap_or_default();
        seen += 1;
        let is_told = ["(", ",", "]"].iter().any(|end| here.contains(&format!("{name}{end}")));
        assert!(is_told || PARTS.contains(&name), "{name} is not in the row: add it to words/all.rs");
    }
    assert!(seen > 90, "{seen}");
}
