/** Disks that outlive the machines that write to them. */
import { backend, on, type Job, type NewVolume, type Volume } from "../backend";
import { formatBytes } from "../format";
import { m } from "../messages/messages.js";
import { Collection } from "./collection.svelte";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { toasts } from "./toasts.svelte";

class Volumes extends Collection<Volume> {
  constructor() {
    super(() => backend.volumes());
  }

  listen(): () => void {
    return on("volumesChanged", () => void this.load());
  }

  /** Rejects when it cannot be begun, so that the dialog stays open. */
  async create(form: NewVolume): Promise<void> {
    const id = await backend.volumeCreate(form);
    void this.#follow(id, m.volume_made({ name: form.name }), m.error_making_volume());
  }

  async resize(volume: Volume, sizeBytes: number): Promise<void> {
    const id = await backend.volumeResize(volume.id, sizeBytes);
    void this.#follow(
      id,
      m.volume_resized({ name: volume.name, size: formatBytes(sizeBytes) }),
      m.error_resizing({ name: volume.name }),
    );
  }

  async remove(volume: Volume): Promise<void> {
    const sure = await dialogs.confirm(
      m.delete_volume_title({ name: volume.name }),
      m.delete_volume_body({ size: formatBytes(volume.allocatedBytes) }),
      m.delete(),
    );
    if (!sure) return;
    const removed = await dialogs.attempt(m.error_deleting({ name: volume.name }), () =>
      backend.volumeDelete(volume.id),
    );
    if (removed) this.drop(volume.id);
  }

  /** The job at work on a volume. */
  jobOf(volume: Volume): Job | undefined {
    return jobs.live.find((job) => job.subject === volume.id);
  }

  async #follow(id: string, done: string, failed: string): Promise<void> {
    const state = await jobs.ended(id);
    await this.load();
    if (state === "done") toasts.show(done);
    const error = jobs.get(id)?.error;
    if (error) dialogs.fail(failed, error);
  }
}

export const volumes = new Volumes();
