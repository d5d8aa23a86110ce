/** The stand-in's images, comparisons and volumes. */
import { emit } from "@tauri-apps/api/event";
import type {
  ComparisonFilter,
  ImageDifference,
  ImageEntry,
  ImageInfo,
  ImageVerification,
  ImportedImage,
  Job,
  NewVolume,
  Volume,
} from "../src/backend";

export interface Disks {
  info: ImageInfo;
  entries: Record<string, ImageEntry[]>;
  texts: Record<string, string>;
  verification: ImageVerification;
  differences: ImageDifference[];
  images: ImportedImage[];
  volumes: Volume[];
}

const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
const MIB = 1024 * 1024;

export function imageEntry(path: string, part: Partial<ImageEntry> = {}): ImageEntry {
  return {
    name: path.split("/").pop() ?? "",
    path,
    kind: "file",
    sizeBytes: 4211,
    mode: 0o644,
    modified: ago(4000),
    target: null,
    ...part,
  };
}

const folder = (path: string) =>
  imageEntry(path, { kind: "directory", sizeBytes: null, mode: 0o755 });

export function volume(name: string, part: Partial<Volume> = {}): Volume {
  return {
    id: `volume-${name}`,
    name,
    path: `/home/user/.local/share/windlass/volumes/${name}.qcow2`,
    format: "qcow2",
    sizeBytes: 1024 * MIB,
    allocatedBytes: 66 * MIB,
    fileSystem: "ext4",
    usedBy: [],
    inUseBy: null,
    createdAt: ago(90_000),
    ...part,
  };
}

export function someDisks(): Disks {
  return {
    info: {
      path: "/home/user/.local/share/windlass/images/build-a0-0/disk.img",
      buildId: "build-a0-0",
      applianceId: "a0",
      appliance: "node-microservice",
      format: "raw",
      sizeBytes: 118 * MIB,
      allocatedBytes: 97 * MIB,
      layout: "gpt",
      osv: null,
      guestCommandLine: "/usr/bin/node /app/server.js",
      volumes: [
        {
          number: 1,
          name: "EFI",
          startBytes: MIB,
          sizeBytes: 8 * MIB,
          fileSystem: "FAT",
          unreadable: null,
        },
        {
          number: 2,
          name: "root",
          startBytes: 9 * MIB,
          sizeBytes: 108 * MIB,
          fileSystem: "ext4",
          unreadable: null,
        },
      ],
      root: 2,
      bootsByBios: false,
      bootsByUefi: false,
      hasFileList: true,
      inUseBy: null,
    },
    entries: {
      "/": [
        folder("/app"),
        folder("/etc"),
        imageEntry("/lib64", { kind: "symlink", target: "usr/lib64" }),
        folder("/usr"),
      ],
      "/app": [
        folder("/app/node_modules"),
        imageEntry("/app/package.json", { sizeBytes: 640 }),
        imageEntry("/app/server.js"),
      ],
      "/app/node_modules": Array.from({ length: 1000 }, (_, index) =>
        folder(`/app/node_modules/module-${index}`),
      ),
      "/etc": [imageEntry("/etc/hosts"), imageEntry("/etc/motd", { sizeBytes: 34 })],
      "/usr": [imageEntry("/usr/node", { sizeBytes: 93_000_000, mode: 0o755 })],
    },
    texts: {
      "/etc/motd": "Welcome\nto the node microservice\n",
      "/app/server.js": Array.from(
        { length: 60 },
        (_, line) => `const line${line} = ${line};`,
      ).join("\n"),
    },
    verification: { differences: [], checkedFiles: 1204, checkedBytes: 97 * MIB },
    differences: [
      { path: "/etc/motd", what: "changed", leftBytes: 34, rightBytes: 41 },
      ...Array.from({ length: 3000 }, (_, index): ImageDifference => ({
        path: `/app/node_modules/module-${index}/index.js`,
        what: (["added", "removed", "changed", "mode"] as const)[index % 4] ?? "added",
        leftBytes: index % 4 === 0 ? null : 4000 + index,
        rightBytes: index % 4 === 1 ? null : 4100 + index,
      })),
    ],
    images: [
      {
        id: "image-debian",
        name: "debian-12-genericcloud.qcow2",
        path: "/home/user/.local/share/windlass/imported/debian.qcow2",
        format: "qcow2",
        sizeBytes: 3072 * MIB,
        allocatedBytes: 337 * MIB,
        source: "/home/user/Downloads/debian-12-genericcloud.qcow2",
        importedAt: ago(7200),
      },
    ],
    volumes: [
      volume("postgres", { usedBy: ["database", "database-2"] }),
      volume("results", {
        format: "raw",
        sizeBytes: 20 * 1024 * MIB,
        allocatedBytes: 0,
        fileSystem: null,
      }),
    ],
  };
}

type Handler = (args: Record<string, unknown>) => unknown;

/** Answers about images and volumes. Jobs are over a moment after they began. */
export function diskHandlers(
  disks: Disks,
  job: (number: number, part: Partial<Job>) => Job,
): Record<string, Handler> {
  let begun = 0;
  const done =
    (kind: Job["kind"], then: () => void = () => undefined) =>
    () => {
      const id = `job-${kind}-${begun++}`;
      setTimeout(() => {
        then();
        void emit(
          "job-changed",
          job(0, { id, kind, subject: null, produced: null, state: "done" }),
        );
      }, 5);
      return id;
    };
  const entries = () => Object.values(disks.entries).flat();
  return {
    image_info: () => disks.info,
    image_list: (args) => disks.entries[String(args["path"])] ?? [],
    image_search: (args) => {
      const found = entries().filter(({ path }) => path.includes(String(args["text"])));
      return { entries: found.slice(0, Number(args["limit"])), more: false };
    },
    image_read_text: (args) => {
      const text = disks.texts[String(args["path"])];
      const right = args["image"] === "build-a0-1" ? "\nand good-bye" : "";
      return text === undefined
        ? { text: "", isBinary: true, truncated: false, sizeBytes: 4211 }
        : { text: text + right, isBinary: false, truncated: false, sizeBytes: text.length };
    },
    image_sizes: (args) =>
      (disks.entries[String(args["path"])] ?? []).map(({ name, path, kind, sizeBytes }, index) => ({
        name,
        path,
        kind,
        sizeBytes: sizeBytes ?? 40_000_000 / (index + 1),
        fileCount: 12,
      })),
    image_extract: done("extract"),
    image_verify: done("verifyImage"),
    image_verification: () => disks.verification,
    image_compare: done("compare"),
    image_comparison: (args) => {
      const filter = args["filter"] as ComparisonFilter;
      const fits = disks.differences.filter(
        ({ path, what }) =>
          path.includes(filter.text) && (filter.what.length === 0 || filter.what.includes(what)),
      );
      const count = (what: ImageDifference["what"]) => ({
        count: disks.differences.filter((one) => one.what === what).length,
        bytes: 3_100_000,
      });
      const offset = Number(args["offset"]);
      return {
        left: "left",
        right: "right",
        leftSide: "build-a0-0",
        rightSide: "build-a0-1",
        added: count("added"),
        removed: count("removed"),
        changed: count("changed"),
        same: 1200,
        total: fits.length,
        rows: fits.slice(offset, offset + Number(args["limit"])),
      };
    },
    image_set_command_line: (args) => {
      disks.info = { ...disks.info, guestCommandLine: String(args["text"]) };
      return null;
    },
    image_replace_file: () => null,
    image_convert: done("convert"),
    image_import: done("importImage"),
    image_resize: done("resizeImage"),
    image_drag_out: () => "dropped",
    images: () => disks.images,
    image_delete: () => null,
    build_export_lists: done("exportLists"),
    build_run: () => "job-run",
    text_save: () => null,
    volumes: () => disks.volumes,
    volume_create: (args) => {
      const made = args["volume"] as NewVolume;
      return done("makeVolume", () => {
        disks.volumes = [...disks.volumes, volume(made.name, { format: made.format })];
      })();
    },
    volume_resize: done("resizeImage"),
    volume_delete: () => null,
  };
}
