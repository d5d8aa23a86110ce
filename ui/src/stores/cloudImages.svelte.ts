/** The images of clouds: read page by page, kept while the window is open, read anew when they are old. */
import { backend, toAppError, type AppError, type CloudImage } from "../backend";

/** What was read longer ago is read again when it is looked at. */
const OLD_MS = 60_000;

/** The images of one cloud. */
export class ImagesOf {
  items = $state.raw<readonly CloudImage[]>([]);
  loaded = $state(false);
  loading = $state(false);
  error = $state.raw<AppError | null>(null);
  #at = 0;

  constructor(readonly id: number) {}

  /** Reads the list where it is old. */
  async look(): Promise<void> {
    if (Date.now() - this.#at > OLD_MS) await this.load();
  }

  async load(): Promise<void> {
    if (this.loading) return;
    this.loading = true;
    const first = !this.loaded;
    try {
      const all: CloudImage[] = [];
      let marker: string | null = null;
      do {
        const page = await backend.cloudImagePage(this.id, {}, marker);
        all.push(...page.images);
        marker = page.next === marker ? null : page.next;
        // What is there is shown before the rest has come.
        if (first) {
          this.items = [...all];
          this.loaded = true;
        }
      } while (marker !== null);
      this.items = all;
      this.error = null;
      this.#at = Date.now();
    } catch (thrown) {
      this.error = toAppError(thrown);
    } finally {
      this.loaded = true;
      this.loading = false;
    }
  }

  put(image: CloudImage): void {
    this.items = this.items.map((one) => (one.id === image.id ? image : one));
  }

  drop(id: string): void {
    this.items = this.items.filter((one) => one.id !== id);
  }
}

class CloudImages {
  readonly #views = new Map<number, ImagesOf>();

  of(cloud: number): ImagesOf {
    const known = this.#views.get(cloud) ?? new ImagesOf(cloud);
    this.#views.set(cloud, known);
    return known;
  }

  clear(): void {
    this.#views.clear();
  }
}

export const cloudImages = new CloudImages();

/** The tag of what Windlass made. */
export const LABEL = "windlass";

/** Those that have all the words, in their name, tags, status, visibility, format or id. */
export function matching(images: readonly CloudImage[], text: string): readonly CloudImage[] {
  const words = text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return images;
  return images.filter((image) => {
    const { name, tags, status, visibility, format, id } = image;
    const all = `${name} ${tags.join(" ")} ${status} ${visibility} ${format ?? ""} ${id}`;
    const low = all.toLocaleLowerCase();
    return words.every((word) => low.includes(word));
  });
}
