/**
 * Libraries ask the browser for its language while they are loaded. Where the system names none, as in the locale C, the
 * answer of WebKit is no language at all, and they fail. Imported before everything else.
 */
try {
  Intl.getCanonicalLocales(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en", configurable: true });
}
