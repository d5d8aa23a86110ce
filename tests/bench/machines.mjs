// What guests say and show, and how soon it is seen: the console to the screen, and the display.
//
// In the real window, over WebDriver. The guest is a service of our own, which prints when it is asked over HTTP: what it prints
// goes to the serial console and to the screen. Its answer is the limit of all delays: that much is the guest's own.
import { execFileSync } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { giveLinuxKernel } from "../window/lib/kernels.mjs";
import { until } from "../window/lib/processes.mjs";
import { Surroundings } from "../window/lib/surroundings.mjs";
import { Window } from "../window/lib/window.mjs";
import { Figures, ROOT, progress } from "./lib/figures.mjs";

const ROUNDS = 10;
const ASKED = 20;
const SECONDS = 5;
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
    get({ host: "127.0.0.1", port, path, agent: false }, (answer) => answer.resume().on("end", () => resolve({ begun, took: Date.now() - begun }))).on("error", reject);
  });

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

  const figures = new Figures("Consoles and displays (release)", {
    Windlass: (await surroundings.command(process.env.WINDLASSCTL, "--version")).trim(),
    QEMU: `${details.qemuVersion}, ${details.command[details.command.indexOf("-accel") + 1]}`,
    console: `${((LINES * LINE.length) / 1e6).toFixed(0)} MB of lines, as QEMU writes them`,
  });
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
    await window.console(last, { within: 60_000 });
    rates.push((LINES * LINE.length) / 1e3 / (performance.now() - begun));
  }
  figures.add({ name: "Console to the screen, nothing left out", unit: "MB/s", samples: rates });
  figures.add({ name: "Memory of Windlass after all of that, WebKit apart", unit: "MiB", samples: [memory(window.processes)], limit: { name: "before", samples: [before] }, difference: true });

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

  progress("");
  figures.finish();
} finally {
  await window?.close().catch(() => {});
  await surroundings.close();
}
