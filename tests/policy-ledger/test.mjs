#!/usr/bin/env node
// wary policy diff and unused over the ledger of a running wary: recorded decisions asked again of a change of policies, with the
// entities there are; what is unknown is said of each.
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, saw, step } from "../support/checks.mjs";
import { cleanUp, freePort, makeScratch, until } from "../support/processes.mjs";
import { Platform } from "../support/platform.mjs";
import { furnish, startApplication } from "../support/world.mjs";

await run(async () => {
  const scratch = makeScratch("policy-ledger");
  const wary = new Platform(scratch, await freePort());
  const directory = join(scratch, "policies");
  mkdirSync(directory);
  const file = (name, text) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const json = (...words) => {
    const answer = wary.cli("--output", "json", "policy", ...words);
    try {
      answer.json = JSON.parse(answer.out);
    } catch {
      answer.json = null;
    }
    return answer;
  };
  const shown = (answer) => `${answer.code}: ${(answer.err || answer.out).split("\n")[0]}`;

  step("without a running wary");
  const none = wary.cli("policy", "unused");
  saw("unused without files says what to start", none.code !== 0 && none.err.includes("[not_running]") && none.err.includes("wary dev"), shown(none));

  await wary.start();
  const cookie = await furnish(wary, await startApplication());
  for (let i = 0; i < 3; i += 1) await wary.get("site", "/", cookie);
  await wary.get("site", "/", "");
  // Another program asks about what is its own.
  file("shop.cedar", `@id("readers") permit (principal == Wary::User::"bob", action == Shop::Action::"read", resource is Shop::Order) when { context.resource.open };
@id("quiet") permit (principal == Wary::User::"bob", action == Shop::Action::"burn", resource is Shop::Order);
`);
  const applied = wary.cli("apply", "-f", join(directory, "shop.cedar"), "-n", "test");
  if (applied.code !== 0) throw new Error(applied.text);
  const ask = (action, properties) => {
    const done = spawnSync("curl", ["-sS", "--max-time", "10", "--unix-socket", join(wary.data, "run/edge/pdp.sock"), "-H", "Content-Type: application/json", "-d",
      JSON.stringify({ subject: { type: "user", id: "bob" }, action: { name: action }, resource: { type: "Shop::Order", id: "7", properties } }), "http://localhost/access/v1/evaluation"], { encoding: "utf8" });
    return JSON.parse(done.stdout);
  };
  const read = 'Shop::Action::"read"';
  await until("the edge decides by it", () => ask(read, { open: true }).decision === true);
  const decided = ask(read, { open: true }).context.decision_id;
  let explained;
  await until("its decision is in the ledger", () => (explained = wary.cli("explain", decided)).code === 0);
  saw("another program's decision is explained with its own action", explained.code === 0 && explained.out.includes(read) && explained.out.includes("test/shop/readers"), explained.out.split("\n")[0]);
  ask(read, { open: false });
  await until("all of it is recorded", () => wary.events(50).filter((event) => event.pep !== undefined).length >= 3);

  step("wary policy diff --platform");
  const same = json("diff", "--platform", "-n", "test", join(directory, "shop.cedar"));
  const replayed = same.json?.ledger ?? {};
  saw("nothing changed: every decision is as before, or told as unknown", same.code === 0 && replayed.gained === 0 && replayed.lost === 0 && replayed.same > 0 &&
    replayed.same + replayed.unknown === replayed.decisions, JSON.stringify(replayed).slice(0, 200));
  saw("and none is unknown", replayed.unknown === 0, JSON.stringify(replayed.unknowns));
  saw("events that ask nothing are counted", replayed.other_events > 0 && replayed.decisions + replayed.other_events === replayed.to - replayed.from && replayed.older_events === 0);

  const narrower = join(scratch, "site.cedar");
  writeFileSync(narrower, '@id("alice-reads")\npermit (principal == Wary::User::"alice", action == Wary::Action::"HEAD", resource in Wary::App::"test/site");\n');
  const lost = json("diff", "--platform", "-n", "test", narrower, "--no-new-access");
  const loss = lost.json?.ledger?.losses.find((one) => one.principal === 'Wary::User::"alice"') ?? {};
  saw("who asked and would no longer be let in, by name and how often", lost.code === 0 && loss.action === 'Wary::Action::"GET"' && loss.count >= 4 && lost.json.ledger.gained === 0, JSON.stringify(loss));
  saw("that nobody gains is proved beside it", lost.json?.no_new_access === "holds" && lost.json.no_lost_access === "fails");
  saw("over the entities there are, it is named too", lost.json?.entities?.lost > 0 && lost.json.entities.examples.some((one) => one.principal === 'Wary::User::"alice"' && one.change === "loses"));
  saw("what is in force was not touched", (await wary.get("site", "/", cookie))?.status === 200);

  const wider = join(scratch, "open.cedar");
  writeFileSync(wider, 'permit (principal is Wary::Anonymous, action == Wary::Action::"GET", resource in Wary::App::"test/site");\n');
  const gained = wary.cli("policy", "diff", "--platform", "-n", "test", wider, "--no-new-access");
  saw("who asked in vain and would get in; the gate fails", gained.code !== 0 && gained.err.includes("[policy_new_access]") && /\n {2}\+ Wary::Anonymous::"anonymous" {2}Wary::Action::"GET" {2}Wary::App::"test\/site"/.test(gained.out),
    gained.out.split("\n").slice(-4).join(" / "));

  step("another program's policies");
  const closed = json("diff", "--platform", "-n", "test", file("shop.cedar", '@id("readers") permit (principal == Wary::User::"bob", action == Shop::Action::"read", resource is Shop::Order);\n'), "--no-new-access");
  saw("no schema knows them: not proved, never safe", closed.code !== 0 && closed.json?.no_new_access === "unknown" && closed.json.not_covered.length > 0, shown(closed));
  saw("but its decisions are asked again, with the context they had", closed.json?.ledger?.gained === 1 && closed.json.ledger.gains[0]?.action === read && closed.json.ledger.gains[0]?.resource === 'Shop::Order::"7"',
    JSON.stringify(closed.json?.ledger?.gains));

  step("what is unknown");
  const large = ask(read, { open: true, text: "x".repeat(40000) });
  saw("a context that is too large is denied", large.decision === false && large.context.reason === "context_too_large");
  await until("and recorded", () => wary.events(20).some((event) => event.reason === "request_invalid"));
  const unknown = json("diff", "--platform", "-n", "test", narrower);
  saw("it cannot be asked again, and that is said of it", unknown.json?.ledger?.unknown === 1 && unknown.json.ledger.unknowns[0]?.reason.includes("too large"), JSON.stringify(unknown.json?.ledger?.unknowns));
  const sessions = join(scratch, "sessions.cedar");
  writeFileSync(sessions, 'permit (principal == Wary::User::"bob", action in Wary::Action::"read", resource in Wary::App::"test/site") when { context.session.active };\n');
  const told = wary.cli("policy", "diff", "--platform", "-n", "test", sessions);
  saw("the text says so too", told.code === 0 && told.out.includes("1 unknown\n") && told.out.includes("  unknown: its context was too large"), told.out.split("\n").slice(-4).join(" / "));

  step("wary policy diff OLD NEW --ledger");
  const before = join(scratch, "before.cedar");
  const after = join(scratch, "after.cedar");
  writeFileSync(before, 'permit (principal, action, resource);\n');
  writeFileSync(after, 'permit (principal is Wary::User, action, resource);\n');
  const files = json("diff", before, after, "--ledger", "--last", "1000");
  saw("two files over the decisions of the platform", files.code === 0 && files.json?.ledger?.lost > 0 && files.json.ledger.losses.every((one) => one.principal.startsWith("Wary::Anonymous")), shown(files));
  const few = json("diff", before, after, "--ledger", "--last", "5");
  saw("--last bounds what is looked at, and the rest is counted", few.json?.ledger?.to - few.json?.ledger?.from === 5 && few.json.ledger.older_events === few.json.ledger.from && few.json.ledger.from > 0);
  const recent = json("diff", before, after, "--ledger", "--since", "1h");
  saw("--since as well", recent.code === 0 && recent.json?.ledger?.from === 0, shown(recent));
  const future = json("diff", before, after, "--ledger", "--since", "2099-01-01T00:00:00Z");
  saw("nothing is newer than what is to come", future.code === 0 && future.json?.ledger?.decisions === 0 && future.json.ledger.from === future.json.ledger.to, shown(future));
  const refuses = (what, ...words) => {
    const answer = wary.cli("policy", ...words);
    saw(`${what}: refused`, answer.code === 2 && answer.out === "" && answer.err.includes("[usage]"), shown(answer));
  };
  refuses("a time that is none", "diff", before, after, "--ledger", "--since", "yesterday");
  refuses("a number that is none", "diff", before, after, "--ledger", "--last", "0");
  refuses("a bound without a ledger", "unused", before, "--policies", before, "--schema", before, "--last", "5");
  refuses("entities of a file beside those of the platform", "diff", before, after, "--ledger", "--entities", before);
  refuses("one set alone", "diff", before, "--ledger");
  refuses("another schema for the platform", "diff", "--platform", before, "--schema", before);

  step("wary policy unused");
  const found = json("unused");
  const uses = Object.fromEntries((found.json?.policies ?? []).map((use) => [use.policy, use]));
  saw("by the ledger, of what is in force", found.code === 0 && uses["test/site"]?.uses >= 4 && found.json.ledger.decisions > 0, shown(found));
  saw("a narrower permit, proved", uses["test/site"]?.proved_narrower === true && uses["test/site"].proposal.includes('"GET"'), uses["test/site"]?.proposal);
  saw("what nobody used", uses["test/shop/quiet"]?.uses === 0);
  saw("wary's own policies are not listed", Object.keys(uses).every((id) => !id.startsWith("wary/")));
  saw("nothing is proved about another program's", uses["test/shop/readers"]?.uses >= 2 && uses["test/shop/readers"].proved_narrower === false);
  const text = wary.cli("policy", "unused", "--ledger", "--last", "1000");
  saw("as text, with what was looked at", text.code === 0 && text.out.includes("test/shop/quiet: never used\n") && /\nledger: \d+ recorded decisions in events #0 to #\d+; \d+ other events/.test(text.out) && !text.out.includes("of other policies"), text.out.split("\n").at(-2));

  step("somebody who is gone");
  file("gone.yaml", "apiVersion: wary.dev/v1\nkind: Group\nmetadata: {name: staff}\nspec: {}\n");
  wary.cli("apply", "-f", join(directory, "gone.yaml"));
  const removed = wary.cli("delete", "user", "bob");
  saw("bob is removed", removed.code === 0, removed.text.trim());
  const staff = join(scratch, "staff.cedar");
  writeFileSync(staff, 'permit (principal in Wary::Group::"staff", action == Shop::Action::"read", resource is Shop::Order);\n');
  const gone = json("diff", "--platform", "-n", "test", staff);
  saw("whether he was of a group cannot be known any more", gone.json?.ledger?.unknowns.some((one) => one.principal === 'Wary::User::"bob"' && one.reason === "Wary::User of it is gone"), JSON.stringify(gone.json?.ledger?.unknowns));

  step("who may");
  const events = wary.events(200);
  saw("each page that was read is recorded as a call", events.some((event) => event.action === "ledger.read" && event.summary.includes("/v1/ledger/decisions")) &&
    events.some((event) => event.action === "get" && event.summary.includes("/v1/snapshot")));
  const whole = wary.socket("admin.sock", "/v1/snapshot");
  saw("what is in force holds no cookie's hash", whole.status === 200 && whole.body.includes("Wary::Session") && !whole.body.includes('"type":"Wary::Credential"'));
}, cleanUp);
