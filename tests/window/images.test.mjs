/** What is in an image, in the real window: built, looked into, dragged out of, changed, compared, exported, verified. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import test from "node:test";
import { Key } from "selenium-webdriver";
import { answerDialog } from "./lib/dialog.mjs";
import { dragOut } from "./lib/drag.mjs";
import { until } from "./lib/processes.mjs";
import { story } from "./lib/story.mjs";

/** What all exports of the node microservice come to. */
const EXPORTED = [
  "disk.img",
  "disk.tar",
  "disk.vdi",
  "disk.vhdx",
  "disk.vmdk",
  "node-microservice.cdx.json",
  "node-microservice.cmdline",
  "node-microservice.files.json",
  "node-microservice.img",
  "node-microservice.initrd",
  "node-microservice.spdx.json",
  "node-microservice.vmlinuz",
  "small.qcow2",
];

/** Chooses one of a few ways of seeing the same thing. */
async function view(window, name) {
  await until(`the view ${name}`, () =>
    window.script(
      `const label = [...document.querySelectorAll("[role=radiogroup] label")]
         .find((one) => one.checkVisibility() && one.innerText.trim().startsWith(arguments[0]));
       label?.click();
       return Boolean(label?.querySelector("input").checked);`,
      name,
    ),
  );
}

/** Writes into a field, in place of what is there. */
async function fill(window, role, name, text) {
  await (await window.find(role, name)).click();
  await window.chord(Key.CONTROL, "a");
  await window.keys(text);
}

/** A screen as people may have it: light and dark, small and large, and open to everybody. */
async function lookAt(window, name) {
  await window.accessible(name);
  await window.screenshot(`${name}-light`);
  await window.theme("dark");
  await window.accessible(`${name}, dark`);
  await window.screenshot(`${name}-dark`);
  await window.theme("light");
}

test("images", { timeout: 1_200_000 }, async (t) => {
  const options = {
    windowManager: true,
    linuxKernel: true,
    prepare: async (surroundings) => {
      await surroundings.windlassctl("sample", "create", "node-microservice");
    },
  };
  await story(t, options, async (scene, stage) => {
    const place = (name) => join(stage.surroundings.folder, name);
    const appliance = async () => (await stage.window.invoke("appliance_list"))[0];
    const builds = () => stage.window.invoke("build_list", { applianceId: null });
    const open = async (path) => {
      const tree = await stage.window.find("tree");
      for (const name of path.split("/").filter(Boolean)) {
        const item = await stage.window.find("treeitem", new RegExp(`^${name.replaceAll(".", "\\.")}(\\s|\\d|$)`), { inside: tree });
        await item.click();
      }
    };
    const toBuilds = async () => {
      await stage.window.go("Appliances");
      await stage.window.openRow(/^Node microservice/);
      await stage.window.tab("Builds");
    };

    await scene("a build says how it was made", async (window) => {
      await window.theme("light");
      await window.openRow(/^Node microservice/);
      await window.tab("Builds");
      await window.reads("No builds yet");
      await window.press("Build");
      await window.reads("Built anew", { within: 120_000 });
      await lookAt(window, "builds");
      await window.tab("Disk");
      await window.reads("The disk that builds make");
      await lookAt(window, "disk");
      await window.tab("Builds");
    });

    await scene("what is in it is walked by keys and read", async (window) => {
      await window.press("Look into the build");
      await window.find("tree", "Files of Node microservice");
      await window.reads("Boot command");
      const tree = await window.find("tree");
      await window.script("arguments[0].focus()", tree);
      await window.keys("us", Key.ARROW_RIGHT);
      await window.find("treeitem", /^bin/);
      await window.keys("serv");
      await window.find("heading", "/server.js");
      await window.reads("A small HTTP service");
      await lookAt(window, "images");
    });

    await scene("all of it is searched by name", async (window) => {
      await fill(window, "searchbox", "Search the whole image", "bin/node");
      await window.reads(/\d+ found/);
      const row = await window.find("row", /\/bin\/node$/);
      await (await row.findElement({ css: ".mono" })).click();
      await window.reads("This is not text");
      await lookAt(window, "image-search");
      await fill(window, "searchbox", "Search the whole image", Key.BACK_SPACE);
      await window.find("tree");
    });

    await scene("where its bytes are is drawn", async (window) => {
      await view(window, "Size map");
      await window.find("group", "Sizes in Node microservice");
      await lookAt(window, "image-sizes");
      await window.press(/^usr, /);
      await window.find("button", /^bin, /);
      await view(window, "Files");
    });

    await scene("files are copied out into a folder", async (window) => {
      const folder = place("extracted");
      mkdirSync(folder);
      await open("server.js");
      await window.press("Extract…");
      await answerDialog(window, folder);
      await window.reads("was copied to");
      const source = join((await appliance()).path, "server.js");
      assert.equal(readFileSync(join(folder, "server.js"), "utf8"), readFileSync(source, "utf8"));
    });

    await scene("a file is dragged into another program", async (window) => {
      const folder = place("desktop");
      mkdirSync(folder);
      const row = await window.find("treeitem", /^server\.js/);
      assert.deepEqual(await dragOut(window, row, folder), ["server.js"]);
      const source = join((await appliance()).path, "server.js");
      assert.equal(readFileSync(join(folder, "server.js"), "utf8"), readFileSync(source, "utf8"));
      assert.equal(await window.script("return document.body.innerText.includes('Drop to add')"), false);
    });

    await scene("it is exported as qcow2", async (window) => {
      await window.press("Export…");
      await window.find("dialog", "Export Node microservice");
      await lookAt(window, "export");
      await window.press("Choose place…");
      await answerDialog(window, place("before.qcow2"));
      await window.reads("before.qcow2 was written", { within: 60_000 });
      execFileSync("qemu-img", ["check", "-q", place("before.qcow2")]);
    });

    await scene("it is exported in the other formats, with lists of what is in it", async (window) => {
      const folder = place("exports");
      mkdirSync(folder);
      const begin = async (format, path, lists = []) => {
        await window.press("Export…");
        await window.find("dialog", "Export Node microservice");
        await window.script(
          `[...document.querySelectorAll("dialog input[type=radio]")]
             .find((one) => one.parentElement.querySelector(".title").textContent === arguments[0]).click()`,
          format,
        );
        for (const list of lists) await (await window.find("checkbox", list)).click();
        await window.press("Choose place…");
        await answerDialog(window, path);
        const told = path === folder ? `Kernel and disk were written to ${path}` : `${basename(path)} was written`;
        await window.reads(told, { within: 60_000 });
      };
      await begin("vmdk", join(folder, "disk.vmdk"), ["List of files", "SBOM (SPDX)", "SBOM (CycloneDX)"]);
      for (const format of ["vdi", "vhdx", "tar"]) await begin(format, join(folder, `disk.${format}`));
      await begin("raw", join(folder, "disk.img"));
      await begin("qcow2, compressed", join(folder, "small.qcow2"));
      await begin("Kernel and disk", folder);
      const written = readdirSync(folder).sort();
      assert.deepEqual(written, EXPORTED);
      for (const name of ["disk.vmdk", "disk.vdi", "disk.vhdx", "small.qcow2"])
        execFileSync("qemu-img", ["compare", "-q", join(folder, name), join(folder, "disk.img")]);
      assert.match(execFileSync("tar", ["-tf", join(folder, "disk.tar")], { encoding: "utf8" }), /server\.js/);
    });

    await scene("what a job made is gone to from Activity", async (window) => {
      await window.go("Activity");
      await window.find("button", "Show folder");
      await lookAt(window, "activity-images");
      await window.chord(Key.ALT, Key.ARROW_LEFT);
    });

    await scene("it is verified against its list of files", async (window) => {
      await window.press("Verify");
      await window.reads(/files are as the list says/, { within: 60_000 });
      await lookAt(window, "verification");
    });

    await scene("one changed file makes an update", async (window) => {
      const { path } = await appliance();
      const server = join(path, "server.js");
      writeFileSync(server, `// A line that was not there before.\n${readFileSync(server, "utf8")}`);
      await toBuilds();
      await window.press("Build");
      await window.reads("1 changed", { within: 120_000 });
      await window.reads("Updated");
      const [build] = await builds();
      assert.equal(build.changes.changed, 1);
      assert.equal(build.changes.added + build.changes.removed, 0);
      await window.screenshot("builds-updated-light");
    });

    await scene("two images are compared, down to the lines of a file", async (window) => {
      await window.press("Look into the build");
      await window.press("Compare with…");
      await window.find("dialog", "Compare Node microservice");
      await window.accessible("what to compare with");
      await window.screenshot("compare-light");
      await window.press("Image file…");
      await answerDialog(window, place("before.qcow2"));
      const row = await window.find("row", /server\.js$/, { within: 60_000 });
      await (await row.findElement({ css: ".mono" })).click();
      await window.reads("A line that was not there before");
      await lookAt(window, "comparison");
    });

    await scene("boot command, size and one file are changed in place", async (window) => {
      await toBuilds();
      await window.press("Look into the build");
      await window.press("Edit boot command");
      await fill(window, "textbox", "Boot command", "/usr/bin/node /app/server.js --quiet");
      await window.accessible("the boot command");
      await window.screenshot("image-command-light");
      await window.press("Save");
      await window.gone("dialog");
      await window.reads("server.js --quiet");

      await window.press("More actions");
      await window.press("Resize…", { role: "menuitem" });
      await fill(window, "textbox", "New size", "300");
      await window.screenshot("image-resize-light");
      await window.press("Resize");
      await window.reads("300 MiB", { within: 60_000 });

      const greeting = place("other.js");
      writeFileSync(greeting, "// Another server.\n");
      await view(window, "Files");
      await open("server.js");
      await window.press("Replace this file…");
      await answerDialog(window, greeting);
      await window.reads("was replaced by other.js");
      await window.reads("// Another server.");
      await window.screenshot("image-replaced-light");
      const info = await window.invoke("image_info", { image: (await builds())[0].id });
      assert.equal(info.sizeBytes, 300 << 20);
      assert.equal(info.guestCommandLine, "/usr/bin/node /app/server.js --quiet");
      execFileSync("e2fsck", ["-fn", info.path]);
    });

    await scene("an image is compared with a folder, down to the lines", async (window) => {
      const folder = place("as-a-folder");
      mkdirSync(folder);
      writeFileSync(join(folder, "server.js"), "// Only a folder.\n");
      await toBuilds();
      await window.press("Look into the build");
      await window.press("Compare with…");
      await window.press("Folder…");
      await answerDialog(window, folder);
      await window.reads("Removed", { within: 60_000 });
      await fill(window, "searchbox", "Filter paths", "server");
      const row = await window.find("row", /^Changed: \/server\.js/);
      await (await row.findElement({ css: ".mono" })).click();
      await window.reads("// Only a folder.");
      await window.screenshot("comparison-folder-light");
      await window.go("Activity");
      await window.press("Show comparison");
      await window.find("row", /^Removed: \/data/);
    });

    await scene("a volume is created, attached, looked into, made larger and deleted", async (window) => {
      await window.go("Machines");
      await view(window, "Volumes");
      await window.reads("No volumes yet");
      await window.press("Create volume…");
      await window.find("dialog", "Create a volume");
      await fill(window, "textbox", "Name", "results");
      await window.accessible("a new volume");
      await window.screenshot("volume-new-light");
      await window.press("Create");
      await window.find("row", "results", { within: 60_000 });
      await lookAt(window, "volumes");
      await window.openRow("results");
      await window.find("tree", /results/);
      await window.reads("lost+found");
      await window.press("More actions");
      await window.press("Extract all files…", { role: "menuitem" });
      mkdirSync(place("volume"));
      await answerDialog(window, place("volume"));
      await window.reads("was copied to");

      await window.go("Appliances");
      await window.openRow(/^Node microservice/);
      await window.tab("Disk");
      await window.press("Attach a volume");
      await fill(window, "textbox", "Place of volume 1 in the guest", "/data");
      await lookAt(window, "disk-volume");
      await until("the settings with the volume", async () => {
        const { settings } = await window.invoke("appliance_run_form", { id: (await appliance()).id });
        return settings.volumes?.length === 1 && settings.volumes[0].path === "/data";
      });
      await window.press("Do not attach results");
      await window.go("Machines");
      await view(window, "Volumes");
      await window.press("Actions for results");
      await window.press("Resize…", { role: "menuitem" });
      await fill(window, "textbox", "New size", "2");
      await window.press("Resize");
      await window.reads("results has 2 GiB now", { within: 60_000 });
      await window.press("Actions for results");
      await window.press("Delete", { role: "menuitem" });
      await window.find("alertdialog", "Delete the volume results?");
      await window.press("Delete");
      await window.reads("No volumes yet");
    });

    await scene("an image that is dropped is looked into or imported", async (window) => {
      await window.go("Appliances");
      await window.drop(place("before.qcow2"));
      await window.find("dialog", /before\.qcow2/);
      await window.accessible("a dropped image");
      await window.screenshot("drop-image-light");
      await window.press("Import it");
      await window.reads("was imported", { within: 60_000 });
      await window.go("Machines");
      await view(window, "Images");
      await window.find("row", /before/);
      await lookAt(window, "images-imported");
      await window.drop(place("before.qcow2"));
      await window.press("Look into it");
      await window.find("tree", /before\.qcow2/);
      assert.ok(existsSync(place("before.qcow2")));
    });

    await scene("images of every format are imported by drop", async (window) => {
      const raw = join(place("exports"), "disk.img");
      for (const [program, suffix] of [["gzip", "gz"], ["xz", "xz"], ["zstd", "zst"]]) {
        const name = join(place("exports"), `${suffix}.img`);
        execFileSync("cp", ["--sparse=always", raw, name]);
        execFileSync(program, ["-1", "-q", name]);
        rmSync(name, { force: true });
      }
      const names = ["disk.vmdk", "disk.vdi", "disk.vhdx", "gz.img.gz", "xz.img.xz", "zst.img.zst"];
      await window.drop(...names.map((name) => join(place("exports"), name)));
      for (const name of names) {
        await window.find("dialog", new RegExp(name.replaceAll(".", "\\.")));
        await window.press("Import it");
      }
      await until("the imported images", async () => (await window.invoke("images")).length === 1 + names.length, { within: 120_000 });
      await window.go("Machines");
      await view(window, "Images");
      await lookAt(window, "images-many");
      for (const { path } of await window.invoke("images"))
        execFileSync("qemu-img", ["compare", "-q", path, path.includes("before") ? place("before.qcow2") : raw]);
    });

    await scene("a job is cancelled and tried again from Activity", async (window) => {
      // A small file that is a large disk: eight gigabytes, nearly all of them zeros, take a while to be read.
      const disk = place("large.img");
      execFileSync("sh", [
        "-c",
        `truncate -s 64M "$0" && mkfs.ext4 -q -F "$0" && gzip -1 "$0"
         head -c 64M /dev/zero | gzip -1 > "$0.zeros"
         for _ in $(seq 127); do cat "$0.zeros"; done >> "$0.gz"`,
        disk,
      ]);
      const path = `${disk}.gz`;
      await window.drop(path);
      await window.press("Import it");
      await window.go("Activity");
      await window.press(/^Cancel/);
      await window.reads("Cancelled");
      await window.screenshot("activity-cancelled-light");
      await window.press("Try again");
      await window.find("button", "Look into it", { within: 120_000 });
      await window.accessible("a job that was tried again");
    });
  });
});
