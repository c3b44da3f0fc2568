// Debian's HAProxy ends TLS in front of an edge and passes on what was in it, without TLS, after the PROXY protocol's word of whose
// connection it was and whether it was TLS. It is unpacked under build/demo, not installed.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { saw, skip, step } from "../support/checks.mjs";
import { Platform, root } from "../support/platform.mjs";
import { freePort, start, until } from "../support/processes.mjs";

function haproxyAt(file) {
  const libraries = ["liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"];
  if (spawnSync(join(root, "tools/fetch"), ["haproxy", ...libraries], { encoding: "utf8" }).status !== 0) return null;
  const found = libraries.map((name) => join(root, "build/demo", name, "usr/lib/x86_64-linux-gnu")).join(":");
  return start("haproxy", join(root, "build/demo/haproxy/usr/sbin/haproxy"), ["-db", "-f", file], { env: { ...process.env, LD_LIBRARY_PATH: found } });
}

// A person at an application whose TLS ends in front of `wary`: round by the console, back over the edge's own TLS, and known in front.
function signsIn(wary, port, path) {
  writeFileSync(path("both.pem"), readFileSync(path("cert.pem"), "utf8") + readFileSync(join(wary.data, "ca.pem"), "utf8"));
  const jar = wary.jar("alice"), url = `https://signing.localhost:${port}/page?q`;
  const browse = (...words) => wary.curl(url, "--cacert", path("both.pem"), "-b", jar, "-c", jar, "-H", "Accept: text/html", ...words);
  const sent = browse();
  saw("nobody yet: sent to the console", sent.status === 303 && sent.head.includes(`host=signing.localhost%3A${wary.port}&`), sent.head || sent.error);
  const arrived = browse("-L");
  saw("and back, over the edge's own TLS", arrived.status === 200 && JSON.parse(arrived.body).headers["x-forwarded-proto"] === "https", arrived.head || arrived.error);
  const known = browse();
  const seen = known.status === 200 ? JSON.parse(known.body).headers : {};
  saw("from then on known in front as well", seen["wary-principal"] === 'Wary::User::"alice"' && seen["x-forwarded-proto"] === "http" && seen.cookie === undefined, known.head || known.error);
}

// `signed` is a platform where alice is signed in, and serves signing.localhost without TLS.
export async function terminated(scratch, application, signed) {
  step("HAProxy ends TLS in front");
  const directory = join(scratch, "terminated"), path = (name) => join(directory, name);
  mkdirSync(directory);
  const made = spawnSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=front",
    "-addext", "subjectAltName=DNS:front.localhost,DNS:kept.localhost,DNS:signing.localhost", "-keyout", path("key.pem"), "-out", path("cert.pem")]);
  if (made.status !== 0) return skip("openssl makes no certificate");
  writeFileSync(path("pair.pem"), readFileSync(path("cert.pem"), "utf8") + readFileSync(path("key.pem"), "utf8"));
  const wary = new Platform(directory, await freePort(), { plain: await freePort(), words: ["--proxy-from", "127.0.0.1"] });
  await wary.start();
  const app = (name, more) => `apiVersion: wary.dev/v1\nkind: App\nmetadata: {name: ${name}, namespace: test}\nspec: {hosts: [${name}.localhost], upstream: "http://127.0.0.1:${application}"${more}}\n`;
  writeFileSync(path("all.yaml"), ["apiVersion: wary.dev/v1\nkind: Namespace\nmetadata: {name: test}\nspec: {owners: [owners]}\n", app("front", ", plain: serve"), app("kept", "")].join("---\n"));
  writeFileSync(path("all.cedar"), '@id("everybody")\npermit (principal, action, resource in Wary::Namespace::"test");\n@id("over-tls")\nforbid (principal, action == Wary::Action::"GET", resource)\nwhen { context.path == "/secure" && context has transport && context.transport != "terminated" };\n');
  for (const file of ["all.yaml", "all.cedar"]) {
    const applied = wary.cli("apply", "-f", path(file), "-n", "test");
    if (applied.code !== 0) throw new Error(applied.text);
  }
  const secure = await freePort(), bare = await freePort(), signing = await freePort();
  const tls = `ssl crt ${path("pair.pem")} alpn h2,http/1.1`;
  const front = (name, bind, send, to = wary) => `frontend ${name}\n  bind 127.0.0.1:${bind}\n  default_backend ${name}\nbackend ${name}\n  server edge 127.0.0.1:${to.plainPort} ${send}\n`;
  writeFileSync(path("haproxy.cfg"), `defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n${front("secure", `${secure} ${tls}`, "send-proxy-v2-ssl")}${front("bare", bare, "send-proxy-v2-ssl")}${front("signing", `${signing} ${tls}`, "", signed)}`);
  const haproxy = haproxyAt(path("haproxy.cfg"));
  if (haproxy === null) {
    await wary.stop();
    return skip("haproxy cannot be fetched");
  }
  const over = (host, route, ...words) => wary.curl(`https://${host}.localhost:${secure}${route}`, "--cacert", path("cert.pem"), ...words);
  await until("HAProxy serves", () => over("front", "/").status === 200, 10000).catch(() => {});
  const context = (answer) => wary.cliJson("explain", /wary-decision: (\S+)/i.exec(answer.head)[1]).recorded.context;
  for (const version of ["--http1.1", "--http2"]) {
    const answer = over("front", "/a?b", version, "-H", "X-Forwarded-Proto: gopher");
    const seen = answer.status === 200 ? JSON.parse(answer.body).headers : {};
    saw(`curl ${version}: the application hears of https, the decision that it was ended in front`, answer.head.startsWith(version === "--http2" ? "HTTP/2 200" : "HTTP/1.1 200") &&
      seen["x-forwarded-proto"] === "https" && seen["x-forwarded-for"] === "127.0.0.1" && context(answer).transport === "terminated", answer.head || answer.error);
    saw(`curl ${version}: a policy may ask for that`, over("front", "/secure", version).status === 200);
  }
  const plain = wary.curl(`http://front.localhost:${bare}/a`);
  saw("what HAProxy had without TLS is plain", plain.status === 200 && JSON.parse(plain.body).headers["x-forwarded-proto"] === "http" && context(plain).transport === "plain", plain.head || plain.error);
  saw("and refused where that is not enough", wary.curl(`http://front.localhost:${bare}/secure`).status === 401); // nobody is signed in
  saw("an App that does not say so is sent on", over("kept", "/x").status === 308);
  saw("who does not say whose connection it is gets nothing", wary.curl(wary.plainUrl("front", "/")).status === 0);
  await wary.stop();
  signsIn(signed, signing, path);
}
