#!/usr/bin/env node
// A wary-edge is replaced while it is used: nobody's request fails and no connection is reset; what cannot take over changes nothing.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run, sanitized, saw, skip, step } from "../support/checks.mjs";
import { Load } from "../support/load.mjs";
import { Platform } from "../support/platform.mjs";
import { cleanUp, freePort, isAlive, makeScratch, sleep, start, until } from "../support/processes.mjs";
import { verifyLog } from "../support/rfc6962.mjs";

const gateway = join(dirname(fileURLToPath(import.meta.url)), "../gateway");
const scratch = makeScratch("upgrade");
const drain = sanitized ? 20 : 8;

function hasModules() {
  if (existsSync(join(gateway, "node_modules/ws"))) return true;
  return spawnSync("npm", ["ci", "--silent", "--no-audit", "--no-fund"], { cwd: gateway, stdio: "ignore" }).status === 0;
}

// A program that asks for decisions at the unix socket, on a connection that it keeps and on new ones.
async function asksDecisions(wary, agent, counts, goes) {
  const body = JSON.stringify({ subject: { type: "user", id: "alice" }, action: { name: "GET" }, resource: { type: "app", id: "test/site" }, context: { path: "/" } });
  while (goes()) {
    const found = await new Promise((resolve) => {
      const outgoing = request({ socketPath: join(wary.data, "run/edge/pdp.sock"), method: "POST", path: "/access/v1/evaluation", agent, headers: { "Content-Type": "application/json" } }, (response) => {
        let text = "";
        response.on("data", (bytes) => (text += bytes));
        response.on("end", () => resolve(`${response.statusCode} ${text}`));
        response.on("error", (error) => resolve(error.message));
      });
      outgoing.on("error", (error) => resolve(error.code ?? error.message));
      outgoing.end(body);
    });
    if (/^200 .*"decision":true/.test(found)) counts.asked += 1;
    else counts.wrong.push(found.slice(0, 200));
    await sleep(10);
  }
}

async function upgradesInARow(wary, cookie) {
  step("five upgrades in a row, under bursts of new connections");
  const load = new Load(wary, "site", cookie, { pause: 1 });
  await load.begin({ fresh: 8, kept: 2, http2: 1, plain: 3 });
  const asked = { asked: 0, wrong: [] };
  let goes = true;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const asking = [agent, false].map((one) => asksDecisions(wary, one, asked, () => goes));
  const before = wary.child.text.split("process.retired").length;
  const pids = new Set([wary.pidOf("wary-edge")]);
  for (let i = 0; i < 5; ++i) {
    const old = wary.pidOf("wary-edge");
    await sleep(500);
    // The new one says no until it has shipped what the old one left.
    let done = await cli(wary, "edge", "upgrade", "--drain", "20");
    for (let tries = 0; done.text.includes("upgrade_in_progress") && tries < 20; ++tries) done = await cli(wary, "edge", "upgrade", "--drain", "20");
    if (done.code !== 0) saw("an upgrade", false, done.text.trim());
    pids.add(wary.pidOf("wary-edge"));
    // Nothing that lasts is open: each old one has ended long before its time is over.
    const ended = await until("the old one has ended", () => !isAlive(old) && wary.child.text.split("process.retired").length > before + i, 15000).catch(() => false);
    if (!ended) saw("the old one ends by itself", false);
  }
  goes = false;
  await Promise.all(asking);
  agent.destroy();
  await load.end();
  saw("six processes served, one after the other", pids.size === 6, [...pids].join(" "));
  saw("no request failed, no connection was reset", nothingWrong(load) && load.counts.fresh > 100 && load.counts.plain > 100, told(load));
  saw("who asks for decisions got them all the time", asked.wrong.length === 0 && asked.asked > 100, `${asked.asked} ${asked.wrong.length} wrong ${asked.wrong.slice(0, 3).join(" | ")}`);
  return load;
}

// Beside the load, which a waiting spawnSync would hold up.
async function cli(wary, ...words) {
  const child = start("wary", wary.wary, ["--data", wary.data, "--output", "json", ...words]);
  const code = await child.ended;
  await sleep(20);
  return { code, text: child.text };
}
const upgrade = (wary, ...words) => cli(wary, "edge", "upgrade", "--drain", String(drain), ...words);

async function furnish(wary, port) {
  const object = (kind, name, spec, scope = ", namespace: test") => `apiVersion: wary.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}${scope}}\nspec: ${spec}\n`;
  mkdirSync(join(scratch, "resources"), { recursive: true });
  writeFileSync(join(scratch, "resources/all.yaml"), [
    object("Namespace", "test", "{owners: [owners]}", ""),
    object("User", "alice", "{displayName: Alice}", ""),
    object("User", "bob", "{displayName: Bob}", ""),
    object("App", "site", `{hosts: [site.localhost], upstream: "http://127.0.0.1:${port}", plain: serve}`),
  ].join("---\n"));
  writeFileSync(join(scratch, "resources/all.cedar"),
    '@id("both")\npermit (principal, action, resource in Wary::Namespace::"test")\nwhen { principal == Wary::User::"alice" || principal == Wary::User::"bob" };\n');
  const applied = wary.cli("apply", "-f", join(scratch, "resources"), "-n", "test");
  if (applied.code !== 0) throw new Error(applied.text);
  const cookies = {};
  for (const name of ["alice", "bob"]) {
    wary.signIn(name);
    wary.browse(name, wary.url("site", "/"));
    cookies[name] = wary.cookieOf(name, "site");
  }
  return cookies;
}

const nothingWrong = (load) => load.wrong.length === 0;
const told = (load) => `${JSON.stringify(load.counts)} ${load.wrong.length} wrong ${load.wrong.slice(0, 5).join(" | ")}`;

async function upgradeUnderLoad(wary, load, cookies) {
  step("an upgrade under load");
  const old = wary.pidOf("wary-edge");
  const bob = await load.open(cookies.bob);
  await sleep(1000);
  saw("all WebSockets echo before", await load.echoAll());
  const before = { ...load.counts };
  const begun = Date.now();
  const done = await upgrade(wary);
  const next = wary.pidOf("wary-edge");
  saw("the new edge serves", done.code === 0 && next !== old && isAlive(next), `${Date.now() - begun} ms ${done.text.trim()}`);
  saw("and the old one is still there", isAlive(old));
  saw("all WebSockets echo", await load.echoAll());
  const again = await upgrade(wary);
  saw("a second upgrade is refused meanwhile", again.code !== 0 && again.text.includes("upgrade_in_progress"), again.text.trim());

  const revoked = await cli(wary, "revoke", "user", "bob", "--reason", "test");
  await until("bob's WebSocket is closed", () => bob.closed !== null, 3000).catch(() => {});
  saw("who is revoked is cut on the old one, too", revoked.code === 0 && bob.closed === 1008 && isAlive(old), `${bob.closed}`);
  load.sockets.splice(load.sockets.indexOf(bob), 1);
  saw("the others' go on", await load.echoAll());
  await sleep(2500); // HTTP/2's two words are a second apart
  const between = load.sockets.length;
  await until("the old one has drained", () => !isAlive(old), (drain + 8) * 1000);
  saw("at the end of the drain WebSockets close with 1012", load.sockets.length === between && load.sockets.every((one) => one.closed === 1012),
    [...new Set(load.sockets.map((one) => one.closed))].join());
  load.sockets.length = 0;
  await Promise.all(Array.from({ length: 10 }, () => load.open()));
  saw("and are open again at once", await load.echoAll());
  await until("who started it knows", () => wary.child.text.includes("process.retired"), 3000);
  saw("it is not started again", wary.pidOf("wary-edge") === next && isAlive(next) && !wary.child.text.includes("process.died"));
  const counts = load.counts;
  saw("traffic went on all the time", counts.fresh > before.fresh + 20 && counts.kept > before.kept + 20 && counts.http2 > before.http2 + 20, JSON.stringify(counts));
  saw("no request failed, no connection was reset", nothingWrong(load), told(load));
}

function program(name, text) {
  const path = join(scratch, name);
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

// What the edge says to a hello of this version.
function hello(wary, version) {
  return new Promise((resolve) => {
    const socket = connect(join(wary.data, "run/edge/upgrade.sock"));
    let text = "";
    socket.on("data", (bytes) => (text += bytes.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
    if (process.getuid() !== 0) socket.write(Buffer.from([0, 0, 0, 4, 1, 0, version, 9]));
  });
}

async function upgradesThatFail(wary, load) {
  step("what cannot take over changes nothing");
  const edge = wary.pidOf("wary-edge");
  const real = join(dirname(wary.wary), "wary-edge");
  const failing = [
    ["a program that ends", ["--binary", "/bin/false"], "process_ended"],
    ["none", ["--binary", "/nonexistent"], "program_missing"],
    ["no program", ["--binary", join(scratch, "resources/all.yaml")], "program_missing"],
    ["one that hangs", ["--binary", program("hangs", "#!/bin/sh\nexec sleep 1000\n"), "--timeout", "1"], "upgrade_not_ready"],
    ["one with another address", ["--binary", program("moves", `#!/bin/sh\nshift 6\nexec ${real} --directory ${wary.data}/edge --run ${wary.data}/run --listen 127.0.0.1:1 "$@"\n`)], "handover_address"],
    ["one that listens without TLS elsewhere", ["--binary", program("moves-plain", `#!/bin/bash\nexec ${real} "\${@/127.0.0.1:${wary.plainPort}/127.0.0.1:1}"\n`)], "handover_address"],
    ["a time that is none", ["--timeout", "0"], "upgrade_seconds"],
  ];
  for (const [what, words, code] of failing) {
    const done = await upgrade(wary, ...words);
    saw(`${what}: ${code}`, done.code !== 0 && done.text.includes(code), done.text.trim());
    saw("  and the edge goes on", isAlive(edge) && wary.pidOf("wary-edge") === edge && await load.echoAll());
  }
  mkdirSync(join(scratch, "run"));
  for (const name of ["edge", "signer"]) symlinkSync(join(wary.data, "run", name), join(scratch, "run", name));
  for (const what of ["is killed", "is late"]) {
    // It has the sockets, and waits for a control plane that it does not find.
    const offers = () => wary.log("wary-edge").split("handover.offered").length;
    const offered = offers();
    const pidFile = join(wary.data, "edge/next.pid");
    const waits = `#!/bin/sh\necho $$ > ${pidFile}\nshift 4\nexec ${real} --directory ${wary.data}/edge --run ${scratch}/run "$@"\n`;
    const done = upgrade(wary, "--binary", program("waits", waits), "--timeout", sanitized ? "15" : "4");
    await until("the sockets are offered", () => offers() > offered, 15000).catch(() => {});
    await sleep(200);
    if (what === "is killed") process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL");
    const { code, text } = await done;
    saw(`one that ${what} as it prepares`, code !== 0 && offers() > offered && text.includes(what === "is killed" ? "process_ended" : "upgrade_not_ready"), text.trim());
    saw("  and the edge goes on", isAlive(edge) && wary.pidOf("wary-edge") === edge && await load.echoAll());
  }
  const answer = await hello(wary, 2);
  const expected = process.getuid() === 0 ? "handover_peer" : "handover_version";
  saw("who is not the edge's user, or speaks another version, gets nothing", answer.includes(expected), JSON.stringify(answer));
  const slow = upgrade(wary, "--binary", join(scratch, "hangs"), "--timeout", "2");
  await sleep(300);
  const second = await upgrade(wary);
  saw("two at once: the second is refused", second.code !== 0 && second.text.includes("upgrade_in_progress"), second.text.trim());
  await slow;
  saw("no request failed, no connection was reset", nothingWrong(load), told(load));
}

async function upgradesThatAreKilled(wary, load) {
  step("processes are killed around an upgrade");
  const held = await Promise.all([1, 2, 3, 4].map(() => load.open())); // so that an old one stays
  saw("WebSockets are open", held.every((one) => one.closed === null));
  const first = wary.pidOf("wary-edge");
  const done = await upgrade(wary);
  const second = wary.pidOf("wary-edge");
  saw("upgraded", done.code === 0 && second !== first, done.text.trim());
  await sleep(200);
  process.kill(first, "SIGKILL"); // while it drains: what it had not shipped is shipped by the next
  await until("the next ships what it left", () => !existsSync(join(wary.data, "edge/events.0.ring")) || !existsSync(join(wary.data, "edge/events.b.0.ring")), 5000);
  saw("what the old one left is taken", isAlive(second));
  const third = await upgrade(wary);
  saw("and another upgrade follows", third.code === 0, third.text.trim());
  const edge = wary.pidOf("wary-edge");
  process.kill(edge, "SIGKILL");
  await until("it is started again", () => wary.pidOf("wary-edge") !== edge && isAlive(wary.pidOf("wary-edge")), 10000);
  await until("and serves", async () => (await wary.get("site", "/again", load.cookie)).status === 200, 5000);
  saw("a new edge that dies is started again beside the old one", true);

  // The old one dies as soon as the new one has the sockets: that one goes on alone, and what waits is accepted.
  await until("no old one is left", () => !isAlive(second), (drain + 8) * 1000);
  const last = wary.pidOf("wary-edge");
  const offers = () => wary.log("wary-edge").split("handover.offered").length;
  const offered = offers();
  const orphaned = upgrade(wary);
  while (offers() === offered) await sleep(2);
  process.kill(last, "SIGKILL");
  const answers = await Promise.all(Array.from({ length: 20 }, () => load.ask("/orphaned", false)));
  const { code, text } = await orphaned;
  saw("an old edge that dies on the way leaves its sockets to the new one", code === 0 && wary.pidOf("wary-edge") !== last, text.trim());
  saw("and who came meanwhile is served", answers.every((answer) => answer.status === 200), answers.map((answer) => answer.error ?? answer.status).join(" "));
  saw("without the old program's being started again", wary.child.text.split("process.replaced").at(-1).split("process.restarted").length === 1);
}

async function check(wary, load, again) {
  step("what is recorded");
  await sleep(1500);
  const vkey = readFileSync(join(wary.data, "ledger.vkey"), "utf8");
  const millis = await wary.stop();
  saw("wary stops", true, `${millis} ms`);
  const out = join(scratch, "export");
  const exported = wary.cli("ledger", "export", "--directory", join(wary.data, "waryd/ledger"), "--out", out);
  saw("the ledger is exported", exported.code === 0, exported.err.trim());
  const { entries } = verifyLog(out, vkey, []);
  const recorded = new Set();
  for (const entry of entries) for (const [id] of entry.toString("latin1").matchAll(/[a-z2-7]{8,16}-\d+/g)) recorded.add(id);
  const texts = entries.map((entry) => entry.toString("latin1"));
  const twice = again.filter((path) => texts.filter((text) => text.includes(`${path}"`)).length !== 1);
  saw("what an HTTP/2 client did not send for a GOAWAY, and asked again, was decided once", twice.length === 0, `${again.length} asked again, ${twice.length} not once`);
  const missing = [...load.decisions].filter((id) => !recorded.has(id));
  saw("every answered decision is in the ledger", load.decisions.size > 200 && missing.length === 0, `${load.decisions.size} answers, ${missing.length} missing`);
}

await run(async () => {
  if (!hasModules()) return skip("npm's packages cannot be fetched");
  const application = start("application", process.execPath, [join(gateway, "application.mjs")]);
  const site = Number(await until("the application listens", () => application.text.trim()));
  const wary = new Platform(scratch, await freePort(), { plain: await freePort() });
  await wary.start();
  const cookies = await furnish(wary, site);
  const load = new Load(wary, "site", cookies.alice);
  await load.begin({ fresh: 2, kept: 4, http2: 2, plain: 1, sockets: 20 });
  await upgradeUnderLoad(wary, load, cookies);
  await upgradesThatFail(wary, load);
  const calm = load.counts;
  for (const one of load.sockets.splice(0)) one.socket.terminate();
  const row = await upgradesInARow(wary, cookies.alice);
  for (const id of row.decisions) load.decisions.add(id);
  row.again.push(...load.again);
  await upgradesThatAreKilled(wary, load);
  saw("requests were many", calm.fresh + calm.kept + calm.http2 > 500, JSON.stringify(calm));
  await load.end();
  await check(wary, load, row.again);
}, cleanUp);
