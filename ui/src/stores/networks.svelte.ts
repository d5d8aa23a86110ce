/** The private networks of this computer's machines, and what of its own they can be on. */
import { backend, type PrivateNetwork } from "../backend";

class Networks {
  items = $state.raw<readonly PrivateNetwork[]>([]);

  /** Bridges and tap devices, as they are named among networks: `bridge:br0`. */
  links = $state.raw<readonly string[]>([]);

  /** What a machine can be put on. */
  get names(): readonly string[] {
    return [...new Set([...this.items.map(({ name }) => name), ...this.links])];
  }

  /** Reads them anew; where that fails, what was known stays. */
  async load(): Promise<void> {
    [this.items, this.links] = await Promise.all([
      backend.privateNetworks().catch(() => this.items),
      backend.hostLinks().catch(() => this.links),
    ]);
  }
}

export const networks = new Networks();
