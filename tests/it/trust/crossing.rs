//! Verifications that cross, and verifications that are broken off: whoever starts another one gets through (A11).

use super::*;

const CROSSED: &str = "Two verifications were open at once";
const BROKEN_OFF: &str = "I was restarted in the middle";

/// The person, their assistant, and the chat of the two.
struct Pair<'a> {
    person: &'a Person,
    assistant: &'a UserId,
    room: &'a RoomId,
}

impl Pair<'_> {
    /// Starts a verification as a client's button does.
    async fn request(&self) -> Result<VerificationRequest> {
        let identity = self.person.client().encryption().request_user_identity(self.assistant).await?;
        let request = identity.context("it has an identity")?.request_verification().await?;
        assert_eq!(request.room_id(), Some(self.room), "it is asked in the chat with the assistant");
        Ok(request)
    }

    /// Carries a verification to its end.
    async fn finish(&self, request: &VerificationRequest) -> Result<()> {
        let sas = start_sas(request).await?;
        until("emoji", async || sas.emoji()).await?;
        confirm(&sas).await
    }

    /// Waits until the assistant has said something so many times.
    async fn until_said(&self, text: &str, times: usize) -> Result<()> {
        let said = |seen: &Timeline| {
            let count = seen.messages_of(self.assistant).filter(|event| event.body().starts_with(text)).count();
            (count == times).then_some(())
        };
        self.person.until(self.room, text, said).await
    }
}

async fn until_cancelled(request: &VerificationRequest) -> Result<()> {
    until("its cancellation", async || request.is_cancelled().then_some(())).await
}

#[tokio::test]
async fn a11_whoever_starts_another_verification_gets_through_whatever_became_of_the_one_before() -> Result<()> {
    let mut office = assistants::Office::open().await?;
    let account = shared().account("alice").await;
    let alice = Person::start(account.clone()).await?;
    let (room, assistant) = (meet_by_service_bot(&office, &alice).await?, office.assistant_of(&alice));
    let phone = Person::start(account).await?;
    phone.until_membership(&room, phone.user_id(), &ruma::events::room::member::MembershipState::Join).await?;
    let mut asked = requests_to(&alice);
    let on = |person| Pair { person, assistant: &assistant, room: &room };
    let (alices, phones) = (on(&alice), on(&phone));

    // The button, pressed twice: her own client cancels both.
    let twice = [alices.request().await?, alices.request().await?];
    for request in &twice {
        until_cancelled(request).await?;
    }
    alices.until_said(CROSSED, 1).await?;
    let once = alices.request().await?;
    alices.finish(&once).await?;
    alices.until_said("Verified.", 1).await?;
    until_verified(&alice, &assistant).await?;
    assert!(asked.try_recv().is_err(), "nothing was begun from our side, which would have crossed hers");

    // One that she left open on her computer, and another one on her phone.
    let left = alices.request().await?;
    until("ready", async || left.is_ready().then_some(())).await?;
    // The phone's key comes with this; before, an encrypted request can't be told from anything else.
    phone.send(&room, "!help").await?;
    let help = |seen: &Timeline| seen.messages_of(&assistant).find(|event| event.body().contains("!forget")).map(drop);
    alice.until(&room, "the help", help).await?;
    let newer = phones.request().await?;
    phones.finish(&newer).await?;
    until_cancelled(&left).await?;
    alices.until_said("Verified.", 2).await?;

    // From both sides at once.
    alice.send(&room, "!verify").await?;
    alices.until_said("I've asked", 1).await?;
    let hers = alices.request().await?;
    until("either end", async || (hers.is_cancelled() || hers.is_ready()).then_some(())).await?;
    if hers.is_cancelled() {
        alices.until_said(CROSSED, 2).await?;
        let again = alices.request().await?;
        alices.finish(&again).await?;
    } else {
        alices.finish(&hers).await?;
    }
    alices.until_said("Verified.", 3).await?;

    // Requested while Workmate is down; then it is killed in each phase.
    office.workmate.kill();
    let asked_while_down = alices.request().await?;
    office.workmate.start_again().await;
    until("ready", async || asked_while_down.is_ready().then_some(())).await?;
    office.workmate.kill();
    office.workmate.start_again().await;
    until_cancelled(&asked_while_down).await?;
    alices.until_said(BROKEN_OFF, 1).await?;

    let shown = alices.request().await?;
    let sas = start_sas(&shown).await?;
    let emoji = until("emoji", async || sas.emoji()).await?;
    let emoji: Vec<String> = emoji.iter().map(|one| format!("{} {}", one.symbol, one.description)).collect();
    // Earlier verifications have shown theirs here.
    let these = |seen: &Timeline| {
        seen.messages_of(&assistant).find(|event| event.body().starts_with(&emoji.join(" · "))).map(drop)
    };
    alice.until(&room, "the emoji of the other side", these).await?;
    office.workmate.kill();
    // Her last step finds nobody.
    sas.confirm().await?;
    office.workmate.start_again().await;
    until_cancelled(&shown).await?;
    alices.until_said(BROKEN_OFF, 2).await?;

    let last = alices.request().await?;
    alices.finish(&last).await?;
    alices.until_said("Verified.", 4).await?;
    Ok(())
}
