/** The machines of this computer, and what can be done with them. */
import { backend, on, type GroupPlace, type Machine } from "../backend";
import { formatBytes } from "../format";
import { m } from "../messages/messages.js";
import { hasEnded, isAlive } from "../words";
import { Collection } from "./collection.svelte";
import { dialogs } from "./dialogs.svelte";
import { navigation } from "./navigation.svelte";
import { toasts } from "./toasts.svelte";

export type MachineAction = "start" | "pause" | "resume" | "stop" | "restart" | "kill" | "delete";

/** Machines that start and stop as one. */
export interface Group {
  name: string;
  /** In the order in which they start. */
  machines: Machine[];
}

/** Whether an action makes sense in the state that the machine is in. */
export function canDo(machine: Machine, action: MachineAction): boolean {
  switch (action) {
    case "start":
      return machine.state === "created" || hasEnded(machine.state);
    case "pause":
    case "restart":
      return machine.state === "running";
    case "resume":
      return machine.state === "paused";
    case "stop":
      return (
        machine.state === "running" || machine.state === "paused" || machine.state === "starting"
      );
    case "kill":
      return isAlive(machine.state);
    case "delete":
      return !isAlive(machine.state);
  }
}

class Machines extends Collection<Machine> {
  /** Machines that were asked for something and have not answered yet. */
  busy = $state.raw<ReadonlySet<string>>(new Set());

  constructor() {
    super(() => backend.machineList());
  }

  /** All groups, by name. */
  readonly groups = $derived.by(() => {
    const groups = new Map<string, Machine[]>();
    for (const machine of this.items)
      if (machine.group)
        groups.set(machine.group.name, [...(groups.get(machine.group.name) ?? []), machine]);
    return [...groups]
      .map(([name, machines]): Group => ({
        name,
        machines: machines.toSorted((a, b) => (a.group?.order ?? 0) - (b.group?.order ?? 0)),
      }))
      .toSorted((a, b) => a.name.localeCompare(b.name));
  });

  readonly alive = $derived(this.items.filter((machine) => isAlive(machine.state)).length);

  listen(): () => void {
    const stops = [
      on("machineChanged", (machine) => this.put(machine)),
      on("machineGone", (id) => this.drop(id)),
    ];
    return () => stops.forEach((stop) => stop());
  }

  async act(targets: Machine[], action: MachineAction): Promise<void> {
    const able = targets.filter((machine) => canDo(machine, action));
    if (able.length === 0 || !(await this.#confirmed(able, action))) return;
    if (action === "start" && !(await this.enoughMemory(able))) return;
    await Promise.all(able.map((machine) => this.#actOnOne(machine, action)));
  }

  /** Whether there is the memory to start machines, or the user wants it all the same. */
  async enoughMemory(
    targets: Machine[],
    appliance?: string,
    count = 1,
    memoryMib: number | null = null,
  ): Promise<boolean> {
    const short = await this.memoryShortage(targets, appliance, count, memoryMib);
    return short === null || dialogs.confirm(m.memory_short_title(), short, m.start_anyway());
  }

  /** What this computer lacks to start machines, in words; null where there is enough. */
  async memoryShortage(
    targets: Machine[],
    appliance?: string,
    count = 1,
    memoryMib: number | null = null,
  ): Promise<string | null> {
    const ids = targets.map(({ id }) => id);
    const short = await backend
      .machineMemoryShortage(ids, appliance ?? null, memoryMib, count)
      .catch(() => null);
    if (!short) return null;
    const size = (mib: number) => formatBytes(mib * 1024 * 1024);
    return m.memory_short_body({
      wanted: size(short.wantedMib),
      running: size(short.runningMib),
      total: size(short.totalMib),
      available: size(short.availableMib),
    });
  }

  /** Starts, stops or deletes a group as one. */
  async actOnGroup(group: Group, action: "start" | "stop" | "delete"): Promise<void> {
    const name = group.name;
    const count = group.machines.length;
    if (action === "delete") {
      const body = m.delete_machine_body({ count });
      if (!(await dialogs.confirm(m.delete_group_title({ name, count }), body, m.delete()))) return;
    }
    if (action === "start") {
      const resting = group.machines.filter((machine) => canDo(machine, "start"));
      if (!(await this.enoughMemory(resting))) return;
    }
    const ids = group.machines.map(({ id }) => id);
    this.busy = new Set([...this.busy, ...ids]);
    const failed = {
      start: m.error_starting,
      stop: m.error_stopping,
      delete: m.error_deleting,
    }[action]({ name });
    const call = {
      start: backend.groupStart,
      stop: backend.groupStop,
      delete: backend.groupDelete,
    }[action];
    await dialogs.attempt(failed, () => call(name));
    this.busy = new Set([...this.busy].filter((id) => !ids.includes(id)));
  }

  /** Puts machines into a group, or takes them out of theirs. */
  setGroup(targets: Machine[], place: GroupPlace | null): Promise<boolean> {
    return dialogs.attempt(m.error_grouping(), async () => {
      for (const machine of targets) {
        await backend.machineGroup(machine.id, place);
        this.put({ ...(this.get(machine.id) ?? machine), group: place });
      }
    });
  }

  /** Makes a machine that is as this one, and leads to it. */
  clone(machine: Machine, name: string, withChanges: boolean): Promise<boolean> {
    return dialogs.attempt(m.error_cloning({ name: machine.name }), async () => {
      const clone = await backend.machineClone(machine.id, name, withChanges);
      this.put(clone);
      navigation.go({ at: "machine", id: clone.id, tab: "console" });
    });
  }

  /** Saves what a report of trouble needs. */
  saveDebugBundle(machine: Machine): Promise<boolean> {
    return dialogs.attempt(m.error_saving_bundle(), async () => {
      const path = await backend.pickSavePath(`${machine.name}-debug.zip`);
      if (path === null) return;
      await backend.machineDebugBundle(machine.id, path);
      toasts.show(m.bundle_saved());
    });
  }

  rename(machine: Machine, name: string): Promise<boolean> {
    return dialogs.attempt(m.error_renaming({ name: machine.name }), async () => {
      await backend.machineRename(machine.id, name);
      this.put({ ...(this.get(machine.id) ?? machine), name });
    });
  }

  async #actOnOne(machine: Machine, action: MachineAction): Promise<void> {
    this.busy = new Set([...this.busy, machine.id]);
    const call = {
      start: backend.machineStart,
      pause: backend.machinePause,
      resume: backend.machineResume,
      stop: backend.machineStop,
      restart: backend.machineRestart,
      kill: backend.machineKill,
      delete: backend.machineDelete,
    }[action];
    const done = await dialogs.attempt(this.#failed(machine, action), () => call(machine.id));
    this.busy = new Set([...this.busy].filter((id) => id !== machine.id));
    if (done && action === "delete") {
      this.drop(machine.id);
      if (navigation.place.at === "machine" && navigation.place.id === machine.id)
        navigation.go({ at: "machines" });
    }
  }

  #confirmed(machines: Machine[], action: MachineAction): Promise<boolean> {
    const name = machines[0]?.name ?? "";
    const count = machines.length;
    if (action === "delete")
      return dialogs.confirm(
        count === 1 ? m.delete_machine_title({ name }) : m.delete_machines_title({ count }),
        m.delete_machine_body({ count }),
        m.delete(),
      );
    if (action === "kill")
      return dialogs.confirm(
        count === 1 ? m.kill_machine_title({ name }) : m.kill_machines_title({ count }),
        m.kill_machine_body({ count }),
        m.kill(),
      );
    return Promise.resolve(true);
  }

  #failed(machine: Machine, action: MachineAction): string {
    const name = machine.name;
    return {
      start: m.error_starting,
      pause: m.error_pausing,
      resume: m.error_resuming,
      stop: m.error_stopping,
      restart: m.error_restarting,
      kill: m.error_killing,
      delete: m.error_deleting,
    }[action]({ name });
  }
}

export const machines = new Machines();
