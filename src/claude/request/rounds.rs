//! Tools and the rounds of a tool loop, after the transcript (docs/claude-api.md, section 4).

use serde_json::{Value, json};

use super::{CACHE_BREAKPOINTS_MAX, CacheControl, InputMessage, Request, ToolChoice, Ttl, pictures};
use crate::{
    claude::wire::{ContentBlock, Fields, Json, Role},
    core::prompt::{Prompt, Round, ToolDefinition, ToolResult, ToolUse},
};

impl Request {
    /// Adds the prompt's tools and rounds. If a breakpoint is free, it marks where the previous request ended, because
    /// from the new end the provider looks back only 20 blocks.
    pub(super) fn add_rounds(&mut self, prompt: &Prompt) {
        self.tools = definitions(&prompt.tools);
        self.tool_choice = match prompt.tool_use {
            ToolUse::Off if !self.tools.is_empty() => Some(ToolChoice::None),
            ToolUse::On | ToolUse::Off => None,
        };
        let Some((last, earlier)) = prompt.rounds.split_last() else { return };
        self.messages.extend(earlier.iter().flat_map(messages));
        let in_system = self.system.iter().filter(|block| block.cache_control.is_some()).count();
        if in_system + usize::from(self.cache_control.is_some()) < CACHE_BREAKPOINTS_MAX
            && let Some(block) = self.messages.last_mut().and_then(|message| message.content.last_mut())
        {
            mark(block);
        }
        self.messages.extend(messages(last));
    }
}

fn definitions(tools: &[ToolDefinition]) -> Vec<Value> {
    let mut named: Vec<(String, Value)> = tools
        .iter()
        .map(|tool| match tool {
            ToolDefinition::Client { name, description, schema } => {
                let definition = json!({ "name": name, "description": description, "input_schema": schema });
                (name.clone(), definition)
            }
            ToolDefinition::Provider(raw) => (raw["name"].as_str().unwrap_or_default().to_owned(), raw.clone()),
        })
        .collect();
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    named.into_iter().map(|(_, definition)| definition).collect()
}

/// Returns a round as messages: the model's turn byte for byte, and all results in one message.
fn messages(round: &Round) -> impl Iterator<Item = InputMessage> {
    let content = round.said.iter().filter_map(|raw| echo(raw)).collect();
    let said = InputMessage { role: Role::Assistant, content, paused: round.results.is_empty() };
    let content = round.results.iter().map(result).collect();
    let results = InputMessage { role: Role::User, content, paused: false };
    [said, results].into_iter().filter(|message| !message.content.is_empty())
}

fn echo(raw: &str) -> Option<ContentBlock> {
    let block = serde_json::from_str(raw);
    debug_assert!(block.is_ok(), "rounds hold what the client read");
    block.ok()
}

fn result(result: &ToolResult) -> ContentBlock {
    let mut fields = Fields::default();
    fields.set("type", Json::of(&"tool_result"));
    fields.set("tool_use_id", Json::of(&result.call));
    if result.pictures.is_empty() && result.found.is_empty() {
        fields.set("content", Json::of(&result.text));
    } else {
        let text = std::iter::once(ContentBlock::text(result.text.clone()));
        let found = result.found.iter();
        let found = found.map(|found| ContentBlock::search_result(&found.source, &found.title, &found.text));
        let blocks: Vec<ContentBlock> = text.chain(found).chain(result.pictures.iter().flat_map(pictures)).collect();
        fields.set("content", Json::of(&blocks));
    }
    if result.is_error {
        fields.set("is_error", Json::of(&true));
    }
    ContentBlock::Other(fields)
}

/// Marks a block with a breakpoint. Thinking cannot have one; the transcript's beginning then serves.
fn mark(block: &mut ContentBlock) {
    let marker = Json::of(&CacheControl { ttl: Ttl::FiveMinutes });
    match block {
        ContentBlock::Text { rest, .. } | ContentBlock::ToolUse { rest, .. } => rest.set("cache_control", marker),
        ContentBlock::Other(fields) => fields.set("cache_control", marker),
        ContentBlock::Thinking { .. } | ContentBlock::RedactedThinking { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        claude::wire::Effort,
        core::prompt::{FileContent, Found, Role as Speaker, Turn},
    };

    fn prompt(rounds: Vec<Round>) -> Prompt {
        let client = |name: &str| ToolDefinition::Client {
            name: name.to_owned(),
            description: format!("Does {name}."),
            schema: json!({ "type": "object" }),
        };
        Prompt {
            tools: vec![
                client("zip"),
                ToolDefinition::Provider(json!({ "type": "web_search_20250305", "name": "web_search" })),
                client("add"),
            ],
            system: vec!["You are oncall.".to_owned(), "Room: #ops".to_owned()],
            turns: vec![Turn::new(Speaker::User, "status?")],
            rounds,
            tool_use: ToolUse::On,
            ..Prompt::default()
        }
    }

    fn body(prompt: &Prompt) -> Value {
        let request = Request::from_prompt(prompt, "claude-opus-5-5", Some(Effort::Medium), 4096, None);
        assert_eq!(request.fault(), None);
        serde_json::from_slice(&request.body()).expect("the body is JSON")
    }

    fn call(id: &str) -> String {
        format!(r#"{{"type":"tool_use","id":"{id}","name":"add","input":{{"n":1.50}}}}"#)
    }

    fn answered(id: &str, is_error: bool) -> ToolResult {
        ToolResult { call: id.to_owned(), text: format!("{{\"of\":\"{id}\"}}"), is_error, ..ToolResult::default() }
    }

    #[test]
    fn a_loop_s_rounds_become_the_pinned_messages_and_are_echoed_byte_for_byte() {
        let thinking = r#"{"type":"thinking","thinking":"","signature":"c2ln"}"#.to_owned();
        let unknown = r#"{"type":"hologram","b":1.10,"a":null}"#.to_owned();
        let first = Round {
            said: vec![thinking.clone(), unknown.clone(), call("toolu_1"), call("toolu_2")],
            results: vec![answered("toolu_1", false), answered("toolu_2", true)],
        };
        let second = Round { said: vec![call("toolu_3")], results: vec![answered("toolu_3", false)] };
        let prompt = prompt(vec![first, second]);
        insta::assert_snapshot!("rounds", serde_json::to_string_pretty(&body(&prompt)).expect("a value prints"));
        let request = Request::from_prompt(&prompt, "claude-opus-5-5", Some(Effort::Medium), 4096, None);
        let sent = String::from_utf8(request.body()).expect("JSON is UTF-8");
        for raw in [thinking, unknown, call("toolu_1")] {
            assert!(sent.contains(&raw), "{raw} in {sent}");
        }
    }

    #[test]
    fn c12_pictures_of_a_result_stand_in_it() {
        let picture = FileContent::Image { media_type: "image/png", base64: "aW1n".into() };
        let shown = ToolResult { pictures: vec![picture], ..answered("toolu_1", false) };
        let body = body(&prompt(vec![Round { said: vec![call("toolu_1")], results: vec![shown] }]));
        let content = &body["messages"][2]["content"][0]["content"];
        assert_eq!(content[0], json!({ "type": "text", "text": "{\"of\":\"toolu_1\"}" }));
        assert_eq!(content[1]["source"], json!({ "type": "base64", "media_type": "image/png", "data": "aW1n" }));
    }

    #[test]
    fn c12_what_a_tool_found_stands_in_its_result_as_search_results_and_as_lines_where_the_api_takes_none() {
        let found = Found { source: "https://a.org/".to_owned(), title: "A".to_owned(), text: "It rains.".to_owned() };
        let result = ToolResult { found: vec![found], ..answered("toolu_1", false) };
        let cited = prompt(vec![Round { said: vec![call("toolu_1")], results: vec![result] }]);
        let expected = json!([
            { "type": "text", "text": "{\"of\":\"toolu_1\"}" },
            {
                "type": "search_result", "source": "https://a.org/", "title": "A",
                "content": [{ "type": "text", "text": "It rains." }], "citations": { "enabled": true },
            },
        ]);
        assert_eq!(body(&cited)["messages"][2]["content"][0]["content"], expected);
        assert!(cited.has_files(), "it may be what the API refuses");
        let without = cited.without_files("");
        let text = &body(&without)["messages"][2]["content"][0]["content"];
        assert!(text.as_str().is_some_and(|text| text.ends_with("\"untrusted_title\":\"A\"}")), "{text}");
        assert!(!without.has_files());
    }

    #[test]
    fn a_turn_that_was_paused_without_a_tool_at_work_stands_last_too() {
        let said = vec![r#"{"type":"text","text":"So far"}"#.to_owned()];
        let body = body(&prompt(vec![Round { said, results: vec![] }]));
        assert_eq!(
            body["messages"][1],
            json!({ "role": "assistant", "content": [{ "type": "text", "text": "So far" }] })
        );
    }

    #[test]
    fn a_paused_turn_stands_last_and_tool_use_can_be_off_with_the_same_tools() {
        let said = vec![r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}"#.to_owned()];
        let on = prompt(vec![Round { said, results: vec![] }]);
        let off = Prompt { tool_use: ToolUse::Off, ..on.clone() };
        let [on, off] = [body(&on), body(&off)];
        assert_eq!(on["messages"][1]["role"], "assistant");
        assert_eq!((&on["tool_choice"], &off["tool_choice"]), (&Value::Null, &json!({ "type": "none" })));
        assert_eq!(on["tools"], off["tools"]);
    }

    #[test]
    fn breakpoints_stay_within_what_the_api_takes_however_long_the_loop_is() {
        for system in 0..5 {
            for rounds in 0..6 {
                let round = |n: usize| {
                    let id = format!("toolu_{n}");
                    Round { said: vec![call(&id)], results: vec![answered(&id, false)] }
                };
                let prompt =
                    Prompt { system: vec!["text".to_owned(); system], ..prompt((0..rounds).map(round).collect()) };
                let marked = body(&prompt).to_string().matches("cache_control").count();
                assert!(marked <= CACHE_BREAKPOINTS_MAX, "{marked} with {system} and {rounds}");
            }
        }
    }
}
