/**
 * The one door between the window and the core: the only module that imports `@tauri-apps` or the generated bindings.
 *
 * Every command of the bindings is here under its own name, with two differences: it resolves to the data itself, and it
 * rejects with a {@link BackendError}. What the generator cannot describe is written by hand: byte streams (console,
 * display), events as plain callbacks, and files dragged over the window.
 */
import { Channel, invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";
import { commands, events, type AppError } from "./bindings";

export type * from "./bindings";
// The core calls it by a word that is taken here.
export type { Backend as SecretKeeper } from "./bindings";

/** An error of the core: what happened, what to try, and the chain of causes. */
export class BackendError extends Error implements AppError {
  readonly kind: AppError["kind"];
  readonly hints: string[];
  readonly chain: string[];
  readonly replaced: AppError["replaced"];

  constructor(error: AppError) {
    super(error.message);
    this.name = "BackendError";
    this.kind = error.kind;
    this.hints = error.hints;
    this.chain = error.chain;
    this.replaced = error.replaced;
  }
}

/** Makes something that was thrown into an error that the window can show. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof BackendError) return thrown;
  if (isAppError(thrown)) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { kind: "internal", message, hints: [], chain: [] };
}

function isAppError(value: unknown): value is AppError {
  return (
    typeof value === "object" &&
    value !== null &&
    "kind" in value &&
    "message" in value &&
    "hints" in value
  );
}

type Answer<T> = { status: "ok"; data: T } | { status: "error"; error: AppError };
type Data<R> = R extends { status: "ok"; data: infer D }
  ? D
  : R extends { status: "error" }
    ? never
    : R;
type Commands = typeof commands;
type StreamCommand =
  | "consoleOpen"
  | "displayOpen"
  | "cloudServerConsoleOpen"
  | "cloudServerDisplayOpen"
  | "consoleAcknowledge"
  | "streamClose";

/** The commands as the window calls them. */
export type Backend = {
  [Name in Exclude<keyof Commands, StreamCommand>]: (
    ...args: Parameters<Commands[Name]>
  ) => Promise<Data<Awaited<ReturnType<Commands[Name]>>>>;
};

async function unwrap<T>(result: Promise<Answer<T> | T>): Promise<T> {
  let answer: Answer<T> | T;
  try {
    answer = await result;
  } catch (thrown) {
    throw new BackendError(toAppError(thrown));
  }
  if (typeof answer === "object" && answer !== null && "status" in answer) {
    if (answer.status === "error" && "error" in answer) throw new BackendError(answer.error);
    if (answer.status === "ok" && "data" in answer) return answer.data;
  }
  return answer as T;
}

export const backend = Object.fromEntries(
  Object.entries(commands).map(([name, command]) => [
    name,
    (...args: unknown[]) => unwrap((command as (...args: unknown[]) => Promise<unknown>)(...args)),
  ]),
) as Backend;

/** A two-way stream of bytes with a machine. */
export interface ByteStream {
  /** Sends bytes, in the order of the calls. */
  write(bytes: Uint8Array): void;
  /** Tells the core that this many bytes have been shown, so that it goes on reading. */
  acknowledge(bytes: number): void;
  close(): void;
}

/** The console of a machine from a byte of its log on; what is typed goes to the guest. */
export function openConsole(
  id: string,
  fromByte: number,
  onBytes: (bytes: Uint8Array) => void,
): Promise<ByteStream> {
  return openStream((channel) => unwrap(commands.consoleOpen(id, fromByte, channel)), onBytes);
}

/** The display of a machine: the bytes of the VNC protocol. */
export function openDisplay(id: string, onBytes: (bytes: Uint8Array) => void): Promise<ByteStream> {
  return openStream((channel) => unwrap(commands.displayOpen(id, channel)), onBytes);
}

/** What a server of a cloud says: its log, followed; with `serial` its serial line, to type into. */
export function openServerConsole(
  cloud: number,
  id: string,
  serial: boolean,
  onBytes: (bytes: Uint8Array) => void,
): Promise<ByteStream> {
  return openStream(
    (channel) => unwrap(commands.cloudServerConsoleOpen(cloud, id, serial, channel)),
    onBytes,
  );
}

/** The display of a server of a cloud. */
export function openServerDisplay(
  cloud: number,
  id: string,
  onBytes: (bytes: Uint8Array) => void,
): Promise<ByteStream> {
  return openStream(
    (channel) => unwrap(commands.cloudServerDisplayOpen(cloud, id, channel)),
    onBytes,
  );
}

async function openStream(
  open: (channel: Channel<ArrayBuffer>) => Promise<string>,
  onBytes: (bytes: Uint8Array) => void,
): Promise<ByteStream> {
  const channel = new Channel<ArrayBuffer>();
  // Short messages may come as another type than long ones.
  channel.onmessage = (message: ArrayBuffer | Uint8Array | number[]) =>
    onBytes(new Uint8Array(message));
  const stream = await open(channel);

  // One chain keeps the order of what is typed, however long each call takes.
  let last: Promise<unknown> = Promise.resolve();
  const ignoreClosed = () => undefined;
  return {
    write: (bytes) => {
      last = last
        .then(() => invoke("stream_write", bytes, { headers: { stream } }))
        .catch(ignoreClosed);
    },
    acknowledge: (bytes) => {
      unwrap(commands.consoleAcknowledge(stream, bytes)).catch(ignoreClosed);
    },
    close: () => {
      channel.onmessage = () => undefined;
      unwrap(commands.streamClose(stream)).catch(ignoreClosed);
    },
  };
}

type Payloads = { [Name in keyof typeof events]: Parameters<(typeof events)[Name]["emit"]>[0] };

/** Calls back for each event of the core; the returned function stops it. */
export function on<Name extends keyof Payloads>(
  name: Name,
  callback: (payload: Payloads[Name]) => void,
): () => void {
  const source = events[name] as unknown as {
    listen: (cb: (event: { payload: Payloads[Name] }) => void) => Promise<() => void>;
  };
  return later(source.listen((event) => callback(event.payload)));
}

/** What is happening with files that are dragged over the window. */
export type DragEvent =
  | { kind: "enter"; paths: string[] }
  | { kind: "over" }
  | { kind: "drop"; paths: string[] }
  | { kind: "leave" };

type DragPayload = { paths?: string[] };

/** Calls back while files are dragged over the window and when they are dropped on it. */
export function onDrag(callback: (event: DragEvent) => void): () => void {
  const stops = [
    later(
      listen<DragPayload>("tauri://drag-enter", (e) =>
        callback({ kind: "enter", paths: e.payload?.paths ?? [] }),
      ),
    ),
    later(listen<DragPayload>("tauri://drag-over", () => callback({ kind: "over" }))),
    later(
      listen<DragPayload>("tauri://drag-drop", (e) =>
        callback({ kind: "drop", paths: e.payload?.paths ?? [] }),
      ),
    ),
    later(listen("tauri://drag-leave", () => callback({ kind: "leave" }))),
  ];
  return () => stops.forEach((stop) => stop());
}

function later(stop: Promise<() => void>): () => void {
  return () => void stop.then((stop) => stop());
}
