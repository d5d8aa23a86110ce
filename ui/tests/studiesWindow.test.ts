import { cleanup, render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { afterEach, describe, expect, test } from "vitest";
import App from "../src/App.svelte";
import { dialogs } from "../src/stores/dialogs.svelte";
import { navigation, type Place } from "../src/stores/navigation.svelte";
import { studies } from "../src/stores/studies.svelte";
import { busyWorld, emptyWorld, install, type World } from "./fixture";

// The plot draws on a canvas that does nothing.
const canvas = new Proxy({}, { get: () => () => ({ width: 0 }), set: () => true });
HTMLCanvasElement.prototype.getContext = () => canvas as never;
globalThis.Path2D ??= class {
  moveTo() {}
  lineTo() {}
  rect() {}
  arc() {}
} as unknown as typeof Path2D;

const FOLDER = "/home/user/studies/cavity";

function open(world: World, place: Place = { at: "studies" }) {
  const core = install(world);
  render(App);
  navigation.go(place);
  return { ...core, user: userEvent.setup() };
}

afterEach(() => {
  cleanup();
  studies.items = [];
  studies.loaded = false;
  dialogs.question = null;
  dialogs.failure = null;
  navigation.place = { at: "appliances" };
});

describe("studies", () => {
  test("say where to begin when there are none", async () => {
    open(emptyWorld());
    expect(await screen.findByRole("heading", { name: "Studies" })).toBeVisible();
    expect((await screen.findAllByRole("button", { name: /New study/ })).length).toBeGreaterThan(0);
  });

  test("are listed with how their runs stand, and with what is wrong with them", async () => {
    const { container } = { container: document.body, ...open(busyWorld()) };
    expect(await screen.findByText("Cavity over four viscosities")).toBeVisible();
    expect(await screen.findByText(/There is no study.yaml/)).toBeVisible();
    expect((await axe.run(container)).violations).toEqual([]);
  });

  test("tell outcomes apart in words, and show what a run says and changes", async () => {
    const { user } = open(busyWorld(), { at: "study", id: FOLDER, tab: "runs" });
    const table = await screen.findByRole("grid", { name: "Runs" });
    for (const outcome of ["converged", "not converged", "diverged", "failed", "lost"])
      expect(within(table).getByText(outcome)).toBeVisible();
    // The run that is under way is the one that is looked at first.
    const panel = await screen.findByRole("region", { name: "Run 3" });
    expect(panel).toHaveTextContent("nu = 0.03");
    await user.click(within(panel).getByRole("radio", { name: /Log/ }));
    await user.type(within(panel).getByRole("textbox"), "residual");
    expect(panel).toHaveTextContent("Solving for Ux");
    expect(panel).not.toHaveTextContent("Time = 0.995");
    await user.click(within(panel).getByRole("radio", { name: /Changed lines/ }));
    expect(panel).toHaveTextContent("constant/transportProperties:18");
  });

  test("begin what failed again", async () => {
    const world = busyWorld();
    world.laboratory.runs = world.laboratory.runs.filter(({ outcome }) => outcome !== "running");
    const { user, calls } = open(world, { at: "study", id: FOLDER, tab: "runs" });
    await user.click(await screen.findByRole("button", { name: "Run failed ones again" }));
    const [call] = calls.filter(({ command }) => command === "study_run");
    expect(call!.args).toEqual({ folder: FOLDER, options: { retry: true } });
  });
});
