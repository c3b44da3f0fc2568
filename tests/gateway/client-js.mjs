// client-js.mjs PORT CA COOKIE GRPC-COOKIE: grpc-js, npm's ws and node's own HTTP/2 through the gateway. One JSON line a finding.
import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { createRequire } from "node:module";

const [port, caFile, cookie, grpcCookie] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const grpc = require("@grpc/grpc-js");
const WebSocket = require("ws");
const ca = readFileSync(caFile);
const saw = (what, held, found = "") => console.log(JSON.stringify({ what, held: Boolean(held), found: String(found) }));
const same = (value) => value;

const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createSsl(ca), {
  "grpc.ssl_target_name_override": "grpc.localhost", "grpc.default_authority": "grpc.localhost" });
const metadata = new grpc.Metadata();
metadata.set("cookie", grpcCookie);
const unary = (bytes, md = metadata) => new Promise((resolve) => {
  client.makeUnaryRequest("/test.Echo/Unary", same, same, Buffer.from(bytes), md, { deadline: Date.now() + 10000 }, (error, reply) => resolve({ code: error?.code ?? 0, reply }));
});
const one = await unary("hello");
saw("grpc-js: a unary call", one.code === 0 && one.reply.toString() === 'hello for Wary::User::"alice"', one.code);
saw("grpc-js: nobody", (await unary("x", new grpc.Metadata())).code === grpc.status.UNAUTHENTICATED);
const streamed = await new Promise((resolve) => {
  const got = [];
  const call = client.makeBidiStreamRequest("/test.Echo/Talk", same, same, metadata, { deadline: Date.now() + 10000 });
  call.on("data", (reply) => got.push(reply.toString()));
  call.on("status", (status) => resolve({ got, code: status.code }));
  call.on("error", () => {});
  call.write(Buffer.from("a"));
  call.write(Buffer.from("b"));
  call.end();
});
saw("grpc-js: both streams", streamed.code === 0 && streamed.got.join() === "heard a,heard b", JSON.stringify(streamed));

const socket = (path, headers = { Cookie: cookie }) => new WebSocket(`wss://127.0.0.1:${port}${path}`, { ca, servername: "site.localhost", headers: { Host: "site.localhost", ...headers } });
const opened = socket("/ws");
const echoed = await new Promise((resolve) => {
  opened.on("open", () => opened.send("x".repeat(100000)));
  opened.on("message", (data) => resolve(data.length));
  opened.on("error", (error) => resolve(error.message));
});
saw("ws: a message of 100,000 bytes there and back", echoed === 100000, echoed);
const refused = await new Promise((resolve) => {
  const other = socket("/ws", {});
  other.on("unexpected-response", (_, response) => resolve(response.statusCode));
  other.on("open", () => resolve("open"));
  other.on("error", () => {});
});
saw("ws: nobody is refused before anything opens", refused === 401, refused);

// RFC 8441: a WebSocket over HTTP/2, by node's own client; frames by hand.
const session = connectHttp2(`https://127.0.0.1:${port}`, { ca, servername: "site.localhost" });
await new Promise((resolve) => session.on("remoteSettings", resolve));
saw("http2: extended CONNECT is offered", session.remoteSettings.enableConnectProtocol === true);
const tunnel = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":authority": "site.localhost", ":path": "/ws", cookie, "sec-websocket-version": "13" });
const status = await new Promise((resolve) => tunnel.on("response", (headers) => resolve(headers[":status"])));
const frames = [];
tunnel.on("data", (bytes) => frames.push(bytes));
const masked = Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x68 ^ 1, 0x69 ^ 2]);
tunnel.write(masked);
for (let i = 0; i < 100 && frames.length === 0; ++i) await new Promise((resolve) => setTimeout(resolve, 20));
saw("http2: a WebSocket in a stream", status === 200 && Buffer.concat(frames).equals(Buffer.from([0x81, 2, 0x68, 0x69])), `${status} ${Buffer.concat(frames).toString("hex")}`);

console.log(JSON.stringify({ ready: true }));
const [code, last] = await Promise.all([
  new Promise((resolve) => opened.on("close", (why) => resolve(why))),
  new Promise((resolve) => tunnel.on("close", () => resolve(Buffer.concat(frames).subarray(4).toString("hex")))),
]);
saw("ws: a revoked WebSocket closes with 1008", code === 1008, code);
saw("http2: and so does the one in a stream", last === "880203f0", last);
session.destroy();
client.close();
process.exit(0);
