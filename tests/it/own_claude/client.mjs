// The TypeScript SDK's own client: lists and reads everything that an owner's connection offers.
// Usage: client.mjs DIRECTORY_WITH_NODE_MODULES SETTINGS_AS_JSON. Prints one JSON object; what fails throws.

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [directory, settings] = process.argv.slice(2);
const { url, token, team, other, event } = JSON.parse(settings);
const require = createRequire(path.join(directory, "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");

async function connected(bearer) {
  const client = new Client({ name: "an-owners-program", version: "1" });
  const headers = { Authorization: `Bearer ${bearer}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return client;
}

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return `${error.code ?? ""} ${error.message}`;
  }
}

const client = await connected(token);
const { tools } = await client.listTools();
const call = async (name, args) => (await client.callTool({ name, arguments: args })).content[0].text;
const { resources } = await client.listResources();
const { prompts } = await client.listPrompts();
const own = resources.find((resource) => decodeURIComponent(resource.uri).includes(team));
const elsewhere = (room) => `workmate://room/${encodeURIComponent(room)}`;
const report = {
  tools: tools.map((tool) => tool.name),
  readOnly: tools.every((tool) => tool.annotations.readOnlyHint === true && tool.annotations.destructiveHint === false),
  rooms: await call("rooms", {}),
  read: await call("room_read", { room: team, limit: 100 }),
  search: await call("room_search", { room: team, text: "kingfisher" }),
  message: await call("message", { room: team, event }),
  thread: await call("thread_read", { room: team, event }),
  members: await call("room_members", { room: team }),
  resources: resources.length,
  prompts: prompts.length,
  resource: (await client.readResource({ uri: own.uri })).contents[0].text,
  prompt: (await client.getPrompt({ name: prompts[0].name })).messages[0].content.text,
  otherRoom: await call("room_read", { room: other }),
  noRoom: await call("room_read", { room: "!nowhere:localhost" }),
  otherResource: await failure(client.readResource({ uri: elsewhere(other) })),
  noResource: await failure(client.readResource({ uri: elsewhere("!nowhere:localhost") })),
  wrongToken: await failure(connected(`${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`)),
};
await client.close();
console.log(JSON.stringify(report));
