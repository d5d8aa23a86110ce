/** What the curves of machines are made of. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LoadPoint } from "../src/backend";
import { curvePoints } from "../src/screens/machines/curves";
import { loads } from "../src/stores/loads.svelte";
import { busyWorld, install } from "./fixture";

const point = (at: number): LoadPoint => ({
  at,
  cpuPermille: 500,
  cpuPermilleMost: 500,
  memoryBytes: 1 << 20,
  readRate: 0,
  writeRate: 0,
  receiveRate: 0,
  sendRate: 0,
});

test("curves have a gap where nothing was measured", () => {
  const found = curvePoints([point(0), point(1000), point(90_000), point(91_000)], 20_000);
  expect(found.map(({ at, point }) => (point ? at : `gap at ${at}`))).toEqual([
    0,
    1000,
    "gap at 45500",
    90_000,
    91_000,
  ]);
  expect(curvePoints([], 1)).toEqual([]);
});

describe("loads", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  test("are asked for while somebody watches, and each point comes once", async () => {
    const world = busyWorld();
    const asked: number[] = [];
    let stepMs = 1000;
    world.override["machine_loads"] = (args) => {
      const since = Number(args["since"]);
      asked.push(since);
      const points = [point(since + 1), point(since + 2)];
      return {
        stepMs,
        processors: 4,
        memoryTotalBytes: 1,
        host: points,
        machines: [{ id: "m1", points }],
      };
    };
    install(world);
    const [end, endToo] = [loads.watch(), loads.watch()];
    await vi.advanceTimersByTimeAsync(2500);
    end();
    end();
    await vi.advanceTimersByTimeAsync(1000);
    endToo();
    await vi.advanceTimersByTimeAsync(5000);
    expect(asked).toEqual([0, 2, 4, 6]);
    expect(loads.of("m1").map(({ at }) => at)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(loads.host).toHaveLength(8);
    expect(loads.of("gone")).toEqual([]);

    // Where there are many machines, less often.
    stepMs = 2000;
    const endAll = loads.watch();
    await vi.advanceTimersByTimeAsync(4500);
    endAll();
    expect(asked).toEqual([0, 2, 4, 6, 8, 10, 12]);
  });
});
