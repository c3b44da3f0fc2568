// The main job, walked without a person: real programs behind wary, real clients in front, each step checked and shown.
// Called by ./dev run --check. Starts everything itself, on free ports and in a scratch directory; stops what it started.
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, cpSync, openSync, readFileSync, readSync, readdirSync, statSync, writeFileSync, writeSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { run, saw, step } from "../tests/support/checks.mjs";
import { cleanUp, freePort, makeScratch, sleep, start, until } from "../tests/support/processes.mjs";
import { Platform, root, wary } from "../tests/support/platform.mjs";

process.env.WARY_TEST_SECONDS ??= "300";
const scratch = makeScratch("walk");
let platform; // wary itself, once its port is known
const data = join(scratch, "data");
const cli = (...words) => platform.cli(...words);
const cliJson = (...words) => platform.cliJson(...words);
const curl = (url, ...extra) => platform.curl(url, ...extra);

let port;
let origin;
const url = (host, path) => `https://${host}.localhost:${port}${path}`;
const jar = (name) => join(scratch, `${name}.jar`);

const signIn = (name) => platform.signIn(name);
const browse = (name, address) => platform.browse(name, address);
const cookieOf = (name, host) => platform.cookieOf(name, host);
const pidOf = (name) => platform.pidOf(name);

// An open connection that stays: its first bytes, then when and how it ended.
function hold(host, path, cookie, upgrade = false) {
  const state = { bytes: 0, open: false, ended: null, closeCode: null };
  const headers = { Cookie: cookie };
  if (upgrade) {
    Object.assign(headers, { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": randomBytes(16).toString("base64") });
  }
  const outgoing = request({ host: "127.0.0.1", servername: `${host}.localhost`, port, path, headers: { Host: `${host}.localhost:${port}`, ...headers },
    ca: readFileSync(join(data, "ca.pem")), agent: false });
  const end = (how) => (state.ended ??= { how, at: process.hrtime.bigint() });
  const watch = (stream) => {
    state.open = true;
    state.stream = stream;
    stream.on("data", (bytes) => {
      state.bytes += bytes.length;
      if (upgrade && bytes.length >= 4 && bytes[0] === 0x88) state.closeCode = bytes.readUInt16BE(2);
    });
    stream.on("end", () => end("end"));
    stream.on("close", () => end("close"));
    stream.on("error", (error) => end(error.code ?? "error"));
  };
  outgoing.on("response", (response) => {
    state.status = response.statusCode;
    watch(response);
  });
  outgoing.on("upgrade", (response, socket) => {
    state.status = response.statusCode;
    watch(socket);
  });
  outgoing.on("error", (error) => end(error.code ?? "error"));
  outgoing.end();
  state.say = (text) => {
    const payload = Buffer.from(text);
    const mask = randomBytes(4);
    state.stream.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, Buffer.from(payload.map((byte, i) => byte ^ mask[i % 4]))]));
  };
  return state;
}
async function walk() {
  port = await freePort();
  platform = new Platform(scratch, port, { data });
  origin = `https://console.localhost:${port}`;

  step("1. Programs without a login, wary in front of them");
  const [metricsPort, sitePort, chatPort] = [await freePort(), await freePort(), await freePort()];
  const resources = join(scratch, "resources");
  cpSync(join(root, "examples/demo/resources"), resources, { recursive: true });
  const yaml = readFileSync(join(resources, "resources.yaml"), "utf8");
  writeFileSync(join(resources, "resources.yaml"), yaml.replace(":19090", `:${metricsPort}`).replace(":18080", `:${sitePort}`).replace(":18081", `:${chatPort}`));
  const apps = start("demo applications", join(root, "tools/demo-apps"), [join(scratch, "apps"), metricsPort, sitePort, chatPort].map(String));
  const { child: dev, millis } = await platform.start();
  saw("wary dev is ready", true, `${millis} ms`);
  const applied = cli("apply", "-f", resources, "-n", "demo");
  saw("the demo's resources and policies are applied", applied.code === 0, applied.text.trim().split("\n").pop());
  await until("prometheus answers", () => spawnSync("curl", ["-sf", `http://127.0.0.1:${metricsPort}/-/ready`]).status === 0, 20000);
  await until("prometheus has scraped itself", () =>
    spawnSync("curl", ["-s", `http://127.0.0.1:${metricsPort}/api/v1/query?query=up`], { encoding: "utf8" }).stdout.includes(`"127.0.0.1:${metricsPort}"`), 20000);
  saw("Prometheus itself asks nobody who they are", apps.exitCode === null);

  step("2. Who may, who may not");
  const alice = signIn("alice");
  saw("alice signs in by her one-time link", alice.answer.status === 200);
  const again = curl(`${origin}/api/signin`, "-H", `Origin: ${origin}`, "-d", JSON.stringify({ code: alice.code }));
  saw("the same link again is refused", again.status === 403 && again.body.includes("sign_in_refused"), `${again.status}`);
  const graph = browse("alice", url("metrics", "/graph"));
  saw("alice opens Prometheus", graph.status === 200 && graph.body.includes("Prometheus"), `${graph.status}`);
  const query = curl(url("metrics", "/api/v1/query?query=up"), "-b", jar("alice"));
  const up = query.status === 200 ? JSON.parse(query.body) : {};
  saw("/api/v1/query?query=up is Prometheus' own JSON", up.status === "success" && up.data?.result?.length === 1, query.body.slice(0, 120));
  const admin = curl(url("metrics", "/-/reload"), "-X", "POST", "-b", jar("alice"));
  saw("a forbid wins over alice's permit", admin.status === 403);
  signIn("bob");
  const denied = browse("bob", url("metrics", "/"));
  const reference = /id="reference">([^<]+)</.exec(denied.body)?.[1] ?? "";
  saw("bob is denied, with a reference and what to do next", denied.status === 403 && reference !== "" && denied.body.includes("owner of this application"), reference);
  const anonymous = curl(url("metrics", "/graph"), "-H", "Accept: text/html");
  saw("an anonymous browser is sent to sign in", anonymous.status === 303 && anonymous.head.toLowerCase().includes(`location: ${origin}/continue`));
  const program = curl(url("metrics", "/graph"));
  saw("an anonymous program is told so", program.status === 401 && program.body.includes("unauthenticated"));
  const svid = join(scratch, "svid");
  const issued = cli("workload", "issue", "reader", "-n", "demo", "--out", svid);
  saw("a workload gets an SVID", issued.code === 0 && issued.out.startsWith("spiffe://local/demo/reader"), issued.out.split("\n")[0]);
  const withSvid = (address, ...extra) => curl(address, "--cert", join(svid, "svid.pem"), "--key", join(svid, "svid.key"), ...extra);
  saw("it reads its one page", withSvid(url("site", "/reports/latest.txt")).body === "All is well.\n");
  const others = [withSvid(url("site", "/")), withSvid(url("site", "/payroll/2026.txt")), withSvid(url("metrics", "/")),
    withSvid(url("site", "/reports/latest.txt"), "-X", "DELETE"), withSvid(url("site", "/reports/%2e%2e/payroll/2026.txt"))];
  saw("and nothing else", others.every((answer) => answer.status === 403), others.map((answer) => answer.status).join(" "));
  const forged = curl(url("chat", "/whoami"), "-L", "-b", jar("bob"), "-c", jar("bob"), "-H", "Accept: text/html", "-H", 'Wary-Principal: Wary::User::"alice"', "-H", 'wary_principal: Wary::User::"alice"');
  saw("identity headers of a client do not reach an application", forged.body.includes('Wary::User::\\"bob\\"') && !forged.body.includes("alice"), forged.body.trim());

  step("3. A decision without sending it");
  const tried = cli("try", "alice", "GET", "https://metrics.localhost/");
  saw("wary try alice: ALLOW with the policy's file and lines", tried.out.startsWith("ALLOW") && tried.out.includes("metrics.cedar:2"), tried.out.split("\n").find((l) => l.includes("metrics.cedar")));
  const triedBob = cli("try", "bob", "GET", "https://metrics.localhost/");
  saw("wary try bob: DENY with the nearest permit", triedBob.out.startsWith("DENY") && triedBob.out.includes("sre-read"));

  step("4. The record, and its proof");
  await sleep(200);
  const tail = cli("ledger", "tail", "--last", "200");
  saw("every access is in wary ledger tail", tail.out.includes(reference) && tail.out.includes("/api/v1/query") && tail.out.includes("spiffe://local/demo/reader"), `${tail.out.trim().split("\n").length} rows`);
  const explained = cli("explain", reference);
  saw("wary explain names the policies and lines", explained.code === 0 && explained.out.includes("metrics.cedar:"), explained.out.split("\n")[1]);
  const proofFile = join(scratch, "bob.proof.json");
  const proved = cli("ledger", "prove", reference, "--out", proofFile);
  // Offline: another data directory, no process to ask, only the file and the public key.
  const verify = (file) => spawnSync(wary, ["--data", join(scratch, "nothing"), "ledger", "verify", file, "--key", join(data, "ledger.vkey")], { encoding: "utf8" });
  const verified = verify(proofFile);
  saw("prove, then verify offline", proved.code === 0 && verified.status === 0, (verified.stdout || verified.stderr).split("\n")[0]);
  const proof = JSON.parse(readFileSync(proofFile, "utf8"));
  const bytes = Buffer.from(proof.event, "base64");
  bytes[bytes.length - 20] ^= 1;
  writeFileSync(join(scratch, "forged.json"), JSON.stringify({ ...proof, event: bytes.toString("base64") }));
  const refused = verify(join(scratch, "forged.json"));
  saw("one flipped byte in the event is found", refused.status !== 0 && refused.stderr.includes("proof_"), refused.stderr.trim().split("\n")[0]);

  step("5. Revoked while connections are open");
  browse("alice", url("chat", "/"));
  const aliceCookie = cookieOf("alice", "chat");
  const bobCookie = cookieOf("bob", "chat");
  const stream = hold("chat", "/stream", aliceCookie);
  const socket = hold("chat", "/echo", aliceCookie, true);
  const bobs = hold("chat", "/stream", bobCookie);
  await until("all three are open", () => stream.bytes > 0 && bobs.bytes > 0 && socket.open);
  socket.say("hello");
  await until("the WebSocket echoes", () => socket.bytes > 0);
  const revoked = cliJson("revoke", "user", "alice", "--reason", "the walk");
  const cutMillis = revoked.cut.map((cut) => cut.after_ns / 1e6);
  await until("both are cut", () => stream.ended && socket.ended, 3000);
  saw("the streaming response is cut", stream.ended !== null, stream.ended?.how);
  saw("the WebSocket is closed with 1008", socket.closeCode === 1008, `${socket.closeCode}`);
  saw("time from commit to last byte", revoked.cut.length >= 2, `${cutMillis.map((ms) => ms.toFixed(3)).join(", ")} ms`);
  const before = bobs.bytes;
  await sleep(300);
  saw("bob's open connection is untouched", bobs.ended === null && bobs.bytes > before, `${bobs.bytes - before} more bytes`);
  saw("alice is out everywhere", curl(url("metrics", "/graph"), "-b", jar("alice")).status === 403);
  const restored = cli("restore", "user", "alice", "--reason", "the walk goes on");
  saw("the revocation can be taken back; her old sessions stay ended", restored.code === 0 && curl(url("metrics", "/graph"), "-b", jar("alice")).body.includes("session_ended"));

  step("6. Killed in the middle of traffic");
  const acknowledged = new Set();
  let traffic = true;
  const worker = async (path) => {
    while (traffic) {
      await new Promise((resolve) => {
        const outgoing = request({ host: "127.0.0.1", servername: "site.localhost", port, path, headers: { Host: `site.localhost:${port}`, Cookie: siteCookie },
          ca: readFileSync(join(data, "ca.pem")), agent: false, timeout: 2000 }, (response) => {
          response.resume();
          response.on("end", () => {
            if (response.headers["wary-decision"]) acknowledged.add(response.headers["wary-decision"]);
            resolve();
          });
          response.on("error", resolve);
        });
        outgoing.on("error", () => setTimeout(resolve, 10));
        outgoing.on("timeout", () => outgoing.destroy());
        outgoing.end();
      });
    }
  };
  browse("bob", url("site", "/"));
  const siteCookie = cookieOf("bob", "site");
  const workers = [worker("/"), worker("/reports/latest.txt"), worker("/payroll/2026.txt"), worker("/")];
  for (const name of ["wary-edge", "waryd", "wary-signer", "waryd", "wary-edge"]) {
    await sleep(400);
    const pid = pidOf(name);
    const count = acknowledged.size;
    process.kill(pid, "SIGKILL");
    await until(`${name} is back`, () => pidOf(name) !== pid, 15000);
    await until("traffic goes on", () => acknowledged.size > count + 5, 15000);
    saw(`${name} (pid ${pid}) was killed and is back`, true, `${acknowledged.size} answers acknowledged`);
  }
  // And the whole machine's worth of processes at once: the supervisor dies, and takes every child with it.
  const pids = ["wary-edge", "waryd", "wary-signer"].map(pidOf);
  dev.kill("SIGKILL");
  traffic = false;
  await Promise.all(workers);
  await until("all have ended", () => pids.every((pid) => { try { process.kill(pid, 0); return false; } catch { return true; } }), 5000);
  await platform.start();
  const events = await until("the ring is shipped", () => {
    const lines = spawnSync(wary, ["--data", data, "--output", "json", "ledger", "tail", "--last", "10000"], { encoding: "utf8", maxBuffer: 1 << 28 }).stdout;
    const recorded = new Set(lines.trim().split("\n").map((line) => JSON.parse(line).decision));
    return [...acknowledged].every((id) => recorded.has(id)) ? recorded : null;
  }, 10000).catch(() => null);
  saw("no acknowledged event is missing", events !== null, `${acknowledged.size} acknowledged`);
  const checked = cli("ledger", "check");
  saw("the ledger is whole", checked.code === 0, checked.text.trim());
  cli("ledger", "checkpoint");

  step("7. One flipped byte in what is stored");
  await platform.stop();
  const ledger = join(data, "waryd/ledger");
  const files = [];
  const collect = (directory) => {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      if (statSync(path).isDirectory()) collect(path);
      else if (statSync(path).size > 0) files.push(path);
    }
  };
  collect(ledger);
  const check = () => spawnSync(wary, ["--data", join(scratch, "nothing"), "ledger", "check", "--directory", ledger, "--key", join(data, "ledger.vkey")], { encoding: "utf8" });
  const whole = check();
  saw("undamaged, the stopped ledger is whole, offline", whole.status === 0, (whole.stdout || whole.stderr).trim());
  for (const file of files.sort()) {
    const handle = openSync(file, "r+");
    const at = Math.min(200, Math.floor(statSync(file).size / 2));
    const byte = Buffer.alloc(1);
    readSync(handle, byte, 0, 1, at);
    const flip = (value) => writeSync(handle, Buffer.from([value]), 0, 1, at);
    flip(byte[0] ^ 1);
    const found = check();
    flip(byte[0]);
    closeSync(handle);
    saw(`byte ${at} of ${file.replace(ledger + "/", "")} flipped: verification fails and says where`, found.status !== 0 && found.stderr.includes(`${file}, offset `),
      found.stderr.trim().split("\n")[0]);
  }
  saw("put back, it is whole again", check().status === 0);
}

await run(async () => {
  execFileSync("curl", ["--version"], { stdio: "ignore" });
  await walk();
}, cleanUp);
