/** Text as keys of a guest's keyboard. */
import { expect, test } from "vitest";
import { COMBINATIONS, keysOf, SCREENS } from "../src/screens/machines/keys";

const codes = (text: string) =>
  keysOf(text).keys.map((keys) => keys.map(({ code }) => code).join("+"));

test("text is typed as on an American keyboard", () => {
  expect(codes("aZ 0)\n")).toEqual([
    "KeyA",
    "ShiftLeft+KeyZ",
    "Space",
    "Digit0",
    "ShiftLeft+Digit0",
    "Enter",
  ]);
  expect(codes("/|'\"~")).toEqual([
    "Slash",
    "ShiftLeft+Backslash",
    "Quote",
    "ShiftLeft+Quote",
    "ShiftLeft+Backquote",
  ]);
  expect(codes("a\r\nb")).toEqual(["KeyA", "Enter", "KeyB"]);
});

test("every sign of ASCII has its keys, and what has none is told once", () => {
  const ascii = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join("");
  expect(keysOf(ascii).left).toEqual([]);
  expect(keysOf(ascii).keys).toHaveLength(95);
  expect(keysOf("Grüße, größer 🙂").left).toEqual(["ü", "ß", "ö", "🙂"]);
});

test("function keys have their own codes", () => {
  expect(SCREENS[11]).toEqual({
    label: "Ctrl+Alt+F12",
    keys: [
      { keysym: 0xffe3, code: "ControlLeft" },
      { keysym: 0xffe9, code: "AltLeft" },
      { keysym: 0xffc9, code: "F12" },
    ],
  });
  expect(COMBINATIONS[0]?.keys.at(-1)).toEqual({ keysym: 0xffff, code: "Delete" });
});
