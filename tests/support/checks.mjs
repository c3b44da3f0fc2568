// What a test script counts: each thing it saw, whether it held, and the closing line that tools/run-tests adds up.
let passed = 0;
let failed = 0;
let skipped = 0;

export const sanitized = (process.env.WARY_SANITIZED ?? "") !== "";

export function step(title) {
  console.log(`\n== ${title}`);
}
export function saw(what, held, detail = "") {
  console.log(`  ${held ? "ok  " : "FAIL"} ${what}${detail !== "" ? `: ${detail}` : ""}`);
  if (held) passed += 1;
  else failed += 1;
  return held;
}
export function skip(reason) {
  console.log(`[skip] ${reason}`);
  skipped += 1;
}
export const failures = () => failed;

// Runs the script's body, cleans up whatever happened, prints the count and ends the process with it.
export async function run(body, cleanUp = async () => {}) {
  const timer = setTimeout(() => {
    console.log("  FAIL the script's own time is over");
    failed += 1;
    finish(cleanUp);
  }, Number(process.env.WARY_TEST_SECONDS ?? (sanitized ? 600 : 120)) * 1000);
  try {
    await body();
  } catch (error) {
    saw(error.stack ?? String(error), false);
  }
  clearTimeout(timer);
  await finish(cleanUp);
}
async function finish(cleanUp) {
  try {
    await cleanUp(failed);
  } catch (error) {
    saw(`cleaning up: ${error.stack}`, false);
  }
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  process.exit(failed === 0 ? 0 : 1);
}
