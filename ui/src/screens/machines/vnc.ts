/** The display of a machine over VNC. This module is loaded only when a display is opened. */
import RFB from "@novnc/novnc";
import { keysOf, type Key } from "./keys";
import { StreamChannel } from "./streamChannel";
import type { Opener } from "./terminal";

/** An emulated keyboard remembers sixteen bytes; slower than a guest reads them, none is lost. */
const KEY_MS = 12;

export interface DisplayEvents {
  onconnected: () => void;
  /** The connection ended; not called for our own closing. */
  ondisconnected: (clean: boolean) => void;
  /** The guest put something on its clipboard. */
  oncopied: (text: string) => void;
}

export interface MachineDisplay {
  setScale(on: boolean): void;
  focus(): void;
  /** Presses keys one after the other and lets them go in reverse. */
  press(keys: readonly Key[]): void;
  /** Types a text, as slowly as an emulated keyboard takes it. */
  type(text: string): Promise<void>;
  paste(text: string): void;
  dispose(): void;
}

export async function openVnc(
  place: HTMLElement,
  open: Opener,
  scale: boolean,
  events: DisplayEvents,
): Promise<MachineDisplay> {
  const channel = new StreamChannel();
  const stream = await open((bytes) => channel.received(bytes));
  const rfb = new RFB(place, channel, { shared: true });
  rfb.scaleViewport = scale;
  rfb.background = "transparent";
  let disposed = false;
  rfb.addEventListener("connect", () => events.onconnected());
  rfb.addEventListener("disconnect", (event) => {
    if (!disposed) events.ondisconnected((event as CustomEvent<{ clean: boolean }>).detail.clean);
  });
  rfb.addEventListener("clipboard", (event) =>
    events.oncopied((event as CustomEvent<{ text: string }>).detail.text),
  );
  channel.opened(stream);
  const press = (keys: readonly Key[]) => {
    for (const { keysym, code } of keys) rfb.sendKey(keysym, code, true);
    for (const { keysym, code } of keys.toReversed()) rfb.sendKey(keysym, code, false);
  };
  return {
    setScale: (on) => {
      rfb.scaleViewport = on;
    },
    focus: () => rfb.focus(),
    press,
    type: async (text) => {
      for (const keys of keysOf(text).keys) {
        if (disposed) return;
        press(keys);
        await new Promise((resolve) => setTimeout(resolve, KEY_MS));
      }
    },
    paste: (text) => rfb.clipboardPasteFrom(text),
    dispose: () => {
      disposed = true;
      rfb.disconnect();
    },
  };
}
