//! An assistant is named after its owner, as they are called now.

use ruma::UserId;
use serde_json::json;

use crate::{
    core::words,
    engine::Engine,
    matrix::{MatrixError, provision::Persona},
};

impl Engine {
    /// Who the assistant of `owner` is to be, named after what they are called. Where that cannot be looked up, their id
    /// has to do, for an assistant that has no better name.
    pub(in crate::engine) async fn persona_after(&self, owner: &UserId) -> Persona {
        let persona = self.assistant_persona(owner);
        match self.pool.provisioner().api().profile(owner).await {
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

    /// Renames an assistant, as [`Self::persona_after`] says who it is to be, whose owner is called otherwise by now.
    /// Nothing waits for it: it is looked at again whenever the owner is seen to change.
    pub(super) async fn rename_after(&self, persona: &Persona) {
        let api = self.pool.provisioner().api();
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
