#!/usr/bin/env node
// Who asks, by token, proof and key: a real wary, an issuer whose keys are fetched and rotate, tokens and DPoP proofs that
// Node's own cryptography signs, API keys, and what a revocation does to connections that are open.
import { createHash, generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { createServer } from "node:http";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { run, saw, step } from "../support/checks.mjs";
import { Platform } from "../support/platform.mjs";
import { cleanUp, freePort, makeScratch, sleep, start, until } from "../support/processes.mjs";

process.env.WARY_TEST_SECONDS ??= "300"; // keys are fetched again after a minute at the earliest
const scratch = makeScratch("who");
const wary = new Platform(scratch, await freePort());
const here = dirname(fileURLToPath(import.meta.url));

const base64url = (value) => Buffer.from(value).toString("base64url");
const sha256 = (value) => createHash("sha256").update(value).digest("base64url");
const makeKey = (kid) => ({ kid, ...generateKeyPairSync("ec", { namedCurve: "P-256" }) });
const publicJwk = (key) => key.publicKey.export({ format: "jwk" });
function jws(key, header, claims) {
  const input = `${base64url(JSON.stringify({ alg: "ES256", ...header }))}.${base64url(JSON.stringify(claims))}`;
  return `${input}.${sign("sha256", Buffer.from(input), { key: key.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}
const now = () => Math.floor(Date.now() / 1000);
let lastToken = 0;
const issuerUrl = "https://idp.test/";
const token = (key, claims = {}, header = {}) => jws(key, { kid: key.kid, typ: "at+jwt", ...header },
  { iss: issuerUrl, aud: "https://site.test", sub: "alice", client_id: "test", jti: `t${++lastToken}`, iat: now(), exp: now() + 600, scope: "site.read", ...claims });
// RFC 7638: the required members in the order of their names.
const thumbprint = (key) => { const { crv, kty, x, y } = publicJwk(key); return sha256(JSON.stringify({ crv, kty, x, y })); };
let lastProof = 0;
const proof = (key, shown, claims = {}) => jws(key, { typ: "dpop+jwt", jwk: publicJwk(key) },
  { jti: `p${++lastProof}`, htm: "GET", htu: `https://site.localhost:${wary.port}/`, iat: now(), ath: sha256(shown), ...claims });

const keys = { first: makeKey("first"), second: makeKey("second"), dpop: makeKey(), stranger: makeKey("first") };
let served = [keys.first], asked = 0;
const jwks = createServer((request, response) => {
  asked += 1;
  response.setHeader("Cache-Control", "public, max-age=86400");
  response.end(JSON.stringify({ keys: served.map((key) => ({ ...publicJwk(key), kid: key.kid, alg: "ES256", use: "sig" })) }));
});

function apply(...documents) {
  const path = join(scratch, "objects.yaml");
  writeFileSync(path, documents.map((one) => JSON.stringify({ apiVersion: "wary.dev/v1", ...one })).join("\n---\n"));
  return wary.cli("apply", "-f", path);
}
const inside = (kind, name, spec) => ({ kind, metadata: { name, namespace: "test" }, spec });
const wide = (kind, name, spec) => ({ kind, metadata: { name }, spec });

const ask = (shown, { path = "/", host = "site", more = [] } = {}) =>
  wary.curl(wary.url(host, path), ...(shown ? ["-H", `Authorization: ${shown}`] : []), ...more);
const challengeOf = (answer) => /^www-authenticate: (.*)\r?$/im.exec(answer.head ?? "")?.[1] ?? "";
const codeOf = (answer) => { try { return JSON.parse(answer.body).code ?? JSON.parse(answer.body).error?.code; } catch { return answer.error ?? answer.body; } };
function refused(what, answer, status, error, text = "") {
  const challenge = challengeOf(answer);
  return saw(what, answer.status === status && challenge.includes(`error="${error}"`) && challenge.includes(text), `${answer.status} ${codeOf(answer)} ${challenge}`);
}

// What was recorded of a decision; nothing while it is on its way.
function explained(reference) {
  const done = wary.cli("--output", "json", "explain", reference);
  return done.code === 0 ? JSON.parse(done.out).recorded : null;
}

async function prepare() {
  step("resources");
  const application = start("echo", process.execPath, [join(here, "echo.mjs")]);
  const port = Number(await until("the application listens", () => application.text.trim()));
  const jwksPort = await freePort();
  await new Promise((resolve) => jwks.listen(jwksPort, "127.0.0.1", resolve));
  jwks.unref();
  const done = apply(
    wide("Namespace", "test", {}), wide("Group", "eng", {}), wide("User", "alice", {}), wide("User", "bob", {}),
    inside("Workload", "ci", {}),
    inside("App", "site", { hosts: ["site.localhost"], upstream: `http://127.0.0.1:${port}` }),
    inside("App", "open", { hosts: ["open.localhost"], upstream: `http://127.0.0.1:${port}`, signIn: "none", forwardAuthorization: true }),
    inside("Route", "strict", { app: "site", path: "/strict", stepUp: { acr: ["gold"], maxAgeSeconds: 120 } }),
    inside("Policy", "reads", { cedar: `
      @id("people") permit (principal == Wary::User::"alice", action in Wary::Action::"read", resource in Wary::App::"test/site")
      unless { context has token && !context.token.scopes.contains("site.read") };
      @id("programs") permit (principal == Wary::Workload::"spiffe://local/test/ci", action, resource in Wary::App::"test/site");
      @id("writes") permit (principal == Wary::User::"alice", action == Wary::Action::"POST", resource in Wary::App::"test/site");
      @id("eng") permit (principal, action, resource in Wary::App::"test/open") when { context has token && context.token.groups.contains(Wary::Group::"eng") };
      @id("keys") permit (principal, action, resource in Wary::App::"test/open") when { context has api_key };` }),
    wide("Issuer", "corp", { issuer: issuerUrl, audiences: ["https://site.test"], jwksUri: `http://127.0.0.1:${jwksPort}/jwks`,
      principal: { listed: [{ value: "ci-job", workload: "test/ci" }] }, groups: { claim: "groups", listed: [{ value: "engineering", group: "eng" }] } }));
  saw("everything is applied", done.code === 0, done.text.trim());
  await until("the issuer's keys are fetched", () => wary.cliJson("get", "issuer", "corp").status?.fetched, 20000);
  saw("wary get issuers says so", /corp .*1 key .*fetched 20/.test(wary.cli("get", "issuers").out), wary.cli("get", "issuers").out.trim());
  const twice = apply(wide("Issuer", "again", { issuer: issuerUrl, audiences: ["x"], jwksUri: "https://idp.test/" }));
  saw("a second Issuer of one name is refused", twice.code !== 0 && twice.text.includes("issuer_taken"), twice.text.trim());
  const plain = apply(wide("Issuer", "plain", { issuer: "https://p.test/", audiences: ["x"], jwksUri: "http://p.test/" }));
  saw("and keys over plaintext", plain.code !== 0 && plain.text.includes("issuer_jwks_uri"), plain.text.trim());
}

async function bearer() {
  step("bearer tokens");
  const good = ask(`Bearer ${token(keys.first)}`);
  const got = good.status === 200 ? JSON.parse(good.body) : {};
  saw("a token of the issuer is alice", good.status === 200 && got["wary-principal"] === 'Wary::User::"alice"', good.error ?? good.body);
  saw("and does not go on to the application", good.status === 200 && got.authorization === undefined && got.dpop === undefined);
  const recorded = await until("it is recorded", () => explained(got["wary-decision"]));
  saw("its event says by which token", recorded.context.token?.issuer.__entity.id === "corp" && recorded.context.token.scopes.join() === "site.read" && !JSON.stringify(recorded).includes("eyJ"),
    JSON.stringify(recorded.context));
  const nobody = ask(null);
  saw("nobody is asked for one", nobody.status === 401 && challengeOf(nobody) === 'Bearer realm="wary"', challengeOf(nobody));
  const outOfScope = ask(`Bearer ${token(keys.first, { scope: "other" })}`);
  saw("a policy sees its scopes", outOfScope.status === 403, String(outOfScope.status));
  const group = ask(`Bearer ${token(keys.first, { groups: ["engineering"] })}`, { host: "open" });
  saw("and the groups that the Issuer lists", group.status === 200 && JSON.parse(group.body).authorization?.startsWith("Bearer "), group.body.slice(0, 200));
  saw("and no others", ask(`Bearer ${token(keys.first, { groups: ["eng"] })}`, { host: "open" }).status === 403);
  saw("a listed subject is a workload", ask(`Bearer ${token(keys.first, { sub: "ci-job" })}`).status === 200);
  const own = wary.curl(`${wary.origin}/api/v1/health`, "-H", `Authorization: Bearer ${token(keys.first)}`);
  saw("wary's own console takes none", own.status === 403, `${own.status} ${own.body}`);
  for (const [what, shown] of [
    ["an expired token", token(keys.first, { exp: now() - 60 })],
    ["one for another audience", token(keys.first, { aud: "https://other.test" })],
    ["one signed by somebody else", token(keys.stranger)],
    ["one without the type", token(keys.first, {}, { typ: "JWT" })],
    ["one that says none", `${base64url('{"alg":"none","typ":"at+jwt"}')}.${token(keys.first).split(".")[1]}.`],
    ["one of nobody here", token(keys.first, { sub: "mallory" })],
    ["one that means the owner", token(keys.first, { sub: "owner" })],
    ["one bound to what cannot be checked", token(keys.first, { cnf: { kid: "x" } })],
  ]) refused(`${what} is refused`, ask(`Bearer ${shown}`), 401, "invalid_token");
  refused("a token of another issuer makes nobody known", ask(`Bearer ${token(keys.first, { iss: "https://x.test/" })}`), 401, "invalid_token", "no issuer");
  saw("credentials of the application's own go on", JSON.parse(ask("Basic YTpi", { more: ["-b", `${wary.cookieOf("alice", "site")}`] }).body)?.authorization === "Basic YTpi");
  refused("two of them are a malformed request", ask(`Bearer ${token(keys.first)}`, { more: ["-H", "Authorization: Basic YTpi"] }), 400, "invalid_request");
  const conflict = ask(`Bearer ${token(keys.first, { sub: "ci-job" })}`, { more: ["-b", wary.cookieOf("alice", "site")] });
  refused("a cookie and a token of two principals too", conflict, 400, "invalid_request", "two credentials");
  const why = await until("it is recorded", () => explained(/^wary-decision: (\S+)/im.exec(conflict.head)[1]));
  saw("what was refused is recorded with why", why.reason === "credential_refused" && why.errors[0].startsWith("credential_conflict: "), JSON.stringify(why));
}

function dpop() {
  step("DPoP");
  const bound = token(keys.first, { cnf: { jkt: thumbprint(keys.dpop) } });
  const shows = (made, shown = bound) => ask(`DPoP ${shown}`, { more: ["-H", `DPoP: ${made}`] });
  const first = proof(keys.dpop, bound);
  const good = shows(first);
  saw("a bound token comes with a proof of its key", good.status === 200, `${good.status} ${good.body}`);
  refused("the same proof again is refused", shows(first), 401, "invalid_dpop_proof", "shown before");
  refused("without one the token too", ask(`DPoP ${bound}`), 401, "invalid_dpop_proof", "algs=");
  refused("and as a bearer token", ask(`Bearer ${bound}`), 401, "invalid_token", "bound to a key");
  refused("a proof by another key", shows(proof(keys.second, bound)), 401, "invalid_dpop_proof", "another key");
  refused("for another method", shows(proof(keys.dpop, bound, { htm: "POST" })), 401, "invalid_dpop_proof", "another method");
  refused("for another address", shows(proof(keys.dpop, bound, { htu: "https://open.localhost/" })), 401, "invalid_dpop_proof", "another address");
  refused("for another token", shows(proof(keys.dpop, "x")), 401, "invalid_dpop_proof", "another token");
  refused("from long ago", shows(proof(keys.dpop, bound, { iat: now() - 120 })), 401, "invalid_dpop_proof", "too old");
  const free = token(keys.first);
  refused("a token that is bound to nothing", shows(proof(keys.dpop, free), free), 401, "invalid_token", "proves nothing");
}

function certificates() {
  step("a token bound to a certificate");
  const directory = join(scratch, "svid");
  const issued = wary.cli("workload", "issue", "ci", "--namespace", "test", "--out", directory);
  saw("a workload has its certificate", issued.code === 0, issued.text.trim());
  const x5t = createHash("sha256").update(new X509Certificate(readFileSync(join(directory, "svid.pem"))).raw).digest("base64url");
  const bound = token(keys.first, { cnf: { "x5t#S256": x5t } });
  const certificate = ["--cert", join(directory, "svid.pem"), "--key", join(directory, "svid.key")];
  const good = ask(`Bearer ${bound}`, { more: certificate });
  saw("through that connection it is alice", good.status === 200 && JSON.parse(good.body)["wary-principal"] === 'Wary::User::"alice"', `${good.status} ${good.body}`);
  refused("through another it is refused", ask(`Bearer ${bound}`), 401, "invalid_token", "another certificate");
  refused("and one that is not bound does not go with a certificate", ask(`Bearer ${token(keys.first)}`, { more: certificate }), 400, "invalid_request");
}

function stepUp() {
  step("step-up");
  const at = { path: "/strict" };
  refused("a route asks for a newer and better sign-in", ask(`Bearer ${token(keys.first)}`, at), 401, "insufficient_user_authentication", 'acr_values="gold", max_age=120');
  refused("an old one is not enough", ask(`Bearer ${token(keys.first, { acr: "gold", auth_time: now() - 300 })}`, at), 401, "insufficient_user_authentication");
  refused("nor a new one of less", ask(`Bearer ${token(keys.first, { acr: "silver", auth_time: now() })}`, at), 401, "insufficient_user_authentication");
  const good = ask(`Bearer ${token(keys.first, { acr: "gold", auth_time: now() - 5 })}`, at);
  saw("what is asked for is let in", good.status === 200, `${good.status} ${challengeOf(good)}`);
  const session = ask(null, { ...at, more: ["-b", wary.cookieOf("alice", "site"), "-H", "Accept: text/html"] });
  saw("a session has no acr: its cookie goes, so that a new sign-in comes", session.status === 401 && /set-cookie: __Host-wary_session=;/i.test(session.head), session.head);
}

// A keep-alive connection: one answered request, then `closed` resolves when the other side ends it.
function keepAlive(shown, path = "/") {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: wary.port, servername: "site.localhost", ca: readFileSync(join(wary.data, "ca.pem")) }, () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: site.localhost:${wary.port}\r\nAuthorization: ${shown}\r\n\r\n`);
    });
    const open = { socket, text: "", closed: false };
    socket.on("data", (bytes) => { open.text += bytes; if (open.text.includes("\r\n\r\n")) resolve(open); });
    socket.on("close", () => { open.closed = true; });
    socket.on("error", (error) => { open.closed = true; reject(error); });
  });
}

async function apiKeys() {
  step("API keys");
  const create = (...words) => wary.cli("apikey", "create", ...words);
  const made = create("robot", "--user", "alice", "--scope", "read,app:test/site", "--expires", "1h");
  const key = made.out.trim();
  saw("a key is printed once", made.code === 0 && /^wary_[0-9A-Za-z]{49}$/.test(key) && made.err.includes("shown this once"), made.text);
  const good = ask(`Bearer ${key}`);
  const own = wary.curl(`${wary.origin}/api/v1/health`, "-H", `X-Api-Key: ${key}`);
  saw("wary's own console takes none", own.status === 403, `${own.status} ${own.body}`);
  saw("as a bearer token it is alice at once", good.status === 200 && JSON.parse(good.body)["wary-principal"] === 'Wary::User::"alice"' && JSON.parse(good.body).authorization === undefined, `${good.status} ${good.body}`);
  const field = ask(null, { more: ["-H", `X-Api-Key: ${key}`] });
  saw("and as X-Api-Key", field.status === 200 && JSON.parse(field.body)["x-api-key"] === undefined, `${field.status} ${field.body}`);
  const other = ask(null, { more: ["-H", "X-Api-Key: the application's", "-b", wary.cookieOf("alice", "site")] });
  saw("another program's goes on", other.status === 200 && JSON.parse(other.body)["x-api-key"] === "the application's", other.body);
  refused("what it is not for is refused", ask(`Bearer ${key}`, { more: ["-X", "POST", "-d", ""] }), 403, "insufficient_scope");
  refused("another application too", ask(`Bearer ${key}`, { host: "open" }), 403, "insufficient_scope");
  refused("and a route that asks for a sign-in", ask(`Bearer ${key}`, { path: "/strict" }), 401, "insufficient_user_authentication");
  const wrong = key.slice(0, -1) + (key.endsWith("a") ? "b" : "a");
  saw("a key with a typing error is none", ask(`Bearer ${wrong}`).status === 401);
  saw("without a scope none is made", create("x", "--user", "alice").code !== 0);
  saw("nor one of nobody", create("x", "--scope", "all").text.includes("api_key_holder"), create("x", "--scope", "all").text.trim());
  saw("nor a second of one name", create("robot", "--user", "alice", "--scope", "all").text.includes("api_key_exists"));
  saw("wary get apikeys shows whose and until when, and no key", /robot .*user alice .*until 20/.test(wary.cli("get", "apikeys").out) && !wary.cli("get", "apikey", "robot").text.includes(key), wary.cli("get", "apikeys").out.trim());
  saw("no log and no event has it", !wary.log("waryd").includes(key) && !wary.log("wary-edge").includes(key) && !JSON.stringify(wary.events(200)).includes(key));
  const brief = create("brief", "--workload", "test/ci", "--scope", "all", "--expires", "2s").out.trim();
  saw("a workload has keys too", ask(`Bearer ${brief}`).status === 200);

  const idle = await keepAlive(`Bearer ${key}`), stream = await keepAlive(`Bearer ${key}`, "/stream");
  saw("two connections are open by the key", idle.text.startsWith("HTTP/1.1 200") && stream.text.startsWith("HTTP/1.1 200") && !idle.closed);
  const begin = Date.now();
  const revoked = wary.cli("revoke", "apikey", "robot", "--reason", "it leaked");
  await until("both are cut", () => idle.closed && stream.closed, 5000);
  saw("revoking the key cuts both", revoked.code === 0 && (revoked.out.match(/^cut /gm) ?? []).length >= 1, `${revoked.out.trim()} (${Date.now() - begin} ms)`);
  refused("and it is no good any more", ask(`Bearer ${key}`), 401, "invalid_token", "revoked");
  await until("the other key ends", () => ask(`Bearer ${brief}`).status !== 200, 5000);
  refused("a key that ended is none either", ask(`Bearer ${brief}`), 401, "invalid_token", "ended");
}

async function revocations() {
  step("one token, and an issuer");
  const one = token(keys.first, { jti: "leaked/1" }), another = token(keys.first);
  const open = await keepAlive(`Bearer ${one}`, "/stream"), kept = await keepAlive(`Bearer ${another}`, "/stream");
  wary.cli("revoke", "token", "corp/leaked/1", "--reason", "it leaked");
  await until("its connection is cut", () => open.closed, 5000);
  saw("a token that is revoked by its id is cut, and no other", !kept.closed && ask(`Bearer ${another}`).status === 200);
  refused("it is refused from then on", ask(`Bearer ${one}`), 401, "invalid_token", "revoked");
  wary.cli("revoke", "issuer", "corp", "--reason", "it was broken into");
  await until("the other one is cut", () => kept.closed, 5000);
  refused("an issuer that is revoked takes all its tokens along", ask(`Bearer ${another}`), 401, "invalid_token");
  wary.cli("restore", "issuer", "corp", "--reason", "it was mended");
  await until("tokens are good again", () => ask(`Bearer ${another}`).status === 200, 5000);
  saw("until it is restored", true);
  const short = await keepAlive(`Bearer ${token(keys.first, { exp: now() - 27 })}`, "/stream");
  await until("the end of a token ends its connection", () => short.closed, 8000);
  saw("the end of a token ends its connection", true);
}

async function rotates() {
  step("rotation");
  const open = await keepAlive(`Bearer ${token(keys.first)}`, "/stream");
  served = [keys.second];
  const before = asked;
  refused("a key that is not known yet signs nothing", ask(`Bearer ${token(keys.second)}`), 401, "invalid_token");
  // The last answer is good for a day: it is the token that makes the keys wanted.
  await until("the new key is fetched", () => ask(`Bearer ${token(keys.second)}`).status === 200, 20000);
  saw("the new key is believed once it is fetched", asked === before + 1, `${asked - before} fetches`);
  for (let i = 0; i < 50; i += 1) ask(`Bearer ${token(makeKey(`nobody${i}`))}`);
  await sleep(1000);
  saw("tokens that nobody issued make no more of them", asked === before + 1, `${asked - before} fetches`);
  refused("the old one is not, though its token was known", ask(`Bearer ${token(keys.first)}`), 401, "invalid_token");
  await until("what it opened is cut", () => open.closed, 5000);
  saw("what the old key opened is cut", true);
}

await run(async () => {
  await wary.start();
  await prepare();
  wary.signIn("alice");
  wary.browse("alice", wary.url("site", "/"));
  await bearer();
  dpop();
  certificates();
  stepUp();
  await apiKeys();
  await revocations();
  await rotates();
  await wary.stop();
}, cleanUp);
