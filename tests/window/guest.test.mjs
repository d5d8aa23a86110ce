/** What is inside a Linux guest that runs, in the real window: processes, files both ways, environment, messages. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { answerDialog } from "./lib/dialog.mjs";
import { until } from "./lib/processes.mjs";
import { story } from "./lib/story.mjs";
import { WINDLASSCTL } from "./lib/surroundings.mjs";

const BOOT = { within: 240_000 };

test("guest", { timeout: 900_000 }, async (t) => {
  const options = {
    windowManager: true,
    linuxKernel: true,
    prepare: async (surroundings) => {
      await surroundings.windlassctl("sample", "create", "node-microservice");
      await surroundings.windlassctl("run", "--detach", "node-microservice", "--name", "closed");
      await surroundings.windlassctl("appliance", "settings", "node-microservice", "--allow-changes");
      await surroundings.windlassctl("run", "--detach", "node-microservice", "--name", "open");
    },
  };
  await story(t, options, async (scene, stage) => {
    const place = (name) => join(stage.surroundings.folder, name);
    const show = (part) =>
      until(`the choice ${part}`, () =>
        stage.window.script(
          `const label = [...document.querySelectorAll("[role=radiogroup] label")]
             .find((one) => one.checkVisibility() && one.innerText.trim() === arguments[0]);
           label?.click();
           return Boolean(label?.querySelector("input").checked);`,
          part,
        ),
      );
    /** A list has the rows in sight alone: goes through it until there is one of this name. */
    const scrolledTo = (name) =>
      until(`the row ${name}`, () =>
        stage.window.script(
          `const grid = [...document.querySelectorAll("[role=grid]")].find((one) => one.checkVisibility());
           if ([...grid.querySelectorAll("[role=row]")].some((one) => one.ariaLabel === arguments[0])) return true;
           const end = grid.scrollTop + grid.clientHeight >= grid.scrollHeight - 1;
           grid.scrollTop = end ? 0 : grid.scrollTop + grid.clientHeight / 2;
           return false;`,
          name,
        ),
      );
    const both = async (name) => {
      for (const theme of ["dark", "light"]) {
        await stage.window.theme(theme);
        await stage.window.accessible(`${name}, ${theme}`);
        await stage.window.screenshot(`${name}-${theme}`);
      }
    };

    await scene("a guest that was not opened says how it would be", async (window) => {
      await window.go("Machines");
      await window.openRow(/^closed,/);
      await window.console("listening on port 8080", BOOT);
      await window.tab("Guest");
      await window.reads("Nothing in this guest tells");
      await window.find("button", "Run settings");
      await both("guest-closed");
    });

    await scene("processes and memory are those of the guest", async (window) => {
      await window.go("Machines");
      await window.openRow(/^open,/);
      await window.console("listening on port 8080", BOOT);
      await window.tab("Guest");
      await window.find("grid", "Processes");
      await window.find("row", "node");
      const names = await window.script(
        "return [...document.querySelectorAll('[role=grid] [role=row][aria-label]')].map((one) => one.ariaLabel)",
      );
      assert.ok(!names.includes("kthreadd"), "parts of the kernel are left out until asked for");
      await window.press("Parts of the kernel too", { role: "checkbox" });
      await scrolledTo("kthreadd");
      await window.press("Parts of the kernel too", { role: "checkbox" });
      await window.gone("row", "kthreadd");
      await both("guest-processes");
    });

    await scene("a process shows its environment", async (window) => {
      await (await window.find("row", "node")).click();
      await window.reads(/Environment of node \(\d+\)/);
      await window.reads("windlass.agent=on");
      await window.reads("Hello from a machine of its own");
      await both("guest-environment");
    });

    await scene("the kernel's messages can be read", async (window) => {
      await show("Kernel messages");
      await window.reads("Linux version");
      await both("guest-messages");
    });

    await scene("files go in and out and stay what they are", async (window) => {
      await show("Files");
      await (await window.find("row", "tmp")).click();
      await until("the folder /tmp", async () => (await window.text("[role=status]")).includes("/tmp"));
      const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7919) % 251));
      writeFileSync(place("going in.bin"), bytes);
      await window.drop(place("going in.bin"));
      await window.reads("Copied to /tmp/going in.bin in the guest");
      await window.find("row", "going in.bin");
      await both("guest-files");
      await window.press("Save going in.bin");
      await answerDialog(window, place("came-out.bin"));
      await window.reads("Saved as");
      assert.ok(readFileSync(place("came-out.bin")).equals(bytes));
    });

    await scene("what a program does beside is seen", async (window) => {
      const code = `fs.writeFileSync("/tmp/made-inside", fs.readFileSync("/tmp/going in.bin").reverse()); console.log("done")`;
      const said = await stage.surroundings.command(WINDLASSCTL, "machine", "exec", "open", "--", "node", "-e", code);
      assert.equal(said.trim(), "done");
      await window.press("Refresh");
      await window.find("row", "made-inside");
      await window.press("One folder up");
      await window.find("row", "tmp");
    });

    await scene("a guest that has ended tells nothing", async (window) => {
      await window.press("Stop");
      await window.reads("The machine has stopped", { within: 60_000 });
      await window.tab("Guest");
      await window.reads("The guest does not run");
      await window.gone("grid", "Files");
      await both("guest-ended");
    });
  });
});
