import { beforeEach, describe, expect, test, vi } from "vitest";
import { Configurations } from "../src/stores/configurations.svelte";
import { ApplianceContents } from "../src/stores/contents.svelte";
import { ManifestText } from "../src/stores/manifestText.svelte";
import { PAGE, PackageSearch } from "../src/stores/packages.svelte";
import { PackForm } from "../src/stores/packing.svelte";
import { registries } from "../src/stores/registries.svelte";
import { RunForm } from "../src/stores/runForm.svelte";
import { toasts } from "../src/stores/toasts.svelte";
import { busyWorld, install, type World } from "./fixture";
import { fullShelf } from "./shelf";

let world: World;
let calls: ReturnType<typeof install>["calls"];
const called = (command: string) => calls.filter((call) => call.command === command);

beforeEach(() => {
  world = busyWorld();
  world.shelf = fullShelf(100_000);
  calls = install(world).calls;
  toasts.items = [];
});

describe("the search", () => {
  test("fetches only what is in sight of a hundred thousand", async () => {
    const search = new PackageSearch();
    await search.load();
    expect(search.slots).toHaveLength(100_002);
    expect(called("package_search")).toHaveLength(1);
    search.show(50_000, 50_020);
    search.show(50_010, 50_030);
    await vi.waitFor(() => expect(search.slots[50_010]?.row?.name).toBe("package-50008"));
    expect(called("package_search")).toHaveLength(2);
    expect(search.slots[PAGE]?.row).toBeNull();
  });

  test("shows the answer to the last question only", async () => {
    const search = new PackageSearch();
    const answers: (() => void)[] = [];
    world.override["package_search"] = ({ query }) =>
      new Promise((resolve) =>
        answers.push(() =>
          resolve({ total: 1, rows: [{ name: String(query) }], offline: ["Team"] }),
        ),
      );
    search.query = "no";
    const first = search.load();
    search.query = "node";
    const second = search.load();
    answers[1]?.();
    await second;
    answers[0]?.();
    await first;
    expect(search.slots[0]?.row?.name).toBe("node");
    expect(search.offline).toEqual(["Team"]);
  });
});

describe("the layers of an appliance", () => {
  test("are read with what is asked for, and keep its order", async () => {
    world.shelf.packageYaml = "require: [b, a]\nx-versions:\n  a: '>=2'\n";
    const contents = new ApplianceContents("a0");
    await contents.load();
    expect(contents.require).toEqual([
      { name: "b", constraint: null },
      { name: "a", constraint: ">=2" },
    ]);
  });

  test("move, come and go, and a toast undoes it", async () => {
    world.shelf.packageYaml = "require: [a, b, c]\n";
    const contents = new ApplianceContents("a0");
    await contents.load();
    await contents.move("a", 3);
    expect(contents.require.map(({ name }) => name)).toEqual(["b", "c", "a"]);
    await contents.add("d", 1);
    expect(contents.require.map(({ name }) => name)).toEqual(["b", "d", "c", "a"]);
    await contents.remove("c");
    expect(contents.require.map(({ name }) => name)).toEqual(["b", "d", "a"]);
    toasts.items.at(-1)?.action?.run();
    await vi.waitFor(() =>
      expect(contents.require.map(({ name }) => name)).toEqual(["b", "d", "c", "a"]),
    );
  });

  test("that are added while they are being read are neither forgotten nor alone", async () => {
    world.shelf.packageYaml = "require: [a, b]\n";
    const contents = new ApplianceContents("a0");
    const reading = contents.load();
    await contents.add("c");
    await reading;
    expect(contents.require.map(({ name }) => name)).toEqual(["a", "b", "c"]);
    expect(contents.value?.layers.map(({ name }) => name)).toContain("c");

    const answers: (() => void)[] = [];
    const before = { ...world.contents, require: contents.require };
    world.override["appliance_contents"] = () =>
      new Promise((resolve) => answers.push(() => resolve(before)));
    const again = contents.load();
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    await contents.add("d");
    delete world.override["appliance_contents"];
    answers[0]?.();
    await again;
    expect(contents.require.map(({ name }) => name)).toEqual(["a", "b", "c", "d"]);
  });

  test("that stay where they are are not written", async () => {
    world.shelf.packageYaml = "require: [a, b]\n";
    const contents = new ApplianceContents("a0");
    await contents.load();
    await contents.move("a", 0);
    await contents.move("a", 1);
    await contents.constrain("a", " ");
    expect(called("appliance_layers_set")).toHaveLength(0);
  });
});

describe("the text of a manifest", () => {
  test("is not saved with a mistake, which has its line", async () => {
    const manifest = new ManifestText("a0", "run");
    await manifest.load();
    manifest.edit("config_set: {}\nrunntime: node\n");
    expect(await manifest.save()).toBe(false);
    expect(manifest.mistakes).toMatchObject([{ line: 2, hint: "Did you mean `runtime`?" }]);
    expect(manifest.changed).toBe(true);
  });

  test("is not saved over a change of somebody else", async () => {
    const manifest = new ManifestText("a0", "run");
    await manifest.load();
    manifest.edit("runtime: native\n");
    world.shelf.runYaml = "runtime: python\n";
    expect(await manifest.save()).toBe(false);
    expect(manifest.theirs?.text).toBe("runtime: python\n");
    manifest.settle("mine");
    expect(await manifest.save()).toBe(true);
    expect(world.shelf.runYaml).toBe("runtime: native\n");
  });

  test("takes the other’s change when that is wanted", async () => {
    const manifest = new ManifestText("a0", "run");
    await manifest.load();
    manifest.edit("runtime: native\n");
    world.shelf.runYaml = "runtime: python\n";
    await manifest.load();
    manifest.settle("theirs");
    expect(manifest.text).toBe("runtime: python\n");
    expect(manifest.changed).toBe(false);
  });
});

test("a configuration saves itself, and leaves others as they are", async () => {
  const form = new RunForm("a0");
  await form.load();
  const written = vi.fn();
  const configurations = new Configurations(form, written);
  configurations.take();
  expect(configurations.name).toBe("default");
  if (configurations.draft?.settings.runtime === "node")
    configurations.draft.settings.main = "/b.js";
  configurations.changed();
  await configurations.choose("worker");
  expect(called("appliance_configuration_save")[0]?.args).toMatchObject({
    name: "default",
    fields: { settings: { main: "/b.js" } },
  });
  expect(written).toHaveBeenCalledOnce();
  expect(configurations.draft?.settings).toMatchObject({ main: "/app/worker.js" });
});

test("a typed variable is set beside the others, and its default holds again", async () => {
  const form = new RunForm("a0");
  await form.load();
  form.setVariable("PORT", "9000");
  expect(form.valueOf("PORT")).toBe("9000");
  expect(form.settings?.env).toHaveLength(2);
  form.setVariable("PORT", null);
  expect(form.valueOf("PORT")).toBeNull();
});

test("what is left out of a package is asked for, and an edited manifest stays", async () => {
  const form = new PackForm("/usr/bin/redis-server");
  await form.start();
  expect(form.source.kind).toBe("program");
  form.edit("package", "name: mine\n");
  form.leave("/usr/share/zoneinfo/UTC", true);
  await form.look();
  expect(called("pack_preview").at(-1)?.args["options"]).toMatchObject({
    leaveOut: ["/usr/share/zoneinfo/UTC"],
  });
  expect(form.packageYaml).toBe("name: mine\n");
  expect(await form.make()).toBe(true);
  expect(called("pack_make")[0]?.args).toMatchObject({ packageYaml: "name: mine\n" });
});

test("registries change their order, and back when that fails", async () => {
  await registries.load();
  const last = registries.items[2];
  if (last) await registries.move(last, -1);
  expect(called("registry_reorder")[0]?.args).toEqual({ ids: [1, 3, 2] });
  world.override["registry_reorder"] = () => Promise.reject(new Error("locked"));
  if (last) await registries.move(last, -1);
  expect(registries.items.map(({ id }) => id)).toEqual([1, 3, 2]);
});
