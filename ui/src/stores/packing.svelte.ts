/**
 * A package in the making: what was dropped is looked at, its files are shown with the reasons for each, and nothing is
 * written to the library before "Make" is pressed.
 */
import {
  backend,
  toAppError,
  type AppError,
  type GuestOs,
  type Job,
  type PackKind,
  type PackOptions,
  type PackPreview,
  type PackSource,
} from "../backend";
import { fileName } from "../format";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { isLive, jobs } from "./jobs.svelte";
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
  /** The job that fetches what is to be looked at, while it does. */
  readonly fetching = $derived.by<Job | undefined>(() => {
    const job = this.#fetch === null ? undefined : jobs.get(this.#fetch);
    return job && isLive(job) ? job : undefined;
  });

  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #fetch = $state<string | null>(null);

  /** Without a kind, what it can be is found out; a job fetches what is not here yet. */
  constructor(value: string, kind: PackKind | null = null, fetch: Job | null = null) {
    this.value = value;
    // The programs of a container image want a Linux around them.
    if (kind === "oci") this.source = { ...this.source, guest: "linux" };
    if (fetch !== null) this.#fetch = jobs.begin(fetch);
    if (kind !== null) {
      this.kinds = [kind];
      this.source = { ...this.source, kind, value };
    }
  }

  async start(): Promise<void> {
    if (this.#fetch !== null) {
      const id = this.#fetch;
      const state = await jobs.ended(id);
      jobs.dismiss(id);
      if (state === "cancelled") return packing.close(this);
      if (state !== "done") {
        this.error = jobs.get(id)?.error ?? null;
        this.looking = false;
        return;
      }
    }
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

  /** Tries again what failed: the fetch, where it was that. */
  async again(): Promise<void> {
    this.error = null;
    this.looking = true;
    if (this.#fetch !== null && jobs.get(this.#fetch)?.state === "failed") {
      try {
        const job = await backend.packFetchImage(this.source);
        this.#fetch = job === null ? null : jobs.begin(job);
      } catch (thrown) {
        this.error = toAppError(thrown);
        this.looking = false;
        return;
      }
    }
    await this.start();
  }

  /** Gives up: what is still being fetched is not wanted any more. */
  abandon(): void {
    const job = this.fetching;
    if (job) void dialogs.attempt(m.error_cancelling(), () => backend.jobCancel(job.id));
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

  /** Opens a container image that is in a registry, or a file. Rejects what is the name of none. */
  async openImage(name: string): Promise<void> {
    const job = await backend.packFetchImage({ kind: "oci", value: name, guest: "linux" });
    this.forms = [...this.forms, new PackForm(name, "oci", job)];
  }

  close(form: PackForm): void {
    form.abandon();
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
