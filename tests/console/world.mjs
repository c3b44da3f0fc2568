// A `wary dev` of the test's own, in its own directory and on a port of its own.
import {execFile, spawn} from 'node:child_process';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {freePort} from '../support/processes.mjs';

const run = promisify(execFile);

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export async function eventually(what, question, ms = 15000) {
  const until = Date.now() + ms;
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    if (Date.now() > until) throw new Error('not in ' + ms + ' ms: ' + what);
    await sleep(50);
  }
}

export class World {
  static async start(work) {
    const world = new World();
    world.data = join(work, 'data');
    world.port = await freePort();
    world.origin = 'https://console.localhost:' + world.port;
    world.ended = false;
    world.program = join(process.env.WARY_BUILD, 'bin/wary');
    world.process = spawn(world.program, ['--data', world.data, 'dev', '--listen', '127.0.0.1:' + world.port],
      {stdio: ['ignore', 'pipe', 'pipe']});
    let said = '';
    world.process.stdout.on('data', (text) => { said += text; });
    world.process.stderr.on('data', (text) => { said += text; });
    world.process.on('exit', () => { world.ended = true; });
    await eventually('wary dev is ready', () => {
      if (world.ended) throw new Error('wary dev ended:\n' + said);
      return said.includes('listens');
    }, 30000);
    world.link = /console +(https:\S+)/.exec(said)[1];
    return world;
  }

  async wary(...words) {
    return (await run(this.program, ['--data', this.data, ...words])).stdout;
  }

  async linkFor(user) {
    return /https:\S+/.exec(await this.wary('session', 'create', user))[0];
  }

  // An access from outside the browser; gives its status.
  async access(url) {
    const {stdout} = await run('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--cacert',
      join(this.data, 'ca.pem'), url]);
    return Number(stdout);
  }

  // The pid of the edge that runs now, from its own log.
  async edge() {
    const lines = (await readFile(join(this.data, 'log/wary-edge.log'), 'utf8')).split('\n').filter(Boolean);
    const ready = lines.map((line) => JSON.parse(line)).filter((line) => line.event === 'process.ready');
    return Number(ready.at(-1).pid);
  }

  async stop() {
    if (this.ended) return;
    this.process.kill('SIGTERM');
    await eventually('wary dev ends', () => this.ended, 15000).catch(() => this.process.kill('SIGKILL'));
  }
}
