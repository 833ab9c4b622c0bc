//! Our side as an MCP client: it calls tools, and does nothing else for a server.

use std::sync::Arc;

use rmcp::{
    ErrorData, RoleClient, Service,
    model::{
        ClientCapabilities, ClientConfig, ClientResult, ErrorCode, Implementation, ServerNotification, ServerRequest,
    },
    service::{NotificationContext, RequestContext},
};
use tokio::sync::Notify;

/// Answers pings and follows list changes; refuses everything else (sampling, elicitation, roots).
pub(super) struct Client {
    list_changed: Arc<Notify>,
}

impl Client {
    pub(super) fn new(list_changed: Arc<Notify>) -> Self {
        Self { list_changed }
    }
}

impl Service<RoleClient> for Client {
    async fn handle_request(
        &self,
        request: ServerRequest,
        _context: RequestContext<RoleClient>,
    ) -> Result<ClientResult, ErrorData> {
        match request {
            ServerRequest::PingRequest(_) => Ok(ClientResult::empty(())),
            _ => Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "Workmate only calls tools", None)),
        }
    }

    async fn handle_notification(
        &self,
        notification: ServerNotification,
        _context: NotificationContext<RoleClient>,
    ) -> Result<(), ErrorData> {
        if let ServerNotification::ToolListChangedNotification(_) = notification {
            self.list_changed.notify_one();
        }
        Ok(())
    }

    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(ClientCapabilities::default(), Implementation::new("workmate", env!("CARGO_PKG_VERSION")))
    }
}
