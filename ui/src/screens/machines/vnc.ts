/** The display of a machine over VNC. This module is loaded only when a display is opened. */
import RFB from "@novnc/novnc";
import { openDisplay } from "../../backend";
import { StreamChannel } from "./streamChannel";

export interface DisplayEvents {
  onconnected: () => void;
  /** The connection ended; not called for our own closing. */
  ondisconnected: (clean: boolean) => void;
}

export interface MachineDisplay {
  setScale(on: boolean): void;
  focus(): void;
  ctrlAltDel(): void;
  /** Presses keys one after the other and lets them go in reverse. */
  press(keysyms: readonly { keysym: number; code: string }[]): void;
  paste(text: string): void;
  dispose(): void;
}

export async function openVnc(
  place: HTMLElement,
  id: string,
  scale: boolean,
  events: DisplayEvents,
): Promise<MachineDisplay> {
  const channel = new StreamChannel();
  const stream = await openDisplay(id, (bytes) => channel.received(bytes));
  const rfb = new RFB(place, channel, { shared: true });
  rfb.scaleViewport = scale;
  rfb.background = "transparent";
  let disposed = false;
  rfb.addEventListener("connect", () => events.onconnected());
  rfb.addEventListener("disconnect", (event) => {
    if (!disposed) events.ondisconnected((event as CustomEvent<{ clean: boolean }>).detail.clean);
  });
  channel.opened(stream);
  return {
    setScale: (on) => {
      rfb.scaleViewport = on;
    },
    focus: () => rfb.focus(),
    ctrlAltDel: () => rfb.sendCtrlAltDel(),
    press: (keys) => {
      for (const { keysym, code } of keys) rfb.sendKey(keysym, code, true);
      for (const { keysym, code } of [...keys].reverse()) rfb.sendKey(keysym, code, false);
    },
    paste: (text) => rfb.clipboardPasteFrom(text),
    dispose: () => {
      disposed = true;
      rfb.disconnect();
    },
  };
}
