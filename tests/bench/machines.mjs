// From the press of Run to what is seen of a guest, its console and its display, and what forty idle machines cost.
//
// In the real window, over WebDriver. The guest is a service of our own, which prints when it is asked over HTTP: what it prints
// goes to the serial console and to the screen. Its answer is the limit of all delays: that much is the guest's own.
// WINDLASS_BENCH_MACHINES has it try with fewer machines than forty.
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { giveLinuxKernel } from "../window/lib/kernels.mjs";
import { until } from "../window/lib/processes.mjs";
import { Surroundings } from "../window/lib/surroundings.mjs";
import { Window } from "../window/lib/window.mjs";
import { Figures, progress } from "./lib/figures.mjs";
import { leaveRuns, measureRuns, prepareRuns } from "./lib/pressed.mjs";

const RUNS = Number(process.env.WINDLASS_BENCH_ROUNDS ?? 10);
/** With its lines, what a guest says in a day that says ten lines a second. */
const ROUNDS = 13;
const ASKED = 20;
const SECONDS = 5;
const IDLE = Number(process.env.WINDLASS_BENCH_MACHINES ?? 40);
const WATCHED_SECONDS = 20;
/** Less than a screen may be behind: nothing is left out. */
const LINE = `${".".repeat(98)}\r\n`;
const LINES = 70_000;

const SERVER = `
const http = require("node:http");
const line = (number) => process.stdout.write("line " + number + " " + "#".repeat(number % 60) + "\\n");
let number = 0;
http.createServer((request, response) => {
  const [, what, count] = request.url.split("/");
  if (what === "line") line(number++);
  if (what === "lines") {
    const timer = setInterval(() => line(number++), 5);
    setTimeout(() => clearInterval(timer), Number(count) * 1000);
  }
  response.end("done");
}).listen(8080, () => console.log("listening on port 8080"));
`;

const ask = (port, path) =>
  new Promise((resolve, reject) => {
    const begun = Date.now();
    const asked = get({ host: "127.0.0.1", port, path, agent: false, timeout: 30_000 }, (answer) =>
      answer.resume().on("end", () => resolve({ begun, took: Date.now() - begun })),
    );
    asked.on("error", reject).on("timeout", () => asked.destroy(new Error(`the guest does not answer ${path}`)));
  });

/** Processor time of processes so far, in milliseconds. */
const cpu = (pids) =>
  pids.reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").pop().split(" ");
    return sum + (Number(fields[11]) + Number(fields[12])) * 10;
  }, 0);

/** Memory of processes, in MiB. */
const memory = (pids) =>
  pids.reduce((sum, pid) => sum + Number(/^Pss: +(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))[1]) / 1024, 0);

/** An appliance whose program says a line and then nothing for ever. */
function idleAppliance(folder) {
  mkdirSync(join(folder, "meta"), { recursive: true });
  writeFileSync(join(folder, "meta/package.yaml"), "name: idle\ntitle: Idle\nauthor: bench\n");
  writeFileSync(join(folder, "meta/run.yaml"), "runtime: native\nconfig_set:\n  default:\n    bootcmd: /idle\nconfig_set_default: default\n");
  const program = '#include <stdio.h>\n#include <unistd.h>\nint main(void) { puts("idle now"); fflush(stdout); for (;;) pause(); }\n';
  execFileSync("cc", ["-O1", "-static", "-x", "c", "-o", join(folder, "idle"), "-"], { input: program });
}

let runs;
try {
  runs = await prepareRuns();
} catch (error) {
  await leaveRuns();
  throw error;
}
const surroundings = await Surroundings.open({ windowManager: true });
let window;
try {
  await giveLinuxKernel(surroundings);
  await surroundings.windlassctl("sample", "create", "node-microservice");
  writeFileSync(join(surroundings.home, "appliances/node-microservice/server.js"), SERVER);
  await surroundings.windlassctl("run", "--detach", "node-microservice", "--name", "bench");
  const [{ id, ports }] = await surroundings.windlassctl("instances");
  const port = ports[0].host;
  const details = await surroundings.windlassctl("machine", "details", "bench");
  const heard = () => readFileSync(details.consoleLog, "latin1").includes("listening on port");
  await until("the guest", heard, { within: 240_000 });

  const figures = new Figures("Machines (release)", {
    ...runs.facts,
    console: `${((LINES * LINE.length) / 1e6).toFixed(0)} MB of lines, as QEMU writes them`,
  });
  await measureRuns(figures, runs, RUNS);
  await leaveRuns();
  window = await Window.open(surroundings);
  await window.go("Machines");
  await window.openRow(/^bench,/);
  await window.tab("Console");
  await window.console("listening on port 8080", { within: 60_000 });

  // When rows of the terminal, or the canvas of the display, changed, by the clock of this computer.
  await window.script(`
    window.rows = [];
    window.draws = [];
    const now = () => performance.timeOrigin + performance.now();
    new MutationObserver(() => rows.push(now())).observe(document.querySelector(".xterm-rows"), { childList: true, subtree: true, characterData: true });
    const draw = CanvasRenderingContext2D.prototype.drawImage;
    CanvasRenderingContext2D.prototype.drawImage = function (...words) {
      if (this.canvas.isConnected) draws.push(now());
      return draw.apply(this, words);
    };`);
  const after = async (what, begun) =>
    until("a change", () => window.script(`return window[arguments[0]].find((one) => one > arguments[1]) ?? null`, what, begun), { every: 5 });

  const before = memory(window.processes);
  const rates = [];
  for (let round = 1; round <= ROUNDS; round++) {
    progress(`Console: round ${round} of ${ROUNDS}`);
    const last = `round ${round} has ended`;
    const begun = performance.now();
    appendFileSync(details.consoleLog, `${LINE.repeat(LINES)}${last}\r\n`);
    // What is seen last says that all before it was drawn: nothing was left out, which the screen would say.
    await window.console(last, { within: 60_000 });
    rates.push((LINES * LINE.length) / 1e3 / (performance.now() - begun));
  }
  figures.add({ name: "Console to the screen, nothing left out", unit: "MB/s", samples: rates });
  figures.add({ name: "Memory of Windlass after a day of ten lines a second, WebKit apart", unit: "MiB", samples: [memory(window.processes)], limit: { name: "before", samples: [before] }, difference: true });

  const delays = async (what) => {
    const [seen, answered] = [[], []];
    for (let round = 1; round <= ASKED; round++) {
      progress(`Delay: ${round} of ${ASKED}`);
      await sleep(250);
      const { begun, took } = await ask(port, "/line");
      seen.push((await after(what, begun)) - begun);
      answered.push(took);
    }
    return [seen, answered];
  };
  const add = (name, [samples, limit]) => figures.add({ name, samples, limit: { name: "the guest's answer", samples: limit }, difference: true });
  add("A line to the console", await delays("rows"));

  await window.tab("Display");
  await until("the display", () => window.script("return draws.length > 0"), { within: 60_000 });
  await sleep(1000);
  add("A line to the display", await delays("draws"));
  const frames = [];
  for (let round = 1; round <= 3; round++) {
    progress(`Frames: round ${round} of 3`);
    const { begun } = await ask(port, `/lines/${SECONDS}`);
    await sleep(SECONDS * 1000);
    const count = await window.script("return draws.filter((one) => one > arguments[0] && one < arguments[1]).length", begun, begun + SECONDS * 1000);
    frames.push(count / SECONDS);
  }
  figures.add({ name: "Display while 200 lines a second come", unit: "/s", samples: frames });

  await surroundings.windlassctl("machine", "kill", "bench");

  progress(`Starting ${IDLE} idle machines`);
  const idle = join(surroundings.home, "appliances/idle");
  idleAppliance(idle);
  await surroundings.windlassctl("run", "--detach", idle, "--guest", "linux", "--memory", "128M", "--count", `${IDLE}`);
  const all = (await surroundings.windlassctl("instances")).filter(({ name }) => name.startsWith("idle"));
  for (const { name } of all) {
    const { consoleLog } = await surroundings.windlassctl("machine", "details", name);
    await until(name, () => readFileSync(consoleLog, "latin1").includes("idle now"), { within: 600_000 });
  }
  await window.go("Machines");
  await sleep(15_000);
  const watched = [];
  for (let round = 1; round <= 3; round++) {
    progress(`${IDLE} idle machines: round ${round} of 3`);
    const [begun, before] = [performance.now(), cpu(window.processes)];
    await sleep(WATCHED_SECONDS * 1000);
    watched.push((100 * (cpu(window.processes) - before)) / (performance.now() - begun));
  }
  figures.add({ name: `${IDLE} idle machines watched in the list, of one processor, WebKit apart`, unit: "%", samples: watched, aim: "2 %", within: { median: 2 } });
  progress("");
  figures.finish();
} finally {
  await window?.close().catch(() => {});
  await surroundings.close();
  await leaveRuns();
}
