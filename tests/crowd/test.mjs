#!/usr/bin/env node
// Who opens connections, asks once and rests, keeps nobody out: neither of the edge nor of an application behind it, however few
// files the edge may open.
import { mkdirSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { run, saw, step } from "../support/checks.mjs";
import { Platform, wary as program } from "../support/platform.mjs";
import { cleanUp, freePort, makeScratch, sleep, start, until } from "../support/processes.mjs";
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

// Who keeps as many streams open as an application lets one principal have gets no more, and has one again when one ends.
async function asksForMuch(wary, port, cookie) {
  step("one principal has so many at work");
  const path = join(scratch, "narrow.yaml");
  writeFileSync(path, `apiVersion: wary.dev/v1\nkind: App\nmetadata: {name: site, namespace: test}\nspec: {hosts: [site.localhost], upstream: "http://127.0.0.1:${port}", maxConcurrent: 3}\n`);
  const applied = wary.cli("apply", "-f", path, "-n", "test");
  saw("the App says how many", applied.code === 0, applied.text.trim());
  const ask = () => wary.curl(wary.url("site", "/x"), "-H", `Cookie: ${cookie}`);
  const words = ["-sN", "--cacert", join(wary.data, "ca.pem"), "-H", `Cookie: ${cookie}`, wary.url("site", "/stream")];
  const streams = [1, 2, 3].map((at) => start(`stream ${at}`, "curl", words));
  await until("the streams are open", () => streams.every((one) => one.text.includes("more")), 10000);
  const refused = ask();
  saw("what is more is answered 429", refused.status === 429 && /^retry-after: 1\r?$/im.test(refused.head) && JSON.parse(refused.body).error.code === "concurrency_exceeded", refused.body || refused.error);
  const reference = refused.status === 429 ? JSON.parse(refused.body).error.reference : "";
  const event = await until("its event is in the ledger", () => wary.events(20).find((one) => JSON.stringify(one).includes(reference)), 5000).catch(() => null);
  saw("its event is a deny with that reason", JSON.stringify(event).includes("concurrency_exceeded"), JSON.stringify(event));
  const explained = wary.cli("explain", reference).text;
  saw("explained as what it was", /^denied beside the policies: concurrency_exceeded/i.test(explained), explained.split("\n")[0]);
  saw("and counted", /^wary_gateway_over_concurrency_total [1-9]/m.test(wary.socket("../../edge/admin.sock", "/metrics").body));
  streams[0].kill("SIGTERM");
  await streams[0].ended;
  const answer = await until("a place is free", () => { const one = ask(); return one.status === 200 ? one : null; }, 3000).catch(ask);
  saw("when one ends there is a place again", answer.status === 200, answer.status);
  for (const stream of streams.slice(1)) stream.kill("SIGTERM");
}

await run(async () => {
  step("the edge may open few files");
  const wary = new Platform(scratch, await freePort(), { bin: limited(), plain: await freePort() });
  await wary.start();
  const port = await startApplication(), cookie = await furnish(wary, port);
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
  await asksForMuch(wary, port, cookie);
}, cleanUp);
