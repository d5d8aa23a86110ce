/** Lines of several consoles, as they come. */

/** A line that a machine said. */
export interface LogLine {
  number: number;
  machine: string;
  text: string;
}

/** So many lines are kept of all machines together; their own consoles keep the rest. */
export const LINES_MAX = 2000;
/** A line that does not end is shown in pieces. */
const LINE_MAX = 4000;

/* eslint-disable-next-line no-control-regex */
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
/* eslint-disable-next-line no-control-regex */
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** Cuts what a console says into lines, without what is meant for a terminal alone. */
export class LineCutter {
  #decoder = new TextDecoder();
  #rest = "";

  cut(bytes: Uint8Array): string[] {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    const lines = text.split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > LINE_MAX) {
      lines.push(this.#rest);
      this.#rest = "";
    }
    return lines.map((line) => line.replace(ESCAPES, "").replace(CONTROLS, ""));
  }
}

/** The last of both. */
export function appended(lines: readonly LogLine[], more: readonly LogLine[]): LogLine[] {
  return [...lines, ...more].slice(-LINES_MAX);
}
