// A whole wary on this machine: `wary dev` on a data directory of its own, its commands, and clients of its applications.
//
//   const wary = new Platform(scratch, await freePort());
//   await wary.start();  wary.apply(path);  wary.signIn("alice");  wary.curl(wary.url("site", "/"));
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { request } from "node:https";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isAlive, isRunning, start, until } from "./processes.mjs";

export const root = process.env.WARY_ROOT ?? join(dirname(fileURLToPath(import.meta.url)), "../..");
export const build = process.env.WARY_BUILD ?? join(root, "build/dev");
export const wary = join(build, "bin/wary");
export const daemons = ["wary-signer", "waryd", "wary-agent", "wary-federation", "wary-edge"];
const sanitized = (process.env.WARY_SANITIZED ?? "") !== "";

export class Platform {
  // `as`: the uid to run as instead of this one (needs root); `bin`: other programs than the built ones; `words`: more options
  // of `wary dev`; `plain`: the port where it listens without TLS, too.
  constructor(scratch, port, { data = join(scratch, "data"), as = null, bin = join(build, "bin"), environment = {}, words = [], plain = null } = {}) {
    Object.assign(this, { scratch, port, data, as, bin, environment, words, plainPort: plain, wary: join(bin, "wary") });
    if (plain !== null) this.words = [...words, "--plain-listen", `127.0.0.1:${plain}`];
    this.origin = `https://console.localhost:${port}`;
  }
  command(words) {
    if (this.as === null) return [this.wary, words];
    return ["setpriv", [`--reuid=${this.as}`, `--regid=${this.as}`, "--clear-groups", this.wary, ...words]];
  }
  launch(...extra) {
    const [program, words] = this.command(["--data", this.data, "dev", "--listen", `127.0.0.1:${this.port}`, ...this.words, ...extra]);
    return start("wary dev", program, words, { env: { ...process.env, ...this.environment } });
  }
  // Until it says that it is ready; an end before that is an error with what it printed.
  async start(ms = sanitized ? 60000 : 20000) {
    const begin = process.hrtime.bigint();
    this.child = this.launch();
    await until("wary dev is ready", () => {
      if (!isRunning(this.child)) throw new Error(`wary dev ended: ${this.child.text}`);
      return this.child.text.includes("wary is ready");
    }, ms);
    return { child: this.child, millis: Number((process.hrtime.bigint() - begin) / 1000000n) };
  }
  async stop(signal = "SIGTERM") {
    const pids = this.pids();
    const begin = Date.now();
    this.child.kill(signal);
    await this.child.ended;
    const millis = Date.now() - begin;
    await until("its processes have ended", () => pids.every((pid) => !isAlive(pid)), 5000);
    return millis;
  }
  pids() {
    return daemons.map((name) => this.pidOf(name));
  }
  // The pid of a process of ours, from what it logged when it was ready.
  pidOf(name) {
    const lines = readFileSync(join(this.data, "log", `${name}.log`), "utf8").trim().split("\n").reverse();
    for (const line of lines) {
      if (!line.includes('"process.ready"')) continue;
      return JSON.parse(line).pid;
    }
    throw new Error(`${name} was never ready`);
  }
  log(name) {
    const path = join(this.data, "log", `${name}.log`);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  // Runs `wary ...`; gives its output whatever its exit code.
  cli(...words) {
    const [program, all] = this.command(["--data", this.data, ...words]);
    const done = spawnSync(program, all, { encoding: "utf8", maxBuffer: 1 << 28, timeout: 60000 });
    return { code: done.status, out: done.stdout, err: done.stderr, text: done.stdout + done.stderr };
  }
  cliJson(...words) {
    const [program, all] = this.command(["--data", this.data, "--output", "json", ...words]);
    const done = spawnSync(program, all, { encoding: "utf8", maxBuffer: 1 << 28, timeout: 60000 });
    if (done.status !== 0) throw new Error(`wary ${words.join(" ")}: ${done.stderr}`);
    return JSON.parse(done.stdout);
  }
  // The newest events of the ledger, oldest first.
  events(count) {
    const [program, all] = this.command(["--data", this.data, "--output", "json", "ledger", "tail", "--last", String(count)]);
    const done = spawnSync(program, all, { encoding: "utf8", maxBuffer: 1 << 28, timeout: 60000 });
    if (done.status !== 0) throw new Error(`wary ledger tail: ${done.stderr}`);
    return done.stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  }

  url(host, path) {
    return `https://${host}.localhost:${this.port}${path}`;
  }
  plainUrl(host, path) {
    return `http://${host}.localhost:${this.plainPort}${path}`;
  }
  jar(name) {
    return join(this.scratch, `${name}.jar`);
  }
  // Runs curl against an application; the answer's status, headers and body.
  curl(url, ...extra) {
    const done = spawnSync("curl", ["-sS", "-i", "--max-time", "10", "--cacert", join(this.data, "ca.pem"), ...extra, url], { encoding: "utf8", maxBuffer: 1 << 28 });
    if (done.status !== 0) return { status: 0, head: "", body: "", error: done.stderr.trim() };
    // The last answer of a chain of redirects, past interim ones.
    const parts = done.stdout.split(/\r\n\r\n/);
    let at = 0;
    while (at + 1 < parts.length && parts[at + 1].startsWith("HTTP/")) at += 1;
    return { status: Number(parts[at].split(" ")[1]), head: parts[at], body: parts.slice(at + 1).join("\r\n\r\n") };
  }
  // A path of a unix socket under run/: the admin socket's API as any program sees it.
  socket(name, path, ...extra) {
    const done = spawnSync("curl", ["-sS", "-i", "--max-time", "10", "--unix-socket", join(this.data, "run/waryd", name), ...extra, `http://localhost${path}`],
      { encoding: "utf8" });
    if (done.status !== 0) return { status: 0, body: "", error: done.stderr.trim() };
    const at = done.stdout.indexOf("\r\n\r\n");
    return { status: Number(done.stdout.split(" ")[1]), head: done.stdout.slice(0, at), body: done.stdout.slice(at + 4) };
  }
  // A person's browser, as far as curl is one: the one-time link's code, then the console's cookie in their jar.
  signIn(name) {
    const link = this.cliJson("session", "create", name);
    const answer = this.curl(`${this.origin}/api/signin`, "-c", this.jar(name), "-H", `Origin: ${this.origin}`, "-H",
      "Content-Type: application/json", "-d", JSON.stringify({ code: link.code }));
    return { answer, code: link.code };
  }
  browse(name, address) {
    return this.curl(address, "-L", "-b", this.jar(name), "-c", this.jar(name), "-H", "Accept: text/html");
  }
  // The cookie of one host in a jar of curl's.
  cookieOf(name, host) {
    for (const line of readFileSync(this.jar(name), "utf8").split("\n")) {
      const [domain, , , , , cookie, value] = line.replace(/^#HttpOnly_/, "").split("\t");
      if (domain === `${host}.localhost` && cookie === "__Host-wary_session") return `${cookie}=${value}`;
    }
    return "";
  }
  // One request of a program; `status` 0 and the error when no whole answer came.
  get(host, path, cookie, { method = "GET", timeout = 3000, signal } = {}) {
    this.ca ??= readFileSync(join(this.data, "ca.pem"));
    const failed = (error) => ({ status: 0, error: error.code ?? error.message ?? error });
    return new Promise((resolve) => {
      const outgoing = request({ host: "127.0.0.1", servername: `${host}.localhost`, port: this.port, path, method,
        headers: { Host: `${host}.localhost:${this.port}`, ...(cookie ? { Cookie: cookie } : {}) }, ca: this.ca, agent: false, timeout, signal }, (response) => {
        let body = "";
        response.on("data", (bytes) => (body += bytes));
        response.on("end", () => resolve(response.complete ? { status: response.statusCode, decision: response.headers["wary-decision"], body } : failed("cut")));
        response.on("error", (error) => resolve(failed(error)));
      });
      outgoing.on("error", (error) => resolve(failed(error)));
      outgoing.on("timeout", () => outgoing.destroy(new Error(`nothing for ${timeout} ms`)));
      outgoing.end();
    });
  }
}
