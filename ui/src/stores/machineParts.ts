/** What can be wrong with the networks, volumes and folders of a machine, by the row that it is in. */
import type { NetworkPlace, SharedFolder, VolumeMount } from "../backend";
import { m } from "../messages/messages.js";

/** A private network, or one of this computer. */
const NETWORK = /^([A-Za-z0-9._-]{1,40}|(bridge|tap):[A-Za-z0-9._@-]{1,15})$/;
/** Whitespace, commas and quotes part the words of a guest's command line. */
const PLACE = /^\/[^\s,"\\]+$/;

export function isNetworkName(name: string): boolean {
  return NETWORK.test(name);
}

export function problemsOfNetworks(networks: readonly NetworkPlace[]): Record<string, string> {
  const problems: Record<string, string> = {};
  networks.forEach(({ network }, index) => {
    if (!isNetworkName(network)) problems[`network${index}`] = m.network_bad_name();
    else if (networks.findIndex((other) => other.network === network) < index)
      problems[`network${index}`] = m.networks_twice({ name: network });
  });
  return problems;
}

export function problemsOfVolumes(mounts: readonly VolumeMount[]): Record<string, string> {
  const problems: Record<string, string> = {};
  mounts.forEach(({ volume, path }, index) => {
    if (volume === "") problems[`volume${index}`] = m.volume_pick();
    else if (mounts.findIndex((other) => other.volume === volume) < index)
      problems[`volume${index}`] = m.volume_twice({ name: volume });
    else if (path && !PLACE.test(path)) problems[`volume${index}`] = m.volume_bad_path();
    else if (path && mounts.findIndex((other) => other.path === path) < index)
      problems[`volume${index}`] = m.folder_twice();
  });
  return problems;
}

export function problemsOfFolders(
  shares: readonly SharedFolder[],
  mounts: readonly VolumeMount[],
): Record<string, string> {
  const problems: Record<string, string> = {};
  shares.forEach(({ path }, index) => {
    if (!PLACE.test(path)) problems[`folder${index}`] = m.volume_bad_path();
    else if (
      shares.findIndex((other) => other.path === path) < index ||
      mounts.some((mount) => mount.path === path)
    )
      problems[`folder${index}`] = m.folder_twice();
  });
  return problems;
}

/** Where a guest sees a folder when nothing else is said: `/mnt/` and its name. */
export function placeOf(folder: string): string {
  const name = folder.split("/").filter(Boolean).pop() ?? "folder";
  return `/mnt/${name.replace(/[\s,"\\]+/g, "-")}`;
}
