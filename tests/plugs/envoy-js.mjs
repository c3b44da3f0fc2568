// envoy-js.mjs SOCKET COOKIE HOST: Envoy's Check by grpc-js, a third implementation of HTTP/2 and gRPC; the messages are
// written by hand. One JSON line for each thing that was seen.
import grpc from "@grpc/grpc-js";

const [socket, cookie, host] = process.argv.slice(2);
const saw = (what, held, found = "") => console.log(JSON.stringify({ what, held: Boolean(held), found: String(found) }));

function varint(value) {
  const out = [];
  for (; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) + 128);
  return Buffer.from([...out, value]);
}
const field = (number, ...parts) => {
  const bytes = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
};
const check = (method, cookies, path = "/a") => field(1, field(4, field(2, field(2, method), field(3, field(1, "cookie"), field(2, cookies)), field(4, path), field(5, host))));

const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure());
const call = (bytes, options = {}) => new Promise((resolve) => {
  client.makeUnaryRequest("/envoy.service.auth.v3.Authorization/Check", (value) => value, (value) => value, bytes, new grpc.Metadata(),
    { deadline: Date.now() + 60000, ...options }, (error, reply) => resolve({ code: error?.code ?? 0, reply }));
});
const principal = Buffer.from('Wary::User::"alice"');

const yes = await call(check("GET", cookie));
saw("alice may read and is named", yes.code === 0 && yes.reply.includes(principal), yes.code);
const no = await call(check("POST", cookie));
saw("alice may not write", no.code === 0 && !no.reply.includes(principal) && no.reply.includes("denied"), no.code);
// Bodies of several frames, many streams at once.
const wide = await Promise.all(Array.from({ length: 300 }, (_, i) => call(check("GET", cookie, `/${"x".repeat(i * 20)}`))));
saw("three hundred at once, the largest of 6 KB", wide.every((one) => one.code === 0 && one.reply.includes(principal)), wide.filter((one) => one.code !== 0).map((one) => one.code));
const long = await call(Buffer.concat([field(2, Buffer.alloc(200_000)), check("GET", cookie)]));
saw("a message larger than the window", long.code === 0 && long.reply.includes(principal), long.code);
saw("what is no message is invalid", (await call(Buffer.from([0x0a, 0x05]))).code === grpc.status.INVALID_ARGUMENT);
saw("and the connection goes on", (await call(check("GET", cookie))).code === 0);
client.close();
