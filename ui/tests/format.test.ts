import { describe, expect, test } from "vitest";
import { fileName, formatBytes, formatDuration, formatRelative, shortDigest } from "../src/format";
import { settings } from "../src/stores/settings.svelte";

describe("sizes are binary and short", () => {
  test.each([
    [0, "0 B"],
    [999, "999 B"],
    [1024, "1 KiB"],
    [1500, "1.5 KiB"],
    [10 * 1024 * 1024, "10 MiB"],
    [123_456_789_012, "115 GiB"],
  ])("%i bytes are %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe("durations have at most two units", () => {
  test.each([
    [420, "0.4 s"],
    [12_000, "12 s"],
    [185_000, "3 min 5 s"],
    [7_800_000, "2 h 10 min"],
    [-5, "0 s"],
  ])("%i ms are %s", (milliseconds, text) => expect(formatDuration(milliseconds)).toBe(text));
});

test("times are relative, in the language of the window", () => {
  const now = Date.parse("2026-01-01T12:00:00Z");
  expect(formatRelative("2026-01-01T11:57:00Z", now)).toBe("3 minutes ago");
  expect(formatRelative("2026-01-01T11:59:58Z", now)).toBe("now");
  expect(formatRelative("2025-12-31T12:00:00Z", now)).toBe("yesterday");
  settings.value = { ...settings.value, language: "de" };
  expect(formatRelative("2026-01-01T11:57:00Z", now)).toBe("vor 3 Minuten");
  expect(formatBytes(1500)).toBe("1,5 KiB");
  settings.value = { ...settings.value, language: "system" };
});

test("digests and paths are shortened", () => {
  expect(shortDigest("blake3:0123456789abcdef0123")).toBe("0123456789ab");
  expect(fileName("/home/user/project/")).toBe("project");
});
