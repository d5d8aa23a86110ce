/** The desktop's own dialogs for files and folders, answered by keys. Needs surroundings with a window manager. */
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "./processes.mjs";

const TITLES = "^(Open|Save|Select|Choose|Pick).*(File|Files|Folder)";

/** Waits for a dialog of the desktop, gives it a path, and waits until it is gone. */
export async function answerDialog({ surroundings }, path) {
  const xdotool = (...words) => surroundings.command("xdotool", ...words.map(String));
  const shown = async () => {
    const found = await xdotool("search", "--onlyvisible", "--name", TITLES).catch(() => "");
    return found.trim().split("\n").filter(Boolean).at(-1);
  };
  const id = await until("the desktop's dialog", shown);
  await xdotool("windowactivate", "--sync", id);
  await sleep(400);
  // A dialog for saving has a field for the name at hand; the others get one by Ctrl+L.
  const title = await xdotool("getwindowname", id);
  // It begins with what was used last, out of which no folder can be chosen: it goes home first.
  if (/Folder/.test(title)) await xdotool("key", "alt+Home");
  await sleep(500);
  if (!/^Save/.test(title)) await xdotool("key", "ctrl+l");
  await sleep(500);
  await xdotool("key", "ctrl+a");
  await xdotool("type", "--delay", "20", path);
  await sleep(800);
  await xdotool("key", "Return");
  await until(
    "the end of the desktop's dialog",
    async () => {
      if ((await shown()) !== id) return true;
      await xdotool("key", "Return");
      return false;
    },
    { every: 1000 },
  );
}
