#!/usr/bin/env node
// The gateway by programs that nobody here wrote: curl and nghttp over both protocols, h2load, Google's gRPC for Python and grpc-js,
// npm's ws at both ends, node's own HTTP/2; HAProxy in front of it.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run, saw, skip, step } from "../support/checks.mjs";
import { Platform, root } from "../support/platform.mjs";
import { terminated } from "./terminated.mjs";
import { cleanUp, freePort, isRunning, makeScratch, start, until } from "../support/processes.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const python = "/usr/bin/python3";
const scratch = makeScratch("gateway");

function hasModules() {
  if (existsSync(join(here, "node_modules/ws"))) return true;
  return spawnSync("npm", ["ci", "--silent", "--no-audit", "--no-fund"], { cwd: here, stdio: "ignore" }).status === 0;
}

// Its lines of findings, as they come; resolves at `ready` and at its end.
function client(name, program, words) {
  const child = start(name, program, words);
  let at = 0;
  const turn = () => {
    const lines = child.text.split("\n");
    for (; at + 1 < lines.length; ++at) {
      let line;
      try {
        line = JSON.parse(lines[at]);
      } catch {
        continue;
      }
      if (line.what) saw(line.what, line.held, line.found);
    }
    return child.text.includes('{"ready":true}') || child.text.includes('{"ready": true}');
  };
  return { child, turn };
}

// What a collector of OpenTelemetry reads of it.
async function telemetry(wary, collector, cookie) {
  const told = () => collector.text.split("\n").slice(1).filter((line) => line !== "").map((line) => JSON.parse(line));
  const trace = "0af7651916cd43dd8448eb211c80319c", parent = "b7ad6b7169203331";
  const answer = wary.curl(wary.url("site", "/traced?key=hidden"), "--http2", "-b", cookie, "-H", `traceparent: 00-${trace}-${parent}-01`, "-H", "X-Api: hidden");
  const passed = JSON.parse(answer.body).headers.traceparent;
  wary.curl(wary.url("site", "/quiet"), "-b", cookie, "-H", `traceparent: 00-${"ab".repeat(16)}-${parent}-00`);
  wary.curl(wary.url("site", "/nobody"), "-H", `traceparent: 00-${"cd".repeat(16)}-${parent}-01`);
  const spans = await until("the spans are there", () => {
    const found = told().filter((line) => line.trace === trace);
    return found.length >= 2 && told().some((line) => line.trace === "cd".repeat(16)) ? found : null;
  }, 10000);
  const served = spans.find((span) => span.kind === 2), called = spans.find((span) => span.kind === 3);
  saw("a request is a span, whose parent is the client's", spans.length === 2 && served.parent === parent && served["http.response.status_code"] === 200 && served["url.path"] === "/traced" &&
    served["http.request.method"] === "GET" && served["network.protocol.version"] === "2" && served["server.address"] === "site.localhost" && served.service === "wary-edge" && served.nanos > 0, JSON.stringify(served));
  saw("who it was and what was decided is in it", served["wary.principal"] === 'Wary::User::"alice"' && served["wary.decision"] === "allow" && new RegExp(`wary-decision: ${served["wary.decision.id"]}`, "i").test(answer.head), JSON.stringify(served));
  saw("the call to the application is one below it, and the application's parent", called.parent === served.id && passed === `00-${trace}-${called.id}-01`, `${passed} ${JSON.stringify(called)}`);
  const refused = told().filter((line) => line.trace === "cd".repeat(16));
  saw("who may not is a span without a call", refused.length === 1 && refused[0]["wary.decision"] === "deny" && refused[0]["http.response.status_code"] === 401 && !refused[0].failed, JSON.stringify(refused));
  saw("a trace that its client does not sample is not told of", !told().some((line) => line.trace === "ab".repeat(16)));
  saw("nothing secret is in it", !collector.text.includes("hidden") && !collector.text.includes(cookie.split("=")[1]));
  const took = await until("the metrics are there", () => told().findLast((line) => line.metric === "wary_gateway_request_duration_seconds" && line.app === "test/site"), 15000);
  saw("durations by application are a histogram", took.kind === "histogram" && took.unit === "s" && took.value > 2000 && took.buckets === took.bounds + 1, JSON.stringify(took));
  const answers = told().findLast((line) => line.metric === "wary_gateway_requests_total" && line.app === "test/site" && line.code === "2xx");
  saw("answers by application and class are a sum", answers.kind === "sum" && answers.monotonic && answers.value > 2000, JSON.stringify(answers));
  const page = wary.socket("../../edge/admin.sock", "/metrics").body;
  saw("and Prometheus reads the same", /^wary_gateway_request_duration_seconds_bucket\{app="test\/site",le="\+Inf"\} \d+$/m.test(page) && /^wary_gateway_requests_total\{app="test\/site",code="4xx"\} \d+$/m.test(page), page.slice(0, 500));
}

// The listener without TLS, by curl.
async function withoutTls(wary, cookie) {
  for (const version of ["--http1.1", "--http2-prior-knowledge"]) {
    const sent = wary.curl(wary.plainUrl("limited", "/a%20b?c=d&e"), version, "-X", "PUT", "-d", "body");
    const location = /^location: (.*?)\r?$/im.exec(sent.head)?.[1];
    saw(`curl ${version} is sent on to https`, sent.status === 308 && location === wary.url("limited", "/a%20b?c=d&e") && !/strict-transport/i.test(sent.head), sent.head || sent.error);
    const served = wary.curl(wary.plainUrl("site", "/by-plain?b=1"), version, "-H", `Cookie: ${cookie}`, "-H", "X-Forwarded-Proto: https");
    const seen = served.status === 200 ? JSON.parse(served.body) : {};
    saw(`curl ${version} is served what an App says`, seen.url === "/by-plain?b=1" && seen.headers["wary-principal"] === 'Wary::User::"alice"' && seen.headers["x-forwarded-proto"] === "http" &&
      seen.headers.cookie === undefined && /wary-decision/i.test(served.head), served.head || served.error);
    const large = wary.curl(wary.plainUrl("site", "/large/5000000"), version, "-H", `Cookie: ${cookie}`);
    saw(`curl ${version} receives five megabytes`, large.status === 200 && large.body.length === 5_000_000, large.error ?? large.body.length);
    const nobody = wary.curl(wary.plainUrl("site", "/"), version);
    saw(`curl ${version} without a session`, nobody.status === 401, nobody.head || nobody.error);
  }
  const asks = wary.curl(wary.plainUrl("limited", "/"), "--http2");
  saw("who asks for HTTP/2 by Upgrade is answered over HTTP/1.1", asks.head.startsWith("HTTP/1.1 308"), asks.head || asks.error);
  const followed = wary.curl(wary.plainUrl("limited", "/x"), "-L");
  saw("who follows is at the same place over TLS", followed.status === 401 && /x/.test(followed.body), followed.head || followed.error);
  saw("a name that serves nothing is refused", wary.curl(wary.plainUrl("nothing", "/")).status === 421);
  saw("the console is sent on", wary.curl(wary.plainUrl("console", "/")).status === 308);
  const mistaken = wary.curl(`https://site.localhost:${wary.plainPort}/`);
  saw("TLS where there is none ends at once", mistaken.status === 0 && /wrong version|SSL|packet/i.test(mistaken.error), mistaken.error);
  const contextOf = async (url) => {
    const answer = wary.curl(url, "-H", `Cookie: ${cookie}`);
    const reference = /wary-decision: (\S+)/i.exec(answer.head)[1];
    // Answered is recorded, and the ledger has it a moment later.
    await until("the ledger knows the decision", () => wary.cli("explain", reference).code === 0);
    return wary.cliJson("explain", reference).recorded.context;
  };
  const plain = await contextOf(wary.plainUrl("site", "/")), secure = await contextOf(wary.url("site", "/"));
  saw("its events say so, and only its", plain.transport === "plain" && secure.path === "/" && !("transport" in secure), JSON.stringify(plain));
  writeFileSync(join(scratch, "resources/plain.cedar"), '@id("tls-alone")\nforbid (principal, action, resource == Wary::App::"test/site")\nwhen { context has transport && context.transport == "plain" };\n');
  const forbidden = wary.cli("apply", "-f", join(scratch, "resources/plain.cedar"), "-n", "test");
  const refused = wary.curl(wary.plainUrl("site", "/"), "-H", `Cookie: ${cookie}`), allowed = wary.curl(wary.url("site", "/"), "-H", `Cookie: ${cookie}`);
  saw("a policy forbids it", forbidden.code === 0 && refused.status === 403 && allowed.status === 200, `${forbidden.text.trim()} ${refused.status} ${allowed.status}`);
}

// An application that demands a certificate is shown the edge's; one that the edge is told to show nothing refuses it.
async function whoTheEdgeIs(wary, object) {
  const files = join(scratch, "demanding"), resources = join(scratch, "demanding.yaml");
  const apply = (...objects) => {
    writeFileSync(resources, objects.join("---\n"));
    const applied = wary.cli("apply", "-f", resources, "-n", "test");
    if (applied.code !== 0) throw new Error(applied.text);
  };
  apply(object("Workload", "demanding", "{description: An application over TLS}"));
  const issued = wary.cli("workload", "issue", "demanding", "-n", "test", "--out", files);
  if (issued.code !== 0) throw new Error(issued.text);
  const application = start("demanding", process.execPath, [join(here, "demanding_application.mjs"), files]);
  const port = Number(await until("the demanding application listens", () => application.text.trim()));
  const app = (name, more) => object("App", name, `{hosts: [${name}.localhost], upstream: "https://127.0.0.1:${port}", upstreamIdentity: {spiffeId: "spiffe://local/test/demanding"${more}}}`);
  apply(app("demanding", ""), app("hiding", ", clientCertificate: false"));
  const ask = (host) => {
    wary.browse("alice", wary.url(host, "/"));
    return wary.curl(wary.url(host, "/"), "-b", wary.cookieOf("alice", host));
  };
  const answer = await until("the demanding application is served", () => {
    const found = ask("demanding");
    return found.status === 200 ? found : null;
  }, 10000).catch(() => ask("demanding"));
  const told = answer.status === 200 ? JSON.parse(answer.body) : {};
  saw("an application that demands a certificate is shown the edge's own", told.peer === "URI:spiffe://local/wary/edge/local" && told.principal === 'Wary::User::"alice"', answer.body || answer.error);
  saw("which lives for an hour at most", new Date(told.until) - Date.now() <= 3600_000 && new Date(told.until) > Date.now(), told.until);
  const hidden = ask("hiding");
  saw("one that is shown none lets the edge in no more than others", hidden.status === 502, hidden.head || hidden.error);
}

await run(async () => {
  const hasNpm = hasModules();
  if (!hasNpm) return skip("npm's packages cannot be fetched");
  const application = start("application", process.execPath, [join(here, "application.mjs")]);
  const site = Number(await until("the application listens", () => application.text.trim()));
  const server = start("grpc", python, [join(here, "grpc_server.py")]);
  const grpc = Number(await until("the gRPC application listens", () => server.text.trim(), 20000));
  const collector = start("collector", process.execPath, [join(here, "collector.mjs")]);
  const otlp = Number(await until("the collector listens", () => collector.text.split("\n")[0].trim()));
  const wary = new Platform(scratch, await freePort(), { words: ["--otlp", `http://127.0.0.1:${otlp}`], plain: await freePort() });
  await wary.start();
  const object = (kind, name, spec, scope = ", namespace: test") => `apiVersion: wary.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}${scope}}\nspec: ${spec}\n`;
  mkdirSync(join(scratch, "resources"), { recursive: true });
  writeFileSync(join(scratch, "resources/all.yaml"), [
    object("Namespace", "test", "{owners: [owners]}", ""),
    object("User", "alice", "{displayName: Alice}", ""),
    object("App", "site", `{hosts: [site.localhost], upstream: "http://127.0.0.1:${site}", plain: serve}`),
    object("App", "signing", `{hosts: [signing.localhost], upstream: "http://127.0.0.1:${site}", plain: serve}`),
    object("App", "grpc", `{hosts: [grpc.localhost], upstream: "http://127.0.0.1:${grpc}", protocol: http2}`),
    object("App", "limited", `{hosts: [limited.localhost], upstream: "http://127.0.0.1:9", upstreams: ["http://127.0.0.1:${site}"], rate: {perSecond: 1, burst: 3}, maxBodyBytes: 1000}`),
  ].join("---\n"));
  writeFileSync(join(scratch, "resources/all.cedar"), '@id("alice")\npermit (principal == Wary::User::"alice", action, resource in Wary::Namespace::"test");\n');
  const applied = wary.cli("apply", "-f", join(scratch, "resources"), "-n", "test");
  saw("the applications are applied", applied.code === 0, applied.text);
  wary.signIn("alice");
  const cookies = {};
  for (const host of ["site", "grpc", "limited"]) {
    wary.browse("alice", wary.url(host, "/"));
    cookies[host] = wary.cookieOf("alice", host);
  }
  saw("alice is signed in to all three", Object.values(cookies).every((cookie) => cookie !== ""), JSON.stringify(cookies));
  const ca = join(wary.data, "ca.pem");

  step("curl and nghttp");
  for (const version of ["--http1.1", "--http2"]) {
    const answer = wary.curl(wary.url("site", "/a?b=1"), version, "-b", cookies.site, "-H", "Wary-Principal: forged", "-H", "X-Forwarded-For: 9.9.9.9");
    const seen = answer.status === 200 ? JSON.parse(answer.body) : {};
    saw(`curl ${version}`, answer.head.startsWith(version === "--http2" ? "HTTP/2 200" : "HTTP/1.1 200") && seen.url === "/a?b=1" && seen.headers["wary-principal"] === 'Wary::User::"alice"' &&
      seen.headers["x-forwarded-for"] === "127.0.0.1" && seen.headers.cookie === undefined, answer.head || answer.error);
    writeFileSync(join(scratch, "body"), Buffer.alloc(3_000_000, "y"));
    const posted = wary.curl(wary.url("site", "/up"), version, "-b", cookies.site, "--data-binary", `@${join(scratch, "body")}`);
    saw(`curl ${version} sends three megabytes`, posted.status === 200 && JSON.parse(posted.body).bytes === 3_000_000, posted.head || posted.error);
    const large = wary.curl(wary.url("site", "/large/5000000"), version, "-b", cookies.site);
    saw(`curl ${version} receives five`, large.status === 200 && large.body.length === 5_000_000, large.error ?? large.body.length);
    const nobody = wary.curl(wary.url("site", "/"), version);
    saw(`curl ${version} without a session`, nobody.status === 401 && JSON.parse(nobody.body).error.code === "unauthenticated", nobody.head);
  }
  const nghttp = spawnSync("nghttp", ["-v", "-H", `cookie: ${cookies.site}`, "-H", `:authority: site.localhost:${wary.port}`, `https://127.0.0.1:${wary.port}/n1`, `https://127.0.0.1:${wary.port}/n2`], { encoding: "utf8", timeout: 20000 });
  if (nghttp.error) skip("nghttp is not installed");
  else saw("nghttp: two requests on one connection", (nghttp.stdout.match(/:status: 200/g) ?? []).length === 2, nghttp.stdout.slice(-500));
  const load = spawnSync("h2load", ["-n", "2000", "-c", "4", "-m", "25", "-H", `cookie: ${cookies.site}`, "-H", `:authority: site.localhost:${wary.port}`, `https://127.0.0.1:${wary.port}/load`], { encoding: "utf8", timeout: 60000 });
  if (load.error) skip("h2load is not installed");
  else saw("h2load: 2,000 requests, a hundred at once, none failed", /2000 succeeded, 0 failed, 0 errored, 0 timeout/.test(load.stdout), load.stdout.slice(-700));

  step("without TLS");
  await withoutTls(wary, cookies.site);

  await terminated(scratch, site, wary);

  step("an application's limits");
  const limited = [];
  for (let i = 0; i < 6; ++i) limited.push(wary.curl(wary.url("limited", "/x"), "-b", cookies.limited));
  saw("a place that is down costs nobody their request", limited[0].status === 200, limited[0].head);
  saw("more than the rate is 429, with when to ask again", limited.some((answer) => answer.status === 429 && /retry-after: 1/i.test(answer.head)), limited.map((answer) => answer.status).join(" "));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const large = wary.curl(wary.url("limited", "/up"), "-b", cookies.limited, "--data-binary", "x".repeat(1001));
  saw("a body beyond the limit is 413", large.status === 413 && JSON.parse(large.body).error.code === "request_too_large", large.head || large.error);

  step("who the edge is");
  await whoTheEdgeIs(wary, object);

  step("the tap");
  const watch = (...words) => start("tap", wary.wary, ["--data", wary.data, "edge", "tap", ...words]);
  const taps = [watch("--principal", "alice", "--app", "test/site"), watch("--principal", "bob"), watch("--outcome", "deny"), watch("--app", "test/siet"),
    watch("--principal", 'User::"alice"', "--app", "test/site")];
  await new Promise((resolve) => setTimeout(resolve, 500));
  wary.curl(wary.url("site", "/tapped?token=hidden"), "-b", cookies.site, "-H", "X-Api: hidden");
  wary.curl(wary.url("site", "/untold"));
  await until("the tap shows them", () => taps[0].text.includes("/tapped") && taps[2].text.includes("/untold"), 5000);
  saw("edge tap shows whose request it was, and no secret", /allow .*User::"alice".*\/tapped/.test(taps[0].text) && !taps.some((tap) => tap.text.includes("hidden")), taps[0].text.slice(-300));
  saw("and only those that were asked for", !taps[0].text.includes("/untold") && taps[1].text === "" && !taps[2].text.includes("/tapped"), taps[2].text.slice(-300));
  await until("an entity is taken as well", () => taps[4].text.includes("/tapped"), 5000).catch(() => {});
  saw("by a name or by an entity alike", taps[4].text === taps[0].text, taps[4].text.slice(-300));
  saw("an application that is not there is warned about, and waited for", isRunning(taps[3]) && /^warning: .*test\/siet.*\[resource_unknown\]\n {2}did you mean test\/site\?/.test(taps[3].text), taps[3].text);
  for (const tap of taps) tap.kill("SIGINT");
  const ofAlice = wary.cli("ledger", "tail", "--last", "500", "--actor", "alice").out;
  saw("ledger tail takes a name as well as an entity", ofAlice.includes("/tapped") && wary.cli("ledger", "tail", "--last", "500", "--actor", 'Wary::User::"alice"').out.includes("/tapped") &&
    !ofAlice.includes("/untold"), ofAlice.slice(-300));
  saw("a wrong outcome is told", /tap_outcome/.test(wary.cli("edge", "tap", "--outcome", "maybe").text));

  step("who is signed in");
  const signed = wary.cliJson("session", "list", "--principal", "alice").sessions;
  saw("session list has her, since when, until when, last seen, and where", signed.length === 1 && signed[0].hosts.includes("site.localhost") && signed[0].since < signed[0].lastSeen && signed[0].lastSeen < signed[0].until,
    JSON.stringify(signed).slice(0, 300));
  wary.signIn("alice");
  const newest = wary.cliJson("session", "list").sessions[0];
  saw("another sign-in of hers is another session", newest.user === "alice" && newest.session !== signed[0].session && wary.cli("session", "list").out.includes(newest.session));
  const ended = wary.cli("revoke", "session", newest.session, "--reason", "a test");
  saw("it ends by its name, and is listed no more; the first one stays", ended.code === 0 && wary.cliJson("session", "list").sessions.map((one) => one.session).join() === signed[0].session &&
    wary.curl(wary.url("site", "/"), "-b", cookies.site).status === 200, ended.text);

  step("traces and metrics");
  await telemetry(wary, collector, cookies.site);

  step("gRPC, WebSockets");
  const byPython = client("grpc_client.py", python, [join(here, "grpc_client.py"), `127.0.0.1:${wary.port}`, ca, cookies.grpc, "grpc.localhost"]);
  const byNode = client("client-js.mjs", process.execPath, [join(here, "client-js.mjs"), String(wary.port), ca, cookies.site, cookies.grpc]);
  await until("python's stream is open", () => byPython.turn(), 40000);
  await until("the WebSockets are open", () => byNode.turn(), 40000);
  const before = wary.events(2000).length;
  saw("alice is revoked", wary.cli("revoke", "user", "alice", "--reason", "test").code === 0);
  for (const one of [byPython, byNode]) {
    await Promise.race([one.child.ended, new Promise((resolve) => setTimeout(resolve, 15000))]);
    one.turn();
  }
  saw("both clients ended by themselves", byPython.child.exitCode === 0 && byNode.child.exitCode === 0, `${byPython.child.text.slice(-300)} ${byNode.child.text.slice(-300)}`);
  const cuts = await until("the cuts are recorded", () => {
    const found = wary.events(2000).filter((event) => event.action === "session.cut");
    return found.length >= 3 ? found : null;
  }, 5000);
  saw("each cut is an event", cuts.length >= 3 && before > 20, cuts.length);
  await wary.stop();
}, cleanUp);
