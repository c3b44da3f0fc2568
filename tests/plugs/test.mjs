#!/usr/bin/env node
// Other programs enforce what wary decides: AuthZEN by curl, and the real nginx, HAProxy and Caddy of Debian in front of an
// application, each with the configuration of docs/plugs.md. The programs are unpacked under build/demo, not installed.
import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { run, saw, skip, step } from "../support/checks.mjs";
import { Platform, root } from "../support/platform.mjs";
import { cleanUp, freePort, isRunning, makeScratch, start, until } from "../support/processes.mjs";
import { furnish, startApplication } from "../support/world.mjs";

const isRoot = process.getuid() === 0;
const pep = 61234; // nobody's number: the user that the proxies run as
const stranger = 61235;
const patience = 60000; // how long a program may take to come up on a busy machine; nothing is timed

const as = (uid, command, words) => (isRoot ? ["setpriv", [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", command, ...words]] : [command, words]);

// The programs, or nothing where they cannot be fetched.
function program(package_, path, libraries = []) {
  const fetched = spawnSync(join(root, "tools/fetch"), [package_, ...libraries], { encoding: "utf8" });
  if (fetched.status !== 0) return null;
  const found = libraries.map((name) => join(root, "build/demo", name, "usr/lib/x86_64-linux-gnu"));
  return { path: join(root, "build/demo", package_, path), env: { ...process.env, LD_LIBRARY_PATH: found.join(":") } };
}

// What docs/plugs.md tells a person to write, with this test's places in it.
function documented(name, places) {
  const page = readFileSync(join(root, "docs/plugs.md"), "utf8");
  const found = new RegExp(`<!-- ${name} -->\\n\`\`\`[a-z]*\\n([\\s\\S]*?)\`\`\``).exec(page);
  if (!found) throw new Error(`docs/plugs.md has no block ${name}`);
  let text = found[1];
  for (const [from, to] of places) {
    if (!text.includes(from)) throw new Error(`docs/plugs.md, ${name}: no ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

function ask(port, path, { method = "GET", headers = {} } = {}) {
  return new Promise((resolve) => {
    const outgoing = request({ host: "127.0.0.1", port, path, method, agent: false, timeout: patience,
      headers: { Host: `site.localhost:${port}`, ...headers } }, (response) => {
      let body = "";
      response.on("data", (bytes) => (body += bytes));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
      response.on("error", () => resolve({ status: 0 }));
    });
    outgoing.on("error", () => resolve({ status: 0 }));
    outgoing.on("timeout", () => outgoing.destroy());
    outgoing.end();
  });
}

// The same questions to every proxy.
async function judge(name, port, cookie, received) {
  const before = received.length;
  const allowed = await ask(port, "/a?b=c", { headers: { Cookie: cookie, "Wary-Principal": "forged" } });
  saw(`${name}: alice may read, and the application learns who she is from wary alone`,
    allowed.status === 200 && received.length === before + 1 && received[before].headers["wary-principal"] === 'Wary::User::"alice"',
    `${allowed.status} ${received[before]?.headers["wary-principal"]}`);
  const nobody = await ask(port, "/a");
  saw(`${name}: who is not signed in gets 401`, nobody.status === 401, String(nobody.status));
  const stale = await ask(port, "/a", { headers: { Cookie: "__Host-wary_session=made-up" } });
  saw(`${name}: a made-up session gets 401`, stale.status === 401, String(stale.status));
  const written = await ask(port, "/a", { method: "POST", headers: { Cookie: cookie } });
  saw(`${name}: alice may not write`, written.status === 403, String(written.status));
  const odd = await ask(port, "/x/../a", { headers: { Cookie: cookie } });
  saw(`${name}: a path that could be read two ways is refused, or made normal by the proxy`, odd.status === 403 || (odd.status === 200 && received[received.length - 1].url === "/a"),
    `${odd.status} ${received[received.length - 1]?.url}`);
  const spare = odd.status === 200 ? 1 : 0;
  saw(`${name}: only what was allowed reached the application`, received.length === before + 1 + spare, String(received.length - before));
  for (const [what, cookies] of [["before", `x=a,b; ${cookie}`], ["behind", `${cookie}; x=a,b`]]) {
    const comma = await ask(port, "/a", { headers: { Cookie: cookies } });
    saw(`${name}: a cookie with a comma ${what} hides nobody`, comma.status === 200, String(comma.status));
  }
  const told = { "X-Forwarded-Method": "GET", "X-Original-Method": "GET", "X-Forwarded-Uri": "/a", "X-Original-URI": "/a", "X-Forwarded-Host": "site.localhost", "X-HTTP-Method-Override": "GET" };
  const elsewhere = await ask(port, "/a", { method: "POST", headers: { Cookie: cookie, ...told } });
  saw(`${name}: what the client says that it asked for is not believed`, elsewhere.status === 403, String(elsewhere.status));
  const so_far = received.length;
  const hosts = await ask(port, "/a", { headers: { Cookie: cookie, Host: "other.example,site.localhost" } });
  saw(`${name}: a request with two names in one host does not reach the application`, received.length === so_far, String(hosts.status));
  const spelt = await ask(port, "/a", { headers: { Cookie: cookie, Wary_Principal: "forged", "wary-Principal": "forged", WARY_SESSION: "forged" } });
  saw(`${name}: identity in another spelling of the names does not reach the application`,
    spelt.status === 200 && !JSON.stringify(received.at(-1).headers).includes("forged"), JSON.stringify(Object.entries(received.at(-1).headers).filter(([key]) => /^wary/i.test(key))));
}

await run(async () => {
  const wary = new Platform(makeScratch("plugs"), await freePort(), { words: isRoot ? ["--pep-uids", String(pep)] : [] });
  await wary.start(patience);
  const cookie = await furnish(wary, await startApplication());
  const socket = join(wary.data, "run/edge/pdp.sock");
  saw("wary dev says where it decides", wary.child.text.includes(socket));

  const received = [];
  const application = createServer((incoming, response) => {
    received.push({ method: incoming.method, url: incoming.url, headers: incoming.headers });
    response.end("the application\n");
  });
  const back = await new Promise((resolve) => application.listen(0, "127.0.0.1", () => resolve(application.address().port)));

  step("AuthZEN by curl");
  const post = (uid, path, body, ...extra) => {
    const [command, words] = as(uid, "curl", ["-sS", "-i", "--max-time", "60", "--unix-socket", socket, "-H", "Content-Type: application/json", ...extra,
      ...(body === null ? [] : ["-d", JSON.stringify(body)]), `http://localhost${path}`]);
    const done = spawnSync(command, words, { encoding: "utf8" });
    const at = done.stdout.indexOf("\r\n\r\n");
    return { status: Number(done.stdout.split(" ")[1] ?? 0), head: done.stdout.slice(0, at), body: done.stdout.slice(at + 4) };
  };
  const site = { type: "app", id: "test/site" };
  const question = (user, name) => ({ subject: { type: "user", id: user }, action: { name }, resource: site });
  const yes = post(pep, "/access/v1/evaluation", question("alice", "GET"), "-H", "X-Request-ID: one");
  const decided = JSON.parse(yes.body);
  saw("alice may read", yes.status === 200 && decided.decision === true && /x-request-id: one/i.test(yes.head), yes.body);
  saw("bob may not", JSON.parse(post(pep, "/access/v1/evaluation", question("bob", "GET")).body).decision === false);
  const batch = JSON.parse(post(pep, "/access/v1/evaluations", { ...question("alice", "GET"), evaluations: [{}, { action: { name: "POST" } }] }).body);
  saw("a batch", JSON.stringify(batch.evaluations.map((one) => one.decision)) === "[true,false]");
  const who = JSON.parse(post(pep, "/access/v1/search/subject", { subject: { type: "user" }, action: { name: "GET" }, resource: site }).body);
  saw("who may read: alice alone", JSON.stringify(who.results) === '[{"type":"user","id":"alice"}]', JSON.stringify(who));
  const about = JSON.parse(post(pep, "/.well-known/authzen-configuration", null).body);
  saw("metadata names the paths", about.access_evaluation_endpoint?.endsWith("/access/v1/evaluation"));
  if (isRoot) {
    const refused = post(stranger, "/access/v1/evaluation", question("alice", "GET"));
    saw("a user who was not named gets 401", refused.status === 401 && !refused.body.includes("decision\""), `${refused.status} ${refused.body}`);
  } else skip("plugs: another user's program is refused: needs root to be one");
  const review = post(pep, "/kubernetes/authorize", { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview",
    spec: { user: "alice", resourceAttributes: { verb: "get", resource: "pods" } } });
  saw("a SubjectAccessReview is answered", review.status === 200 && JSON.parse(review.body).status.allowed === false, review.body);

  step("over TLS, for a workload with an SVID");
  const resources = join(wary.scratch, "pdp");
  mkdirSync(resources);
  writeFileSync(join(resources, "pdp.yaml"), documented("tls", [["/var/lib/wary/run/edge/pdp.sock", socket], ["namespace: default", "namespace: test"]]) +
    "---\napiVersion: wary.dev/v1\nkind: Workload\nmetadata: {name: other, namespace: test}\nspec: {}\n");
  const asker = 'Wary::Workload::"spiffe://local/default/asker"';
  const cedar = documented("tls-cedar", [[asker, asker.replace("default", "test")], ['Wary::App::"default/pdp"', 'Wary::App::"test/pdp"']]);
  writeFileSync(join(resources, "pdp.cedar"), `${cedar}\n@id("other") permit (principal == ${asker.replace("default/asker", "test/other")}, action == Wary::Action::"POST", resource in Wary::App::"test/pdp");\n`);
  const applied = wary.cli("apply", "-f", resources, "-n", "test");
  saw("the documented resources are applied", applied.code === 0, applied.code === 0 ? "" : applied.text);
  const tls = (name, body, ...extra) => {
    const svid = join(wary.scratch, name);
    const issued = wary.cli("workload", "issue", name, "-n", "test", "--out", svid);
    if (issued.code !== 0) return { status: 0, body: issued.text };
    return wary.curl(wary.url("pdp", "/access/v1/evaluation"), "--cert", join(svid, "svid.pem"), "--key", join(svid, "svid.key"),
      "-H", "Content-Type: application/json", "-d", JSON.stringify(body), ...extra);
  };
  let overTls;
  await until("the new host is served", () => (overTls = tls("asker", question("alice", "GET"), "-H", 'Wary-Principal: Wary::User::"owner"')).status === 200, patience)
    .catch(() => {});
  saw("a workload that may asks", overTls.status === 200 && JSON.parse(overTls.body).decision === true, `${overTls.status} ${overTls.error ?? overTls.body}`);
  const other = tls("other", question("alice", "GET"));
  saw("one without pdp.evaluate gets 403, though the gateway lets it through", other.status === 403 && other.body.includes("pdp_not_permitted"), `${other.status} ${other.body}`);
  const forger = tls("other", question("alice", "GET"), "-H", `Wary-Principal: ${asker.replace("default", "test")}`);
  saw("and forges nobody", forger.status === 403, String(forger.status));
  const forward = wary.curl(wary.url("pdp", "/forward-auth"), "-X", "POST", "--cert", join(wary.scratch, "asker", "svid.pem"), "--key", join(wary.scratch, "asker", "svid.key"),
    "-H", "X-Forwarded-Method: GET", "-H", "X-Forwarded-Uri: /a", "-H", `X-Forwarded-Host: site.localhost:${wary.port}`, "-H", `Cookie: ${cookie}`);
  saw("forward authentication is not answered through the gateway, and says where it is", forward.status === 404 && forward.body.includes("pdp_forward") && forward.body.includes("socket"),
    `${forward.status} ${forward.body}`);
  const withoutCertificate = wary.curl(wary.url("pdp", "/access/v1/evaluation"), "-H", "Content-Type: application/json", "-d", "{}");
  saw("nobody without a certificate", withoutCertificate.status === 401, String(withoutCertificate.status));

  step("the record");
  const tlsDecision = JSON.parse(overTls.body).context.decision_id;
  await until("it is in the ledger", () => wary.events(400).some((one) => one.decision === tlsDecision), patience);
  saw("the workload is named as the one who enforces", wary.events(400).find((one) => one.decision === tlsDecision).pep === asker.replace("default", "test"));
  await until("the decision is in the ledger", () => wary.events(200).some((event) => JSON.stringify(event).includes(decided.context.decision_id)), patience);
  const event = wary.events(200).find((one) => JSON.stringify(one).includes(decided.context.decision_id));
  saw("the decision is an event with class and enforcement point named",
    event.class === 3003 && event.pep === `unix uid ${isRoot ? pep : process.getuid()}`, JSON.stringify(event));
  const explained = wary.cli("explain", decided.context.decision_id);
  saw("wary explain says why, with the policy", explained.code === 0 && explained.out.includes("site.cedar"), explained.text.split("\n")[0]);
  saw("the search is one too", wary.events(200).some((one) => one.class === 3003 && one.summary === "search subject: 1 told"));

  const directory = join(wary.scratch, "proxies");
  mkdirSync(directory);
  if (isRoot) chownSync(directory, pep, pep);
  const proxies = [];
  const launch = async (name, found, words, port) => {
    const [command, all] = as(pep, found.path, words);
    const child = start(name, command, all, { env: { ...found.env, HOME: directory, XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory }, cwd: directory });
    await until(`${name} listens`, async () => {
      if (!isRunning(child)) throw new Error(`${name} ended: ${child.text}`);
      return (await ask(port, "/", { headers: { Cookie: cookie } })).status === 200;
    }, patience).catch((error) => { throw new Error(`${error.message}\n${child.text}`); });
    proxies.push([name, port]);
    return child;
  };
  const spop = join(wary.data, "run/edge/spop.sock");

  step("nginx auth_request");
  const nginx = program("nginx", "usr/sbin/nginx");
  if (nginx) {
    const port = await freePort();
    const file = join(directory, "nginx.conf");
    const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/${name};`).join(" ");
    writeFileSync(file, `daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log stderr;\nevents {}\nhttp { access_log off; ${temp}\n${
      documented("nginx", [["/var/lib/wary/run/edge/pdp.sock", socket], ["listen 443 ssl;", `listen 127.0.0.1:${port};`], ["127.0.0.1:8080", `127.0.0.1:${back}`]])}}\n`);
    await launch("nginx", nginx, ["-e", "stderr", "-p", directory, "-c", file], port);
    await judge("nginx", port, cookie, received);
  } else skip("plugs: nginx cannot be fetched");

  step("Caddy forward_auth");
  const caddy = program("caddy", "usr/bin/caddy");
  if (caddy) {
    const port = await freePort();
    const file = join(directory, "Caddyfile");
    writeFileSync(file, `{\n  admin off\n  auto_https off\n  default_bind 127.0.0.1\n}\n${
      documented("caddy", [["/var/lib/wary/run/edge/pdp.sock", socket], ["site.example {", `http://site.localhost:${port} {`], ["127.0.0.1:8080", `127.0.0.1:${back}`]])}`);
    await launch("caddy", caddy, ["run", "--config", file, "--adapter", "caddyfile"], port);
    await judge("caddy", port, cookie, received);
  } else skip("plugs: caddy cannot be fetched");

  step("HAProxy SPOE");
  const haproxy = program("haproxy", "usr/sbin/haproxy", ["liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"]);
  if (haproxy) {
    const port = await freePort();
    const file = join(directory, "haproxy.cfg"), engine = join(directory, "wary.spoe");
    writeFileSync(engine, documented("haproxy-spoe", []));
    writeFileSync(file, documented("haproxy", [["/var/lib/wary/run/edge/spop.sock", spop], ["/etc/haproxy/wary.spoe", engine],
      ["bind :443 ssl crt /etc/haproxy/site.pem", `bind 127.0.0.1:${port}`], ["127.0.0.1:8080", `127.0.0.1:${back}`]]));
    await launch("haproxy", haproxy, ["-db", "-f", file], port);
    await judge("haproxy", port, cookie, received);
    await Promise.all(Array.from({ length: 40 }, () => ask(port, "/many", { headers: { Cookie: cookie } })));
    saw("haproxy: forty at once are allowed", received.filter((one) => one.url === "/many").length === 40);
  } else skip("plugs: haproxy cannot be fetched");

  step("Envoy's gRPC check, by two gRPC implementations");
  const grpc = join(wary.data, "run/edge/grpc.sock");
  if (spawnSync("/usr/bin/python3", ["-c", "import grpc, google.protobuf"]).status === 0) {
    const [command, words] = as(pep, "/usr/bin/python3", [join(root, "tests/plugs/envoy.py"), grpc, cookie, "site.localhost"]);
    const asked = start("envoy.py", command, words);
    await asked.ended;
    const lines = asked.text.trim().split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    saw("every question was answered", lines.length > 0 && asked.exitCode === 0, asked.exitCode === 0 ? "" : asked.text.slice(-2000));
    for (const line of lines) saw(`envoy: ${line.what}`, line.held, line.found);
  } else skip("plugs: python3-grpcio and python3-protobuf are not installed");
  const installed = spawnSync("npm", ["ci", "--silent", "--no-audit", "--no-fund"], { cwd: join(root, "tests/plugs") });
  if (installed.status === 0) {
    const [command, words] = as(pep, process.execPath, [join(root, "tests/plugs/envoy-js.mjs"), grpc, cookie, "site.localhost"]);
    const asked = start("envoy-js.mjs", command, words);
    await asked.ended;
    const lines = asked.text.trim().split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    saw("every question of grpc-js was answered", lines.length > 0 && asked.exitCode === 0, asked.exitCode === 0 ? "" : asked.text.slice(-2000));
    for (const line of lines) saw(`grpc-js: ${line.what}`, line.held, line.found);
  } else skip("plugs: grpc-js cannot be installed below tests/plugs");

  step("a killed edge");
  process.kill(wary.pidOf("wary-edge"), "SIGKILL");
  let again = { status: 0 };
  await until("it answers again", () => (again = post(pep, "/access/v1/evaluation", question("alice", "GET"))).status === 200 && JSON.parse(again.body).decision, patience)
    .catch(() => {});
  saw("wary-edge comes back and decides at the same place", again.status === 200 && JSON.parse(again.body).decision === true, `${again.status} ${again.body}`);
  for (const [name, port] of proxies) {
    let status = 0;
    await until(`${name} goes on`, async () => (status = (await ask(port, "/again", { headers: { Cookie: cookie } })).status) === 200, patience).catch(() => {});
    saw(`${name}: goes on by itself`, status === 200, String(status));
  }

  step("access ends where it was given");
  saw("alice is revoked", wary.cli("revoke", "user", "alice", "--reason", "left").code === 0);
  for (const [name, port] of proxies) {
    let status = 0;
    await until(`${name} refuses`, async () => (status = (await ask(port, "/a", { headers: { Cookie: cookie } })).status) === 403, patience);
    saw(`${name}: 403 once alice is revoked`, status === 403);
  }

  step("without wary nothing is open");
  await wary.stop();
  const reached = received.length;
  for (const [name, port] of proxies) {
    const { status } = await ask(port, "/a", { headers: { Cookie: cookie } });
    saw(`${name}: refuses when nobody decides`, status >= 400 && received.length === reached, String(status));
  }
  application.close();
}, cleanUp);
