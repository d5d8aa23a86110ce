/**
 * A manifest of an appliance as text: checked as it is typed, saved when asked to, and never over a change that somebody
 * else made meanwhile.
 */
import {
  backend,
  toAppError,
  type AppError,
  type ManifestFile,
  type TextMistake,
} from "../backend";

export class ManifestText {
  readonly file: ManifestFile;
  text = $state("");
  saved = $state("");
  loaded = $state(false);
  error = $state.raw<AppError | null>(null);
  saveError = $state.raw<AppError | null>(null);
  /** The file as it is on disk, when it is another than the one that was edited. */
  theirs = $state.raw<{ text: string; digest: string } | null>(null);
  mistakes = $state.raw<readonly TextMistake[]>([]);
  saving = $state(false);
  /** Grows when the text was replaced from outside the editor. */
  version = $state(0);
  readonly changed = $derived(this.text !== this.saved);

  readonly #id: string;
  #digest = "";
  #asked = 0;

  constructor(id: string, file: ManifestFile) {
    this.#id = id;
    this.file = file;
  }

  /** Reads the file; edits that are not saved stay, and a conflict is told. */
  async load(): Promise<void> {
    try {
      const read = await backend.applianceManifestText(this.#id, this.file);
      if (this.changed && this.loaded) {
        if (read.digest !== this.#digest) this.theirs = read;
        return;
      }
      this.#take(read);
      this.error = null;
    } catch (thrown) {
      this.error = toAppError(thrown);
    }
  }

  edit(text: string): void {
    this.text = text;
  }

  /** What is wrong with the text as it is now. */
  async check(): Promise<readonly TextMistake[]> {
    const asked = ++this.#asked;
    const mistakes = await backend.applianceManifestCheck(this.#id, this.file, this.text);
    if (asked === this.#asked) this.mistakes = mistakes;
    return mistakes;
  }

  async save(): Promise<boolean> {
    this.saving = true;
    this.saveError = null;
    try {
      const text = this.text;
      const on = await backend.applianceManifestText(this.#id, this.file);
      if (on.digest !== this.#digest) {
        this.theirs = on;
        return false;
      }
      const saved = await backend.applianceManifestSave(this.#id, this.file, text, this.#digest);
      this.mistakes = saved.mistakes;
      if (!saved.ok) return false;
      this.#digest = saved.digest;
      this.saved = text;
      return true;
    } catch (thrown) {
      this.saveError = toAppError(thrown);
      return false;
    } finally {
      this.saving = false;
    }
  }

  revert(): void {
    this.text = this.saved;
    this.version += 1;
  }

  /** Ends a conflict: with the file as it is on disk, or with the text as it was edited here. */
  settle(keep: "mine" | "theirs"): void {
    const theirs = this.theirs;
    if (!theirs) return;
    this.theirs = null;
    if (keep === "theirs") this.#take(theirs);
    else {
      this.#digest = theirs.digest;
      this.saved = theirs.text;
    }
  }

  #take(read: { text: string; digest: string }): void {
    this.text = read.text;
    this.saved = read.text;
    this.#digest = read.digest;
    this.loaded = true;
    this.version += 1;
    void this.check().catch(() => undefined);
  }
}
