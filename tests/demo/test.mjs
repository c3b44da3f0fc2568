#!/usr/bin/env node
// tools/run and tools/demo-apps: what they say and how they end when something is in the way. The programs behind wary are
// stand-ins, in a tree of their own; wary is the built one.
import { chmodSync, cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { run, saw, skip, step } from "../support/checks.mjs";
import { cleanUp, freePort, isAlive, isRunning, makeScratch, start, until } from "../support/processes.mjs";
import { build, root } from "../support/platform.mjs";

const answers = (port) => new Promise((resolve) => {
  const socket = connect(port, "127.0.0.1", () => socket.destroy() && resolve(true)).on("error", () => resolve(false));
});
const program = (path, text) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
};
function makeTree(scratch) {
  const tree = join(scratch, "tree");
  for (const part of ["tools", "examples"]) cpSync(join(root, part), join(tree, part), { recursive: true });
  program(join(tree, "build/demo/nginx/usr/sbin/nginx"), "#!/bin/sh\nexec sleep 600\n");
  program(join(tree, "build/demo/prometheus/usr/bin/prometheus"), "#!/bin/sh\nexec sleep 600\n");
  program(join(tree, "bin/ninja"), "#!/bin/sh\n");
  program(join(tree, "build/dev/build.ninja"), "");
  symlinkSync(join(build, "bin"), join(tree, "build/dev/bin"));
  return tree;
}
// The pids that tools/demo-apps wrote: nginx, prometheus, chat.
const appsOf = (directory) => readFileSync(join(directory, "pids"), "utf8").trim().split(" ").map(Number);

async function applications(tree, scratch) {
  step("tools/demo-apps");
  const ports = [await freePort(), await freePort(), await freePort()];
  for (const [index, name] of ["nginx", "prometheus", "chat"].entries()) {
    const directory = join(scratch, `apps-${name}`);
    const apps = start(name, join(tree, "tools/demo-apps"), [directory, ...ports.map(String)]);
    await until("it runs", () => answers(ports[2]));
    const pids = await until("its pids are known", () => { try { return appsOf(directory); } catch { return null; } });
    process.kill(pids[index], "SIGKILL");
    await apps.ended;
    saw(`${name} dies: it ends with 1 and says so`, apps.exitCode === 1 && apps.text.includes(`${name} ended by itself`), apps.text.trim());
    saw("and takes the others along", pids.every((pid) => !isAlive(pid)));
  }
  const first = start("apps", join(tree, "tools/demo-apps"), [join(scratch, "first"), ...ports.map(String)]);
  await until("it runs", () => answers(ports[2]));
  const second = start("apps", join(tree, "tools/demo-apps"), [join(scratch, "second"), ...ports.map(String)]);
  await second.ended;
  saw("a port that is taken: one line that names it", second.exitCode === 1 && second.text.includes(`127.0.0.1:${ports[2]}`), second.text.trim());
  first.kill("SIGTERM");
  await first.ended;
  saw("told to end, it ends with 0", first.exitCode === 0 && first.text === "", first.text.trim());
}

async function demo(tree, scratch) {
  step("tools/run");
  for (const port of [19090, 18080, 18081]) {
    if (await answers(port)) return skip(`tools/run: port ${port} of the demo is taken`);
  }
  const port = await freePort();
  const environment = { ...process.env, PATH: `${join(tree, "bin")}:${process.env.PATH}`, WARY_PRESET: "dev", TMPDIR: scratch };
  const launch = (...extra) => start("run", join(tree, "tools/run"), ["--port", String(port), "--data", join(scratch, "data"), ...extra], { env: environment, detached: true });
  const loaded = "The demo is loaded";
  const first = launch();
  await until("the demo is there", () => first.text.includes("Ctrl-C stops everything") || !isRunning(first), 30000);
  saw("it is ready first, then says what to try", first.text.indexOf("wary is ready") >= 0 && first.text.indexOf("wary is ready") < first.text.indexOf(loaded), first.text.split("\n")[1]);
  const second = launch();
  await second.ended;
  saw("a second one on the same data fails, and does not claim the first one's demo as its own",
    second.exitCode > 0 && !second.text.includes(loaded), second.text.trim().split("\n").slice(-2).join(" / "));
  saw("the first one goes on", isRunning(first) && (await answers(port)));
  // Ctrl-C at a terminal goes to the whole group: applications in it would end by themselves, and be told as broken.
  const group = (pid) => readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ")[2];
  saw("a terminal's Ctrl-C reaches the run and not its applications", group(findChat(scratch)) !== group(first.pid));
  process.kill(-first.pid, "SIGINT");
  await first.ended;
  saw("and says nothing of applications that ended by themselves", !first.text.includes("by itself"), first.text.trim().split("\n").pop());
  saw("Ctrl-C: it ends with 0 and nothing is left", first.exitCode === 0 && !(await answers(port)) && !(await answers(18081)), `${first.exitCode}`);

  const third = launch();
  await until("the demo is there", () => third.text.includes("Ctrl-C stops everything") || !isRunning(third), 30000);
  const chat = third.text.includes(loaded) ? await until("the applications' pids are known", () => findChat(scratch)) : 0;
  process.kill(chat, "SIGKILL");
  await third.ended;
  saw("an application dies: all of it ends, with a status that is not 0", third.exitCode > 0 && third.text.includes("chat ended by itself") && !(await answers(port)), `${third.exitCode}`);
}
// Nothing until they are written; what an earlier run left behind is dead.
function findChat(scratch) {
  for (const name of readdirSync(scratch)) {
    if (!name.startsWith("tmp.")) continue;
    try {
      const chat = appsOf(join(scratch, name))[2];
      if (isAlive(chat)) return chat;
    } catch {}
  }
  return null;
}

await run(async () => {
  const scratch = makeScratch("demo");
  const tree = makeTree(scratch);
  await applications(tree, scratch);
  await demo(tree, scratch);
}, cleanUp);
