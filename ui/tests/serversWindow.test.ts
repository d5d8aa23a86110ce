import { cleanup, render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { afterEach, describe, expect, test } from "vitest";
import App from "../src/App.svelte";
import { clouds } from "../src/stores/clouds.svelte";
import { dialogs } from "../src/stores/dialogs.svelte";
import { machines } from "../src/stores/machines.svelte";
import { navigation, type Place } from "../src/stores/navigation.svelte";
import { pauseMs, servers, ServersOf } from "../src/stores/servers.svelte";
import { busyWorld, install, job, type World } from "./fixture";
import { server } from "./skies";

function open(world: World, place: Place = { at: "machines" }) {
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
  clouds.items = [];
  clouds.loaded = false;
  servers.clear();
  machines.items = [];
  machines.loaded = false;
  dialogs.question = null;
  dialogs.failure = null;
  navigation.place = { at: "appliances" };
});

const row = (name: string | RegExp) => screen.findByRole("row", { name });

describe("servers of clouds", () => {
  test("stand in one table with the machines of this computer", async () => {
    const { user, called } = open(busyWorld());
    const web = await row("web-1, Running, campus");
    expect(web).toHaveTextContent("172.24.4.99");
    expect(web).toHaveTextContent("m1.small");
    expect(await row(/^node-microservice/)).toBeVisible();
    expect(await row("solver, Failed, campus")).toHaveTextContent("No valid host was found");
    await user.click(within(web).getByRole("button", { name: "Actions for web-1" }));
    await user.click(await screen.findByRole("menuitem", { name: "Suspend" }));
    expect(called("cloud_server_change")[0]?.args).toMatchObject({
      id: 1,
      server: "server-web-1",
      change: { do: "act", action: "suspend" },
    });
    expect(await row("web-1, Suspended, campus")).toBeVisible();
    const found = await axe.run(document.body, { rules: { "color-contrast": { enabled: false } } });
    expect(found.violations.map((one) => one.id)).toEqual([]);
  });

  test("are stopped and deleted together with machines, after one question", async () => {
    const { user, called } = open(busyWorld());
    for (const name of ["web-1, Running, campus", "web-2, Stopped, campus"])
      await user.click(within(await row(name)).getByRole("checkbox"));
    const bar = screen.getByRole("toolbar", { name: "Selected machines" });
    await user.click(within(bar).getByRole("button", { name: "Delete" }));
    const dialog = await screen.findByRole("alertdialog", { name: "Delete 2 servers?" });
    expect(dialog).toHaveTextContent("web-1");
    await user.click(within(dialog).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(called("cloud_server_change")).toHaveLength(2));
  });

  test("are given another size, a volume, an address", async () => {
    const { user, called } = open(busyWorld());
    const ask = async (name: string) => {
      const web = await row("web-1, Running, campus");
      await user.click(within(web).getByRole("button", { name: "Actions for web-1" }));
      await user.click(await screen.findByRole("menuitem", { name }));
      return screen.findByRole("dialog");
    };
    const last = () => called("cloud_server_change").at(-1)?.args["change"];
    let dialog = await ask("Attach volume…");
    expect(await within(dialog).findByRole("option", { name: /results/ })).toBeInTheDocument();
    expect(within(dialog).queryByRole("option", { name: /old/ })).toBeNull();
    await user.click(within(dialog).getByRole("button", { name: "Attach" }));
    expect(last()).toEqual({ do: "attachVolume", volume: "v1" });
    dialog = await ask("Take floating address away…");
    await user.click(await within(dialog).findByRole("button", { name: "Take away" }));
    await waitFor(() => expect(last()).toEqual({ do: "removeFloating", address: "172.24.4.99" }));
    dialog = await ask("Resize…");
    await user.selectOptions(await within(dialog).findByLabelText("Flavor"), "m1.large");
    await user.click(within(dialog).getByRole("button", { name: "Resize" }));
    expect(last()).toEqual({ do: "resize", flavor: "m1.large", confirm: false });
    const web = await row("web-1, Resized, to confirm, campus");
    await user.click(within(web).getByRole("button", { name: "Actions for web-1" }));
    await user.click(await screen.findByRole("menuitem", { name: "Keep new size" }));
    expect(await row("web-1, Running, campus")).toBeVisible();
  });

  test("are opened from the table, and their list outlives it", async () => {
    const { user } = open(busyWorld());
    await user.click(within(await row("web-1, Running, campus")).getByText("web-1"));
    expect(await screen.findByRole("heading", { name: "web-1" })).toBeVisible();
    await user.click(screen.getByRole("tab", { name: "Actions" }));
    expect(await screen.findByText(/No valid host found for resize/)).toBeVisible();
    expect(screen.getByRole("heading", { name: "web-1" })).toBeVisible();
  });

  test("have a page with what was done, and why it failed", async () => {
    const { user } = open(busyWorld(), {
      at: "server",
      cloud: 1,
      id: "server-solver",
      tab: "deeds",
    });
    expect(await screen.findByText(/No valid host found for resize/)).toBeVisible();
    expect(screen.getByText("req-7")).toBeVisible();
    await user.click(screen.getByRole("tab", { name: "Details" }));
    expect(await screen.findByText(/OS-EXT-STS:vm_state/)).toBeVisible();
    const found = await axe.run(document.body, { rules: { "color-contrast": { enabled: false } } });
    expect(found.violations.map((one) => one.id)).toEqual([]);
  });

  test("say in Nova's words what could not be done with them", async () => {
    const world = busyWorld();
    world.override["cloud_server_change"] = () =>
      job(901, {
        state: "failed",
        error: {
          kind: "unavailable",
          message: "The server web-1 ended in the state ACTIVE: No host takes it",
          hints: [],
          chain: [],
        },
      });
    const { user } = open(world);
    const web = await row("web-1, Running, campus");
    await user.click(within(web).getByRole("button", { name: "Stop web-1" }));
    expect(await screen.findByText(/No host takes it/)).toBeVisible();
  });

  test("of a cloud that does not answer say why, and the rest is there", async () => {
    const world = busyWorld();
    const refused = { kind: "unavailable", message: "Nobody answers", hints: [], chain: [] };
    const pages = (args: Record<string, unknown>) => {
      if (args["id"] === 2) throw refused;
      return { servers: [server("far")], gone: [], next: null, asOf: null };
    };
    world.override["cloud_server_page"] = pages;
    open(world);
    expect(await screen.findByText("partner does not answer: Nobody answers")).toBeVisible();
    expect(await row("far, Running, campus")).toBeVisible();
  });
});

describe("the list of a cloud's servers", () => {
  test("comes in pages, then asks only for what changed", async () => {
    const all = Array.from({ length: 5000 }, (_, at) => server(`s${at}`));
    const world = busyWorld();
    let gone: string[] = [];
    world.override["cloud_server_page"] = ({ since, marker }) => {
      if (since !== null)
        return {
          servers: [server("s7", { status: "SHUTOFF" }), server("new")],
          gone,
          next: null,
          asOf: "T2",
        };
      const from = marker === null ? 0 : Number(marker);
      const next = from + 500 < all.length ? String(from + 500) : null;
      return { servers: all.slice(from, from + 500), gone: [], next, asOf: "T1" };
    };
    const { calls } = install(world);
    const list = new ServersOf(1);
    await list.refresh();
    expect(list.items).toHaveLength(5000);
    expect(calls).toHaveLength(10);
    gone = ["server-s3"];
    await list.refresh();
    expect(calls).toHaveLength(11);
    expect(calls[10]?.args).toMatchObject({ since: "T1", marker: null });
    expect(list.items).toHaveLength(5000);
    expect(list.items[0]?.name).toBe("new");
    expect(list.get("server-s3")).toBeUndefined();
    expect(list.get("server-s7")?.status).toBe("SHUTOFF");
    // What is told again is no change.
    const before = list.items;
    await list.refresh();
    expect(list.items).toBe(before);
    expect(calls[11]?.args).toMatchObject({ since: "T2" });
  });

  test("is asked for rarely when the cloud fails, and often while something is done", () => {
    expect(pauseMs(0, true)).toBeLessThan(pauseMs(0, false));
    expect(pauseMs(1, true)).toBeGreaterThan(pauseMs(0, false));
    expect(pauseMs(30, false)).toBe(300_000);
  });
});
