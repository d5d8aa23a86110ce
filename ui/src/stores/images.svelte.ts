/** Images that came from elsewhere and are kept here, and files that were dropped and wait for what becomes of them. */
import { backend, on, type ImportedImage } from "../backend";
import { fileName, formatBytes } from "../format";
import { m } from "../messages/messages.js";
import { Collection } from "./collection.svelte";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { navigation } from "./navigation.svelte";
import { toasts } from "./toasts.svelte";

const IMAGE_FILE = /\.(qcow2?|raw|vmdk|vdi|vhdx|img|img\.(gz|xz|zst)|(qcow2|raw)\.(gz|xz|zst))$/i;

/** Whether a file is an image by its name. */
export function isImageFile(path: string): boolean {
  return IMAGE_FILE.test(path);
}

class Images extends Collection<ImportedImage> {
  /** Paths of dropped images that wait for an answer; the first is asked about. */
  dropped = $state.raw<readonly string[]>([]);

  constructor() {
    super(() => backend.images());
  }

  listen(): () => void {
    return on("imagesChanged", () => void this.load());
  }

  ask(paths: string[]): void {
    this.dropped = [...this.dropped, ...paths];
  }

  dismiss(path: string): void {
    this.dropped = this.dropped.filter((one) => one !== path);
  }

  open(image: string): void {
    navigation.go({ at: "image", image, tab: "files" });
  }

  /** Lets the user choose image files, and asks what becomes of them. */
  async pick(): Promise<void> {
    await dialogs.attempt(m.error_opening_image(), async () => this.ask(await backend.pickFiles()));
  }

  /** Takes a copy of an image file into the library of images. */
  async take(path: string): Promise<void> {
    const name = fileName(path);
    await dialogs.attempt(m.error_importing_image({ name }), async () => {
      const id = await backend.imageImport(path);
      const begun = toasts.show(m.importing_image({ name }));
      const state = await jobs.ended(id);
      toasts.dismiss(begun);
      await this.load();
      const job = jobs.get(id);
      const made = job?.produced ?? null;
      if (state === "done")
        toasts.show(m.image_imported({ name }), {
          action: made === null ? null : { label: m.look_into(), run: () => this.open(made) },
        });
      else if (job?.error) dialogs.fail(m.error_importing_image({ name }), job.error);
    });
  }

  async remove(image: ImportedImage): Promise<void> {
    const sure = await dialogs.confirm(
      m.delete_image_title({ name: image.name }),
      m.delete_image_body({ size: formatBytes(image.allocatedBytes) }),
      m.delete(),
    );
    if (!sure) return;
    const removed = await dialogs.attempt(m.error_deleting({ name: image.name }), () =>
      backend.imageDelete(image.id),
    );
    if (removed) this.drop(image.id);
  }
}

export const images = new Images();
