/**
 * A package in the making: what was dropped is looked at, its files are shown with the reasons for each, and nothing is
 * written to the library before "Make" is pressed.
 */
import {
  backend,
  toAppError,
  type AppError,
  type GuestOs,
  type PackKind,
  type PackOptions,
  type PackPreview,
  type PackSource,
} from "../backend";
import { fileName } from "../format";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { navigation } from "./navigation.svelte";
import { toasts } from "./toasts.svelte";

const SETTLE_MS = 350;

export class PackForm {
  readonly value: string;
  kinds = $state.raw<readonly PackKind[]>([]);
  source = $state.raw<PackSource>({ kind: "folder", value: "", guest: "osv" });
  options = $state.raw<Required<PackOptions>>({
    name: null,
    version: null,
    leaveOut: [],
    add: [],
    observe: false,
    javaReduce: true,
  });
  preview = $state.raw<PackPreview | null>(null);
  looking = $state(true);
  error = $state.raw<AppError | null>(null);
  makeError = $state.raw<AppError | null>(null);
  /** The manifests as edited; a new preview replaces what was not touched. */
  packageYaml = $state("");
  runYaml = $state("");
  edited = $state(false);
  making = $state(false);
  /** Grows when the manifests were replaced by a new preview. */
  version = $state(0);
  readonly left = $derived(new Set(this.options.leaveOut));

  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(value: string, kind: PackKind | null = null) {
    this.value = value;
    if (kind !== null) {
      this.kinds = [kind];
      this.source = { ...this.source, kind, value };
    }
  }

  async start(): Promise<void> {
    try {
      if (this.kinds.length === 0) {
        this.kinds = await backend.packKinds(this.value);
        this.source = { ...this.source, kind: this.kinds[0] ?? "folder", value: this.value };
      }
    } catch (thrown) {
      this.error = toAppError(thrown);
      this.looking = false;
      return;
    }
    await this.look();
  }

  setKind(kind: PackKind): void {
    this.source = { ...this.source, kind };
    this.options = { ...this.options, leaveOut: [], add: [] };
    void this.look();
  }

  setGuest(guest: GuestOs): void {
    this.source = { ...this.source, guest };
    void this.look();
  }

  set(part: Partial<PackOptions>): void {
    this.options = { ...this.options, ...part };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.look(), SETTLE_MS);
  }

  leave(path: string, out: boolean): void {
    const rest = this.options.leaveOut.filter((known) => known !== path);
    this.set({ leaveOut: out ? [...rest, path] : rest });
  }

  async addFiles(): Promise<void> {
    await dialogs.attempt(m.error_adding_files(), async () => {
      const picked = await backend.pickFiles();
      const added = picked.map((host) => ({ host, guest: `/${fileName(host)}` }));
      if (added.length > 0) this.set({ add: [...this.options.add, ...added] });
    });
  }

  /** Takes an edit of a manifest; what comes of the form is put into the text, too. */
  edit(file: "package" | "run", text: string, fromForm = false): void {
    if (file === "package") this.packageYaml = text;
    else this.runYaml = text;
    this.edited = true;
    if (fromForm) this.version += 1;
  }

  async look(): Promise<void> {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    this.looking = true;
    try {
      const preview = await backend.packPreview(this.source, this.options);
      if (asked !== this.#asked) return;
      this.preview = preview;
      this.error = null;
      if (!this.edited) {
        this.packageYaml = preview.packageYaml;
        this.runYaml = preview.runYaml ?? "";
        this.version += 1;
      }
    } catch (thrown) {
      if (asked === this.#asked) this.error = toAppError(thrown);
    } finally {
      if (asked === this.#asked) this.looking = false;
    }
  }

  async make(): Promise<boolean> {
    this.making = true;
    this.makeError = null;
    try {
      const runYaml = this.runYaml.trim() === "" ? null : this.runYaml;
      const job = await backend.packMake(this.source, this.options, this.packageYaml, runYaml);
      const title = this.preview?.title ?? fileName(this.value);
      void jobs.produced(jobs.begin(job)).then((name) => {
        if (name === null) return;
        toasts.show(m.package_made({ name: title }), {
          action: {
            label: m.show(),
            run: () => navigation.go({ at: "packages", name, tab: "readme" }),
          },
        });
      });
      return true;
    } catch (thrown) {
      this.makeError = toAppError(thrown);
      return false;
    } finally {
      this.making = false;
    }
  }
}

class Packing {
  /** Those that wait for their dialog; the first is shown. */
  forms = $state.raw<readonly PackForm[]>([]);

  open(value: string, kind: PackKind | null = null): void {
    this.forms = [...this.forms, new PackForm(value, kind)];
  }

  close(form: PackForm): void {
    this.forms = this.forms.filter((one) => one !== form);
  }

  async pickFolder(): Promise<void> {
    await dialogs.attempt(m.error_packing(), async () => {
      const path = await backend.pickFolder();
      if (path !== null) this.open(path);
    });
  }

  async pickFiles(): Promise<void> {
    await dialogs.attempt(m.error_packing(), async () => {
      for (const path of await backend.pickFiles()) this.open(path);
    });
  }
}

export const packing = new Packing();
