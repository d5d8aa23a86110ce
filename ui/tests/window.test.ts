import { cleanup, render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { afterEach, describe, expect, test, vi } from "vitest";
import App from "../src/App.svelte";
import { appliances } from "../src/stores/appliances.svelte";
import { dialogs } from "../src/stores/dialogs.svelte";
import { drop } from "../src/stores/drop.svelte";
import { jobs } from "../src/stores/jobs.svelte";
import { kernels } from "../src/stores/kernels.svelte";
import { machines } from "../src/stores/machines.svelte";
import { navigation, type Place } from "../src/stores/navigation.svelte";
import { settings } from "../src/stores/settings.svelte";
import { toasts } from "../src/stores/toasts.svelte";
import {
  buildError,
  busyWorld,
  emptyWorld,
  install,
  job,
  machine,
  proposal,
  type World,
} from "./fixture";

// A terminal measures fonts, which nothing here has.
vi.mock("../src/screens/machines/terminal", () => ({
  openTerminal: (place: HTMLElement) => {
    place.textContent = "listening on http://0.0.0.0:8080";
    return Promise.resolve({
      fit() {},
      focus() {},
      setInput() {},
      find() {},
      clearSearch() {},
      toEnd() {},
      text: () => "",
      dispose() {},
    });
  },
}));

function open(world: World, place: Place = { at: "appliances" }) {
  localStorage.setItem("windlass.place", JSON.stringify(place));
  const core = install(world);
  render(App);
  return {
    ...core,
    user: userEvent.setup(),
    called: (command: string) => core.calls.filter((call) => call.command === command),
  };
}

afterEach(() => {
  cleanup();
  for (const store of [appliances, machines, jobs, kernels]) {
    store.items = [];
    store.loaded = false;
    store.error = null;
  }
  kernels.checks = [];
  settings.about = null;
  toasts.items = [];
  drop.proposals = [];
  drop.dragged = null;
  dialogs.question = null;
  dialogs.failure = null;
  navigation.place = { at: "appliances" };
});

const button = (name: string | RegExp) => screen.findByRole("button", { name });

describe("the first start", () => {
  test("says what is missing, with its fix, and offers samples", async () => {
    const { user, called } = open(emptyWorld());
    await user.click(await button("Fetch a Linux kernel"));
    expect(called("kernel_fetch_linux")).toHaveLength(1);
    expect(await button("Create sample: Hello")).toBeEnabled();
    expect(await button("Create sample: Python")).toBeDisabled();
    expect(screen.getByText("Python 3 is not installed on this computer.")).toBeVisible();
    expect(await button(/^Drop a folder here/)).toBeVisible();
  });

  test("a sample leads to its appliance", async () => {
    const world = emptyWorld();
    const { user, emit } = open(world);
    await user.click(await button("Create sample: Hello"));
    await emit("appliance-changed", busyWorld().appliances[1]);
    await emit("job-changed", job(0, { id: "job-sample", kind: "sample", produced: "a1" }));
    expect(await screen.findByRole("heading", { name: "Hello", level: 1 })).toBeVisible();
  });
});

describe("dropping", () => {
  test("says beforehand what will happen, and adds a folder with a manifest at once", async () => {
    const { emit, called } = open(emptyWorld());
    await screen.findByRole("button", { name: /^Drop a folder here/ });
    await emit("tauri://drag-enter", { paths: ["/projects/blog"], position: { x: 0, y: 0 } });
    expect(await screen.findByText("will be added as an appliance")).toBeVisible();
    await emit("tauri://drag-drop", { paths: ["/projects/blog"], position: { x: 0, y: 0 } });
    expect(await screen.findByRole("heading", { name: "blog", level: 1 })).toBeVisible();
    expect(called("appliance_add")[0]?.args).toEqual({ path: "/projects/blog", manifest: null });
  });

  test("proposes a manifest, which is edited as form and as YAML", async () => {
    const { user, emit, called } = open(emptyWorld());
    await screen.findByRole("button", { name: /^Drop a folder here/ });
    await emit("tauri://drag-drop", { paths: [proposal.path], position: { x: 0, y: 0 } });
    const dialog = within(
      await screen.findByRole("dialog", { name: "Make an appliance of Shop backend" }),
    );
    const title = dialog.getByLabelText("Title");
    await user.clear(title);
    await user.type(title, "Shop");
    const yaml = await dialog.findByRole("textbox", { name: "package.yaml" }, { timeout: 5000 });
    expect(yaml).toHaveTextContent("title: Shop");
    expect(yaml).toHaveTextContent("# as git knows you");
    await user.click(dialog.getByRole("button", { name: "Add appliance" }));
    await waitFor(() =>
      expect(called("appliance_add")[0]?.args["manifest"]).toMatchObject({
        packageYaml: expect.stringContaining("title: Shop\n"),
      }),
    );
    expect(screen.queryByRole("dialog")).toBeNull();
  });

  test("several at once: kernels go to the library, the rest become appliances", async () => {
    const world = emptyWorld();
    world.dropped["/k/loader.img"] = { path: "/k/loader.img", kind: "kernel", proposal: null };
    const { emit, called } = open(world);
    await screen.findByRole("button", { name: /^Drop a folder here/ });
    await emit("tauri://drag-drop", {
      paths: ["/k/loader.img", "/p/one", "/p/two"],
      position: { x: 0, y: 0 },
    });
    await waitFor(() => expect(called("appliance_add")).toHaveLength(2));
    expect(called("kernel_add")[0]?.args).toEqual({ paths: ["/k/loader.img"] });
  });

  test("what cannot be used says why", async () => {
    const world = emptyWorld();
    world.override["inspect"] = () => Promise.reject(buildError);
    const { emit, user } = open(world);
    await screen.findByRole("button", { name: /^Drop a folder here/ });
    await emit("tauri://drag-drop", { paths: ["/dev/null"], position: { x: 0, y: 0 } });
    const dialog = within(
      await screen.findByRole("alertdialog", { name: "null could not be added" }),
    );
    expect(dialog.getByText(buildError.message)).toBeVisible();
    expect(dialog.getByText(buildError.hints[0] ?? "")).toBeVisible();
    await user.click(dialog.getByRole("button", { name: "Copy details" }));
  });
});

describe("an appliance", () => {
  const place: Place = { at: "appliance", id: "a0", tab: "contents" };

  test("is run: progress where it was pressed, then the console of its machine", async () => {
    const world = busyWorld();
    const { user, emit } = open(world, place);
    await user.click(await button("Run"));
    await emit(
      "job-changed",
      job(0, {
        id: "job-run",
        kind: "run",
        title: "Run",
        state: "running",
        step: "Writing ext4",
        done: 1,
        total: 4,
        produced: null,
        endedAt: null,
      }),
    );
    expect(await screen.findByText("Writing ext4")).toBeVisible();
    expect(screen.getByRole("progressbar")).toHaveAttribute("aria-valuenow", "25");
    expect(await button("Run")).toBeDisabled();
    await emit("machine-changed", machine(50, "starting", { applianceId: "a0", name: "fresh" }));
    await emit(
      "job-changed",
      job(0, { id: "job-run", kind: "run", state: "running", produced: "m50" }),
    );
    expect(await screen.findByRole("heading", { name: "fresh", level: 1 })).toBeVisible();
    expect(await screen.findByText("listening on http://0.0.0.0:8080")).toBeVisible();
  });

  test("is run with options, which say what is wrong with them", async () => {
    const { user, called } = open(busyWorld(), place);
    await user.click(await button("Other ways to run"));
    await user.click(await screen.findByRole("menuitem", { name: "Run with options…" }));
    const dialog = within(await screen.findByRole("dialog"));
    const name = dialog.getByRole("textbox", { name: "Name of the machine" });
    await user.clear(name);
    await user.type(name, "first");
    expect(name).toHaveValue("first");
    await user.click(dialog.getByRole("button", { name: "Join a private network" }));
    const network = dialog.getByRole("combobox", { name: "Private network 1" });
    await user.clear(network);
    await user.type(network, "no/name");
    expect(await dialog.findByRole("alert")).toHaveTextContent("1 to 40 letters");
    expect(dialog.getByRole("button", { name: "Run" })).toBeDisabled();
    await user.clear(network);
    await user.type(network, "backend");
    await user.click(dialog.getByRole("checkbox", { name: "Run once and forget all writes" }));
    await user.click(dialog.getByRole("button", { name: "Run" }));
    await waitFor(() => expect(called("appliance_run_with")).toHaveLength(1));
    expect(called("appliance_run_with")[0]?.args["options"]).toMatchObject({
      name: "first",
      networks: [{ network: "backend", aliases: [] }],
      isDisposable: true,
      isLive: false,
      count: 1,
    });
  });

  test("shows why its build failed, and how to try again", async () => {
    const { user, emit, called } = open(busyWorld(), place);
    await user.click(await button("Build"));
    await waitFor(() => expect(called("appliance_build")).toHaveLength(1));
    await emit(
      "job-changed",
      job(0, { id: "job-build", state: "failed", produced: null, error: buildError }),
    );
    const alert = within(await screen.findByRole("alert"));
    expect(alert.getByText("The build failed")).toBeVisible();
    await user.click(alert.getByRole("button", { name: "Try again" }));
    expect(called("job_retry")[0]?.args).toEqual({ id: "job-build" });
  });

  test("marks what was found in the tree, and mends it from there", async () => {
    const world = busyWorld();
    world.contents.findings[0]!.path = "/app/server.js";
    const { user, called } = open(world, place);
    const tree = await screen.findByRole("tree", { name: "Files of Node microservice" });
    await within(tree).findByRole("treeitem", { name: /^app Warning: Names may not resolve/ });
    tree.focus();
    await user.keyboard("{ArrowDown}{ArrowRight}server");
    await within(tree).findByRole("treeitem", { name: /^server\.js Warning/, selected: true });
    const about = within(screen.getByRole("list", { name: "Findings about /app/server.js" }));
    await user.tab();
    expect(about.getByRole("button", { name: /libnss_dns/ })).toHaveFocus();
    await user.keyboard("{Enter}");
    expect(called("appliance_fix")).toHaveLength(1);
    tree.focus();
    await user.keyboard("{End}");
    expect(screen.queryByRole("list", { name: /^Findings about/ })).toBeNull();
  });

  test("has a tree that keys walk", async () => {
    const { user } = open(busyWorld(), place);
    const tree = await screen.findByRole("tree", { name: "Files of Node microservice" });
    await within(tree).findByRole("treeitem", { name: /^app/ });
    tree.focus();
    await user.keyboard("{ArrowDown}{ArrowRight}");
    expect(await within(tree).findByRole("treeitem", { name: /server\.js/ })).toHaveAttribute(
      "aria-level",
      "2",
    );
    expect(
      within(tree).getByRole("treeitem", { name: /config\.json.*Replaces the one of node/ }),
    ).toBeVisible();
    await user.keyboard("us");
    expect(within(tree).getByRole("treeitem", { selected: true })).toHaveTextContent("usr");
    await user.keyboard("{Home}{ArrowLeft}");
    expect(within(tree).queryByRole("treeitem", { name: /server\.js/ })).toBeNull();
  });

  test("of a folder with very many files keeps few of them on the page", async () => {
    const { user } = open(busyWorld(), place);
    const tree = await screen.findByRole("tree");
    await user.click(await within(tree).findByRole("treeitem", { name: /^app/ }));
    await user.click(await within(tree).findByRole("treeitem", { name: /^node_modules/ }));
    await within(tree).findByRole("treeitem", { name: /^module-0/ });
    expect(within(tree).getAllByRole("treeitem").length).toBeLessThan(100);
  });

  test("has run settings that save themselves and show the boot command", async () => {
    const world = busyWorld();
    const { user } = open(world, { ...place, tab: "run" });
    const memory = await screen.findByLabelText("Memory (MiB)");
    await user.clear(memory);
    await user.type(memory, "1024");
    await waitFor(() => expect(world.run.memoryMib).toBe(1024));
    expect(
      await screen.findByText("windlassctl run node-microservice -m 1024M -c 1"),
    ).toBeVisible();
    await user.clear(memory);
    await user.type(memory, "2");
    expect(await screen.findByText("Whole MiB, at least 16.")).toBeVisible();
    expect(memory).toBeInvalid();
  });

  test("is removed and brought back", async () => {
    const { user, called } = open(busyWorld(), place);
    await user.click(await button("More actions"));
    await user.click(await screen.findByRole("menuitem", { name: "Remove" }));
    expect(called("appliance_remove")).toHaveLength(1);
    await user.click(await button("Undo"));
    await waitFor(() =>
      expect(called("appliance_add")[0]?.args).toEqual({
        path: "/home/user/projects/node-microservice",
        manifest: null,
      }),
    );
  });

  test("has builds, of which one is deleted only after a question", async () => {
    const { user, called } = open(busyWorld(), { ...place, tab: "builds" });
    const grid = await screen.findByRole("grid", { name: "Builds" });
    await user.click(
      within(grid).getAllByRole("button", { name: /^Actions for Build/ })[0] as HTMLElement,
    );
    await user.click(await screen.findByRole("menuitem", { name: "Delete build" }));
    const dialog = within(await screen.findByRole("alertdialog", { name: "Delete this build?" }));
    await user.click(dialog.getByRole("button", { name: "Cancel" }));
    expect(called("build_delete")).toHaveLength(0);
  });
});

describe("machines", () => {
  test("are found, selected and acted on together", async () => {
    const { user, called } = open(busyWorld(9), { at: "machines" });
    await screen.findByRole("grid", { name: "Machines" });
    await user.click(screen.getByRole("checkbox", { name: "Select all" }));
    const toolbar = within(screen.getByRole("toolbar", { name: "Selected machines" }));
    await user.click(toolbar.getByRole("button", { name: "Stop" }));
    expect(called("machine_stop").map(({ args }) => args["id"])).toEqual(["m0", "m1", "m2"]);
  });

  test("of which there are ten thousand keep few rows on the page", async () => {
    open(busyWorld(10_000), { at: "machines" });
    const grid = await screen.findByRole("grid", { name: "Machines" });
    // Beside them a cloud has three servers.
    await waitFor(() => expect(grid).toHaveAttribute("aria-rowcount", "10004"));
    expect(within(grid).getAllByRole("row").length).toBeLessThan(60);
  });

  test("are opened by keyboard alone", async () => {
    const { user } = open(busyWorld(9), { at: "machines" });
    (await screen.findByRole("grid", { name: "Machines" })).focus();
    await user.keyboard("{ArrowDown}{ArrowDown}{Enter}");
    expect(await screen.findByRole("heading", { name: "hello-2", level: 1 })).toBeVisible();
    expect(screen.getByRole("main")).toHaveFocus();
    await user.keyboard("{Alt>}{ArrowLeft}{/Alt}");
    expect(await screen.findByRole("grid", { name: "Machines" })).toBeVisible();
  });

  test("that have ended say how, what to do, and start again", async () => {
    const { user, called } = open(busyWorld(9), { at: "machine", id: "m4", tab: "console" });
    expect(await screen.findByText("The application failed with status 3")).toBeVisible();
    expect(screen.getByText("Run npm install in the folder and build again.")).toBeVisible();
    await user.click(await button("Start again"));
    expect(called("machine_start")[0]?.args).toEqual({ id: "m4" });
  });

  test("show the exact command that runs them", async () => {
    open(busyWorld(9), { at: "machine", id: "m0", tab: "details" });
    expect(await screen.findByRole("region", { name: "QEMU command" })).toHaveTextContent(
      "-append 'console=ttyS0 panic=-1'",
    );
  });
});

describe("the window", () => {
  test("asks what becomes of running machines when it is closed", async () => {
    const { user, emit, called } = open(busyWorld());
    await screen.findByRole("grid", { name: "Appliances" });
    await emit("close-requested", { running: 2 });
    const dialog = within(
      await screen.findByRole("alertdialog", { name: "2 machines are running" }),
    );
    await user.click(dialog.getByRole("checkbox", { name: "Remember my choice" }));
    await user.click(dialog.getByRole("button", { name: "Leave running" }));
    expect(called("window_close_answer")[0]?.args).toEqual({ answer: "leave", remember: true });
  });

  test("finds everything by one search", async () => {
    const { user, called } = open(busyWorld());
    await screen.findByRole("grid", { name: "Appliances" });
    await user.keyboard("{Control>}k{/Control}");
    await user.type(await screen.findByRole("combobox", { name: "Search" }), "run hello");
    await user.keyboard("{Enter}");
    await waitFor(() => expect(called("appliance_run")[0]?.args).toEqual({ id: "a1" }));
  });

  test("lists its shortcuts at a question mark", async () => {
    const { user } = open(busyWorld());
    await screen.findByRole("grid", { name: "Appliances" });
    await user.keyboard("?");
    expect(await screen.findByRole("dialog", { name: "Keyboard shortcuts" })).toBeVisible();
  });

  test("changes its language and theme in place", async () => {
    const { user } = open(busyWorld(), { at: "settings" });
    await user.selectOptions(await screen.findByLabelText("Theme"), "dark");
    await waitFor(() => expect(document.documentElement.dataset["theme"]).toBe("dark"));
    await user.selectOptions(screen.getByLabelText("Language"), "Deutsch");
    expect(await screen.findByRole("heading", { name: "Einstellungen" })).toBeVisible();
    expect(document.documentElement.lang).toBe("de");
    await user.selectOptions(screen.getByLabelText("Sprache"), "English");
    expect(await screen.findByRole("heading", { name: "Settings" })).toBeVisible();
  });

  test("says in words when it cannot read its lists", async () => {
    const world = busyWorld();
    world.override["appliance_list"] = () => Promise.reject(buildError);
    open(world);
    expect(await screen.findByText("The appliances could not be read")).toBeVisible();
    expect(await button("Try again")).toBeVisible();
  });
});

describe("axe finds nothing in", () => {
  const places: [string, World, Place][] = [
    ["the first start", emptyWorld(), { at: "appliances" }],
    ["the appliances", busyWorld(), { at: "appliances" }],
    ["the contents of an appliance", busyWorld(), { at: "appliance", id: "a0", tab: "contents" }],
    ["its run settings", busyWorld(), { at: "appliance", id: "a0", tab: "run" }],
    ["its builds", busyWorld(), { at: "appliance", id: "a0", tab: "builds" }],
    ["the machines", busyWorld(9), { at: "machines" }],
    ["the console of a machine", busyWorld(9), { at: "machine", id: "m4", tab: "console" }],
    ["its ports", busyWorld(9), { at: "machine", id: "m0", tab: "ports" }],
    ["its details", busyWorld(9), { at: "machine", id: "m0", tab: "details" }],
    ["the activity", busyWorld(9), { at: "activity", job: "j1" }],
    ["the settings", busyWorld(), { at: "settings" }],
  ];
  test.each(places)("%s", async (_, world, place) => {
    open(world, place);
    await screen.findByRole("heading", { level: 1 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    // Colours are measured in a real engine; this one paints nothing.
    const { violations } = await axe.run(document.body, {
      rules: { "color-contrast": { enabled: false } },
    });
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ""}`)).toEqual([]);
  });
});
