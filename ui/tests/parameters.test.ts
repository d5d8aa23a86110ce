import { cleanup, render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { afterEach, describe, expect, test } from "vitest";
import App from "../src/App.svelte";
import {
  speedAndAngle,
  splitValues,
  variableName,
  vectorOf,
} from "../src/screens/studies/parameters";
import { dialogs } from "../src/stores/dialogs.svelte";
import { navigation } from "../src/stores/navigation.svelte";
import { studies } from "../src/stores/studies.svelte";
import { busyWorld, install } from "./fixture";

const FOLDER = "/home/user/studies/cavity";

function open() {
  const world = busyWorld();
  const core = install(world);
  render(App);
  navigation.go({ at: "study", id: FOLDER, tab: "parameters" });
  return { world, ...core, user: userEvent.setup() };
}

afterEach(() => {
  cleanup();
  studies.items = [];
  studies.loaded = false;
  dialogs.failure = null;
  navigation.place = { at: "appliances" };
});

describe("the parameters of a study", () => {
  test("a value of the case that is pressed becomes a variable", async () => {
    const { user, world, calls } = open();
    await user.click(await screen.findByRole("button", { name: /system\/controlDict/ }));
    await user.click(screen.getByRole("button", { name: /deltaT/ }));
    const card = await screen.findByRole("article", { name: "deltaT" });
    const values = within(card).getByRole("textbox", { name: "Values" });
    expect(values).toHaveFocus();
    await user.clear(values);
    await user.type(values, "0.005, 0.01{Enter}");
    await user.tab();
    expect(calls.some(({ command }) => command === "study_save_form")).toBe(true);
    expect(world.laboratory.form.variables.at(-1)).toEqual({
      name: "deltaT",
      place: { at: "entry", file: "system/controlDict", entry: "deltaT" },
      values: { from: "list", values: ["0.005", "0.01"] },
    });
    // Pressed again, it is the same one.
    await user.click(screen.getByRole("button", { name: /^deltaT/ }));
    expect(world.laboratory.form.variables).toHaveLength(2);
    expect((await axe.run(document.body)).violations).toEqual([]);
  });

  test("what is wrong is told where it was entered, and the study stays as it was", async () => {
    const { user, world } = open();
    const card = await screen.findByRole("article", { name: "nu" });
    const values = within(card).getByRole("textbox", { name: "Values" });
    await user.clear(values);
    await user.tab();
    expect(await within(card).findByText("nu: there are no values")).toBeVisible();
    expect(screen.getByText(/as it was before the mistake/)).toBeVisible();
    expect(world.laboratory.form.variables[0]!.values).toEqual({
      from: "list",
      values: ["0.01", "0.02", "0.03", "0.04"],
    });
  });

  test("a search finds values in all files, and a vector becomes speed and angle", async () => {
    const { user, world } = open();
    await user.type(await screen.findByRole("searchbox"), "0/U internal");
    expect(screen.queryByRole("button", { name: /controlDict/ })).toBeNull();
    await user.click(screen.getByRole("button", { name: /internalField/ }));
    const card = await screen.findByRole("article", { name: "internalField" });
    await user.click(within(card).getByRole("button", { name: "As speed and angle" }));
    expect(await screen.findByRole("article", { name: "angle" })).toBeVisible();
    expect(world.laboratory.form.variables.map(({ name }) => name)).toEqual([
      "nu",
      "speed",
      "angle",
      "internalField",
    ]);
    expect(world.laboratory.form.variables.at(-1)!.values).toEqual({
      from: "formula",
      formula: "(speed*cos(angle*degree) speed*sin(angle*degree) 0)",
    });
  });
});

test("values are split where they end, and vectors hold together", () => {
  expect(splitValues("1, 2;3\n4,")).toEqual(["1", "2", "3", "4"]);
  expect(splitValues("(1 0 0), (cos(1), 0 0)")).toEqual(["(1 0 0)", "(cos(1), 0 0)"]);
  expect(splitValues(" ")).toEqual([]);
});

test("names come of entries, and none is there twice", () => {
  expect(variableName("solvers/p/tolerance", [])).toBe("tolerance");
  expect(variableName('boundaryField/"(in|out)let"', [])).toBe("in_out_let");
  expect(variableName("nu", ["nu", "nu2"])).toBe("nu3");
  expect(variableName("0", [])).toBe("x");
});

test("a vector is three numbers in brackets", () => {
  expect(vectorOf("(26 0 0)")).toEqual([26, 0, 0]);
  for (const other of ["26", "(1 2)", "(1 2 x)", "((1 0 0))"]) expect(vectorOf(other)).toBeNull();
  const parts = speedAndAngle(
    { name: "U", place: { at: "nowhere" }, values: { from: "list", values: ["(3 4 0)"] } },
    [3, 4, 0],
    ["speed"],
  );
  expect(parts.map(({ name, values }) => [name, values])).toEqual([
    ["speed2", { from: "list", values: ["5"] }],
    ["angle", { from: "list", values: ["53.1301"] }],
    ["U", { from: "formula", formula: "(speed2*cos(angle*degree) speed2*sin(angle*degree) 0)" }],
  ]);
});
