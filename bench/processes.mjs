// What benches that measure running programs share: their processors' time, and medians. Processes and ports are the tests' own.
import { readFileSync, readdirSync } from "node:fs";

export { freePort, sleep, start, stopAll, until } from "../tests/support/processes.mjs";

export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)];

// Nanoseconds on a processor, of every thread.
export function cpuOf(pid) {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => {
    try {
      return sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      return sum; // the thread ended meanwhile
    }
  }, 0);
}

// The supervisor's child of that name.
export function childOf(parent, name) {
  for (const entry of readdirSync("/proc").filter((one) => /^\d+$/.test(one))) {
    try {
      const ppid = Number(readFileSync(`/proc/${entry}/status`, "utf8").match(/^PPid:\t(\d+)$/m)[1]);
      if (ppid === parent && readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0")[0].endsWith(`/${name}`)) return Number(entry);
    } catch {
      // It ended meanwhile.
    }
  }
  throw new Error(`${name} does not run`);
}
