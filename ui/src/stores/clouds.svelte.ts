/** The clouds that are known, what was found when they were tried, and files of clouds that wait to be taken over. */
import {
  backend,
  on,
  toAppError,
  type AppError,
  type Cloud,
  type CloudCheck,
  type CloudForm,
  type CloudImported,
  type CloudQuota,
  type CloudStack,
} from "../backend";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";

/** A file of clouds, looked at before anything of it is kept. */
export interface CloudFile {
  path: string;
  found: CloudImported[];
}

/** Whether a file is one that other tools of OpenStack keep their clouds in. */
export function isCloudFile(path: string): boolean {
  return /(^|\/)(clouds[^/]*\.ya?ml|[^/]*openrc[^/]*)$/i.test(path);
}

class Clouds {
  items = $state.raw<Cloud[]>([]);
  loaded = $state(false);
  error = $state.raw<AppError | null>(null);
  /** What trying a cloud found, by its id; "checking" while it goes on. */
  checks = $state.raw<ReadonlyMap<number, CloudCheck | "checking">>(new Map());
  /** Files that wait for their dialog; the first is shown. */
  files = $state.raw<CloudFile[]>([]);

  get(id: number): Cloud | undefined {
    return this.items.find((one) => one.id === id);
  }

  async load(): Promise<void> {
    try {
      this.items = await backend.cloudList();
      this.error = null;
    } catch (thrown) {
      this.error = toAppError(thrown);
    } finally {
      this.loaded = true;
    }
  }

  listen(): () => void {
    return on("cloudsChanged", () => void this.load());
  }

  /** Adds a cloud, or changes one, and tries it. Rejects when it cannot be done, so that the form stays open. */
  async save(id: number | null, form: CloudForm): Promise<void> {
    const saved = id === null ? await backend.cloudAdd(form) : await backend.cloudUpdate(id, form);
    await this.load();
    void this.check(saved);
  }

  async remove(cloud: Cloud): Promise<void> {
    const name = cloud.name;
    const yes = await dialogs.confirm(
      m.remove_cloud_title({ name }),
      m.remove_cloud_body(),
      m.remove(),
    );
    if (!yes) return;
    await dialogs.attempt(m.error_removing({ name }), async () => {
      await backend.cloudRemove(cloud.id);
      this.forget(cloud.id);
      await this.load();
    });
  }

  async check(cloud: Cloud): Promise<void> {
    this.#found(cloud.id, "checking");
    try {
      this.#found(cloud.id, await backend.cloudCheck(cloud.id));
    } catch (thrown) {
      this.forget(cloud.id);
      dialogs.fail(m.error_testing_cloud({ name: cloud.name }), thrown);
    }
  }

  forget(id: number): void {
    this.checks = new Map([...this.checks].filter(([known]) => known !== id));
  }

  /** Looks at a file of clouds; what is in it is shown before any of it is kept. */
  async look(path: string): Promise<void> {
    await dialogs.attempt(m.error_importing_clouds(), async () => {
      const found = await backend.cloudImportPreview(path);
      this.files = [...this.files, { path, found }];
    });
  }

  async pickFile(): Promise<void> {
    await dialogs.attempt(m.error_importing_clouds(), async () => {
      const [path] = await backend.pickFiles();
      if (path) await this.look(path);
    });
  }

  /** Takes over clouds of a file, and tries them. Rejects when it cannot be done, so that the dialog stays open. */
  async take(file: CloudFile, names: string[]): Promise<void> {
    const taken = await backend.cloudImport(file.path, names);
    this.dismiss(file);
    await this.load();
    for (const cloud of taken) void this.check(cloud);
  }

  dismiss(file: CloudFile): void {
    this.files = this.files.filter((one) => one !== file);
  }

  /** Has Keystone make an application credential for this computer, so that the password need not be kept. */
  async makeCredential(cloud: Cloud): Promise<void> {
    const name = cloud.name;
    const yes = await dialogs.confirm(
      m.make_credential_title({ name }),
      m.make_credential_body(),
      m.make_credential(),
    );
    if (!yes) return;
    await dialogs.attempt(m.error_making_credential({ name }), async () => {
      await backend.cloudCredentialMake(cloud.id);
      await this.load();
    });
  }

  #found(id: number, check: CloudCheck | "checking"): void {
    this.checks = new Map([...this.checks, [id, check]]);
  }
}

export const clouds = new Clouds();

/** What one cloud has, as it was when it was last asked. */
export class CloudView {
  quotas = $state.raw<CloudQuota[]>([]);
  /** None where the cloud has no Heat. */
  stacks = $state.raw<CloudStack[]>([]);
  loaded = $state(false);
  loading = $state(false);
  error = $state.raw<AppError | null>(null);

  constructor(readonly id: number) {}

  async load(): Promise<void> {
    this.loading = true;
    try {
      const [quotas, stacks] = await Promise.all([
        backend.cloudQuotas(this.id),
        backend.stackList(this.id).catch(() => []),
      ]);
      this.stacks = stacks;
      this.quotas = quotas;
      this.error = null;
    } catch (thrown) {
      this.error = toAppError(thrown);
    } finally {
      this.loaded = true;
      this.loading = false;
    }
  }
}
