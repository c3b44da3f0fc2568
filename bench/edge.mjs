// CPU per request of the edge, with identity, decision and event (record: with) on, beside nginx that only ends TLS and
// proxies: the same upstream, the same core, alternating rounds, medians. Called by ./dev bench edge.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir, type, arch } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { childOf, cpuOf, freePort, median, start, stopAll, until } from "./processes.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const build = process.env.WARY_BUILD;
const nginx = join(root, "build/demo/nginx/usr/sbin/nginx");
const scratch = mkdtempSync(join(tmpdir(), "wary-bench-"));
chmodSync(scratch, 0o755);
const data = join(scratch, "data");
const kRounds = Number(process.env.ROUNDS ?? 5);
const kSeconds = 3;
const kClients = 32;
const kBody = "x".repeat(128);

function cli(...words) {
  return execFileSync(join(build, "bin/wary"), ["--data", data, "--output", "json", ...words], { encoding: "utf8" });
}
function curl(...args) {
  const done = spawnSync("curl", ["-sS", "--max-time", "10", "-w", "\n%{http_code}", ...args], { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`curl ${args.join(" ")}: ${done.stderr}`);
  const at = done.stdout.lastIndexOf("\n");
  return { body: done.stdout.slice(0, at), status: Number(done.stdout.slice(at + 1)) };
}
function nginxConfig(name, server) {
  const path = join(scratch, `${name}.conf`);
  mkdirSync(join(scratch, name));
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((what) => `${what}_temp_path ${scratch}/${name}/${what};`).join(" ");
  writeFileSync(path, `${process.getuid() === 0 ? "user root;" : ""} daemon off; master_process off; worker_processes 1; pid ${scratch}/${name}.pid;
error_log ${scratch}/${name}.log; events { worker_connections 4096; }
http { access_log off; ${temp} keepalive_requests 100000000; keepalive_timeout 300s; ${server} }`);
  return path;
}
function startNginx(core, name, server) {
  return start(name, "taskset", ["-c", String(core), nginx, "-p", scratch, "-c", nginxConfig(name, server), "-e", join(scratch, `${name}.log`)]);
}

// One round of load: requests, requests/s, p50 and p99 in microseconds.
function load(port, cookie) {
  // wrk looks names up; this one is on this machine.
  const script = join(scratch, "load.lua");
  writeFileSync(script, `
local lookup, resolve = wrk.lookup, wrk.resolve
wrk.resolve = function(host, service) resolve("127.0.0.1", service) end
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.connect + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
`);
  const done = spawnSync("taskset", ["-c", "1", "wrk", "-t1", `-c${kClients}`, `-d${kSeconds}s`, "-s", script, "-H", `Cookie: ${cookie}`,
    `https://bench.localhost:${port}/page`], { encoding: "utf8" });
  const found = done.stdout.match(/RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/);
  if (!found) throw new Error(`wrk: ${done.stdout}${done.stderr}`);
  const [requests, micros, errors, p50, p99] = found.slice(1).map(Number);
  if (errors !== 0) throw new Error(`wrk saw ${errors} errors on port ${port}`);
  return { requests, rate: requests / (micros / 1e6), p50, p99 };
}

async function main() {
  const [up, proxy, edge] = [await freePort(), await freePort(), await freePort()];
  startNginx(1, "upstream", `server { listen 127.0.0.1:${up} backlog=4096; location / { default_type text/plain; return 200 "${kBody}"; } }`);
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
    "/CN=bench", "-addext", "subjectAltName=DNS:bench.localhost", "-keyout", join(scratch, "key.pem"), "-out", join(scratch, "cert.pem")], { stdio: "ignore" });
  const peer = startNginx(0, "proxy", `upstream up { server 127.0.0.1:${up}; keepalive 512; keepalive_requests 100000000; }
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    ssl_protocols TLSv1.3; ssl_session_cache off; ssl_session_tickets off; ssl_ecdh_curve X25519:prime256v1;
    server { listen 127.0.0.1:${proxy} ssl backlog=4096; ssl_certificate ${scratch}/cert.pem; ssl_certificate_key ${scratch}/key.pem;
      location / { proxy_pass http://up; } }`);
  const dev = start("wary dev", join(build, "bin/wary"), ["--data", data, "dev", "--listen", `127.0.0.1:${edge}`, "--workers", "1"]);
  await until("wary dev", () => dev.text.includes("listens"));
  const resources = join(scratch, "bench.yaml");
  writeFileSync(resources, `apiVersion: wary.dev/v1
kind: Namespace
metadata: {name: bench}
spec: {owners: [owners]}
---
apiVersion: wary.dev/v1
kind: Group
metadata: {name: sre}
spec: {}
---
apiVersion: wary.dev/v1
kind: User
metadata: {name: alice}
spec: {groups: [sre]}
---
apiVersion: wary.dev/v1
kind: App
metadata: {name: site, namespace: bench}
spec: {hosts: [bench.localhost], upstream: "http://127.0.0.1:${up}"}
---
apiVersion: wary.dev/v1
kind: Policy
metadata: {name: site, namespace: bench}
spec:
  cedar: 'permit (principal in Wary::Group::"sre", action in Wary::Action::"read", resource in Wary::App::"bench/site");'
`);
  execFileSync(join(build, "bin/wary"), ["--data", data, "apply", "-f", resources]);
  const origin = `https://console.localhost:${edge}`, ca = join(data, "ca.pem"), jar = join(scratch, "jar");
  const { code } = JSON.parse(cli("session", "create", "alice"));
  curl("--cacert", ca, "-c", jar, "-H", `Origin: ${origin}`, "-H", "Content-Type: application/json", "-d", JSON.stringify({ code }), `${origin}/api/signin`);
  const page = `https://bench.localhost:${edge}/page`;
  await until("sign-in", () => curl("--cacert", ca, "-L", "-b", jar, "-c", jar, "-H", "Accept: text/html", page).status === 200);
  const line = readFileSync(jar, "utf8").split("\n").find((text) => text.includes("bench.localhost") && text.includes("__Host-wary_session"));
  const cookie = `__Host-wary_session=${line.split("\t").at(-1)}`;

  const edgePid = childOf(dev.pid, "wary-edge");
  execFileSync("taskset", ["-a", "-cp", "0", String(edgePid)], { stdio: "ignore" });
  // Both give the same answer, before and after.
  const check = () => {
    const ours = curl("--cacert", ca, "-H", `Cookie: ${cookie}`, page);
    const theirs = curl("--cacert", join(scratch, "cert.pem"), `https://bench.localhost:${proxy}/page`);
    if (ours.status !== 200 || theirs.status !== 200 || ours.body !== kBody || theirs.body !== kBody) {
      throw new Error(`the answers differ: ${JSON.stringify(ours)} ${JSON.stringify(theirs)}`);
    }
  };
  check();
  const rounds = { edge: [], nginx: [] };
  const measure = (name, pid, port) => {
    const before = cpuOf(pid);
    const result = load(port, cookie);
    rounds[name].push({ ...result, cpu: (cpuOf(pid) - before) / result.requests / 1000 });
  };
  for (let round = 0; round < kRounds; round += 1) {
    measure("edge", edgePid, edge);
    measure("nginx", peer.pid, proxy);
  }
  check();
  if (process.env.PROFILE) {
    const perf = spawn("perf", ["record", "-q", "-g", "-F", "999", "-p", String(edgePid), "-o", process.env.PROFILE, "--", "sleep", "2"], { stdio: "ignore" });
    load(edge, cookie);
    await new Promise((resolve) => perf.on("exit", resolve));
  }
  const figure = (name, key, unit) => {
    const value = median(rounds.edge.map((round) => round[key])), theirs = median(rounds.nginx.map((round) => round[key]));
    console.log(`${name.padEnd(24)} ${value.toFixed(1).padStart(12)} ${theirs.toFixed(1).padStart(12)} ${(value / theirs).toFixed(2).padStart(8)}x  ${unit}`);
    return { name, value, unit, peer: "nginx, TLS 1.3 proxying alone", peer_value: theirs, ratio: value / theirs };
  };
  console.log(`outputs checked; ${kRounds} rounds of ${kSeconds} s, ${kClients} connections, record: with`);
  console.log(`${"".padEnd(24)} ${"edge".padStart(12)} ${"nginx".padStart(12)}    ratio`);
  const figures = [figure("cpu_per_request", "cpu", "us"), figure("requests_per_second", "rate", "1/s"), figure("latency_p50", "p50", "us"),
    figure("latency_p99", "p99", "us")];
  const commit = execFileSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  writeFileSync(process.argv[2], JSON.stringify({ commit, machine: `${type()} ${release()} ${arch()}, ${cpus().length} cores`, figures }, null, 2) + "\n");
}

let code = 0;
try {
  await main();
} catch (error) {
  console.error(`bench: ${error.stack}`);
  for (const child of started) if (child.text) console.error(child.text.slice(-2000));
  code = 1;
} finally {
  await stopAll();
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(code);
