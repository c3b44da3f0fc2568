// Tokens of another issuer for ./dev bench edge: ES256, made before they are measured, each asked with but once where they are all new.
import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const kIssuer = "https://idp.bench.test/", kAudience = "https://bench.test";
const base64url = (value) => Buffer.from(value).toString("base64url");

export class Tokens {
  constructor() {
    Object.assign(this, generateKeyPairSync("ec", { namedCurve: "P-256" }));
    this.made = 0;
    this.run = randomBytes(6).toString("hex");
  }
  pem() {
    return this.publicKey.export({ format: "pem", type: "spki" });
  }
  // wary's Issuer, with its keys in it.
  issuer() {
    return { issuer: kIssuer, audiences: [kAudience], jwks: { keys: [{ ...this.publicKey.export({ format: "jwk" }), kid: "k1", alg: "ES256", use: "sig" }] } };
  }
  make(more = {}) {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: kIssuer, aud: kAudience, sub: "alice", client_id: "bench", jti: `${this.run}-${++this.made}`, iat: now, exp: now + 3600, ...more };
    const input = `${base64url(JSON.stringify({ alg: "ES256", typ: "at+jwt", kid: "k1" }))}.${base64url(JSON.stringify(claims))}`;
    return `${input}.${sign("sha256", Buffer.from(input), { key: this.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  }
  // Good on connections with that certificate alone (RFC 8705).
  makeBoundTo(certificate) {
    return this.make({ cnf: { "x5t#S256": createHash("sha256").update(new X509Certificate(readFileSync(certificate)).raw).digest("base64url") } });
  }
  write(path, count) {
    const all = [];
    for (let i = 0; i < count; i += 1) all.push(this.make());
    writeFileSync(path, `${all.join("\n")}\n`);
  }
}

// HAProxy has no more of a token's meaning than what it is told to compare: signature, issuer, audience and end, as wary does.
export const haproxyChecks = (pem) => `  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless { var(txn.alg) -m str ES256 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.iss') -m str ${kIssuer} }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.aud') -m str ${kAudience} }
  http-request set-var(txn.now) date()
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request deny deny_status 401 unless { var(txn.exp),sub(txn.now) -m int gt 0 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${pem}") 1 }
  http-request del-header authorization
`;
