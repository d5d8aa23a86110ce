/**
 * From the press of Run to what the guest says, against QEMU alone with the very same command line.
 *
 * `windlassctl run` starts an appliance that is built already. The limit takes the command line of that machine, with
 * sockets, console log and overlay of its own, and starts it from here. Both are measured in turns. Linux always; OSv where
 * WINDLASS_OSV_LOADER and WINDLASS_OSV_KERNEL name its loader image and ELF kernel.
 */
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { giveLinuxKernel } from "../../window/lib/kernels.mjs";
import { end, processesNaming, until } from "../../window/lib/processes.mjs";
import { progress } from "./figures.mjs";

/** What the sample's program says first. */
const PROGRAM = "Hello from a virtual appliance!";
/** What each guest's console begins with. */
const FIRST = { linux: "[windlass] init ", osv: "OSv v" };
const TITLES = { linux: "Linux", osv: "OSv" };
const { WINDLASSCTL: windlassctl, WINDLASS_OSV_LOADER: loader, WINDLASS_OSV_KERNEL: kernel } = process.env;

const folder = mkdtempSync(join(tmpdir(), "wb-"));
const home = join(folder, "home");
const env = { ...process.env, WINDLASS_HOME: home };
const ctl = (...words) => execFileSync(windlassctl, words, { env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

/** Waits for words in what `read` gives, and says when each was there. */
async function seen(begun, words, read, within = 120_000) {
  const times = new Map();
  while (times.size < words.length) {
    const text = read();
    const now = performance.now() - begun;
    for (const word of words) if (!times.has(word) && text.includes(word)) times.set(word, now);
    if (now > within) throw new Error(`${words.join(", ")}: not all said within ${within / 1000} s, but:\n${text.slice(-1000)}`);
    await sleep(1);
  }
  return words.map((word) => times.get(word));
}

/** Presses Run, and stays until the machine has ended. */
async function pressed(guest) {
  let said = "";
  const begunAt = Date.now();
  const begun = performance.now();
  const words = ["--json", "run", "hello", "--guest", guest];
  const child = spawn(windlassctl, words, { env, stdio: ["ignore", "pipe", "pipe"] });
  const closed = new Promise((resolve) => child.on("close", resolve));
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data));
  const [first, program] = await seen(begun, [FIRST[guest], PROGRAM], () => said);
  await closed;
  // The machine's own record is the last line.
  const { startedAt } = JSON.parse(said.trim().split("\n").pop());
  return { first, program, started: Date.parse(startedAt) - begunAt };
}

/** Starts QEMU alone by a machine's command line, on copies of what is the machine's own. */
async function bare(guest, details) {
  const own = join(folder, "bare");
  mkdirSync(own);
  for (const name of ["disk0.qcow2", "initramfs"]) {
    const kept = join(folder, `${guest}-${name}`);
    if (existsSync(kept)) copyFileSync(kept, join(own, name));
  }
  const sockets = /path=([^,]+)\/qmp$/m.exec(details.command.join("\n"))[1];
  const command = details.command.map((word) => word.replaceAll(details.folder, own).replaceAll(sockets, own));
  const log = join(own, "console.log");
  writeFileSync(log, "");
  const begun = performance.now();
  const child = spawn(command[0], command.slice(1), { stdio: "ignore" });
  const closed = new Promise((resolve) => child.on("close", resolve));
  try {
    const [first, program] = await seen(begun, [FIRST[guest], PROGRAM], () => readFileSync(log, "latin1"));
    await closed;
    return { first, program };
  } finally {
    await end(child.pid);
    rmSync(own, { recursive: true, force: true });
  }
}

/** Builds, runs once, and keeps what the machine starts from, before its guest has come so far as to write. */
async function prepare(guest) {
  ctl("run", "hello", "--guest", guest, "--detach");
  const details = JSON.parse(ctl("--json", "machine", "details", "hello"));
  for (const name of ["disk0.qcow2", "initramfs"]) {
    const path = join(details.folder, name);
    if (existsSync(path)) copyFileSync(path, join(folder, `${guest}-${name}`));
  }
  const ended = () => JSON.parse(ctl("--json", "instances"))[0].endedAt !== null;
  await until("the machine's end", ended, { within: 60_000 });
  ctl("delete", "hello");
  return details;
}

/** Prepares both guests, and gives the version of QEMU and its accelerator. Then `measure` adds the figures. */
export async function prepareRuns() {
  await giveLinuxKernel({ home, command: async (program, ...words) => execFileSync(program, words, { env }) });
  const guests = ["linux"];
  if (loader && kernel) {
    ctl("kernel", "add", loader, kernel);
    guests.push("osv");
  } else {
    console.error("OSv is left out: WINDLASS_OSV_LOADER and WINDLASS_OSV_KERNEL do not name one.");
  }
  ctl("sample", "create", "hello");
  const details = {};
  for (const guest of guests) details[guest] = await prepare(guest);
  const { qemuVersion, command } = details.linux;
  return { guests, details, facts: { Windlass: ctl("--version").trim(), QEMU: `${qemuVersion}, ${command[command.indexOf("-accel") + 1]}` } };
}

export async function measureRuns(figures, { guests, details }, rounds) {
  const alone = [];
  for (const guest of guests) {
    const [ours, theirs] = [[], []];
    for (let round = 1; round <= rounds; round++) {
      progress(`${TITLES[guest]}: round ${round} of ${rounds}`);
      theirs.push(await bare(guest, details[guest]));
      ours.push(await pressed(guest));
      const begun = performance.now();
      ctl("instances");
      alone.push(performance.now() - begun);
    }
    progress("");
    const add = (what, of, aim) =>
      figures.add({
        name: `${TITLES[guest]}: Run to ${what}`,
        samples: ours.map(of),
        limit: { name: "QEMU alone", samples: theirs.map(of) },
        difference: true,
        aim,
      });
    add("the guest's first line", ({ first }) => first, "+ 100 ms");
    add("the program's first line", ({ program }) => program);
    figures.add({ name: `${TITLES[guest]}: Run to the machine's start`, samples: ours.map(({ started }) => started) });
  }
  figures.add({ name: "Of that, windlassctl by itself (`instances`)", samples: alone });
}

/** Takes away all that was made. */
export async function leaveRuns() {
  for (const pid of processesNaming(home)) await end(pid);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
