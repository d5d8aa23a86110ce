/** The stand-in's packages, registries and library. */
import { emit } from "@tauri-apps/api/event";
import { parse } from "yaml";
import type {
  CapstanHome,
  Conflict,
  EnvironmentVariable,
  Graph,
  Job,
  LockInfo,
  PackageDetails,
  PackageFilter,
  PackageRow,
  PackPreview,
  Registry,
  RegistryForm,
  Requirement,
  SecretKeeper,
  SizeNode,
  TextMistake,
} from "../src/backend";

export interface Shelf {
  packages: PackageRow[];
  registries: Registry[];
  secrets: SecretKeeper;
  offline: string[];
  environment: EnvironmentVariable[];
  capstan: CapstanHome | null;
  packageYaml: string;
  runYaml: string;
  graph: Graph;
  conflicts: Conflict[];
  sizes: SizeNode;
  lock: LockInfo;
  preview: PackPreview;
}

const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
const MIB = 1024 * 1024;

/** What a package.yaml asks for, as the core reads it. */
export function requirements(packageYaml: string): Requirement[] {
  const { require = [], "x-versions": versions = {} } = (parse(packageYaml) ?? {}) as {
    require?: string[];
    "x-versions"?: Record<string, string>;
  };
  return require.map((name) => ({ name, constraint: versions[name] ?? null }));
}

export function row(name: string, part: Partial<PackageRow> = {}): PackageRow {
  return {
    name,
    title: name,
    version: "1.0.0",
    versions: 1,
    installed: false,
    source: "registry",
    registry: "MIKELANGELO",
    sizeBytes: 12 * MIB,
    runtime: null,
    updateTo: null,
    kind: "package",
    ...part,
  };
}

export function registry(id: number, name: string, part: Partial<Registry> = {}): Registry {
  return {
    id,
    name,
    kind: "s3",
    url: `https://packages.example.org/${name}`,
    prefix: null,
    enabled: true,
    builtIn: false,
    order: id,
    needsLogin: false,
    caFile: null,
    proxy: null,
    minisignKey: null,
    publishable: false,
    state: "fresh",
    refreshed: ago(4000),
    packages: 212,
    problem: null,
    ...part,
  };
}

export const variables: EnvironmentVariable[] = [
  variable("PORT", { kind: "port", default: "8080", description: "Where it listens." }),
  variable("LOG_LEVEL", { kind: "choice", choices: ["error", "info", "debug"], default: "info" }),
  variable("TOKEN", { kind: "secret", required: true }),
  variable("VERBOSE", { kind: "boolean", default: "false", description: "Says more." }),
];

function variable(name: string, part: Partial<EnvironmentVariable>): EnvironmentVariable {
  return {
    name,
    kind: "text",
    choices: [],
    default: null,
    description: null,
    required: false,
    ...part,
  };
}

export const README = `# node

Runs **Node.js** programs.

![logo](https://tracker.example.org/pixel.png)

| Variable | Meaning |
| --- | --- |
| \`PORT\` | where it listens |

<script>window.stolen = true</script><img src=x onerror="window.stolen = true">
[Home](https://nodejs.org)
`;

export function emptyShelf(): Shelf {
  return {
    packages: [],
    registries: [],
    secrets: { kind: "desktop", why: "The desktop has a secret service", locked: false },
    offline: [],
    environment: [],
    capstan: null,
    packageYaml:
      "name: node-microservice\ntitle: Node microservice\nauthor: user # as git knows you\nrequire:\n  - node # the runtime\n",
    runYaml:
      "runtime: node\nconfig_set:\n  default:\n    main: /app/server.js\nconfig_set_default: default\n",
    graph: {
      nodes: [
        node("a0", "node-microservice", { kind: "appliance" }),
        node("node", "node"),
        node("ghost", "ghost", { kind: "missing", installed: false, version: null }),
      ],
      edges: [
        { from: "a0", to: "node", constraint: ">=18" },
        { from: "node", to: "ghost", constraint: null },
      ],
    },
    conflicts: [
      {
        path: "/etc/hosts",
        winner: "node-microservice",
        losers: [{ layer: "node", sizeBytes: 211 }],
        same: false,
      },
      {
        path: "/etc/passwd",
        winner: "node",
        losers: [{ layer: "base", sizeBytes: 40 }],
        same: true,
      },
    ],
    sizes: {
      name: "/",
      path: "/",
      sizeBytes: 96 * MIB,
      layer: null,
      children: [
        {
          name: "usr",
          path: "/usr",
          sizeBytes: 90 * MIB,
          layer: "node",
          children: [size("/usr/bin/node", 88, "node"), size("/usr/share", 2, "node")],
        },
        size("/app", 6, "node-microservice"),
      ],
    },
    lock: {
      locked: true,
      packages: [
        {
          name: "node",
          version: "20.20.2",
          digest: "blake3:0123456789abcdef",
          origin: "MIKELANGELO",
        },
      ],
      stale: [],
    },
    preview: {
      name: "redis",
      version: "7.0.15",
      title: "Redis",
      totalBytes: 9 * MIB,
      files: [
        packed("/usr/bin/redis-server", "the program itself", 2, true),
        packed("/usr/lib/libjemalloc.so.2", "because redis-server needs libjemalloc.so.2", 1, true),
        packed("/usr/share/zoneinfo/UTC", "time zones", 1, false),
      ],
      truncated: false,
      groups: [
        { reason: "the program itself", files: 1, sizeBytes: 2 * MIB },
        { reason: "because redis-server needs libjemalloc.so.2", files: 1, sizeBytes: MIB },
        { reason: "time zones", files: 1, sizeBytes: MIB },
      ],
      findings: [
        {
          severity: "warning",
          path: "/usr/bin/redis-server",
          message: "The program forks",
          remedy: "Pass --daemonize no.",
          fix: null,
        },
      ],
      packageYaml: "name: redis\ntitle: Redis\nauthor: user\nversion: 7.0.15\n",
      runYaml: "runtime: native\nconfig_set:\n  default:\n    bootcmd: /usr/bin/redis-server\n",
    },
  };
}

const node = (id: string, name: string, part: Partial<Graph["nodes"][number]> = {}) => ({
  id,
  name,
  version: "20.20.2",
  kind: "package" as const,
  installed: true,
  sizeBytes: 90 * MIB,
  ...part,
});
const size = (path: string, mebibytes: number, layer: string): SizeNode => ({
  name: path.split("/").pop() ?? "",
  path,
  sizeBytes: mebibytes * MIB,
  layer,
  children: [],
});
const packed = (guest: string, reason: string, mebibytes: number, required: boolean) => ({
  guest,
  host: guest,
  sizeBytes: mebibytes * MIB,
  reason,
  kind: "file" as const,
  left: false,
  required,
});

/** A library with a few packages and registries with many. */
export function fullShelf(count = 40): Shelf {
  const shelf = emptyShelf();
  shelf.registries = [
    registry(1, "OSv", { kind: "gitHub", builtIn: true, url: "cloudius-systems/osv" }),
    registry(2, "MIKELANGELO", { builtIn: true }),
    registry(3, "Team", { kind: "oci", publishable: true, needsLogin: true }),
  ];
  shelf.environment = variables;
  shelf.packages = [
    row("node", {
      title: "Node.js",
      version: "20.20.2",
      versions: 3,
      installed: true,
      source: "both",
      runtime: "node",
      updateTo: "22.3.0",
    }),
    row("python3", { title: "Python", installed: true, source: "library", registry: null }),
    ...Array.from({ length: count }, (_, index) => row(`package-${index}`)),
  ];
  return shelf;
}

function details(shelf: Shelf, name: string): PackageDetails {
  const known = shelf.packages.find((one) => one.name === name) ?? row(name);
  return {
    name,
    title: known.title,
    author: "The Node.js developers",
    license: "MIT",
    platform: "Debian 12",
    created: "2026-05-04",
    description: "JavaScript outside of the browser.",
    readme: known.installed ? README : null,
    iconUrl: null,
    version: known.version,
    versions: [
      version("22.3.0", false),
      version(known.version ?? "1.0.0", known.installed),
      version("18.19.0", false),
    ],
    require: [{ name: "libc", constraint: ">=2.36", installed: false }],
    neededBy: [{ name: "node-microservice", kind: "appliance", id: "a0" }],
    environment: variables,
    configurations: [{ name: "node", base: null, isDefault: true, env: [] }],
    runtime: known.runtime,
    path: known.installed ? `/home/user/.local/share/windlass/packages/${name}` : null,
    digest: known.installed ? "blake3:0123456789abcdef0123" : null,
    sizeBytes: known.sizeBytes,
    fileCount: 214,
    origin: known.registry,
  };
}

const version = (name: string, installed: boolean) => ({
  version: name,
  digest: installed ? "blake3:0123456789abcdef0123" : null,
  installed,
  registry: "MIKELANGELO",
  registryId: 2,
  sizeBytes: 30 * MIB,
  created: null,
  signed: installed ? true : null,
});

const fits = (one: PackageRow, query: string, filter: PackageFilter) =>
  `${one.name} ${one.title}`.toLowerCase().includes(query.toLowerCase()) &&
  (filter.installed === null || one.installed === filter.installed) &&
  (filter.kind === null || one.kind === filter.kind) &&
  (filter.runtime === null || one.runtime === filter.runtime);

/** The same mistake that the core would find, where there is one. */
function mistakes(text: string): TextMistake[] {
  return text.split("\n").flatMap((line, index) =>
    /\brunntime\b/.test(line)
      ? [
          {
            line: index + 1,
            column: 1,
            endColumn: 9,
            message: "There is no field `runntime`",
            hint: "Did you mean `runtime`?",
            severity: "error" as const,
          },
        ]
      : [],
  );
}

export function shelfHandlers(
  shelf: Shelf,
  job: (number: number, part: Partial<Job>) => Job,
): Record<string, (args: Record<string, unknown>) => unknown> {
  const begin = (id: string, part: Partial<Job>) =>
    job(0, { id, state: "running", endedAt: null, produced: null, subject: null, ...part });
  const text = (file: unknown) => (file === "run" ? shelf.runYaml : shelf.packageYaml);
  const formed = (form: RegistryForm) => ({ ...form, credentials: undefined });
  return {
    opened_paths: () => [],
    kernel_fetch_osv: () => begin("job-osv", { kind: "fetchKernel", title: "Fetch OSv" }),
    registry_list: () => shelf.registries,
    secrets_backend: () => shelf.secrets,
    secrets_unlock: ({ passphrase }) => {
      if (passphrase !== "open sesame")
        throw { kind: "input", message: "That is not the passphrase", hints: [], chain: [] };
      return (shelf.secrets = { ...shelf.secrets, locked: false });
    },
    registry_add: (args) => {
      const form = args["form"] as RegistryForm;
      const added = registry(shelf.registries.length + 1, form.name, formed(form));
      shelf.registries = [...shelf.registries, added];
      return added;
    },
    registry_update: (args) => {
      const form = args["form"] as RegistryForm;
      shelf.registries = shelf.registries.map((one) =>
        one.id === args["id"] ? { ...one, ...formed(form) } : one,
      );
      return shelf.registries.find(({ id }) => id === args["id"]);
    },
    registry_remove: (args) => {
      shelf.registries = shelf.registries.filter(({ id }) => id !== args["id"]);
      return null;
    },
    registry_reorder: (args) => {
      const ids = args["ids"] as number[];
      shelf.registries = shelf.registries.toSorted((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
      return null;
    },
    registry_enable: () => null,
    registry_check: () => ({
      ok: false,
      steps: [
        { what: "Name", ok: true, said: "192.0.2.7", hint: null },
        { what: "Login", ok: false, said: "401 Unauthorized", hint: "Check the password." },
      ],
    }),
    registry_refresh: () => begin("job-refresh", { kind: "refresh", title: "Refresh" }),
    package_search: (args) => {
      const filter = args["filter"] as PackageFilter;
      const found = shelf.packages.filter((one) => fits(one, String(args["query"]), filter));
      const offset = Number(args["offset"]);
      return {
        total: found.length,
        rows: found.slice(offset, offset + Number(args["limit"])),
        offline: shelf.offline,
      };
    },
    package_details: (args) => details(shelf, String(args["name"])),
    package_tree: () => [],
    package_graph: () => shelf.graph,
    package_pull: (args) =>
      begin("job-pull", {
        kind: "pull",
        title: `Pull ${String(args["name"])}`,
        subject: String(args["name"]),
        pausable: true,
      }),
    package_remove: () => null,
    package_publish: () => begin("job-publish", { kind: "publish", title: "Publish" }),
    package_export: () => begin("job-export", { kind: "export", title: "Export" }),
    package_update_plan: () =>
      shelf.packages.flatMap(({ name, version: from, updateTo: to }) =>
        to === null ? [] : [{ name, from, to, registry: "MIKELANGELO" }],
      ),
    package_update: () => begin("job-update", { kind: "update", title: "Update" }),
    pack_kinds: () => ["program", "folder"],
    package_accept_digest: () => ({}),
    pack_fetch_image: (args) => {
      const { value } = args["source"] as { value: string };
      if (value.includes(" "))
        throw {
          kind: "input",
          message: `\`${value}\` is not the name of an image`,
          hints: ["Write it as `debian:12`"],
          chain: [],
        };
      return value.startsWith("/")
        ? null
        : begin("job-image", { kind: "pull", title: `Fetch ${value}`, pausable: true });
    },
    pack_preview: () => structuredClone(shelf.preview),
    pack_make: () => begin("job-pack", { kind: "pack", title: "Pack Redis" }),
    library_usage: () => ({
      packagesBytes: 400 * MIB,
      kernelsBytes: 30 * MIB,
      objects: 8123,
      sharedBytes: 90 * MIB,
      buildsBytes: 700 * MIB,
      partialBytes: 2 * MIB,
    }),
    library_verify: () => begin("job-verify", { kind: "verify", title: "Verify the library" }),
    library_repair: () => begin("job-repair", { kind: "repair", title: "Repair the library" }),
    library_prune_plan: () => ({
      items: [
        {
          what: "node 18.19.0",
          kind: "package",
          sizeBytes: 80 * MIB,
          reason: "No appliance uses it",
        },
      ],
      totalBytes: 80 * MIB,
    }),
    library_prune: () => begin("job-prune", { kind: "prune", title: "Prune the library" }),
    capstan_look: () => shelf.capstan,
    capstan_import: () => begin("job-import", { kind: "import", title: "Import" }),
    appliance_layers_set: (args) => {
      const require = args["require"] as Requirement[];
      const undo = shelf.packageYaml;
      shelf.packageYaml = `name: node-microservice\nrequire:\n${require.map(({ name }) => `  - ${name}\n`).join("")}`;
      return {
        contents: {
          require,
          layers: require.map(({ name }) => ({
            name,
            version: "1.0.0",
            kind: "package",
            path: `/packages/${name}`,
            fileCount: 2,
            sizeBytes: MIB,
          })),
          fileCount: 2,
          sizeBytes: MIB,
          findings: [],
        },
        undo,
        digest: "after",
      };
    },
    appliance_manifest_text: (args) => ({
      text: text(args["file"]),
      digest: `digest of ${text(args["file"])}`,
    }),
    appliance_manifest_save: (args) => {
      const found = mistakes(String(args["text"]));
      if (found.length === 0) {
        if (args["file"] === "run") shelf.runYaml = String(args["text"]);
        else shelf.packageYaml = String(args["text"]);
      }
      const digest = `digest of ${text(args["file"])}`;
      return { ok: found.length === 0, digest, mistakes: found };
    },
    appliance_manifest_check: (args) => mistakes(String(args["text"])),
    manifest_schema: () =>
      JSON.stringify({ type: "object", properties: { runtime: { enum: ["native", "node"] } } }),
    appliance_graph: () => shelf.graph,
    appliance_conflicts: () => shelf.conflicts,
    appliance_size_map: () => shelf.sizes,
    appliance_lock: () => shelf.lock,
    appliance_lock_update: () => begin("job-lock", { kind: "lock", title: "Lock" }),
    appliance_fix: () => {
      void emit("library-changed", null);
      return null;
    },
    appliance_configuration_save: () => null,
    appliance_configuration_add: () => null,
    appliance_configuration_remove: () => null,
    appliance_configuration_rename: () => null,
    appliance_configuration_set_default: () => null,
    job_pause: () => null,
    job_resume: () => null,
  } satisfies Record<string, (args: Record<string, unknown>) => unknown>;
}
