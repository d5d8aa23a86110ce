import { cleanup, render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ApplianceSettings } from "../src/backend";
import App from "../src/App.svelte";
import { joinSize, splitSize } from "../src/components/size";
import { diffTexts } from "../src/components/textDiff";
import { formatMode } from "../src/format";
import { appliances } from "../src/stores/appliances.svelte";
import { Comparison, lineOf } from "../src/stores/comparison.svelte";
import { dialogs } from "../src/stores/dialogs.svelte";
import { drop } from "../src/stores/drop.svelte";
import { ImageView } from "../src/stores/imageView.svelte";
import { images, isImageFile } from "../src/stores/images.svelte";
import { jobs } from "../src/stores/jobs.svelte";
import { machines } from "../src/stores/machines.svelte";
import { navigation, type Place } from "../src/stores/navigation.svelte";
import { toasts } from "../src/stores/toasts.svelte";
import { volumes } from "../src/stores/volumes.svelte";
import { buildError, busyWorld, emptyWorld, install, type World } from "./fixture";

const IMAGE: Place = { at: "image", image: "build-a0-0", tab: "files" };
const BUILDS: Place = { at: "appliance", id: "a0", tab: "builds" };

function open(world: World, place: Place) {
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
  for (const store of [appliances, machines, jobs, images, volumes]) {
    store.items = [];
    store.loaded = false;
    store.error = null;
  }
  images.dropped = [];
  toasts.items = [];
  drop.proposals = [];
  drop.dragged = null;
  dialogs.question = null;
  dialogs.failure = null;
  navigation.place = { at: "appliances" };
});

const button = (name: string | RegExp) => screen.findByRole("button", { name });

describe("sizes", () => {
  test("are typed with a unit, and rounded up to pages", () => {
    expect(joinSize("1.5", "GiB")).toBe(1.5 * 2 ** 30);
    expect(joinSize("1,5", "GiB")).toBe(1.5 * 2 ** 30);
    expect(joinSize("0.001", "MiB")).toBe(4096);
    for (const bad of ["", "-1", "1e9", "ten", "0", "99999999999"])
      expect(joinSize(bad, "TiB")).toBeNull();
  });

  test("are told in the largest unit that needs no rounding", () => {
    expect(splitSize(2 ** 40)).toEqual({ amount: 1, unit: "TiB" });
    expect(splitSize(1536 * 2 ** 20)).toEqual({ amount: 1.5, unit: "GiB" });
    expect(splitSize(118 * 2 ** 20)).toEqual({ amount: 118, unit: "MiB" });
  });

  test("of permissions are letters", () => {
    expect(formatMode(0o755)).toBe("rwxr-xr-x");
    expect(formatMode(0o4755)).toBe("rwsr-xr-x");
    expect(formatMode(0o1666)).toBe("rw-rw-rwT");
  });
});

describe("a difference of texts", () => {
  test("tells lines with their numbers, and leaves out what is the same", () => {
    const lines = Array.from({ length: 40 }, (_, index) => `line ${index + 1}`);
    const changed = lines.with(19, "another line");
    const diff = diffTexts(lines.join("\n"), changed.join("\n"));
    expect(diff).toMatchObject({ added: 1, removed: 1 });
    expect(diff?.rows.slice(0, 6)).toEqual([
      { kind: "gap" },
      { kind: "same", left: 17, right: 17, text: "line 17" },
      { kind: "same", left: 18, right: 18, text: "line 18" },
      { kind: "same", left: 19, right: 19, text: "line 19" },
      { kind: "removed", left: 20, right: null, text: "line 20" },
      { kind: "added", left: null, right: 20, text: "another line" },
    ]);
  });

  test("of texts that have nothing in common gives up", () => {
    const text = (word: string) =>
      Array.from({ length: 60_000 }, (_, i) => `${word} ${i}`).join("\n");
    expect(diffTexts(text("left"), text("right"))).toBeNull();
  });
});

test("images are known by their names", () => {
  for (const name of ["a.qcow2", "A.IMG", "b.img.zst", "c.vhdx", "d.raw.xz"])
    expect(isImageFile(`/x/${name}`)).toBe(true);
  for (const name of ["a.tar.gz", "img", "a.image", "a.zip"]) expect(isImageFile(name)).toBe(false);
});

describe("stores", () => {
  let world: World;
  beforeEach(() => {
    world = busyWorld();
    install(world);
    jobs.items = [];
    jobs.listen();
  });

  test("of sizes grow as folders are opened", async () => {
    const view = new ImageView("build-a0-0");
    await view.load();
    expect(view.volume).toBe(2);
    await view.wantSizes();
    expect(view.isFolder("/app")).toBe(true);
    await view.openSizes("/app");
    const app = view.sizes?.children.find(({ path }) => path === "/app");
    expect(app?.children.map(({ name }) => name)).toEqual([
      "node_modules",
      "package.json",
      "server.js",
    ]);
  });

  test("of a comparison fetch what is in sight, and all of it as text", async () => {
    const comparison = new Comparison("build-a0-0", "build-a0-1");
    const started = comparison.start();
    await started;
    expect(comparison.slots).toHaveLength(3001);
    expect(comparison.slots[2000]?.row).toBeNull();
    comparison.show(1990, 2010);
    await waitFor(() => expect(comparison.slots[2000]?.row?.path).toMatch(/module-1999/));
    const text = await comparison.asText("left and right");
    expect(text.split("\n")).toHaveLength(3001 + 3);
    expect(text).toContain("~ /etc/motd 34 -> 41\n");
    expect(lineOf({ path: "/a", what: "added", leftBytes: null, rightBytes: 5 })).toBe("+ /a 5");
  });
});

describe("the builds of an appliance", () => {
  test("say what changed", async () => {
    open(busyWorld(5), BUILDS);
    const grid = within(await screen.findByRole("grid", { name: "Builds" }));
    expect(await grid.findAllByText("Updated")).not.toHaveLength(0);
    expect(grid.getAllByText("2 added, 1 changed")[0]).toBeVisible();
    expect(grid.getByText("The root file system was changed from ROFS to ext4")).toBeVisible();
    expect(grid.getByText("Its image became a later build’s")).toBeVisible();
  });

  test("are run, looked into and exported", async () => {
    const { user, called } = open(busyWorld(3), BUILDS);
    await user.click(
      (await screen.findAllByRole("button", { name: "Run this build" }))[0] as HTMLElement,
    );
    expect(called("build_run")[0]?.args).toEqual({ id: "build-a0-0" });
    await user.click(
      screen.getAllByRole("button", { name: /^Actions for Build/ })[0] as HTMLElement,
    );
    await user.click(await screen.findByRole("menuitem", { name: "Export…" }));
    const dialog = within(await screen.findByRole("dialog", { name: "Export Node microservice" }));
    await user.click(dialog.getByRole("radio", { name: /^qcow2, compressed/ }));
    await user.click(dialog.getByRole("checkbox", { name: "SBOM (SPDX)" }));
    await user.click(dialog.getByRole("button", { name: "Choose place…" }));
    await waitFor(() =>
      expect(called("image_convert")[0]?.args).toMatchObject({
        image: "build-a0-0",
        format: "qcow2",
        options: { compressed: true },
      }),
    );
    expect(called("build_export_lists")[0]?.args).toMatchObject({ kinds: ["spdx"] });
  });
});

describe("an image", () => {
  test("is walked by keys and read", async () => {
    const { user } = open(busyWorld(), IMAGE);
    const tree = await screen.findByRole("tree", { name: "Files of Node microservice" });
    await within(tree).findByRole("treeitem", { name: /^etc/ });
    tree.focus();
    await user.keyboard("et{ArrowRight}");
    await within(tree).findByRole("treeitem", { name: /^motd/ });
    await user.keyboard("{ArrowRight}{ArrowDown}");
    expect(await screen.findByRole("heading", { name: "/etc/motd" })).toBeVisible();
    expect(await screen.findByText("to the node microservice")).toBeVisible();
    await user.keyboard("{Home}{ArrowUp}");
  });

  test("says in words what is not text", async () => {
    const { user } = open(busyWorld(), IMAGE);
    const tree = await screen.findByRole("tree");
    await user.click(await within(tree).findByRole("treeitem", { name: /^usr/ }));
    await user.click(await within(tree).findByRole("treeitem", { name: /^node/ }));
    expect(await screen.findByText(/^This is not text/)).toBeVisible();
  });

  test("is searched as a whole", async () => {
    const { user, called } = open(busyWorld(), IMAGE);
    await user.type(
      await screen.findByRole("searchbox", { name: "Search the whole image" }),
      "motd",
    );
    const grid = await screen.findByRole("grid", { name: "Results" });
    expect(await screen.findByText("1 found")).toBeVisible();
    expect(within(grid).getByRole("row", { name: "/etc/motd" })).toBeVisible();
    expect(called("image_search").at(-1)?.args).toMatchObject({ volume: 2, text: "motd" });
    await user.clear(screen.getByRole("searchbox", { name: "Search the whole image" }));
    expect(await screen.findByRole("tree")).toBeVisible();
  });

  test("gives files to other programs by dragging, and clicks stay clicks", async () => {
    const { user, called } = open(busyWorld(), IMAGE);
    const tree = await screen.findByRole("tree");
    const row = await within(tree).findByRole("treeitem", { name: /^etc/ });
    await user.click(row);
    expect(called("image_drag_out")).toHaveLength(0);
    await user.pointer([
      { keys: "[MouseLeft>]", target: row, coords: { clientX: 10, clientY: 10 } },
      { target: row, coords: { clientX: 40, clientY: 10 } },
      { keys: "[/MouseLeft]" },
    ]);
    expect(called("image_drag_out")[0]?.args).toEqual({
      image: "build-a0-0",
      volume: 2,
      paths: ["/etc"],
    });
  });

  test("has a boot command that is changed", async () => {
    const { user, called } = open(busyWorld(), IMAGE);
    await user.click(await button("Edit boot command"));
    const field = await screen.findByRole("textbox", { name: "Boot command" });
    await user.clear(field);
    await user.type(field, "/usr/bin/node /app/other.js");
    await user.click(await button("Save"));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(called("image_set_command_line")[0]?.args).toEqual({
      image: "build-a0-0",
      text: "/usr/bin/node /app/other.js",
    });
    expect(screen.getByText("/usr/bin/node /app/other.js")).toBeVisible();
  });

  test("in use is not written to, and says by whom it is used", async () => {
    const world = busyWorld();
    world.disks.info = { ...world.disks.info, inUseBy: "web-1" };
    open(world, IMAGE);
    expect(await screen.findByText("In use by web-1")).toBeVisible();
    expect(await button("Edit boot command")).toBeDisabled();
  });

  test("is verified, and what differs is listed", async () => {
    const world = busyWorld();
    world.disks.verification = {
      differences: [{ path: "/etc/motd", what: "content" }],
      checkedFiles: 1204,
      checkedBytes: 1 << 20,
    };
    const { user } = open(world, IMAGE);
    await user.click(await button("Verify"));
    const grid = await screen.findByRole("grid", { name: "Differences" });
    expect(within(grid).getByText("Its content differs from the list")).toBeVisible();
  });

  test("that cannot be opened says why", async () => {
    const world = busyWorld();
    world.override["image_info"] = () => Promise.reject(buildError);
    open(world, IMAGE);
    expect(await screen.findByText("The image could not be opened")).toBeVisible();
    expect(screen.getByText(buildError.message)).toBeVisible();
  });

  test("that is dropped is looked into or imported", async () => {
    const world = emptyWorld();
    const notAFolder = { ...buildError, message: "It is neither a folder nor an archive" };
    world.override["inspect"] = () => Promise.reject(notAFolder);
    const { user, emit, called } = open(world, { at: "appliances" });
    await screen.findByRole("button", { name: /^Drop a folder here/ });
    const position = { x: 0, y: 0 };
    await emit("tauri://drag-enter", { paths: ["/d/disk.qcow2"], position });
    expect(await screen.findByText(/is a disk image/)).toBeVisible();
    await emit("tauri://drag-drop", { paths: ["/d/disk.qcow2"], position });
    await user.click(await button("Import it"));
    expect(called("image_import")[0]?.args).toEqual({ path: "/d/disk.qcow2" });
    await emit("tauri://drag-drop", { paths: ["/d/disk.qcow2"], position });
    await user.click(await button("Look into it"));
    await waitFor(() => expect(called("image_info")[0]?.args).toEqual({ image: "/d/disk.qcow2" }));
  });
});

describe("a comparison", () => {
  const place: Place = { at: "comparison", left: "build-a0-0", right: "build-a0-1", job: null };

  test("keeps few of many rows on the page, and shows what changed in a file", async () => {
    const { user } = open(busyWorld(), place);
    const grid = await screen.findByRole("grid", { name: "Differences" });
    expect(grid).toHaveAttribute("aria-rowcount", "3002");
    expect(within(grid).getAllByRole("row").length).toBeLessThan(80);
    await user.click(within(grid).getByText("/etc/motd"));
    const lines = await screen.findByRole("region", { name: "Changed lines" });
    expect(within(lines).getByText("and good-bye")).toBeVisible();
  });

  test("is narrowed by kind and by words", async () => {
    const { user, called } = open(busyWorld(), place);
    await user.click(await screen.findByRole("radio", { name: /^Changed/ }));
    await user.type(screen.getByRole("searchbox", { name: "Filter paths" }), "motd");
    await waitFor(() =>
      expect(called("image_comparison").at(-1)?.args["filter"]).toEqual({
        text: "motd",
        what: ["changed", "mode", "kind"],
      }),
    );
    await waitFor(() =>
      expect(screen.getByRole("grid", { name: "Differences" })).toHaveAttribute(
        "aria-rowcount",
        "2",
      ),
    );
  });

  test("of what is the same says so", async () => {
    const world = busyWorld();
    world.disks.differences = [];
    open(world, place);
    expect(await screen.findByRole("heading", { name: "No differences" })).toBeVisible();
  });
});

describe("volumes", () => {
  test("are attached to the machines of an appliance", async () => {
    const { user, called } = open(busyWorld(), { at: "appliance", id: "a0", tab: "disk" });
    const section = within(await screen.findByRole("region", { name: "Volumes" }));
    const attach = section.getByRole("button", { name: "Attach a volume" });
    await waitFor(() => expect(attach).toBeEnabled());
    await user.click(attach);
    const place = section.getByRole("textbox", { name: "Place of volume 1 in the guest" });
    const { value: volume } = section.getByRole<HTMLSelectElement>("combobox", {
      name: "Volume 1",
    });
    expect(place).toHaveValue(`/volumes/${volume}`);
    await user.clear(place);
    await user.type(place, "data");
    expect(section.getByRole("alert")).toHaveTextContent("begins with a slash");
    await user.clear(place);
    await user.type(place, "/data");
    const saved = () =>
      (called("appliance_save_settings").at(-1)?.args["settings"] as ApplianceSettings).volumes;
    await waitFor(() => expect(saved()).toEqual([{ volume, path: "/data" }]));
    await user.click(section.getByRole("button", { name: `Do not attach ${volume}` }));
    await waitFor(() => expect(saved()).toEqual([]));
  });

  test("are created", async () => {
    const { user, called } = open(busyWorld(), { at: "volumes" });
    await user.click(await button("Create volume…"));
    const dialog = within(await screen.findByRole("dialog", { name: "Create a volume" }));
    await user.type(dialog.getByLabelText("Name"), "postgres");
    expect(dialog.getByText("There is a volume of this name already.")).toBeVisible();
    await user.clear(dialog.getByLabelText("Name"));
    await user.type(dialog.getByLabelText("Name"), "data");
    await user.clear(dialog.getByLabelText("Size"));
    await user.type(dialog.getByLabelText("Size"), "2.5");
    await user.click(dialog.getByRole("button", { name: "Create" }));
    await waitFor(() =>
      expect(called("volume_create")[0]?.args["volume"]).toEqual({
        name: "data",
        format: "qcow2",
        sizeBytes: 2.5 * 2 ** 30,
        content: { kind: "ext4" },
      }),
    );
  });

  test("are deleted only after what is lost was named", async () => {
    const { user, called } = open(busyWorld(), { at: "volumes" });
    await user.click(await button("Actions for results"));
    await user.click(await screen.findByRole("menuitem", { name: "Delete" }));
    const dialog = within(await screen.findByRole("alertdialog", { name: /results/ }));
    await user.click(dialog.getByRole("button", { name: "Delete" }));
    expect(called("volume_delete")).toHaveLength(1);
  });

  test("are said to be none, in words", async () => {
    open(emptyWorld(), { at: "volumes" });
    expect(await screen.findByRole("heading", { name: "No volumes yet" })).toBeVisible();
  });
});

describe("axe finds nothing in", () => {
  const places: [string, Place][] = [
    ["an image", IMAGE],
    ["its sizes", { ...IMAGE, tab: "sizes" }],
    ["its verification", { ...IMAGE, tab: "verification" }],
    ["a comparison", { at: "comparison", left: "build-a0-0", right: "build-a0-1", job: null }],
    ["the volumes", { at: "volumes" }],
    ["the images", { at: "images" }],
    ["the builds", BUILDS],
  ];
  test.each(places)("%s", async (_, place) => {
    open(busyWorld(), place);
    await screen.findByRole("heading", { level: 1 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { violations } = await axe.run(document.body, {
      rules: { "color-contrast": { enabled: false } },
    });
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ""}`)).toEqual([]);
  });
});
