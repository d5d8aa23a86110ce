/** A cloud in the real window: taken over from a file, looked into, its servers among the machines, cleaned up. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { until } from "./lib/processes.mjs";
import { story } from "./lib/story.mjs";

const clouds = process.env.WINDLASS_TEST_CLOUDS ?? "none";

/** A screen as people may have it: light and dark, and open to everybody. */
async function lookAt(window, name) {
  await window.accessible(name);
  await window.screenshot(`${name}-light`);
  await window.theme("dark");
  await window.accessible(`${name}, dark`);
  await window.screenshot(`${name}-dark`);
  await window.theme("light");
}

/** Chooses something from the menu of a thing. */
async function choose(window, of, what) {
  await window.press(`Actions for ${of}`);
  await (await window.find("menuitem", what)).click();
}

test(
  "clouds",
  {
    timeout: 900_000,
    skip: existsSync(clouds)
      ? false
      : "./dev test starts the OpenStack that this needs, as root",
  },
  async (t) => {
    const options = {
      windowManager: true,
      prepare: async ({ env }) => {
        // No desktop is there that could ask for a keyring's password.
        env.WINDLASS_SECRETS = "file";
      },
    };
    await story(t, options, async (scene, stage) => {
      const server = `window-${process.pid}`;
      let cloud = 0;

      await scene("its file is dropped and taken over", async (window) => {
        await window.theme("light");
        const file = join(stage.surroundings.folder, "clouds.yaml");
        copyFileSync(clouds, file);
        await window.invoke("secrets_unlock", {
          passphrase: "a passphrase of this test",
        });
        await window.go("Clouds");
        await window.reads("No clouds yet");
        await window.drop(file);
        await window.find("dialog", /clouds\.yaml/);
        // The others are of other projects.
        for (const name of [
          "lab-admin",
          "lab-app",
          "lab-app-unrestricted",
          "lab-cramped",
        ])
          await (await window.find("checkbox", name)).click();
        await window.press("Take over");
        await until(
          "the test of lab-demo",
          async () => {
            const known = (await window.invoke("cloud_list")).find(
              ({ name }) => name === "lab-demo",
            );
            cloud = known?.id ?? 0;
            return known?.checked && !known.problem;
          },
          { within: 60_000 },
        );
        await lookAt(window, "clouds");
      });

      await scene("its images are listed", async (window) => {
        await window.press("Show what is there");
        await window.tab("Images");
        await window.find("row", "lab-guest");
        await lookAt(window, "cloud-images");
      });

      await scene(
        "a server of it stands among the machines",
        async (window) => {
          const options = {
            from: "cloud",
            name: server,
            network: "lab-net",
            flavor: "lab.nano",
            memoryMib: 64,
          };
          await window.invoke("cloud_deploy", {
            id: cloud,
            image: "lab-guest",
            options,
          });
          await window.go("Machines");
          await window.find(
            "row",
            new RegExp(`^${server}, Running, lab-demo`),
            { within: 90_000 },
          );
          await lookAt(window, "cloud-machines");
          await choose(window, server, "Pause");
          await window.find("row", new RegExp(`^${server}, Paused`), {
            within: 30_000,
          });
          await choose(window, server, "Resume");
          await window.find("row", new RegExp(`^${server}, Running`), {
            within: 30_000,
          });
        },
      );

      await scene(
        "its page has its console, what was done, and what Nova shows",
        async (window) => {
          await window.openRow(new RegExp(`^${server}, Running`));
          await window.console(/\S/, { within: 60_000 });
          await lookAt(window, "cloud-server");
          await window.tab("Actions");
          await window.reads("Create");
          await window.tab("Details");
          await window.reads("OS-EXT-STS:vm_state");
          await lookAt(window, "cloud-server-details");
        },
      );

      await scene(
        "it is found under Clean up, and taken away",
        async (window) => {
          await window.go("Clouds");
          await window.press("Show what is there");
          await window.tab("Clean up");
          // With its deployment goes all that was made for it.
      await (await window.find("checkbox", server)).click();
      await lookAt(window, "cloud-clean-up");
          await window.press(/^Delete chosen \([1-9]/);
          await window.press("Delete", {
            inside: await window.find("alertdialog"),
          });
          await until(
            "nothing left",
            async () =>
              (await window.invoke("cloud_leftovers", { id: cloud })).every(
                ({ name }) => !name.startsWith(server),
              ),
            { within: 60_000 },
          );
          await window.go("Machines");
          await window.gone("row", new RegExp(`^${server}`), {
            within: 40_000,
          });
        },
      );

      await scene("no secret is in the page", async (window) => {
        const secrets = [
          ...readFileSync(clouds, "utf8").matchAll(
            /(?:password|secret): *["']?([^"'\s]+)/g,
          ),
        ].map(([, secret]) => secret);
        assert.ok(secrets.length > 0);
        const page = await window.script(
          "return document.documentElement.outerHTML + JSON.stringify(localStorage)",
        );
        for (const secret of secrets) assert.ok(!page.includes(secret));
      });
    });
  },
);
