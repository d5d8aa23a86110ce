/** Clouds of the fixture. */
import type {
  Cloud,
  CloudCheck,
  CloudForm,
  CloudImage,
  CloudImported,
  CloudServer,
  CloudServerChange,
  CloudStack,
  CloudThing,
  DeployChoices,
  Job,
} from "../src/backend";

export interface Sky {
  clouds: Cloud[];
  servers: CloudServer[];
  check: CloudCheck;
  file: CloudImported[];
  images: CloudImage[];
  things: CloudThing[];
}

export function cloud(id: number, name: string, part: Partial<Cloud> = {}): Cloud {
  return {
    id,
    name,
    auth: "password",
    authUrl: "https://cloud.example.org:5000/v3",
    user: "ada",
    userDomain: "Default",
    project: "science",
    projectDomain: "Default",
    identityProvider: null,
    protocol: null,
    region: "RegionOne",
    interface: "public",
    caFile: null,
    insecure: false,
    hasSecret: true,
    checked: null,
    problem: null,
    ...part,
  };
}

const CAN: Record<string, CloudServer["can"]> = {
  ACTIVE: ["stop", "reboot", "hardReboot", "pause", "suspend", "shelve"],
  SHUTOFF: ["start", "hardReboot", "shelve"],
  PAUSED: ["hardReboot", "unpause", "shelve"],
  SUSPENDED: ["hardReboot", "resume", "shelve"],
  SHELVED_OFFLOADED: ["unshelve"],
  VERIFY_RESIZE: ["confirmResize", "revertResize"],
  ERROR: ["stop", "hardReboot"],
};

export const server = (name: string, part: Partial<CloudServer> = {}): CloudServer => ({
  id: `server-${name}`,
  name,
  status: "ACTIVE",
  task: null,
  busy: part.task !== undefined && part.task !== null,
  fixed: ["10.20.0.7"],
  floating: [],
  networks: ["inside"],
  image: "image",
  flavor: "m1.small",
  vcpus: 1,
  memoryMib: 2048,
  volumes: [],
  zone: "nova",
  key: "ada",
  made: "2026-11-20T08:00:00Z",
  updated: "2026-11-20T08:00:10Z",
  deployment: "deployment",
  fault: null,
  can: part.task ? [] : (CAN[part.status ?? "ACTIVE"] ?? []),
  changeable: !part.task && ["ACTIVE", "SHUTOFF"].includes(part.status ?? "ACTIVE"),
  ...part,
});

/** A server after something was done with it. */
function changed(one: CloudServer, change: CloudServerChange): CloudServer {
  const status =
    change.do === "act"
      ? {
          start: "ACTIVE",
          stop: "SHUTOFF",
          reboot: "ACTIVE",
          hardReboot: "ACTIVE",
          pause: "PAUSED",
          unpause: "ACTIVE",
          suspend: "SUSPENDED",
          resume: "ACTIVE",
          shelve: "SHELVED_OFFLOADED",
          unshelve: "ACTIVE",
          confirmResize: "ACTIVE",
          revertResize: "ACTIVE",
        }[change.action]
      : change.do === "resize"
        ? "VERIFY_RESIZE"
        : one.status;
  return { ...one, status, can: CAN[status] ?? [] };
}

const choices: Omit<DeployChoices, "quotas"> = {
  name: "web",
  memoryMib: 256,
  flavors: [
    {
      name: "m1.nano",
      vcpus: 1,
      memoryMib: 128,
      diskGib: 1,
      lacks: "128 MiB of memory, and 256 are needed",
      proposed: false,
    },
    { name: "m1.tiny", vcpus: 1, memoryMib: 512, diskGib: 1, lacks: null, proposed: true },
    { name: "m1.large", vcpus: 4, memoryMib: 8192, diskGib: 0, lacks: null, proposed: false },
  ],
  networks: ["inside"],
  external: ["public"],
  keys: ["ada"],
  zones: ["nova"],
  ports: [{ host: 8080, guest: 80, protocol: "tcp" }],
};

const stacks: CloudStack[] = [
  {
    id: "stack-1",
    name: "shop",
    status: "CREATE_COMPLETE",
    reason: "",
    busy: false,
    ours: true,
    madeAt: "2026-11-22T18:00:00Z",
    changedAt: null,
    outputs: [],
    resources: [],
    events: [],
  },
];
const pieces: Partial<CloudStack> = {
  outputs: [["Address of web from outside", "172.24.4.99"]],
  resources: [
    { name: "network", kind: "OS::Neutron::Net", status: "CREATE_COMPLETE", reason: "", id: "n" },
    { name: "web", kind: "OS::Nova::Server", status: "CREATE_COMPLETE", reason: "", id: "s" },
  ],
};

export const emptySky = (): Sky => ({
  clouds: [],
  servers: [],
  check: { ok: true, steps: [] },
  file: [],
  images: [],
  things: [],
});

export const image = (name: string, part: Partial<CloudImage> = {}): CloudImage => ({
  id: `image-${name}`,
  name,
  status: "active",
  visibility: "private",
  format: "qcow2",
  sizeBytes: 96 * 1024 * 1024,
  minDiskGib: 1,
  minMemoryMib: 128,
  hash: "9f86d081884c7d65",
  tags: ["windlass"],
  properties: { hw_machine_type: "pc" },
  ours: part.tags?.includes("windlass") ?? true,
  made: "2026-11-20T08:00:00Z",
  ...part,
});

const thing = (kind: string, name: string, deployment: string | null): CloudThing => ({
  kind,
  name,
  id: `${kind}-${name}`,
  deployment,
});

export const fullSky = (): Sky => ({
  images: [
    image("debian-12-generic", { visibility: "public", tags: [], sizeBytes: 360 * 1024 * 1024 }),
    image("node-microservice"),
    image("solver", { tags: ["windlass", "openfoam", "nightly"] }),
    image("windows-2022", { visibility: "shared", tags: [], format: "raw", sizeBytes: 12e9 }),
    image("web-1-2026-11-23", { status: "saving", sizeBytes: null }),
  ],
  things: [
    thing("server", "web-1", "01a207aa-1111"),
    thing("server", "web-2", "01a207aa-1111"),
    thing("floating address", "172.24.4.99", "01a207aa-1111"),
    thing("security group", "web", "01a207aa-1111"),
    thing("network", "cut-net", "01a207bb-2222"),
    thing("subnet", "cut-net", "01a207bb-2222"),
    thing("image", "node-microservice", null),
  ],
  clouds: [
    cloud(1, "campus", { checked: "2026-11-22T18:00:00Z" }),
    cloud(2, "partner", {
      auth: "applicationCredential",
      user: "f631cba875c644c28bd77d77cd7602d9",
      project: null,
      authUrl: "https://keystone.partner.example/v3",
      checked: "2026-11-22T18:00:00Z",
      problem:
        "Keystone refuses the login: the application credential is unknown, its secret is wrong, or it has ended",
      insecure: true,
    }),
    cloud(3, "attic", { authUrl: "http://10.0.0.9:5000/v3" }),
  ],
  servers: [
    server("web-1", { floating: ["172.24.4.99"] }),
    server("web-2", { status: "SHUTOFF" }),
    server("solver", {
      status: "ERROR",
      fault: "No valid host was found. There are not enough hosts available.",
    }),
  ],
  check: {
    ok: false,
    steps: [
      { what: "Name", ok: true, said: "cloud.example.org is 192.0.2.10", hint: null },
      { what: "Connection", ok: true, said: "port 5000 answers", hint: null },
      {
        what: "Certificate",
        ok: false,
        said: "The certificate of https://cloud.example.org:5000/v3 is signed by an authority that is not known here",
        hint: "Ask the cloud's keeper for the certificate of its authority (PEM), and give it to the profile",
      },
    ],
  },
  file: [
    {
      name: "lab",
      authUrl: "http://10.0.0.1:5000/v3",
      auth: "password",
      user: "demo",
      project: "demo",
      hasSecret: true,
      replaces: false,
    },
    {
      name: "campus",
      authUrl: "https://cloud.example.org:5000/v3",
      auth: "password",
      user: "ada",
      project: "science",
      hasSecret: false,
      replaces: true,
    },
  ],
});

export function skyHandlers(
  sky: Sky,
  job: (number: number, part?: Partial<Job>) => Job,
): Record<string, (args: Record<string, unknown>) => unknown> {
  const formed = (form: CloudForm): Partial<Cloud> => {
    const { secret, ...rest } = form;
    return { ...rest, hasSecret: secret.kind === "given" };
  };
  const quota = (what: string, used: number, limit: number | null) => ({
    service: "Nova",
    what,
    used,
    limit,
  });
  const quotas = [
    quota("servers", 3, 10),
    quota("virtual processors", 6, 20),
    quota("memory (MiB)", 6144, 51200),
    quota("floating addresses", 1, null),
  ];
  return {
    cloud_deploy: () => "job-deploy",
    cloud_deploy_choices: () => ({ ...choices, quotas }),
    cloud_list: () => sky.clouds,
    cloud_add: (args) => {
      const form = args["form"] as CloudForm;
      const added = cloud(sky.clouds.length + 1, form.name, formed(form));
      sky.clouds = [...sky.clouds, added];
      return added;
    },
    cloud_check: () => sky.check,
    cloud_import_preview: () => sky.file,
    cloud_import: ({ names }) => {
      const taken = (names as string[]).map((name, at) => cloud(10 + at, name));
      sky.clouds = [...sky.clouds, ...taken];
      return taken;
    },
    cloud_quotas: () => quotas,
    cloud_server_page: ({ id, since }) => ({
      servers: id === 1 && since === null ? sky.servers : [],
      gone: [],
      next: null,
      asOf: "2026-11-23T09:00:00Z",
    }),
    cloud_server: ({ server }) => sky.servers.find((one) => one.id === server),
    cloud_server_as_shown: ({ server }) =>
      JSON.stringify(
        { id: server, "OS-EXT-STS:vm_state": "active", "OS-EXT-AZ:availability_zone": "nova" },
        null,
        2,
      ),
    cloud_server_history: () => [
      {
        request: "req-7",
        action: "resize",
        started: "2026-11-23T08:00:00Z",
        failed: true,
        fault: "No valid host was found. No valid host found for resize",
      },
      {
        request: "req-1",
        action: "create",
        started: "2026-11-20T08:00:00Z",
        failed: false,
        fault: null,
      },
    ],
    cloud_server_console_open: (args) => {
      const channel = args["onBytes"] as { onmessage: (bytes: ArrayBuffer) => void };
      const text = "[    0.000000] Linux version 6.1\r\nready\r\n";
      queueMicrotask(() => channel.onmessage(new TextEncoder().encode(text).buffer as ArrayBuffer));
      return "stream-server";
    },
    cloud_server_display_open: () => "stream-server",
    cloud_server_change: (args) => {
      const change = args["change"] as CloudServerChange;
      const id = args["server"] as string;
      sky.servers =
        change.do === "delete"
          ? sky.servers.filter((one) => one.id !== id)
          : sky.servers.map((one) => (one.id === id ? changed(one, change) : one));
      return job(900, {
        kind: "changeServer",
        title: `Change ${String(args["name"])}`,
        state: "done",
        endedAt: "2026-11-23T09:00:00Z",
      });
    },
    stack_list: () => stacks,
    stack_get: () => ({ ...stacks[0], ...pieces }),
    stack_launch: () => "job-stack",
    stack_delete: () => "job-stack",
    stack_preview: () => ({
      added: ["web_3", "web_3_port"],
      deleted: [],
      replaced: ["db"],
      updated: [],
      unchanged: 9,
    }),
    stack_text: ({ format }) =>
      `# shop, as ${String(format)}\nheat_template_version: "2018-08-31"\n`,
    stack_save_text: () => null,
    cloud_server_log: () => "[    0.000000] Linux version 6.1\nready\n",
    cloud_server_choices: () => ({
      flavors: choices.flavors.map(({ name, vcpus, memoryMib, diskGib }) => ({
        name,
        vcpus,
        memoryMib,
        diskGib,
      })),
      volumes: [
        { id: "v1", name: "results", sizeGib: 20, status: "available", servers: [] },
        { id: "v2", name: "old", sizeGib: 5, status: "in-use", servers: ["server-web-2"] },
      ],
      external: ["public"],
    }),
    cloud_image_page: () => ({ images: sky.images, next: null }),
    cloud_image_change: (args) => {
      const { image, name, visibility, tags } = args as Record<string, never>;
      const after = (one: CloudImage) => ({
        ...one,
        name: name ?? one.name,
        visibility: visibility ?? one.visibility,
        tags: tags ? [...(tags as string[]), "windlass"] : one.tags,
      });
      sky.images = sky.images.map((one) => (one.id === image ? after(one) : one));
      return sky.images.find(({ id }) => id === image);
    },
    cloud_image_delete: ({ image }) => {
      sky.images = sky.images.filter(({ id }) => id !== image);
      return null;
    },
    cloud_image_fetch: () =>
      job(902, { kind: "fetchImage", title: "Fetch node-microservice from campus" }),
    cloud_leftovers: () => sky.things,
    cloud_cleanup: ({ what }) => {
      const { only } = what as { only: string[] };
      sky.things = sky.things.filter(({ id }) => !only.includes(id));
      return job(903, { kind: "cleanUp", title: "Clean up campus" });
    },
  };
}
