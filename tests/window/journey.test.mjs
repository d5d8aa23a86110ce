/** From a dropped folder to a running machine, and back to an empty desktop, in the real window. */
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { runs, until } from "./lib/processes.mjs";
import { ask, story } from "./lib/story.mjs";
import { machines } from "./lib/window.mjs";

/** Emulation on a busy computer is slow. */
const BOOT = { within: 240_000 };

test("journey", { timeout: 1_200_000 }, async (t) => {
  let folder;
  const options = {
    windowManager: true,
    linuxKernel: true,
    // The microservice as somebody else's folder: packed with this computer's Node, known to no list.
    prepare: async (surroundings) => {
      await surroundings.windlassctl("sample", "create", "node-microservice");
      folder = join(surroundings.folder, "microservice");
      cpSync(join(surroundings.home, "appliances/node-microservice"), folder, { recursive: true });
      await surroundings.windlassctl("appliance", "remove", "node-microservice");
    },
  };
  await story(t, options, async (scene, stage) => {
    const machine = async () => {
      const [first] = await stage.window.invoke("machine_list");
      return first;
    };
    const state = (...wanted) =>
      until(`the state ${wanted}`, async () => wanted.includes((await machine()).state), { within: 60_000 });
    let port;

    await scene("the first start says what this computer has and what to do", async (window) => {
      await window.reads("Drop a folder here");
      await window.find("button", "Create sample: Hello");
      await window.theme("light");
      await window.accessible("first start, light");
      await window.screenshot("first-start-light");
      await window.theme("dark");
      await window.accessible("first start, dark");
      await window.theme("light");
    });

    await scene("a dropped folder becomes an appliance", async (window) => {
      await window.drag("tauri://drag-enter", [folder]);
      await window.reads("Drop to add");
      await window.drag("tauri://drag-drop", [folder]);
      await window.find("heading", "Node microservice");
      await window.reads("node-microservice 1.0.0");
      await window.accessible("contents");
      await window.screenshot("appliance-contents-light");
      await window.tab("Run");
      await window.reads("/usr/bin/node");
      await window.accessible("run settings");
      await window.screenshot("appliance-run-light");
    });

    await scene("Build makes an image", async (window) => {
      await window.press("Build");
      await window.tab("Builds");
      await until("the build", async () => (await window.invoke("build_list", { applianceId: null })).length === 1, {
        within: 120_000,
      });
      await window.find("row", /^Build of/);
      await window.reads(/Linux,\s+ext4/);
      await window.accessible("builds");
    });

    await scene("Run boots it, and the console tells", async (window) => {
      await window.press("Run");
      await window.find("tab", "Console", BOOT);
      await window.console("listening on port 8080", BOOT);
      await state("running");
      await window.accessible("console, light");
      await window.screenshot("machine-console-light");
    });

    await scene("its service answers at the forwarded port", async (window) => {
      port = (await machine()).ports[0].host;
      await window.reads(`127.0.0.1:${port}`);
      assert.ok(await until("an answer", () => ask(port), { within: 60_000 }));
      await window.console("GET /");
    });

    await scene("the display shows the guest's screen", async (window) => {
      await window.tab("Display");
      await until(
        "a screen with something on it",
        () =>
          window.script(`
            const canvas = [...document.querySelectorAll("canvas")].find((one) => one.checkVisibility() && one.width > 100);
            if (!canvas) return false;
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const colours = new Set();
            for (let at = 0; at < data.length; at += 4) colours.add(data[at] + 256 * data[at + 1] + 65536 * data[at + 2]);
            return colours.size > 1;`),
        { within: 60_000 },
      );
      await window.accessible("display");
      await window.screenshot("machine-display-light");
    });

    await scene("Pause and Resume", async (window) => {
      await window.press("Pause");
      await state("paused");
      await window.reads("Paused");
      await window.press("Resume");
      await state("running");
    });

    await scene("in the dark", async (window) => {
      await window.theme("dark");
      await window.tab("Console");
      await window.accessible("console, dark");
      await window.screenshot("machine-console-dark");
      for (const place of ["Machines", "Activity", "Settings", "Appliances"]) {
        await window.go(place);
        await window.find("heading", place);
        await window.accessible(`${place}, dark`);
        await window.screenshot(`${place.toLowerCase()}-dark`);
      }
      await window.theme("light");
      for (const place of ["Machines", "Activity", "Settings"]) {
        await window.go(place);
        await window.find("heading", place);
        await window.accessible(`${place}, light`);
        await window.screenshot(`${place.toLowerCase()}-light`);
      }
    });

    await scene("closing asks once, and leaves the machine running", async (window) => {
      const [qemu] = machines(stage.surroundings);
      const windlass = window.processes;
      assert.ok(qemu && windlass.length === 1, `QEMU ${qemu}, Windlass ${windlass}`);
      await stage.surroundings.command("xdotool", "key", "alt+F4");
      await window.find("alertdialog", "One machine is running");
      await window.accessible("the question on closing");
      const leave = await window.find("button", "Leave running");
      // The answer to the click may not come: the window is gone.
      await leave.click().catch(() => {});
      await until("the window's end", () => windlass.every((pid) => !runs(pid)));
      await window.close();
      assert.ok(runs(qemu), "QEMU goes on");
      assert.ok(await ask(port), "the service goes on");
    });

    await scene("opened again, the machine is there with its console", async () => {
      const window = await stage.open();
      await window.go("Machines");
      await window.find("row", /node-microservice, Running/);
      await window.openRow(/node-microservice/);
      await window.tab("Console");
      await window.console("listening on port 8080");
      assert.ok(await ask(port));
    });

    await scene("Stop ends it", async (window) => {
      const [qemu] = machines(stage.surroundings);
      await window.press("Stop");
      await state("stopped");
      await window.reads("The machine has stopped");
      await until("QEMU's end", () => !runs(qemu));
      await sleep(100);
      assert.equal(await ask(port), null);
      await window.accessible("a machine that has stopped");
      await window.screenshot("machine-stopped-light");
    });
  });
});
