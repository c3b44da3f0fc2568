#!/usr/bin/env node
// The SPIFFE Workload API of a real wary, asked by programs nobody here wrote: Google's gRPC for Python, grpc-js, and, where Go
// is there, go-spiffe, spiffe-helper and SPIRE's agent command. What they get is checked by OpenSSL and by node.
import { spawnSync } from "node:child_process";
import { X509Certificate, createPrivateKey, createPublicKey, verify as verifySignature } from "node:crypto";
import { copyFileSync, existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, saw, skip, step } from "../support/checks.mjs";
import { Platform, build, root } from "../support/platform.mjs";
import { cleanUp, freePort, isRunning, makeScratch, start, until } from "../support/processes.mjs";

const isRoot = process.getuid() === 0;
const scratch = makeScratch("workload");
const python = "/usr/bin/python3";
const client = join(root, "tests/workload/client.py");
const stranger = 61236; // nobody's number
const wary = new Platform(scratch, await freePort());
const socket = join(wary.data, "run/agent/api.sock");
const other = join(scratch, "other-python");

const lines = (text) => text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
function ask(...words) {
  const done = spawnSync(python, [client, socket, ...words], { encoding: "utf8", timeout: 60000 });
  const seen = lines(done.stdout);
  if (seen.length === 0) throw new Error(`client.py ${words.join(" ")}: ${done.stdout}${done.stderr}`);
  return Object.fromEntries(seen.map((one) => [one.what, one]));
}

function workload(name, selectors, more = "") {
  return `apiVersion: wary.dev/v1\nkind: Workload\nmetadata: {name: ${name}, namespace: shop}\nspec:\n  selectors:\n` +
    selectors.map((set) => `    - ${JSON.stringify(set)}\n`).join("") + more;
}
const namespace = "apiVersion: wary.dev/v1\nkind: Namespace\nmetadata: {name: shop}\n";
function apply(...documents) {
  const path = join(scratch, "objects.yaml");
  writeFileSync(path, documents.join("---\n"));
  return wary.cli("apply", "-f", path);
}

const uid = process.getuid();
const pythonPath = realpathSync(python);
const orders = () => workload("orders", [[`unix:uid:${uid}`, `unix:path:${pythonPath}`], [`unix:uid:${uid}`, `unix:path:${realpathSync(process.execPath)}`]]);

// DER certificates, one after another.
function certificates(base64) {
  let bytes = Buffer.from(base64, "base64");
  const out = [];
  while (bytes.length > 0) {
    const size = bytes[1] === 0x82 ? 4 + bytes.readUInt16BE(2) : bytes[1] === 0x81 ? 3 + bytes[2] : 2 + bytes[1];
    out.push(new X509Certificate(bytes.subarray(0, size)));
    bytes = bytes.subarray(size);
  }
  return out;
}

function checkSvid(svid, id) {
  const chain = certificates(svid.chain);
  const roots = certificates(svid.bundle);
  saw(`the SVID is ${id}`, svid.id === id && chain[0].subjectAltName === `URI:${id}`, chain[0].subjectAltName);
  saw("its key is the certificate's", chain[0].checkPrivateKey(createPrivateKey({ key: Buffer.from(svid.key, "base64"), format: "der", type: "pkcs8" })));
  const pem = (name, list) => {
    writeFileSync(join(scratch, name), list.map((one) => one.toString()).join(""));
    return join(scratch, name);
  };
  const words = ["verify", "-x509_strict", "-CAfile", pem("roots.pem", roots), "-untrusted", pem("chain.pem", chain), pem("leaf.pem", [chain[0]])];
  const verified = spawnSync("openssl", words, { encoding: "utf8" });
  saw("openssl verifies it against the bundle", verified.status === 0, verified.stdout.trim() + verified.stderr.trim());
  saw("it lives an hour at most", Date.parse(chain[0].validTo) - Date.now() <= 3600000 + 1000);
}

function checkTokens(tokens, bundle) {
  saw("one token, for both audiences", tokens.length === 1 && tokens[0].id === "spiffe://local/shop/orders");
  const [head, claims, signature] = tokens[0].token.split(".");
  const header = JSON.parse(Buffer.from(head, "base64url"));
  const key = bundle.keys.find((one) => one.kid === header.kid);
  saw("its key is in the bundle, for JWT-SVIDs", key?.use === "jwt-svid", JSON.stringify(header));
  const good = verifySignature("sha256", Buffer.from(`${head}.${claims}`), { key: createPublicKey({ key, format: "jwk" }), dsaEncoding: "ieee-p1363" },
    Buffer.from(signature, "base64url"));
  saw("node verifies its signature", good);
}

function everyMethod() {
  step("every method, by Google's gRPC");
  const seen = ask("all");
  checkSvid(seen.x509.svids[0], "spiffe://local/shop/orders");
  saw("there is one identity", seen.x509.svids.length === 1);
  saw("the X.509 bundle is the one of the SVID", seen.x509_bundles.bundles["spiffe://local"] === seen.x509.svids[0].bundle);
  checkTokens(seen.jwt.tokens, seen.jwt_bundles.bundles["spiffe://local"]);
  saw("a token is validated, with its claims", seen.valid.id === "spiffe://local/shop/orders" && seen.valid.aud.join() === "db,cache" && seen.valid.exp > Date.now() / 1000);
  const expected = { "other audience": "INVALID_ARGUMENT", tampered: "INVALID_ARGUMENT", "no audience": "INVALID_ARGUMENT", "other identity": "PERMISSION_DENIED",
    "no metadata": "INVALID_ARGUMENT", "wrong metadata": "INVALID_ARGUMENT", "WIT-SVID": "UNIMPLEMENTED", "WIT bundles": "UNIMPLEMENTED", "no method": "UNIMPLEMENTED" };
  for (const [what, code] of Object.entries(expected)) saw(`${what}: ${code}`, seen.codes.codes[what] === code, seen.codes.codes[what]);
}

function anotherStack() {
  step("every method, by grpc-js");
  const installed = spawnSync("npm", ["ci", "--silent", "--no-audit", "--no-fund"], { cwd: join(root, "tests/workload") });
  if (installed.status !== 0) return skip("workload: grpc-js cannot be installed");
  const done = spawnSync(process.execPath, [join(root, "tests/workload/client-js.mjs"), socket], { encoding: "utf8", timeout: 60000 });
  const seen = lines(done.stdout);
  for (const one of seen) saw(one.what, one.held, one.found);
  saw("it went through", done.status === 0 && seen.length === 11, done.stderr);
}

const watch = () => start("stream", python, [client, socket, "stream"], {});
const seenBy = (child) => lines(child.text);

async function pushed() {
  step("what changes reaches an open stream");
  const child = watch();
  await until("the first message", () => seenBy(child).length === 1, 20000);
  apply(orders(), workload("reports", [[`unix:uid:${uid}`]], "  hint: reporting\n"));
  await until("the second identity", () => seenBy(child).length === 2, 20000);
  const both = seenBy(child)[1];
  saw("a new workload is there, with its hint", both.ids.join() === "spiffe://local/shop/orders,spiffe://local/shop/reports" && both.svids[1].hint === "reporting", both.ids.join());
  saw("the old one kept its certificate", both.svids[0].chain === seenBy(child)[0].svids[0].chain);
  wary.cli("revoke", "workload", "shop/reports", "--reason", "test");
  await until("the revoked one is gone", () => seenBy(child).length === 3, 20000);
  await until("its key is dropped, long before ten seconds", () => metric("wary_workload_identities") === 1, 4000);
  saw("a revoked workload leaves the stream", seenBy(child)[2].ids.join() === "spiffe://local/shop/orders");
  wary.cli("revoke", "workload", "shop/orders", "--reason", "test");
  await until("the stream ends", () => !isRunning(child), 20000);
  const last = seenBy(child).at(-1);
  saw("who is no workload any more is told so", last.what === "end" && last.code === "PERMISSION_DENIED", JSON.stringify(last));
  saw("and is refused when it asks again", ask("code").code.code === "PERMISSION_DENIED");
  wary.cli("restore", "workload", "shop/orders", "--reason", "test");
  saw("until it is restored", ask("code").code.code === "OK");
}

function checkPair(secret, id) {
  const leaf = new X509Certificate(secret.chain);
  saw(`${secret.name} is ${id}`, leaf.subjectAltName === `URI:${id}`, leaf.subjectAltName);
  saw("its key is the certificate's", leaf.checkPrivateKey(createPrivateKey(secret.key)));
}

function everySecret() {
  step("Envoy's secrets, by Google's gRPC");
  const id = "spiffe://local/shop/orders";
  const roots = certificates(ask("all").x509.svids[0].bundle).map((one) => one.toString()).join("");
  const of = (...names) => ask("fetched", ...names).fetched;
  const named = of("default", "ROOTCA");
  saw("two secrets for two names", named.code === "OK" && named.secrets.length === 2 && named.version === "1", JSON.stringify(named).slice(0, 200));
  checkPair(named.secrets[0], id);
  saw("ROOTCA is the bundle", named.secrets[1].name === "ROOTCA" && named.secrets[1].roots === roots);
  const all = of();
  saw("without names: the SVID and the bundle, by their IDs", all.secrets.map((one) => one.name).join() === `${id},spiffe://local`, JSON.stringify(all).slice(0, 200));
  const validator = of("ALL").secrets[0];
  saw("ALL is for Envoy's SPIFFE validator", validator.validator === "envoy.tls.cert_validator.spiffe" && validator.domains.local === roots, JSON.stringify(validator).slice(0, 200));
  saw("another's SVID: PERMISSION_DENIED", of("spiffe://local/shop/other").code === "PERMISSION_DENIED");
  saw("another's bundle: PERMISSION_DENIED", of("default", "spiffe://elsewhere").code === "PERMISSION_DENIED");
  const expected = { delta: "UNIMPLEMENTED", malformed: "INVALID_ARGUMENT", clusters: "INVALID_ARGUMENT", ended: "OK", nothing: "OK",
    "another's": "PERMISSION_DENIED", endless: "RESOURCE_EXHAUSTED" };
  const seen = ask("stream_codes").stream_codes.codes;
  for (const [what, code] of Object.entries(expected)) saw(`a stream of secrets, ${what}: ${code}`, seen[what] === code, seen[what]);
}

async function secretsPushed() {
  step("what changes reaches a stream of secrets");
  apply(orders(), workload("returns", [[`unix:uid:${uid}`]]));
  await until("the second identity", () => ask("fetched").fetched.secrets?.length === 3, 20000);
  const named = start("secrets", python, [client, socket, "secrets", "default", "ROOTCA"], {});
  const all = start("secrets", python, [client, socket, "secrets", "refuse"], {});
  await until("the first answers", () => seenBy(named).length === 1 && seenBy(all).length === 1, 20000);
  const before = metric("wary_workload_secrets_refused_total");
  saw("the names that were asked for", seenBy(named)[0].secrets.map((one) => one.name).join() === "default,ROOTCA");
  wary.cli("revoke", "workload", "shop/returns", "--reason", "test");
  await until("the second answer", () => seenBy(all).length === 2, 20000);
  saw("a revoked identity leaves by another version", seenBy(all)[1].version === "2" && seenBy(all)[1].secrets.length === 2, JSON.stringify(seenBy(all)[1]).slice(0, 200));
  await until("a refused answer is counted", () => metric("wary_workload_secrets_refused_total") === before + 1, 20000);
  saw("who is not concerned hears nothing", seenBy(named).length === 1);
  const rotated = wary.cli("ca", "rotate", "root", "--reason", "test");
  saw("the root is rotated", rotated.code === 0, rotated.text);
  await until("the new bundle", () => seenBy(named).length >= 2 && seenBy(all).length >= 3, 20000);
  const roots = (answer) => answer.secrets.find((one) => one.roots !== undefined).roots.split("BEGIN").length - 1;
  saw("a new root is pushed, with another version", seenBy(named)[1].version === "2" && roots(seenBy(named)[1]) === roots(seenBy(named)[0]) + 1);
  saw("what was refused is not sent again, what came after is", seenBy(all)[2].version === "3" && roots(seenBy(all)[2]) === roots(seenBy(all)[0]) + 1);
  wary.cli("revoke", "workload", "shop/orders", "--reason", "test");
  await until("the streams end", () => !isRunning(named) && !isRunning(all), 20000);
  for (const child of [named, all]) saw("who is no workload any more is told so", seenBy(child).at(-1).code === "PERMISSION_DENIED", JSON.stringify(seenBy(child).at(-1)));
  saw("and is refused when it asks again", ask("fetched").fetched.code === "PERMISSION_DENIED");
  wary.cli("restore", "workload", "shop/orders", "--reason", "test");
  saw("until it is restored", ask("fetched", "default").fetched.code === "OK");
}

function reflection() {
  step("reflection, read by Google's protobuf");
  const sds = "envoy.service.secret.v3.SecretDiscoveryService";
  const symbols = ["SpiffeWorkloadAPI", sds, "X509SVIDResponse", "google.protobuf.Value", "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig",
    "envoy.extensions.transport_sockets.tls.v3.Secret", "no.Such"];
  const seen = ask("reflect", ...symbols);
  for (const version of ["v1", "v1alpha"]) {
    const { services, found } = seen[version];
    saw(`${version} lists both services`, services.includes("SpiffeWorkloadAPI") && services.includes(sds), services.join());
    saw("and their methods", found.SpiffeWorkloadAPI.length === 5 && found[sds].join() === "StreamSecrets,FetchSecrets", JSON.stringify(found));
    saw("and messages", found.X509SVIDResponse.join() === "svids,crl,federated_bundles" && found["envoy.extensions.transport_sockets.tls.v3.Secret"].length === 3);
    saw("what is not there is not found", found["no.Such"] === 5);
  }
  if (!isRoot) return skip("reflection by a stranger: needs root");
  const theirs = spawnSync("setpriv", [`--reuid=${stranger}`, `--regid=${stranger}`, "--clear-groups", python, client, socket, "reflect", "SpiffeWorkloadAPI"], { encoding: "utf8" });
  saw("who is no workload may look", lines(theirs.stdout).length === 2, theirs.stderr.slice(0, 200));
  const fetched = spawnSync("setpriv", [`--reuid=${stranger}`, `--regid=${stranger}`, "--clear-groups", python, client, socket, "fetched"], { encoding: "utf8" });
  saw("and gets no secret", lines(fetched.stdout)[0]?.code === "PERMISSION_DENIED", fetched.stderr.slice(0, 200));
}

function wrongProcess() {
  step("no SVID for the wrong process");
  const raw = ask("raw").raw;
  saw("a connection made by hand gets one", raw.has_id);
  copyFileSync(pythonPath, other);
  const foreign = spawnSync(other, [client, socket, "raw"], { encoding: "utf8", env: { ...process.env, PYTHONHOME: "/usr" } });
  const refused = lines(foreign.stdout)[0];
  saw("another program of the same user gets none", refused !== undefined && !refused.has_id, foreign.stderr.slice(0, 200));
  const passed = ask("exit").exit;
  saw("who was left a connection by a process that ended gets none", !passed.has_id, JSON.stringify(passed));
  const became = spawnSync(other, [client, socket, "exec", pythonPath], { encoding: "utf8", env: { ...process.env, PYTHONHOME: "/usr" } });
  const asked = lines(became.stdout).find((one) => one.what === "asked");
  saw("who connected as another program and became this one gets none", asked !== undefined && !asked.has_id, JSON.stringify(asked) + became.stderr.slice(0, 200));
  if (!isRoot) return skip("another user: needs root");
  const theirs = spawnSync("setpriv", [`--reuid=${stranger}`, `--regid=${stranger}`, "--clear-groups", python, client, socket, "code"], { encoding: "utf8" });
  saw("another user gets none", lines(theirs.stdout)[0]?.code === "PERMISSION_DENIED", theirs.stderr.slice(0, 200));
}

function flood() {
  step("who asks for tokens without end");
  const { first, codes, after } = ask("flood").flood;
  saw("is held back, and served again", first === "OK" && codes.RESOURCE_EXHAUSTED > 0 && after === "OK", JSON.stringify(codes));
}

function metric(name) {
  const done = spawnSync("curl", ["-s", "--unix-socket", join(wary.data, "agent/admin.sock"), "http://localhost/metrics"], { encoding: "utf8" });
  const found = new RegExp(`^${name} (\\d+)$`, "m").exec(done.stdout);
  return found === null ? null : Number(found[1]);
}

async function nothingLeft() {
  step("a workload that ended leaves nothing behind");
  await until("its keys are dropped", () => metric("wary_workload_identities") === 0, 30000);
  saw("no key is held", metric("wary_workload_identities") === 0);
  saw("no connection is open", metric("wary_workload_connections") === 0);
}

async function throughOutages() {
  step("the agent without its neighbours");
  const child = watch();
  await until("the first message", () => seenBy(child).length === 1, 20000);
  process.kill(wary.pidOf("wary-signer"), "SIGKILL");
  await until("the signer is back", () => ask("code").code.code === "OK", 20000);
  process.kill(wary.pidOf("waryd"), "SIGKILL");
  saw("a held identity is given while the control plane is away", ask("code").code.code === "OK");
  await until("the control plane is back", () => wary.cli("status").code === 0, 20000);
  saw("the open stream went on", isRunning(child) && seenBy(child).every((one) => one.what === "message"));
  const again = wary.pidOf("wary-agent");
  process.kill(again, "SIGKILL");
  await until("the stream ends with its server", () => !isRunning(child), 20000);
  saw("a client sees UNAVAILABLE then", seenBy(child).at(-1).code === "UNAVAILABLE", JSON.stringify(seenBy(child).at(-1)));
  await until("the agent is back", () => wary.pidOf("wary-agent") !== again && ask("code").code.code === "OK", 20000);
  saw("the agent came back and serves", true);
}

function recorded() {
  step("what was given is recorded");
  const events = wary.cli("ledger", "tail", "--last", "1000", "--output", "json").out.split("\n");
  const issued = events.filter((line) => line.includes("svid.issue") && line.includes("spiffe://local/shop/orders"));
  saw("certificates are events", issued.length > 0, `${issued.length}`);
  saw("tokens are events", events.some((line) => line.includes("svid.jwt")));
}

async function runsPrograms() {
  step("wary workload run");
  apply(orders(), workload("any", [[`unix:uid:${uid}`, `unix:path:${realpathSync(wary.wary)}`]]));
  const words = (...command) => ["workload", "run", "--socket", `unix://${socket}`, "--", ...command];
  const script = 'test -s "$WARY_SVID_FILE" && test -s "$WARY_BUNDLE_FILE" && stat -c %a "$WARY_SVID_KEY_FILE" && dirname "$WARY_SVID_FILE" && echo "$WARY_SPIFFE_ID" && ' +
    'openssl verify -CAfile "$WARY_BUNDLE_FILE" -untrusted "$WARY_SVID_FILE" "$WARY_SVID_FILE" && exit 7';
  const done = wary.cli(...words("sh", "-c", script));
  saw("the program runs with its identity in files, and its end is the command's", done.code === 7, `${done.code} ${done.text}`);
  saw("the key is its user's alone", done.out.includes("600\n"));
  saw("and is spiffe://local/shop/any", done.out.includes("spiffe://local/shop/any"));
  const directory = /^\/.*wary-svid-.*$/m.exec(done.out)?.[0];
  saw("its files are gone afterwards", directory !== undefined && !existsSync(directory), directory);
  saw("--help behind -- is the program's", wary.cli(...words("sh", "-c", 'echo "got $1"', "x", "--help")).out.includes("got --help"));
  const waiting = start("wary workload run", wary.wary, ["--data", wary.data, ...words("sh", "-c", 'trap "echo signalled; ls $(dirname $WARY_SVID_FILE)" HUP; echo up; while :; do sleep 0.1; done')], {});
  await until("it runs", () => waiting.text.includes("up\n"), 20000);
  wary.cli("revoke", "workload", "shop/any", "--reason", "test");
  await until("it is told", () => waiting.text.includes("signalled"), 20000);
  saw("a revoked program's files are taken away", !/svid\.(key|pem)/.test(waiting.text.split("signalled")[1] ?? "svid.key"), waiting.text);
  waiting.kill("SIGTERM");
  await until("it ends on SIGTERM", () => !isRunning(waiting), 20000);
  const refused = wary.cli("workload", "run", "--socket", "unix:///nowhere/api.sock", "--", "true");
  saw("without an agent it says so", refused.code !== 0 && refused.text.includes("workload_unavailable"), refused.text);
  saw("selectors are shown", wary.cli("workload", "selectors", String(process.pid)).out.includes(`unix:uid:${uid}\n`));
}

async function example() {
  step("the client library's example");
  const program = join(build, "examples/workload_example");
  apply(orders(), workload("example", [[`unix:uid:${uid}`, `unix:path:${realpathSync(program)}`]]));
  const running = start("workload_example", program, [], { env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: `unix://${socket}` } });
  await until("it is somebody", () => running.text.includes("spiffe://local/shop/example until"), 20000);
  wary.cli("revoke", "workload", "shop/example", "--reason", "test");
  await until("it is told that it is nobody now", () => running.text.includes("workload_denied"), 20000);
  wary.cli("restore", "workload", "shop/example", "--reason", "test");
  await until("it asks again and is somebody", () => running.text.split("spiffe://local/shop/example until").length >= 3, 20000);
  saw("it is somebody, nobody, and somebody again", true);
  running.kill("SIGTERM");
  await until("it ends", () => !isRunning(running), 20000);
}

function wrongSelectors() {
  step("mistakes are told");
  const wrong = apply(workload("bad", [["unix:user:orders", "uid:7"]]));
  saw("a selector that nothing attests is refused, with its place", wrong.code !== 0 && wrong.text.includes("objects.yaml:6:27"), wrong.text);
}

await run(async () => {
  await wary.start();
  saw("the workload is taken", apply(namespace, orders()).code === 0);
  everyMethod();
  anotherStack();
  everySecret();
  reflection();
  await pushed();
  await secretsPushed();
  wrongProcess();
  wrongSelectors();
  await runsPrograms();
  await example();
  flood();
  await throughOutages();
  recorded();
  await nothingLeft();
  await wary.stop();
}, cleanUp);
