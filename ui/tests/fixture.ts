/**
 * A stand-in for the core, for component tests and for looking at the screens in an ordinary browser. It is never part of
 * the application: it answers the same IPC calls that the real core answers, so the window's own code runs unchanged.
 */
import { emit } from "@tauri-apps/api/event";
import { mockIPC } from "@tauri-apps/api/mocks";
import type {
  Appliance,
  ApplianceSettings,
  AppError,
  Build,
  Check,
  ConfigurationFields,
  Contents,
  Dropped,
  EnvValue,
  Job,
  Kernel,
  LoadPoint,
  Machine,
  MachineSnapshot,
  MachineState,
  RunConfiguration,
  Sample,
  Settings,
  TreeEntry,
} from "../src/backend";

import { diskHandlers, someDisks, type Disks } from "./disks";
import { groupHandlers, hdfs } from "./groups";
import { emptyLaboratory, fullLaboratory, laboratoryHandlers, type Laboratory } from "./laboratory";
import { emptySky, fullSky, skyHandlers, type Sky } from "./skies";
import { emptyShelf, fullShelf, requirements, shelfHandlers, type Shelf } from "./shelf";

type Handler = (args: Record<string, unknown>) => unknown;

export interface World {
  appliances: Appliance[];
  machines: Machine[];
  jobs: Job[];
  kernels: Kernel[];
  checks: Check[];
  samples: Sample[];
  builds: Build[];
  contents: Contents;
  tree: Record<string, TreeEntry[]>;
  settings: Settings;
  run: ApplianceSettings;
  configurations: RunConfiguration[];
  console: string;
  dropped: Record<string, Dropped>;
  /** Packages, registries and the library. */
  shelf: Shelf;
  /** Images and volumes. */
  disks: Disks;
  /** Clouds. */
  sky: Sky;
  laboratory: Laboratory;
  snapshots: MachineSnapshot[];
  /** Replaces the answer to a command. */
  override: Record<string, Handler>;
}

const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
const digest = (seed: number) =>
  `blake3:${((seed * 2654435761) >>> 0).toString(16).padStart(8, "0").repeat(8)}`;

export function build(appliance: string, number: number): Build {
  return {
    id: `build-${appliance}-${number}`,
    applianceId: appliance,
    guest: "linux",
    rootFs: "ext4",
    kernelId: "linux",
    path: `/home/user/.local/share/windlass/images/${appliance}/${number}.img`,
    sizeBytes: 118 * 1024 * 1024 + number * 300_000,
    contentBytes: 97 * 1024 * 1024,
    fileCount: 1204 + number,
    digest: digest(number + 7),
    startedAt: ago(120 + number * 5000),
    durationMs: 640 + number * 35,
    hasImage: number !== 2,
    replacedBy: null,
    changes:
      [
        {
          manner: "updated" as const,
          reason: null,
          since: null,
          added: 2,
          changed: 1,
          removed: 0,
          bytesWritten: 48_211,
        },
        {
          manner: "anew" as const,
          reason: "The root file system was changed from ROFS to ext4",
          since: null,
          added: 1204,
          changed: 0,
          removed: 0,
          bytesWritten: 97 * 1024 * 1024,
        },
        {
          manner: "unchanged" as const,
          reason: null,
          since: null,
          added: 0,
          changed: 0,
          removed: 0,
          bytesWritten: 0,
        },
        null,
      ][number % 4] ?? null,
  };
}

export function appliance(number: number, part: Partial<Appliance> = {}): Appliance {
  const names = [
    "node-microservice",
    "hello",
    "python-report",
    "redis-cache",
    "cavity-solver",
    "edge-proxy",
  ];
  const name = number < names.length ? (names[number] ?? "") : `service-${number}`;
  return {
    id: `a${number}`,
    name,
    title: (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("-", " "),
    path: `/home/user/projects/${name}`,
    guest: number % 3 === 1 ? "osv" : "linux",
    rootFs: number % 3 === 1 ? "rofs" : "ext4",
    lastBuild: number % 4 === 2 ? null : build(`a${number}`, number),
    machinesRunning: number % 5 === 0 ? 1 + (number % 3) : 0,
    addedAt: ago(number * 4000),
    problem: null,
    ...part,
  };
}

/** A minute of what something did, around so many thousandths of a processor. */
export function loadPoints(since: number, permille: number): LoadPoint[] {
  const now = Math.floor(Date.now() / 1000);
  return Array.from({ length: 60 }, (_, index) => (now - 59 + index) * 1000)
    .filter((at) => at > since)
    .map((at, index) => {
      const cpuPermille = Math.round(permille * (1 + 0.6 * Math.sin(index / 4)));
      return {
        at,
        cpuPermille,
        cpuPermilleMost: cpuPermille,
        memoryBytes: (180 + index) * 1024 ** 2,
        readRate: index % 9 === 0 ? 3_000_000 : 0,
        writeRate: index % 5 === 0 ? 900_000 : 4096,
        receiveRate: index % 7 === 0 ? 120_000 : 900,
        sendRate: 2048,
      };
    });
}

function snapshot(id: string, name: string, parent: string | null = null): MachineSnapshot {
  return {
    id,
    name,
    parent,
    takenAt: ago(7200 - 900 * Number(id.slice(1))),
    hasMemory: Number(id.slice(1)) % 2 === 1,
    sizeBytes: 2 ** 20 * (3 + 47 * Number(id.slice(1))),
    isCurrent: false,
  };
}

function someSnapshots(): MachineSnapshot[] {
  return [
    snapshot("s0", "Freshly installed"),
    snapshot("s1", "With test data", "s0"),
    { ...snapshot("s2", "After the migration", "s1"), isCurrent: true },
    snapshot("s3", "Other settings", "s1"),
  ];
}

export function machine(number: number, state: MachineState, part: Partial<Machine> = {}): Machine {
  return {
    id: `m${number}`,
    name: `${appliance(number % 6).name}-${number + 1}`,
    applianceId: `a${number % 6}`,
    buildId: `build-a${number % 6}-0`,
    guest: "linux",
    state,
    exitStatus: null,
    message: null,
    remedy: null,
    stopping: null,
    group: null,
    ports: number % 2 === 0 ? [{ host: 40000 + number, guest: 8080, protocol: "tcp" }] : [],
    address: state === "running" ? "10.0.2.15" : null,
    vcpus: 1 + (number % 2),
    memoryMib: 512,
    hasDisplay: true,
    accelerator: "TCG",
    startedAt: ago(90 + number * 700),
    endedAt: null,
    elsewhere: false,
    allowsChanges: false,
    allowsLooking: false,
    isDisposable: false,
    volumes: [],
    networks:
      number % 3 === 0
        ? [{ name: "shop", address: `10.86.25.${number + 2}`, names: [`web-${number}`, "web"] }]
        : [],
    ...part,
  };
}

export function job(number: number, part: Partial<Job> = {}): Job {
  return {
    id: `j${number}`,
    kind: "build",
    title: `Build Node microservice`,
    subject: "a0",
    state: "done",
    step: null,
    done: 101_711_872,
    total: 101_711_872,
    unit: "bytes",
    startedAt: ago(60 + number * 900),
    endedAt: ago(59 + number * 900),
    error: null,
    produced: "build-a0-0",
    retry: true,
    pausable: false,
    ...part,
  };
}

export const kernel: Kernel = {
  id: "linux",
  guest: "linux",
  form: "linux",
  version: "6.1.0-28-cloud-amd64",
  digest: digest(3),
  sizeBytes: 7_900_000,
  rootFs: ["ext4"],
  makesZfs: false,
  runs: "Any Linux program: fork, several processes, shell scripts",
  addedAt: ago(86_400),
};

export const osvKernel: Kernel = {
  id: "osv",
  guest: "osv",
  form: "osvLoader",
  version: "0.57.0",
  digest: digest(5),
  sizeBytes: 6_500_000,
  rootFs: ["rofs", "ext4"],
  makesZfs: false,
  runs: "One Linux program per machine, without fork",
  addedAt: ago(80_000),
};

export const buildError: AppError = {
  kind: "input",
  message: "server.js vanished while it was being read",
  hints: ["Check that nothing else is changing the folder, then build again."],
  chain: [
    "compose: read layer node-microservice",
    "open /home/user/projects/node-microservice/server.js",
    "No such file or directory (os error 2)",
  ],
};

const entry = (path: string, part: Partial<TreeEntry> = {}): TreeEntry => ({
  name: path.split("/").pop() ?? "",
  path,
  kind: "file",
  sizeBytes: 4211,
  layer: "node-microservice",
  overrides: [],
  target: null,
  childCount: 0,
  ...part,
});

export const proposal: Dropped = {
  path: "/home/user/projects/shop-backend",
  kind: "folder",
  proposal: {
    name: "shop-backend",
    title: "Shop backend",
    author: "user",
    version: "1.4.0",
    require: [],
    runtime: "node",
    command: "/usr/bin/node /app/server.js",
    packageYaml:
      "name: shop-backend\ntitle: Shop backend\nauthor: user # as git knows you\nversion: 1.4.0\nrequire: []\n",
    runYaml:
      "runtime: native\nconfig_set:\n  default:\n    bootcmd: /usr/bin/node /app/server.js\n    env:\n      PORT: 8080\nconfig_set_default: default\n",
    fileCount: 1204,
    sizeBytes: 101_711_872,
    reasons: [
      "package.json names “server.js” as its main file, so this is a Node project",
      "Node and the nine libraries that it needs are packed from this computer",
    ],
    problems: [
      {
        severity: "warning",
        path: "/node_modules/sharp/build/Release/sharp.node",
        message: "A native addon needs libvips.so.42, which is not in the folder",
        remedy: "Add the library to the folder lib, or remove the addon.",
        fix: null,
      },
    ],
  },
};

const nodeFields = (main: string, env: EnvValue[]): ConfigurationFields => ({
  settings: { runtime: "node", main, nodeArgs: [], args: [], shell: false },
  base: "node:node",
  env,
});

/** A computer on which Windlass was never started. */
export function emptyWorld(): World {
  return {
    appliances: [],
    machines: [],
    jobs: [],
    kernels: [],
    checks: [
      { id: "qemu", title: "QEMU", status: "good", detail: "7.2.19", remedy: null, fix: null },
      {
        id: "accelerator",
        title: "Accelerator",
        status: "warning",
        detail: "TCG: /dev/kvm opens, but a guest does not start with it",
        remedy:
          "Machines run in software, several times slower. Hardware virtualisation may be off in the firmware.",
        fix: null,
      },
      {
        id: "linuxKernel",
        title: "Linux kernel",
        status: "missing",
        detail: "none in the library",
        remedy:
          "Fetches the cloud kernel of your distribution, some 30 MiB. No administrator rights are needed.",
        fix: "fetchLinuxKernel",
      },
      {
        id: "osvKernel",
        title: "OSv kernel",
        status: "missing",
        detail: "none in the library",
        remedy: "Pick a loader image or an ELF kernel if you want to run on OSv.",
        fix: "addKernel",
      },
      {
        id: "diskSpace",
        title: "Disk space",
        status: "good",
        detail: "212 GiB free",
        remedy: null,
        fix: null,
      },
    ],
    samples: [
      {
        id: "hello",
        title: "Hello",
        description: "A native program that greets, prints its environment and ends.",
        available: true,
        missing: null,
        download: null,
      },
      {
        id: "node-microservice",
        title: "Node microservice",
        description: "A small HTTP service, packed with the Node of this computer.",
        available: true,
        missing: null,
        download: null,
      },
      {
        id: "python",
        title: "Python",
        description: "A Python program, packed with its interpreter and libraries.",
        available: false,
        missing: "Python 3 is not installed on this computer.",
        download: null,
      },
      {
        id: "hdfs",
        title: "HDFS",
        description: "Hadoop's file system on four machines of one image: a group",
        available: true,
        missing: null,
        download: { sizeBytes: 220_464_734, source: "Hadoop 2.7.3, out of pyspark 2.4.8" },
      },
    ],
    builds: [],
    contents: {
      require: [],
      layers: [
        {
          name: "node",
          version: "20.20.2",
          kind: "package",
          path: "/home/user/.local/share/windlass/packages/node",
          fileCount: 214,
          sizeBytes: 96_000_000,
        },
        {
          name: "node-microservice",
          version: "1.0.0",
          kind: "appliance",
          path: "/home/user/projects/node-microservice",
          fileCount: 12,
          sizeBytes: 48_211,
        },
      ],
      fileCount: 224,
      sizeBytes: 96_040_211,
      findings: [
        {
          severity: "warning",
          path: "/lib/libnss_dns.so.2",
          message: "Names may not resolve: the library for it is not in the image",
          remedy: "Add libnss_dns.so.2 to the folder lib.",
          fix: {
            kind: "addFile",
            host: "/lib/x86_64-linux-gnu/libnss_dns.so.2",
            guest: "/lib/libnss_dns.so.2",
          },
        },
        {
          severity: "note",
          path: "/etc/hosts",
          message: "Two layers hold this file; the appliance’s own is used",
          remedy: null,
          fix: null,
        },
      ],
    },
    tree: {
      "/": [
        entry("/app", { kind: "directory", childCount: 4 }),
        entry("/etc", { kind: "directory", childCount: 2 }),
        entry("/lib64", { kind: "symlink", target: "usr/lib64" }),
        entry("/usr", { kind: "directory", childCount: 2 }),
        entry("/README.md"),
      ],
      "/app": [
        entry("/app/node_modules", { kind: "directory", childCount: 1000 }),
        entry("/app/config.json", { sizeBytes: 211, overrides: ["node"] }),
        entry("/app/package.json", { sizeBytes: 640 }),
        entry("/app/server.js"),
      ],
      "/app/node_modules": Array.from({ length: 1000 }, (_, index) =>
        entry(`/app/node_modules/module-${index}`, { kind: "directory", childCount: 3 }),
      ),
      "/etc": [
        entry("/etc/hosts", { overrides: ["node"] }),
        entry("/etc/passwd", { layer: "node" }),
      ],
      "/usr": [
        entry("/usr/bin", { kind: "directory", childCount: 1 }),
        entry("/usr/lib64", { kind: "directory", childCount: 0 }),
      ],
      "/usr/bin": [entry("/usr/bin/node", { layer: "node", sizeBytes: 93_000_000 })],
      "/usr/lib64": [],
    },
    settings: {
      theme: "system",
      language: "en",
      onClose: "ask",
      defaultMemoryMib: 512,
      stopGuestSeconds: 10,
      stopPowerSeconds: 5,
      notifications: true,
      qemuPath: null,
    },
    run: {
      guest: "linux",
      rootFs: "ext4",
      memoryMib: 512,
      vcpus: 1,
      network: true,
      ports: [{ host: null, guest: 8080, protocol: "tcp" }],
      configuration: null,
      env: [{ name: "LOG_LEVEL", value: "debug" }],
      command: null,
    },
    configurations: [
      {
        name: "default",
        layer: "node-microservice",
        runtime: "node",
        env: [{ name: "PORT", value: "8080" }],
        command: "/usr/bin/node /app/server.js",
        isDefault: true,
        own: true,
        fields: nodeFields("/app/server.js", [{ name: "PORT", value: "8080" }]),
      },
      {
        name: "worker",
        layer: "node-microservice",
        runtime: "node",
        env: [],
        command: "/usr/bin/node /app/worker.js",
        isDefault: false,
        own: true,
        fields: nodeFields("/app/worker.js", []),
      },
    ],
    console:
      "[    0.000000] Linux version 6.1.0-28-cloud-amd64\r\n[    0.412331] virtio_blk virtio1: [vda] 241664 512-byte logical blocks\r\n[windlass] eth0 10.0.2.15/24\r\n[windlass] run /usr/bin/node /app/server.js\r\n\u001b[32mlistening\u001b[0m on http://0.0.0.0:8080\r\nGET / 200 in 3 ms\r\n\u001b[33mwarning\u001b[0m cache is cold\r\nGET /items 200 in 12 ms\r\n",
    dropped: { [proposal.path]: proposal },
    shelf: emptyShelf(),
    disks: { ...someDisks(), images: [], volumes: [] },
    sky: emptySky(),
    laboratory: emptyLaboratory(),
    snapshots: [],
    override: {},
  };
}

/** A computer in daily use. */
export function busyWorld(count = 3): World {
  const world = emptyWorld();
  const states: MachineState[] = [
    "running",
    "starting",
    "paused",
    "stopped",
    "failed",
    "crashed",
    "lost",
    "stopping",
    "created",
  ];
  world.kernels = [kernel, osvKernel];
  world.sky = fullSky();
  world.laboratory = fullLaboratory();
  world.checks = world.checks.map((check) =>
    check.id === "linuxKernel" || check.id === "osvKernel"
      ? { ...check, status: "good", detail: "in the library", remedy: null, fix: null }
      : check,
  );
  world.appliances = Array.from({ length: count }, (_, index) => appliance(index));
  world.machines = Array.from({ length: count }, (_, index) => {
    const state = states[index % states.length] ?? "running";
    const ended = ["stopped", "failed", "crashed", "lost"].includes(state);
    return machine(index, state, {
      group: index % 3 === 0 ? { name: index % 2 === 0 ? "shop" : "hdfs", order: index } : null,
      stopping:
        state === "stopping"
          ? { stage: "powerButton", until: new Date(Date.now() + 4000).toISOString() }
          : null,
      endedAt: ended ? ago(30 + index) : null,
      exitStatus: state === "failed" ? 3 : state === "stopped" ? 0 : null,
      message:
        state === "failed"
          ? "node ended: cannot find module 'express'"
          : state === "crashed"
            ? "Kernel panic: not syncing"
            : null,
      remedy: state === "failed" ? "Run npm install in the folder and build again." : null,
    });
  });
  world.shelf = fullShelf();
  world.disks = someDisks();
  world.builds = Array.from({ length: count }, (_, index) => build("a0", index));
  world.jobs = Array.from({ length: Math.max(count, 3) }, (_, index) =>
    index === 1
      ? job(index, {
          kind: "run",
          title: "Run Hello",
          subject: "a1",
          state: "failed",
          error: buildError,
          produced: null,
          step: "Reading layers",
        })
      : index === 2
        ? job(index, {
            kind: "fetchKernel",
            title: "Fetch a Linux kernel",
            subject: null,
            state: "cancelled",
            produced: null,
          })
        : job(index),
  );
  return world;
}

/** Answers the window's calls from a world, which the answers change. Returns how to send events. */
export function install(world: World) {
  const calls: { command: string; args: Record<string, unknown> }[] = [];
  const find = <T extends { id: string }>(list: T[], id: unknown): T => {
    const found = list.find((item) => item.id === id);
    if (!found)
      throw {
        kind: "notFound",
        message: `There is no ${String(id)}`,
        hints: [],
        chain: [],
      } satisfies AppError;
    return found;
  };
  const setState = (state: MachineState) => (args: Record<string, unknown>) => {
    const changed = { ...find(world.machines, args["id"]), state };
    world.machines = world.machines.map((known) => (known.id === changed.id ? changed : known));
    void emit("machine-changed", changed);
    return null;
  };
  const handlers: Record<string, Handler> = {
    doctor: () => world.checks,
    kernel_list: () => world.kernels,
    kernel_add: () => [kernel],
    kernel_fetch_linux: () => "job-kernel",
    kernel_remove: () => null,
    inspect: (args) =>
      world.dropped[String(args["path"])] ?? {
        path: String(args["path"]),
        kind: "appliance",
        proposal: null,
      },
    appliance_list: () => world.appliances,
    appliance_get: (args) => find(world.appliances, args["id"]),
    appliance_add: (args) => {
      const name = String(args["path"]).split("/").pop() ?? "";
      const added = appliance(900, {
        id: `added-${name}`,
        name,
        title: name,
        path: String(args["path"]),
      });
      world.appliances = [added, ...world.appliances];
      return added;
    },
    appliance_remove: (args) => {
      world.appliances = world.appliances.filter(({ id }) => id !== args["id"]);
      void emit("appliance-gone", args["id"]);
      return null;
    },
    sample_list: () => world.samples,
    sample_create: () => "job-sample",
    notify: () => true,
    appliance_contents: () => ({
      ...world.contents,
      require: requirements(world.shelf.packageYaml),
    }),
    appliance_tree: (args) => world.tree[String(args["directory"])] ?? [],
    appliance_run_form: () => ({
      settings: structuredClone(world.run),
      configurations: world.configurations,
      environment: world.shelf.environment,
    }),
    appliance_save_settings: (args) => (world.run = args["settings"] as ApplianceSettings),
    appliance_preview_boot: (args) => {
      const settings = args["settings"] as ApplianceSettings;
      const env = settings.env.map(({ name, value }) => `--env=${name}=${value}`).join(" ");
      const command = settings.command ?? "runscript /run/default;";
      return {
        commandLine: `${env} ${command}`.trim(),
        command: `windlassctl run node-microservice -m ${settings.memoryMib}M -c ${settings.vcpus}`,
        problems: [],
      };
    },
    build_list: () => world.builds,
    appliance_build: () => "job-build",
    appliance_run: () => "job-run",
    appliance_run_with: () => "job-run",
    build_delete: () => null,
    machine_list: () => world.machines,
    machine_start: setState("starting"),
    machine_pause: setState("paused"),
    machine_resume: setState("running"),
    machine_stop: setState("stopping"),
    machine_kill: setState("stopped"),
    machine_restart: setState("running"),
    machine_memory_shortage: () => null,
    ...groupHandlers([hdfs]),
    machine_resources: () => ({
      vcpus: 2,
      memoryMib: 512,
      nice: 0,
      pinned: [],
      diskMib: 0,
      diskRequests: 0,
      cpuPercent: 0,
      memoryMaxMib: 0,
    }),
    machine_delete: (args) => {
      world.machines = world.machines.filter(({ id }) => id !== args["id"]);
      return null;
    },
    machine_loads: (args) => ({
      stepMs: 1000,
      processors: 8,
      memoryTotalBytes: 16 * 1024 ** 3,
      host: loadPoints(Number(args["since"]), 2400),
      machines: world.machines.map(({ id }) => ({
        id,
        points: loadPoints(Number(args["since"]), 300),
      })),
    }),
    machine_load_history: () => loadPoints(0, 300),
    machine_rename: () => null,
    host_links: () => ["bridge:virbr0"],
    private_networks: () => [
      {
        name: "shop",
        machines: world.machines
          .filter(({ networks }) => networks.some(({ name }) => name === "shop"))
          .map(({ id, name }, index) => ({
            id,
            name,
            address: `10.83.0.${index + 2}`,
            names: [name],
            isConnected: true,
            receivedBytes: 1_300_000 * (index + 1),
            sentBytes: 420_000 * (index + 1),
          })),
      },
    ],
    capture_start: () => "/home/user/.local/share/windlass/machines/m/attached/capture-1.pcap",
    capture_stop: () => ({ files: [], isGoingOn: false }),
    captures: () => ({ files: [], isGoingOn: false }),
    guest_now: () => guestNow(),
    guest_trace: () =>
      ["access_scanner", "memory_malloc", "sched_switch", "sched_wake", "vfs_open"].map((id) => ({
        id,
        name: id,
        count: id.startsWith("sched") ? 1234 : null,
      })),
    guest_environment: () => ({
      commandLine: "console=ttyS0 panic=-1 quiet windlass.agent=on",
      process: guestNow().processes[1] ?? null,
      variables: [
        ["HOME", "/"],
        ["NODE_ENV", "production"],
        ["PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      ],
    }),
    guest_kernel_log: () =>
      Array.from(
        { length: 200 },
        (_, line) => `[    ${line}.000000] virtio_blk: line ${line}`,
      ).join("\n"),
    guest_folder: (args) => ({ path: args["path"], entries: guestEntries(), isCut: false }),
    guest_get: (args) => ({ path: args["to"], sizeBytes: 1000 }),
    guest_put: (args) => ({ path: args["to"], sizeBytes: 1000 }),
    snapshot_list: () => world.snapshots,
    snapshot_take: (args) => {
      const taken = {
        ...snapshot(`s${world.snapshots.length}`, String(args["name"])),
        parent: world.snapshots.find(({ isCurrent }) => isCurrent)?.id ?? null,
        hasMemory: args["withMemory"] === true,
      };
      world.snapshots = [...world.snapshots.map((one) => ({ ...one, isCurrent: false })), taken];
      return taken;
    },
    snapshot_revert: (args) => {
      world.snapshots = world.snapshots.map((one) => ({
        ...one,
        isCurrent: one.id === args["snapshot"],
      }));
      return null;
    },
    snapshot_delete: (args) => {
      world.snapshots = world.snapshots.filter(({ id }) => id !== args["snapshot"]);
      return null;
    },
    network_join: () => null,
    network_leave: () => null,
    folder_share: () => null,
    folder_unshare: () => null,
    volume_attach: () => null,
    volume_detach: () => null,
    machine_details: (args) => ({
      command: [
        "/usr/bin/qemu-system-x86_64",
        "-nodefaults",
        "-machine",
        "q35,accel=tcg",
        "-m",
        "512",
        "-smp",
        "1",
        "-kernel",
        "/home/user/.local/share/windlass/kernels/linux/vmlinuz",
        "-append",
        "console=ttyS0 panic=-1",
        "-drive",
        "file=/home/user/.local/share/windlass/machines/m0/disk.qcow2,if=virtio,format=qcow2",
      ],
      pid: 4242,
      folder: `/home/user/.local/share/windlass/machines/${String(args["id"])}`,
      qemuVersion: "7.2.19",
      consoleLog: `/home/user/.local/share/windlass/machines/${String(args["id"])}/console.log`,
      notices: ["The guest has the address 10.0.2.15"],
      volumes: [{ volume: "data", path: "/data" }],
      shares: [
        { folder: "/home/user/projects/blog", path: "/mnt/blog" },
        { folder: "/home/user/data", path: "/mnt/data", readOnly: true },
      ],
      networks: [{ network: "backend", aliases: ["db"] }],
    }),
    machine_screenshot: () => new ArrayBuffer(8),
    machine_open_port: () => null,
    console_open: (args) => {
      const channel = args["onBytes"] as { onmessage: (bytes: ArrayBuffer) => void };
      queueMicrotask(() =>
        channel.onmessage(new TextEncoder().encode(world.console).buffer as ArrayBuffer),
      );
      return "stream-console";
    },
    console_acknowledge: () => null,
    console_save: () => null,
    display_open: () => "stream-display",
    stream_write: () => null,
    stream_close: () => null,
    job_list: (args) => (args["before"] === null ? world.jobs : []),
    job_log: () =>
      "reading layer node\nreading layer node-microservice\n224 files, 91.6 MiB\nwriting ext4\ndone in 0.64 s\n",
    job_cancel: () => null,
    job_retry: () => "job-retry",
    settings_get: () => world.settings,
    settings_set: (args) => (world.settings = args["settings"] as Settings),
    about: () => ({ version: "0.1.0", home: "/home/user/.local/share/windlass" }),
    pick_folder: () => null,
    pick_files: () => [],
    pick_save_path: () => "/home/user/console.log",
    reveal_path: () => null,
    window_close_answer: () => null,
    ...shelfHandlers(world.shelf, job),
    ...diskHandlers(world.disks, job),
    ...laboratoryHandlers(world.laboratory),
    ...skyHandlers(world.sky, job),
  };
  mockIPC(
    (command, payload) => {
      const args = (payload ?? {}) as Record<string, unknown>;
      calls.push({ command, args });
      const handler = world.override[command] ?? handlers[command];
      if (!handler) throw new Error(`the fixture knows no command ${command}`);
      return handler(args);
    },
    { shouldMockEvents: true },
  );
  return { calls, emit };
}

/** A guest at a moment: the first program, a server, and parts of the kernel. */
function guestNow() {
  const process = (id: number, name: string, command: string, memoryMib: number) => ({
    id,
    parent: id === 1 ? 0 : 1,
    name,
    state: id === 100 ? ("running" as const) : ("sleeping" as const),
    threads: id === 100 ? 11 : 1,
    cpuMs: memoryMib * 310,
    memoryBytes: memoryMib * 1024 ** 2,
    command,
  });
  return {
    processes: [
      process(1, "windlass-init", "/windlass-init", 2),
      process(100, "node", "/usr/bin/node /app/server.js --port 8080", 74),
      process(101, "sh", "sh -c 'while true; do sleep 1; done'", 1),
      ...Array.from({ length: 40 }, (_, index) => process(2 + index, `kworker/${index}`, "", 0)),
    ],
    isCut: false,
    memory: {
      totalBytes: 480 * 1024 ** 2,
      freeBytes: 300 * 1024 ** 2,
      availableBytes: 380 * 1024 ** 2,
      cacheBytes: 80 * 1024 ** 2,
    },
  };
}

function guestEntries() {
  const entry = (name: string, kind: "directory" | "file" | "symlink", sizeBytes: number) => ({
    name,
    kind,
    sizeBytes,
    mode: kind === "directory" ? 0o755 : 0o644,
    modified: "2026-11-23T06:00:00Z",
  });
  return [
    entry("app", "directory", 0),
    entry("etc", "directory", 0),
    entry("usr", "directory", 0),
    entry("bin", "symlink", 7),
    entry("hello", "file", 412_300),
    entry("a-file-with-a-rather-long-name-that-has-to-be-cut-somewhere.log", "file", 12_345_678),
  ];
}
