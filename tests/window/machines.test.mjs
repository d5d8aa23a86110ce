/** Machines by point and click, in the real window: run with options, volumes, folders, networks, snapshots, groups. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { answerDialog } from "./lib/dialog.mjs";
import { until } from "./lib/processes.mjs";
import { story } from "./lib/story.mjs";

const BOOT = { within: 240_000 };

test("machines", { timeout: 900_000 }, async (t) => {
  const options = {
    windowManager: true,
    linuxKernel: true,
    prepare: async (surroundings) => {
      await surroundings.windlassctl("sample", "create", "node-microservice");
      await surroundings.windlassctl("appliance", "settings", "node-microservice", "--allow-changes");
      await surroundings.windlassctl("volume", "create", "data", "--size", "16M");
      mkdirSync(join(surroundings.folder, "shared"));
      writeFileSync(join(surroundings.folder, "shared/hello.txt"), "from outside\n");
    },
  };
  await story(t, options, async (scene, stage) => {
    const machine = async (name) => (await stage.window.invoke("machine_list")).find((one) => one.name === name);
    const fill = async (role, name, text) => {
      const field = await stage.window.find(role, name);
      await field.click();
      await stage.window.script("arguments[0].select()", field);
      await field.sendKeys(text);
    };
    const both = async (name) => {
      for (const theme of ["dark", "light"]) {
        await stage.window.theme(theme);
        await stage.window.accessible(`${name}, ${theme}`);
        await stage.window.screenshot(`${name}-${theme}`);
      }
    };

    await scene("a run with options says what is wrong before it starts", async (window) => {
      await window.go("Appliances");
      await window.openRow(/^Node microservice/);
      await window.press("Other ways to run");
      await window.press("Run with options…", { role: "menuitem" });
      await window.find("dialog", /with options/);
      await fill("textbox", "Name of the machine", "first");
      await fill("textbox", "Group", "pair");
      await fill("spinbutton", "Memory (MiB)", "272");
      await window.press("Join a private network");
      await fill("textbox", "Private network 1", "no such/name");
      await window.reads("A network’s name has 1 to 40 letters");
      assert.equal(await (await window.find("button", "Run")).isEnabled(), false);
      await both("machines-run-wrong");
      await fill("textbox", "Private network 1", "backend");
      await both("machines-run-options");
      await window.press("Run");
      await window.console("listening on port 8080", BOOT);
      const { group, networks } = await machine("first");
      assert.equal(group.name, "pair");
      assert.deepEqual(networks.map(({ name }) => name), ["backend"]);
    });

    await scene("a machine that runs takes a volume and lets it go", async (window) => {
      await window.tab("Volumes");
      await window.reads("This machine has no volume.");
      await fill("textbox", /^Mounted at/, "data");
      await window.reads("A place in the guest begins with a slash.");
      await fill("textbox", /^Mounted at/, "/data");
      await window.press("Attach");
      await window.find("button", "Detach data");
      await window.reads("/data");
      await both("machines-volumes");
      await window.press("Detach data");
      await window.reads("This machine has no volume.");
      assert.deepEqual((await machine("first")).volumes, []);
    });

    await scene("a folder is shared from the next start on", async (window) => {
      await window.press("Share a folder…");
      await answerDialog(window, join(stage.surroundings.folder, "shared"));
      await window.reads("/mnt/shared");
      await both("machines-folders");
      await window.press(/^Stop sharing/);
      await window.reads("This machine sees no folder of this computer.");
      await window.press("The guest may only read it", { role: "checkbox" });
      await window.press("Share a folder…");
      await answerDialog(window, join(stage.surroundings.folder, "shared"));
      await window.reads("Read-only");
      const { shares } = await window.invoke("machine_details", { id: (await machine("first")).id });
      assert.deepEqual(shares.map(({ readOnly }) => readOnly), [true]);
      await window.press(/^Stop sharing/);
      await window.reads("This machine sees no folder of this computer.");
    });

    await scene("networks show who is there, and traffic is kept", async (window) => {
      await window.tab("Network");
      await window.reads("No other machine is on this network.");
      await window.press("Capture traffic");
      await window.press("Stop capturing");
      await window.reads(/\.pcap/);
      const [file] = (await window.invoke("captures", { machine: (await machine("first")).id })).files;
      assert.ok(existsSync(file));
      await both("machines-network");
    });

    await scene("a snapshot keeps the memory, and going back says what is lost", async (window) => {
      await window.tab("Snapshots");
      await fill("textbox", "Name of the snapshot", "fresh");
      await window.press("Take snapshot");
      await window.reads("You are here", { within: 60_000 });
      await window.reads("disks and memory");
      await both("machines-snapshots");
      await window.press("Go back");
      await window.reads("What was written to its own disks since is lost");
      await window.screenshot("machines-revert-light");
      await window.press("Cancel");
    });

    await scene("resources are held against their bounds, and saved for the next start", async (window) => {
      await window.tab("Details");
      await fill("spinbutton", "Gives way to other programs", "40");
      await window.reads("A number from 0 to 19");
      await fill("spinbutton", "Gives way to other programs", "5");
      await window.press("Save");
      await until("the change", async () => {
        const { nice } = await window.invoke("machine_resources", { id: (await machine("first")).id });
        return nice === 5;
      });
      await both("machines-details");
    });

    await scene("a clone and its group are handled as one", async (window) => {
      await window.press(/^Actions for/);
      await window.press("Clone…", { role: "menuitem" });
      await fill("textbox", "Name", "second");
      await window.press("Clone");
      await until("the clone", () => machine("second"));
      await window.go("Machines");
      await window.reads("1 of 2 run");
      await both("machines-group");
      await window.press("Stop pair");
      await until("the end of the first", async () => (await machine("first")).state === "stopped", { within: 60_000 });
      await window.press("Delete pair");
      await window.reads("Delete");
      await window.press("Delete");
      await until("an empty list", async () => (await window.invoke("machine_list")).length === 0);
      await both("machines-empty");
    });
  });
});
