// A person with matrix-js-sdk, which is what Element Web is made of: makes chats as Element does, reads, and verifies ours
// from the client's own button.
// Usage: person.mjs DIRECTORY_WITH_NODE_MODULES SETTINGS_AS_JSON. Prints one JSON object; what does not come throws.

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [directory, settings] = process.argv.slice(2);
const { homeserver, user, password, service, coworker, assistant, question } = JSON.parse(settings);
const require = createRequire(path.join(directory, "package.json"));
for (const level of ["log", "info", "warn", "debug", "trace"]) console[level] = () => {};
const sdk = await import(pathToFileURL(require.resolve("matrix-js-sdk")));
const { VerificationPhase, VerificationRequestEvent, VerifierEvent } = await import(
  pathToFileURL(path.join(path.dirname(require.resolve("matrix-js-sdk")), "crypto-api", "index.js"))
);
const { logger } = await import(
  pathToFileURL(path.join(path.dirname(require.resolve("matrix-js-sdk")), "logger.js"))
);
logger.setLevel("silent");

const WAIT_MAX_MS = 60_000;
const POLL_MS = 50;
let step = "the login";

async function until(what, look) {
  step = what;
  for (const deadline = Date.now() + WAIT_MAX_MS; Date.now() < deadline; ) {
    const found = await look();
    if (found) return found;
    await new Promise((next) => setTimeout(next, POLL_MS));
  }
  throw new Error(`never came: ${what}`);
}

// Nothing here waits for ever, and what it waited for is said.
async function within(what, promise) {
  step = what;
  let timer;
  const late = new Promise((_, refuse) => (timer = setTimeout(() => refuse(new Error(`never came: ${what}`)), WAIT_MAX_MS)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
setTimeout(() => {
  process.stderr.write(`stuck at: ${step}\n`);
  process.exit(1);
}, 4 * WAIT_MAX_MS).unref();

const client = sdk.createClient({ baseUrl: homeserver });
const login = await client.loginRequest({
  type: "m.login.password",
  identifier: { type: "m.id.user", user },
  password,
});
const me = sdk.createClient({
  baseUrl: homeserver,
  accessToken: login.access_token,
  userId: login.user_id,
  deviceId: login.device_id,
  cryptoCallbacks: {},
});
await me.initRustCrypto({ useIndexedDB: false });
const crypto = me.getCrypto();
await me.startClient({ initialSyncLimit: 30 });
await until("the first sync", () => me.isInitialSyncComplete());
await crypto.bootstrapCrossSigning({
  authUploadDeviceSigningKeys: (upload) =>
    upload({ type: "m.login.password", identifier: { type: "m.id.user", user: login.user_id }, password }),
});

// As Element's `createRoom` for a direct chat: encrypted where everybody there has devices.
async function chatWith(other) {
  const devices = await within(`devices of ${other}`, crypto.getUserDeviceInfo([other], true));
  const encrypted = (devices.get(other)?.size ?? 0) > 0;
  const { room_id } = await within(`a chat with ${other}`, me.createRoom({
    preset: "trusted_private_chat",
    visibility: "private",
    is_direct: true,
    invite: [other],
    initial_state: encrypted
      ? [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }]
      : [],
  }));
  await until("the room", () => me.getRoom(room_id));
  // As soon as somebody types.
  if (encrypted) crypto.prepareToEncrypt(me.getRoom(room_id));
  return { room: room_id, encrypted };
}

const messages = (room) =>
  (me.getRoom(room)?.getLiveTimeline().getEvents() ?? []).filter((event) => event.getType() === "m.room.message");

function said(room, sender, text) {
  const found = messages(room).find(
    (event) => event.getSender() === sender && event.getContent().body?.includes(text),
  );
  return found && { body: found.getContent().body, html: found.getContent().formatted_body, encrypted: found.isEncrypted() };
}

const invitedBy = (other) =>
  until(`an invite by ${other}`, () =>
    me.getRooms().find(
      (room) =>
        room.getMyMembership() === "invite" &&
        room.getMember(me.getUserId())?.events.member?.getSender() === other,
    ),
  );

// How somebody left, with what stands beside it.
const left = (room, who) =>
  until(`that ${who} leaves`, () => {
    const event = me.getRoom(room).getLiveTimeline().getState("f")?.getStateEvents("m.room.member", who);
    return event?.getContent().membership === "leave" && { reason: event.getContent().reason };
  });

// The client's own button, up to the end.
async function verify(other, room) {
  // The client learns who somebody is when it has seen them in a room.
  const request = await until(`who ${other} is`, async () => {
    try {
      return await crypto.requestVerificationDM(other, room);
    } catch (error) {
      if (!/unknown userId/.test(error.message)) throw error;
    }
  });
  await until(`${other} takes the request`, () => {
    if (request.phase === VerificationPhase.Cancelled) throw new Error(`cancelled: ${request.cancellationCode}`);
    return request.phase === VerificationPhase.Ready;
  });
  const methods = {
    sas: request.otherPartySupportsMethod("m.sas.v1"),
    scan: request.otherPartySupportsMethod("m.qr_code.scan.v1"),
    show: request.otherPartySupportsMethod("m.qr_code.show.v1"),
  };
  const verifier = await within("the start", request.startVerification("m.sas.v1"));
  let shown;
  verifier.on(VerifierEvent.ShowSas, (sas) => (shown = sas));
  const done = verifier.verify();
  done.catch(() => {});
  const sas = await until("the emoji", () => shown);
  const emoji = sas.sas.emoji.map(([sign, name]) => `${sign} ${name}`).join(" · ");
  const compared = await until("the same emoji in the chat", () => said(room, other, emoji));
  await within("our confirmation", sas.confirm());
  await within(`the end with ${other}`, done);
  await until("the word that it is done", () => said(room, other, "Verified."));
  const status = await within("how it stands", crypto.getUserVerificationStatus(other));
  return { ...methods, verified: status.isVerified(), emojiFirst: compared.body.startsWith(emoji.slice(0, 4)) };
}

// The button, pressed twice: the client's own SDK cancels both.
async function verifyTwice(other, room) {
  const both = [await crypto.requestVerificationDM(other, room), await crypto.requestVerificationDM(other, room)];
  await until("the end of both", () => both.every((request) => request.phase === VerificationPhase.Cancelled));
  return (await until("the word that they crossed", () => said(room, other, "Two verifications"))).encrypted;
}

const report = {};
try {
  // The service bot, which makes the assistant.
  const bot = await chatWith(service);
  report.welcome = await until("the welcome", () => said(bot.room, service, "Hello!"));
  const invite = await invitedBy(assistant);
  await me.joinRoom(invite.roomId);
  await until("the first words", () => said(invite.roomId, assistant, "I'm your assistant"));

  report.online = {};
  for (const who of [service, assistant]) {
    report.online[who] = await until(`that ${who} is online`, async () => {
      const path = `/presence/${encodeURIComponent(who)}/status`;
      const shown = await me.http.authedRequest("GET", path).catch(() => ({}));
      return shown.presence === "online";
    });
  }

  report.crossed = await verifyTwice(assistant, invite.roomId);
  report.assistant = await verify(assistant, invite.roomId);
  report.service = await verify(service, bot.room);

  // A coworker, in a chat that the client opens for it; and again in another once that is over.
  const theirs = await chatWith(coworker);
  report.coworker = await verify(coworker, theirs.room);
  report.coworkerLeft = await left(theirs.room, coworker);

  // A chat with a coworker in which something is written.
  const chat = await chatWith(coworker);
  await me.sendTextMessage(chat.room, "hello, can you help me?");
  report.coworkerSaid = await until("why it does not stay", () => said(chat.room, coworker, "at least two people"));
  report.coworkerLeftAgain = await left(chat.room, coworker);

  // Another chat with the assistant.
  const dead = await chatWith(assistant);
  report.deadEncrypted = dead.encrypted;
  await me.sendTextMessage(dead.room, "my first words");
  report.assistantLeft = await left(dead.room, assistant);
  report.ledTo = invite.roomId;
  report.elsewhere = await until("that it is said in the own chat", () => said(invite.roomId, assistant, "another chat"));

  await me.sendTextMessage(invite.roomId, question);
  report.answer = await until("the answer", () => said(invite.roomId, assistant, "It is me."));
} finally {
  me.stopClient();
}
process.stdout.write(JSON.stringify(report));
process.exit(0);
