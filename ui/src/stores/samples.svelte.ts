/** The samples, and whether they can be made on this computer. */
import { backend, type Sample } from "../backend";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";

class Samples {
  items = $state.raw<Sample[]>([]);

  async load(): Promise<void> {
    await dialogs.attempt(
      m.error_loading_samples(),
      async () => (this.items = await backend.sampleList()),
    );
  }
}

export const samples = new Samples();
