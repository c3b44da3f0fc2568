// What a revocation ends: 10,000 sessions of one person at one edge (idle connections, WebSockets, streams of HTTP/2 and of gRPC),
// while somebody else keeps asking. Called by ./dev bench revoke; IDLE, WEBSOCKETS, CONNECTIONS and GRPC (of STREAMS each) and ROUNDS
// choose. Every end is counted at the client and in the ledger. One edge: descriptors for 20,000 are enough.
import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { arch, cpus, loadavg, release, type } from "node:os";
import { join } from "node:path";
import { Platform, build, root } from "../tests/support/platform.mjs";
import { cleanUp, makeScratch } from "../tests/support/processes.mjs";
import { freePort, median, sleep, start, until } from "./processes.mjs";

const number = (name, value) => Number(process.env[name] ?? value);
const idle = number("IDLE", 5000), websockets = number("WEBSOCKETS", 2500), connections = number("CONNECTIONS", 125), grpc = number("GRPC", 125), streams = number("STREAMS", 10);
const rounds = number("ROUNDS", 3), kOthers = 100;
const scratch = makeScratch("bench-revoke");
const tool = join(build, "bench/revoke_kinds");

function must(program, words) {
  const done = spawnSync(program, words, { encoding: "utf8", maxBuffer: 1 << 28, timeout: 240000 });
  if (done.status !== 0) throw new Error(`${program} ${words.join(" ")}: ${done.stdout.slice(-500)}${done.stderr.slice(-1000)}`);
  return done.stdout;
}
const entriesOf = (wary) => Number(/^wary_ledger_entries (\d+)$/m.exec(wary.socket("admin.sock", "/metrics").body)[1]);

// From the fact being committed to the last byte handed to the kernel, as the edge recorded it; page by page.
async function cutsOf(wary, user, entries, wanted) {
  const cuts = [];
  let after = entries - 1;
  await until(`${wanted} cuts are in the ledger`, () => {
    const path = `/v1/ledger/events?after=${after}&actor=${encodeURIComponent(`Wary::User::"${user}"`)}`;
    const lines = must("curl", ["-sSf", "--max-time", "30", "--unix-socket", join(wary.data, "run/waryd/admin.sock"), `http://localhost${path}`]);
    for (const line of lines.split("\n").filter((one) => one !== "")) {
      const event = JSON.parse(line);
      after = Math.max(after, Number(event.index ?? after));
      const micros = /^cut (\d+) us after commit$/.exec(event.summary ?? "");
      if (micros) cuts.push(Number(micros[1]) / 1000);
    }
    return cuts.length >= wanted;
  }, 20000);
  return cuts.sort((a, b) => a - b);
}

async function round(wary, name, port) {
  for (const user of ["stays", name]) {
    if (wary.signIn(user).answer.status !== 200) throw new Error(`${user} was not signed in`);
    if (wary.browse(user, wary.url("site", "/page")).body !== "ok\n") throw new Error(`${user} was not let in`);
    if (wary.browse(user, wary.url("grpc", "/")).status !== 200) throw new Error(`${user} was not let in where gRPC is`);
  }
  writeFileSync(join(scratch, "cookies"), `${wary.cookieOf("stays", "site")}\n${name}\n${wary.cookieOf(name, "site")}\n${wary.cookieOf(name, "grpc")}\n`);
  const before = entriesOf(wary);
  const seen = JSON.parse(must(tool, ["measure", port, join(wary.data, "ca.pem"), join(wary.data, "run/waryd/admin.sock"), join(scratch, "cookies"),
    idle, websockets, connections, grpc, streams, kOthers].map(String)));
  const wanted = idle + websockets + (connections + grpc) * streams;
  if (seen.not_closed !== 0) throw new Error(`${seen.not_closed} of ${wanted} sessions stayed open`);
  if (seen.grpc_trailers !== grpc * streams) throw new Error(`${seen.grpc_trailers} of ${grpc * streams} gRPC calls were told why`);
  const cuts = await cutsOf(wary, name, before, wanted);
  if (cuts.length !== wanted) throw new Error(`${cuts.length} cuts are recorded of ${wanted} sessions`);
  return { ...seen, cut: { p50_ms: cuts[Math.floor(cuts.length / 2)], p99_ms: cuts[Math.floor((cuts.length - 1) * 0.99)], max_ms: cuts[cuts.length - 1], count: cuts.length } };
}

let failed = 0;
async function main() {
  const [load] = loadavg();
  if (load > 1) console.log(`the machine is loaded (${load.toFixed(1)}): these figures are no figures of a machine of one's own`);
  const wary = new Platform(scratch, await freePort(), { words: ["--workers", "2"] });
  await wary.start();
  const up = await freePort();
  const upstream = start("upstream", tool, ["upstream", String(up)]);
  await until("the application listens", () => upstream.text.includes("ready"));
  const grpcPort = await freePort();
  const calls = start("gRPC", process.execPath, [join(root, "bench/revoke_grpc.mjs"), String(grpcPort)]);
  await until("the application of gRPC listens", () => calls.text.includes("ready"));
  const names = ["stays", ...Array.from({ length: rounds }, (_, i) => `goes${i}`)];
  const objects = [["Namespace", "bench", {}], ...names.map((name) => ["User", name, {}]), ["App", "site", { hosts: ["site.localhost"], upstream: `http://127.0.0.1:${up}`, maxConcurrent: 1000000 }],
    ["App", "grpc", { hosts: ["grpc.localhost"], upstream: `http://127.0.0.1:${grpcPort}`, protocol: "http2", maxConcurrent: 1000000 }],
    ["Policy", "site", { cedar: 'permit (principal is Wary::User, action in Wary::Action::"read", resource in Wary::App::"bench/site"); permit (principal is Wary::User, action, resource in Wary::App::"bench/grpc");' }]];
  writeFileSync(join(scratch, "bench.yaml"), objects.map(([kind, name, spec]) => JSON.stringify({ apiVersion: "wary.dev/v1", kind, metadata: { name }, spec })).join("\n---\n"));
  const applied = wary.cli("apply", "-f", join(scratch, "bench.yaml"), "-n", "bench");
  if (applied.code !== 0) throw new Error(applied.text);
  const all = [];
  for (const name of names.slice(1)) {
    all.push(await round(wary, name, wary.port));
    await sleep(1000);
  }
  console.log(`revoke: ${idle} idle, ${websockets} WebSockets, ${connections * streams} streams of HTTP/2 and ${grpc * streams} of gRPC on ${connections + grpc} connections; medians of ${rounds} rounds, ms`);
  const figures = [];
  for (const [key, words] of [["cut", "committed to last byte handed to the kernel"], ["idle", "called to end seen: idle"], ["websocket", "called to end seen: WebSocket"],
    ["http2_stream", "called to end seen: HTTP/2 stream"], ["grpc_stream", "called to end seen: gRPC stream"], ["load_before", "others' requests before"], ["load_during", "others' requests in the half second after"]]) {
    const of = (part) => median(all.map((one) => one[key][part]));
    const figure = { name: key, unit: "ms", count: all[0][key].count, p50: of("p50_ms"), p99: of("p99_ms"), max: of("max_ms") };
    figures.push(figure);
    console.log(`  ${words.padEnd(46)} p50 ${figure.p50?.toFixed(1).padStart(8)}  p99 ${figure.p99?.toFixed(1).padStart(8)}  max ${figure.max?.toFixed(1).padStart(8)}  (${figure.count})`);
  }
  await wary.stop();
  const commit = execFileSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  writeFileSync(process.argv[2], `${JSON.stringify({ commit, machine: `${type()} ${release()} ${arch()}, ${cpus().length} cores`, load_before: load, load_after: loadavg()[0], rounds, figures }, null, 2)}\n`);
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error.stack}`);
  failed = 1;
}
await cleanUp(failed);
process.exit(failed);
