// edge_probe.mjs PORT CA SECONDS: somebody who has nothing to do with it, and asks fifty times a second meanwhile. One line of JSON.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";

const [port, ca, seconds] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 4, ca: readFileSync(ca), servername: "localhost" });
const took = [];
let failed = 0;
const ask = () => new Promise((resolve) => {
  const begin = process.hrtime.bigint();
  const done = (held) => {
    if (held) took.push(Number(process.hrtime.bigint() - begin) / 1e6);
    else failed += 1;
    resolve();
  };
  const outgoing = request({ host: "127.0.0.1", port, path: "/probe", agent, timeout: 5000, headers: { Host: `localhost:${port}` } }, (answer) => {
    answer.resume();
    answer.on("end", () => done(answer.statusCode === 200)).on("error", () => done(false));
  });
  outgoing.on("error", () => done(false)).on("timeout", () => outgoing.destroy(new Error("slow")));
  outgoing.end();
});
const end = Date.now() + Number(seconds) * 1000;
const all = [];
while (Date.now() < end) {
  all.push(ask());
  await new Promise((resolve) => setTimeout(resolve, 20));
}
await Promise.all(all);
took.sort((a, b) => a - b);
const at = (share) => took[Math.floor((took.length - 1) * share)] ?? 0;
console.log(JSON.stringify({ count: took.length, failed, p50: at(0.5), p99: at(0.99), most: at(1) }));
process.exit(0);
