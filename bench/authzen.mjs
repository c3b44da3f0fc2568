// Decisions a second for each core of the serving process: AuthZEN at a real wary's decision point, every decision recorded,
// beside OPA's REST API with equal rules and no decision log. Both are asked by wrk over kept connections on a unix socket, in
// alternating rounds; medians. Every answer is checked in a pass of its own, against decisions that neither worked out.
// A second of a core is a second that the serving process had a processor, all its threads together, as the kernel counts it.
// Called by ./dev bench authzen.
import { execFileSync, execSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { arch, cpus, release, tmpdir, type } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cedarOf, makeWorld, rego, regoData, resourcesOf, toAuthzen } from "./authzen_world.mjs";
import { childOf, cpuOf, freePort, median, sleep, start, stopAll, until } from "./processes.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const build = process.env.WARY_BUILD;
const results = process.argv[2];
const scratch = mkdtempSync(join(tmpdir(), "wary-authzen-"));
chmodSync(scratch, 0o755); // wary's processes may be other users
const kOpa = "v1.22.4";
const kRounds = Number(process.env.WARY_BENCH_ROUNDS ?? 5);
const kSeconds = Math.min(10, Number(process.env.WARY_BENCH_SECONDS ?? 4));
const kClients = Math.min(64, Number(process.env.WARY_BENCH_CLIENTS ?? 32));
const kBatch = 50;
const kBars = { single: 40000, batch: 250000 };

async function startWary(world) {
  const data = join(scratch, "data");
  const cli = (...words) => execFileSync(join(build, "bin/wary"), ["--data", data, ...words], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const dev = start("wary dev", join(build, "bin/wary"), ["--data", data, "dev", "--listen", `127.0.0.1:${await freePort()}`, "--workers", "1"]);
  await until("wary dev", () => dev.text.includes("wary is ready"), 30000);
  mkdirSync(join(scratch, "resources"));
  writeFileSync(join(scratch, "resources/world.yaml"), resourcesOf(world));
  writeFileSync(join(scratch, "resources/shop.cedar"), cedarOf());
  cli("apply", "-f", join(scratch, "resources"), "-n", "bench");
  return {
    name: "wary", socket: join(data, "run/edge/pdp.sock"), pid: childOf(dev.pid, "wary-edge"), others: [childOf(dev.pid, "waryd"), childOf(dev.pid, "wary-signer")],
    single: { path: "/access/v1/evaluation", body: (question) => toAuthzen(question), answers: (body) => [body.decision] },
    batch: { path: "/access/v1/evaluations", body: (list) => ({ evaluations: list.map(toAuthzen) }), answers: (body) => body.evaluations.map((one) => one.decision) },
    refused: '"ledger_unavailable"',
  };
}

// OPA as its maker publishes it, built here where there is Go; nothing where not.
async function startOpa(world) {
  const opa = join(root, "build/peers/opa");
  if (!existsSync(opa)) {
    if (spawnSync("sh", ["-c", "command -v go"]).status !== 0) {
      console.log("[skip] OPA: there is no go");
      return null;
    }
    mkdirSync(join(root, "build/peers"), { recursive: true });
    const done = spawnSync("go", ["install", `github.com/open-policy-agent/opa@${kOpa}`], { encoding: "utf8", env: { ...process.env, GOBIN: join(root, "build/peers") } });
    if (done.status !== 0) {
      console.log(`[skip] OPA: does not build here: ${String(done.stderr).slice(-200)}`);
      return null;
    }
  }
  writeFileSync(join(scratch, "authz.rego"), rego);
  writeFileSync(join(scratch, "data.json"), JSON.stringify(regoData(world)));
  const socket = join(scratch, "opa.sock");
  const child = start("opa", "env", ["GOMAXPROCS=1", opa, "run", "--server", "--addr", `unix://${socket}`, "--log-level", "error", "--disable-telemetry", "--skip-version-check",
    join(scratch, "authz.rego"), join(scratch, "data.json")]);
  await until("opa", () => existsSync(socket), 30000);
  return {
    name: "OPA", socket, pid: child.pid, others: [],
    single: { path: "/v1/data/authz/allow", body: (question) => ({ input: question }), answers: (body) => [body.result] },
    batch: { path: "/v1/data/authz/decisions", body: (list) => ({ input: { evaluations: list } }), answers: (body) => body.result },
    refused: '"code"',
  };
}

const batchesOf = (list) => Array.from({ length: Math.floor(list.length / kBatch) }, (_, i) => list.slice(i * kBatch, (i + 1) * kBatch));
const bodiesOf = (server, kind, questions) => (kind === "single" ? questions : batchesOf(questions)).map((one) => JSON.stringify(server[kind].body(one)));

function ask(server, agent, path, body) {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: server.socket, path, method: "POST", agent, headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) } }, (response) => {
      let text = "";
      response.on("data", (bytes) => (text += bytes));
      response.on("end", () => (response.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(`${server.name} ${path}: ${response.statusCode} ${text}`))));
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}
// Every question, alone and in batches, against what it must be answered; gives how many were not.
async function check(server, world) {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  let wrong = 0;
  let compared = 0;
  for (const kind of ["single", "batch"]) {
    const answers = [];
    for (const body of bodiesOf(server, kind, world.questions)) answers.push(...server[kind].answers(await ask(server, agent, server[kind].path, body)));
    if (answers.length !== world.expected.length) throw new Error(`${server.name} gave ${answers.length} answers for ${world.expected.length} questions`);
    wrong += answers.filter((answer, i) => answer !== world.expected[i]).length;
    compared += answers.length;
  }
  agent.destroy();
  console.log(`${server.name.padEnd(5)} ${compared} answers, ${wrong} other than expected`);
  return { compared, wrong };
}

// wrk with every body in turn. A decision that was refused because its record found no place is counted as none.
function writeScripts(server, world) {
  for (const kind of ["single", "batch"]) {
    const bodies = bodiesOf(server, kind, world.questions).map((body) => `[==[${body}]==]`);
    writeFileSync(join(scratch, `${server.name}-${kind}.lua`), `
local bodies = { ${bodies.join(",\n")} }
local requests, at = {}, 0
init = function()
  for i, body in ipairs(bodies) do
    requests[i] = wrk.format("POST", "${server[kind].path}", { ["Content-Type"] = "application/json", ["Host"] = "localhost" }, body)
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
refused = 0
wrong = 0
response = function(status, headers, body)
  if status ~= 200 then wrong = wrong + 1 end
  local found = body:find('${server.refused}', 1, true)
  while found do
    refused = refused + 1
    found = body:find('${server.refused}', found + 1, true)
  end
end
local pause = tonumber(os.getenv("WARY_BENCH_PAUSE_MS") or "0")
if pause > 0 then
  delay = function() return pause end
end
local thread_of
setup = function(thread) thread_of = thread end
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    summary.errors.read + summary.errors.write + summary.errors.connect + summary.errors.timeout + thread_of:get("wrong"),
    thread_of:get("refused"), latency:percentile(50), latency:percentile(99)))
end
`);
  }
}
function load(server, kind, seconds, pause = 0) {
  const before = [server.pid, ...server.others].map(cpuOf);
  const [command, ...words] = [...onSecond, "wrk"];
  const done = spawnSync(command, [...words, "-t1", `-c${kClients}`, `-d${seconds}s`, "--timeout", "20s", "-s", join(scratch, `${server.name}-${kind}.lua`), "http://127.0.0.1:1/"],
    { encoding: "utf8", env: { ...process.env, LD_PRELOAD: join(build, "bench/libwrk_unix.so"), WARY_BENCH_SOCKET: server.socket, WARY_BENCH_PAUSE_MS: String(pause) } });
  const after = [server.pid, ...server.others].map(cpuOf);
  const found = done.stdout.match(/RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)/);
  if (!found) throw new Error(`wrk: ${done.stdout}${done.stderr}`);
  const [requests, micros, errors, refused, p50, p99] = found.slice(1).map(Number);
  if (errors !== 0) throw new Error(`wrk saw ${errors} errors of ${server.name}, ${kind}`);
  const asked = requests * (kind === "batch" ? kBatch : 1);
  const decisions = asked - refused;
  const cores = after.map((value, i) => value - before[i]);
  return { perCore: decisions / (cores[0] / 1e9), perCoreOfAll: decisions / (cores.reduce((a, b) => a + b) / 1e9), rate: decisions / (micros / 1e6), refused: (100 * refused) / asked, p50, p99 };
}

// The asked process has the first core, wrk and whoever records the second: neither interrupts the other.
const pin = (pid, core) => cpus().length > 1 && spawnSync("taskset", ["-acp", String(core), String(pid)]);
const onSecond = cpus().length > 1 ? ["taskset", "-c", "1"] : [];

// How long each connection must wait between its requests, in milliseconds, so that every record finds its place: what is
// refused is no decision, and says nothing of what one costs.
async function findPause(server, kind) {
  for (let pause = 0; ; pause = pause === 0 ? 5 : pause * 2) {
    const run = load(server, kind, 2, pause);
    if (run.refused === 0 || pause > 1000) return pause * 2; // a ring has room for a while of too much
    await sleep(2000); // until what waits is recorded
  }
}

async function main() {
  const world = makeWorld();
  const servers = [await startWary(world), await startOpa(world)].filter(Boolean);
  const checks = [];
  for (const server of servers) {
    pin(server.pid, 0);
    for (const other of server.others) pin(other, 1);
    writeScripts(server, world);
    checks.push(await check(server, world));
  }
  const runs = {};
  for (let round = 0; round < kRounds; round += 1) {
    for (const kind of ["single", "batch"]) {
      for (const server of servers) {
        if (round === 0) server[kind].pause = await findPause(server, kind); // and warm
        await sleep(1000); // what was recorded is in the ledger
        (runs[`${server.name} ${kind}`] ??= []).push(load(server, kind, kSeconds, server[kind].pause));
      }
    }
  }
  await sleep(2000);
  for (const server of servers) checks.push(await check(server, world));
  const figures = [];
  const of = (server, kind, what) => (server ? median(runs[`${server.name} ${kind}`].map((run) => run[what])) : null);
  const [wary, peer = null] = servers;
  for (const kind of ["single", "batch"]) {
    const name = kind === "single" ? "single evaluations" : `decisions in batches of ${kBatch}`;
    for (const server of servers.filter((one) => one[kind].pause > 0)) {
      console.log(`${name}: ${server.name} is asked with ${server[kind].pause} ms between the requests of a connection, as fast as it records`);
    }
    for (const [what, label, unit] of [["perCore", "per core", "decisions/s"], ["perCoreOfAll", "per core, recording processes counted", "decisions/s"],
      ["rate", "seen by wrk", "decisions/s"],
      ["refused", "refused, no place for the record", "%"], ["p50", "p50", "us"], ["p99", "p99", "us"]]) {
      const [ours, theirs] = [of(wary, kind, what), of(peer, kind, what)];
      const ratio = theirs === null || unit === "%" ? null : unit === "us" ? theirs / ours : ours / theirs;
      figures.push({ name: `${name} ${label}`, value: ours, unit, peer: peer?.name ?? null, peer_value: theirs, ratio, ...(what === "perCore" ? { bar: kBars[kind] } : {}) });
      console.log(`${`${name} ${label}`.padEnd(66)} wary ${ours.toFixed(0).padStart(8)} ${unit}${peer ? `   ${peer.name} ${theirs.toFixed(0).padStart(8)}${ratio === null ? "" : ` (${ratio.toFixed(1)}x)`}` : ""}${
        what === "perCore" ? `   bar ${kBars[kind]}: ${ours >= kBars[kind] ? "held" : "NOT held"}` : ""}`);
    }
  }
  const differences = checks.reduce((sum, one) => sum + one.wrong, 0);
  mkdirSync(dirname(results), { recursive: true });
  writeFileSync(results, `${JSON.stringify({ commit: execSync("git rev-parse HEAD").toString().trim(), machine: `${type()} ${release()} ${arch()}, ${cpus().length} cores`,
    connections: kClients, seconds: kSeconds, rounds: kRounds, opa: peer ? kOpa : null, pause_ms: Object.fromEntries(servers.map((server) => [server.name, { single: server.single.pause, batch: server.batch.pause }])), compared: checks.reduce((sum, one) => sum + one.compared, 0), differences, figures }, null, 2)}\n`);
  if (differences > 0) process.exitCode = 1;
}

main()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(async () => {
    await stopAll();
    rmSync(scratch, { recursive: true, force: true });
  });
