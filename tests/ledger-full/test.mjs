#!/usr/bin/env node
// The ledger's disk is full, or its files are taken away while it runs: access is refused at once, liveness stays up, it says
// which file and what to do, and goes on by itself with every acknowledged event in place.
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, truncateSync, writeSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { run, sanitized, saw, skip, step } from "../support/checks.mjs";
import { cleanUp, freePort, makeScratch, sleep, until } from "../support/processes.mjs";
import { Platform } from "../support/platform.mjs";
import { furnish, startApplication } from "../support/world.mjs";

const acknowledged = new Set();
let decisions = 0;
async function ask(wary, cookie, path = "/") {
  const answer = await wary.get("site", path, cookie);
  if (answer?.decision) acknowledged.add(answer.decision);
  if (answer?.status === 200) decisions += 1;
  return answer;
}
// Asks until the answer is as wanted; how long that took.
async function untilStatus(wary, cookie, wanted, ms) {
  const begin = Date.now();
  let last = null;
  while (Date.now() - begin < ms) {
    last = await ask(wary, cookie, "/");
    if (last?.status === wanted) return { millis: Date.now() - begin, answer: last };
    await sleep(10);
  }
  return { millis: Date.now() - begin, answer: last, late: true };
}
async function sawRefused(wary, cookie, what) {
  const refused = await untilStatus(wary, cookie, 503, 5000);
  saw(`${what}: access is refused within 1 s`, !refused.late && refused.millis <= (sanitized ? 4000 : 1000) && refused.answer.body.includes("ledger_unavailable"),
    `503 after ${refused.millis} ms`);
  saw("liveness stays up", wary.socket("admin.sock", "/livez").status === 200 && (await wary.get("site", "/.wary/live"))?.status === 200);
  await until("the control plane knows", () => wary.cliJson("status").ledger === "ledger_unavailable", 3000);
  const health = wary.cliJson("status");
  saw("health says what and what to do", health.status === "degraded" && health.ledger_error.next !== "" && health.ledger_error.where !== "", JSON.stringify(health.ledger_error));
  for (const words of [["apply", "-f", join(wary.scratch, "resources"), "-n", "test"], ["revoke", "user", "bob", "--reason", "full"]]) {
    const change = wary.cli(...words);
    saw(`${words[0]} is refused`, change.code !== 0 && change.err.includes("ledger_unavailable"), change.err.trim().split("\n")[0]);
  }
  return health;
}
async function sawRecovery(wary, cookie, gaps) {
  const back = await untilStatus(wary, cookie, 200, 10000);
  saw("it goes on by itself", !back.late, `after ${back.millis} ms`);
  const recorded = () => wary.events(10000).filter((event) => event.action === "ledger.gap").length >= gaps;
  saw("the gap is recorded", await until("the gap is recorded", recorded, 5000).catch(() => false));
}

// What is left on the file system of that directory goes into one file.
function fill(directory) {
  const file = openSync(join(directory, "filler"), "w");
  for (let size = 1 << 20; size >= 1; size = size > 4096 ? size >> 4 : Math.floor(size / 8)) {
    try {
      for (;;) writeSync(file, Buffer.alloc(size, 1));
    } catch (error) {
      if (error.code !== "ENOSPC") throw error;
    }
  }
  closeSync(file);
}

async function full(scratch, application, megabytes) {
  step(`a file system of ${megabytes} MiB is filled to its last byte`);
  const data = join(scratch, `data${megabytes}`);
  const ledger = join(data, "waryd/ledger");
  mkdirSync(ledger, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=0755`, "tmpfs", ledger]);
  const wary = new Platform(scratch, await freePort(), { data });
  await wary.start();
  const cookie = await furnish(wary, application);
  for (let i = 0; i < 20; ++i) await ask(wary, cookie, "/kept/x");
  const before = wary.pids();
  fill(ledger);
  const free = execFileSync("df", ["--output=avail", "-B1", ledger], { encoding: "utf8" }).split("\n")[1].trim();
  saw("0 bytes are left", free === "0", free);
  const health = await sawRefused(wary, cookie, "full");
  saw("the error names the file system's directory", health.ledger_error.where.startsWith(ledger));
  await sleep(500);
  rmSync(join(ledger, "filler"));
  await sawRecovery(wary, cookie, 1);
  saw("nothing was restarted", before.join() === wary.pids().join());
  const missing = () => {
    const recorded = new Set(wary.events(10000).map((event) => event.decision));
    return [...acknowledged].filter((id) => !recorded.has(id));
  };
  await until("the rings are shipped", () => missing().length === 0, 5000).catch(() => null);
  const lost = missing();
  saw("every acknowledged event is there", acknowledged.size >= 20 && lost.length === 0, `${acknowledged.size} acknowledged, ${lost.length} missing`);
  saw("the ledger is whole", wary.cli("ledger", "check").code === 0);
  const metrics = wary.socket("admin.sock", "/metrics").body;
  saw("the time without a ledger is counted", Number(/^wary_ledger_unavailable_milliseconds_total (\d+)$/m.exec(metrics)?.[1]) > 100);
  await wary.stop();
  execFileSync("umount", [ledger]);
  acknowledged.clear();
}

async function taken(scratch, application) {
  step("a file of the running ledger is taken away, or cut");
  const wary = new Platform(scratch, await freePort(), { data: join(scratch, "taken") });
  await wary.start();
  const cookie = await furnish(wary, application);
  const segments = join(wary.data, "waryd/ledger/segments");
  const segment = join(segments, readdirSync(segments)[0]);
  const said = () => wary.log("waryd").split("\n").some((line) => line.includes('"ledger.unavailable"') && line.includes(segment));

  renameSync(segment, `${segment}.away`);
  let health = await sawRefused(wary, cookie, "a deleted segment");
  saw("the log and the error name the file", said() && health.ledger_error.where === segment);
  renameSync(`${segment}.away`, segment);
  await sawRecovery(wary, cookie, 1);

  copyFileSync(segment, `${segment}.copy`);
  truncateSync(segment, 100);
  health = await sawRefused(wary, cookie, "a truncated segment");
  saw("the error names the file", health.ledger_error.where === segment);
  rmSync(`${segment}.copy`);
  await wary.stop();
}

await run(async () => {
  // A mount namespace of its own: what is mounted here is seen by what is started here alone.
  if (!process.env.WARY_PRIVATE_MOUNTS) {
    const possible = process.getuid() === 0 && spawnSync("unshare", ["-m", "true"]).status === 0;
    if (!possible) return skip("a size-limited file system needs root and unshare");
    const inner = spawnSync("unshare", ["-m", "--propagation", "private", process.execPath, process.argv[1]],
      { env: { ...process.env, WARY_PRIVATE_MOUNTS: "1" }, stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
    process.stdout.write(inner.stdout);
    process.exit(inner.status ?? 1);
  }
  const scratch = makeScratch("ledger-full");
  const application = await startApplication();
  await full(scratch, application, 96); // room for the whole reserve
  if (!sanitized) await full(scratch, application, 12); // and not
  await taken(scratch, application);
}, async (failed) => {
  await cleanUp(failed);
});
