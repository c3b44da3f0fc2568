// What a request and a handshake cost at the edge, which identifies, decides and records each request (record: with), beside nginx and
// HAProxy, which pass everything on: one core each, the same application, alternating rounds, medians; the answers are compared before and
// after. Called by ./dev bench edge; PARTS=keepalive,http2,... chooses, ROUNDS and SECONDS say how long, PROFILE=FILE leaves a profile
// (perf) of the edge for each part in FILE.PART. IDLE connections for that part, of which one worker takes 16,384: WORKERS=2 for more.
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { arch, cpus, loadavg, release, type } from "node:os";
import { join } from "node:path";
import { build, root } from "../tests/support/platform.mjs";
import { cleanUp, makeScratch } from "../tests/support/processes.mjs";
import { cpuOf, median, start, until } from "./processes.mjs";
import { World, bodies, h2load, kHost, tlsLoad, wrk, wrkNewTokens } from "./edge_world.mjs";

const rounds = Number(process.env.ROUNDS ?? 5), seconds = Number(process.env.SECONDS ?? 2);
const kClients = 32, kIdle = Number(process.env.IDLE ?? 5000);
const kTokens = 12000; // a second, at most
const figures = [];
const scratch = makeScratch("bench-edge");
const world = new World(scratch);

// Rounds of every system in turn; the medians.
async function rival(title, part, systems, kind, path, measure, ...curl) {
  world.check(systems, kind, path, ...curl);
  const seen = new Map(systems.map((system) => [system, []]));
  const helper = world.platform.pidOf("waryd");
  for (let round = 0; round < rounds; round += 1) {
    for (const system of systems) {
      const before = cpuOf(system.pid), beside = cpuOf(helper);
      const result = measure(system);
      const each = (nanos) => nanos / result.requests / 1000;
      seen.get(system).push({ ...result, cpu: each(cpuOf(system.pid) - before), ...(system === world.edge ? { ledger: each(cpuOf(helper) - beside) } : {}) });
    }
  }
  world.check(systems, kind, path, ...curl);
  if (process.env.PROFILE && systems.includes(world.edge)) await profile(part, () => measure(world.edge));
  table(title, part, systems, seen);
}

// The load runs in this process's children and waits for them, so perf goes first.
async function profile(part, work) {
  const words = ["record", "-q", "-g", "-F", "1999", "-p", String(world.edge.pid), "-o", `${process.env.PROFILE}.${part}`];
  const perf = spawn("perf", words, { stdio: "ignore" });
  const ended = new Promise((resolve) => perf.on("exit", resolve));
  await new Promise((resolve) => setTimeout(resolve, 300));
  work();
  perf.kill("SIGINT");
  await ended;
}

function table(title, part, systems, seen) {
  const middle = (system, key) => median(seen.get(system).map((one) => one[key]));
  console.log(`\n${part}: ${title}`);
  const rows = [["cpu", "CPU of the proxy, us each"], ["ledger", "CPU of waryd, us each"], ["rate", "1/s"], ["p50", "p50, us"], ["p99", "p99, us"]];
  console.log(`  ${"".padEnd(28)}${systems.map((system) => system.name.padStart(12)).join("")}`);
  for (const [key, words] of rows) {
    const values = systems.map((system) => ({ system: system.name, value: middle(system, key), lowest: Math.min(...seen.get(system).map((one) => one[key])),
      highest: Math.max(...seen.get(system).map((one) => one[key])) })).filter((one) => Number.isFinite(one.value));
    if (values.length === 0) continue;
    console.log(`  ${words.padEnd(28)}${systems.map((system) => (values.find((one) => one.system === system.name)?.value.toFixed(1) ?? "").padStart(12)).join("")}`);
    figures.push({ name: `${part}_${key}`, unit: words, values });
  }
}

const parts = {
  keepalive: async () => rival(`TLS 1.3, HTTP/1.1, ${kClients} connections that stay`, "keepalive", [world.edge, world.nginx, world.haproxy], "tls", "/page",
    (system) => wrk(world, system, "tls", "/page", seconds, kClients), "--http1.1"),
  http2: async () => rival("HTTP/2, 16 connections of 10 streams", "http2", [world.edge, world.nginx, world.haproxy], "tls", "/page",
    (system) => h2load(system, "tls", "/page", seconds), "--http2"),
  plain: async () => {
    const all = [world.edge, world.nginx, world.haproxy];
    await rival(`without TLS, HTTP/1.1, ${kClients} connections that stay`, "plain", all, "plain", "/page", (system) => wrk(world, system, "plain", "/page", seconds, kClients), "--http1.1");
    await rival("without TLS, HTTP/2, 16 connections of 10 streams", "plain_http2", all, "plain2", "/page", (system) => h2load(system, "plain2", "/page", seconds), "--http2-prior-knowledge");
  },
  authorised: async () => rival("nginx asks for each request (auth_request)", "authorised", [world.edge, world.nginx], "authorised", "/page",
    (system) => wrk(world, system, "authorised", "/page", seconds, kClients), "--http1.1"),
  mtls: async () => {
    world.checkRefusals();
    await rival(`a workload's certificate, HTTP/1.1, ${kClients} connections that stay`, "mtls", [world.edge, world.nginx, world.haproxy], "mtls", "/page",
      (system) => tlsLoad(world, system, "load", "mtls", "/page", kClients, seconds), "--http1.1");
  },
  jwt: async () => {
    world.checkRefusals();
    const two = [world.edge, world.haproxy];
    await rival("an ES256 token of another issuer, one for all requests", "jwt_same", two, "jwt", "/page",
      (system) => wrk(world, system, "jwt", "/page", seconds, kClients), "--http1.1");
    await rival("ES256 tokens of another issuer, none asked with twice", "jwt_new", two, "jwt", "/page",
      (system) => wrkNewTokens(world, system, "/page", seconds, kClients, kTokens * seconds), "--http1.1");
  },
  // What wary demands is asked of wary alone: certificate, token bound to it, decision and event beside TLS that authorises nothing.
  whole: async () => {
    const header = `Authorization: Bearer ${world.tokens.makeBoundTo(world.svid[0])}\r\n`;
    await rival("wary: certificate, token, decision, event; the others: TLS alone", "whole", [world.edge, world.nginx, world.haproxy], "tls", "/page",
      (system) => system === world.edge ? tlsLoad(world, system, "load", "mtls", "/page", kClients, seconds, header)
        : tlsLoad(world, system, "load", "tls", "/page", kClients, seconds), "--http1.1");
  },
  handshake: async () => {
    const all = [world.edge, world.nginx, world.haproxy];
    await rival("full handshakes, P-256", "handshake_full", all, "tls", "/page", (system) => tlsLoad(world, system, "handshake", "tls", "/page", 1, seconds));
    await rival("resumed handshakes", "handshake_resumed", all, "resume", "/page", (system) => tlsLoad(world, system, "resume", "resume", "/page", 1, seconds));
    await rival("full handshakes with a workload's certificate", "handshake_mtls", all, "mtls", "/page", (system) => tlsLoad(world, system, "handshake", "mtls", "/page", 1, seconds));
  },
  bodies: async () => {
    for (const [path, clients] of [["/k1", kClients], ["/m1", 8]]) {
      await rival(`bodies of ${bodies[path].length} bytes, ${clients} connections`, `body_${path.slice(1)}`, [world.edge, world.nginx, world.haproxy], "tls", path,
        (system) => wrk(world, system, "tls", path, seconds, clients), "--http1.1");
    }
  },
  idle: async () => {
    console.log(`\nidle: resident bytes of each of ${kIdle} connections with a certificate, after one request`);
    const values = [];
    for (const system of [world.edge, world.nginx, world.haproxy]) {
      values.push({ system: system.name, value: await residentEach(system) });
      console.log(`  ${system.name}: ${values.at(-1).value.toFixed(0)}`);
    }
    console.log(`  ${"".padEnd(28)}${values.map((one) => one.system.padStart(12)).join("")}\n  ${"resident, bytes each".padEnd(28)}${values.map((one) => one.value.toFixed(0).padStart(12)).join("")}`);
    figures.push({ name: "idle_mtls_connection", unit: "bytes each", values });
  },
};

const residentOf = (pid) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;
// From a tenth of the connections to all of them: what the first ones make once is no connection's.
async function residentEach(system) {
  const words = ["--nofile=20000", join(build, "bench/tls_load"), "idle", system.ports.mtls, kHost, "/page", kIdle, 1, ...world.svid].map(String);
  const child = start("idle", "prlimit", words, { stdio: ["pipe", "pipe", "pipe"] });
  const at = {};
  for (const count of [kIdle / 10, kIdle]) {
    await until(`${count} connections to ${system.name} are open`, () => {
      if (child.exitCode !== null) throw new Error(`${system.name}: ${child.text}`);
      return child.text.includes(`open ${count}\n`);
    }, system === world.edge ? 70000 : 250000); // before each takes the first for idle
    await new Promise((resolve) => setTimeout(resolve, 300));
    at[count] = residentOf(system.pid);
    child.stdin.write("\n");
  }
  await child.ended;
  return (at[kIdle] - at[kIdle / 10]) / (kIdle - kIdle / 10);
}

let failed = 0;
async function main() {
  const chosen = (process.env.PARTS ?? Object.keys(parts).join(",")).split(",");
  for (const name of chosen) if (!parts[name]) throw new Error(`no part ${name}; there are ${Object.keys(parts).join(", ")}`);
  const [load] = loadavg();
  if (load > 1) console.log(`the machine is loaded (${load.toFixed(1)}): these figures are no figures of a machine of one's own`);
  await world.start();
  console.log(`answers compared; ${rounds} rounds of ${seconds} s; the edge: identity, decision and event (record: with) on each request`);
  // A part that fails does not take the others' figures with it.
  for (const name of chosen) {
    await parts[name]().catch((error) => {
      console.error(`bench: ${name}: ${error.stack}`);
      failed = 1;
    });
  }
  await world.platform.stop();
  const commit = execFileSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  const machine = `${type()} ${release()} ${arch()}, ${cpus().length} cores`;
  writeFileSync(process.argv[2], `${JSON.stringify({ commit, machine, load_before: load, load_after: loadavg()[0], rounds, seconds, figures }, null, 2)}\n`);
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error.stack}`);
  failed = 1;
}
await cleanUp(failed);
process.exit(failed);
