/** CodeMirror for reading: as long a text as there may be, of which only the lines in sight exist. */
import { defaultKeymap } from "@codemirror/commands";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, keymap, lineNumbers } from "@codemirror/view";
import { look } from "./editorLook";

export interface Viewer {
  show(text: string): void;
  destroy(): void;
}

export function openViewer(place: HTMLElement, label: string, text: string): Viewer {
  const extensions = [
    lineNumbers(),
    drawSelection(),
    highlightSelectionMatches(),
    search({ top: true }),
    keymap.of([...searchKeymap, ...defaultKeymap]),
    EditorState.readOnly.of(true),
    EditorView.contentAttributes.of({
      "aria-label": label,
      "aria-readonly": "true",
      tabindex: "0",
    }),
    look,
  ];
  const view = new EditorView({
    parent: place,
    state: EditorState.create({ doc: text, extensions }),
  });
  return {
    // A new state forgets where the last text was scrolled to.
    show: (text) => view.setState(EditorState.create({ doc: text, extensions })),
    destroy: () => view.destroy(),
  };
}
