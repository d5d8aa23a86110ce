import { beforeEach, describe, expect, test, vi } from "vitest";
import { BackendError, backend, toAppError } from "../src/backend";
import { canDo } from "../src/stores/machines.svelte";
import { jobs } from "../src/stores/jobs.svelte";
import { navigation, placeFrom } from "../src/stores/navigation.svelte";
import { RunForm } from "../src/stores/runForm.svelte";
import { busyWorld, buildError, install, job, machine, type World } from "./fixture";

let world: World;
let calls: ReturnType<typeof install>["calls"];

beforeEach(() => {
  world = busyWorld();
  calls = install(world).calls;
  jobs.items = [];
});

describe("errors of the core", () => {
  test("are thrown with their hints", async () => {
    world.override["appliance_contents"] = () => Promise.reject(buildError);
    await expect(backend.applianceContents("a0")).rejects.toMatchObject({
      message: buildError.message,
      hints: buildError.hints,
    });
    await expect(backend.applianceContents("a0")).rejects.toBeInstanceOf(BackendError);
  });

  test("that are no errors of ours are still shown in words", () => {
    expect(toAppError(new TypeError("x is undefined"))).toMatchObject({
      kind: "internal",
      message: "x is undefined",
    });
    expect(toAppError("gone")).toMatchObject({ message: "gone" });
  });
});

describe("jobs", () => {
  test("have a rate and a time left once there is enough to say", () => {
    const now = vi.spyOn(performance, "now");
    const running = job(0, { state: "running", total: 4000, endedAt: null, produced: null });
    now.mockReturnValue(1000);
    jobs.update({ ...running, done: 0 });
    expect(jobs.rate(running)).toBeNull();
    now.mockReturnValue(2000);
    jobs.update({ ...running, done: 1000 });
    expect(jobs.rate(running)).toBe(1000);
    expect(jobs.timeLeftMs({ ...running, done: 1000 })).toBe(3000);
    now.mockRestore();
  });

  test("say what they produced, as soon as it is there", async () => {
    const produced = jobs.produced("j5");
    jobs.update(job(5, { state: "running", produced: null }));
    jobs.update(job(5, { state: "running", produced: "m9" }));
    await expect(produced).resolves.toBe("m9");
  });

  test("that had ended before they were asked for are not waited for", async () => {
    jobs.update(job(6, { state: "failed", produced: null, error: buildError }));
    await expect(jobs.produced("j6")).resolves.toBeNull();
  });

  test("show a failure at their appliance until it is dismissed", () => {
    jobs.follow("j7");
    jobs.update(job(7, { state: "failed", produced: null, error: buildError }));
    expect(jobs.of("a0")?.id).toBe("j7");
    jobs.dismiss("j7");
    expect(jobs.of("a0")).toBeUndefined();
  });
});

test("machines offer only what makes sense in their state", () => {
  expect(canDo(machine(0, "running"), "start")).toBe(false);
  expect(canDo(machine(0, "running"), "delete")).toBe(false);
  expect(canDo(machine(0, "paused"), "resume")).toBe(true);
  expect(canDo(machine(0, "lost"), "start")).toBe(true);
  expect(canDo(machine(0, "stopping"), "stop")).toBe(false);
  expect(canDo(machine(0, "stopping"), "kill")).toBe(true);
});

test("going back skips the tabs within a place", () => {
  navigation.go({ at: "appliances" });
  navigation.go({ at: "appliance", id: "a0", tab: "contents" });
  navigation.replace({ at: "appliance", id: "a0", tab: "run" });
  navigation.back();
  expect(navigation.place).toEqual({ at: "appliances" });
  navigation.restore();
  expect(navigation.place).toEqual({ at: "appliances" });
});

test("a place that was remembered by another version opens where there is something", () => {
  expect(placeFrom({ at: "machine", id: "m1", tab: "threads" })).toEqual({
    at: "machine",
    id: "m1",
    tab: "console",
  });
  expect(placeFrom({ at: "image", image: "b1", tab: "sizes", extra: 1 })).toEqual({
    at: "image",
    image: "b1",
    tab: "sizes",
  });
  expect(placeFrom({ at: "packages", name: null })).toEqual({
    at: "packages",
    name: null,
    tab: "readme",
  });
  expect(placeFrom({ at: "comparison", left: "a" })).toBeNull();
  expect(placeFrom({ at: "nowhere" })).toBeNull();
  expect(placeFrom({ at: "toString" })).toBeNull();
  expect(placeFrom("machines")).toBeNull();
});

describe("the run form", () => {
  test("saves what was changed before anything is run", async () => {
    const form = new RunForm("a0");
    await form.load();
    if (form.settings) form.settings.memoryMib = 1024;
    form.changed();
    expect(await form.save()).toBe(true);
    expect(world.run.memoryMib).toBe(1024);
    expect(form.state).toBe("saved");
  });

  test("does not save what cannot be", async () => {
    const form = new RunForm("a0");
    await form.load();
    form.settings?.ports.push(
      { host: 80, guest: 80, protocol: "tcp" },
      { host: 80, guest: 81, protocol: "tcp" },
    );
    form.settings?.env.push({ name: "A B", value: "" });
    form.changed();
    expect(Object.keys(form.problems)).toEqual(["port2", "env1"]);
    expect(await form.save()).toBe(false);
    expect(calls.some(({ command }) => command === "appliance_save_settings")).toBe(false);
  });
});
