/**
 * How an appliance is run: the form of its Run tab. It saves by itself a moment after the last change, and shows the boot
 * command that results while it is edited.
 */
import {
  backend,
  toAppError,
  type AppError,
  type ApplianceSettings,
  type BootPreview,
  type EnvironmentVariable,
  type RunConfiguration,
  type Runtime,
} from "../backend";
import { m } from "../messages/messages.js";
import { problemsOfNetworks, problemsOfVolumes } from "./machineParts";

const SETTLE_MS = 400;
const PREVIEW_MS = 150;

/** Memory that a small program of each runtime is happy with, its kernel included, in MiB. */
export const MEMORY_WANTED_MIB: Record<Runtime, number> = {
  native: 96,
  python: 128,
  node: 256,
  java: 512,
};

export class RunForm {
  settings = $state<ApplianceSettings | null>(null);
  configurations = $state.raw<RunConfiguration[]>([]);
  /** The variables that the appliance and its packages understand. */
  environment = $state.raw<EnvironmentVariable[]>([]);
  preview = $state.raw<BootPreview | null>(null);
  /** Why the form, or its preview, could not be had. */
  error = $state.raw<AppError | null>(null);
  previewError = $state.raw<AppError | null>(null);
  saveError = $state.raw<AppError | null>(null);
  state = $state<"saved" | "changed" | "saving">("saved");

  readonly id: string;
  #saveTimer: ReturnType<typeof setTimeout> | undefined;
  #previewTimer: ReturnType<typeof setTimeout> | undefined;
  #asked = 0;

  /** What is wrong with the values, by field; a form with problems is not saved. */
  readonly problems = $derived.by(() => problemsOf(this.settings));
  readonly valid = $derived(Object.keys(this.problems).length === 0);

  /** What runs: the chosen configuration's runtime, or the default one's; a boot command of its own is native. */
  readonly runtime = $derived.by((): Runtime | null => {
    if (this.settings?.command) return "native";
    const wanted = this.settings?.configuration?.split(",")[0];
    const chosen = this.configurations.find((one) =>
      wanted ? one.name === wanted : one.isDefault,
    );
    return chosen?.runtime ?? null;
  });

  constructor(id: string) {
    this.id = id;
  }

  async load(): Promise<void> {
    try {
      const form = await backend.applianceRunForm(this.id);
      this.configurations = form.configurations;
      this.environment = form.environment;
      this.settings = form.settings;
      this.error = null;
      await this.#refreshPreview();
    } catch (thrown) {
      this.error = toAppError(thrown);
    }
  }

  /** Reads the form anew after the manifests have changed; what was edited here is saved before. */
  async reload(): Promise<void> {
    await this.save();
    await this.load();
  }

  valueOf(variable: string): string | null {
    return this.settings?.env.find(({ name }) => name === variable)?.value ?? null;
  }

  /** Sets a variable, or lets its default hold again. */
  setVariable(name: string, value: string | null): void {
    if (!this.settings) return;
    const known = this.settings.env.find((one) => one.name === name);
    if (value === null) this.settings.env = this.settings.env.filter((one) => one.name !== name);
    else if (known) known.value = value;
    else this.settings.env.push({ name, value });
    this.changed();
  }

  /** To be called after every edit. */
  changed(): void {
    this.state = "changed";
    clearTimeout(this.#saveTimer);
    clearTimeout(this.#previewTimer);
    this.#saveTimer = setTimeout(() => void this.save(), SETTLE_MS);
    this.#previewTimer = setTimeout(() => void this.#refreshPreview(), PREVIEW_MS);
  }

  /** Saves what has changed; says whether the appliance may be built and run as it is now. */
  async save(): Promise<boolean> {
    clearTimeout(this.#saveTimer);
    if (this.state !== "changed" || this.settings === null) return this.valid;
    if (!this.valid) return false;
    this.state = "saving";
    try {
      await backend.applianceSaveSettings(this.id, $state.snapshot(this.settings));
      this.saveError = null;
      // An edit may have come while it was being saved.
      if (this.state === "saving") this.state = "saved";
      return true;
    } catch (thrown) {
      this.saveError = toAppError(thrown);
      this.state = "changed";
      return false;
    }
  }

  /** The same as a command for a terminal. */
  async command(): Promise<string> {
    if (this.settings === null) await this.load();
    await this.#refreshPreview();
    return this.preview?.command ?? "";
  }

  async #refreshPreview(): Promise<void> {
    if (this.settings === null || !this.valid) return;
    const asked = ++this.#asked;
    try {
      const preview = await backend.appliancePreviewBoot(this.id, $state.snapshot(this.settings));
      // Only the answer to the last question counts.
      if (asked !== this.#asked) return;
      this.preview = preview;
      this.previewError = null;
    } catch (thrown) {
      if (asked === this.#asked) this.previewError = toAppError(thrown);
    }
  }
}

function problemsOf(settings: ApplianceSettings | null): Record<string, string> {
  const problems: Record<string, string> = {};
  if (!settings) return problems;
  if (!Number.isInteger(settings.memoryMib) || settings.memoryMib < 16)
    problems["memory"] = m.memory_too_small({ least: 16 });
  if (typeof settings.sizeMib === "number" && !(settings.sizeMib >= 1))
    problems["size"] = m.size_bad();
  if (!Number.isInteger(settings.vcpus) || settings.vcpus < 1 || settings.vcpus > 255)
    problems["vcpus"] = m.vcpus_range({ most: 255 });
  const isPort = (port: number) => Number.isInteger(port) && port >= 1 && port <= 65535;
  settings.ports.forEach((port, index) => {
    const twin = settings.ports.findIndex(
      (other) =>
        other.host !== null && other.host === port.host && other.protocol === port.protocol,
    );
    if (!isPort(port.guest) || (port.host !== null && !isPort(port.host)))
      problems[`port${index}`] = m.port_range();
    else if (port.host !== null && twin < index && twin >= 0)
      problems[`port${index}`] = m.port_twice({ port: port.host });
  });
  Object.assign(
    problems,
    problemsOfVolumes(settings.volumes ?? []),
    problemsOfNetworks((settings.networks ?? []).map((network) => ({ network }))),
  );
  settings.env.forEach((value, index) => {
    if (value.name === "") problems[`env${index}`] = m.env_needs_name();
    else if (/[=\s]/.test(value.name)) problems[`env${index}`] = m.env_bad_name();
    else if (settings.env.findIndex((other) => other.name === value.name) < index)
      problems[`env${index}`] = m.env_twice({ name: value.name });
  });
  return problems;
}
