/** The guest kernels in the library, and the state of this computer that goes with them. */
import { backend, on, type Check, type GuestOs, type Kernel, type RootFs } from "../backend";
import { formatNumber } from "../format";
import { m } from "../messages/messages.js";
import { guestName } from "../words";
import { Collection } from "./collection.svelte";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { toasts } from "./toasts.svelte";

class Kernels extends Collection<Kernel> {
  checks = $state.raw<Check[]>([]);
  checking = $state(false);
  /** The job that fetches a kernel, if one is at work. */
  readonly fetching = $derived(jobs.live.find((job) => job.kind === "fetchKernel"));

  constructor() {
    super(() => backend.kernelList());
  }

  listen(): () => void {
    return on("kernelsChanged", () => {
      void this.load();
      void this.examine();
    });
  }

  /** The kernels that a guest can boot with: what only makes disks is none. */
  ofGuest(guest: GuestOs): Kernel[] {
    return this.items.filter((kernel) => kernel.guest === guest && kernel.form !== "osvZfsBuilder");
  }

  /** The newest kernel that boots a guest from a root file system. */
  bootingFrom(guest: GuestOs, rootFs: RootFs): Kernel | undefined {
    return this.ofGuest(guest).find((kernel) => kernel.rootFs.includes(rootFs));
  }

  /** Looks at what this computer has and what is missing. */
  async examine(): Promise<void> {
    this.checking = true;
    await dialogs.attempt(m.error_checking(), async () => (this.checks = await backend.doctor()));
    this.checking = false;
  }

  async add(paths: string[]): Promise<void> {
    if (paths.length === 0) return;
    await dialogs.attempt(m.error_adding_kernel(), async () => {
      const added = await backend.kernelAdd(paths);
      for (const kernel of added) this.put(kernel);
      const only = added[0];
      toasts.show(
        added.length === 1 && only
          ? m.kernel_added({ guest: guestName(only.guest), version: only.version })
          : m.kernels_added({ count: formatNumber(added.length) }),
      );
    });
  }

  async pick(): Promise<void> {
    await dialogs.attempt(m.error_adding_kernel(), async () => this.add(await backend.pickFiles()));
  }

  fetchLinux(): Promise<boolean> {
    return dialogs.attempt(m.error_fetching_kernel(), async () =>
      jobs.follow(await backend.kernelFetchLinux()),
    );
  }

  /** Fetches the newest loader and kernel of OSv from a registry. */
  fetchOsv(): Promise<boolean> {
    return dialogs.attempt(m.error_fetching_kernel(), async () =>
      jobs.begin(await backend.kernelFetchOsv(null)),
    );
  }

  async remove(kernel: Kernel): Promise<void> {
    const name = `${guestName(kernel.guest)} ${kernel.version}`;
    if (
      !(await dialogs.confirm(m.remove_kernel_title({ name }), m.remove_kernel_body(), m.remove()))
    )
      return;
    if (await dialogs.attempt(m.error_removing({ name }), () => backend.kernelRemove(kernel.id)))
      this.drop(kernel.id);
  }
}

export const kernels = new Kernels();
