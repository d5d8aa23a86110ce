// The window's contract with the core, in the shape that tauri-specta generates. Do not edit by hand once it is generated.
import { invoke as __TAURI_INVOKE, Channel } from "@tauri-apps/api/core";
import * as __TAURI_EVENT from "@tauri-apps/api/event";

export const commands = {
  doctor: () => typedError<Check[], AppError>(__TAURI_INVOKE("doctor")),
  kernelList: () => typedError<Kernel[], AppError>(__TAURI_INVOKE("kernel_list")),
  kernelAdd: (paths: string[]) =>
    typedError<Kernel[], AppError>(__TAURI_INVOKE("kernel_add", { paths })),
  kernelFetchLinux: () => typedError<string, AppError>(__TAURI_INVOKE("kernel_fetch_linux")),
  kernelRemove: (id: string) => typedError<null, AppError>(__TAURI_INVOKE("kernel_remove", { id })),
  inspect: (path: string) => typedError<Dropped, AppError>(__TAURI_INVOKE("inspect", { path })),
  applianceList: () => typedError<Appliance[], AppError>(__TAURI_INVOKE("appliance_list")),
  applianceGet: (id: string) =>
    typedError<Appliance, AppError>(__TAURI_INVOKE("appliance_get", { id })),
  applianceAdd: (path: string, manifest: Manifest | null) =>
    typedError<Appliance, AppError>(__TAURI_INVOKE("appliance_add", { path, manifest })),
  applianceRemove: (id: string) =>
    typedError<null, AppError>(__TAURI_INVOKE("appliance_remove", { id })),
  sampleList: () => typedError<Sample[], AppError>(__TAURI_INVOKE("sample_list")),
  sampleCreate: (id: string) =>
    typedError<string, AppError>(__TAURI_INVOKE("sample_create", { id })),
  applianceContents: (id: string) =>
    typedError<Contents, AppError>(__TAURI_INVOKE("appliance_contents", { id })),
  applianceTree: (id: string, directory: string) =>
    typedError<TreeEntry[], AppError>(__TAURI_INVOKE("appliance_tree", { id, directory })),
  applianceRunForm: (id: string) =>
    typedError<RunForm, AppError>(__TAURI_INVOKE("appliance_run_form", { id })),
  applianceSaveSettings: (id: string, settings: ApplianceSettings) =>
    typedError<ApplianceSettings, AppError>(
      __TAURI_INVOKE("appliance_save_settings", { id, settings }),
    ),
  appliancePreviewBoot: (id: string, settings: ApplianceSettings) =>
    typedError<BootPreview, AppError>(__TAURI_INVOKE("appliance_preview_boot", { id, settings })),
  buildList: (applianceId: string | null) =>
    typedError<Build[], AppError>(__TAURI_INVOKE("build_list", { applianceId })),
  applianceBuild: (id: string) =>
    typedError<string, AppError>(__TAURI_INVOKE("appliance_build", { id })),
  applianceRun: (id: string) =>
    typedError<string, AppError>(__TAURI_INVOKE("appliance_run", { id })),
  buildDelete: (id: string) => typedError<null, AppError>(__TAURI_INVOKE("build_delete", { id })),
  machineList: () => typedError<Machine[], AppError>(__TAURI_INVOKE("machine_list")),
  machineStart: (id: string) => typedError<null, AppError>(__TAURI_INVOKE("machine_start", { id })),
  machinePause: (id: string) => typedError<null, AppError>(__TAURI_INVOKE("machine_pause", { id })),
  machineResume: (id: string) =>
    typedError<null, AppError>(__TAURI_INVOKE("machine_resume", { id })),
  machineStop: (id: string) => typedError<null, AppError>(__TAURI_INVOKE("machine_stop", { id })),
  machineKill: (id: string) => typedError<null, AppError>(__TAURI_INVOKE("machine_kill", { id })),
  machineDelete: (id: string) =>
    typedError<null, AppError>(__TAURI_INVOKE("machine_delete", { id })),
  machineRename: (id: string, name: string) =>
    typedError<null, AppError>(__TAURI_INVOKE("machine_rename", { id, name })),
  machineDetails: (id: string) =>
    typedError<MachineDetails, AppError>(__TAURI_INVOKE("machine_details", { id })),
  machineScreenshot: (id: string) =>
    typedError<ArrayBuffer, AppError>(__TAURI_INVOKE("machine_screenshot", { id })),
  machineOpenPort: (id: string, guestPort: number) =>
    typedError<null, AppError>(__TAURI_INVOKE("machine_open_port", { id, guestPort })),
  consoleOpen: (id: string, fromByte: number, onBytes: Channel<ArrayBuffer>) =>
    typedError<string, AppError>(__TAURI_INVOKE("console_open", { id, fromByte, onBytes })),
  consoleAcknowledge: (stream: string, bytes: number) =>
    typedError<null, AppError>(__TAURI_INVOKE("console_acknowledge", { stream, bytes })),
  consoleSave: (id: string, path: string) =>
    typedError<null, AppError>(__TAURI_INVOKE("console_save", { id, path })),
  displayOpen: (id: string, onBytes: Channel<ArrayBuffer>) =>
    typedError<string, AppError>(__TAURI_INVOKE("display_open", { id, onBytes })),
  streamClose: (stream: string) =>
    typedError<null, AppError>(__TAURI_INVOKE("stream_close", { stream })),
  jobList: (limit: number, before: string | null) =>
    typedError<Job[], AppError>(__TAURI_INVOKE("job_list", { limit, before })),
  jobLog: (id: string) => typedError<string, AppError>(__TAURI_INVOKE("job_log", { id })),
  jobCancel: (id: string) => typedError<null, AppError>(__TAURI_INVOKE("job_cancel", { id })),
  jobRetry: (id: string) => typedError<string, AppError>(__TAURI_INVOKE("job_retry", { id })),
  settingsGet: () => typedError<Settings, AppError>(__TAURI_INVOKE("settings_get")),
  settingsSet: (settings: Settings) =>
    typedError<Settings, AppError>(__TAURI_INVOKE("settings_set", { settings })),
  about: () => typedError<About, AppError>(__TAURI_INVOKE("about")),
  pickFolder: () => typedError<string | null, AppError>(__TAURI_INVOKE("pick_folder")),
  pickFiles: () => typedError<string[], AppError>(__TAURI_INVOKE("pick_files")),
  pickSavePath: (suggested: string) =>
    typedError<string | null, AppError>(__TAURI_INVOKE("pick_save_path", { suggested })),
  revealPath: (path: string) => typedError<null, AppError>(__TAURI_INVOKE("reveal_path", { path })),
  windowCloseAnswer: (answer: CloseAnswer, remember: boolean) =>
    typedError<null, AppError>(__TAURI_INVOKE("window_close_answer", { answer, remember })),
};

export const events = {
  applianceChanged: makeEvent<Appliance>("appliance-changed"),
  applianceGone: makeEvent<string>("appliance-gone"),
  machineChanged: makeEvent<Machine>("machine-changed"),
  machineGone: makeEvent<string>("machine-gone"),
  jobChanged: makeEvent<Job>("job-changed"),
  kernelsChanged: makeEvent<null>("kernels-changed"),
  settingsChanged: makeEvent<Settings>("settings-changed"),
  readAnew: makeEvent<null>("read-anew"),
  closeRequested: makeEvent<CloseRequested>("close-requested"),
};

/* Types */
export type GuestOs = "osv" | "linux";
export type RootFs = "rofs" | "ext4";
export type AppError = {
  kind: "invalid" | "notFound" | "conflict" | "unavailable" | "cancelled" | "input" | "internal";
  message: string;
  hints: string[];
  chain: string[];
};
export type Check = {
  id: "qemu" | "accelerator" | "linuxKernel" | "osvKernel" | "diskSpace";
  title: string;
  status: "good" | "warning" | "missing";
  detail: string;
  remedy: string | null;
  fix: "fetchLinuxKernel" | "addKernel" | null;
};
export type Kernel = {
  id: string;
  guest: GuestOs;
  form: "osvLoader" | "osvElf" | "linux";
  version: string;
  digest: string;
  sizeBytes: number;
  rootFs: RootFs[];
  runs: string;
  addedAt: string;
};
export type Appliance = {
  id: string;
  name: string;
  title: string;
  path: string;
  guest: GuestOs;
  rootFs: RootFs;
  lastBuild: Build | null;
  machinesRunning: number;
  addedAt: string;
  problem: AppError | null;
};
export type Dropped = {
  path: string;
  kind: "appliance" | "folder" | "archive" | "kernel";
  proposal: Proposal | null;
};
export type Proposal = {
  name: string;
  title: string;
  author: string;
  version: string;
  require: string[];
  runtime: string;
  command: string;
  packageYaml: string;
  runYaml: string;
  fileCount: number;
  sizeBytes: number;
  reasons: string[];
  problems: Finding[];
};
export type Sample = {
  id: "hello" | "node-microservice" | "python";
  title: string;
  description: string;
  available: boolean;
  missing: string | null;
};
export type LayerInfo = {
  name: string;
  version: string | null;
  kind: "package" | "appliance";
  path: string;
  fileCount: number;
  sizeBytes: number;
};
export type Contents = {
  layers: LayerInfo[];
  fileCount: number;
  sizeBytes: number;
  findings: Finding[];
};
export type Finding = {
  severity: "error" | "warning" | "note";
  path: string | null;
  message: string;
  remedy: string | null;
};
export type TreeEntry = {
  name: string;
  path: string;
  kind: "directory" | "file" | "symlink";
  sizeBytes: number;
  layer: string;
  overrides: string[];
  target: string | null;
  childCount: number;
};
export type Port = { host: number | null; guest: number; protocol: "tcp" | "udp" };
export type EnvValue = { name: string; value: string };
export type ApplianceSettings = {
  guest: GuestOs;
  rootFs: RootFs;
  memoryMib: number;
  vcpus: number;
  network: boolean;
  ports: Port[];
  configuration: string | null;
  env: EnvValue[];
  command: string | null;
};
export type RunConfiguration = {
  name: string;
  layer: string;
  runtime: "native" | "node" | "java" | "python";
  env: EnvValue[];
  command: string;
  isDefault: boolean;
};
export type RunForm = { settings: ApplianceSettings; configurations: RunConfiguration[] };
export type BootPreview = { commandLine: string; command: string; problems: Finding[] };
export type Build = {
  id: string;
  applianceId: string;
  guest: GuestOs;
  rootFs: RootFs;
  kernelId: string;
  path: string;
  sizeBytes: number;
  contentBytes: number;
  fileCount: number;
  digest: string;
  startedAt: string;
  durationMs: number;
};
export type MachineState =
  | "created"
  | "starting"
  | "running"
  | "paused"
  | "stopping"
  | "stopped"
  | "failed"
  | "crashed"
  | "lost";
export type ForwardedPort = { host: number; guest: number; protocol: "tcp" | "udp" };
export type Machine = {
  id: string;
  name: string;
  applianceId: string | null;
  buildId: string | null;
  guest: GuestOs;
  state: MachineState;
  exitStatus: number | null;
  message: string | null;
  remedy: string | null;
  ports: ForwardedPort[];
  address: string | null;
  vcpus: number;
  memoryMib: number;
  accelerator: string;
  startedAt: string | null;
  endedAt: string | null;
  elsewhere: boolean;
};
export type MachineDetails = {
  command: string[];
  pid: number | null;
  folder: string;
  qemuVersion: string;
  consoleLog: string;
  notices: string[];
};
export type Job = {
  id: string;
  kind: "build" | "run" | "fetchKernel" | "sample" | "addKernel";
  title: string;
  subject: string | null;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  step: string | null;
  done: number;
  total: number | null;
  unit: "bytes" | "items";
  startedAt: string;
  endedAt: string | null;
  error: AppError | null;
  produced: string | null;
  retry: boolean;
};
export type Settings = {
  theme: "system" | "light" | "dark";
  language: "system" | "en" | "de";
  onClose: "ask" | "leave" | "stop";
  defaultMemoryMib: number;
  qemuPath: string | null;
};
export type Manifest = { packageYaml: string; runYaml: string };
export type About = { version: string; home: string };
export type CloseRequested = { running: number };
export type CloseAnswer = "leave" | "stop" | "cancel";

/* Tauri Specta runtime */
async function typedError<T, E>(
  result: Promise<T>,
): Promise<{ status: "ok"; data: T } | { status: "error"; error: E }> {
  try {
    return { status: "ok", data: await result };
  } catch (error) {
    if (error instanceof Error) throw error;
    return { status: "error", error: error as E };
  }
}

function makeEvent<T>(name: string) {
  return {
    listen: (callback: __TAURI_EVENT.EventCallback<T>) => __TAURI_EVENT.listen(name, callback),
    once: (callback: __TAURI_EVENT.EventCallback<T>) => __TAURI_EVENT.once(name, callback),
    emit: (payload: T) => __TAURI_EVENT.emit(name, payload),
  };
}
