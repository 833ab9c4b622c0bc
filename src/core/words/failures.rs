//! Why there is no answer or only part of one (C19): what is wrong, and what the asker can do.

/// How a person retries a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// With 🔁 on the failure message, for a coworker.
    ByReaction,
    /// By asking again, for an assistant, which keeps no requests.
    ByAsking,
}

fn try_again(again: Again, when: &str) -> String {
    match again {
        Again::ByReaction => format!("React 🔁 to this{when}, and I'll try again."),
        Again::ByAsking => format!("Please ask again{when}."),
    }
}

/// The model is overloaded, and is being retried.
#[must_use]
pub fn overloaded_trying() -> String {
    "The model isn't answering right now. I'll keep trying.".to_owned()
}

/// The model stayed overloaded; the run gave up.
#[must_use]
pub fn overloaded_gave_up(again: Again) -> String {
    format!("The model is too busy, so I have no answer for you. {}", try_again(again, " in a few minutes"))
}

/// The model could not be reached.
#[must_use]
pub fn model_unreachable(again: Again) -> String {
    format!(
        "I can't reach the model, so I have no answer for you. {} If it stays like this, tell the person who runs \
         Workmate.",
        try_again(again, " later")
    )
}

/// A message could not be processed, despite retries.
#[must_use]
pub fn given_up() -> String {
    "Something went wrong with your message on its way to me, and trying again didn't help. Please ask once more."
        .to_owned()
}

/// The answer broke off and could not be resumed.
#[must_use]
pub fn broken_off(again: Again) -> String {
    format!("My answer broke off before it was complete. {}", try_again(again, ""))
}

/// The provider refused the request.
#[must_use]
pub fn refused() -> String {
    "I can't help with that one. Putting it another way may work.".to_owned()
}

/// Follows an answer to a request that was refused with its context and accepted without.
#[must_use]
pub fn answered_alone() -> String {
    "*I answered from your message alone: the model's provider refused something that was said here before it, and I'll leave \
     that out from now on. `!leftout` shows what it is.*"
        .to_owned()
}

/// Follows an answer to a request that was accepted once something around it was left out.
#[must_use]
pub fn answered_without() -> String {
    "*I left something out that was said here before: the model's provider refused it, and I'll leave it out from now on. \
     `!leftout` shows what it is.*"
        .to_owned()
}

/// Follows an answer without what tools brought, because the provider refused that.
#[must_use]
pub fn answered_without_results() -> String {
    "*The model's provider refused something that I looked up, so I answered without it.*".to_owned()
}

/// Follows an answer that was cut at the output limit.
#[must_use]
pub fn cut_at_limit() -> String {
    "*My answer reached its length limit and ends here. Ask me to go on.*".to_owned()
}

/// Follows an answer during which the provider's own tools did not finish.
#[must_use]
pub fn unfinished() -> String {
    "*This took more work than one request may take, so my answer ends here. Ask me to go on.*".to_owned()
}

/// The model returned no text.
#[must_use]
pub fn nothing_to_say() -> String {
    "I have nothing to say to that. Could you put it differently?".to_owned()
}

/// The request does not fit the model's context.
#[must_use]
pub fn too_long() -> String {
    "That is more text than I can take in at once. Please ask with less, or in parts.".to_owned()
}

/// No API key is set.
#[must_use]
pub fn key_missing() -> String {
    "I have no access to the model yet: the person who runs Workmate needs to set an API key.".to_owned()
}

/// The API key was refused.
#[must_use]
pub fn key_refused() -> String {
    "The model refuses my key: the person who runs Workmate needs to check it.".to_owned()
}

/// The provider's account is out of credit, over its limit or on hold.
#[must_use]
pub fn account_exhausted() -> String {
    "The workspace's Claude account can't pay for this right now. An admin has to look at its credit and spend limits; \
     then ask me again."
        .to_owned()
}

/// The configured model does not exist or is retired.
#[must_use]
pub fn model_missing() -> String {
    "The model that I'm set to use doesn't exist, or no longer does. The person who runs Workmate has to choose another one."
        .to_owned()
}

/// The longest time that is told in days, in minutes; a provider that names a longer one is not to be believed.
const LIMITED_MINUTES_MAX: u64 = 7 * 24 * 60;

/// The provider accepts no requests for that many minutes.
#[must_use]
pub fn limited_for(minutes: u64, again: Again) -> String {
    let (span, when) = if minutes > LIMITED_MINUTES_MAX {
        ("more than a week".to_owned(), " later")
    } else {
        (format!("about {}", super::duration_minutes(minutes)), " then")
    };
    format!("The model takes no more requests from this workspace for {span}. {}", try_again(again, when))
}

/// The provider rejected the request as malformed: a bug of ours or a wrong configuration.
#[must_use]
pub fn request_refused() -> String {
    "The model didn't accept my request. That's a fault on my side: the person who runs Workmate can find the cause in \
     the log."
        .to_owned()
}

/// The run reached its limit on tokens or on calls of the model.
#[must_use]
pub fn work_too_long() -> String {
    "That took more work than one request may take, so I stopped before I was done. Please ask for less at once; the \
     person who runs Workmate can raise the limit."
        .to_owned()
}

/// Tools failed several times in a row.
#[must_use]
pub fn tools_failed(again: Again) -> String {
    format!("My tools failed several times in a row, so I stopped. {}", try_again(again, " later"))
}

/// The model reached its output limit inside a call, which was not made.
#[must_use]
pub fn call_cut() -> String {
    "I reached my length limit in the middle of a step, so I didn't take it. Please ask for less at once.".to_owned()
}

/// The model reached its output limit before it wrote any text.
#[must_use]
pub fn limit_before_words() -> String {
    "I reached my length limit before I had written a word. Please ask for less at once.".to_owned()
}

/// Repeated crashes interrupted the work.
#[must_use]
pub fn cut_off(again: Again) -> String {
    format!("I was interrupted several times while working on this, so I gave up. {}", try_again(again, ""))
}

/// Says elsewhere that an answer cannot be posted where it was asked for, without quoting it. If `kept`, it will be
/// posted should that soon become possible.
#[must_use]
pub fn answer_not_posted(name: &str, room: &str, request: &str, kept: bool) -> String {
    let asked = format!("[your message](https://matrix.to/#/{room}/{request})");
    if kept {
        return format!(
            "{name} has an answer to {asked}, but may not post in that room. Someone who moderates it can change that. \
             If they do so within the hour, the answer still comes; after that, please ask again."
        );
    }
    format!(
        "{name} can't answer {asked}: it may not post in that room. Someone who moderates it can change that; then ask \
         again."
    )
}

/// Says elsewhere that one of ours lacks the power to speak in a room.
#[must_use]
pub fn no_power(name: &str, room: &str) -> String {
    format!(
        "{name} can't write in [that room](https://matrix.to/#/{room}): posting there needs a higher power level than it \
         has. Someone who moderates the room can change that; it then answers what you asked meanwhile."
    )
}

/// Says elsewhere that one of ours cannot speak in a room that was replaced.
#[must_use]
pub fn room_replaced(name: &str, room: &str) -> String {
    format!(
        "{name} can't write in [that room](https://matrix.to/#/{room}): another room has taken its place. Ask there."
    )
}

/// Something of ours failed.
#[must_use]
pub fn internal(again: Again) -> String {
    format!("Something went wrong on my side, and I have no answer for you. {}", try_again(again, ""))
}
