//! What rmcp asks of a server: the lists of tools, resources and prompts, and calls, which go to the engine.

use std::{borrow::Cow, sync::Arc};

use axum::http::request::Parts;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode, GetPromptRequestParams,
        GetPromptResponse, GetPromptResult, Implementation, ListPromptsResult, ListResourceTemplatesResult,
        ListResourcesResult, ListToolsResult, PaginatedRequestParams, Prompt, PromptMessage, ReadResourceRequestParams,
        ReadResourceResponse, ReadResourceResult, Resource, ResourceContents, ResourceTemplate, Role,
        ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    service::RequestContext,
};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Call, Wanted};
use crate::core::{
    connection::By,
    served::{
        answer::{About, FAILED, INSTRUCTIONS, NOT_THERE, RESOURCE_TEMPLATE, room_of_resource},
        tools::ConnectionTool,
    },
};

const TEXT: &str = "text/plain";

/// The server that each call talks to; it keeps nothing between calls.
#[derive(Clone)]
pub(super) struct Served {
    calls: mpsc::Sender<Call>,
}

impl Served {
    pub(super) fn new(calls: mpsc::Sender<Call>) -> Self {
        Self { calls }
    }

    /// Has the engine answer.
    async fn ask(&self, context: &RequestContext<RoleServer>, wanted: Wanted) -> Answer {
        let failed = || Answer::Refused(FAILED.to_owned());
        // Put there by the listener, which lets nobody in without.
        let by = context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<By>());
        let Some(by) = by.cloned() else { return failed() };
        let (answer, answered) = oneshot::channel();
        if self.calls.send(Call { by, wanted, answer }).await.is_err() {
            return failed();
        }
        tokio::select! {
            () = context.ct.cancelled() => failed(),
            answer = answered => answer.unwrap_or_else(|_| failed()),
        }
    }

    async fn rooms(
        &self,
        context: &RequestContext<RoleServer>,
        request: Option<PaginatedRequestParams>,
    ) -> Result<(Vec<About>, Option<String>), ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        match self.ask(context, Wanted::Rooms { cursor }).await {
            Answer::Rooms { rooms, next } => Ok((rooms, next)),
            Answer::Given(told) | Answer::Refused(told) => Err(refused(told)),
        }
    }
}

/// Makes a refusal of something that is not a tool; all of them have the same code.
fn refused(told: String) -> ErrorData {
    ErrorData::new(ErrorCode::INVALID_PARAMS, told, None)
}

/// Returns a tool's description for clients.
fn described(tool: ConnectionTool) -> Tool {
    let Value::Object(schema) = tool.input_schema() else { unreachable!("schemas are objects") };
    // Its words come from other people, whom the client's owner does not govern.
    let annotations =
        ToolAnnotations::with_title(tool.title()).read_only(true).destructive(false).idempotent(true).open_world(true);
    Tool::new(tool.name(), tool.description(), Arc::new(schema)).with_title(tool.title()).with_annotations(annotations)
}

impl ServerHandler for Served {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().enable_prompts().build();
        let mut named = Implementation::new("workmate", env!("CARGO_PKG_VERSION"));
        named.title = Some("Workmate: my rooms".to_owned());
        let mut config = ServerConfig::new(capabilities).with_instructions(INSTRUCTIONS);
        config.server_info = named;
        config
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(ConnectionTool::ALL.map(described).to_vec()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        ConnectionTool::named(name).map(described)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = ConnectionTool::named(&request.name) else {
            return Err(ErrorData::new(ErrorCode::INVALID_PARAMS, Cow::Borrowed("there is no such tool"), None));
        };
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let result = match self.ask(&context, Wanted::Tool { tool, arguments }).await {
            Answer::Given(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Answer::Refused(text) => CallToolResult::error(vec![ContentBlock::text(text)]),
            Answer::Rooms { .. } => CallToolResult::error(vec![ContentBlock::text(NOT_THERE)]),
        };
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (rooms, next) = self.rooms(&context, request).await?;
        let resource = |about: &About| {
            Resource::new(about.resource(), about.title())
                .with_title(about.title())
                .with_description("The newest messages of this chat room.")
                .with_mime_type(TEXT)
        };
        let mut listed = ListResourcesResult::with_all_items(rooms.iter().map(resource).collect());
        listed.next_cursor = next;
        Ok(listed)
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new(RESOURCE_TEMPLATE, "room")
            .with_description("The newest messages of a chat room, by its percent-encoded id.")
            .with_mime_type(TEXT);
        Ok(ListResourceTemplatesResult::with_all_items(vec![template]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let Some(room) = room_of_resource(&request.uri) else { return Err(refused(NOT_THERE.to_owned())) };
        match self.ask(&context, Wanted::Room(room)).await {
            Answer::Given(text) => {
                let contents = ResourceContents::text(text, request.uri).with_mime_type(TEXT);
                Ok(ReadResourceResult::new(vec![contents]).into())
            }
            Answer::Refused(told) => Err(refused(told)),
            Answer::Rooms { .. } => Err(refused(NOT_THERE.to_owned())),
        }
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let (rooms, next) = self.rooms(&context, request).await?;
        let prompt = |about: &About| {
            let told = format!("Open {} here: its newest messages, and what can be looked up further.", about.title());
            Prompt::new(about.prompt(), Some(told), None).with_title(format!("Open {}", about.title()))
        };
        let mut listed = ListPromptsResult::with_all_items(rooms.iter().map(prompt).collect());
        listed.next_cursor = next;
        Ok(listed)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        match self.ask(&context, Wanted::Prompt(request.name)).await {
            Answer::Given(text) => Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).into()),
            Answer::Refused(told) => Err(refused(told)),
            Answer::Rooms { .. } => Err(refused(NOT_THERE.to_owned())),
        }
    }
}
