import { expect, test } from "vitest";
import type { Finding } from "../src/backend";
import { marksOf, wordsOf } from "../src/screens/appliances/marks";

const finding = (path: string | null, severity: Finding["severity"]): Finding => ({
  severity,
  path,
  message: `${severity} at ${path}`,
  remedy: null,
  fix: null,
});

test("a folder is marked by the worst of what lies below it", () => {
  const marks = marksOf([
    finding("/usr/lib/a.so", "warning"),
    finding("usr/lib/a.so", "note"),
    finding("/usr/bin/tool", "error"),
    finding("/usr/lib", "note"),
    finding(null, "error"),
  ]);
  const told = [...marks].map(
    ([path, { severity, findings }]) => `${path} ${severity} ${findings.length}`,
  );
  expect(told.toSorted()).toEqual([
    "/usr error 4",
    "/usr/bin error 1",
    "/usr/bin/tool error 1",
    "/usr/lib warning 3",
    "/usr/lib/a.so warning 2",
  ]);
  expect(marksOf([]).size).toBe(0);
});

test("a mark says few words, and that there are more", () => {
  const findings = Array.from({ length: 20_000 }, (_, index) => finding(`/lib/${index}`, "note"));
  const mark = marksOf(findings).get("/lib");
  expect(mark?.findings).toHaveLength(20_000);
  expect(mark && wordsOf(mark).split("\n")).toEqual([
    "note at /lib/0",
    "note at /lib/1",
    "note at /lib/2",
    "…",
  ]);
});
