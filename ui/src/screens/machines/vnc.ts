/** The display of a machine over VNC. This module is loaded only when a display is opened. */
import RFB, { type RawChannel } from "@novnc/novnc";
import { openDisplay, type ByteStream } from "../../backend";

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

/** A connection of the shape that noVNC wants, over the byte stream of a machine. */
class StreamChannel implements RawChannel {
  binaryType = "arraybuffer";
  protocol = "";
  readyState: RawChannel["readyState"] = "connecting";
  onmessage: RawChannel["onmessage"] = null;
  onerror: RawChannel["onerror"] = null;
  onclose: RawChannel["onclose"] = null;

  #onopen: RawChannel["onopen"] = null;
  #stream: ByteStream | null = null;
  // The server speaks first, maybe before we have the name of the stream: its words wait until noVNC listens.
  #early: ArrayBuffer[] = [];

  get onopen(): RawChannel["onopen"] {
    return this.#onopen;
  }

  set onopen(callback: RawChannel["onopen"]) {
    this.#onopen = callback;
    if (this.readyState === "open") this.#start();
  }

  opened(stream: ByteStream): void {
    this.#stream = stream;
    this.readyState = "open";
    if (this.#onopen) this.#start();
  }

  received(bytes: Uint8Array): void {
    // An empty message is the end of the stream.
    if (bytes.length === 0) return this.ended();
    const data = bytes.slice().buffer as ArrayBuffer;
    if (this.#early.length > 0 || this.readyState !== "open" || !this.onmessage)
      this.#early.push(data);
    else this.onmessage({ data });
  }

  ended(): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.onclose?.({ code: 1000, reason: "" });
  }

  send(bytes: Uint8Array | ArrayBuffer): void {
    // noVNC uses its buffer again as soon as this returns.
    this.#stream?.write(new Uint8Array(bytes).slice());
  }

  close(): void {
    this.#stream?.close();
    this.#stream = null;
    queueMicrotask(() => this.ended());
  }

  #start(): void {
    queueMicrotask(() => {
      this.#onopen?.();
      for (let data = this.#early.shift(); data; data = this.#early.shift())
        this.onmessage?.({ data });
    });
  }
}

export async function openVnc(
  place: HTMLElement,
  id: string,
  scale: boolean,
  events: DisplayEvents,
): Promise<MachineDisplay> {
  const channel = new StreamChannel();
  channel.opened(await openDisplay(id, (bytes) => channel.received(bytes)));
  const rfb = new RFB(place, channel, { shared: true });
  rfb.scaleViewport = scale;
  rfb.background = "transparent";
  let disposed = false;
  rfb.addEventListener("connect", () => events.onconnected());
  rfb.addEventListener("disconnect", (event) => {
    if (!disposed) events.ondisconnected((event as CustomEvent<{ clean: boolean }>).detail.clean);
  });
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
