#!/usr/bin/env node
// A running edge held to what others check: h2spec, testssl.sh, slowhttptest, and floods by raw HTTP/2 frames, with somebody else asking
// meanwhile. A tool that is missing is a notice. Called by ./dev conform edge.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "node:tls";
import { run, saw, skip, step } from "../support/checks.mjs";
import { Platform, root } from "../support/platform.mjs";
import { cleanUp, freePort, makeScratch, sleep, start, until } from "../support/processes.mjs";
import { startApplication } from "../support/world.mjs";
import { block, frame, framesOf, kEndHeaders, kEndStream, kFrame, kPreface } from "./http2_frames.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const scratch = makeScratch("conform-edge");
const wary = new Platform(scratch, await freePort(), { words: ["--workers", "1"], plain: await freePort() });
// No name of this machine's own, so that browsers are told of TLS by default. Its front page is refused by the edge: what is read there
// is the edge's own answer, and everything else is the application's, as it came.
const kName = "site.test";
const ca = () => join(wary.data, "ca.pem");
const chosen = (process.env.PARTS ?? "h2spec,testssl,slow,floods").split(",");

async function startEdge() {
  const port = await startApplication();
  await wary.start();
  mkdirSync(join(scratch, "resources"));
  writeFileSync(join(scratch, "resources/all.yaml"), `apiVersion: wary.dev/v1\nkind: Namespace\nmetadata: {name: test}\nspec: {owners: [owners]}\n---
apiVersion: wary.dev/v1\nkind: App\nmetadata: {name: site, namespace: test}\nspec: {hosts: [localhost, ${kName}], upstream: "http://127.0.0.1:${port}", plain: serve}
---\napiVersion: wary.dev/v1\nkind: Route\nmetadata: {name: front, namespace: test}\nspec: {app: site, path: /}\n`);
  writeFileSync(join(scratch, "resources/all.cedar"), '@id("everybody")\npermit (principal, action, resource in Wary::App::"test/site")\nunless { resource == Wary::Route::"test/front" };\n');
  const applied = wary.cli("apply", "-f", join(scratch, "resources"), "-n", "test");
  if (applied.code !== 0) throw new Error(applied.text);
  const seen = await until("the site is served", () => {
    const answer = wary.curl(`https://localhost:${wary.port}/x`);
    return answer.status === 200 ? answer : null;
  }, 5000);
  const named = wary.curl(`https://${kName}:${wary.port}/x`, "--resolve", `${kName}:${wary.port}:127.0.0.1`);
  saw("an application's answers tell browsers of TLS, but for names of this machine", named.status === 200 && /^strict-transport-security: max-age=31536000\r?$/im.test(named.head) &&
    !/strict-transport/i.test(seen.head), named.head);
}

const has = (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
const residentOf = (pid) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

// What h2spec holds to RFC 7540 and RFC 9113 has taken back: title → the section that allows what we do.
const kExceptions = new Map([]); // none

function buildH2spec() {
  const directory = join(root, "build/peers/h2spec"), program = join(directory, "h2spec");
  if (existsSync(program)) return program;
  if (!has("go")) return null;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "go.mod"), "module peers\n\ngo 1.21\n\nrequire github.com/summerwind/h2spec v2.2.1+incompatible\n");
  const built = spawnSync("sh", ["-c", "go get github.com/summerwind/h2spec/cmd/h2spec && go build -o h2spec github.com/summerwind/h2spec/cmd/h2spec"],
    { cwd: directory, encoding: "utf8", timeout: 600000, env: { ...process.env, GOFLAGS: "-mod=mod" } });
  return built.status === 0 ? program : null;
}

function h2spec(way, words) {
  step(`h2spec, ${way}`);
  const program = buildH2spec();
  if (program === null) return skip("h2spec: it cannot be built here (Go)");
  const report = join(scratch, `h2spec ${way}.xml`);
  const done = spawnSync(program, ["-h", "localhost", ...words, "-P", `/${"x".repeat(400)}`, "-o", "5", "-j", report], { encoding: "utf8", timeout: 600000 });
  if (!existsSync(report)) return saw("h2spec runs", false, done.stdout.slice(-500) + done.stderr);
  const cases = readFileSync(report, "utf8").match(/<testcase [\s\S]*?<\/testcase>/g) ?? [];
  saw(`h2spec ran its cases, ${way}`, cases.length > 100, cases.length);
  for (const one of cases) {
    const title = /classname="([^"]*)"/.exec(one)[1], of = /package="([^"]*)"/.exec(one)[1];
    const failed = /<failure>([\s\S]*?)<\/failure>/.exec(one);
    const name = `${of} ${title}`.replaceAll("&#34;", '"').replaceAll("&#39;", "'");
    if (/<skipped/.test(one)) console.log(`  left out by h2spec: ${name}`);
    else if (failed && kExceptions.has(name)) console.log(`  exception: ${name}: ${kExceptions.get(name)}`);
    else saw(`${way}: ${name}`, !failed, failed ? failed[1].replace(/\s+/g, " ").slice(0, 300) : "");
  }
}

// What cannot be met (docs/gateway.md).
const kExpected = new Map([["cert_revocation", "the certificate lives for a day: it is replaced, not taken back"]]);

function testssl() {
  step("testssl.sh");
  const program = ["testssl", "testssl.sh"].find(has);
  if (program === undefined) return skip("testssl.sh is not installed");
  const report = join(scratch, "testssl.json");
  // The name has no DNS that could be asked who may sign for it, and the certificate lives for a day: no time to its end is too short.
  const environment = { ...process.env, DAYS2WARN1: "0", DAYS2WARN2: "0" };
  const done = spawnSync(program, ["--quiet", "--color", "0", "--warnings", "off", "--severity", "LOW", "--nodns", "none", "--add-ca", ca(), "--ip", "127.0.0.1", "--jsonfile", report, `${kName}:${wary.port}`],
    { encoding: "utf8", timeout: 600000, maxBuffer: 1 << 26, env: environment });
  if (!existsSync(report)) return saw("testssl.sh runs", false, done.stdout.slice(-500) + done.stderr);
  const findings = JSON.parse(readFileSync(report, "utf8")).filter((one) => ["LOW", "MEDIUM", "HIGH", "CRITICAL"].includes(one.severity));
  for (const one of findings) {
    const reason = kExpected.get(one.id.replace(/[ <].*/, ""));
    if (reason !== undefined) console.log(`  expected: ${one.id} (${one.severity}), ${one.finding}: ${reason}`);
    else saw(`${one.id} (${one.severity})`, false, one.finding);
  }
  saw("nothing else is low or worse", findings.every((one) => kExpected.has(one.id.replace(/[ <].*/, ""))), findings.length);
  saw("testssl.sh came to its end", /Done|Start/.test(done.stdout), findings.length);
}

async function slow() {
  step("slowhttptest");
  if (!has("slowhttptest")) return skip("slowhttptest is not installed");
  const url = `https://localhost:${wary.port}/whole`; // answered early, a slow body would be none
  const plain = ["-u", `http://localhost:${wary.plainPort}/whole`];
  const attacks = { "slow heads": ["-H", "-i", "3"], "slow heads without TLS": ["-H", "-i", "3", ...plain], "slow bodies": ["-B", "-i", "3"], "slow readers": ["-X", "-w", "10", "-y", "20", "-n", "3", "-z", "10", "-k", "3"] };
  for (const [title, words] of Object.entries(attacks)) {
    const before = residentOf(wary.pidOf("wary-edge"));
    const probe = startProbe(22);
    const done = spawnSyncAsync("slowhttptest", ["-c", "400", "-r", "100", "-l", "20", "-p", "3", "-u", url, ...words]);
    const other = await probe;
    const text = await done;
    const told = text.replaceAll(/\x1b\[[0-9;]*[A-Za-z]/g, ""), there = told.match(/service available:\s+\w+/g) ?? [];
    const last = told.match(/(pending|connected|error|closed):\s+\d+/g)?.slice(-4).join(" ").replaceAll(/ +/g, " ") ?? told.slice(-300);
    saw(`${title}: the site was there for it all the time`, there.length > 1 && there.every((one) => one.endsWith("YES")), `${there.length} times asked; of 400: ${last}`);
    saw(`${title}: nobody else was refused`, other.failed === 0, JSON.stringify(other));
    const grown = residentOf(wary.pidOf("wary-edge")) - before;
    saw(`${title}: memory is bounded`, grown < 64, `${grown.toFixed(1)} MiB more`);
  }
}
async function spawnSyncAsync(program, words) {
  const child = start(program, program, words);
  await child.ended;
  return child.text;
}
async function startProbe(seconds) {
  const child = start("probe", process.execPath, [join(here, "edge_probe.mjs"), String(wary.port), ca(), String(seconds)]);
  await child.ended;
  return JSON.parse(child.text.trim().split("\n").at(-1));
}

// A connection that has said its preface, writes what `make` gives as fast as it is taken, and knows what it was told.
class Attacker {
  constructor(make) {
    this.sent = 0;
    this.bytes = Buffer.alloc(0);
    this.ended = new Promise((resolve) => {
      this.socket = connect({ host: "127.0.0.1", port: wary.port, ca: readFileSync(ca()), servername: "localhost", ALPNProtocols: ["h2"] }, () => {
        this.socket.write(Buffer.concat([kPreface, frame(kFrame.settings, 0, 0)]));
        this.pump(make);
      });
      this.socket.on("data", (bytes) => (this.bytes = Buffer.concat([this.bytes, bytes]).subarray(-65536)));
      this.socket.on("close", resolve).on("error", resolve);
    });
  }
  pump(make) {
    while (!this.socket.destroyed) {
      const next = make();
      if (next === null) return;
      this.sent += next.length;
      if (!this.socket.write(next)) return void this.socket.once("drain", () => this.pump(make));
    }
  }
  goaway() {
    const { frames } = framesOf(this.bytes);
    const last = frames.findLast((one) => one.type === kFrame.goaway);
    return last === undefined ? null : last.payload.readUInt32BE(4);
  }
}

const kHead = [[":method", "GET"], [":scheme", "https"], [":authority", "localhost"], [":path", "/x"]];
function floods() {
  let stream = 1;
  const next = () => (stream += 2);
  return {
    "a head that goes on and on (CONTINUATION)": () => {
      let begun = false;
      return () => begun ? Buffer.concat(Array.from({ length: 64 }, () => frame(kFrame.continuation, 0, 1, block([["x-a", "b".repeat(100)]])))) : ((begun = true), frame(kFrame.headers, kEndStream, 1, block(kHead)));
    },
    "empty CONTINUATION frames": () => {
      let begun = false;
      return () => begun ? Buffer.concat(Array.from({ length: 500 }, () => frame(kFrame.continuation, 0, 1))) : ((begun = true), frame(kFrame.headers, kEndStream, 1, block(kHead)));
    },
    "requests taken back at once (rapid reset)": () => {
      stream = -1;
      const one = Buffer.concat([frame(kFrame.headers, kEndHeaders | kEndStream, 0, block(kHead)), frame(kFrame.reset, 0, 0, Buffer.from([0, 0, 0, 8]))]);
      const many = Buffer.concat(Array.from({ length: 50 }, () => one));
      return () => {
        const bytes = Buffer.from(many);
        for (let at = 0; at < bytes.length; at += one.length) {
          bytes.writeUInt32BE(next(), at + 5);
          bytes.writeUInt32BE(stream, at + one.length - 8); // of the reset: its head's last four bytes
        }
        return bytes;
      };
    },
    "a small head that unpacks to a large one": () => {
      // An entry of 4,000 bytes in the table, named a thousand times.
      stream = -1;
      const value = Buffer.alloc(3900, "a"), entry = Buffer.concat([Buffer.from([0x40, 1]), Buffer.from("x"), Buffer.from([0x7f, 0xbd, 0x1d]), value]);
      return () => {
        const one = next();
        return frame(kFrame.headers, kEndHeaders | kEndStream, one, Buffer.concat([block(kHead), ...(one === 1 ? [entry] : []), Buffer.alloc(8000, 0xbe)]));
      };
    },
    "PING": () => () => Buffer.concat(Array.from({ length: 500 }, () => frame(kFrame.ping, 0, 0, Buffer.alloc(8)))),
    "SETTINGS": () => () => Buffer.concat(Array.from({ length: 500 }, () => frame(kFrame.settings, 0, 0, Buffer.from([0, 4, 0, 0, 255, 255])))),
    "empty DATA frames": () => {
      let begun = false;
      return () => begun ? Buffer.concat(Array.from({ length: 500 }, () => frame(kFrame.data, 0, 1))) : ((begun = true), frame(kFrame.headers, kEndHeaders, 1, block([[":method", "POST"], ...kHead.slice(1)])));
    },
    "answers that nobody reads": () => {
      stream = -1;
      const none = frame(kFrame.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));
      let left = 120;
      return () => (left-- > 0 ? Buffer.concat([...(left === 119 ? [none] : []), frame(kFrame.headers, kEndHeaders | kEndStream, next(), block(kHead))]) : null);
    },
  };
}

async function flood() {
  step("floods of frames: four connections each, five seconds, somebody else asking");
  const edge = wary.pidOf("wary-edge");
  await startProbe(2);
  const alone = await startProbe(4);
  console.log(`  alone: ${JSON.stringify(alone)}`);
  for (const [title, make] of Object.entries(floods())) {
    const before = residentOf(edge);
    const probe = startProbe(5);
    let most = before;
    const attackers = [];
    const watch = setInterval(() => (most = Math.max(most, residentOf(edge))), 50);
    const end = Date.now() + 5000;
    const one = async () => {
      while (Date.now() < end) {
        const attacker = new Attacker(make());
        attackers.push(attacker);
        await Promise.race([attacker.ended, sleep(Math.max(end - Date.now(), 1))]);
        attacker.socket.destroy();
        await sleep(20);
      }
    };
    await Promise.all([one(), one(), one(), one()]);
    const other = await probe;
    clearInterval(watch);
    const sent = attackers.reduce((sum, each) => sum + each.sent, 0), codes = [...new Set(attackers.map((each) => each.goaway()).filter((code) => code !== null))];
    saw(title, other.failed === 0 && most - before < 64 && other.count > 20, `${attackers.length} connections, ${(sent / 2 ** 20).toFixed(1)} MiB sent, GOAWAY ${codes.join(" ") || "none"}; resident ${before.toFixed(1)} to ${most.toFixed(1)} MiB at most; others' p50 ${other.p50.toFixed(1)} ms p99 ${other.p99.toFixed(1)} ms (alone ${alone.p50.toFixed(1)} and ${alone.p99.toFixed(1)}), ${other.failed} of ${other.count} failed`);
  }
  saw("it still answers", wary.curl(`https://localhost:${wary.port}/x`).status === 200);
}

await run(async () => {
  await startEdge();
  if (chosen.includes("h2spec")) {
    h2spec("TLS", ["-p", String(wary.port), "-t", "-k"]);
    h2spec("without TLS", ["-p", String(wary.plainPort)]);
  }
  if (chosen.includes("testssl")) testssl();
  if (chosen.includes("slow")) await slow();
  if (chosen.includes("floods")) await flood();
  await wary.stop();
}, cleanUp);
