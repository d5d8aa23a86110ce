/** Packages that a registry replaced under their version: refused, until somebody accepts the new one. */
import { backend, type ReplacedPackage } from "../backend";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { toasts } from "./toasts.svelte";

/** Asks whether just this content is to be accepted, naming what changes; says whether it was. */
export async function acceptReplaced(replaced: ReplacedPackage): Promise<boolean> {
  const { registryId, registry, name, version, known, found } = replaced;
  const label = version === null ? name : `${name} ${version}`;
  const body = m.accept_replaced_body({ registry, name: label, known, found });
  if (!(await dialogs.confirm(m.accept_replaced_title({ name: label }), body, m.accept_replaced())))
    return false;
  const accepted = await dialogs.attempt(m.error_accepting({ name: label }), () =>
    backend.packageAcceptDigest(registryId, name, version, found),
  );
  if (accepted) toasts.show(m.replaced_accepted({ name: label, registry }));
  return accepted;
}
