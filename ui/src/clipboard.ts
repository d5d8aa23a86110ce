/** Copies text, also where the engine offers no clipboard to the page. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("aria-hidden", "true");
    area.style.position = "fixed";
    area.style.opacity = "0";
    // Inside an open dialog everything outside it is inert, so the helper has to be inside as well.
    const host = document.querySelector("dialog[open]") ?? document.body;
    const focused = document.activeElement;
    host.append(area);
    area.select();
    const copied = document.execCommand?.("copy") ?? false;
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return copied;
  }
}
