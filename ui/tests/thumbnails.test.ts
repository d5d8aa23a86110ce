/** Small pictures are made anew as often as something changes on them. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { thumbnails } from "../src/stores/thumbnails.svelte";
import { busyWorld, install } from "./fixture";

beforeEach(() => {
  vi.useFakeTimers();
  URL.createObjectURL = () => "blob:picture";
  URL.revokeObjectURL = () => {};
});
afterEach(() => vi.useRealTimers());

test("a screen on which nothing changes is asked for less and less", async () => {
  const world = busyWorld();
  let asked = 0;
  let colour = 0;
  world.override["machine_thumbnail"] = () => {
    asked += 1;
    return new Uint8Array([1, colour]).buffer;
  };
  install(world);
  const end = thumbnails.watch("m1");
  const inMinutes = async (minutes: number) => {
    asked = 0;
    await vi.advanceTimersByTimeAsync(minutes * 60_000);
    return asked;
  };
  // After 5, 10, 20 and 40 seconds, then every 40.
  expect(await inMinutes(2)).toBeLessThanOrEqual(6);
  expect(thumbnails.pictures.get("m1")).toBe("blob:picture");
  const timer = setInterval(() => (colour += 1), 1000);
  await inMinutes(1);
  expect(await inMinutes(1)).toBeGreaterThanOrEqual(10);
  clearInterval(timer);
  end();
  expect(thumbnails.pictures.size).toBe(0);
  expect(await inMinutes(1)).toBe(0);
});
