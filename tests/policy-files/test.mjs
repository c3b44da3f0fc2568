#!/usr/bin/env node
// wary policy check, fmt, convert, eval, explain, search, diff, unused, test: on files that this script writes itself, without a running wary.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, saw, step } from "../support/checks.mjs";
import { cleanUp, makeScratch } from "../support/processes.mjs";
import { wary } from "../support/platform.mjs";

const scratch = makeScratch("policy-files");
const invalid = 2; // exit code of what is wrong with the input
const missing = 5;

const file = (name, text) => {
  writeFileSync(join(scratch, name), typeof text === "string" ? text : JSON.stringify(text));
  return name;
};
const read = (name) => readFileSync(join(scratch, name), "utf8");
function policy(...words) {
  const done = spawnSync(wary, ["policy", ...words], { encoding: "utf8", cwd: scratch, timeout: 60000 });
  return { code: done.status, out: done.stdout, err: done.stderr };
}
const json = (...words) => {
  const answer = policy("--output", "json", ...words);
  try {
    answer.json = JSON.parse(answer.out);
  } catch {
    answer.json = null;
  }
  return answer;
};
const shown = (answer) => `${answer.code}: ${(answer.err || answer.out).split("\n")[0]}`;
// An answer that failed with this code and mentions all of these on standard error, in an error with a code in brackets.
function refuses(what, answer, code, ...mentions) {
  const held = answer.code === code && answer.out === "" && /\[[a-z0-9_]+\]/.test(answer.err) && mentions.every((text) => answer.err.includes(text));
  saw(`${what}: refused`, held, shown(answer));
}

const schema = `entity Team;
entity Person in [Team] { age: Long, mail?: String };
entity Page { owner: Person };
action read, write appliesTo { principal: Person, resource: Page, context: { from: ipaddr } };
`;
const good = `// The owner may do everything.
@id("owner")
permit (principal is Person, action, resource is Page)
when { resource.owner == principal };

@id("team-reads")
permit (principal in Team::"web", action == Action::"read", resource);
`;
const entities = [
  { uid: { type: "Team", id: "web" }, attrs: {}, parents: [] },
  { uid: { type: "Person", id: "ann" }, attrs: { age: 40 }, parents: [{ type: "Team", id: "web" }] },
  { uid: { type: "Person", id: "bo" }, attrs: { age: 17 }, parents: [] },
  { uid: { type: "Page", id: "home" }, attrs: { owner: { __entity: { type: "Person", id: "bo" } } }, parents: [] },
  { uid: { type: "Page", id: "news" }, attrs: { owner: { __entity: { type: "Person", id: "ann" } } }, parents: [] },
];
// The directory that all commands run in.
function prepare() {
  file("app.cedarschema", schema);
  file("good.cedar", good);
  file("broken.cedar", 'permit (principal, action, resource)\nwhen { principal.age > };\n');
  file("entities.json", entities);
  file("broken.json", '{"a": ');
  mkdirSync(join(scratch, "several"));
  file("several/a.cedar", 'permit (principal, action == Action::"read", resource);\n');
  file("several/b.cedar", "forbid (principal, action, resource) when { principal.age < 18 };\n");
  file("several/notes.txt", "not a policy");
}

function check() {
  step("wary policy check");
  const syntax = policy("check", "good.cedar");
  saw("without a schema it counts", syntax.code === 0 && syntax.out.startsWith("2 policies: no syntax errors") && syntax.err === "", shown(syntax));
  saw("--output json counts too", json("check", "good.cedar").json?.policies === 2);
  saw("a directory gives its .cedar files", json("check", "several").json?.policies === 2);
  const broken = policy("check", "broken.cedar");
  refuses("a syntax error", broken, invalid, "error: broken.cedar:2:24: ", "[policy_invalid]");
  saw("with the line and a caret below the place", /^when \{ principal\.age > \};\n {23}\^/m.test(broken.err), broken.err.split("\n").slice(1, 3).join(" / "));
  const typed = policy("check", "good.cedar", "--schema", "app.cedarschema");
  saw("by a schema, nothing is found", typed.code === 0 && typed.out === "2 policies: 0 errors, 0 warnings\n", typed.out.trim());
  file("typo.cedar", 'permit (principal is Person, action, resource)\nwhen { principal.agee > 1 };\n\npermit (principal, action, resource) when { context.from == ip("10.0.0.1") && false };\n');
  const typo = policy("check", "typo.cedar", "--schema", "app.cedarschema");
  saw("a misspelt attribute: place, caret, hint, and how many", typo.code === invalid && typo.err.includes("error: typo.cedar:2:8: ") && typo.err.includes("`age`") &&
    /^when \{ principal\.agee > 1 \};\n {7}\^{14}$/m.test(typo.err) && typo.out === "2 policies: 1 error, 1 warning\n", typo.err.split("\n")[0]);
  const found = json("check", "typo.cedar", "--schema", "app.cedarschema");
  const [first, second] = found.json?.findings ?? [];
  saw("--output json lists them", found.code === invalid && first?.kind === "UnsafeAttributeAccess" && first.severity === "error" && first.policy === "policy0" &&
    first.where === "typo.cedar:2:8" && second?.kind === "ImpossiblePolicy" && second.severity === "warning");
  saw("warnings alone do not fail", policy("check", file("never.cedar", "permit (principal, action, resource) when { false };\n"), "--schema", "app.cedarschema").code === 0);
  saw("--level counts steps", policy("check", "good.cedar", "--schema", "app.cedarschema", "--level", "1").code === 0 &&
    policy("check", "good.cedar", "--schema", "app.cedarschema", "--level", "0").err.includes("[validation_level_violation]"));
  refuses("a level that is none", policy("check", "good.cedar", "--schema", "app.cedarschema", "--level", "-1"), invalid, "[usage]", "--level");
  refuses("a level without a schema", policy("check", "good.cedar", "--level", "1"), invalid, "[usage]", "--schema FILE");
  refuses("a broken schema", policy("check", "good.cedar", "--schema", file("bad.cedarschema", "entity A in [B];\n")), invalid, "bad.cedarschema:1:", "[schema_invalid]");
  refuses("a file that is not there", policy("check", "none.cedar"), missing, "none.cedar");
  refuses("a file of another kind", policy("check", "several/notes.txt"), invalid, "notes.txt", "[policy_file]");
  mkdirSync(join(scratch, "none"));
  refuses("a directory without a policy", policy("check", "none"), invalid, "none", "[policy_file]", ".cedar");
  refuses("an id that is taken, with its place", policy("check", "good.cedar", "good.cedar"), 6, "good.cedar:2:1", "[cedar_policy_id]", "owner");
  refuses("no file", policy("check"), invalid, "[usage]");
}

function platform() {
  step("wary policy check --platform");
  file("own.cedar", '@id("a")\npermit (principal is Wary::User, action in Wary::Action::"read", resource in Wary::App::"demo/site") when { context.path like "/x/*" };\n');
  const own = policy("check", "--platform", "own.cedar");
  saw("wary's own names are known", own.code === 0 && own.out === "1 policy: 0 errors, 0 warnings\n", own.err);
  file("own_typo.cedar", 'permit (principal is Wary::User, action, resource is Wary::App)\nwhen { principal.disabeld };\n');
  const typo = policy("check", "--platform", "own_typo.cedar", "own.cedar");
  saw("a misspelt attribute: place, caret and hint", typo.code === invalid && typo.err.includes("error: own_typo.cedar:2:8: ") && typo.err.includes("disabled") && /\n {7}\^{18}\n/.test(typo.err), typo.err.split("\n")[0]);
  const found = json("check", "--platform", "own_typo.cedar");
  saw("--output json lists it by the policy's id", found.json?.findings?.[0]?.policy === "own_typo" && found.json.policies === 1);
  const foreign = policy("check", "--platform", file("shop.cedar", "permit (principal, action, resource is Shop::Order) when { resource.total > 1 };\n"));
  saw("another program's resources: a warning", foreign.code === 0 && foreign.err.includes("[policy_foreign]") && foreign.out === "1 policy: 0 errors, 1 warning\n");
  refuses("wary apply's own rules hold: a template", policy("check", "--platform", file("template.cedar", "permit (principal == ?principal, action, resource);\n")), invalid, "template.cedar:1:1", "[policy_template]");
  refuses("a syntax error", policy("check", "--platform", "broken.cedar"), invalid, "broken.cedar:2:24");
  refuses("policies as JSON", policy("check", "--platform", file("own.json", "{}")), invalid, "own.json", "wary policy convert");
  refuses("with another schema beside it", policy("check", "--platform", "own.cedar", "--schema", "app.cedarschema"), invalid, "[usage]");
}

function fmt() {
  step("wary policy fmt");
  file("loose.cedar", '// First.\npermit(principal,action,resource)when{principal.age>1};// Last.\n');
  const check = policy("fmt", "--check", "loose.cedar", "good.cedar");
  saw("--check names what would change, and fails", check.code === invalid && check.out.includes("loose.cedar") && check.err.includes("[policy_format]"), shown(check));
  saw("and changes nothing", read("loose.cedar").startsWith("// First.\npermit(principal,action"));
  const done = policy("fmt", "loose.cedar");
  const text = read("loose.cedar");
  const listed = json("fmt", "--check", file("loose2.cedar", "permit(principal,action,resource);\n"), "good.cedar");
  saw("--output json lists them", listed.json?.changed?.includes("loose2.cedar"), listed.out.trim());
  saw("it rewrites, and names the file", done.code === 0 && done.out === "loose.cedar\n" && text.includes("permit (principal, action, resource)\nwhen { principal.age > 1 };"));
  saw("every comment is kept", text.includes("// First.") && text.includes("// Last."));
  const again = policy("fmt", "loose.cedar");
  saw("a second time there is nothing to do", again.code === 0 && again.out === "" && policy("fmt", "--check", "loose.cedar").code === 0);
  const before = read("broken.cedar");
  const broken = policy("fmt", "broken.cedar");
  refuses("a file with a syntax error", broken, invalid, "broken.cedar:2:24", "[policy_invalid]");
  saw("and it is as it was", read("broken.cedar") === before);
  refuses("JSON, which has no layout", policy("fmt", file("set.json", { staticPolicies: {}, templates: {}, templateLinks: [] })), invalid, "set.json", "[policy_file]");
}

function convert() {
  step("wary policy convert");
  const out = policy("convert", "good.cedar");
  const set = out.code === 0 ? JSON.parse(out.out) : {};
  saw("text becomes JSON", Object.keys(set.staticPolicies ?? {}).length === 2 && set.staticPolicies.owner?.effect === "permit", shown(out));
  file("good.json", out.out);
  const back = policy("convert", "good.json");
  saw("and JSON text", back.code === 0 && back.out.includes("permit (") && back.out.includes("resource.owner == principal"), back.out.split("\n")[0]);
  file("back.cedar", back.out);
  saw("which says the same", JSON.stringify(JSON.parse(policy("convert", "back.cedar").out)) === JSON.stringify(set));
  const asJson = policy("convert", "app.cedarschema");
  file("app.cedarschema.json", asJson.out);
  const asText = policy("convert", "app.cedarschema.json");
  saw("a schema too, both ways", asJson.code === 0 && asText.code === 0 && asText.out.includes("entity Person in [Team]"), shown(asText));
  saw("and it checks the same", policy("check", "typo.cedar", "--schema", "app.cedarschema.json").out === "2 policies: 1 error, 1 warning\n");
  const all = { action: { op: "All" }, conditions: [] };
  const unlike = file("named.json", { staticPolicies: { first: { effect: "permit", principal: { op: "All" }, resource: { op: "All" }, ...all } },
    templates: { t: { effect: "forbid", principal: { op: "All" }, resource: { op: "in", slot: "?resource" }, ...all } },
    templateLinks: [{ templateId: "t", newId: "not-home", values: { "?resource": { type: "Page", id: "home" } } }] });
  const plain = policy("convert", unlike).out;
  saw("ids that only the JSON has become @id", plain.includes('@id("first") permit (principal, action, resource);') && plain.includes('@id("t") forbid (principal, action, resource in ?resource);'), plain);
  saw("links are policies of their own", plain.includes('@id("not-home") forbid (principal, action, resource in Page::"home");'), plain);
  refuses("JSON that is none", policy("convert", "broken.json"), invalid, "broken.json");
  refuses("JSON that is no policy", policy("convert", file("other.json", { staticPolicies: { a: { effect: "maybe" } } })), invalid, "other.json", "effect");
  refuses("a text with a syntax error", policy("convert", "broken.cedar"), invalid, "broken.cedar:2:24");
  refuses("a broken schema", policy("convert", "bad.cedarschema"), invalid, "bad.cedarschema:1:");
}

const asks = (principal, action, resource, ...more) => ["--policies", "good.cedar", "--entities", "entities.json", "--principal", `Person::"${principal}"`, "--action", `Action::"${action}"`,
  "--resource", `Page::"${resource}"`, ...more];
function evaluate() {
  step("wary policy eval");
  const allowed = policy("eval", ...asks("ann", "read", "home"));
  saw("ALLOW, and by what", allowed.code === 0 && allowed.out === "ALLOW\n  policy team-reads\n", shown(allowed));
  const denied = policy("eval", ...asks("ann", "write", "home"));
  saw("DENY is an answer, not a failure: exit code 1, and no error", denied.code === 1 && denied.out === "DENY\n" && denied.err === "");
  const answer = json("eval", ...asks("bo", "write", "home")).json;
  saw("--output json", answer?.decision === "allow" && answer.reasons.join() === "owner" && answer.errors.length === 0, JSON.stringify(answer));
  const wrong = ["eval", "--policies", file("wrong.cedar", "permit (principal, action, resource) when { principal.nothing };\n"), "--entities", "entities.json",
    "--principal", 'Person::"ann"', "--action", 'Action::"read"', "--resource", 'Page::"home"'];
  const failed = policy(...wrong);
  saw("a policy that fails is named, with why", failed.code === 1 && failed.out.startsWith("DENY\n  error in policy0: ") && failed.out.includes("nothing"), failed.out.split("\n")[1]);
  saw("--output json has its kind", json(...wrong).json?.errors?.[0]?.policy === "policy0" && json(...wrong).json.errors[0].kind !== "");
  file("skipped.cedar", `${good}forbid (principal, action, resource) when { context.banned };\n`);
  const skipped = ["eval", ...asks("bo", "write", "home").map((word) => (word === "good.cedar" ? "skipped.cedar" : word))];
  saw("a forbid that failed: wary would deny, and it says so", policy(...skipped).out.startsWith("ALLOW\n") && policy(...skipped).out.includes("wary denies"), policy(...skipped).out.split("\n").at(-2));
  saw("--output json says it too", json(...skipped).json?.decision === "allow" && json(...skipped).json.forbid_failed === true);
  const withSchema = ["--schema", "app.cedarschema", "--context"];
  saw("a schema reads the context by its types", policy("eval", ...asks("bo", "write", "home", ...withSchema, '{"from": "10.0.0.1"}')).out === "ALLOW\n  policy owner\n");
  file("context.json", { from: "10.0.0.1" });
  saw("@FILE is a context too", policy("eval", ...asks("bo", "write", "home", ...withSchema, "@context.json")).out.startsWith("ALLOW"));
  refuses("a context that does not fit", policy("eval", ...asks("bo", "write", "home", ...withSchema, '{"from": true}')), invalid, "from");
  refuses("a context that is no JSON", policy("eval", ...asks("bo", "write", "home", "--context", "{")), invalid, "--context");
  refuses("a context that is no record", policy("eval", ...asks("bo", "write", "home", "--context", "1")), invalid, "--context");
  refuses("a principal that is no entity", policy("eval", "--policies", "good.cedar", "--principal", "ann", "--action", 'Action::"read"', "--resource", 'Page::"home"'), invalid, "--principal");
  refuses("no resource", policy("eval", "--policies", "good.cedar", "--principal", 'Person::"ann"', "--action", 'Action::"read"'), invalid, "[usage]", "--resource");
  refuses("entities that are no JSON", policy("eval", ...asks("ann", "read", "home").map((word) => (word === "entities.json" ? "broken.json" : word))), invalid, "broken.json");
  file("odd.json", [{ uid: { type: "Person", id: "ann" }, attrs: { age: "old" }, parents: [] }]);
  refuses("entities that do not fit the schema", policy("eval", ...asks("ann", "read", "home", ...withSchema, "{}").map((word) => (word === "entities.json" ? "odd.json" : word))), invalid, "odd.json", "age");
  refuses("policies with a syntax error", policy("eval", ...asks("ann", "read", "home").map((word) => (word === "good.cedar" ? "broken.cedar" : word))), invalid, "broken.cedar:2:24");
}

function explain() {
  step("wary policy explain");
  const allowed = policy("explain", ...asks("ann", "read", "home"));
  saw("an allow names policy, file and lines", allowed.code === 0 && allowed.out.includes("\nallowed: ") && allowed.out.includes("team-reads  good.cedar:6-7  satisfied"), allowed.out.split("\n")[1]);
  const denied = policy("explain", ...asks("ann", "write", "home"));
  saw("a deny names the nearest permits, clauses and values", denied.code === 0 && denied.out.includes("\ndenied: ") && denied.out.includes("owner  good.cedar:2-4  not satisfied") && denied.out.includes('resource.owner = Person::"bo"'), denied.out.split("\n")[1]);
  saw("--output json is the same as data", JSON.stringify(json("explain", ...asks("ann", "write", "home")).json ?? {}).includes("no_permit"));
  const asJson = (words) => words.map((word) => (word === "good.cedar" ? "good.json" : word));
  const same = json("explain", ...asJson(asks("ann", "read", "home"))).json;
  saw("policies as JSON are explained as well", same?.allowed === true && same.determining[0]?.id === "team-reads" && same.determining[0].file === "good.json", JSON.stringify(same)?.slice(0, 80));
  saw("under the ids that eval gives", allowed.out.includes("permit team-reads  "), allowed.out.split("\n")[3]);
  file("linked.json", { staticPolicies: {}, templates: { t: { effect: "permit", principal: { op: "==", slot: "?principal" }, action: { op: "All" }, resource: { op: "All" }, conditions: [] } },
    templateLinks: [{ templateId: "t", newId: "ann may: all", values: { "?principal": { type: "Person", id: "ann" } } }] });
  const linked = asks("ann", "write", "home").map((word) => (word === "good.cedar" ? "linked.json" : word));
  saw("and the links of templates", json("explain", ...linked).json?.determining?.[0]?.id === "ann may: all", shown(policy("explain", ...linked)));
  refuses("no principal", policy("explain", "--policies", "good.cedar"), invalid, "[usage]", "--principal");
  refuses("policies with a syntax error", policy("explain", ...asks("ann", "read", "home").map((word) => (word === "good.cedar" ? "broken.cedar" : word))), invalid, "broken.cedar:2:24");
}

function search() {
  step("wary policy search");
  const without = (flag, words) => words.filter((word, i) => word !== flag && words[i - 1] !== flag);
  const who = policy("search", "principal", "Person", ...without("--principal", asks("", "read", "home")));
  saw("who may read home", who.code === 0 && who.out === 'Person::"ann"\nPerson::"bo"\n', shown(who));
  const what = json("search", "resource", "Page", ...without("--resource", asks("bo", "write", "")));
  saw("what bo may write, as JSON", what.json?.join() === 'Page::"home"', shown(what));
  const how = policy("search", "action", "Action", ...without("--action", asks("ann", "", "news")), "--schema", "app.cedarschema", "--context", '{"from": "10.0.0.1"}');
  saw("what ann may do to news", how.code === 0 && how.out === 'Action::"read"\nAction::"write"\n', shown(how));
  saw("nobody is an empty answer", policy("search", "principal", "Team", ...without("--principal", asks("", "write", "home"))).out === "");
  const unknown = policy("search", "principal", "Persn", ...without("--principal", asks("", "read", "home")));
  saw("no entity of the type: it says so", unknown.code === 0 && unknown.out === "" && unknown.err.includes("Persn"), unknown.err.trim());
  refuses("nothing that can be searched", policy("search", "context", "Person", ...asks("ann", "read", "home")), invalid, "[usage]", "principal, action or resource");
  refuses("no type", policy("search", "principal", ...asks("ann", "read", "home")), invalid, "[usage]");
  refuses("an option for what is searched", policy("search", "principal", "Person", ...asks("ann", "read", "home")), invalid, "[usage]", "--principal");
  refuses("a type that the schema has not", policy("search", "principal", "Persn", ...without("--principal", asks("", "read", "home")), "--schema", "app.cedarschema", "--context", '{"from": "10.0.0.1"}'), invalid, "Persn", "[policy_type]");
  refuses("policies with a syntax error", policy("search", "principal", "Person", ...without("--principal", asks("", "read", "home")).map((word) => (word === "good.cedar" ? "broken.cedar" : word))), invalid,
    "broken.cedar:2:24");
}

function tests() {
  step("wary policy test");
  const ask = (principal, action) => ({ principal: `Person::"${principal}"`, action: `Action::"${action}"`, resource: 'Page::"home"', context: {} });
  file("passes.json", [
    { name: "ann reads", request: ask("ann", "read"), entities, decision: "allow", reason: ["team-reads"], num_errors: 0 },
    { request: ask("ann", "write"), entities, decision: "deny" },
  ]);
  const good = policy("test", "passes.json", "--policies", "good.cedar");
  saw("tests that hold", good.code === 0 && good.out === "2 passed, 0 failed\n" && good.err === "", shown(good));
  file("fails.json", [
    { name: "wrong decision", request: ask("ann", "read"), entities, decision: "deny" },
    { name: "wrong reason", request: ask("ann", "read"), entities, decision: "allow", reason: ["owner"] },
    { name: "right", request: ask("bo", "write"), entities, decision: "allow" },
  ]);
  const bad = policy("test", "passes.json", "fails.json", "--policies", "good.cedar");
  saw("tests that do not: which, and why", bad.code === invalid && bad.out.includes("FAIL fails.json wrong decision: expected deny, is allow") &&
    bad.out.includes("FAIL fails.json wrong reason: expected the reasons owner, they are team-reads") && bad.out.endsWith("3 passed, 2 failed\n") && bad.err.includes("[policy_test]"), bad.err.split("\n")[0]);
  const counted = json("test", "passes.json", "fails.json", "--policies", "good.cedar").json;
  saw("--output json counts them, and says which failed", counted?.passed === 3 && counted.failed === 2 && counted.failures[0].file === "fails.json" && counted.failures[0].name === "wrong decision", JSON.stringify(counted));
  const typed = file("typed.json", [{ request: { ...ask("ann", "read"), context: { from: "10.0.0.1" } }, entities, decision: "allow" }]);
  saw("by a schema", policy("test", typed, "--policies", "good.cedar", "--schema", "app.cedarschema").out === "1 passed, 0 failed\n");
  refuses("a file that is no JSON", policy("test", "broken.json", "--policies", "good.cedar"), invalid, "broken.json");
  refuses("a file that is no list of tests", policy("test", "context.json", "--policies", "good.cedar"), invalid, "context.json", "[policy_test_file]");
  refuses("a test without a decision", policy("test", file("undecided.json", [{ request: ask("ann", "read") }]), "--policies", "good.cedar"), invalid, "undecided.json/0/decision");
  refuses("a member that is not known", policy("test", file("member.json", [{ request: ask("ann", "read"), decision: "deny", reasons: ["owner"] }]), "--policies", "good.cedar"), invalid, "member.json/0/reasons");
  refuses("one of the request", policy("test", file("part.json", [{ request: { ...ask("ann", "read"), contxt: {} }, decision: "deny" }]), "--policies", "good.cedar"), invalid, "part.json/0/request/contxt");
  refuses("a count that is none", policy("test", file("count.json", [{ request: ask("ann", "read"), decision: "deny", num_errors: "1" }]), "--policies", "good.cedar"), invalid, "count.json/0/num_errors");
  refuses("a file without a test", policy("test", file("empty.json", []), "--policies", "good.cedar"), invalid, "empty.json", "[policy_test_file]");
  refuses("a request without a principal", policy("test", file("nobody.json", [{ request: {}, decision: "deny" }]), "--policies", "good.cedar"), invalid, "nobody.json/0/request/principal");
  refuses("no policies", policy("test", "passes.json"), invalid, "[usage]", "--policies");
  refuses("policies with a syntax error", policy("test", "passes.json", "--policies", "broken.cedar"), invalid, "broken.cedar:2:24");
}

function diff() {
  step("wary policy diff");
  file("wider.cedar", `${good}@id("adults")
permit (principal is Person, action == Action::"read", resource is Page) when { principal.age > 17 };
`);
  file("narrower.cedar", good.replace("{ resource.owner == principal }", "{ resource.owner == principal && principal.age > 17 }"));
  const typed = ["--schema", "app.cedarschema"];
  const same = json("diff", "good.cedar", "good.cedar", ...typed, "--no-new-access");
  saw("nothing changed: proved by the scopes alone", same.code === 0 && same.json?.no_new_access === "holds" && same.json.changes.length === 0, shown(same));
  const narrower = json("diff", "good.cedar", "narrower.cedar", ...typed, "--no-new-access");
  saw("a narrower policy gives nobody access: proved", narrower.code === 0 && narrower.json?.no_new_access === "holds" && narrower.json.no_lost_access === "fails", shown(narrower));
  const wider = json("diff", "good.cedar", "wider.cedar", ...typed, "--entities", file("team.json", entities.filter((e) => e.uid.type !== "Team").concat({ uid: { type: "Team", id: "web" }, attrs: {}, parents: [] })));
  const gained = wider.json?.entities?.examples ?? [];
  saw("a wider one does: a counter-example, the tier", wider.json?.no_new_access === "fails" && wider.json.environments.some((e) => e.gains_nothing.tier === "solver" && e.gains_nothing.example), shown(wider));
  // Ann is in the team and reads both pages already; Bo is too young for the new permit.
  saw("and nobody by name among those there are", gained.length === 0 && wider.json?.entities?.gained === 0 && wider.json.entities.complete === true, JSON.stringify(wider.json?.entities));
  file("all.cedar", `${good}permit (principal is Person, action == Action::"read", resource is Page);\n`);
  const all = policy("diff", "good.cedar", "all.cedar", ...typed, "--entities", "team.json");
  saw("who gains what, by name", all.code === 0 && all.out.includes('+ Person::"bo"  Action::"read"  Page::"news"') && all.out.includes("1 accesses gained, 0 lost"), all.out.split("\n").at(-2));
  const gate = policy("diff", "good.cedar", "all.cedar", ...typed, "--no-new-access");
  saw("--no-new-access fails a change that gives some", gate.code !== 0 && gate.err.includes("[policy_new_access]"), shown(gate));
  file("foreign.cedar", `${good}permit (principal, action, resource is Shop::Order);\n`);
  const foreign = policy("diff", "good.cedar", "foreign.cedar", ...typed, "--no-new-access");
  saw("a permit of what the schema has not is not proved safe", foreign.code !== 0 && foreign.err.includes("[policy_new_access]") && foreign.out.includes("not covered: policy policy2 does not validate"), shown(foreign));
  file("obliged.cedar", good.replace('@id("owner")', '@id("owner") @obligation("step-up")'));
  const eased = json("diff", "obliged.cedar", "good.cedar", ...typed);
  saw("nor is a dropped obligation", eased.json?.no_new_access === "unknown" && eased.json.not_covered[0].includes("step-up"), JSON.stringify(eased.json?.not_covered));
  const forbid = (condition) => `${good}@id("grown") forbid (principal is Person, action, resource is Page) when { ${condition} };\n`;
  file("failing.cedar", forbid("principal.age + 1 < 19"));
  file("sound.cedar", forbid("principal.age < 18"));
  const opened = policy("diff", "failing.cedar", "sound.cedar", ...typed, "--no-new-access");
  saw("where a forbid failed and does no more, access is new", opened.code !== 0 && opened.err.includes("[policy_new_access]") && opened.out.includes("age: 9223372036854775807"), shown(opened));
  const closed = json("diff", "sound.cedar", "failing.cedar", ...typed, "--no-new-access");
  saw("a forbid that comes to fail gives none", closed.code === 0 && closed.json?.no_new_access === "holds" && closed.json.no_lost_access === "fails", shown(closed));
  file("placed.cedar", forbid('context.from == ip("10.0.0.1")'));
  const placed = json("diff", "placed.cedar", "good.cedar", ...typed, "--entities", "team.json");
  saw("accesses that a forbid decides by the context are counted apart", placed.json?.entities?.undecided > 0 && placed.json.entities.gained === 0, JSON.stringify(placed.json?.entities));
  file("next.cedarschema", `${schema.replace("mail?: String", "mail?: String, team: String").replace("action read, write", "action change; action read, write in [change]")}action share appliesTo { principal: Person, resource: Page };\n`);
  const both = ["--schema-before", "app.cedarschema", "--schema", "next.cedarschema"];
  const teams = good.replace("{ resource.owner == principal }", '{ resource.owner == principal && principal.team == "web" }');
  const early = policy("check", file("teams.cedar", teams), ...typed);
  saw("policies that the new schema alone types are none by the old one", early.code === invalid && early.err.includes("`team` is not declared"), shown(early));
  const renewed = json("diff", "good.cedar", "teams.cedar", ...both, "--entities", "team.json");
  saw("each side by its own schema: what differs is named, and nothing is gained where both have the kind of request",
    renewed.code === 0 && renewed.json?.schema_changes.includes("Person: attribute team: String added") && renewed.json.not_covered.length === 0 &&
      renewed.json.environments.every((one) => one.gains_nothing.verdict === "holds") && renewed.json.entities?.gained === 0, shown(renewed));
  const lone = renewed.json?.only_one_schema ?? [];
  saw("a kind of request that only the new schema has is named, with who is let in, and not safe", renewed.json?.no_new_access === "unknown" && lone.length === 1 &&
    lone[0].change === "added" && lone[0].environment.includes('"share"') && lone[0].permits.includes("owner"), JSON.stringify(lone));
  refuses("two schemas over a running wary", policy("diff", "good.cedar", "good.cedar", "--ledger", "--schema-before", "app.cedarschema"), invalid, "[usage]", "--schema-before");
  refuses("policies with a syntax error", policy("diff", "good.cedar", "broken.cedar", ...typed), invalid, "broken.cedar:2:24");
  refuses("no schema", policy("diff", "good.cedar", "good.cedar"), invalid, "[usage]", "--schema");
}

function unused() {
  step("wary policy unused");
  const line = (principal, action, resource, policies) => JSON.stringify({ principal: `Person::"${principal}"`, action: `Action::"${action}"`, resource: `Page::"${resource}"`, decision: "allow", policies });
  file("log.jsonl", [line("ann", "write", "news", ["owner"]), line("ann", "write", "news", ["owner"])].join("\n") + "\n");
  const found = json("unused", "log.jsonl", "--policies", "good.cedar", "--schema", "app.cedarschema");
  const by = Object.fromEntries((found.json ?? []).map((use) => [use.policy, use]));
  saw("what nobody used", found.code === 0 && by["team-reads"]?.uses === 0, shown(found));
  saw("a narrower permit, proved", by.owner?.uses === 2 && by.owner.proved_narrower === true && by.owner.proposal.includes('Action::"write"') && !by.owner.proposal.includes('"read"'), by.owner?.proposal);
  refuses("a line that is no record", policy("unused", file("bad.jsonl", '{"principal": "ann"}\n'), "--policies", "good.cedar", "--schema", "app.cedarschema"), invalid, "bad.jsonl:1/principal", "[policy_record]");
  const refused = (what, name, text, place) => refuses(what, policy("unused", file(name, text), "--policies", "good.cedar", "--schema", "app.cedarschema"), invalid, place, "[policy_record]");
  refused("a decision that is none", "maybe.jsonl", line("ann", "write", "news", ["owner"]).replace('"allow"', '"maybe"'), "maybe.jsonl:1/decision");
  refused("no list of policies", "without.jsonl", line("ann", "write", "news", ["owner"]).replace('["owner"]', '"owner"'), "without.jsonl:1/policies");
  refused("no records: nothing is unused by that", "nothing.jsonl", "\n", "nothing.jsonl");
  const strangers = policy("unused", file("strange.jsonl", `${line("ann", "write", "news", ["site/owner"])}\n`), "--policies", "good.cedar", "--schema", "app.cedarschema");
  saw("records of policies that are not there: a warning", strangers.code === 0 && strangers.err.includes("site/owner"), strangers.err.trim());
}

await run(async () => {
  prepare();
  for (const part of [check, platform, fmt, convert, evaluate, explain, search, diff, unused, tests]) part();
  step("errors as JSON");
  const error = json("check", "good.cedar", "--level", "1");
  saw("one object with code, place and next step", error.code === invalid && JSON.parse(error.err).error?.code === "usage" && JSON.parse(error.err).error.next !== "", error.err.trim());
}, cleanUp);
