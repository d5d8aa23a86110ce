/** A true drag and drop: the pointer takes a folder from another program's window and lets it go over ours. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { end, until } from "./processes.mjs";

const SOURCE = join(dirname(fileURLToPath(import.meta.url)), "drag_source.py");

/** `hovering` is called while the folder is held over the window. Needs surroundings with a window manager. */
export async function dragOnto(window, paths, hovering = async () => {}) {
  const { surroundings } = window;
  const pointer = (...words) => surroundings.command("xdotool", ...words.map(String));
  // To the right of our window, on a display that is wide enough for both.
  const [x, y] = [1310, 300];
  const said = (word) => readFileSync(join(surroundings.folder, "python3.log"), "utf8").split(word).length - 1;
  const source = await surroundings.start("/usr/bin/python3", [SOURCE, `${x}`, `${y}`, ...paths], () => said("mapped"));
  try {
    await sleep(300);
    const from = [x + 60, y + 30];
    const to = [640, 420];
    // A busy computer may miss the beginning of a drag. Whoever sees that lets go and takes it again.
    for (let attempt = 1; ; attempt++) {
      await pointer("mousemove", ...from);
      await pointer("mousedown", 1);
      // A drag begins by moving, and who is under the pointer learns of it step by step.
      for (let step = 1; step <= 16; step++) {
        const at = from.map((one, index) => Math.round(one + ((to[index] - one) * step) / 16));
        await pointer("mousemove", ...at);
        await sleep(40);
      }
      const answered = async () => {
        await pointer("mousemove_relative", "--", 1, 0);
        return window.script("return document.body.innerText.includes('Drop to add')");
      };
      try {
        await until("the window's answer to the drag", answered, { within: 8_000 });
        break;
      } catch (error) {
        if (attempt === 3) throw error;
        await pointer("mousemove", ...from);
        await pointer("mouseup", 1);
        await sleep(500);
      }
    }
    await hovering();
    // An attempt that was given up has ended, too.
    const before = said("ended");
    await pointer("mouseup", 1);
    // What is dragged is handed over by its program: gone too early, it takes it along.
    await until("the end of the drag", () => said("ended") > before);
  } finally {
    await end(source.pid);
  }
}

const TARGET = join(dirname(fileURLToPath(import.meta.url)), "drop_target.py");

/**
 * The other way round: takes an element of our window and lets it go over another program's, which copies what it is
 * given into `folder`. Returns the names of what it took. Needs surroundings with a window manager.
 */
export async function dragOut(window, element, folder) {
  const { surroundings } = window;
  const pointer = (...words) => surroundings.command("xdotool", ...words.map(String));
  const [x, y] = [1310, 300];
  const log = join(surroundings.folder, "drop-target.log");
  const said = (word) => readFileSync(log, "utf8").split("\n").filter((line) => line.startsWith(word));
  const target = await surroundings.start("/usr/bin/python3", [TARGET, `${x}`, `${y}`, folder], () => said("mapped").length > 0, { log });
  try {
    await sleep(300);
    const from = await onScreen(window, element);
    const to = [x + 60, y + 60];
    for (let attempt = 1; ; attempt++) {
      await pointer("mousemove", ...from);
      await pointer("mousedown", 1);
      // A hand's first steps are small; the drag itself begins when the files are ready.
      for (let step = 1; step <= 6; step++) {
        await pointer("mousemove", from[0] + step * 4, from[1]);
        await sleep(40);
      }
      try {
        let step = 0;
        await until(
          "the other program to be told of the drag",
          async () => {
            step = Math.min(step + 1, 12);
            const at = from.map((one, index) => Math.round(one + ((to[index] - one) * step) / 12));
            await pointer("mousemove", at[0] + (step === 12 ? Math.round(Math.random() * 6) : 0), at[1]);
            return said("over").length > 0;
          },
          { within: 8_000, every: 60 },
        );
        break;
      } catch (error) {
        await pointer("mouseup", 1);
        if (attempt === 5) throw error;
        await sleep(500);
      }
    }
    await pointer("mouseup", 1);
    await until("the other program to take the files", () => said("took").length > 0);
    return said("took").map((line) => line.slice("took ".length));
  } finally {
    await end(target.pid);
  }
}

/** The middle of an element, in the coordinates of the screen. */
async function onScreen(window, element) {
  const { surroundings } = window;
  const ids = (await surroundings.command("xdotool", "search", "--onlyvisible", "--name", "^Windlass$")).trim().split("\n");
  // xdotool's own answer counts the window manager's frame twice.
  const geometry = await surroundings.command("xwininfo", "-id", ids.at(-1));
  const [left, top] = ["X", "Y"].map((axis) => Number(new RegExp(`Absolute upper-left ${axis}:\\s+(-?\\d+)`).exec(geometry)[1]));
  const middle = await window.script(
    "const at = arguments[0].getBoundingClientRect(); return [at.left + Math.min(at.width / 2, 120), at.top + at.height / 2];",
    element,
  );
  return [Math.round(left + middle[0]), Math.round(top + middle[1])];
}
