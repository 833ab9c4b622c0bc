use super::*;

#[test]
fn a12_what_follows_remind_says_when_and_of_what() {
    let berlin = zone("Europe/Berlin");
    let reading = Reading { zone: &berlin, now: at(NOW) };
    let table = [
        ("10m tea", Ok(("2026-11-30T04:10:00Z", "tea"))),
        ("me tomorrow at ten to call Anna", Ok(("2026-12-01T09:00:00Z", "call Anna"))),
        ("tomorrow 10:00 call Anna", Ok(("2026-12-01T09:00:00Z", "call Anna"))),
        ("that the oven is on in 5 minutes", Ok(("2026-11-30T04:05:00Z", "the oven is on"))),
        ("10m", Err(ReminderError::NoText)),
        ("", Err(ReminderError::When(WhenError::Missing))),
        ("buy milk", Err(ReminderError::When(WhenError::Unknown))),
        ("tomorrow", Err(ReminderError::When(WhenError::NoTime))),
        ("tea on december 5", Err(ReminderError::When(WhenError::NoTime))),
        ("5.12. tea", Err(ReminderError::When(WhenError::NoTime))),
        ("6 months renew contract", Err(ReminderError::When(WhenError::Unknown))),
    ];
    for (said, expected) in table {
        let asked = Asked::parse(said, &reading).map(|asked| match asked.when {
            When::At(at) => (shown(at), asked.text),
            When::Cron(cron) => (cron, asked.text),
        });
        assert_eq!(asked, expected.map(|(when, text)| (when.to_owned(), text.to_owned())), "{said}");
    }
    let task = |said: &str| Asked::parse_task(said, &reading).map(|asked| (asked.text, asked.is_task));
    assert_eq!(task("every friday at 16:00 sum up what I missed"), Ok(("sum up what I missed".to_owned(), true)));
    assert_eq!(task("every friday at 16:00"), Err(ReminderError::NoTask));
    assert_eq!(task("every friday sum up"), Err(ReminderError::When(WhenError::NoTime)));
    let table = [("10m tea", true), ("tomorrow at 9 tea", false), ("daily at 9 tea", false), ("in 2 hours tea", true)];
    for (said, expected) in table {
        assert_eq!(Asked::is_same_everywhere(|reading| Asked::parse(said, reading), at(NOW)), expected, "{said}");
    }
}

#[test]
fn a12_a_reminder_comes_however_late_and_goes_when_it_came() {
    let (berlin, now) = (zone("Europe/Berlin"), at(NOW));
    let mut kept = Reminders::default();
    let ask = |said: &str| Asked::parse(said, &Reading { zone: &berlin, now }).expect(said);
    let once = kept.add(&ask("tomorrow at 10 tea"), &berlin, "$1", now).expect("added");
    assert_eq!(kept.add(&ask("tomorrow at 10 tea"), &berlin, "$1", now).map(|one| one.number), Ok(1), "the same event");
    let daily = kept.add(&ask("daily at 10 water"), &berlin, "$2", now).expect("added");
    let owes = |one: &Reminder, now: &str| {
        let owing = one.owing(at(now)).expect("a rule");
        (owing.due.map(shown), owing.is_late)
    };
    let ten = || Some("2026-12-01T09:00:00Z".to_owned());
    assert_eq!(owes(&once, "2026-12-01T08:59:59Z"), (None, false));
    assert_eq!(owes(&once, "2026-12-01T09:00:01Z"), (ten(), false));
    assert_eq!(owes(&once, "2027-12-01T09:00:01Z"), (ten(), true), "a year late");
    assert_eq!(owes(&daily, "2026-12-05T09:30:00Z"), (Some("2026-12-05T09:00:00Z".to_owned()), true));
    kept.handled(1, at("2026-12-01T09:00:00Z"));
    kept.handled(2, at("2026-12-01T09:00:00Z"));
    let left: Vec<_> = kept.list().iter().map(|one| (one.number, one.next(now).map(shown))).collect();
    assert_eq!(left, [(2, Some("2026-12-02T09:00:00Z".to_owned()))]);
    let table = [
        (Asked { text: " ".to_owned(), ..ask("10m x") }, ReminderError::NoText),
        (Asked { text: "x".repeat(REMINDER_CHARS_MAX + 1), ..ask("10m x") }, ReminderError::LongText),
        (Asked { text: " ".to_owned(), is_task: true, ..ask("10m x") }, ReminderError::NoTask),
        (ask("every 5 minutes x"), ReminderError::TooOften),
        (Asked { when: When::At(now), ..ask("10m x") }, ReminderError::When(WhenError::Over)),
    ];
    for (asked, expected) in table {
        assert_eq!(kept.add(&asked, &berlin, "", now), Err(expected));
    }
    while kept.list().len() < REMINDERS_MAX {
        kept.add(&ask("10m x"), &berlin, "", now).expect("there is room");
    }
    assert_eq!(kept.add(&ask("10m x"), &berlin, "", now), Err(ReminderError::Full));
    assert_eq!(kept.remove(2).map(|one| one.text), Some("water".to_owned()));
    let stored = serde_json::to_string(&kept.list()[0]).expect("JSON");
    let expected = r#"{"number":3,"text":"x","when":{"at":1796011800000},"zone":"Europe/Berlin","until":1796011200000,"cause":""}"#;
    assert_eq!(stored, expected);
    assert_eq!(serde_json::from_str::<Reminders>("{}").expect("reminders"), Reminders::default());
}
