/** What a manifest may say, for completion. */
import { backend, type ManifestFile } from "../backend";
import type { Schema } from "../components/schemaCompletion";

export async function manifestSchema(file: ManifestFile): Promise<Schema | null> {
  try {
    return JSON.parse(await backend.manifestSchema(file)) as Schema;
  } catch {
    // Without a schema the editor only completes nothing.
    return null;
  }
}
