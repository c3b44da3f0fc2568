// Reads worlds as JSON lines (conform_cedar_oracle) and asks cedar-wasm the same: decisions, reasons, error policies,
// what parses, policy JSON, formatted text, schemas and what is valid by them. Prints the first differences with what is needed to repeat them, and closes
// with "N passed, N failed".
//
//   conform_cedar_oracle 1 100000 | node tests/oracle/compare.mjs 100000
import {createInterface} from 'node:readline';
import {isDeepStrictEqual} from 'node:util';
import * as cedar from '@cedar-policy/cedar-wasm/nodejs';

const total = Number(process.argv[2] ?? 0);
const shownMax = Number(process.env.WARY_ORACLE_SHOWN ?? 10);
const counts = {};
let stricter = 0;
let validPolicies = 0;
let shown = 0;

function check(what, same, describe) {
  const count = (counts[what] ??= {passed: 0, failed: 0});
  if (same) return void ++count.passed;
  ++count.failed;
  if (shown++ < shownMax) console.log(`FAIL ${what}: ${describe()}`);
}

const sorted = (list) => [...list].sort();

// The reference writes `action in [A]` as `action in A`, which means the same.
function normalized(policy) {
  const {action} = policy;
  if (action.entities?.length !== 1) return policy;
  return {...policy, action: {op: 'in', entity: action.entities[0]}};
}

// Both sides lose the same digits above 2^53.
const plain = (value) => JSON.parse(JSON.stringify(value));

function holdsUnsafeInteger(value) {
  if (typeof value === 'number') return !Number.isSafeInteger(value);
  return value !== null && typeof value === 'object' && Object.values(value).some(holdsUnsafeInteger);
}

function errorsOf(answer) {
  return answer.errors.map((error) => error.message).join('; ');
}

function checkRequests(world) {
  const parsed = cedar.preparsePolicySet('world', world.policies);
  check('policy set', parsed.type === 'success', () => `seed ${world.seed}: ${errorsOf(parsed)}`);
  if (parsed.type !== 'success') return;
  world.requests.forEach((request, index) => {
    const answer = cedar.statefulIsAuthorized({
      principal: request.principal, action: request.action, resource: request.resource, context: request.context,
      preparsedPolicySetId: 'world', entities: world.entities,
    });
    if (answer.type !== 'success') {
      return check('request', false, () => `seed ${world.seed} request ${index}: ${errorsOf(answer)}`);
    }
    const {decision, diagnostics} = answer.response;
    const theirs = {decision, reason: sorted(diagnostics.reason), errors: sorted(diagnostics.errors.map((e) => e.policyId))};
    const ours = {decision: request.decision, reason: sorted(request.reason), errors: sorted(request.errors)};
    check('request', isDeepStrictEqual(ours, theirs), () => {
      const id = [...ours.errors, ...ours.reason, ...theirs.errors, ...theirs.reason].find(
        (one) => ours.errors.includes(one) !== theirs.errors.includes(one) ||
          ours.reason.includes(one) !== theirs.reason.includes(one));
      const messages = diagnostics.errors.filter((e) => e.policyId === id).map((e) => e.error.message);
      const text = world.policies.staticPolicies[id] ?? world.policies.templates[id] ?? JSON.stringify(world.policies);
      return `seed ${world.seed} request ${index}: ours ${JSON.stringify(ours)}, theirs ${JSON.stringify(theirs)}\n` +
        `  policy ${id}: ${text}\n  ${messages}\n  request ${JSON.stringify(request)}`;
    });
  });
}

function checkJson(world) {
  const {json} = world;
  if (json === null) return;
  const parts = [
    [world.policies.staticPolicies, json.staticPolicies, cedar.policyToJson],
    [world.policies.templates, json.templates, cedar.templateToJson],
  ];
  for (const [texts, ours, translate] of parts) {
    for (const [id, text] of Object.entries(texts)) {
      const answer = translate(text);
      const theirs = answer.type === 'success' ? plain(answer.json) : {error: errorsOf(answer)};
      check('policy JSON', isDeepStrictEqual(plain(normalized(ours[id])), theirs), () =>
        `${text}\n  ours   ${JSON.stringify(ours[id])}\n  theirs ${JSON.stringify(theirs)}`);
    }
  }
  if (holdsUnsafeInteger(json)) return; // JavaScript cannot hand it over
  const answer = cedar.checkParsePolicySet(json);
  check('policy set JSON', answer.type === 'success', () => `seed ${world.seed}: ${errorsOf(answer)}`);
}

function checkMutants(world) {
  for (const {text, accepted} of world.mutants) {
    const answer = cedar.policySetTextToParts(text);
    const theirs = answer.type === 'success';
    check('text', accepted === theirs, () =>
      `${accepted ? 'accepted' : 'refused'} by us only: ${text}\n  ${theirs ? '' : errorsOf(answer)}`);
  }
}

// JSON that may be no policy. What we take, it takes, and understands the same; we refuse more on purpose: unknown members
// of scopes, half escapes, and what has no text.
function checkJsonMutants(world) {
  for (const {json, text} of world.jsonMutants) {
    if (holdsUnsafeInteger(json)) continue;
    const answer = cedar.policyToText(json);
    if (text === null) {
      if (answer.type === 'success')
        ++stricter;
      else
        check('JSON refused by both', true);
      continue;
    }
    const theirs = answer.type === 'success' ? cedar.policyToJson(answer.text) : answer;
    const ours = cedar.policyToJson(text);
    check('JSON taken by us', isDeepStrictEqual(theirs.json, ours.json) && ours.type === 'success', () =>
      `${JSON.stringify(json)}\n  ours ${text}\n  theirs ${answer.text ?? errorsOf(answer)}`);
  }
}

// A schema, taken as text by every other world and as our JSON by the rest, and which policies it refuses or calls
// impossible.
function checkValidation(world) {
  const {schema, accepted, json, policies, invalid, impossible} = world.validation;
  const parsed = cedar.checkParseSchema(schema);
  check('schema', (parsed.type === 'success') === accepted, () =>
    `seed ${world.seed}: ${accepted ? 'taken' : 'refused'} by us only: ${schema}\n  ${parsed.type === 'success' ? '' : errorsOf(parsed)}`);
  if (!accepted || parsed.type !== 'success') return;
  const answer = cedar.validate({validationSettings: {mode: 'strict'}, schema: world.seed % 2 === 0 ? schema : json,
    policies: {staticPolicies: policies}});
  if (answer.type !== 'success') return check('validation', false, () => `seed ${world.seed}: ${errorsOf(answer)}`);
  const named = (list) => sorted(new Set(list.map((one) => one.policyId)));
  const theirs = named(answer.validationErrors);
  const warned = named(answer.validationWarnings.filter((one) => /impossible/.test(one.error.message)));
  for (const id of Object.keys(policies)) {
    const messages = () => [...answer.validationErrors, ...answer.validationWarnings].filter((one) => one.policyId === id)
      .map((one) => one.error.message).join('; ');
    const describe = () => `seed ${world.seed} ${id}: ${policies[id]}\n  ours ${invalid.includes(id) ? 'invalid' : 'valid'}` +
      `${impossible.includes(id) ? ', impossible' : ''}; theirs: ${messages() || 'valid'}\n  ${schema}`;
    check('validation', invalid.includes(id) === theirs.includes(id), describe);
    // What is wrong is not told impossible by both in the same cases.
    if (!theirs.includes(id)) check('impossible', impossible.includes(id) === warned.includes(id), describe);
  }
  validPolicies += Object.keys(policies).length - theirs.length;
}

// Blanks at the end of a line are left out by us.
const withoutBlanks = (text) => text.replace(/ +$/gm, '');

function checkFormat(world) {
  for (const {text, formatted, lineWidth, indentWidth} of world.formats) {
    const format = (policyText) => {
      const answer = cedar.formatPolicies({policyText, lineWidth, indentWidth});
      return answer.type === 'success' ? answer.formatted_policy : `error: ${errorsOf(answer)}`;
    };
    const theirs = format(text);
    const describe = () => `width ${lineWidth}, indent ${indentWidth}: ${JSON.stringify(text)}\n` +
      `--- ours\n${formatted}\n--- theirs\n${theirs}\n---`;
    if (!text.includes('//')) {
      check('format', formatted === withoutBlanks(theirs), describe);
      continue;
    }
    // It drops the comments of commas before a closing bracket, and joins a comment to the string before it, which it
    // then lays out differently: there the words must be the same, and no comment missing in ours.
    const comments = (one) => one.match(/\/\/[^\n]*/g) ?? [];
    const words = (one) => one.replace(/\/\/[^\n]*/g, '').replace(/\s+/g, '');
    const isFlawed = comments(theirs).length < comments(text).length || format(theirs) !== theirs;
    const what = isFlawed ? 'format where the reference is flawed' : 'format with comments';
    const same = isFlawed
      ? isDeepStrictEqual(comments(formatted).sort(), comments(text).map((one) => one.trim()).sort()) &&
        words(formatted) === words(theirs)
      : formatted === withoutBlanks(theirs);
    check(what, same, describe);
  }
}

let done = 0;
let said = Date.now();
for await (const line of createInterface({input: process.stdin, crlfDelay: Infinity})) {
  const world = JSON.parse(line);
  checkRequests(world);
  checkJson(world);
  checkMutants(world);
  checkJsonMutants(world);
  checkFormat(world);
  checkValidation(world);
  done += world.requests.length;
  if (Date.now() - said > 10_000) {
    said = Date.now();
    console.log(`${done}${total ? ` of ${total}` : ''} requests, ${shown} differences`);
  }
}

let passed = 0;
let failed = 0;
for (const [what, count] of Object.entries(counts)) {
  console.log(`${what}: ${count.passed} agree, ${count.failed} differ`);
  passed += count.passed;
  failed += count.failed;
}
console.log(`policies valid by both: ${validPolicies}`);
console.log(`JSON refused by us alone, on purpose: ${stricter}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
