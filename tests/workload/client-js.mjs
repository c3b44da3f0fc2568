// client-js.mjs SOCKET: the SPIFFE Workload API by grpc-js; the messages are written by hand, with the field numbers of the
// specification. One JSON line for each thing that was seen.
import grpc from "@grpc/grpc-js";

const saw = (what, held, found = "") => console.log(JSON.stringify({ what, held: Boolean(held), found: String(found) }));
const client = new grpc.Client(`unix:${process.argv[2]}`, grpc.credentials.createInsecure());
const id = "spiffe://local/shop/orders";
const metadata = (value = "true") => {
  const out = new grpc.Metadata();
  out.set("workload.spiffe.io", value);
  return out;
};
const field = (number, bytes) => Buffer.concat([Buffer.from([number * 8 + 2, ...(bytes.length < 128 ? [bytes.length] : [(bytes.length % 128) + 128, bytes.length >> 7])]), Buffer.from(bytes)]);
const same = (value) => value;
const unary = (method, bytes, value) => new Promise((resolve) => {
  client.makeUnaryRequest(`/SpiffeWorkloadAPI/${method}`, same, same, bytes, metadata(value), { deadline: Date.now() + 30000 },
    (error, reply) => resolve({ code: error?.code ?? 0, reply }));
});
// The first message of a stream, and the code it ends with when it is given up after that.
const first = (method, value) => new Promise((resolve) => {
  const call = client.makeServerStreamRequest(`/SpiffeWorkloadAPI/${method}`, same, same, Buffer.alloc(0), metadata(value), { deadline: Date.now() + 30000 });
  call.on("data", (reply) => {
    resolve({ code: 0, reply });
    call.cancel();
  });
  call.on("error", (error) => resolve({ code: error.code }));
});

for (const method of ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"]) {
  const got = await first(method);
  saw(method, got.code === 0 && got.reply.includes(method === "FetchX509SVID" ? id : "spiffe://local"), got.code);
  const refused = await first(method, "no");
  saw(`${method} without its metadata`, refused.code === grpc.status.INVALID_ARGUMENT, refused.code);
}
const token = await unary("FetchJWTSVID", field(1, "db"));
const text = /eyJ[\w-]+\.[\w-]+\.[\w-]+/.exec(token.reply?.toString("latin1") ?? "")?.[0] ?? "";
saw("FetchJWTSVID", token.code === 0 && token.reply.includes(id) && text !== "", token.code);
const valid = await unary("ValidateJWTSVID", Buffer.concat([field(1, "db"), field(2, text)]));
saw("ValidateJWTSVID", valid.code === 0 && valid.reply.includes(id), valid.code);
saw("ValidateJWTSVID for another", (await unary("ValidateJWTSVID", Buffer.concat([field(1, "x"), field(2, text)]))).code === grpc.status.INVALID_ARGUMENT);
saw("FetchWITSVID", (await unary("FetchWITSVID", Buffer.alloc(0))).code === grpc.status.UNIMPLEMENTED);
saw("FetchWITBundles", (await first("FetchWITBundles")).code === grpc.status.UNIMPLEMENTED);
client.close();
