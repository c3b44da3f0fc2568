// Writes dist/: index.html and the two files it names by their content's hash. The same sources give the same bytes.
import {mkdir, readFile, rm, writeFile} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, 'dist');

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
  outdir: dist,
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
if (page.includes('{{')) throw new Error('index.html names a file that was not built');
await writeFile(join(dist, 'index.html'), page);
