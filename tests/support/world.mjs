// A small application without a login, and the resources and policies that put wary in front of it.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { start, until } from "./processes.mjs";

// A process of its own, so that a client that waits does not hold it up.
export async function startApplication() {
  const child = start("application", process.execPath, [join(dirname(fileURLToPath(import.meta.url)), "application.mjs")]);
  return Number(await until("the application listens", () => child.text.trim()));
}

// Alice may read the site, bob may not; what lies below /kept/ is on the disk before it is answered.
export function writeResources(directory, port) {
  const object = (kind, name, spec, scope = "") => `apiVersion: wary.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}${scope}}\nspec: ${spec}\n`;
  const inside = ", namespace: test";
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "resources.yaml"), [
    object("Namespace", "test", "{owners: [owners]}"),
    object("User", "alice", "{displayName: Alice}"),
    object("User", "bob", "{displayName: Bob}"),
    object("App", "site", `{hosts: [site.localhost], upstream: "http://127.0.0.1:${port}"}`, inside),
    object("Route", "kept", "{app: site, path: /kept/*, record: before}", inside),
  ].join("---\n"));
  writeFileSync(join(directory, "site.cedar"),
    '@id("alice-reads")\npermit (principal == Wary::User::"alice", action in Wary::Action::"read", resource in Wary::App::"test/site");\n');
  return directory;
}

// Ready to be asked for: applied, and alice signed in with the site's own cookie.
export async function furnish(wary, port) {
  const applied = wary.cli("apply", "-f", writeResources(join(wary.scratch, "resources"), port), "-n", "test");
  if (applied.code !== 0) throw new Error(applied.text);
  const { answer: signedIn } = wary.signIn("alice");
  if (signedIn.status !== 200) throw new Error(`alice was not signed in: ${signedIn.status} ${signedIn.error ?? signedIn.body}`);
  const answer = wary.browse("alice", wary.url("site", "/"));
  // The console's page is a 200 too: it is where nobody ends up.
  if (answer.status !== 200 || answer.body !== "/\n") throw new Error(`alice was not let in: ${answer.status} ${answer.error ?? answer.head}`);
  const cookie = wary.cookieOf("alice", "site");
  if (cookie === "") throw new Error("alice was let in, and curl kept no cookie of the site");
  return cookie;
}
