#!/usr/bin/env node
// The machine's clock goes back, under real processes: Debian's libfaketime is what they read it through. Nothing that ended
// begins again, time in the ledger does not go back, and access goes on being decided and recorded.
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, sanitized, saw, skip, step } from "../support/checks.mjs";
import { cleanUp, freePort, makeScratch, sleep, until } from "../support/processes.mjs";
import { Platform, build, daemons } from "../support/platform.mjs";
import { furnish, startApplication } from "../support/world.mjs";

const library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const hour = 3600;

// Our programs beside each other, each begun with the library; its clock's offset stands in a file that it may read.
function wrap(scratch, data) {
  const bin = join(scratch, "bin");
  mkdirSync(bin);
  copyFileSync(join(build, "bin/wary"), join(bin, "wary"));
  for (const name of daemons) {
    const offset = join(data, { waryd: "waryd", "wary-edge": "edge", "wary-signer": "signer", "wary-agent": "agent", "wary-federation": "federation" }[name], "clock");
    writeFileSync(join(bin, name), `#!/bin/sh
export LD_PRELOAD=${library} FAKETIME_TIMESTAMP_FILE=${offset} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
exec ${join(build, "bin", name)} "$@"
`);
    chmodSync(join(bin, name), 0o755);
  }
  return bin;
}
function setClock(data, seconds) {
  for (const directory of ["waryd", "edge", "signer", "agent", "federation"]) {
    const file = join(data, directory, "clock");
    writeFileSync(file, `${seconds < 0 ? "-" : "+"}${Math.abs(seconds)}\n`);
    const { uid, gid } = statSync(join(data, directory));
    chownSync(file, uid, gid);
  }
}
const timesOf = (wary) => wary.events(10000).map((event) => Date.parse(event.time));
const goesBack = (times) => times.some((time, i) => i > 0 && time < times[i - 1] - 1500); // the floor follows a second behind
// Certificates are of the time that the edge knows, which curl does not.
const look = (wary, cookie) => wary.curl(wary.url("site", "/"), "-k", "-H", `Cookie: ${cookie}`).status;
const warned = (wary, name) => wary.log(name).includes('"clock.behind"');

async function whileRunning(wary, cookie) {
  step("the clock is set back while everything runs");
  const last = Math.max(...timesOf(wary));
  setClock(wary.data, -2 * hour);
  await sleep(50);
  saw("an open session goes on", look(wary, cookie) === 200);
  saw("who has none is still refused", look(wary, "") === 401);
  saw("the command line goes on", wary.cli("try", "alice", "GET", "https://site.localhost/").out.startsWith("ALLOW"));
  await until("the events are in the ledger", () => wary.events(10000).some((event) => event.outcome === "deny"));
  const times = timesOf(wary);
  saw("the ledger's time does not go back", !goesBack(times) && Math.max(...times) >= last, `${times.length} events`);
  saw("the ledger is whole", wary.cli("ledger", "check").code === 0);
  await wary.stop();
  await wary.start();
  saw("after a restart too, which says that the clock is behind", look(wary, cookie) === 200 && warned(wary, "waryd"));
}

async function betweenRuns(wary, cookie) {
  step("a session ends, and then the clock is set back");
  setClock(wary.data, 9 * hour);
  await until("the session has ended", () => look(wary, cookie) === 401, 5000);
  const again = (address) => wary.curl(address, "-k", "-L", "-b", wary.jar("alice"), "-c", wary.jar("alice"), "-H", "Accept: text/html");
  const page = again(wary.url("site", "/"));
  saw("nine hours later the session has ended, and a browser is led to sign in", page.status === 200 && page.body.includes("<title>wary"), `${page.status}`);
  saw("the console too answers who comes with an ended session", again(`${wary.origin}/`).status === 200);
  await until("its end is in the ledger", () => Math.max(...timesOf(wary)) > Date.now() + 8 * hour * 1000);
  setClock(wary.data, 0);
  saw("the clock set back does not bring it back", look(wary, cookie) === 401);
  await wary.stop();
  await wary.start();
  saw("nor does a restart", look(wary, cookie) === 401);
  await wary.stop("SIGKILL");
  await wary.start();
  saw("nor a crash", look(wary, cookie) === 401);
  saw("the ledger's time did not go back", !goesBack(timesOf(wary)));
  saw("new changes are taken", wary.cli("revoke", "user", "bob", "--reason", "the clock").code === 0);
  saw("the ledger is whole", wary.cli("ledger", "check").code === 0);
}

await run(async () => {
  if (sanitized) return skip("clock: two preloaded libraries do not go together");
  if (!existsSync(library)) return skip("clock: libfaketime is not installed (faketime)");
  const scratch = makeScratch("clock");
  const data = join(scratch, "data");
  const wary = new Platform(scratch, await freePort(), { data, bin: wrap(scratch, data) });
  await wary.start();
  const faked = daemons.map((name) => readFileSync(`/proc/${wary.pidOf(name)}/maps`, "utf8").includes("libfaketime"));
  saw("every process reads its clock through the library", faked.every((each) => each));
  setClock(data, 0);
  const cookie = await furnish(wary, await startApplication());
  await whileRunning(wary, cookie);
  await betweenRuns(wary, cookie);
}, cleanUp);
