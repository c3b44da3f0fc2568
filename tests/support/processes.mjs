// Processes, ports and directories of a test: what it started it stops, what it made it removes, and nothing else.
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const started = [];
const scratches = [];

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(what, probe, ms = 10000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(20);
  }
}
// Below the ports that the kernel gives to outgoing connections, and ours until this process ends: a second listener on another
// address of loopback says so to the tests beside this one.
export async function freePort() {
  const listen = (port, address) => new Promise((resolve) => {
    const server = createServer().on("error", () => resolve(null)).listen(port, address, () => resolve(server));
  });
  for (;;) {
    const port = 20000 + Math.floor(Math.random() * 12000);
    const claim = await listen(port, "127.77.0.1");
    if (claim === null) continue;
    const probe = await listen(port, "127.0.0.1");
    if (probe === null) {
      claim.close();
      continue;
    }
    claim.unref();
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}
export function makeScratch(name) {
  const scratch = mkdtempSync(join(tmpdir(), `wary-${name}-`));
  chmodSync(scratch, 0o755); // as root, wary's processes are other users
  scratches.push(scratch);
  return scratch;
}
export function start(name, command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  child.text = "";
  child.stdout.on("data", (bytes) => (child.text += bytes));
  child.stderr.on("data", (bytes) => (child.text += bytes));
  child.on("error", (error) => (child.text += `${error}\n`));
  child.ended = new Promise((resolve) => child.on("exit", resolve));
  child.label = name;
  started.push(child);
  return child;
}
export const isRunning = (child) => child.exitCode === null && child.signalCode === null;
// Of a process that the kernel still has, dead but not waited for or alive.
export function isAlive(pid) {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
// Ends what still runs, newest first.
export async function stopAll() {
  for (const child of started.splice(0).reverse()) {
    if (!isRunning(child)) continue;
    child.kill("SIGTERM");
    await Promise.race([child.ended, sleep(8000)]);
    if (isRunning(child)) child.kill("SIGKILL");
  }
}
// Scratch directories go when all held; otherwise a person wants to look.
export async function cleanUp(failed) {
  await stopAll();
  for (const scratch of scratches) {
    if (failed === 0) rmSync(scratch, { recursive: true, force: true });
    else console.log(`\nwhat it left: ${scratch}`);
  }
}
