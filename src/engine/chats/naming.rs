//! Names an assistant after its owner's current display name.

use ruma::UserId;
use serde_json::json;

use crate::{
    core::words,
    engine::chats::Chats,
    matrix::{MatrixError, provision::Persona},
};

impl Chats {
    /// Returns the persona of `owner`'s assistant, named after the owner's display name. If that cannot be looked up,
    /// an assistant without a name is named after the owner's id.
    pub(in crate::engine) async fn persona_after(&self, owner: &UserId) -> Persona {
        let persona = self.runtime.assistant_persona(owner);
        match self.runtime.pool.provisioner().api().profile(owner).await {
            Ok(profile) => {
                let name = profile.display_name.unwrap_or_default();
                Persona { display_name: words::assistant_name(owner, &name), is_named: true, ..persona }
            }
            Err(error) => {
                tracing::debug!(%error, "what an assistant's owner is called cannot be looked up");
                persona
            }
        }
    }

    /// Renames an assistant whose owner has another display name by now; [`Self::persona_after`] gives `persona`. A
    /// failure is only logged, because the name is checked again whenever the owner changes.
    pub(in crate::engine) async fn rename_after(&self, persona: &Persona) {
        let api = self.runtime.pool.provisioner().api();
        let renamed = async {
            if !persona.is_to_be_renamed(api.profile(&persona.user).await?.display_name.as_deref()) {
                return Ok(());
            }
            api.set_profile_field(&persona.user, "displayname", json!(persona.display_name)).await
        };
        let renamed: Result<(), MatrixError> = renamed.await;
        if let Err(error) = renamed {
            tracing::debug!(user.id = %persona.user, %error, "an assistant cannot be renamed");
        }
    }
}
