/** What guests say and show, in the real window: floods of it, several at once, small and large. */
import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test from "node:test";
import { answerDialog } from "./lib/dialog.mjs";
import { until } from "./lib/processes.mjs";
import { story } from "./lib/story.mjs";

const BOOT = { within: 240_000 };

/** Lines of a hundred bytes that say their number, a hundred million bytes in ten seconds, as QEMU writes them. */
const LINES = 1_000_000;
const FLOOD = `
import sys, time
begun, lines = time.monotonic(), ${LINES}
with open(sys.argv[1], "ab", buffering=0) as log:
    for step in range(500):
        first, last = lines * step // 500, lines * (step + 1) // 500
        log.write(b"".join(b"flood %08d %s\\r\\n" % (number, b"." * 83) for number in range(first, last)))
        time.sleep(max(0, begun + (step + 1) * 0.02 - time.monotonic()))
`;

test("consoles", { timeout: 1_200_000 }, async (t) => {
  const options = {
    windowManager: true,
    linuxKernel: true,
    prepare: async (surroundings) => {
      await surroundings.windlassctl("sample", "create", "node-microservice");
      for (const name of ["one", "two"]) await surroundings.windlassctl("run", "--detach", "node-microservice", "--name", name);
    },
  };
  await story(t, options, async (scene, stage) => {
    const machine = async (name) => (await stage.window.invoke("machine_list")).find((one) => one.name === name);
    const show = async (choice) =>
      until(`the choice ${choice}`, () =>
        stage.window.script(
          `const label = [...document.querySelectorAll("[role=radiogroup] label")]
             .find((one) => one.checkVisibility() && one.innerText.trim().startsWith(arguments[0]));
           label?.click();
           return Boolean(label?.querySelector("input").checked);`,
          choice,
        ),
      );
    const both = async (name) => {
      await stage.window.theme("light");
      await stage.window.accessible(`${name}, light`);
      await stage.window.screenshot(`${name}-light`);
      await stage.window.theme("dark");
      await stage.window.accessible(`${name}, dark`);
      await stage.window.screenshot(`${name}-dark`);
      await stage.window.theme("light");
    };

    await scene("machines with a screen show it in the list", async (window) => {
      await window.go("Machines");
      await until(
        "two small pictures",
        () => window.script("return [...document.querySelectorAll('[role=row] img, tr img')].filter((one) => one.naturalWidth > 60).length === 2"),
        BOOT,
      );
      await both("machines-pictures");
    });

    await scene("several consoles are seen at once", async (window) => {
      await show("Consoles");
      await window.accessible("no consoles");
      await window.press("Show all that run (2)");
      await until("both to have started", async () => {
        const shown = await window.script("return [...document.querySelectorAll('.xterm-rows')].map((one) => one.innerText)");
        return shown.length === 2 && shown.every((one) => one.includes("listening on port 8080"));
      }, BOOT);
      await both("consoles-tiles");
      await show("Tabs");
      await window.tab("two");
      await window.console("listening on port 8080");
      await both("consoles-tabs");
      await window.go("Machines");
    });

    await scene("a flood of output blocks nothing, and all of it is kept", async (window) => {
      await window.openRow(/^one,/);
      await window.console("listening on port 8080", BOOT);
      const { id } = await machine("one");
      const { consoleLog } = await window.invoke("machine_details", { id });
      await window.script(
        `window.longest = 0;
         let before = performance.now();
         window.watching = setInterval(() => {
           const now = performance.now();
           window.longest = Math.max(window.longest, now - before - 20);
           before = now;
         }, 20);`,
      );
      const log = join(stage.surroundings.folder, "flood.log");
      const flood = await stage.surroundings.start("/usr/bin/python3", ["-c", FLOOD, consoleLog], undefined, { log });
      await window.console(/flood 0/);
      await window.tab("Graphs");
      await window.find("tabpanel", "Graphs");
      await window.tab("Console");
      assert.equal(flood.exitCode, null, "the window answered before the flood was over");
      await until("the flood's end", () => flood.exitCode !== null, { within: 60_000 });
      assert.equal(flood.exitCode, 0);
      await window.console(`flood ${String(LINES - 1).padStart(8, "0")}`, { within: 60_000 });
      t.diagnostic(`longest stall of the page: ${Math.round(await window.script("return window.longest"))} ms`);
      await both("console-flood");

      const saved = join(stage.surroundings.folder, "one.log");
      await window.press("Save console output…");
      await answerDialog(window, saved);
      await window.reads("Console output saved to", { within: 60_000 });
      let next = 0;
      for await (const line of createInterface({ input: createReadStream(saved) })) {
        const [, number] = /^flood (\d{8}) \.{83}$/.exec(line) ?? [];
        if (number === undefined) continue;
        assert.equal(Number(number), next);
        next += 1;
      }
      assert.equal(next, LINES);
    });

    await scene("the beginning of a long console is gone back to", async (window) => {
      await window.press("To the beginning");
      await window.console("[windlass] init");
      await window.screenshot("console-beginning-light");
      await window.press("To the end");
      await window.console(`flood ${String(LINES - 1).padStart(8, "0")}`);
    });

    await scene("the display takes keys and text, and is seen as large as it is", async (window) => {
      await window.tab("Display");
      await until("the display", () => window.script("return [...document.querySelectorAll('canvas')].some((one) => one.checkVisibility() && one.width > 100)"));
      await window.press("Send keys");
      await window.find("menuitem", "Ctrl+Alt+Del");
      await window.screenshot("display-keys-light");
      await window.press("Esc", { role: "menuitem" });
      await window.press("Text for and from the guest");
      await (await window.find("textbox", "Text for the guest")).click();
      await window.keys("echo 'Hello' > /tmp/x");
      await both("display-text");
      await window.press("Type it");
      await window.gone("dialog");
      await window.press("Scale to window");
      await both("display-full-size");
    });
  });
});
