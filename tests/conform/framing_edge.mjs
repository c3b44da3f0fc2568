#!/usr/bin/env node
// framing_edge.mjs DIR: the published HTTP/1 framing cases and HTTP/2 field lists below DIR through a running edge, judged by what a
// recording application was sent (tests/conform/strict_http1.mjs) and by what the client was told. Each HTTP/1 case runs whole and byte by
// byte. Called by ./dev conform framing.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";
import { run, saw, skip, step } from "../support/checks.mjs";
import { Platform } from "../support/platform.mjs";
import { cleanUp, freePort, makeScratch, sleep } from "../support/processes.mjs";
import { block, frame, framesOf, kEndHeaders, kEndStream, kFrame, kPreface, statusOf } from "./http2_frames.mjs";
import { parseRequests } from "./strict_http1.mjs";

const directory = process.argv[2];
const scratch = makeScratch("framing");
const kQuiet = 60, kPatience = 3000;

// Answers each whole request, keeps every byte. A connection whose bytes are garbage gets no answer.
class Application {
  constructor() {
    this.connections = [];
    this.server = createServer((socket) => {
      const one = { socket, text: "", answered: 0, ended: false };
      this.connections.push(one);
      socket.on("data", (bytes) => {
        one.text += bytes.toString("latin1");
        this.last = Date.now();
        const seen = parseRequests(one.text.slice(one.from ?? 0));
        for (; one.answered < seen.requests.length; ++one.answered) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      });
      const gone = () => (one.ended = true);
      socket.on("end", gone).on("close", gone).on("error", gone);
    });
  }
  listen(port) {
    return new Promise((resolve) => this.server.listen(port, "127.0.0.1", resolve));
  }
  // What comes from here on is the next case's.
  mark() {
    this.connections = this.connections.filter((one) => !one.ended);
    for (const one of this.connections) Object.assign(one, { from: one.text.length, answered: 0 });
  }
  seen() {
    const all = this.connections.map((one) => ({ ended: one.ended, text: one.text.slice(one.from ?? 0) })).filter((one) => one.text !== "");
    const parsed = all.map((one) => ({ ...one, ...parseRequests(one.text) }));
    return {
      requests: parsed.flatMap((one) => one.requests),
      garbage: parsed.filter((one) => one.garbage !== null).map((one) => one.garbage),
      begun: parsed.filter((one) => one.begun !== "" && one.garbage === null),
      text: all.map((one) => one.text).join(""),
    };
  }
}

class TestClient {
  constructor(wary, protocol) {
    this.bytes = Buffer.alloc(0);
    this.ended = false;
    this.opened = new Promise((resolve, reject) => {
      this.socket = connect({ host: "127.0.0.1", port: wary.port, ca: readFileSync(join(wary.data, "ca.pem")), servername: "bench.local", ALPNProtocols: [protocol] }, resolve);
      this.socket.on("error", reject);
    });
    this.socket.setNoDelay(true);
    this.socket.on("data", (bytes) => {
      this.bytes = Buffer.concat([this.bytes, bytes]);
      this.last = Date.now();
    });
    const gone = () => (this.ended = true);
    this.socket.on("end", gone).on("close", gone).on("error", gone);
  }
  // Until `is_done`, and quiet since, or the edge has hung up.
  async wait(application, is_done) {
    const begin = Date.now();
    while (!this.ended && Date.now() - begin < kPatience) {
      const quiet = Date.now() - Math.max(this.last ?? begin, application.last ?? 0, begin);
      if (is_done() && quiet >= kQuiet) return;
      await sleep(5);
    }
  }
  close() {
    this.socket.destroy();
  }
}

const counts = {};
const count = (key, add) => (counts[key] = (counts[key] ?? 0) + add);

// What holds for every case: nothing but the grammar, no identity but the edge's own, an unfinished request never looks finished.
function judgeUpstream(one, seen, wrong) {
  if (seen.garbage.length > 0) wrong.push(`not the grammar: ${seen.garbage[0]}`);
  count("bytes outside the grammar upstream", seen.garbage.length);
  const forged = (one.forbidden_upstream ?? []).filter((text) => seen.text.toLowerCase().includes(text.toLowerCase()));
  for (const request of seen.requests) {
    const of = (name) => request.fields.filter(([key]) => key === name).map(([, value]) => value).join(" and ");
    if (of("wary-principal") !== 'Wary::Anonymous::"anonymous"') forged.push(`Wary-Principal: ${of("wary-principal")}`);
    if (of("x-forwarded-for") !== "127.0.0.1") forged.push(`X-Forwarded-For: ${of("x-forwarded-for")}`);
  }
  if (forged.length > 0) wrong.push(`forged: ${forged.join(", ")}`);
  count("forged identities or framing words upstream", forged.length);
  for (const begun of seen.begun) if (!begun.ended) wrong.push("a request was begun upstream and left open");
}

function judgeHttp1(one, seen, client, wrong) {
  const told = (client.bytes.toString("latin1").match(/^HTTP\/1\.1 \d{3}|(?<=\n)HTTP\/1\.1 \d{3}|(?<=ok)HTTP\/1\.1 \d{3}/g) ?? []).map((line) => Number(line.slice(9)));
  const wanted = one.upstream_requests;
  if (one.expect === "forward") {
    const asked = parseRequests(Buffer.from(one.raw_b64, "base64").toString("latin1"), { lenient: true }).requests;
    const bodies = JSON.stringify(seen.requests.map((request) => request.body)) === JSON.stringify(asked.map((request) => request.body));
    const served = seen.requests.length === wanted && told.length === wanted && told.every((status) => status === 200);
    if (!served) count("valid inputs refused", 1);
    if (!served || asked.length !== wanted) wrong.push(`${seen.requests.length} of ${wanted} upstream, answers ${told.join(" ")}`);
    else if (!bodies) wrong.push("the body was changed");
    return;
  }
  const most = one.expect === "reject-or-normalise" ? 1 : wanted;
  if (seen.requests.length > most) {
    wrong.push(`${seen.requests.length} upstream`);
    count("inputs to be refused that reached the application", 1);
  }
  if (seen.begun.length > 0) count("refused inside a body, after the head was on its way (the application's connection was cut)", 1);
  if (one.expect !== "reject-or-normalise") {
    const status = told.at(-1);
    if (!one.expect.includes(String(status))) wrong.push(`answered ${status}`);
    if (!client.ended) wrong.push("left open");
  } else if (seen.requests.length === 0 && !(told.at(-1) >= 400)) {
    wrong.push(`neither refused nor forwarded: ${told.join(" ")}`);
  }
}

async function runHttp1(wary, application, one, piece) {
  application.mark();
  const client = new TestClient(wary, "http/1.1");
  await client.opened;
  const raw = Buffer.from(one.raw_b64, "base64");
  for (let at = 0; at < raw.length && !client.ended; at += piece) client.socket.write(raw.subarray(at, at + piece));
  const answers = () => (client.bytes.toString("latin1").match(/HTTP\/1\.1 \d{3} /g) ?? []).length;
  await client.wait(application, () => (one.expect === "reject-or-normalise" || one.expect === "forward") && answers() >= Math.max(one.upstream_requests, 1));
  await sleep(5);
  const wrong = [], seen = application.seen();
  judgeUpstream(one, seen, wrong);
  judgeHttp1(one, seen, client, wrong);
  client.close();
  return wrong;
}

// A length in trailers counts for libnghttp2 as one in the head; no sender may make one (RFC 9110 section 6.5.1), so nobody loses anything.
const kRefusedToo = ["trailers/drop-cl"];

async function runHttp2(wary, application, one) {
  application.mark();
  const client = new TestClient(wary, "h2");
  await client.opened;
  const trailers = one.trailers !== null, body = one.body !== null;
  const frames = [kPreface, frame(kFrame.settings, 0, 0), frame(kFrame.headers, kEndHeaders | (body ? 0 : kEndStream), 1, block(one.headers))];
  if (body) frames.push(frame(kFrame.data, trailers ? 0 : kEndStream, 1, Buffer.from(one.body)));
  if (trailers) frames.push(frame(kFrame.headers, kEndHeaders | kEndStream, 1, block(one.trailers)));
  client.socket.write(Buffer.concat(frames));
  const told = () => {
    const all = framesOf(client.bytes).frames;
    const head = all.find((each) => each.type === kFrame.headers && each.stream === 1);
    const reset = all.find((each) => each.type === kFrame.reset && each.stream === 1) ?? all.find((each) => each.type === kFrame.goaway);
    const code = reset === undefined ? undefined : reset.payload.readUInt32BE(reset.type === kFrame.goaway ? 4 : 0);
    return { status: head ? statusOf(head.payload) : 0, code };
  };
  await client.wait(application, () => told().status !== 0 || told().code !== undefined);
  await sleep(5);
  const wrong = [], seen = application.seen(), { status, code } = told();
  judgeUpstream({ forbidden_upstream: ["HTTP2-Settings", "x-wary-subject", "admin", "content-length: 9"] }, seen, wrong);
  const refused = one.expect.startsWith("stream-error") || one.expect.startsWith("400") || kRefusedToo.includes(one.id);
  if (refused) {
    if (seen.requests.length > 0) {
      count("inputs to be refused that reached the application", 1);
      wrong.push("reached the application");
    }
    if (seen.begun.length > 0) count("refused inside a body, after the head was on its way (the application's connection was cut)", 1);
    if (status !== 400 && code !== 1) wrong.push(`answered ${status}, error ${code}`);
  } else {
    if (seen.requests.length !== 1 || status !== 200) {
      count("valid inputs refused", 1);
      wrong.push(`${seen.requests.length} upstream, answered ${status}, error ${code}`);
    } else if (seen.requests[0].body !== (one.body ?? "")) wrong.push("the body was changed");
    else if (one.expect.includes("chunked") && !seen.requests[0].fields.some(([name, value]) => name === "transfer-encoding" && value === "chunked")) wrong.push("not chunked");
  }
  client.close();
  return wrong;
}

function load(path) {
  const file = [join(directory, path), join(directory, path.split("/").at(-1))].find((one) => existsSync(one));
  return file === undefined ? null : JSON.parse(readFileSync(file, "utf8"));
}

// One verdict a case.
async function runAll(title, cases, runOne) {
  step(`${title}: ${cases.length} cases`);
  const failed = [];
  for (const one of cases) {
    const wrong = await runOne(one);
    saw(one.id, wrong.length === 0, wrong.join("; "));
    if (wrong.length > 0) failed.push(one.id);
  }
  return failed.length;
}

await run(async () => {
  const http1 = load("http1/framing.json"), http2 = load("http2/downgrade.json");
  if (http1 === null) skip("no http1/framing.json there");
  if (http2 === null) skip("no http2/downgrade.json there");
  if (http1 === null && http2 === null) return;
  const application = new Application(), port = await freePort();
  await application.listen(port);
  const wary = new Platform(scratch, await freePort(), { words: ["--workers", "1"] });
  await wary.start();
  mkdirSync(join(scratch, "resources"));
  writeFileSync(join(scratch, "resources/all.yaml"), `apiVersion: wary.dev/v1\nkind: Namespace\nmetadata: {name: test}\nspec: {owners: [owners]}\n---
apiVersion: wary.dev/v1\nkind: App\nmetadata: {name: site, namespace: test}\nspec: {hosts: [bench.local, a.example], upstream: "http://127.0.0.1:${port}"}\n`);
  writeFileSync(join(scratch, "resources/all.cedar"), '@id("everybody")\npermit (principal, action, resource in Wary::App::"test/site");\n');
  const applied = wary.cli("apply", "-f", join(scratch, "resources"), "-n", "test");
  if (applied.code !== 0) throw new Error(applied.text);
  if (http1 !== null) {
    // What it says must not be sent: unless its application takes nearly all of that for garbage, it judges nothing.
    const bad = http1.filter((one) => one.expect.startsWith("reject-4"));
    const known = bad.filter((one) => parseRequests(Buffer.from(one.raw_b64, "base64").toString("latin1")).garbage !== null).length;
    saw("the application's own grammar refuses what must be refused", known >= bad.length * 0.9, `${known} of ${bad.length}; the rest is well-formed`);
    await runAll("HTTP/1, whole", http1, (one) => runHttp1(wary, application, one, 1 << 20));
    await runAll("HTTP/1, byte by byte", http1, (one) => runHttp1(wary, application, one, 1));
  }
  if (http2 !== null) await runAll("HTTP/2 field lists", http2, (one) => runHttp2(wary, application, one));
  step("in all");
  for (const key of ["inputs to be refused that reached the application", "bytes outside the grammar upstream", "forged identities or framing words upstream", "valid inputs refused"]) {
    saw(key, (counts[key] ?? 0) === 0, counts[key] ?? 0);
  }
  for (const [key, value] of Object.entries(counts).filter(([key]) => key.startsWith("refused inside"))) console.log(`  ${key}: ${value}`);
  application.server.close();
  for (const one of application.connections) one.socket.destroy();
  await wary.stop();
}, cleanUp);
