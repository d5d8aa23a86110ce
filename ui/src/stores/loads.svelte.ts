/** What this computer and its machines did in the last minutes, asked as often as it is measured while somebody watches. */
import { backend, type LoadPoint } from "../backend";

/** As many as the core keeps: ten minutes. */
const POINTS_MAX = 600;

class Loads {
  processors = $state(0);
  memoryTotalBytes = $state(0);
  host = $state.raw<readonly LoadPoint[]>([]);
  machines = $state.raw<ReadonlyMap<string, readonly LoadPoint[]>>(new Map());
  #watchers = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #since = 0;
  #stepMs = 1000;

  /** The last points of a machine, oldest first. */
  of(id: string): readonly LoadPoint[] {
    return this.machines.get(id) ?? [];
  }

  /** Watches until the returned function is called. */
  watch(): () => void {
    this.#watchers += 1;
    if (this.#watchers === 1) void this.#ask();
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#watchers -= 1;
      if (this.#watchers === 0) clearTimeout(this.#timer);
    };
  }

  async #ask(): Promise<void> {
    try {
      const answer = await backend.machineLoads(this.#since);
      this.#stepMs = answer.stepMs;
      this.processors = answer.processors;
      this.memoryTotalBytes = answer.memoryTotalBytes;
      this.host = joined(this.host, answer.host);
      this.machines = new Map(
        answer.machines.map(({ id, points }) => [id, joined(this.of(id), points)]),
      );
      // All of a round have one time.
      this.#since = Math.max(
        this.#since,
        ...[answer.host, ...answer.machines.map(({ points }) => points)].map(
          (points) => points.at(-1)?.at ?? 0,
        ),
      );
    } catch {
      // The curves stand still; whatever ails the core is told where something was asked of it.
    }
    clearTimeout(this.#timer);
    if (this.#watchers > 0) this.#timer = setTimeout(() => void this.#ask(), this.#stepMs);
  }
}

function joined(old: readonly LoadPoint[], more: readonly LoadPoint[]): readonly LoadPoint[] {
  return more.length === 0 ? old : [...old, ...more].slice(-POINTS_MAX);
}

export const loads = new Loads();
