#!/usr/bin/env node
// The privileges of wary's processes, read from outside: /proc, the sockets they hold, and who is answered.
import { chownSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { run, sanitized, saw, skip, step } from "../support/checks.mjs";
import { cleanUp, freePort, makeScratch } from "../support/processes.mjs";
import { Platform, daemons } from "../support/platform.mjs";

const nobody = 65534;
const status = (pid) => Object.fromEntries(readFileSync(`/proc/${pid}/status`, "utf8").split("\n").filter(Boolean).map((line) => line.split(/:\s*/, 2)));

// Inodes of the sockets a process holds, and which of them are TCP or UDP of any kind, with where they listen.
function sockets(pid) {
  const inodes = new Set();
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    const target = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`));
    if (target) inodes.add(target[1]);
  }
  const network = [];
  for (const table of ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "udplite", "packet"]) {
    let lines = [];
    try {
      lines = readFileSync(`/proc/${pid}/net/${table}`, "utf8").trim().split("\n").slice(1);
    } catch {
      continue;
    }
    for (const line of lines) {
      const fields = line.trim().split(/\s+/);
      const inode = table === "packet" ? fields[8] : fields[9];
      if (inodes.has(inode)) network.push({ table, local: fields[1], state: fields[3] });
    }
  }
  return network;
}

function checkProcess(wary, name, pid, isRoot) {
  const now = status(pid);
  // The agent alone keeps two, as root: to see which programs other users run, and to read them (19 and 2 of
  // linux/capability.h).
  const keeps = name === "wary-agent" && isRoot;
  const zero = (field) => (keeps && /^Cap(Prm|Eff)$/.test(field) ? now[field] === "0000000000080004" : /^0+$/.test(now[field]));
  const sets = isRoot ? ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] : ["CapInh", "CapPrm", "CapEff", "CapAmb"];
  saw(`${name}: no capability ${keeps ? "but two " : ""}in ${sets.join(", ")}`, sets.every(zero), sets.map((set) => now[set]).join(" "));
  saw(`${name}: no new privileges, a seccomp filter`, now.NoNewPrivs === "1" && now.Seccomp === "2");
  saw(`${name}: every thread has the filter`, readdirSync(`/proc/${pid}/task`).every((task) => {
    const thread = readFileSync(`/proc/${pid}/task/${task}/status`, "utf8");
    return /^Seccomp:\s+2$/m.test(thread) && /^NoNewPrivs:\s+1$/m.test(thread);
  }));
  saw(`${name}: no supplementary groups`, now.Groups.trim() === "", now.Groups);
  saw(`${name}: no core files`, /^Max core file size\s+0\s+0\s/m.test(readFileSync(`/proc/${pid}/limits`, "utf8")));
  // The kernel gives the entries of a process that cannot be dumped to root.
  if (isRoot || process.getuid() === 0) saw(`${name}: cannot be dumped or traced by its own user`, statSync(`/proc/${pid}/fd`).uid === 0);
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  const foreign = open.filter((target) => target.startsWith("/") && !target.startsWith(wary.data) && target !== "/dev/null");
  saw(`${name}: holds no file outside its data directory`, foreign.length === 0, foreign.join(" "));
  saw(`${name}: holds no pipe but its log`, new Set(open.filter((target) => target.startsWith("pipe:"))).size === 1);
}

function checkSockets(wary, pids, federates = null) {
  const [signer, waryd, agent, federation, edge] = pids.map(sockets);
  saw("wary-signer has no network socket", signer.length === 0);
  saw("waryd has no network socket", waryd.length === 0);
  saw("wary-agent has no network socket", agent.length === 0);
  const hexOf = (port) => port.toString(16).toUpperCase().padStart(4, "0");
  if (federates === null) saw("wary-federation has no network socket while it federates with nobody", federation.length === 0);
  else saw("wary-federation listens on loopback and its port alone", federation.length === 1 && federation[0].state === "0A" &&
    federation[0].local === `0100007F:${hexOf(federates)}`, federation.map((socket) => socket.local).join(" "));
  const hex = hexOf(wary.port);
  const listening = edge.filter((socket) => socket.state === "0A");
  saw("wary-edge listens on loopback and its port alone", listening.length > 0 && listening.every((socket) => socket.local === `0100007F:${hex}`),
    listening.map((socket) => socket.local).join(" "));
  saw("wary-edge holds nothing else of the network", edge.every((socket) => socket.table === "tcp" && socket.state !== "07"));
}

// Another user of the machine: no way to a socket, and no place under run/.
function checkStranger(wary) {
  const knock = (path) => {
    const code = `const s=require("node:net").connect(${JSON.stringify(path)});let got=0;s.on("data",(b)=>got+=b.length);
s.on("error",(e)=>{console.log(e.code);process.exit()});s.on("close",()=>{console.log("closed "+got);process.exit()});
s.write(Buffer.from([0,0,0,15,1,...Buffer.from('{"op":"public"}')]));setTimeout(()=>{console.log("open "+got);process.exit()},1500)`;
    return spawnSync("setpriv", [`--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups", process.execPath, "-e", code], { encoding: "utf8" }).stdout.trim();
  };
  for (const socket of ["signer/control.sock", "signer/edge.sock", "waryd/link.sock"]) {
    const answer = knock(join(wary.data, "run", socket));
    saw(`another user cannot even reach ${socket}`, answer === "EACCES", answer);
  }
  const asNobody = (...words) => spawnSync("setpriv", [`--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups", ...words], { encoding: "utf8" });
  const admin = asNobody("curl", "-sS", "--max-time", "5", "--unix-socket", join(wary.data, "run/waryd/admin.sock"), "http://localhost/v1/health");
  saw("another user cannot even reach admin.sock", admin.status === 7 && admin.stdout === "", admin.stderr.trim());
  const console_ = asNobody("curl", "-sS", "--max-time", "5", "--unix-socket", join(wary.data, "run/waryd/console.sock"), "-H", 'Wary-Principal: Wary::User::"owner"', "http://localhost/api/me");
  saw("another user cannot even reach console.sock", console_.status === 7 && console_.stdout === "", console_.stderr.trim());
  const made = asNobody("touch", join(wary.data, "run/waryd/link.sock.new"));
  saw("another user cannot make a file under run/", made.status !== 0, made.stderr.trim());
  for (const place of ["signer", "waryd", "edge", "agent", "federation", "log"]) {
    saw(`another user cannot look into ${place}/`, asNobody("ls", join(wary.data, place)).status !== 0);
  }
}

await run(async () => {
  const isRoot = process.getuid() === 0;
  const scratch = makeScratch("privileges");
  const federates = await freePort();
  const wary = new Platform(scratch, await freePort(), { words: ["--federation-listen", `127.0.0.1:${federates}`] });
  if (isRoot) {
    step("as root");
    await wary.start();
    const pids = wary.pids();
    const uids = pids.map((pid) => status(pid).Uid.split(/\s+/));
    saw("each process has a user of its own, none root", new Set(uids.map((uid) => uid[0])).size === daemons.length && uids.every((uid) => uid.every((one) => one === uid[0] && one !== "0")),
      uids.map((uid) => uid[0]).join(" "));
    saw("no process has root's group", pids.every((pid) => status(pid).Gid.split(/\s+/).every((gid) => gid !== "0")));
    daemons.forEach((name, i) => checkProcess(wary, name, pids[i], true));
    checkSockets(wary, pids, federates);
    checkStranger(wary);
    saw("stops in 3 s", (await wary.stop()) < (sanitized ? 15000 : 3000));
  } else {
    skip("as root: three users and the bounding set need root");
  }

  step("as a person");
  if (isRoot && spawnSync("setpriv", ["--version"]).status !== 0) return skip("as a person: no setpriv");
  const home = join(scratch, "person");
  mkdirSync(home);
  if (isRoot) chownSync(home, nobody, nobody);
  const own = new Platform(scratch, await freePort(), { data: join(home, "data"), as: isRoot ? nobody : null });
  await own.start();
  const user = String(isRoot ? nobody : process.getuid());
  const pids = own.pids();
  saw("every process is that person's", pids.every((pid) => status(pid).Uid.split(/\s+/).every((uid) => uid === user)));
  if (isRoot) {
    daemons.forEach((name, i) => checkProcess(own, name, pids[i], false));
    checkSockets(own, pids);
  } else {
    skip("as a person: the entries of processes that cannot be dumped are readable by root alone");
  }
  saw("wary dev says whom the agent sees", own.child.text.includes("only its own programs are"));
  await own.stop();

  step("loopback only");
  for (const address of ["0.0.0.0", "[::]", "192.0.2.1"]) {
    const refused = wary.cli("dev", "--listen", `${address}:${wary.port}`);
    const plain = wary.cli("dev", "--listen", `127.0.0.1:${wary.port}`, "--plain-listen", `${address}:${wary.port + 1}`);
    saw(`--plain-listen ${address} is refused`, plain.code !== 0 && plain.err.includes("listen_not_loopback"), plain.err.trim().split("\n")[0]);
    saw(`--listen ${address} is refused`, refused.code !== 0 && refused.err.includes("listen_not_loopback"), refused.err.trim().split("\n")[0]);
  }
  const twice = wary.cli("dev", "--listen", `127.0.0.1:${wary.port}`, "--plain-listen", `127.0.0.1:${wary.port}`);
  saw("one port with TLS and without is refused", twice.code !== 0 && twice.err.includes("listen_twice"), twice.err.trim().split("\n")[0]);
}, cleanUp);
