/** The words for what Nova says of servers, and what can be done with them. */
import type { CloudServer, CloudServerAction, CloudServerChange } from "../../backend";
import type { MachineAction } from "../../stores/machines.svelte";
import { m } from "../../messages/messages.js";

/** What more has to be said of. */
export type Asking = "resize" | "rebuild" | "attach" | "detach" | "float" | "unfloat";

type Tone = "plain" | "accent" | "good" | "warning" | "danger";

const STATES: Record<string, { text: () => string; tone: Tone }> = {
  ACTIVE: { text: m.machine_state_running, tone: "good" },
  BUILD: { text: m.server_building, tone: "accent" },
  ERROR: { text: m.machine_state_failed, tone: "danger" },
  HARD_REBOOT: { text: m.server_rebooting, tone: "accent" },
  MIGRATING: { text: m.server_migrating, tone: "accent" },
  PAUSED: { text: m.machine_state_paused, tone: "warning" },
  REBOOT: { text: m.server_rebooting, tone: "accent" },
  REBUILD: { text: m.server_rebuilding, tone: "accent" },
  RESCUE: { text: m.server_rescue, tone: "warning" },
  RESIZE: { text: m.server_resizing, tone: "accent" },
  REVERT_RESIZE: { text: m.server_reverting, tone: "accent" },
  SHELVED: { text: m.server_shelved, tone: "plain" },
  SHELVED_OFFLOADED: { text: m.server_shelved, tone: "plain" },
  SHUTOFF: { text: m.machine_state_stopped, tone: "plain" },
  SUSPENDED: { text: m.server_suspended, tone: "warning" },
  VERIFY_RESIZE: { text: m.server_verify_resize, tone: "warning" },
};

const TASKS: Record<string, () => string> = {
  deleting: m.server_deleting,
  "powering-off": m.machine_state_stopping,
  "powering-on": m.machine_state_starting,
  pausing: m.server_pausing,
  unpausing: m.server_unpausing,
  suspending: m.server_suspending,
  resuming: m.server_resuming,
  shelving: m.server_shelving,
  shelving_image_pending_upload: m.server_shelving,
  shelving_image_uploading: m.server_shelving,
  shelving_offloading: m.server_shelving,
  unshelving: m.server_unshelving,
  image_snapshot: m.server_snapshotting,
  image_snapshot_pending: m.server_snapshotting,
  image_pending_upload: m.server_snapshotting,
  image_uploading: m.server_snapshotting,
};

/** How a server stands. What it is called by Nova stays where there is no better word. */
export function serverState(server: CloudServer): { text: string; tone: Tone } {
  const known = STATES[server.status];
  const task = server.task ? TASKS[server.task] : undefined;
  if (task) return { text: task(), tone: "accent" };
  if (server.busy && known?.tone !== "accent") {
    if (server.task?.startsWith("reboot")) return { text: m.server_rebooting(), tone: "accent" };
    if (server.task?.startsWith("resize")) return { text: m.server_resizing(), tone: "accent" };
    if (server.task?.startsWith("rebuild")) return { text: m.server_rebuilding(), tone: "accent" };
  }
  return known ? { text: known.text(), tone: known.tone } : { text: server.status, tone: "plain" };
}

/** What was asked of Nova, as its list of actions has it. */
export function deedName(action: string): string {
  const names: Record<string, () => string> = {
    attach_volume: m.deed_attach_volume,
    attach_interface: m.deed_attach_interface,
    confirmResize: m.confirm_resize,
    create: m.deed_create,
    createImage: m.deed_snapshot,
    delete: m.delete,
    detach_volume: m.deed_detach_volume,
    detach_interface: m.deed_detach_interface,
    pause: m.pause,
    reboot: m.restart,
    rebuild: m.rebuild,
    resize: m.deed_resize,
    resume: m.server_resume,
    revertResize: m.revert_resize,
    shelve: m.shelve,
    start: m.start,
    stop: m.stop,
    suspend: m.suspend,
    unpause: m.resume,
    unshelve: m.unshelve,
  };
  return names[action]?.() ?? action;
}

export function actionName(action: CloudServerAction): string {
  return {
    start: m.start,
    stop: m.stop,
    reboot: m.restart,
    hardReboot: m.hard_reboot,
    pause: m.pause,
    unpause: m.resume,
    suspend: m.suspend,
    resume: m.server_resume,
    shelve: m.shelve,
    unshelve: m.unshelve,
    confirmResize: m.confirm_resize,
    revertResize: m.revert_resize,
  }[action]();
}

/** What of a server comes nearest to what is done with machines; null where it does not fit its state. */
export function changeFor(server: CloudServer, action: MachineAction): CloudServerChange | null {
  if (action === "delete") return server.task === "deleting" ? null : { do: "delete" };
  const near: Record<Exclude<MachineAction, "delete">, CloudServerAction[]> = {
    start: ["start", "unshelve"],
    pause: ["pause"],
    resume: ["unpause", "resume"],
    stop: ["stop"],
    restart: ["reboot"],
    kill: [],
  };
  const fits = near[action].find((one) => server.can.includes(one));
  return fits ? { do: "act", action: fits } : null;
}
