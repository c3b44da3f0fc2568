#!/usr/bin/env node
// Machines that join a real wary over its edge: by a token, a device certificate, a TPM. Each is an agent with a data directory of
// its own, as on another machine; what its programs get is asked for by Google's gRPC.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, saw, skip, step } from "../support/checks.mjs";
import { Platform, root } from "../support/platform.mjs";
import { cleanUp, freePort, isRunning, makeScratch, sleep, start, until } from "../support/processes.mjs";

const scratch = makeScratch("nodes");
const python = "/usr/bin/python3";
const pythonPath = realpathSync(python);
const client = join(root, "tests/workload/client.py");
const uid = process.getuid();
const wary = new Platform(scratch, await freePort());
const ca = join(wary.data, "ca.pem");
const lines = (text) => text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));

class Node {
  constructor(name) {
    this.name = name;
    this.data = join(scratch, name);
    this.socket = join(this.data, "run/agent/api.sock");
  }
  join(...how) {
    this.child = start(this.name, wary.wary, ["--data", this.data, "node", "join", "--server", wary.origin, "--ca", ca, ...how], {});
    return this.child;
  }
  async joins(...how) {
    this.join(...how);
    await until(`${this.name} has joined`, () => {
      if (!isRunning(this.child)) throw new Error(`${this.name}: ${this.child.text}`);
      return this.child.text.includes("this machine is a node");
    }, 30000);
  }
  // What its start says when it is refused.
  async refused(...how) {
    this.join(...how);
    await this.child.ended;
    return this.child.text;
  }
  log() {
    return readFileSync(join(this.data, "log/wary-agent.log"), "utf8");
  }
  pid() {
    const line = this.log().trim().split("\n").reverse().find((one) => one.includes('"process.ready"'));
    return JSON.parse(line).pid;
  }
  ask(what = "code") {
    const done = spawnSync(python, [client, this.socket, what], { encoding: "utf8", timeout: 60000 });
    return lines(done.stdout).find((one) => one.what === what) ?? { error: done.stderr };
  }
  watch() {
    return start("stream", python, [client, this.socket, "stream"], {});
  }
  async stop() {
    this.child.kill("SIGTERM");
    await this.child.ended;
  }
}

function apply(...documents) {
  const path = join(scratch, "objects.yaml");
  writeFileSync(path, documents.join("---\n"));
  const done = wary.cli("apply", "-f", path);
  if (done.code !== 0) throw new Error(done.text);
  return done;
}
const workload = (name, more) => `apiVersion: wary.dev/v1\nkind: Workload\nmetadata: {name: ${name}, namespace: shop}\nspec:\n` +
  `  selectors: [["unix:uid:${uid}", "unix:path:${pythonPath}"]]\n${more}`;
const tenantWide = (kind, name, spec) => `apiVersion: wary.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n${spec}`;

function token(name, ...words) {
  const path = join(scratch, `${name}.token`);
  const made = wary.cli("node", "token", name, "--out", path, ...words);
  if (made.code !== 0) throw new Error(made.text);
  return path;
}

const web = new Node("web-1");

async function byToken() {
  step("a machine joins by a token");
  const file = token("web-1");
  saw("the token is in a file of its owner's alone", (statSync(file).mode & 0o777) === 0o600 && readFileSync(file, "utf8").trim().length > 20);
  await web.joins("--token-file", file);
  apply("apiVersion: wary.dev/v1\nkind: Namespace\nmetadata: {name: shop}\n", workload("remote", "  nodes: [web-1]\n"), workload("here", ""));
  await until("its program is who it is", () => web.ask().code === "OK", 20000);
  const ids = (node) => spawnSync(python, [client, node, "all"], { encoding: "utf8", timeout: 60000 });
  const of = (socket) => (lines(ids(socket).stdout).find((one) => one.what === "x509")?.svids ?? []).map((one) => one.id).join();
  saw("it gets what is placed on it, and nothing else", of(web.socket) === "spiffe://local/shop/remote", of(web.socket));
  saw("this machine gets what names no node", of(join(wary.data, "run/agent/api.sock")) === "spiffe://local/shop/here");
  const listed = wary.cli("get", "nodes").out;
  saw("it is listed, with its state and how it joined", /^web-1 +linked +20\S+Z +20\S+Z +join_token$/m.test(listed), listed);
  saw("its key is its own", (statSync(join(web.data, "agent/node.key")).mode & 0o777) === 0o600);
  const known = readFileSync(join(web.data, "agent/updates"), "utf8");
  saw("it knows nothing of people, policies, sessions or other workloads", !/Wary::(User|Session|Credential|App)|permit|shop\/here/.test(known));
  const again = await new Node("thief").refused("--token-file", file);
  saw("the token is good once", again.includes("node_token"), again);
  const events = wary.events(200);
  saw("who joined is recorded", events.some((one) => one.action === "node.join" && JSON.stringify(one).includes("wary/node/web-1")));
  saw("and who was refused", events.some((one) => one.action === "node.join" && JSON.stringify(one).includes("node_token")));
}

async function pushed() {
  step("what changes reaches it");
  const child = web.watch();
  const seen = () => lines(child.text);
  await until("the first message", () => seen().length === 1, 20000);
  apply(workload("second", "  nodes: [web-1]\n"));
  await until("the second identity", () => seen().length === 2, 20000);
  saw("a new workload is there", seen()[1].ids.join() === "spiffe://local/shop/remote,spiffe://local/shop/second", seen()[1].ids.join());
  apply(workload("second", "  nodes: [web-2]\n"));
  await until("it is gone", () => seen().length === 3, 20000);
  saw("one that is placed elsewhere leaves", seen()[2].ids.join() === "spiffe://local/shop/remote");
  child.kill("SIGTERM");
}

async function throughOutages() {
  step("outages");
  const child = web.watch();
  await until("the first message", () => lines(child.text).length === 1, 20000);
  process.kill(wary.pidOf("waryd"), "SIGKILL");
  saw("what is held is given while the control plane is away", web.ask().code === "OK");
  process.kill(wary.pidOf("wary-edge"), "SIGKILL");
  await until("both are back", () => wary.cli("status").code === 0, 20000);
  apply(workload("third", "  nodes: [web-1]\n"));
  await until("the link is back, and with it what changed", () => lines(child.text).length === 2, 60000);
  const before = web.pid();
  process.kill(before, "SIGKILL");
  await until("the agent is back without a token", () => web.pid() !== before && web.ask().code === "OK", 30000);
  saw("its streams and its standing survived what they can", true);
}

async function revoked() {
  step("a node is revoked");
  const cut = wary.cli("revoke", "node", "web-1", "--reason", "test");
  saw("its link is cut", cut.out.includes("cut ") && cut.out.includes("node-link"), cut.text);
  await until("it is refused", () => /link.not_reached.*denied/.test(web.log()), 20000);
  const twice = wary.cli("node", "token", "web-1");
  saw("there is no token for it", twice.code !== 0 && twice.text.includes("node_revoked"), twice.text);
  apply(workload("fourth", "  nodes: [web-1]\n"));
  wary.cli("restore", "node", "web-1", "--reason", "test");
  await until("restored, it learns what it missed", () => (web.ask("all"), readFileSync(join(web.data, "agent/updates"), "utf8").includes("shop/fourth")), 60000);
  saw("restored, it is back", true);
  saw("and listed as linked", /^web-1 +linked /m.test(wary.cli("get", "nodes").out));
  await web.stop();
}

async function anotherKey() {
  step("a node joins with another key");
  const stolen = new Node("stolen"), anew = new Node("anew");
  cpSync(join(web.data, "agent"), join(stolen.data, "agent"), { recursive: true });
  rmSync(join(stolen.data, "agent/api.sock"), { force: true });
  await anew.joins("--token-file", token("web-1"));
  await until("the new one is linked", () => /^web-1 +linked /m.test(wary.cli("get", "nodes").out), 20000);
  stolen.join();
  await until("the earlier key is refused", () => existsSync(join(stolen.data, "log/wary-agent.log")) && /link.not_reached.*node_link_key/.test(stolen.log()), 20000);
  saw("the earlier key's certificate opens no link", true);
  saw("and is not renewed", /node_key/.test(stolen.log()) || !/node.renewed/.test(stolen.log()));
  saw("the new one stays linked", /^web-1 +linked /m.test(wary.cli("get", "nodes").out));
  await stolen.stop();
  await anew.stop();
}

async function refusals() {
  step("what does not join");
  const foreign = join(scratch, "foreign.pem");
  spawnSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=other", "-out", foreign]);
  const other = new Node("other");
  other.child = start("other", wary.wary, ["--data", other.data, "node", "join", "--server", wary.origin, "--ca", foreign, "--token-file", token("other")], {});
  await other.child.ended;
  saw("a server of another CA is none", other.child.text.includes("x509_untrusted"), other.child.text);
  const short = token("late", "--ttl", "10");
  saw("a bad name is refused", wary.cli("node", "token", "tpm-1").text.includes("node_name"));
  const bare = wary.curl(`${wary.origin}/nodes/link`);
  saw("nobody else gets a link", bare.status === 401, bare.body);
  const garbage = wary.curl(`${wary.origin}/nodes/join`, "-d", "{\"method\":\"key\",\"node\":\"web-1\",\"csr\":\"AAAA\"}");
  saw("what is no request is refused", garbage.body.includes("csr_"), garbage.body);
  await sleep(11000);
  saw("a token ends", (await new Node("late").refused("--token-file", short)).includes("node_token"));
}

function openssl(...words) {
  const done = spawnSync("openssl", words, { cwd: scratch, encoding: "utf8" });
  if (done.status !== 0) throw new Error(`openssl ${words.join(" ")}: ${done.stderr}`);
}

async function byCertificate() {
  step("machines join by their device certificates");
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "devices.key", "-subj", "/CN=devices", "-out", "devices.pem");
  openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "device.key", "-subj", "/CN=rack-7", "-out", "device.csr");
  writeFileSync(join(scratch, "device.ext"), "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n");
  openssl("x509", "-req", "-in", "device.csr", "-CA", "devices.pem", "-CAkey", "devices.key", "-CAcreateserial", "-days", "2", "-extfile", "device.ext", "-out", "device.pem");
  const how = ["--x509pop-chain", join(scratch, "device.pem"), "--x509pop-key", join(scratch, "device.key")];
  const rack = new Node("rack");
  saw("not before somebody vouches for them", (await rack.refused(...how)).includes("node_authority"));
  const pem = readFileSync(join(scratch, "devices.pem"), "utf8").trim().split("\n").map((line) => `    ${line}\n`).join("");
  apply(tenantWide("Group", "racks", "  description: racks\n"), tenantWide("NodeAuthority", "devices", `  method: x509pop\n  groups: [racks]\n  certificates: |\n${pem}`),
    workload("racked", "  nodeGroups: [racks]\n"));
  rmSync(join(rack.data, "lock"), { force: true });
  await rack.joins(...how);
  await until("its program is who it is", () => rack.ask().code === "OK", 20000);
  saw("its name is its certificate's", /^x509pop-[0-9a-f]{40} linked .*x509pop devices CN=rack-7$/m.test(wary.cli("get", "nodes").out), wary.cli("get", "nodes").out);
  // Without its state it is the same node again.
  await rack.stop();
  rmSync(join(rack.data, "agent"), { recursive: true });
  await rack.joins(...how);
  saw("what lost its state is the same node", wary.cli("get", "nodes").out.match(/x509pop-/g).length === 1);
  await rack.stop();
  await until("it is seen to be away", () => /^x509pop-\S+ away /m.test(wary.cli("get", "nodes").out), 60000);
  // A certificate made anew under the same subject is the same node, where the authority is said to give it to one alone.
  apply(tenantWide("NodeAuthority", "devices", `  method: x509pop\n  identifyBy: subject\n  groups: [racks]\n  certificates: |\n${pem}`));
  const names = () => new Set(wary.cli("get", "nodes").out.match(/x509pop-[0-9a-f]{40}/g));
  rmSync(join(rack.data, "agent"), { recursive: true });
  await rack.joins(...how);
  const before = names().size;
  await rack.stop();
  rmSync(join(rack.data, "agent"), { recursive: true });
  openssl("x509", "-req", "-in", "device.csr", "-CA", "devices.pem", "-CAkey", "devices.key", "-CAcreateserial", "-days", "3", "-extfile", "device.ext", "-out", "device.pem");
  await rack.joins(...how);
  saw("by its subject it is the same node with a certificate made anew", names().size === before && before === 2, wary.cli("get", "nodes").out);
  await rack.stop();
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "device.key", "-subj", "/CN=rack-7", "-addext",
    "basicConstraints=critical,CA:FALSE", "-out", "device.pem");
  const fake = await new Node("fake").refused(...how);
  saw("a certificate nobody vouches for lets nobody in", fake.includes("x509_") || fake.includes("x509pop_"), fake);
}

async function byTpm() {
  step("a machine joins by its TPM");
  if (!existsSync("/usr/bin/swtpm")) return skip("nodes by TPM: swtpm is missing");
  const state = join(scratch, "tpm");
  mkdirSync(state);
  const port = await freePort();
  start("swtpm", "/usr/bin/swtpm", ["socket", "--tpm2", "--tpmstate", `dir=${state}`, "--server", `type=tcp,bindaddr=127.0.0.1,port=${port}`, "--ctrl",
    `type=tcp,bindaddr=127.0.0.1,port=${port + 1}`, "--flags", "not-need-init,startup-clear"], {});
  await sleep(500);
  const how = ["--tpm", `swtpm:host=127.0.0.1,port=${port}`];
  const server = new Node("server");
  apply(tenantWide("NodeAuthority", "tpms", `  method: tpm\n  endorsementKeys: ["${"0".repeat(64)}"]\n`));
  const unknown = await server.refused(...how);
  const key = /[0-9a-f]{64}/.exec(unknown)?.[0];
  saw("an unknown TPM is refused, and its key is named", unknown.includes("tpm_ek_unknown") && key !== undefined, unknown);
  apply(tenantWide("NodeAuthority", "tpms", `  method: tpm\n  endorsementKeys: ["${key}"]\n  groups: [racks]\n`));
  rmSync(join(server.data, "lock"), { force: true });
  await server.joins(...how);
  await until("its program is who it is", () => server.ask().code === "OK", 20000);
  saw("its name is its TPM's", wary.cli("get", "nodes").out.includes(`tpm-${key?.slice(0, 40)}`));
  await server.stop();
}

await run(async () => {
  await wary.start();
  await byToken();
  await pushed();
  await throughOutages();
  await revoked();
  await anotherKey();
  await refusals();
  await byCertificate();
  await byTpm();
  await wary.stop();
}, cleanUp);
