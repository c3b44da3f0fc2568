// ./dev conform workload-api: programs of the SPIFFE project, built with Go and run unchanged against a wary: go-spiffe, and
// SPIRE's `spire-agent api`. Without Go, or where they cannot be fetched, they are skipped with a notice.
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, saw, skip, step } from "../support/checks.mjs";
import { Platform, root } from "../support/platform.mjs";
import { cleanUp, freePort, makeScratch } from "../support/processes.mjs";

const spireVersion = "v1.13.3";
const peers = join(root, "build/peers/workload");
const scratch = makeScratch("workload-clients");
const wary = new Platform(scratch, await freePort());
const socket = join(wary.data, "run/agent/api.sock");
const id = "spiffe://local/shop/orders";

function go(directory, ...words) {
  const done = spawnSync("go", words, { cwd: directory, encoding: "utf8", env: { ...process.env, GOBIN: join(peers, "bin"), GOFLAGS: "-mod=mod" } });
  if (done.status !== 0) console.log(done.stderr.split("\n").slice(-4).join("\n"));
  return done.status === 0;
}

function goSpiffe() {
  step("go-spiffe");
  const at = join(peers, "go-spiffe");
  cpSync(join(root, "tests/workload/go"), at, { recursive: true });
  if (!go(at, "mod", "tidy") || !go(at, "build", "-o", "client", ".")) return skip("go-spiffe cannot be built here");
  const done = spawnSync(join(at, "client"), [socket, "db"], { encoding: "utf8" });
  for (const line of done.stdout.trim().split("\n")) saw(line.replace(/^(ok|FAIL) /, ""), line.startsWith("ok"));
  saw("it went through", done.status === 0 && done.stdout.includes(id), done.stderr);
}

function spireAgent() {
  step("spire-agent api");
  const program = join(peers, "bin/spire-agent");
  const at = join(peers, "spire");
  mkdirSync(at, { recursive: true });
  if (!existsSync(program)) {
    writeFileSync(join(at, "go.mod"), "module peers\n\ngo 1.25\n");
    const name = "github.com/spiffe/spire/cmd/spire-agent";
    if (!go(at, "get", "-tool", `${name}@${spireVersion}`) || !go(at, "install", name)) return skip("SPIRE cannot be built here");
  }
  const ask = (...words) => spawnSync(program, ["api", ...words, "-socketPath", socket], { encoding: "utf8" });
  const files = join(scratch, "fetched");
  mkdirSync(files);
  const x509 = ask("fetch", "x509", "-write", files);
  saw("fetch x509", x509.status === 0 && x509.stdout.includes(`SPIFFE ID:\t\t${id}`), x509.stderr);
  const leaf = new X509Certificate(readFileSync(join(files, "svid.0.pem")));
  saw("what it wrote is the SVID", leaf.subjectAltName === `URI:${id}`, leaf.subjectAltName);
  const jwt = ask("fetch", "jwt", "-audience", "db");
  const token = /token\(.*\):\s+(\S+)/.exec(jwt.stdout)?.[1];
  saw("fetch jwt", jwt.status === 0 && token !== undefined, jwt.stderr);
  const valid = ask("validate", "jwt", "-audience", "db", "-svid", token);
  saw("validate jwt", valid.status === 0 && valid.stdout.includes("SVID is valid."), valid.stdout + valid.stderr);
  saw("validate jwt for another audience", ask("validate", "jwt", "-audience", "x", "-svid", token).status !== 0);
}

await run(async () => {
  if (spawnSync("go", ["version"]).status !== 0) return skip("go-spiffe and spire-agent: there is no Go toolchain");
  mkdirSync(peers, { recursive: true });
  await wary.start();
  const path = join(scratch, "objects.yaml");
  writeFileSync(path, "apiVersion: wary.dev/v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: wary.dev/v1\nkind: Workload\n" +
    `metadata: {name: orders, namespace: shop}\nspec:\n  selectors: [["unix:uid:${process.getuid()}"]]\n`);
  saw("the workload is taken", wary.cli("apply", "-f", path).code === 0);
  goSpiffe();
  spireAgent();
  await wary.stop();
}, cleanUp);
