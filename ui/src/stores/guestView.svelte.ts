/** One guest that runs, looked into: its processes, memory, environment, messages and files. */
import {
  backend,
  toAppError,
  type AppError,
  type GuestEnvironment,
  type GuestFolder,
  type GuestNow,
  type GuestProcess,
  type TracePoint,
} from "../backend";
import { fileName } from "../format";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { toasts } from "./toasts.svelte";

export type ProcessOrder = "memory" | "cpu" | "name" | "id";

export class GuestView {
  readonly machine: string;
  now = $state.raw<GuestNow | null>(null);
  environment = $state.raw<GuestEnvironment | null>(null);
  log = $state.raw<string | null>(null);
  trace = $state.raw<readonly TracePoint[] | null>(null);
  folder = $state.raw<GuestFolder | null>(null);
  /** Where one is among the files. */
  path = $state("/");
  /** Why there is nothing to see; gone when the guest answers again. */
  error = $state.raw<AppError | null>(null);
  copying = $state(false);
  /** A guest is asked one thing after the other: its agent talks to one at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(machine: string) {
    this.machine = machine;
  }

  async refresh(): Promise<void> {
    await this.#ask(async () => (this.now = await backend.guestNow(this.machine)));
  }

  async readEnvironment(process: number | null): Promise<void> {
    await this.#ask(
      async () => (this.environment = await backend.guestEnvironment(this.machine, process)),
    );
  }

  async readLog(): Promise<void> {
    await this.#ask(async () => (this.log = await backend.guestKernelLog(this.machine)));
  }

  async readTrace(): Promise<void> {
    await this.#ask(async () => (this.trace = await backend.guestTrace(this.machine)));
  }

  /** Begins to count how often a place of the kernel is passed, or ends it. */
  async count(id: string, isCounted: boolean): Promise<void> {
    await this.#ask(async () => {
      await backend.guestTraceCount(this.machine, id, isCounted);
      this.trace = await backend.guestTrace(this.machine);
    });
  }

  /** Goes to a folder; stays where it is when that cannot be listed. */
  async open(path: string): Promise<void> {
    await this.#ask(async () => {
      this.folder = await backend.guestFolder(this.machine, path);
      this.path = path;
    });
  }

  inFolder(name: string): string {
    return this.path === "/" ? `/${name}` : `${this.path}/${name}`;
  }

  async save(name: string): Promise<void> {
    await dialogs.attempt(m.error_copying_from_guest({ name }), async () => {
      const to = await backend.pickSavePath(name);
      if (to === null) return;
      this.copying = true;
      const copy = await this.#inTurn(() =>
        backend.guestGet(this.machine, this.inFolder(name), to),
      );
      toasts.show(m.copied_from_guest({ path: copy.path }));
    });
    this.copying = false;
  }

  async put(paths: readonly string[]): Promise<void> {
    this.copying = true;
    for (const path of paths)
      await dialogs.attempt(m.error_copying_to_guest({ name: fileName(path) }), async () => {
        const copy = await this.#inTurn(() => backend.guestPut(this.machine, path, this.path));
        toasts.show(m.copied_to_guest({ path: copy.path }));
      });
    this.copying = false;
    await this.open(this.path);
  }

  async pickAndPut(): Promise<void> {
    await dialogs.attempt(m.error_copying_to_guest({ name: this.path }), async () => {
      const paths = await backend.pickFiles();
      if (paths.length > 0) await this.put(paths);
    });
  }

  async #ask(action: () => Promise<unknown>): Promise<void> {
    try {
      await this.#inTurn(action);
      this.error = null;
    } catch (thrown) {
      this.error = toAppError(thrown);
    }
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(action, action);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

/** Processes in an order; parts of the kernel have no command line. */
export function ordered(
  processes: readonly GuestProcess[],
  order: ProcessOrder,
  withKernel: boolean,
): GuestProcess[] {
  const compare: Record<ProcessOrder, (a: GuestProcess, b: GuestProcess) => number> = {
    memory: (a, b) => b.memoryBytes - a.memoryBytes || a.id - b.id,
    cpu: (a, b) => b.cpuMs - a.cpuMs || a.id - b.id,
    name: (a, b) => a.name.localeCompare(b.name) || a.id - b.id,
    id: (a, b) => a.id - b.id,
  };
  return processes.filter(({ command }) => withKernel || command !== "").sort(compare[order]);
}
