#!/usr/bin/env node
// The signer as a process with its sandbox closed, its root in a TPM and the other keys in an HSM (software ones of Debian's, on
// loopback and in a scratch directory): it makes keys, signs and rotates there, and says in one line what keeps it from starting.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { run, saw, skip, step } from "../support/checks.mjs";
import { build } from "../support/platform.mjs";
import { cleanUp, freePort, makeScratch, sleep, until } from "../support/processes.mjs";

const module = "/usr/lib/softhsm/libsofthsm2.so";
const children = new Set();

function start(program, args, env = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  child.text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => { child.text += data; });
  child.ended = new Promise((resolve) => child.on("exit", (code, signal) => { children.delete(child); resolve({ code, signal }); }));
  return child;
}

// One request of the control role: a frame of type 1, answered by one of type 2.
function ask(socket, request) {
  return new Promise((resolve, reject) => {
    const stream = connect(socket);
    const payload = Buffer.from(JSON.stringify(request));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(payload.length + 1);
    head[4] = 1;
    let got = Buffer.alloc(0);
    stream.setTimeout(20_000, () => reject(new Error("no answer")));
    stream.on("error", reject);
    stream.on("close", () => reject(new Error("closed")));
    stream.on("data", (data) => {
      got = Buffer.concat([got, data]);
      if (got.length < 5 || got.length < 4 + got.readUInt32BE(0)) return;
      resolve(JSON.parse(got.subarray(5, 4 + got.readUInt32BE(0))));
      stream.destroy();
    });
    stream.write(Buffer.concat([head, payload]));
  });
}

const pem = (der) => `-----BEGIN CERTIFICATE-----\n${der.match(/.{1,64}/g).join("\n")}\n-----END CERTIFICATE-----\n`;

async function body() {
  for (const need of [module, "/usr/bin/softhsm2-util", "/usr/bin/swtpm"]) {
    if (!existsSync(need)) return skip(`${need} is missing`);
  }
  const scratch = makeScratch("keystores");
  const at = (...parts) => join(scratch, ...parts);
  for (const directory of ["signer", "run", "run/signer", "tokens", "tpm"]) mkdirSync(at(directory), { recursive: true, mode: 0o700 });
  writeFileSync(at("softhsm2.conf"), `directories.tokendir = ${at("tokens")}\n`);
  writeFileSync(at("pin"), "123456\n", { mode: 0o600 });
  const env = { SOFTHSM2_CONF: at("softhsm2.conf") };
  const made = spawnSync("softhsm2-util", ["--init-token", "--free", "--label", "wary", "--pin", "123456", "--so-pin", "654321"], { env: { ...process.env, ...env } });
  saw("a token", made.status === 0);
  const port = await freePort();
  const tpm = start("/usr/bin/swtpm", ["socket", "--tpm2", "--tpmstate", `dir=${at("tpm")}`, "--server", `type=tcp,bindaddr=127.0.0.1,port=${port}`,
    "--ctrl", `type=tcp,bindaddr=127.0.0.1,port=${port + 1}`, "--flags", "not-need-init,startup-clear"]);
  await sleep(500);
  // As with a real TPM's device, everything goes over descriptors that are open before the sandbox closes.
  writeFileSync(at("pipe"), `exec 3<>/dev/tcp/127.0.0.1/${port}\ncat <&3 &\ncat >&3\nkill %1\n`);
  const stores = {
    root: "tpm", intermediate: "pkcs11", token: "pkcs11",
    tpm: { tcti: `cmd:bash ${at("pipe")}`, pinFile: at("pin") },
    pkcs11: { module, token: "wary", pinFile: at("pin"), directories: [at("tokens")] },
  };
  const configure = (change) => writeFileSync(at("signer/keystores.json"), JSON.stringify(Object.assign(structuredClone(stores), change)));
  const signer = async (directory = "signer") => {
    // With sanitizers: leaks cannot be looked for inside the sandbox, which hides the process's own /proc from it.
    const child = start(join(build, "bin/wary-signer"), ["--directory", at(directory), "--run", at("run")],
      { ...env, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ""}:detect_leaks=0` });
    await Promise.race([until("ready", () => child.text.includes("process.ready"), 20_000), child.ended]);
    return child;
  };
  const socket = at("run/signer/control.sock");

  step("keys of a TPM and an HSM, behind the closed sandbox");
  configure({});
  let child = await signer();
  saw("starts", child.text.includes("process.ready"), child.text.includes("process.ready") ? "" : child.text);
  spawnSync("openssl", ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at("key"), "-subj", "/CN=x", "-outform", "DER", "-out", at("csr")]);
  const csr = readFileSync(at("csr")).toString("base64");
  const issueAndVerify = async (what) => {
    const issued = await ask(socket, { op: "certificate.issue", csr, spiffe_id: "spiffe://local/default/x" });
    const trusted = await ask(socket, { op: "authorities" });
    writeFileSync(at("leaf.pem"), pem(issued.chain[0]));
    writeFileSync(at("between.pem"), pem(issued.chain[1]));
    writeFileSync(at("roots.pem"), trusted.x509_roots.map(pem).join(""));
    const checked = spawnSync("openssl", ["verify", "-x509_strict", "-CAfile", at("roots.pem"), "-untrusted", at("between.pem"), at("leaf.pem")], { encoding: "utf8" });
    saw(what, checked.status === 0, checked.stderr);
    return { issued, trusted };
  };
  const first = await issueAndVerify("a leaf that openssl verifies");
  for (const kind of ["intermediate", "token", "root"]) {
    const after = await ask(socket, { op: "ca.rotate", kind, at_once: true, grace_seconds: 0 });
    saw(`a new ${kind}, made inside the sandbox`, after.error === undefined, after.error?.code ?? "");
  }
  const second = await issueAndVerify("a leaf under the new root");
  saw("root and intermediate are others", second.trusted.x509_roots[0] !== first.trusted.x509_roots[0] && second.issued.chain[1] !== first.issued.chain[1]);
  const token = await ask(socket, { op: "jwt.sign", spiffe_id: "spiffe://local/default/x", audiences: ["y"], ttl_seconds: 60 });
  saw("a token", token.token?.split(".").length === 3);
  saw("one root's blob and no sealed file lie there", readdirSync(at("signer/keys")).every((name) => /^root-[a-z2-7]+\.tpm$/.test(name)) && readdirSync(at("signer/keys")).length === 1,
    readdirSync(at("signer/keys")).join(" "));
  saw("no PIN in what it says", !child.text.includes("123456"));
  // Its end is not looked at here: the library waits for the pipe's program then, which the sandbox forbids and no device needs.
  child.kill("SIGTERM");
  await child.ended;
  child = await signer();
  const third = await issueAndVerify("a leaf after a restart");
  saw("the same root", third.trusted.x509_roots[0] === second.trusted.x509_roots[0]);
  child.kill("SIGTERM");
  await child.ended;

  step("an HSM alone");
  mkdirSync(at("second"), { mode: 0o700 });
  writeFileSync(at("second/keystores.json"), JSON.stringify({ ...stores, root: "pkcs11", tpm: undefined }));
  child = await signer("second");
  await issueAndVerify("a leaf that openssl verifies");
  const rotated = await ask(socket, { op: "ca.rotate", kind: "root", at_once: true, grace_seconds: 0 });
  saw("a new root, made inside the sandbox", rotated.error === undefined && rotated.x509_roots.length === 1);
  child.kill("SIGTERM");
  saw("ends", (await child.ended).code === 0, child.text.slice(-4000));

  step("what keeps it from starting is one line");
  writeFileSync(at("wrong"), "1234567\n", { mode: 0o600 });
  const refused = async (what, change, code) => {
    configure(change);
    const broken = await signer();
    saw(what, broken.text.includes(`"${code}"`) && !broken.text.includes("process.ready") && !broken.text.includes("1234567"), broken.text.slice(-300));
    if (broken.exitCode === null) broken.kill("SIGTERM");
    await broken.ended;
  };
  await refused("a wrong PIN", { pkcs11: { ...stores.pkcs11, pinFile: at("wrong") } }, "key_store_pin");
  await refused("no PIN file", { pkcs11: { ...stores.pkcs11, pinFile: at("none") } }, "file_not_found");
  await refused("another token", { pkcs11: { ...stores.pkcs11, token: "other" } }, "key_store_absent");
  await refused("no module", { pkcs11: { ...stores.pkcs11, module: "/nowhere.so" } }, "key_store_absent");
  await refused("a misspelt member", { rooot: "file" }, "key_store_config");
  await refused("a store that keys lie in and nobody describes", { root: "file", tpm: undefined }, "key_store_absent");
  tpm.kill("SIGTERM");
  await tpm.ended;
  await refused("no TPM", {}, "key_store_absent");
}

await run(body, async (failed) => {
  for (const child of children) child.kill("SIGKILL");
  await cleanUp(failed);
});
