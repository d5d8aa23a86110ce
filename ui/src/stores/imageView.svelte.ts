/** One image on the screen: what it is, what is in it, what is looked at, and what is done with it. */
import {
  backend,
  toAppError,
  type AppError,
  type GuestOs,
  type ImageEntry,
  type ImageInfo,
  type ImageText,
  type ImageVerification,
  type SizeNode,
} from "../backend";
import { fileName } from "../format";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { toasts } from "./toasts.svelte";

/** More than this many are not listed; whoever finds so many has not said enough. */
export const FOUND_MOST = 1000;
const SETTLE_MS = 150;

export class ImageView {
  /** A build's id, or the path of an image file. */
  readonly image: string;
  info = $state.raw<ImageInfo | null>(null);
  error = $state.raw<AppError | null>(null);
  /** The volume that is shown; null is the root file system. */
  volume = $state<number | null>(null);
  /** Grows with every change of the image, so that the tree is read anew. */
  version = $state(0);

  query = $state("");
  found = $state.raw<readonly ImageEntry[] | null>(null);
  foundMore = $state(false);
  searching = $state(false);
  searchError = $state.raw<AppError | null>(null);

  selected = $state.raw<ImageEntry | null>(null);
  text = $state.raw<ImageText | null>(null);
  textError = $state.raw<AppError | null>(null);

  /** Where the bytes are, as far as folders were opened. */
  sizes = $state.raw<SizeNode | null>(null);
  #folders = new Set<string>();
  sizesError = $state.raw<AppError | null>(null);

  /** The job that reads all of the image, and what it found. */
  verifying = $state<string | null>(null);
  verification = $state.raw<ImageVerification | null>(null);

  #searched = 0;
  #read = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(image: string) {
    this.image = image;
  }

  async load(): Promise<void> {
    try {
      const info = await backend.imageInfo(this.image);
      this.info = info;
      this.error = null;
      if (this.version === 0) this.volume = info.root;
    } catch (thrown) {
      this.error = toAppError(thrown);
    }
  }

  show(volume: number | null): void {
    this.volume = volume;
    this.selected = null;
    this.text = null;
    this.sizes = null;
    this.version += 1;
    if (this.query.trim() !== "") void this.search();
  }

  list(path: string): Promise<ImageEntry[]> {
    return backend.imageList(this.image, this.volume, path);
  }

  /** To be called when the words have changed; waits for a pause in typing. */
  queryChanged(): void {
    clearTimeout(this.#timer);
    if (this.query.trim() === "") {
      this.#searched += 1;
      this.found = null;
      this.searching = false;
      this.searchError = null;
    } else this.#timer = setTimeout(() => void this.search(), SETTLE_MS);
  }

  async search(): Promise<void> {
    const asked = ++this.#searched;
    this.searching = true;
    try {
      const answer = await backend.imageSearch(
        this.image,
        this.volume,
        this.query.trim(),
        FOUND_MOST,
      );
      if (asked !== this.#searched) return;
      this.found = answer.entries;
      this.foundMore = answer.more;
      this.searchError = null;
    } catch (thrown) {
      if (asked === this.#searched) this.searchError = toAppError(thrown);
    } finally {
      if (asked === this.#searched) this.searching = false;
    }
  }

  async select(entry: ImageEntry): Promise<void> {
    const asked = ++this.#read;
    this.selected = entry;
    this.text = null;
    this.textError = null;
    if (entry.kind !== "file") return;
    try {
      const text = await backend.imageReadText(this.image, this.volume, entry.path);
      if (asked === this.#read) this.text = text;
    } catch (thrown) {
      if (asked === this.#read) this.textError = toAppError(thrown);
    }
  }

  async wantSizes(): Promise<void> {
    if (this.sizes === null) await this.openSizes("/");
  }

  isFolder(path: string): boolean {
    return this.#folders.has(path);
  }

  /** Reads how much is in each part of a folder. */
  async openSizes(path: string): Promise<void> {
    const version = this.version;
    try {
      const parts = await backend.imageSizes(this.image, this.volume, path);
      if (version !== this.version) return;
      for (const part of parts) if (part.kind === "directory") this.#folders.add(part.path);
      const children = parts.map(({ name, path, sizeBytes }) => ({
        name,
        path,
        sizeBytes,
        layer: null,
        children: [],
      }));
      this.sizes = withChildren(this.sizes, path, children);
      this.sizesError = null;
    } catch (thrown) {
      this.sizesError = toAppError(thrown);
    }
  }

  /** Copies files and folders out of the image, into a folder that is asked for. */
  async extract(paths: string[]): Promise<void> {
    await dialogs.attempt(m.error_extracting(), async () => {
      const folder = await backend.pickFolder();
      if (folder === null) return;
      const id = await backend.imageExtract(this.image, this.volume, paths, folder);
      if ((await jobs.ended(id)) === "done")
        toasts.show(m.image_extracted({ name: nameOf(paths), folder }), {
          action: {
            label: m.reveal_folder(),
            run: () => void dialogs.attempt(m.error_revealing(), () => backend.revealPath(folder)),
          },
        });
      else this.#failed(m.error_extracting(), id);
    });
  }

  /** Puts a file of this computer in the place of one in the image. */
  async replace(entry: ImageEntry): Promise<void> {
    await dialogs.attempt(m.error_replacing({ name: entry.name }), async () => {
      const [from] = await backend.pickFiles();
      if (from === undefined) return;
      await backend.imageReplaceFile(this.image, this.volume, entry.path, from);
      toasts.show(m.image_file_replaced({ name: entry.name, from: fileName(from) }));
      await this.changed();
      const siblings = await this.list(parentOf(entry.path));
      const now = siblings.find(({ path }) => path === entry.path);
      if (now && this.selected?.path === entry.path) await this.select(now);
    });
  }

  /** Rejects when it cannot be done, so that its dialog stays open. */
  async setCommandLine(text: string): Promise<void> {
    await backend.imageSetCommandLine(this.image, text);
    await this.load();
  }

  /** Reads all of the image and compares it with its list of files. */
  async verify(): Promise<void> {
    if (this.verifying !== null) return;
    await dialogs.attempt(m.error_verifying_image(), async () => {
      const id = await backend.imageVerify(this.image);
      this.verifying = id;
      try {
        if ((await jobs.ended(id)) === "done")
          this.verification = await backend.imageVerification(id);
        else this.#failed(m.error_verifying_image(), id);
      } finally {
        this.verifying = null;
      }
    });
  }

  /** Something was written to the image. */
  async changed(): Promise<void> {
    this.version += 1;
    this.sizes = null;
    this.verification = null;
    await this.load();
  }

  #failed(title: string, id: string): void {
    const error = jobs.get(id)?.error;
    if (error) dialogs.fail(title, error);
  }
}

/** The boot command that is in an image, whichever guest reads it. */
export function commandLineOf(info: ImageInfo): string | null {
  return info.osv ? info.osv.commandLine : info.guestCommandLine;
}

/** Which guest the image is made for, as far as it tells. */
export function guestOf(info: ImageInfo): GuestOs | null {
  if (info.osv) return "osv";
  return info.guestCommandLine === null ? null : "linux";
}

/** A tree of sizes in which a folder has got its children. */
function withChildren(root: SizeNode | null, path: string, children: SizeNode[]): SizeNode {
  if (root === null || path === "/") {
    const sizeBytes = children.reduce((sum, child) => sum + child.sizeBytes, 0);
    return { name: "/", path: "/", sizeBytes, layer: null, children };
  }
  const put = (node: SizeNode): SizeNode =>
    node.path === path
      ? { ...node, children }
      : path.startsWith(node.path === "/" ? "/" : `${node.path}/`)
        ? { ...node, children: node.children.map(put) }
        : node;
  return put(root);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

function nameOf(paths: string[]): string {
  const [first] = paths;
  return paths.length === 1 && first ? fileName(first) || "/" : String(paths.length);
}
