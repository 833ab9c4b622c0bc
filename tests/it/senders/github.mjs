// Sends every example payload of @octokit/webhooks-examples to a webhook, signed by @octokit/webhooks. Prints a line of
// JSON for each call.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [url, secret, modules] = process.argv.slice(2);
const root = join(modules, "node_modules", "@octokit");
const { Webhooks } = await import(pathToFileURL(join(root, "webhooks", "dist-bundle", "index.js")));
const loaded = createRequire(join(modules, "package.json"))("@octokit/webhooks-examples");
const webhooks = new Webhooks({ secret });

for (const { name: event, examples } of loaded.default ?? loaded) {
  for (const example of examples) {
    const body = JSON.stringify(example);
    const signature = await webhooks.sign(body);
    const answer = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/044aadd",
        "x-github-delivery": crypto.randomUUID(),
        "x-github-event": event,
        "x-hub-signature-256": signature,
      },
      body,
    });
    const { status } = answer;
    console.log(JSON.stringify({ event, signature, status, became: (await answer.json()).status, body }));
  }
}
