import { cleanup, render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { afterEach, describe, expect, test } from "vitest";
import App from "../src/App.svelte";
import { appliances } from "../src/stores/appliances.svelte";
import { dialogs } from "../src/stores/dialogs.svelte";
import { jobs } from "../src/stores/jobs.svelte";
import { library } from "../src/stores/library.svelte";
import { navigation, type Place } from "../src/stores/navigation.svelte";
import { packages } from "../src/stores/packages.svelte";
import { packing } from "../src/stores/packing.svelte";
import { registries } from "../src/stores/registries.svelte";
import { settings } from "../src/stores/settings.svelte";
import { toasts } from "../src/stores/toasts.svelte";
import { buildError, busyWorld, emptyWorld, install, job, type World } from "./fixture";
import { registry, variables } from "./shelf";

const LIST: Place = { at: "packages", name: null, tab: "readme" };

function open(world: World, place: Place = LIST) {
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
  appliances.items = [];
  appliances.loaded = false;
  jobs.items = [];
  registries.items = [];
  registries.checks = new Map();
  packages.slots = [];
  packages.updates = [];
  packages.loaded = false;
  packages.error = null;
  packages.query = "";
  packages.filter = { installed: null, registryId: null, runtime: null, kind: null };
  packing.forms = [];
  library.capstan = null;
  library.plan = null;
  library.job = null;
  settings.about = null;
  toasts.items = [];
  dialogs.question = null;
  dialogs.failure = null;
  navigation.place = { at: "appliances" };
});

const button = (name: string | RegExp) => screen.findByRole("button", { name });

describe("packages", () => {
  test("are searched as one types, and filtered", async () => {
    const { user } = open(busyWorld());
    const grid = await screen.findByRole("grid", { name: "Packages" });
    await waitFor(() => expect(grid).toHaveAttribute("aria-rowcount", "43"));
    await user.type(screen.getByRole("searchbox", { name: "Search packages" }), "node");
    await waitFor(() =>
      expect(screen.getByRole("grid", { name: "Packages" })).toHaveAttribute("aria-rowcount", "2"),
    );
    await user.selectOptions(screen.getByLabelText("Where"), "Not in the library");
    expect(await screen.findByText("No package fits")).toBeVisible();
    await user.click(await button("Clear search and filters"));
    expect(await screen.findByRole("grid", { name: "Packages" })).toBeVisible();
  });

  test("are pulled, with a pause", async () => {
    const { user, called, emit } = open(busyWorld());
    await user.click(await button("Pull package-0"));
    expect(called("package_pull")[0]?.args).toMatchObject({ name: "package-0", version: null });
    expect(await screen.findByRole("progressbar", { name: "Pull package-0" })).toBeVisible();
    navigation.go({ at: "packages", name: "package-0", tab: "readme" });
    await user.click(await button("Pause: Pull package-0"));
    expect(called("job_pause")[0]?.args).toEqual({ id: "job-pull" });
    const paused = { id: "job-pull", kind: "pull", title: "Pull package-0" } as const;
    await emit("job-changed", job(0, { ...paused, state: "paused", subject: "package-0" }));
    await user.click(await button("Resume: Pull package-0"));
    expect(called("job_resume")).toHaveLength(1);
  });

  test("say what went wrong with a pull where it was asked for", async () => {
    const { user, emit } = open(busyWorld(), { at: "packages", name: "package-1", tab: "readme" });
    await user.click((await screen.findAllByRole("button", { name: "Pull" })).at(-1)!);
    const failed = { id: "job-pull", kind: "pull", subject: "package-1" } as const;
    await emit("job-changed", job(0, { ...failed, state: "failed", error: buildError }));
    expect(await screen.findByText("package-1 could not be pulled")).toBeVisible();
  });

  test("are shown with their README, made harmless, and their variables", async () => {
    open(busyWorld(), { at: "packages", name: "node", tab: "readme" });
    const readme = await screen.findByRole("article", { name: "README" });
    expect(readme).toHaveTextContent("Runs Node.js programs.");
    expect(readme.querySelector("img, script, a")).toBeNull();
    expect(screen.getByText("Where it listens.")).toBeVisible();
  });

  test("say what they need, as a drawing and as a list", async () => {
    const { user } = open(busyWorld(), { at: "packages", name: "node", tab: "needs" });
    // The drawing waits for its layout, which is loaded then.
    await screen.findByRole("button", { name: /^ghost/ }, { timeout: 10_000 });
    await user.click(screen.getByRole("radio", { name: "List" }));
    expect(await screen.findByText(/Needs ghost\./)).toBeVisible();
  });

  test("name the registries that do not answer", async () => {
    const world = busyWorld();
    world.shelf.offline = ["Team"];
    open(world);
    expect(await screen.findByText(/^Team does not answer/)).toBeVisible();
  });

  test("offer to take in what Capstan left", async () => {
    const world = emptyWorld();
    const path = "/home/user/.capstan";
    world.shelf.capstan = { path, packages: 12, images: 1, loaders: 1, registryUrl: null };
    const { user, called } = open(world);
    await user.click(await button("Import all"));
    expect(called("capstan_import")[0]?.args).toEqual({ path });
  });

  test("are made of what is dropped among them", async () => {
    const { user, emit, called } = open(busyWorld());
    await screen.findByRole("grid", { name: "Packages" });
    const paths = ["/usr/bin/redis-server"];
    await emit("tauri://drag-enter", { paths, position: { x: 0, y: 0 } });
    expect(await screen.findByText(/^will be packed/)).toBeVisible();
    await emit("tauri://drag-drop", { paths, position: { x: 0, y: 0 } });
    const dialog = within(await screen.findByRole("dialog", { name: "Make a package of Redis" }));
    await user.click(await dialog.findByRole("checkbox", { name: "Pack /usr/share/zoneinfo/UTC" }));
    await waitFor(() =>
      expect(called("pack_preview").at(-1)?.args["options"]).toMatchObject({
        leaveOut: ["/usr/share/zoneinfo/UTC"],
      }),
    );
    await user.click(dialog.getByRole("button", { name: "Make" }));
    await waitFor(() => expect(called("pack_make")).toHaveLength(1));
    expect(screen.queryByRole("dialog")).toBeNull();
  });
});

describe("the layers of an appliance", () => {
  const contents: Place = { at: "appliance", id: "a0", tab: "contents" };

  test("move by keyboard", async () => {
    const world = busyWorld();
    world.shelf.packageYaml = "require: [node, python3]\n";
    const { user, called } = open(world, contents);
    (await screen.findByRole("listitem", { name: "node, place 1" })).focus();
    await user.keyboard("{Alt>}{ArrowDown}{/Alt}");
    await waitFor(() =>
      expect(called("appliance_layers_set")[0]?.args["require"]).toEqual([
        { name: "python3", constraint: null },
        { name: "node", constraint: null },
      ]),
    );
  });

  test("are added from the side", async () => {
    const { user, called } = open(busyWorld(), contents);
    await user.click(await button("Add packages"));
    await user.click(await button("Add python3 to the layers"));
    await waitFor(() =>
      expect(called("appliance_layers_set")[0]?.args["require"]).toEqual([
        { name: "node", constraint: null },
        { name: "python3", constraint: null },
      ]),
    );
    expect(await button("Undo")).toBeVisible();
  });

  test("take a constraint", async () => {
    const { user, called } = open(busyWorld(), contents);
    const field = await screen.findByRole("textbox", { name: "Wanted versions of node" });
    await user.type(field, ">=18{Tab}");
    await waitFor(() =>
      expect(called("appliance_layers_set")[0]?.args["require"]).toEqual([
        { name: "node", constraint: ">=18" },
      ]),
    );
  });

  test("say who wins, how large all is, and what is locked", async () => {
    const { user } = open(busyWorld(), contents);
    await user.click(await screen.findByRole("radio", { name: /^Conflicts/ }));
    const conflicts = within(await screen.findByRole("grid", { name: "Conflicts" }));
    expect(conflicts.getByText("/etc/hosts")).toBeVisible();
    expect(conflicts.queryByText("/etc/passwd")).toBeNull();
    await user.click(await screen.findByRole("radio", { name: "Size map" }));
    await user.click(await button(/^usr, 90 MiB/));
    expect(await button(/^node, 88 MiB/)).toBeVisible();
    await user.click(screen.getByRole("radio", { name: "Table" }));
    expect(await screen.findByRole("table", { name: "Size map" })).toBeVisible();
    await user.click(screen.getByRole("radio", { name: "Lock" }));
    expect(await screen.findByRole("table", { name: "Lock" })).toBeVisible();
  });

  test("are mended in one click", async () => {
    const { user, called } = open(busyWorld(), contents);
    await user.click(await button("Add /lib/libnss_dns.so.2"));
    await waitFor(() =>
      expect(called("appliance_fix")[0]?.args["fix"]).toMatchObject({ kind: "addFile" }),
    );
  });
});

describe("the run settings", () => {
  const run: Place = { at: "appliance", id: "a0", tab: "run" };

  test("have the right field for each variable", async () => {
    const world = busyWorld();
    world.shelf.environment = variables;
    const { user } = open(world, run);
    expect(await screen.findByLabelText("PORT")).toHaveAttribute("type", "number");
    expect(screen.getByLabelText("TOKEN (required)")).toHaveAttribute("type", "password");
    expect(screen.getByLabelText("LOG_LEVEL").tagName).toBe("SELECT");
    await user.click(screen.getByRole("checkbox", { name: "VERBOSE" }));
    await waitFor(() => expect(world.run.env).toContainEqual({ name: "VERBOSE", value: "true" }));
  });

  test("edit a configuration as a form", async () => {
    const { user, called } = open(busyWorld(), run);
    const args = await screen.findByLabelText("Arguments");
    await user.type(args, "--fast{Enter}--loud");
    await waitFor(() =>
      expect(called("appliance_configuration_save").at(-1)?.args).toMatchObject({
        name: "default",
        fields: { settings: { args: ["--fast", "--loud"] } },
      }),
    );
  });

  test("add a configuration, and refuse a name that is taken", async () => {
    const { user, called } = open(busyWorld(), run);
    await user.click(await button("Add configuration"));
    const dialog = within(await screen.findByRole("dialog", { name: "Add configuration" }));
    await user.type(dialog.getByLabelText("Name"), "worker");
    expect(dialog.getByText("There is a configuration of this name already.")).toBeVisible();
    await user.type(dialog.getByLabelText("Name"), "2{Enter}");
    await waitFor(() =>
      expect(called("appliance_configuration_add")[0]?.args).toMatchObject({ name: "worker2" }),
    );
  });
});

describe("registries", () => {
  test("are added with a login", async () => {
    const { user, called } = open(busyWorld(), { at: "settings" });
    await user.click(await button("Add registry…"));
    const dialog = within(await screen.findByRole("dialog", { name: "Add a registry" }));
    await user.type(dialog.getByLabelText("Name"), "Mine");
    await user.type(dialog.getByLabelText("Address"), "https://mine.example.org/");
    await user.selectOptions(dialog.getByLabelText("Login"), "Token");
    await user.type(dialog.getByLabelText("Token"), "secret");
    await user.click(dialog.getByRole("button", { name: "Add" }));
    await waitFor(() =>
      expect(called("registry_add")[0]?.args["form"]).toMatchObject({
        name: "Mine",
        kind: "http",
        prefix: null,
        credentials: { kind: "bearer", token: "secret" },
      }),
    );
    expect(await screen.findByText("Mine")).toBeVisible();
  });

  test("say step by step what is wrong", async () => {
    const world = busyWorld();
    world.shelf.registries = [registry(1, "Team", { state: "failed", problem: buildError })];
    const { user } = open(world, { at: "settings" });
    await user.click(await button("Check"));
    expect(await screen.findByText("Check the password.")).toBeVisible();
  });
});

test("the library shows what would go before it goes", async () => {
  const { user, called } = open(busyWorld(), { at: "settings" });
  await user.click(await button("Prune…"));
  const dialog = within(await screen.findByRole("dialog", { name: "Prune the library" }));
  expect(dialog.getByText("No appliance uses it")).toBeVisible();
  expect(called("library_prune")).toHaveLength(0);
  await user.click(dialog.getByRole("button", { name: "Remove 80 MiB" }));
  await waitFor(() => expect(called("library_prune")).toHaveLength(1));
});

describe("axe finds nothing in", () => {
  const node = (tab: "readme" | "files" | "needs" | "versions"): Place => ({
    at: "packages",
    name: "node",
    tab,
  });
  const places: [string, World, Place][] = [
    ["packages where there are none", emptyWorld(), LIST],
    ["the packages", busyWorld(), LIST],
    ["a package", busyWorld(), node("readme")],
    ["its files", busyWorld(), node("files")],
    ["what it needs", busyWorld(), node("needs")],
    ["its versions", busyWorld(), node("versions")],
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

describe("secrets without a secret service", () => {
  test("are unlocked in Settings, and a wrong passphrase is told", async () => {
    const world = busyWorld();
    world.shelf.secrets = { kind: "file", why: "There is no secret service", locked: true };
    const { user, called } = open(world, { at: "settings" });
    const field = await screen.findByLabelText("Passphrase for passwords and keys");
    await user.type(field, "open barley{Enter}");
    await screen.findByText("That is not the passphrase");
    await user.clear(field);
    await user.type(field, "open sesame{Enter}");
    await waitFor(() =>
      expect(screen.queryByLabelText("Passphrase for passwords and keys")).toBeNull(),
    );
    await screen.findByText(/a file that a passphrase encrypts/);
    expect(called("secrets_unlock")).toHaveLength(2);
  });
});

describe("a package that was replaced under its version", () => {
  test("is refused, and accepted by whoever has read what changes", async () => {
    const world = busyWorld();
    const replaced = {
      registryId: 3,
      registry: "Team",
      name: "redis",
      version: "7.0.15",
      known: "a1".repeat(32),
      found: "b2".repeat(32),
    };
    const { user, emit, called } = open(world, { at: "packages", name: "redis", tab: "readme" });
    world.override["package_pull"] = () =>
      job(0, { id: "job-pull", kind: "pull", subject: "redis", state: "running", endedAt: null });
    await user.click(await button("Pull"));
    const error = { kind: "conflict" as const, message: "It was replaced", hints: [], chain: [] };
    await emit("job-changed", {
      ...job(0, { id: "job-pull", kind: "pull", subject: "redis", state: "failed" }),
      error: { ...error, replaced },
    });
    await user.click(await button("Accept the new one…"));
    const question = within(
      await screen.findByRole("alertdialog", { name: "Accept another redis 7.0.15 than before?" }),
    );
    expect(question.getByText(/Team has replaced redis 7\.0\.15/)).toBeVisible();
    expect(question.getByText(replaced.known)).toBeVisible();
    expect(question.getByText(replaced.found)).toBeVisible();
    expect(called("package_accept_digest")).toHaveLength(0);
    await user.click(question.getByRole("button", { name: "Accept the new one" }));
    await waitFor(() => expect(called("job_retry")[0]?.args).toEqual({ id: "job-pull" }));
    expect(called("package_accept_digest")[0]?.args).toEqual({
      registryId: 3,
      name: "redis",
      version: "7.0.15",
      found: replaced.found,
    });
  });
});

describe("a container image", () => {
  async function ask(world: World) {
    const core = open(world);
    await core.user.click(await button("Make a package"));
    await core.user.click(await screen.findByRole("menuitem", { name: "Container image…" }));
    const dialog = within(
      await screen.findByRole("dialog", { name: "Make a package of a container image" }),
    );
    const field = dialog.getByRole("textbox", { name: "Image" });
    expect(field).toHaveFocus();
    return { ...core, dialog, field };
  }

  test("is fetched with progress, then previewed", async () => {
    const { user, field, dialog, emit, called } = await ask(busyWorld());
    await user.type(field, "deb ian");
    await user.click(dialog.getByRole("button", { name: "Preview" }));
    expect(await dialog.findByText(/is not the name of an image/)).toBeVisible();
    expect(field).toBeInvalid();
    await user.clear(field);
    await user.type(field, "debian:12{Enter}");
    const pack = within(await screen.findByRole("dialog", { name: "Make a package of debian:12" }));
    await pack.findByRole("progressbar", { name: "Fetch debian:12" });
    expect(called("pack_preview")).toHaveLength(0);
    await emit("job-changed", job(0, { id: "job-image", kind: "pull", produced: null }));
    await pack.findByRole("tab", { name: "Manifest" });
    expect(called("pack_preview")[0]?.args["source"]).toEqual({
      kind: "oci",
      value: "debian:12",
      guest: "linux",
    });
  });

  test("is fetched no further when its dialog is closed, and again when it failed", async () => {
    const world = busyWorld();
    const { user, field, emit, called } = await ask(world);
    await user.type(field, "debian:12{Enter}");
    const pack = within(await screen.findByRole("dialog", { name: "Make a package of debian:12" }));
    await pack.findByRole("progressbar");
    await emit(
      "job-changed",
      job(0, { id: "job-image", kind: "pull", state: "failed", produced: null, error: buildError }),
    );
    expect(await pack.findByText(buildError.message)).toBeVisible();
    world.override["pack_fetch_image"] = () =>
      job(0, { id: "job-again", kind: "pull", state: "running", endedAt: null, produced: null });
    await user.click(pack.getByRole("button", { name: "Try again" }));
    await pack.findByRole("progressbar");
    await user.click(pack.getByRole("button", { name: "Cancel" }));
    await waitFor(() => expect(called("job_cancel")[0]?.args).toEqual({ id: "job-again" }));
    expect(screen.queryByRole("dialog")).toBeNull();
  });
});
