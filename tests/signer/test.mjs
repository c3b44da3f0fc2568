#!/usr/bin/env node
// A signer that hangs while the site changes: nobody who is served notices, the edge goes on with all else it does, and what is new
// is served once the signer answers again.
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run, saw, step } from "../support/checks.mjs";
import { Platform } from "../support/platform.mjs";
import { cleanUp, freePort, isAlive, makeScratch, sleep, start, until } from "../support/processes.mjs";
import { furnish, startApplication } from "../support/world.mjs";

const scratch = makeScratch("signer"), here = dirname(fileURLToPath(import.meta.url));
const stopped = new Set();
const hold = (pid) => { stopped.add(pid); process.kill(pid, "SIGSTOP"); };
const letGo = (pid) => { if (stopped.delete(pid)) process.kill(pid, "SIGCONT"); };
const object = (kind, name, spec) => `apiVersion: wary.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}, namespace: test}\nspec: ${spec}\n`;

function apply(wary, ...objects) {
  const path = join(scratch, "more.yaml");
  writeFileSync(path, objects.join("---\n"));
  const applied = wary.cli("apply", "-f", path, "-n", "test");
  if (applied.code !== 0) throw new Error(applied.text);
}

// How long the loop that hears of changes took to answer, in milliseconds.
function turn(socketPath) {
  const begin = Date.now();
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: "/metrics", agent: false, timeout: 20000 }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(Date.now() - begin));
    });
    asked.on("error", () => resolve(Infinity));
    asked.on("timeout", () => asked.destroy());
    asked.end();
  });
}

await run(async () => {
  step("an application over TLS, verified by the roots that the signer tells");
  const wary = new Platform(scratch, await freePort());
  await wary.start();
  const port = await startApplication(), cookie = await furnish(wary, port);
  apply(wary, object("Workload", "demanding", "{description: An application over TLS}"));
  const files = join(scratch, "demanding");
  const issued = wary.cli("workload", "issue", "demanding", "-n", "test", "--out", files);
  if (issued.code !== 0) throw new Error(issued.text);
  const demanding = start("demanding", process.execPath, [join(here, "../gateway/demanding_application.mjs"), files]);
  const tls = Number(await until("the demanding application listens", () => demanding.text.trim()));
  const over = (name) => object("App", name, `{hosts: [${name}.localhost], upstream: "https://127.0.0.1:${tls}", upstreamIdentity: {spiffeId: "spiffe://local/test/demanding"}}`);
  apply(wary, over("demanding"));
  writeFileSync(join(scratch, "all.cedar"), '@id("alice-all")\npermit (principal == Wary::User::"alice", action in Wary::Action::"read", resource in Wary::Namespace::"test");\n');
  const permitted = wary.cli("apply", "-f", join(scratch, "all.cedar"), "-n", "test");
  if (permitted.code !== 0) throw new Error(permitted.text);
  const ask = (name) => {
    wary.browse("alice", wary.url(name, "/"));
    return wary.curl(wary.url(name, "/"), "-b", wary.cookieOf("alice", name));
  };
  await until("it is served", () => ask("demanding").status === 200, 10000);
  const known = wary.cookieOf("alice", "demanding");

  step("the signer hangs when the edge hears of two more applications");
  // The change is signed and under way before, and heard after. What the signer is asked is given up after ten seconds.
  const edge = wary.pidOf("wary-edge"), signer = wary.pidOf("wary-signer");
  hold(edge);
  apply(wary, over("later"), object("App", "plainer", `{hosts: [plainer.localhost], upstream: "http://127.0.0.1:${port}"}`));
  hold(signer);
  letGo(edge);
  const begin = Date.now(), turns = [], failed = [];
  let asked = 0, longest = 0;
  while (Date.now() - begin < 12000) {
    turns.push(await turn(join(wary.data, "edge/admin.sock")));
    const at = Date.now();
    for (const [name, has] of [["site", cookie], ["demanding", known]]) {
      const answer = wary.curl(wary.url(name, "/"), "-H", `Cookie: ${has}`);
      asked += 1;
      if (answer.status !== 200) failed.push(`${name}: ${answer.status} ${answer.error ?? answer.body}`);
    }
    longest = Math.max(longest, Date.now() - at);
    await sleep(50);
  }
  saw("who is served already is answered all the time, over TLS to the application as well", failed.length === 0 && asked > 40, `${asked} asked, ${failed.length} failed ${failed[0] ?? ""}`);
  saw("in less than a second each", longest < 1500, `${longest} ms for the slowest two`);
  saw("the edge's loop did what else it has to do meanwhile", Math.max(...turns) < 1000, `${Math.max(...turns)} ms at most, of ${turns.length}`);
  saw("the new names wait for their certificate", wary.curl(wary.url("later", "/")).status === 0 && wary.curl(wary.url("plainer", "/")).status === 0);
  const log = wary.log("wary-edge").split("\n").filter((line) => line.includes("edge.signer_failed"));
  saw("the log says so, once", log.length === 1 && log[0].includes('"names_that_wait":2'), log.join(" | "));

  step("the signer goes on");
  letGo(signer);
  await until("the new names are served", () => ask("later").status === 200 && ask("plainer").status === 200, 20000).catch(() => {});
  const later = ask("later"), plainer = ask("plainer");
  saw("the new names are served", later.status === 200 && plainer.status === 200, `${later.status} ${later.error ?? ""} ${plainer.status} ${plainer.error ?? ""}`);
  saw("and the others as before", ask("demanding").status === 200 && ask("site").status === 200);

  step("an edge that waits for its signer is told to end");
  hold(edge);
  apply(wary, object("App", "latest", `{hosts: [latest.localhost], upstream: "http://127.0.0.1:${port}"}`));
  hold(signer);
  letGo(edge);
  await sleep(1000);
  const told = Date.now();
  process.kill(edge, "SIGTERM");
  await until("the edge has ended", () => !isAlive(edge), 20000).catch(() => {});
  saw("it ends at once", Date.now() - told < 4000, `${Date.now() - told} ms`);
}, async (failures) => {
  for (const pid of [...stopped]) letGo(pid);
  await cleanUp(failures);
});
