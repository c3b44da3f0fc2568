// An application: prints its port on loopback; answers with what it was asked, its body's length, and who asked by the gateway's
// word; echoes WebSockets (npm's ws).
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { WebSocketServer } = createRequire(import.meta.url)("ws");
const server = createServer((request, response) => {
  let bytes = 0;
  request.on("data", (data) => (bytes += data.length));
  request.on("end", () => {
    if (request.url.startsWith("/large")) return response.end(Buffer.alloc(Number(request.url.split("/")[2]), "x"));
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ method: request.method, url: request.url, bytes, http: request.httpVersion, headers: request.headers }));
  });
});
const sockets = new WebSocketServer({ server, path: "/ws" });
sockets.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
