/** The settings, applied to the window as soon as they change. */
import { backend, on, type About, type Settings } from "../backend";
import { m } from "../messages/messages.js";
import { baseLocale, locales, overwriteGetLocale, type Locale } from "../messages/runtime.js";
import { dialogs } from "./dialogs.svelte";

const DEFAULTS: Settings = {
  theme: "system",
  language: "system",
  onClose: "ask",
  defaultMemoryMib: 512,
  stopGuestSeconds: 10,
  stopPowerSeconds: 5,
  notifications: true,
  qemuPath: null,
};

class SettingsStore {
  value = $state.raw<Settings>(DEFAULTS);
  about = $state.raw<About | null>(null);

  readonly locale: Locale = $derived(
    this.value.language === "system" ? systemLocale() : this.value.language,
  );

  /** Sets the theme and the language of the page. */
  applyTheme(): void {
    const root = document.documentElement;
    root.lang = this.locale;
    if (this.value.theme === "system") delete root.dataset["theme"];
    else root.dataset["theme"] = this.value.theme;
  }

  /** Loads once, before the first paint; again only where asked to. */
  async load(again = false): Promise<void> {
    if (this.about !== null && !again) return;

    try {
      [this.value, this.about] = await Promise.all([backend.settingsGet(), backend.about()]);
    } catch (thrown) {
      dialogs.fail(m.error_loading_settings(), thrown);
    }
  }

  listen(): () => void {
    return on("settingsChanged", (value) => (this.value = value));
  }

  async change(part: Partial<Settings>): Promise<void> {
    const before = this.value;
    this.value = { ...before, ...part };
    try {
      this.value = await backend.settingsSet(this.value);
    } catch (thrown) {
      this.value = before;
      dialogs.fail(m.error_saving_settings(), thrown);
    }
  }
}

function systemLocale(): Locale {
  for (const language of navigator.languages ?? [navigator.language]) {
    const primary = language.slice(0, 2);
    const known = locales.find((locale) => locale === primary);
    if (known) return known;
  }
  return baseLocale;
}

export const settings = new SettingsStore();

// Messages read the locale whenever they are made, so the window changes its language at once, in place.
overwriteGetLocale(() => settings.locale);
