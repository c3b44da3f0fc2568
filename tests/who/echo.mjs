// An application that answers with the header fields it got: prints its port on loopback; /stream never ends.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  if (request.url !== "/stream") return response.end(JSON.stringify(request.headers));
  response.write("open\n");
  const timer = setInterval(() => response.write("more\n"), 50);
  response.on("close", () => clearInterval(timer));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
