/** The words for what Glance says of images, and for what Windlass made. */
import { m } from "../../messages/messages.js";

export const VISIBILITIES = ["private", "shared", "community", "public"] as const;

export function visibilityName(visibility: string): string {
  const names: Record<string, () => string> = {
    private: m.visibility_private,
    shared: m.visibility_shared,
    community: m.visibility_community,
    public: m.visibility_public,
  };
  return names[visibility]?.() ?? visibility;
}

/** What sort of thing of a cloud it is. */
export function thingName(kind: string): string {
  const names: Record<string, () => string> = {
    stack: m.thing_stack,
    "floating address": m.thing_floating,
    server: m.thing_server,
    router: m.thing_router,
    subnet: m.thing_subnet,
    network: m.network,
    "security group": m.thing_group,
    "key pair": m.key_pair_used,
    image: m.image,
    volume: m.volume,
  };
  return names[kind]?.() ?? kind;
}
