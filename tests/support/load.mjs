// Clients that never stop: new connections, kept ones, HTTP/2, WebSockets; each looks at every answer and counts what went wrong.
//
//   const load = new Load(wary, "site", cookie);  load.begin({ fresh: 2, kept: 3, http2: 2, plain: 1, sockets: 20 });
//   ...  await load.end();  load.wrong  load.counts  load.decisions
import { request as requestPlain } from "node:http";
import { connect } from "node:http2";
import { Agent, request } from "node:https";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sleep } from "./processes.mjs";

const require = createRequire(fileURLToPath(new URL("../gateway/package.json", import.meta.url)));

let loads = 0;

export class Load {
  constructor(wary, host, cookie, { pause = 20 } = {}) {
    Object.assign(this, { wary, host, cookie, pause });
    this.ca = readFileSync(join(wary.data, "ca.pem"));
    this.counts = { fresh: 0, kept: 0, http2: 0, plain: 0, echoes: 0 };
    this.wrong = []; // what was not as it should be
    this.decisions = new Set();
    this.again = []; // paths of what was refused before anything was done, and asked again
    this.sockets = [];
    this.goes = true;
    this.runs = [];
    this.number = 0;
    this.own = (loads += 1); // so that no two ask for the same path
    this.paths = null; // other paths than its own, and what their bodies must be
  }
  begin({ fresh = 0, kept = 0, http2 = 0, plain = 0, sockets = 0 }) {
    for (let i = 0; i < fresh; ++i) this.runs.push(this.repeat("fresh", (path) => this.ask(path, false)));
    for (let i = 0; i < plain; ++i) this.runs.push(this.repeat("plain", (path) => this.ask(path, false, true)));
    for (let i = 0; i < kept; ++i) {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      this.runs.push(this.repeat("kept", (path) => this.ask(path, agent)).finally(() => agent.destroy()));
    }
    for (let i = 0; i < http2; ++i) this.runs.push(this.repeatHttp2());
    return Promise.all(Array.from({ length: sockets }, () => this.open()));
  }
  next() {
    this.number += 1;
    return this.paths ? this.paths(this.number) : { path: `/load/${this.own}/${this.number}` };
  }
  judge(what, { path, holds }, answer) {
    this.counts[what] += 1;
    if (answer.decision) this.decisions.add(answer.decision);
    let held = answer.status === 200;
    try {
      held = held && (holds ? holds(answer) : JSON.parse(answer.body).url === path);
    } catch {
      held = false;
    }
    if (!held) this.wrong.push(`${what} ${path}: ${answer.status} ${answer.error ?? answer.body.slice(0, 100)}`);
  }
  async repeat(what, ask) {
    while (this.goes) {
      const next = this.next();
      this.judge(what, next, await ask(next.path));
      await sleep(this.pause);
    }
  }
  ask(path, agent, plain = false) {
    return new Promise((resolve) => {
      const failed = (error) => resolve({ status: 0, error: error.code ?? error.message, body: "" });
      const over = plain ? { port: this.wary.plainPort } : { servername: `${this.host}.localhost`, port: this.wary.port, ca: this.ca };
      const outgoing = (plain ? requestPlain : request)({ host: "127.0.0.1", path, agent, timeout: 8000, ...over,
        headers: { Host: `${this.host}.localhost:${this.wary.port}`, Cookie: this.cookie } }, (response) => {
        let body = "";
        response.on("data", (bytes) => (body += bytes));
        response.on("end", () => resolve({ status: response.complete ? response.statusCode : 0, decision: response.headers["wary-decision"], body, error: response.complete ? undefined : "cut" }));
        response.on("error", failed);
      });
      outgoing.on("error", failed);
      outgoing.on("timeout", () => outgoing.destroy(new Error("nothing for 8 s")));
      outgoing.end();
    });
  }
  async repeatHttp2() {
    let session = null;
    while (this.goes) {
      // One that was told to go elsewhere takes no request more.
      if (session === null || session.closed || session.destroyed) {
        session = this.connect();
      }
      const several = [1, 2, 3].map(async () => {
        const next = this.next();
        let answer = await this.askHttp2(session, next.path);
        // RFC 9113 section 8.7: nothing was done. Node says so itself of what it had not sent when a GOAWAY came.
        if (/REFUSED_STREAM/.test(answer.error ?? "")) {
          this.again.push(next.path);
          if (session.closed || session.destroyed) session = this.connect();
          answer = await this.askHttp2(session, next.path);
        }
        this.judge("http2", next, answer);
      });
      await Promise.all(several);
      await sleep(this.pause);
    }
    if (session !== null && !session.closed) session.close();
  }
  connect() {
    const session = connect(`https://127.0.0.1:${this.wary.port}`, { ca: this.ca, servername: `${this.host}.localhost` });
    session.on("error", (error) => this.wrong.push(`http2 session: ${error.code ?? error.message}`));
    return session;
  }
  askHttp2(session, path) {
    return new Promise((resolve) => {
      const stream = session.request({ ":path": path, ":authority": `${this.host}.localhost:${this.wary.port}`, cookie: this.cookie });
      const answer = { status: 0, body: "" };
      stream.setTimeout(8000, () => stream.close(8));
      stream.on("response", (headers) => Object.assign(answer, { status: headers[":status"], decision: headers["wary-decision"] }));
      stream.on("data", (bytes) => (answer.body += bytes));
      stream.on("error", (error) => (answer.error = error.message));
      stream.on("close", () => resolve(stream.rstCode === 0 && !answer.error ? answer : { ...answer, status: 0, error: answer.error ?? `reset ${stream.rstCode}` }));
      stream.end();
    });
  }
  // A WebSocket that echoes as long as it may; `closed` has the code of its end.
  open(cookie = this.cookie) {
    const WebSocket = require("ws");
    return new Promise((resolve) => {
      const socket = new WebSocket(`wss://127.0.0.1:${this.wary.port}/ws`, { ca: this.ca, servername: `${this.host}.localhost`, headers: { Host: `${this.host}.localhost`, Cookie: cookie } });
      const one = { socket, closed: null, echoes: 0, waiting: new Map(), sent: 0 };
      socket.on("open", () => resolve(one));
      socket.on("message", (data) => {
        const text = data.toString();
        const waits = one.waiting.get(text);
        if (waits === undefined) return this.wrong.push(`a WebSocket heard ${text}`);
        one.waiting.delete(text);
        one.echoes += 1;
        this.counts.echoes += 1;
        waits();
      });
      socket.on("error", (error) => (one.error = error.message));
      socket.on("unexpected-response", (_, response) => (one.error = `status ${response.statusCode}`));
      socket.on("close", (code) => {
        one.closed = code;
        for (const waits of one.waiting.values()) waits();
        resolve(one);
      });
      this.sockets.push(one);
    });
  }
  // True when all that are open gave back what was sent to them, within the time.
  async echoAll(ms = 5000) {
    const open = this.sockets.filter((one) => one.closed === null);
    const before = open.map((one) => one.echoes);
    const all = Promise.all(open.map((one) => new Promise((resolve) => {
      const text = `echo ${(one.sent += 1)}`;
      one.waiting.set(text, resolve);
      one.socket.send(text);
    })));
    await Promise.race([all, sleep(ms)]);
    return open.length > 0 && open.every((one, i) => one.closed === null && one.echoes === before[i] + 1);
  }
  async end() {
    this.goes = false;
    await Promise.all(this.runs);
    for (const one of this.sockets) one.socket.terminate();
  }
}
