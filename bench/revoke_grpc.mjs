// An application of gRPC's calls that do not end, over HTTP/2 without TLS: each is answered with one message, and stays open.
// Called by bench/revoke.mjs with its port.
import { createServer } from "node:http2";

const server = createServer({ settings: { maxConcurrentStreams: 10000 } });
server.on("stream", (stream, headers) => {
  stream.on("error", () => {});
  if (headers["content-type"] !== "application/grpc") {
    stream.respond({ ":status": 200 });
    return stream.end();
  }
  stream.respond({ ":status": 200, "content-type": "application/grpc" });
  stream.write(Buffer.from([0, 0, 0, 0, 2, 10, 0]));
  stream.resume();
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
