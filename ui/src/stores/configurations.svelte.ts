/** The run configurations of an appliance as forms: one is edited at a time, and saves itself a moment after the last change. */
import {
  backend,
  toAppError,
  type AppError,
  type ConfigurationFields,
  type RunConfiguration,
  type Runtime,
  type RuntimeFields,
} from "../backend";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import type { RunForm } from "./runForm.svelte";

const SETTLE_MS = 500;

/** What a new configuration of a runtime begins with. */
export function emptyFields(runtime: Runtime): ConfigurationFields {
  const settings: Record<Runtime, RuntimeFields> = {
    native: { runtime: "native", bootcmd: "" },
    node: { runtime: "node", main: "", nodeArgs: [], args: [], shell: false },
    java: {
      runtime: "java",
      main: "",
      xms: null,
      xmx: null,
      classpath: [],
      jvmArgs: [],
      args: [],
    },
    python: { runtime: "python", main: "", pythonArgs: [], args: [], shell: false },
  };
  return { settings: settings[runtime], base: null, env: [] };
}

export class Configurations {
  readonly form: RunForm;
  name = $state<string | null>(null);
  draft = $state<ConfigurationFields | null>(null);
  state = $state<"saved" | "changed" | "saving">("saved");
  error = $state.raw<AppError | null>(null);

  readonly own = $derived.by(() => this.form.configurations.filter((one) => one.own));
  readonly current = $derived.by<RunConfiguration | undefined>(() =>
    this.own.find((one) => one.name === this.name),
  );

  readonly #onwritten: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `onwritten` is told that run.yaml was written. */
  constructor(form: RunForm, onwritten: () => void) {
    this.form = form;
    this.#onwritten = onwritten;
  }

  /** Shows a configuration; edits of the one before are saved first. */
  async choose(name: string | null): Promise<void> {
    await this.save();
    this.name = name;
    this.take();
  }

  /** Takes up what the core says now, unless something is being edited. */
  take(): void {
    if (this.state !== "saved") return;
    if (!this.current)
      this.name = (this.own.find((one) => one.isDefault) ?? this.own[0])?.name ?? null;
    const fields = this.current?.fields;
    this.draft = fields ? structuredClone($state.snapshot(fields) as ConfigurationFields) : null;
  }

  changed(): void {
    this.state = "changed";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.save(), SETTLE_MS);
  }

  async save(): Promise<void> {
    clearTimeout(this.#timer);
    const { name, draft } = this;
    if (this.state !== "changed" || name === null || draft === null) return;
    this.state = "saving";
    try {
      await backend.applianceConfigurationSave(this.form.id, name, $state.snapshot(draft));
      this.error = null;
      // An edit may have come while it was being saved.
      if (this.state === "saving") this.state = "saved";
      await this.#written();
    } catch (thrown) {
      this.error = toAppError(thrown);
      this.state = "changed";
    }
  }

  async add(name: string, runtime: Runtime): Promise<void> {
    await this.#change(async () => {
      await backend.applianceConfigurationAdd(this.form.id, name, emptyFields(runtime));
      this.name = name;
    });
  }

  async rename(to: string): Promise<void> {
    const name = this.name;
    if (name === null || name === to) return;
    await this.#change(async () => {
      await backend.applianceConfigurationRename(this.form.id, name, to);
      this.name = to;
    });
  }

  async remove(): Promise<void> {
    const name = this.name;
    if (name === null) return;
    const yes = await dialogs.confirm(
      m.remove_configuration_title({ name }),
      m.remove_configuration_body(),
      m.remove(),
    );
    if (!yes) return;
    this.state = "saved";
    await this.#change(async () => {
      await backend.applianceConfigurationRemove(this.form.id, name);
      this.name = null;
    });
  }

  /** Runs this one when nothing else is said, or beside the others that do. */
  async setDefault(name: string, isDefault: boolean): Promise<void> {
    const others = this.own
      .filter((one) => one.isDefault && one.name !== name)
      .map((one) => one.name);
    await this.#change(() =>
      backend.applianceConfigurationSetDefault(
        this.form.id,
        isDefault ? [...others, name] : others,
      ),
    );
  }

  async #change(action: () => Promise<unknown>): Promise<void> {
    await this.save();
    if (await dialogs.attempt(m.error_saving_configuration(), action)) await this.#written();
  }

  async #written(): Promise<void> {
    await this.form.reload();
    this.take();
    this.#onwritten();
  }
}
