/**
 * Plays the sample through the real window under a virtual display: `./dev run` where there is no other.
 * Leaves screenshots and the machine's console log in the folder that is named.
 */
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { get } from "node:http";
import { join, relative } from "node:path";
import { until } from "./lib/processes.mjs";
import { Surroundings } from "./lib/surroundings.mjs";
import { Window } from "./lib/window.mjs";

const folder = process.argv[2];
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const begun = Date.now();
const say = (words) => console.log(`${((Date.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${words}`);
let pictures = 0;
const picture = (window, name) =>
  window.screenshot(join(folder, `${String(++pictures).padStart(2, "0")}-${name}.png`));

// The home stays between runs, so that the kernel is fetched and Node packed once.
const surroundings = await Surroundings.open({ home: join(folder, "..", "demo-home") });
let window;
const leave = async (status) => {
  await window?.close().catch(() => {});
  await surroundings.close();
  process.exit(status);
};
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void leave(130));

try {
  window = await Window.open(surroundings);
  say("The window is open.");
  await window.theme("light");
  await picture(window, "appliances");

  // A sample that was made before is opened instead.
  const made = (await window.invoke("appliance_list")).some(({ name }) => name === "node-microservice");
  if (made) await window.openRow(/^Node microservice/);
  else await window.reads("Disk space").then(() => window.press("Create sample: Node microservice", { within: 30_000 }));
  await window.find("button", "Run", { within: 120_000 });
  say("The sample is made: this computer's Node, its libraries and a small HTTP service.");
  await window.tab("Contents");
  await picture(window, "contents");

  await window.press("Run");
  say(`Run was pressed.${made ? "" : " The first run fetches a Linux kernel from the distribution."}`);
  await window.find("tab", "Console", { within: 600_000 });
  say("The machine starts.");
  const [machine] = (await window.invoke("machine_list")).filter(({ endedAt }) => endedAt === null);
  const port = await until(
    "the forwarded port",
    async () => (await window.invoke("machine_list")).find(({ id }) => id === machine.id)?.ports[0]?.host,
  );
  const answer = await until(`an answer at http://127.0.0.1:${port}/`, () => ask(port), { within: 300_000, every: 500 });
  say(`http://127.0.0.1:${port}/ answers: ${answer.trim().split("\n")[0].slice(0, 100)}`);
  await picture(window, "console");
  await window.tab("Display");
  await window.gone("status", /Connecting/).catch(() => {});
  await until("the display", () => window.script("return document.querySelector('canvas')?.width > 0")).catch(() => {});
  await picture(window, "display");
  await window.theme("dark");
  await window.tab("Console");
  await picture(window, "console-dark");
  await window.go("Machines");
  await picture(window, "machines-dark");

  const { consoleLog } = await window.invoke("machine_details", { id: machine.id });
  await window.invoke("machine_stop", { id: machine.id });
  await until(
    "the machine's end",
    async () => (await window.invoke("machine_list")).find(({ id }) => id === machine.id)?.endedAt,
    { within: 60_000 },
  );
  copyFileSync(consoleLog, join(folder, "console.log"));
  say(`The machine was stopped. Screenshots and its console log are in ${relative(process.cwd(), folder)}/`);
  await leave(0);
} catch (error) {
  console.error(`The demo stopped: ${error.message}`);
  const seen = await window?.screenshot(join(folder, "where-it-stopped.png")).catch(() => {});
  if (seen) console.error(`See ${relative(process.cwd(), seen)}`);
  await leave(1);
}

function ask(port) {
  return new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port, path: "/", timeout: 5000 }, (response) => {
      let text = "";
      response.on("data", (data) => (text += data)).on("end", () => resolve(text));
    });
    request.on("error", () => resolve(null)).on("timeout", () => request.destroy());
  });
}
