use super::*;

fn parsed(text: &str) -> Result<String, WhenError> {
    let berlin = zone("Europe/Berlin");
    let meant = When::parse(text, &Reading { zone: &berlin, now: at(NOW) })?;
    let said = match meant.when {
        When::Cron(cron) => cron,
        When::At(at) => shown(at),
    };
    let zone = meant.zone.name().unwrap_or_default();
    Ok(if meant.names_zone { format!("{said} {zone}") } else { said })
}

#[test]
fn a12_c20_a_zone_may_be_named_beside_the_time_and_its_clock_counts() {
    let table = [
        ("10am in New York", "2026-11-30T15:00:00Z America/New_York"),
        ("tomorrow at 10 in new york", "2026-11-30T15:00:00Z America/New_York"),
        ("tomorrow in Tokyo at 10", "2026-12-01T01:00:00Z Asia/Tokyo"),
        ("10:00 New York time", "2026-11-30T15:00:00Z America/New_York"),
        ("at 10 in New York time", "2026-11-30T15:00:00Z America/New_York"),
        ("at 9 Asia/Kolkata", "2026-12-01T03:30:00Z Asia/Kolkata"),
        ("at 9 (asia/kolkata)", "2026-12-01T03:30:00Z Asia/Kolkata"),
        ("17:00 UTC", "2026-11-30T17:00:00Z UTC"),
        ("2026-12-24 09:00 in Port-au-Prince", "2026-12-24T14:00:00Z America/Port-au-Prince"),
        // By that clock it is still Sunday.
        ("today at 23:30 in Los Angeles", "2026-11-30T07:30:00Z America/Los_Angeles"),
        ("every weekday at 9 in London", "0 9 * * 1-5 Europe/London"),
        ("every friday at 16:00 Europe/London", "0 16 * * 5 Europe/London"),
        ("0 9 * * 1-5 America/New_York", "0 9 * * 1-5 America/New_York"),
        ("0 0 * * * UTC", "0 0 * * * UTC"),
    ];
    for (text, expected) in table {
        assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
    }
    for text in [
        "in New York",
        "in New York at 10",
        "at 10 in Narnia",
        "at 10 in New",
        "at 10 Narnia/Cair_Paravel",
        "at 10 ../../etc/passwd",
        "at 10 in New York in Tokyo",
        "at 9 EST",
        "at 9 time",
    ] {
        assert!(matches!(parsed(text), Err(WhenError::Unknown)), "{text}: {:?}", parsed(text));
    }
}

#[test]
fn c20_the_last_of_a_weekday_and_a_month_s_working_days_come_in_every_month() {
    let table = [
        ("last friday of the month at 16:00", "0 16 * * 5L", ["2026-12-25T15:00:00Z", "2027-01-29T15:00:00Z"]),
        ("last working day of the month at 17", "0 17 LW * *", ["2026-11-30T16:00:00Z", "2026-12-31T16:00:00Z"]),
        ("first weekday of the month at 9", "0 9 1W * *", ["2026-12-01T08:00:00Z", "2027-01-01T08:00:00Z"]),
        ("first and third monday at 9", "0 9 * * 1#1,1#3", ["2026-12-07T08:00:00Z", "2026-12-21T08:00:00Z"]),
    ];
    for (text, expected, next) in table {
        assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
        let due: Vec<String> = rule(expected, "Europe/Berlin").next(at(NOW), 2).into_iter().map(shown).collect();
        assert_eq!(due, next, "{text}");
    }
    // Each against the calendar itself, through years that begin and end on every day of the week.
    let is_workday = |date: jiff::civil::Date| date.weekday().to_monday_zero_offset() < 5;
    let mut date = jiff::civil::date(2026, 1, 1);
    let mut expected: [Vec<jiff::civil::Date>; 3] = Default::default();
    while date.year() < 2040 {
        let month: Vec<_> =
            (1..=date.days_in_month()).map(|day| date.with().day(day).build().expect("a day")).collect();
        expected[0].extend(month.iter().rfind(|day| day.weekday() == jiff::civil::Weekday::Friday));
        expected[1].extend(month.iter().rfind(|day| is_workday(**day)));
        expected[2].extend(month.iter().find(|day| is_workday(**day)));
        date = date.checked_add(jiff::Span::new().months(1)).expect("a date");
    }
    for (cron, expected) in ["0 12 * * 5L", "0 12 LW * *", "0 12 1W * *"].iter().zip(expected) {
        let due = rule(cron, "UTC").next(at("2025-12-31T23:00:00Z"), expected.len());
        let expected: Vec<String> = expected.iter().map(|day| format!("{day}T12:00:00Z")).collect();
        assert_eq!(due.into_iter().map(shown).collect::<Vec<_>>(), expected, "{cron}");
    }
}

#[test]
fn c20_phrases_that_repeat_become_cron_expressions() {
    let table = [
        ("every weekday at 09:00", "0 9 * * 1-5"),
        ("Every Weekday at 9", "0 9 * * 1-5"),
        ("weekdays 9:30", "30 9 * * 1-5"),
        ("on weekdays at 9am", "0 9 * * 1-5"),
        ("at 9 on weekdays", "0 9 * * 1-5"),
        ("9:00 every monday", "0 9 * * 1"),
        ("every monday and thursday at 9", "0 9 * * 1,4"),
        ("every mon, wed and fri at 17.15", "15 17 * * 1,3,5"),
        ("mondays at noon", "0 12 * * 1"),
        ("every sunday at midnight", "0 0 * * 0"),
        ("monday to friday at 8 pm", "0 20 * * 1,2,3,4,5"),
        ("mon-fri at 12:00 am", "0 0 * * 1,2,3,4,5"),
        ("fri-mon at 7", "0 7 * * 0,1,5,6"),
        ("every weekend at ten", "0 10 * * 0,6"),
        ("daily at 18:30", "30 18 * * *"),
        ("every day at 6:05 a.m.", "5 6 * * *"),
        ("every day at 9:00 and 17:00", "0 17,9 * * *"),
        ("weekly on friday at 16:00", "0 16 * * 5"),
        ("every week on tuesday at 8", "0 8 * * 2"),
        ("on the 1st at 10:00", "0 10 1 * *"),
        ("on the 1st and 15th of every month at 10", "0 10 1,15 * *"),
        ("every month on the 2nd at 7:45", "45 7 2 * *"),
        ("monthly on the 15th at 9", "0 9 15 * *"),
        ("on the last day of the month at 17:00", "0 17 L * *"),
        ("on the first monday of the month at 9", "0 9 * * 1#1"),
        ("every second friday of the month at 14:00", "0 14 * * 5#2"),
        ("on the 1st and 3rd tuesday of every month at 8", "0 8 * * 2#1,2#3"),
        ("on the last friday of every month at 16:00", "0 16 * * 5L"),
        ("every last fri at 4pm", "0 16 * * 5L"),
        ("monthly on the last thursday at 9", "0 9 * * 4L"),
        ("at 17:00 on the last business day of each month", "0 17 LW * *"),
        ("on the first working day of the month at 10", "0 10 1W * *"),
        ("0 17 * * fril", "0 17 * * fril"),
        ("every year on 24 december at 9", "0 9 24 12 *"),
        ("yearly on march 1st at 9", "0 9 1 3 *"),
        ("every hour", "0 * * * *"),
        ("hourly", "0 * * * *"),
        ("every 15 minutes", "*/15 * * * *"),
        ("every 2 hours", "0 */2 * * *"),
        ("0 9 * * 1-5", "0 9 * * 1-5"),
        ("*/5  8-18 * * mon-fri", "*/5 8-18 * * mon-fri"),
        ("0 17 L * *", "0 17 L * *"),
        ("@daily", "@daily"),
    ];
    for (text, expected) in table {
        assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn c20_phrases_for_one_moment_are_read_by_the_clock_of_their_zone() {
    let table = [
        ("in 20 minutes", "2026-11-30T04:20:00Z"),
        ("20m", "2026-11-30T04:20:00Z"),
        ("in 1h30m", "2026-11-30T05:30:00Z"),
        ("in an hour", "2026-11-30T05:00:00Z"),
        ("in half an hour", "2026-11-30T04:30:00Z"),
        ("in 2 hours and 5 minutes", "2026-11-30T06:05:00Z"),
        ("in 90 seconds", "2026-11-30T04:01:30Z"),
        ("in two days", "2026-12-02T04:00:00Z"),
        ("in 3 days at 9", "2026-12-03T08:00:00Z"),
        ("in a week", "2026-12-07T04:00:00Z"),
        ("tomorrow at 10", "2026-12-01T09:00:00Z"),
        ("tomorrow at ten", "2026-12-01T09:00:00Z"),
        ("10:00 tomorrow", "2026-12-01T09:00:00Z"),
        ("the day after tomorrow at 7pm", "2026-12-02T18:00:00Z"),
        ("today at 17:00", "2026-11-30T16:00:00Z"),
        ("at 17:00", "2026-11-30T16:00:00Z"),
        ("at 4", "2026-12-01T03:00:00Z"),
        ("on monday at 9", "2026-11-30T08:00:00Z"),
        ("next monday at 9", "2026-12-07T08:00:00Z"),
        ("friday at 9 o'clock", "2026-12-04T08:00:00Z"),
        ("monday at 4", "2026-12-07T03:00:00Z"),
        ("2026-12-24 09:00", "2026-12-24T08:00:00Z"),
        ("2026-12-24T09:00:05", "2026-12-24T08:00:05Z"),
        ("24.12.2026 at 9", "2026-12-24T08:00:00Z"),
        ("24 December 2026 at 9", "2026-12-24T08:00:00Z"),
        ("on dec 24th at 9:00", "2026-12-24T08:00:00Z"),
        ("the 1st of march at noon", "2027-03-01T11:00:00Z"),
        ("29 feb at 8", "2028-02-29T07:00:00Z"),
        ("5 december at 9", "2026-12-05T08:00:00Z"),
        ("5.12. 9:00", "2026-12-05T08:00:00Z"),
        ("9:00 on 5.12.", "2026-12-05T08:00:00Z"),
        ("9 on 5 december", "2026-12-05T08:00:00Z"),
        ("friday 9", "2026-12-04T08:00:00Z"),
    ];
    for (text, expected) in table {
        assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn c20_what_is_not_understood_says_how_to_write_it() {
    let long = "at 9 ".repeat(100);
    let table = [
        ("", WhenError::Missing),
        (long.as_str(), WhenError::Missing),
        ("soon", WhenError::Unknown),
        ("last friday at 9", WhenError::Unknown),
        ("every other monday at 9", WhenError::Unknown),
        ("every 7 minutes", WhenError::Unknown),
        ("every day at 9:00 and 17:30", WhenError::Unknown),
        ("tomorrow at 25", WhenError::Unknown),
        ("at 9:60", WhenError::Unknown),
        ("13pm", WhenError::Unknown),
        ("every monday", WhenError::NoTime),
        ("tomorrow", WhenError::NoTime),
        ("on the 1st", WhenError::NoTime),
        ("12/24/2026 at 9", WhenError::Slashes),
        ("today at 4", WhenError::Over),
        ("2026-11-29 09:00", WhenError::Over),
        ("2026-02-30 09:00", WhenError::Unknown),
        ("30 february at 9", WhenError::Never),
        ("0 0 31 2 *", WhenError::Never),
        ("in 4000 weeks", WhenError::Never),
        ("in 999999999999 hours", WhenError::Unknown),
        ("٣ at 9", WhenError::Unknown),
    ];
    for (text, expected) in table {
        assert_eq!(parsed(text), Err(expected), "{text}");
    }
    for text in [
        "61 * * * *",
        "* * * * mon-",
        "0 9 1 * 5L",
        "0 9 * * 1,5L",
        "0 9 * * L",
        "0 9 1,L * *",
        "0 9 LW * 1",
        "@midnightish",
        "0 9-5 * * *",
    ] {
        assert!(matches!(parsed(text), Err(WhenError::Cron(_) | WhenError::Unknown)), "{text}: {:?}", parsed(text));
    }
    let shown = WhenError::Cron(String::new()).to_string();
    assert!(shown.starts_with("the cron expression is wrong"));
    assert_eq!(
        parsed("61 * * * *").map_err(|error| error.to_string()),
        Err("the cron expression is wrong: value must be in range 0..=59; found 61".to_owned())
    );
}

#[test]
fn c20_a_file_names_rules_and_whole_dates_and_nothing_that_counts_from_its_reading() {
    let berlin = zone("Europe/Berlin");
    let table = [
        ("every weekday at 09:00", Ok(When::Cron("0 9 * * 1-5".to_owned()))),
        ("2026-12-24 09:00", Ok(When::At(at("2026-12-24T08:00:00Z")))),
        ("2020-01-01 09:00", Ok(When::At(at("2020-01-01T08:00:00Z")))),
        ("in 20 minutes", Err(WhenError::Relative)),
        ("tomorrow at 10", Err(WhenError::Relative)),
        ("monday at 10", Err(WhenError::Relative)),
        ("24 december at 10", Err(WhenError::Relative)),
        ("0 0 31 2 *", Err(WhenError::Never)),
    ];
    for (text, expected) in table {
        assert_eq!(When::in_file(text, &berlin).map(|meant| meant.when), expected, "{text}");
    }
}

#[test]
fn a12_a_reminder_says_when_and_what_in_either_order() {
    let berlin = zone("Europe/Berlin");
    let reading = Reading { zone: &berlin, now: at(NOW) };
    let split = |text: &str| {
        When::split_off(text, &reading).map(|(meant, rest)| match meant.when {
            When::At(at) => (shown(at), rest.to_owned()),
            When::Cron(cron) => (cron, rest.to_owned()),
        })
    };
    let table = [
        ("10m tea", Some(("2026-11-30T04:10:00Z", "tea"))),
        ("tomorrow 10:00 call Anna", Some(("2026-12-01T09:00:00Z", "call Anna"))),
        ("tomorrow at ten call Anna", Some(("2026-12-01T09:00:00Z", "call Anna"))),
        ("in 2 hours and 5 minutes look at the oven", Some(("2026-11-30T06:05:00Z", "look at the oven"))),
        ("tea in 10 minutes", Some(("2026-11-30T04:10:00Z", "tea"))),
        ("call Anna on friday at 9", Some(("2026-12-04T08:00:00Z", "call Anna"))),
        ("every monday at 9 water the plants", Some(("0 9 * * 1", "water the plants"))),
        ("2026-12-24 09:00 Übermut & 🎄", Some(("2026-12-24T08:00:00Z", "Übermut & 🎄"))),
        ("10m", Some(("2026-11-30T04:10:00Z", ""))),
        ("10am in New York call Anna", Some(("2026-11-30T15:00:00Z", "call Anna"))),
        ("call Anna at 10am in New York", Some(("2026-11-30T15:00:00Z", "call Anna"))),
        ("every monday at 9 Asia/Tokyo look at the numbers", Some(("0 9 * * 1", "look at the numbers"))),
        // A city before the time belongs to what is done there, as one behind other words does.
        ("meet Bob in Paris tomorrow at 10", Some(("2026-12-01T09:00:00Z", "meet Bob in Paris"))),
        ("tomorrow at 10 meet Bob in Paris", Some(("2026-12-01T09:00:00Z", "meet Bob in Paris"))),
        ("5 december at 9 tea", Some(("2026-12-05T08:00:00Z", "tea"))),
        ("tea on 5 december at 9", Some(("2026-12-05T08:00:00Z", "tea"))),
        ("5.12. 9:00 tea", Some(("2026-12-05T08:00:00Z", "tea"))),
        ("2 eggs tomorrow at 8", Some(("2026-12-01T07:00:00Z", "2 eggs"))),
        ("tomorrow at 8 buy 2 eggs", Some(("2026-12-01T07:00:00Z", "buy 2 eggs"))),
        ("at 9 tea", Some(("2026-11-30T08:00:00Z", "tea"))),
        ("call Anna tomorrow 10", Some(("2026-12-01T09:00:00Z", "call Anna"))),
        ("0 9 * * 1 water the plants", Some(("0 9 * * 1", "water the plants"))),
        // A number beside other words need not be an hour.
        ("6 months renew contract", None),
        ("10 Minuten Tee", None),
        ("2 wks tea", None),
        ("tomorrow 2 eggs", None),
        ("tea on december 5", None),
        ("five apples", None),
        ("12 midnight tea", None),
        ("3 times a day tea", None),
        ("monday at 9 and friday at 10 tea", None),
        ("monday at 9 and bring a cake", Some(("2026-11-30T08:00:00Z", "and bring a cake"))),
        ("buy milk", None),
        ("", None),
    ];
    for (text, expected) in table {
        let expected = expected.map(|(when, what)| (when.to_owned(), what.to_owned()));
        assert_eq!(split(text), expected, "{text}");
    }
}
