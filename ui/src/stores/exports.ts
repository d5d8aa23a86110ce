/** The formats that an image can be written in, and the jobs that do it. */
import { backend, type ConvertOptions, type ImageFormat, type ListKind } from "../backend";
import { fileName } from "../format";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { toasts } from "./toasts.svelte";

export interface ExportChoice {
  id: string;
  title: string;
  hint: string;
  format: ImageFormat;
  options: ConvertOptions;
  extension: string;
  /** Several files are written, into a folder. */
  folder: boolean;
}

export function exportChoices(): ExportChoice[] {
  const one = (
    format: ImageFormat,
    title: string,
    hint: string,
    part: Partial<ExportChoice> = {},
  ): ExportChoice => ({
    id: format,
    title,
    hint,
    format,
    options: { compressed: false },
    extension: format,
    folder: false,
    ...part,
  });
  return [
    one("qcow2", "qcow2", m.export_hint_qcow2()),
    one("qcow2", m.export_qcow2_compressed(), m.export_hint_qcow2_compressed(), {
      id: "qcow2-compressed",
      options: { compressed: true },
    }),
    one("raw", "raw", m.export_hint_raw(), { extension: "img" }),
    one("vmdk", "vmdk", m.export_hint_vmdk()),
    one("vdi", "vdi", m.export_hint_vdi()),
    one("vhdx", "vhdx", m.export_hint_vhdx()),
    one("tar", "tar", m.export_hint_tar()),
    one("kernelAndDisk", m.export_kernel_and_disk(), m.export_hint_kernel_and_disk(), {
      folder: true,
    }),
  ];
}

export interface Export {
  image: string;
  buildId: string | null;
  name: string;
  choice: ExportChoice;
  path: string;
  lists: ListKind[];
}

/** Begins an export; its end is told by a toast. Rejects when it cannot be begun. */
export async function exportImage({
  image,
  buildId,
  name,
  choice,
  path,
  lists,
}: Export): Promise<void> {
  const folder = choice.folder ? path : path.slice(0, path.lastIndexOf("/")) || "/";
  const id = await backend.imageConvert(image, path, choice.format, choice.options);
  if (buildId !== null && lists.length > 0) await backend.buildExportLists(buildId, folder, lists);
  void jobs.ended(id).then((state) => {
    const error = jobs.get(id)?.error;
    if (error) dialogs.fail(m.error_exporting({ name }), error);
    if (state === "done")
      toasts.show(
        choice.folder
          ? m.image_exported_to({ folder: path })
          : m.image_exported({ name: fileName(path) }),
        {
          action: {
            label: m.reveal_folder(),
            run: () => void dialogs.attempt(m.error_revealing(), () => backend.revealPath(path)),
          },
        },
      );
  });
}
