/** Child processes of a test, ended by their ids, and what can be read of others in /proc. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** Waits until `look` gives something, and gives it; says what did not come when the time is over. */
export async function until(what, look, { within = 20_000, every = 100 } = {}) {
  const end = Date.now() + within;
  let last;
  for (;;) {
    try {
      const found = await look();
      if (found) return found;
      last = undefined;
    } catch (error) {
      // A program that is not there does not come by waiting.
      if (error.syscall?.startsWith("spawn")) throw error;
      last = error;
    }
    if (Date.now() > end)
      throw new Error(`${what}: not within ${within / 1000} s${last ? ` (${last.message})` : ""}`);
    await sleep(every);
  }
}

/** Starts a program that runs beside the test; what it says goes to a file. */
export function start(program, args, { log, env, stdio = [] } = {}) {
  const output = openSync(log, "a");
  const child = spawn(program, args, { env, stdio: ["ignore", output, output, ...stdio] });
  closeSync(output);
  child.failure = null;
  child.on("error", (error) => (child.failure = error));
  return child;
}

export function runs(pid) {
  try {
    // A zombie answers to signals but runs no more.
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Ends a process: asks it first. */
export async function end(pid, { patience = 3000 } = {}) {
  for (const signal of ["SIGTERM", "SIGKILL"]) {
    if (!runs(pid)) return;
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    await until(`the end of process ${pid}`, () => !runs(pid), { within: patience }).catch(() => {});
  }
}

/** The ids of all processes below one, nearest first. */
export function descendants(pid) {
  const children = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const parent = Number(/^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, "utf8"))[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It ended meanwhile.
    }
  }
  const found = [];
  for (let next = [pid]; next.length > 0; ) {
    next = next.flatMap((one) => children.get(one) ?? []);
    found.push(...next);
  }
  return found;
}

/** Processes whose arguments name a path: the QEMUs of a home, for one. */
export function processesNaming(path) {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, "utf8").includes(path);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** A TCP port of 127.0.0.1 that is free just now. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
