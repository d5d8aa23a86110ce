/** One group as its page watches it: what its services do, and what they say of themselves. */
import {
  backend,
  on,
  toAppError,
  type AppError,
  type GroupFigure,
  type GroupView,
  type ServiceState,
} from "../backend";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { navigation } from "./navigation.svelte";

/** How often it is looked; health is told by guests, not by events. */
const LOOK_MS = 2000;
const FIGURES_MS = 5000;

/** What a group's file is called. */
export function isGroupFile(path: string): boolean {
  return path.split("/").at(-1) === "windlass-group.yaml";
}

/** Whether a machine of a service is where it is meant to be. */
export function isUp(state: ServiceState): boolean {
  return state === "healthy" || state === "running";
}

/** Whether there is something to stop. */
export function runs(state: ServiceState): boolean {
  return state !== "absent" && state !== "ended" && state !== "failed";
}

/** The group of this name, or of the file or folder at this path; null where there is none. */
export async function findGroup(group: string): Promise<GroupView | null> {
  try {
    return await backend.groupView(group);
  } catch (thrown) {
    if (toAppError(thrown).kind === "notFound") return null;
    throw thrown;
  }
}

export class Group {
  view = $state.raw<GroupView | null>(null);
  error = $state.raw<AppError | null>(null);
  loaded = $state(false);
  figures = $state.raw<GroupFigure[]>([]);
  /** Something was asked for and is not done yet. */
  busy = $state(false);

  readonly machines = $derived((this.view?.services ?? []).flatMap((service) => service.machines));
  readonly up = $derived(this.machines.filter(({ state }) => isUp(state)).length);
  readonly running = $derived(this.machines.filter(({ state }) => runs(state)).length);
  readonly made = $derived(this.machines.filter(({ id }) => id !== null).length);
  /** What starts it just now, or failed to. */
  readonly job = $derived(this.view ? jobs.of(this.view.name) : undefined);

  #looking = false;

  /** A name, or the path of a file or folder. */
  constructor(readonly group: string) {}

  watch(): () => void {
    void this.look();
    const timers = [
      setInterval(() => void this.look(), LOOK_MS),
      setInterval(() => void this.ask(), FIGURES_MS),
    ];
    const stops = [
      on("machineChanged", (machine) => {
        if (machine.group?.name === this.view?.name) void this.look();
      }),
      on("machineGone", () => void this.look()),
    ];
    return () => {
      timers.forEach((timer) => clearInterval(timer));
      stops.forEach((stop) => stop());
    };
  }

  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const before = this.view;
      this.view = await backend.groupView(this.group);
      this.error = null;
      if (before === null) void this.ask();
    } catch (thrown) {
      this.error = toAppError(thrown);
      this.view = null;
    } finally {
      this.loaded = true;
      this.#looking = false;
    }
  }

  async ask(): Promise<void> {
    if (!this.view?.hasFigures) {
      this.figures = [];
      return;
    }
    // Why it is not there is told by the services' states.
    this.figures = await backend.groupFigures(this.group).catch(() => []);
  }

  async start(): Promise<void> {
    const view = this.view;
    if (!view) return;
    await dialogs.attempt(m.error_group_up({ name: view.name }), async () => {
      if (view.file === null) await backend.groupStart(view.name);
      else jobs.begin(await backend.groupUp(view.file));
    });
    await this.look();
  }

  async stop(): Promise<void> {
    const view = this.view;
    if (!view) return;
    this.busy = true;
    await dialogs.attempt(m.error_stopping({ name: view.name }), () =>
      backend.groupStop(view.name),
    );
    this.busy = false;
    await this.look();
  }

  /** Deletes the machines, when that is wanted. */
  async takeDown(): Promise<void> {
    const view = this.view;
    if (!view) return;
    const name = view.name;
    const body = m.group_delete_body({ count: this.made + view.others.length });
    if (!(await dialogs.confirm(m.group_delete_title({ name }), body, m.group_delete()))) return;
    this.busy = true;
    const done = await dialogs.attempt(m.error_deleting({ name }), () => backend.groupDelete(name));
    this.busy = false;
    if (done && this.group === name) {
      if (view.file === null) navigation.go({ at: "machines" });
      // Without machines it is known by its file alone.
      else navigation.replace({ at: "group", group: view.file, tab: "services" });
    }
    await this.look();
  }
}
