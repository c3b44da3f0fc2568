#!/usr/bin/env node
// Node's cryptography beside ours: each makes tokens, keys and bundles, and the other verifies and reads them.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, constants, sign, verify, X509Certificate } from "node:crypto";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { run, saw, step } from "../support/checks.mjs";

const peer = join(process.env.WARY_BUILD ?? "build/dev", "tests/jose_peer");
const now = 1_800_000_000;

const rsa = () => generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = (namedCurve) => () => generateKeyPairSync("ec", { namedCurve });
const pss = (bits) => ({ padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: bits / 8 });
const raw = { dsaEncoding: "ieee-p1363" };
const algorithms = {
  RS256: { hash: "sha256", make: rsa, options: {} },
  RS384: { hash: "sha384", make: rsa, options: {} },
  RS512: { hash: "sha512", make: rsa, options: {} },
  PS256: { hash: "sha256", make: rsa, options: pss(256) },
  PS384: { hash: "sha384", make: rsa, options: pss(384) },
  PS512: { hash: "sha512", make: rsa, options: pss(512) },
  ES256: { hash: "sha256", make: ec("P-256"), options: raw },
  ES384: { hash: "sha384", make: ec("P-384"), options: raw },
  ES512: { hash: "sha512", make: ec("P-521"), options: raw },
  EdDSA: { hash: null, make: () => generateKeyPairSync("ed25519"), options: {} },
};

// Objects of their own: Node 20 stands still when it collects a finished generation while it exports the key that came of it.
function apart({ publicKey, privateKey }) {
  return { publicKey: createPublicKey({ key: publicKey.export({ type: "spki", format: "der" }), type: "spki", format: "der" }),
    privateKey: createPrivateKey({ key: privateKey.export({ type: "pkcs8", format: "der" }), type: "pkcs8", format: "der" }) };
}

const b64 = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const read = (token, part) => JSON.parse(Buffer.from(token.split(".")[part], "base64url").toString());

function nodeToken(alg, header, claims, privateKey) {
  const input = `${b64(header)}.${b64(claims)}`;
  const { hash, options } = algorithms[alg];
  return `${input}.${sign(hash, Buffer.from(input), { key: privateKey, ...options }).toString("base64url")}`;
}
function nodeVerifies(alg, token, key) {
  const at = token.lastIndexOf(".");
  const { hash, options } = algorithms[alg];
  return verify(hash, Buffer.from(token.slice(0, at)), { key, ...options }, Buffer.from(token.slice(at + 1), "base64url"));
}
function nodeThumbprint(jwk) {
  const required = ["crv", "e", "kty", "n", "x", "y"].filter((name) => name in jwk);
  const text = JSON.stringify(Object.fromEntries(required.map((name) => [name, jwk[name]])));
  return createHash("sha256").update(text).digest("base64url");
}
// The last character but one, so that it carries bits of the signature and no unused ones.
function altered(token) {
  const at = token.length - 2;
  return token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1);
}

function ask(questions) {
  const lines = questions.map((question) => JSON.stringify(question)).join("\n");
  const { stdout, status, stderr } = spawnSync(peer, { input: `${lines}\n`, encoding: "utf8" });
  if (status !== 0) throw new Error(`jose_peer ended with ${status}: ${stderr}`);
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

await run(async () => {
  const keys = Object.fromEntries(Object.entries(algorithms).map(([alg, { make }]) => [alg, apart(make())]));
  const shown = (alg) => keys[alg].publicKey.export({ format: "jwk" });

  step("tokens that Node makes");
  for (const alg of Object.keys(algorithms)) {
    const claims = { hello: "wary", alg };
    const token = nodeToken(alg, { alg, kid: alg }, claims, keys[alg].privateKey);
    const all = Object.keys(algorithms).map((name) => ({ ...shown(name), kid: name }));
    const other = { ...shown(alg === "ES256" ? "ES384" : "ES256"), kid: alg };
    const [good, bad, unknown, mismatch, refused] = ask([
      { op: "verify", alg, keys: all, token },
      { op: "verify", alg, keys: all, token: altered(token) },
      { op: "verify", alg, keys: all.filter(({ kid }) => kid !== alg), token },
      { op: "verify", alg, keys: [other], token },
      { op: "verify", alg: alg === "ES256" ? "ES384" : "ES256", keys: all, token },
    ]);
    saw(`${alg} verifies`, good.payload === JSON.stringify(claims), good.code ?? "");
    saw(`${alg} key has Node's thumbprint`, good.thumbprint === nodeThumbprint(shown(alg)));
    saw(`${alg} altered is refused`, bad.code === "jws_signature", bad.code);
    saw(`${alg} of an unknown kid is refused`, unknown.code === "jws_kid_unknown", unknown.code);
    saw(`${alg} with a key of another type is refused`, mismatch.code === "jws_key_mismatch", mismatch.code);
    saw(`${alg} is refused where another algorithm is wanted`, refused.code === "jws_algorithm_refused", refused.code);
  }

  step("signatures in another form than their algorithm's");
  for (const [what, alg, options] of [
    ["PSS with a shorter salt", "PS256", { ...pss(256), saltLength: 20 }],
    ["PSS with the longest salt", "PS384", { ...pss(384), saltLength: constants.RSA_PSS_SALTLEN_MAX_SIGN }],
    ["PKCS#1 under the name of PSS", "PS512", { padding: constants.RSA_PKCS1_PADDING }],
    ["PSS under the name of PKCS#1", "RS256", pss(256)],
    ["ECDSA in DER", "ES256", { dsaEncoding: "der" }],
  ]) {
    const input = `${b64({ alg })}.${b64({})}`;
    const signature = sign(algorithms[alg].hash, Buffer.from(input), { key: keys[alg].privateKey, ...options });
    const token = `${input}.${signature.toString("base64url")}`;
    const [refused] = ask([{ op: "verify", alg, keys: [shown(alg)], token }]);
    saw(`${what} is refused`, refused.code === "jws_signature", refused.code);
  }

  step("tokens that wary makes");
  for (const alg of Object.keys(algorithms)) {
    const pkcs8 = keys[alg].privateKey.export({ format: "der", type: "pkcs8" }).toString("base64");
    const [own, given] = ask([
      { op: "sign", alg, kid: "a", payload: "payload of wary" },
      { op: "sign", alg, kid: "b", payload: "payload of wary", pkcs8 },
    ]);
    const ownKey = createPublicKey({ key: own.jwk, format: "jwk" });
    saw(`${alg} by a key of wary's verifies`, nodeVerifies(alg, own.token, ownKey));
    saw(`${alg} altered does not`, !nodeVerifies(alg, altered(own.token), ownKey));
    saw(`${alg} by a key of Node's verifies`, nodeVerifies(alg, given.token, keys[alg].publicKey));
    saw(`${alg} has the header that was asked for`, JSON.stringify(read(own.token, 0)) === JSON.stringify({ alg, kid: "a", typ: "JWT" }));
    saw(`${alg} key has Node's thumbprint`, own.thumbprint === nodeThumbprint(own.jwk));
  }

  step("SPIFFE: bundles and JWT-SVIDs");
  for (const alg of Object.keys(algorithms).filter((name) => name !== "EdDSA")) {
    const [{ token, bundle }] = ask([{ op: "issue", alg }]);
    const document = JSON.parse(bundle);
    const [root, key] = document.keys;
    const certificate = new X509Certificate(Buffer.from(root.x5c[0], "base64"));
    const certified = certificate.publicKey.export({ format: "jwk" });
    saw(`${alg}: Node reads the root`, certificate.ca && certificate.subjectAltName === "URI:spiffe://example.org" && root.x5c.length === 1 && !("kid" in root));
    saw(`${alg}: the entry is the root's key`, ["kty", "crv", "x", "y"].every((name) => certified[name] === root[name]));
    saw(`${alg}: Node verifies the JWT-SVID`, nodeVerifies(alg, token, createPublicKey({ key, format: "jwk" })));
    const claims = read(token, 1);
    saw(`${alg}: the claims are those that were wanted`,
      claims.sub === "spiffe://example.org/orders" && claims.aud === "reports" && claims.exp === now + 3600 && claims.iat === now);

    const mine = JSON.stringify({ spiffe_sequence: 1, keys: [{ ...shown(alg), kid: "n", use: "jwt-svid" }] });
    const svid = { sub: "spiffe://example.org/node", aud: ["x", "reports"], exp: now + 60 };
    const by = (header, changes = {}) => ({ op: "check", bundle: mine, token: nodeToken(alg, header, { ...svid, ...changes }, keys[alg].privateKey) });
    const [good, nameless, late, own] = ask([
      by({ alg, kid: "n" }), by({ alg, typ: "JOSE" }), by({ alg, kid: "n" }, { exp: now }), { op: "check", bundle, token }]);
    saw(`${alg}: Node's JWT-SVID is accepted`, good.id === svid.sub, good.code ?? "");
    saw(`${alg}: without kid too`, nameless.id === svid.sub, nameless.code ?? "");
    saw(`${alg}: at its end it is refused`, late.code === "jwt_svid_expired", late.code);
    saw(`${alg}: wary accepts its own`, own.id === claims.sub, own.code ?? "");
  }
  const ed = JSON.stringify({ keys: [{ ...shown("EdDSA"), kid: "n", use: "jwt-svid" }] });
  const edToken = nodeToken("EdDSA", { alg: "EdDSA", kid: "n" }, { sub: "spiffe://example.org/a", aud: "reports", exp: now + 60 }, keys.EdDSA.privateKey);
  const [refused] = ask([{ op: "check", bundle: ed, token: edToken }]);
  saw("EdDSA is refused though its key is in the bundle", refused.code === "jwt_svid_algorithm", refused.code);
});
