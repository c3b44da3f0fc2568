// Writes dist/: index.html and the three files it names by their content's hash. The same sources give the same bytes.
// `node build.mjs DIRECTORY` writes there instead.
import {createHash} from 'node:crypto';
import {mkdir, readFile, rm, writeFile} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';

const root = dirname(fileURLToPath(import.meta.url));
const dist = process.argv[2] ?? join(root, 'dist');

const result = await build({
  absWorkingDir: root,
  entryPoints: ['src/console.tsx'],
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['chrome109', 'firefox115', 'safari16.4'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'none',
  charset: 'utf8',
  entryNames: 'assets/[name]-[hash]',
  outdir: join(root, 'dist'),  // in the hash, therefore not the argument
  write: false,
  logLevel: 'warning',
});

await rm(dist, {recursive: true, force: true});
await mkdir(join(dist, 'assets'), {recursive: true});
let page = await readFile(join(root, 'src/index.html'), 'utf8');
for (const file of result.outputFiles) {
  const name = 'assets/' + basename(file.path);
  await writeFile(join(dist, name), file.contents);
  page = page.replace(name.endsWith('.css') ? '{{style}}' : '{{script}}', '/' + name);
}
const icon = await readFile(join(root, 'src/icon.svg'));
const iconName = 'assets/icon-' + createHash('sha256').update(icon).digest('hex').slice(0, 8).toUpperCase() + '.svg';
await writeFile(join(dist, iconName), icon);
page = page.replace('{{icon}}', '/' + iconName);
if (page.includes('{{')) throw new Error('index.html names a file that was not built');
await writeFile(join(dist, 'index.html'), page);
