import { cleanup, render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { afterEach, describe, expect, test, vi } from "vitest";
import App from "../src/App.svelte";
import StackDialog from "../src/screens/clouds/StackDialog.svelte";
import { asCommand, sharesAfter } from "../src/screens/clouds/deploy";
import { appliances } from "../src/stores/appliances.svelte";
import { clouds } from "../src/stores/clouds.svelte";
import { navigation } from "../src/stores/navigation.svelte";
import { busyWorld, install } from "./fixture";

afterEach(() => {
  cleanup();
  clouds.items = [];
  clouds.loaded = false;
  localStorage.clear();
  navigation.place = { at: "appliances" };
});

async function open() {
  const core = install(busyWorld());
  render(App);
  await appliances.load();
  const one = appliances.items.find(({ problem }) => problem === null)!;
  navigation.go({ at: "appliance", id: one.id, tab: "contents" });
  const user = userEvent.setup();
  await user.click(await screen.findByRole("button", { name: "Deploy" }));
  const dialog = await screen.findByRole("dialog");
  await within(dialog).findByLabelText("Flavor");
  return { ...core, user, dialog, one };
}

describe("stacks", () => {
  test("are written for three engines, compared and launched", async () => {
    const core = install(busyWorld());
    const user = userEvent.setup();
    render(StackDialog, {
      source: { kind: "group", path: "/shop" },
      title: "shop",
      onclose: () => undefined,
    });
    const dialog = await screen.findByRole("dialog");
    const asked = () => core.calls.filter(({ command }) => command === "stack_text");
    await vi.waitFor(() => expect(asked().at(-1)?.args["format"]).toBe("heat"));
    await user.click(within(dialog).getByRole("radio", { name: "Kubernetes" }));
    await user.type(within(dialog).getByLabelText("Container registry"), "host/team");
    await vi.waitFor(() =>
      expect(asked().at(-1)?.args).toMatchObject({
        format: "kubernetes",
        options: { registry: "host/team" },
      }),
    );
    await user.click(within(dialog).getByRole("button", { name: "What would change" }));
    const changes = await within(dialog).findByRole("region", { name: "What would change" });
    expect(changes).toHaveTextContent("Made anew, with the loss of what is in them: db");
    await user.type(within(dialog).getByLabelText("Network outside"), "public");
    await user.click(within(dialog).getByRole("button", { name: "Launch" }));
    const [call] = core.calls.filter(({ command }) => command === "stack_launch");
    expect(call!.args).toMatchObject({
      cloud: 1,
      source: { kind: "group", path: "/shop" },
      options: { name: "shop", external: "public" },
    });
  });
});

describe("deploying", () => {
  test("proposes the smallest flavor that fits, and says why others do not", async () => {
    const { dialog } = await open();
    const flavor = within(dialog).getByLabelText<HTMLSelectElement>("Flavor");
    expect(flavor.value).toBe("m1.tiny");
    const nano = within(flavor).getByRole<HTMLOptionElement>("option", { name: /m1.nano/ });
    expect(nano).toBeDisabled();
    expect(nano).toHaveTextContent("256 are needed");
    expect(dialog).toHaveTextContent("Let through: 80/tcp");
    expect((await axe.run(dialog)).violations).toEqual([]);
  });

  test("draws the shares as they would be, and refuses what is over them", async () => {
    const { dialog, user } = await open();
    const quotas = () => within(dialog).getByRole("region", { name: "Quotas" });
    expect(quotas()).toHaveTextContent("3 → 4 of 10");
    const count = within(dialog).getByLabelText("How many servers");
    await user.clear(count);
    await user.type(count, "8");
    expect(quotas()).toHaveTextContent("3 → 11 of 10");
    expect(within(dialog).getByRole("alert")).toHaveTextContent("more than the project may have");
    expect(within(dialog).getByRole("button", { name: "Deploy" })).toBeDisabled();
  });

  test("hands over what was chosen, once", async () => {
    const { dialog, user, calls, one } = await open();
    const name = within(dialog).getByLabelText("Name");
    await user.clear(name);
    await user.type(name, "shop front");
    await user.click(within(dialog).getByRole("checkbox", { name: /from outside/ }));
    await user.selectOptions(within(dialog).getByLabelText("Key pair"), "ada");
    await user.click(within(dialog).getByRole("button", { name: "Deploy" }));
    expect(screen.queryByRole("dialog")).toBeNull();
    const [call, ...more] = calls.filter(({ command }) => command === "cloud_deploy");
    expect(more).toEqual([]);
    expect(call!.args).toMatchObject({
      id: 1,
      image: one.name,
      options: { from: "appliance", name: "shop front", count: 1, floating: true, key: "ada" },
    });
  });

  test("has its words for a terminal", () => {
    const words = asCommand("web", "work", {
      from: "appliance",
      name: "shop front",
      count: 3,
      newNetwork: true,
      floating: true,
    });
    expect(words).toBe(
      "windlassctl deploy web --cloud work --appliance --name 'shop front' --count 3 --new-network --floating",
    );
    const flavor = { name: "a", vcpus: 2, memoryMib: 512, diskGib: 1, lacks: null, proposed: true };
    const quota = { service: "Nova", what: "virtual processors", used: 1, limit: 4 };
    expect(sharesAfter([quota], flavor, 2, false)).toEqual([{ ...quota, after: 5 }]);
  });
});
