/** The words for what the core says in identifiers. */
import type { GuestOs, Job, Kernel, MachineState, RootFs } from "./backend";
import { m } from "./messages/messages.js";

export function guestName(guest: GuestOs): string {
  return guest === "osv" ? "OSv" : "Linux";
}

export function rootFsName(rootFs: RootFs): string {
  return rootFs === "rofs" ? "ROFS" : "ext4";
}

/** Accelerators are called by their acronyms. */
export function acceleratorName(accelerator: string): string {
  return accelerator.toUpperCase();
}

export function kernelForm(form: Kernel["form"]): string {
  return {
    osvLoader: m.kernel_form_osv_loader,
    osvElf: m.kernel_form_osv_elf,
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

export function jobStateName(state: Job["state"]): string {
  return {
    running: m.job_state_running,
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
