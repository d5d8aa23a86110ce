/** Which keys mean what, anywhere in the window. */
export type Shortcut =
  | "search"
  | "help"
  | "appliances"
  | "packages"
  | "machines"
  | "studies"
  | "clouds"
  | "activity"
  | "settings"
  | "addFolder"
  | "back"
  | "build"
  | "run";

const WITH_CONTROL: Record<string, Shortcut> = {
  k: "search",
  "1": "appliances",
  "2": "packages",
  "3": "machines",
  "4": "clouds",
  "5": "studies",
  j: "activity",
  ",": "settings",
  o: "addFolder",
  b: "build",
  Enter: "run",
};

/** What a key means, or null where the keys belong to someone else: to the guest, or to a field that is typed in. */
export function shortcutOf(event: KeyboardEvent): Shortcut | null {
  const target = event.target instanceof Element ? event.target : null;
  if (target?.closest("[data-guest-keys]")) return null;
  const typing =
    target?.closest("input:not([type=checkbox]), textarea, select, [contenteditable=true]") != null;
  if (event.ctrlKey !== event.metaKey && !event.altKey && !event.shiftKey)
    return WITH_CONTROL[event.key.length === 1 ? event.key.toLowerCase() : event.key] ?? null;
  if (event.altKey && event.key === "ArrowLeft" && !typing) return "back";
  if (event.key === "?" && !typing) return "help";
  return null;
}
