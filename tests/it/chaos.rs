//! A short form of the crash and fault suite; `cargo bench --bench chaos` runs the long one.

mod chance;
mod disks;
mod parts;
mod reports;
mod tally;
mod times;
mod world;

use anyhow::Result;
use tokio::time::Duration;

use self::world::Kind;

#[tokio::test]
async fn c9_killed_at_random_moments_it_loses_and_doubles_nothing() -> Result<()> {
    let tally = Box::pin(parts::kills(7, 6, 4)).await?;
    tally.check()
}

#[tokio::test]
async fn c21_many_reports_at_once_each_delivered_twice_are_carried_out_once_although_it_is_killed() -> Result<()> {
    let tally = Box::pin(reports::reports(7, 48, 4, 3)).await?;
    tally.check()
}

#[tokio::test]
async fn c8_a_homeserver_that_is_killed_and_restarted_costs_no_request() -> Result<()> {
    let tally = Box::pin(parts::homeserver(3, 4, Duration::from_secs(4), 4)).await?;
    tally.check()
}

#[tokio::test]
async fn c9_faults_of_the_network_both_ways_cost_no_request() -> Result<()> {
    let tally = Box::pin(parts::network(5, 8, 4)).await?;
    tally.check()
}

#[tokio::test]
async fn c12_killed_at_each_call_of_an_approved_request_it_acts_and_answers_once() -> Result<()> {
    let tally = Box::pin(parts::steps(Kind::Deploy, 4)).await?;
    tally.check()
}

#[tokio::test]
async fn c19_faults_of_the_model_cost_no_request() -> Result<()> {
    let tally = Box::pin(parts::model(11, 8, 2)).await?;
    tally.check()
}

#[tokio::test]
async fn c8_what_the_disk_held_may_be_lost_and_requests_are_answered_again() -> Result<()> {
    let tally = Box::pin(parts::losses()).await?;
    tally.check()
}

#[tokio::test]
async fn c8_a_disk_that_is_full_right_behind_a_start_and_one_that_takes_no_writes_cost_no_request() -> Result<()> {
    match Box::pin(disks::disk(&[1_000])).await? {
        Some(tally) => tally.check(),
        None => Ok(()),
    }
}

#[tokio::test]
async fn c11_many_mentions_joins_and_messages_at_once_cost_no_request() -> Result<()> {
    let tally = Box::pin(parts::load(3, 18, 1_000, 3_000)).await?;
    tally.check()
}

#[tokio::test]
async fn c20_a_day_away_kills_at_due_times_and_jumps_of_the_clock_lose_and_double_no_due_time() -> Result<()> {
    let plan = times::Plan { seed: 5, missed: 40, kills: 3, jumps_s: &[3_600] };
    let tally = Box::pin(times::times(plan)).await?;
    // Those of the last 90 minutes, and what came since; the others were said to be skipped.
    assert_eq!((tally.answered, tally.told), (6, 38), "{tally}");
    tally.check()
}
