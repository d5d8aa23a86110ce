import type { RawChannel } from "@novnc/novnc";
import type { ByteStream } from "../../backend";

/** A connection of the shape that noVNC wants, over the byte stream of a machine. */
export class StreamChannel implements RawChannel {
  binaryType = "arraybuffer";
  protocol = "";
  readyState: RawChannel["readyState"] = "connecting";
  onopen: RawChannel["onopen"] = null;
  onmessage: RawChannel["onmessage"] = null;
  onerror: RawChannel["onerror"] = null;
  onclose: RawChannel["onclose"] = null;

  #stream: ByteStream | null = null;
  // The server speaks first, maybe before we have the name of the stream: its words wait until noVNC listens.
  #early: ArrayBuffer[] = [];

  /** To be called once noVNC has its handlers in place; a channel that is open before that confuses it. */
  opened(stream: ByteStream): void {
    this.#stream = stream;
    this.readyState = "open";
    this.onopen?.();
    for (let data = this.#early.shift(); data; data = this.#early.shift())
      this.onmessage?.({ data });
  }

  received(bytes: Uint8Array): void {
    // An empty message is the end of the stream.
    if (bytes.length === 0) return this.ended();
    const data = bytes.slice().buffer as ArrayBuffer;
    if (this.readyState === "connecting") this.#early.push(data);
    else this.onmessage?.({ data });
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
}
