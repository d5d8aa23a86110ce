/** Groups for the stand-in of the core: HDFS, half way up. */
import type {
  AppError,
  GroupFigure,
  GroupView,
  ServiceMachine,
  ServiceState,
} from "../src/backend";

const machine = (
  name: string,
  state: ServiceState,
  message: string | null = null,
): ServiceMachine => ({
  name,
  id: state === "absent" ? null : `machine-${name}`,
  state,
  message,
  remedy: null,
});

export const hdfs: GroupView = {
  name: "hdfs",
  file: "/home/mara/appliances/hdfs/meta/windlass-group.yaml",
  network: "hdfs",
  services: [
    {
      name: "namenode",
      appliance: ".",
      applianceId: null,
      order: 0,
      dependsOn: [],
      configuration: "namenode",
      command: null,
      env: ["NAMENODE=namenode", "REPLICATION=2"],
      memoryMib: 640,
      ports: [50070],
      volumes: [{ name: "hdfs-names", path: "/data" }],
      health: { kind: "http", target: "50070/jmx?qry=Hadoop", withinSeconds: 600 },
      machines: [machine("hdfs-namenode", "healthy")],
    },
    {
      name: "data",
      appliance: ".",
      applianceId: null,
      order: 1,
      dependsOn: ["namenode"],
      configuration: "datanode",
      command: null,
      env: ["NAMENODE=namenode"],
      memoryMib: null,
      ports: [],
      volumes: [{ name: "hdfs-blocks", path: "/data" }],
      health: { kind: "console", target: "successfully registered with NN", withinSeconds: 600 },
      machines: [
        machine("hdfs-data-1", "waiting"),
        machine("hdfs-data-2", "failed", "It ended with status 1."),
      ],
    },
    {
      name: "client",
      appliance: ".",
      applianceId: null,
      order: 2,
      dependsOn: ["data"],
      configuration: "client",
      command: null,
      env: ["NAMENODE=namenode"],
      memoryMib: 512,
      ports: [],
      volumes: [],
      health: null,
      machines: [machine("hdfs-client", "absent")],
    },
  ],
  others: [],
  notes: [],
  problem: null,
  hasFigures: true,
};

const figure = (label: string, value: string, bytes: number | null = null): GroupFigure => ({
  service: "namenode",
  machine: "machine-hdfs-namenode",
  label,
  value,
  bytes,
  problem: null,
});

export const figures = [
  figure("Live data nodes", "2"),
  figure("Dead data nodes", "0"),
  figure("Blocks", "1284"),
  figure("Capacity", "2040109466", 2_040_109_466),
  { ...figure("Used", "0"), value: null, problem: "It does not answer" },
];

/** What the core answers about groups; those that are not here are not there. */
export function groupHandlers(groups: GroupView[]) {
  const find = (args: Record<string, unknown>): GroupView => {
    const wanted = String(args["group"]);
    const found = groups.find(({ name, file }) => name === wanted || file === wanted);
    if (found) return found;
    throw {
      kind: "notFound",
      message: `There is no group's file ${wanted}`,
      hints: [],
      chain: [],
    } satisfies AppError;
  };
  return {
    group_view: find,
    group_figures: (args: Record<string, unknown>) => (find(args).hasFigures ? figures : []),
    group_up: () => "job-group",
    group_start: () => null,
    group_stop: () => null,
    group_delete: () => null,
  };
}
