/** Several machines as one, out of a file: started, watched, read of and taken down in the real window. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { until } from "./lib/processes.mjs";
import { ask, story } from "./lib/story.mjs";

const BOOT = { within: 300_000 };

test("groups", { timeout: 1_200_000 }, async (t) => {
  const options = {
    linuxKernel: true,
    prepare: async (surroundings) => {
      for (const sample of ["hello", "node-microservices"]) await surroundings.windlassctl("sample", "create", sample);
    },
  };
  await story(t, options, async (scene, stage) => {
    const machines = () => stage.window.invoke("machine_list");
    const both = async (name) => {
      for (const theme of ["light", "dark"]) {
        await stage.window.theme(theme);
        await stage.window.accessible(`${name}, ${theme}`);
        await stage.window.screenshot(`${name}-${theme}`);
      }
      await stage.window.theme("light");
    };
    const groupFile = (name, text) => {
      const folder = join(stage.surroundings.folder, name);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, "windlass-group.yaml"), text);
      return folder;
    };

    await scene("five services of one image find each other", async (window) => {
      await window.openRow(/^Node microservices/);
      await window.tab(/^Group/);
      await window.reads("0 of 5 are up");
      await both("group-tab");
      await window.tab("Contents");
      await window.press("Start all 5 services");
      await window.reads(/Waiting for health|Waiting until/, BOOT);
      await window.screenshot("group-starting-light");
      await window.reads("5 of 5 are up", BOOT);
      const shop = (await machines()).find(({ name }) => name === "shop-shop");
      const page = await until("the shop's page", () => ask(shop.ports[0].host), BOOT);
      for (const words of ["Rope", "14.50 €", "<td>12</td>", "★★★★★"]) assert.ok(page.includes(words), page);
      await both("group-services");
      await window.tab("Logs");
      await window.reads("shop listens on port 8080", BOOT);
      await window.reads("prices listens on port 8080");
      await both("group-logs");
    });

    await scene("one that is gone is seen, and only it is started again", async (window) => {
      await window.tab(/^Services/);
      const before = await machines();
      await window.invoke("machine_kill", { id: before.find(({ name }) => name === "shop-reviews").id });
      await window.reads("4 of 5 are up");
      await window.press("Start all 5 services");
      await window.reads("5 of 5 are up", BOOT);
      const kept = (await machines()).filter(({ id }) => before.some((one) => one.id === id));
      assert.equal(kept.length, 4);
      await window.press("Stop all");
      await window.press("Take down", BOOT);
      await window.find("alertdialog", /Take shop down/);
      await window.accessible("the question");
      await window.press("Take down");
      await window.reads("0 of 5 are up", BOOT);
      assert.deepEqual(await machines(), []);
    });

    await scene("a service that ends says why, and what comes after it waits", async (window) => {
      const folder = groupFile(
        "ill",
        "name: ill\nservices:\n  first: {appliance: hello, guest: linux, command: /hello --exit 3, health: {tcp: 80}}\n" +
          "  second: {appliance: hello, guest: linux, command: /hello --sleep 250, depends_on: [first]}\n",
      );
      await window.drop(folder);
      await window.reads("0 of 2 are up");
      await window.press("Start all 2 services");
      await window.reads(/ill-first ended before it was healthy: It ended with status 3\./i, BOOT);
      await window.reads("Not started");
      await window.press("Details");
      await window.reads("command 1 of 1 exited with status 3");
      await both("group-failed");
    });

    await scene("a file with a mistake is shown with its line", async (window) => {
      const folder = groupFile("wrong", "services:\n  web: {appliance: hello, depends_on: [wep]}\n");
      await window.drop(join(folder, "windlass-group.yaml"));
      await window.reads("There is no service `wep`");
      await window.accessible("a mistake");
      await window.screenshot("group-mistake");
    });
  });
});
