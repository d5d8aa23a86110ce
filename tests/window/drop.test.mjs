/** What people drop: by hand, without a manifest, and what cannot be used. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { dragOnto } from "./lib/drag.mjs";
import { story } from "./lib/story.mjs";

function write(folder, files) {
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, text);
  }
  return folder;
}

test("drop", { timeout: 600_000 }, async (t) => {
  await story(t, { windowManager: true, apart: true }, async (scene, stage) => {
    const place = (name) => join(stage.surroundings.folder, name);

    await scene("a folder is dragged from another program", async (window) => {
      const folder = write(place("weather"), {
        "package.json": JSON.stringify({ name: "weather", version: "1.2.0", main: "main.js" }),
        "main.js": "console.log('fair');\n",
      });
      await dragOnto(window, [folder], async () => {
        await window.reads("weather");
        await window.screenshot("drop-light");
      });
      await window.find("dialog", /weather/i);
      await window.accessible("the proposal");
      await window.screenshot("proposal-light");
      assert.ok(!existsSync(join(folder, "meta")), "nothing is written before it was agreed to");
      await window.press("Add appliance");
      await window.gone("dialog");
      await window.find("tab", "Contents");
      assert.ok(existsSync(join(folder, "meta/package.yaml")));
    });

    await scene("a manifest with a typo is shown with its line", async (window) => {
      const folder = write(place("typo"), {
        "meta/package.yaml": "name: typo\ntitle: Typo\nauthor: Somebody\nrequire: [a, b\n",
        "file": "x",
      });
      await window.drop(folder);
      const text = await window.reads(/package\.yaml/);
      assert.match(text, /line \d|:\d+:\d+|\^/);
      await window.accessible("a manifest with a typo");
      await window.screenshot("drop-typo");
      await window.keys("\uE00C");
    });

    await scene("a path that is gone is said to be gone", async (window) => {
      await window.go("Appliances");
      await window.drop(place("vanished"));
      await window.reads(/vanished/);
      await window.accessible("a path that is gone");
      await window.screenshot("drop-vanished");
      await window.keys("\uE00C");
      await window.go("Settings");
    });

    await scene("everything is found by keyboard", async (window) => {
      await window.chord("\uE009", "k");
      await window.find("dialog");
      await window.accessible("search");
      await window.screenshot("search-light");
      await window.keys("machines", "\uE007");
      await window.find("heading", "Machines");
    });
  });
});
