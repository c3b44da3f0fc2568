#!/usr/bin/env node
// Processes are killed at random moments in the middle of traffic and changes (WARY_KILLS times, default 60). Then, with separate
// small verifiers: every answer that a client got whole is in the ledger, and all checkpoints taken on the way are of one log.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { run, sanitized, saw, skip, step } from "../support/checks.mjs";
import { cleanUp, freePort, isAlive, makeScratch, sleep, until } from "../support/processes.mjs";
import { Platform, daemons, root } from "../support/platform.mjs";
import { openCheckpoint, parseVkey, verifyLog } from "../support/rfc6962.mjs";
import { furnish, startApplication } from "../support/world.mjs";

const kills = Number(process.env.WARY_KILLS ?? (sanitized ? 12 : 60));
if (kills > 100) process.env.WARY_TEST_SECONDS = String(kills * 3);
const perLife = 9; // kills before the supervisor itself is killed, so that its delays between starts stay short
const decisions = new Set(); // of answers that came whole
const revisions = new Map(); // of changes that were answered: revision to action
const notes = []; // checkpoints, as they came
const last = {}; // what each path gave when it was asked last
const answersAtLeast = 50; // or the ledger was hardly put to the test
const counts = { answers: 0, unanswered: 0, changes: 0, refused: 0 };
let goes = true;

// One call of the admin API; nothing when no whole answer came.
function call(wary, method, path, body) {
  return new Promise((resolve) => {
    const outgoing = request({ socketPath: join(wary.data, "run/waryd/admin.sock"), method, path, timeout: 5000, agent: false,
      headers: body ? { "Content-Type": "application/json" } : {} }, (response) => {
      let text = "";
      response.on("data", (bytes) => (text += bytes));
      response.on("end", () => resolve(response.complete && response.statusCode === 200 ? JSON.parse(text) : null));
      response.on("error", () => resolve(null));
    });
    outgoing.on("error", () => resolve(null));
    outgoing.on("timeout", () => outgoing.destroy());
    outgoing.end(body ? JSON.stringify(body) : undefined);
  });
}

async function traffic(wary, cookie, path) {
  while (goes) {
    const answer = await wary.get("site", path, path === "/denied" ? "" : cookie);
    last[path] = { status: answer.status, error: answer.error, body: answer.body?.slice(0, 200) };
    if (answer?.decision) {
      decisions.add(answer.decision);
      counts.answers += 1;
    } else {
      counts.unanswered += 1;
      await sleep(10);
    }
  }
}
async function changes(wary) {
  const policy = (n) => ({ apiVersion: "wary.dev/v1", kind: "Policy", metadata: { name: "changing", namespace: "test" },
    spec: { cedar: `permit (principal == Wary::User::"nobody${n}", action, resource in Wary::App::"test/site");` } });
  for (let n = 0; goes; ++n) {
    const kinds = [
      ["POST", "/v1/apply", { objects: [policy(n)] }],
      ["POST", "/v1/sessions", { user: "bob" }],
      ["POST", "/v1/revoke", { kind: "user", name: "bob", reason: "kill" }],
      ["POST", "/v1/restore", { kind: "user", name: "bob", reason: "kill" }],
    ];
    const [method, path, body] = kinds[n % kinds.length];
    const answer = await call(wary, method, path, body);
    if (answer) {
      counts.changes += 1;
      if (answer.revision) revisions.set(Number(answer.revision), path);
    } else {
      counts.refused += 1;
      await sleep(20);
    }
  }
}
async function checkpoints(wary) {
  while (goes) {
    const answer = await call(wary, "GET", "/v1/ledger/checkpoint");
    if (answer && notes.at(-1) !== answer.checkpoint) notes.push(answer.checkpoint);
    await sleep(150);
  }
}

// The process with that name, if it is a child of this wary now; never another one that took over its number.
function living(wary, name) {
  try {
    const pid = wary.pidOf(name);
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const parent = Number(/^PPid:\s+(\d+)/m.exec(status)[1]);
    return parent === wary.child.pid && isAlive(pid) ? pid : null;
  } catch {
    return null;
  }
}
async function killAll(wary) {
  const done = { "wary-signer": 0, waryd: 0, "wary-edge": 0, "wary dev": 0 };
  for (let killed = 0; killed < kills; ) {
    await sleep(Math.random() * 250);
    if (killed % (perLife + 1) === perLife) {
      const pids = wary.pids();
      wary.child.kill("SIGKILL");
      await wary.child.ended;
      await until("every child goes with it", () => pids.every((pid) => !isAlive(pid)), 5000);
      await wary.start();
      done["wary dev"] += 1;
      killed += 1;
      continue;
    }
    const name = daemons[Math.floor(Math.random() * daemons.length)];
    const pid = living(wary, name);
    if (pid === null) continue;
    process.kill(pid, "SIGKILL");
    done[name] += 1;
    killed += 1;
  }
  return done;
}

async function check(wary) {
  step("what is left");
  await until("all is back", () => daemons.every((name) => living(wary, name) !== null), 15000);
  const enough = Math.max(decisions.size + 5, answersAtLeast);
  try {
    await until("traffic goes on", () => decisions.size > enough, 15000);
  } catch (error) {
    const logs = daemons.map((name) => `${name}\n${wary.log(name).trim().split("\n").slice(-15).join("\n")}`);
    throw new Error(`${error.message}: last ${JSON.stringify(last)}\n${logs.join("\n")}`);
  }
  goes = false;
  await sleep(300);
  // The rings are shipped at once; a second is more than enough.
  await sleep(1000);
  const vkey = readFileSync(join(wary.data, "ledger.vkey"), "utf8");
  await wary.stop();
  const ledger = join(wary.data, "waryd/ledger");
  const whole = wary.cli("ledger", "check", "--directory", ledger);
  saw("the stopped ledger is whole", whole.code === 0, whole.text.trim());
  const out = join(wary.scratch, "export");
  const exported = wary.cli("ledger", "export", "--directory", ledger, "--out", out);
  saw("it is exported", exported.code === 0, exported.err.trim());
  const { entries, size } = verifyLog(out, vkey, notes);
  saw("every checkpoint taken on the way is of a prefix of this one log", notes.length > 1, `${notes.length} checkpoints, ${size} entries`);

  const recorded = new Set();
  const recordedRevisions = new Set();
  let twice = 0;
  for (const entry of entries) {
    const text = entry.toString("latin1");
    for (const [id] of text.matchAll(/[a-z2-7]{8,16}-\d+/g)) recorded.add(id);
    if (!/"decision":"/.test(text)) for (const [, revision] of text.matchAll(/"revision":(\d+)/g)) recordedRevisions.add(Number(revision));
  }
  const seen = new Set(entries.map((entry) => entry.toString("latin1")));
  twice = entries.length - seen.size;
  const missing = [...decisions].filter((id) => !recorded.has(id));
  saw("every decision that a client was told of is in the ledger", decisions.size > answersAtLeast && missing.length === 0,
    `${decisions.size} answers, ${missing.length} missing ${missing.slice(0, 3).join(" ")}`);
  const lost = [...revisions.keys()].filter((revision) => !recordedRevisions.has(revision));
  saw("every change that was answered is in the ledger", revisions.size > 3 && lost.length === 0,
    `${revisions.size} changes, ${lost.length} missing ${lost.slice(0, 5).map((revision) => `${revision} ${revisions.get(revision)}`).join(" ")}`);
  saw("no event is there twice", twice === 0, `${twice}`);

  if (spawnSync("go", ["version"]).status !== 0) return skip("the Go verifier: no Go");
  mkdirSync(join(out, "heads"));
  const parsed = parseVkey(vkey);
  notes.forEach((note, i) => writeFileSync(join(out, "heads", `${String(i).padStart(6, "0")}-${openCheckpoint(note, parsed).size}`), note));
  const go = spawnSync(join(root, "tests/interop/tlog/run.sh"), [out, vkey.trim()], { encoding: "utf8" });
  if (go.status === 77) return skip("the Go verifier was not built");
  saw("the Go project's own packages agree", go.status === 0, (go.stdout + go.stderr).trim());
}

await run(async () => {
  const scratch = makeScratch("kill");
  const wary = new Platform(scratch, await freePort());
  const application = await startApplication();
  await wary.start();
  const cookie = await furnish(wary, application);
  step(`${kills} times SIGKILL`);
  const workers = ["/", "/a", "/kept/b", "/denied"].map((path) => traffic(wary, cookie, path));
  workers.push(changes(wary), checkpoints(wary));
  const done = await killAll(wary);
  saw("nobody was sent an update that it had to refuse", daemons.every((name) => !wary.log(name).includes('"link.update_refused"')));
  saw("killed and back", true, JSON.stringify({ ...done, ...counts }));
  await check(wary);
}, cleanUp);
