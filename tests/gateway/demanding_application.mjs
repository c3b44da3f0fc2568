// An application over TLS that lets in who shows a certificate of its trust domain alone, and tells whose it was.
//   node demanding_application.mjs DIR      (svid.pem, svid.key and bundle.pem, as `wary workload issue` writes them)
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";

const [cert, key, ca] = ["svid.pem", "svid.key", "bundle.pem"].map((name) => readFileSync(join(process.argv[2], name)));
const server = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" }, (request, response) => {
  const peer = request.socket.getPeerCertificate();
  response.end(JSON.stringify({ peer: peer.subjectaltname, until: peer.valid_to, principal: request.headers["wary-principal"] }));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
