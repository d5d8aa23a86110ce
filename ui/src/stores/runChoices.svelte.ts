/** How an appliance is run for once: what the dialog of a run with options asks for, and what is wrong with it. */
import type {
  ApplianceSettings,
  MachineResources,
  NetworkPlace,
  RunOptions,
  SharedFolder,
  VolumeMount,
} from "../backend";
import { m } from "../messages/messages.js";
import { problemsOfFolders, problemsOfNetworks, problemsOfVolumes } from "./machineParts";
import { ResourceFields } from "./resourceFields.svelte";

/** As many machines as are started at once. */
export const COUNT_MOST = 200;

export class RunChoices {
  name = $state("");
  count = $state<number | string>(1);
  group = $state("");
  order = $state<number | string>(0);
  networks = $state.raw<NetworkPlace[]>([]);
  volumes = $state.raw<VolumeMount[]>([]);
  shares = $state.raw<SharedFolder[]>([]);
  isLive = $state(false);
  isDisposable = $state(false);
  readonly resources = new ResourceFields();

  constructor(name: string, settings: ApplianceSettings, count: number) {
    this.name = name;
    this.count = count;
    if (count > 1) this.group = name;
    this.networks = (settings.networks ?? []).map((network) => ({ network, aliases: [] }));
    this.volumes = settings.volumes ?? [];
    this.resources.take({
      vcpus: settings.vcpus,
      memoryMib: settings.memoryMib,
      nice: 0,
      pinned: [],
      diskMib: 0,
      diskRequests: 0,
      cpuPercent: 0,
      memoryMaxMib: 0,
    });
  }

  readonly problems = $derived.by((): Record<string, string> => {
    const count = Number(this.count);
    const wrong: Record<string, string> = {
      ...problemsOfNetworks(this.networks),
      ...problemsOfVolumes(this.volumes),
      ...problemsOfFolders(this.shares, this.volumes),
    };
    if (!Number.isInteger(count) || count < 1 || count > COUNT_MOST)
      wrong["count"] = m.how_many_wrong({ most: COUNT_MOST });
    else if (count > 1 && this.volumes.length > 0) wrong["count"] = m.run_several_volumes();
    if (!(Number(this.order) >= 0)) wrong["order"] = m.number_wrong();
    if (this.name.trim() === "") wrong["name"] = m.required();
    return wrong;
  });

  readonly valid = $derived(Object.keys(this.problems).length === 0 && this.resources.valid);

  /** The memory of one machine, where that is a number. */
  readonly memoryMib = $derived(this.resources.value.memoryMib);

  get options(): RunOptions {
    const group = this.group.trim();
    const resources: MachineResources = this.resources.value;
    return {
      settings: null,
      name: this.name.trim(),
      volumes: this.volumes,
      networks: this.networks,
      shares: this.shares,
      isLive: this.isLive,
      isDisposable: this.isDisposable,
      count: Number(this.count),
      group: group === "" ? null : { name: group, order: Number(this.order) },
      resources,
    };
  }
}
