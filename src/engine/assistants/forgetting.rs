//! An owner is gone: their sessions end, the room is left, and what is kept for them is deleted (A3).

use ruma::UserId;

use crate::engine::{
    Engine, EngineError, Shared,
    control::{Order, Which},
};

impl Engine {
    /// Ends what goes on for an owner, leaves their rooms and deletes their records.
    pub(in crate::engine) async fn forget_owner(self: Shared, owner: &UserId) -> Result<(), EngineError> {
        let Some(record) = self.tables.assistants.get(&owner.to_owned())? else { return Ok(()) };
        let persona = self.assistant_persona(owner);
        if let Some(room) = &record.room {
            self.running.order(room, Which::Of(&persona.user, None), &Order::Drop);
        }
        let account = Box::pin(self.pool.passing(&persona)).await?;
        account.sync().await?;
        for room in account.joined() {
            account.leave(&room).await?;
        }
        let rooms: Vec<_> = self.tables.assistant_rooms.iter().filter_map(Result::ok).collect();
        for (room, _) in rooms.iter().filter(|(_, whose)| whose == owner) {
            self.tables.assistant_rooms.remove(room)?;
        }
        self.tables.assistants.remove(&owner.to_owned())?;
        self.store.flush().await?;
        Ok(())
    }
}
