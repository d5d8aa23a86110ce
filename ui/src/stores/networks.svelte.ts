/** The private networks of this computer's machines. */
import { backend, type PrivateNetwork } from "../backend";

class Networks {
  items = $state.raw<readonly PrivateNetwork[]>([]);

  /** Reads them anew; where that fails, what was known stays. */
  async load(): Promise<void> {
    this.items = await backend.privateNetworks().catch(() => this.items);
  }
}

export const networks = new Networks();
