/** What a test of the window begins and ends with. */
import { mkdirSync } from "node:fs";
import { get } from "node:http";
import { giveLinuxKernel } from "./kernels.mjs";
import { Surroundings } from "./surroundings.mjs";
import { RESULTS, Window } from "./window.mjs";

/**
 * Plays scenes one after another in one window: `scene(title, play)` as often as needed. A scene that fails leaves a
 * screenshot in target/window/ and ends the story, since what comes after builds on it (unless they stand `apart`).
 */
export async function story(t, options, tell) {
  mkdirSync(RESULTS, { recursive: true });
  const surroundings = await Surroundings.open(options);
  const stage = { surroundings, window: null };
  stage.open = async () => (stage.window = await Window.open(surroundings));
  const scene = (title, play) =>
    t.test(title, { timeout: 600_000 }, async () => {
      try {
        await play(stage.window);
      } catch (error) {
        const name = `failed-${t.name}-${title}`.replace(/\W+/g, "-");
        const path = await stage.window?.screenshot(name).catch(() => null);
        error.message += path ? `\n(the window then: ${path})` : "";
        stage.failed = !options.apart;
        throw error;
      }
    });
  try {
    if (options.linuxKernel) await giveLinuxKernel(surroundings);
    await options.prepare?.(surroundings);
    await stage.open();
    await tell(async (title, play) => {
      if (!stage.failed) await scene(title, play);
    }, stage);
  } finally {
    await stage.window?.close().catch(() => {});
    await surroundings.close();
  }
}

/** The text of an answer to GET /, or null when there is none. */
export function ask(port) {
  return new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port, path: "/", timeout: 5000 }, (response) => {
      let text = "";
      response.on("data", (data) => (text += data)).on("end", () => resolve(text));
      response.on("error", () => resolve(null));
    });
    request.on("error", () => resolve(null)).on("timeout", () => request.destroy());
  });
}
