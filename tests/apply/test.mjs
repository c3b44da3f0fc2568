#!/usr/bin/env node
// Policies against the platform's schema, on a running wary: what is refused with place and hint, what is warned about, and that
// a refused change changes nothing.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, saw, step } from "../support/checks.mjs";
import { cleanUp, freePort, makeScratch, until } from "../support/processes.mjs";
import { Platform, root } from "../support/platform.mjs";
import { furnish, startApplication } from "../support/world.mjs";

await run(async () => {
  const scratch = makeScratch("apply");
  const wary = new Platform(scratch, await freePort());
  const directory = join(scratch, "policies");
  mkdirSync(directory);
  const file = (name, text) => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  const apply = (path, ...more) => wary.cli("apply", "-f", path, "-n", "test", ...more);
  await wary.start();
  const cookie = await furnish(wary, await startApplication());
  let last = {};
  const mayRead = async () => (last = await wary.get("site", "/", cookie)).status === 200;
  const seen = () => `the site answered ${last.status} ${last.error ?? ""}`.trim();
  const revision = () => wary.cliJson("status").revision;

  step("a misspelt attribute");
  const typo = file("typo.cedar", '// Nobody who is disabled.\nforbid (\n  principal is Wary::User,\n  action,\n  resource in Wary::App::"test/site"\n)\nwhen { principal.disabeld };\n');
  const before = revision();
  const refused = apply(typo);
  saw("it is refused", refused.code !== 0 && refused.err.includes("[apply_refused]"), `exit code ${refused.code}`);
  saw("with file, line and column", refused.err.includes(`error: ${typo}:7:8: `), refused.err.split("\n")[0]);
  saw("with the line and a caret below the place", /^when \{ principal\.disabeld \};\n {7}\^{18}$/m.test(refused.err));
  saw("with a hint", /did you mean `?disabled/.test(refused.err));
  saw("with its code", refused.err.includes("[validation_unsafe_attribute_access]"));
  saw("nothing is changed, and what was in force decides", revision() === before && (await mayRead()), seen());
  const tried = apply(typo, "--dry-run");
  saw("a dry run says the same", tried.code === refused.code && tried.err.includes(`${typo}:7:8: `));
  const asJson = wary.cli("--output", "json", "apply", "-f", typo, "-n", "test");
  const problem = JSON.parse(asJson.out).errors?.[0] ?? {};
  saw("as JSON too: what was found on standard output, the outcome on standard error", asJson.code === refused.code && problem.where === `${typo}:7:8` && problem.caret.includes("^^^") &&
    problem.next.includes("disabled") && JSON.parse(asJson.err).error.code === "apply_refused", problem.where);
  const offline = wary.cli("policy", "check", "--platform", typo);
  saw("and so does wary policy check --platform", offline.code !== 0 && offline.err.includes(`${typo}:7:8: `) && offline.err.includes("disabled"));

  const inYaml = join(scratch, "inside.yaml");
  writeFileSync(inYaml, "apiVersion: wary.dev/v1\nkind: Policy\nmetadata: {name: inside}\nspec:\n  cedar: |\n    permit (principal is Wary::User, action, resource is Wary::App)\n    when { principal.disabeld };\n");
  const inside = apply(inYaml);
  saw("inside YAML: the file's place, then that in the policy's text", inside.code !== 0 && inside.err.includes(`error: ${inYaml}:5:`) && inside.err.includes(": test/inside:2:8: "), inside.err.split("\n")[0]);

  step("one bad policy among good ones");
  file("good.cedar", 'permit (principal == Wary::User::"bob", action in Wary::Action::"read", resource in Wary::App::"test/site");\n');
  const all = apply(directory);
  saw("the whole directory is refused", all.code !== 0 && !wary.cli("get", "policies", "-n", "test").out.includes("good"));

  step("mended");
  file("typo.cedar", 'forbid (principal is Wary::User, action, resource in Wary::App::"test/site") when { principal.disabled };\n');
  const mended = apply(directory);
  saw("the directory is applied", mended.code === 0 && mended.out.includes("created  Policy test/good") && mended.err === "", mended.text.trim().split("\n").pop());
  saw("and decides", wary.cli("try", "bob", "GET", "https://site.localhost/").out.startsWith("ALLOW") && (await mayRead()), seen());

  const may = wary.cli("try", "bob", "GET", "https://site.localhost/"), mayNot = wary.cli("try", "nobody", "GET", "https://site.localhost/");
  const inJson = wary.cli("--output", "json", "try", "nobody", "GET", "https://site.localhost/"), noAnswer = wary.cli("try", "bob", "GET", "https://none.localhost/");
  saw("wary try exits with 0 for ALLOW, 1 for DENY without an error, another where there is no answer", may.code === 0 && mayNot.code === 1 && mayNot.out.startsWith("DENY") && mayNot.err === "" &&
    inJson.code === 1 && JSON.parse(inJson.out).decision === "deny" && noAnswer.code > 1 && noAnswer.err.includes("[host_unknown]"), `${may.code} ${mayNot.code} ${inJson.code} ${noAnswer.code}`);

  step("warnings");
  const impossible = file("impossible.cedar", "permit (principal, action, resource)\nwhen { context has vehicle };\n");
  const warned = apply(impossible);
  saw("a policy that can never apply is taken with a warning", warned.code === 0 && warned.err.startsWith(`warning: ${impossible}:1:1: `) && warned.err.includes("[validation_impossible_policy]"),
    warned.err.split("\n")[0]);
  const foreign = apply(file("shop.cedar", "permit (principal is Wary::User, action, resource is Shop::Order)\nwhen { resource.total < 100 };\n"));
  saw("so is one about another program's resources", foreign.code === 0 && foreign.err.includes("[policy_foreign]") && foreign.err.includes("Shop::Order"), foreign.err.split("\n")[0]);
  const json = wary.cliJson("apply", "-f", impossible, "-n", "test");
  saw("--output json carries the warnings", json.warnings?.length === 1 && json.warnings[0].code === "validation_impossible_policy" && json.warnings[0].where === `${impossible}:1:1`);
  const nobody = file("nobody.cedar", 'permit (principal == Wary::User::"alcie", action in Wary::Action::"read", resource in Wary::App::"test/site");\n');
  const unknown = apply(nobody);
  saw("so is one that names a user who does not exist, with who was meant", unknown.code === 0 && unknown.err.startsWith(`warning: ${nobody}:1:9: there is no such Wary::User`) &&
    unknown.err.includes("[policy_entity_unknown]") && unknown.err.includes('did you mean Wary::User::"alice"?'), unknown.err.split("\n")[0]);
  const review = wary.cli("policy", "diff", "--platform", "-n", "test", nobody);
  saw("wary policy diff --platform says it before", review.code === 0 && review.err.includes(`warning: ${nobody}:1:9: `) && review.err.includes('did you mean Wary::User::"alice"?'), review.err.split("\n")[0]);
  wary.cli("delete", "policy", "nobody", "-n", "test");
  const slip = apply(file("slip.cedar", 'forbid (principal, action, resource in Wray::App::"test/site");\n'));
  saw("a slip in the namespace is refused, with the right one", slip.code !== 0 && slip.err.includes("did you mean `Wary::App`?"), slip.err.split("\n")[0]);

  step("where the client is");
  const near = apply(file("slip.cedar", 'forbid (principal, action, resource in Wary::App::"test/site") unless { context.client.isLoopback() };\n'));
  saw("a policy may ask for the client's address", near.code === 0 && near.err === "", near.err);
  saw("and both the gateway and wary try know it", (await mayRead()) && wary.cli("try", "alice", "GET", "https://site.localhost/").out.startsWith("ALLOW"), seen());

  step("the demo, and a restart");
  const demo = wary.cli("apply", "-f", join(root, "examples/demo/resources/policies"), "-n", "demo");
  const others = demo.err.split("\n").filter((line) => line.startsWith("warning: ") && !line.includes("[policy_entity_unknown]"));
  saw("the demo's policies are valid; without its objects each name is warned about", demo.code === 0 && demo.err.includes('Wary::App::"demo/site"') && others.length === 0 && !demo.err.includes("error: "), others[0]);
  await wary.stop();
  await wary.start();
  saw("nothing stored is called invalid at the start", !wary.log("waryd").includes("control.policy_invalid"));
  saw("and alice still reads", await until("the edge serves", mayRead).catch(() => false), seen());
}, cleanUp);
