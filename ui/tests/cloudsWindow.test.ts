import { cleanup, render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { afterEach, describe, expect, test } from "vitest";
import App from "../src/App.svelte";
import { cloudImages } from "../src/stores/cloudImages.svelte";
import { clouds, isCloudFile } from "../src/stores/clouds.svelte";
import { dialogs } from "../src/stores/dialogs.svelte";
import { drop } from "../src/stores/drop.svelte";
import { navigation, type Place } from "../src/stores/navigation.svelte";
import { busyWorld, emptyWorld, install, type World } from "./fixture";
import { image } from "./skies";

function open(world: World, place: Place = { at: "clouds" }) {
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
  cloudImages.clear();
  clouds.loaded = false;
  clouds.checks = new Map();
  clouds.files = [];
  dialogs.question = null;
  dialogs.failure = null;
  navigation.place = { at: "appliances" };
});

const button = (name: string | RegExp) => screen.findByRole("button", { name });

describe("clouds", () => {
  test("say where to begin when there are none", async () => {
    open(emptyWorld());
    expect(await screen.findByText("No clouds yet")).toBeVisible();
    expect((await screen.findAllByRole("button", { name: "Import…" })).length).toBe(2);
  });

  test("are tested with one button, which says what is wrong and what to do", async () => {
    const { user } = open(busyWorld());
    const campus = (await screen.findByText("campus")).closest("li")!;
    await user.click(within(campus).getByRole("button", { name: "Test" }));
    const steps = await screen.findByRole("list", { name: /campus/ });
    expect(steps).toHaveTextContent("port 5000 answers");
    expect(steps).toHaveTextContent("Ask the cloud's keeper for the certificate");
  });

  test("are added by a form, and the secret goes with it once", async () => {
    const { user, called } = open(emptyWorld());
    await user.click(await button("Add cloud…"));
    const save = await button("Save and test");
    expect(save).toBeDisabled();
    await user.type(screen.getByLabelText("Name"), "work");
    await user.type(screen.getByLabelText("Address of Keystone"), "https://k.example/v3");
    await user.type(screen.getByLabelText("User"), "ada");
    await user.type(screen.getByLabelText("Password"), "pa ss");
    await user.type(screen.getByLabelText("Project"), "science");
    await user.click(save);
    await waitFor(() => expect(called("cloud_add")).toHaveLength(1));
    expect(called("cloud_add")[0]?.args["form"]).toMatchObject({
      name: "work",
      auth: "password",
      authUrl: "https://k.example/v3",
      user: "ada",
      userDomain: "Default",
      project: "science",
      secret: { kind: "given", secret: "pa ss" },
    });
    await waitFor(() => expect(called("cloud_check")).toHaveLength(1));
    expect(document.body.textContent).not.toContain("pa ss");
  });

  test("of a dropped file are shown before they are taken over", async () => {
    const { user, called } = open(busyWorld());
    await screen.findByText("campus");
    await drop.drop(["/home/user/.config/openstack/clouds.yaml"]);
    const dialog = await screen.findByRole("dialog", { name: /clouds\.yaml/ });
    // What would replace one that is there is left out until it is asked for.
    expect(within(dialog).getByRole("checkbox", { name: "campus" })).not.toBeChecked();
    await user.click(within(dialog).getByRole("button", { name: "Take over" }));
    await waitFor(() => expect(called("cloud_import")[0]?.args["names"]).toEqual(["lab"]));
  });

  test("show their quotas", async () => {
    const { user } = open(busyWorld());
    const campus = (await screen.findByText("campus")).closest("li")!;
    await user.click(within(campus).getByRole("button", { name: "Show what is there" }));
    expect(await screen.findByText("3 of 10")).toBeVisible();
    const found = await axe.run(document.body, { rules: { "color-contrast": { enabled: false } } });
    expect(found.violations.map((one) => one.id)).toEqual([]);
  });

  test("list their images, of which some are changed, fetched and deleted", async () => {
    const { user, called } = open(busyWorld(), { at: "cloud", id: 1, tab: "images" });
    const grid = await screen.findByRole("grid", { name: "Images" });
    expect(within(grid).getByRole("row", { name: "windows-2022" })).toHaveTextContent("Shared");
    expect(within(grid).getByRole("row", { name: /^web-1/ })).toHaveTextContent("Being written");
    await user.click(screen.getByRole("radio", { name: /Made by Windlass/ }));
    expect(within(grid).queryByRole("row", { name: "windows-2022" })).toBeNull();
    await user.type(screen.getByLabelText("Filter images"), "openfoam");
    expect(within(grid).queryByRole("row", { name: "node-microservice" })).toBeNull();
    await user.click(within(grid).getByRole("button", { name: "Actions for solver" }));
    await user.click(await screen.findByRole("menuitem", { name: "Download…" }));
    await waitFor(() => expect(called("cloud_image_fetch")[0]?.args["image"]).toBe("image-solver"));
    await user.click(within(grid).getByText("solver"));
    const dialog = await screen.findByRole("dialog", { name: "solver" });
    await user.selectOptions(within(dialog).getByLabelText("Visibility"), "community");
    await user.click(within(dialog).getByRole("button", { name: "Save" }));
    expect(await within(grid).findByText("Community")).toBeVisible();
    // What was not touched is not sent.
    expect(called("cloud_image_change")[0]?.args).toMatchObject({ name: null, tags: null });
    await user.click(within(grid).getByRole("button", { name: "Actions for solver" }));
    await user.click(await screen.findByRole("menuitem", { name: "Delete" }));
    const question = await screen.findByRole("alertdialog");
    await user.click(within(question).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(within(grid).queryByText("solver")).toBeNull());
    const found = await axe.run(document.body, { rules: { "color-contrast": { enabled: false } } });
    expect(found.violations.map((one) => one.id)).toEqual([]);
  });

  test("are cleaned up by deployment, of what was chosen alone", async () => {
    const { user, called } = open(busyWorld(), { at: "cloud", id: 1, tab: "cleanUp" });
    const cut = await screen.findByRole("region", { name: "cut-net" });
    expect(cut).toHaveTextContent("No server left");
    expect(screen.getByRole("region", { name: "web-1" })).not.toHaveTextContent("No server left");
    expect(screen.getByRole("button", { name: "Delete chosen (0)" })).toBeDisabled();
    await user.click(within(cut).getByRole("checkbox", { name: "cut-net" }));
    const found = await axe.run(document.body, { rules: { "color-contrast": { enabled: false } } });
    expect(found.violations.map((one) => one.id)).toEqual([]);
    await user.click(screen.getByRole("button", { name: "Delete chosen (2)" }));
    const question = await screen.findByRole("alertdialog");
    expect(question).toHaveTextContent("Subnet cut-net");
    await user.click(within(question).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(screen.queryByRole("region", { name: "cut-net" })).toBeNull());
    expect(called("cloud_cleanup")[0]?.args["what"]).toEqual({
      only: ["network-cut-net", "subnet-cut-net"],
    });
  });

  test("with ten thousand images show few rows, and read them in pages", async () => {
    const world = busyWorld();
    const all = Array.from({ length: 10_000 }, (_, at) => image(`i${at}`));
    world.override["cloud_image_page"] = ({ marker }) => {
      const from = marker === null ? 0 : Number(marker);
      const next = from + 500 < all.length ? String(from + 500) : null;
      return { images: all.slice(from, from + 500), next };
    };
    const { called } = open(world, { at: "cloud", id: 1, tab: "images" });
    const grid = await screen.findByRole("grid", { name: "Images" });
    await waitFor(() => expect(grid).toHaveAttribute("aria-rowcount", "10001"));
    expect(within(grid).getAllByRole("row").length).toBeLessThan(60);
    expect(called("cloud_image_page")).toHaveLength(20);
  });

  test("are told from other files by name", () => {
    expect(isCloudFile("/x/clouds.yaml")).toBe(true);
    expect(isCloudFile("/x/demo-openrc.sh")).toBe(true);
    expect(isCloudFile("/x/meta/package.yaml")).toBe(false);
    expect(isCloudFile("/x/clouds/app.jar")).toBe(false);
  });
});
