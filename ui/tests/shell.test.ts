import { expect, test } from "vitest";
import { quoted, shellLines } from "../src/screens/machines/shell";

test("words are quoted as a shell wants them", () => {
  expect(quoted("-m")).toBe("-m");
  expect(quoted("console=ttyS0 panic=-1")).toBe("'console=ttyS0 panic=-1'");
  expect(quoted("it's")).toBe(`'it'\\''s'`);
});

test("a command has one option on each line", () => {
  expect(shellLines(["qemu", "-m", "512", "-append", "a b"])).toBe(
    "qemu \\\n  -m 512 \\\n  -append 'a b'",
  );
});
