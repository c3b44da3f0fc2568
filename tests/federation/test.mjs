#!/usr/bin/env node
// Two real warys of two trust domains that federate, each profile one way; programs of one that believe programs of the
// other; and endpoints that are not what they should be, each refused by its code.
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { chmodSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";
import { run, saw, skip, step } from "../support/checks.mjs";
import { Platform, root } from "../support/platform.mjs";
import { cleanUp, freePort, makeScratch, until } from "../support/processes.mjs";

process.env.WARY_TEST_SECONDS ??= "300"; // refresh hints are ten seconds at least, and several have to pass
const scratch = makeScratch("federation");
const python = "/usr/bin/python3";
const wellKnown = "/.well-known/spiffe-bundle";
const bListens = await freePort();
const webRoots = join(scratch, "web-roots.pem");
const a = new Platform(scratch, await freePort(), { data: join(scratch, "a"), words: ["--trust-domain", "a.test", "--refresh-hint", "10", "--web-roots", webRoots] });
const b = new Platform(scratch, await freePort(), { data: join(scratch, "b"),
  words: ["--trust-domain", "b.test", "--refresh-hint", "10", "--federation-listen", `127.0.0.1:${bListens}`, "--web-roots", join(a.data, "ca.pem")] });

function apply(wary, ...documents) {
  const path = join(scratch, "objects.yaml");
  writeFileSync(path, documents.map((one) => JSON.stringify({ apiVersion: "wary.dev/v1", ...one })).join("\n---\n"));
  return wary.cli("apply", "-f", path);
}
const trustDomain = (name, spec) => ({ kind: "TrustDomain", metadata: { name }, spec });
const web = (name, url, more = {}) => trustDomain(name, { bundleEndpoint: { url, profile: "https_web" }, ...more });
const spiffe = (name, url, spiffeId, bundle) => trustDomain(name, { bundleEndpoint: { url, profile: "https_spiffe", spiffeId }, ...(bundle ? { bundle } : {}) });
const statusOf = (wary, name) => wary.cliJson("get", "trustdomain", name).status;

function ask(wary, ...words) {
  const done = spawnSync(python, [join(root, "tests/workload/client.py"), join(wary.data, "run/agent/api.sock"), ...words], { encoding: "utf8", timeout: 60000 });
  const line = done.stdout.split("\n").find((one) => one.startsWith("{"));
  if (line === undefined) throw new Error(`client.py ${words.join(" ")}: ${done.stdout}${done.stderr}`);
  return JSON.parse(line);
}
const workload = (name, federatesWith) => ({ kind: "Workload", metadata: { name, namespace: "default" },
  spec: { selectors: [[`unix:uid:${process.getuid()}`, `unix:path:${realpathSync(python)}`]], federatesWith } });

// The certificates of a bundle as the Workload API gives it.
function certificates(base64) {
  let bytes = Buffer.from(base64 ?? "", "base64"), count = 0;
  while (bytes.length > 0) {
    bytes = bytes.subarray(bytes[1] === 0x82 ? 4 + bytes.readUInt16BE(2) : bytes[1] === 0x81 ? 3 + bytes[2] : 2 + bytes[1]);
    count += 1;
  }
  return count;
}

function openssl(...words) {
  const done = spawnSync("openssl", words, { encoding: "utf8", cwd: scratch });
  if (done.status !== 0) throw new Error(`openssl ${words.join(" ")}: ${done.stderr}`);
}
// A CA and a server's certificate below it, for a name or a SPIFFE ID.
function makeServer(name, subjectAltName, eku) {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", `${name}-ca.key`, "-out", `${name}-ca.pem`, "-days", "2", "-subj", `/CN=${name} CA`);
  openssl("req", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", "/CN=server");
  writeFileSync(join(scratch, `${name}.ext`), `subjectAltName=${subjectAltName}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=${eku}\nbasicConstraints=CA:FALSE\n`);
  openssl("x509", "-req", "-in", `${name}.csr`, "-CA", `${name}-ca.pem`, "-CAkey", `${name}-ca.key`, "-CAcreateserial", "-days", "1", "-extfile", `${name}.ext`, "-out", `${name}.pem`);
  return { key: readFileSync(join(scratch, `${name}.key`)), cert: readFileSync(join(scratch, `${name}.pem`)) };
}

let ownBundle = "";   // of b.test, as it serves it
let sequence = 5;     // of the endpoint that goes back
const answers = {
  "/good": (response) => response.end('{"keys":[],"spiffe_sequence":1,"spiffe_refresh_hint":10}'),
  "/sequence": (response) => response.end(`{"keys":[],"spiffe_sequence":${sequence},"spiffe_refresh_hint":10}`),
  "/malformed": (response) => response.end('{"keys":[{]}'),
  "/no-bundle": (response) => response.end('{"hello":"there"}'),
  "/oversized": (response) => response.end(Buffer.alloc(5 << 20, "x")),
  "/cut": (response) => {
    response.writeHead(200, { "Content-Length": "100" });
    response.write("{");
    setTimeout(() => response.socket.destroy(), 50);
  },
  "/redirected": (response, port) => response.writeHead(307, { Location: `https://web.localhost:${port}/good` }).end(),
  "/by-path": (response) => response.writeHead(302, { Location: "/good" }).end(),
  "/plaintext": (response, port) => response.writeHead(307, { Location: `http://web.localhost:${port}/good` }).end(),
  "/to-spiffe": (response) => response.writeHead(307, { Location: `https://127.0.0.1:${bListens}${wellKnown}` }).end(),
  "/for-ever": (response) => response.writeHead(307, { Location: "/for-ever" }).end(),
};
const servers = [];
async function serve(identity) {
  const port = await freePort();
  const server = createServer({ ...identity, minVersion: "TLSv1.3" }, (request, response) => {
    const answer = answers[request.url];
    if (answer) answer(response, port);
    else response.writeHead(404).end("nothing here\n");
  });
  server.on("tlsClientError", () => {});
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  servers.push(server);
  return port;
}

async function serves() {
  step("the own bundle is served");
  for (const wary of [a, b]) {
    const answer = wary.curl(`${wary.origin}${wellKnown}`);
    const bundle = JSON.parse(answer.body || "{}");
    saw("by https_web, as JSON with a sequence and a refresh hint", answer.status === 200 && /content-type: application\/json/i.test(answer.head) &&
      bundle.spiffe_sequence > 0 && bundle.spiffe_refresh_hint === 10, answer.error ?? answer.body.slice(0, 80));
    saw("with keys for X509-SVIDs and JWT-SVIDs", ["x509-svid", "jwt-svid"].every((use) => bundle.keys?.some((key) => key.use === use)));
    if (wary === b) ownBundle = answer.body;
  }
  const served = () => spawnSync("curl", ["-sS", "-k", "--max-time", "5", "-D", "-", `https://127.0.0.1:${bListens}${wellKnown}`], { encoding: "utf8" });
  await until("the https_spiffe endpoint has its certificate", () => served().status === 0, 20000);
  saw("by https_spiffe the same", served().stdout.endsWith(ownBundle) && /content-type: application\/json/i.test(served().stdout));
  const shown = spawnSync("openssl", ["s_client", "-connect", `127.0.0.1:${bListens}`, "-showcerts"], { encoding: "utf8", input: "" }).stdout;
  const text = spawnSync("openssl", ["x509", "-noout", "-ext", "subjectAltName"], { encoding: "utf8", input: shown }).stdout;
  saw("whose certificate is spiffe://b.test/wary/federation", text.includes("URI:spiffe://b.test/wary/federation"), text.trim());
  saw("its certificate is an event", b.events(100).some((event) => JSON.stringify(event).includes("svid.issue") && JSON.stringify(event).includes("spiffe://b.test/wary/federation")));
  const other = spawnSync("curl", ["-sS", "-k", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", `https://127.0.0.1:${bListens}/`], { encoding: "utf8" });
  saw("and nothing else", other.stdout === "404", other.stdout);
}

const bEndpoint = () => spiffe("b.test", `https://127.0.0.1:${bListens}${wellKnown}`, "spiffe://b.test/wary/federation", JSON.parse(ownBundle));

async function federates() {
  step("each profile one way");
  saw("A is told of B, by https_spiffe", apply(a, bEndpoint(), workload("reader", ["b.test"])).code === 0);
  saw("B is told of A, by https_web", apply(b, web("a.test", `${a.origin}${wellKnown}`), workload("writer", [])).code === 0);
  await until("A fetched B's bundle", () => statusOf(a, "b.test").fetched !== undefined, 20000);
  await until("B fetched A's bundle", () => statusOf(b, "a.test").fetched !== undefined, 20000);
  saw("and each has the other's sequence", statusOf(a, "b.test").sequence > 0 && statusOf(b, "a.test").sequence > 0, JSON.stringify(statusOf(b, "a.test")));
  const table = a.cli("get", "trustdomains").out;
  saw("wary get trustdomains shows it", /b\.test .*https_spiffe https:\/\/127\.0\.0\.1:\d+.*sequence \d+.*fetched 20/.test(table) && /a\.test .*own/.test(table), table);
  const seen = ask(a, "bundles");
  saw("a workload that federates gets B's X.509 bundle with its SVID", certificates(seen.federated["spiffe://b.test"]) === 1);
  saw("and from the bundles' own methods", certificates(seen.x509["spiffe://b.test"]) === 1 && seen.jwt["spiffe://b.test"]?.keys.length === 1);
  const other = ask(b, "bundles");
  saw("one that does not federate gets its own alone", Object.keys(other.x509).join() === "spiffe://b.test" && Object.keys(other.jwt).join() === "spiffe://b.test", Object.keys(other.x509).join());
  const token = ask(b, "token", "reader");
  const valid = ask(a, "validate", "reader", token.token);
  saw("a token of B is valid in A", valid.code === "OK" && valid.id === "spiffe://b.test/default/writer", JSON.stringify(valid));
  saw("and nowhere for another audience", ask(a, "validate", "other", token.token).code === "INVALID_ARGUMENT");
  saw("applying again changes nothing", apply(a, bEndpoint()).out.includes("unchanged") && statusOf(a, "b.test").fetched !== undefined);
}

async function rotates() {
  step("B rotates");
  const before = statusOf(a, "b.test").sequence;
  const rotated = b.cli("ca", "rotate", "root", "--reason", "test");
  saw("the root is replaced", rotated.code === 0, rotated.text);
  const served = () => JSON.parse(b.curl(`${b.origin}${wellKnown}`).body);
  saw("its bundle says so at once", served().spiffe_sequence > before && served().keys.filter((key) => key.use === "x509-svid").length === 2, JSON.stringify(served().spiffe_sequence));
  await until("A learned the new root", () => certificates(ask(a, "bundles").x509["spiffe://b.test"]) === 2, 20000);
  saw("A's workload has both roots", true);
  const atOnce = b.cli("ca", "rotate", "intermediate", "--reason", "test", "--at-once");
  saw("the intermediate is replaced at once", atOnce.code === 0, atOnce.text);
  const fetches = statusOf(a, "b.test").fetched;
  await until("A fetches on", () => statusOf(a, "b.test").fetched !== fetches, 20000);
  saw("and finds the endpoint good", statusOf(a, "b.test").error === undefined, JSON.stringify(statusOf(a, "b.test").error));
  const now = statusOf(a, "b.test").sequence;
  const new_ = b.cli("ca", "rotate", "root", "--reason", "test", "--at-once", "--grace", "3600");
  saw("a root signs at once, the old one is trusted for an hour", new_.code === 0, new_.text.trim());
  await until("A learned that too, by an endpoint that it can still verify", () => statusOf(a, "b.test").sequence > now, 20000);
  const token = ask(b, "token", "reader").token;
  saw("and tokens of B are valid on", ask(a, "validate", "reader", token).code === "OK");
}

// What one domain's fetch comes to: the code of its failure, or "" once it was fetched.
async function outcome(name) {
  return await until(`${name} was tried`, () => {
    const status = statusOf(a, name);
    return status.error?.code ?? (status.fetched === undefined ? undefined : "fetched");
  }, 25000);
}
const events = (action) => a.events(5000).filter((event) => JSON.stringify(event).includes(`"${action}"`));

async function hostile() {
  step("endpoints that are not what they should be");
  const good = makeServer("web", "DNS:web.localhost", "serverAuth");
  const stranger = makeServer("stranger", "DNS:web.localhost", "serverAuth");
  const forged = makeServer("forged", "URI:spiffe://b.test/wary/federation", "serverAuth,clientAuth");
  writeFileSync(webRoots, readFileSync(join(scratch, "web-ca.pem")));
  const [port, strangers, forgers] = [await serve(good), await serve(stranger), await serve(forged)];
  const at = (path) => `https://web.localhost:${port}${path}`;
  const cases = [
    ["good.test", web("good.test", at("/good")), "fetched", "a good one, by web roots that were replaced meanwhile"],
    ["redirected.test", web("redirected.test", at("/redirected")), "fetched", "a redirect to https"],
    ["by-path.test", web("by-path.test", at("/by-path")), "fetched", "a redirect by path"],
    ["sequence.test", web("sequence.test", at("/sequence")), "fetched", "one that will go back"],
    ["malformed.test", web("malformed.test", at("/malformed")), "json_syntax", "a malformed document"],
    ["no-bundle.test", web("no-bundle.test", at("/no-bundle")), "bundle_syntax", "a document that is no bundle"],
    ["oversized.test", web("oversized.test", at("/oversized")), "http_body_too_large", "an oversized document"],
    ["cut.test", web("cut.test", at("/cut")), "tls_truncated", "a document that ends early"],
    ["plaintext.test", web("plaintext.test", at("/plaintext")), "federation_redirect", "a redirect to http"],
    ["to-spiffe.test", web("to-spiffe.test", at("/to-spiffe")), "x509_untrusted", "a redirect to a server of the other profile"],
    ["for-ever.test", web("for-ever.test", at("/for-ever")), "federation_redirects", "redirects without end"],
    ["missing.test", web("missing.test", at("/missing")), "federation_status", "a 404"],
    ["name.test", web("name.test", `https://other.localhost:${port}/good`), "x509_name", "a certificate for another name"],
    ["address.test", web("address.test", `https://127.0.0.1:${port}/good`), "x509_name", "a certificate for no address"],
    ["ca.test", web("ca.test", `https://web.localhost:${strangers}/good`), "x509_untrusted", "a CA that is not the web's"],
    ["away.test", web("away.test", `https://web.localhost:${await freePort()}/`), "connect_refused", "nobody"],
    ["id.test", spiffe("id.test", `https://127.0.0.1:${bListens}${wellKnown}`, "spiffe://b.test/wary/other"), "federation_server", "another SPIFFE ID"],
    ["forged.test", spiffe("forged.test", `https://127.0.0.1:${forgers}/good`, "spiffe://b.test/wary/federation"), "x509_untrusted", "an SVID of another CA"],
    ["domain.test", spiffe("domain.test", `https://127.0.0.1:${bListens}${wellKnown}`, "spiffe://a.test/wary/federation"), "svid_trust_domain", "an SVID of another trust domain"],
    ["unheld.test", spiffe("unheld.test", `https://127.0.0.1:${bListens}${wellKnown}`, "spiffe://nowhere.test/x"), "federation_no_bundle", "a server whose trust domain nobody knows"],
  ];
  const applied = apply(a, ...cases.map((one) => one[1]));
  saw("all are applied", applied.code === 0, applied.code === 0 ? "" : applied.text);
  for (const [name, , code, what] of cases) {
    const found = await outcome(name);
    saw(`${what}: ${code}`, found === code, found);
  }
  sequence = 4;
  await until("the older bundle came", () => statusOf(a, "sequence.test").error !== undefined, 25000);
  const back = statusOf(a, "sequence.test");
  saw("a lower sequence: bundle_sequence_lower", back.error.code === "bundle_sequence_lower" && back.sequence === 5, JSON.stringify(back.error));
  sequence = 6;
  await until("the newer one is taken", () => statusOf(a, "sequence.test").sequence === 6, 30000);
  saw("and a higher one is taken again", statusOf(a, "sequence.test").error === undefined);
  const failures = events("bundle.failed").filter((event) => JSON.stringify(event).includes("malformed.test"));
  saw("a failure is an event, once a minute at most", failures.length === 1, `${failures.length}`);
  saw("what was fetched is an event", events("bundle.fetched").some((event) => JSON.stringify(event).includes("good.test")));
  saw("B's own is still good", ask(a, "validate", "reader", ask(b, "token", "reader").token).code === "OK");
  for (const [name] of cases) a.cli("delete", "trustdomain", name);
}

// A name server of our own on loopback, which has one address for every name: 127.0.0.1.
async function nameServer(address) {
  const server = createSocket("udp4");
  server.on("message", (question, peer) => {
    let end = 12;
    while (question[end] !== 0) end += question[end] + 1;
    const isAddress = question.readUInt16BE(end + 1) === 1; // type A
    const head = Buffer.from([question[0], question[1], 0x81, 0x80, 0, 1, 0, isAddress ? 1 : 0, 0, 0, 0, 0]);
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    server.send(Buffer.concat([head, question.subarray(12, end + 5), ...(isAddress ? [answer] : [])]), peer.port, peer.address);
  });
  return await new Promise((resolve) => server.on("error", () => resolve(null)).bind(53, address, () => resolve(server)));
}

async function resolves() {
  step("names that the system resolves, inside the sandbox");
  if (process.getuid() !== 0) return skip("names: a file of name servers of its own needs root");
  const server = await nameServer("127.77.53.1");
  if (server === null) return skip("names: port 53 of loopback is taken");
  const bin = join(scratch, "named");
  mkdirSync(bin);
  writeFileSync(join(scratch, "resolv.conf"), "nameserver 127.77.53.1\n");
  writeFileSync(join(bin, "wary"), `#!/bin/sh\nexec unshare --mount sh -c 'mount --bind ${join(scratch, "resolv.conf")} /etc/resolv.conf && exec ${a.wary} "$@"' sh "$@"\n`);
  chmodSync(join(bin, "wary"), 0o755);
  const c = new Platform(scratch, await freePort(), { data: join(scratch, "c"), bin, words: ["--trust-domain", "c.test", "--web-roots", webRoots] });
  await c.start();
  const port = await serve(makeServer("named", "DNS:bundle.named.test", "serverAuth"));
  writeFileSync(webRoots, readFileSync(join(scratch, "named-ca.pem")));
  saw("a domain at a name of DNS is applied", apply(c, web("named.test", `https://bundle.named.test:${port}/good`)).code === 0);
  await until("it was tried", () => statusOf(c, "named.test").fetched ?? statusOf(c, "named.test").error, 25000);
  saw("and its bundle fetched", statusOf(c, "named.test").fetched !== undefined, JSON.stringify(statusOf(c, "named.test")));
  saw("by a process that lives", (c.log("wary-federation").match(/process.ready/g) ?? []).length === 1);
  await c.stop();
  server.close();
}

function refused() {
  step("what may not be applied");
  const cases = [
    ["trust_domain_own", trustDomain("a.test", { bundle: '{"keys":[]}' })],
    ["trust_domain_empty", trustDomain("c.test", {})],
    ["federation_url", web("c.test", "http://c.test/")],
    ["federation_url", web("c.test", "https://me@c.test/")],
    ["federation_spiffe_id", trustDomain("c.test", { bundleEndpoint: { url: "https://c.test/", profile: "https_spiffe" } })],
    ["federation_spiffe_id", trustDomain("c.test", { bundleEndpoint: { url: "https://c.test/", profile: "https_web", spiffeId: "spiffe://c.test/x" } })],
    ["bundle_needed", spiffe("c.test", "https://c.test/", "spiffe://c.test/x")],
    ["bundle_syntax", trustDomain("c.test", { bundle: "{}" })],
    ["resource_name", trustDomain("C.test", { bundle: '{"keys":[]}' })],
    ["schema_enum", trustDomain("c.test", { bundleEndpoint: { url: "https://c.test/", profile: "https" } })],
    ["namespace_reserved", { kind: "Workload", metadata: { name: "federation", namespace: "wary" }, spec: {} }],
  ];
  for (const [code, document] of cases) {
    const done = apply(a, document);
    saw(code, done.code !== 0 && done.text.includes(`[${code}]`), done.text.trim().split("\n")[0]);
  }
  const own = a.cli("delete", "trustdomain", "a.test");
  saw("the own domain cannot be deleted", own.code !== 0 && own.text.includes("[trust_domain_own]"), own.text.trim());
}

async function staysGood() {
  step("B is away");
  const token = ask(b, "token", "reader").token;
  await b.stop();
  await until("A sees it", () => statusOf(a, "b.test").error !== undefined, 30000);
  const roots = statusOf(a, "b.test").x509Authorities;
  saw("by its code", statusOf(a, "b.test").error.code === "connect_refused", JSON.stringify(statusOf(a, "b.test").error));
  saw("the last good bundle stays in use", ask(a, "validate", "reader", token).code === "OK" && certificates(ask(a, "bundles").x509["spiffe://b.test"]) === roots, `${roots} roots`);
  await a.stop();
  await a.start();
  await until("A serves again", () => ask(a, "code").code === "OK", 20000);
  saw("also after A began again", ask(a, "validate", "reader", token).code === "OK");
  await b.start();
  await until("A fetches again", () => statusOf(a, "b.test").fetched !== undefined && statusOf(a, "b.test").error === undefined, 40000);
  saw("B came back with its trust domain, and A fetches again", true);
}

async function ends() {
  step("the end of a federation");
  const token = ask(b, "token", "reader").token;
  saw("until then a token of B is valid", ask(a, "validate", "reader", token).code === "OK");
  const deleted = a.cli("delete", "trustdomain", "b.test");
  saw("A is told to forget B", deleted.code === 0, deleted.text.trim());
  await until("the agent has it", () => ask(a, "validate", "reader", token).code !== "OK", 2000);
  const seen = ask(a, "bundles");
  saw("no token of B is valid, and no bundle of it is given", seen.x509["spiffe://b.test"] === undefined && seen.jwt["spiffe://b.test"] === undefined);
  saw("B applied anew begins with what is given, not with what was fetched", apply(a, trustDomain("b.test", { bundle: ownBundle })).code === 0 &&
    statusOf(a, "b.test").changed === undefined && statusOf(a, "b.test").x509Authorities === 1, JSON.stringify(statusOf(a, "b.test")));
}

await run(async () => {
  writeFileSync(webRoots, "");
  await a.start();
  await b.start();
  await serves();
  await federates();
  await rotates();
  await hostile();
  await resolves();
  refused();
  await staysGood();
  await ends();
  for (const server of servers) server.close();
  await a.stop();
  await b.stop();
}, cleanUp);
