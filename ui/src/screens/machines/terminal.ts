/** A terminal on the serial console of a machine. This module is loaded only when a console is opened. */
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon, type ISearchOptions } from "@xterm/addon-search";
import { Terminal, type ITheme } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import type { ByteStream } from "../../backend";
import { copyText } from "../../clipboard";
import { formatBytes } from "../../format";
import { m } from "../../messages/messages.js";
import { colour, cssValue, onThemeChange } from "../../theme";

export interface TerminalEvents {
  onfound: (index: number, count: number) => void;
  /** Whether the last line is in sight. */
  onscroll: (atEnd: boolean) => void;
  onoutput: () => void;
  /** The keys for searching were pressed. */
  onfind: () => void;
  /** The key for leaving the terminal was pressed: Tab belongs to the guest. */
  onleave: () => void;
  /** The first lines are not in the terminal any more, or some in between were left out of it. */
  onleftout: () => void;
  /** The stream ended, and not by our closing it. */
  onended?: () => void;
}

export interface MachineTerminal {
  fit(): void;
  focus(): void;
  /** Whether what is typed goes to the guest. */
  setInput(on: boolean): void;
  find(text: string, direction: "next" | "previous"): void;
  clearSearch(): void;
  toEnd(): void;
  /** What is selected, or else all of it. */
  text(): string;
  dispose(): void;
}

/** What of a run is shown: its beginning, or what there is now. */
export type ConsolePart = "first" | "now";

/** Lines kept in memory; the log on disk has all of them. */
const SCROLLBACK = 50_000;
/** So much is the beginning of a run. */
const FIRST_BYTES = 256 * 1024;
/** By this, as a message of its own, the core says what it left out: `ESC ] 5379 ; kept|shown ; BYTES BEL`. */
const LEFT_OUT = /^\x1b\]5379;(kept|shown);(\d+)\x07$/;
/** Acknowledged in portions, so that a flood of small writes does not make a flood of calls. */
const ACKNOWLEDGE_BYTES = 32 * 1024;
const ACKNOWLEDGE_MS = 50;

/** Opens a stream of bytes for a screen. */
export type Opener = (onBytes: (bytes: Uint8Array) => void) => Promise<ByteStream>;

export async function openTerminal(
  place: HTMLElement,
  open: Opener,
  events: TerminalEvents,
  {
    part = "now",
    fontSize = 13,
    scrollback = SCROLLBACK,
  }: { part?: ConsolePart; fontSize?: number; scrollback?: number | undefined } = {},
): Promise<MachineTerminal> {
  const terminal = new Terminal({
    fontFamily: cssValue("--font-mono"),
    fontSize,
    lineHeight: 1.2,
    scrollback,
    convertEol: false,
    cursorBlink: false,
    screenReaderMode: false,
    minimumContrastRatio: 4.5,
    allowProposedApi: true,
    theme: theme(),
  });
  const fit = new FitAddon();
  const search = new SearchAddon();
  terminal.loadAddon(fit);
  terminal.loadAddon(search);
  await document.fonts?.load?.(`${fontSize}px ${cssValue("--font-mono")}`).catch(() => undefined);
  terminal.open(place);

  const fitNow = () => {
    if (place.clientWidth > 0 && place.clientHeight > 0) fit.fit();
  };
  const sized = new ResizeObserver(fitNow);
  sized.observe(place);

  const ignoreTheme = onThemeChange(() => (terminal.options.theme = theme()));

  terminal.attachCustomKeyEventHandler((event) => {
    if (event.type !== "keydown") return true;
    const key = event.key.toLowerCase();
    if (event.key === "F6") events.onleave();
    else if (event.ctrlKey && event.shiftKey && key === "f") events.onfind();
    else if (event.ctrlKey && event.shiftKey && key === "c") void copyText(terminal.getSelection());
    else return true;
    event.preventDefault();
    return false;
  });

  let isFull = false;
  const atEnd = () => {
    const buffer = terminal.buffer.active;
    events.onscroll(buffer.viewportY >= buffer.baseY);
    if (isFull || buffer.baseY < scrollback) return;
    isFull = true;
    events.onleftout();
  };
  terminal.onScroll(atEnd);
  terminal.onRender(atEnd);
  search.onDidChangeResults(({ resultIndex, resultCount }) =>
    events.onfound(resultIndex, resultCount),
  );

  let stream: ByteStream | null = null;
  let shown = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const acknowledge = () => {
    clearTimeout(timer);
    timer = undefined;
    // Bytes may come before the stream has its name; they are acknowledged then.
    if (!stream || shown === 0) return;
    stream.acknowledge(shown);
    shown = 0;
  };

  let disposed = false;
  let received = 0;
  try {
    stream = await open((bytes) => {
      // An empty message is the end of a stream from afar.
      if (bytes.length === 0) return disposed ? undefined : events.onended?.();
      if (disposed || (part === "first" && received >= FIRST_BYTES)) return;
      received += bytes.length;
      events.onoutput();
      const told = leftOut(bytes);
      if (told !== null) events.onleftout();
      terminal.write(told ?? bytes, () => {
        // The beginning is not acknowledged to its end: no more comes.
        if (part === "first" && received >= FIRST_BYTES) return stream?.close();
        shown += bytes.length;
        if (shown >= ACKNOWLEDGE_BYTES) acknowledge();
        else timer ??= setTimeout(acknowledge, ACKNOWLEDGE_MS);
      });
    });
  } catch (thrown) {
    dispose();
    throw thrown;
  }
  acknowledge();

  const encoder = new TextEncoder();
  terminal.onData((text) => stream?.write(encoder.encode(text)));
  terminal.onBinary((text) =>
    stream?.write(Uint8Array.from(text, (character) => character.charCodeAt(0))),
  );
  fitNow();
  if (part === "first") terminal.onWriteParsed(() => terminal.scrollToTop());
  const focused = document.activeElement;
  if (focused === document.body || focused?.tagName === "MAIN") terminal.focus();

  function dispose() {
    disposed = true;
    clearTimeout(timer);
    sized.disconnect();
    ignoreTheme();
    stream?.close();
    terminal.dispose();
  }

  return {
    fit: fitNow,
    focus: () => terminal.focus(),
    setInput: (on) => {
      terminal.options.disableStdin = !on;
    },
    find: (text, direction) => {
      const options: ISearchOptions = { decorations: decorations(), incremental: false };
      if (direction === "next") search.findNext(text, options);
      else search.findPrevious(text, options);
    },
    clearSearch: () => search.clearDecorations(),
    toEnd: () => terminal.scrollToBottom(),
    text: () => {
      const selection = terminal.getSelection();
      if (selection !== "") return selection;
      terminal.selectAll();
      const all = terminal.getSelection();
      terminal.clearSelection();
      return all;
    },
    dispose,
  };
}

/** What stands in the place of what was left out; null for what the guest said. */
function leftOut(bytes: Uint8Array): string | null {
  if (bytes.length > 64 || bytes[0] !== 0x1b) return null;
  const [, what, count] = LEFT_OUT.exec(new TextDecoder().decode(bytes)) ?? [];
  if (count === undefined) return null;
  const size = formatBytes(Number(count));
  const text = what === "kept" ? m.console_not_kept({ size }) : m.console_not_shown({ size });
  return `\x1b[0m\r\n\x1b[2m[… ${text} …]\x1b[0m\r\n`;
}

function theme(): ITheme {
  return {
    background: colour("--terminal-background"),
    foreground: colour("--terminal-text"),
    cursor: colour("--accent"),
    cursorAccent: colour("--terminal-background"),
    selectionBackground: colour("--terminal-selection"),
    red: colour("--danger"),
    green: colour("--good"),
    yellow: colour("--warning"),
    blue: colour("--accent"),
    brightRed: colour("--danger"),
    brightGreen: colour("--good"),
    brightYellow: colour("--warning"),
    brightBlue: colour("--accent"),
  };
}

function decorations(): NonNullable<ISearchOptions["decorations"]> {
  return {
    matchBackground: colour("--accent-soft"),
    matchBorder: colour("--accent"),
    matchOverviewRuler: colour("--accent"),
    activeMatchBackground: colour("--terminal-selection"),
    activeMatchBorder: colour("--accent"),
    activeMatchColorOverviewRuler: colour("--accent"),
  };
}
