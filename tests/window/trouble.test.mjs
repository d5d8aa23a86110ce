/** What goes wrong, and what the window says then. It answers all the while. */
import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import test from "node:test";
import { until } from "./lib/processes.mjs";
import { story } from "./lib/story.mjs";

const BOOT = { within: 240_000 };

test("trouble", { timeout: 900_000 }, async (t) => {
  await story(t, { linuxKernel: true, apart: true }, async (scene, stage) => {
    const folder = (name) => {
      const path = join(stage.surroundings.folder, name);
      mkdirSync(path);
      writeFileSync(join(path, "run.sh"), "#!/bin/sh\necho here\n", { mode: 0o755 });
      writeFileSync(join(path, "data.txt"), "data");
      return path;
    };
    const settings = async (window, part) => {
      const before = await window.invoke("settings_get");
      await window.invoke("settings_set", { settings: { ...before, ...part } });
    };
    /** Adds a folder by dropping it, with the manifest that is proposed. */
    const added = async (window, path) => {
      await window.drop(path);
      await window.press("Add appliance");
      await window.gone("dialog");
      await window.find("tab", "Contents");
    };

    await scene("a program that ends has stopped, with what it said", async (window) => {
      // The doctor's lines come last, and move what is below them.
      await window.reads("Disk space");
      await window.press("Create sample: Hello");
      await window.press("Run", { within: 60_000 });
      await window.find("tab", "Console", BOOT);
      await window.console("Hello from a virtual appliance!", BOOT);
      await window.reads("The machine has stopped", { within: 60_000 });
      await window.screenshot("trouble-hello-ended");
    });

    await scene("without QEMU, Run says what to do", async (window) => {
      await settings(window, { qemuPath: "/nowhere/qemu-system-x86_64" });
      await window.go("Appliances");
      await window.openRow(/^Hello/);
      await window.press("Run");
      await window.reads(/\/nowhere\/qemu-system-x86_64/, { within: 60_000 });
      await window.find("button", "Try again");
      await window.accessible("no QEMU");
      await window.screenshot("trouble-no-qemu");
      await settings(window, { qemuPath: null });
      await window.press("Dismiss");
    });

    await scene("a folder that vanishes is named", async (window) => {
      const path = folder("fleeting");
      await added(window, path);
      rmSync(path, { recursive: true });
      await window.press("Build");
      await window.reads(/there is no folder .*fleeting/i);
      await window.reads("Put it back where it was");
      await window.accessible("a folder that vanished");
      await window.screenshot("trouble-vanished");
    });

    await scene("a socket in the folder is found before it is built", async (window) => {
      const path = folder("plumbing");
      const server = createServer().listen(join(path, "control.sock"));
      try {
        await until("the socket", () => server.listening);
        await added(window, path);
        const contents = await window.reads("control.sock");
        assert.match(contents, /is a socket, which an image cannot hold/);
        await window.accessible("a socket in the folder");
        await window.screenshot("trouble-socket");
      } finally {
        server.close();
      }
    });

    await scene("a list of ten thousand files scrolls", async (window) => {
      const path = folder("many");
      for (let number = 0; number < 10_000; number++) writeFileSync(join(path, `file-${number}`), "");
      await added(window, path);
      await window.reads("file-0", { within: 60_000 });
      const frames = await window.script(`
        const list = [...document.querySelectorAll("[role=tree], [role=grid], [role=treegrid]")].pop();
        const scroller = [list, ...function* (e) { while ((e = e?.parentElement)) yield e; }(list), ...list.querySelectorAll("*")]
          .find((one) => one.scrollHeight > one.clientHeight + 1000 && /auto|scroll/.test(getComputedStyle(one).overflowY));
        if (!scroller) return "no element that scrolls";
        return new Promise((resolve) => {
          const begun = performance.now();
          let frames = 0;
          const next = () => {
            scroller.scrollTop += 400;
            frames++;
            if (performance.now() - begun > 2000) resolve((frames / (performance.now() - begun)) * 1000);
            else requestAnimationFrame(next);
          };
          requestAnimationFrame(next);
        });`);
      // Sixty a second on a desktop. Without a graphics card every frame is painted by a processor that others use too:
      // here it is told that the window does not freeze, and that it holds no more rows than it shows.
      t.diagnostic(`${frames.toFixed(0)} frames a second`);
      assert.ok(frames > 5, `${frames} frames a second`);
      assert.ok((await window.script("return document.querySelectorAll('*').length")) < 3000, "only rows in sight exist");
    });
  });
});
