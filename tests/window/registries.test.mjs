/** What comes from registries that are servers, refused and accepted; what is found in it; and what the desktop is told. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { Key } from "selenium-webdriver";
import { until } from "./lib/processes.mjs";
import { serveFolder, serveImages, shelve, write } from "./lib/registries.mjs";
import { story } from "./lib/story.mjs";

const LIB = join(dirname(fileURLToPath(import.meta.url)), "lib");

test("registries", { timeout: 600_000 }, async (t) => {
  let web;
  let images;
  const prepare = async (surroundings) => {
    const shelf = join(surroundings.folder, "shelf");
    shelve(shelf, "greeter", { files: { "etc/motd": "Greetings\n" } });
    shelve(shelf, "large", { files: { "opt/large": "x".repeat(100_000) } });
    web = await serveFolder(shelf, { "large.mpm": 11 });
    images = await serveImages(surroundings);
    const said = () => readFileSync(join(surroundings.folder, "python3.log"), "utf8");
    surroundings.said = said;
    surroundings.told = () =>
      said()
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line));
    await surroundings.start("/usr/bin/python3", [join(LIB, "notifications.py")], () => said().includes("ready"));
  };
  const ends = () => web?.close();
  await story(t, { prepare, windowManager: true, width: 1600 }, async (scene, stage) => {
    const place = (name) => join(stage.surroundings.folder, name);

    await scene("work begins that will take a while", async (window) => {
      for (const { id } of await window.invoke("registry_list"))
        await window.invoke("registry_enable", { id, enabled: false });
      const plain = { prefix: null, caFile: null, proxy: "none", minisignKey: null, credentials: { kind: "none" } };
      await window.invoke("registry_add", { form: { name: "Web", kind: "http", url: web.url, ...plain } });
      await window.theme("light");
      await window.go("Packages");
      await window.press("Refresh");
      await window.reads("2 found");
      assert.equal(await window.invoke("notify", { title: "Seen", body: "" }), false, "the window is in front");
      await window.press("Pull large");
      // Another program comes to the front, and stays there: what is pressed from here on, the driver presses.
      const { surroundings } = stage;
      const other = [join(LIB, "drag_source.py"), "1310", "300", "/tmp"];
      await surroundings.start("/usr/bin/python3", other, () => surroundings.said().includes("mapped"));
    });

    await scene("a package that was replaced is refused, and accepted on purpose", async (window) => {
      await window.press("Pull greeter");
      await window.openRow(/greeter/);
      await window.find("heading", "The greeter");
      await window.reads("Installed");
      await window.invoke("package_remove", { name: "greeter", version: null });
      shelve(place("shelf"), "greeter", { files: { "etc/motd": "Something else\n" } });
      await window.press("Refresh");
      await window.press("Pull");
      await window.reads("was replaced", { within: 60_000 });
      await window.accessible("a package that was replaced");
      await window.screenshot("package-replaced-light");
      await window.press("Accept the new one…");
      await window.find("alertdialog", "Accept another greeter 1.0.0 than before?");
      const words = await window.text("dialog[open]");
      const [known, found] = words.match(/[0-9a-f]{64}/g);
      assert.notEqual(known, found);
      await window.accessible("the question about a package that was replaced");
      await window.screenshot("package-replaced-question-light");
      await window.press("Accept the new one");
      await until("the package", async () => {
        const { path } = await window.invoke("package_details", { name: "greeter", version: null });
        return readFileSync(join(path, "etc/motd"), "utf8") === "Something else\n";
      });
      await window.gone("button", "Accept the new one…");
    });

    await scene("a container image is fetched by its name and becomes a package", async (window) => {
      const ask = async (name) => {
        await window.press("Make a package");
        await window.press("Container image…", { role: "menuitem" });
        await (await window.find("textbox", "Image")).click();
        await window.keys(name);
        await window.press("Preview");
      };
      await ask("What is this?");
      await window.reads(/The image What is this\? cannot be fetched.*such as debian:12/);
      await window.accessible("what is not the name of an image");
      await window.screenshot("image-name-light");
      await window.press("Cancel");
      await ask(`${images}/team/none:1`);
      await window.reads(/team\/none/, { within: 60_000 });
      await window.find("button", "Try again");
      await window.press("Cancel");
      await ask(`${images}/team/app:1.4`);
      await window.find("checkbox", "Pack /opt/app", { within: 60_000 });
      await window.accessible("the preview of an image");
      await window.screenshot("image-preview-light");
      await window.press("Make");
      await window.reads("is in the library", { within: 60_000 });
      await window.reads("3 found");
    });

    await scene("what is found is marked in the tree, and mended from there by keys", async (window) => {
      const folder = write(place("lister"), {
        "meta/package.yaml": "name: lister\ntitle: Lister\nauthor: Somebody\nrequire: []\n",
        "meta/run.yaml":
          "runtime: native\nconfig_set:\n  list:\n    bootcmd: /usr/bin/ls\nconfig_set_default: list\n",
      });
      mkdirSync(join(folder, "usr/bin"), { recursive: true });
      copyFileSync("/usr/bin/ls", join(folder, "usr/bin/ls"));
      await window.go("Appliances");
      await window.drop(folder);
      await window.find("treeitem", /^usr\b.*libselinux/, { within: 60_000 });
      const tree = await window.find("tree", "Files of Lister");
      await window.script("arguments[0].focus()", tree);
      // To /usr, into it and into bin, and on to the program.
      await window.keys("usr", Key.ARROW_RIGHT);
      await window.find("treeitem", /^bin\b.*libselinux/);
      await window.keys(Key.ARROW_RIGHT, Key.ARROW_RIGHT);
      await window.find("treeitem", /^ls\b.*libselinux/);
      await window.keys(Key.ARROW_RIGHT);
      await window.find("list", "Findings about /usr/bin/ls");
      await window.accessible("marks in the tree");
      await window.screenshot("appliance-marks-light");
      await window.theme("dark");
      await window.accessible("marks in the tree, dark");
      await window.screenshot("appliance-marks-dark");
      await window.theme("light");
      await window.script("arguments[0].focus()", tree);
      await window.keys(Key.TAB, Key.ENTER);
      // The first of its findings is mended; the others stay marked.
      await window.find("treeitem", "lib64 1 item");
      const left = await window.find("treeitem", /^ls\b.*libselinux/);
      assert.doesNotMatch(await left.getText(), /ld-linux/);
    });

    await scene("the desktop tells of what took long and ended unseen", async () => {
      const [told] = await until(
        "the notification",
        () => stage.surroundings.told().length > 0 && stage.surroundings.told(),
        { within: 30_000 },
      );
      assert.equal(told.application, "Windlass");
      assert.equal(told.title, "Fetch large");
      assert.match(told.body, /^Done in 1\d s$/);
      assert.equal(stage.surroundings.told().length, 1, "what was short is not told");
    });
  }).finally(ends);
});
