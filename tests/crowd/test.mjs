#!/usr/bin/env node
// Who opens connections, asks once and rests, keeps nobody out: neither of the edge nor of an application behind it, however few
// files the edge may open.
import { mkdirSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { run, saw, step } from "../support/checks.mjs";
import { Platform, wary as program } from "../support/platform.mjs";
import { cleanUp, freePort, makeScratch, sleep, until } from "../support/processes.mjs";
import { furnish, startApplication } from "../support/world.mjs";

const kDescriptors = 600, kCrowd = 1500;
const scratch = makeScratch("crowd");

// A program that may open so many files, and the programs it starts.
function limited() {
  const bin = join(scratch, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "wary"), `#!/bin/sh\nulimit -n ${kDescriptors}\nexec '${program}' "$@"\n`, { mode: 0o755 });
  return bin;
}

async function crowd(port, count) {
  const seen = { answered: 0, ended: 0 };
  for (let at = 0; at < count; ++at) {
    const socket = createConnection({ port, host: "127.0.0.1" });
    socket.once("data", () => (seen.answered += 1));
    socket.on("error", () => {});
    socket.on("close", () => (seen.ended += 1));
    socket.write("GET /.wary/live HTTP/1.1\r\nHost: site.localhost\r\n\r\n");
    if (at % 50 === 49) await sleep(20);
  }
  return seen;
}

await run(async () => {
  step("the edge may open few files");
  const wary = new Platform(scratch, await freePort(), { bin: limited(), plain: await freePort() });
  await wary.start();
  const cookie = await furnish(wary, await startApplication());
  const seen = await crowd(wary.plainPort, kCrowd);
  await until("most of the crowd was answered", () => seen.answered > kCrowd * 0.9, 20000).catch(() => {});
  saw("everybody in the crowd is answered", seen.answered > kCrowd * 0.9, `${seen.answered} of ${kCrowd}, ${seen.ended} have ended`);
  for (let round = 1; round <= 5; ++round) {
    const begin = Date.now();
    const answer = wary.curl(wary.url("site", `/${round}`), "-H", `Cookie: ${cookie}`);
    saw(`who comes after them is served, ${round}`, answer.status === 200 && answer.body === `/${round}\n`, `${answer.status} ${answer.error ?? ""} after ${Date.now() - begin} ms`);
  }
  const metrics = wary.socket("../../edge/admin.sock", "/metrics").body;
  const made = Number(/^wary_gateway_made_room_total (\d+)$/m.exec(metrics)?.[1]);
  saw("others of the crowd made room for them", made > kCrowd / 2, made);
}, cleanUp);
