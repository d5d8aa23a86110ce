/** The machines of this computer, and what can be done with them. */
import { backend, on, type Machine } from "../backend";
import { m } from "../messages/messages.js";
import { hasEnded, isAlive } from "../words";
import { Collection } from "./collection.svelte";
import { dialogs } from "./dialogs.svelte";
import { navigation } from "./navigation.svelte";

export type MachineAction = "start" | "pause" | "resume" | "stop" | "kill" | "delete";

/** Whether an action makes sense in the state that the machine is in. */
export function canDo(machine: Machine, action: MachineAction): boolean {
  switch (action) {
    case "start":
      return machine.state === "created" || hasEnded(machine.state);
    case "pause":
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
    await Promise.all(able.map((machine) => this.#actOnOne(machine, action)));
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
      kill: m.error_killing,
      delete: m.error_deleting,
    }[action]({ name });
  }
}

export const machines = new Machines();
