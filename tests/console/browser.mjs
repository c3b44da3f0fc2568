// Debian's Chromium in a home of its own that trusts this world's CA. What a page must never do is noted as it happens:
// console errors, violations of its policy, requests to another origin.
import {execFile} from 'node:child_process';
import {mkdir} from 'node:fs/promises';
import {createRequire} from 'node:module';
import {join} from 'node:path';
import {promisify} from 'node:util';

const run = promisify(execFile);

export class Browser {
  static async start(root, work, world) {
    const {chromium} = createRequire(join(root, 'console/package.json'))('playwright-core');
    const home = join(work, 'home');
    const trust = join(home, '.pki/nssdb');
    await mkdir(trust, {recursive: true});
    await run('certutil', ['-d', 'sql:' + trust, '-N', '--empty-password']);
    await run('certutil', ['-d', 'sql:' + trust, '-A', '-t', 'C,,', '-n', 'wary', '-i', join(world.data, 'ca.pem')]);
    const browser = new Browser();
    browser.faults = [];
    browser.foreign = [];
    browser.expected = [];
    browser.origin = world.origin;
    browser.chromium = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      headless: true,
      env: {PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8', TZ: 'UTC'},
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync'],
    });
    return browser;
  }

  // A page with no cookies of another's.
  async page(options = {}) {
    const context = await this.chromium.newContext({viewport: {width: 1280, height: 800}, ...options});
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], {origin: this.origin});
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        console.error('CSP violation: ' + event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample);
      });
    });
    context.setDefaultTimeout(10000);
    const page = await context.newPage();
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      const text = message.text();
      // Chromium itself logs each answer of 4xx and each broken connection; only those a step provokes are left out.
      if (this.expected.some((part) => text.includes(part))) return;
      this.faults.push(text + ' @ ' + message.location().url);
    });
    page.on('pageerror', (error) => this.faults.push('uncaught: ' + error.message));
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== this.origin) this.foreign.push(request.url());
    });
    return page;
  }

  // While `step` runs, Chromium's own lines with these texts are no fault.
  async expecting(texts, step) {
    this.expected = texts;
    try {
      return await step();
    } finally {
      this.expected = [];
    }
  }

  async stop() {
    await this.chromium.close();
  }
}
