/** Clouds of the fixture. */
import type {
  Cloud,
  CloudCheck,
  CloudForm,
  CloudImported,
  CloudServer,
  CloudStack,
  DeployChoices,
} from "../src/backend";

export interface Sky {
  clouds: Cloud[];
  servers: CloudServer[];
  check: CloudCheck;
  file: CloudImported[];
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

const server = (name: string, part: Partial<CloudServer> = {}): CloudServer => ({
  id: `server-${name}`,
  name,
  status: "ACTIVE",
  task: null,
  fixed: ["10.20.0.7"],
  floating: [],
  image: "image",
  flavor: "m1.small",
  made: "2026-11-20T08:00:00Z",
  deployment: "deployment",
  fault: null,
  ...part,
});

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
});

export const fullSky = (): Sky => ({
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

export function skyHandlers(sky: Sky): Record<string, (args: Record<string, unknown>) => unknown> {
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
    cloud_servers: () => sky.servers,
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
    cloud_server_act: () => null,
    cloud_server_delete: () => null,
    cloud_leftovers: () => [],
  };
}
