/** CodeMirror with what a manifest needs. It is large, and imported only where something is edited. */
import { autocompletion, completionKeymap, type CompletionContext } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  syntaxHighlighting,
} from "@codemirror/language";
import { linter, lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Annotation, EditorState } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { TextMistake } from "../backend";
import { look } from "./editorLook";
import { completionsAt, type Schema } from "./schemaCompletion";

export interface EditorOptions {
  label: string;
  text: string;
  schema: () => Schema | null;
  onchange: (text: string) => void;
  /** What is wrong with the text, asked for a moment after the last change. */
  check: () => Promise<readonly TextMistake[]>;
  onsave: () => void;
}

export interface Editor {
  replace(text: string): void;
  /** Puts the cursor at a place and shows it. */
  reveal(line: number, column: number): void;
  mark(mistakes: readonly TextMistake[]): void;
  focus(): void;
  destroy(): void;
}

const fromOutside = Annotation.define<boolean>();

// Colours are the window's own, so that light and dark follow it.
const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent-text)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword, tags.atom], color: "var(--warning)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--text-muted)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator, tags.meta], color: "var(--text-muted)" },
]);

function diagnosticsOf(state: EditorState, mistakes: readonly TextMistake[]): Diagnostic[] {
  return mistakes.map((mistake) => {
    const line = state.doc.line(Math.min(Math.max(1, mistake.line), state.doc.lines));
    const from = Math.min(line.from + Math.max(0, mistake.column - 1), line.to);
    const end = line.from + Math.max(0, mistake.endColumn - 1);
    return {
      from,
      to: Math.max(from, Math.min(Math.max(end, from + 1), line.to)),
      severity: mistake.severity === "note" ? "info" : mistake.severity,
      message: [mistake.message, mistake.hint].filter(Boolean).join("\n"),
    };
  });
}

export function openEditor(place: HTMLElement, options: EditorOptions): Editor {
  const complete = (context: CompletionContext) => {
    const schema = options.schema();
    if (!schema) return null;
    const found = completionsAt(schema, context.state.doc.toString(), context.pos);
    if (!found || (found.from === context.pos && !context.explicit)) return null;
    // Whoever has written a word in full means the line to end with it.
    const word = context.state.sliceDoc(found.from, context.pos);
    if (!context.explicit && found.options.some(({ label }) => label === word)) return null;
    return {
      from: found.from,
      options: found.options.map(({ label, detail, info, insert }) => ({
        label,
        detail,
        apply: insert,
        ...(info === null ? {} : { info }),
      })),
    };
  };

  const view = new EditorView({
    parent: place,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        lineNumbers(),
        highlightActiveLineGutter(),
        highlightActiveLine(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        yaml(),
        syntaxHighlighting(colours),
        autocompletion({ override: [complete], icons: false }),
        highlightSelectionMatches(),
        search({ top: true }),
        lintGutter(),
        linter(async (view) => diagnosticsOf(view.state, await options.check()), { delay: 300 }),
        keymap.of([
          {
            key: "Mod-s",
            run: () => {
              options.onsave();
              return true;
            },
          },
          ...completionKeymap,
          ...searchKeymap,
          ...historyKeymap,
          ...lintKeymap,
          ...defaultKeymap,
          // Escape, then Tab leaves the editor: CodeMirror's own way out for the keyboard.
          indentWithTab,
        ]),
        EditorView.contentAttributes.of({ "aria-label": options.label }),
        EditorView.updateListener.of((update) => {
          const outside = update.transactions.some((one) => one.annotation(fromOutside));
          if (update.docChanged && !outside) options.onchange(update.state.doc.toString());
        }),
        look,
      ],
    }),
  });

  return {
    replace(text) {
      if (view.state.doc.toString() === text) return;
      view.dispatch({
        changes: { from: 0, to: view.state.doc.length, insert: text },
        annotations: fromOutside.of(true),
      });
    },
    reveal(number, column) {
      const line = view.state.doc.line(Math.min(Math.max(1, number), view.state.doc.lines));
      const anchor = Math.min(line.from + Math.max(0, column - 1), line.to);
      view.dispatch({ selection: { anchor }, scrollIntoView: true });
      view.focus();
    },
    mark(mistakes) {
      view.dispatch(setDiagnostics(view.state, diagnosticsOf(view.state, mistakes)));
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}
