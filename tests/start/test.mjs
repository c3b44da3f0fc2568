#!/usr/bin/env node
// Starting and stopping: how fast, how it refuses, and what half-written or damaged data lead to. Nothing is ever made anew in
// silence: after every start the CA and the ledger's key are those of the first one.
import { chmodSync, cpSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { run, sanitized, saw, skip, step } from "../support/checks.mjs";
import { cleanUp, freePort, isAlive, isRunning, makeScratch, sleep, until } from "../support/processes.mjs";
import { Platform, build, daemons } from "../support/platform.mjs";
import { furnish, startApplication } from "../support/world.mjs";

const limit = sanitized ? 30000 : 10000;
// Starts, and waits for the end or for readiness; a refusal is one error line with a code, and an exit code.
async function attempt(wary) {
  const child = (wary.child = wary.launch());
  await until("it is ready or has ended", () => !isRunning(child) || child.text.includes("wary is ready"), 3 * limit);
  await sleep(5); // the last bytes of its pipe
  if (isRunning(child)) return { ready: true, text: child.text };
  const lines = child.text.trim().split("\n").filter((line) => !line.startsWith("{"));
  const code = /\[([a-z0-9_]+)\]/.exec(lines[0] ?? "")?.[1] ?? "";
  return { ready: false, text: child.text, lines, code, exit: child.exitCode };
}
function sawRefusal(what, result, code, mention = "") {
  const held = !result.ready && result.exit > 0 && result.code === code && result.lines.length <= 2 && result.text.includes(mention);
  saw(what, held, result.ready ? "it started" : result.lines.join(" / "));
}
const nothingRuns = (wary) => daemons.every((name) => {
  try {
    return !isAlive(wary.pidOf(name));
  } catch {
    return true;
  }
});

async function speed(scratch) {
  step("how fast");
  if (sanitized) return skip("how fast: not with sanitizers");
  const times = [];
  for (let i = 0; i < 5; ++i) {
    const wary = new Platform(scratch, await freePort(), { data: join(scratch, `speed${i % 2}`) }); // fresh ones and old ones
    times.push((await wary.start()).millis);
    if (i === 0) {
      const group = (pid) => readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ")[2];
      saw("a terminal's Ctrl-C is wary's alone, which ends the others", daemons.every((name) => group(wary.pidOf(name)) === `${wary.pidOf(name)}`));
    }
    const stopped = await wary.stop(i % 2 ? "SIGINT" : "SIGTERM");
    if (i < 2) saw(`${i % 2 ? "SIGINT" : "SIGTERM"} stops everything in 3 s`, stopped <= 3000 && nothingRuns(wary), `${stopped} ms`);
  }
  times.sort((a, b) => a - b);
  saw("wary dev is ready in good time", times[2] <= 3000, `median ${times[2]} ms of ${times.join(", ")}`);
}

async function refusals(wary, scratch) {
  step("what it refuses");
  await wary.start();
  const said = readFileSync(join(wary.data, "log/wary-edge.log"), "utf8");
  const certified = said.indexOf('"edge.certificate"');
  saw("the edge is ready once it has a certificate", certified >= 0 && certified < said.indexOf('"process.ready"'), said);
  const modes = ["ca.pem", "ledger.vkey"].map((name) => (statSync(join(wary.data, name)).mode & 0o777).toString(8));
  saw("what is public may be read by everybody on this machine", modes.every((mode) => mode === "644"), modes.join(" "));
  const second = new Platform(scratch, await freePort(), { data: wary.data });
  sawRefusal("a second one on the same data", await attempt(second), "data_in_use", wary.data);
  const other = new Platform(scratch, wary.port, { data: join(scratch, "other") });
  const taken = await attempt(other);
  sawRefusal("a port that is taken", taken, "listen_in_use", `127.0.0.1:${wary.port}`);
  saw("and the first one still answers", wary.cli("status").code === 0 && nothingRuns(other));
  other.port = await freePort();
  saw("the refused one starts on a free port", (await attempt(other)).ready);
  await other.stop();
  await wary.stop();
  const foreign = createServer();
  await new Promise((resolve) => foreign.listen(wary.port, "127.0.0.1", resolve));
  const held = await attempt(wary);
  sawRefusal("a port that another program holds", held, "listen_in_use", `127.0.0.1:${wary.port}`);
  saw("with the option that chooses it", held.lines[1]?.endsWith("another port with --listen ADDRESS:PORT"), held.lines[1]);
  const free = await freePort();
  for (const option of ["--plain-listen", "--federation-listen"]) {
    const another = new Platform(scratch, free, { data: join(scratch, "listens"), words: [option, `127.0.0.1:${wary.port}`] });
    const refused = await attempt(another);
    sawRefusal(`one that ${option} names`, refused, "listen_in_use", `another port with ${option} ADDRESS:PORT`);
  }
  foreign.close();

  const bin = join(scratch, "bin");
  mkdirSync(bin);
  cpSync(join(build, "bin/wary"), join(bin, "wary"));
  for (const name of daemons) {
    for (const present of daemons) {
      rmSync(join(bin, present), { force: true });
      if (present !== name) symlinkSync(join(build, "bin", present), join(bin, present));
    }
    const partial = new Platform(scratch, await freePort(), { bin, data: join(scratch, "partial") });
    sawRefusal(`a missing ${name}`, await attempt(partial), "program_missing", join(bin, name));
  }
}

async function directories(scratch) {
  step("where it cannot keep its data");
  const file = join(scratch, "file");
  writeFileSync(file, "");
  const inFile = new Platform(scratch, await freePort(), { data: join(file, "data") });
  sawRefusal("a data directory below a file", await attempt(inFile), "data_directory", file);
  if (process.getuid() !== 0) return skip("data directories of other users: need root");
  const closed = join(scratch, "closed");
  mkdirSync(closed, { mode: 0o700 });
  const inClosed = new Platform(scratch, await freePort(), { data: join(closed, "data") });
  sawRefusal("as root, a parent that wary's users cannot pass", await attempt(inClosed), "data_directory", closed);
  chmodSync(closed, 0o755);
  const person = new Platform(scratch, await freePort(), { data: join(closed, "data"), as: 65534 });
  sawRefusal("as a person, a directory that is not theirs", await attempt(person), "data_directory", closed);
}

// Everything that a run leaves, file by file.
function filesBelow(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? filesBelow(path) : entry.isFile() ? [path] : [];
  });
}
const identity = (data) => ["ca.pem", "ledger.vkey"].map((name) => readFileSync(join(data, name), "utf8")).join();

const starts = (wary, name, data = wary.data) => (readFileSync(join(data, "log", `${name}.log`), "utf8").match(/"process.ready"/g) ?? []).length;

async function damage(wary, scratch) {
  step("half-written and damaged data");
  await wary.start();
  await furnish(wary, await startApplication());
  wary.cli("ledger", "checkpoint");
  const { objects } = wary.cliJson("status");
  await wary.stop("SIGKILL");
  const golden = join(scratch, "golden");
  restore(wary.data, golden);
  const before = identity(golden);
  const victims = filesBelow(golden).map((path) => path.slice(golden.length + 1))
    .filter((path) => !/^(log|run)\//.test(path) && path !== "lock" && !path.endsWith("/lock"));
  const outcomes = { recovered: 0, refused: 0 };
  const whole = ["signer", "waryd/ledger", "waryd/ledger/segments", "waryd/ledger/tree", "waryd/objects"].map((victim) => ({ victim, cut: "gone" }));
  const cases = victims.flatMap((victim) => {
    const { size } = statSync(join(golden, victim));
    const cuts = sanitized ? ["gone"] : ["gone", 0, Math.floor(size / 2)];
    return [...new Set(cuts)].filter((cut) => cut !== size).map((cut) => ({ victim, cut }));
  }).concat(whole);
  const bad = [];
  for (const { victim, cut } of cases) {
    restore(golden, wary.data);
    const path = join(wary.data, victim);
    if (cut === "gone") rmSync(path, { recursive: true });
    else truncateSync(path, cut);
    wary.port = await freePort();
    const result = await attempt(wary);
    const name = `${victim} ${cut === "gone" ? "gone" : `cut to ${cut}`}`;
    if (result.ready) {
      outcomes.recovered += 1;
      if (identity(wary.data) !== before) bad.push(`${name}: a new CA or ledger key`);
      if (wary.events(1000).length < 5) bad.push(`${name}: the ledger began anew`);
      await sleep(30);
      const lost = objects - wary.cliJson("status").objects;
      if (lost > 0) bad.push(`${name}: ${lost} objects are gone, and nobody was told`);
      if (daemons.some((daemon) => starts(wary, daemon) > starts(wary, daemon, golden) + 1)) bad.push(`${name}: a crash loop`);
      await wary.stop();
    } else {
      outcomes.refused += 1;
      if (result.code === "" || result.lines.length !== 2 || !(result.exit > 0)) bad.push(`${name}: ${result.text.trim().slice(0, 300)}`);
      if (/process_ended|process_not_ready/.test(result.code)) bad.push(`${name}: ${result.lines[0]}`);
      if (!nothingRuns(wary)) bad.push(`${name}: something still runs`);
    }
  }
  for (const line of bad) console.log(`    ${line}`);
  saw(`${cases.length} ways to lose or cut a file: each recovers or is refused with one line`, bad.length === 0, JSON.stringify(outcomes));
  restore(golden, wary.data);
  saw("and the undamaged directory starts", (await attempt(wary)).ready);
  await wary.stop();
}
// A copy with owners; quick, since what is reserved stays sparse.
function restore(from, to) {
  rmSync(to, { recursive: true, force: true });
  const done = spawnSync("cp", ["-a", "--sparse=always", from, to]);
  if (done.status !== 0) throw new Error(String(done.stderr));
}

await run(async () => {
  const scratch = makeScratch("start");
  const wary = new Platform(scratch, await freePort());
  await speed(scratch);
  await refusals(wary, scratch);
  await directories(scratch);
  await damage(wary, scratch);
}, cleanUp);
