/** The part of noVNC that the display uses; the package ships no types. */
declare module "@novnc/novnc" {
  /** What noVNC wants of a connection: a WebSocket, or anything of its shape. */
  export interface RawChannel {
    binaryType: string;
    protocol: string;
    readyState: "connecting" | "open" | "closing" | "closed";
    onopen: ((event?: unknown) => void) | null;
    onmessage: ((event: { data: ArrayBuffer }) => void) | null;
    onerror: ((event?: unknown) => void) | null;
    onclose: ((event?: unknown) => void) | null;
    send(bytes: Uint8Array | ArrayBuffer): void;
    close(): void;
  }

  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, channel: RawChannel, options?: { shared?: boolean });
    background: string;
    clipViewport: boolean;
    scaleViewport: boolean;
    viewOnly: boolean;
    disconnect(): void;
    focus(options?: FocusOptions): void;
    sendKey(keysym: number, code: string | null, down?: boolean): void;
    clipboardPasteFrom(text: string): void;
  }
}
