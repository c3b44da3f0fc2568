// An application without a login: prints its port on loopback, answers every path; /stream never ends, /whole answers when all of the
// request has come.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  if (request.url === "/whole") return void request.on("end", () => response.end("whole\n")).resume();
  if (request.url !== "/stream") return response.end(`${request.url}\n`);
  response.write("open\n");
  const timer = setInterval(() => response.write("more\n"), 50);
  response.on("close", () => clearInterval(timer));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
