//! What a run is told from outside, and how near it is to its end.

/// What a run is told from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing: go on.
    #[default]
    GoOn,
    /// Begin anew with the request as it reads now.
    Restart,
    /// Stop, and say so.
    Stop,
    /// Stop and say nothing: the room is closed to us.
    Drop,
    /// Stop, and take back what was said: the request is gone.
    TakeBack,
}

impl Order {
    /// Gives another order behind this one; returns whether that changes anything. An order that ends a run is never
    /// downgraded.
    pub(crate) fn give(&mut self, order: &Self) -> bool {
        *self = match (&*self, order) {
            (Self::Stop | Self::Drop | Self::TakeBack, Self::GoOn | Self::Restart)
            // Nor does a word that it stopped come after what leaves no room for words.
            | (Self::Drop | Self::TakeBack, Self::Stop) => return false,
            _ => order.clone(),
        };
        true
    }
}

/// How near a run is to its end: what a stop of the process waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nearness {
    /// It waits for its turn, for people, tools or the homeserver.
    #[default]
    Far,
    /// The model writes.
    Writing,
    /// Its last message is on its way, or was sent and the run is not closed.
    Ending,
}
