/**
 * A scientist's way, in the real window: a case of OpenFOAM is dropped, a value of it is swept, each run boots a machine of
 * its own, and what came out is compared.
 *
 * The package files of OpenFOAM are those that ./dev has fetched (WINDLASS_TEST_OPENFOAM_DEBS).
 */
import assert from "node:assert/strict";
import { appendFileSync, cpSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { until } from "./lib/processes.mjs";
import { story } from "./lib/story.mjs";

const EXAMPLES = process.env.WINDLASS_OPENFOAM_EXAMPLES ?? "/usr/share/doc/openfoam-examples/examples";
const CAVITY = join(EXAMPLES, "incompressible/icoFoam/cavity/cavity");
const DEBS = process.env.WINDLASS_TEST_OPENFOAM_DEBS;
const TAB = "\uE004";
const RUNS = { within: 240_000 };

const lacking = [CAVITY, DEBS].filter((path) => !path || !existsSync(path)).length > 0;

test("studies", { timeout: 900_000, skip: lacking && "OpenFOAM is not here" }, async (t) => {
  await story(t, { windowManager: true, linuxKernel: true }, async (scene, stage) => {
    let folder;
    const yaml = () => readFileSync(join(folder, "study.yaml"), "utf8");
    const both = async (name) => {
      for (const theme of ["dark", "light"]) {
        await stage.window.theme(theme);
        await stage.window.accessible(`${name}, ${theme}`);
        await stage.window.screenshot(`${name}-${theme}`);
      }
    };

    await scene("a case is dropped, and what it needs is said and made", async (window) => {
      const cavity = join(stage.surroundings.folder, "cavity");
      cpSync(CAVITY, cavity, { recursive: true });
      await window.go("Studies");
      await window.drop(cavity);
      await window.reads("icoFoam");
      await window.reads("openfoam.icofoam-1912");
      await window.reads("Nothing is the matter with it.");
      folder = join(stage.surroundings.home, "studies/cavity");
      await stage.surroundings.windlassctl("study", "prepare", folder, "--from", DEBS);
      appendFileSync(join(folder, "study.yaml"), "results:\n- {name: Courant, pattern: 'Courant Number mean: (\\S+)'}\n");
      await window.go("Studies");
      await (await window.find("row", /^cavity/)).click();
      await window.tab("Set-up");
      await window.reads("Runs at the same time");
      await (await window.find("spinbutton", "Runs at the same time")).sendKeys("2");
      await window.keys(TAB);
      await until("the limit in the file", () => yaml().includes("at_once: 2"));
      await both("study-setup");
    });

    await scene("a value that is pressed varies, and the runs that come of it are shown", async (window) => {
      await window.tab("Parameters");
      await window.reads("Nothing varies yet");
      await (await window.find("searchbox", "Search file, entry or value")).sendKeys("transport nu");
      await window.press(/^nu/);
      // Its values have the focus, and are selected.
      await window.keys("0.01, 0.02, 0.04", TAB);
      await window.reads("Runs that come of it: 3");
      await (await window.find("row", "Run 3")).click();
      await window.reads("constant/transportProperties:18");
      assert.match(yaml(), /entry: nu/);
      assert.match(yaml(), /0\.04/);
      await both("study-parameters");
    });

    await scene("each run boots a machine, and its residuals are seen", async (window) => {
      await window.press("Run the study");
      await window.find("grid", "Runs");
      await window.reads("completed", RUNS);
      await window.reads("3 of 3 runs are over", RUNS);
      await both("study-runs");
      for (const run of ["001", "002", "003"]) {
        const said = readFileSync(join(folder, "runs", run, "console.log"), "utf8");
        assert.match(said, /Solving for Ux/);
        assert.ok(existsSync(join(folder, "runs", run, "case/0.5/U")));
      }
    });

    await scene("what came out is a table", async (window) => {
      await window.tab("Results");
      await window.reads("Courant over nu");
      const rows = await window.script(
        `return [...document.querySelectorAll("[role=grid] [role=row][aria-label]")]
           .filter((one) => one.checkVisibility()).map((one) => one.innerText)`,
      );
      assert.equal(rows.length, 3);
      for (const [at, nu] of ["0.01", "0.02", "0.04"].entries()) {
        assert.match(rows[at], new RegExp(`${nu.replace(".", "\\.")}\\s[^]*completed\\s+0\\.\\d+`));
      }
      await both("study-results");
    });
  });
});
