/**
 * Dragging packages into the layers, and layers to another place. By pointer events: the window as a whole takes files from
 * other programs, and on Linux that keeps the page from dragging by itself.
 */
const FAR = 5;

export interface Dragging {
  name: string;
  /** Whether it comes from the side, rather than from among the layers. */
  fresh: boolean;
  x: number;
  y: number;
}

export class LayerDrag {
  active = $state.raw<Dragging | null>(null);
  /** Before which layer it would be put; null where it is not over the list. */
  slot = $state<number | null>(null);
  /** The list that is dropped on; its items carry `data-layer`. */
  list = $state<HTMLElement>();
  readonly #ondrop: (name: string, slot: number) => void;

  constructor(ondrop: (name: string, slot: number) => void) {
    this.#ondrop = ondrop;
  }

  /** To be called when the pointer goes down on something that can be dragged. */
  begin(event: PointerEvent, name: string, fresh: boolean): void {
    if (event.button !== 0 || (event.target as HTMLElement).closest("button, input, a")) return;
    const from = { x: event.clientX, y: event.clientY };
    const ending = new AbortController();
    const { signal } = ending;

    const move = (moved: PointerEvent) => {
      const far = Math.hypot(moved.clientX - from.x, moved.clientY - from.y) >= FAR;
      if (this.active === null && !far) return;
      moved.preventDefault();
      this.active = { name, fresh, x: moved.clientX, y: moved.clientY };
      this.slot = this.#slotAt(moved.clientX, moved.clientY);
    };
    const end = (drop: boolean) => {
      const slot = this.slot;
      const dragged = this.active !== null;
      ending.abort();
      this.active = null;
      this.slot = null;
      if (drop && dragged && slot !== null) this.#ondrop(name, slot);
    };
    window.addEventListener("pointermove", move, { signal });
    window.addEventListener("pointerup", () => end(true), { signal });
    window.addEventListener("pointercancel", () => end(false), { signal });
    window.addEventListener("blur", () => end(false), { signal });
    window.addEventListener(
      "keydown",
      (key) => {
        if (key.key !== "Escape" || this.active === null) return;
        key.preventDefault();
        end(false);
      },
      { signal, capture: true },
    );
  }

  #slotAt(x: number, y: number): number | null {
    const box = this.list?.getBoundingClientRect();
    if (!this.list || !box) return null;
    const near = 32;
    if (x < box.left || x > box.right || y < box.top - near || y > box.bottom + near) return null;
    const layers = [...this.list.querySelectorAll<HTMLElement>("[data-layer]")];
    const after = layers.findIndex((layer) => {
      const { top, height } = layer.getBoundingClientRect();
      return y < top + height / 2;
    });
    return after < 0 ? layers.length : after;
  }
}
