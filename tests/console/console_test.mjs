// What a person does with the console, step by step, in a real browser. Each check is counted; the first line of a failure
// says which.
import {execFile, spawn} from 'node:child_process';
import {readFile, readdir} from 'node:fs/promises';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {gzipSync} from 'node:zlib';
import {Browser} from './browser.mjs';
import {World, eventually, sleep} from './world.mjs';

const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));
const [root, work] = process.argv.slice(2);
let passed = 0;
let failed = 0;

function check(holds, what) {
  if (holds) passed += 1;
  else failed += 1;
  console.log((holds ? 'ok      ' : 'FAILED  ') + what);
}

async function step(what, action) {
  try {
    await action();
  } catch (error) {
    check(false, what + ': ' + (error.stack ?? error));
  }
}

const live = (page) => page.locator('[data-connection="live"]').waitFor();
const indexes = (page) => page.$$eval('tr[data-index]', (rows) => rows.map((row) => Number(row.dataset.index)));
const rowWith = (page, text) => page.locator('tr.row', {hasText: text}).first();

async function accessible(page, what) {
  const source = await readFile(createRequire(join(root, 'console/package.json')).resolve('axe-core/axe.min.js'), 'utf8');
  await page.evaluate(source);
  const found = await page.evaluate(async () => (await globalThis.axe.run(document)).violations);
  for (const each of found) console.log(each.id, each.help, JSON.stringify(each.nodes.map((node) => node.html).slice(0, 3)));
  check(found.length === 0, what + ': axe-core finds no violation');
}

async function shoot(page, name) {
  for (const width of [360, 1280]) {
    await page.setViewportSize({width, height: 800});
    await page.screenshot({path: join(work, name + '-' + width + '.png')});
    // Also what a box would cut off silently; a cell's one line is meant to end in an ellipsis.
    const wider = await page.evaluate(() => [...document.querySelectorAll('html, main, table, .card, .detail td, .explanation')]
      .filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.tagName + '.' + box.className));
    check(wider.length === 0, name + ' at ' + width + ' px: nothing is wider than its place ' + wider.join(' '));
  }
}

// All files below a directory: path -> bytes.
async function filesOf(directory) {
  const names = ['index.html', ...(await readdir(join(directory, 'assets'))).sort().map((name) => 'assets/' + name)];
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name))])));
}

async function builds(world) {
  const [one, two] = [join(work, 'one'), join(work, 'two')];
  for (const directory of [one, two]) await run(process.execPath, [join(root, 'console/build.mjs'), directory]);
  const files = await filesOf(one);
  const again = await filesOf(two);
  check([...files].every(([name, bytes]) => again.get(name)?.equals(bytes)), 'the same sources give the same files');
  let bytes = 0;
  for (const each of files.values()) bytes += gzipSync(each, {level: 9}).length;
  check(bytes <= 40 * 1024, 'the page weighs at most 40 kB gzipped: ' + bytes + ' bytes');
  check(files.size === 4, 'it is a page, a script, a stylesheet, an icon and nothing else');
  const html = String(files.get('index.html'));
  check(!/<script(?![^>]*src=)|<style|\sstyle=|\son\w+=/i.test(html), 'index.html has no inline script or style');
  const lock = await readFile(join(root, 'console/package-lock.json'), 'utf8');
  check(!/"resolved"|registry/.test(lock), 'the lock file names no place to fetch from');
  const {stdout} = await run('curl', ['-s', '--cacert', join(world.data, 'ca.pem'), world.origin + '/']);
  check(stdout === html, 'waryd serves what these sources give (else: ./dev build)');
}

async function signsIn(page, world) {
  await page.goto(world.link);
  await live(page);
  check(!page.url().includes('code'), 'the one-time code has left the address');
  check((await page.locator('.who').innerText()).includes('owner'), 'the page says who is signed in');
  await rowWith(page, 'session.begin').waitFor();
  check(true, "the owner's own sign-in is among the events");
}

async function showsLive(page, world) {
  const before = Math.max(...(await indexes(page)));
  await world.access(world.origin + '/api/me');
  await eventually('the row of that access', () => page.$$eval('tr.row', (rows, after) =>
    rows.some((row) => Number(row.dataset.index) > after && row.innerText.includes('/api/me')), before));
  check(true, 'an access made elsewhere appears without reloading');
  const status = await world.access('https://stock.localhost:' + world.port + '/shelf/7');
  check(status === 401, 'an anonymous access to the application is refused: ' + status);
  const denied = rowWith(page, '/shelf/7');
  await denied.waitFor();
  check((await denied.innerText()).includes('Denied'), 'the refusal appears, and says so in words');
}

async function explains(page) {
  await page.fill('#text', '/shelf/7');
  await rowWith(page, '/shelf/7').getByRole('button').click();
  await page.locator('.sentence').waitFor();
  check(/Denied\s+no permit is satisfied/.test(await page.locator('.sentence').innerText()), 'a denial is explained');
  await page.fill('#text', 'ledger.read');
  const mine = rowWith(page, 'ledger.read');
  await mine.getByRole('button').focus();
  await page.keyboard.press('Enter');
  const policy = page.locator('.policy').first();
  await policy.waitFor();
  check(/owners-manage/.test(await policy.innerText()), 'a permit names the policy that decided');
  check(/\S+:\d+/.test(await policy.locator('.place').innerText()), 'with its file and lines');
  const reference = await mine.locator('code').innerText();
  await page.getByRole('button', {name: 'Copy as CLI'}).click();
  await page.getByRole('button', {name: 'Copied'}).waitFor();
  check(await page.evaluate(() => navigator.clipboard.readText()) === 'wary explain ' + reference, 'copied as a command line');
  await page.getByText('As the command line prints it').click();
  check(/decided by/.test(await page.locator('pre').innerText()), 'the text of the command line is there');
  await accessible(page, 'an opened decision');
  await shoot(page, 'explained');
  await page.reload();
  await page.locator('.policy').first().waitFor();
  check(await page.inputValue('#text') === 'ledger.read', 'filter and opened decision come back from the address');
  await page.evaluate((open) => { location.hash = 'q=nothing-at-all&open=' + open; }, reference);
  await page.getByRole('heading', {name: 'Decision ' + reference}).waitFor();
  check(/owners-manage/.test(await page.locator('.policy').first().innerText()), 'a reference alone is explained too');
  await page.getByRole('button', {name: 'Close'}).click();
}

async function filters(page) {
  await page.fill('#text', '');
  await page.getByRole('radio', {name: /Denied/}).check();
  await eventually('only denials', async () => {
    const outcomes = await page.$$eval('tr.row .outcome', (found) => found.map((each) => each.textContent));
    return outcomes.length > 0 && outcomes.every((text) => text.includes('Denied'));
  });
  check(page.url().endsWith('#outcome=deny'), 'the outcome filter stands in the address');
  const shown = (await indexes(page)).length;
  check(Number(await page.locator('[data-count="deny"]').innerText()) === shown, 'the count is the number of rows');
  await page.getByRole('radio', {name: /^All \d/}).check();
}

async function pauses(page, world) {
  await page.getByRole('button', {name: 'Pause'}).click();
  const before = (await indexes(page))[0];
  await world.access(world.origin + '/api/me');
  await page.getByRole('button', {name: /Resume \(\d+ new\)/}).waitFor();
  check((await indexes(page))[0] === before, 'nothing moves while paused');
  await page.getByRole('button', {name: /Resume/}).click();
  await eventually('what was held', async () => (await indexes(page))[0] > before);
  check(true, 'what came while paused is shown on resuming');
}

async function staysBounded(page) {
  // Each of these is at least one event; the page reads them as they are made.
  await page.evaluate(async () => {
    for (let i = 0; i < 130; i += 1) await Promise.all([1, 2, 3, 4].map(() => fetch('/api/me')));
  });
  const newest = (await indexes(page))[0];
  await eventually('500 rows', async () => (await indexes(page)).length === 500);
  const kept = await indexes(page);
  check(kept.length === 500, 'of ' + (newest + 1) + ' events at least it keeps the newest 500');
  check(kept.every((index, at) => at === 0 || index === kept[at - 1] - 1), 'in order, none twice, none missing');
  const said = page.locator('[aria-live="polite"]');
  await eventually('an announcement', async () => /^\d+ new, \d+ denied$/.test(await said.innerText()));
  let changes = 0;
  await page.exposeFunction('announced', () => { changes += 1; });
  await said.evaluate((place) => new MutationObserver(() => globalThis.announced()).observe(place,
    {childList: true, characterData: true, subtree: true}));
  const begun = Date.now();
  while (Date.now() - begun < 6000) {
    await page.evaluate(() => fetch('/api/me'));
    await sleep(200);
  }
  check(changes >= 1 && changes <= 2, 'what comes is announced at most every five seconds: ' + changes + ' in six');
}

async function survives(page, browser, world) {
  const pid = await world.edge();
  await browser.expecting(['net::ERR_', 'Failed to load resource'], async () => {
    process.kill(pid, 'SIGKILL');
    await page.locator('[data-connection="reconnecting"]').waitFor();
    check(true, 'a lost connection is shown');
    await eventually('another edge', async () => (await world.edge()) !== pid);
    await world.wary('get', 'users');  // meanwhile, past the edge
    await live(page);
  });
  await rowWith(page, 'ledger.read').waitFor();
  for (let i = 0; i < 3; i += 1) await world.access(world.origin + '/api/me');
  await sleep(1000);
  const kept = await indexes(page);
  const dense = kept.every((index, at) => at === 0 || index === kept[at - 1] - 1);
  check(new Set(kept).size === kept.length, 'after the edge was killed no entry stands twice');
  check(dense, 'and none is missing: ' + kept.at(-1) + ' to ' + kept[0]);
  check(await page.locator('.warning').count() === 0, 'the page itself saw no gap');
}

async function boundsStreams(world) {
  const url = 'http://wary/v1/ledger/events?follow=1&last=1';
  const socket = ['-s', '-N', '--unix-socket', join(world.data, 'run/waryd/admin.sock')];
  const readers = Array.from({length: 64}, () => spawn('curl', [...socket, url], {stdio: ['ignore', 'pipe', 'ignore']}));
  // Each has its place before another is asked for: who asks takes one too.
  const hasOne = (reader) => new Promise((resolve) => reader.stdout.once('data', resolve));
  const asked = async () => (await run('curl', [...socket, '-m', '1', url]).catch((error) => error)).stdout;
  try {
    await Promise.all(readers.map(hasOne));
    await eventually('a refusal', async () => (await asked()).includes('api_streams'));
    check(true, 'the 65th stream at a time is refused');
  } finally {
    for (const reader of readers) reader.kill();
  }
  await eventually('a stream again', async () => (await asked()).includes('"index"'));
  check(true, 'and let in when others have gone');
}

async function refusesUsedLink(browser, world) {
  const page = await browser.page();
  await browser.expecting(['status of 403'], async () => {
    await page.goto(world.link);
    await page.getByRole('alert').waitFor();
  });
  const text = await page.locator('main').innerText();
  check(text.includes('sign_in_refused'), 'a link used twice is refused, with its code');
  check(text.includes('wary session create'), 'and with what to do next');
  check(!page.url().includes('code'), 'its code left the address all the same');
  await accessible(page, 'the refused link');
  await shoot(page, 'refused-link');
  await page.context().close();
}

async function continues(browser, world) {
  const page = await browser.page();
  const onward = '/continue?host=stock.localhost%3A' + world.port + '&path=%2F&state=' + '0'.repeat(64);
  await page.goto(world.origin + '/#continue=' + encodeURIComponent('//elsewhere.example/continue?'));
  await page.getByRole('heading', {name: 'Open the one-time link'}).waitFor();
  check(await page.evaluate(() => sessionStorage.length) === 0, 'a way on to another origin is not kept');
  await page.goto(world.origin + onward);
  await page.getByText('you go on to the application').waitFor();
  check(page.url() === world.origin + '/', 'without a session /continue leads to the sign-in page');
  await accessible(page, 'the sign-in page');
  await shoot(page, 'sign-in');
  const link = await world.linkFor('alice');
  const asked = page.waitForRequest((request) => request.url().startsWith(world.origin + '/continue?'));
  // The application's host is another origin and this test's upstream is nothing: how far it goes is enough.
  await page.context().route((url) => url.host.startsWith('stock.'), (route) => route.abort());
  const foreign = browser.foreign.length;
  await browser.expecting(['net::ERR_', 'Failed to load resource'], async () => {
    await page.fill('#link', link);
    await page.getByRole('button', {name: 'Sign in'}).click();
    const request = await asked;
    check(request.url() === world.origin + onward, 'after signing in it goes on to where it was kept');
    await page.context().close();
  });
  browser.foreign.length = foreign;
}

async function refusesAlice(browser, world) {
  const page = await browser.page();
  await browser.expecting(['status of 403'], async () => {
    await page.goto(await world.linkFor('alice'));
    await page.getByRole('heading', {name: 'You may not read the ledger'}).waitFor();
  });
  const text = await page.locator('main').innerText();
  const reference = await page.locator('.reference').innerText();
  check(text.includes('alice'), 'who has no right reads as whom they asked');
  check((await world.wary('explain', reference)).includes('denied: no permit is satisfied'), 'and a reference that explains it');
  await accessible(page, 'the refusal');
  await shoot(page, 'refusal');
  await page.getByRole('button', {name: 'Sign out'}).click();
  await page.getByRole('heading', {name: 'Open the one-time link'}).waitFor();
  check(/Anonymous/.test(await page.evaluate(async () => (await (await fetch('/api/me')).json()).principal)),
    'signing out ends the session');
  await page.context().close();
}

async function endsWithTheSession(browser, world) {
  const page = await browser.page({colorScheme: 'dark', reducedMotion: 'reduce'});
  await page.goto(await world.linkFor('owner'));
  await live(page);
  await accessible(page, 'the page in dark colours');
  await shoot(page, 'dark');
  const status = await browser.expecting(['status of 403'], () =>
    page.evaluate(async () => (await fetch('/api/signout')).status));
  check(status >= 400 && await page.locator('.who').count() === 1, 'merely reading /api/signout ends nothing: ' + status);
  await browser.expecting(['status of 40', 'net::ERR_'], async () => {
    // As another tab of the same browser would.
    await page.evaluate(() => fetch('/api/signout', {method: 'POST'}));
    await page.getByRole('heading', {name: 'Open the one-time link'}).waitFor();
  });
  check(true, 'a stream ends with its session, and the page says how to come back');
  await page.context().close();
}

async function main() {
  const world = await World.start(work);
  let browser = null;
  try {
    await world.wary('apply', '--file', join(here, 'world.yaml'));
    browser = await Browser.start(root, work, world);
    const page = await browser.page();
    await step('build', () => builds(world));
    await step('sign-in', () => signsIn(page, world));
    await step('live', () => showsLive(page, world));
    await step('page', () => accessible(page, 'live decisions'));
    await step('page', () => shoot(page, 'live'));
    await step('explain', () => explains(page));
    await step('filter', () => filters(page));
    await step('pause', () => pauses(page, world));
    await step('edge killed', () => survives(page, browser, world));
    await step('many', () => staysBounded(page));
    await step('streams', () => boundsStreams(world));
    await step('used link', () => refusesUsedLink(browser, world));
    await step('continue', () => continues(browser, world));
    await step('alice', () => refusesAlice(browser, world));
    await step('session end', () => endsWithTheSession(browser, world));
    for (const fault of browser.faults) console.log(fault);
    check(browser.faults.length === 0, 'no console error, no violation of the content security policy');
    for (const url of browser.foreign) console.log(url);
    check(browser.foreign.length === 0, 'no request to another origin');
  } catch (error) {
    check(false, String(error.stack ?? error));
  } finally {
    if (browser) await browser.stop();
    await world.stop();
  }
}

await main();
console.log(passed + ' passed, ' + failed + ' failed');
process.exit(failed === 0 ? 0 : 1);
