// The demo's WebSocket application: an echo at /echo and an endless stream at /stream, with no login. The handshake and
// frames are those of RFC 6455, as far as an echo needs them, on node's own HTTP server.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

const server = createServer((request, response) => {
  if (request.url === "/stream") {
    response.writeHead(200, { "Content-Type": "text/plain" });
    let count = 0;
    const timer = setInterval(() => response.write(`tick ${++count}\n`), 50);
    response.on("close", () => clearInterval(timer));
    return;
  }
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ path: request.url, principal: request.headers["wary-principal"] ?? null }) + "\n");
});

server.on("upgrade", (request, socket) => {
  const accept = createHash("sha1")
    .update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
    .digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  let held = Buffer.alloc(0);
  socket.on("data", (data) => {
    held = Buffer.concat([held, data]);
    // Client frames: masked, at most 125 bytes here.
    while (held.length >= 6 && held.length >= 6 + (held[1] & 0x7f)) {
      const length = held[1] & 0x7f;
      const mask = held.subarray(2, 6);
      const payload = Buffer.from(held.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4]));
      socket.write(Buffer.concat([Buffer.from([0x80 | (held[0] & 0x0f), length]), payload]));
      held = held.subarray(6 + length);
    }
  });
  socket.on("error", () => {});
});

server.listen(Number(process.argv[2] ?? 18081), "127.0.0.1");
