// What ./dev bench edge measures beside each other: the edge, nginx and HAProxy in front of one application, each on the same core with
// the same kind of certificate, and who asks them.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Platform, build, root } from "../tests/support/platform.mjs";
import { Tokens, haproxyChecks } from "./edge_tokens.mjs";
import { freePort, start, until } from "./processes.mjs";

export const kHost = "bench.localhost";
export const bodies = { "/page": "x".repeat(128), "/k1": "x".repeat(1024), "/m1": "x".repeat(1 << 20) };
const demo = (name, path) => join(root, "build/demo", name, path);
const kMany = 20000; // descriptors

// A program on one core, with room for many connections.
const pinned = (core, program, ...words) => ["taskset", ["-c", String(core), "prlimit", `--nofile=${kMany}`, program, ...words]];

export class World {
  constructor(scratch) {
    this.scratch = scratch;
    this.certificate = join(scratch, "cert.pem");
    this.tokens = new Tokens();
  }
  path(name) {
    return join(this.scratch, name);
  }
  async start() {
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
      "/CN=bench", "-addext", `subjectAltName=DNS:${kHost}`, "-keyout", this.path("key.pem"), "-out", this.certificate], { stdio: "ignore" });
    writeFileSync(this.path("pair.pem"), readFileSync(this.certificate, "utf8") + readFileSync(this.path("key.pem"), "utf8"));
    mkdirSync(this.path("files"));
    for (const [path, body] of Object.entries(bodies)) writeFileSync(join(this.path("files"), path), body);
    this.up = await freePort();
    this.startNginx("upstream", 1, `server { listen 127.0.0.1:${this.up} backlog=4096; default_type text/plain; root ${this.path("files")};
      location = /page { return 200 "${bodies["/page"]}"; } location = /k1 { return 200 "${bodies["/k1"]}"; } location = /allow { return 204; } }`);
    await this.startWary();
    await this.startPeers();
  }

  async startWary() {
    const plain = await freePort();
    this.platform = new Platform(this.scratch, await freePort(), { words: ["--workers", process.env.WORKERS ?? "1"], plain });
    await this.platform.start();
    const objects = [["Namespace", "bench", { owners: ["owners"] }], ["Group", "sre", {}], ["User", "alice", { groups: ["sre"] }],
      ["Workload", "reader", { selectors: [["unix:uid:61236"]] }], ["App", "site", { hosts: [kHost], upstream: `http://127.0.0.1:${this.up}`, plain: "serve" }],
      ["Issuer", "idp", this.tokens.issuer()],
      ["Policy", "site", { cedar: `permit (principal in Wary::Group::"sre", action in Wary::Action::"read", resource in Wary::App::"bench/site");
permit (principal == Wary::Workload::"spiffe://local/bench/reader", action in Wary::Action::"read", resource in Wary::App::"bench/site");` }]];
    writeFileSync(this.path("bench.yaml"), objects.map(([kind, name, spec]) => `apiVersion: wary.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${JSON.stringify(spec)}\n`).join("---\n"));
    this.must(this.platform.cli("apply", "-f", this.path("bench.yaml"), "-n", "bench"));
    this.must(this.platform.cli("workload", "issue", "reader", "-n", "bench", "--out", this.path("svid")));
    this.svid = [join(this.path("svid"), "svid.pem"), join(this.path("svid"), "svid.key")];
    if (this.platform.signIn("alice").answer.status !== 200) throw new Error("alice was not signed in");
    if (this.platform.browse("alice", this.platform.url("bench", "/page")).body !== bodies["/page"]) throw new Error("alice was not let in");
    const pid = this.platform.pidOf("wary-edge");
    execFileSync("taskset", ["-a", "-cp", "0", String(pid)], { stdio: "ignore" });
    const { port } = this.platform;
    this.edge = { name: "wary", pid, ca: join(this.platform.data, "ca.pem"), cookie: this.platform.cookieOf("alice", "bench"),
      ports: { tls: port, authorised: port, mtls: port, resume: port, jwt: port, plain, plain2: plain } };
  }
  must(done) {
    if (done.code !== 0) throw new Error(done.text);
  }

  startNginx(name, core, servers) {
    mkdirSync(this.path(name));
    const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((what) => `${what}_temp_path ${this.path(name)}/${what};`).join(" ");
    const file = this.path(`${name}.conf`);
    writeFileSync(file, `${process.getuid() === 0 ? "user root;" : ""} daemon off; master_process off; worker_processes 1; pid ${this.path(name)}.pid;
error_log ${this.path(name)}.log; events { worker_connections 19500; }
http { access_log off; ${temp} keepalive_requests 100000000; keepalive_timeout 300s; ${servers} }`);
    return start(name, ...pinned(core, demo("nginx", "usr/sbin/nginx"), "-p", this.scratch, "-c", file, "-e", this.path(`${name}.log`)));
  }
  async startPeers() {
    const kinds = ["tls", "authorised", "mtls", "resume", "jwt", "plain", "plain2"];
    const port = async () => {
      const out = {};
      for (const kind of kinds) out[kind] = await freePort();
      return out;
    };
    const ports = await port(), theirs = await port();
    const listen = (one, more) => `server { listen 127.0.0.1:${one} ssl http2 backlog=4096; ssl_certificate ${this.certificate}; ssl_certificate_key ${this.path("key.pem")}; ${more} }`;
    const bundle = join(this.path("svid"), "bundle.pem"), pass = "location / { proxy_pass http://up; }";
    const nginx = this.startNginx("nginx", 0, `upstream up { server 127.0.0.1:${this.up}; keepalive 512; keepalive_requests 100000000; }
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; ssl_protocols TLSv1.2 TLSv1.3;
      ssl_session_cache off; ssl_ecdh_curve X25519:prime256v1;
      server { listen 127.0.0.1:${ports.plain} backlog=4096; ${pass} } server { listen 127.0.0.1:${ports.plain2} http2 backlog=4096; ${pass} }
      ${listen(ports.tls, `ssl_session_tickets off; ${pass}`)} ${listen(ports.resume, pass)}
      ${listen(ports.mtls, `ssl_session_tickets off; ssl_client_certificate ${bundle}; ssl_verify_client on; ssl_verify_depth 3; ${pass}`)}
      ${listen(ports.authorised, `ssl_session_tickets off; location / { auth_request /_allowed; proxy_pass http://up; } location = /_allowed { internal; proxy_pass http://up/allow;
        proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_set_header X-Original-URI $request_uri; proxy_set_header Connection ""; }`)}`);
    this.nginx = { name: "nginx", pid: nginx.pid, ca: this.certificate, ports };
    const bindPlain = (name, words) => `frontend ${name}\n  bind 127.0.0.1:${theirs[name]} ${words}\n  default_backend up\n`;
    const bind = (name, words, rules = "") => `frontend ${name}\n  bind 127.0.0.1:${theirs[name]} ssl crt ${this.path("pair.pem")} alpn h2,http/1.1 ${words}\n${rules}  default_backend up\n`;
    writeFileSync(this.path("tokens.pem"), this.tokens.pem());
    writeFileSync(this.path("haproxy.cfg"), `global
  nbthread 1\n  no strict-limits\n  maxconn 19000\n  ssl-default-bind-options ssl-min-ver TLSv1.2\n  ssl-default-bind-curves X25519:P-256\n  tune.ssl.cachesize 0
defaults\n  mode http\n  timeout connect 5s\n  timeout client 300s\n  timeout server 300s\n  http-reuse always\n  option forwardfor
${bindPlain("plain", "")}${bindPlain("plain2", "proto h2")}${bind("tls", "no-tls-tickets")}${bind("resume", "")}${bind("mtls", `no-tls-tickets ca-file ${bundle} verify required`)}${bind("jwt", "no-tls-tickets", haproxyChecks(this.path("tokens.pem")))}backend up\n  server s1 127.0.0.1:${this.up} pool-max-conn 512\n`);
    const libraries = ["liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"].map((name) => demo(name, "usr/lib/x86_64-linux-gnu")).join(":");
    const [program, words] = pinned(0, demo("haproxy", "usr/sbin/haproxy"), "-db", "-f", this.path("haproxy.cfg"));
    const haproxy = start("haproxy", program, words, { env: { ...process.env, LD_LIBRARY_PATH: libraries } });
    this.haproxy = { name: "haproxy", pid: haproxy.pid, ca: this.certificate, ports: theirs };
    await until("both listen", () => [this.nginx, this.haproxy].every((one) => this.curl(one, "tls", "/page").status === 200));
  }

  url(system, kind, path) {
    return `${kind.startsWith("plain") ? "http" : "https"}://${kHost}:${system.ports[kind]}${path}`;
  }
  // One request: status and body. Of the edge with alice's cookie, or with the workload's certificate.
  curl(system, kind, path, ...extra) {
    this.token ??= this.tokens.make();
    const who = kind === "jwt" ? ["-H", `Authorization: Bearer ${system.token ?? this.token}`] : kind === "mtls" ? ["--cert", this.svid[0], "--key", this.svid[1]] : system.cookie ? ["-H", `Cookie: ${system.cookie}`] : [];
    const done = spawnSync("curl", ["-sS", "--max-time", "10", "--cacert", system.ca, ...who, ...extra, "-w", "\n%{http_code}", this.url(system, kind, path)],
      { encoding: "utf8", maxBuffer: 1 << 26 });
    if (done.status !== 0) return { status: 0, body: done.stderr };
    const at = done.stdout.lastIndexOf("\n");
    return { status: Number(done.stdout.slice(at + 1)), body: done.stdout.slice(0, at) };
  }
  // Every system gives the same answer.
  check(systems, kind, path, ...extra) {
    for (const system of systems) {
      const answer = this.curl(system, kind, path, ...extra);
      if (answer.status !== 200 || answer.body !== bodies[path]) throw new Error(`${system.name}, ${kind}, ${path}: ${answer.status} ${answer.body.slice(0, 200)}`);
    }
  }
  // A certificate is asked for, or nobody comes in.
  checkRefusals() {
    for (const system of [this.edge, this.haproxy]) {
      const seen = this.curl({ ...system, token: new Tokens().make() }, "jwt", "/page").status; // of another key
      if (seen !== 401) throw new Error(`${system.name} answers ${seen} to a token that is none`);
    }
    for (const [system, wanted] of [[this.nginx, 400], [this.haproxy, 0], [this.edge, 401]]) {
      const seen = this.curl({ ...system, cookie: undefined, ports: { tls: system.ports.mtls } }, "tls", "/page").status;
      if (seen !== wanted) throw new Error(`${system.name} answers ${seen} to nobody`);
    }
  }
}

function run(program, words, environment = {}) {
  const done = spawnSync("taskset", ["-c", "1", program, ...words], { encoding: "utf8", timeout: 60000, maxBuffer: 1 << 26, env: { ...process.env, ...environment } });
  if (done.status !== 0) throw new Error(`${program} ${words.join(" ")}: ${done.stdout.slice(-500)}${done.stderr.slice(-1000)}`);
  return done.stdout;
}

// One round of load: how many requests, how many a second, microseconds of p50 and p99.
export function wrk(world, system, kind, path, seconds, clients) {
  const script = world.path("load.lua");
  // wrk looks names up; this one is on this machine.
  if (!existsSync(script)) {
    writeFileSync(script, `
local lookup, resolve = wrk.lookup, wrk.resolve
wrk.resolve = function(host, service) resolve("127.0.0.1", service) end
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.connect + summary.errors.timeout))
end
`);
  }
  const cookie = kind === "jwt" ? ["-H", `Authorization: Bearer ${world.token}`] : system.cookie ? ["-H", `Cookie: ${system.cookie}`] : [];
  return figuresOf(run("wrk", ["-t1", `-c${clients}`, `-d${seconds}s`, "-s", script, ...cookie, world.url(system, kind, path)]), system);
}
// Each request with a token that nobody has seen: where they end, the round has failed.
export function wrkNewTokens(world, system, path, seconds, clients, count) {
  const file = world.path("tokens.txt"), script = world.path("tokens.lua");
  world.tokens.write(file, count);
  writeFileSync(script, `
local lookup, resolve = wrk.lookup, wrk.resolve
wrk.resolve = function(host, service) resolve("127.0.0.1", service) end
local next_token
init = function() next_token = io.lines("${file}") end
request = function()
  local token = next_token()
  if token == nil then os.exit(3) end
  return wrk.format("GET", nil, {["Host"] = wrk.headers["Host"], ["Authorization"] = "Bearer " .. token})
end
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.connect + summary.errors.timeout))
end
`);
  return figuresOf(run("wrk", ["-t1", `-c${clients}`, `-d${seconds}s`, "-s", script, `https://${kHost}:${system.ports.jwt}${path}`]), system);
}
export function figuresOf(text, system) {
  const found = text.match(/RESULT (\d+) (\d+) (\d+) (\d+)(?: (\d+))?/);
  if (!found || Number(found[1]) === 0 || Number(found[5] ?? 0) !== 0) throw new Error(`${system.name}: ${text}`);
  const [requests, micros, p50, p99] = found.slice(1).map(Number);
  return { requests, rate: requests / (micros / 1e6), p50, p99 };
}
export function h2load(system, kind, path, seconds) {
  const port = system.ports[kind], scheme = kind === "tls" ? "https" : "http", cookie = system.cookie ? ["-H", `cookie: ${system.cookie}`] : [];
  const text = run("h2load", ["-t1", "-c16", "-m10", `-D${seconds}`, ...cookie, "-H", `:authority: ${kHost}:${port}`, `${scheme}://127.0.0.1:${port}${path}`]);
  const [, requests, failed, errored] = text.match(/requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored/)?.map(Number) ?? [];
  if (!(requests > 0) || failed !== 0 || errored !== 0 || !text.includes("Application protocol: h2")) throw new Error(`${system.name}: ${text}`);
  return { requests, rate: Number(text.match(/finished in [\d.]+s, ([\d.]+) req\/s/)[1]) };
}
export function tlsLoad(world, system, mode, kind, path, count, seconds, header = "") {
  const own = kind === "mtls" ? world.svid : [];
  const port = system.ports[kind];
  return figuresOf(run(join(build, "bench/tls_load"), [mode, port, kHost, path, count, seconds, ...own].map(String), { BENCH_HEADER: header }), system);
}
