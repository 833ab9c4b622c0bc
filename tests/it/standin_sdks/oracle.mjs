// Asks the stand-in through Anthropic's TypeScript SDK, whose accumulator refuses events in a wrong order.
// Usage: oracle.mjs BASE_URL KEY DIRECTORY_WITH_NODE_MODULES. Prints one JSON object; any disagreement throws.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const [baseURL, apiKey, directory] = process.argv.slice(2);
const require = createRequire(path.join(directory, "package.json"));
const { Anthropic } = require("@anthropic-ai/sdk");

const MODEL = "claude-opus-5-5";
const TOOL = {
  name: "look",
  description: "Looks somewhere.",
  input_schema: { type: "object", properties: { where: { type: "string" } } },
};
const client = new Anthropic({ baseURL, apiKey });
const user = (content) => ({ role: "user", content });
const requestFor = (messages, more = {}) => ({ model: MODEL, max_tokens: 1024, messages, ...more });

// Ids and signatures differ between two answers; everything else must not.
const comparable = (message) =>
  message.content.map(({ id, tool_use_id, ...block }) => block);

async function scene(name, more = {}, messages = [user(`scene:${name}`)]) {
  const request = requestFor(messages, more);
  const streamed = await client.messages.stream(request).finalMessage();
  const whole = await client.messages.create(request);
  assert.deepEqual(comparable(streamed), comparable(whole));
  for (const field of ["stop_reason", "stop_sequence", "stop_details"]) {
    assert.deepEqual(streamed[field], whole[field], field);
  }
  assert.equal(streamed.usage.output_tokens, whole.usage.output_tokens);
  return streamed;
}

async function failure(call) {
  try {
    await call();
  } catch (error) {
    assert.equal(error.requestID, error.error.request_id);
    return error.constructor.name;
  }
  throw new Error("an error was expected");
}

const report = { text: (await scene("text")).content[0].text };

const called = await scene("tool-call", { tools: [TOOL] });
const calls = called.content.filter((block) => block.type === "tool_use");
report.tool_inputs = calls.map((call) => call.input);
report.tool_stop = called.stop_reason;
const results = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: "green" }));
const followed = [
  user("scene:tool-call"),
  { role: "assistant", content: called.content },
  user([...results, { type: "text", text: "scene:tool-result" }]),
];
report.after_tools = (await scene("tool-result", { tools: [TOOL] }, followed)).content[0].text;

report.search = (await scene("search")).content.map((block) => block.type);
const refused = await scene("refusal");
report.refusal = { stop_reason: refused.stop_reason, category: refused.stop_details.category };
report.cut = (await scene("cut")).content[0].text;
report.fetch = (await scene("fetch")).content.map((block) => block.type);
report.empty = (await scene("empty")).stop_reason;
report.stop_sequence = (await scene("stop", { stop_sequences: ["END"] })).stop_sequence;
report.bytes = (await scene("bytes")).content[0].text;

const ask = (text) => client.messages.create(requestFor([user(text)]));
report.retried = (await ask("scene:retry")).content[0].text;
report.limit_error = await failure(() => ask("scene:limit"));
report.bad_request = await failure(() =>
  client.messages.create(requestFor([{ role: "assistant", content: "x" }])),
);
const stranger = new Anthropic({ baseURL, apiKey: "wrong" });
report.unauthorized = await failure(() => stranger.models.list());
const counted = await client.messages.countTokens({ model: MODEL, messages: [user("how long?")] });
report.counted = counted.input_tokens > 0;
report.model = (await client.models.retrieve(MODEL)).display_name;
const ids = [];
for await (const model of client.models.list({ limit: 5 })) ids.push(model.id);
report.models_listed = ids.includes(MODEL) && ids.length > 5 && new Set(ids).size === ids.length;
console.log(JSON.stringify(report));
