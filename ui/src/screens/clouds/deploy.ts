/** What a deployment takes of a project's shares, and the words that do the same in a terminal. */
import type { CloudFlavor, CloudQuota, DeployOptions } from "../../backend";
import { quoted } from "../machines/shell";

/** A share as it is and as it would be. */
export interface Share extends CloudQuota {
  after: number;
}

/** The shares that a deployment takes of, as they would be after it. */
export function sharesAfter(
  quotas: readonly CloudQuota[],
  flavor: CloudFlavor,
  count: number,
  floating: boolean,
): Share[] {
  const wanted: Record<string, number> = {
    servers: count,
    "virtual processors": count * flavor.vcpus,
    "memory (MiB)": count * flavor.memoryMib,
    "floating addresses": floating ? count : 0,
  };
  return quotas.flatMap((quota) => {
    const more = wanted[quota.what] ?? 0;
    return more === 0 ? [] : [{ ...quota, after: quota.used + more }];
  });
}

/** The command line of `windlassctl` that deploys the same. */
export function asCommand(image: string, cloud: string, options: DeployOptions): string {
  const words = ["windlassctl", "deploy", quoted(image), "--cloud", quoted(cloud)];
  const say = (flag: string, value: string | null | undefined) => {
    if (value) words.push(flag, quoted(value));
  };
  if (options.from === "appliance") words.push("--appliance");
  if (options.from === "cloud") words.push("--remote");
  say("--name", options.name);
  if ((options.count ?? 1) > 1) words.push("--count", String(options.count));
  say("--flavor", options.flavor);
  say("--configuration", options.configuration);
  say("--network", options.network);
  if (options.newNetwork) words.push("--new-network");
  if (options.floating) words.push("--floating");
  say("--external", options.external);
  say("--key", options.key);
  say("--zone", options.zone);
  if (options.keep) words.push("--keep");
  return words.join(" ");
}
