// What identities cost and how fast they come and go: certificates issued with a durable event, a new workload's way to an open
// stream, a revocation's way to open sessions, the memory of the Workload API. Beside SPIRE where Go is there to build it; rounds
// alternate, medians count. Called by ./dev bench identity; PARTS=issue,stream,revoke,memory chooses.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { arch, cpus, loadavg, release, type } from "node:os";
import { join } from "node:path";
import { Platform, build, root } from "../tests/support/platform.mjs";
import { cleanUp, freePort, makeScratch } from "../tests/support/processes.mjs";
import { median, sleep, start, until } from "./processes.mjs";

const kSpire = "v1.13.3";
const kWorkloads = 64;
const kSeconds = 4;
const kInFlight = 512;
const kSamples = 200;
const kPeerSamples = 10;
const kSessions = 5000;
const kRevoked = 100;
const kRevocations = 20;
const rounds = Number(process.env.ROUNDS ?? 3);
const parts = (process.env.PARTS ?? "issue,stream,revoke,memory").split(",");
const scratch = makeScratch("bench-identity");
const peers = join(root, "build/peers/spire");
const figures = [];
const bench = (name) => join(build, "bench", name);

function must(program, args, options = {}) {
  const done = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1 << 28, timeout: 180000, ...options });
  if (done.status !== 0) throw new Error(`${program} ${args.join(" ")}: ${done.error ?? ""}${done.stdout.slice(-500)}${done.stderr.slice(-2000)}`);
  return done.stdout;
}
const lastJson = (text) => JSON.parse(text.trim().split("\n").at(-1));

// `bar`: what it should be at most, or at least where the unit is a rate or a ratio.
function figure(name, value, unit, { bar, peer, ...more } = {}) {
  const held = bar === undefined ? undefined : unit === "ms" || unit === "MiB" ? value <= bar : value >= bar;
  const beside = peer === undefined ? "" : `SPIRE ${peer.toFixed(2)}`;
  const judged = bar === undefined ? "" : `bar ${bar} ${held ? "held" : "NOT HELD"}`;
  console.log(`  ${name.padEnd(40)} ${value.toFixed(2).padStart(10)} ${unit.padEnd(6)} ${beside.padEnd(18)} ${judged}`);
  figures.push({ name, value, unit, ...(peer === undefined ? {} : { peer: `SPIRE ${kSpire}`, peer_value: peer }), ...(bar === undefined ? {} : { bar, held }), ...more });
}

function rssMiB(pid) {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
}

// SPIRE's server, agent and our client of them, or null.
function buildSpire() {
  if (spawnSync("go", ["version"]).status !== 0) {
    console.log("[skip] SPIRE: there is no Go toolchain");
    return null;
  }
  mkdirSync(peers, { recursive: true });
  const go = (...words) => must("go", words, { cwd: peers, timeout: 1800000, env: { ...process.env, GOBIN: join(peers, "bin"), GOFLAGS: "-mod=mod" } });
  try {
    const names = ["spire-server", "spire-agent"].map((name) => `github.com/spiffe/spire/cmd/${name}`);
    if (!names.every((name) => existsSync(join(peers, "bin", name.split("/").at(-1))))) {
      writeFileSync(join(peers, "go.mod"), "module peers\n\ngo 1.25\n");
      go("get", "-tool", ...names.map((name) => `${name}@${kSpire}`));
      go("install", ...names);
    }
    copyFileSync(join(root, "bench/peers/spire/main.go"), join(peers, "main.go"));
    go("build", "-o", "client", ".");
  } catch (error) {
    console.log(`[skip] SPIRE: does not build here: ${String(error.message).slice(0, 300)}`);
    return null;
  }
  return { server: join(peers, "bin/spire-server"), agent: join(peers, "bin/spire-agent"), client: join(peers, "client") };
}

class Spire {
  constructor(programs) {
    Object.assign(this, programs, { home: join(scratch, "spire") });
    mkdirSync(this.home);
    this.serverSocket = join(this.home, "server.sock");
    this.agentSocket = join(this.home, "agent.sock");
  }
  async start() {
    this.port = await freePort();
    // Logs go to files: a pipe that nobody reads while a client is waited for would stop the server.
    const plugin = (kind, name, values = "") => `  ${kind} "${name}" {\n    plugin_data {\n${values}    }\n  }\n`;
    writeFileSync(join(this.home, "server.conf"), `server {
  bind_address = "127.0.0.1"\n  bind_port = "${this.port}"\n  socket_path = "${this.serverSocket}"
  trust_domain = "local"\n  data_dir = "${this.home}/server"\n  log_level = "ERROR"\n  log_file = "${this.home}/server.log"
  ratelimit {\n    signing = false\n    attestation = false\n  }\n}\nplugins {
${plugin("DataStore", "sql", `database_type = "sqlite3"\nconnection_string = "${this.home}/spire.sqlite3"\n`)}${plugin("NodeAttestor", "join_token")}${plugin("KeyManager", "memory")}}\n`);
    writeFileSync(join(this.home, "agent.conf"), `agent {
  data_dir = "${this.home}/agent"\n  server_address = "127.0.0.1"\n  server_port = "${this.port}"\n  socket_path = "${this.agentSocket}"
  trust_domain = "local"\n  insecure_bootstrap = true\n  log_level = "ERROR"\n  log_file = "${this.home}/agent.log"\n}\nplugins {
${plugin("NodeAttestor", "join_token")}${plugin("KeyManager", "memory")}${plugin("WorkloadAttestor", "unix")}}\n`);
    this.process = start("spire-server", this.server, ["run", "-config", join(this.home, "server.conf")]);
    const ready = () => spawnSync(this.server, ["healthcheck", "-socketPath", this.serverSocket]).status === 0;
    await until("SPIRE's server is ready", ready, 30000);
  }
  issue() {
    const words = ["issue", this.serverSocket, `127.0.0.1:${this.port}`, kSeconds, 8, 64, this.process.pid].map(String);
    return lastJson(must(this.client, words));
  }
  async startAgent() {
    const token = /Token: (\S+)/.exec(must(this.server, ["token", "generate", "-socketPath", this.serverSocket]))[1];
    this.agentProcess = start("spire-agent", this.agent, ["run", "-config", join(this.home, "agent.conf"), "-joinToken", token]);
    await until("SPIRE's agent is ready", () => existsSync(this.agentSocket), 30000);
    this.agentId = `spiffe://local/spire/agent/join_token/${token}`;
  }
  stream() {
    return lastJson(must(this.client, ["stream", this.serverSocket, this.agentSocket, this.agentId, String(kPeerSamples)]));
  }
}

function apply(wary, documents) {
  const path = join(scratch, "objects.yaml");
  writeFileSync(path, documents.map(([kind, name, spec]) => `apiVersion: wary.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${JSON.stringify(spec)}\n`).join("---\n"));
  const done = wary.cli("apply", "-f", path, "-n", "bench");
  if (done.code !== 0) throw new Error(done.text);
}
const ours = () => ({ selectors: [[`unix:uid:${process.getuid()}`]] });

const entriesOf = (wary) => Number(/^wary_ledger_entries (\d+)$/m.exec(wary.socket("admin.sock", "/metrics").body)[1]);

// The link believes the agent's user: this asks as that user. Each round's certificates are in the ledger afterwards.
function issueRound(wary) {
  const { uid, gid } = statSync(`/proc/${wary.pidOf("wary-agent")}`);
  const before = entriesOf(wary);
  const words = [join(wary.data, "run/waryd/link.sock"), join(scratch, "ca.pem"), kWorkloads, kSeconds, kInFlight, ...wary.pids()].map(String);
  const round = lastJson(must(bench("svid_issue"), words, process.getuid() === 0 ? { uid, gid } : {}));
  if (entriesOf(wary) - before < round.issued) throw new Error("certificates were given that are not in the ledger");
  return round;
}

async function issuePart(wary, spire) {
  console.log(`issue: ${rounds} rounds of ${kSeconds} s, ${kInFlight} calls in flight, every certificate verified`);
  copyFileSync(join(wary.data, "ca.pem"), join(scratch, "ca.pem"));
  apply(wary, Array.from({ length: kWorkloads }, (_, i) => ["Workload", `w${i}`, { selectors: [["unix:uid:61236"]] }]));
  const seen = { wary: [], spire: [] };
  for (let round = 0; round < rounds; round += 1) {
    seen.wary.push(issueRound(wary));
    if (spire) seen.spire.push(spire.issue());
  }
  const middle = (name, key) => median(seen[name].map((one) => one[key]));
  const beside = (key) => (spire ? { peer: middle("spire", key) } : {});
  const total = seen.wary.reduce((sum, one) => sum + one.verified, 0);
  figure("svids_per_cpu_second", middle("wary", "per_cpu_second"), "1/s", { bar: 9000, ...beside("per_cpu_second"), verified: total });
  figure("svids_per_second", middle("wary", "per_second"), "1/s", beside("per_second"));
  figure("svid_cpu", middle("wary", "cpu_us"), "us", beside("cpu_us"));
  figure("svid_answer_p99_in_flight", middle("wary", "p99_ms"), "ms", { in_flight: kInFlight });
  if (spire) figure("svids_per_cpu_second_to_spire", middle("wary", "per_cpu_second") / middle("spire", "per_cpu_second"), "x", { bar: 5 });
}

async function streamPart(wary, spire) {
  console.log(`stream: ${kSamples} new workloads, ${kPeerSamples} of SPIRE's`);
  const seen = lastJson(must(bench("svid_stream"), ["latency", join(wary.data, "run/agent/api.sock"), join(wary.data, "run/waryd/admin.sock"), String(kSamples)]));
  let theirs;
  if (spire) {
    await spire.startAgent();
    theirs = spire.stream();
  }
  figure("entry_to_svid_p50", seen.from_call.p50_ms, "ms", theirs ? { peer: theirs.p50_ms } : {});
  figure("entry_to_svid_p99", seen.from_call.p99_ms, "ms", { bar: 50, ...(theirs ? { peer: theirs.p99_ms } : {}), samples: seen.from_call.count });
  figure("entry_answered_to_svid_p99", seen.from_answer.p99_ms, "ms");
}

async function memoryPart(wary, spire) {
  console.log("memory of the Workload API's process, resident");
  figure("agent_resident_idle", wary.idleMiB, "MiB", { bar: 10 });
  must(bench("svid_stream"), ["churn", join(wary.data, "run/agent/api.sock"), "1000"]);
  // The agent gives back what a burst left free once no connection has ended for a second.
  await sleep(3000);
  const peer = spire?.agentProcess ? { peer: rssMiB(spire.agentProcess.pid) } : {};
  figure("agent_resident_after_1000_streams", rssMiB(wary.pidOf("wary-agent")), "MiB", { bar: 10, ...peer });
}

// Signs everybody in: who stays, then those who go.
function signIn(wary) {
  const names = ["stays", ...Array.from({ length: kRevocations }, (_, i) => `goes${i}`)];
  apply(wary, names.map((name) => ["User", name, {}]));
  const lines = names.map((name) => {
    if (wary.signIn(name).answer.status !== 200) throw new Error(`${name} was not signed in`);
    const answer = wary.browse(name, wary.url("site", "/"));
    if (answer.status !== 200 || answer.body !== "ok\n") throw new Error(`${name} was not let in: ${answer.status} ${answer.head}`);
    return name === "stays" ? wary.cookieOf(name, "site") : `${name} ${wary.cookieOf(name, "site")}`;
  });
  writeFileSync(join(scratch, "cookies"), `${lines.join("\n")}\n`);
}

async function revokePart(wary) {
  console.log(`revoke: ${kRevocations} users with ${kRevoked} of ${kSessions} sessions each, others asking 1,000 times a second`);
  const port = await freePort();
  const upstream = start("upstream", bench("revoke_sessions"), ["upstream", String(port)]);
  await until("the application listens", () => upstream.text.includes("ready"));
  apply(wary, [["App", "site", { hosts: ["site.localhost"], upstream: `http://127.0.0.1:${port}` }],
    ["Policy", "site", { cedar: 'permit (principal is Wary::User, action in Wary::Action::"read", resource in Wary::App::"bench/site");' }]]);
  signIn(wary);
  const words = ["measure", wary.port, join(wary.data, "ca.pem"), join(wary.data, "run/waryd/admin.sock"), kSessions - kRevoked, kRevoked, join(scratch, "cookies")];
  const before = entriesOf(wary);
  const seen = lastJson(must(bench("revoke_sessions"), words.map(String)));
  await sleep(500);
  const cuts = Array.from({ length: kRevocations }, (_, i) => cutsOf(wary, `goes${i}`, before)).flat().sort((a, b) => a - b);
  if (cuts.length !== kRevocations * kRevoked || seen.closed_seen !== cuts.length || seen.not_closed !== 0) {
    throw new Error(`sessions cut: ${cuts.length} recorded, ${seen.closed_seen} seen, ${seen.not_closed} not closed`);
  }
  figure("fact_to_last_byte_p50", cuts[Math.floor(cuts.length / 2)], "ms");
  figure("fact_to_last_byte_p99", cuts[Math.floor((cuts.length - 1) * 0.99)], "ms", { bar: 10, cuts: cuts.length, sessions: seen.sessions, revocations: seen.revocations });
  figure("revoke_called_to_close_seen_p99", seen.from_call_to_close_seen.p99_ms, "ms");
  figure("others_p99_before", seen.load_before.p99_ms, "ms", { requests: seen.load_before.count });
  figure("others_p99_during", seen.load_during.p99_ms, "ms", { requests: seen.load_during.count, window_ms: 50 });
}
// The user's events since there were that many.
function cutsOf(wary, user, entries) {
  const actor = encodeURIComponent(`Wary::User::"${user}"`);
  const { status, body } = wary.socket("admin.sock", `/v1/ledger/events?after=${entries - 1}&actor=${actor}`);
  if (status !== 200) throw new Error(`the ledger's events: ${status} ${body}`);
  return body.split("\n").filter((line) => line.includes("session.cut")).map((line) => cutAfter(JSON.parse(line)));
}
// From the fact being committed to the last byte handed to the kernel, as the edge recorded it.
function cutAfter(event) {
  const micros = /^cut (\d+) us after commit$/.exec(event.summary);
  if (micros === null) throw new Error(`a cut without its time: ${JSON.stringify(event)}`);
  return Number(micros[1]) / 1000;
}

async function main() {
  const [load] = loadavg();
  if (load > 1) console.log(`the machine is loaded (${load.toFixed(1)}): these figures are no figures of a machine of one's own`);
  const path = join(scratch, "issue.json");
  if (parts.includes("issue")) process.stdout.write(must(bench("identity_bench"), [path]));
  const beside = parts.includes("issue") || parts.includes("stream") ? buildSpire() : null;
  const spire = beside && new Spire(beside);
  await spire?.start();
  const wary = new Platform(scratch, await freePort());
  await wary.start();
  apply(wary, [["Namespace", "bench", {}]]);
  apply(wary, [["Workload", "w0", ours()]]);
  await sleep(3000);
  wary.idleMiB = rssMiB(wary.pidOf("wary-agent"));
  if (parts.includes("stream")) await streamPart(wary, spire);
  if (parts.includes("memory")) await memoryPart(wary, spire);
  if (parts.includes("issue")) await issuePart(wary, spire);
  if (parts.includes("revoke")) await revokePart(wary);
  await wary.stop();
  const commit = execFileSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  const machine = `${type()} ${release()} ${arch()}, ${cpus().length} cores`;
  const all = { commit, machine, load_before: load, load_after: loadavg()[0], issue: existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).issue : undefined, figures };
  writeFileSync(process.argv[2], `${JSON.stringify(all, null, 2)}\n`);
}

let failed = 0;
try {
  await main();
} catch (error) {
  console.error(`bench: ${error.stack}`);
  failed = 1;
}
await cleanUp(failed);
process.exit(failed);
