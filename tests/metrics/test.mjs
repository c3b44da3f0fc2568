#!/usr/bin/env node
// What a person's monitoring reads: liveness and health, and counters in Prometheus' text format, from both processes.
import { join } from "node:path";
import { run, saw, step } from "../support/checks.mjs";
import { cleanUp, freePort, makeScratch, sleep, until } from "../support/processes.mjs";
import { Platform } from "../support/platform.mjs";
import { furnish, startApplication } from "../support/world.mjs";

// Name to value; a line that is not of the format is an error.
function parse(text) {
  const values = {};
  const typed = new Set();
  for (const line of text.trim().split("\n")) {
    const type = /^# TYPE ([a-z][a-z0-9_]*) (counter|gauge|histogram)$/.exec(line);
    if (type) typed.add(type[1]);
    if (line.startsWith("#")) continue;
    const value = /^(([a-z][a-z0-9_]*)(?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)+\})?) (-?\d+(?:\.\d+)?(?:e-?\d+)?)$/.exec(line);
    const known = value && (typed.has(value[2]) || typed.has(value[2].replace(/_(bucket|sum|count)$/, "")));
    if (!known) throw new Error(`not Prometheus' text: ${line}`);
    values[value[1]] = Number(value[3]);
  }
  return values;
}

await run(async () => {
  const wary = new Platform(makeScratch("metrics"), await freePort());
  await wary.start();
  const edge = () => parse(wary.socket("../../edge/admin.sock", "/metrics").body);
  const control = () => parse(wary.socket("admin.sock", "/metrics").body);
  const cookie = await furnish(wary, await startApplication());

  step("liveness and health");
  saw("waryd: /livez", wary.socket("admin.sock", "/livez").body === "ok\n");
  saw("wary-edge: /livez on its own socket", wary.socket("../../edge/admin.sock", "/livez").body === "ok\n");
  const health = JSON.parse(wary.socket("admin.sock", "/v1/health").body);
  saw("health names the ledger, the revision and the enforcement points", health.status === "ok" && health.ledger === "available" && health.enforcement_points === 1);
  const before = edge();
  const recorded = wary.events(1000).length;
  const live = [wary.curl(wary.url("site", "/.wary/live")), wary.curl(wary.url("nothing-of-ours", "/.wary/live"), "-k")];
  saw("https://ANY-HOST/.wary/live is 200", live.every((answer) => answer.status === 200 && answer.body === "ok\n" && !/wary-decision/i.test(answer.head)),
    live.map((answer) => answer.status || answer.error).join(" "));
  saw("another method there is a request like any other", (await wary.get("site", "/.wary/live", "", { method: "POST" }))?.status === 401);

  step("counters");
  for (let i = 0; i < 5; ++i) await wary.get("site", "/", cookie);
  for (let i = 0; i < 3; ++i) await wary.get("site", "/", "");
  const after = edge();
  saw("liveness was not decided; five were allowed, three and the other method denied",
    after.wary_enforce_allowed_total - before.wary_enforce_allowed_total === 5 && after.wary_enforce_denied_total - before.wary_enforce_denied_total === 4,
    JSON.stringify(after));
  saw("the edge knows its link and the ledger", after.wary_link_connected === 1 && after.wary_enforce_ledger_available === 1 && after.wary_enforce_ring_full_total === 0);
  await until("the ledger has them", () => wary.events(1000).length >= recorded + 9, 5000);
  const of = control();
  saw("waryd counts events, changes, ledger entries and unavailable time", of.wary_control_events_total > 0 && of.wary_control_changes_total > 3 &&
    of.wary_ledger_entries >= recorded + 9 && of.wary_ledger_available === 1 && of.wary_ledger_unavailable_milliseconds_total === 0 && of.wary_link_subscribers === 3,
    JSON.stringify(of));
  await until("earlier connections have gone", () => edge().wary_gateway_connections === 0, 10000);
  const leave = new AbortController();
  const held = wary.get("site", "/stream", cookie, { signal: leave.signal });
  await until("an open connection is counted", () => edge().wary_gateway_connections === 1, 5000);
  saw("an open connection is counted", true);
  leave.abort();
  await held;

  step("who may read them");
  const behind = ["/metrics", "/livez", "/api/metrics", "/api/livez"].map((path) => wary.curl(wary.origin + path));
  saw("nobody through the edge", behind.every((answer) => !answer.body.includes("# TYPE") && answer.body !== "ok\n"), behind.map((answer) => answer.status).join(" "));
  await wary.stop();
}, cleanUp);
