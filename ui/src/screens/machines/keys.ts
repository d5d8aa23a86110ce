/** Keys of a keyboard as VNC names them: by what they mean (X keysyms) and by where they are (codes of the DOM). */
export interface Key {
  keysym: number;
  code: string;
}

const key = (keysym: number, code: string): Key => ({ keysym, code });
const control = key(0xffe3, "ControlLeft");
const alt = key(0xffe9, "AltLeft");
export const shift = key(0xffe1, "ShiftLeft");
const functionKey = (number: number) => key(0xffbd + number, `F${number}`);

/** Combinations that the desktop keeps to itself, or that the window needs. */
export const COMBINATIONS: readonly { label: string; keys: readonly Key[] }[] = [
  { label: "Ctrl+Alt+Del", keys: [control, alt, key(0xffff, "Delete")] },
  { label: "Ctrl+Alt+Backspace", keys: [control, alt, key(0xff08, "Backspace")] },
  { label: "Super", keys: [key(0xffeb, "MetaLeft")] },
  { label: "Alt+Tab", keys: [alt, key(0xff09, "Tab")] },
  { label: "Alt+F4", keys: [alt, functionKey(4)] },
  { label: "Print Screen", keys: [key(0xff61, "PrintScreen")] },
  { label: "Ctrl+C", keys: [control, key(0x63, "KeyC")] },
  { label: "Esc", keys: [key(0xff1b, "Escape")] },
  { label: "Tab", keys: [key(0xff09, "Tab")] },
  { label: "F6", keys: [functionKey(6)] },
];

/** Those that turn a Linux guest to its other screens. */
export const SCREENS: typeof COMBINATIONS = Array.from({ length: 12 }, (_, index) => ({
  label: `Ctrl+Alt+F${index + 1}`,
  keys: [control, alt, functionKey(index + 1)],
}));

/** Where the signs of an American keyboard are: plain, and with Shift. */
const SIGNS: Record<string, readonly [string, string]> = {
  Backquote: ["`", "~"],
  Minus: ["-", "_"],
  Equal: ["=", "+"],
  BracketLeft: ["[", "{"],
  BracketRight: ["]", "}"],
  Backslash: ["\\", "|"],
  Semicolon: [";", ":"],
  Quote: ["'", '"'],
  Comma: [",", "<"],
  Period: [".", ">"],
  Slash: ["/", "?"],
};
const SHIFTED_DIGITS = ")!@#$%^&*(";

/** Which keys of an American keyboard write a character; null where it has none for it. */
export function keysFor(character: string): readonly Key[] | null {
  if (character === "\n") return [key(0xff0d, "Enter")];
  if (character === "\t") return [key(0xff09, "Tab")];
  if (character === " ") return [key(0x20, "Space")];
  const keysym = character.charCodeAt(0);
  if (/^[a-z]$/.test(character)) return [key(keysym, `Key${character.toUpperCase()}`)];
  if (/^[A-Z]$/.test(character)) return [shift, key(keysym, `Key${character}`)];
  if (/^[0-9]$/.test(character)) return [key(keysym, `Digit${character}`)];
  const digit = SHIFTED_DIGITS.indexOf(character);
  if (character.length === 1 && digit >= 0) return [shift, key(keysym, `Digit${digit}`)];
  for (const [code, [plain, shifted]] of Object.entries(SIGNS)) {
    if (character === plain) return [key(keysym, code)];
    if (character === shifted) return [shift, key(keysym, code)];
  }
  return null;
}

/** Text as keys, and the characters that no key writes. */
export function keysOf(text: string): { keys: (readonly Key[])[]; left: string[] } {
  const keys: (readonly Key[])[] = [];
  const left = new Set<string>();
  for (const character of text.replaceAll("\r\n", "\n")) {
    const found = keysFor(character);
    if (found) keys.push(found);
    else left.add(character);
  }
  return { keys, left: [...left] };
}
