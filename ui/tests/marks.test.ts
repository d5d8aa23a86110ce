import { expect, test } from "vitest";
import type { Finding } from "../src/backend";
import { marksOf } from "../src/screens/appliances/marks";

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
    ([path, { severity, findings, own }]) => `${path} ${severity} ${findings.length} ${own}`,
  );
  expect(told.toSorted()).toEqual([
    "/usr error 4 false",
    "/usr/bin error 1 false",
    "/usr/bin/tool error 1 true",
    "/usr/lib warning 3 true",
    "/usr/lib/a.so warning 2 true",
  ]);
  expect(marksOf([]).size).toBe(0);
});
