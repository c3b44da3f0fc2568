#!/usr/bin/env node
// Routes change ten times a second through the API while 1,000 WebSockets are open and requests never stop: none is dropped, and
// each change has its effect. 60 changes; with WARY_LONG=1 the whole 600 in 60 s.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { Agent } from "node:https";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run, sanitized, saw, skip, step } from "../support/checks.mjs";
import { Load } from "../support/load.mjs";
import { Platform } from "../support/platform.mjs";
import { cleanUp, freePort, makeScratch, sleep, start, until } from "../support/processes.mjs";

const gateway = join(dirname(fileURLToPath(import.meta.url)), "../gateway");
const changes = process.env.WARY_LONG ? 600 : 60;
const every = sanitized ? 300 : 100; // ms
const sockets = sanitized ? 200 : 1000;

function hasModules() {
  if (existsSync(join(gateway, "node_modules/ws"))) return true;
  return spawnSync("npm", ["ci", "--silent", "--no-audit", "--no-fund"], { cwd: gateway, stdio: "ignore" }).status === 0;
}

// One call of the admin API: the answer's status and body.
function call(wary, method, path, body) {
  return new Promise((resolve) => {
    const outgoing = request({ socketPath: join(wary.data, "run/waryd/admin.sock"), method, path, timeout: 10000, agent: false,
      headers: { "Content-Type": "application/json" } }, (response) => {
      let text = "";
      response.on("data", (bytes) => (text += bytes));
      response.on("end", () => resolve({ status: response.statusCode, text }));
    });
    outgoing.on("error", (error) => resolve({ status: 0, text: error.message }));
    outgoing.end(JSON.stringify(body));
  });
}

const gates = new Agent({ keepAlive: true, maxSockets: 2 });
const object = (kind, name, spec, scope = ", namespace: test") => `apiVersion: wary.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}${scope}}\nspec: ${spec}\n`;
const route = (name, path) => ({ apiVersion: "wary.dev/v1", kind: "Route", metadata: { name, namespace: "test" }, spec: { app: "site", path } });

async function furnish(wary, scratch, port) {
  mkdirSync(join(scratch, "resources"), { recursive: true });
  writeFileSync(join(scratch, "resources/all.yaml"), [
    object("Namespace", "test", "{owners: [owners]}", ""),
    object("User", "alice", "{displayName: Alice}", ""),
    object("App", "site", `{hosts: [site.localhost], upstream: "http://127.0.0.1:${port}", maxConcurrent: 1000000}`),
    object("Route", "closed", "{app: site, path: /gate/0/*}"),
  ].join("---\n"));
  writeFileSync(join(scratch, "resources/all.cedar"), ['@id("alice")\npermit (principal == Wary::User::"alice", action, resource in Wary::Namespace::"test");\n',
    '@id("closed")\nforbid (principal, action, resource == Wary::Route::"test/closed");\n'].join("\n"));
  const applied = wary.cli("apply", "-f", join(scratch, "resources"), "-n", "test");
  if (applied.code !== 0) throw new Error(applied.text);
  wary.signIn("alice");
  wary.browse("alice", wary.url("site", "/"));
  return wary.cookieOf("alice", "site");
}

// Which gate is closed moves with every change; others come with it, so that the table of routes grows.
async function change(wary, load, n, seen) {
  const objects = [route("closed", `/gate/${n}/*`)];
  if (n % 10 === 0) objects.push(route(`more-${n}`, `/more/${n}/*`));
  const answer = await call(wary, "POST", "/v1/apply", { objects });
  if (answer.status !== 200) seen.refused.push(`${n}: ${answer.status} ${answer.text.slice(0, 200)}`);
  const applied = process.hrtime.bigint();
  // What the API answered is true at the edge soon: the gate that was closed is open, and this one is not.
  for (;;) {
    const [now, before] = await Promise.all([load.ask(`/gate/${n}/x`, gates), load.ask(`/gate/${n - 1}/x`, gates)]);
    if (now.status === 403 && before.status === 200) break;
    if (![200, 403].includes(now.status) || ![200, 403].includes(before.status)) seen.strange.push(`${n}: ${now.status} ${before.status}`);
    if (process.hrtime.bigint() - applied > 3_000_000_000n) {
      seen.late.push(n);
      break;
    }
  }
}

await run(async () => {
  if (!hasModules()) return skip("npm's packages cannot be fetched");
  const scratch = makeScratch("changes");
  const application = start("application", process.execPath, [join(gateway, "application.mjs")]);
  const site = Number(await until("the application listens", () => application.text.trim()));
  const wary = new Platform(scratch, await freePort());
  await wary.start();
  const cookie = await furnish(wary, scratch, site);
  const load = new Load(wary, "site", cookie);
  step(`${sockets} WebSockets and steady load`);
  for (let opened = 0; opened < sockets; opened += 50) await load.begin({ sockets: 50 });
  saw("all WebSockets are open", load.sockets.every((one) => one.closed === null && !one.error), load.sockets.find((one) => one.error)?.error ?? "");
  saw("and echo", await load.echoAll(20000));
  await load.begin({ fresh: 1, kept: 3, http2: 1 });
  await sleep(300);

  step(`${changes} changes of routes`);
  const seen = { refused: [], strange: [], late: [] };
  let goes = true;
  let rounds = 0;
  const echoing = (async () => {
    while (goes) {
      if (await load.echoAll(20000)) rounds += 1;
      await sleep(100);
    }
  })();
  const before = { ...load.counts };
  const begun = Date.now();
  for (let n = 1; n <= changes; ++n) {
    await change(wary, load, n, seen);
    const rest = begun + n * every - Date.now();
    if (rest > 0) await sleep(rest);
  }
  const seconds = (Date.now() - begun) / 1000;
  goes = false;
  await echoing;
  const counts = load.counts;
  // How fast a busy machine is, is not what the short run shows.
  const pace = `${changes} in ${seconds.toFixed(1)} s`;
  if (process.env.WARY_LONG) saw("the changes were as fast as they were meant to be", seconds < changes * every / 1000 + 0.5, pace);
  else console.log(`  ${pace}`);
  saw("each was taken", seen.refused.length === 0, seen.refused.slice(0, 3).join(" | "));
  saw("each had its effect, and no gate was anything but open or closed", seen.late.length === 0 && seen.strange.length === 0, `late ${seen.late.join(" ")} strange ${seen.strange.slice(0, 3).join(" | ")}`);
  saw("all WebSockets echoed meanwhile, several times", rounds >= 2, `${rounds} rounds`);
  saw("and after", await load.echoAll(20000));
  const dropped = load.sockets.filter((one) => one.closed !== null).length;
  saw("0 WebSockets were dropped", dropped === 0 && load.sockets.length === sockets, `${dropped} of ${load.sockets.length}`);
  saw("0 requests failed", load.wrong.length === 0, `${load.wrong.length} of ${counts.fresh + counts.kept + counts.http2 - before.fresh - before.kept - before.http2} ${load.wrong.slice(0, 3).join(" | ")}`);
  saw("and there were many", counts.fresh + counts.kept + counts.http2 > changes, JSON.stringify(counts));
  await load.end();
  gates.destroy();
  await wary.stop();
}, cleanUp);
