import { expect, test } from "vitest";
import type { Job } from "../src/backend";
import { noticeOf } from "../src/stores/notices.svelte";
import { buildError, job } from "./fixture";

const on = { notifications: true };
const lasting = (seconds: number, part: Partial<Job> = {}) =>
  job(0, {
    title: "Fetch node",
    startedAt: "2026-01-01T00:00:00Z",
    endedAt: new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString(),
    ...part,
  });

test("long work that ended is told, what was short or cancelled is not", () => {
  expect(noticeOf(lasting(10), on)).toEqual({ title: "Fetch node", body: "Done in 10 s" });
  expect(noticeOf(lasting(9.9), on)).toBeNull();
  expect(noticeOf(lasting(60, { state: "failed", error: buildError }), on)).toEqual({
    title: "Fetch node",
    body: "Failed: server.js vanished while it was being read",
  });
  expect(noticeOf(lasting(60, { state: "cancelled" }), on)).toBeNull();
  expect(noticeOf(lasting(60, { state: "running", endedAt: null }), on)).toBeNull();
});

test("nothing is told by whoever turned it off", () => {
  expect(noticeOf(lasting(60), { notifications: false })).toBeNull();
});
