// ./dev bench cedar: the compiled engine and its peers on the same workloads, in alternating rounds; medians. Every peer's
// decisions are compared with ours, request by request. A peer whose toolchain is missing is skipped with a notice; OPA
// takes part where the policies have been said in Rego (bench/peers/opa).
import { spawnSync, execSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, release, arch, tmpdir, type } from 'node:os'
import { join } from 'node:path'

const [program, results] = process.argv.slice(2)
const rounds = Number(process.env.WARY_BENCH_ROUNDS ?? 3)
const testdata = process.env.WARY_TESTDATA ? join(process.env.WARY_TESTDATA, 'policy') : ''
const folder = mkdtempSync(join(tmpdir(), 'wary-cedar-bench-'))

function must(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options })
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${done.error ?? done.stderr}`)
  return done.stdout
}
const has = (command) => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0

// Builds a peer; null where that cannot be.
function peer(name, tool, make) {
  if (!has(tool)) {
    console.log(`[skip] ${name}: there is no ${tool}`)
    return null
  }
  try {
    return { name, command: make() }
  } catch (error) {
    console.log(`[skip] ${name}: does not build here: ${String(error.message).slice(0, 200)}`)
    return null
  }
}
const build = join(process.cwd(), 'build/peers')
const peers = [
  peer('cedar-policy (Rust)', 'cargo', () => {
    must('cargo', ['build', '--release', '--quiet', '--target-dir', join(build, 'rust')], { cwd: 'bench/peers/cedar-rust' })
    return join(build, 'rust/release/cedar-rust')
  }),
  peer('cedar-go', 'go', () => {
    must('go', ['build', '-o', join(build, 'cedar-go'), '.'], { cwd: 'bench/peers/cedar-go' })
    return join(build, 'cedar-go')
  }),
  peer('OPA', 'go', () => {
    must('go', ['build', '-o', join(build, 'opa-rego'), '.'], { cwd: 'bench/peers/opa' })
    return join(build, 'opa-rego')
  }),
].filter(Boolean)

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) / 2)]
const lines = (text) => text.trim().split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l))

process.stdout.write(must(program, ['make', folder, testdata]))
const runs = new Map() // engine -> workload -> [{p50, p99}]
const decisions = new Map()
let differences = 0
for (let round = 0; round < rounds; ++round) {
  for (const engine of [{ name: 'wary', command: program, verb: ['run'] }, ...peers]) {
    for (const row of lines(must(engine.command, [...(engine.verb ?? []), folder]))) {
      if (!runs.has(engine.name)) runs.set(engine.name, new Map())
      const all = runs.get(engine.name)
      if (!all.has(row.workload)) all.set(row.workload, [])
      all.get(row.workload).push(row)
      const known = decisions.get(row.workload) ?? row.decisions
      decisions.set(row.workload, known)
      if (known !== row.decisions) {
        ++differences
        console.log(`DIFFERENT ${engine.name} on ${row.workload}`)
      }
    }
  }
}
rmSync(folder, { recursive: true })

// The hierarchies of one application and size are one row: medians over them and the rounds.
const rowOf = (workload) => workload.replace(/^(B1-[a-z]+-\d+)-\d+$/, '$1')
const figures = []
const value = (engine, row, what) => {
  const all = [...(runs.get(engine) ?? [])].filter(([workload]) => rowOf(workload) === row).flatMap(([, list]) => list.map((r) => r[what]))
  return all.length ? median(all) : null
}
for (const row of [...new Set([...decisions.keys()].map(rowOf))]) {
  for (const what of ['p50', 'p99']) {
    const ours = value('wary', row, what)
    const cells = peers.map((p) => {
      const theirs = value(p.name, row, what)
      if (theirs === null) return `${p.name} not asked`
      figures.push({ name: `${row} ${what}`, value: ours, unit: 'ns', peer: p.name, peer_value: theirs, ratio: theirs / ours })
      return `${p.name} ${theirs.toFixed(0)} ns (${(theirs / ours).toFixed(1)}x)`
    })
    if (peers.every((p) => value(p.name, row, what) === null)) figures.push({ name: `${row} ${what}`, value: ours, unit: 'ns', peer: null, peer_value: null, ratio: null })
    console.log(`${(row + ' ' + what).padEnd(24)} wary ${ours.toFixed(0).padStart(6)} ns   ${cells.join('   ')}`)
  }
}
const own = join(mkdtempSync(join(tmpdir(), 'wary-cedar-own-')), 'figures.json')
if (!process.env.WARY_BENCH_PEERS_ONLY) {
  must(program, ['own', own], { stdio: ['ignore', 'inherit', 'pipe'] })
  if (existsSync(own)) for (const f of JSON.parse(readFileSync(own))) figures.push({ ...f, peer: null, peer_value: null, ratio: null })
}
writeFileSync(results, JSON.stringify({
  commit: execSync('git rev-parse HEAD').toString().trim(),
  machine: `${type()} ${release()} ${arch()}, ${cpus().length} cores`,
  compared: [...decisions.values()].reduce((n, d) => n + d.length, 0), differences, figures,
}, null, 2) + '\n')
if (differences) process.exit(1)
