/** Short notes at the foot of the window, with the way back where there is one. */
export interface Toast {
  id: number;
  text: string;
  tone: "plain" | "danger";
  action: { label: string; run: () => void } | null;
}

const STAYS_MS = 8000;

class Toasts {
  items = $state.raw<Toast[]>([]);
  #next = 1;
  #timers = new Map<number, ReturnType<typeof setTimeout>>();

  /** Shows a note, and says by which number it can be taken away again. */
  show(text: string, options: { tone?: Toast["tone"]; action?: Toast["action"] } = {}): number {
    const toast: Toast = {
      id: this.#next++,
      text,
      tone: options.tone ?? "plain",
      action: options.action ?? null,
    };
    // What is said again is no second note.
    for (const { id, action } of this.items.filter((one) => one.text === text))
      if (!action) this.dismiss(id);
    this.items = [...this.items.slice(-3), toast];
    this.resume(toast.id);
    return toast.id;
  }

  dismiss(id: number): void {
    this.pause(id);
    this.items = this.items.filter((toast) => toast.id !== id);
  }

  /** A toast that is pointed at or focused does not go away. */
  pause(id: number): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }

  resume(id: number): void {
    this.pause(id);
    this.#timers.set(
      id,
      setTimeout(() => this.dismiss(id), STAYS_MS),
    );
  }
}

export const toasts = new Toasts();
