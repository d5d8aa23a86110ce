/** The builds of one appliance, newest first, and what is done with one. */
import { backend, toAppError, type AppError, type Build } from "../backend";
import { formatBytes, formatExact } from "../format";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { navigation } from "./navigation.svelte";

export class Builds {
  readonly appliance: string;
  items = $state.raw<Build[] | null>(null);
  error = $state.raw<AppError | null>(null);
  /** The build that a machine is being made of. */
  running = $state<string | null>(null);
  #asked = 0;

  constructor(appliance: string) {
    this.appliance = appliance;
  }

  async load(): Promise<void> {
    const asked = ++this.#asked;
    try {
      const items = await backend.buildList(this.appliance);
      if (asked !== this.#asked) return;
      this.items = items;
      this.error = null;
    } catch (thrown) {
      if (asked === this.#asked) this.error = toAppError(thrown);
    }
  }

  /** Starts a machine of just this build, and leads to its console. */
  async run(build: Build): Promise<void> {
    this.running = build.id;
    await dialogs.attempt(m.error_running_build(), async () => {
      const id = await backend.buildRun(build.id);
      const machine = await jobs.produced(id);
      const stayed = navigation.place.at === "appliance" && navigation.place.id === this.appliance;
      if (machine && stayed) navigation.go({ at: "machine", id: machine, tab: "console" });
      const error = jobs.get(id)?.error;
      if (error) throw error;
    });
    this.running = null;
  }

  async remove(build: Build): Promise<void> {
    const sure = await dialogs.confirm(
      m.delete_build_title(),
      m.delete_build_body({
        when: formatExact(build.startedAt),
        size: formatBytes(build.sizeBytes),
      }),
      m.delete(),
    );
    if (!sure) return;
    if (await dialogs.attempt(m.error_deleting_build(), () => backend.buildDelete(build.id)))
      this.items = this.items?.filter(({ id }) => id !== build.id) ?? null;
  }
}
