//! A server's tools as offers: bounded, and only those that a model can be offered.

use std::{collections::BTreeSet, sync::Arc};

use rmcp::{
    Peer, RoleClient,
    model::{ClientRequest, ErrorCode, ListToolsRequest, PaginatedRequestParams, ServerResult, Tool},
    service::{PeerRequestOptions, ServiceError},
};
use serde_json::{Map, Value, json};

use crate::core::{
    mask::Mask,
    tool::{DESCRIPTION_CHARS_MAX, LeftOut, Offer, SCHEMA_BYTES_MAX, ToolName, fitting, schema},
};

use super::{LIST_MAX, trouble::Trouble};

/// Most tools of a server.
const TOOLS_MAX: usize = 256;
/// Most unavailable tools that are named.
const LEFT_OUT_MAX: usize = 50;
/// Most pages of a list.
const PAGES_MAX: usize = 64;

/// A server's listed tools.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listing {
    pub(super) offers: Arc<[Offer]>,
    /// Named tools that cannot be offered.
    pub(super) left_out: Vec<LeftOut>,
    dropped: Dropped,
}

/// How many tools are not offered, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dropped {
    /// Their names collide after conversion for the model.
    collisions: usize,
    /// Their names are empty, too long, or contain a secret.
    names: usize,
    /// Their schemas are too large, not of an object, or contain a secret.
    schemas: usize,
    /// Whether there were too many tools.
    too_many: bool,
}

impl Listing {
    /// Logs what is not offered, if that has changed.
    pub(super) fn say_dropped(&self, server: &str, before: &Self) {
        for LeftOut { name, why } in self.left_out.iter().filter(|tool| !before.left_out.contains(tool)) {
            let tool = name.as_str();
            tracing::warn!(mcp.server = server, tool.name = tool, "tool {tool} is left out: {why}");
        }
        let Dropped { collisions, names, schemas, too_many } = self.dropped;
        if self.dropped != before.dropped && self.dropped != Dropped::default() {
            tracing::warn!(
                mcp.server = server,
                collisions,
                names,
                schemas,
                too_many,
                "some tools of MCP server {server} are not offered: {collisions} have the name of another, {names} a \
                 name and {schemas} a schema that cannot be used"
            );
        }
    }
}

/// Reads the list page by page. rmcp's own method may answer from a cache.
pub(super) async fn list(peer: &Peer<RoleClient>, server: &str, mask: &Mask) -> Result<Listing, Trouble> {
    let mut taking = Taking::new(server, mask);
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let params = PaginatedRequestParams::default().with_cursor(cursor.take());
        let request = ClientRequest::ListToolsRequest(ListToolsRequest::with_param(params));
        let options = PeerRequestOptions::with_timeout(LIST_MAX);
        let page = match peer.send_request_with_option(request, options).await {
            Ok(handle) => handle.await_response().await,
            Err(error) => Err(error),
        };
        match page {
            Ok(ServerResult::ListToolsResult(page)) => {
                page.tools.into_iter().for_each(|tool| taking.take(tool));
                cursor = page.next_cursor;
            }
            Ok(_) => return Err(Trouble::list(&ServiceError::UnexpectedResponse)),
            // The server has no tools.
            Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => break,
            Err(error) => return Err(Trouble::list(&error)),
        }
        if cursor.is_none() || taking.dropped.too_many {
            break;
        }
    }
    taking.dropped.too_many |= cursor.is_some();
    Ok(taking.done())
}

/// A list that is being read.
pub(super) struct Taking<'a> {
    server: &'a str,
    mask: &'a Mask,
    names: BTreeSet<ToolName>,
    offers: Vec<Offer>,
    left_out: Vec<LeftOut>,
    dropped: Dropped,
}

impl<'a> Taking<'a> {
    pub(super) fn new(server: &'a str, mask: &'a Mask) -> Self {
        Self {
            server,
            mask,
            names: BTreeSet::new(),
            offers: Vec::new(),
            left_out: Vec::new(),
            dropped: Dropped::default(),
        }
    }

    pub(super) fn take(&mut self, tool: Tool) {
        if self.offers.len() == TOOLS_MAX {
            self.dropped.too_many = true;
            return;
        }
        let description: String = tool.description.unwrap_or_default().chars().take(DESCRIPTION_CHARS_MAX).collect();
        let schema = match usable(&tool.input_schema, self.mask) {
            Ok(schema) => schema,
            Err(why) => {
                self.dropped.schemas += 1;
                let name = ToolName::of_server(self.server, &tool.name).filter(|_| self.left_out.len() < LEFT_OUT_MAX);
                let name = name.filter(|_| self.mask.hide(&tool.name) == tool.name);
                self.left_out.extend(name.map(|name| LeftOut { name, why }));
                return;
            }
        };
        let Some(offer) = Offer::of_server(self.server, &tool.name, self.mask.hide(&description), schema)
            .filter(|_| !tool.name.is_empty() && self.mask.hide(&tool.name) == tool.name)
        else {
            self.dropped.names += 1;
            return;
        };
        if self.names.insert(offer.name.clone()) {
            self.offers.push(offer);
        } else {
            self.dropped.collisions += 1;
        }
    }

    pub(super) fn done(self) -> Listing {
        Listing { offers: self.offers.into(), left_out: self.left_out, dropped: self.dropped }
    }
}

/// Returns a schema that the Messages API accepts; a refused one would make every model call fail.
///
/// # Errors
/// Why it is not accepted, for an operator.
fn usable(given: &Map<String, Value>, mask: &Mask) -> Result<Value, String> {
    let mut given = given.clone();
    if !given.contains_key("$ref") {
        given.entry("type").or_insert(json!("object"));
    }
    let mut given = fitting::fitted(Value::Object(given), SCHEMA_BYTES_MAX);
    if let Some(given) = given.as_object_mut() {
        given.entry("type").or_insert(json!("object"));
    }
    let text = given.to_string();
    match () {
        () if text.len() > SCHEMA_BYTES_MAX => Err(format!("its schema has more than {SCHEMA_BYTES_MAX} bytes")),
        () if mask.hide(&text) != text => Err("its schema holds a secret of ours".to_owned()),
        () => schema::fault(&given).map_or(Ok(given), Err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, schema: &Value) -> Tool {
        let schema = schema.as_object().expect("a schema is an object").clone();
        Tool::new(name.to_owned(), "Does it.", schema)
    }

    fn taken(tools: Vec<Tool>) -> Listing {
        let mask = Mask::new(["s3cret-token"]);
        let mut taking = Taking::new("fs", &mask);
        for tool in tools {
            taking.take(tool);
        }
        taking.done()
    }

    #[test]
    fn c12_of_two_tools_with_one_name_the_second_is_dropped_and_counted() {
        let listing =
            taken(vec![tool("read.file", &json!({})), tool("read_file", &json!({})), tool("list", &json!({}))]);
        let names: Vec<_> = listing.offers.iter().map(|offer| (offer.name.as_str(), offer.source.clone())).collect();
        let source = |tool: &str| crate::core::tool::Source::Mcp { server: "fs".to_owned(), tool: tool.to_owned() };
        assert_eq!(names, [("fs__read_file", source("read.file")), ("fs__list", source("list"))]);
        assert_eq!(listing.dropped, Dropped { collisions: 1, ..Dropped::default() });
    }

    #[test]
    fn c12_what_the_messages_api_would_refuse_is_dropped_and_counted() {
        let large = json!({ "description": "x".repeat(SCHEMA_BYTES_MAX) });
        let listing = taken(vec![
            tool(&"x".repeat(80), &json!({})),
            tool("", &json!({})),
            tool("s3cret-token", &json!({})),
            tool("array", &json!({ "type": "array" })),
            tool("any", &json!({ "type": "object", "anyOf": [] })),
            tool("properties", &json!({ "properties": [] })),
            tool("secret", &json!({ "default": "s3cret-token" })),
            tool("large", &large),
            tool("good", &json!({ "properties": { "a": {} } })),
        ]);
        let offers: Vec<_> = listing.offers.iter().map(|offer| (offer.name.as_str(), offer.schema.clone())).collect();
        assert_eq!(offers, [("fs__good", json!({ "properties": { "a": {} }, "type": "object" }))]);
        assert_eq!(listing.dropped, Dropped { names: 3, schemas: 5, ..Dropped::default() });
        let left_out: Vec<_> = listing.left_out.iter().map(|tool| (tool.name.as_str(), tool.why.as_str())).collect();
        assert_eq!(
            left_out.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["fs__array", "fs__any", "fs__properties", "fs__secret", "fs__large",]
        );
        assert!(left_out[1].1.contains("anyOf at the top"), "{left_out:?}");
    }

    #[test]
    fn c12_annotations_permit_nothing_and_descriptions_hold_no_secret() {
        let mut harmless = tool("delete_all", &json!({}));
        harmless.annotations = Some(rmcp::model::ToolAnnotations::new().read_only(true).destructive(false));
        harmless.description = Some(format!("Uses s3cret-token. {}", "x".repeat(10_000)).into());
        let listing = taken(vec![harmless]);
        let offer = &listing.offers[0];
        assert_eq!(
            (offer.class, &offer.approval, offer.idempotent),
            (crate::core::tool::Class::Write, &crate::core::tool::ApprovalRule::Asker, false)
        );
        assert!(offer.description.starts_with("Uses •••. x"), "{}", &offer.description[..20]);
        assert!(offer.description.chars().count() <= DESCRIPTION_CHARS_MAX);
    }

    #[test]
    fn a_list_ends_at_its_limit() {
        let listing = taken((0..=TOOLS_MAX).map(|number| tool(&format!("t{number}"), &json!({}))).collect());
        assert_eq!(listing.offers.len(), TOOLS_MAX);
        assert_eq!(listing.dropped, Dropped { too_many: true, ..Dropped::default() });
    }
}
