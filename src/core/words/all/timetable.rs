//! The texts about schedules and reminders.

use super::{super::timetable::*, AT, Book};
use crate::core::{
    time::Timestamp,
    timetable::{Asked, Progress, Reading, ReminderError, Reminders, Skip, WhenError},
    zone::Zone,
};

pub(super) fn timetable(book: &mut Book) {
    book.part("Schedules and reminders");
    let (zone, alice) = (Zone::named("Europe/Berlin").expect("a zone"), ruma::user_id!("@alice:hs"));
    let day = |n: i64| Timestamp::from_ms(AT.as_ms() + n * 86_400_000);
    book.told("a due time", &due("weekday summary", "every weekday at 09:00", None));
    book.told("another's", &due(&numbered(2), "every monday at 9", Some(alice)));
    book.told("a late answer", &late(75));
    book.told("one that comes once was missed", &missed(&numbered(2), &zone.date(AT), Some(alice)));
    book.told("nobody reads it", &still_wanted("weekday summary", 5));
    book.told("a card, below the call", &would_be_due(&[day(1), day(2), day(3)], None, &zone));
    book.told("a card, where the answer may wait", &would_be_due(&[day(1)], Some(4), &zone));
    book.told("while a batch is waited for", &batched(day(1), &zone));
    book.told("a card, below the call", &cannot_be_set(&WhenError::NoTime.to_string()));
    let of_file = Listed {
        number: None,
        name: "weekday summary",
        said: Some("every weekday at 09:00"),
        zone: Some("Europe/Berlin"),
        task: None,
        set_by: None,
        next: Some(day(1)),
        within_hours: None,
    };
    let of_alice = Listed {
        number: Some(2),
        name: "",
        said: None,
        zone: None,
        task: Some("remind *us* of the contract with Acme, and say who has the newest draft of it by then"),
        set_by: Some(alice),
        next: None,
        within_hours: Some(1),
    };
    let paused = Progress { asked_at: Some(AT), skipped: Some((AT, Skip::NobodyReads)), ..Progress::default() };
    let mut lines =
        vec![schedule_line(&of_file, &Progress::default(), &zone), schedule_line(&of_alice, &paused, &zone)];
    for why in [Skip::Missed, Skip::NothingNew, Skip::Muted, Skip::NotThere] {
        lines.push(schedule_line(&of_file, &Progress { skipped: Some((AT, why)), ..Progress::default() }, &zone));
    }
    book.told("!schedules", &schedules(&lines, Some(2), "oncall"));
    book.told("!schedules of the operator alone", &schedules(&lines[..1], None, "oncall"));
    book.told("!schedules", &schedules(&[], None, "oncall"));
    book.told("!unschedule", &schedule_ended(2));
    book.told("!unschedule", &no_such_schedule(7));
    book.told("!unschedule", &not_yours_to_end(2));
    let mut kept = Reminders::default();
    for (at, said) in ["10m tea", "every monday at 9 water the *plants*"].iter().enumerate() {
        let asked = Asked::parse(said, &Reading { zone: &zone, now: AT }).expect(said);
        let added = kept.add(&asked, &zone, &at.to_string(), AT).expect("added");
        book.told("!remind", &reminder_set(&added, &zone, AT));
    }
    for said in ["tomorrow at 10 look at my week", "every friday at 16:00 sum up what I missed"] {
        let asked = Asked::parse_task(said, &Reading { zone: &zone, now: AT }).expect(said);
        let added = kept.add(&asked, &zone, said, AT).expect("added");
        book.told("!schedule", &reminder_set(&added, &zone, AT));
    }
    book.told("!reminders", &reminders(kept.list(), &zone, AT));
    book.told("!reminders", &reminders(&[], &zone, AT));
    book.told("!unremind", &reminder_ended(1, true));
    book.told("!unremind", &reminder_ended(7, false));
    book.told("!remind, no zone is known", &which_zone());
    book.told("!zone", &no_such_zone("Europe/Berln"));
    book.told("!zone", &zone_noted(&zone, AT));
    for why in
        [ReminderError::NoText, ReminderError::When(WhenError::Unknown), ReminderError::Full, ReminderError::NoTask]
    {
        book.told("!remind", &no_reminder(&why));
    }
    book.told("a reminder", &reminder("look at https://example.org/a_b_c *now*", None));
    book.told("what the assistant does now", &task_due("sum up what *I* missed"));
    book.told("a late one", &reminder("tea", Some(&zone.date(AT))));
}
