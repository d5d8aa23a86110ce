/** The words for what the core says in identifiers. */
import type {
  CloudAuth,
  Finding,
  Build,
  BuildManner,
  FindingFix,
  GuestOs,
  ImageFault,
  ImageInfo,
  ImageVolume,
  Job,
  Kernel,
  MachineState,
  PackKind,
  Registry,
  RegistryKind,
  RootFs,
  RunOutcome,
  ServiceState,
} from "./backend";
import { formatBytes, formatNumber } from "./format";
import { m } from "./messages/messages.js";

export function guestName(guest: GuestOs): string {
  return guest === "osv" ? "OSv" : "Linux";
}

export function rootFsName(rootFs: RootFs): string {
  return { rofs: "ROFS", ext4: "ext4", zfs: "ZFS" }[rootFs];
}

/** The root file systems that a guest can have, to choose from. */
export function rootFsOptions(guest: GuestOs | undefined): { value: RootFs; label: string }[] {
  const ext4 = { value: "ext4" as const, label: m.ext4() };
  if (guest === "linux") return [ext4];
  return [{ value: "rofs", label: m.rofs() }, ext4, { value: "zfs", label: m.zfs() }];
}

/** How a run stands, or how it came out. */
export function outcomeName(outcome: RunOutcome): string {
  return {
    waiting: m.outcome_waiting(),
    running: m.outcome_running(),
    converged: m.outcome_converged(),
    notConverged: m.outcome_not_converged(),
    completed: m.outcome_completed(),
    diverged: m.outcome_diverged(),
    failed: m.outcome_failed(),
    stopped: m.outcome_stopped(),
    timedOut: m.outcome_timed_out(),
    lost: m.outcome_lost(),
  }[outcome];
}

/** Accelerators are called by their acronyms. */
export function acceleratorName(accelerator: string): string {
  return accelerator.toUpperCase();
}

export function kernelForm(form: Kernel["form"]): string {
  return {
    osvLoader: m.kernel_form_osv_loader,
    osvElf: m.kernel_form_osv_elf,
    osvZfsBuilder: m.kernel_form_osv_zfs_builder,
    linux: m.kernel_form_linux,
  }[form]();
}

export function machineStateName(state: MachineState): string {
  return {
    created: m.machine_state_created,
    starting: m.machine_state_starting,
    running: m.machine_state_running,
    paused: m.machine_state_paused,
    stopping: m.machine_state_stopping,
    stopped: m.machine_state_stopped,
    failed: m.machine_state_failed,
    crashed: m.machine_state_crashed,
    lost: m.machine_state_lost,
  }[state]();
}

export function serviceStateName(state: ServiceState): string {
  return {
    absent: m.service_absent,
    starting: m.service_starting,
    waiting: m.service_waiting,
    healthy: m.service_healthy,
    running: m.service_running,
    ill: m.service_ill,
    paused: m.service_paused,
    stopping: m.service_stopping,
    ended: m.service_ended,
    failed: m.service_failed,
  }[state]();
}

export function jobStateName(state: Job["state"]): string {
  return {
    running: m.job_state_running,
    paused: m.job_state_paused,
    done: m.job_state_done,
    failed: m.job_state_failed,
    cancelled: m.job_state_cancelled,
  }[state]();
}

/** Whether the machine's guest is alive, so that it has a console to type into and can be stopped. */
export function isAlive(state: MachineState): boolean {
  return state === "starting" || state === "running" || state === "paused" || state === "stopping";
}

/** Whether the machine ran and has ended, for whatever reason. */
export function hasEnded(state: MachineState): boolean {
  return state === "stopped" || state === "failed" || state === "crashed" || state === "lost";
}

export function cloudAuthName(auth: CloudAuth): string {
  return {
    password: m.cloud_auth_password,
    applicationCredential: m.cloud_auth_credential,
    token: m.cloud_auth_token,
    totp: m.cloud_auth_totp,
    oidcAccessToken: m.cloud_auth_access_token,
    oidcClientCredentials: m.cloud_auth_client,
    webSso: m.cloud_auth_websso,
  }[auth]();
}

export function registryKindName(kind: RegistryKind): string {
  return {
    s3: m.registry_kind_s3,
    gitHub: m.registry_kind_github,
    http: m.registry_kind_http,
    folder: m.registry_kind_folder,
    oci: m.registry_kind_oci,
  }[kind]();
}

export function registryStateName(state: Registry["state"]): string {
  return {
    never: m.registry_state_never,
    fresh: m.registry_state_fresh,
    refreshing: m.registry_state_refreshing,
    offline: m.registry_state_offline,
    failed: m.registry_state_failed,
  }[state]();
}

export function packKindName(kind: PackKind): string {
  return {
    folder: m.pack_kind_folder,
    archive: m.pack_kind_archive,
    program: m.pack_kind_program,
    node: m.pack_kind_node,
    python: m.pack_kind_python,
    jar: m.pack_kind_jar,
    debian: m.pack_kind_debian,
    oci: m.pack_kind_oci,
  }[kind]();
}

/** Runtimes are called by their own names. */
export function runtimeName(runtime: string): string {
  return (
    { native: m.runtime_native(), node: "Node.js", java: "Java", python: "Python" }[runtime] ??
    runtime
  );
}

/** What the button of a fix says. */
export function fixName(fix: FindingFix): string {
  switch (fix.kind) {
    case "addPackage":
      return m.fix_add_package({ name: fix.name });
    case "addFile":
      return m.fix_add_file({ path: fix.guest });
    case "leaveOut":
      return m.fix_leave_out({ path: fix.path });
    case "guest":
      return m.fix_guest({ guest: guestName(fix.guest) });
  }
}

/** How much a finding matters. */
export function severityName(severity: Finding["severity"]): string {
  return {
    error: m.severity_error,
    warning: m.severity_warning,
    note: m.severity_note,
  }[severity]();
}

/** How a disk is divided, and whether it boots by itself. */
export function layoutName({ layout, osv }: ImageInfo): string {
  const name = { bare: m.layout_bare, mbr: m.layout_mbr, gpt: m.layout_gpt }[layout]();
  return osv?.hasLoader ? m.layout_with_loader({ layout: name }) : name;
}

/** Why nothing of an image can be shown. */
export function unreadableReason({ volumes }: ImageInfo): string {
  const what = volumes.find(({ unreadable }) => unreadable !== null)?.unreadable;
  if (what === "ZFS") return m.image_unreadable_zfs();
  return what ? m.image_unreadable_as({ what }) : m.image_unreadable_unknown();
}

/** A volume in a list of choices: "1: ext4, 118 MiB". */
export function volumeLabel({ number, name, fileSystem, sizeBytes }: ImageVolume): string {
  const what = [name, fileSystem, formatBytes(sizeBytes)].filter(Boolean).join(", ");
  return number === 0 ? what : `${number}: ${what}`;
}

export function faultName(fault: ImageFault): string {
  return {
    missing: m.fault_missing,
    unexpected: m.fault_unexpected,
    content: m.fault_content,
    mode: m.fault_mode,
    kind: m.fault_kind,
  }[fault]();
}

export function mannerName(manner: BuildManner): string {
  return { anew: m.build_anew, updated: m.build_updated, unchanged: m.build_unchanged }[manner]();
}

/** What a build changed in its image: "1 added, 2 changed". */
export function changesInWords({ changes }: Build): string {
  if (changes?.manner !== "updated") return "";
  const parts = [
    changes.added > 0 ? m.count_added({ number: formatNumber(changes.added) }) : "",
    changes.changed > 0 ? m.count_changed({ number: formatNumber(changes.changed) }) : "",
    changes.removed > 0 ? m.count_removed({ number: formatNumber(changes.removed) }) : "",
  ];
  return parts.filter(Boolean).join(", ") || m.no_file_changed();
}
