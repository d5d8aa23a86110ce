/** How much of this computer a machine may take, as it is typed. */
import type { MachineResources } from "../backend";
import { m } from "../messages/messages.js";

const whole = (text: number | string, least: number, most: number) => {
  const number = Number(text);
  return text !== "" && Number.isInteger(number) && number >= least && number <= most;
};

export class ResourceFields {
  vcpus = $state<number | string>(1);
  memoryMib = $state<number | string>(0);
  nice = $state<number | string>(0);
  /** Numbers with commas. */
  pinned = $state("");
  diskMib = $state<number | string>(0);
  diskRequests = $state<number | string>(0);
  cpuPercent = $state<number | string>(0);
  memoryMaxMib = $state<number | string>(0);

  take(resources: MachineResources): void {
    this.vcpus = resources.vcpus;
    this.memoryMib = resources.memoryMib;
    this.nice = resources.nice;
    this.pinned = resources.pinned.join(", ");
    this.diskMib = resources.diskMib;
    this.diskRequests = resources.diskRequests;
    this.cpuPercent = resources.cpuPercent;
    this.memoryMaxMib = resources.memoryMaxMib;
  }

  readonly processors = $derived(this.pinned.split(/[\s,]+/).filter(Boolean));

  readonly problems = $derived.by(() => {
    const problems: Partial<Record<keyof MachineResources, string>> = {};
    if (!whole(this.vcpus, 1, 255)) problems.vcpus = m.vcpus_range({ most: 255 });
    if (!whole(this.memoryMib, 16, 2 ** 31)) problems.memoryMib = m.memory_too_small({ least: 16 });
    if (!whole(this.nice, 0, 19)) problems.nice = m.nice_wrong();
    if (this.processors.some((number) => !/^\d{1,3}$/.test(number)))
      problems.pinned = m.pinned_wrong();
    if (!whole(this.diskMib, 0, 2 ** 31)) problems.diskMib = m.number_wrong();
    if (!whole(this.diskRequests, 0, 2 ** 31)) problems.diskRequests = m.number_wrong();
    if (!whole(this.cpuPercent, 0, 2 ** 31)) problems.cpuPercent = m.number_wrong();
    if (!whole(this.memoryMaxMib, 0, 2 ** 31)) problems.memoryMaxMib = m.number_wrong();
    return problems;
  });

  readonly valid = $derived(Object.keys(this.problems).length === 0);

  readonly value = $derived<MachineResources>({
    vcpus: Number(this.vcpus),
    memoryMib: Number(this.memoryMib),
    nice: Number(this.nice),
    pinned: this.processors.map(Number),
    diskMib: Number(this.diskMib),
    diskRequests: Number(this.diskRequests),
    cpuPercent: Number(this.cpuPercent),
    memoryMaxMib: Number(this.memoryMaxMib),
  });
}
