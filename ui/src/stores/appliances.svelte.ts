/** The appliances, and what can be done with them. */
import { backend, on, type Appliance, type RunOptions } from "../backend";
import { m } from "../messages/messages.js";
import { Collection } from "./collection.svelte";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { machines } from "./machines.svelte";
import { navigation, type Place } from "./navigation.svelte";
import { toasts } from "./toasts.svelte";

class Appliances extends Collection<Appliance> {
  constructor() {
    super(() => backend.applianceList());
  }

  listen(): () => void {
    const stops = [
      on("applianceChanged", (appliance) => this.put(appliance)),
      on("applianceGone", (id) => this.drop(id)),
    ];
    return () => stops.forEach((stop) => stop());
  }

  build(appliance: Appliance): Promise<boolean> {
    return dialogs.attempt(m.error_building({ name: appliance.title }), async () => {
      jobs.follow(await backend.applianceBuild(appliance.id));
    });
  }

  /** Builds when needed, starts, and leads to the console as soon as there is a machine. */
  run(appliance: Appliance): Promise<boolean> {
    return this.#start(appliance, [], () => backend.applianceRun(appliance.id));
  }

  /** As {@link run}, in another way for this once; several machines lead to their list. */
  runWith(appliance: Appliance, options: RunOptions): Promise<boolean> {
    const count = options.count ?? 1;
    const memory = [count, options.resources?.memoryMib ?? null] as const;
    return this.#start(
      appliance,
      memory,
      () => backend.applianceRunWith(appliance.id, options),
      count > 1,
    );
  }

  #start(
    appliance: Appliance,
    memory: readonly [count?: number, memoryMib?: number | null],
    begin: () => Promise<string>,
    several = false,
  ): Promise<boolean> {
    return dialogs.attempt(m.error_running({ name: appliance.title }), async () => {
      const from = navigation.place;
      if (!(await machines.enoughMemory([], appliance.id, ...memory))) return;
      const job = await begin();
      if (several) {
        jobs.follow(job);
        navigation.go({ at: "machines" });
      } else void this.#follow(appliance, job, from);
    });
  }

  async #follow(appliance: Appliance, job: string, from: Place): Promise<void> {
    const machine = await jobs.produced(job);
    // Whoever has gone elsewhere meanwhile is not dragged away.
    const stayed =
      navigation.place.at === from.at &&
      (navigation.place.at !== "appliance" || navigation.place.id === appliance.id);
    if (machine && stayed) navigation.go({ at: "machine", id: machine, tab: "console" });
  }

  /** Forgets the appliance; its folder stays, so it can be brought back. */
  async remove(appliance: Appliance): Promise<void> {
    const removed = await dialogs.attempt(m.error_removing({ name: appliance.title }), () =>
      backend.applianceRemove(appliance.id),
    );
    if (!removed) return;
    this.drop(appliance.id);
    if (navigation.place.at === "appliance" && navigation.place.id === appliance.id)
      navigation.go({ at: "appliances" });
    toasts.show(m.appliance_removed({ name: appliance.title }), {
      action: {
        label: m.undo(),
        run: () =>
          void dialogs.attempt(m.error_adding({ name: appliance.title }), async () =>
            this.put(await backend.applianceAdd(appliance.path, null)),
          ),
      },
    });
  }
}

export const appliances = new Appliances();
