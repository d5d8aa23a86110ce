/** Packages, from an empty library to an appliance made of them, in the real window. No network: a registry is a folder. */
import assert from "node:assert/strict";
import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { Key } from "selenium-webdriver";
import { until } from "./lib/processes.mjs";
import { shelve, write } from "./lib/registries.mjs";
import { story } from "./lib/story.mjs";

function stock(shelf) {
  shelve(shelf, "words", { files: { "usr/share/words/en": "hello\n" } });
  shelve(shelf, "greeter", {
    require: ["words"],
    files: { "usr/bin/greet": "#!/bin/sh\necho hello\n", "etc/motd": "Greetings\n" },
    meta: {
      "README.md": "# Greeter\n\nGreets **everybody**.\n",
      "run.yaml":
        "runtime: native\nconfig_set:\n  greet:\n    bootcmd: /usr/bin/greet\nconfig_set_default: greet\n",
    },
    more: [
      "x-environment:",
      "  - name: GREETING",
      "    type: choice",
      "    choices: [hello, servus]",
      "    default: hello",
      "    description: What it says.",
    ].join("\n"),
  });
  shelve(shelf, "motd", { version: "2.0.0", files: { "etc/motd": "The message of the day\n" } });
  for (const [name, version, title, require = []] of WARES)
    shelve(shelf, name, { version, title, require, files: { [`opt/${name}`]: title } });
  for (let number = WARES.length; number < 300; number++)
    shelve(shelf, `zone-${number}`, { title: `Time zone ${number}`, files: { [`opt/zone-${number}`]: `${number}\n` } });
}

/** What a well-kept registry might have. */
const WARES = [
  ["erlang", "26.2.5", "Erlang/OTP"],
  ["hadoop-hdfs", "3.3.6", "Hadoop distributed file system", ["openjdk"]],
  ["mysql", "8.0.39", "MySQL server"],
  ["nginx", "1.22.1", "nginx web server"],
  ["node", "20.20.2", "Node.js"],
  ["openfoam.core", "2.4.0", "OpenFOAM: core libraries"],
  ["openfoam.pimplefoam", "2.4.0", "OpenFOAM: pimpleFoam", ["openfoam.core"]],
  ["openfoam.simplefoam", "2.4.0", "OpenFOAM: simpleFoam", ["openfoam.core"]],
  ["openjdk", "17.0.15", "OpenJDK, reduced"],
  ["openmpi", "1.10.7", "Open MPI"],
  ["osv.cli", "0.57.0", "OSv command line"],
  ["osv.httpserver-api", "0.57.0", "OSv REST API"],
  ["python", "3.11.2", "Python"],
  ["redis", "7.0.15", "Redis"],
  ["spark", "3.5.1", "Apache Spark", ["openjdk"]],
];

/** Writes into a field, in place of what is there. */
async function fill(window, role, name, text) {
  await (await window.find(role, name)).click();
  await window.chord(Key.CONTROL, "a");
  await window.keys(text);
}

/** A table that is seen, by its name. */
async function table(window, name, options) {
  await until(
    `the table ${name}`,
    () =>
      window.script(
        `return [...document.querySelectorAll("table[aria-label]")].some((one) =>
           one.ariaLabel === arguments[0] && one.checkVisibility())`,
        name,
      ),
    options,
  );
}

/** Chooses an entry of a list of choices by what it says. */
async function choose(window, name, words) {
  const list = await window.find("combobox", name);
  await window.script(
    `const [list, words] = arguments;
     list.value = [...list.options].find((one) => one.text.trim() === words).value;
     list.dispatchEvent(new Event("change", { bubbles: true }));`,
    list,
    words,
  );
}

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

/** Drags one thing onto another as a hand does: down, over in steps, up. */
async function drag(from, onto, offset) {
  const steps = from.getDriver().actions({ async: true }).move({ origin: from }).press();
  for (let step = 1; step <= 4; step++)
    steps.move({ origin: onto, x: 0, y: Math.round((offset * step) / 4), duration: 60 });
  await steps.release().perform();
}

test("packages", { timeout: 900_000 }, async (t) => {
  const options = { prepare: async ({ folder }) => stock(join(folder, "shelf")) };
  await story(t, options, async (scene, stage) => {
    const place = (name) => join(stage.surroundings.folder, name);
    const station = () => place("station");
    const installed = async (name) =>
      (await stage.window.invoke("package_search", {
        query: name,
        filter: { installed: true, registryId: null, runtime: null, kind: null },
        offset: 0,
        limit: 10,
      })).rows.some((row) => row.name === name);
    const layers = async () => {
      const [appliance] = await stage.window.invoke("appliance_list");
      const { layers } = await stage.window.invoke("appliance_contents", { id: appliance.id });
      return layers.map(({ name }) => name);
    };

    await scene("an empty library says where packages come from", async (window) => {
      // Those of the world cannot be asked here.
      for (const { id } of await window.invoke("registry_list"))
        await window.invoke("registry_enable", { id, enabled: false });
      await window.theme("light");
      await window.go("Packages");
      await window.find("heading", "Packages");
      await window.reads("No packages yet");
      await window.accessible("packages, empty");
      await window.screenshot("packages-empty-light");
    });

    await scene("a folder is added as a registry, in Settings", async (window) => {
      await window.go("Settings");
      await window.press("Add registry…");
      await window.find("dialog", "Add a registry");
      await fill(window, "textbox", "Name", "Shelf");
      await choose(window, "Kind", "Folder");
      await fill(window, "textbox", "Folder", place("shelf"));
      await window.accessible("the form of a registry");
      await window.screenshot("registry-form-light");
      await window.press("Add");
      await window.gone("dialog");
      await window.reads("303 packages", { within: 60_000 });
      await window.accessible("registries");
      await window.screenshot("settings-registries-light");
      await window.press("Actions for Shelf");
      await window.press("Check", { role: "menuitem" });
      await window.find("list", "Check of Shelf");
    });

    await scene("packages are found as one types, and pulled with what they need", async (window) => {
      await window.go("Packages");
      await window.reads("303 found");
      await window.accessible("packages, full");
      await window.screenshot("packages-light");
      await window.theme("dark");
      await window.accessible("packages, full, dark");
      await window.screenshot("packages-dark");
      await window.theme("light");
      await fill(window, "searchbox", "Search packages", "greet");
      await window.reads("1 found");
      await window.press("Pull greeter");
      await until("the packages", async () => (await installed("greeter")) && (await installed("words")), {
        within: 60_000,
      });
      await window.reads("Installed");
    });

    await scene("a package tells of itself, its files, its needs and its versions", async (window) => {
      await window.openRow(/greeter/);
      await window.reads("Greets everybody.");
      await window.reads("What it says.");
      await window.accessible("a package");
      await window.screenshot("package-light");
      await window.tab("Files");
      await window.find("treeitem", /usr/);
      await window.accessible("the files of a package");
      await window.tab("Needs");
      await window.find("button", /^words/);
      await window.accessible("the needs of a package");
      await window.screenshot("package-needs-light");
      await window.tab(/^Versions/);
      await table(window, "Versions of greeter");
      await window.accessible("the versions of a package");
      await window.press("Close details");
      await fill(window, "searchbox", "Search packages", Key.BACK_SPACE);
      await window.reads("303 found");
    });

    await scene("packages become layers by a press and by a drag, and a key moves them", async (window) => {
      write(station(), {
        "meta/package.yaml": "name: station\ntitle: Station\nauthor: Somebody # by hand\nrequire: []\n",
        "meta/run.yaml":
          "runtime: native\nconfig_set:\n  serve:\n    bootcmd: /usr/bin/serve\nconfig_set_default: serve\n",
        "usr/bin/serve": "#!/bin/sh\necho here\n",
      });
      await window.go("Appliances");
      await window.drop(station());
      await window.find("tab", "Contents");
      await window.press("Add packages");
      await fill(window, "searchbox", "Search packages", "greeter");
      // The rows move until what is searched is found: a press before would meet another one.
      await window.gone("row", "motd");
      await window.press("Add greeter to the layers");
      await window.find("listitem", "greeter, place 1");
      await fill(window, "searchbox", "Search packages", "motd");
      const row = await window.find("row", "motd");
      const name = await row.findElement({ css: "strong" });
      await drag(name, await window.find("listitem", "greeter, place 1"), 60);
      await window.find("listitem", "motd, place 2");
      // What is asked for and only in a registry is fetched.
      await until("the layer", async () => (await layers()).includes("motd"), { within: 60_000 });
      assert.match(readFileSync(join(station(), "meta/package.yaml"), "utf8"), /author: Somebody # by hand/);
      await window.accessible("layers");
      await window.screenshot("appliance-layers-light");

      const first = await window.find("listitem", "greeter, place 1");
      await window.script("arguments[0].focus()", first);
      await window.chord(Key.ALT, Key.ARROW_DOWN);
      await window.find("listitem", "greeter, place 2");
      await window.press("Undo");
      await window.find("listitem", "greeter, place 1");
    });

    await scene("it shows who wins, how large all is, what needs what, and what is locked", async (window) => {
      await view(window, "Conflicts");
      const conflicts = await window.find("row", "/etc/motd");
      assert.match(await conflicts.getText(), /motd[\s\S]*greeter/);
      await window.accessible("conflicts");
      await window.screenshot("appliance-conflicts-light");
      await view(window, "Size map");
      await window.find("button", /^usr, /);
      await window.accessible("the size map");
      await window.screenshot("appliance-sizes-light");
      await view(window, "Table");
      await table(window, "Size map");
      await view(window, "Graph");
      await window.find("button", /^words/);
      await window.accessible("the graph");
      await window.screenshot("appliance-graph-light");
      await view(window, "Lock");
      await window.press("Lock these versions");
      await table(window, "Lock", { within: 60_000 });
      await window.accessible("the lock");
    });

    await scene("a mistake in the YAML is shown at its line", async (window) => {
      await window.tab("Run");
      await window.find("combobox", "GREETING");
      const editor = await window.find("textbox", "run.yaml", { within: 60_000 });
      await editor.click();
      await window.chord(Key.CONTROL, Key.END);
      await window.keys("oops: [1, 2");
      await window.reads(/Line \d+/);
      await window.find("list", "Mistakes");
      await window.press("Save");
      assert.doesNotMatch(readFileSync(join(station(), "meta/run.yaml"), "utf8"), /oops/);
      await window.accessible("a mistake in the YAML");
      await window.screenshot("appliance-yaml-mistake-light");
      await window.theme("dark");
      await window.accessible("a mistake in the YAML, dark");
      await window.screenshot("appliance-yaml-mistake-dark");
      await window.theme("light");
      await window.press("Revert");
      await window.gone("list", "Mistakes");
    });

    await scene("a configuration is edited as a form, and the file follows", async (window) => {
      const command = await window.find("textbox", "Command");
      await command.click();
      await window.chord(Key.CONTROL, "a");
      await window.keys("/usr/bin/serve --loud");
      await until("the file", () =>
        readFileSync(join(station(), "meta/run.yaml"), "utf8").includes("/usr/bin/serve --loud"),
      );
      await window.reads("--loud", { selector: ".cm-content" });
    });

    await scene("a dropped program becomes a package", async (window) => {
      await window.go("Packages");
      await window.drop("/usr/bin/env");
      await window.find("dialog", /^Make a package of/);
      await window.find("checkbox", /^Pack .*\/env$/, { within: 120_000 });
      await window.accessible("the preview of a package");
      await window.screenshot("pack-light");
      await window.tab("Manifest");
      await window.find("textbox", "package.yaml", { within: 60_000 });
      await window.accessible("the manifest of a package");
      await window.press("Make");
      await window.gone("dialog");
      await window.reads("is in the library", { within: 120_000 });
      await window.reads("304 found");
    });

    await scene("a registry that is gone is named, and the library stays", async (window) => {
      renameSync(place("shelf"), place("away"));
      await window.press("Refresh");
      await window.reads(/Shelf does not answer/, { within: 60_000 });
      await window.accessible("a registry that does not answer");
      await window.screenshot("packages-offline-light");
      assert.ok(await installed("greeter"));
    });
  });
});
